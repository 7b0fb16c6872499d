#include "tools/device/dp_buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/dp_check.h"

static void wipe(char *p, size_t n)
{
    volatile char *at = p;
    while (n--) {
        *at++ = 0;
    }
}

/* Not realloc(): an old copy of a password would stay behind. */
static void reserve(dp_buf *b, size_t more)
{
    DP_ASSERT(more < SIZE_MAX / 4 && b->n < SIZE_MAX / 4);
    size_t need = b->n + more + 1;
    if (need <= b->cap) {
        return;
    }
    size_t cap = b->cap ? b->cap : 32;
    while (cap < need) {
        cap *= 2;
    }
    char *p = malloc(cap);
    DP_ASSERT(p);
    if (b->p) {
        memcpy(p, b->p, b->n + 1);
        wipe(b->p, b->n);
        free(b->p);
    }
    b->p = p;
    b->cap = cap;
}

void dp_buf_add(dp_buf *b, dp_span bytes)
{
    reserve(b, bytes.n);
    if (bytes.n) {
        memcpy(b->p + b->n, bytes.p, bytes.n);
    }
    b->n += bytes.n;
    b->p[b->n] = '\0';
}

void dp_buf_printf(dp_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    DP_ASSERT(n >= 0);
    reserve(b, (size_t)n);
    vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
    b->n += (size_t)n;
    va_end(again);
    va_end(args);
}

void dp_buf_set(dp_buf *b, dp_span bytes)
{
    b->n = 0;
    dp_buf_add(b, bytes);
}

void dp_buf_free(dp_buf *b)
{
    if (b->p) {
        wipe(b->p, b->cap);
        free(b->p);
    }
    *b = (dp_buf){0};
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

void dp_buf_add_percent(dp_buf *b, dp_span bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (is_unreserved(bytes.p[i])) {
            dp_buf_add(b, dp_span_of(bytes.p + i, 1));
        }
        else {
            dp_buf_printf(b, "%%%02X", bytes.p[i]);
        }
    }
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool dp_buf_add_unpercent(dp_buf *b, dp_span text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = text.p[i];
        if (c == '%') {
            if (text.n - i < 3) {
                return false;
            }
            int high = hex_value(text.p[i + 1]);
            int low = hex_value(text.p[i + 2]);
            if (high < 0 || low < 0) {
                return false;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        dp_buf_add(b, dp_span_of(&c, 1));
    }
    return true;
}

void dp_buf_add_base64(dp_buf *b, dp_span bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs"
                                 "tuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t group = (uint32_t)bytes.p[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.p[i + 2] : 0;
        char out[4] = {digits[group >> 18], digits[group >> 12 & 63],
                       left > 1 ? digits[group >> 6 & 63] : '=',
                       left > 2 ? digits[group & 63] : '='};
        dp_buf_add(b, dp_span_of(out, sizeof(out)));
    }
}
