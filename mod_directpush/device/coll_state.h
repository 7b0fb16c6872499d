/* coll_state: how far one device has got with one collection.
 *
 * The mark is firm: the device is known to have the response that earned it.
 * A newer one is provisional until then (design.md 3.2), at most one at a
 * time. `announced…` remembers the last Status 2 that named the collection and
 * was not yet followed by a completed Sync of it (design.md 6.6).
 * Times are dp_clock_mono_us(); one that lies in the future is of another
 * boot and counts as 0.
 *
 * A mark is true of a device that holds a certain SyncKey, so the two keys of
 * the last Sync are kept beside it (hashed, dp_sync_key_hash()): a device that
 * comes with another one has gone back, or on without our seeing it, and what
 * the mark says of it is void (design.md 3.2).
 *
 *   made by a Sync that …   then                 its keys are
 *   brought nothing         firm at once         the request's, the response's
 *   brought items           provisional: prov    the request's, the response's
 *     … and was delivered   firm                 the response's
 *     … and was lost        gone, `mark` stands  the request's
 */
#ifndef COLL_STATE_H
#define COLL_STATE_H

#include "bus/bus_read.h"
#include "device/device.h"
#include "device/device_store.h"

typedef struct dp_coll_state {
    dp_mark mark;
    dp_mark prov;            /* instance 0: none */
    uint64_t prov_token;     /* which delivery makes it firm */
    uint64_t prov_old_key;   /* hash of the SyncKey that the Sync was sent
                                with; 0: no longer good for the mark */
    uint64_t prov_new_key;   /* … that its response gave; 0: the same */
    dp_time_us synced_at_us; /* last completed Sync; 0 never seen */
    dp_mark announced;       /* newest of changed and watched_from, then */
    uint32_t announced_n;    /* times, without a completed Sync in between */
    uint32_t useless_n;      /* loop guard: announced Syncs that brought
                                nothing and left the mark, in a row */
    dp_time_us announced_at_us;
    dp_time_us lag_until_us; /* the backend lagged: ask again then; 0 no */
    dp_time_us doubt_until_us; /* a Sync that begins later ends the doubt of the
                                  marks; of the newest that has one */
    dp_bus_ref counted;      /* the topic that the marks' counts are of */
    uint32_t more_adds;      /* items that came with MoreAvailable, up to the */
    uint32_t more_others;    /* Sync that gave prov_new_key, in a row */
    uint32_t filter;         /* FilterType of its last Sync (eas_sync.h) */
    uint32_t spare;
    dp_time_us asked_at_us;  /* when the newest Sync that has ended began: one
                                that began before it comes too late to tell */
} dp_coll_state;

/** Read. @return false when nothing is known; *out is zeroed then */
bool dp_coll_state_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                       dp_span id, dp_coll_state *out);
apr_status_t dp_coll_state_put(dp_store *s, dp_store_txn *t, const dp_who *who,
                               dp_span id, const dp_coll_state *st);

/** A SyncKey as it stands in records: no secret, 0 for none. */
uint64_t dp_sync_key_hash(dp_span key);

/** The provisional mark with this token is firm now. @return true if it was
 *  there */
bool dp_coll_state_deliver(dp_coll_state *st, uint64_t token);

/** A device has this many at most; a phone that names more loses the older
 *  ones, which costs it one Sync each. Three times DirectPushMaxFolders. */
#define DP_COLLS_PER_DEVICE 1000

/** One collection of a Ping's answer. */
typedef struct dp_announced {
    dp_span id;
    uint64_t seq;
} dp_announced;

/** Note, in transaction `t` or (NULL) one of its own, that a Status 2 named these, with seqs of the bus
 *  `instance`. `announced_n` counts on while the seq is the same or 0 (not
 *  vouched for), and restarts with 1. */
apr_status_t dp_coll_state_announced(dp_store *s, dp_store_txn *t,
                                     const dp_who *who, uint64_t instance,
                                     const dp_announced *list, size_t n,
                                     dp_time_us now_us);

/**
 * The response with this token reached the device: its provisional marks
 * become firm. @param ids the collections of that exchange; a FolderSync has
 * none, its mark is looked at always
 */
apr_status_t dp_coll_state_delivered(dp_store *s, const dp_who *who,
                                     uint64_t token, const dp_span *ids,
                                     size_t n);

#endif
