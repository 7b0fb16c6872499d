/* wbxml_write: see the header. Knows the four tokens that we ever write. */
#include "wire/wbxml_write.h"

#include "base/dp_check.h"
#include "wire/wbxml_tokens.h"

static void put(dp_wbxml_writer *w, const void *p, size_t n)
{
    if (n > 0 && w->n <= w->cap && n <= w->cap - w->n) {
        memcpy(w->buf + w->n, p, n);
    }
    w->n += n;
}

static void put_byte(dp_wbxml_writer *w, unsigned char byte)
{
    put(w, &byte, 1);
}

static void put_length(dp_wbxml_writer *w, uint32_t length)
{
    int shift = (DP_WBXML_LENGTH_MAX - 1) * DP_WBXML_LENGTH_BITS;

    while (shift > 0 && length >> shift == 0) {
        shift -= DP_WBXML_LENGTH_BITS;
    }
    for (; shift > 0; shift -= DP_WBXML_LENGTH_BITS) {
        put_byte(w, (length >> shift & 0x7F) | DP_WBXML_LENGTH_MORE);
    }
    put_byte(w, length & 0x7F);
}

static void put_tag(dp_wbxml_writer *w, dp_wbxml_tag tag, unsigned char bits)
{
    uint8_t page = (uint8_t)(tag >> 8);

    if (page != w->page) {
        put_byte(w, DP_WBXML_SWITCH_PAGE);
        put_byte(w, page);
        w->page = page;
    }
    put_byte(w, (tag & DP_WBXML_TAG_CODE) | bits);
}

void dp_wbxml_write_init(dp_wbxml_writer *w, void *buf, size_t cap)
{
    static const unsigned char header[4] = DP_WBXML_HEADER;

    *w = (dp_wbxml_writer){.buf = buf, .cap = cap};
    put(w, header, sizeof(header));
}

void dp_wbxml_write_open(dp_wbxml_writer *w, dp_wbxml_tag tag)
{
    put_tag(w, tag, DP_WBXML_HAS_CONTENT);
}

void dp_wbxml_write_empty(dp_wbxml_writer *w, dp_wbxml_tag tag)
{
    put_tag(w, tag, 0);
}

void dp_wbxml_write_text(dp_wbxml_writer *w, dp_span text)
{
    if (text.n > 0 && memchr(text.p, 0, text.n)) {
        DP_ASSERT(text.n <= UINT32_MAX);
        put_byte(w, DP_WBXML_OPAQUE);
        put_length(w, (uint32_t)text.n);
        put(w, text.p, text.n);
        return;
    }
    put_byte(w, DP_WBXML_STR_I);
    put(w, text.p, text.n);
    put_byte(w, 0);
}

void dp_wbxml_write_close(dp_wbxml_writer *w)
{
    put_byte(w, DP_WBXML_END_TAG);
}

void dp_wbxml_write_leaf(dp_wbxml_writer *w, dp_wbxml_tag tag, dp_span text)
{
    dp_wbxml_write_open(w, tag);
    dp_wbxml_write_text(w, text);
    dp_wbxml_write_close(w);
}

bool dp_wbxml_write_is_ok(const dp_wbxml_writer *w)
{
    return w->n <= w->cap;
}
