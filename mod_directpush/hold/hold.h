/* hold: one Ping that waits, and who owns it.
 *
 * A hold is one block of memory: the struct, its items (one per collection of
 * the Ping, and one for the folder hierarchy), and the bytes of their ids and
 * of its device's name. Nothing in it points into a request.
 *
 * Who may touch the connection (its pools, filters, descriptor) is said by one
 * atomic word, `state`; hold_states.def lists the states and the transitions,
 * dp_hold_transit() is the only place that changes it. Links into the hold set
 * are guarded by the set's lock, whatever the state.
 */
#ifndef HOLD_H
#define HOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/dp_clock.h"
#include "base/dp_map.h"
#include "base/dp_wheel.h"
#include "bus/bus_read.h"
#include "device/device.h"
#include "hold/topics.h"

typedef enum dp_hold_state {
#define DP_HOLD_STATE(name, help) DP_HOLD_##name,
#include "hold/hold_states.def"
#undef DP_HOLD_STATE
    DP_HOLD_STATES_N
} dp_hold_state;

/* Why a hold ends, or is looked at. */
typedef enum dp_hold_cause {
    DP_CAUSE_CHANGE = 0, /* something changed, or a timer of its own */
    DP_CAUSE_HEARTBEAT,  /* the heartbeat is over */
    DP_CAUSE_PROOF,      /* its proof expires */
    DP_CAUSE_NEWER,      /* the device sent a newer Ping */
    DP_CAUSE_NEXT,       /* the client has sent its next request */
    DP_CAUSE_DRAIN,      /* this child stops */
    DP_CAUSE_FORGET,     /* the administrator, or the backend, refused it */
    DP_CAUSE_GONE        /* the client went away: no answer */
} dp_hold_cause;

struct dp_hold;
struct dp_look_rules;

/* What dp_look() decides about a hold. */
typedef struct dp_verdict {
    unsigned status;       /* 0: wait; else 1, 2 or 7 */
    bool is_provoked;      /* we know of no change, the device shall sync */
    bool wants_provoke;    /* waits for a moment of DirectPushProvoke */
    unsigned named_n;      /* Status 2: items with was_announced_now set */
    dp_hold_cause cause;   /* why now */
    dp_time_us wake_us;    /* when to look again (status 0) */
} dp_verdict;

/* One collection of a hold. */
typedef struct dp_hold_item {
    struct dp_hold_item *next, **prevp; /* list of its topic */
    struct dp_topic *topic;             /* NULL: nobody can know it */
    struct dp_hold *hold;
    uint64_t mark;            /* seq; 0: no mark */
    uint64_t seq_now;         /* newest seq, as the last look saw it */
    uint64_t announced_seq;
    dp_time_us announced_at_us;
    dp_time_us synced_at_us;  /* 0: never seen */
    dp_time_us lag_until_us;
    dp_time_us settle_until_us; /* a provisional mark may become firm */
    uint64_t likely_seq;      /* a provisional one that probably has: what it
                                 covers is told when the heartbeat ends */
    uint32_t announced_n;
    uint32_t id_off;          /* in the hold's bytes */
    uint16_t id_n;
    uint8_t class_id;         /* dp_class; HIERARCHY for that item */
    uint8_t doubt;            /* dp_doubt, of `mark` */
    bool was_announced_now;   /* named by the answer that is being sent */
    bool is_assumed;          /* its topic: dp_folder_topic */
} dp_hold_item;

#define DP_HOLD_MAGIC 0x44504844u /* "DPHD" */

typedef struct dp_hold {
    uint32_t magic;
    _Atomic uint32_t state;    /* dp_hold_state */
    dp_map_node by_device;     /* key: dp_who_hash() */
    dp_timer timer;            /* next look, keep-alive or closing time */
    struct dp_hold *all_next, **all_at; /* every hold of the set */
    struct dp_hold *ready_next;         /* the keeper's list of work */
    const struct dp_look_rules *rules;  /* of its virtual host */
    bool is_linked;            /* in the set; guarded by its lock */
    bool is_watching;          /* linked to topics and device; by the lock */
    bool is_blocking;          /* a worker waits for it */
    bool is_half_closed;       /* CLOSING: our side is shut */
    bool must_close;           /* answer with Connection: close */
    uint8_t ending;            /* dp_hold_cause of a pending end; by the lock */
    dp_verdict verdict;        /* what to answer; of whoever claimed it */
    uint64_t arrival;          /* of the Ping, dp_clock_mono_us() */
    uint64_t instance;         /* of its marks; 0: of the bus it is linked to */
    uint64_t linked_seq;       /* head of the bus when it was linked */
    dp_time_us ends_us;        /* heartbeat over */
    dp_time_us proof_until_us;
    dp_time_us provoke_at_us;  /* moment reserved for a provoked Sync; 0 none */
    dp_time_us not_before_us;  /* DirectPushPace since the last announcement */
    void *owner;               /* the parked connection, of apache/ */
    dp_who who;                /* into `bytes` */
    uint32_t items_n;
    uint32_t rotate;           /* which folder a renewal names */
    dp_hold_item *items;       /* behind the struct */
    unsigned char *bytes;      /* behind the items */
} dp_hold;

/* What dp_hold_make() is told about each collection. */
typedef struct dp_hold_spec {
    dp_span id;
    dp_class class_id;
    bool is_assumed;
    uint64_t mark;
    uint8_t doubt; /* dp_doubt, of the mark */
    uint64_t announced_seq;
    uint32_t announced_n;
    dp_time_us announced_at_us, synced_at_us, lag_until_us, settle_until_us;
    uint64_t likely_seq;
} dp_hold_spec;

/** Make a hold in state PARKING; malloc'ed, dp_hold_free(). */
dp_hold *dp_hold_make(const dp_who *who, const dp_hold_spec *specs, size_t n);

/** Free it; it must be unlinked. Clears the pointer. */
void dp_hold_free(dp_hold **hold);

/**
 * Change the state from `from` to `to`, if it is `from`.
 * Acquire on success: whoever owned it before has finished with it (release).
 * A transition that hold_states.def does not list is a defect of ours.
 * @return false when the state was another one
 */
bool dp_hold_transit(dp_hold *hold, dp_hold_state from, dp_hold_state to);

dp_hold_state dp_hold_state_of(const dp_hold *hold);
const char *dp_hold_state_name(dp_hold_state s);
const char *dp_hold_cause_name(dp_hold_cause c);

static inline dp_span dp_hold_item_id(const dp_hold_item *i)
{
    return dp_span_of(i->hold->bytes + i->id_off, i->id_n);
}

#endif
