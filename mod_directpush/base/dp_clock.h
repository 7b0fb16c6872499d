/* dp_clock: the time, in microseconds; replaceable in tests.
 *
 * Spans and deadlines use the monotonic clock that goes on while the machine
 * sleeps (CLOCK_BOOTTIME): it is the same in every process of one boot, so
 * such times may stand in shared memory. Wall time is for people only.
 * Any thread.
 */
#ifndef DP_CLOCK_H
#define DP_CLOCK_H

#include <stdint.h>

typedef int64_t dp_time_us;

#define DP_SECOND_US ((dp_time_us)1000000)
#define DP_NEVER_US  INT64_MAX

/** Monotonic microseconds since the machine's boot. Never 0. */
dp_time_us dp_clock_mono_us(void);

/** Wall clock, microseconds since 1970. */
dp_time_us dp_clock_wall_us(void);

/** Tests only: freeze both clocks at `mono_us`; 0 gives the real ones back. */
void dp_clock_fake(dp_time_us mono_us);

#endif
