#include "config.h"

#include "tools/device/load_coordinator.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "tools/device/secret.h"
#include "tools/device/wait.h"

/* Closing 20,000 TLS connections takes a second; a worker that is not done
 * after this hangs. */
#define QUIT_US (30 * DP_SECOND_US)

/* While workers end, how often they are asked for. */
#define REAP_MS 20

void dp_load_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("directpush-device: ", stderr);
    vfprintf(stderr, format, args);
    putc('\n', stderr);
    va_end(args);
}

/* --- workers --- */

/* In the child: what it has is its line and its share of the devices. */
static void become_worker(dp_load_coordinator *c, uint32_t index, int fd,
                          pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); /* the coordinator ended before that took effect */
    }
    for (uint32_t i = 0; i <= index; i++) {
        close(c->processes[i].line_fd);
    }
    close(c->stop_fd); /* signals stay blocked: the line tells */
    dp_load_worker_args a = {.args = c->args,
                             .requests = &c->requests,
                             .shared = c->shared,
                             .index = index,
                             .line_fd = fd};
    _exit(dp_load_worker_run(&a));
}

static bool start_worker(dp_load_coordinator *c, uint32_t index)
{
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        dp_load_complain("no line to a worker: %s", strerror(errno));
        return false;
    }
    c->processes[index].line_fd = pair[0];
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(c, index, pair[1], parent);
    }
    close(pair[1]);
    if (pid < 0) {
        dp_load_complain("no process for a worker: %s", strerror(errno));
        return false;
    }
    c->processes[index].pid = pid;
    return true;
}

static bool start_workers(dp_load_coordinator *c)
{
    c->processes = calloc(c->args->processes, sizeof(*c->processes));
    DP_ASSERT(c->processes);
    for (uint32_t i = 0; i < c->args->processes; i++) {
        c->processes[i].line_fd = -1;
    }
    for (uint32_t i = 0; i < c->args->processes; i++) {
        if (!start_worker(c, i)) {
            return false;
        }
    }
    return true;
}

