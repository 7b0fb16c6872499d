/* What the control socket asks of the watcher: names are made canonical here,
 * and nowhere else. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bus/subscribed_name.h"
#include "bus/topic_name.h"
#include "watcher/maildir_name.h"
#include "watcher/maildir_path.h"
#include "watcher/watcher.h"

#define NO_SOURCE "no source watches this class"
#define NO_FOLDER "no folder of this user has that GUID"
#define NOT_KNOWN                                                              \
    "it would share its class's topic, and no folder of that name is known"

/* A topic as asked for, and as it is called here. */
typedef struct name {
    char asked_user[DP_TOPIC_USER_MAX + 1];
    char asked_folder[DP_TOPIC_FOLDER_MAX + 1];
    char user[DP_TOPIC_USER_MAX + 1];
    char folder[DP_TOPIC_FOLDER_MAX + 1];
    bool is_alias; /* `user` and `folder` are still to be found */
} name;

static void copy(char *out, dp_span what)
{
    memcpy(out, what.p, what.n);
    out[what.n] = '\0';
}

static dp_source *source_for(const dp_watcher *w, dp_class c)
{
    for (size_t i = 0; i < w->sources_n; i++) {
        if (w->sources[i]->ops->offers(w->sources[i], c)) {
            return w->sources[i];
        }
    }
    return NULL;
}

/* A source knows which collections are in a user's home, and so his to see.
 * Where there is none, one that was listed is a topic of its own: an id that a
 * phone made up, or has from before, does not find it. */
static dp_span topic_folder(const dp_watcher *w, dp_class c, dp_span folder)
{
    dp_span listed = dp_topic_listed(folder);
    return listed.n && source_for(w, c) ? listed : folder;
}

/* @return NULL, or what is wrong with it */
static const char *take_name(const dp_watcher *w, dp_span user, dp_class c,
                             dp_span folder, name *out)
{
    if (c == DP_CLASS_UNKNOWN) {
        return "no such class; there are Email, Calendar, Contacts, Tasks, "
               "Notes and Hierarchy";
    }
    if (!dp_topic_user_is_sane(user) || !dp_topic_folder_is_sane(folder)
        || !dp_maildir_canonical_user(out->user, sizeof(out->user), user,
                                      w->conf->default_domain)) {
        return "no topic can have that name";
    }
    copy(out->asked_user, user);
    copy(out->asked_folder, folder);
    out->is_alias = dp_topic_guid(folder).n != 0;
    copy(out->folder, topic_folder(w, c, folder));
    if (c == DP_CLASS_HIERARCHY
        && strcmp(out->folder, DP_TOPIC_WHOLE_CLASS) != 0) {
        return "class Hierarchy has the folder * only";
    }
    if (strcasecmp(out->folder, DP_MAILDIR_INBOX) == 0) {
        strcpy(out->folder, DP_MAILDIR_INBOX);
    }
    return NULL;
}

bool dp_watcher_knows(const dp_watcher *w, dp_span user)
{
    char canonical[DP_TOPIC_USER_MAX + 1];
    return dp_topic_user_is_sane(user)
           && dp_maildir_canonical_user(canonical, sizeof(canonical), user,
                                        w->conf->default_domain)
           && dp_wants_user(w->wants, canonical) != NULL;
}

/* The want that has the name as asked for in the bus, perhaps as an alias. */
static dp_want *find_as_asked(const dp_watcher *w, dp_class c, const name *n)
{
    const dp_bus_map *map = dp_bus_writer_map(w->bus);
    dp_bus_ref ref = dp_bus_find(
        map, dp_topic_key(map->header->hash_key, dp_span_str(n->asked_user), c,
                          dp_span_str(n->asked_folder)));
    return dp_wants_at_slot(w->wants, ref.slot);
}

/* The want that the name as asked for leads to, by an alias too. */
static dp_want *find(const dp_watcher *w, dp_class c, const name *n)
{
    return n->is_alias ? find_as_asked(w, c, n)
                       : dp_wants_find(w->wants, n->user, c, n->folder);
}

