#include "apache/delivery.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_portable.h>
#include <http_core.h>

#include "base/dp_check.h"
#include "device/coll_state.h"

/* What is not acknowledged after this time counts as lost: one Sync. */
#define DELIVERY_MAX_US (30 * DP_SECOND_US)

/* Each costs a descriptor; beyond, marks stay provisional. Those of connections
 * that have ended come on top of what a child counts with (capacity.c). */
#define DELIVERIES_MAX 1024
#define ENDED_MAX      24

typedef struct dp_delivery {
    struct dp_delivery *next;
    const dp_seat *seat; /* identity only; NULL once the connection ended */
    int fd;
    uint64_t acked_at; /* of the connection's bytes: when so many are acknowledged
                          the response is; 0: when none is left */
    dp_time_us since_us;
    uint64_t token;
    dp_who who; /* into `bytes` */
    size_t ids_n;
    dp_span *ids;
    unsigned char bytes[];
} dp_delivery;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dp_delivery *waiting;
static size_t waiting_n, ended_n;

/* Bytes that the client has acknowledged since the connection began.
 * @return 0 where the kernel does not say (Linux before 4.1) */
static uint64_t acknowledged(int fd)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);
    size_t end = offsetof(struct tcp_info, tcpi_bytes_acked)
                 + sizeof(info.tcpi_bytes_acked);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && n >= end
               ? info.tcpi_bytes_acked
               : 0;
}

/* Bytes that are not acknowledged; -1 when nobody knows. */
static int unacknowledged(int fd)
{
    int queued = 0;
    return ioctl(fd, SIOCOUTQ, &queued) == 0 ? queued : -1;
}

/* How far the connection has to be acknowledged for all that was written up to
 * now: what follows when it is closed, TLS's last word and the end, need not
 * be, by a client that closes at once. */
static uint64_t end_of_written(int fd)
{
    uint64_t before, after = acknowledged(fd);
    int queued;
    do { /* both of one moment */
        before = after;
        queued = unacknowledged(fd);
        after = acknowledged(fd);
    } while (before != after);
    return after && queued >= 0 ? after + (uint64_t)queued : 0;
}

static bool is_acknowledged(const dp_delivery *d)
{
    return d->acked_at ? acknowledged(d->fd) >= d->acked_at
                       : unacknowledged(d->fd) == 0;
}

static void discard(dp_delivery *d)
{
    if (d->fd >= 0) {
        close(d->fd);
    }
    free(d->ids);
    free(d);
}

static void tell_holds(dp_delivery *d)
{
    dp_store_txn *t;
    dp_store *s = dp_here->store;
    if (s->ops->begin(s, false, &t) != APR_SUCCESS) {
        return;
    }
    for (size_t i = 0; i < d->ids_n; i++) {
        dp_coll_state st;
        if (dp_coll_state_get(s, t, &d->who, d->ids[i], &st)) {
            dp_keeper_mark(dp_here->keeper, &d->who, d->ids[i], st.mark);
        }
    }
    s->ops->abort(&t);
}

/* It arrived: store that, and free it. */
static void make_firm(dp_delivery *d)
{
    dp_coll_state_delivered(dp_here->store, &d->who, d->token, d->ids,
                            d->ids_n);
    tell_holds(d);
    discard(d);
}

static dp_span keep(unsigned char **at, dp_span s)
{
    dp_span kept = dp_span_of(*at, s.n);
    if (s.n) {
        memcpy(*at, s.p, s.n);
    }
    *at += s.n;
    return kept;
}

static dp_delivery *make(const dp_who *who, const dp_learned *l)
{
    size_t n = who->realm.n + who->login.n + who->user.n + who->device.n;
    for (size_t i = 0; i < l->ids_n; i++) {
        n += l->ids[i].n;
    }
    dp_delivery *d = calloc(1, sizeof(*d) + n);
    DP_ASSERT(d);
    d->ids = calloc(l->ids_n + 1, sizeof(*d->ids));
    DP_ASSERT(d->ids);
    unsigned char *at = d->bytes;
    d->who.realm = keep(&at, who->realm);
    d->who.login = keep(&at, who->login);
    d->who.user = keep(&at, who->user);
    d->who.device = keep(&at, who->device);
    for (size_t i = 0; i < l->ids_n; i++) {
        d->ids[i] = keep(&at, l->ids[i]);
    }
    d->ids_n = l->ids_n;
    d->token = l->token;
    d->since_us = dp_clock_mono_us();
    return d;
}

