/* dav: the inside of the dav source: Calendar, Contacts and Tasks of CalDAV and
 * CardDAV servers, by asking them in rounds.
 *
 *   source_dav.c   what the daemon calls: topics, configuration, the queue
 *   dav_box.c      one home of one user      dav_look.c  a look at it
 *   dav_tell.c     what a look means for the bus
 *   dav_home.c     the collections of a home, and what changed (pure)
 *   dav_kinds.c    which items are events, which are tasks (pure)
 *   dav_xml.c      the server's answers (pure)      dav_fetch.c  HTTP
 *   dav_explain.c  for people
 *
 * A box is looked at once per interval, spread by the rate limit, and at once
 * when somebody says that it changed. All looks of a box follow each other: a
 * look that is told of a change while it runs is followed by another one.
 *
 * What `publish` says is a reason to look, not yet an announcement: the look
 * finds the change, and it is announced once. When it finds nothing that was
 * not announced in the last seconds, or fails, or takes too long, the change is
 * announced anyway.
 */
#ifndef DAV_H
#define DAV_H

#include "base/dp_map.h"
#include "watcher/conf.h"
#include "watcher/dav_clock.h"
#include "watcher/dav_fetch.h"
#include "watcher/dav_home.h"
#include "watcher/emit.h"
#include "watcher/source.h"

#define DP_DAV_HOMES 2 /* calendars, contacts */

#define DP_DAV_OWNER(node, type, member)                                       \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Why a look failed; logged once per cause. */
typedef enum dp_dav_trouble {
    DP_DAV_FINE,
    DP_DAV_UNREACHABLE, /* no answer: refused, timed out, TLS */
    DP_DAV_BUSY,        /* 429, 5xx */
    DP_DAV_REDIRECT,
    DP_DAV_NONSENSE,    /* an answer that is none */
    DP_DAV_DENIED,      /* 401, 403; of one user */
    DP_DAV_ABSENT,      /* 404, nothing in it; of one user */
    DP_DAV_TROUBLES
} dp_dav_trouble;

typedef struct dp_dav_box dp_dav_box;

/* How a `publish` waits for its look. */
typedef enum dp_dav_hint {
    DP_DAV_HINT_NONE,
    DP_DAV_HINT_WAITS, /* for the next look to begin */
    DP_DAV_HINT_LOOKED /* the look under way began after it */
} dp_dav_hint;

/* One want; want->of_source. */
typedef struct dp_dav_topic {
    struct dp_dav_topic *next;
    dp_dav_box *box;
    dp_want *want;
    dp_dav_hint hint;
    bool is_new;            /* of the hint */
    dp_time_us changed_us;  /* we announced it then */
} dp_dav_topic;

typedef struct dp_dav {
    dp_source source;
    dp_loop *loop;
    dp_emit *emit;
    dp_wants *wants;
    const uint8_t *hash_key;
    dp_conf_dav conf;       /* a copy of our own */
    dp_dav_fetcher *fetcher;
    dp_map boxes;           /* by user and home */
    dp_link_node queue;     /* boxes that are due */
    dp_link_node urgent;    /* those first: somebody waits */
    dp_loop_timer pump;
    dp_time_us next_us;     /* the rate limit allows a look from then on */
    unsigned running_n;
    dp_dav_clock clock;
    dp_log_cause trouble[DP_DAV_TROUBLES];
    uint64_t looks_n, details_n, kinds_n, failures_n, changes_n, hints_n;
    char answer[512];
} dp_dav;

struct dp_dav_box {
    dp_map_node by_name;
    dp_dav *source;
    char *user;
    unsigned which; /* of the homes */
    char *url;
    dp_dav_home home;
    dp_dav_topic *topics;
    dp_loop_timer due;  /* of the next look */
    dp_loop_timer late; /* hints wait no longer */
    dp_link_node job;   /* in a queue */
    dp_dav_fetch *fetch;
    dp_dav_coll *detailed;
    struct dp_dav_detail *detail; /* of `detailed`, while it is read */
    bool is_looking, wants_again;
    unsigned failures_n; /* in a row */
    dp_dav_trouble trouble;
    dp_time_us until_us; /* not before: the server said so, or 401 */
};

dp_source *dp_dav_new(dp_loop *loop, dp_emit *emit, dp_wants *wants,
                      const uint8_t *hash_key, const dp_conf_dav *conf);

/** The home that has such topics, or -1. */
int dp_dav_home_of(const dp_dav *s, dp_class c);

/** The box of a user's home, made when there is none; NULL after writing
 *  s->answer. */
dp_dav_box *dp_dav_box_get(dp_dav *s, const char *user, unsigned which);
dp_dav_box *dp_dav_box_find(const dp_dav *s, const char *user, unsigned which);
void dp_dav_box_free(dp_dav_box *box);

/** The configuration may be another one: begin again, with its url. */
bool dp_dav_box_readdress(dp_dav_box *box);

/** Begin a look; the queue's turn has come. */
void dp_dav_box_look(dp_dav_box *box);

/** Look as soon as the rate allows; before all others when urgent. */
void dp_dav_box_look_soon(dp_dav_box *box, bool is_urgent);

/** A topic that may be vouched for by what is known. */
void dp_dav_box_vouch(dp_dav_box *box, dp_dav_topic *t);
void dp_dav_box_fill(const dp_dav_box *box, dp_want *want);

/** Is that collection in it, and of that class? */
bool dp_dav_box_has(const dp_dav_box *box, dp_class c, const char *folder);

/** End the look under way, if there is one; nothing is vouched for. */
void dp_dav_box_abandon(dp_dav_box *box, const char *why);

/** A look has ended: others may begin (source_dav.c). */
void dp_dav_look_over(dp_dav *s);

/** A request is sent: the next look is later by its share of the rate. A look
 *  that has begun sends all it needs; others wait for that (source_dav.c). */
void dp_dav_spend(dp_dav *s);

/** The login for a user; the password in `out`, to be wiped.
 *  @return NULL: there is none */
const char *dp_dav_login(const dp_dav *s, const char *user, char *out,
                         size_t cap);

unsigned dp_dav_kind_of(dp_class c);

bool dp_dav_explain(dp_source *source, const char *user, dp_class c,
                    const char *folder, char *out, size_t cap);
void dp_dav_report(const dp_source *source,
                   void (*line)(void *ctx, const char *name, uint64_t value),
                   void *ctx);

#endif
