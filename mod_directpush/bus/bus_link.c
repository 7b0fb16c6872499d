#include "bus/bus_link.h"

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool must_escape(unsigned char c)
{
    return c < 0x20 || c == 0x7f || c == '%';
}

/* Unescape in place. @return the new length, or -1 */
static long unescape(unsigned char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = p[i];
        if (c == '%') {
            int high = n - i > 2 ? hex_value(p[i + 1]) : -1;
            int low = n - i > 2 ? hex_value(p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return -1;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        else if (must_escape(c)) {
            return -1;
        }
        p[to++] = c;
    }
    return (long)to;
}

void dp_link_parse(unsigned char *line, size_t n, dp_link_line *out)
{
    unsigned char *at = line;
    unsigned char *end = line + n;
    out->fields_n = 0;
    if (n == 0 || n >= DP_LINK_LINE_MAX) {
        return;
    }
    for (size_t i = 0; i < DP_LINK_FIELDS_MAX; i++) {
        unsigned char *tab = memchr(at, '\t', (size_t)(end - at));
        unsigned char *stop = tab ? tab : end;
        long len = unescape(at, (size_t)(stop - at));
        if (len < 0) {
            return;
        }
        out->field[i] = dp_span_of(at, (size_t)len);
        if (!tab) {
            out->fields_n = i + 1;
            return;
        }
        at = tab + 1;
    }
}

static size_t format_field(char *buf, size_t cap, dp_span field)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < field.n; i++) {
        unsigned char c = field.p[i];
        bool escaped = must_escape(c);
        if (cap - n < (escaped ? 3 : 1)) {
            return SIZE_MAX;
        }
        if (escaped) {
            buf[n++] = '%';
            buf[n++] = digits[c >> 4];
            buf[n++] = digits[c & 15];
        }
        else {
            buf[n++] = (char)c;
        }
    }
    return n;
}

size_t dp_link_format(char *buf, size_t cap, const dp_span *fields, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = format_field(buf + at, cap - at, fields[i]);
        if (len == SIZE_MAX || at + len >= cap) {
            return 0;
        }
        at += len;
        buf[at++] = i + 1 < n ? '\t' : '\n';
    }
    return at;
}

bool dp_link_u64(dp_span field, uint64_t *out)
{
    uint64_t value = 0;
    if (field.n == 0) {
        return false;
    }
    for (size_t i = 0; i < field.n; i++) {
        unsigned digit = (unsigned)field.p[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}
