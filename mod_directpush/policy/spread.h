/* spread: jitter, and events spread evenly over time. Any thread. */
#ifndef SPREAD_H
#define SPREAD_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/dp_clock.h"

/** A uniformly random time in [0, span_us). Not for secrets. */
dp_time_us dp_spread_random_us(dp_time_us span_us);

/** `span_us` plus or minus up to an eighth. */
dp_time_us dp_spread_jitter_us(dp_time_us span_us);

/* Events at a bounded rate, shared by processes: one word, the time at which
 * the next event may happen. */
typedef struct dp_spread_rate {
    _Atomic int64_t next_us;
} dp_spread_rate;

/* Events that nobody has asked for lately may come this many at once. */
#define DP_SPREAD_BURST 4

/**
 * Reserve the next free moment.
 * @param per_second the rate; 0: never
 * @param patience_us how far ahead it may lie
 * @return the moment (now or later), or 0: none within patience, nothing was
 *         reserved; ask again later
 */
dp_time_us dp_spread_reserve(dp_spread_rate *rate, uint32_t per_second,
                             dp_time_us now_us, dp_time_us patience_us);

#endif
