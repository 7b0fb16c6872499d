#include "watcher/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus/topic_name.h"
#include "watcher/command.h"
#include "watcher/watcher.h"

/* One peer may keep the loop this long per turn, then others are served; and
 * all of them together so long, then each has one line: a thousand that always
 * have something to say delay nobody else, nor the sources, by seconds. */
#define PEER_TURN_US ((dp_time_us)1000)
#define ALL_TURN_US ((dp_time_us)5000)

/* Of one process. A child of Apache has three; one that was taken over does
 * not get what its user has (`connections`), and its siblings stay heard. */
#define PROCESS_CONNECTIONS 64

/* Without descriptors the listening socket would stay readable for ever. */
#define ACCEPT_PAUSE_US DP_SECOND_US

struct dp_control {
    dp_watcher *w;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dp_loop_fd listener;
    dp_link_node peers;
    dp_link_node gone; /* freed after the turn */
    dp_loop_timer backlog; /* somebody has lines left */
    dp_loop_timer pause;
    dp_time_us turn_ends_us; /* 0: nobody has spoken in this turn */
    size_t peers_n;
    uint64_t wakes, refused;
    dp_log_cause descriptors, quota, process_quota;
};

#define PEER_AT(node)                                                          \
    ((dp_peer *)(void *)((char *)(node)-offsetof(dp_peer, link)))

/* --- peers */

static void hang_up(dp_peer *p)
{
    dp_control *c = p->control;
    dp_loop_close(c->w->loop, &p->fd);
    dp_list_del(&p->link);
    dp_list_add(&c->gone, &p->link);
    c->peers_n--;
}

static void watch_events(dp_peer *p)
{
    /* who reads no answers is not read from; a hang-up is always told */
    uint32_t events = p->out_n > DP_PEER_OUT_HIGH || p->has_hung_up ? 0
                                                                    : EPOLLIN;
    events |= p->out_n ? EPOLLOUT : 0;
    if (events != p->events) {
        p->events = events;
        dp_loop_change(p->control->w->loop, &p->fd, events);
    }
}

static dp_time_us end_of_turn_us(dp_control *c)
{
    dp_time_us now_us = dp_clock_mono_us();
    if (!c->turn_ends_us) {
        c->turn_ends_us = now_us + ALL_TURN_US;
    }
    dp_time_us own_us = now_us + PEER_TURN_US;
    return own_us < c->turn_ends_us ? own_us : c->turn_ends_us;
}

/* One line at least. @return false: it breaks the rules, hang up */
static bool run_lines(dp_peer *p)
{
    dp_control *c = p->control;
    dp_time_us end_us = end_of_turn_us(c);
    unsigned char *line;
    size_t n;
    while (p->kind == DP_PEER_LINES && dp_peer_line(p, &line, &n)) {
        if (p->out_n > DP_PEER_OUT_HIGH) {
            return true;
        }
        if (!dp_command_run(c->w, p, line, n)) {
            return false;
        }
        dp_peer_line_done(p, n);
        if (dp_clock_mono_us() > end_us) {
            return true;
        }
    }
    if (p->kind != DP_PEER_LINES) {
        p->in_n = 0; /* carries no further requests */
        return true;
    }
    return p->in_n < sizeof(p->in); /* no line is that long */
}

static bool has_line(dp_peer *p)
{
    unsigned char *line;
    size_t n;
    return p->kind == DP_PEER_LINES && dp_peer_line(p, &line, &n);
}

/* It says no more, and has all the answers to what it said. */
static bool is_done(dp_peer *p)
{
    return p->has_hung_up
           && (p->kind != DP_PEER_LINES || (p->out_n == 0 && !has_line(p)));
}

static void serve(dp_peer *p)
{
    bool is_sane = run_lines(p);
    if (!dp_peer_write(p) || !is_sane || is_done(p)) {
        hang_up(p);
        return;
    }
    if (has_line(p) && p->out_n <= DP_PEER_OUT_HIGH
        && !dp_timer_is_linked(&p->control->backlog.timer)) {
        /* others first; no event tells of what was read already */
        dp_loop_at(p->control->w->loop, &p->control->backlog,
                   dp_clock_mono_us());
    }
    watch_events(p);
}

static void peer_ready(void *ctx, uint32_t events)
{
    dp_peer *p = ctx;
    DP_MAGIC_CHECK(p, DP_PEER_MAGIC);
    if (events & EPOLLERR || ((events & EPOLLIN) && !dp_peer_read(p))) {
        hang_up(p);
        return;
    }
    if (events & EPOLLHUP && !(events & EPOLLIN)) {
        hang_up(p);
        return;
    }
    serve(p);
}

static void backlog_due(void *ctx)
{
    dp_control *c = ctx;
    for (dp_link_node *n = c->peers.next, *next; n != &c->peers; n = next) {
        next = n->next;
        if (PEER_AT(n)->in_n) {
            serve(PEER_AT(n));
        }
    }
    if (!dp_list_is_empty(&c->peers)) { /* another one is first next time */
        dp_link_node *first = c->peers.next;
        dp_list_del(first);
        dp_list_add(&c->peers, first);
    }
}

