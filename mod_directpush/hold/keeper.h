/* keeper: the one thread per child that minds its holds.
 *
 * It sleeps until the watcher wakes it, a timer is due or a worker nudges it;
 * follows the bus; looks at the holds concerned; and answers those that are
 * claimed, through hooks that know httpd. Nothing may block it: no store
 * writes, no logs of requests, no sockets that wait (the clerk does these).
 *
 * Names: dp_keeper_worker_… runs on an httpd worker that owns the hold,
 * dp_keeper_loop_… on the keeper's thread, others on any thread.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "hold/clerk.h"
#include "hold/hold_set.h"
#include "hold/link_client.h"
#include "hold/recent.h"
#include "stats/counters.h"

typedef struct dp_keeper dp_keeper;

/* How urgent a line for the administrator is. */
typedef enum dp_keeper_level {
    DP_KEEPER_ERROR,
    DP_KEEPER_WARNING,
    DP_KEEPER_NOTICE,
    DP_KEEPER_INFO
} dp_keeper_level;

typedef struct dp_keeper_hooks {
    /* Send hold->verdict; state ANSWERING; never blocks. Its owner later says
     * dp_hold_set_settle(). */
    void (*loop_answer)(dp_hold *hold);
    /* state ENDING: shut our side (or, is_half_closed, both), then settle */
    void (*loop_close)(dp_hold *hold);
    /* `directpushctl forget` was journalled; proofs are to go */
    void (*loop_forget)(void *ctx, dp_hash who, uint64_t arg,
                        const dp_bus_map *bus);
    /* once a second */
    void (*loop_tick)(void *ctx);
    /* of dp_hold_set; may be NULL */
    dp_mark (*stored_mark)(const dp_who *who, dp_span id);
    void (*log)(void *ctx, dp_keeper_level level, const char *line);
    void *ctx;
} dp_keeper_hooks;

/* What was said in the log already, shared by the children of a server, so
 * that one cause is one line: a dp_bus_problem, an errno, a flag. */
typedef struct dp_keeper_told {
    _Atomic int32_t bus, link, gone, silence;
} dp_keeper_told;

typedef struct dp_keeper_args {
    const char *runtime_dir;  /* where bus and control.sock are */
    dp_spread_rate *provoke;  /* shared by all children */
    uint32_t provoke_per_s;
    dp_counter_slot *count;   /* may be NULL */
    dp_keeper_told *told;     /* NULL: this child speaks for itself */
    dp_recent *recent;        /* NULL: all Pings are told to all children */
    uint32_t child;           /* its name there */
    dp_time_us tick_us;       /* 0: a second; tests are less patient */
    dp_keeper_hooks hooks;
} dp_keeper_args;

/* A bus that stays mapped while somebody holds it. */
typedef struct dp_bus_handle {
    dp_bus_map map;
    _Atomic unsigned refs;
} dp_bus_handle;

/** Start the thread; after fork. Needs no bus and no watcher to be there. */
apr_status_t dp_keeper_start(dp_keeper **out, const dp_keeper_args *args);

/** End the thread, after what was claimed is answered. Holds may be left, and
 *  the clerk and connections' cleanups may still come for them: all else goes
 *  on working, until the process exits or dp_keeper_free(). */
void dp_keeper_stop(dp_keeper **k);

/** Stop it and free it; no hold may be left and no call follow. */
void dp_keeper_free(dp_keeper **k);

dp_hold_set *dp_keeper_set(dp_keeper *k);

/** The bus of now, or NULL; give it back. */
dp_bus_handle *dp_keeper_bus(dp_keeper *k);
void dp_keeper_bus_release(dp_bus_handle **bus);

/** Does the watcher vouch for anything at present? */
bool dp_keeper_is_alive(dp_keeper *k);

/** May this user have one more Ping here, of at most `max`? A device that has
 *  one may, since that one ends. */
bool dp_keeper_worker_has_share(dp_keeper *k, const dp_who *who, uint32_t max);

/**
 * Link a hold (PARKING), end older ones of its device here and elsewhere, look
 * at it. @return the verdict; status 0: it is linked and may be parked, else
 * it is unlinked again and the caller answers at once
 */
dp_verdict dp_keeper_worker_park(dp_keeper *k, dp_hold *hold,
                                 const dp_topic_spec *names);

/** Taken back without a cause (state TAKEN → PARKING): look again. As above. */
dp_verdict dp_keeper_worker_repark(dp_keeper *k, dp_hold *hold);

/** The MPM is about to poll: PARKING or KICKED → HELD. */
void dp_keeper_worker_held(dp_keeper *k, dp_hold *hold);

/** The hold, TAKEN or still PARKING, ends: last look, unlinked. */
dp_verdict dp_keeper_worker_end(dp_keeper *k, dp_hold *hold,
                                dp_hold_cause cause);

/** Take out and free a hold that the caller owns. Clears the pointer. */
void dp_keeper_worker_free(dp_keeper *k, dp_hold **hold);

/** Somebody follows this topic: have it watched. */
void dp_keeper_want(dp_keeper *k, dp_span user, dp_class class_id,
                    dp_span folder);

/** End all holds of a device, here and in other children (refused). */
void dp_keeper_end(dp_keeper *k, const dp_who *who, dp_hold_cause cause);

/** A mark became firm: holds of this child learn it. */
void dp_keeper_mark(dp_keeper *k, const dp_who *who, dp_span id, dp_mark mark);

/** End everything over `span_us`; 0: as fast as we can. */
void dp_keeper_drain(dp_keeper *k, dp_time_us span_us);

/** Publish for a worker; waits for the answer, a fraction of a second. */
bool dp_keeper_publish(dp_keeper *k, dp_span user, dp_class class_id,
                       dp_span folder, bool is_new, uint64_t *out_seq,
                       uint64_t *out_prev);

#endif
