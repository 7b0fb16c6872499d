#include "tools/device/load_template.h"

#include <stdlib.h>

/* @return bytes of the place for a number that begins here, or 0 */
static size_t place_at(const char *text, unsigned *out_width)
{
    size_t n = 1;
    *out_width = 0;
    if (text[n] == '0') {
        size_t digits = strspn(text + n + 1, "0123456789");
        unsigned long width = strtoul(text + n + 1, NULL, 10);
        if (digits == 0 || digits > 2 || width > DP_LOAD_DIGITS_MAX) {
            return 0;
        }
        *out_width = (unsigned)width;
        n += 1 + digits;
    }
    return text[n] == 'd' || text[n] == 'u' ? n + 1 : 0;
}

bool dp_load_template_parse(const char *text, dp_load_template *out)
{
    size_t found = 0;
    for (const char *at = strchr(text, '%'); at; at = strchr(at + 1, '%')) {
        unsigned width;
        size_t n = place_at(at, &width);
        if (n && found++ == 0) {
            out->before = dp_span_of(text, (size_t)(at - text));
            out->after = dp_span_str(at + n);
            out->width = width;
        }
    }
    return found == 1;
}

size_t dp_load_digits(char *out, uint32_t number, unsigned width)
{
    char reversed[DP_LOAD_DIGITS_MAX];
    size_t n = 0;
    do {
        reversed[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number || n < width);
    for (size_t i = 0; i < n; i++) {
        out[i] = reversed[n - 1 - i];
    }
    return n;
}

size_t dp_load_template_max(const dp_load_template *t)
{
    return t->before.n + DP_LOAD_DIGITS_MAX + t->after.n;
}

static char *put(char *at, dp_span bytes)
{
    if (bytes.n) {
        memcpy(at, bytes.p, bytes.n);
    }
    return at + bytes.n;
}

size_t dp_load_template_write(const dp_load_template *t, uint32_t number,
                              char *out)
{
    char *at = put(out, t->before);
    at += dp_load_digits(at, number, t->width);
    at = put(at, t->after);
    return (size_t)(at - out);
}
