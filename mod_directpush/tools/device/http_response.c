#include "config.h" /* strptime(), timegm() need _GNU_SOURCE */

#include "tools/device/http_response.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/dp_clock.h"

/* httpd itself sends below 8 KiB of header; proxies add cookies. */
#define HEAD_MAX 65536

/* A window of 50 items with truncated bodies is far below. */
#define BODY_MAX ((uint64_t)64 << 20)

void dp_http_response_init(dp_http_response *r)
{
    *r = (dp_http_response){.part = DP_HTTP_STATUS_LINE};
}

void dp_http_response_free(dp_http_response *r)
{
    dp_buf_free(&r->location);
    dp_buf_free(&r->versions);
    dp_buf_free(&r->commands);
    dp_buf_free(&r->throttle);
    dp_buf_free(&r->body);
    dp_buf_free(&r->line);
}

bool dp_http_response_has_begun(const dp_http_response *r)
{
    return r->head_n != 0;
}

static void bad(dp_http_response *r, const char *why)
{
    r->part = DP_HTTP_BAD;
    r->why = why;
}

static void done(dp_http_response *r)
{
    /* Both a length and chunks: the length lies (RFC 9112, 6.3), and what
     * stands between us and the server may have believed it. */
    r->is_reusable = !r->says_close && r->part != DP_HTTP_BODY_TO_CLOSE &&
                     !(r->is_chunked && r->has_length);
    r->part = DP_HTTP_DONE;
    dp_buf_free(&r->line);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `HTTP/1.1 200 OK`; the phrase may be missing. */
static void take_status_line(dp_http_response *r)
{
    const char *s = dp_buf_str(&r->line);
    if (strncmp(s, "HTTP/1.", 7) != 0 || !is_digit(s[7]) || s[8] != ' ' ||
        !is_digit(s[9]) || !is_digit(s[10]) || !is_digit(s[11]) ||
        (s[12] != ' ' && s[12] != '\0')) {
        bad(r, "what came back is not HTTP/1.x");
        return;
    }
    r->is_http_1_0 = s[7] == '0';
    r->says_close = r->is_http_1_0;
    r->status = (unsigned)strtoul(s + 9, NULL, 10);
    if (r->status < 100 || r->status == 101) {
        bad(r, "a status line that nobody asked for");
        return;
    }
    r->part = DP_HTTP_HEADER;
}

/* The whole of `s` as a decimal number up to BODY_MAX. */
static bool parse_length(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        if (!is_digit(*s)) {
            return false;
        }
        v = v * 10 + (uint64_t)(*s - '0');
        if (v > BODY_MAX) {
            return false;
        }
    }
    *out = v;
    return true;
}

static void take_length(dp_http_response *r, const char *value)
{
    uint64_t length;
    if (!parse_length(value, &length)) {
        bad(r, "Content-Length is no number or beyond 64 MiB");
    }
    else if (r->has_length && r->left != length) {
        bad(r, "two different Content-Lengths");
    }
    else {
        r->has_length = true;
        r->left = length;
    }
}

static void take_transfer_encoding(dp_http_response *r, const char *value)
{
    if (strcasecmp(value, "chunked") != 0 || r->has_coding) {
        bad(r, "a Transfer-Encoding other than chunked");
        return;
    }
    r->has_coding = true;
    r->is_chunked = true;
}

/* Is `word` in the comma-separated list? */
static bool names(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list) {
        list += strspn(list, " \t,");
        size_t item_n = strcspn(list, " \t,");
        if (item_n == n && strncasecmp(list, word, n) == 0) {
            return true;
        }
        list += item_n;
    }
    return false;
}

static void take_connection(dp_http_response *r, const char *value)
{
    if (names(value, "close")) {
        r->says_close = true;
    }
    else if (r->is_http_1_0 && names(value, "keep-alive")) {
        r->says_close = false;
    }
}

/* Seconds, or a date (RFC 9110, 10.2.3). Anything else is not there. */
static void take_retry_after(dp_http_response *r, const char *value)
{
    uint64_t seconds;
    struct tm t = {0};
    if (parse_length(value, &seconds)) {
        r->retry_after_s = (int64_t)seconds;
    }
    else {
        const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &t);
        if (!end || *end) {
            return;
        }
        int64_t now_s = dp_clock_wall_us() / DP_SECOND_US;
        int64_t then_s = (int64_t)timegm(&t);
        r->retry_after_s = then_s > now_s ? then_s - now_s : 0;
    }
    r->has_retry_after = true;
}

/* A list may be spread over several fields. */
static void join(dp_buf *list, const char *value)
{
    if (list->n) {
        dp_buf_add(list, DP_SPAN_LIT(","));
    }
    dp_buf_add(list, dp_span_str(value));
}

static void take_field(dp_http_response *r, const char *name, const char *value)
{
    if (strcasecmp(name, "Content-Length") == 0) {
        take_length(r, value);
    }
    else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        take_transfer_encoding(r, value);
    }
    else if (strcasecmp(name, "Content-Encoding") == 0) {
        if (strcasecmp(value, "identity") != 0) {
            bad(r, "a Content-Encoding that was not asked for");
        }
    }
    else if (strcasecmp(name, "Connection") == 0) {
        take_connection(r, value);
    }
    else if (strcasecmp(name, "Retry-After") == 0) {
        take_retry_after(r, value);
    }
    else if (strcasecmp(name, "X-MS-Location") == 0) {
        dp_buf_set(&r->location, dp_span_str(value));
    }
    else if (strcasecmp(name, "MS-ASProtocolVersions") == 0) {
        join(&r->versions, value);
    }
    else if (strcasecmp(name, "MS-ASProtocolCommands") == 0) {
        join(&r->commands, value);
    }
    else if (strcasecmp(name, "X-MS-ASThrottle") == 0) {
        dp_buf_set(&r->throttle, dp_span_str(value));
    }
}

