/* dp_wheel: timers in a hierarchy of wheels.
 *
 * A tick is 1024 us. Level 0 has a slot for each of 64 ticks, every further
 * level is 64 times coarser; nine levels hold any 64-bit time. A timer stands
 * on the lowest level whose group of ticks differs from the wheel's own time:
 *
 *    level 2      [ . . T . . ]            T is opened when its time begins:
 *    level 1      [ . . . . . ]   \        what is in it moves down, and down
 *    level 0      [ . . . . . ]    `---->  again, until it is due
 *
 * So within a level all slots lie ahead, and the lowest level that has any
 * slot in use holds what is due next: one bit scan tells it.
 *
 * A timer is part of its owner (24 bytes) and is linked at most once. It never
 * fires early and at most a tick late, plus what the caller is late. Link and
 * unlink are O(1) and allocate nothing. Not thread-safe: one thread owns it.
 */
#ifndef DP_WHEEL_H
#define DP_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dp_clock.h"

#define DP_WHEEL_LEVELS  9
#define DP_WHEEL_SLOTS   64
#define DP_WHEEL_TICK_US ((dp_time_us)1024)

typedef struct dp_timer {
    struct dp_timer *next;
    struct dp_timer **at; /* what points at us; NULL: not linked */
    dp_time_us due_us;
} dp_timer;

typedef struct dp_wheel {
    uint64_t tick; /* everything due up to this tick has fired */
    uint64_t used[DP_WHEEL_LEVELS]; /* bit per slot that has timers */
    dp_timer *slot[DP_WHEEL_LEVELS][DP_WHEEL_SLOTS];
    dp_timer *overdue; /* linked when already due: the next expire's */
    size_t timers_n;
} dp_wheel;

typedef void dp_wheel_fire(dp_timer *timer, void *ctx);

/** Find the owner of a timer that is its member. */
#define DP_TIMER_OWNER(timer, type, member)                                    \
    ((type *)(void *)((char *)(timer)-offsetof(type, member)))

/** An empty wheel that stands at `now_us`. */
void dp_wheel_init(dp_wheel *w, dp_time_us now_us);

/** Fire `t` at `due_us`; a linked timer is moved. A fresh one is all zero. */
void dp_wheel_link(dp_wheel *w, dp_timer *t, dp_time_us due_us);

/** Take it out; harmless when it is not linked. */
void dp_wheel_unlink(dp_wheel *w, dp_timer *t);

static inline bool dp_timer_is_linked(const dp_timer *t)
{
    return t->at != NULL;
}

/**
 * When to call dp_wheel_expire() next: perhaps too early (a slot is opened,
 * nothing fires), never later than the first timer's tick.
 * @return monotonic time, DP_NEVER_US without timers
 */
dp_time_us dp_wheel_next(const dp_wheel *w);

/**
 * Fire what is due at `now_us`, earlier ticks first. A timer is unlinked before
 * its `fire` runs, which may link and unlink any timer; what it links with a
 * time that has passed waits for the next call.
 * @return how many fired
 */
size_t dp_wheel_expire(dp_wheel *w, dp_time_us now_us, dp_wheel_fire *fire,
                       void *ctx);

/** Walk all of it; aborts when an invariant is broken. For tests. */
void dp_wheel_validate(const dp_wheel *w);

#endif
