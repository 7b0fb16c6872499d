/* dav_home: the collections of one home of one user, and what changed in them.
 *
 * A look is: the list (PROPFIND), then for some collections their detail
 * (REPORT sync-collection since the base). Tags of some servers (SOGo) are the
 * newest change in whole seconds: two changes within one second look the same,
 * to us and to the backend, whose Sync keys are such tags: a phone that syncs
 * in the middle of that second is never given what follows in it. So nothing
 * is told before the second of the tag is over. After that the collection
 * stays *open* for a while, for a server that is late: it is looked at again,
 * and the detail since the settled base tells whether there is more:
 *
 *    settled --tag moved--> waits --second over--> told, open
 *       ^                     |                      |
 *       +--- detail the same, and settled -----------+ differs: told once more
 *
 * Where there is no detail, a change is told when it is settled. Pure.
 */
#ifndef DAV_HOME_H
#define DAV_HOME_H

#include <stdint.h>

#include "base/dp_clock.h"
#include "watcher/dav_kinds.h"
#include "watcher/dav_xml.h"

/* A tag of that second is final this much after the second began: the second
 * itself, and one for a server that dates a change before it is to be seen. */
#define DP_DAV_SETTLE_S 2

typedef struct dp_dav_coll {
    struct dp_dav_coll *next;
    char *name;
    unsigned kinds; /* of dp_dav_kind */
    char *tag;      /* newest seen */
    char *token;    /* "" when there is none */
    char *base_tag, *base_token; /* of the settled state */
    uint64_t told;  /* the detail since the base that was told */
    bool is_open, is_seen, is_fresh;
    bool has_moved;     /* its tag is another, and that was not judged yet */
    unsigned waits_n;   /* looks at it since then that came too early */
    bool wants_detail;  /* ask for it in this look */
    unsigned changed;   /* kinds to be told of; cleared by who does */
    uint32_t base_n;    /* the base is the so-manieth one */
    dp_dav_kinds known;
} dp_dav_coll;

typedef struct dp_dav_home {
    unsigned kinds; /* which ones it is to have */
    dp_dav_coll *first;
    bool is_known;    /* a look has succeeded */
    bool has_list_changed; /* in this look: one came or went */
    unsigned blind; /* kinds of which one collection says nothing of changes */
    unsigned tries;   /* looks that found it too young to begin with */
    /* of the look under way */
    unsigned blind_seen;
    dp_time_us floor_us; /* the server's clock when it began, or earlier */
    dp_time_us known_floor_us; /* a better one from other answers, or 0 */
} dp_dav_home;

#define DP_DAV_NO_DETAIL 1 /* sum of an empty list */

/** Begin a look; what an earlier one left unfinished is forgotten. */
void dp_dav_home_begin(dp_dav_home *h);

/** One response of the list; a dp_dav_each with the home as ctx. */
bool dp_dav_home_take(void *home, const dp_dav_response *r);

/**
 * The list is whole.
 * @param date_s      the server's Date, or 0
 * @param elapsed_us  from before asking
 * @return false: no collection in it at all; nothing was changed
 */
bool dp_dav_home_listed(dp_dav_home *h, long long date_s,
                        dp_time_us elapsed_us);

/** The next that wants detail, or NULL. */
dp_dav_coll *dp_dav_home_next_detail(const dp_dav_home *h);

/** Its detail: `sum` by dp_dav_detail_add, token of the answer.
 *  @param kinds  of the items that differ from those told before, or more */
void dp_dav_home_detail(dp_dav_home *h, dp_dav_coll *c, uint64_t sum,
                        const char *token, unsigned kinds);

/** There is no detail to be had. */
void dp_dav_home_no_detail(dp_dav_home *h, dp_dav_coll *c);

/** The look is over. @return false: it is too young to begin with, look again
 *  soon; nothing is to be told */
bool dp_dav_home_end(dp_dav_home *h);

/** Is anything open? Then look again soon. */
bool dp_dav_home_is_open(const dp_dav_home *h);

/** Has one of these kinds (or of that name, unless NULL) moved, and waits for
 *  its second to be over? Then look again very soon. */
bool dp_dav_home_waits(const dp_dav_home *h, unsigned kinds, const char *name);

/** Sum over one item of a detail; begin with DP_DAV_NO_DETAIL. */
uint64_t dp_dav_detail_add(uint64_t sum, const uint8_t *hash_key,
                           const dp_dav_response *r);

dp_dav_coll *dp_dav_home_find(const dp_dav_home *h, const char *name);
void dp_dav_home_clear(dp_dav_home *h);

#endif
