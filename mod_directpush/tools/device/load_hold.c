/* hold: bring devices to where they wait. See load_steps.h. */
#include "tools/device/load_steps.h"

#include <inttypes.h>
#include <string.h>

typedef struct hold {
    uint32_t wanted;
    dp_load_counts before;
    dp_time_us began_us, last_us; /* when the last one began to wait */
    dp_time_us progress_us;       /* when there were more than ever */
    dp_time_us said_us;
    uint64_t most;
} hold;

static void say_held(dp_load_coordinator *c, const hold *h,
                     const dp_load_counts *now, bool is_done)
{
    dp_load_report *r = &c->report;
    dp_time_us end_us = h->last_us > h->began_us ? h->last_us : h->began_us;
    dp_time_us span_us =
        is_done ? end_us - h->began_us : dp_clock_mono_us() - h->began_us;
    uint64_t more =
        now->waiting > h->before.waiting ? now->waiting - h->before.waiting : 0;
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
    dp_load_say_failures(c, &h->before, now);
    dp_load_report_end(r);
}

static bool is_held(dp_load_coordinator *c, hold *h, const dp_load_counts *now)
{
    if (now->waiting + now->given_up > h->most) {
        h->most = now->waiting + now->given_up;
        h->progress_us = dp_clock_mono_us();
    }
    return now->waiting + now->given_up >= h->wanted &&
           dp_load_count_settled(c, &h->last_us) + now->given_up >= h->wanted;
}

static void begin(dp_load_coordinator *c, hold *h)
{
    h->began_us = h->progress_us = h->said_us = dp_clock_mono_us();
    if (atomic_load(&c->shared->wanted) < h->wanted) {
        atomic_store(&c->shared->wanted, h->wanted);
    }
    atomic_store(&c->shared->follows, true);
    dp_load_have_looked(c);
}

/* Who was refused and left out was meant to be; who was not let in was not. */
static dp_load_end judge(const hold *h, const dp_load_counts *now)
{
    uint64_t denied = now->failures[DP_LOAD_FAIL_DENIED] -
                      h->before.failures[DP_LOAD_FAIL_DENIED];
    if (denied == 0) {
        return DP_LOAD_DONE;
    }
    dp_load_complain("%" PRIu64 " devices were not let in: is the password "
                     "right, and are there so many users?",
                     denied);
    return now->waiting ? DP_LOAD_MISSING : DP_LOAD_OVER;
}

static dp_load_end give_up(const dp_load_coordinator *c, const hold *h,
                           const dp_load_counts *now)
{
    int error = 0;
    for (uint32_t i = 0; i < c->shared->workers_n; i++) {
        int one = atomic_load(&c->shared->slots[i].connect_error);
        error = one ? one : error;
    }
    bool has_failed = now->failures[DP_LOAD_FAIL_CONNECT] >
                      h->before.failures[DP_LOAD_FAIL_CONNECT];
    dp_load_complain("no progress in %u s: %" PRIu64
                     " of %u devices wait or are left out%s%s",
                     c->args->patience_s, h->most, h->wanted,
                     has_failed ? "; the last attempt to connect: " : "",
                     has_failed ? strerror(error) : "");
    return now->waiting ? DP_LOAD_MISSING : DP_LOAD_OVER;
}

dp_load_end dp_load_run_hold(dp_load_coordinator *c, const dp_load_step *step)
{
    const dp_time_us patience_us = c->args->patience_s * DP_SECOND_US;
    hold h = {.wanted = step->n, .before = dp_load_count(c)};
    begin(c, &h);
    for (;;) {
        dp_time_us now_us = dp_clock_mono_us();
        if (dp_load_wait(c, now_us + DP_LOAD_TICK_US, false).is_over) {
            return DP_LOAD_OVER;
        }
        dp_load_counts now = dp_load_count(c);
        if (is_held(c, &h, &now)) {
            say_held(c, &h, &now, true);
            return judge(&h, &now);
        }
        if (now_us - h.progress_us > patience_us) {
            say_held(c, &h, &now, true);
            return give_up(c, &h, &now);
        }
        if (now_us - h.said_us >= DP_LOAD_PROGRESS_US) {
            h.said_us = now_us;
            say_held(c, &h, &now, false);
        }
    }
}
