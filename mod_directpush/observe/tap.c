#include "observe/tap.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/dp_check.h"

/* Clear bytes are handed on in pieces of this size. */
#define PIECE 4096

/* windowBits of inflateInit2(): 15 is the largest window; more for gzip's
 * header, negative for no header at all. */
#define WINDOW_ZLIB 15
#define WINDOW_GZIP (15 + 16)
#define WINDOW_RAW  (-15)

/* CMF and FLG of RFC 1950; some backends say `deflate` and send it raw. */
#define ZLIB_METHOD_MASK 0x0f
#define ZLIB_DEFLATED    8
#define ZLIB_CHECK       31

typedef enum tap_state {
    TAP_START,   /* no byte yet */
    TAP_FIRST,   /* deflate: one byte seen, two tell which kind */
    TAP_RUNS,
    TAP_MEMBER,  /* gzip: one member ended, another may follow */
    TAP_WHOLE,   /* the coding ended; nothing may follow */
    TAP_BAD,
    TAP_STOPPED  /* the sink has had enough */
} tap_state;

struct dp_tap {
    dp_tap_coding coding;
    tap_state state;
    uint64_t left; /* clear bytes that may still come out */
    bool (*sink)(void *ctx, dp_span clear);
    void *ctx;
    unsigned char first; /* TAP_FIRST */
    bool has_zlib;
    z_stream z;
};

static bool is_word(const char *p, size_t n, const char *word)
{
    return strlen(word) == n && strncasecmp(p, word, n) == 0;
}

dp_tap_coding dp_tap_coding_of(const char *content_encoding)
{
    const char *p = content_encoding ? content_encoding : "";
    p += strspn(p, " \t");
    size_t n = strlen(p);
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t')) {
        n--;
    }
    if (n == 0 || is_word(p, n, "identity")) {
        return DP_TAP_IDENTITY;
    }
    if (is_word(p, n, "gzip") || is_word(p, n, "x-gzip")) {
        return DP_TAP_GZIP;
    }
    return is_word(p, n, "deflate") ? DP_TAP_DEFLATE : DP_TAP_OPAQUE;
}

dp_tap *dp_tap_make(dp_tap_coding coding, uint64_t out_max,
                    bool (*sink)(void *ctx, dp_span clear), void *ctx)
{
    dp_tap *tap = calloc(1, sizeof(*tap));
    DP_ASSERT(tap);
    tap->coding = coding;
    tap->left = out_max;
    tap->sink = sink;
    tap->ctx = ctx;
    return tap;
}

static bool hand_on(dp_tap *tap, dp_span clear)
{
    if (clear.n > tap->left) {
        tap->state = TAP_BAD;
        return false;
    }
    tap->left -= clear.n;
    if (clear.n && !tap->sink(tap->ctx, clear)) {
        tap->state = TAP_STOPPED;
        return false;
    }
    return true;
}

static bool start_inflate(dp_tap *tap, int window)
{
    tap->has_zlib = inflateInit2(&tap->z, window) == Z_OK;
    tap->state = tap->has_zlib ? TAP_RUNS : TAP_BAD;
    return tap->has_zlib;
}

/* A gzip member ended and bytes follow: another one, or not gzip's. */
static void next_member(dp_tap *tap)
{
    tap->state = inflateReset(&tap->z) == Z_OK ? TAP_RUNS : TAP_BAD;
}

static void inflate_some(dp_tap *tap)
{
    unsigned char out[PIECE];
    tap->z.next_out = out;
    tap->z.avail_out = sizeof(out);
    int rc = inflate(&tap->z, Z_NO_FLUSH);
    if (!hand_on(tap, dp_span_of(out, sizeof(out) - tap->z.avail_out))) {
        return;
    }
    if (rc == Z_STREAM_END) {
        tap->state = tap->coding == DP_TAP_GZIP ? TAP_MEMBER : TAP_WHOLE;
    }
    else if (rc == Z_BUF_ERROR && tap->z.avail_in == 0) {
        /* no more to do without more bytes */
    }
    else if (rc != Z_OK) {
        tap->state = TAP_BAD;
    }
}

static void inflate_all(dp_tap *tap, dp_span bytes)
{
    while (bytes.n && tap->state != TAP_BAD && tap->state != TAP_STOPPED) {
        /* zlib counts in unsigned int */
        uInt n = bytes.n > 1u << 30 ? 1u << 30 : (uInt)bytes.n;
        tap->z.next_in = (Bytef *)(uintptr_t)bytes.p;
        tap->z.avail_in = n;
        bool is_full;
        do {
            if (tap->state == TAP_MEMBER) {
                next_member(tap);
            }
            else if (tap->state == TAP_WHOLE) {
                tap->state = TAP_BAD; /* more than the coding holds */
            }
            if (tap->state == TAP_RUNS) {
                inflate_some(tap);
            }
            is_full = tap->z.avail_out == 0;
        } while ((tap->z.avail_in || (is_full && tap->state == TAP_RUNS))
                 && tap->state != TAP_BAD && tap->state != TAP_STOPPED);
        bytes = dp_span_of(bytes.p + n, bytes.n - n);
    }
}

/* `deflate`: with zlib's header or without? Two bytes tell. */
static void feed_first(dp_tap *tap, dp_span bytes)
{
    if (tap->state == TAP_START) {
        tap->first = bytes.p[0];
        tap->state = TAP_FIRST;
        bytes = dp_span_of(bytes.p + 1, bytes.n - 1);
        if (!bytes.n) {
            return;
        }
    }
    bool is_zlib = (tap->first & ZLIB_METHOD_MASK) == ZLIB_DEFLATED
                   && (tap->first << 8 | bytes.p[0]) % ZLIB_CHECK == 0;
    if (start_inflate(tap, is_zlib ? WINDOW_ZLIB : WINDOW_RAW)) {
        inflate_all(tap, dp_span_of(&tap->first, 1));
        inflate_all(tap, bytes);
    }
}

bool dp_tap_feed(dp_tap *tap, dp_span bytes)
{
    if (bytes.n == 0 || tap->state == TAP_BAD || tap->state == TAP_STOPPED) {
        return tap->state != TAP_BAD && tap->state != TAP_STOPPED;
    }
    if (tap->coding == DP_TAP_OPAQUE) {
        tap->state = TAP_BAD;
    }
    else if (tap->coding == DP_TAP_IDENTITY) {
        tap->state = TAP_RUNS;
        hand_on(tap, bytes);
    }
    else if (tap->coding == DP_TAP_DEFLATE
             && (tap->state == TAP_START || tap->state == TAP_FIRST)) {
        feed_first(tap, bytes);
    }
    else if (tap->state != TAP_START || start_inflate(tap, WINDOW_GZIP)) {
        inflate_all(tap, bytes);
    }
    return tap->state != TAP_BAD && tap->state != TAP_STOPPED;
}

bool dp_tap_end(dp_tap *tap)
{
    switch (tap->state) {
    case TAP_START: /* a body of no bytes needs no coding */
    case TAP_MEMBER:
    case TAP_WHOLE:
        return true;
    case TAP_RUNS:
        return tap->coding == DP_TAP_IDENTITY;
    default:
        return false;
    }
}

void dp_tap_free(dp_tap **tap)
{
    if (*tap) {
        if ((*tap)->has_zlib) {
            inflateEnd(&(*tap)->z);
        }
        free(*tap);
        *tap = NULL;
    }
}
