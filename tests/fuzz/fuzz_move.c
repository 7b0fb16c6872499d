/* fuzz_move: MoveItems. Same outcome in any chunking. */
#include "fuzz_same.h"
#include "wire/eas_move.h"

static void move_told(void *ctx, dp_span from, dp_span to)
{
    uint64_t *hash = ctx;

    DP_ASSERT(from.n <= DP_COLLECTION_ID_MAX && to.n <= DP_COLLECTION_ID_MAX);
    *hash = fuzz_mix(*hash, from.p, from.n);
    *hash = fuzz_mix(*hash, to.p, to.n);
}

static bool feed(void *parser, dp_span chunk)
{
    return dp_move_feed(parser, chunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole_told = 0, chunks_told = 0;
    dp_move_parser whole, chunks;

    dp_move_init(&whole, move_told, &whole_told);
    dp_move_init(&chunks, move_told, &chunks_told);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    FUZZ_SAME(whole, chunks, is_whole);
    FUZZ_SAME(whole, chunks, is_bad);
    FUZZ_SAME(whole, chunks, moved_n);
    DP_ASSERT(whole_told == chunks_told);
    return 0;
}
