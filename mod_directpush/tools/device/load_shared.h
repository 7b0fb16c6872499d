/* load_shared: what the coordinator and the workers of a load have in common.
 *
 * One mapping, made before fork. The coordinator writes what shall be done and
 * who is expected to be told; each worker counts in a slot of its own and says
 * since when each of its devices waits. A word has one writer, except where it
 * says otherwise. A worker looks at `wanted`, `follows` and `must_quit` when a
 * byte comes over its line, and at `follows`, `is_expected` and `published_us`
 * when an answer comes: these are written before the publish that leads to the
 * answer.
 */
#ifndef LOAD_SHARED_H
#define LOAD_SHARED_H

#include <stdatomic.h>

#include "base/dp_clock.h"
#include "stats/histogram.h"
#include "tools/device/load_args.h"
#include "tools/device/load_device.h"

#define DP_LOAD_NOBODY UINT32_MAX

/* Counts since the start, but for gauges. */
typedef struct dp_load_slot {
    _Alignas(64) _Atomic uint64_t waiting; /* gauge: their request is written */
    _Atomic uint64_t given_up;             /* gauge: left out for good */
    _Atomic uint64_t connections, resumed; /* resumed: of TLS */
    _Atomic uint64_t stale;    /* requests that met a closed connection */
    _Atomic uint64_t answers;  /* that ended a wait */
    _Atomic uint64_t told;     /* of these: expected */
    _Atomic uint64_t needless; /* … with news that nobody published */
    _Atomic uint64_t expired;  /* … without news */
    _Atomic uint64_t failures[DP_LOAD_FAILURES_N];
    _Atomic int connect_error;     /* errno of the last failure to connect */
    _Atomic int64_t round_trip_us; /* slow ones of late: note_round_trip() */
    _Atomic int64_t last_told_us;  /* when `told` was last counted up */
    dp_histogram latency; /* of `told`; cleared by the coordinator between
                             steps, when nobody is expected */
} dp_load_slot;

typedef struct dp_load_shared {
    _Atomic uint32_t wanted; /* devices below this number shall wait */
    _Atomic bool follows;    /* after an answer: go on as phones do */
    _Atomic bool must_quit;
    _Atomic uint32_t heartbeat_s; /* of the Pings from now on */
    _Atomic uint32_t probe; /* tell the coordinator of this device's answer, and
                               when it waits again; DP_LOAD_NOBODY */
    dp_load_slot *slots;    /* one per worker */
    _Atomic int64_t *since_us;     /* by device: waits since then; 0 no */
    _Atomic uint8_t *is_expected;  /* by device: set by the coordinator; who
                                      takes it away has the answer */
    _Atomic int64_t *published_us; /* by topic: just before the write */
    uint32_t workers_n, devices_n, topics_n;
    size_t bytes; /* of the mapping, which begins here */
} dp_load_shared;

/** @return NULL: no memory */
dp_load_shared *dp_load_shared_map(const dp_load_args *args);
void dp_load_shared_unmap(dp_load_shared **s);

/** What is published for a device: its user's folder, or its own channel. */
static inline uint32_t dp_load_topic_of(const dp_load_args *args,
                                        uint32_t device)
{
    return device / args->per_user;
}

/** Sums over all slots; `counter` is a member's offset. */
uint64_t dp_load_sum(const dp_load_shared *s, size_t counter);
#define DP_LOAD_SUM(s, member) dp_load_sum(s, offsetof(dp_load_slot, member))

/** A count of this worker, which alone writes it. */
#define DP_LOAD_COUNT(atomic, by)                                              \
    atomic_store_explicit(                                                     \
        &(atomic),                                                             \
        atomic_load_explicit(&(atomic), memory_order_relaxed) + (by),          \
        memory_order_relaxed)

#endif
