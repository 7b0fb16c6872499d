#include "tools/device/load_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/dp_check.h"
#include "tools/device/load_talk.h"

/* Of one epoll_wait(2): answers are read a few microseconds one after another,
 * and none waits for more than a millisecond to be looked at. */
#define EVENTS_N 256

/* --- who is next --- */

static dp_talker *next_by_cursor(dp_load_worker *w)
{
    uint32_t wanted =
        atomic_load_explicit(&w->shared->wanted, memory_order_relaxed);
    while (w->cursor < w->devices_n) {
        dp_talker *d = &w->devices[w->cursor];
        if (dp_talk_number(w, d) >= wanted) {
            return NULL;
        }
        if (d->state == DP_TALK_OFF || d->state == DP_TALK_IDLE) {
            return d;
        }
        w->cursor++;
    }
    return NULL;
}

static bool has_token(dp_load_worker *w)
{
    dp_time_us now_us = dp_clock_mono_us();
    w->tokens += (double)(now_us - w->tokens_at_us) * w->per_us;
    w->tokens = w->tokens < w->tokens_max ? w->tokens : w->tokens_max;
    w->tokens_at_us = now_us;
    return w->tokens >= 1;
}

/* Those that wait for their turn go on, as far as --inflight and --rate let
 * them. @return when to try again, DP_NEVER_US: at the next event */
static dp_time_us begin_more(dp_load_worker *w)
{
    while (w->inflight < w->inflight_max) {
        dp_talker *d = dp_talk_next_ready(w);
        if (d) {
            dp_talk_begin(w, d);
            continue;
        }
        d = next_by_cursor(w);
        if (!d) {
            break;
        }
        if (!d->has_begun) {
            if (!has_token(w)) {
                return w->tokens_at_us +
                       (dp_time_us)((1 - w->tokens) / w->per_us) + 1;
            }
            w->tokens -= 1;
        }
        dp_talk_begin(w, d);
    }
    return DP_NEVER_US;
}

/* --- life --- */

static bool init(dp_load_worker *w, const dp_load_worker_args *a)
{
    const dp_load_args *args = a->args;
    char why[256];
    w->a = a;
    w->shared = a->shared;
    w->slot = &a->shared->slots[a->index];
    w->devices_n =
        (args->devices - a->index + args->processes - 1) / args->processes;
    w->devices = calloc(w->devices_n, sizeof(*w->devices));
    DP_ASSERT(w->devices);
    for (uint32_t i = 0; i < w->devices_n; i++) {
        dp_load_device_init(&w->devices[i].is, args->heartbeat_s,
                            args->is_longpoll);
        w->devices[i].line.fd = -1;
    }
    w->cursor = w->devices_n;
    w->ready_end = &w->ready;
    w->inflight_max = (args->inflight + args->processes - 1) / args->processes;
    w->per_us = (double)args->rate / args->processes / 1e6;
    w->tokens_max = w->per_us * 50000 + 1; /* what 50 ms bring */
    w->tokens_at_us = dp_clock_mono_us();
    w->random = (uint64_t)w->tokens_at_us ^ (a->index + 1) * 0x9E3779B97F4A7C15;
    dp_wheel_init(&w->wheel, w->tokens_at_us);
    if (!dp_load_trace_open(&w->trace, args->trace_file)) {
        fprintf(stderr, "directpush-device: %s: %s\n", args->trace_file,
                strerror(errno));
        return false;
    }
    if (!dp_load_lines_init(&w->lines, args, why)) {
        fprintf(stderr, "directpush-device: %s\n", why);
        return false;
    }
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    return w->epoll_fd >= 0 &&
           epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, a->line_fd, &e) == 0;
}

/* @return false: it is over */
static bool heed_coordinator(dp_load_worker *w)
{
    char bytes[64];
    ssize_t n = recv(w->a->line_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        return false; /* the coordinator is gone */
    }
    w->cursor = 0;
    return !atomic_load_explicit(&w->shared->must_quit, memory_order_acquire);
}

static int timeout_ms(dp_load_worker *w, dp_time_us again_us)
{
    dp_time_us at_us = dp_wheel_next(&w->wheel);
    at_us = again_us < at_us ? again_us : at_us;
    if (at_us == DP_NEVER_US) {
        return -1; /* the coordinator's byte, or its end, comes in any case */
    }
    dp_time_us span_us = at_us - dp_clock_mono_us();
    return span_us <= 0 ? 0 : (int)((span_us + 999) / 1000);
}

static bool turn(dp_load_worker *w)
{
    struct epoll_event events[EVENTS_N];
    dp_time_us again_us = begin_more(w);
    int n = epoll_wait(w->epoll_fd, events, EVENTS_N, timeout_ms(w, again_us));
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            dp_talk_event(w, events[i].data.ptr, events[i].events);
        }
        else if (!heed_coordinator(w)) {
            return false;
        }
    }
    dp_wheel_expire(&w->wheel, dp_clock_mono_us(), dp_talk_due, w);
    dp_load_trace_flush(&w->trace);
    return true;
}

int dp_load_worker_run(const dp_load_worker_args *a)
{
    dp_load_worker *w = calloc(1, sizeof(*w));
    DP_ASSERT(w);
    bool is_good = init(w, a);
    while (is_good && turn(w)) {
    }
    for (uint32_t i = 0; i < w->devices_n; i++) {
        dp_talk_close(&w->devices[i]);
    }
    dp_load_lines_free(&w->lines);
    dp_load_trace_close(&w->trace);
    free(w->devices);
    free(w);
    return is_good ? 0 : 1;
}
