/* fuzz_dav: a multistatus answer, and the names and tags in it. */
#include <stddef.h>
#include <stdint.h>

#include "bus/topic_name.h"
#include "fuzz_same.h"
#include "watcher/dav_home.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char token[DP_DAV_TEXT_MAX];
    dp_dav_home h = {.kinds = DP_DAV_EVENTS | DP_DAV_TASKS | DP_DAV_CONTACTS};
    for (int i = 0; i < 2; i++) {
        dp_dav_home_begin(&h);
        if (!dp_dav_read((const char *)data, size, dp_dav_home_take, &h, token)
            && dp_dav_home_listed(&h, 1795485600, 0)) {
            dp_dav_coll *c;
            while ((c = dp_dav_home_next_detail(&h))) {
                dp_dav_home_no_detail(&h, c);
            }
            dp_dav_home_end(&h);
        }
    }
    for (const dp_dav_coll *c = h.first; c; c = c->next) {
        DP_ASSERT(dp_topic_folder_is_sane(dp_span_str(c->name)));
    }
    dp_dav_home_clear(&h);
    return 0;
}
