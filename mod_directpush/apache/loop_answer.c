#include "apache/loop_answer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <apr_portable.h>
#include <httpd.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "apache/answer.h"
#include "apache/blocking.h"
#include "apache/reply.h"
#include "apache/shed.h"
#include "apache/verdict.h"
#include "base/dp_check.h"

/* After our side is closed the client has this long to close its own. */
#define HALF_CLOSED_US (2 * DP_SECOND_US)

/* Answers that are remembered in one transaction of the store. The phones have
 * them already; their next request waits until this is done, some
 * microseconds for each. */
#define BATCH 64

/* The connection is the keeper's or the clerk's: the MPM's state and the
 * socket's time-out stay untouched meanwhile. */
static void own(dp_seat *seat)
{
    apr_socket_t *socket = ap_get_conn_socket(seat->c);
    seat->real_cs = seat->c->cs;
    seat->dummy_cs = *seat->real_cs;
    seat->c->cs = &seat->dummy_cs;
    apr_socket_timeout_get(socket, &seat->timeout);
    apr_socket_timeout_set(socket, 0); /* who does not read is dropped */
}

static void disown(dp_seat *seat)
{
    apr_socket_timeout_set(ap_get_conn_socket(seat->c), seat->timeout);
    seat->c->cs = seat->real_cs;
}

/* close_notify and FIN, after which the client's end wakes the MPM.
 * @return the state to settle in */
static dp_hold_state close_our_side(dp_seat *seat)
{
    apr_socket_t *socket = ap_get_conn_socket(seat->c);
    if (!seat->c->aborted) {
        ap_flush_conn(seat->c);
    }
    if (seat->c->aborted
        || apr_socket_shutdown(socket, APR_SHUTDOWN_WRITE) != APR_SUCCESS) {
        apr_socket_shutdown(socket, APR_SHUTDOWN_READWRITE);
        return DP_HOLD_SHUT;
    }
    return DP_HOLD_CLOSING;
}

static void settle(dp_seat *seat, dp_hold_state to, dp_time_us in_us)
{
    /* The last touch: after it the hold may be freed and the descriptor be
     * another client's. */
    dp_hold_set_settle(dp_keeper_set(dp_here->keeper), seat->hold, to,
                       in_us ? dp_clock_mono_us() + in_us : 0);
}

/* --- the answer --- */

typedef struct finish_job {
    dp_clerk_job job;
    dp_seat *seat;
    apr_off_t body_n;
    apr_interval_time_t keep_alive;
} finish_job;

static void pass(dp_seat *seat)
{
    APR_BRIGADE_INSERT_TAIL(seat->bb,
                            apr_bucket_flush_create(seat->c->bucket_alloc));
    ap_pass_brigade(seat->c->output_filters, seat->bb);
    apr_brigade_cleanup(seat->bb);
}

/* The whole response in one piece past the filters of a request, which is not
 * there (shed.h). */
static void reply(dp_seat *seat, const dp_verdict_body *body)
{
    conn_rec *c = seat->c;
    bool stays = dp_shed_stays(seat->kept) && c->keepalive != AP_CONN_CLOSE;
    char few[DP_REPLY_HEAD_MAX + sizeof(body->small)], *all = few;
    if (body->n > sizeof(body->small)) {
        all = malloc(DP_REPLY_HEAD_MAX + body->n);
        DP_ASSERT(all);
    }
    size_t n = dp_reply_head(all, body->n, !stays, apr_time_now());
    memcpy(all + n, body->bytes, body->n);
    c->keepalive = stays ? AP_CONN_KEEPALIVE : AP_CONN_CLOSE;
    APR_BRIGADE_INSERT_TAIL(seat->bb,
                            apr_bucket_transient_create(all, n + body->n,
                                                        c->bucket_alloc));
    pass(seat);
    if (all != few) {
        free(all);
    }
}

static dp_clerk_job *finish(dp_clerk_job *jobs);

void dp_answer_loop(dp_hold *hold)
{
    if (hold->is_blocking) {
        dp_blocking_wake(hold);
        return;
    }
    dp_seat *seat = hold->owner;
    DP_MAGIC_CHECK(seat, DP_SEAT_MAGIC);
    dp_verdict_body body;
    finish_job *f = malloc(sizeof(*f));
    DP_ASSERT(f);
    server_rec *host = seat->kept ? dp_shed_server(seat->kept)
                                  : seat->r->server;
    own(seat);
    if (hold->must_close) {
        seat->c->keepalive = AP_CONN_CLOSE;
    }
    dp_verdict_write(&body, hold, &hold->verdict);
    *f = (finish_job){.job.run = finish,
                      .seat = seat,
                      .body_n = (apr_off_t)body.n,
                      .keep_alive = host->keep_alive_timeout};
    if (seat->kept) {
        reply(seat, &body);
    }
    else {
        dp_answer_body(seat->r, body.bytes, body.n,
                       dp_verdict_outcome(&hold->verdict));
        pass(seat);
    }
    dp_verdict_body_free(&body);
    dp_clerk_post(dp_here->clerk, &f->job);
}

