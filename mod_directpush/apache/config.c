#include "apache/config.h"

#include <apr_strings.h>

#include "apache/module.h"
#include "base/dp_check.h"

DP_STATIC(DP_DIRECTIVES_N <= 32, "one bit each");

typedef enum kind {
    KIND_FLAG,
    KIND_TIME,
    KIND_TIMES2,
    KIND_INT,
    KIND_NAME,
    KIND_DIR,
    KIND_EXPR,
    KIND_PATHS,
    KIND_CHOICE
} kind;

/* What the setters need to know of a directive. */
typedef struct directive {
    const char *name;
    kind kind;
    size_t offset; /* in dp_conf */
    const char *allowed;
    bool is_global;
} directive;

enum { SCOPE_HOST, SCOPE_GLOBAL, SCOPE_ANY };

#define enabled given /* these are kept per directory, see set_enabled() */
#define dav given
static const directive directives[DP_DIRECTIVES_N] = {
#define DP_DIRECTIVE(name, kind, field, scope, dflt, allowed, help)            \
    {#name, KIND_##kind, offsetof(dp_conf, field), allowed,                    \
     SCOPE_##scope == SCOPE_GLOBAL},
#include "apache/directives.def"
#undef DP_DIRECTIVE
};
#undef enabled
#undef dav

/* Bounds of the numeric ones; spans in seconds. */
static const struct {
    dp_directive d;
    int64_t min, max;
} bounds[] = {
    {DP_D_heartbeat, 1, 86400},    {DP_D_max_folders, 1, 10000},
    {DP_D_trust, 1, 30 * 86400},   {DP_D_pace, 0, 3600},
    {DP_D_quiet, 0, 3600},         {DP_D_backend_lag, 0, 600},
    {DP_D_drain, 0, 600},          {DP_D_blind, 1, 86400},
    {DP_D_max_holds, 1, 10000000}, {DP_D_max_blocking, 0, 1000000},
    {DP_D_max_passed, 0, 100000},  {DP_D_provoke, 1, 100000},
    {DP_D_max_devices, 1, 10000000},
};

static bool used;

bool dp_conf_is_used(void)
{
    return used;
}

void dp_conf_reset(void)
{
    used = false;
}

static bool is_within(dp_directive d, int64_t value)
{
    for (size_t i = 0; i < sizeof(bounds) / sizeof(*bounds); i++) {
        if (bounds[i].d == d) {
            return value >= bounds[i].min && value <= bounds[i].max;
        }
    }
    return true;
}

static const char *refuse(cmd_parms *cmd, const directive *d, const char *arg)
{
    return apr_psprintf(cmd->pool, "%s takes %s, not \"%s\"", d->name,
                        d->allowed, arg);
}

/* Scope, and given once only. @return an error text or NULL */
static const char *check(cmd_parms *cmd, const directive *d)
{
    dp_conf *conf = dp_conf_of(cmd->server);
    uint32_t bit = 1u << (d - directives);
    const char *wrong =
        ap_check_cmd_context(cmd, d->is_global ? GLOBAL_ONLY
                                               : NOT_IN_DIR_CONTEXT);
    if (wrong) {
        return d->is_global
                   ? apr_psprintf(cmd->pool, "%s belongs into the server "
                                  "config, outside of every section", d->name)
                   : apr_psprintf(cmd->pool, "%s belongs into the server "
                                  "config or a virtual host", d->name);
    }
    if (conf->given & bit) {
        return apr_psprintf(cmd->pool, "%s is given twice in one place; keep "
                            "one (it takes %s)", d->name, d->allowed);
    }
    conf->given |= bit;
    return NULL;
}

/* `90`, `90s`, `500ms`, `5m`, `12h`, `2d` as microseconds. */
static bool read_span(const char *arg, dp_time_us *out)
{
    char *unit;
    apr_int64_t n = apr_strtoi64(arg, &unit, 10);
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"ms", 1000},           {"s", 1000000},
                 {"", 1000000},          {"m", 60000000},
                 {"min", 60000000},      {"h", 3600000000ll},
                 {"d", 86400000000ll}};
    if (unit == arg || n < 0 || n > 1000000000) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (!strcasecmp(unit, units[i].unit)) {
            *out = n * units[i].us;
            return true;
        }
    }
    return false;
}

static void *field(cmd_parms *cmd, const directive *d)
{
    return (char *)dp_conf_of(cmd->server) + d->offset;
}

/* "sync or backend": the first is 0, the second is 1. */
static bool set_choice(const directive *d, const char *arg, int *out)
{
    const char *other = strstr(d->allowed, " or ");
    size_t first_n = (size_t)(other - d->allowed);
    *out = !strcasecmp(arg, other + strlen(" or "));
    return *out || (strlen(arg) == first_n
                    && !strncasecmp(arg, d->allowed, first_n));
}

