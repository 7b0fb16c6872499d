/* Counts of the workers, and who waits: see load_steps.h. */
#include "tools/device/load_steps.h"

#include <stdlib.h>

#include "base/dp_check.h"

/* A Ping that is not answered within twice the slowest round trip of late is
 * held; within these bounds. */
#define SETTLE_LEAST_US (DP_SECOND_US / 10)
#define SETTLE_MOST_US  (10 * DP_SECOND_US)

dp_load_counts dp_load_count(const dp_load_coordinator *c)
{
    const dp_load_shared *s = c->shared;
    dp_load_counts out = {.waiting = DP_LOAD_SUM(s, waiting),
                          .given_up = DP_LOAD_SUM(s, given_up),
                          .connections = DP_LOAD_SUM(s, connections),
                          .resumed = DP_LOAD_SUM(s, resumed),
                          .stale = DP_LOAD_SUM(s, stale),
                          .answers = DP_LOAD_SUM(s, answers),
                          .told = DP_LOAD_SUM(s, told),
                          .needless = DP_LOAD_SUM(s, needless),
                          .expired = DP_LOAD_SUM(s, expired)};
    for (size_t i = 0; i < DP_LOAD_FAILURES_N; i++) {
        out.failures[i] = DP_LOAD_SUM(s, failures[i]);
    }
    return out;
}

void dp_load_say_failures(dp_load_coordinator *c, const dp_load_counts *before,
                          const dp_load_counts *now)
{
    uint64_t failures[DP_LOAD_FAILURES_N];
    for (size_t i = 0; i < DP_LOAD_FAILURES_N; i++) {
        failures[i] = now->failures[i] - before->failures[i];
    }
    dp_load_report_failures(&c->report, failures);
}

void dp_load_say_latency(dp_load_coordinator *c, uint64_t told)
{
    dp_histogram *all = calloc(1, sizeof(*all));
    DP_ASSERT(all);
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        dp_histogram_merge(all, &c->shared->slots[i].latency);
    }
    dp_load_report_number(&c->report, "untimed",
                          told > all->n ? told - all->n : 0);
    dp_load_report_histogram(&c->report, all);
    free(all);
}

void dp_load_clear_latency(dp_load_coordinator *c)
{
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        dp_histogram_clear(&c->shared->slots[i].latency);
        atomic_store(&c->shared->slots[i].last_told_us, 0);
    }
}

dp_time_us dp_load_since(const dp_load_coordinator *c, uint32_t device)
{
    return atomic_load_explicit(&c->shared->since_us[device],
                                memory_order_acquire);
}

dp_time_us dp_load_settle_us(const dp_load_coordinator *c)
{
    int64_t slowest = 0;
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        int64_t us = atomic_load_explicit(&c->shared->slots[i].round_trip_us,
                                          memory_order_relaxed);
        slowest = us > slowest ? us : slowest;
    }
    slowest *= 2;
    return slowest < SETTLE_LEAST_US  ? SETTLE_LEAST_US
           : slowest > SETTLE_MOST_US ? SETTLE_MOST_US
                                      : slowest;
}

bool dp_load_is_settled(const dp_load_coordinator *c, uint32_t device,
                        dp_time_us before_us)
{
    dp_time_us since_us = dp_load_since(c, device);
    uint32_t topic = dp_load_topic_of(c->args, device);
    return since_us && since_us <= before_us &&
           since_us > atomic_load_explicit(&c->shared->published_us[topic],
                                           memory_order_relaxed);
}

/* A worker takes `since` away and then looks whether the device is expected;
 * here it is the other way round, so that one of both sees the other. */
bool dp_load_expect(dp_load_coordinator *c, uint32_t device)
{
    atomic_store(&c->shared->is_expected[device], 1);
    if (atomic_load(&c->shared->since_us[device])) {
        return true;
    }
    return !atomic_exchange(&c->shared->is_expected[device], 0);
}

uint32_t dp_load_count_settled(const dp_load_coordinator *c,
                               dp_time_us *out_last_us)
{
    dp_time_us before_us = dp_clock_mono_us() - dp_load_settle_us(c);
    uint32_t n = 0;
    *out_last_us = 0;
    for (uint32_t i = 0; i < c->shared->devices_n; i++) {
        dp_time_us since_us = dp_load_since(c, i);
        if (since_us && since_us <= before_us) {
            n++;
            *out_last_us = since_us > *out_last_us ? since_us : *out_last_us;
        }
    }
    return n;
}

bool dp_load_wait_settled(dp_load_coordinator *c, uint64_t n)
{
    dp_time_us last_us, now_us = dp_clock_mono_us();
    dp_time_us until_us = now_us + c->args->patience_s * DP_SECOND_US;
    while (dp_load_count_settled(c, &last_us) < n && now_us < until_us) {
        if (dp_load_wait(c, now_us + DP_LOAD_TICK_US, false).is_over) {
            return true;
        }
        now_us = dp_clock_mono_us();
    }
    return false;
}
