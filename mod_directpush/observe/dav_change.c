#include "observe/dav_change.h"

#include <string.h>
#include <strings.h>

dp_dav_method dp_dav_method_of(dp_span method)
{
    static const struct {
        const char *name;
        dp_dav_method method;
    } known[] = {{"PUT", DP_DAV_PUT},       {"DELETE", DP_DAV_DELETE},
                 {"MOVE", DP_DAV_MOVE},     {"COPY", DP_DAV_COPY},
                 {"POST", DP_DAV_POST},     {"PROPPATCH", DP_DAV_PROPPATCH},
                 {"MKCOL", DP_DAV_MKCOL},   {"MKCALENDAR", DP_DAV_MKCALENDAR}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (dp_span_is(method, dp_span_str(known[i].name))) {
            return known[i].method;
        }
    }
    return DP_DAV_NONE;
}

static bool begins_with(dp_span s, const char *word)
{
    size_t n = strlen(word);
    return s.n >= n && !strncasecmp((const char *)s.p, word, n);
}

unsigned dp_dav_type_classes(dp_span type)
{
    if (begins_with(type, "text/calendar")
        || begins_with(type, "application/calendar+")) {
        return DP_DAV_CALENDAR;
    }
    if (begins_with(type, "text/vcard") || begins_with(type, "text/x-vcard")
        || begins_with(type, "application/vcard+")) {
        return DP_DAV_CONTACTS;
    }
    return 0;
}

typedef struct collector {
    const dp_dav_seen *seen;
    dp_dav_topic *out;
    size_t n;
} collector;

static void add(collector *k, dp_span user, dp_class c, dp_span folder,
                bool is_new)
{
    for (size_t i = 0; i < k->n; i++) {
        dp_dav_topic *t = &k->out[i];
        if (dp_span_is(t->user, user) && t->topic.class_id == c
            && dp_span_is(t->topic.folder, folder)) {
            t->is_new |= is_new;
            return;
        }
    }
    if (user.n && k->n < DP_DAV_TOPICS_MAX) {
        k->out[k->n++] = (dp_dav_topic){user, {c, folder}, is_new};
    }
}

/* The folder of a topic, as folder_topic.c has it for phones: others can hide
 * behind SOGo's `personal`. */
static dp_span topic_folder(dp_span name)
{
    if (!name.n || name.n > DP_TOPIC_FOLDER_MAX
        || dp_span_is(name, DP_SPAN_LIT("personal"))
        || !dp_topic_folder_is_sane(name)) {
        return DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS);
    }
    return name;
}

static void add_folder(collector *k, dp_span user, unsigned classes,
                       dp_span folder, bool is_new)
{
    for (dp_class c = DP_CLASS_UNKNOWN; c < DP_CLASS_N; c++) {
        if (classes & DP_DAV_BIT(c)) {
            add(k, user, c, topic_folder(folder), is_new);
        }
    }
}

/* A path that names nobody, or somebody else without our being sure of its
 * shape, may be about the one who asks. */
static bool may_be_own(const collector *k, const dp_dav_place *p)
{
    return p->shape != DP_DAV_SOGO
           && (!p->user.n || !dp_dav_is_same_user(p->user, k->seen->login));
}

/* What the path leaves open the body tells, or the type, or nobody does. */
static unsigned classes_of(const dp_dav_seen *s, const dp_dav_place *p)
{
    unsigned said = dp_dav_body_classes(&s->body);
    if (!said) {
        said = s->method == DP_DAV_MKCALENDAR
                   ? DP_DAV_CALENDAR
                   : dp_dav_type_classes(s->content_type);
    }
    unsigned may_be = p->classes ? p->classes : DP_DAV_ALL;
    return said & may_be ? said & may_be : may_be;
}

static void add_place(collector *k, const dp_dav_place *p, bool is_new)
{
    const dp_dav_seen *s = k->seen;
    unsigned classes = classes_of(s, p);
    dp_span whole = DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS);
    bool is_list = !p->is_item && s->method != DP_DAV_PUT
                   && s->method != DP_DAV_POST;
    bool is_own = may_be_own(k, p);
    if (p->shape == DP_DAV_FOREIGN) {
        return;
    }
    if (is_list) {
        add(k, p->user, DP_CLASS_HIERARCHY, whole, is_new);
        if (is_own) {
            add(k, s->login, DP_CLASS_HIERARCHY, whole, is_new);
        }
        if (s->method == DP_DAV_PROPPATCH) {
            return; /* its name or colour; what is in it has not changed */
        }
    }
    add_folder(k, p->user, classes, p->folder, is_new);
    add_folder(k, p->owner, classes, p->owner_folder, is_new);
    if (is_own) {
        add_folder(k, s->login, classes, p->user.n ? whole : p->folder,
                   is_new);
    }
}

size_t dp_dav_changed(const dp_dav_seen *s, dp_dav_topic *out)
{
    collector k = {s, out, 0};
    bool is_upload = s->method == DP_DAV_PUT || s->method == DP_DAV_POST;
    /* where only the body could tell, and it is something else */
    if (is_upload && s->at.shape != DP_DAV_SOGO && s->at.shape != DP_DAV_HOMES
        && dp_dav_body_is_foreign(&s->body)) {
        return 0;
    }
    switch (s->method) {
    case DP_DAV_NONE:
        break;
    case DP_DAV_POST:
        if (!dp_dav_body_is_foreign(&s->body)) {
            add_place(&k, s->to ? s->to : &s->at, true);
        }
        break;
    case DP_DAV_MOVE:
        add_place(&k, &s->at, false);
        add_place(&k, s->to ? s->to : &s->at, true);
        break;
    case DP_DAV_COPY:
        add_place(&k, s->to ? s->to : &s->at, true);
        break;
    case DP_DAV_DELETE:
    case DP_DAV_PROPPATCH:
        add_place(&k, &s->at, false);
        break;
    case DP_DAV_PUT: /* an event that moved is no less urgent than a new one */
    case DP_DAV_MKCOL:
    case DP_DAV_MKCALENDAR:
        add_place(&k, &s->at, true);
        break;
    }
    return k.n;
}
