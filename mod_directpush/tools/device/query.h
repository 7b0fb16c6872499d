/* query: the query string of a request, plain or base64.
 *
 * The counterpart of wire/eas_url. eas-protocol 1.2, 1.3. Pure.
 */
#ifndef QUERY_H
#define QUERY_H

#include "tools/device/dp_buf.h"
#include "wire/eas_url.h"

typedef struct dp_query {
    dp_cmd cmd; /* Sync, FolderSync, Ping or Provision */
    const char *user;
    const char *device_id; /* letters and digits, up to 32 */
    const char *device_type;
    unsigned version; /* 121, 140, 141; base64 only */
    bool has_policy_key;
    uint32_t policy_key; /* base64 only */
} dp_query;

/** In the order of AOSP: Cmd, User, DeviceId, DeviceType. */
void dp_query_plain(dp_buf *out, const dp_query *q);

/** Without the user, as phones do: it is in Authorization. */
void dp_query_base64(dp_buf *out, const dp_query *q);

#endif
