#include "config.h"

#include "tools/device/load_talk.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/dp_check.h"

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

static bool is_on_its_way(dp_talk_state s)
{
    return s == DP_TALK_CONNECTING || s == DP_TALK_ASKED;
}

static void notify(dp_load_worker *w, uint32_t number, char byte)
{
    if (atomic_load_explicit(&w->shared->probe, memory_order_relaxed) ==
        number) {
        send(w->a->line_fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void note(dp_load_worker *w, const dp_talker *d, const char *what)
{
    dp_load_trace_note(&w->trace, dp_talk_number(w, d), what, false);
}

/* The only place where a state changes: the counts go with it. */
static void transit(dp_load_worker *w, dp_talker *d, dp_talk_state to)
{
    dp_talk_state from = (dp_talk_state)d->state;
    uint32_t number = dp_talk_number(w, d);
    d->state = (uint8_t)to;
    w->inflight -= is_on_its_way(from);
    w->inflight += is_on_its_way(to);
    if (from == DP_TALK_WAITING) {
        /* before is_expected is looked at: see dp_load_expect() */
        atomic_store(&w->shared->since_us[number], 0);
        DP_LOAD_COUNT(w->slot->waiting, -(uint64_t)1);
    }
    if (to == DP_TALK_WAITING) {
        d->tries = 0;
        d->since_us = d->since_us ? d->since_us : dp_clock_mono_us();
        atomic_store_explicit(&w->shared->since_us[number], d->since_us,
                              memory_order_release);
        DP_LOAD_COUNT(w->slot->waiting, 1);
        notify(w, number, DP_LOAD_BYTE_WAITING);
    }
    if (to == DP_TALK_GIVEN_UP) {
        DP_LOAD_COUNT(w->slot->given_up, 1);
    }
}

static void timer_in(dp_load_worker *w, dp_talker *d, dp_time_us span_us)
{
    dp_wheel_link(&w->wheel, &d->timer, dp_clock_mono_us() + span_us);
}

/* --- epoll --- */

static void look_for(dp_load_worker *w, dp_talker *d, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = d};
    if (d->events != events) {
        int op = d->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        DP_ASSERT(epoll_ctl(w->epoll_fd, op, d->line.fd, &e) == 0);
        d->events = events;
    }
}

void dp_talk_close(dp_talker *d)
{
    dp_load_pieces_free(&d->pieces);
    dp_load_line_close(&d->line); /* and out of epoll, by the kernel */
    d->events = 0;
}

/* --- failures --- */

static uint64_t draw(dp_load_worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static dp_time_us rest_of(dp_load_worker *w, const dp_talker *d,
                          int64_t retry_after_s)
{
    unsigned shifts = d->tries < REST_SHIFTS ? d->tries : REST_SHIFTS;
    dp_time_us rest_us = REST_US << shifts;
    if (retry_after_s > 0) {
        return retry_after_s * DP_SECOND_US +
               (dp_time_us)(draw(w) % (uint64_t)rest_us);
    }
    return rest_us / 2 + (dp_time_us)(draw(w) % (uint64_t)(rest_us / 2));
}

static void fail(dp_load_worker *w, dp_talker *d, dp_load_failure why,
                 int64_t retry_after_s)
{
    DP_LOAD_COUNT(w->slot->failures[why], 1);
    note(w, d, dp_load_failure_name(why));
    dp_talk_close(d);
    dp_wheel_unlink(&w->wheel, &d->timer);
    if (why == DP_LOAD_FAIL_DENIED ||
        (why == DP_LOAD_FAIL_REFUSED && w->a->args->wants_no_retry)) {
        transit(w, d, DP_TALK_GIVEN_UP);
        return;
    }
    transit(w, d, DP_TALK_RESTING);
    timer_in(w, d, rest_of(w, d, retry_after_s));
    d->tries += d->tries < UINT8_MAX;
}

static void fail_to_connect(dp_load_worker *w, dp_talker *d, int error)
{
    atomic_store_explicit(&w->slot->connect_error, error, memory_order_relaxed);
    fail(w, d, DP_LOAD_FAIL_CONNECT, 0);
}

static void make_ready(dp_load_worker *w, dp_talker *d)
{
    transit(w, d, DP_TALK_READY);
    d->next_ready = NULL;
    *w->ready_end = d;
    w->ready_end = &d->next_ready;
}

dp_talker *dp_talk_next_ready(dp_load_worker *w)
{
    dp_talker *d = w->ready;
    if (d) {
        w->ready = d->next_ready;
        w->ready_end = w->ready ? w->ready_end : &w->ready;
    }
    return d;
}

/* --- asking --- */

static void has_asked(dp_load_worker *w, dp_talker *d)
{
    bool waits = d->is.next == DP_LOAD_WAIT;
    look_for(w, d, EPOLLIN);
    d->asked_ms = (uint32_t)(dp_clock_mono_us() / 1000);
    transit(w, d, waits ? DP_TALK_WAITING : DP_TALK_ASKED);
    timer_in(w, d,
             waits ? d->is.heartbeat_s * DP_SECOND_US + OVERDUE_US
                   : COMMAND_US);
}

static void ended(dp_load_worker *w, dp_talker *d);

static void ask(dp_load_worker *w, dp_talker *d)
{
    dp_load_device_wish(&d->is,
                        atomic_load_explicit(&w->shared->heartbeat_s,
                                             memory_order_relaxed));
    size_t n = dp_load_request_write(w->a->requests, dp_talk_number(w, d),
                                     &d->is, w->out);
    note(w, d, dp_load_cmd_name((dp_load_cmd)d->is.next));
    switch (dp_load_line_write(&d->line, w->out, n)) {
    case DP_LOAD_IO_DONE:
        has_asked(w, d);
        break;
    case DP_LOAD_IO_AGAIN:
        transit(w, d, DP_TALK_ASKED); /* until all of it is written */
        timer_in(w, d, COMMAND_US);
        look_for(w, d, EPOLLIN | EPOLLOUT);
        break;
    default:
        transit(w, d, DP_TALK_ASKED);
        ended(w, d);
    }
}

static void go_on_connecting(dp_load_worker *w, dp_talker *d)
{
    bool is_resumed;
    switch (dp_load_line_connect(&w->lines, &d->line, &is_resumed)) {
    case DP_LOAD_IO_DONE:
        DP_LOAD_COUNT(w->slot->connections, 1);
        DP_LOAD_COUNT(w->slot->resumed, is_resumed);
        note(w, d, is_resumed ? "resumed" : "connected");
        ask(w, d);
        break;
    case DP_LOAD_IO_AGAIN:
        look_for(w, d,
                 d->line.ssl && SSL_want_write(d->line.ssl) ? EPOLLIN | EPOLLOUT
                                                            : EPOLLIN);
        break;
    default:
        if (d->line.is_connected) {
            fail(w, d, DP_LOAD_FAIL_TLS, 0);
        }
        else {
            fail_to_connect(w, d, errno);
        }
    }
}

void dp_talk_begin(dp_load_worker *w, dp_talker *d)
{
    d->has_begun = true;
    if (d->line.fd >= 0) {
        ask(w, d);
        return;
    }
    d->is_first = true;
    if (dp_load_line_open(&w->lines, &d->line, dp_talk_number(w, d)) !=
        DP_LOAD_IO_AGAIN) {
        fail_to_connect(w, d, errno);
        return;
    }
    transit(w, d, DP_TALK_CONNECTING);
    timer_in(w, d, CONNECT_US);
    look_for(w, d, EPOLLOUT);
}

/* --- answers --- */

/* Slow ones count at once, and are forgotten within some hundred others: what
 * a wait has to outlast to be one. */
static void note_round_trip(dp_load_worker *w, const dp_talker *d)
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
static void take_time(dp_load_worker *w, uint32_t number, dp_time_us since_us,
                      dp_time_us now_us)
{
    uint32_t topic = dp_load_topic_of(w->a->args, number);
    dp_time_us published_us = atomic_load_explicit(
        &w->shared->published_us[topic], memory_order_acquire);
    if (published_us > since_us) {
        dp_histogram_add(&w->slot->latency, now_us - published_us);
    }
    atomic_store_explicit(&w->slot->last_told_us, now_us, memory_order_relaxed);
    /* after the histogram: who sees the count finds it there */
    atomic_fetch_add_explicit(&w->slot->told, 1, memory_order_release);
    notify(w, number, DP_LOAD_BYTE_TOLD);
}

/* A wait has ended: was it for the sake of what the coordinator published? */
static void count_answer(dp_load_worker *w, const dp_talker *d,
                         dp_load_outcome outcome, dp_time_us now_us)
{
    uint32_t number = dp_talk_number(w, d);
    DP_LOAD_COUNT(w->slot->answers, 1);
    if (outcome == DP_LOAD_EXPIRED) {
        DP_LOAD_COUNT(w->slot->expired, 1);
    }
    else if (outcome == DP_LOAD_TOLD &&
             atomic_exchange(&w->shared->is_expected[number], 0)) {
        take_time(w, number, d->since_us, now_us);
    }
    else {
        DP_LOAD_COUNT(w->slot->needless, 1);
    }
}

static void settle(dp_load_worker *w, dp_talker *d)
{
    transit(w, d, d->line.fd >= 0 ? DP_TALK_IDLE : DP_TALK_OFF);
}

/* Shall it go on? In a storm it stays with its answer; one that was answered
 * for another reason just before has yet to hear of the change. */
static bool goes_on(dp_load_worker *w, const dp_talker *d)
{
    return atomic_load_explicit(&w->shared->follows, memory_order_relaxed) ||
           atomic_load_explicit(&w->shared->is_expected[dp_talk_number(w, d)],
                                memory_order_relaxed);
}

static void take_news(dp_load_worker *w, dp_talker *d, const dp_load_news *news)
{
    switch (news->outcome) {
    case DP_LOAD_NEXT:
        dp_talk_begin(w, d);
        break;
    case DP_LOAD_TOLD:
    case DP_LOAD_LISTED:
    case DP_LOAD_EXPIRED:
        if (goes_on(w, d)) {
            dp_talk_begin(w, d);
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

static dp_load_news take_in(dp_load_worker *w, dp_talker *d,
                            const dp_load_answer *answer)
{
    return w->a->args->is_longpoll
               ? dp_load_device_take_message(&d->is, answer)
               : dp_load_device_take(&d->is, w->a->args->folder, answer);
}

/* @return what the answer to a wait leads to; its time is that of now */
static dp_load_news end_wait(dp_load_worker *w, dp_talker *d,
                             const dp_load_answer *answer)
{
    dp_time_us now_us = dp_clock_mono_us();
    transit(w, d, DP_TALK_ANSWERED);
    dp_load_news news = take_in(w, d, answer);
    if (news.outcome != DP_LOAD_FAILED && news.outcome != DP_LOAD_NEXT) {
        count_answer(w, d, news.outcome, now_us);
    }
    if (news.outcome != DP_LOAD_EXPIRED) {
        d->since_us = 0;
    }
    return news;
}

static void answered(dp_load_worker *w, dp_talker *d,
                     const dp_load_answer *answer)
{
    dp_load_news news;
    d->is_first = false;
    dp_wheel_unlink(&w->wheel, &d->timer);
    if (d->state == DP_TALK_WAITING) {
        news = end_wait(w, d, answer);
    }
    else {
        note_round_trip(w, d);
        news = take_in(w, d, answer);
    }
    bool closes = answer->closes;
    if (news.outcome != DP_LOAD_FAILED) { /* fail() notes that */
        dp_load_trace_note(&w->trace, dp_talk_number(w, d),
                           dp_load_outcome_name(news.outcome), closes);
    }
    dp_load_pieces_free(&d->pieces); /* the answer is gone now */
    if (closes) {
        dp_talk_close(d);
    }
    take_news(w, d, &news);
}

/* The server closed the connection while our request was on its way: it may,
 * and every client sends such a request again. A Ping that was held for some
 * time was not on its way. */
static bool is_stale(const dp_talker *d)
{
    uint32_t now_ms = (uint32_t)(dp_clock_mono_us() / 1000);
    return !d->is_first && !d->pieces &&
           (d->state == DP_TALK_ASKED || now_ms - d->asked_ms < STALE_MS);
}

/* The connection has ended, or was reset. */
static void ended(dp_load_worker *w, dp_talker *d)
{
    dp_load_answer answer;
    if (d->state == DP_TALK_IDLE) { /* keep-alive is over */
        dp_talk_close(d);
        transit(w, d, DP_TALK_OFF);
        return;
    }
    if (dp_load_answer_close(d->pieces, &answer) == DP_LOAD_WHOLE) {
        answer.closes = true;
        answered(w, d, &answer);
        return;
    }
    if (is_stale(d)) {
        DP_LOAD_COUNT(w->slot->stale, 1);
        note(w, d, d->line.was_reset ? "stale-reset" : "stale");
        dp_talk_close(d);
        dp_wheel_unlink(&w->wheel, &d->timer);
        dp_talk_begin(w, d); /* anew, and then it is the first */
        return;
    }
    fail(w, d, d->line.was_reset ? DP_LOAD_FAIL_RESET : DP_LOAD_FAIL_LOST, 0);
}

static void take_bytes(dp_load_worker *w, dp_talker *d, size_t n)
{
    dp_load_answer answer;
    size_t used;
    if (d->state != DP_TALK_ASKED && d->state != DP_TALK_WAITING) {
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

static void readable(dp_load_worker *w, dp_talker *d)
{
    size_t n;
    bool has_more = true;
    while (has_more && d->line.fd >= 0 && d->state != DP_TALK_CONNECTING) {
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

void dp_talk_event(dp_load_worker *w, dp_talker *d, uint32_t events)
{
    if (d->state == DP_TALK_CONNECTING) {
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

void dp_talk_due(dp_timer *timer, void *worker)
{
    dp_load_worker *w = worker;
    dp_talker *d = DP_TIMER_OWNER(timer, dp_talker, timer);
    if (d->state == DP_TALK_RESTING) {
        make_ready(w, d);
        return;
    }
    if (d->state == DP_TALK_CONNECTING) {
        fail_to_connect(w, d, ETIMEDOUT);
    }
    else {
        fail(w, d, DP_LOAD_FAIL_TIMEOUT, 0);
    }
}
