/* fuzz_query: the query string. What comes out is bounded and normalised. */
#include <stdio.h>

#include "fuzz_same.h"
#include "wire/eas_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_eas_query q, again;
    char query[sizeof("Cmd=x&DeviceId=") + DP_DEVICE_ID_MAX];
    bool is_read = dp_eas_query_parse(dp_span_of(data, size), &q);

    DP_ASSERT(strlen(q.device_id) <= DP_DEVICE_ID_MAX);
    DP_ASSERT(strlen(q.device_type) <= DP_DEVICE_TYPE_MAX);
    DP_ASSERT((unsigned)q.cmd < DP_CMD_N);
    DP_ASSERT(is_read || (q.cmd == DP_CMD_NONE && q.device_id[0] == 0));
    DP_ASSERT(!q.is_base64 || (q.cmd != DP_CMD_NONE && q.device_id[0] != 0));
    /* a normalised id is its own normal form, and a name leads to its command
     */
    snprintf(query, sizeof(query), "Cmd=x&DeviceId=%s", q.device_id);
    DP_ASSERT(dp_eas_query_parse(dp_span_str(query), &again));
    DP_ASSERT(strcmp(q.device_id, again.device_id) == 0);
    snprintf(query, sizeof(query), "Cmd=%s", dp_cmd_name(q.cmd));
    DP_ASSERT(dp_eas_query_parse(dp_span_str(query), &again));
    FUZZ_SAME(q, again, cmd);
    return 0;
}