/* An alias becomes the name that it stands for. */
static bool resolve(dp_source *source, dp_class c, name *n)
{
    dp_resolved found;
    if (!source->ops->resolve(source, n->user, c, dp_span_str(n->asked_folder),
                              &found)) {
        return false;
    }
    snprintf(n->user, sizeof(n->user), "%s", found.user);
    snprintf(n->folder, sizeof(n->folder), "%s", found.folder);
    return true;
}

/* Children find topics in the bus by the name that they asked for. */
static void name_it(dp_watcher *w, dp_want *want, const name *n)
{
    if (strcmp(n->asked_user, want->user->name) != 0
        || strcmp(n->asked_folder, want->folder) != 0) {
        dp_want_add_alias(w->wants, want, n->asked_user, n->asked_folder);
    }
}

/* @return NULL, or why it is not watched */
static const char *ask(dp_watcher *w, dp_source *source, dp_want **want)
{
    const char *why =
        (*want)->source ? NULL : source->ops->ask(source, *want);
    if (!why && dp_list_is_empty(&(*want)->gone)) {
        return NULL;
    }
    if (why) {
        dp_want_end(w->wants, want);
    }
    return why ? why : "it has just become another folder: ask again";
}

/* A folder that finds no place of its own goes by its class's topic from now
 * on. A GUID that leads there was resolved: it is there. */
static bool is_new_share(const dp_watcher *w, dp_class c, const dp_want *want,
                         const name *n)
{
    return !n->is_alias && strcmp(want->folder, n->folder) != 0
           && find_as_asked(w, c, n) != want;
}

const char *dp_watcher_watch(dp_watcher *w, dp_span user, dp_class c,
                             dp_span folder, dp_bus_ref *out_ref)
{
    name n;
    const char *why = take_name(w, user, c, folder, &n);
    if (why) {
        return why;
    }
    dp_source *source = source_for(w, c);
    dp_want *want = find(w, c, &n);
    if (!want) {
        if (n.is_alias && !source) {
            return NO_SOURCE;
        }
        if (n.is_alias && !resolve(source, c, &n)) {
            return NO_FOLDER;
        }
        want = dp_wants_get(w->wants, n.user, c, n.folder);
        if (!want) {
            return "the table of topics is full (topics in directpushd.conf)";
        }
    }
    bool is_share = source && is_new_share(w, c, want, &n);
    if (!is_share) {
        name_it(w, want, &n);
    }
    why = source ? ask(w, source, &want) : NULL;
    if (why) {
        return why;
    }
    if (!dp_wants_may_stay(w->wants, want)) {
        dp_want_end(w->wants, &want);
        return "there are too many topics that nobody vouches for";
    }
    dp_want_renew(w->wants, want, dp_clock_mono_us());
    dp_emit_touch(w->emit, want); /* the record has the time of renewal */
    if (is_share && !source->ops->has(source, n.user, c, n.folder)) {
        return NOT_KNOWN;
    }
    name_it(w, want, &n);
    *out_ref = want->ref;
    /* but what others publish for it (directpushctl, Apache) is not lost */
    return source ? NULL : NO_SOURCE;
}

/* --- other people's views of a collection */

/* A collection by its owner's name for it, and what is said of it. */
typedef struct collection {
    dp_watcher *w;
    dp_class class;
    bool is_new;
    const dp_want *but; /* told already; or NULL */
    char owner[DP_TOPIC_USER_MAX + 1];
    char name[DP_TOPIC_FOLDER_MAX + 1];
} collection;

/* What SOGo calls so in the home of who has subscribed to it.
 * @return false: it is no such name */
static bool take_view(const char *folder, collection *out)
{
    unsigned char buf[DP_TOPIC_FOLDER_MAX + 1];
    dp_span login, called;
    if (strlen(folder) >= sizeof(buf)
        || !dp_subscribed_split(dp_span_str(folder), buf, &login, &called)
        || !dp_maildir_canonical_user(out->owner, sizeof(out->owner), login,
                                      out->w->conf->default_domain)) {
        return false;
    }
    copy(out->name, called);
    return true;
}

