/* fuzz_wbxml: the reader. Same events in any chunking, and within bounds. */
#include "fuzz_same.h"
#include "wire/wbxml_read.h"

struct reading {
    dp_wbxml_reader reader;
    dp_wbxml_event last;
    uint64_t events, texts;
    size_t text_n;
};

static bool feed(void *parser, dp_span chunk)
{
    struct reading *it = parser;
    dp_wbxml_reader *r = &it->reader;

    dp_wbxml_read_feed(r, chunk);
    do {
        it->last = dp_wbxml_read_next(r);
        DP_ASSERT(r->depth <= DP_WBXML_DEPTH_MAX);
        if (it->last == DP_WBXML_TEXT) {
            DP_ASSERT(r->depth > 0 && r->text.n > 0);
            it->text_n += r->text.n;
            for (size_t i = 0; i < r->text.n; i++) {
                it->texts = fuzz_mix(it->texts, r->text.p + i, 1);
            }
        }
        else if (it->last == DP_WBXML_OPEN || it->last == DP_WBXML_CLOSE) {
            it->events = fuzz_mix(it->events, &r->tag, sizeof(r->tag));
            it->events = fuzz_mix(it->events, &r->depth, sizeof(r->depth));
        }
    } while (it->last == DP_WBXML_OPEN || it->last == DP_WBXML_TEXT ||
             it->last == DP_WBXML_CLOSE);
    return it->last == DP_WBXML_MORE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole = {.events = 0}, chunks = {.events = 0};

    dp_wbxml_read_init(&whole.reader, 1 << 16);
    dp_wbxml_read_init(&chunks.reader, 1 << 16);
    feed(&whole, dp_span_of(data, size));
    fuzz_feed_chunks(&chunks, data, size, feed);
    FUZZ_SAME(whole, chunks, last);
    FUZZ_SAME(whole, chunks, events);
    FUZZ_SAME(whole, chunks, texts);
    FUZZ_SAME(whole, chunks, text_n);
    FUZZ_SAME(whole, chunks, reader.offset);
    return 0;
}
