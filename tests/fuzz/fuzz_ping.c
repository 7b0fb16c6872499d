/* fuzz_ping: requests, which come back the same when written, and responses. */
#include "fuzz_same.h"
#include "wire/eas_ping.h"

#define FOLDERS_MAX 16

static void id_told(void *ctx, dp_span id)
{
    uint64_t *hash = ctx;

    *hash = fuzz_mix(*hash, id.p, id.n);
}

static bool feed(void *parser, dp_span chunk)
{
    return dp_ping_response_feed(parser, chunk);
}

static void responses(const uint8_t *data, size_t size)
{
    uint64_t whole_ids = 0, chunks_ids = 0;
    dp_ping_response whole, chunks;

    dp_ping_response_init(&whole, id_told, &whole_ids);
    dp_ping_response_init(&chunks, id_told, &chunks_ids);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    FUZZ_SAME(whole, chunks, status);
    FUZZ_SAME(whole, chunks, value);
    FUZZ_SAME(whole, chunks, folders_n);
    FUZZ_SAME(whole, chunks, is_whole);
    FUZZ_SAME(whole, chunks, is_bad);
    DP_ASSERT(whole_ids == chunks_ids);
}

static void write_and_parse(const dp_ping_request *r)
{
    dp_ping_folder folders[FOLDERS_MAX];
    unsigned char buf[1 << 16], arena[1 << 16];
    dp_ping_request again;
    size_t n = dp_ping_request_write(buf, sizeof(buf), r->heartbeat_s,
                                     r->folders, r->folders_n);

    if (n == 0) { /* long class names: the buffer does not suffice */
        return;
    }
    DP_ASSERT(dp_ping_parse(dp_span_of(buf, n), arena, folders, FOLDERS_MAX,
                            &again) == DP_PING_PARSED);
    DP_ASSERT(r->heartbeat_s == again.heartbeat_s);
    DP_ASSERT(r->folders_n == again.folders_n);
    for (size_t i = 0; i < r->folders_n; i++) {
        DP_ASSERT(dp_span_is(r->folders[i].id, folders[i].id));
        DP_ASSERT(dp_span_is(r->folders[i].class_name, folders[i].class_name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *arena = malloc(size + 1);
    dp_ping_folder folders[FOLDERS_MAX];
    dp_ping_request r;

    if (dp_ping_parse(dp_span_of(data, size), arena, folders, FOLDERS_MAX,
                      &r) == DP_PING_PARSED &&
        r.folders_n <= FOLDERS_MAX) {
        write_and_parse(&r);
    }
    free(arena);
    responses(data, size);
    return 0;
}
