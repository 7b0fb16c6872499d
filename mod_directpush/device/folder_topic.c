/* folder_topic: which topic a collection is; see folder_map.h.
 *
 * All names here were chosen by somebody on the other side of the wire. What
 * comes out is a class topic, a path of checked components, or an alias with
 * a checked GUID, and nothing else.
 */
#include "device/folder_map.h"

#include <string.h>
#include <strings.h>

#include "bus/subscribed_name.h"
#include "device/folder_record.h"
#include "device/store_use.h"
#include "wire/eas_ping.h"

/* Dovecot's own bound on nesting is 16 to 32 levels; a ring of parents ends
 * here as well. */
#define LEVELS_MAX 32

enum folder_type { /* eas-protocol 5.2 */
    TYPE_USER_GENERIC = 1,
    TYPE_INBOX = 2,
    TYPE_DRAFTS = 3,
    TYPE_DELETED = 4,
    TYPE_SENT = 5,
    TYPE_OUTBOX = 6,
    TYPE_TASKS = 7,
    TYPE_CALENDAR = 8,
    TYPE_CONTACTS = 9,
    TYPE_NOTES = 10,
    TYPE_USER_MAIL = 12,
    TYPE_USER_CALENDAR = 13,
    TYPE_USER_CONTACTS = 14,
    TYPE_USER_TASKS = 15,
    TYPE_USER_NOTES = 17,
    TYPE_UNKNOWN = 18,
    TYPE_RECIPIENTS = 19
};

static dp_class class_of_type(unsigned type)
{
    switch (type) {
    case TYPE_USER_GENERIC:
    case TYPE_INBOX:
    case TYPE_DRAFTS:
    case TYPE_DELETED:
    case TYPE_SENT:
    case TYPE_USER_MAIL:
        return DP_CLASS_EMAIL;
    case TYPE_CALENDAR:
    case TYPE_USER_CALENDAR:
        return DP_CLASS_CALENDAR;
    case TYPE_CONTACTS:
    case TYPE_USER_CONTACTS:
        return DP_CLASS_CONTACTS;
    case TYPE_TASKS:
    case TYPE_USER_TASKS:
        return DP_CLASS_TASKS;
    case TYPE_NOTES:
    case TYPE_USER_NOTES:
        return DP_CLASS_NOTES;
    default: /* Journal: its class, if any, is what the phone says */
        return DP_CLASS_UNKNOWN;
    }
}

/* Folders that no mailbox stands behind: nobody can vouch for them. Some
 * Androids Ping the Outbox; its "class" would wake them for every mail. */
static bool is_nobodys(unsigned type)
{
    return type == TYPE_OUTBOX || type == TYPE_UNKNOWN
           || type == TYPE_RECIPIENTS;
}

static bool set_folder(dp_folder_topic *out, dp_class c, dp_span folder)
{
    if (folder.n > DP_TOPIC_FOLDER_MAX || !dp_topic_folder_is_sane(folder)) {
        folder = DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS);
    }
    out->class_id = c;
    memcpy(out->folder, folder.p, folder.n);
    out->folder[folder.n] = 0;
    out->folder_n = folder.n;
    return true;
}

