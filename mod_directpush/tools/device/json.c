#include "tools/device/json.h"

#include <inttypes.h>

size_t dp_utf8_length(dp_span s)
{
    unsigned char c = s.p[0];
    if (c < 0x80) {
        return 1;
    }
    size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || s.n < n) {
        return 0;
    }
    uint32_t point = c & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xC0) != 0x80) {
            return 0;
        }
        point = point << 6 | (s.p[i] & 0x3F);
    }
    bool is_overlong = (n == 3 && point < 0x800) || (n == 4 && point < 0x10000);
    bool is_surrogate = point >= 0xD800 && point <= 0xDFFF;
    return is_overlong || is_surrogate || point > 0x10FFFF ? 0 : n;
}

static void write_quoted(FILE *out, dp_span s)
{
    putc('"', out);
    for (size_t i = 0; i < s.n;) {
        size_t n = dp_utf8_length(dp_span_of(s.p + i, s.n - i));
        unsigned char c = s.p[i];
        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        }
        else if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        }
        else if (c < 0x20 || c == 0x7F) {
            fprintf(out, "\\u%04x", c);
        }
        else {
            fwrite(s.p + i, 1, n, out);
        }
        i += n;
    }
    putc('"', out);
}

static void member(dp_json *j, const char *key)
{
    if (j->needs_comma) {
        putc(',', j->out);
    }
    j->needs_comma = true;
    if (key) {
        fprintf(j->out, "\"%s\":", key);
    }
}

void dp_json_open(dp_json *j, const char *key, char bracket)
{
    if (j->out) {
        member(j, key);
        putc(bracket, j->out);
        j->needs_comma = false;
    }
}

void dp_json_close(dp_json *j, char bracket)
{
    if (j->out) {
        putc(bracket, j->out);
        j->needs_comma = true;
    }
}

void dp_json_text(dp_json *j, const char *key, dp_span text)
{
    if (j->out) {
        member(j, key);
        write_quoted(j->out, text);
    }
}

void dp_json_str(dp_json *j, const char *key, const char *text)
{
    dp_json_text(j, key, dp_span_str(text));
}

void dp_json_int(dp_json *j, const char *key, int64_t value)
{
    if (j->out) {
        member(j, key);
        fprintf(j->out, "%" PRId64, value);
    }
}

void dp_json_bool(dp_json *j, const char *key, bool value)
{
    if (j->out) {
        member(j, key);
        fputs(value ? "true" : "false", j->out);
    }
}

void dp_json_seconds(dp_json *j, const char *key, int64_t value_us)
{
    if (j->out) {
        member(j, key);
        fprintf(j->out, "%s%" PRId64 ".%03d", value_us < 0 ? "-" : "",
                (value_us < 0 ? -value_us : value_us) / 1000000,
                (int)((value_us < 0 ? -value_us : value_us) % 1000000 / 1000));
    }
}
