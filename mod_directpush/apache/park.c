#include "apache/park.h"

#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <util_filter.h>

#include "apache/answer.h"
#include "apache/config.h"
#include "apache/delivery.h"
#include "apache/line.h"
#include "apache/outlet.h"
#include "apache/shadow.h"
#include "apache/shed.h"
#include "base/dp_check.h"

dp_seat *dp_seat_of(conn_rec *c)
{
    dp_seat *seat = ap_get_module_config(c->conn_config, &directpush_module);
    if (seat) {
        DP_MAGIC_CHECK(seat, DP_SEAT_MAGIC);
    }
    return seat;
}

/* The last resort: the MPM closes a connection whose hold still stands. */
static apr_status_t seat_goes(void *data)
{
    dp_seat *seat = data;
    DP_MAGIC_CHECK(seat, DP_SEAT_MAGIC);
    if (seat->hold && dp_here) {
        dp_hold_set_worker_take(dp_keeper_set(dp_here->keeper), seat->hold);
        dp_keeper_worker_free(dp_here->keeper, &seat->hold);
    }
    dp_delivery_connection_ends(seat);
    if (seat->r || seat->kept) {
        dp_answer_gone(seat);
    }
    dp_outlet_free(seat);
    seat->magic = 0;
    ap_set_module_config(seat->c->conn_config, &directpush_module, NULL);
    return APR_SUCCESS;
}

dp_seat *dp_seat_make(conn_rec *c)
{
    dp_seat *seat = apr_pcalloc(c->pool, sizeof(*seat));
    seat->magic = DP_SEAT_MAGIC;
    seat->c = c;
    seat->line = dp_line_make();
    seat->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    ap_set_module_config(c->conn_config, &directpush_module, seat);
    dp_outlet_begin(seat);
    apr_pool_pre_cleanup_register(c->pool, seat, seat_goes);
    return seat;
}

/* Has the client said something, or hung up? One byte, speculatively, without
 * waiting. @return APR_EAGAIN nothing; APR_SUCCESS data; else it is gone */
static apr_status_t peek(dp_seat *seat)
{
    /* The first read of a closed connection looks like success with nothing. */
    for (int tries = 0; tries < 2; tries++) {
        apr_status_t rv = ap_get_brigade(seat->c->input_filters, seat->bb,
                                         AP_MODE_SPECULATIVE,
                                         APR_NONBLOCK_READ, 1);
        bool is_empty = APR_BRIGADE_EMPTY(seat->bb);
        bool is_eos =
            !is_empty && APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(seat->bb));
        apr_brigade_cleanup(seat->bb);
        if (APR_STATUS_IS_EAGAIN(rv)) {
            return APR_EAGAIN;
        }
        if (rv != APR_SUCCESS || is_eos) {
            return rv != APR_SUCCESS ? rv : APR_EOF;
        }
        if (!is_empty) {
            return APR_SUCCESS;
        }
    }
    return APR_EAGAIN;
}

/* mod_reqtimeout's clock for reading the body goes on until a request's end has
 * gone past it (in the response); without one, our next peek would find it run
 * out and the connection be closed for it. This end is of no request. */
static void stop_clocks(dp_seat *seat)
{
    conn_rec *c = seat->c;
    APR_BRIGADE_INSERT_TAIL(seat->bb,
                            ap_bucket_eor_create(c->bucket_alloc, NULL));
    ap_pass_brigade(c->output_filters, seat->bb);
    apr_brigade_cleanup(seat->bb);
}

void dp_park_request(dp_seat *seat, request_rec *r, dp_hold *hold)
{
    seat->r = r;
    seat->hold = hold;
    seat->is_new = true;
    hold->owner = seat;
}

/* The hold is ours (TAKEN or PARKING): give the connection to the MPM's poll,
 * unless there is something to be done at once. */
static int park(dp_seat *seat)
{
    conn_rec *c = seat->c;
    apr_status_t rv = peek(seat);
    if (rv == APR_EAGAIN) {
        stop_clocks(seat);
        dp_shadow_file(c);
        c->cs->state = CONN_STATE_ASYNC_WAITIO;
        c->cs->sense = CONN_SENSE_WANT_READ;
        return OK;
    }
    dp_hold_set_worker_take(dp_keeper_set(dp_here->keeper), seat->hold);
    if (rv == APR_SUCCESS) {
        /* The next request is there: the device has given up on this Ping. */
        dp_verdict v = dp_keeper_worker_end(dp_here->keeper, seat->hold,
                                            DP_CAUSE_NEXT);
        dp_answer_taken(seat, &v);
        return OK;
    }
    dp_count(dp_here->count, DP_COUNT_hung_up, 1);
    dp_keeper_worker_free(dp_here->keeper, &seat->hold);
    dp_answer_gone(seat);
    c->cs->state = CONN_STATE_LINGER;
    return OK;
}

