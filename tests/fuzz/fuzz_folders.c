/* fuzz_folders: FolderSync and the other three. Same in any chunking. */
#include "fuzz_same.h"
#include "wire/eas_folders.h"

static void change_told(void *ctx, const dp_folder_change *c)
{
    uint64_t *hash = ctx;
    unsigned facts[] = {c->op, c->type, c->is_odd};

    *hash = fuzz_mix(*hash, c->id.p, c->id.n);
    *hash = fuzz_mix(*hash, c->parent.p, c->parent.n);
    *hash = fuzz_mix(*hash, c->name.p, c->name.n);
    *hash = fuzz_mix(*hash, facts, sizeof(facts));
}

static bool feed(void *parser, dp_span chunk)
{
    return dp_folders_feed(parser, chunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole_told = 0, chunks_told = 0;
    dp_folders_parser whole, chunks;

    dp_folders_init(&whole, change_told, &whole_told);
    dp_folders_init(&chunks, change_told, &chunks_told);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    FUZZ_SAME(whole, chunks, is_whole);
    FUZZ_SAME(whole, chunks, is_bad);
    FUZZ_SAME(whole, chunks, root);
    FUZZ_SAME(whole, chunks, status);
    FUZZ_SAME(whole, chunks, is_odd);
    FUZZ_SAME(whole, chunks, type);
    FUZZ_SAME(whole, chunks, changes_n);
    DP_ASSERT(whole_told == chunks_told);
    DP_ASSERT(fuzz_mix(0, whole.key, whole.key_n) ==
              fuzz_mix(0, chunks.key, chunks.key_n));
    DP_ASSERT(fuzz_mix(0, whole.id, whole.id_n) ==
              fuzz_mix(0, chunks.id, chunks.id_n));
    DP_ASSERT(fuzz_mix(0, whole.name, whole.name_n) ==
              fuzz_mix(0, chunks.name, chunks.name_n));
    return 0;
}
