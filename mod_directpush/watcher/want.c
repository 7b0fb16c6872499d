#include "watcher/want.h"

#include <stdlib.h>
#include <string.h>

#include "bus/bus_link.h"
#include "bus/topic_name.h"
#include "watcher/log.h"

/* A GUID, spellings of a user's name, and for a class topic the folders that
 * it stands for. */
#define ALIASES_MAX 1024

struct dp_wants {
    dp_loop *loop;
    dp_bus_writer *bus;
    dp_wants_limits limits;
    dp_map by_key;
    dp_map users;
    dp_map views;
    dp_want_view_of *view_of;
    void *view_ctx;
    dp_want **by_slot; /* topic_cap pointers, touched where used */
    dp_want_hook *ending;
    void *ctx;
    dp_log_cause full, unvouched;
};

#define OWNER(node, type, member)                                              \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

static char *copy_of(const char *text)
{
    char *copy = strdup(text);
    DP_ASSERT(copy);
    return copy;
}

static const uint8_t *hash_key(const dp_wants *ws)
{
    return dp_bus_writer_map(ws->bus)->header->hash_key;
}

static dp_hash key_of(const dp_wants *ws, const char *user, dp_class c,
                      const char *folder)
{
    return dp_topic_key(hash_key(ws), dp_span_str(user), c,
                        dp_span_str(folder));
}

static dp_hash user_key(const dp_wants *ws, const char *user)
{
    dp_span part = dp_span_str(user);
    return dp_hash_spans(hash_key(ws), &part, 1);
}

dp_wants *dp_wants_new(dp_loop *loop, dp_bus_writer *bus,
                       const dp_wants_limits *limits)
{
    dp_wants *ws = calloc(1, sizeof(*ws));
    DP_ASSERT(ws);
    ws->loop = loop;
    ws->bus = bus;
    ws->limits = *limits;
    ws->by_slot = calloc(dp_bus_writer_map(bus)->topic_cap,
                         sizeof(*ws->by_slot));
    DP_ASSERT(ws->by_slot);
    return ws;
}

void dp_wants_set_limits(dp_wants *ws, const dp_wants_limits *limits)
{
    ws->limits = *limits;
}

void dp_wants_on_end(dp_wants *ws, dp_want_hook *ending, void *ctx)
{
    ws->ending = ending;
    ws->ctx = ctx;
}

void dp_wants_on_view(dp_wants *ws, dp_want_view_of *view_of, void *ctx)
{
    ws->view_of = view_of;
    ws->view_ctx = ctx;
}

void dp_wants_each_view(dp_wants *ws, dp_hash key, dp_want_hook *each,
                        void *ctx)
{
    for (dp_map_node *n = dp_map_get(&ws->views, key), *next; n; n = next) {
        next = dp_map_same(n);
        each(ctx, OWNER(n, dp_want, by_view));
    }
}

dp_want *dp_wants_find(const dp_wants *ws, const char *user, dp_class c,
                       const char *folder)
{
    dp_map_node *n = dp_map_get(&ws->by_key, key_of(ws, user, c, folder));
    return n ? OWNER(n, dp_want, by_key) : NULL;
}

dp_want *dp_wants_at_slot(const dp_wants *ws, uint32_t slot)
{
    return slot < dp_bus_writer_map(ws->bus)->topic_cap ? ws->by_slot[slot]
                                                        : NULL;
}

dp_want_user *dp_wants_user(const dp_wants *ws, const char *user)
{
    dp_map_node *n = dp_map_get(&ws->users, user_key(ws, user));
    return n ? OWNER(n, dp_want_user, by_name) : NULL;
}

size_t dp_wants_n(const dp_wants *ws)
{
    return ws->by_key.n;
}

bool dp_wants_may_stay(dp_wants *ws, const dp_want *want)
{
    const dp_bus_map *map = dp_bus_writer_map(ws->bus);
    uint32_t watched = atomic_load_explicit(&map->header->topics_watched,
                                            memory_order_relaxed);
    if (want->is_vouched || want->renewed_us
        || ws->by_key.n - watched <= map->topic_cap / 2) {
        return true;
    }
    if (dp_log_first(&ws->unvouched)) {
        dp_log(DP_LOG_WARN,
               "half of the table of %u topics is for folders that nobody can "
               "vouch for: users without a mailbox, or classes that no source "
               "watches; further ones are refused. See who asks for them over "
               "the control socket, or raise topics as directpushd.conf(5) "
               "says",
               map->topic_cap);
    }
    return false;
}

