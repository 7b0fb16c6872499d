#include "config.h" /* memmem() needs _GNU_SOURCE */

#include "tools/device/load_answer.h"

#include <stdlib.h>
#include <strings.h>

#include "base/dp_check.h"

/* An answer that is not whole is kept as it is up to this size; a longer one
 * is no Ping's, and goes the long way. */
#define KEPT_MAX 65536

/* Longest length that is believed here: nine digits. */
#define LENGTH_DIGITS 9

typedef struct head {
    bool is_simple; /* a length, no coding: what we can take in place */
    size_t length;
} head;

static bool is_name(dp_span line, const char *name, size_t n, dp_span *value)
{
    if (line.n <= n || line.p[n] != ':' ||
        strncasecmp((const char *)line.p, name, n) != 0) {
        return false;
    }
    size_t from = n + 1, to = line.n;
    while (from < to && (line.p[from] == ' ' || line.p[from] == '\t')) {
        from++;
    }
    while (to > from && (line.p[to - 1] == ' ' || line.p[to - 1] == '\t')) {
        to--;
    }
    *value = dp_span_of(line.p + from, to - from);
    return true;
}

#define IS(line, name, value) is_name(line, name, sizeof(name) - 1, value)

static bool digits(dp_span text, size_t *out)
{
    size_t v = 0;
    if (text.n == 0 || text.n > LENGTH_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
        v = v * 10 + (text.p[i] - '0');
    }
    *out = v;
    return true;
}

/* The fields that matter begin with one of six letters: a look at the first
 * one spares most comparisons. */
static void take_field(dp_span line, head *h, dp_load_answer *out)
{
    dp_span value;
    size_t number;
    switch (line.n ? line.p[0] | 0x20 : 0) {
    case 'c':
        if (IS(line, "Content-Length", &value)) {
            h->is_simple = digits(value, &h->length);
        }
        else if (IS(line, "Connection", &value)) {
            out->closes = value.n == 5 &&
                          strncasecmp((const char *)value.p, "close", 5) == 0;
        }
        break;
    case 't':
        if (IS(line, "Transfer-Encoding", &value)) {
            h->length = SIZE_MAX;
        }
        break;
    case 'r':
        if (IS(line, "Retry-After", &value) && digits(value, &number)) {
            out->retry_after_s = (int64_t)number;
        }
        break;
    case 'e':
        if (IS(line, "Etag", &value)) {
            out->etag = value;
        }
        break;
    case 'l':
        if (IS(line, "Last-Modified", &value)) {
            out->last_modified = value;
        }
        break;
    default:
        break;
    }
}

/* `HTTP/1.1 200 OK`. @return false: the long way will tell what is wrong */
static bool take_status(dp_span line, dp_load_answer *out)
{
    size_t status;
    if (line.n < 12 || memcmp(line.p, "HTTP/1.1 ", 9) != 0 ||
        !digits(dp_span_of(line.p + 9, 3), &status) || status < 200) {
        return false;
    }
    out->status = (unsigned)status;
    return true;
}

typedef enum glance { SIMPLE, CUT, NOT_SIMPLE } glance;

/* A line that ends with LF alone: the long way takes such lines, and may be at
 * the answer's end when no CR LF has come yet. */
static bool has_bare_lf(dp_span bytes)
{
    const unsigned char *at = bytes.p, *end = bytes.p + bytes.n;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        if (at == bytes.p || at[-1] != '\r') {
            return true;
        }
        at++;
    }
    return false;
}

static glance look(dp_span bytes, dp_load_answer *out, size_t *out_n)
{
    head h = {0};
    *out = (dp_load_answer){0};
    const unsigned char *end = memmem(bytes.p, bytes.n, "\r\n\r\n", 4);
    if (!end) {
        return bytes.n < KEPT_MAX && !has_bare_lf(bytes) ? CUT : NOT_SIMPLE;
    }
    const unsigned char *at = bytes.p, *stop = end + 2;
    for (bool is_first = true; at < stop; is_first = false) {
        const unsigned char *eol = memchr(at, '\r', (size_t)(stop - at));
        dp_span line = dp_span_of(at, (size_t)(eol - at));
        if (eol[1] != '\n' || memchr(line.p, '\n', line.n)
            || (is_first && !take_status(line, out))) {
            return NOT_SIMPLE;
        }
        if (!is_first) {
            take_field(line, &h, out);
        }
        at = eol + 2;
    }
    if (out->status == 204 || out->status == 304) { /* never have a body */
        h = (head){.is_simple = h.length != SIZE_MAX};
    }
    if (!h.is_simple || h.length > KEPT_MAX) {
        return NOT_SIMPLE;
    }
    out->body = dp_span_of(end + 4, h.length);
    *out_n = (size_t)(end + 4 - bytes.p) + h.length;
    return *out_n <= bytes.n ? SIMPLE : CUT;
}

static dp_load_read stream(dp_load_pieces *p, dp_span bytes,
                           dp_load_answer *out, size_t *out_n)
{
    dp_http_response *r = &p->response;
    *out_n = dp_http_response_feed(r, bytes);
    if (r->part == DP_HTTP_BAD) {
        return DP_LOAD_BAD;
    }
    if (r->part != DP_HTTP_DONE) {
        return DP_LOAD_MORE;
    }
    *out = (dp_load_answer){.status = r->status,
                            .closes = !r->is_reusable,
                            .retry_after_s =
                                r->has_retry_after ? r->retry_after_s : 0,
                            .body = dp_buf_span(&r->body)};
    return DP_LOAD_WHOLE;
}

static dp_load_pieces *make(dp_load_pieces **pieces)
{
    if (!*pieces) {
        *pieces = calloc(1, sizeof(**pieces));
        DP_ASSERT(*pieces);
    }
    return *pieces;
}

dp_load_read dp_load_answer_read(dp_load_pieces **pieces, dp_span bytes,
                                 dp_load_answer *out, size_t *out_n)
{
    dp_load_pieces *p = *pieces;
    if (p && p->is_stream) {
        return stream(p, bytes, out, out_n);
    }
    size_t before = p ? p->bytes.n : 0;
    dp_span all = bytes;
    if (p) {
        dp_buf_add(&p->bytes, bytes);
        all = dp_buf_span(&p->bytes);
    }
    switch (look(all, out, out_n)) {
    case SIMPLE:
        *out_n -= before;
        return DP_LOAD_WHOLE;
    case CUT:
        if (!p) {
            dp_buf_add(&make(pieces)->bytes, bytes);
        }
        return DP_LOAD_MORE;
    default: {
        p = make(pieces);
        p->is_stream = true;
        dp_http_response_init(&p->response);
        dp_load_read read = stream(p, all, out, out_n);
        *out_n -= read == DP_LOAD_WHOLE ? before : 0;
        return read;
    }
    }
}

dp_load_read dp_load_answer_close(dp_load_pieces *pieces, dp_load_answer *out)
{
    size_t n;
    if (!pieces || !pieces->is_stream) {
        return DP_LOAD_BAD;
    }
    dp_http_response_close(&pieces->response);
    return stream(pieces, (dp_span){0}, out, &n) == DP_LOAD_WHOLE
               ? DP_LOAD_WHOLE
               : DP_LOAD_BAD;
}

void dp_load_pieces_free(dp_load_pieces **pieces)
{
    dp_load_pieces *p = *pieces;
    if (p) {
        dp_http_response_free(&p->response);
        dp_buf_free(&p->bytes);
        free(p);
        *pieces = NULL;
    }
}
