#include "listener.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

typedef struct listener {
    dp_bus_map map;
    dp_bus_cursor cursor;
    int lines_fd, wake_fd;
    listener_seen *seen;
    uint64_t sum; /* of what was looked at, so that looking is not idle */
} listener;

static void look_at_all(listener *l)
{
    for (uint32_t slot = 0; slot < l->map.topic_cap; slot++) {
        uint32_t gen = atomic_load_explicit(&l->map.topics[slot].gen,
                                            memory_order_acquire);
        l->sum += dp_bus_look(&l->map, (dp_bus_ref){slot, gen}).changed;
    }
}

static void catch_up(listener *l)
{
    dp_bus_event e;
    for (;;) {
        switch (dp_bus_catch_up(&l->map, &l->cursor, &e)) {
        case DP_BUS_NEXT_NONE:
            l->seen->head = l->cursor.next - 1;
            return;
        case DP_BUS_NEXT_LAPPED:
            l->seen->lapped++;
            look_at_all(l);
            break;
        case DP_BUS_NEXT_RECORD:
            l->sum += dp_bus_look(&l->map, e.ref).changed;
            if (e.kind == DP_BUS_KIND_NEW || e.kind == DP_BUS_KIND_OTHER) {
                atomic_fetch_add_explicit(&l->seen->records, 1,
                                          memory_order_relaxed);
            }
            break;
        }
    }
}

static void swallow(listener *l)
{
    char buf[256];
    ssize_t n;
    while ((n = recv(l->wake_fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
    }
    if (n == 0 || errno != EAGAIN) {
        load_die("the watcher hung up");
    }
}

static void listen_to(listener *l)
{
    struct pollfd p[2] = {{.fd = l->wake_fd, .events = POLLIN},
                          {.fd = l->lines_fd, .events = POLLIN}};
    l->cursor = dp_bus_cursor_at_head(&l->map);
    l->seen->head = l->cursor.next - 1;
    l->seen->is_ready = 1;
    while (!l->seen->must_end) {
        if (poll(p, 2, 100) < 0 && errno != EINTR) {
            load_die("poll");
        }
        if (p[0].revents) {
            l->seen->wakes++;
            swallow(l);
            catch_up(l);
        }
    }
}

pid_t listener_start(const char *socket_path, const char *bus_path,
                     listener_seen *seen)
{
    pid_t pid = load_fork();
    if (pid) {
        return pid;
    }
    listener l = {.seen = seen};
    load_attach(&l.map, bus_path);
    l.lines_fd = load_connect(socket_path, "hello\tmodule\t1\n");
    l.wake_fd = load_connect(socket_path, "wake\n");
    listen_to(&l);
    _exit(l.sum == UINT64_MAX); /* never so; keeps the looks */
}
