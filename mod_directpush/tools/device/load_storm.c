/* storm: a change for everybody at once. See load_steps.h. */
#include "tools/device/load_steps.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/dp_check.h"

typedef struct storm {
    uint32_t *devices; /* one for each topic that is published */
    size_t devices_n;
    uint32_t expected;
    dp_load_counts before;
    dp_time_us began_us, published_us; /* the first write; all acknowledged */
} storm;

/* Whoever waits now is expected to be told; others are not asked for. */
static void choose(dp_load_coordinator *c, storm *s)
{
    uint32_t last = DP_LOAD_NOBODY;
    dp_time_us now_us = dp_clock_mono_us();
    s->devices = calloc(c->shared->topics_n, sizeof(*s->devices));
    DP_ASSERT(s->devices);
    for (uint32_t i = 0; i < c->shared->devices_n; i++) {
        uint32_t topic = dp_load_topic_of(c->args, i);
        if (!dp_load_is_settled(c, i, now_us) || !dp_load_expect(c, i)) {
            continue;
        }
        s->expected++;
        if (topic != last) {
            s->devices[s->devices_n++] = i;
            last = topic;
        }
    }
}

static void forget_expected(dp_load_coordinator *c)
{
    for (uint32_t i = 0; i < c->shared->devices_n; i++) {
        atomic_store(&c->shared->is_expected[i], 0);
    }
}

static uint64_t told(const dp_load_coordinator *c, const storm *s)
{
    return DP_LOAD_SUM(c->shared, told) - s->before.told;
}

/* @return is it over? */
static bool wait_for_all(dp_load_coordinator *c, const storm *s)
{
    const dp_time_us patience_us = c->args->patience_s * DP_SECOND_US;
    dp_time_us progress_us = dp_clock_mono_us();
    uint64_t most = 0;
    for (uint64_t n; (n = told(c, s)) < s->expected;) {
        dp_time_us now_us = dp_clock_mono_us();
        if (n > most) {
            most = n;
            progress_us = now_us;
        }
        if (now_us - progress_us > patience_us) {
            return false;
        }
        if (dp_load_wait(c, now_us + DP_LOAD_TICK_US, false).is_over) {
            return true;
        }
    }
    return false;
}

static dp_time_us last_told(const dp_load_coordinator *c)
{
    dp_time_us last = 0;
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        dp_time_us at = atomic_load(&c->shared->slots[i].last_told_us);
        last = at > last ? at : last;
    }
    return last;
}

static void say_storm(dp_load_coordinator *c, const storm *s)
{
    dp_load_counts now = dp_load_count(c);
    uint64_t n = told(c, s);
    dp_time_us last_us = last_told(c);
    dp_time_us span_us = last_us > s->began_us ? last_us - s->began_us : 0;
    dp_load_report_begin(&c->report, "storm", true);
    dp_load_report_number(&c->report, "n", n);
    dp_load_report_number(&c->report, "missing", s->expected - n);
    dp_load_report_number(&c->report, "published", s->devices_n);
    dp_load_say_latency(c, n);
    dp_load_report_seconds(&c->report, "seconds", span_us);
    dp_load_report_rate(&c->report, "per_second", n, span_us);
    dp_load_report_seconds(&c->report, "publish_seconds",
                           s->published_us - s->began_us);
    dp_load_say_failures(c, &s->before, &now);
    dp_load_report_end(&c->report);
}

static dp_load_end storm_of(dp_load_coordinator *c, storm *s)
{
    s->began_us = dp_clock_mono_us();
    if (!dp_load_publish(&c->publisher, s->devices, s->devices_n)) {
        dp_load_complain("%s", c->publisher.why);
        return DP_LOAD_OVER;
    }
    s->published_us = dp_clock_mono_us();
    if (wait_for_all(c, s)) {
        return DP_LOAD_OVER;
    }
    say_storm(c, s);
    uint64_t missing = s->expected - told(c, s);
    if (missing) {
        dp_load_complain("%" PRIu64 " answers did not come; the last of the "
                         "others did %u s ago",
                         missing, c->args->patience_s);
        return DP_LOAD_MISSING;
    }
    return DP_LOAD_DONE;
}

dp_load_end dp_load_run_storm(dp_load_coordinator *c)
{
    storm s = {.before = dp_load_count(c)};
    dp_load_clear_latency(c);
    atomic_store(&c->shared->follows, false);
    choose(c, &s);
    dp_load_end end = DP_LOAD_MISSING;
    if (s.expected) {
        end = storm_of(c, &s);
        forget_expected(c);
    }
    else {
        dp_load_complain("storm: nobody waits");
    }
    free(s.devices);
    return end;
}
