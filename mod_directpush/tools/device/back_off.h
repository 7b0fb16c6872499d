/* back_off: how long to wait before the next try, with jitter.
 *
 * Doubles from `first` to `max`; each delay is drawn between half and the
 * whole of that, so that phones which lost the same server do not return
 * together. Pure; one phone, one thread.
 */
#ifndef BACK_OFF_H
#define BACK_OFF_H

#include <stdint.h>

#include "base/dp_clock.h"

typedef struct dp_back_off {
    dp_time_us first_us, max_us;
    unsigned failures; /* in a row */
    uint64_t seed;
} dp_back_off;

/** @param seed differs from phone to phone; any value */
void dp_back_off_init(dp_back_off *b, dp_time_us first_us, dp_time_us max_us,
                      uint64_t seed);

/** One more failure. @param at_least_us what the server asked for
 *  (Retry-After), 0 nothing: then jitter comes on top, never below.
 *  @return the delay */
dp_time_us dp_back_off_next(dp_back_off *b, dp_time_us at_least_us);

/** It worked: begin with `first` again. */
void dp_back_off_reset(dp_back_off *b);

#endif