static dp_want_user *get_user(dp_wants *ws, const char *name)
{
    dp_want_user *user = dp_wants_user(ws, name);
    if (!user) {
        user = calloc(1, sizeof(*user));
        DP_ASSERT(user);
        user->name = copy_of(name);
        dp_map_put(&ws->users, &user->by_name, user_key(ws, name));
    }
    return user;
}

static void drop_user_if_idle(dp_wants *ws, dp_want_user *user)
{
    if (!user->first) {
        dp_map_del(&ws->users, &user->by_name);
        free(user->name);
        free(user);
    }
}

static bool is_whole_class(const char *folder)
{
    return strcmp(folder, DP_TOPIC_WHOLE_CLASS) == 0;
}

static uint32_t used_of(const dp_wants *ws)
{
    return atomic_load_explicit(&dp_bus_writer_map(ws->bus)->header->topics_used,
                                memory_order_relaxed);
}

/* Folders stop at 3/4 of the table, class topics at the bus's own 7/8. */
static bool has_room(const dp_wants *ws, const dp_want_user *user,
                     const char *folder)
{
    return is_whole_class(folder)
           || (user->wants_n < ws->limits.user_topics
               && used_of(ws)
                      < dp_bus_writer_map(ws->bus)->topic_cap / 4 * 3);
}

static void expired(void *ctx);

/* A name leads to one want: whoever had `key` as another name for something
 * (the class want, while its folder shared that) has it no more. Else a later
 * process would restore both, and its end would take the name from the other.
 */
static void take_name_from_others(dp_wants *ws, dp_hash key, dp_class c)
{
    dp_bus_ref ref = dp_bus_find(dp_bus_writer_map(ws->bus), key);
    dp_want *holder = dp_wants_at_slot(ws, ref.slot);
    if (!holder) {
        return;
    }
    for (dp_want_alias **at = &holder->aliases; *at; at = &(*at)->next) {
        dp_want_alias *a = *at;
        if (dp_hash_is(key_of(ws, a->user, c, a->folder), key)) {
            *at = a->next;
            holder->aliases_n--;
            free(a->user);
            free(a->folder);
            free(a);
            return;
        }
    }
}

static void link_view(dp_wants *ws, dp_want *want)
{
    dp_hash key;
    want->is_view = ws->view_of && ws->view_of(ws->view_ctx, want, &key);
    if (want->is_view) {
        dp_map_put(&ws->views, &want->by_view, key);
    }
}

static void link_class(dp_wants *ws, dp_want *want)
{
    dp_want_user *user = want->user;
    if (is_whole_class(want->folder)) {
        user->classes[want->class] = want;
        for (dp_want *w = user->first; w; w = w->next) {
            if (w->class == want->class && w != want) {
                dp_bus_topic_set_class(ws->bus, w->ref, want->ref.slot);
            }
        }
    }
}

static dp_want *make(dp_wants *ws, dp_want_user *user, dp_class c,
                     const char *folder)
{
    bool is_class = is_whole_class(folder);
    const dp_want *class_want = is_class ? NULL : user->classes[c];
    dp_hash key = key_of(ws, user->name, c, folder);
    take_name_from_others(ws, key, c);
    dp_bus_ref ref = dp_bus_topic_add(
        ws->bus, key, class_want ? class_want->ref.slot : DP_BUS_NO_SLOT,
        is_class ? DP_BUS_TOPIC_CLASS : 0);
    if (ref.slot == DP_BUS_NO_SLOT) {
        return NULL;
    }
    dp_want *want = calloc(1, sizeof(*want));
    DP_ASSERT(want);
    want->magic = DP_WANT_MAGIC;
    want->owner = ws;
    want->user = user;
    want->class = c;
    want->folder = copy_of(folder);
    want->ref = ref;
    want->expiry = (dp_loop_timer){.due = expired, .ctx = want};
    dp_list_init(&want->changed);
    dp_list_init(&want->dirty);
    dp_list_init(&want->gone);
    want->next = user->first;
    if (want->next) {
        want->next->prev = want;
    }
    user->first = want;
    user->wants_n++;
    dp_map_put(&ws->by_key, &want->by_key, key);
    ws->by_slot[ref.slot] = want;
    link_view(ws, want);
    link_class(ws, want);
    return want;
}

