/* The steps of a load; see load_coordinator.h and directpush-device(1). */
#include "config.h"

#include "tools/device/load_coordinator.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/dp_check.h"

/* How often a step looks at the counts of the workers: often enough for a
 * ramp of a second, too seldom to be in anybody's way. */
#define TICK_US (DP_SECOND_US / 20)

#define PROGRESS_US DP_SECOND_US

/* A Ping that is not answered within twice the slowest round trip of late is
 * held; within these bounds. */
#define SETTLE_LEAST_US (DP_SECOND_US / 10)
#define SETTLE_MOST_US  (10 * DP_SECOND_US)

/* Whoever looks at the server by hand meanwhile is back within this. */
#define PAUSE_US (3600 * DP_SECOND_US)

/* So many answers missing one after the other: no more will come. */
#define MISSING_MOST 3

/* --- counts --- */

/* What the workers had counted when a step began. */
typedef struct counts {
    uint64_t waiting, given_up, connections, resumed, stale, answers, told,
        needless, expired;
    uint64_t failures[DP_LOAD_FAILURES_N];
} counts;

static counts count(const dp_load_coordinator *c)
{
    const dp_load_shared *s = c->shared;
    counts out = {.waiting = DP_LOAD_SUM(s, waiting),
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

static void report_failures(dp_load_coordinator *c, const counts *before,
                            const counts *now)
{
    uint64_t failures[DP_LOAD_FAILURES_N];
    for (size_t i = 0; i < DP_LOAD_FAILURES_N; i++) {
        failures[i] = now->failures[i] - before->failures[i];
    }
    dp_load_report_failures(&c->report, failures);
}

/* @param told answers that came; those that are not in the histogram were for
 *             an earlier change */
static void report_latency(dp_load_coordinator *c, uint64_t told)
{
    dp_histogram *all = calloc(1, sizeof(*all));
    DP_ASSERT(all);
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        dp_histogram_merge(all, &c->shared->slots[i].latency);
    }
    dp_load_report_number(&c->report, "untimed", told - all->n);
    dp_load_report_histogram(&c->report, all);
    free(all);
}

/* Nobody is expected to be told: the workers add nothing meanwhile. */
static void clear_latency(dp_load_coordinator *c)
{
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        dp_histogram_clear(&c->shared->slots[i].latency);
        atomic_store(&c->shared->slots[i].last_told_us, 0);
    }
}

/* --- who waits --- */

static dp_time_us since(const dp_load_coordinator *c, uint32_t device)
{
    return atomic_load_explicit(&c->shared->since_us[device],
                                memory_order_acquire);
}

static dp_time_us settle_us(const dp_load_coordinator *c)
{
    int64_t slowest = 0;
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        int64_t us = atomic_load_explicit(
            &c->shared->slots[i].round_trip_us, memory_order_relaxed);
        slowest = us > slowest ? us : slowest;
    }
    slowest *= 2;
    return slowest < SETTLE_LEAST_US  ? SETTLE_LEAST_US
           : slowest > SETTLE_MOST_US ? SETTLE_MOST_US
                                      : slowest;
}

/* Does it wait, since before then, and for the next change? Who has not read
 * the answer to the last one of its folder yet waits no more in truth. */
static bool is_settled(const dp_load_coordinator *c, uint32_t device,
                       dp_time_us before_us)
{
    dp_time_us since_us = since(c, device);
    uint32_t topic = dp_load_topic_of(c->args, device);
    return since_us && since_us <= before_us &&
           since_us > atomic_load_explicit(&c->shared->published_us[topic],
                                           memory_order_relaxed);
}

/* The answer that it gets from now on is the one to be measured. A worker takes
 * `since` away and then looks whether the device is expected; here it is the
 * other way round, so that one of both sees the other.
 * @return false: it was answered just now, for another reason, and not counted;
 *         the Sync that follows would cover the change, no answer be due */
static bool expect(dp_load_coordinator *c, uint32_t device)
{
    atomic_store(&c->shared->is_expected[device], 1);
    if (atomic_load(&c->shared->since_us[device])) {
        return true;
    }
    return !atomic_exchange(&c->shared->is_expected[device], 0);
}

/* @param out_last_us when the last of them began to wait */
static uint32_t count_settled(const dp_load_coordinator *c,
                              dp_time_us *out_last_us)
{
    dp_time_us before_us = dp_clock_mono_us() - settle_us(c);
    uint32_t n = 0;
    *out_last_us = 0;
    for (uint32_t i = 0; i < c->shared->devices_n; i++) {
        dp_time_us since_us = since(c, i);
        if (since_us && since_us <= before_us) {
            n++;
            *out_last_us = since_us > *out_last_us ? since_us : *out_last_us;
        }
    }
    return n;
}

/* --- hold --- */

