#include "watcher/conf.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/dp_check.h"
#include "watcher/conf_dav.h"
#include "watcher/conf_text.h"
#include "watcher/maildir_path.h"

/* libconfuse reports through callbacks without a context. */
static char *problem_at;
static size_t problem_cap;

static const char words[] =
    "runtime_dir, state_dir, group, default_domain, topics, journal, "
    "user_topics, connections, log_level, maildir or dav";
static const char maildir_words[] = 
    "path, public, shared_dict, poll_interval, network or watch";

/* libconfuse's own messages say what is wrong, not what would be right. */
static const char *expected_instead(const cfg_t *cfg, const char *text)
{
    if (strncmp(text, "no such option", 14) == 0) {
        return strcmp(cfg->name, "maildir") == 0 ? maildir_words
               : strcmp(cfg->name, "dav") == 0   ? dp_conf_dav_words
                                                 : words;
    }
    if (strncmp(text, "invalid integer", 15) == 0) {
        return "a number";
    }
    return NULL;
}

__attribute__((format(printf, 2, 0))) static void
keep_problem(cfg_t *cfg, const char *format, va_list args)
{
    char text[512];
    if (!problem_at || *problem_at) {
        return; /* the first one is the cause of the others */
    }
    vsnprintf(text, sizeof(text), format, args);
    const char *expected = expected_instead(cfg, text);
    snprintf(problem_at, problem_cap, "%s:%d: %s%s%s",
             cfg->filename ? cfg->filename : "?", cfg->line, text,
             expected ? ": expected " : "", expected ? expected : "");
}

static int expect_positive(cfg_t *cfg, cfg_opt_t *opt)
{
    long value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);
    if (value < 1 || value > 1000000000) {
        cfg_error(cfg, "%s = %ld: expected a number from 1 to 1000000000",
                  cfg_opt_name(opt), value);
        return -1;
    }
    return 0;
}

static int expect_power(cfg_t *cfg, cfg_opt_t *opt)
{
    long value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);
    if (value < 64 || value > 1 << 24 || (value & (value - 1)) != 0) {
        cfg_error(cfg,
                  "%s = %ld: expected a power of two from 64 to 16777216",
                  cfg_opt_name(opt), value);
        return -1;
    }
    return 0;
}

static int expect_absolute(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    if (!value || value[0] != '/') {
        cfg_error(cfg, "%s = \"%s\": expected an absolute path",
                  cfg_opt_name(opt), value ? value : "");
        return -1;
    }
    return 0;
}

static int expect_template(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    const char *why = dp_maildir_template_problem(value ? value : "");
    if (why) {
        cfg_error(cfg, "%s = \"%s\": expected %s", cfg_opt_name(opt),
                  value ? value : "", why);
        return -1;
    }
    return 0;
}

static int expect_public(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    if (!value || value[0] != '/' || strpbrk(value, "%") || !value[1]
        || strstr(value, "/../") || strstr(value, "/./")) {
        cfg_error(cfg,
                  "%s = \"%s\": expected an absolute path without %%, . and ..",
                  cfg_opt_name(opt), value ? value : "");
        return -1;
    }
    return 0;
}

static int expect_group(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    if (!value || !getgrnam(value)) {
        cfg_error(cfg, "%s = \"%s\": expected the name of a group that exists",
                  cfg_opt_name(opt), value ? value : "");
        return -1;
    }
    return 0;
}

static const struct {
    const char *word;
    dp_log_level level;
} levels[] = {
    {"error", DP_LOG_ERROR}, {"warn", DP_LOG_WARN},   {"notice", DP_LOG_NOTICE},
    {"info", DP_LOG_INFO},   {"debug", DP_LOG_DEBUG},
};

#define LEVELS_N (sizeof(levels) / sizeof(levels[0]))

