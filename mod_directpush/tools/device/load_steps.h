/* load_steps: what the steps of a load have in common.
 *
 * Counts of the workers, and who waits. Each step is a file of its own; all are
 * the coordinator's.
 */
#ifndef LOAD_STEPS_H
#define LOAD_STEPS_H

#include "tools/device/load_coordinator.h"

/* How often a step looks at the counts of the workers: often enough for a
 * ramp of a second, too seldom to be in anybody's way. */
#define DP_LOAD_TICK_US (DP_SECOND_US / 20)

#define DP_LOAD_PROGRESS_US DP_SECOND_US

/* What the workers had counted when a step began. */
typedef struct dp_load_counts {
    uint64_t waiting, given_up, connections, resumed, stale, answers, told,
        needless, expired;
    uint64_t failures[DP_LOAD_FAILURES_N];
} dp_load_counts;

dp_load_counts dp_load_count(const dp_load_coordinator *c);

/** Into the report: failures between the two. */
void dp_load_say_failures(dp_load_coordinator *c, const dp_load_counts *before,
                          const dp_load_counts *now);

/** Into the report: the latencies of all workers.
 *  @param told answers that came; those that are not in the histogram were for
 *              an earlier change */
void dp_load_say_latency(dp_load_coordinator *c, uint64_t told);

/** Empty the histograms, while nobody is expected: workers add nothing. */
void dp_load_clear_latency(dp_load_coordinator *c);

/** Since when a device waits; 0 not. */
dp_time_us dp_load_since(const dp_load_coordinator *c, uint32_t device);

/** A Ping that was not answered for so long is held. */
dp_time_us dp_load_settle_us(const dp_load_coordinator *c);

/** Does it wait, since before then, and for the next change? Who has not read
 *  the answer to the last one of its folder yet waits no more in truth. */
bool dp_load_is_settled(const dp_load_coordinator *c, uint32_t device,
                        dp_time_us before_us);

/** How many have waited for long enough.
 *  @param out_last_us when the last of them began */
uint32_t dp_load_count_settled(const dp_load_coordinator *c,
                               dp_time_us *out_last_us);

/** Wait until so many have, at most for --patience. @return is it over? */
bool dp_load_wait_settled(dp_load_coordinator *c, uint64_t n);

/** The answer that it gets from now on is the one to be measured.
 *  @return false: it was answered just now, for another reason, and not
 * counted; the Sync that follows would cover the change, no answer be due */
bool dp_load_expect(dp_load_coordinator *c, uint32_t device);

dp_load_end dp_load_run_hold(dp_load_coordinator *c, const dp_load_step *step);
dp_load_end dp_load_run_wake(dp_load_coordinator *c, const dp_load_step *step);
dp_load_end dp_load_run_storm(dp_load_coordinator *c);

#endif
