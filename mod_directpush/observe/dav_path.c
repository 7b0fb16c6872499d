#include "observe/dav_path.h"

#include <string.h>
#include <strings.h>

#include "bus/subscribed_name.h"

/* Deeper than any layout; more is not read. */
#define SEGMENTS_MAX 32

typedef struct segments {
    dp_span s[SEGMENTS_MAX];
    size_t n;
    bool has_slash; /* at the end */
} segments;

static bool is_word(dp_span s, const char *word)
{
    return dp_span_is(s, dp_span_str(word));
}

static bool ends_in(dp_span s, const char *tail)
{
    size_t n = strlen(tail);
    return s.n > n && !strncasecmp((const char *)s.p + s.n - n, tail, n);
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One segment without its %XX. @return false: no name can be that */
static bool unescape(dp_span in, unsigned char *buf, dp_span *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = in.p[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1;
            int low = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || c == '/') {
            return false;
        }
        buf[n++] = c;
    }
    *out = dp_span_of(buf, n);
    return !is_word(*out, ".") && !is_word(*out, "..");
}

/* Leave out scheme, host, query and fragment. */
static dp_span path_of(dp_span url)
{
    const unsigned char *end = url.p + url.n, *p = url.p;
    for (const unsigned char *q = p; q < end; q++) {
        if (*q == '?' || *q == '#') {
            end = q;
            break;
        }
    }
    if (p < end && *p != '/') {
        while (p < end && *p != ':') {
            p++;
        }
        if (end - p < 3 || p[1] != '/' || p[2] != '/') {
            return dp_span_of(NULL, 0);
        }
        p += 3;
        while (p < end && *p != '/') {
            p++;
        }
    }
    return dp_span_of(p, (size_t)(end - p));
}

static bool split(dp_span path, unsigned char *buf, segments *out)
{
    out->n = 0;
    if (!path.n) {
        return false;
    }
    out->has_slash = path.p[path.n - 1] == '/';
    for (size_t at = 0; at < path.n;) {
        const unsigned char *slash = memchr(path.p + at, '/', path.n - at);
        size_t n = slash ? (size_t)(slash - path.p) - at : path.n - at;
        if (n) {
            if (out->n == SEGMENTS_MAX
                || !unescape(dp_span_of(path.p + at, n), buf + at,
                             &out->s[out->n])) {
                return false;
            }
            out->n++;
        }
        at += n + 1;
    }
    return out->n > 0;
}

static dp_span local_part(dp_span s)
{
    for (size_t i = s.n; i > 0; i--) {
        if (s.p[i - 1] == '\\') {
            s = dp_span_of(s.p + i, s.n - i);
            break;
        }
    }
    const unsigned char *at = s.n ? memchr(s.p, '@', s.n) : NULL;
    return at ? dp_span_of(s.p, (size_t)(at - s.p)) : s;
}

static bool is_same_text(dp_span a, dp_span b)
{
    return a.n && a.n == b.n
           && !strncasecmp((const char *)a.p, (const char *)b.p, a.n);
}

bool dp_dav_is_same_user(dp_span a, dp_span b)
{
    dp_span la = local_part(a), lb = local_part(b);
    bool is_whole = la.n != a.n && lb.n != b.n;
    return is_same_text(a, b) || (!is_whole && is_same_text(la, lb));
}

/* `OWNER_NAME`: a folder that its owner calls NAME. The owner is written to
 * `buf`, of name.n bytes. */
static void split_subscribed(dp_span name, unsigned char *buf,
                             dp_dav_place *out)
{
    dp_span owner, folder;
    if (dp_subscribed_split(name, buf, &owner, &folder)) {
        out->owner = owner;
        out->owner_folder = folder;
    }
}

/* `…/USER/Calendar/NAME/ITEM` */
static bool sogo(const segments *s, bool is_collection, unsigned char *buf,
                 dp_dav_place *out)
{
    for (size_t i = 1; i < s->n; i++) {
        bool is_calendar = is_word(s->s[i], "Calendar");
        if (!is_calendar && !is_word(s->s[i], "Contacts")) {
            continue;
        }
        out->shape = DP_DAV_SOGO;
        out->user = s->s[i - 1];
        out->classes = is_calendar ? DP_DAV_CALENDAR : DP_DAV_CONTACTS;
        if (i + 1 < s->n) {
            out->folder = s->s[i + 1];
            split_subscribed(out->folder, buf, out);
        }
        out->is_item = i + 2 < s->n && !is_collection;
        return true;
    }
    return false;
}

