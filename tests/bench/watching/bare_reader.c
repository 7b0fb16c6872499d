#include "bare_reader.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

/* the same as the watcher's (notify.h) */
#define NAMES (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)
#define SELF  (IN_MOVE_SELF | IN_DELETE_SELF)

static void place(int fd, const char *mail, unsigned user)
{
    static const char *const parts[] = {"", "/new", "/cur"};
    char path[PATH_MAX], name[LOAD_USER_MAX];
    load_user(name, user);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s%s", mail, name, parts[i]);
        if (inotify_add_watch(fd, path, NAMES | SELF | IN_ONLYDIR) < 0) {
            load_die("inotify watch on %s", path);
        }
    }
}

static uint64_t count(const char *buf, ssize_t n, bare_reader_seen *seen)
{
    uint64_t events = 0;
    for (const char *at = buf; at < buf + n; events++) {
        const struct inotify_event *e = (const void *)at;
        seen->is_lost |= (e->mask & IN_Q_OVERFLOW) != 0;
        at += sizeof(*e) + e->len;
    }
    return events;
}

static int64_t cpu_used_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000LL
           + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

pid_t bare_reader_start(const char *mail, unsigned first, unsigned users,
                        uint64_t events, bare_reader_seen *seen)
{
    char buf[32768] __attribute__((aligned(__alignof__(struct inotify_event))));
    pid_t pid = load_fork();
    if (pid) {
        return pid;
    }
    int fd = inotify_init1(IN_CLOEXEC);
    for (unsigned i = 0; i < users; i++) {
        place(fd, mail, first + i);
    }
    int64_t began_us = cpu_used_us();
    seen->is_ready = 1;
    while (seen->events < events && !seen->is_lost) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n < 0) {
            load_die("read of inotify");
        }
        seen->events += count(buf, n, seen);
        seen->last_us = dp_clock_mono_us();
    }
    seen->cpu_us = cpu_used_us() - began_us;
    _exit(0);
}
