#include "hold/link_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/dp_check.h"

void dp_link_init(dp_link_client *l)
{
    *l = (dp_link_client){.state = DP_LINK_DOWN, .fd = -1, .wake_fd = -1};
}

static int connect_to(const char *path, int flags)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void queue(dp_link_client *l, const char *bytes, size_t n)
{
    if (l->out_n + n > DP_LINK_QUEUE_MAX) {
        l->is_overfull = true; /* dp_link_flush() gives up */
        return;
    }
    if (l->out_n + n > l->out_cap) {
        size_t cap = l->out_cap ? l->out_cap : 4096;
        while (cap < l->out_n + n) {
            cap *= 2;
        }
        l->out = realloc(l->out, cap);
        DP_ASSERT(l->out);
        l->out_cap = cap;
    }
    memcpy(l->out + l->out_n, bytes, n);
    l->out_n += n;
}

static void queue_line(dp_link_client *l, const dp_span *fields, size_t n)
{
    char line[DP_LINK_LINE_MAX];
    size_t len = dp_link_format(line, sizeof(line), fields, n);
    queue(l, line, len);
}

int dp_link_open(dp_link_client *l, const char *path, dp_time_us now_us)
{
    dp_link_close(l);
    l->fd = connect_to(path, SOCK_NONBLOCK);
    l->wake_fd = l->fd < 0 ? -1 : connect_to(path, SOCK_NONBLOCK);
    if (l->wake_fd < 0) {
        int why = errno;
        dp_link_close(l);
        return why;
    }
    const dp_span hello[] = {DP_SPAN_LIT("hello"), DP_SPAN_LIT("module"),
                             DP_SPAN_LIT("1")};
    queue_line(l, hello, 3);
    if (send(l->wake_fd, "wake\n", 5, MSG_NOSIGNAL) != 5) {
        dp_link_close(l);
        return EPIPE;
    }
    l->state = DP_LINK_GREETING;
    l->since_us = now_us;
    return 0;
}

void dp_link_close(dp_link_client *l)
{
    if (l->fd >= 0) {
        close(l->fd);
    }
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    free(l->out);
    free(l->asked);
    dp_link_init(l);
}

static void push_asked(dp_link_client *l, dp_hash key)
{
    if (l->asked_head + l->asked_n == l->asked_cap) {
        if (l->asked_head > l->asked_n) { /* so that moving stays cheap */
            memmove(l->asked, l->asked + l->asked_head,
                    l->asked_n * sizeof(*l->asked));
            l->asked_head = 0;
        }
        else {
            l->asked_cap = l->asked_cap ? l->asked_cap * 2 : 256;
            l->asked = realloc(l->asked, l->asked_cap * sizeof(*l->asked));
            DP_ASSERT(l->asked);
        }
    }
    l->asked[l->asked_head + l->asked_n++] = key;
}

void dp_link_send_watch(dp_link_client *l, dp_hash key, dp_span user,
                        const char *class_name, dp_span folder)
{
    if (l->state != DP_LINK_READY) {
        return;
    }
    const dp_span f[] = {DP_SPAN_LIT("watch"), user, dp_span_str(class_name),
                         folder};
    size_t before = l->out_n;
    queue_line(l, f, 4);
    if (l->out_n > before) {
        push_asked(l, key);
    }
}

void dp_link_send_ping(dp_link_client *l, dp_hash device, uint64_t arrival)
{
    if (l->state != DP_LINK_READY) {
        return;
    }
    char line[96];
    int n = snprintf(line, sizeof(line), "ping\t%016llx%016llx\t%llu\n",
                     (unsigned long long)device.w[0],
                     (unsigned long long)device.w[1],
                     (unsigned long long)arrival);
    queue(l, line, (size_t)n);
}

