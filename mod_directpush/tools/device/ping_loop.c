#include "tools/device/ping_loop.h"

/* AOSP's HTTP time-out is the heartbeat and this (eas-protocol 6.1). */
#define GRACE_US (5 * DP_SECOND_US)

/* A Ping that is not refused within this time is held. Servers refuse at
 * once; a second is long for a network. */
#define ACCEPTED_US DP_SECOND_US

/* "Nothing changed" long before its time says that the server is shutting down
 * or that a newer Ping came, nothing about the network. Servers answer up to 5
 * s early (eas-protocol 3.4). */
#define EARLY_US (10 * DP_SECOND_US)

/* Held as long as this before it was lost: the server works, so the next
 * failure is a new one. */
#define HELD_US (60 * DP_SECOND_US)

/* Old Androids stop pushing a folder after three announcements in a row whose
 * Sync brought nothing (eas-protocol 4.6); this phone slows down. */
#define IDLE_WAKES_MAX 3

typedef struct ping_loop {
    dp_session *session;
    dp_ping_form form;
    size_t folders_n;     /* in the Ping that is under way */
    uint32_t answers;     /* to Pings */
    bool is_woken;        /* at least once */
    bool is_done;         /* --once is satisfied */
    unsigned idle_wakes;  /* in a row, each followed by a Sync of nothing */
    uint64_t items;       /* of the session, at the last wake */
    unsigned last_status; /* 0: none, or something good came in between */
} ping_loop;

static void name_folder(void *ctx, dp_span id)
{
    dp_phone_folder *f = dp_phone_find(ctx, id);
    if (f && f->is_watched) {
        f->needs_sync = true;
    }
}

static void on_sent(dp_session *s, void *ctx)
{
    const ping_loop *l = ctx;
    dp_timeline_ping ping = {.phone = &s->phone,
                             .folders_n = l->folders_n,
                             .heartbeat_s = s->heartbeat.now_s,
                             .form = l->form,
                             .connection = s->http.connection,
                             .request = s->http.request};
    dp_timeline_ping_sent(s->timeline, &ping);
}

static dp_time_us since_sent(const dp_session *s)
{
    return s->sent_us ? dp_clock_mono_us() - s->sent_us : 0;
}

/* --- what the statuses ask for (eas-protocol 3.2, 6.1) --- */

static dp_run nothing_changed(ping_loop *l, dp_time_us after_us)
{
    dp_session *s = l->session;
    uint32_t sent_s = s->heartbeat.now_s;
    bool is_early = after_us + EARLY_US < (dp_time_us)sent_s * DP_SECOND_US;
    if (is_early && after_us < DP_SECOND_US) {
        return dp_session_pause(s, &s->patience,
                                "the server does not hold the Ping, or "
                                "another program pings with this device id "
                                "(--device-id)",
                                0);
    }
    dp_back_off_reset(&s->patience);
    if (!is_early) {
        dp_adaptive_held(&s->heartbeat);
    }
    if (s->args->wants_empty_pings) {
        l->form = s->heartbeat.now_s == sent_s ? DP_PING_EMPTY
                                               : DP_PING_HEARTBEAT_ONLY;
    }
    return DP_RUN_OK;
}

static dp_run changes(ping_loop *l)
{
    dp_session *s = l->session;
    bool was_idle = l->is_woken && s->items == l->items;
    l->idle_wakes = was_idle ? l->idle_wakes + 1 : 0;
    l->items = s->items;
    l->is_woken = true;
    if (!dp_phone_due(&s->phone)) {
        return dp_session_pause(
            s, &s->patience, "changes in no folder that this phone knows", 0);
    }
    if (l->idle_wakes >= IDLE_WAKES_MAX) {
        return dp_session_pause(s, &s->patience,
                                "changes are announced, but no Sync brings any",
                                0);
    }
    dp_back_off_reset(&s->patience);
    return DP_RUN_OK;
}

/* Once it is settled by doing as told; again in a row, with patience only. */
static dp_run settle(ping_loop *l, unsigned status, unsigned last_status)
{
    dp_session *s = l->session;
    return status == last_status
               ? dp_session_pause(s, &s->patience,
                                  dp_timeline_ping_status(status), 0)
               : DP_RUN_OK;
}

static dp_run heartbeat_told(ping_loop *l, uint32_t bound_s,
                             unsigned last_status)
{
    dp_session *s = l->session;
    bool is_another = dp_adaptive_told(&s->heartbeat, bound_s);
    return is_another && last_status != DP_PING_HEARTBEAT
               ? DP_RUN_OK
               : dp_session_pause(s, &s->patience,
                                  "the server names no heartbeat it takes", 0);
}

static dp_run too_many(ping_loop *l, uint32_t max)
{
    dp_session *s = l->session;
    if (max == 0 || max >= l->folders_n) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "%zu folders are too many, says the server, "
                               "which takes %u",
                               l->folders_n, max);
    }
    dp_timeline_note(s->timeline, "only the first %u folders are watched", max);
    s->phone.ping_max = max;
    return DP_RUN_OK;
}

