#include "apache/capacity.h"

#include <sys/resource.h>

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>

#include "apache/config.h"
#include "apache/module.h"

dp_limits dp_limit;

/* Descriptors that a child needs for other than phones: logs, libraries,
 * the backend's connections (one per worker), ours. */
#define FD_RESERVE_FIXED 100

static int query(int what)
{
    int value = 0;
    return ap_mpm_query(what, &value) == APR_SUCCESS ? value : 0;
}

bool dp_capacity_can_park(void)
{
#ifdef AP_MPMQ_CAN_WAITIO
    return query(AP_MPMQ_CAN_WAITIO) != 0;
#else
    return false;
#endif
}

static size_t fd_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur == RLIM_INFINITY) {
        return 1000000;
    }
    return (size_t)l.rlim_cur;
}

static size_t fd_reserve(void)
{
    return FD_RESERVE_FIXED + 2 * (size_t)query(AP_MPMQ_MAX_THREADS);
}

size_t dp_capacity_of_child(void)
{
    size_t limit = fd_limit(), reserve = fd_reserve();
    return limit > 2 * reserve ? limit - reserve : limit / 2;
}

/* The value of a directive of the MPM, which no query tells. */
static double setting(const char *name, double dflt)
{
    double value = dflt;
    for (const ap_directive_t *d = ap_conftree; d; d = d->next) {
        if (!strcasecmp(d->directive, name)) {
            value = atof(d->args);
        }
    }
    return value;
}

static void warn_blocking(server_rec *s)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "the MPM \"%s\" of this httpd cannot park requests: each "
                 "held Ping occupies a worker, at most %" APR_INT64_T_FMT
                 " (DirectPushMaxBlocking), the backend gets the others. "
                 "Event MPM of httpd 2.4.63 or later holds thousands: "
                 "a2dismod mpm_prefork mpm_worker; a2enmod mpm_event; "
                 "systemctl restart apache2",
                 ap_show_mpm(), (apr_int64_t)dp_limit.blocking);
}

/* One piece of advice per limit that is below `want`. */
static void advise(server_rec *s, apr_pool_t *p, double factor, int threads,
                   int children)
{
    int max_spare = (int)setting("MaxSpareThreads", 250);
    int workers = (int)setting("MaxRequestWorkers", threads * children);
    if (max_spare < workers) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "MaxSpareThreads %d is below MaxRequestWorkers %d: "
                     "httpd may retire a child that is full of parked phones; "
                     "they reconnect. Set MaxSpareThreads %d",
                     max_spare, workers, workers);
    }
    int limit = (int)setting("ServerLimit", 16);
    if (limit < 2 * children) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                     "ServerLimit %d leaves little room for the old children "
                     "of a reload; %d holds both generations", limit,
                     2 * children);
    }
}

/* mod_http2's own default is one and a half times the MPM's threads. */
static int h2_workers(int threads)
{
    int usual = threads * 3 / 2;
    return (int)setting("H2MaxWorkers", usual);
}

static bool offers_h2(server_rec *s)
{
    for (; s; s = s->next) {
        core_server_config *core = ap_get_core_module_config(s->module_config);
        for (int i = 0; core->protocols && i < core->protocols->nelts; i++) {
            const char *name = APR_ARRAY_IDX(core->protocols, i, const char *);
            if (!strcmp(name, "h2") || !strcmp(name, "h2c")) {
                return true;
            }
        }
    }
    return false;
}

static void tell_h2(server_rec *s, int threads)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                 "HTTP/2 is offered: a Ping over it holds a worker of "
                 "mod_http2 and one of the MPM, up to %" APR_INT64_T_FMT
                 " in each child (half of ThreadsPerChild or H2MaxWorkers) and "
                 "%" APR_INT64_T_FMT " in all (DirectPushMaxBlocking). Phones "
                 "beyond are asked to come over HTTP/1.1, where they cost no "
                 "worker; DirectPushMaxBlocking 0 asks all of them",
                 dp_limit.streams, dp_limit.blocking);
}

static const char *bottleneck(double by_mpm, double by_fd)
{
    return by_mpm < by_fd
               ? "AsyncRequestWorkerFactor"
               : "the limit of open files (Debian: APACHE_ULIMIT_MAX_FILES in "
                 "/etc/apache2/envvars)";
}

void dp_capacity_check(apr_pool_t *ptemp, server_rec *s)
{
    const dp_conf *conf = dp_conf_of(s);
    int threads = query(AP_MPMQ_MAX_THREADS);
    int children = query(AP_MPMQ_MAX_DAEMONS);
    threads = threads > 0 ? threads : 1;
    children = children > 0 ? children : 1;
    int64_t workers = (int64_t)threads * children;
    dp_limit.passed = conf->max_passed;
    dp_limit.blocking = conf->max_blocking >= 0 ? conf->max_blocking
                                                : (workers + 3) / 4;
    /* a stream that waits keeps its connection on a worker of the MPM, too */
    int streams = h2_workers(threads);
    dp_limit.streams = (streams < threads ? streams : threads) / 2;
    dp_limit.holds = conf->max_holds > 0 ? conf->max_holds : INT64_MAX;
    if (!dp_capacity_can_park()) {
        warn_blocking(s);
        return;
    }
    double factor = setting("AsyncRequestWorkerFactor", 2);
    double by_mpm = threads * (1 + factor);
    double by_fd = (double)dp_capacity_of_child();
    double per_child = by_mpm < by_fd ? by_mpm : by_fd;
    double all = per_child * children;
    if (all > (double)dp_limit.holds) {
        all = (double)dp_limit.holds;
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                 "capacity: up to %.0f phones (%d children, %.0f each); the "
                 "bound is %s. AsyncRequestWorkerFactor %.0f, ThreadsPerChild "
                 "%d, open files %" APR_SIZE_T_FMT,
                 all, children, per_child,
                 all < per_child * children ? "DirectPushMaxHolds"
                                            : bottleneck(by_mpm, by_fd),
                 factor, threads, fd_limit());
    if (offers_h2(s)) {
        tell_h2(s, threads);
    }
    advise(s, ptemp, factor, threads, children);
}
