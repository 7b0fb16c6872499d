/* config: what the administrator typed, checked, merged, with defaults. */
#ifndef DP_APACHE_CONFIG_H
#define DP_APACHE_CONFIG_H

#include <ap_expr.h>
#include <httpd.h>
#include <http_config.h>

#include "hold/look.h"

/* One bit per directive that was given in this very section. */
typedef enum dp_directive {
#define DP_DIRECTIVE(name, kind, field, scope, dflt, allowed, help) DP_D_##field,
#include "apache/directives.def"
#undef DP_DIRECTIVE
    DP_DIRECTIVES_N
} dp_directive;

/* A virtual host's settings; spans in microseconds. */
typedef struct dp_conf {
    uint32_t given; /* bits of dp_directive */
    apr_array_header_t *paths; /* const char *, besides the standard one */
    const char *realm;
    ap_expr_info_t *user; /* NULL: the default rule */
    const char *runtime_dir, *state_dir;
    dp_time_us heartbeat[2];
    int max_folders;
    dp_time_us trust, pace, quiet, backend_lag, drain;
    int fallback; /* dp_fallback */
    dp_time_us blind[2];
    int max_holds, max_devices, max_blocking, max_passed, provoke;
    int keep_requests; /* dp_keep_requests */
    dp_look_rules rules; /* of the above; made by dp_conf_finish() */
} dp_conf;

typedef enum dp_fallback {
    DP_FALLBACK_SYNC,
    DP_FALLBACK_BACKEND
} dp_fallback;

/* What becomes of the request of a Ping that waits: shed.h */
typedef enum dp_keep_requests {
    DP_KEEP_REQUESTS_AUTO, /* given back where nobody needs it */
    DP_KEEP_REQUESTS_ALWAYS
} dp_keep_requests;

/* A Location's settings. */
typedef struct dp_dir_conf {
    int enabled; /* -1: not given */
    int dav;     /* the same */
} dp_dir_conf;

extern const command_rec dp_commands[];

void *dp_conf_create(apr_pool_t *p, server_rec *s);
void *dp_conf_merge(apr_pool_t *p, void *outer, void *inner);
void *dp_dir_conf_create(apr_pool_t *p, char *dir);
void *dp_dir_conf_merge(apr_pool_t *p, void *outer, void *inner);

/** Fill in what the defaults depend on (realm, rules); post_config. */
void dp_conf_finish(dp_conf *conf, server_rec *s);

dp_conf *dp_conf_of(server_rec *s);
bool dp_is_enabled(request_rec *r);
bool dp_dav_is_enabled(request_rec *r);

/** Was `DirectPush On` or `DirectPushDAV On` read anywhere in this configuration? */
bool dp_conf_is_used(void);
void dp_conf_reset(void);

#endif