static dp_run obey(ping_loop *l, const dp_ping_response *r, dp_time_us after_us)
{
    dp_session *s = l->session;
    unsigned last_status = l->last_status;
    l->form = DP_PING_FULL;
    l->last_status = r->status;
    switch (r->status) {
    case DP_PING_NOTHING:
        return nothing_changed(l, after_us);
    case DP_PING_CHANGES:
        return changes(l);
    case DP_PING_MISSING:
        return settle(l, r->status, last_status);
    case DP_PING_HEARTBEAT:
        return heartbeat_told(l, r->value, last_status);
    case DP_PING_FOLDERS:
        return too_many(l, r->value);
    case DP_PING_HIERARCHY: {
        dp_run run = settle(l, r->status, last_status);
        return run == DP_RUN_OK ? dp_session_folder_sync(s) : run;
    }
    case DP_PING_SYNTAX:
    case DP_PING_ERROR:
        return dp_session_pause(s, &s->patience,
                                dp_timeline_ping_status(r->status), 0);
    default:
        return dp_session_recover_status(s, "Ping", r->status);
    }
}

/* --- answers --- */

/* Also an empty answer, which is none for a Ping (eas-protocol 0.3). */
static dp_run lost(ping_loop *l, dp_answer answer, const char *why)
{
    dp_session *s = l->session;
    dp_time_us after_us = since_sent(s);
    dp_timeline_lost(s->timeline, "Ping", why, after_us);
    l->form = DP_PING_FULL;
    if (s->sent_us) {
        dp_adaptive_lost(&s->heartbeat);
    }
    if (after_us >= HELD_US) {
        dp_back_off_reset(&s->back_off);
    }
    return answer == DP_ANSWER_GOOD ? dp_session_pause(s, &s->patience, why, 0)
                                    : dp_session_recover(s, answer);
}

static dp_run answered(ping_loop *l)
{
    dp_session *s = l->session;
    dp_time_us after_us = since_sent(s);
    bool was_woken = l->is_woken;
    dp_ping_response r;
    dp_ping_response_init(&r, name_folder, &s->phone);
    dp_ping_response_feed(&r, dp_buf_span(&s->answer.body));
    if (r.is_bad || !r.is_whole || r.status == 0) {
        return lost(l, DP_ANSWER_GOOD,
                    s->answer.body.n ? "the answer does not decode"
                                     : "an empty answer");
    }
    l->answers++;
    if (r.status == DP_PING_CHANGES) {
        dp_timeline_woken(s->timeline, &s->phone, after_us);
    }
    else {
        dp_timeline_answered(s->timeline, r.status, r.value, after_us,
                             s->heartbeat.now_s);
    }
    l->is_done = s->args->is_once && was_woken &&
                 (r.status == DP_PING_NOTHING || r.status == DP_PING_CHANGES);
    return l->is_done ? DP_RUN_OK : obey(l, &r, after_us);
}

static dp_run ping(ping_loop *l)
{
    dp_session *s = l->session;
    dp_buf body = {0};
    l->folders_n =
        dp_phone_ping_body(&s->phone, l->form, s->heartbeat.now_s, &body);
    if (l->folders_n == 0) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "none of the folders could be synchronised");
    }
    bool is_proof = s->args->is_once && l->is_woken;
    dp_time_us timeout_us =
        is_proof ? ACCEPTED_US
                 : (dp_time_us)s->heartbeat.now_s * DP_SECOND_US + GRACE_US;
    dp_answer answer = dp_session_ask(s, DP_CMD_PING, dp_buf_span(&body),
                                      timeout_us, on_sent, l);
    dp_buf_free(&body);
    if (answer == DP_ANSWER_GOOD) {
        return answered(l);
    }
    l->last_status = 0;
    if (answer == DP_ANSWER_TIMEOUT && is_proof) {
        l->is_done = true;
        return DP_RUN_OK;
    }
    if (answer == DP_ANSWER_LOST || answer == DP_ANSWER_TIMEOUT) {
        return lost(l, answer, s->why);
    }
    l->form = DP_PING_FULL;
    return dp_session_recover(s, answer);
}

dp_run dp_ping_loop(dp_session *s, const char **out_why)
{
    ping_loop loop = {.session = s, .form = DP_PING_FULL};
    for (;;) {
        dp_run run = dp_session_sync_due(s);
        if (run != DP_RUN_OK) {
            return run;
        }
        if (s->args->pings && loop.answers >= s->args->pings) {
            *out_why = "as many answers as were asked for";
            return DP_RUN_OK;
        }
        run = ping(&loop);
        if (run != DP_RUN_OK) {
            return run;
        }
        if (loop.is_done) {
            *out_why = "woken once, and the next Ping is accepted";
            return DP_RUN_OK;
        }
    }
}
