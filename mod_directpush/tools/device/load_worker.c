#include "config.h"

#include "tools/device/load_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "base/dp_wheel.h"
#include "tools/device/load_answer.h"
#include "tools/device/load_line.h"

/* AOSP gives 20 s to a connection and 30 s to a command; a server under load
 * has twice that, so that its slowness is measured and not cut off. */
#define CONNECT_US (40 * DP_SECOND_US)
#define COMMAND_US (60 * DP_SECOND_US)

/* An answer is due when the heartbeat ends; so much later it is lost. */
#define OVERDUE_US (60 * DP_SECOND_US)

/* How long a server may take to close over a request that it has not read. */
#define STALE_MS 2000

/* Between two tries: doubles from a second, with jitter. */
#define REST_US     DP_SECOND_US
#define REST_SHIFTS 5

#define EVENTS_N 256 /* of one epoll_wait(2): an answer is read 2 us after
                        another */
#define READ_SIZE 65536

typedef enum state {
    OFF,        /* no connection, nothing to do */
    READY,      /* in the list of those that go on when there is room */
    CONNECTING, /* TCP and TLS */
    ASKED,      /* an answer comes at once */
    WAITING,    /* an answer comes when there are news */
    ANSWERED,   /* of a wait; what follows is decided at once */
    IDLE,       /* connected, was answered, and stays so */
    RESTING,    /* failed; a timer runs */
    GIVEN_UP
} state;

typedef struct device {
    dp_load_device is;
    dp_load_line line;
    dp_load_pieces *pieces;
    dp_timer timer; /* of the state it is in */
    struct device *next_ready;
    uint32_t asked_ms; /* when the request was written; wraps */
    uint32_t events;   /* what epoll looks for */
    uint8_t state;
    uint8_t tries;  /* failures in a row */
    bool has_begun; /* its first connection was begun */
    bool is_first;  /* the request is the first one on its connection */
} device;

typedef struct worker {
    const dp_load_worker_args *a;
    dp_load_shared *shared;
    dp_load_slot *slot;
    dp_load_lines lines;
    int epoll_fd;
    dp_wheel wheel;
    device *devices;
    uint32_t devices_n;
    uint32_t cursor; /* below it nobody is OFF or IDLE who should not be */
    uint32_t inflight, inflight_max;
    device *ready, **ready_end;
    double tokens, tokens_max, per_us; /* for new devices: --rate */
    dp_time_us tokens_at_us;
    uint64_t random;
    unsigned char buf[READ_SIZE];
    char out[DP_LOAD_REQUEST_MAX];
} worker;

static uint32_t number_of(const worker *w, const device *d)
{
    return (uint32_t)(d - w->devices) * w->a->args->processes + w->a->index;
}

static bool is_on_its_way(state s)
{
    return s == CONNECTING || s == ASKED;
}