static int level_index(const char *word)
{
    for (size_t i = 0; word && i < LEVELS_N; i++) {
        if (strcmp(word, levels[i].word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int expect_level(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    if (level_index(value) < 0) {
        cfg_error(cfg,
                  "%s = \"%s\": expected error, warn, notice, info or debug",
                  cfg_opt_name(opt), value ? value : "");
        return -1;
    }
    return 0;
}

static int expect_network(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    if (!value || (strcmp(value, "poll") && strcmp(value, "refuse"))) {
        cfg_error(cfg, "%s = \"%s\": expected poll or refuse",
                  cfg_opt_name(opt), value ? value : "");
        return -1;
    }
    return 0;
}

static int expect_watch(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    if (!value || (strcmp(value, "inotify") && strcmp(value, "poll"))) {
        cfg_error(cfg, "%s = \"%s\": expected inotify or poll",
                  cfg_opt_name(opt), value ? value : "");
        return -1;
    }
    return 0;
}

static void set_checks(cfg_t *cfg)
{
    cfg_set_validate_func(cfg, "runtime_dir", expect_absolute);
    cfg_set_validate_func(cfg, "state_dir", expect_absolute);
    cfg_set_validate_func(cfg, "group", expect_group);
    cfg_set_validate_func(cfg, "topics", expect_power);
    cfg_set_validate_func(cfg, "journal", expect_power);
    cfg_set_validate_func(cfg, "user_topics", expect_positive);
    cfg_set_validate_func(cfg, "connections", expect_positive);
    cfg_set_validate_func(cfg, "log_level", expect_level);
    cfg_set_validate_func(cfg, "maildir|path", expect_template);
    cfg_set_validate_func(cfg, "maildir|public", expect_public);
    cfg_set_validate_func(cfg, "maildir|shared_dict", expect_absolute);
    cfg_set_validate_func(cfg, "maildir|poll_interval", expect_positive);
    cfg_set_validate_func(cfg, "maildir|network", expect_network);
    cfg_set_validate_func(cfg, "maildir|watch", expect_watch);
    dp_conf_dav_checks(cfg);
}

static char *copy_of(const char *text)
{
    if (!text || !*text) {
        return NULL;
    }
    char *copy = strdup(text);
    DP_ASSERT(copy);
    return copy;
}

static gid_t gid_of(const char *name)
{
    const struct group *g = name ? getgrnam(name) : NULL;
    return g ? g->gr_gid : (gid_t)-1;
}

static void lower(char *text)
{
    for (; text && *text; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

static void take_maildir(dp_conf *conf, cfg_t *cfg)
{
    dp_conf_maildir *m = &conf->maildir;
    m->is_on = true;
    m->path = copy_of(cfg_getstr(cfg, "path"));
    m->public = copy_of(cfg_getstr(cfg, "public"));
    m->shared_dict = copy_of(cfg_getstr(cfg, "shared_dict"));
    m->poll_us = cfg_getint(cfg, "poll_interval") * DP_SECOND_US;
    m->network = strcmp(cfg_getstr(cfg, "network"), "poll") == 0
                     ? DP_CONF_NETWORK_POLL
                     : DP_CONF_NETWORK_REFUSE;
    m->is_polled = strcmp(cfg_getstr(cfg, "watch"), "poll") == 0;
}

static dp_conf *take(const char *file, cfg_t *cfg)
{
    dp_conf *conf = calloc(1, sizeof(*conf));
    DP_ASSERT(conf);
    conf->file = copy_of(file);
    conf->runtime_dir = copy_of(cfg_getstr(cfg, "runtime_dir"));
    conf->state_dir = copy_of(cfg_getstr(cfg, "state_dir"));
    conf->group = copy_of(cfg_getstr(cfg, "group"));
    conf->gid = gid_of(conf->group);
    conf->default_domain = copy_of(cfg_getstr(cfg, "default_domain"));
    lower(conf->default_domain);
    conf->topics = (uint32_t)cfg_getint(cfg, "topics");
    conf->journal = (uint32_t)cfg_getint(cfg, "journal");
    conf->user_topics = (uint32_t)cfg_getint(cfg, "user_topics");
    conf->connections = (uint32_t)cfg_getint(cfg, "connections");
    conf->log_level = levels[level_index(cfg_getstr(cfg, "log_level"))].level;
    if (cfg_size(cfg, "maildir") > 0) {
        take_maildir(conf, cfg_getsec(cfg, "maildir"));
    }
    return conf;
}

/* What no single value can tell. @return false after telling */
static bool check_whole(cfg_t *cfg, const char *file, char *problem, size_t cap)
{
    if (cfg_size(cfg, "maildir") > 1) {
        snprintf(problem, cap, "%s:%d: expected one maildir section", file,
                 cfg_getnsec(cfg, "maildir", 1)->line);
        return false;
    }
    if (cfg_size(cfg, "maildir") == 1
        && !cfg_getstr(cfg_getsec(cfg, "maildir"), "path")) {
        snprintf(problem, cap,
                 "%s:%d: maildir: expected path = \"...\" in it, like "
                 "\"/var/mail/%%d/%%n/Maildir\"",
                 file, cfg_getsec(cfg, "maildir")->line);
        return false;
    }
    if (cfg_size(cfg, "dav") > 1) {
        snprintf(problem, cap, "%s:%d: expected one dav section", file,
                 cfg_getnsec(cfg, "dav", 1)->line);
        return false;
    }
    return true;
}

static dp_conf *take_all(const char *file, cfg_t *cfg, char *problem,
                         size_t cap)
{
    dp_conf *conf = take(file, cfg);
    if (cfg_size(cfg, "dav") > 0
        && !dp_conf_dav_take(&conf->dav, file, cfg_getsec(cfg, "dav"), problem,
                             cap)) {
        dp_conf_free(&conf);
    }
    return conf;
}

static dp_conf *parse(cfg_t *cfg, const char *file, char *problem, size_t cap)
{
    struct stat st;
    /* the scanner of libconfuse ends the program when it can't read on */
    bool is_dir = stat(file, &st) == 0 && S_ISDIR(st.st_mode);
    errno = EISDIR;
    int rv = is_dir ? CFG_FILE_ERROR : cfg_parse(cfg, file);
    if (rv == CFG_FILE_ERROR) {
        snprintf(problem, cap, "%s: expected a readable file: %s", file,
                 strerror(errno));
    }
    else if (rv != CFG_SUCCESS) {
        if (!*problem) {
            snprintf(problem, cap, "%s:%d: expected name = value", file,
                     cfg->line);
        }
    }
    else if (check_whole(cfg, file, problem, cap)
             && dp_conf_text_check(file, problem, cap)) {
        return take_all(file, cfg, problem, cap);
    }
    return NULL;
}

dp_conf *dp_conf_read(const char *file, char *problem, size_t cap)
{
    cfg_opt_t maildir[] = {
        CFG_STR("path", NULL, CFGF_NONE),
        CFG_STR("public", NULL, CFGF_NONE),
        CFG_STR("shared_dict", NULL, CFGF_NONE),
        CFG_INT("poll_interval", 60, CFGF_NONE),
        CFG_STR("network", "poll", CFGF_NONE),
        CFG_STR("watch", "inotify", CFGF_NONE),
        CFG_END(),
    };
    cfg_opt_t dav[] = {
        CFG_STR("url", NULL, CFGF_NONE),
        CFG_STR("calendars", "Calendar/", CFGF_NONE),
        CFG_STR("contacts", "Contacts/", CFGF_NONE),
        CFG_STR("user", NULL, CFGF_NONE),
        CFG_STR("password_file", NULL, CFGF_NONE),
        CFG_STR("credentials", NULL, CFGF_NONE),
        CFG_INT("interval", 60, CFGF_NONE),
        CFG_INT("requests_per_second", 20, CFGF_NONE),
        CFG_INT("connections", 4, CFGF_NONE),
        CFG_STR("ca_file", NULL, CFGF_NONE),
        CFG_END(),
    };
    cfg_opt_t options[] = {
        CFG_STR("runtime_dir", "/run/directpush", CFGF_NONE),
        CFG_STR("state_dir", "/var/lib/directpush/watcher", CFGF_NONE),
        CFG_STR("group", NULL, CFGF_NONE),
        CFG_STR("default_domain", NULL, CFGF_NONE),
        CFG_INT("topics", 65536, CFGF_NONE),
        CFG_INT("journal", 65536, CFGF_NONE),
        CFG_INT("user_topics", 300, CFGF_NONE),
        CFG_INT("connections", 1024, CFGF_NONE),
        CFG_STR("log_level", "info", CFGF_NONE),
        CFG_SEC("maildir", maildir, CFGF_MULTI),
        CFG_SEC("dav", dav, CFGF_MULTI),
        CFG_END(),
    };
    problem[0] = '\0';
    problem_at = problem;
    problem_cap = cap;
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    DP_ASSERT(cfg);
    cfg_set_error_function(cfg, keep_problem);
    set_checks(cfg);
    dp_conf *conf = parse(cfg, file, problem, cap);
    cfg_free(cfg);
    problem_at = NULL;
    return conf;
}

void dp_conf_free(dp_conf **pconf)
{
    dp_conf *conf = *pconf;
    if (conf) {
        free(conf->file);
        free(conf->runtime_dir);
        free(conf->state_dir);
        free(conf->group);
        free(conf->default_domain);
        free(conf->maildir.path);
        free(conf->maildir.public);
        free(conf->maildir.shared_dict);
        dp_conf_dav_clear(&conf->dav);
        free(conf);
        *pconf = NULL;
    }
}
