/* fuzz_http: an HTTP answer as directpush-device reads it, by the long way and
 * by the short one of --devices. Same outcome in any chunking. */
#include "fuzz_same.h"
#include "tools/device/load_answer.h"

typedef struct reading {
    dp_http_response r;
    size_t n; /* bytes that were the response's */
} reading;

static bool feed(void *ctx, dp_span chunk)
{
    reading *it = ctx;
    size_t n = dp_http_response_feed(&it->r, chunk);
    it->n += n;
    DP_ASSERT(n == chunk.n || it->r.part == DP_HTTP_DONE
              || it->r.part == DP_HTTP_BAD);
    return it->r.part != DP_HTTP_DONE && it->r.part != DP_HTTP_BAD;
}

static void same_buf(const dp_buf *a, const dp_buf *b)
{
    DP_ASSERT(dp_span_is(dp_buf_span(a), dp_buf_span(b)));
}

static void long_way(const uint8_t *data, size_t size)
{
    reading whole = {.n = 0}, chunks = {.n = 0};
    dp_http_response_init(&whole.r);
    dp_http_response_init(&chunks.r);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    dp_http_response_close(&whole.r);
    dp_http_response_close(&chunks.r);
    FUZZ_SAME(whole, chunks, r.part);
    FUZZ_SAME(whole, chunks, r.why);
    FUZZ_SAME(whole, chunks, r.status);
    FUZZ_SAME(whole, chunks, r.has_retry_after);
    DP_ASSERT(whole.r.retry_after_s >= 0);
    if (whole.r.part == DP_HTTP_DONE) {
        FUZZ_SAME(whole, chunks, n);
        FUZZ_SAME(whole, chunks, r.is_reusable);
        same_buf(&whole.r.body, &chunks.r.body);
        same_buf(&whole.r.location, &chunks.r.location);
        same_buf(&whole.r.versions, &chunks.r.versions);
        same_buf(&whole.r.commands, &chunks.r.commands);
        same_buf(&whole.r.throttle, &chunks.r.throttle);
    }
    dp_http_response_free(&whole.r);
    dp_http_response_free(&chunks.r);
}

typedef struct short_reading {
    dp_load_pieces *pieces;
    dp_load_read is;
    dp_load_answer out;
    size_t n;
    uint64_t body; /* hash: `out` borrows from the chunk */
} short_reading;

static bool feed_short(void *ctx, dp_span chunk)
{
    short_reading *it = ctx;
    size_t n = 0;
    it->is = dp_load_answer_read(&it->pieces, chunk, &it->out, &n);
    if (it->is == DP_LOAD_WHOLE) {
        DP_ASSERT(n <= chunk.n);
        it->n += n;
        it->body = fuzz_mix(0, it->out.body.p, it->out.body.n);
    }
    else {
        it->n += chunk.n;
    }
    return it->is == DP_LOAD_MORE;
}

static void short_way(const uint8_t *data, size_t size)
{
    short_reading whole = {.is = DP_LOAD_MORE}, chunks = whole;
    feed_short(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed_short);
    FUZZ_SAME(whole, chunks, is);
    if (whole.is == DP_LOAD_WHOLE) {
        FUZZ_SAME(whole, chunks, n);
        FUZZ_SAME(whole, chunks, out.status);
        FUZZ_SAME(whole, chunks, out.closes);
        FUZZ_SAME(whole, chunks, body);
    }
    else if (whole.is == DP_LOAD_MORE) {
        dp_load_answer a, b;
        DP_ASSERT(dp_load_answer_close(whole.pieces, &a)
                  == dp_load_answer_close(chunks.pieces, &b));
    }
    dp_load_pieces_free(&whole.pieces);
    dp_load_pieces_free(&chunks.pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size) {
        long_way(data, size);
        short_way(data, size);
    }
    return 0;
}
