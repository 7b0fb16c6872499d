/* The steps of a load, and those that are short. See load_steps.h. */
#include "tools/device/load_steps.h"

#include <errno.h>
#include <unistd.h>

/* Whoever looks at the server by hand meanwhile is back within this. */
#define PAUSE_US (3600 * DP_SECOND_US)

/* --- time --- */

static void say_time(dp_load_coordinator *c, const char *name,
                     const dp_load_counts *before, dp_time_us span_us,
                     bool is_done)
{
    dp_load_counts now = dp_load_count(c);
    dp_load_report_begin(&c->report, name, is_done);
    dp_load_report_number(&c->report, "held", now.waiting);
    dp_load_report_number(&c->report, "answers", now.answers - before->answers);
    dp_load_report_number(&c->report, "expired", now.expired - before->expired);
    dp_load_report_seconds(&c->report, "seconds", span_us);
    dp_load_report_rate(&c->report, "per_second", now.answers - before->answers,
                        span_us);
    dp_load_say_failures(c, before, &now);
    dp_load_report_end(&c->report);
}

static dp_load_end run_time(dp_load_coordinator *c, const dp_load_step *step)
{
    const char *name = dp_load_kind_name(step->kind);
    dp_load_counts before = dp_load_count(c);
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
        if (now_us - said_us >= DP_LOAD_PROGRESS_US) {
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
    dp_load_report_number(&c->report, "held", DP_LOAD_SUM(c->shared, waiting));
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
        return dp_load_run_hold(c, step);
    case DP_LOAD_PAUSE:
        return run_pause(c, step);
    case DP_LOAD_WAKE:
        return dp_load_run_wake(c, step);
    case DP_LOAD_STORM:
        return dp_load_run_storm(c);
    case DP_LOAD_HEARTBEAT:
        atomic_store(&c->shared->heartbeat_s, step->n);
        dp_load_report_begin(&c->report, dp_load_kind_name(step->kind), true);
        dp_load_report_number(&c->report, "heartbeat", step->n);
        dp_load_report_end(&c->report);
        return DP_LOAD_DONE;
    case DP_LOAD_EXPIRE:
    case DP_LOAD_IDLE:
        return run_time(c, step);
    default: /* quit */
        dp_load_report_begin(&c->report, dp_load_kind_name(step->kind), true);
        dp_load_report_end(&c->report);
        return DP_LOAD_DONE;
    }
}