static void say_folding(dp_wants *ws, dp_want_user *user)
{
    const dp_bus_map *map = dp_bus_writer_map(ws->bus);
    if (user->wants_n >= ws->limits.user_topics) {
        if (!user->is_folding) {
            user->is_folding = true;
            dp_log(DP_LOG_WARN,
                   "%s: more than %u folders asked for; further ones share one "
                   "topic, and devices sync a little more often than needed "
                   "(user_topics)",
                   user->name, ws->limits.user_topics);
        }
    }
    else if (dp_log_first(&ws->full)) {
        dp_log(DP_LOG_WARN,
               "the table of %u topics is nearly full; further folders share "
               "their user's topic: raise topics in directpushd.conf, stop "
               "directpushd, remove the file bus, and start it",
               map->topic_cap);
    }
}

dp_want *dp_wants_get(dp_wants *ws, const char *user_name, dp_class c,
                      const char *folder)
{
    dp_want *want = dp_wants_find(ws, user_name, c, folder);
    if (want) {
        return want;
    }
    dp_want_user *user = get_user(ws, user_name);
    if (!has_room(ws, user, folder)) {
        say_folding(ws, user);
        folder = DP_TOPIC_WHOLE_CLASS;
        if (user->classes[c]) {
            return user->classes[c];
        }
    }
    want = make(ws, user, c, folder);
    drop_user_if_idle(ws, user);
    return want;
}

dp_want *dp_wants_restore(dp_wants *ws, const char *user_name, dp_class c,
                          const char *folder)
{
    dp_want *want = dp_wants_find(ws, user_name, c, folder);
    if (!want) {
        want = make(ws, get_user(ws, user_name), c, folder);
        DP_ASSERT(want); /* its slot is there */
    }
    return want;
}

void dp_want_renew(dp_wants *ws, dp_want *want, dp_time_us now_us)
{
    want->renewed_us = now_us;
    dp_bus_renewed(ws->bus, want->ref, now_us);
    dp_loop_at(ws->loop, &want->expiry,
               now_us + DP_LINK_WATCH_EXPIRY_S * DP_SECOND_US);
}

