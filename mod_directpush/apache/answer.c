#include "apache/answer.h"
#include "apache/blocking.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <apr_portable.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "base/dp_check.h"
#include "device/coll_state.h"
#include "device/folder_map.h"
#include "policy/spread.h"
#include "wire/eas_ping.h"

/* After our side is closed the client has this long to close its own. */
#define HALF_CLOSED_US (2 * DP_SECOND_US)

#define CONTENT_TYPE "application/vnd.ms-sync.wbxml"

static const char *outcome_of(const dp_verdict *v)
{
    if (v->status == DP_PING_CHANGES) {
        return v->is_provoked ? "sync-please" : "changes";
    }
    return v->status == DP_PING_HIERARCHY ? "hierarchy"
           : v->cause                     ? dp_hold_cause_name(v->cause)
                                          : "nothing";
}

void dp_count_status(unsigned status)
{
    static const dp_counter of[] = {
        [DP_PING_NOTHING] = DP_COUNT_answered_nothing,
        [DP_PING_CHANGES] = DP_COUNT_answered_changes,
        [DP_PING_MISSING] = DP_COUNT_answered_missing,
        [DP_PING_SYNTAX] = DP_COUNT_answered_syntax,
        [DP_PING_HEARTBEAT] = DP_COUNT_answered_heartbeat,
        [DP_PING_FOLDERS] = DP_COUNT_answered_folders,
        [DP_PING_HIERARCHY] = DP_COUNT_answered_hierarchy,
        [DP_PING_ERROR] = DP_COUNT_answered_error};
    dp_count(dp_here->count, of[status], 1);
}

/* Response head and body into r's filters. The connection's owner only. */
static apr_status_t send_body(request_rec *r, const unsigned char *body,
                              size_t n, const char *outcome)
{
    conn_rec *c = r->connection;
    r->status = HTTP_OK;
    ap_set_content_type(r, CONTENT_TYPE);
    ap_set_content_length(r, (apr_off_t)n);
    apr_table_setn(r->headers_out, "Cache-Control", "private");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
    apr_table_setn(r->notes, "directpush-outcome", outcome);
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_heap_create((const char *)body, n,
                                                       NULL, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(c->bucket_alloc));
    apr_status_t rv = ap_pass_brigade(r->output_filters, bb);
    /* A phone re-Pings for days on one connection: our answers do not count
     * towards MaxKeepAliveRequests. */
    if (c->keepalive == AP_CONN_KEEPALIVE && c->keepalives > 0) {
        c->keepalives--;
    }
    return rv;
}

static apr_status_t send_status(request_rec *r, unsigned status,
                                const dp_span *ids, size_t ids_n,
                                uint32_t value, const char *outcome)
{
    size_t need = 64;
    for (size_t i = 0; i < ids_n; i++) {
        need += ids[i].n + 8;
    }
    unsigned char small[512];
    unsigned char *body = need <= sizeof(small) ? small
                                                : apr_palloc(r->pool, need);
    size_t n = dp_ping_response_write(body, need <= sizeof(small)
                                                ? sizeof(small) : need,
                                      status, ids, ids_n, value);
    DP_ASSERT(n);
    dp_count_status(status);
    return send_body(r, body, n, outcome);
}

static apr_status_t send_verdict(request_rec *r, dp_hold *hold,
                                 const dp_verdict *v)
{
    dp_span few[16], *ids = few;
    if (v->named_n > sizeof(few) / sizeof(*few)) {
        ids = apr_palloc(r->pool, v->named_n * sizeof(*ids));
    }
    size_t n = 0;
    for (uint32_t k = 0; v->named_n && k < hold->items_n; k++) {
        if (hold->items[k].was_announced_now) {
            ids[n++] = dp_hold_item_id(&hold->items[k]);
        }
    }
    dp_count(dp_here->count, DP_COUNT_provoked, v->is_provoked);
    dp_count(dp_here->count, DP_COUNT_drained, v->cause == DP_CAUSE_DRAIN);
    return send_status(r, v->status, ids, n, 0, outcome_of(v));
}

/* What was announced, to be remembered; workers and the clerk. */
static void store_announced(dp_hold *hold, const dp_verdict *v)
{
    dp_time_us now = dp_clock_mono_us();
    dp_announced few[16], *list = few;
    if (v->named_n > sizeof(few) / sizeof(*few)) {
        list = calloc(v->named_n, sizeof(*list));
        DP_ASSERT(list);
    }
    size_t n = 0;
    for (uint32_t k = 0; k < hold->items_n; k++) {
        const dp_hold_item *i = &hold->items[k];
        if (v->status == DP_PING_HIERARCHY
            && i->class_id == DP_CLASS_HIERARCHY) {
            dp_hier_state_announced(dp_here->store, &hold->who,
                                    (dp_mark){hold->instance, i->seq_now},
                                    now);
        }
        if (v->named_n && i->was_announced_now) {
            list[n++] = (dp_announced){dp_hold_item_id(i), i->seq_now};
        }
    }
    if (n
        && dp_coll_state_announced(dp_here->store, &hold->who, hold->instance,
                                   list, n, now)
               != APR_SUCCESS) {
        dp_count(dp_here->count, DP_COUNT_store_errors, 1);
    }
    if (list != few) {
        free(list);
    }
}