static bool is_view(void *ctx, const char *folder)
{
    const collection *of = ctx;
    collection c = {.w = of->w};
    return take_view(folder, &c) && strcmp(c.owner, of->owner) == 0
           && strcmp(c.name, of->name) == 0;
}

/* `/listed/NAME` to NAME; "" when it is no such name */
static const char *listed_name(const char *folder)
{
    dp_span listed = dp_topic_listed(dp_span_str(folder));
    return listed.n ? (const char *)listed.p : "";
}

/* Nobody looks at the view, so what is said of the collection counts. It is
 * told only to whom the backend has listed it. */
static void tell_view(void *ctx, dp_want *want)
{
    collection *of = ctx;
    uint64_t prev;
    if (want->class == of->class && want != of->but
        && is_view(of, listed_name(want->folder))) {
        dp_emit_publish(of->w->emit, want, of->is_new, &prev);
    }
}

static dp_hash view_key(const collection *c)
{
    return dp_topic_key(dp_bus_writer_map(c->w->bus)->header->hash_key,
                        dp_span_str(c->owner), c->class, dp_span_str(c->name));
}

bool dp_watcher_view_of(void *ctx, const dp_want *want, dp_hash *out_key)
{
    collection c = {.w = ctx, .class = want->class};
    if (!take_view(listed_name(want->folder), &c)) {
        return false;
    }
    *out_key = view_key(&c);
    return true;
}

static void tell_views(collection *of)
{
    dp_source *source = source_for(of->w, of->class);
    if (source && source->ops->noticed) {
        source->ops->noticed(source, of->class, is_view, of);
    }
    dp_wants_each_view(of->w->wants, view_key(of), tell_view, of);
}

/* The want that a publish for this name is about, or NULL. */
static dp_want *find_for_publish(const dp_watcher *w, dp_class c,
                                 const name *n)
{
    dp_want *want = find(w, c, n);
    const dp_want_user *of = want ? NULL : dp_wants_user(w->wants, n->user);
    return of ? of->classes[c] : want; /* it may be folded into that */
}

/* @return false: a publish it must be; true: its source looks by itself */
static bool has_told_source(dp_want *want, bool is_new)
{
    return want->source && want->source->ops->told
           && want->source->ops->told(want->source, want, is_new);
}

/* What somebody has changed in his view of it is news for the owner. */
static void tell_owner(const collection *of)
{
    uint64_t prev;
    name n = {.is_alias = false};
    const char *folder = strcmp(of->name, "personal") == 0
                             ? DP_TOPIC_WHOLE_CLASS
                             : of->name;
    snprintf(n.user, sizeof(n.user), "%s", of->owner);
    snprintf(n.folder, sizeof(n.folder), "%s", folder);
    dp_want *want = find_for_publish(of->w, of->class, &n);
    if (want && !has_told_source(want, of->is_new)) {
        dp_emit_publish(of->w->emit, want, of->is_new, &prev);
    }
}

/* A collection has changed under this name: who knows it under another?
 * @param want  of this name, or NULL */
static void tell_others(dp_watcher *w, dp_class c, const name *n, bool is_new,
                        const dp_want *want)
{
    collection of = {.w = w, .class = c, .is_new = is_new, .but = want};
    const char *listed = listed_name(n->folder);
    if (c == DP_CLASS_EMAIL || c == DP_CLASS_HIERARCHY) {
        return;
    }
    if (take_view(*listed ? listed : n->folder, &of)
        && strcmp(of.owner, n->user) != 0) {
        tell_owner(&of);
    }
    else {
        snprintf(of.owner, sizeof(of.owner), "%s", n->user);
        snprintf(of.name, sizeof(of.name), "%s",
                 strcmp(n->folder, DP_TOPIC_WHOLE_CLASS) == 0 ? "personal"
                                                              : n->folder);
    }
    tell_views(&of);
}

