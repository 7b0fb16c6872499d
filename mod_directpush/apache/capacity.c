#include "apache/capacity.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>

#include "apache/config.h"
#include "apache/module.h"

dp_limits dp_limit;

/* Descriptors of a child that no phone gets:
 * - in use from its start, but not open yet when the parent counts: the MPM's
 *   (epoll, pipes), the store's, the keeper's, the link's; 14 seen */
#define FD_OWN 20
/* - that are opened now and then: the bus and the link anew, libraries, files */
#define FD_RESERVE_FIXED 50
/* - of connections that are answered before they are closed, or linger */
#define FD_PASSING_FIXED 50
/*   ... and this part of all of them, for storms, but no more than that */
#define FD_PASSING_PART 32
#define FD_PASSING_MOST 256

/* AsyncRequestWorkerFactor, where nothing else is said */
#define HTTPD_FACTOR 2

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

/* Each worker may have a connection to the backend, and one that was accepted
 * but not looked at; half of them hold an HTTP/2 stream (blocking.c). */
static void bound_descriptors(size_t threads)
{
    size_t all = fd_limit();
    size_t reserve = FD_RESERVE_FIXED + threads + (threads + 1) / 2;
    size_t storm = all / FD_PASSING_PART;
    storm = storm < FD_PASSING_MOST ? storm : FD_PASSING_MOST;
    size_t passing = FD_PASSING_FIXED + threads / 2 + storm;
    dp_limit.fd_all = all;
    if (all > 2 * (reserve + passing)) {
        dp_limit.fd_kept = all - reserve - passing;
        dp_limit.fd_served = all - reserve;
    }
    else { /* too few for anything; what there is, is shared out */
        dp_limit.fd_kept = all / 2;
        dp_limit.fd_served = all - all / 4;
    }
}

/* Phones that have a descriptor: less those in use already, as by log files. */
static double phones_by_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t used = FD_OWN + (fd > 0 ? (size_t)fd : 0);
    if (fd >= 0) {
        close(fd);
    }
    return dp_limit.fd_kept > used ? (double)(dp_limit.fd_kept - used) : 0;
}

/* The MPM accepts while there are fewer connections than threads + idle workers
 * * factor. With as many as it takes when all idle, one worker that is at work
 * would keep out everybody, also those who are to hear 503: an eighth of them
 * may be at work. Three at least: the MPM has taken one for the next connection,
 * and wants one more than it needs before it accepts again. */
static double phones_by_mpm(int threads, double factor)
{
    int at_work = (threads + 7) / 8;
    at_work = at_work < 3 ? 3 : at_work;
    at_work = at_work < threads ? at_work : threads - 1;
    return threads + (threads - at_work) * (double)(int)factor;
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

/* So many open files let a child keep that many connections: what of them no
 * phone gets now, and the most that it grows by; rounded up. */
static double files_for(double connections, double by_fd)
{
    double files = connections + (double)dp_limit.fd_all - by_fd
                   + FD_PASSING_MOST;
    int64_t hundreds = (int64_t)files / 100 + 1;
    return (double)(100 * hundreds);
}

/* A child that has no descriptor left goes on accepting, and httpd starts no
 * other for those whom it has to refuse. */
static void advise_factor(server_rec *s, double factor, int threads,
                          double by_fd)
{
    int fits = (int)(by_fd / threads) - 1;
    double most = threads * (1.0 + (int)factor);
    if (most > by_fd && fits > 0) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "AsyncRequestWorkerFactor %.0f lets a child accept %.0f "
                     "connections, but it has open files for %.0f: phones "
                     "beyond are refused by it while others may have room. Set "
                     "AsyncRequestWorkerFactor %d, or allow %.0f open files",
                     factor, most, by_fd, fits, files_for(most, by_fd));
    }
    else if (factor <= HTTPD_FACTOR && fits > HTTPD_FACTOR) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "AsyncRequestWorkerFactor %.0f, httpd's default, leaves "
                     "little room for phones. Set AsyncRequestWorkerFactor %d, "
                     "or less: a child has open files for that", factor, fits);
    }
}

/* One piece of advice per limit that is below what is wanted. */
static void advise(server_rec *s, int threads, int children)
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
    bound_descriptors((size_t)threads);
    if (!dp_capacity_can_park()) {
        warn_blocking(s);
        return;
    }
    double factor = setting("AsyncRequestWorkerFactor", HTTPD_FACTOR);
    double by_mpm = phones_by_mpm(threads, factor);
    double by_fd = phones_by_fd();
    dp_limit.conns = (int64_t)(by_mpm * children);
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
                 factor, threads, dp_limit.fd_all);
    if (offers_h2(s)) {
        tell_h2(s, threads);
    }
    advise_factor(s, factor, threads, by_fd);
    advise(s, threads, children);
}
