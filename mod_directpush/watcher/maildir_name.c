#include "watcher/maildir_name.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "bus/topic_name.h"

static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* Bytes out, with an overflow that sticks. */
typedef struct sink {
    char *p;
    size_t n, cap;
    bool is_bad;
} sink;

static void put(sink *s, unsigned byte)
{
    if (s->n >= s->cap) {
        s->is_bad = true;
        return;
    }
    s->p[s->n++] = (char)byte;
}

static void put_utf8(sink *s, uint32_t c)
{
    if (c < 0x80) {
        put(s, c);
    }
    else if (c < 0x800) {
        put(s, 0xc0 | c >> 6);
        put(s, 0x80 | (c & 0x3f));
    }
    else if (c < 0x10000) {
        put(s, 0xe0 | c >> 12);
        put(s, 0x80 | (c >> 6 & 0x3f));
        put(s, 0x80 | (c & 0x3f));
    }
    else {
        put(s, 0xf0 | c >> 18);
        put(s, 0x80 | (c >> 12 & 0x3f));
        put(s, 0x80 | (c >> 6 & 0x3f));
        put(s, 0x80 | (c & 0x3f));
    }
}

/* One character of UTF-8 at `*at`. @return false when it is none (RFC 3629) */
static bool take_utf8(dp_span in, size_t *at, uint32_t *out)
{
    unsigned char c = in.p[*at];
    size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || in.n - *at <= more) {
        return false;
    }
    uint32_t value = more ? c & (0x3fu >> more) : c;
    for (size_t i = 1; i <= more; i++) {
        unsigned char next = in.p[*at + i];
        if ((next & 0xc0) != 0x80) {
            return false;
        }
        value = value << 6 | (next & 0x3f);
    }
    *at += more + 1;
    *out = value;
    return value >= least[more] && value <= 0x10ffff
           && (value < 0xd800 || value > 0xdfff);
}

/* UTF-16 units of a shifted part, joined to characters. */
typedef struct utf16 {
    uint32_t high; /* a high surrogate that waits, or 0 */
} utf16;

static bool put_unit(sink *s, utf16 *u, uint32_t unit)
{
    if (u->high) {
        if (unit < 0xdc00 || unit > 0xdfff) {
            return false;
        }
        put_utf8(s, 0x10000 + ((u->high - 0xd800) << 10) + (unit - 0xdc00));
        u->high = 0;
        return true;
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
        u->high = unit;
        return true;
    }
    /* printable ASCII stands for itself: one name, one spelling */
    if ((unit >= 0xdc00 && unit <= 0xdfff) || (unit >= 0x20 && unit < 0x7f)) {
        return false;
    }
    put_utf8(s, unit);
    return true;
}

/* The part between `&` and `-`. @return false when it is none */
static bool decode_shifted(sink *s, dp_span part)
{
    utf16 u = {0};
    uint32_t bits = 0;
    unsigned bits_n = 0;
    for (size_t i = 0; i < part.n; i++) {
        const char *digit = part.p[i] ? strchr(base64, part.p[i]) : NULL;
        if (!digit) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(digit - base64);
        bits_n += 6;
        if (bits_n >= 16) {
            bits_n -= 16;
            if (!put_unit(s, &u, bits >> bits_n & 0xffff)) {
                return false;
            }
        }
    }
    return !u.high && bits_n < 6 && (bits & ((1u << bits_n) - 1)) == 0;
}

long dp_mutf7_decode(char *out, size_t cap, dp_span in)
{
    sink s = {out, 0, cap, false};
    const unsigned char *shift_end = NULL;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] < 0x20 || in.p[i] >= 0x7f) {
            return -1;
        }
        if (in.p[i] != '&') {
            put(&s, in.p[i]);
            continue;
        }
        const unsigned char *from = in.p + i + 1;
        const unsigned char *end = memchr(from, '-', in.n - i - 1);
        if (!end) {
            return -1;
        }
        if (end == from) {
            put(&s, '&');
        }
        else if (shift_end == &in.p[i] /* could be one shifted part */
                 || !decode_shifted(&s,
                                    dp_span_of(from, (size_t)(end - from)))) {
            return -1;
        }
        else {
            shift_end = end + 1;
        }
        i = (size_t)(end - in.p);
    }
    return s.is_bad ? -1 : (long)s.n;
}

/* Base64 of UTF-16 units, in the making. */
typedef struct shifter {
    sink *to;
    uint32_t bits;
    unsigned bits_n;
    bool is_open;
} shifter;

