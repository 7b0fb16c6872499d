/* mod_directpush: the module record and the order of its hooks; nothing else.
 */
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>

#include "apache/child.h"
#include "apache/config.h"
#include "apache/dav.h"
#include "apache/outlet.h"
#include "apache/park.h"
#include "apache/passing.h"
#include "apache/request.h"
#include "apache/room.h"
#include "apache/shadow.h"
#include "apache/status.h"

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    dp_conf_reset();
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    for (server_rec *host = s; host; host = host->next) {
        dp_conf_finish(dp_conf_of(host), host);
    }
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    return dp_child_prepare(pconf, ptemp, s);
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_FIRST);
    dp_shadow_register(p);
    dp_child_register(p);
    dp_room_register(p);
    dp_park_register(p);
    dp_passing_register(p);
    dp_outlet_register(p);
    dp_dav_register(p);
    /* mod_proxy's handler runs at FIRST */
    ap_hook_handler(dp_request_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(dp_dav_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(dp_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
    /* httpd's own handler, for files, runs at REALLY_LAST */
    ap_hook_handler(dp_request_unserved, NULL, NULL, APR_HOOK_REALLY_LAST - 1);
}

module AP_MODULE_DECLARE_DATA directpush_module = {
    STANDARD20_MODULE_STUFF,
    dp_dir_conf_create,
    dp_dir_conf_merge,
    dp_conf_create,
    dp_conf_merge,
    dp_commands,
    register_hooks,
    AP_MODULE_FLAG_NONE,
};
