/* wbxml_read: the pull reader; see the header.
 *
 * One state per kind of byte that may come next, so that a chunk can end
 * anywhere. Nothing is looked up, allocated or recursed into. Any thread, one
 * reader each.
 */
#include "wire/wbxml_read.h"

#include "base/dp_check.h"
#include "wire/wbxml_tokens.h"

enum reader_state {
    AT_HEADER,
    AT_TOKEN,
    AT_PAGE,
    AT_STRING,
    AT_LENGTH,
    AT_OPAQUE,
    AT_END,
    AT_BAD
};

/* close_pending: CLOSE is given in two steps, as `depth` still counts the
 * element while the caller looks at the event. */
enum closing {
    CLOSE_NOT,
    CLOSE_DUE, /* CLOSE is the next event */
    CLOSE_SAID /* it was given; the element goes now */
};

static const unsigned char HEADER[4] = DP_WBXML_HEADER;

void dp_wbxml_read_init(dp_wbxml_reader *r, uint64_t bytes_max)
{
    *r = (dp_wbxml_reader){.bytes_max = bytes_max, .state = AT_HEADER};
}

void dp_wbxml_read_feed(dp_wbxml_reader *r, dp_span chunk)
{
    DP_ASSERT(r->chunk.n == 0);
    r->chunk = chunk;
}

static dp_wbxml_event bad(dp_wbxml_reader *r)
{
    r->state = AT_BAD;
    return DP_WBXML_BAD;
}

static dp_span take(dp_wbxml_reader *r, size_t n)
{
    dp_span taken = dp_span_of(r->chunk.p, n);

    r->chunk.p += n;
    r->chunk.n -= n;
    r->offset += n;
    return taken;
}

/** The chunk, up to the limit of the document. */
static size_t readable(const dp_wbxml_reader *r)
{
    uint64_t left = r->bytes_max - r->offset;

    return left < r->chunk.n ? (size_t)left : r->chunk.n;
}

static dp_wbxml_event text(dp_wbxml_reader *r, dp_span piece)
{
    if (piece.n == 0) {
        return DP_WBXML_MORE;
    }
    r->text = piece;
    r->tag = r->stack[r->depth - 1];
    return DP_WBXML_TEXT;
}

static dp_wbxml_event open_tag(dp_wbxml_reader *r, unsigned char byte)
{
    if ((byte & DP_WBXML_HAS_ATTRIBUTES) ||
        (byte & DP_WBXML_TAG_CODE) < DP_WBXML_TAG_CODE_MIN ||
        r->depth == DP_WBXML_DEPTH_MAX) {
        return bad(r);
    }
    take(r, 1);
    r->tag = DP_WBXML_TAG(r->page, byte & DP_WBXML_TAG_CODE);
    r->stack[r->depth++] = r->tag;
    r->close_pending = (byte & DP_WBXML_HAS_CONTENT) ? CLOSE_NOT : CLOSE_DUE;
    return DP_WBXML_OPEN;
}

static dp_wbxml_event read_token(dp_wbxml_reader *r)
{
    unsigned char byte = r->chunk.p[0];

    if (byte == DP_WBXML_SWITCH_PAGE) {
        r->state = AT_PAGE;
    }
    else if (byte == DP_WBXML_END_TAG && r->depth > 0) {
        r->close_pending = CLOSE_DUE;
    }
    else if (byte == DP_WBXML_STR_I && r->depth > 0) {
        r->state = AT_STRING;
    }
    else if (byte == DP_WBXML_OPAQUE && r->depth > 0) {
        r->state = AT_LENGTH;
        r->length = 0;
        r->length_n = 0;
    }
    else {
        return open_tag(r, byte);
    }
    take(r, 1);
    return DP_WBXML_MORE;
}

static dp_wbxml_event read_header(dp_wbxml_reader *r)
{
    if (r->chunk.p[0] != HEADER[r->header_n]) {
        return bad(r);
    }
    take(r, 1);
    if (++r->header_n == sizeof(HEADER)) {
        r->state = AT_TOKEN;
    }
    return DP_WBXML_MORE;
}

static dp_wbxml_event read_string(dp_wbxml_reader *r)
{
    size_t n = readable(r);
    const unsigned char *nul = memchr(r->chunk.p, 0, n);
    dp_span piece = take(r, nul ? (size_t)(nul - r->chunk.p) : n);

    if (nul) {
        take(r, 1);
        r->state = AT_TOKEN;
    }
    return text(r, piece);
}

static dp_wbxml_event read_length(dp_wbxml_reader *r)
{
    unsigned char byte = r->chunk.p[0];

    if (r->length_n == DP_WBXML_LENGTH_MAX ||
        r->length > UINT32_MAX >> DP_WBXML_LENGTH_BITS) {
        return bad(r);
    }
    take(r, 1);
    r->length_n++;
    r->length =
        r->length << DP_WBXML_LENGTH_BITS | (byte & ~DP_WBXML_LENGTH_MORE);
    if (!(byte & DP_WBXML_LENGTH_MORE)) {
        r->left = r->length;
        r->state = r->left > 0 ? AT_OPAQUE : AT_TOKEN;
    }
    return DP_WBXML_MORE;
}

static dp_wbxml_event read_opaque(dp_wbxml_reader *r)
{
    size_t n = readable(r);
    dp_span piece = take(r, n < r->left ? n : r->left);

    r->left -= (uint32_t)piece.n;
    if (r->left == 0) {
        r->state = AT_TOKEN;
    }
    return text(r, piece);
}

/** One step of at least one byte. @return MORE: nothing to tell yet */
static dp_wbxml_event step(dp_wbxml_reader *r)
{
    switch (r->state) {
    case AT_HEADER:
        return read_header(r);
    case AT_TOKEN:
        return read_token(r);
    case AT_PAGE:
        r->page = *take(r, 1).p;
        r->state = AT_TOKEN;
        return DP_WBXML_MORE;
    case AT_STRING:
        return read_string(r);
    case AT_LENGTH:
        return read_length(r);
    case AT_OPAQUE:
        return read_opaque(r);
    default:
        DP_ASSERT(!"a state of the reader");
        return bad(r);
    }
}

dp_wbxml_event dp_wbxml_read_next(dp_wbxml_reader *r)
{
    dp_wbxml_event event = DP_WBXML_MORE;

    if (r->close_pending == CLOSE_SAID) {
        r->close_pending = CLOSE_NOT;
        if (--r->depth == 0) {
            r->state = AT_END;
        }
    }
    while (event == DP_WBXML_MORE) {
        if (r->close_pending == CLOSE_DUE) {
            r->close_pending = CLOSE_SAID;
            r->tag = r->stack[r->depth - 1];
            return DP_WBXML_CLOSE;
        }
        if (r->state == AT_END) {
            return DP_WBXML_END;
        }
        if (r->state == AT_BAD) {
            return DP_WBXML_BAD;
        }
        if (r->chunk.n == 0) {
            return DP_WBXML_MORE;
        }
        event = r->offset < r->bytes_max ? step(r) : bad(r);
    }
    return event;
}
