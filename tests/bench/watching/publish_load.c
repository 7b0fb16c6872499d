/* publish_load: how many changes per second find their way from the control
 * socket through the bus to all who listen.
 *
 *   publish_load SOCKET BUS LISTENERS PUBLISHERS CHANGES USERS WINDOW
 *
 * Publishers are processes with a connection each; they keep up to WINDOW
 * lines unanswered (1: each waits for its answer). Users' INBOXes are watched
 * already. The clock runs from the first line to the moment when the last
 * listener has caught up with the last change. JSON on stdout.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listener.h"
#include "load.h"

#define LISTENERS_MAX  64
#define PUBLISHERS_MAX 64
#define CHUNK          16384

typedef struct shared {
    _Atomic int connected;
    _Atomic uint32_t must_start;
    _Atomic uint64_t last_seq;
    listener_seen seen[LISTENERS_MAX];
} shared;

typedef struct publisher {
    int fd;
    unsigned user, users, step;
    uint64_t unsaid, unanswered, window;
    char out[CHUNK];
    size_t out_n;
    char in[CHUNK];
    size_t in_n;
    uint64_t seq; /* of the newest answer */
} publisher;

static void fill(publisher *p)
{
    char user[LOAD_USER_MAX];
    while (p->unsaid && p->unanswered < p->window
           && p->out_n + 64 < sizeof(p->out)) {
        load_user(user, p->user);
        p->out_n += (size_t)snprintf(p->out + p->out_n, 64,
                                     "publish\t%s\tEmail\tINBOX\tnew\n", user);
        p->user = (p->user + p->step) % p->users;
        p->unsaid--;
        p->unanswered++;
    }
}

static void say(publisher *p)
{
    ssize_t n = write(p->fd, p->out, p->out_n);
    if (n < 0 && errno != EAGAIN) {
        load_die("publishing");
    }
    if (n > 0) {
        memmove(p->out, p->out + n, p->out_n - (size_t)n);
        p->out_n -= (size_t)n;
    }
}

static void hear(publisher *p)
{
    ssize_t n = read(p->fd, p->in + p->in_n, sizeof(p->in) - 1 - p->in_n);
    if (n <= 0) {
        load_die("the watcher hung up");
    }
    p->in_n += (size_t)n;
    p->in[p->in_n] = '\0';
    char *at = p->in;
    for (char *lf; (lf = strchr(at, '\n')); at = lf + 1) {
        if (memcmp(at, "ok\t", 3) != 0) {
            errno = 0;
            load_die("answered: %.*s", (int)(lf - at), at);
        }
        p->seq = strtoull(at + 3, NULL, 10);
        p->unanswered--;
    }
    p->in_n -= (size_t)(at - p->in);
    memmove(p->in, at, p->in_n);
}

static void publish(publisher *p)
{
    while (p->unsaid || p->unanswered) {
        fill(p);
        struct pollfd f = {.fd = p->fd,
                           .events = (short)(POLLIN | (p->out_n ? POLLOUT : 0))};
        if (poll(&f, 1, -1) < 0 && errno != EINTR) {
            load_die("poll");
        }
        if (f.revents & POLLOUT) {
            say(p);
        }
        if (f.revents & (POLLIN | POLLHUP)) {
            hear(p);
        }
    }
}

static void raise_to(_Atomic uint64_t *to, uint64_t seq)
{
    uint64_t was = *to;
    while (was < seq && !atomic_compare_exchange_weak(to, &was, seq)) {
    }
}

static pid_t publisher_start(shared *s, publisher *p, const char *socket_path)
{
    pid_t pid = load_fork();
    if (pid) {
        return pid;
    }
    p->fd = load_connect(socket_path, NULL);
    fcntl(p->fd, F_SETFL, O_NONBLOCK);
    s->connected++;
    while (!s->must_start) {
        usleep(100);
    }
    publish(p);
    raise_to(&s->last_seq, p->seq);
    _exit(0);
}

static void await_listeners(const shared *s, int n, bool are_ready)
{
    dp_time_us end_us = dp_clock_mono_us() + LOAD_PATIENCE_US;
    for (int i = 0; i < n; i++) {
        while (are_ready ? !s->seen[i].is_ready
                         : s->seen[i].head < s->last_seq) {
            if (dp_clock_mono_us() > end_us) {
                errno = 0;
                load_die("listener %d is at %" PRIu64 ", not %" PRIu64, i,
                         s->seen[i].head, s->last_seq);
            }
            usleep(100);
        }
    }
}

static void report(const shared *s, int listeners, uint64_t changes,
                   dp_time_us span_us)
{
    uint64_t records = 0, lapped = 0, wakes = 0;
    for (int i = 0; i < listeners; i++) {
        records += s->seen[i].records;
        lapped += s->seen[i].lapped;
        wakes += s->seen[i].wakes;
    }
    printf("{\"changes\": %" PRIu64 ", \"seconds\": %.6f, \"per_second\": %.0f, "
           "\"records_read\": %" PRIu64 ", \"lapped\": %" PRIu64
           ", \"woken\": %" PRIu64 "}\n",
           changes, (double)span_us / 1e6,
           (double)changes * 1e6 / (double)span_us, records, lapped, wakes);
}

int main(int argc, char **argv)
{
    pid_t listener[LISTENERS_MAX], publishing[PUBLISHERS_MAX];
    int listeners = argc == 8 ? atoi(argv[3]) : -1;
    int publishers = argc == 8 ? atoi(argv[4]) : -1;
    if (listeners < 0 || listeners > LISTENERS_MAX || publishers < 1
        || publishers > PUBLISHERS_MAX) {
        errno = 0;
        load_die("usage: publish_load SOCKET BUS LISTENERS PUBLISHERS CHANGES "
                 "USERS WINDOW");
    }
    uint64_t changes = strtoull(argv[5], NULL, 10);
    shared *s = load_shared(sizeof(*s));
    for (int i = 0; i < listeners; i++) {
        listener[i] = listener_start(argv[1], argv[2], &s->seen[i]);
    }
    await_listeners(s, listeners, true);
    for (int i = 0; i < publishers; i++) {
        publisher p = {.user = (unsigned)i,
                       .users = (unsigned)atoi(argv[6]),
                       .step = (unsigned)publishers,
                       .unsaid = changes / (unsigned)publishers,
                       .window = strtoull(argv[7], NULL, 10)};
        publishing[i] = publisher_start(s, &p, argv[1]);
    }
    while (s->connected < publishers) {
        usleep(100);
    }
    dp_time_us begin_us = dp_clock_mono_us();
    s->must_start = 1;
    for (int i = 0; i < publishers; i++) {
        load_reap(publishing[i]);
    }
    await_listeners(s, listeners, false);
    dp_time_us end_us = dp_clock_mono_us();
    for (int i = 0; i < listeners; i++) {
        s->seen[i].must_end = 1;
        load_reap(listener[i]);
    }
    report(s, listeners, changes / (unsigned)publishers * (unsigned)publishers,
           end_us - begin_us);
    return 0;
}
