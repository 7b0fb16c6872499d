/* fuzz_uidlist: the beginning of a dovecot-uidlist. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fuzz_same.h"
#include "watcher/uidlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char guid[DP_GUID_HEX + 1];
    if (dp_uidlist_guid(dp_span_of(data, size), guid)) {
        DP_ASSERT(strlen(guid) == DP_GUID_HEX);
        DP_ASSERT(strspn(guid, "0123456789abcdef") == DP_GUID_HEX);
    }
    return 0;
}