static bool set_span(const directive *d, const char *arg, dp_time_us *out)
{
    /* bounds are in seconds; parts of a second count as the second below */
    return read_span(arg, out)
           && is_within((dp_directive)(d - directives), *out / DP_SECOND_US);
}

static const char *set_one(cmd_parms *cmd, void *dir, const char *arg)
{
    const directive *d = cmd->info;
    const char *wrong = check(cmd, d);
    if (wrong) {
        return wrong;
    }
    char *end;
    apr_int64_t n;
    switch (d->kind) {
    case KIND_TIME:
        return set_span(d, arg, field(cmd, d)) ? NULL : refuse(cmd, d, arg);
    case KIND_INT:
        n = apr_strtoi64(arg, &end, 10);
        if (!*arg || *end || !is_within((dp_directive)(d - directives), n)) {
            return refuse(cmd, d, arg);
        }
        *(int *)field(cmd, d) = (int)n;
        return NULL;
    case KIND_CHOICE:
        return set_choice(d, arg, field(cmd, d)) ? NULL : refuse(cmd, d, arg);
    case KIND_NAME:
        if (!*arg || strpbrk(arg, " \t")) {
            return refuse(cmd, d, arg);
        }
        *(const char **)field(cmd, d) = arg;
        return NULL;
    case KIND_DIR:
        if (*arg != '/') {
            return refuse(cmd, d, arg);
        }
        *(const char **)field(cmd, d) = arg;
        return NULL;
    default:
        return refuse(cmd, d, arg);
    }
}

static const char *set_expr(cmd_parms *cmd, void *dir, const char *arg)
{
    const directive *d = cmd->info;
    const char *wrong = check(cmd, d);
    if (wrong) {
        return wrong;
    }
    *(ap_expr_info_t **)field(cmd, d) =
        ap_expr_parse_cmd(cmd, arg, AP_EXPR_FLAG_STRING_RESULT, &wrong, NULL);
    return wrong ? apr_psprintf(cmd->pool, "%s takes %s: %s", d->name,
                                d->allowed, wrong)
                 : NULL;
}

static const char *set_two(cmd_parms *cmd, void *dir, const char *a,
                           const char *b)
{
    const directive *d = cmd->info;
    const char *wrong = check(cmd, d);
    dp_time_us *two = field(cmd, d);
    if (wrong) {
        return wrong;
    }
    bool needs_order = d == &directives[DP_D_heartbeat];
    if (!set_span(d, a, &two[0]) || !set_span(d, b, &two[1])
        || (needs_order && two[0] > two[1])) {
        return refuse(cmd, d, apr_pstrcat(cmd->temp_pool, a, " ", b, NULL));
    }
    return NULL;
}

static const char *set_paths(cmd_parms *cmd, void *dir, int argc,
                             char *const argv[])
{
    const directive *d = cmd->info;
    const char *wrong = check(cmd, d);
    if (wrong) {
        return wrong;
    }
    if (!argc) {
        return refuse(cmd, d, "");
    }
    apr_array_header_t *paths = apr_array_make(cmd->pool, argc, sizeof(char *));
    for (int i = 0; i < argc; i++) {
        size_t n = strlen(argv[i]);
        if (argv[i][0] != '/' || strpbrk(argv[i], "?# ")) {
            return refuse(cmd, d, argv[i]);
        }
        while (n > 1 && argv[i][n - 1] == '/') {
            n--;
        }
        APR_ARRAY_PUSH(paths, const char *) = apr_pstrndup(cmd->pool, argv[i], n);
    }
    *(apr_array_header_t **)field(cmd, d) = paths;
    return NULL;
}

static const char *set_enabled(cmd_parms *cmd, void *dir, const char *arg)
{
    const directive *d = cmd->info;
    dp_dir_conf *conf = dir;
    int *flag = d == &directives[DP_D_dav] ? &conf->dav : &conf->enabled;
    bool is_on = !strcasecmp(arg, "on");
    if (!is_on && strcasecmp(arg, "off")) {
        return refuse(cmd, d, arg);
    }
    /* what phones and DAV clients ask for is no file */
    if (ap_check_cmd_context(cmd, NOT_IN_DIRECTORY)
        || ap_check_cmd_context(cmd, NOT_IN_FILES)) {
        return apr_psprintf(cmd->pool, "%s has no effect in <Directory> and "
                            "<Files>; it belongs into a virtual host, the "
                            "server config or <Location>", d->name);
    }
    if (*flag >= 0) {
        return apr_psprintf(cmd->pool, "%s is given twice in one place; keep "
                            "one (it takes %s)", d->name, d->allowed);
    }
    *flag = is_on;
    used |= is_on;
    return NULL;
}