bool dp_link_flush(dp_link_client *l)
{
    size_t done = 0;
    while (done < l->out_n) {
        ssize_t n = send(l->fd, l->out + done, l->out_n - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    if (done > 0) { /* megabytes may wait for one who does not read */
        memmove(l->out, l->out + done, l->out_n - done);
        l->out_n -= done;
    }
    return !l->is_overfull;
}

/* READY when both connections were welcomed. */
static void greeted(dp_link_client *l, dp_time_us now_us)
{
    if (l->state == DP_LINK_GREETING && l->hello_is_ok && l->wake_is_ok) {
        l->state = DP_LINK_READY;
        l->since_us = now_us;
    }
}

/* `ok SLOT GEN` */
static dp_bus_ref ref_of(const dp_link_line *line)
{
    uint64_t slot, gen;
    if (line->fields_n < 3 || !dp_link_u64(line->field[1], &slot)
        || !dp_link_u64(line->field[2], &gen) || slot >= DP_BUS_NO_SLOT
        || gen > UINT32_MAX) {
        return DP_BUS_NO_REF;
    }
    return (dp_bus_ref){(uint32_t)slot, (uint32_t)gen};
}

/* One answer, in order of the questions; `hello` was the first.
 * @return false: refused, or not our protocol */
static bool answered(dp_link_client *l, const dp_link_line *line,
                     dp_link_on_watch *on_watch, void *ctx)
{
    bool is_ok =
        line->fields_n && dp_span_is(line->field[0], DP_SPAN_LIT("ok"));
    if (!l->hello_is_ok) {
        l->hello_is_ok = is_ok;
        return is_ok;
    }
    if (!l->asked_n) {
        return false;
    }
    dp_hash key = l->asked[l->asked_head++];
    if (--l->asked_n == 0) {
        l->asked_head = 0;
    }
    on_watch(ctx, key, is_ok, is_ok ? ref_of(line) : DP_BUS_NO_REF);
    return true;
}

/* All whole lines of the buffer. */
static bool take_lines(dp_link_client *l, dp_link_on_watch *on_watch,
                       void *ctx)
{
    unsigned char *at = l->in, *end = l->in + l->in_n, *lf;
    while ((lf = memchr(at, '\n', (size_t)(end - at)))) {
        dp_link_line line;
        dp_link_parse(at, (size_t)(lf - at), &line);
        at = lf + 1;
        if (!answered(l, &line, on_watch, ctx)) {
            return false;
        }
    }
    l->in_n = (size_t)(end - at);
    memmove(l->in, at, l->in_n);
    return l->in_n < sizeof(l->in);
}

/* recv() without interruptions. @return bytes; 0: nothing now; -1: broke */
static ssize_t take(int fd, void *buf, size_t cap)
{
    for (;;) {
        ssize_t n = recv(fd, buf, cap, 0);
        if (n > 0) {
            return n;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        }
        if (n == 0 || errno != EINTR) {
            return -1;
        }
    }
}

bool dp_link_read(dp_link_client *l, dp_link_on_watch *on_watch, void *ctx,
                  dp_time_us now_us)
{
    ssize_t n;
    while ((n = take(l->fd, l->in + l->in_n, sizeof(l->in) - l->in_n)) > 0) {
        l->in_n += (size_t)n;
        if (!take_lines(l, on_watch, ctx)) {
            return false;
        }
        greeted(l, now_us);
    }
    return n == 0;
}

bool dp_link_read_wake(dp_link_client *l, dp_time_us now_us)
{
    char bytes[256];
    ssize_t n;
    while ((n = take(l->wake_fd, bytes, sizeof(bytes))) > 0) {
        if (!l->wake_is_ok) {
            /* `ok` and LF come in one write of a watcher that agrees */
            l->wake_is_ok = bytes[0] == 'o';
            if (!l->wake_is_ok) {
                return false;
            }
            greeted(l, now_us);
        }
    }
    return n == 0;
}

struct dp_link_publisher {
    pthread_mutex_t lock;
    dp_time_us patience_us;
    int fd;
    char path[]; /* whole, so that one too long is an error, not another */
};

dp_link_publisher *dp_link_publisher_make(const char *path,
                                          dp_time_us patience_us)
{
    size_t n = strlen(path) + 1;
    dp_link_publisher *p = calloc(1, sizeof(*p) + n);
    DP_ASSERT(p);
    pthread_mutex_init(&p->lock, NULL);
    p->patience_us = patience_us;
    p->fd = -1;
    memcpy(p->path, path, n);
    return p;
}

static void publisher_drop(dp_link_publisher *p)
{
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
}

void dp_link_publisher_free(dp_link_publisher **p)
{
    if (*p) {
        publisher_drop(*p);
        pthread_mutex_destroy(&(*p)->lock);
        free(*p);
        *p = NULL;
    }
}

/* Wait for the descriptor. @return false: not before `until_us` */
static bool is_ready(int fd, short events, dp_time_us until_us)
{
    for (;;) {
        dp_time_us left = until_us - dp_clock_mono_us();
        struct pollfd p = {.fd = fd, .events = events};
        int n = left > 0 ? poll(&p, 1, (int)((left + 999) / 1000)) : 0;
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

typedef enum outcome { ANSWERED, BROKEN, TOO_SLOW } outcome;

/* Send a whole line. A line is much smaller than a socket's buffer, so one
 * that does not fit means that the watcher does not read. */
static outcome send_line(int fd, const char *line, size_t n)
{
    ssize_t k;
    do {
        k = send(fd, line, n, MSG_NOSIGNAL);
    } while (k < 0 && errno == EINTR);
    if (k == (ssize_t)n) {
        return ANSWERED;
    }
    return k >= 0 || errno == EAGAIN || errno == EWOULDBLOCK ? TOO_SLOW
                                                             : BROKEN;
}

/* Read one line, all of it until `until_us`. */
static outcome read_line(int fd, dp_time_us until_us, char *in, size_t cap,
                         size_t *out_n)
{
    size_t got = 0;
    while (got < cap) {
        ssize_t k = recv(fd, in + got, cap - got, 0);
        if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!is_ready(fd, POLLIN, until_us)) {
                return TOO_SLOW;
            }
            continue;
        }
        if (k == 0 || (k < 0 && errno != EINTR)) {
            return BROKEN;
        }
        got += k > 0 ? (size_t)k : 0;
        if (got && in[got - 1] == '\n') {
            *out_n = got - 1;
            return ANSWERED;
        }
    }
    return BROKEN;
}

/* After a fault the connection may be out of step: the next call makes it
 * anew. A connection that the watcher has closed meanwhile (it was restarted)
 * is made anew once within the call. */
static bool ask(dp_link_publisher *p, const char *line, size_t n,
                dp_time_us until_us, dp_link_line *out, char *in, size_t cap)
{
    for (int tries = 0; tries < 2; tries++) {
        bool is_old = p->fd >= 0;
        size_t got = 0;
        if (!is_old && (p->fd = connect_to(p->path, SOCK_NONBLOCK)) < 0) {
            return false;
        }
        outcome o = send_line(p->fd, line, n);
        if (o == ANSWERED) {
            o = read_line(p->fd, until_us, in, cap, &got);
        }
        if (o == ANSWERED) {
            dp_link_parse((unsigned char *)in, got, out);
            if (out->fields_n) {
                return true;
            }
        }
        publisher_drop(p);
        if (!is_old || o != BROKEN) {
            return false;
        }
    }
    return false;
}

/* Take turns, but no longer than the whole may take: behind a watcher that
 * hangs, everybody would wait for all before him. */
static bool take_turn(dp_link_publisher *p)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    dp_time_us us = until.tv_nsec / 1000 + p->patience_us;
    until.tv_sec += us / DP_SECOND_US;
    until.tv_nsec = us % DP_SECOND_US * 1000;
    return pthread_mutex_timedlock(&p->lock, &until) == 0;
}

bool dp_link_publish(dp_link_publisher *p, dp_span user,
                     const char *class_name, dp_span folder, bool is_new,
                     uint64_t *out_seq, uint64_t *out_prev)
{
    const dp_span f[] = {DP_SPAN_LIT("publish"), user, dp_span_str(class_name),
                         folder, dp_span_str(is_new ? "new" : "other")};
    char out[DP_LINK_LINE_MAX], in[512];
    dp_link_line line = {.fields_n = 0};
    size_t n = dp_link_format(out, sizeof(out), f, 5);
    if (!n || !take_turn(p)) {
        return false;
    }
    dp_time_us until = dp_clock_mono_us() + p->patience_us;
    bool is_answered = ask(p, out, n, until, &line, in, sizeof(in));
    pthread_mutex_unlock(&p->lock);
    return is_answered && line.fields_n >= 3
           && dp_span_is(line.field[0], DP_SPAN_LIT("ok"))
           && dp_link_u64(line.field[1], out_seq)
           && dp_link_u64(line.field[2], out_prev);
}
