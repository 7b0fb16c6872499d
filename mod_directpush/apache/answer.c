#include "apache/answer.h"

#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include <apr_strings.h>

#include "apache/reply.h"
#include "apache/shed.h"
#include "apache/verdict.h"
#include "base/dp_check.h"
#include "policy/spread.h"
#include "wire/eas_ping.h"

apr_status_t dp_answer_body(request_rec *r, const unsigned char *body, size_t n,
                            const char *outcome)
{
    conn_rec *c = r->connection;
    r->status = HTTP_OK;
    ap_set_content_type(r, DP_REPLY_CONTENT_TYPE);
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

int dp_answer_now(request_rec *r, unsigned status, const dp_span *ids,
                  size_t ids_n, uint32_t value, const char *outcome)
{
    unsigned char body[64 + 8 + DP_COLLECTION_ID_MAX];
    size_t n = dp_ping_response_write(body, sizeof(body), status, ids, ids_n,
                                      value);
    DP_ASSERT(n); /* one id at most */
    dp_count_status(status);
    dp_answer_body(r, body, n, outcome);
    return OK;
}

int dp_answer_verdict(request_rec *r, dp_hold *hold, const dp_verdict *v)
{
    dp_verdict_body body;
    dp_count(dp_here->count, DP_COUNT_store_errors,
             dp_verdict_announced(NULL, hold, v) != APR_SUCCESS);
    if (hold->must_close) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    dp_verdict_write(&body, hold, v);
    dp_answer_body(r, body.bytes, body.n, dp_verdict_outcome(v));
    dp_verdict_body_free(&body);
    return OK;
}

int dp_answer_busy(request_rec *r, const char *why)
{
    int seconds = 30 + (int)(dp_spread_random_us(60 * DP_SECOND_US)
                             / DP_SECOND_US);
    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_itoa(r->pool, seconds));
    apr_table_setn(r->notes, "directpush-outcome", why);
    /* 503 ends the connection; a phone that stays on it has its place in this
     * child for 2 s, not 30 */
    apr_table_setn(r->connection->notes, "short-lingering-close", "1");
    dp_count(dp_here->count, DP_COUNT_refused_busy, 1);
    return HTTP_SERVICE_UNAVAILABLE;
}

/* The request of a seat, for the last time; made anew if need be. */
static request_rec *take_request(dp_seat *seat)
{
    dp_park_feed(seat);
    request_rec *r = seat->kept
                         ? dp_shed_restore(seat->c, &seat->kept, NULL)
                         : seat->r;
    seat->r = NULL;
    return r;
}

void dp_answer_taken(dp_seat *seat, const dp_verdict *v)
{
    request_rec *r = take_request(seat);
    dp_answer_verdict(r, seat->hold, v);
    dp_keeper_worker_free(dp_here->keeper, &seat->hold);
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
    request_rec *r = take_request(seat);
    dp_answer_mark_gone(r);
    seat->c->aborted = 1;
    apr_bucket_destroy(ap_bucket_eor_create(seat->c->bucket_alloc, r));
}
