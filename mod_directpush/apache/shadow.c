#include "apache/shadow.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>

#include "apache/config.h"
#include "apache/module.h"
#include "base/dp_clock.h"

server_rec *dp_shadow;

/* Beyond the longest heartbeat: the keeper answers long before. */
#define MARGIN_S 300

static dp_time_us longest_heartbeat(server_rec *s)
{
    dp_time_us longest = 0;
    for (; s; s = s->next) {
        dp_time_us h = dp_conf_of(s)->heartbeat[1];
        longest = h > longest ? h : longest;
    }
    return longest;
}

/* Modules without a server config leave their pointer NULL in the copy too. */
static ap_conf_vector_t *copy_vector(apr_pool_t *p, server_rec *s)
{
    ap_conf_vector_t *copy = ap_create_conn_config(p);
    for (module *m = ap_top_module; m; m = m->next) {
        ap_set_module_config(copy, m, ap_get_module_config(s->module_config, m));
    }
    return copy;
}

static int append(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                  server_rec *s)
{
    dp_shadow = NULL;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
        || !dp_conf_is_used()) {
        return OK;
    }
    server_rec *shadow = apr_pmemdup(pconf, s, sizeof(*s));
    shadow->module_config = copy_vector(pconf, s);
    shadow->timeout = longest_heartbeat(s) + apr_time_from_sec(MARGIN_S);
    shadow->is_virtual = 1;
    shadow->next = NULL;
    server_rec *last = s;
    while (last->next) {
        last = last->next;
    }
    last->next = shadow;
    dp_shadow = shadow;
    return OK;
}

static int unlink_it(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                     server_rec *s)
{
    for (; dp_shadow && s; s = s->next) {
        if (s->next == dp_shadow) {
            s->next = dp_shadow->next;
            break;
        }
    }
    return OK;
}

void dp_shadow_register(apr_pool_t *p)
{
    /* Walkers of the server list that must not meet the shadow run before it
     * is there, or after it is gone. */
    static const char *const before[] = {
        "mod_ssl.c",     "mod_proxy.c",       "mod_http2.c", "mod_md.c",
        "mod_rewrite.c", "mod_proxy_hcheck.c", "mod_security2.c",
        "mod_watchdog.c", "mod_log_config.c", "mod_vhost_alias.c", NULL};
    static const char *const mpm[] = {"event.c", NULL};
    ap_hook_post_config(append, before, mpm, APR_HOOK_MIDDLE);
    ap_hook_post_config(unlink_it, mpm, NULL, APR_HOOK_MIDDLE);
}

void dp_shadow_file(conn_rec *c)
{
    if (dp_shadow) {
        ap_run_protocol_switch(c, NULL, dp_shadow, "directpush");
    }
}