typedef struct hold {
    uint32_t wanted;
    counts before;
    dp_time_us began_us, last_us; /* when the last one began to wait */
    dp_time_us progress_us;       /* when there were more than ever */
    dp_time_us said_us;
    uint64_t most;
} hold;

static void say_held(dp_load_coordinator *c, const hold *h, const counts *now,
                     bool is_done)
{
    dp_load_report *r = &c->report;
    dp_time_us end_us = h->last_us > h->began_us ? h->last_us : h->began_us;
    dp_time_us span_us =
        is_done ? end_us - h->began_us : dp_clock_mono_us() - h->began_us;
    uint64_t more = now->waiting > h->before.waiting
                        ? now->waiting - h->before.waiting
                        : 0;
    dp_load_report_begin(r, "hold", is_done);
    dp_load_report_number(r, "held", now->waiting);
    dp_load_report_number(r, "wanted", h->wanted);
    dp_load_report_seconds(r, "seconds", span_us);
    dp_load_report_rate(r, "per_second", more, span_us);
    dp_load_report_number(r, "given_up", now->given_up);
    dp_load_report_number(r, "connections",
                          now->connections - h->before.connections);
    if (c->args->target.is_tls) {
        dp_load_report_number(r, "resumed", now->resumed - h->before.resumed);
    }
    dp_load_report_number(r, "stale", now->stale - h->before.stale);
    dp_load_report_number(r, "needless", now->needless - h->before.needless);
    report_failures(c, &h->before, now);
    dp_load_report_end(r);
}

static bool is_held(dp_load_coordinator *c, hold *h, const counts *now)
{
    if (now->waiting + now->given_up > h->most) {
        h->most = now->waiting + now->given_up;
        h->progress_us = dp_clock_mono_us();
    }
    return now->waiting + now->given_up >= h->wanted &&
           count_settled(c, &h->last_us) + now->given_up >= h->wanted;
}

static dp_load_end run_hold(dp_load_coordinator *c, const dp_load_step *step)
{
    const dp_time_us patience_us = c->args->patience_s * DP_SECOND_US;
    hold h = {.wanted = step->n, .before = count(c)};
    h.began_us = h.progress_us = h.said_us = dp_clock_mono_us();
    if (atomic_load(&c->shared->wanted) < step->n) {
        atomic_store(&c->shared->wanted, step->n);
    }
    atomic_store(&c->shared->follows, true);
    dp_load_have_looked(c);
    for (;;) {
        dp_time_us now_us = dp_clock_mono_us();
        if (dp_load_wait(c, now_us + TICK_US, false).is_over) {
            return DP_LOAD_OVER;
        }
        counts now = count(c);
        bool is_done = is_held(c, &h, &now);
        bool is_late = !is_done && now_us - h.progress_us > patience_us;
        if (is_done || is_late) {
            say_held(c, &h, &now, true);
        }
        if (is_done) {
            return DP_LOAD_DONE;
        }
        if (is_late) {
            dp_load_complain("waited %u s for more than %" PRIu64 " of %u "
                             "devices to be held",
                             c->args->patience_s, h.most, h.wanted);
            return now.waiting ? DP_LOAD_MISSING : DP_LOAD_OVER;
        }
        if (now_us - h.said_us >= PROGRESS_US) {
            h.said_us = now_us;
            say_held(c, &h, &now, false);
        }
    }
}

