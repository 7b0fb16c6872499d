/* fuzz_items: what directpush-device shows of a Sync's answer. Same in any
 * chunking, and what it prints is UTF-8. */
#include "fuzz_same.h"
#include "tools/device/json.h"
#include "tools/device/mail_items.h"

static void item_told(void *ctx, const dp_item *item)
{
    uint64_t *hash = ctx;
    unsigned op = item->op;
    DP_ASSERT(item->id_n <= DP_ITEM_ID_MAX && item->from_n <= DP_ITEM_TEXT_MAX
              && item->title_n <= DP_ITEM_TEXT_MAX);
    *hash = fuzz_mix(*hash, &op, sizeof(op));
    *hash = fuzz_mix(*hash, item->id, item->id_n);
    *hash = fuzz_mix(*hash, item->title, item->title_n);
    *hash = fuzz_mix(*hash, item->from, item->from_n);
}

static bool feed(void *parser, dp_span chunk)
{
    return dp_mail_items_feed(parser, chunk);
}

static void check_json(dp_span text)
{
    char *out = NULL;
    size_t n = 0;
    dp_json j = {.out = open_memstream(&out, &n)};
    dp_json_open(&j, NULL, '{');
    dp_json_text(&j, "text", text);
    dp_json_close(&j, '}');
    fclose(j.out);
    for (size_t i = 0; i < n;) {
        size_t step = dp_utf8_length(dp_span_of(out + i, n - i));
        DP_ASSERT(step > 0);
        DP_ASSERT(step > 1 || (unsigned char)out[i] >= 0x20);
        i += step;
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole_told = 0, chunks_told = 0;
    dp_mail_items whole, chunks;
    dp_mail_items_init(&whole, item_told, &whole_told);
    dp_mail_items_init(&chunks, item_told, &chunks_told);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    FUZZ_SAME(whole, chunks, is_whole);
    FUZZ_SAME(whole, chunks, is_bad);
    DP_ASSERT(whole_told == chunks_told);
    check_json(dp_span_of(data, size));
    return 0;
}
