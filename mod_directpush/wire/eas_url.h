/* eas_url: the query string of an ActiveSync request, plain or base64.
 *
 * eas-protocol 1.2 and 1.3. Failure means: pass the request through. Pure.
 */
#ifndef EAS_URL_H
#define EAS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"

typedef enum dp_cmd {
    DP_CMD_NONE = 0, /* no Cmd, or one that we don't know */
    DP_CMD_SYNC,
    DP_CMD_SENDMAIL,
    DP_CMD_SMARTFORWARD,
    DP_CMD_SMARTREPLY,
    DP_CMD_GETATTACHMENT,
    DP_CMD_FOLDERSYNC,
    DP_CMD_FOLDERCREATE,
    DP_CMD_FOLDERDELETE,
    DP_CMD_FOLDERUPDATE,
    DP_CMD_MOVEITEMS,
    DP_CMD_GETITEMESTIMATE,
    DP_CMD_MEETINGRESPONSE,
    DP_CMD_SEARCH,
    DP_CMD_SETTINGS,
    DP_CMD_PING,
    DP_CMD_ITEMOPERATIONS,
    DP_CMD_PROVISION,
    DP_CMD_RESOLVERECIPIENTS,
    DP_CMD_VALIDATECERT,
    DP_CMD_FIND,
    DP_CMD_GETHIERARCHY,
    DP_CMD_CREATECOLLECTION,
    DP_CMD_DELETECOLLECTION,
    DP_CMD_MOVECOLLECTION,
    DP_CMD_N
} dp_cmd;

#define DP_DEVICE_ID_MAX   128 /* after normalisation; longer: not ours */
#define DP_DEVICE_TYPE_MAX 64  /* cut */

typedef struct dp_eas_query {
    dp_cmd cmd;
    bool is_base64;
    uint8_t version; /* 121, 140, … of the base64 form, else 0 */
    bool has_policy_key;
    uint32_t policy_key;
    /* normalised (eas-protocol 1.3): all letters and digits taken as text,
     * anything else as hex; lower case; NUL-terminated */
    char device_id[DP_DEVICE_ID_MAX + 1];
    char device_type[DP_DEVICE_TYPE_MAX + 1]; /* printable ASCII only */
} dp_eas_query;

/**
 * Decode the query string as it stood in the request line.
 * @return false when it is neither form or damaged; *out is zeroed then
 */
bool dp_eas_query_parse(dp_span query, dp_eas_query *out);

/** `Ping`, `Sync`, … ; "" for DP_CMD_NONE. */
const char *dp_cmd_name(dp_cmd cmd);

#endif