static void shift_unit(shifter *sh, uint32_t unit)
{
    if (!sh->is_open) {
        put(sh->to, '&');
        sh->is_open = true;
    }
    sh->bits = sh->bits << 16 | unit;
    sh->bits_n += 16;
    while (sh->bits_n >= 6) {
        sh->bits_n -= 6;
        put(sh->to, (unsigned char)base64[sh->bits >> sh->bits_n & 63]);
    }
}

static void end_shift(shifter *sh)
{
    if (sh->is_open) {
        if (sh->bits_n) {
            put(sh->to, (unsigned char)
                            base64[sh->bits << (6 - sh->bits_n) & 63]);
        }
        put(sh->to, '-');
    }
    *sh = (shifter){.to = sh->to};
}

long dp_mutf7_encode(char *out, size_t cap, dp_span in)
{
    sink s = {out, 0, cap, false};
    shifter sh = {.to = &s};
    for (size_t i = 0; i < in.n;) {
        uint32_t c;
        if (!take_utf8(in, &i, &c)) {
            return -1;
        }
        if (c >= 0x20 && c < 0x7f) {
            end_shift(&sh);
            put(&s, c);
            if (c == '&') {
                put(&s, '-');
            }
        }
        else if (c < 0x10000) {
            shift_unit(&sh, c);
        }
        else {
            shift_unit(&sh, 0xd800 + ((c - 0x10000) >> 10));
            shift_unit(&sh, 0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
    end_shift(&sh);
    return s.is_bad ? -1 : (long)s.n;
}

static bool is_inbox(dp_span folder)
{
    return folder.n == sizeof(DP_MAILDIR_INBOX) - 1
           && strncasecmp((const char *)folder.p, DP_MAILDIR_INBOX, folder.n)
                  == 0;
}

bool dp_maildir_dir_of(char *out, size_t cap, dp_span folder)
{
    if (cap < 2 || !dp_topic_folder_is_sane(folder) || folder.p[0] == '/'
        || memchr(folder.p, '.', folder.n)) { /* `.` separates on disk */
        return false;
    }
    if (is_inbox(folder)) {
        out[0] = '\0';
        return true;
    }
    out[0] = '.';
    long n = dp_mutf7_encode(out + 1, cap - 2, folder);
    if (n < 0) {
        return false;
    }
    out[n + 1] = '\0';
    for (char *c = out; *c; c++) {
        if (*c == '/') {
            *c = '.';
        }
    }
    return true;
}

static bool has_high_byte(dp_span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 0x80) {
            return true;
        }
    }
    return false;
}

static long copy_utf8(char *out, size_t cap, dp_span in)
{
    uint32_t ignored;
    for (size_t i = 0; i < in.n;) {
        if (!take_utf8(in, &i, &ignored)) {
            return -1;
        }
    }
    if (in.n > cap) {
        return -1;
    }
    memcpy(out, in.p, in.n);
    return (long)in.n;
}

bool dp_maildir_folder_of(char *out, size_t cap, dp_span dir)
{
    if (dir.n < 2 || dir.p[0] != '.' || dir.p[1] == '.' || cap < 2) {
        return false;
    }
    dp_span name = dp_span_of(dir.p + 1, dir.n - 1);
    if (memchr(name.p, '/', name.n)) {
        return false;
    }
    /* the separator is looked for on disk's side: a decoded `.` or `/` would
     * be one folder's name looking like another's */
    long n = has_high_byte(name) ? copy_utf8(out, cap - 1, name)
                                 : dp_mutf7_decode(out, cap - 1, name);
    if (n < 0) {
        return false;
    }
    out[n] = '\0';
    for (char *c = out; *c; c++) {
        if (*c == '.') {
            *c = '/';
        }
    }
    return strlen(out) == (size_t)n
           && dp_topic_folder_is_sane(dp_span_of(out, (size_t)n))
           && strcmp(out, DP_TOPIC_WHOLE_CLASS) != 0;
}

bool dp_maildir_split(dp_span entry, dp_span *out_base, dp_span *out_flags)
{
    if (entry.n == 0 || entry.p[0] == '.') {
        return false;
    }
    const unsigned char *colon = memchr(entry.p, ':', entry.n);
    *out_base = colon ? dp_span_of(entry.p, (size_t)(colon - entry.p)) : entry;
    *out_flags = dp_span_of(NULL, 0);
    if (colon) {
        dp_span info = dp_span_of(colon + 1, entry.n - out_base->n - 1);
        if (info.n > 2 && info.p[0] == '2' && info.p[1] == ',') {
            *out_flags = dp_span_of(info.p + 2, info.n - 2);
        }
    }
    return out_base->n > 0;
}
