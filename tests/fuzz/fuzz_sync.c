/* fuzz_sync: requests and responses. Same outcome in any chunking. */
#include "fuzz_same.h"
#include "wire/eas_sync.h"

static void collection_told(void *ctx, const dp_sync_collection *c)
{
    uint64_t *hash = ctx;
    unsigned facts[] = {
        c->is_odd,         c->key_is_zero,    c->wants_changes,
        c->client_adds,    c->client_changes, c->client_deletes,
        c->client_fetches, c->status,         c->more_available,
        c->server_adds,    c->server_changes, c->server_deletes,
        c->responses_ok,   c->responses_bad,  c->deletes_as_moves,
        c->said_get_changes, c->responses_fetched, c->filter,
        c->server_leaves,
    };

    *hash = fuzz_mix(*hash, c->id, c->id_n);
    *hash = fuzz_mix(*hash, c->class_name, c->class_name_n);
    *hash = fuzz_mix(*hash, c->key, c->key_n);
    *hash = fuzz_mix(*hash, facts, sizeof(facts));
}

static bool feed(void *parser, dp_span chunk)
{
    return dp_sync_feed(parser, chunk);
}

static void both_ways(bool is_response, const uint8_t *data, size_t size)
{
    uint64_t whole_told = 0, chunks_told = 0;
    dp_sync_parser whole, chunks;

    dp_sync_init(&whole, is_response, collection_told, &whole_told);
    dp_sync_init(&chunks, is_response, collection_told, &chunks_told);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    FUZZ_SAME(whole, chunks, is_whole);
    FUZZ_SAME(whole, chunks, is_bad);
    FUZZ_SAME(whole, chunks, is_empty);
    FUZZ_SAME(whole, chunks, status);
    FUZZ_SAME(whole, chunks, is_partial);
    FUZZ_SAME(whole, chunks, wait_min);
    FUZZ_SAME(whole, chunks, heartbeat_s);
    FUZZ_SAME(whole, chunks, collections_n);
    DP_ASSERT(whole_told == chunks_told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    both_ways(false, data, size);
    both_ways(true, data, size);
    return 0;
}
