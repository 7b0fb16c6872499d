/* hold_set: the holds of one child: by device, by topic, by time.
 *
 * One lock guards all links; under it dp_look() decides, and a hold that is to
 * be answered is claimed (its state says who owns it) and put on the list
 * `ready` for the keeper. Nothing here touches a connection. Lock order: this
 * lock is innermost; nothing is called out of it but stored_mark().
 *
 * Functions `_locked` want the lock held; the others take it.
 */
#ifndef HOLD_SET_H
#define HOLD_SET_H

#include <pthread.h>

#include "hold/hold.h"
#include "hold/look.h"
#include "hold/share.h"
#include "policy/spread.h"
#include "stats/counters.h"

/* The topic of an item, by name. */
typedef struct dp_topic_spec {
    dp_class class_id;
    dp_span folder;
} dp_topic_spec;

typedef struct dp_hold_set {
    pthread_mutex_t lock;
    pthread_cond_t settled; /* a hold left ANSWERING or ENDING */
    unsigned waiters_n;     /* workers that wait for it */
    dp_map by_device;
    dp_topics topics;
    dp_wheel wheel;
    dp_hold *all;           /* newest first */
    size_t holds_n;
    size_t watching_n;      /* Pings that wait */
    size_t owned_n;         /* in ANSWERING or ENDING */
    dp_hold *relook_at;     /* next hold of a walk over all, or NULL */
    dp_hold *ready, **ready_last;
    const dp_bus_map *bus;  /* NULL: none; replaced under the lock */
    bool is_alive;          /* the watcher vouches */
    bool has_found;         /* a topic is_found_anew: the keeper's work */
    bool is_draining;
    bool is_over;           /* the keeper has ended: nothing is claimed */
    /* The firm mark that is stored now; NULL: nothing is. Asked before an
     * announcement that waited for one (settle_until_us); must not block. */
    dp_mark (*stored_mark)(const dp_who *who, dp_span id);
    dp_spread_rate *provoke;
    uint32_t provoke_per_s;
    dp_counter_slot *count; /* may be NULL */
    dp_share share;         /* of those that wait, each user's */
    int nudge_fd;           /* eventfd that ends the keeper's sleep */
    dp_time_us sleeps_until_us; /* the keeper's sleep; 0 while it is awake */
} dp_hold_set;

void dp_hold_set_init(dp_hold_set *set, dp_spread_rate *provoke,
                      uint32_t provoke_per_s, int nudge_fd,
                      dp_time_us now_us);
void dp_hold_set_destroy(dp_hold_set *set);

/** Something is to be done at `due_us`: end the keeper's sleep if it would
 *  last longer. */
void dp_hold_set_nudge_locked(dp_hold_set *set, dp_time_us due_us);

/** Link a new hold (PARKING): to its topics (`names`, one per item; class
 *  UNKNOWN: none), its device, the list of all. */
void dp_hold_set_link_locked(dp_hold_set *set, dp_hold *hold,
                             const dp_topic_spec *names);

/** No longer wake it; it stays in the list of all. */
void dp_hold_set_unwatch_locked(dp_hold_set *set, dp_hold *hold);

/** Take it out altogether; dp_hold_free() may follow. */
void dp_hold_set_remove_locked(dp_hold_set *set, dp_hold *hold);

/**
 * Look at a hold that waits, and act: set its timer anew, or claim it for
 * `ready`, or kick the worker that is about to park it.
 */
void dp_hold_set_consider_locked(dp_hold_set *set, dp_hold *hold,
                                 dp_time_us now_us);

/** Look as the hold's owner. Status 0: its timer is set. Reserves a moment of
 *  DirectPushProvoke when that is what it waits for. */
dp_verdict dp_hold_set_look_locked(dp_hold_set *set, dp_hold *hold,
                                   bool is_final, dp_time_us now_us);

/** Something happened to the topics of this slot. */
void dp_hold_set_slot_locked(dp_hold_set *set, uint32_t slot,
                             dp_time_us now_us);

/** When the newest Ping of a device that waits here arrived; 0: none does. */
uint64_t dp_hold_set_newest_locked(dp_hold_set *set, dp_hash device);

/** End the holds of a device that arrived before `arrival`. @return how many */
size_t dp_hold_set_end_locked(dp_hold_set *set, dp_hash device,
                              uint64_t arrival, dp_hold_cause cause,
                              dp_time_us now_us);

/** End the holds that `is_him` says yes to. */
void dp_hold_set_end_if_locked(dp_hold_set *set,
                               bool (*is_him)(void *ctx, const dp_who *who),
                               void *ctx, dp_hold_cause cause,
                               dp_time_us now_us);

/** Begin a walk over all holds; dp_hold_set_relook_locked() takes steps. */
void dp_hold_set_relook_begin_locked(dp_hold_set *set);
/** Look at up to `n` holds of the walk. @return false when it is over */
bool dp_hold_set_relook_locked(dp_hold_set *set, size_t n, dp_time_us now_us);

/** Fire what is due; owners find it in `ready`. */
void dp_hold_set_expire_locked(dp_hold_set *set, dp_time_us now_us);

/** Take the whole list of claimed holds. */
dp_hold *dp_hold_set_ready_locked(dp_hold_set *set);

/** Another bus (or none): topics anew; marks of another instance than the
 *  new bus's are none. */
void dp_hold_set_rebind_locked(dp_hold_set *set, const dp_bus_map *bus);

/** End all over `span_us`, evenly at random; new ones end at once. */
void dp_hold_set_drain_locked(dp_hold_set *set, dp_time_us span_us,
                              dp_time_us now_us);

/** A firm mark was stored for (device, collection): holds learn it. */
void dp_hold_set_mark_locked(dp_hold_set *set, dp_hash device, dp_span id,
                             dp_mark mark, dp_time_us now_us);

/**
 * A worker takes the connection back (MPM's resume): waits while keeper or
 * clerk own it. @return the state it was taken from
 */
dp_hold_state dp_hold_set_worker_take(dp_hold_set *set, dp_hold *hold);

/** Leave ANSWERING or ENDING for `to`, with a timer (0: none). */
void dp_hold_set_settle(dp_hold_set *set, dp_hold *hold, dp_hold_state to,
                        dp_time_us timer_us);

#endif
