#include "watcher/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static long read_pid(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

int dp_lock_take(const char *dir, char *problem, size_t cap)
{
    char path[4096], pid[32];
    snprintf(path, sizeof(path), "%s/%s", dir, DP_LOCK_NAME);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        snprintf(problem, cap, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            snprintf(problem, cap,
                     "another directpushd runs here, pid %ld (%s is locked)",
                     read_pid(fd), path);
        }
        else {
            snprintf(problem, cap, "%s: %s", path, strerror(errno));
        }
        close(fd);
        return -1;
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    /* no room for the pid is no reason not to run: the lock is what counts */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) != n) {
        (void)!ftruncate(fd, 0);
    }
    return fd;
}
