#include "tools/device/wait.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "base/dp_check.h"

int dp_wait_stop_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    DP_ASSERT(fd >= 0);
    return fd;
}

/* Rounded up: a poll that ends too early would spin. */
static int poll_ms(dp_time_us deadline_us)
{
    if (deadline_us == DP_NEVER_US) {
        return -1;
    }
    dp_time_us left = deadline_us - dp_clock_mono_us();
    if (left <= 0) {
        return 0;
    }
    dp_time_us ms = (left + 999) / 1000;
    return ms > 3600 * 1000 ? 3600 * 1000 : (int)ms;
}

dp_wait_result dp_wait_for(int fd, short events, dp_time_us deadline_us,
                           int stop_fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = events},
                            {.fd = stop_fd, .events = POLLIN}};
    for (;;) {
        int n = poll(fds, 2, poll_ms(deadline_us));
        DP_ASSERT(n >= 0 || errno == EINTR);
        if (n > 0 && fds[1].revents) {
            return DP_WAIT_STOPPED;
        }
        if (n > 0) {
            return DP_WAIT_READY;
        }
        if (deadline_us != DP_NEVER_US && dp_clock_mono_us() >= deadline_us) {
            return DP_WAIT_TIMEOUT;
        }
    }
}