#define INFO(field) (void *)&directives[DP_D_##field]
#define CMD_FLAG(name, field, help)                                            \
    AP_INIT_TAKE1(#name, set_enabled, INFO(field), RSRC_CONF | ACCESS_CONF, help),
#define CMD_TIME(name, field, help)                                            \
    AP_INIT_TAKE1(#name, set_one, INFO(field), RSRC_CONF, help),
#define CMD_INT    CMD_TIME
#define CMD_NAME   CMD_TIME
#define CMD_DIR    CMD_TIME
#define CMD_CHOICE CMD_TIME
#define CMD_TIMES2(name, field, help)                                          \
    AP_INIT_TAKE2(#name, set_two, INFO(field), RSRC_CONF, help),
#define CMD_EXPR(name, field, help)                                            \
    AP_INIT_TAKE1(#name, set_expr, INFO(field), RSRC_CONF, help),
#define CMD_PATHS(name, field, help)                                           \
    AP_INIT_TAKE_ARGV(#name, set_paths, INFO(field), RSRC_CONF, help),

const command_rec dp_commands[] = {
#define DP_DIRECTIVE(name, kind, field, scope, dflt, allowed, help)            \
    CMD_##kind(name, field, help)
#include "apache/directives.def"
#undef DP_DIRECTIVE
    {NULL}};

void *dp_conf_create(apr_pool_t *p, server_rec *s)
{
    dp_conf *c = apr_pcalloc(p, sizeof(*c));
    c->runtime_dir = "/run/directpush";
    c->state_dir = "/var/lib/directpush/devices";
    c->heartbeat[0] = 60 * DP_SECOND_US;
    c->heartbeat[1] = 3540 * DP_SECOND_US;
    c->max_folders = 300;
    c->trust = 12 * 3600 * DP_SECOND_US;
    c->pace = 5 * DP_SECOND_US;
    c->quiet = 30 * DP_SECOND_US;
    c->backend_lag = 2 * DP_SECOND_US;
    c->drain = 10 * DP_SECOND_US;
    c->fallback = DP_FALLBACK_SYNC;
    c->blind[0] = 5 * 60 * DP_SECOND_US;
    c->blind[1] = 30 * 60 * DP_SECOND_US;
    c->max_holds = -1;
    c->max_blocking = -1;
    c->max_passed = 10;
    c->max_devices = 100;
    c->provoke = 20;
    c->keep_requests = DP_KEEP_REQUESTS_AUTO;
    return c;
}

void *dp_conf_merge(apr_pool_t *p, void *outer, void *inner)
{
    dp_conf *o = outer, *i = inner;
    dp_conf *m = apr_pmemdup(p, i, sizeof(*i));
#define MERGE(f)                                                               \
    if (!(i->given & 1u << DP_D_##f)) {                                        \
        memcpy(&m->f, &o->f, sizeof(m->f));                                    \
    }
#define MERGE_FLAG(f)
#define MERGE_TIME(f)   MERGE(f)
#define MERGE_TIMES2(f) MERGE(f)
#define MERGE_INT(f)    MERGE(f)
#define MERGE_NAME(f)   MERGE(f)
#define MERGE_DIR(f)    MERGE(f)
#define MERGE_EXPR(f)   MERGE(f)
#define MERGE_PATHS(f)  MERGE(f)
#define MERGE_CHOICE(f) MERGE(f)
#define DP_DIRECTIVE(name, kind, field, scope, dflt, allowed, help)            \
    MERGE_##kind(field)
#include "apache/directives.def"
#undef DP_DIRECTIVE
    m->given = o->given | i->given;
    return m;
}

void *dp_dir_conf_create(apr_pool_t *p, char *dir)
{
    dp_dir_conf *c = apr_palloc(p, sizeof(*c));
    c->enabled = c->dav = -1;
    return c;
}

void *dp_dir_conf_merge(apr_pool_t *p, void *outer, void *inner)
{
    dp_dir_conf *o = outer, *i = inner, *m = apr_palloc(p, sizeof(*m));
    m->enabled = i->enabled >= 0 ? i->enabled : o->enabled;
    m->dav = i->dav >= 0 ? i->dav : o->dav;
    return m;
}

void dp_conf_finish(dp_conf *conf, server_rec *s)
{
    if (!conf->realm) {
        conf->realm = s->server_hostname ? s->server_hostname : "default";
    }
    conf->rules = (dp_look_rules){.pace_us = conf->pace,
                                  .quiet_us = conf->quiet,
                                  .lag_us = conf->backend_lag,
                                  .blind_mail_us = conf->blind[0],
                                  .blind_other_us = conf->blind[1]};
}

dp_conf *dp_conf_of(server_rec *s)
{
    return ap_get_module_config(s->module_config, &directpush_module);
}

bool dp_is_enabled(request_rec *r)
{
    dp_dir_conf *c =
        ap_get_module_config(r->per_dir_config, &directpush_module);
    return c && c->enabled == 1;
}

bool dp_dav_is_enabled(request_rec *r)
{
    dp_dir_conf *c =
        ap_get_module_config(r->per_dir_config, &directpush_module);
    return c && c->dav == 1;
}