static void notify(worker *w, uint32_t number, char byte)
{
    if (atomic_load_explicit(&w->shared->probe, memory_order_relaxed) ==
        number) {
        send(w->a->line_fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* The only place where a state changes: the counts go with it. */
static void transit(worker *w, device *d, state to)
{
    state from = (state)d->state;
    uint32_t number = number_of(w, d);
    d->state = (uint8_t)to;
    w->inflight -= is_on_its_way(from);
    w->inflight += is_on_its_way(to);
    if (from == WAITING) {
        /* before is_expected is looked at: see expect() in load_steps.c */
        atomic_store(&w->shared->since_us[number], 0);
        DP_LOAD_COUNT(w->slot->waiting, -(uint64_t)1);
    }
    if (to == WAITING) {
        d->tries = 0;
        atomic_store_explicit(&w->shared->since_us[number],
                              dp_clock_mono_us(), memory_order_release);
        DP_LOAD_COUNT(w->slot->waiting, 1);
        notify(w, number, DP_LOAD_BYTE_WAITING);
    }
    if (to == GIVEN_UP) {
        DP_LOAD_COUNT(w->slot->given_up, 1);
    }
}

static void timer_in(worker *w, device *d, dp_time_us span_us)
{
    dp_wheel_link(&w->wheel, &d->timer, dp_clock_mono_us() + span_us);
}

/* --- epoll --- */

static void look_for(worker *w, device *d, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = d};
    if (d->events != events) {
        int op = d->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        DP_ASSERT(epoll_ctl(w->epoll_fd, op, d->line.fd, &e) == 0);
        d->events = events;
    }
}

static void close_line(device *d)
{
    dp_load_pieces_free(&d->pieces);
    dp_load_line_close(&d->line); /* and out of epoll, by the kernel */
    d->events = 0;
}

/* --- failures --- */

static uint64_t draw(worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static dp_time_us rest_of(worker *w, const device *d, int64_t retry_after_s)
{
    unsigned shifts = d->tries < REST_SHIFTS ? d->tries : REST_SHIFTS;
    dp_time_us rest_us = REST_US << shifts;
    if (retry_after_s > 0) {
        return retry_after_s * DP_SECOND_US +
               (dp_time_us)(draw(w) % (uint64_t)rest_us);
    }
    return rest_us / 2 +
           (dp_time_us)(draw(w) % (uint64_t)(rest_us / 2));
}

static void fail(worker *w, device *d, dp_load_failure why,
                 int64_t retry_after_s)
{
    DP_LOAD_COUNT(w->slot->failures[why], 1);
    close_line(d);
    dp_wheel_unlink(&w->wheel, &d->timer);
    if (why == DP_LOAD_FAIL_DENIED ||
        (why == DP_LOAD_FAIL_REFUSED && w->a->args->wants_no_retry)) {
        transit(w, d, GIVEN_UP);
        return;
    }
    transit(w, d, RESTING);
    timer_in(w, d, rest_of(w, d, retry_after_s));
    d->tries += d->tries < UINT8_MAX;
}

static void make_ready(worker *w, device *d)
{
    transit(w, d, READY);
    d->next_ready = NULL;
    *w->ready_end = d;
    w->ready_end = &d->next_ready;
}

/* --- asking --- */

static void has_asked(worker *w, device *d)
{
    bool waits = d->is.next == DP_LOAD_WAIT;
    look_for(w, d, EPOLLIN);
    d->asked_ms = (uint32_t)(dp_clock_mono_us() / 1000);
    transit(w, d, waits ? WAITING : ASKED);
    timer_in(w, d, waits ? d->is.heartbeat_s * DP_SECOND_US + OVERDUE_US
                         : COMMAND_US);
}

static void ended(worker *w, device *d);

static void ask(worker *w, device *d)
{
    size_t n = dp_load_request_write(w->a->requests, number_of(w, d), &d->is,
                                     w->out);
    switch (dp_load_line_write(&d->line, w->out, n)) {
    case DP_LOAD_IO_DONE:
        has_asked(w, d);
        break;
    case DP_LOAD_IO_AGAIN:
        transit(w, d, ASKED); /* until all of it is written */
        timer_in(w, d, COMMAND_US);
        look_for(w, d, EPOLLIN | EPOLLOUT);
        break;
    default:
        transit(w, d, ASKED);
        ended(w, d);
    }
}

static void go_on_connecting(worker *w, device *d)
{
    bool is_resumed;
    switch (dp_load_line_connect(&w->lines, &d->line, &is_resumed)) {
    case DP_LOAD_IO_DONE:
        DP_LOAD_COUNT(w->slot->connections, 1);
        DP_LOAD_COUNT(w->slot->resumed, is_resumed);
        ask(w, d);
        break;
    case DP_LOAD_IO_AGAIN:
        look_for(w, d, d->line.ssl && SSL_want_write(d->line.ssl)
                           ? EPOLLIN | EPOLLOUT
                           : EPOLLIN);
        break;
    default:
        fail(w, d,
             d->line.is_connected ? DP_LOAD_FAIL_TLS : DP_LOAD_FAIL_CONNECT,
             0);
    }
}

static void begin(worker *w, device *d)
{
    d->has_begun = true;
    if (d->line.fd >= 0) {
        ask(w, d);
        return;
    }
    d->is_first = true;
    if (dp_load_line_open(&w->lines, &d->line, number_of(w, d)) !=
        DP_LOAD_IO_AGAIN) {
        fail(w, d, DP_LOAD_FAIL_CONNECT, 0);
        return;
    }
    transit(w, d, CONNECTING);
    timer_in(w, d, CONNECT_US);
    look_for(w, d, EPOLLOUT);
}

/* --- answers --- */

/* Slow ones count at once, and are forgotten within some hundred others: what
 * a wait has to outlast to be one. */
static void note_round_trip(worker *w, const device *d)
{
    uint32_t now_ms = (uint32_t)(dp_clock_mono_us() / 1000);
    int64_t us = (int64_t)(now_ms - d->asked_ms) * 1000;
    int64_t before =
        atomic_load_explicit(&w->slot->round_trip_us, memory_order_relaxed);
    before -= before / 64;
    atomic_store_explicit(&w->slot->round_trip_us, us > before ? us : before,
                          memory_order_relaxed);
}

/* The change that the coordinator waits for has been told. Published before the
 * wait began, it was another one: told, but nothing to be timed. */
static void take_time(worker *w, uint32_t number, dp_time_us since_us,
                      dp_time_us now_us)
{
    uint32_t topic = dp_load_topic_of(w->a->args, number);
    dp_time_us published_us = atomic_load_explicit(
        &w->shared->published_us[topic], memory_order_acquire);
    if (published_us > since_us) {
        dp_histogram_add(&w->slot->latency, now_us - published_us);
    }
    atomic_store_explicit(&w->slot->last_told_us, now_us,
                          memory_order_relaxed);
    /* after the histogram: who sees the count finds it there */
    atomic_fetch_add_explicit(&w->slot->told, 1, memory_order_release);
    notify(w, number, DP_LOAD_BYTE_TOLD);
}

/* A wait has ended: was it for the sake of what the coordinator published? */
static void count_answer(worker *w, const device *d, dp_load_outcome outcome,
                         dp_time_us since_us, dp_time_us now_us)
{
    uint32_t number = number_of(w, d);
    DP_LOAD_COUNT(w->slot->answers, 1);
    if (outcome == DP_LOAD_EXPIRED) {
        DP_LOAD_COUNT(w->slot->expired, 1);
    }
    else if (outcome == DP_LOAD_TOLD &&
             atomic_exchange(&w->shared->is_expected[number], 0)) {
        take_time(w, number, since_us, now_us);
    }
    else {
        DP_LOAD_COUNT(w->slot->needless, 1);
    }
}

static void settle(worker *w, device *d)
{
    transit(w, d, d->line.fd >= 0 ? IDLE : OFF);
}

/* Shall it go on? In a storm it stays with its answer; one that was answered for
 * another reason just before has yet to hear of the change. */
static bool goes_on(worker *w, const device *d)
{
    return atomic_load_explicit(&w->shared->follows, memory_order_relaxed) ||
           atomic_load_explicit(&w->shared->is_expected[number_of(w, d)],
                                memory_order_relaxed);
}

static void take_news(worker *w, device *d, const dp_load_news *news)
{
    switch (news->outcome) {
    case DP_LOAD_NEXT:
        begin(w, d);
        break;
    case DP_LOAD_TOLD:
    case DP_LOAD_LISTED:
    case DP_LOAD_EXPIRED:
        if (goes_on(w, d)) {
            begin(w, d);
        }
        else {
            settle(w, d);
        }
        break;
    case DP_LOAD_FAILED:
        fail(w, d, news->failure, news->retry_after_s);
        break;
    }
}

static dp_load_news take_in(worker *w, device *d, const dp_load_answer *answer)
{
    return w->a->args->is_longpoll
               ? dp_load_device_take_message(&d->is, answer)
               : dp_load_device_take(&d->is, w->a->args->folder, answer);
}

/* @return what the answer to a wait leads to; its time is that of now */
static dp_load_news end_wait(worker *w, device *d, const dp_load_answer *answer)
{
    dp_time_us now_us = dp_clock_mono_us();
    dp_time_us since_us = atomic_load_explicit(
        &w->shared->since_us[number_of(w, d)], memory_order_relaxed);
    transit(w, d, ANSWERED);
    dp_load_news news = take_in(w, d, answer);
    if (news.outcome != DP_LOAD_FAILED && news.outcome != DP_LOAD_NEXT) {
        count_answer(w, d, news.outcome, since_us, now_us);
    }
    return news;
}

static void answered(worker *w, device *d, const dp_load_answer *answer)
{
    dp_load_news news;
    d->is_first = false;
    dp_wheel_unlink(&w->wheel, &d->timer);
    if (d->state == WAITING) {
        news = end_wait(w, d, answer);
    }
    else {
        note_round_trip(w, d);
        news = take_in(w, d, answer);
    }
    bool closes = answer->closes;
    dp_load_pieces_free(&d->pieces); /* the answer is gone now */
    if (closes) {
        close_line(d);
    }
    take_news(w, d, &news);
}

/* The server closed the connection while our request was on its way: it may,
 * and every client sends such a request again. A Ping that was held for some
 * time was not on its way. */
static bool is_stale(const device *d)
{
    uint32_t now_ms = (uint32_t)(dp_clock_mono_us() / 1000);
    return !d->is_first && !d->pieces &&
           (d->state == ASKED || now_ms - d->asked_ms < STALE_MS);
}

/* The connection has ended, or was reset. */
static void ended(worker *w, device *d)
{
    dp_load_answer answer;
    if (d->state == IDLE) { /* keep-alive is over */
        close_line(d);
        transit(w, d, OFF);
        return;
    }
    if (dp_load_answer_close(d->pieces, &answer) == DP_LOAD_WHOLE) {
        answer.closes = true;
        answered(w, d, &answer);
        return;
    }
    if (is_stale(d)) {
        DP_LOAD_COUNT(w->slot->stale, 1);
        close_line(d);
        dp_wheel_unlink(&w->wheel, &d->timer);
        begin(w, d); /* anew, and then it is the first */
        return;
    }
    fail(w, d, DP_LOAD_FAIL_LOST, 0);
}

static void take_bytes(worker *w, device *d, size_t n)
{
    dp_load_answer answer;
    size_t used;
    if (d->state != ASKED && d->state != WAITING) {
        ended(w, d); /* of a server that gives notice before it closes */
        return;
    }
    switch (dp_load_answer_read(&d->pieces, dp_span_of(w->buf, n), &answer,
                                &used)) {
    case DP_LOAD_WHOLE:
        answer.closes |= used < n; /* what follows is no answer of ours */
        answered(w, d, &answer);
        break;
    case DP_LOAD_MORE:
        break;
    default:
        fail(w, d, DP_LOAD_FAIL_HTTP, 0);
    }
}

static void readable(worker *w, device *d)
{
    size_t n;
    bool has_more = true;
    while (has_more && d->line.fd >= 0 && d->state != CONNECTING) {
        switch (dp_load_line_read(&d->line, w->buf, sizeof(w->buf), &n,
                                  &has_more)) {
        case DP_LOAD_IO_DONE:
            take_bytes(w, d, n);
            break;
        case DP_LOAD_IO_AGAIN:
            return;
        default:
            ended(w, d);
            return;
        }
    }
}

static void device_event(worker *w, device *d, uint32_t events)
{
    if (d->state == CONNECTING) {
        go_on_connecting(w, d);
        return;
    }
    if (d->line.unsent && events & EPOLLOUT) {
        dp_load_io io = dp_load_line_flush(&d->line);
        if (io == DP_LOAD_IO_DONE) {
            has_asked(w, d);
        }
        else if (io != DP_LOAD_IO_AGAIN) {
            ended(w, d);
            return;
        }
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        readable(w, d);
    }
}

static void timer_due(dp_timer *timer, void *ctx)
{
    worker *w = ctx;
    device *d = DP_TIMER_OWNER(timer, device, timer);
    if (d->state == RESTING) {
        make_ready(w, d);
        return;
    }
    fail(w, d,
         d->state == CONNECTING ? DP_LOAD_FAIL_CONNECT : DP_LOAD_FAIL_TIMEOUT,
         0);
}

/* --- who is next --- */

static device *next_by_cursor(worker *w)
{
    uint32_t wanted =
        atomic_load_explicit(&w->shared->wanted, memory_order_relaxed);
    while (w->cursor < w->devices_n) {
        device *d = &w->devices[w->cursor];
        if (number_of(w, d) >= wanted) {
            return NULL;
        }
        if (d->state == OFF || d->state == IDLE) {
            return d;
        }
        w->cursor++;
    }
    return NULL;
}

static bool has_token(worker *w)
{
    dp_time_us now_us = dp_clock_mono_us();
    w->tokens += (double)(now_us - w->tokens_at_us) * w->per_us;
    w->tokens = w->tokens < w->tokens_max ? w->tokens : w->tokens_max;
    w->tokens_at_us = now_us;
    return w->tokens >= 1;
}

/* Those that wait for their turn go on, as far as --inflight and --rate let
 * them. @return when to try again, DP_NEVER_US: at the next event */
static dp_time_us begin_more(worker *w)
{
    while (w->inflight < w->inflight_max) {
        device *d = w->ready;
        if (d) {
            w->ready = d->next_ready;
            w->ready_end = w->ready ? w->ready_end : &w->ready;
            begin(w, d);
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
        begin(w, d);
    }
    return DP_NEVER_US;
}

/* --- life --- */

static bool init(worker *w, const dp_load_worker_args *a)
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
static bool heed_coordinator(worker *w)
{
    char bytes[64];
    ssize_t n = recv(w->a->line_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        return false; /* the coordinator is gone */
    }
    w->cursor = 0;
    return !atomic_load_explicit(&w->shared->must_quit, memory_order_acquire);
}

static int timeout_ms(worker *w, dp_time_us again_us)
{
    dp_time_us at_us = dp_wheel_next(&w->wheel);
    at_us = again_us < at_us ? again_us : at_us;
    if (at_us == DP_NEVER_US) {
        return -1; /* the coordinator's byte, or its end, comes in any case */
    }
    dp_time_us span_us = at_us - dp_clock_mono_us();
    return span_us <= 0 ? 0 : (int)((span_us + 999) / 1000);
}

static bool turn(worker *w)
{
    struct epoll_event events[EVENTS_N];
    dp_time_us again_us = begin_more(w);
    int n = epoll_wait(w->epoll_fd, events, EVENTS_N, timeout_ms(w, again_us));
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            device_event(w, events[i].data.ptr, events[i].events);
        }
        else if (!heed_coordinator(w)) {
            return false;
        }
    }
    dp_wheel_expire(&w->wheel, dp_clock_mono_us(), timer_due, w);
    return true;
}

int dp_load_worker_run(const dp_load_worker_args *a)
{
    worker *w = calloc(1, sizeof(*w));
    DP_ASSERT(w);
    bool is_good = init(w, a);
    while (is_good && turn(w)) {
    }
    for (uint32_t i = 0; i < w->devices_n; i++) {
        close_line(&w->devices[i]);
    }
    dp_load_lines_free(&w->lines);
    free(w->devices);
    free(w);
    return is_good ? 0 : 1;
}
