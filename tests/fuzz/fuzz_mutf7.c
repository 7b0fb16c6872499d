/* fuzz_mutf7: folder names from disk and from phones. What is a folder's name
 * is the name of one directory, and that one's is this folder. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bus/topic_name.h"
#include "fuzz_same.h"
#include "watcher/maildir_name.h"

static void check_decoding(dp_span in)
{
    char text[4096], again[8192];
    long n = dp_mutf7_decode(text, sizeof(text), in);
    if (n >= 0) {
        long back = dp_mutf7_encode(again, sizeof(again),
                                    dp_span_of(text, (size_t)n));
        DP_ASSERT(back == (long)in.n && memcmp(again, in.p, in.n) == 0);
    }
    n = dp_mutf7_encode(again, sizeof(again), in);
    if (n >= 0) {
        dp_mutf7_decode(text, sizeof(text), dp_span_of(again, (size_t)n));
    }
}

static void check_folder(dp_span in)
{
    char folder[DP_TOPIC_FOLDER_MAX + 1], dir[4096];
    if (dp_maildir_folder_of(folder, sizeof(folder), in)) {
        DP_ASSERT(dp_topic_folder_is_sane(dp_span_str(folder)));
        DP_ASSERT(folder[0] != '/');
    }
    if (dp_maildir_dir_of(dir, sizeof(dir), in) && dir[0]) {
        DP_ASSERT(dir[0] == '.' && dir[1] && dir[1] != '.');
        DP_ASSERT(!strchr(dir, '/'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_span base, flags, in = dp_span_of(data, size);
    if (size > 2048) {
        return 0;
    }
    if (size > 0) {
        check_decoding(in);
    }
    check_folder(in);
    dp_maildir_split(in, &base, &flags);
    return 0;
}