/* The MPM gave us the connection back; its hold is TAKEN. */
static int resumed(dp_seat *seat, bool *out_go_on)
{
    conn_rec *c = seat->c;
    switch (seat->taken_from) {
    case DP_HOLD_HELD: {
        apr_status_t rv = peek(seat);
        if (rv != APR_EAGAIN) {
            return park(seat); /* data or end: it peeks again, and acts */
        }
        dp_verdict v = dp_keeper_worker_repark(dp_here->keeper, seat->hold);
        if (v.status) {
            dp_answer_taken(seat, &v);
            return OK;
        }
        return park(seat);
    }
    case DP_HOLD_IDLE:
        dp_keeper_worker_free(dp_here->keeper, &seat->hold);
        *out_go_on = true;
        return OK;
    default: /* closing, closed */
        dp_keeper_worker_free(dp_here->keeper, &seat->hold);
        c->keepalive = AP_CONN_CLOSE;
        c->cs->state = CONN_STATE_LINGER;
        return OK;
    }
}

/* Say it once per server: it is the same for all requests, as a rule. */
static void tell_whole(request_rec *r, const char *why)
{
    if (!atomic_exchange_explicit(&dp_all->told_whole, 1,
                                  memory_order_relaxed)) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      "requests of held Pings are kept whole for the sake of "
                      "\"%s\": each phone takes some 40 KB more", why);
    }
}

void dp_park_feed(dp_seat *seat)
{
    if (seat->is_lean) {
        seat->is_lean = false;
        dp_spare_lend(dp_here->spare, seat->c->pool);
    }
}

/* It waits: give the request back, if nobody needs it whole. */
static void shed(dp_seat *seat)
{
    const char *why = NULL;
    request_rec *r = seat->r;
    if (dp_conf_of(r->server)->keep_requests == DP_KEEP_REQUESTS_ALWAYS) {
        return;
    }
    seat->kept = dp_shed_pack(r, &why);
    if (!seat->kept) {
        tell_whole(r, why);
        return;
    }
    seat->r = NULL;
    apr_pool_destroy(r->pool);
    dp_spare_collect(dp_here->spare, seat->c->pool);
    seat->is_lean = true;
}

static int process_connection(conn_rec *c)
{
    if (!dp_here || !dp_here->can_park || c->master || !c->cs) {
        return DECLINED;
    }
    dp_seat *seat = dp_seat_of(c);
    if (!seat) {
        seat = dp_seat_make(c);
    }
    if (seat->is_nested) {
        return DECLINED;
    }
    if (seat->hold) {
        bool go_on = false;
        int rc = resumed(seat, &go_on);
        if (!go_on) {
            return rc;
        }
    }
    dp_park_feed(seat);
    seat->is_nested = true;
    seat->is_new = false;
    int rc = ap_run_process_connection(c);
    seat->is_nested = false;
    if (!seat->is_new) {
        return rc;
    }
    if (c->cs->state == CONN_STATE_SUSPENDED && !c->aborted) {
        rc = park(seat);
        if (c->cs->state == CONN_STATE_ASYNC_WAITIO) {
            shed(seat);
        }
        return rc;
    }
    /* Something between us and the MPM did not let it be parked. */
    dp_hold_set_worker_take(dp_keeper_set(dp_here->keeper), seat->hold);
    dp_keeper_worker_free(dp_here->keeper, &seat->hold);
    if (c->cs->state == CONN_STATE_SUSPENDED) {
        dp_answer_gone(seat);
        c->cs->state = CONN_STATE_LINGER;
    }
    else {
        seat->r = NULL; /* somebody has finished it */
    }
    return rc;
}

static void suspend_connection(conn_rec *c, request_rec *r)
{
    dp_seat *seat = dp_here ? dp_seat_of(c) : NULL;
    if (seat && seat->hold && c->cs->state == CONN_STATE_ASYNC_WAITIO) {
        /* From here on the keeper may own the connection. */
        dp_keeper_worker_held(dp_here->keeper, seat->hold);
    }
    else if (seat && seat->prepared && c->cs->state == CONN_STATE_KEEPALIVE) {
        dp_delivery_written(seat); /* the MPM has flushed everything */
    }
}

/* The server closes it after this response: the MPM does not suspend it once
 * more, and is about to flush. */
static int before_close(conn_rec *c)
{
    dp_seat *seat = dp_here ? dp_seat_of(c) : NULL;
    if (seat && seat->prepared && !c->aborted) {
        ap_flush_conn(c);
        if (!c->aborted) {
            dp_delivery_written(seat);
        }
    }
    return OK;
}

static void resume_connection(conn_rec *c, request_rec *r)
{
    dp_seat *seat = dp_here ? dp_seat_of(c) : NULL;
    if (seat && seat->hold) {
        seat->taken_from = (uint8_t)dp_hold_set_worker_take(
            dp_keeper_set(dp_here->keeper), seat->hold);
    }
}

void dp_park_register(apr_pool_t *p)
{
    ap_hook_process_connection(process_connection, NULL, NULL,
                               APR_HOOK_REALLY_FIRST);
    ap_hook_suspend_connection(suspend_connection, NULL, NULL,
                               APR_HOOK_REALLY_LAST);
    ap_hook_pre_close_connection(before_close, NULL, NULL,
                                 APR_HOOK_REALLY_LAST);
    ap_hook_resume_connection(resume_connection, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
}