static bool set_whole_class(dp_folder_topic *out, dp_class c)
{
    return set_folder(out, c, DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS));
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undo %XX. What is no escape stays as it is. */
static dp_span unescape(dp_span id, unsigned char *buf)
{
    size_t n = 0;
    for (size_t i = 0; i < id.n; i++) {
        int high = -1, low = -1;
        if (id.p[i] == '%' && i + 2 < id.n) {
            high = hex_digit(id.p[i + 1]);
            low = hex_digit(id.p[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            buf[n++] = (unsigned char)(high << 4 | low);
            i += 2;
        }
        else {
            buf[n++] = id.p[i];
        }
    }
    return dp_span_of(buf, n);
}

static bool take_prefix(dp_span *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->n < n || memcmp(s->p, prefix, n) != 0) {
        return false;
    }
    *s = dp_span_of(s->p + n, s->n - n);
    return true;
}

/* SOGo's `mail/…`: a GUID of 32 hex digits. A name instead is no mailbox:
 * something that has folders below it, other people's perhaps. */
static bool sogo_mail(dp_span rest, dp_folder_topic *out)
{
    char alias[sizeof(DP_TOPIC_GUID_PREFIX) + DP_TOPIC_GUID_HEX] =
        DP_TOPIC_GUID_PREFIX;
    if (rest.n != DP_TOPIC_GUID_HEX) {
        return false;
    }
    for (size_t i = 0; i < rest.n; i++) {
        int digit = hex_digit(rest.p[i]);
        if (digit < 0) {
            return false;
        }
        alias[strlen(DP_TOPIC_GUID_PREFIX) + i] = "0123456789abcdef"[digit];
    }
    return set_folder(out, DP_CLASS_EMAIL, dp_span_str(alias));
}

/* SOGo's DAV folders. `personal` can stand for several, merged (4.4). */
static bool sogo_dav(dp_class c, dp_span name, dp_folder_topic *out)
{
    if (dp_span_is(name, DP_SPAN_LIT("personal"))
        || (name.n && memchr(name.p, '/', name.n))) {
        return set_whole_class(out, c);
    }
    return set_folder(out, c, name);
}

typedef enum told { TOLD_NOTHING, TOLD_TOPIC, TOLD_NOBODYS } told;

static told told_if(bool is_topic)
{
    return is_topic ? TOLD_TOPIC : TOLD_NOBODYS;
}

/* Ids of SOGo say what they are (eas-protocol 5.3). */
static told topic_of_sogo_id(dp_span id, dp_folder_topic *out)
{
    unsigned char buf[DP_COLLECTION_ID_MAX];
    if (id.n > sizeof(buf)) {
        return TOLD_NOTHING;
    }
    dp_span rest = unescape(id, buf);
    if (take_prefix(&rest, "mail/")) {
        return told_if(sogo_mail(rest, out));
    }
    if (take_prefix(&rest, "vevent/")) {
        return told_if(sogo_dav(DP_CLASS_CALENDAR, rest, out));
    }
    if (take_prefix(&rest, "vtodo/")) {
        return told_if(sogo_dav(DP_CLASS_TASKS, rest, out));
    }
    if (take_prefix(&rest, "vcard/")) {
        return told_if(sogo_dav(DP_CLASS_CONTACTS, rest, out));
    }
    return TOLD_NOTHING;
}

/* Does the backend list this folder to this device below one that is no
 * mailbox, as SOGo does with all that is shared or public? */
static bool is_below_a_name(dp_store_use *u, const dp_who *who,
                            dp_folder_record r)
{
    for (int level = 0; level < LEVELS_MAX; level++) {
        dp_folder_topic parent;
        if (topic_of_sogo_id(r.parent, &parent) == TOLD_NOBODYS) {
            return true;
        }
        if (!dp_folder_record_read(u, who, r.parent, &r)) {
            return false;
        }
    }
    return false;
}

/* SOGo's ids say who owns a collection to which somebody has subscribed. */
static bool may_be_subscribed(const dp_folder_topic *t)
{
    unsigned char buf[DP_TOPIC_FOLDER_MAX];
    dp_span owner, name;
    return dp_subscribed_split(dp_span_of(t->folder, t->folder_n), buf,
                               &owner, &name);
}

static void mark_listed(dp_folder_topic *t)
{
    const size_t n = sizeof(DP_TOPIC_LISTED_PREFIX) - 1;
    const size_t skip = t->folder[0] == '/'; /* an alias begins with one */
    if (n + t->folder_n - skip <= DP_TOPIC_FOLDER_MAX) {
        memmove(t->folder + n, t->folder + skip, t->folder_n - skip + 1);
        memcpy(t->folder, DP_TOPIC_LISTED_PREFIX, n);
        t->folder_n += n - skip;
    }
}

/* A topic that an id of SOGo says, and the backend has listed to this very
 * device as somebody else's. A phone can make ids up: what is not in its list
 * stays with the user's own mailboxes and home. */
static void see_whether_listed(dp_store *s, dp_store_txn *t,
                               const dp_who *who, dp_span id,
                               dp_folder_topic *topic)
{
    dp_store_use u;
    dp_hier_state hier;
    dp_folder_record r;
    bool is_mail = topic->class_id == DP_CLASS_EMAIL;
    if ((!is_mail && !may_be_subscribed(topic))
        || dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return;
    }
    if (dp_hier_state_get(s, u.txn, who, &hier) && hier.is_map_known
        && dp_folder_record_read(&u, who, id, &r)
        && (!is_mail || is_below_a_name(&u, who, r))) {
        mark_listed(topic);
    }
    dp_store_leave(&u, APR_SUCCESS);
}

/* Z-Push puts a letter in front of five hex digits (eas-protocol 5.4):
 * configured, shared, global and impersonated folders are not the user's own,
 * and may be called like one that is. */
static bool is_zpush_foreign(dp_span id)
{
    static const char foreign[] = {'C', 'S', 'G', 'I'};
    if (id.n != 6 || !memchr(foreign, id.p[0], sizeof(foreign))) {
        return false;
    }
    for (size_t i = 1; i < id.n; i++) {
        if (hex_digit(id.p[i]) < 0) {
            return false;
        }
    }
    return true;
}

/* One component of a path. A `.` would be taken for a separator where the
 * layout is Maildir++, and name another folder than the phone means. */
static bool is_good_component(dp_span name)
{
    if (name.n == 0 || name.n > DP_TOPIC_FOLDER_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = name.p[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '.' || c == '*') {
            return false;
        }
    }
    return true;
}

static bool is_inbox(dp_span name)
{
    return name.n == 5 && strncasecmp((const char *)name.p, "INBOX", 5) == 0;
}

/* A path that is written from its end: the leaf is known first. */
typedef struct path_buf {
    char bytes[DP_TOPIC_FOLDER_MAX];
    size_t at;
} path_buf;

static bool put_in_front(path_buf *path, dp_span name)
{
    bool is_leaf = path->at == sizeof(path->bytes);
    if (!is_good_component(name) || name.n + !is_leaf > path->at) {
        return false;
    }
    if (!is_leaf) {
        path->bytes[--path->at] = '/';
    }
    path->at -= name.n;
    memcpy(path->bytes + path->at, name.p, name.n);
    return true;
}

/* Folders with the same name in the same place. */
typedef struct namesakes {
    const dp_folder_record *of;
    unsigned n;
} namesakes;

static bool count_namesake(void *ctx, dp_span key, dp_span value)
{
    namesakes *k = ctx;
    dp_folder_record r;
    k->n += dp_folder_record_unpack(value, &r)
            && dp_span_is(r.name, k->of->name)
            && dp_span_is(r.parent, k->of->parent);
    return k->n < 2;
}

/* A backend may call the folders of these types what they are, not what the
 * mailbox is called (eas-protocol 5.5.3): then one that is called so is listed
 * beside them. */
static bool has_namesake(dp_store_use *u, const dp_who *who,
                         const dp_folder_record *r)
{
    dp_store_key all;
    namesakes k = {.of = r};
    if (r->fixed.type != TYPE_DRAFTS && r->fixed.type != TYPE_DELETED
        && r->fixed.type != TYPE_SENT) {
        return false;
    }
    dp_store_key_of_id(&all, 'm', who, dp_span_of(NULL, 0));
    u->store->ops->scan(u->txn, dp_span_of(all.bytes, all.n), count_namesake,
                        &k);
    return k.n > 1;
}

typedef enum path_end {
    PATH_WHOLE,
    PATH_CLASS, /* the user's own, under some name: it ends at the Inbox, or
                   leads through a folder that another is called like */
    PATH_NONE   /* none that can be believed: whose folder, nobody knows */
} path_end;

/* The path of DisplayNames up to the root. */
static path_end path_of(dp_store_use *u, const dp_who *who,
                        const dp_folder_record *leaf, path_buf *path)
{
    dp_folder_record r = *leaf;
    path->at = sizeof(path->bytes);
    for (int level = 0; level < LEVELS_MAX; level++) {
        if (!put_in_front(path, r.name)) {
            return PATH_NONE;
        }
        if (has_namesake(u, who, &r)) {
            return PATH_CLASS;
        }
        if (dp_span_is(r.parent, DP_SPAN_LIT("0"))) {
            /* At the top a second `INBOX` is no path of its own. */
            return is_inbox(r.name) ? PATH_CLASS : PATH_WHOLE;
        }
        if (!dp_folder_record_read(u, who, r.parent, &r)
            || class_of_type(r.fixed.type) != DP_CLASS_EMAIL) {
            return PATH_NONE;
        }
        if (r.fixed.type == TYPE_INBOX) {
            return PATH_CLASS;
        }
    }
    return PATH_NONE;
}

static bool topic_of_record(dp_store_use *u, const dp_who *who,
                            const dp_folder_record *r, dp_class hint,
                            dp_folder_topic *out)
{
    dp_class c = class_of_type(r->fixed.type);
    path_buf path;

    if (is_nobodys(r->fixed.type)) {
        return false;
    }
    if (c == DP_CLASS_UNKNOWN) {
        return hint != DP_CLASS_UNKNOWN && set_whole_class(out, hint);
    }
    if (r->fixed.type == TYPE_INBOX) {
        return set_folder(out, c, DP_SPAN_LIT("INBOX"));
    }
    /* A DAV folder's DisplayName is not its name in the URL. */
    path_end end = c == DP_CLASS_EMAIL ? path_of(u, who, r, &path)
                                       : PATH_CLASS;
    if (end != PATH_WHOLE) {
        return end == PATH_CLASS && set_whole_class(out, c);
    }
    return set_folder(out, c, dp_span_of(path.bytes + path.at,
                                         sizeof(path.bytes) - path.at));
}

bool dp_folder_map_topic(dp_store *s, dp_store_txn *t, const dp_who *who,
                         dp_span id, dp_class class_hint,
                         dp_folder_topic *out)
{
    dp_store_use u;
    dp_hier_state hier;
    dp_folder_record r;
    bool is_known = false, is_mapped = false;

    memset(out, 0, sizeof(*out));
    if (class_hint == DP_CLASS_HIERARCHY) { /* no class of a collection */
        class_hint = DP_CLASS_UNKNOWN;
    }
    told by_id = topic_of_sogo_id(id, out);
    if (by_id == TOLD_TOPIC) {
        see_whether_listed(s, t, who, id, out);
    }
    if (by_id != TOLD_NOTHING) {
        return by_id == TOLD_TOPIC;
    }
    if (dp_span_is(id, DP_SPAN_LIT("RI")) || is_zpush_foreign(id)) {
        return false;
    }
    if (dp_store_enter(&u, s, t, false) == APR_SUCCESS) {
        if (dp_hier_state_get(s, u.txn, who, &hier) && hier.is_map_known
            && dp_folder_record_read(&u, who, id, &r)) {
            is_mapped = true;
            is_known = topic_of_record(&u, who, &r, class_hint, out);
        }
        dp_store_leave(&u, APR_SUCCESS);
    }
    if (is_mapped) {
        return is_known;
    }
    out->is_assumed = class_hint != DP_CLASS_UNKNOWN;
    return out->is_assumed && set_whole_class(out, class_hint);
}