/* --- who may speak */

static bool is_in_group(int fd, gid_t primary, gid_t wanted)
{
    gid_t groups[1024];
    socklen_t size = sizeof(groups);
    if (wanted == (gid_t)-1) {
        return false;
    }
    if (primary == wanted) {
        return true;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0) {
        return false; /* more groups than that: the socket's mode decides */
    }
    for (size_t i = 0; i < size / sizeof(groups[0]); i++) {
        if (groups[i] == wanted) {
            return true;
        }
    }
    return false;
}

/* How many connections a user has, and how many of them a process. */
static size_t peers_of(const dp_control *c, const struct ucred *cred,
                       size_t *out_of_process)
{
    size_t n = 0;
    *out_of_process = 0;
    for (dp_link_node *at = c->peers.next; at != &c->peers; at = at->next) {
        const dp_peer *p = PEER_AT(at);
        n += p->uid == cred->uid;
        *out_of_process += p->uid == cred->uid && p->pid == cred->pid;
    }
    return n;
}

/* @return NULL, or why it gets no more */
static const char *judge_number(dp_control *c, const struct ucred *cred)
{
    size_t of_process, n = peers_of(c, cred, &of_process);
    if (n >= c->w->conf->connections) {
        if (dp_log_first(&c->quota)) {
            dp_log(DP_LOG_WARN,
                   "user %ld has %u connections to the control socket and gets "
                   "no more (connections)",
                   (long)cred->uid, c->w->conf->connections);
        }
        return "too many connections";
    }
    /* 0: it is in another container, as are others */
    if (cred->pid && of_process >= PROCESS_CONNECTIONS) {
        if (dp_log_first(&c->process_quota)) {
            dp_log(DP_LOG_WARN,
                   "process %ld of user %ld has %d connections to the control "
                   "socket and gets no more: see what it is",
                   (long)cred->pid, (long)cred->uid, PROCESS_CONNECTIONS);
        }
        return "too many connections of this process";
    }
    return NULL;
}

/* @return NULL, or why not */
static const char *judge(dp_control *c, int fd, struct ucred *cred)
{
    const dp_conf *conf = c->w->conf;
    socklen_t size = sizeof(*cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &size) != 0) {
        return "who are you?";
    }
    bool is_admin = cred->uid == 0 || cred->uid == geteuid();
    if (!is_admin && !is_in_group(fd, cred->gid, conf->gid)) {
        return "only for root, directpushd's user and the group that "
               "directpushd.conf names";
    }
    return is_admin ? NULL : judge_number(c, cred);
}

static void refuse(dp_control *c, int fd, const char *why)
{
    char line[256];
    dp_span fields[] = {DP_SPAN_LIT("no"), dp_span_str(why)};
    size_t n = dp_link_format(line, sizeof(line), fields, 2);
    if (send(fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        /* it learns from the hang-up */
    }
    close(fd);
    c->refused++;
}

static void welcome(dp_control *c, int fd, const struct ucred *cred)
{
    dp_peer *p = calloc(1, sizeof(*p));
    DP_ASSERT(p);
    p->magic = DP_PEER_MAGIC;
    p->control = c;
    p->uid = cred->uid;
    p->pid = cred->pid;
    p->is_admin = cred->uid == 0 || cred->uid == geteuid();
    p->fd = (dp_loop_fd){.fd = fd, .ready = peer_ready, .ctx = p};
    p->events = EPOLLIN;
    dp_list_init(&p->link);
    dp_list_add(&c->peers, &p->link);
    c->peers_n++;
    if (!dp_loop_add(c->w->loop, &p->fd, p->events)) {
        hang_up(p);
    }
}

static void pause_over(void *ctx)
{
    dp_control *c = ctx;
    dp_loop_change(c->w->loop, &c->listener, EPOLLIN);
}

static void no_descriptors(dp_control *c, int err)
{
    if (dp_log_first(&c->descriptors)) {
        dp_log(DP_LOG_ERROR,
               "the control socket can't take connections: %s: raise "
               "LimitNOFILE in directpushd.service",
               strerror(err));
    }
    dp_loop_change(c->w->loop, &c->listener, 0);
    dp_loop_at(c->w->loop, &c->pause, dp_clock_mono_us() + ACCEPT_PAUSE_US);
}

static void listener_ready(void *ctx, uint32_t events)
{
    dp_control *c = ctx;
    for (;;) {
        struct ucred cred;
        int fd = accept4(c->listener.fd, NULL, NULL,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM
                || errno == ENOBUFS) {
                no_descriptors(c, errno);
            }
            return;
        }
        const char *why = judge(c, fd, &cred);
        if (why) {
            refuse(c, fd, why);
        }
        else {
            welcome(c, fd, &cred);
        }
    }
}