static bool is_alias_known(const dp_want *want, const char *user,
                           const char *folder)
{
    for (const dp_want_alias *a = want->aliases; a; a = a->next) {
        if (strcmp(a->user, user) == 0 && strcmp(a->folder, folder) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_guid(const char *folder)
{
    return dp_topic_guid(dp_span_str(folder)).n != 0;
}

static void remember_alias(dp_want *want, const char *user, const char *folder)
{
    dp_want_alias *a = malloc(sizeof(*a));
    DP_ASSERT(a);
    *a = (dp_want_alias){want->aliases, copy_of(user), copy_of(folder)};
    want->aliases = a;
    want->aliases_n++;
}

void dp_want_add_alias(dp_wants *ws, dp_want *want, const char *user,
                       const char *folder)
{
    const dp_bus_map *map = dp_bus_writer_map(ws->bus);
    dp_hash key = key_of(ws, user, want->class, folder);
    bool is_known = is_alias_known(want, user, folder);
    bool is_needed = is_guid(folder) && !dp_want_guid(want);
    if ((is_known && dp_bus_find(map, key).slot == want->ref.slot)
        || (!is_known && want->aliases_n >= ALIASES_MAX && !is_needed)
        || dp_map_get(&ws->by_key, key)) { /* a topic of its own by now */
        return;
    }
    if (!is_known) {
        take_name_from_others(ws, key, want->class);
        remember_alias(want, user, folder);
    }
    if (dp_bus_alias_set(ws->bus, key, want->ref) && want->is_vouched) {
        /* who was told "no" to this name hears of it */
        dp_bus_vouch_again(ws->bus, want->ref,
                           dp_bus_look(map, want->ref).watched_from);
    }
}

const char *dp_want_guid(const dp_want *want)
{
    for (const dp_want_alias *a = want->aliases; a; a = a->next) {
        dp_span guid = dp_topic_guid(dp_span_str(a->folder));
        if (guid.n) {
            return (const char *)guid.p; /* it ends with the alias */
        }
    }
    return NULL;
}

static void drop_aliases(dp_wants *ws, dp_want *want)
{
    for (dp_want_alias *a = want->aliases, *next; a; a = next) {
        next = a->next;
        dp_bus_alias_drop(ws->bus,
                          key_of(ws, a->user, want->class, a->folder));
        free(a->user);
        free(a->folder);
        free(a);
    }
    want->aliases = NULL;
}

static void unlink_of_user(dp_want *want)
{
    dp_want_user *user = want->user;
    if (want->prev) {
        want->prev->next = want->next;
    }
    else {
        user->first = want->next;
    }
    if (want->next) {
        want->next->prev = want->prev;
    }
    user->wants_n--;
    if (user->classes[want->class] == want) {
        user->classes[want->class] = NULL;
    }
}

static void release(dp_wants *ws, dp_want *want)
{
    dp_want_user *user = want->user;
    dp_loop_cancel(ws->loop, &want->expiry);
    dp_list_del(&want->changed);
    dp_list_del(&want->dirty);
    dp_list_del(&want->gone);
    drop_aliases(ws, want);
    dp_map_del(&ws->by_key, &want->by_key);
    if (want->is_view) {
        dp_map_del(&ws->views, &want->by_view);
    }
    ws->by_slot[want->ref.slot] = NULL;
    unlink_of_user(want);
    drop_user_if_idle(ws, user);
    free(want->folder);
    want->magic = 0;
    free(want);
}

/* The bus would have to look through all topics for them. */
static void leave_members(dp_wants *ws, const dp_want *want)
{
    for (dp_want *w = is_whole_class(want->folder) ? want->user->first : NULL;
         w; w = w->next) {
        if (w->class == want->class && w != want) {
            dp_bus_topic_set_class(ws->bus, w->ref, DP_BUS_NO_SLOT);
        }
    }
}

void dp_want_end(dp_wants *ws, dp_want **pwant)
{
    dp_want *want = *pwant;
    DP_MAGIC_CHECK(want, DP_WANT_MAGIC);
    *pwant = NULL;
    if (ws->ending) {
        ws->ending(ws->ctx, want);
    }
    leave_members(ws, want);
    dp_bus_topic_drop(ws->bus, want->ref);
    release(ws, want);
    if (used_of(ws) < dp_bus_writer_map(ws->bus)->topic_cap / 8 * 5) {
        dp_log_over(&ws->full); /* not with each that is asked for in vain */
    }
}

static void expired(void *ctx)
{
    dp_want *want = ctx;
    DP_MAGIC_CHECK(want, DP_WANT_MAGIC);
    dp_log(DP_LOG_DEBUG, "%s %s %s: nobody asked for two days", want->user->name,
           dp_class_name(want->class), want->folder);
    dp_want_end(want->owner, &want);
}

typedef struct each_ctx {
    dp_want_hook *each;
    void *ctx;
} each_ctx;

static void each_node(void *ctx, dp_map_node *node)
{
    each_ctx *e = ctx;
    e->each(e->ctx, OWNER(node, dp_want, by_key));
}

void dp_wants_each(dp_wants *ws, dp_want_hook *each, void *ctx)
{
    each_ctx e = {each, ctx};
    dp_map_each(&ws->by_key, each_node, &e);
}

/* At the end of the process: slots and aliases stay in the bus for the next
 * one, which finds them by their keys. */
static void release_only(void *ctx, dp_want *want)
{
    for (dp_want_alias *a = want->aliases, *next; a; a = next) {
        next = a->next;
        free(a->user);
        free(a->folder);
        free(a);
    }
    want->aliases = NULL;
    release(ctx, want);
}

void dp_wants_free(dp_wants **pws)
{
    dp_wants *ws = *pws;
    if (ws) {
        dp_wants_each(ws, release_only, ws);
        dp_map_free(&ws->by_key);
        dp_map_free(&ws->users);
        dp_map_free(&ws->views);
        free(ws->by_slot);
        free(ws);
        *pws = NULL;
    }
}
