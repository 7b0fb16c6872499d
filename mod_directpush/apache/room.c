#include "apache/room.h"

#include <apr_portable.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>

#include "apache/capacity.h"
#include "apache/config.h"
#include "apache/module.h"

#define USER_TOLD_US (600 * DP_SECOND_US)

typedef enum shortage {
    ROOM,        /* of nothing */
    HOLDS,       /* DirectPushMaxHolds */
    CONNECTIONS, /* the MPM accepts no more of them */
    FILES        /* descriptors */
} shortage;

/* The kernel gives the lowest free number: who gets `n` is at least the n-th,
 * and descriptors can only run out behind it. */
static size_t number_of(apr_socket_t *s)
{
    apr_os_sock_t fd = -1;
    apr_os_sock_get(&fd, s);
    return fd < 0 ? 0 : (size_t)fd;
}

static bool has_files(conn_rec *c)
{
    apr_socket_t *s = ap_get_conn_socket(c->master ? c->master : c);
    return number_of(s) < dp_limit.fd_kept;
}

static const char *cause_of(apr_pool_t *p, shortage what)
{
    switch (what) {
    case HOLDS:
        return apr_psprintf(p, ": %" APR_INT64_T_FMT " are held. Raise "
                            "DirectPushMaxHolds", dp_limit.holds);
    case CONNECTIONS:
        return apr_psprintf(p, ": there are %" APR_INT64_T_FMT " connections, "
                            "and with more of them httpd may accept none. "
                            "Raise AsyncRequestWorkerFactor, or "
                            "MaxRequestWorkers for more children",
                            dp_limit.conns);
    case FILES:
        return apr_psprintf(p, " in a child: of the %" APR_SIZE_T_FMT " files "
                            "that it may open a reserve is left, which the "
                            "phones do not get. Set APACHE_ULIMIT_MAX_FILES="
                            "'ulimit -n %" APR_SIZE_T_FMT "' in "
                            "/etc/apache2/envvars (where systemd starts httpd "
                            "itself: LimitNOFILE) and restart",
                            dp_limit.fd_all, 2 * dp_limit.fd_all);
    case ROOM:
        break;
    }
    return "";
}

/* Once per cause, by whichever child comes first, until the next (re)start. */
static void tell(conn_rec *c, shortage what)
{
    int32_t bit = 1 << what;
    if (atomic_fetch_or_explicit(&dp_all->told_full, bit, memory_order_relaxed)
        & bit) {
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, dp_here->server,
                 "no room for another phone%s. Until there is, further Pings "
                 "are answered 503 with Retry-After (refused_busy on the "
                 "status page counts them); those held stay held",
                 cause_of(c->pool, what));
}

static apr_status_t is_closed(void *data)
{
    dp_count(dp_here->count, DP_COUNT_open, -1);
    return APR_SUCCESS;
}

/* Named now and then, and counted in between: who does this can do it all day. */
static void tell_user(const dp_who *who)
{
    dp_time_us now_us = dp_clock_mono_us();
    int64_t last_us = atomic_load_explicit(&dp_all->told_user_us,
                                           memory_order_relaxed);
    dp_count(dp_here->count, DP_COUNT_refused_user, 1);
    if ((last_us && now_us - last_us < USER_TOLD_US)
        || !atomic_compare_exchange_strong_explicit(
            &dp_all->told_user_us, &last_us, now_us, memory_order_relaxed,
            memory_order_relaxed)) {
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, dp_here->server,
                 "%.*s has as many Pings in a child as one user gets: %d. His "
                 "further devices are answered 503 with Retry-After. See who "
                 "uses this login; where many devices share it, raise "
                 "DirectPushMaxDevices (said every 10 minutes at most; "
                 "refused_user on the status page counts)",
                 (int)who->login.n, (const char *)who->login.p,
                 dp_conf_of(dp_here->server)->max_devices);
}

static bool has_share(const dp_who *who)
{
    uint32_t max = (uint32_t)dp_conf_of(dp_here->server)->max_devices;
    if (dp_keeper_worker_has_share(dp_here->keeper, who, max)) {
        return true;
    }
    tell_user(who);
    return false;
}

static shortage find_shortage(conn_rec *c)
{
    shortage what = ROOM;
    if (!dp_counters_is_below(&dp_all->counters, DP_COUNT_held,
                              dp_limit.holds)) {
        what = HOLDS;
    }
    else if (!has_files(c)) {
        what = FILES;
    }
    else if (dp_here->can_park
             && !dp_counters_is_below(&dp_all->counters, DP_COUNT_open,
                                      dp_limit.conns + 1)) {
        /* of all children: one that has more than its part accepts none, and
         * leaves them to others, which httpd starts if need be */
        what = CONNECTIONS;
    }
    return what;
}

bool dp_room_for_hold(request_rec *r, const dp_who *who,
                      const char **out_outcome)
{
    conn_rec *c = r->connection;
    *out_outcome = "busy-user";
    if (has_share(who)) {
        shortage what = find_shortage(c);
        if (what == ROOM) {
            return true;
        }
        *out_outcome = "busy";
        tell(c, what);
    }
    if (!c->master) { /* 503 ends it; while it lingers it is not the MPM's */
        apr_pool_cleanup_run(c->pool, c, is_closed);
    }
    return false;
}

/* One descriptor more, and httpd's next accept() might find none: it would take
 * that for a leak, and end the child with all phones in it. */
static int pre_connection(conn_rec *c, void *csd)
{
    if (!dp_here || c->master || !c->sbh) { /* no slot: mod_proxy's, outgoing */
        return DECLINED;
    }
    dp_count(dp_here->count, DP_COUNT_open, 1);
    apr_pool_cleanup_register(c->pool, c, is_closed, apr_pool_cleanup_null);
    size_t fd = number_of(csd);
    if (fd < dp_limit.fd_kept) {
        return DECLINED;
    }
    if (fd >= dp_limit.fd_served) {
        dp_count(dp_here->count, DP_COUNT_closed_full, 1);
        tell(c, FILES);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    apr_table_setn(c->notes, "short-lingering-close", "1");
    return DECLINED;
}

/* Served, but not kept. */
static int post_read_request(request_rec *r)
{
    if (dp_here && !r->main && !r->connection->master
        && !has_files(r->connection)) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    return DECLINED;
}

void dp_room_register(apr_pool_t *p)
{
    ap_hook_pre_connection(pre_connection, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_read_request(post_read_request, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
}