/* --- telling. It happens in the middle of walks over the peers: none leaves
 * the list before the turn ends. */

void dp_control_wake(dp_control *c)
{
    for (dp_link_node *n = c->peers.next; n != &c->peers; n = n->next) {
        dp_peer *p = PEER_AT(n);
        if (p->kind != DP_PEER_WAKE || p->is_doomed) {
            continue;
        }
        /* its `ok` goes first; a full socket has unread wakes in it already */
        if (p->out_n == 0 && send(p->fd.fd, "w", 1, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 < 0
            && errno != EAGAIN && errno != EINTR) {
            p->is_doomed = true;
            continue;
        }
        c->wakes++;
    }
}

void dp_control_follow_line(dp_control *c, uint64_t seq, const dp_want *want,
                            dp_emit_kind kind)
{
    char number[24];
    snprintf(number, sizeof(number), "%" PRIu64, seq);
    dp_span fields[] = {
        dp_span_str(number),
        dp_span_str(want->user->name),
        dp_span_str(dp_class_name(want->class)),
        dp_span_str(want->folder),
        dp_span_str(dp_command_kind(kind)),
    };
    for (dp_link_node *n = c->peers.next; n != &c->peers; n = n->next) {
        dp_peer *p = PEER_AT(n);
        if (p->kind != DP_PEER_FOLLOW || p->is_doomed) {
            continue;
        }
        if (!dp_peer_say(p, fields, 5) || !dp_peer_write(p)) {
            p->is_doomed = true;
            continue;
        }
        watch_events(p);
    }
}

/* --- life */

void dp_control_set_group(dp_control *c)
{
    gid_t gid = c->w->conf->gid;
    if (gid != (gid_t)-1 && chown(c->path, (uid_t)-1, gid) != 0) {
        dp_log(DP_LOG_ERROR,
               "%s: can't give it to the group %s: %s: make directpushd's user "
               "a member of that group",
               c->path, c->w->conf->group, strerror(errno));
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    unlink(path); /* of a process that is no more: the lock is ours */
    mode_t old = umask(0177);
    int rv = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
    umask(old);
    if (rv != 0 || listen(fd, 512) != 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

dp_control *dp_control_open(dp_watcher *w, char *problem, size_t cap)
{
    dp_control *c = calloc(1, sizeof(*c));
    DP_ASSERT(c);
    c->w = w;
    dp_list_init(&c->peers);
    dp_list_init(&c->gone);
    int n = snprintf(c->path, sizeof(c->path), "%s/%s", w->conf->runtime_dir,
                     DP_BUS_SOCKET_NAME);
    bool is_short = (size_t)n < sizeof(c->path);
    c->listener = (dp_loop_fd){.fd = is_short ? listen_at(c->path) : -1,
                               .ready = listener_ready,
                               .ctx = c};
    if (c->listener.fd < 0) {
        snprintf(problem, cap, "%s/%s: %s", w->conf->runtime_dir,
                 DP_BUS_SOCKET_NAME,
                 is_short ? strerror(errno)
                          : "too long for a socket: choose a shorter "
                            "runtime_dir");
        free(c);
        return NULL;
    }
    dp_control_set_group(c);
    chmod(c->path, 0660);
    c->backlog = (dp_loop_timer){.due = backlog_due, .ctx = c};
    c->pause = (dp_loop_timer){.due = pause_over, .ctx = c};
    DP_ASSERT(dp_loop_add(w->loop, &c->listener, EPOLLIN));
    return c;
}

void dp_control_after_turn(dp_control *c)
{
    c->turn_ends_us = 0;
    for (dp_link_node *n = c->peers.next, *next; n != &c->peers; n = next) {
        next = n->next;
        if (PEER_AT(n)->is_doomed) {
            hang_up(PEER_AT(n));
        }
    }
    while (!dp_list_is_empty(&c->gone)) {
        dp_peer *p = PEER_AT(c->gone.next);
        dp_list_del(&p->link);
        p->magic = 0;
        free(p->out);
        free(p);
    }
}

void dp_control_close(dp_control **pc)
{
    dp_control *c = *pc;
    *pc = NULL;
    unlink(c->path);
    dp_loop_close(c->w->loop, &c->listener);
    while (!dp_list_is_empty(&c->peers)) {
        hang_up(PEER_AT(c->peers.next));
    }
    dp_control_after_turn(c);
    dp_loop_cancel(c->w->loop, &c->backlog);
    dp_loop_cancel(c->w->loop, &c->pause);
    free(c);
}

void dp_control_report(const dp_control *c,
                       void (*line)(void *ctx, const char *name,
                                    uint64_t value),
                       void *ctx)
{
    uint64_t children = 0;
    for (dp_link_node *n = c->peers.next; n != &c->peers; n = n->next) {
        children += PEER_AT(n)->is_child;
    }
    line(ctx, "connections", c->peers_n);
    line(ctx, "connections_refused", c->refused);
    line(ctx, "children", children);
    line(ctx, "wakes_sent", c->wakes);
}
