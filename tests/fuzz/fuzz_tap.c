/* fuzz_tap: bytes under any Content-Encoding. The first byte says which, and
 * how much may come out. Same clear bytes in any chunking, never too many. */
#include "fuzz_same.h"
#include "observe/tap.h"

typedef struct sunk {
    uint64_t n, hash, max;
} sunk;

static bool sink(void *ctx, dp_span clear)
{
    sunk *s = ctx;
    DP_ASSERT(clear.n > 0);
    for (size_t i = 0; i < clear.n; i++) {
        s->hash = (s->hash ^ clear.p[i]) * 0x100000001B3u;
    }
    s->n += clear.n;
    DP_ASSERT(s->n <= s->max);
    return true;
}

static bool feed(void *tap, dp_span chunk)
{
    return dp_tap_feed(tap, chunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    dp_tap_coding coding = (dp_tap_coding)(data[0] & 3);
    sunk once = {.max = 16u << (data[0] >> 4)}, pieces = once;
    data++;
    size--;
    dp_tap *a = dp_tap_make(coding, once.max, sink, &once);
    dp_tap *b = dp_tap_make(coding, pieces.max, sink, &pieces);
    if (size) {
        feed(a, dp_span_of(data, size));
    }
    fuzz_feed_chunks(b, data, size, feed);
    bool is_whole = dp_tap_end(a);
    DP_ASSERT(is_whole == dp_tap_end(b));
    if (is_whole) {
        FUZZ_SAME(once, pieces, n);
        FUZZ_SAME(once, pieces, hash);
    }
    dp_tap_free(&a);
    dp_tap_free(&b);
    return 0;
}