/* `NAME_shared_by_OWNER` of Nextcloud and ownCloud */
static void split_shared(dp_span name, dp_dav_place *out)
{
    static const char by[] = "_shared_by_";
    size_t n = sizeof(by) - 1;
    for (size_t i = name.n; i-- > 1;) {
        if (i + n < name.n && !memcmp(name.p + i, by, n)) {
            out->owner = dp_span_of(name.p + i + n, name.n - i - n);
            out->owner_folder = dp_span_of(name.p, i);
            return;
        }
    }
}

/* `…/calendars/USER/NAME/ITEM`, `…/addressbooks/users/USER/NAME/ITEM` */
static bool homes(const segments *s, bool is_collection, dp_dav_place *out)
{
    for (size_t i = 0; i < s->n; i++) {
        bool is_calendar = is_word(s->s[i], "calendars");
        if (!is_calendar && !is_word(s->s[i], "addressbooks")) {
            continue;
        }
        size_t user = i + 1;
        if (user + 1 < s->n
            && (is_word(s->s[user], "users") || is_word(s->s[user], "user")
                || is_word(s->s[user], "__uids__"))) {
            user++;
        }
        out->shape = DP_DAV_HOMES;
        out->classes = is_calendar ? DP_DAV_CALENDAR : DP_DAV_CONTACTS;
        if (user < s->n) {
            out->user = s->s[user];
        }
        if (user + 1 < s->n) {
            out->folder = s->s[user + 1];
            split_shared(out->folder, out);
        }
        out->is_item = user + 2 < s->n && !is_collection;
        return true;
    }
    return false;
}

/* Nextcloud's and ownCloud's other trees: files and the like. */
static bool is_foreign(const segments *s)
{
    for (size_t i = 0; i + 1 < s->n; i++) {
        if (is_word(s->s[i], "remote.php")) {
            return is_word(s->s[i + 1], "webdav")
                   || (is_word(s->s[i + 1], "dav") && i + 2 < s->n);
        }
    }
    return false;
}

/* By position: after the login if the path has it, else from the end. */
static void by_position(const segments *s, dp_span login, bool is_collection,
                        dp_dav_place *out)
{
    dp_span last = s->s[s->n - 1];
    bool is_calendar = ends_in(last, ".ics");
    bool is_card = ends_in(last, ".vcf");
    out->shape = DP_DAV_ANY;
    for (size_t i = 0; i < s->n; i++) {
        if (dp_dav_is_same_user(s->s[i], login)) {
            out->user = s->s[i];
            if (i + 1 < s->n) {
                out->folder = s->s[i + 1];
            }
            out->is_item = i + 2 < s->n && !is_collection;
            break;
        }
    }
    if (!out->user.n) {
        out->is_item = !is_collection && !s->has_slash
                       && (is_calendar || is_card || s->n > 2);
        size_t below = out->is_item ? 1 : 0; /* segments below the folder */
        if (s->n > below) {
            out->folder = s->s[s->n - 1 - below];
        }
        if (s->n > below + 1) {
            out->user = s->s[s->n - 2 - below];
        }
    }
    if (out->is_item) {
        out->classes = is_calendar ? DP_DAV_CALENDAR
                       : is_card   ? DP_DAV_CONTACTS
                                   : 0;
    }
}

void dp_dav_path_parse(dp_span url, dp_span login, bool is_collection,
                       unsigned char *buf, dp_dav_place *out)
{
    segments s;
    *out = (dp_dav_place){.shape = DP_DAV_UNREADABLE};
    dp_span path = path_of(url);
    unsigned char *spare = buf + path.n;
    if (!split(path, buf, &s) || sogo(&s, is_collection, spare, out)
        || homes(&s, is_collection, out)) {
        return;
    }
    if (is_foreign(&s)) {
        out->shape = DP_DAV_FOREIGN;
        return;
    }
    by_position(&s, login, is_collection, out);
}
