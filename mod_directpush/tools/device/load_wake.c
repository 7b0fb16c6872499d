/* wake: one change after the other, each for one device. See load_steps.h. */
#include "tools/device/load_steps.h"

/* So many answers missing one after the other: no more will come. */
#define MISSING_MOST 3

static uint64_t draw(dp_load_coordinator *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

/* A random one of those that wait for some time, from now on expected to be
 * told. @return DP_LOAD_NOBODY */
static uint32_t pick(dp_load_coordinator *c)
{
    dp_time_us before_us = dp_clock_mono_us() - dp_load_settle_us(c);
    uint32_t n = c->shared->devices_n;
    uint32_t first = (uint32_t)(draw(c) % n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t device = (first + i) % n;
        if (dp_load_is_settled(c, device, before_us) &&
            dp_load_expect(c, device)) {
            return device;
        }
    }
    return DP_LOAD_NOBODY;
}

typedef enum probed { ANSWERED, UNANSWERED, NOBODY, STOPPED } probed;

/* @return is it over? */
static bool wait_for(dp_load_coordinator *c, uint32_t device,
                     bool (*has_come)(const dp_load_coordinator *c,
                                      uint32_t device),
                     bool *out_has_come)
{
    dp_time_us until_us =
        dp_clock_mono_us() + c->args->patience_s * DP_SECOND_US;
    while (!(*out_has_come = has_come(c, device)) &&
           dp_clock_mono_us() < until_us) {
        if (dp_load_wait(c, until_us, false).is_over) {
            return true;
        }
    }
    return false;
}

static bool was_told(const dp_load_coordinator *c, uint32_t device)
{
    return !atomic_load_explicit(&c->shared->is_expected[device],
                                 memory_order_acquire);
}

static bool waits_again(const dp_load_coordinator *c, uint32_t device)
{
    return dp_load_since(c, device) != 0;
}

static probed wake_one(dp_load_coordinator *c)
{
    dp_time_us until_us =
        dp_clock_mono_us() + c->args->patience_s * DP_SECOND_US;
    uint32_t device;
    while ((device = pick(c)) == DP_LOAD_NOBODY) {
        dp_time_us now_us = dp_clock_mono_us();
        if (now_us > until_us) {
            return NOBODY;
        }
        if (dp_load_wait(c, now_us + DP_LOAD_TICK_US, false).is_over) {
            return STOPPED;
        }
    }
    atomic_store(&c->shared->probe, device);
    bool has_come = false;
    if (!dp_load_publish(&c->publisher, &device, 1)) {
        dp_load_complain("%s", c->publisher.why);
        return STOPPED;
    }
    if (wait_for(c, device, was_told, &has_come)) {
        return STOPPED;
    }
    if (!has_come) {
        if (!atomic_exchange(&c->shared->is_expected[device], 0)) {
            return ANSWERED; /* in this very moment */
        }
        dp_load_complain("load%06u was not told", device + 1);
        return UNANSWERED;
    }
    /* it syncs, and asks again; who does not is found by the next hold */
    return wait_for(c, device, waits_again, &has_come) ? STOPPED : ANSWERED;
}

static void say_woken(dp_load_coordinator *c, uint32_t n, uint32_t missing,
                      const dp_load_counts *before, dp_time_us span_us)
{
    dp_load_counts now = dp_load_count(c);
    dp_load_report_begin(&c->report, "wake", true);
    dp_load_report_number(&c->report, "n", n);
    dp_load_report_number(&c->report, "missing", missing);
    dp_load_say_latency(c, now.told - before->told);
    dp_load_report_seconds(&c->report, "seconds", span_us);
    dp_load_report_rate(&c->report, "per_second", n, span_us);
    dp_load_report_number(&c->report, "others",
                          now.needless - before->needless);
    dp_load_say_failures(c, before, &now);
    dp_load_report_end(&c->report);
}

dp_load_end dp_load_run_wake(dp_load_coordinator *c, const dp_load_step *step)
{
    dp_load_counts before = dp_load_count(c);
    uint32_t woken = 0, missing = 0;
    dp_time_us began_us = dp_clock_mono_us(), said_us = began_us;
    dp_load_clear_latency(c);
    probed how = ANSWERED;
    for (uint32_t i = 0; i < step->n && missing < MISSING_MOST; i++) {
        how = wake_one(c);
        if (how == STOPPED || how == NOBODY) {
            break;
        }
        woken += how == ANSWERED;
        missing += how == UNANSWERED;
        dp_time_us now_us = dp_clock_mono_us();
        if (now_us - said_us >= DP_LOAD_PROGRESS_US) {
            said_us = now_us;
            dp_load_report_begin(&c->report, "wake", false);
            dp_load_report_number(&c->report, "n", woken);
            dp_load_report_number(&c->report, "wanted", step->n);
            dp_load_report_end(&c->report);
        }
    }
    atomic_store(&c->shared->probe, DP_LOAD_NOBODY);
    if (how == STOPPED) {
        return DP_LOAD_OVER;
    }
    say_woken(c, woken, missing, &before, dp_clock_mono_us() - began_us);
    /* the others of the last user still sync */
    if (how != NOBODY && dp_load_wait_settled(c, before.waiting)) {
        return DP_LOAD_OVER;
    }
    if (how == NOBODY) {
        dp_load_complain("waited %u s for a device that waits",
                         c->args->patience_s);
    }
    else if (missing) {
        dp_load_complain("%u answers did not come within %u s", missing,
                         c->args->patience_s);
    }
    return woken == step->n ? DP_LOAD_DONE : DP_LOAD_MISSING;
}
