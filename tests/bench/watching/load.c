#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t parent; /* of a child of load_fork() */

void load_die(const char *format, ...)
{
    int err = errno;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "%s%s\n", err ? ": " : "", err ? strerror(err) : "");
    if (parent) {
        kill(parent, SIGTERM); /* it waits for us, and so do the others */
    }
    exit(1);
}

void *load_shared(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        load_die("%zu bytes of shared memory", bytes);
    }
    return p;
}

pid_t load_fork(void)
{
    pid_t self = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        load_die("fork");
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        parent = self;
        if (getppid() != parent) {
            _exit(1);
        }
    }
    return pid;
}

void load_reap(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)
        || WEXITSTATUS(status) != 0) {
        errno = 0;
        load_die("process %ld did not end well", (long)pid);
    }
}

int load_connect(const char *socket_path, const char *line)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char answer[256];
    size_t n = 0;
    if (strlen(socket_path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        load_die("%s", socket_path);
    }
    strcpy(addr.sun_path, socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        load_die("%s", socket_path);
    }
    if (!line) {
        return fd;
    }
    if (write(fd, line, strlen(line)) != (ssize_t)strlen(line)) {
        load_die("%s", socket_path);
    }
    do { /* byte by byte: what follows the answer is the caller's */
        if (n == sizeof(answer) || read(fd, answer + n, 1) != 1) {
            load_die("no answer to %s", line);
        }
    } while (answer[n++] != '\n');
    if (memcmp(answer, "ok", 2) != 0) {
        load_die("answer to %s is %.*s", line, (int)n, answer);
    }
    return fd;
}

void load_attach(dp_bus_map *map, const char *path)
{
    dp_bus_problem why;
    if (dp_bus_attach(map, path, &why) != APR_SUCCESS) {
        load_die("%s: %s", path, dp_bus_problem_text(why));
    }
}

void load_user(char out[LOAD_USER_MAX], unsigned number)
{
    snprintf(out, LOAD_USER_MAX, "u%06u", number);
}

dp_bus_ref load_topic(const dp_bus_map *map, unsigned user, dp_class c,
                      const char *folder)
{
    char name[LOAD_USER_MAX];
    load_user(name, user);
    dp_bus_ref ref =
        dp_bus_find(map, dp_topic_key(map->header->hash_key, dp_span_str(name),
                                      c, dp_span_str(folder)));
    if (ref.slot == DP_BUS_NO_SLOT) {
        errno = 0;
        load_die("nobody watches %s %s %s", name, dp_class_name(c), folder);
    }
    return ref;
}