uint64_t dp_watcher_publish(dp_watcher *w, dp_span user, dp_class c,
                            dp_span folder, bool is_new, uint64_t *out_prev)
{
    name n;
    dp_want *want = NULL;
    *out_prev = 0;
    if (!take_name(w, user, c, folder, &n)) {
        want = find_for_publish(w, c, &n);
        tell_others(w, c, &n, is_new, want);
    }
    if (want && has_told_source(want, is_new)) {
        /* what else the look finds is not the teller's: its mark stays, which
         * a previous seq above every mark says */
        uint64_t seq = dp_emit_tell(w->emit, is_new);
        *out_prev = seq;
        return seq;
    }
    if (want) { /* how many it stands for, who tells does not say */
        return dp_emit_publish(w->emit, want, is_new, out_prev);
    }
    /* nobody holds it; the seq alone is kept */
    return dp_bus_tell(w->bus, is_new ? DP_BUS_KIND_NEW : DP_BUS_KIND_OTHER,
                       (dp_hash){{0, 0}}, 0);
}

dp_verified dp_watcher_verify(dp_watcher *w, dp_span user, dp_class c,
                              dp_span folder, char *out, size_t cap)
{
    name n;
    char how[2048];
    const char *why = take_name(w, user, c, folder, &n);
    dp_source *source = why ? NULL : source_for(w, c);
    if (!source) {
        snprintf(out, cap, "%s", why ? why : NO_SOURCE);
        return DP_VERIFY_NOT;
    }
    if (n.is_alias && !resolve(source, c, &n)) {
        snprintf(out, cap, NO_FOLDER);
        return DP_VERIFY_NOT;
    }
    bool is_fit =
        source->ops->explain(source, n.user, c, n.folder, how, sizeof(how));
    const dp_want *want = dp_wants_find(w->wants, n.user, c, n.folder);
    if (!want) {
        const dp_want_user *of = dp_wants_user(w->wants, n.user);
        const dp_want *all = of ? of->classes[c] : NULL;
        snprintf(out, cap, "%s: %s; no phone has asked for it yet%s",
                 source->ops->name, how,
                 all && all->is_vouched
                     ? "; all folders of its class together are vouched for"
                     : "");
        return is_fit ? DP_VERIFY_COULD : DP_VERIFY_NOT;
    }
    dp_bus_view v = dp_bus_look(dp_bus_writer_map(w->bus), want->ref);
    if (!want->is_vouched) {
        snprintf(out, cap, "%s: %s; asked for, not vouched for",
                 source->ops->name, how);
        return DP_VERIFY_NOT;
    }
    snprintf(out, cap,
             "%s: %s; vouched for since seq %" PRIu64 ", newest change %" PRIu64,
             source->ops->name, how, v.watched_from, v.changed);
    return DP_VERIFY_WATCHED;
}

void dp_watcher_report(dp_watcher *w,
                       void (*line)(void *ctx, const char *name,
                                    uint64_t value),
                       void *ctx)
{
    const dp_bus_map *map = dp_bus_writer_map(w->bus);
    const dp_emit_counts *counts = dp_emit_counted(w->emit);
    dp_time_us up_us = dp_clock_mono_us() - w->started_us;
    line(ctx, "pid", (uint64_t)getpid());
    line(ctx, "uptime_s", (uint64_t)(up_us / DP_SECOND_US));
    line(ctx, "instance", map->header->instance);
    line(ctx, "head", dp_bus_head(map));
    line(ctx, "topics_cap", map->topic_cap);
    line(ctx, "topics_used", map->header->topics_used);
    line(ctx, "topics_watched", map->header->topics_watched);
    line(ctx, "journal_cap", map->journal_cap);
    line(ctx, "wants", dp_wants_n(w->wants));
    line(ctx, "published_new", counts->published_new);
    line(ctx, "published_other", counts->published_other);
    line(ctx, "vouched", counts->vouched);
    line(ctx, "vouched_again", counts->vouched_again);
    line(ctx, "lost", counts->lost);
    dp_control_report(w->control, line, ctx);
    for (size_t i = 0; i < w->sources_n; i++) {
        w->sources[i]->ops->report(w->sources[i], line, ctx);
    }
    line(ctx, "troubles_logged", dp_log_troubles());
}