int dp_answer_now(request_rec *r, unsigned status, const dp_span *ids,
                  size_t ids_n, uint32_t value, const char *outcome)
{
    send_status(r, status, ids, ids_n, value, outcome);
    return OK;
}

int dp_answer_verdict(request_rec *r, dp_hold *hold, const dp_verdict *v)
{
    store_announced(hold, v);
    if (hold->must_close) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    send_verdict(r, hold, v);
    return OK;
}

int dp_answer_busy(request_rec *r, const char *why)
{
    int seconds = 30 + (int)(dp_spread_random_us(60 * DP_SECOND_US)
                             / DP_SECOND_US);
    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_itoa(r->pool, seconds));
    apr_table_setn(r->notes, "directpush-outcome", why);
    dp_count(dp_here->count, DP_COUNT_refused_busy, 1);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* EOR through the connection's filters: logs the request, frees its pool. */
static void end_request(dp_seat *seat)
{
    conn_rec *c = seat->c;
    request_rec *r = seat->r;
    seat->r = NULL;
    APR_BRIGADE_INSERT_TAIL(seat->bb, ap_bucket_eor_create(c->bucket_alloc, r));
    APR_BRIGADE_INSERT_TAIL(seat->bb, apr_bucket_flush_create(c->bucket_alloc));
    ap_pass_brigade(c->output_filters, seat->bb);
    apr_brigade_cleanup(seat->bb);
}

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

typedef struct finish_job {
    dp_clerk_job job;
    dp_seat *seat;
    apr_interval_time_t keep_alive;
} finish_job;

/* The clerk: remember, log, and let go of the connection. */
static void finish(dp_clerk_job *job)
{
    finish_job *f = (finish_job *)job;
    dp_seat *seat = f->seat;
    dp_time_us keep_alive = f->keep_alive;
    free(f);
    store_announced(seat->hold, &seat->hold->verdict);
    end_request(seat);
    dp_hold_state to = DP_HOLD_IDLE;
    if (seat->c->aborted || seat->c->keepalive != AP_CONN_KEEPALIVE) {
        dp_count(dp_here->count, DP_COUNT_not_read, seat->c->aborted);
        to = close_our_side(seat);
    }
    disown(seat);
    settle(seat, to,
           to == DP_HOLD_IDLE      ? keep_alive
           : to == DP_HOLD_CLOSING ? HALF_CLOSED_US
                                   : 0);
}

void dp_answer_loop(dp_hold *hold)
{
    if (hold->is_blocking) {
        dp_blocking_wake(hold);
        return;
    }
    dp_seat *seat = hold->owner;
    DP_MAGIC_CHECK(seat, DP_SEAT_MAGIC);
    finish_job *f = calloc(1, sizeof(*f));
    DP_ASSERT(f);
    f->job.run = finish;
    f->seat = seat;
    f->keep_alive = seat->r->server->keep_alive_timeout;
    own(seat);
    if (hold->must_close) {
        seat->c->keepalive = AP_CONN_CLOSE;
    }
    send_verdict(seat->r, hold, &hold->verdict);
    APR_BRIGADE_INSERT_TAIL(seat->bb,
                            apr_bucket_flush_create(seat->c->bucket_alloc));
    ap_pass_brigade(seat->c->output_filters, seat->bb);
    apr_brigade_cleanup(seat->bb);
    dp_clerk_post(dp_here->clerk, &f->job);
}

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

void dp_answer_taken(dp_seat *seat, const dp_verdict *v)
{
    request_rec *r = seat->r;
    dp_answer_verdict(r, seat->hold, v);
    dp_keeper_worker_free(dp_here->keeper, &seat->hold);
    seat->r = NULL;
    ap_process_request_after_handler(r);
}

void dp_answer_mark_gone(request_rec *r)
{
    r->status = 499; /* nginx's number for it; httpd has none */
    apr_table_setn(r->notes, "directpush-outcome",
                   dp_hold_cause_name(DP_CAUSE_GONE));
}

void dp_answer_gone(dp_seat *seat)
{
    request_rec *r = seat->r;
    seat->r = NULL;
    dp_answer_mark_gone(r);
    seat->c->aborted = 1;
    apr_bucket_destroy(ap_bucket_eor_create(seat->c->bucket_alloc, r));
}