static void take_header(dp_http_response *r)
{
    char *name = r->line.p;
    char *colon = strchr(name, ':');
    if (!colon || colon == name ||
        strcspn(name, " \t") < (size_t)(colon - name)) {
        bad(r, "a damaged header field");
        return;
    }
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    char *end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        *--end = '\0';
    }
    take_field(r, name, value);
}

/* The empty line: what follows? (RFC 9112, 6.3) */
static void begin_body(dp_http_response *r)
{
    if (r->status < 200) { /* 100 Continue and the like: the real one follows */
        dp_buf line = r->line;
        size_t head_n = r->head_n;
        r->line = (dp_buf){0};
        dp_http_response_free(r);
        dp_http_response_init(r);
        r->line = line;
        r->head_n = head_n;
    }
    else if (r->status == 204 || r->status == 304) {
        done(r);
    }
    else if (r->is_chunked) {
        r->part = DP_HTTP_CHUNK_SIZE;
    }
    else if (!r->has_length) {
        r->part = DP_HTTP_BODY_TO_CLOSE;
    }
    else if (r->left == 0) {
        done(r);
    }
    else {
        r->part = DP_HTTP_BODY_LENGTH;
    }
}

static void take_chunk_size(dp_http_response *r)
{
    const char *s = dp_buf_str(&r->line);
    size_t digits = strspn(s, "0123456789abcdefABCDEF");
    const char *end = s + digits + strspn(s + digits, " \t");
    if (digits == 0 || digits > 15 || (*end && *end != ';')) {
        bad(r, "a damaged chunk size");
        return;
    }
    r->left = strtoull(s, NULL, 16);
    if (r->left > BODY_MAX - r->body.n) {
        bad(r, "a body beyond 64 MiB");
        return;
    }
    r->part = r->left ? DP_HTTP_CHUNK_DATA : DP_HTTP_TRAILER;
}

/* r->line holds a line without its end. */
static void take_line(dp_http_response *r)
{
    if (r->line.n && memchr(r->line.p, '\0', r->line.n)) {
        bad(r, "a NUL in the header");
        return;
    }
    switch (r->part) {
    case DP_HTTP_STATUS_LINE:
        take_status_line(r);
        break;
    case DP_HTTP_HEADER:
        if (r->line.n) {
            take_header(r);
        }
        else {
            begin_body(r);
        }
        break;
    case DP_HTTP_CHUNK_SIZE:
        take_chunk_size(r);
        break;
    case DP_HTTP_CHUNK_END:
        r->part = DP_HTTP_CHUNK_SIZE;
        if (r->line.n) {
            bad(r, "a chunk longer than its size");
        }
        break;
    default: /* TRAILER: its fields say nothing to us */
        if (r->line.n == 0) {
            done(r);
        }
        break;
    }
}

/* Up to and with the next line feed. @return bytes used */
static size_t feed_line(dp_http_response *r, dp_span s)
{
    const unsigned char *lf = memchr(s.p, '\n', s.n);
    size_t n = lf ? (size_t)(lf - s.p) + 1 : s.n;
    /* Chunk sizes are part of the head here: a body in chunks of one byte is
     * no body that we want to read to its end. */
    r->head_n += n;
    if (r->head_n > HEAD_MAX + r->body.n) {
        bad(r, "a header beyond 64 KiB");
        return n;
    }
    dp_buf_add(&r->line, dp_span_of(s.p, lf ? n - 1 : n));
    if (lf) {
        if (r->line.n && r->line.p[r->line.n - 1] == '\r') {
            r->line.p[--r->line.n] = '\0';
        }
        take_line(r);
        r->line.n = 0;
    }
    return n;
}

static size_t feed_body(dp_http_response *r, dp_span s)
{
    if (r->part == DP_HTTP_BODY_TO_CLOSE) {
        if (s.n > BODY_MAX - r->body.n) {
            bad(r, "a body beyond 64 MiB");
            return 0;
        }
        dp_buf_add(&r->body, s);
        return s.n;
    }
    size_t n = s.n < r->left ? s.n : (size_t)r->left;
    dp_buf_add(&r->body, dp_span_of(s.p, n));
    r->left -= n;
    if (r->left == 0) {
        if (r->part == DP_HTTP_CHUNK_DATA) {
            r->part = DP_HTTP_CHUNK_END;
        }
        else {
            done(r);
        }
    }
    return n;
}

size_t dp_http_response_feed(dp_http_response *r, dp_span chunk)
{
    size_t used = 0;
    while (used < chunk.n && r->part < DP_HTTP_DONE) {
        dp_span rest = dp_span_of(chunk.p + used, chunk.n - used);
        bool is_body = r->part == DP_HTTP_BODY_LENGTH ||
                       r->part == DP_HTTP_BODY_TO_CLOSE ||
                       r->part == DP_HTTP_CHUNK_DATA;
        used += is_body ? feed_body(r, rest) : feed_line(r, rest);
    }
    return used;
}

void dp_http_response_close(dp_http_response *r)
{
    if (r->part == DP_HTTP_BODY_TO_CLOSE) {
        done(r);
    }
    else if (r->part < DP_HTTP_DONE) {
        bad(r, dp_http_response_has_begun(r)
                   ? "the connection ended within a response"
                   : "the connection ended without a response");
    }
}
