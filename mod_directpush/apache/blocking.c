#include "apache/blocking.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <apr_portable.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "apache/answer.h"
#include "apache/module.h"
#include "apache/stream.h"

/* An HTTP/2 stream has no socket of its own: whether it was reset is looked
 * at this often. */
#define STREAM_LOOK_MS 1000

bool dp_blocking_enter(conn_rec *c)
{
    dp_count(dp_here->count, DP_COUNT_blocking, 1);
    if (dp_counters_sum(&dp_all->counters, DP_COUNT_blocking)
            <= dp_limit.blocking
        && dp_stream_enter(c)) {
        return true;
    }
    dp_count(dp_here->count, DP_COUNT_blocking, -1);
    return false;
}

void dp_blocking_leave(conn_rec *c)
{
    dp_stream_leave(c);
    dp_count(dp_here->count, DP_COUNT_blocking, -1);
}

void dp_blocking_wake(dp_hold *hold)
{
    /* First the wake, then the state: the worker waits for the state before it
     * closes the descriptor. */
    uint64_t one = 1;
    if (write(*(int *)hold->owner, &one, sizeof(one)) < 0) {
        /* full: it is readable, which is what counts */
    }
    dp_hold_set_settle(dp_keeper_set(dp_here->keeper), hold, DP_HOLD_SHUT, 0);
}

/* Has the client of an HTTP/1.1 connection sent something, or gone? */
static dp_hold_cause client_did(conn_rec *c)
{
    apr_bucket_brigade *bb = apr_brigade_create(c->pool, c->bucket_alloc);
    apr_status_t rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                     APR_NONBLOCK_READ, 1);
    bool has_data = rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)
                    && !APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(bb));
    apr_brigade_destroy(bb);
    if (has_data) {
        return DP_CAUSE_NEXT;
    }
    return APR_STATUS_IS_EAGAIN(rv) ? DP_CAUSE_CHANGE : DP_CAUSE_GONE;
}

/* @return why the wait ended; CHANGE: the keeper has claimed the hold */
static dp_hold_cause wait_for_end(request_rec *r, int wake_fd)
{
    conn_rec *c = r->connection;
    bool is_stream = c->master != NULL;
    apr_os_sock_t fd = -1;
    if (!is_stream) {
        apr_os_sock_get(&fd, ap_get_conn_socket(c));
    }
    struct pollfd p[2] = {{.fd = wake_fd, .events = POLLIN},
                          {.fd = fd, .events = POLLIN}};
    for (;;) {
        int n = poll(p, is_stream ? 1 : 2, is_stream ? STREAM_LOOK_MS : -1);
        if (n < 0 && errno != EINTR) {
            return DP_CAUSE_GONE;
        }
        if (n > 0 && p[0].revents) {
            return DP_CAUSE_CHANGE;
        }
        if (c->aborted) {
            return DP_CAUSE_GONE;
        }
        if (n > 0 && p[1].revents) {
            dp_hold_cause did = client_did(c);
            if (did != DP_CAUSE_CHANGE) {
                return did;
            }
            /* a TLS record without data was read: wait on */
        }
    }
}

int dp_blocking_hold(request_rec *r, dp_hold *hold)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    dp_hold_set *set = dp_keeper_set(dp_here->keeper);
    dp_hold_cause why = DP_CAUSE_NEXT; /* no descriptor: answer at once */
    if (fd >= 0) {
        hold->owner = &fd;
        dp_keeper_worker_held(dp_here->keeper, hold);
        why = wait_for_end(r, fd);
    }
    dp_verdict v;
    bool is_claimed = dp_hold_set_worker_take(set, hold) == DP_HOLD_SHUT;
    if (is_claimed) {
        v = hold->verdict;
    }
    else {
        v = dp_keeper_worker_end(dp_here->keeper, hold, why);
    }
    if (fd >= 0) {
        close(fd);
    }
    int rc = OK;
    if (why == DP_CAUSE_GONE) {
        r->connection->aborted = 1;
        dp_count(dp_here->count, DP_COUNT_hung_up, 1);
        dp_answer_mark_gone(r);
    }
    else {
        rc = dp_answer_verdict(r, hold, &v);
    }
    dp_keeper_worker_free(dp_here->keeper, &hold);
    return rc;
}