/* --- afterwards: the clerk's thread --- */

/* The request of a response that is sent, as the log wants to see it. */
static request_rec *restore(finish_job *f)
{
    dp_seat *seat = f->seat;
    request_rec *r = dp_shed_restore(seat->c, &seat->kept, dp_here->log_pool);
    r->status = HTTP_OK;
    r->bytes_sent = f->body_n;
    r->sent_bodyct = 1;
    r->eos_sent = 1;
    ap_set_content_type(r, DP_REPLY_CONTENT_TYPE);
    ap_set_content_length(r, f->body_n);
    apr_table_setn(r->headers_out, "Cache-Control", "private");
    apr_table_setn(r->notes, "directpush-outcome",
                   dp_verdict_outcome(&seat->hold->verdict));
    return r;
}

/* EOR: logs the request, frees its pool. Through the connection's filters
 * where these may have something of it. */
static void end_request(finish_job *f)
{
    dp_seat *seat = f->seat;
    conn_rec *c = seat->c;
    if (seat->kept) {
        apr_bucket_destroy(ap_bucket_eor_create(c->bucket_alloc, restore(f)));
        return;
    }
    request_rec *r = seat->r;
    seat->r = NULL;
    APR_BRIGADE_INSERT_TAIL(seat->bb, ap_bucket_eor_create(c->bucket_alloc, r));
    pass(seat);
}

static void let_go(finish_job *f)
{
    dp_seat *seat = f->seat;
    dp_hold_state to = DP_HOLD_IDLE;
    end_request(f);
    if (seat->c->aborted || seat->c->keepalive != AP_CONN_KEEPALIVE) {
        dp_count(dp_here->count, DP_COUNT_not_read, seat->c->aborted);
        to = close_our_side(seat);
    }
    disown(seat);
    settle(seat, to,
           to == DP_HOLD_IDLE      ? f->keep_alive
           : to == DP_HOLD_CLOSING ? HALF_CLOSED_US
                                   : 0);
    free(f);
}

static bool is_remembered(finish_job *const *batch, size_t n, dp_store_txn *t)
{
    apr_status_t rv = APR_SUCCESS;
    for (size_t i = 0; i < n && rv == APR_SUCCESS; i++) {
        dp_hold *hold = batch[i]->seat->hold;
        rv = dp_verdict_announced(t, hold, &hold->verdict);
    }
    return rv == APR_SUCCESS;
}

static bool remember_together(finish_job *const *batch, size_t n)
{
    dp_store *s = dp_here->store;
    dp_store_txn *t = NULL;
    if (s->ops->begin(s, true, &t) != APR_SUCCESS) {
        return false;
    }
    if (!is_remembered(batch, n, t)) {
        s->ops->abort(&t);
        return false;
    }
    return s->ops->commit(&t) == APR_SUCCESS;
}

/* What was announced, before anything of these devices is asked again. When
 * they can't be written together each is tried by itself. */
static void remember(finish_job *const *batch, size_t n)
{
    bool is_one = false;
    for (size_t i = 0; i < n; i++) {
        is_one |= dp_verdict_is_announced(&batch[i]->seat->hold->verdict);
    }
    if (!is_one || remember_together(batch, n)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        dp_count(dp_here->count, DP_COUNT_store_errors,
                 !is_remembered(batch + i, 1, NULL));
    }
}

static dp_clerk_job *finish(dp_clerk_job *jobs)
{
    finish_job *batch[BATCH];
    size_t n = 0;
    while (jobs && jobs->run == finish && n < BATCH) {
        batch[n++] = (finish_job *)jobs;
        jobs = jobs->next;
    }
    remember(batch, n);
    for (size_t i = 0; i < n; i++) {
        let_go(batch[i]);
    }
    return jobs;
}

/* --- closing --- */

void dp_close_loop(dp_hold *hold)
{
    dp_seat *seat = hold->owner;
    DP_MAGIC_CHECK(seat, DP_SEAT_MAGIC);
    own(seat);
    dp_hold_state to = DP_HOLD_SHUT;
    if (hold->is_half_closed) {
        apr_socket_shutdown(ap_get_conn_socket(seat->c),
                            APR_SHUTDOWN_READWRITE);
    }
    else {
        to = close_our_side(seat);
    }
    disown(seat);
    settle(seat, to, to == DP_HOLD_CLOSING ? HALF_CLOSED_US : 0);
}