/* --- wake --- */

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
    dp_time_us before_us = dp_clock_mono_us() - settle_us(c);
    uint32_t n = c->shared->devices_n;
    uint32_t first = (uint32_t)(draw(c) % n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t device = (first + i) % n;
        if (is_settled(c, device, before_us) && expect(c, device)) {
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
    return since(c, device) != 0;
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
        if (dp_load_wait(c, now_us + TICK_US, false).is_over) {
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
                      const counts *before, dp_time_us span_us)
{
    counts now = count(c);
    dp_load_report_begin(&c->report, "wake", true);
    dp_load_report_number(&c->report, "n", n);
    dp_load_report_number(&c->report, "missing", missing);
    report_latency(c, now.told - before->told);
    dp_load_report_seconds(&c->report, "seconds", span_us);
    dp_load_report_rate(&c->report, "per_second", n, span_us);
    dp_load_report_number(&c->report, "needless",
                          now.needless - before->needless);
    report_failures(c, before, &now);
    dp_load_report_end(&c->report);
}

static dp_load_end run_wake(dp_load_coordinator *c, const dp_load_step *step)
{
    counts before = count(c);
    uint32_t woken = 0, missing = 0;
    dp_time_us began_us = dp_clock_mono_us(), said_us = began_us;
    clear_latency(c);
    probed how = ANSWERED;
    for (uint32_t i = 0; i < step->n && missing < MISSING_MOST; i++) {
        how = wake_one(c);
        if (how == STOPPED || how == NOBODY) {
            break;
        }
        woken += how == ANSWERED;
        missing += how == UNANSWERED;
        dp_time_us now_us = dp_clock_mono_us();
        if (now_us - said_us >= PROGRESS_US) {
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

/* --- storm --- */

typedef struct storm {
    uint32_t *devices; /* one for each topic that is published */
    size_t devices_n;
    uint32_t expected;
    counts before;
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
        if (!is_settled(c, i, now_us) || !expect(c, i)) {
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
        if (dp_load_wait(c, now_us + TICK_US, false).is_over) {
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
    counts now = count(c);
    uint64_t n = told(c, s);
    dp_time_us last_us = last_told(c);
    dp_time_us span_us = last_us > s->began_us ? last_us - s->began_us : 0;
    dp_load_report_begin(&c->report, "storm", true);
    dp_load_report_number(&c->report, "n", n);
    dp_load_report_number(&c->report, "missing", s->expected - n);
    dp_load_report_number(&c->report, "published", s->devices_n);
    report_latency(c, n);
    dp_load_report_seconds(&c->report, "seconds", span_us);
    dp_load_report_rate(&c->report, "per_second", n, span_us);
    dp_load_report_seconds(&c->report, "publish_seconds",
                           s->published_us - s->began_us);
    report_failures(c, &s->before, &now);
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

static dp_load_end run_storm(dp_load_coordinator *c)
{
    storm s = {.before = count(c)};
    clear_latency(c);
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

/* --- time --- */

static void say_time(dp_load_coordinator *c, const char *name,
                     const counts *before, dp_time_us span_us, bool is_done)
{
    counts now = count(c);
    dp_load_report_begin(&c->report, name, is_done);
    dp_load_report_number(&c->report, "held", now.waiting);
    dp_load_report_number(&c->report, "answers",
                          now.answers - before->answers);
    dp_load_report_number(&c->report, "expired",
                          now.expired - before->expired);
    dp_load_report_seconds(&c->report, "seconds", span_us);
    dp_load_report_rate(&c->report, "per_second",
                        now.answers - before->answers, span_us);
    report_failures(c, before, &now);
    dp_load_report_end(&c->report);
}

static dp_load_end run_time(dp_load_coordinator *c, const dp_load_step *step)
{
    const char *name = dp_load_kind_name(step->kind);
    counts before = count(c);
    dp_time_us began_us = dp_clock_mono_us(), said_us = began_us;
    dp_time_us until_us = began_us + step->n * DP_SECOND_US;
    if (step->kind == DP_LOAD_EXPIRE) {
        atomic_store(&c->shared->follows, true);
    }
    for (dp_time_us now_us = began_us; now_us < until_us;
         now_us = dp_clock_mono_us()) {
        if (dp_load_wait(c, until_us, false).is_over) {
            return DP_LOAD_OVER;
        }
        if (now_us - said_us >= PROGRESS_US) {
            said_us = now_us;
            say_time(c, name, &before, now_us - began_us, false);
        }
    }
    say_time(c, name, &before, dp_clock_mono_us() - began_us, true);
    return DP_LOAD_DONE;
}

/* --- pause --- */

static dp_load_end run_pause(dp_load_coordinator *c, const dp_load_step *step)
{
    dp_load_report_begin(&c->report, "pause", true);
    dp_load_report_text(&c->report, "name", step->name);
    dp_load_report_number(&c->report, "held",
                          DP_LOAD_SUM(c->shared, waiting));
    dp_load_report_end(&c->report);
    dp_time_us until_us = dp_clock_mono_us() + PAUSE_US;
    while (dp_clock_mono_us() < until_us) {
        char byte;
        dp_load_seen seen = dp_load_wait(c, until_us, true);
        if (seen.is_over) {
            return DP_LOAD_OVER;
        }
        if (!seen.has_input) {
            continue;
        }
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n == 1 && byte == '\n') {
            return DP_LOAD_DONE;
        }
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            dp_load_complain("pause: standard input has ended, so nobody will "
                             "say when to go on");
            return DP_LOAD_OVER;
        }
    }
    dp_load_complain("pause: waited an hour for a line on standard input");
    return DP_LOAD_OVER;
}

dp_load_end dp_load_step_run(dp_load_coordinator *c, const dp_load_step *step)
{
    switch (step->kind) {
    case DP_LOAD_HOLD:
        return run_hold(c, step);
    case DP_LOAD_PAUSE:
        return run_pause(c, step);
    case DP_LOAD_WAKE:
        return run_wake(c, step);
    case DP_LOAD_STORM:
        return run_storm(c);
    case DP_LOAD_EXPIRE:
    case DP_LOAD_IDLE:
        return run_time(c, step);
    default:
        return DP_LOAD_DONE;
    }
}
