/* want: who asked for what.
 *
 * A want is one topic of the bus that somebody asked to be watched: it has a
 * slot from the first `watch` until it expires, is told about by one source,
 * and belongs to the wants of its user. Invariants:
 *  - while a want lives, its slot is its own; the slot goes with it
 *  - a folder's want names the user's class want as its class, if there is one
 *  - its bus topic is vouched for exactly while is_vouched
 *
 * A user's folders beyond a limit, and all further ones when the table is
 * nearly full, have no want of their own: the class want stands for them
 * (coarser, never blind). The last eighth of the usable table is kept for
 * class topics, so that there is always something to fold into.
 */
#ifndef WANT_H
#define WANT_H

#include "base/dp_map.h"
#include "bus/bus_write.h"
#include "watcher/cursor.h"
#include "watcher/loop.h"

struct dp_conf;
struct dp_source;

typedef struct dp_want dp_want;
typedef struct dp_wants dp_wants;

/* Another name for a want: a GUID, or a user without the default domain. */
typedef struct dp_want_alias {
    struct dp_want_alias *next;
    char *user;
    char *folder;
} dp_want_alias;

typedef struct dp_want_user {
    dp_map_node by_name;
    char *name;
    dp_want *first;
    dp_want *classes[DP_CLASS_N]; /* the `*` of each class, or NULL */
    uint32_t wants_n;
    bool is_folding; /* logged */
} dp_want_user;

/* A place in a list; itself when in none. */
typedef struct dp_link_node {
    struct dp_link_node *next, *prev;
} dp_link_node;

struct dp_want {
    uint32_t magic;
    dp_wants *owner;
    dp_map_node by_key; /* of (user, class, folder) */
    dp_want_user *user;
    dp_want *next, *prev; /* of the same user */
    dp_map_node by_view;  /* of what it is a view of, if is_view */
    bool is_view;
    dp_class class;
    char *folder;
    dp_bus_ref ref;
    dp_want_alias *aliases;
    unsigned aliases_n;
    struct dp_source *source; /* NULL: nobody watches */
    void *of_source;          /* the source's own */
    bool is_vouched;
    /* since the last publish in this turn */
    uint32_t adds_n, others_n; /* DP_BUS_MANY: or more */
    dp_link_node changed;
    /* for the cursor store */
    dp_cursor cursor;   /* as the source last said it */
    dp_link_node dirty; /* in a list: not stored like that yet */
    dp_link_node gone;  /* in a list: ends with this turn */
    /* left by an earlier process of this boot, until the first vouch */
    bool is_restored;
    bool is_stored; /* and its record still says what is so */
    dp_cursor old_cursor;
    uint64_t old_watched_from;
    dp_time_us renewed_us;
    dp_loop_timer expiry;
};

#define DP_WANT_MAGIC 0x44505761u

static inline void dp_list_init(dp_link_node *n)
{
    n->next = n->prev = n;
}

static inline bool dp_list_is_empty(const dp_link_node *n)
{
    return n->next == n;
}

/** Out of whatever list it is in. */
static inline void dp_list_del(dp_link_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    dp_list_init(n);
}

/** To the end of `list`; `n` is in none. */
static inline void dp_list_add(dp_link_node *list, dp_link_node *n)
{
    n->prev = list->prev;
    n->next = list;
    list->prev->next = n;
    list->prev = n;
}

typedef struct dp_wants_limits {
    uint32_t user_topics;
} dp_wants_limits;

typedef void dp_want_hook(void *ctx, dp_want *want);

dp_wants *dp_wants_new(dp_loop *loop, dp_bus_writer *bus,
                       const dp_wants_limits *limits);
void dp_wants_free(dp_wants **ws);
void dp_wants_set_limits(dp_wants *ws, const dp_wants_limits *limits);

/** `ending` is called before a want goes: what is left of its changes is
 *  published, its source leaves, its cursor is forgotten. */
void dp_wants_on_end(dp_wants *ws, dp_want_hook *ending, void *ctx);

/** Whose collection a new want is a view of, as a key: see
 *  dp_wants_each_view(). @return false: it is none */
typedef bool dp_want_view_of(void *ctx, const dp_want *want, dp_hash *out_key);
void dp_wants_on_view(dp_wants *ws, dp_want_view_of *view_of, void *ctx);

/** Call `each` for all views with that key; it ends none. */
void dp_wants_each_view(dp_wants *ws, dp_hash key, dp_want_hook *each,
                        void *ctx);

dp_want *dp_wants_find(const dp_wants *ws, const char *user, dp_class c,
                       const char *folder);
dp_want *dp_wants_at_slot(const dp_wants *ws, uint32_t slot);
dp_want_user *dp_wants_user(const dp_wants *ws, const char *user);
size_t dp_wants_n(const dp_wants *ws);

/** Was this new want vouched for by its source, or is there room for one that
 *  was not? These get half of the table: whoever may speak to us can name
 *  users that do not exist, as many as he likes. If not, said once. */
bool dp_wants_may_stay(dp_wants *ws, const dp_want *want);

/**
 * Find a want or make one; a folder that finds no place gives its class's.
 * @param user  canonical    @param folder  no alias
 * @return NULL when even the class topic finds no place
 */
dp_want *dp_wants_get(dp_wants *ws, const char *user, dp_class c,
                      const char *folder);

/** Take a topic over that is in the bus already; no limit counts. */
dp_want *dp_wants_restore(dp_wants *ws, const char *user, dp_class c,
                          const char *folder);

/** Asked for at `now_us`: it expires DP_LINK_WATCH_EXPIRY_S later. */
void dp_want_renew(dp_wants *ws, dp_want *want, dp_time_us now_us);

/** Another name, here and, while there is room, in the bus. A GUID is always
 *  remembered: what it means decides whether the want is still right. */
void dp_want_add_alias(dp_wants *ws, dp_want *want, const char *user,
                       const char *folder);

/** The GUID among the aliases, or NULL. */
const char *dp_want_guid(const dp_want *want);

/** End it now: the slot's generation ends, readers of it go blind. */
void dp_want_end(dp_wants *ws, dp_want **want);

void dp_wants_each(dp_wants *ws, dp_want_hook *each, void *ctx);

#endif