void dp_load_have_looked(dp_load_coordinator *c)
{
    char byte = DP_LOAD_BYTE_LOOK;
    for (uint32_t i = 0; i < c->args->processes; i++) {
        send(c->processes[i].line_fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* @return how many are left */
static uint32_t reap(dp_load_coordinator *c)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->args->processes; i++) {
        dp_load_process *p = &c->processes[i];
        if (p->pid && waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            p->pid = 0;
        }
        left += p->pid != 0;
    }
    return left;
}

/* Ask them to end, then make them. By their own pids, which are ours until
 * they are waited for. */
static void end_workers(dp_load_coordinator *c)
{
    if (!c->processes) {
        return;
    }
    atomic_store(&c->shared->must_quit, true);
    for (uint32_t i = 0; i < c->args->processes; i++) {
        if (c->processes[i].line_fd >= 0) {
            close(c->processes[i].line_fd);
        }
    }
    dp_time_us until_us = dp_clock_mono_us() + QUIT_US;
    while (reap(c) && dp_clock_mono_us() < until_us) {
        poll(NULL, 0, REAP_MS);
    }
    for (uint32_t i = 0; i < c->args->processes; i++) {
        if (c->processes[i].pid) {
            kill(c->processes[i].pid, SIGKILL);
            waitpid(c->processes[i].pid, NULL, 0);
        }
    }
    free(c->processes);
}

/* --- waiting --- */

static void hear_worker(dp_load_coordinator *c, uint32_t index,
                        dp_load_seen *out)
{
    char bytes[64];
    ssize_t n =
        recv(c->processes[index].line_fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        dp_load_complain("worker %u has ended unexpectedly", index);
        out->is_over = true;
    }
    for (ssize_t i = 0; i < n; i++) {
        out->was_told |= bytes[i] == DP_LOAD_BYTE_TOLD;
        out->is_waiting |= bytes[i] == DP_LOAD_BYTE_WAITING;
    }
}

dp_load_seen dp_load_wait(dp_load_coordinator *c, dp_time_us until_us,
                          bool wants_input)
{
    uint32_t n = c->args->processes;
    struct pollfd fds[2 + 64];
    dp_load_seen seen = {0};
    DP_ASSERT(n + 2 <= sizeof(fds) / sizeof(fds[0]));
    fds[0] = (struct pollfd){.fd = c->stop_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = wants_input ? STDIN_FILENO : -1,
                             .events = POLLIN};
    for (uint32_t i = 0; i < n; i++) {
        fds[2 + i] =
            (struct pollfd){.fd = c->processes[i].line_fd, .events = POLLIN};
    }
    dp_time_us left_us = until_us - dp_clock_mono_us();
    int ms = left_us <= 0 ? 0
             : left_us > DP_SECOND_US
                 ? 1000 /* callers look again; the clock may be faked */
                 : (int)((left_us + 999) / 1000);
    poll(fds, 2 + n, ms);
    if (fds[0].revents) {
        dp_load_complain("stopped by a signal");
        seen.is_over = true;
    }
    seen.has_input = fds[1].revents != 0;
    for (uint32_t i = 0; i < n; i++) {
        if (fds[2 + i].revents) {
            hear_worker(c, i, &seen);
        }
    }
    return seen;
}

/* --- life --- */

static bool open_publisher(dp_load_coordinator *c)
{
    if (!c->args->is_longpoll && !c->args->publish_socket) {
        return true;
    }
    c->can_publish = dp_load_publisher_open(
        &c->publisher, c->args, &c->requests, c->shared, c->stop_fd);
    if (!c->can_publish) {
        dp_load_complain("%s", c->publisher.why);
        dp_load_publisher_close(&c->publisher);
    }
    return c->can_publish;
}

static int run_steps(dp_load_coordinator *c)
{
    int status = 0;
    for (size_t i = 0; i < c->args->steps_n; i++) {
        dp_load_end end = dp_load_step_run(c, &c->args->steps[i]);
        status = end == DP_LOAD_DONE ? status : 1;
        if (end == DP_LOAD_OVER || c->args->steps[i].kind == DP_LOAD_QUIT) {
            break;
        }
    }
    return status;
}

static int run(dp_load_coordinator *c)
{
    c->shared = dp_load_shared_map(c->args);
    c->random = (uint64_t)dp_clock_mono_us();
    if (!c->shared) {
        dp_load_complain("no memory for %u devices", c->args->devices);
        return 1;
    }
    /* workers first: they have no line of the publisher's */
    int status = start_workers(c) && open_publisher(c) ? run_steps(c) : 1;
    end_workers(c);
    if (c->can_publish) {
        dp_load_publisher_close(&c->publisher);
    }
    dp_load_shared_unmap(&c->shared);
    return status;
}

static uint32_t raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 1000000 ? 1000000 : (uint32_t)limit.rlim_cur;
}

static bool read_password(dp_load_coordinator *c, dp_buf *out)
{
    const char *why;
    switch (dp_secret_password(c->args->user_text, c->args->password_file,
                               c->stop_fd, out, &why)) {
    case DP_SECRET_NONE:
        dp_load_complain("%s%s%s",
                         c->args->password_file ? c->args->password_file : "",
                         c->args->password_file ? ": " : "", why);
        return false;
    case DP_SECRET_STOPPED:
        return false;
    default:
        return true;
    }
}

int dp_load_main(int argc, char **argv)
{
    dp_load_args args;
    dp_args_result parsed =
        dp_load_args_parse(argc, argv, raise_descriptors(), &args);
    if (parsed != DP_ARGS_RUN) {
        dp_load_args_free(&args);
        return parsed == DP_ARGS_SHOWN ? 0 : 1;
    }
    signal(SIGPIPE, SIG_IGN);
    dp_load_coordinator c = {.args = &args, .stop_fd = dp_wait_stop_fd()};
    dp_buf password = {0};
    int status = 1;
    if (args.is_longpoll || read_password(&c, &password)) {
        bool fits = dp_load_requests_init(&c.requests, &args, password);
        dp_load_report_init(&c.report, stdout, args.is_json);
        if (fits) {
            status = run(&c);
        }
        else {
            dp_load_complain("URL, user and password are too long together");
        }
        dp_load_requests_free(&c.requests);
    }
    dp_load_args_free(&args);
    return status;
}