void dp_delivery_prepare(dp_seat *seat, const dp_who *who,
                         const dp_learned *learned)
{
    if (seat && learned->token) {
        dp_delivery *d = make(who, learned);
        d->seat = seat;
        d->fd = -1;
        d->next = seat->prepared;
        seat->prepared = d;
    }
}

void dp_delivery_written(dp_seat *seat)
{
    apr_os_sock_t fd = -1;
    apr_os_sock_get(&fd, ap_get_conn_socket(seat->c));
    while (seat->prepared) {
        dp_delivery *d = seat->prepared;
        seat->prepared = d->next;
        d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        d->acked_at = end_of_written(d->fd);
        pthread_mutex_lock(&lock);
        /* out of descriptors or of room: the mark stays provisional */
        bool is_kept = d->fd >= 0 && waiting_n < DELIVERIES_MAX;
        if (is_kept) {
            d->next = waiting;
            waiting = d;
            waiting_n++;
            seat->has_deliveries = true;
        }
        pthread_mutex_unlock(&lock);
        if (!is_kept) {
            discard(d);
        }
    }
}

/* Take out what `pick` wants; the caller deals with the list. */
static dp_delivery *take(bool (*pick)(const dp_delivery *d, const void *what),
                      const void *what)
{
    dp_delivery *taken = NULL;
    pthread_mutex_lock(&lock);
    for (dp_delivery **at = &waiting; *at;) {
        dp_delivery *d = *at;
        if (pick(d, what)) {
            *at = d->next;
            d->next = taken;
            taken = d;
            waiting_n--;
            ended_n -= !d->seat;
        }
        else {
            at = &d->next;
        }
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

static void settle(dp_delivery *list)
{
    for (dp_delivery *next; list; list = next) {
        next = list->next;
        if (is_acknowledged(list)) {
            make_firm(list);
        }
        else {
            discard(list);
        }
    }
}

static bool is_arrived_of(const dp_delivery *d, const void *what)
{
    const dp_who *who = what;
    return dp_span_is(d->who.device, who->device)
           && dp_span_is(d->who.login, who->login)
           && dp_span_is(d->who.realm, who->realm) && is_acknowledged(d);
}

void dp_delivery_next_request(dp_seat *seat, const dp_who *who)
{
    if (seat && seat->prepared && !seat->c->data_in_output_filters) {
        dp_delivery_written(seat); /* MPMs without the suspend hook */
    }
    if (dp_delivery_is_waiting()) {
        settle(take(is_arrived_of, who));
    }
}

typedef struct ending {
    const dp_seat *seat;
    bool may_arrive; /* we closed it: the client may acknowledge it still */
} ending;

/* Under the lock. What may arrive stays, for the sweep to see. */
static bool is_over(const dp_delivery *d, const void *what)
{
    const ending *e = what;
    return d->seat == e->seat
           && (!e->may_arrive || is_acknowledged(d) || ended_n >= ENDED_MAX);
}

void dp_delivery_connection_ends(dp_seat *seat)
{
    while (seat->prepared) {
        dp_delivery *d = seat->prepared;
        seat->prepared = d->next;
        discard(d);
    }
    if (!seat->has_deliveries) {
        return;
    }
    settle(take(is_over, &(ending){seat, !seat->c->aborted}));
    pthread_mutex_lock(&lock);
    for (dp_delivery *d = waiting; d; d = d->next) {
        if (d->seat == seat) {
            d->seat = NULL;
            ended_n++;
        }
    }
    pthread_mutex_unlock(&lock);
}

static bool is_settled(const dp_delivery *d, const void *what)
{
    const dp_time_us *now = what;
    return is_acknowledged(d) || *now - d->since_us > DELIVERY_MAX_US;
}

void dp_delivery_sweep(void)
{
    dp_time_us now = dp_clock_mono_us();
    settle(take(is_settled, &now));
}

bool dp_delivery_is_waiting(void)
{
    pthread_mutex_lock(&lock);
    bool some = waiting != NULL;
    pthread_mutex_unlock(&lock);
    return some;
}
