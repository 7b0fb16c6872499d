#include "fake_watcher.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/dp_check.h"

fake_watcher *fw_new(void)
{
    fake_watcher *fw = calloc(1, sizeof(*fw));
    DP_ASSERT(fw);
    pthread_mutex_init(&fw->lock, NULL);
    snprintf(fw->dir, sizeof(fw->dir), "/tmp/dp-watcher-XXXXXX");
    DP_ASSERT(mkdtemp(fw->dir));
    snprintf(fw->bus_path, sizeof(fw->bus_path), "%s/%s", fw->dir,
             DP_BUS_FILE_NAME);
    snprintf(fw->socket_path, sizeof(fw->socket_path), "%s/%s", fw->dir,
             DP_BUS_SOCKET_NAME);
    fw->journal_cap = 64;
    fw->fold_slot = DP_BUS_NO_SLOT;
    for (int i = 0; i < FW_CONNS; i++) {
        fw->conn[i].fd = -1;
    }
    return fw;
}

void fw_free(fake_watcher **pfw)
{
    fake_watcher *fw = *pfw;
    fw_down(fw);
    dp_bus_close(&fw->bus, true);
    unlink(fw->bus_path);
    rmdir(fw->dir);
    pthread_mutex_destroy(&fw->lock);
    free(fw);
    *pfw = NULL;
}

void fw_lock(fake_watcher *fw)
{
    pthread_mutex_lock(&fw->lock);
}

void fw_unlock(fake_watcher *fw)
{
    pthread_mutex_unlock(&fw->lock);
}

void fw_bus_new(fake_watcher *fw, bool is_same_instance)
{
    fw_lock(fw);
    dp_bus_writer *old = fw->bus;
    dp_bus_create_args args = {
        .path = fw->bus_path,
        .topic_cap = 64,
        .journal_cap = fw->journal_cap,
        .head_at_least = old && is_same_instance
                             ? dp_bus_head(dp_bus_writer_map(old))
                             : 0,
        .instance = is_same_instance ? fw->instance : 0,
        .group = (gid_t)-1};
    DP_ASSERT(dp_bus_create(&fw->bus, &args) == APR_SUCCESS);
    fw->instance = dp_bus_writer_map(fw->bus)->header->instance;
    dp_bus_sign(fw->bus, dp_clock_mono_us());
    dp_bus_close(&old, true);
    fw_unlock(fw);
}

static dp_hash key_of(fake_watcher *fw, dp_span user, dp_class c, dp_span f)
{
    return dp_topic_key(dp_bus_writer_map(fw->bus)->header->hash_key, user, c,
                        f);
}

static dp_bus_ref topic_locked(fake_watcher *fw, const char *folder)
{
    return dp_bus_topic_add(fw->bus,
                            key_of(fw, dp_span_str("alice"), DP_CLASS_EMAIL,
                                   dp_span_str(folder)),
                            DP_BUS_NO_SLOT,
                            strcmp(folder, "*") ? 0 : DP_BUS_TOPIC_CLASS);
}

void fw_wake_locked(fake_watcher *fw)
{
    for (int i = 0; i < FW_CONNS; i++) {
        if (fw->conn[i].fd >= 0 && fw->conn[i].is_wake) {
            send(fw->conn[i].fd, "w", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
}

static void say(fw_conn *c, const char *line)
{
    send(c->fd, line, strlen(line), MSG_NOSIGNAL);
}

static void say_watched(fake_watcher *fw, fw_conn *c, const dp_link_line *l)
{
    dp_hash key = key_of(fw, l->field[1], dp_class_of(l->field[2]),
                         l->field[3]);
    char line[64];
    dp_bus_ref r;
    snprintf(fw->last_watch, sizeof(fw->last_watch), "%.*s %.*s %.*s",
             (int)l->field[1].n, l->field[1].p, (int)l->field[2].n,
             l->field[2].p, (int)l->field[3].n, l->field[3].p);
    fw->watches_n++;
    if (fw->fold_slot != DP_BUS_NO_SLOT) {
        r = (dp_bus_ref){fw->fold_slot, 2};
    }
    else if (fw->vouches) {
        r = dp_bus_topic_add(fw->bus, key, DP_BUS_NO_SLOT, 0);
        if (dp_bus_look(dp_bus_writer_map(fw->bus), r).watched_from
            == DP_BUS_UNWATCHED) {
            dp_bus_vouch(fw->bus, r, 0);
        }
        dp_bus_renewed(fw->bus, r, dp_clock_mono_us());
        fw_wake_locked(fw);
    }
    else {
        say(c, "no\tnot here\n");
        return;
    }
    snprintf(line, sizeof(line), "ok\t%u\t%u\n", r.slot, r.gen);
    say(c, line);
}

static void obey(fake_watcher *fw, fw_conn *c, const dp_link_line *l)
{
    dp_span verb = l->field[0];
    if (dp_span_is(verb, DP_SPAN_LIT("ping"))) {
        char hex[33];
        snprintf(hex, sizeof(hex), "%.*s", (int)l->field[1].n, l->field[1].p);
        fw->last_ping.w[1] = strtoull(hex + 16, NULL, 16);
        hex[16] = '\0';
        fw->last_ping.w[0] = strtoull(hex, NULL, 16);
        dp_link_u64(l->field[2], &fw->last_arrival);
        fw->pings_n++;
    }
    else if (fw->is_mute) {
        fw->hellos_n += dp_span_is(verb, DP_SPAN_LIT("hello"));
    }
    else if (dp_span_is(verb, DP_SPAN_LIT("hello"))) {
        fw->hellos_n++;
        say(c, fw->refuses ? "no\tquota\n" : "ok\t1\n");
    }
    else if (dp_span_is(verb, DP_SPAN_LIT("wake"))) {
        c->is_wake = true;
        say(c, fw->refuses ? "no\tquota\n" : "ok\n");
    }
    else if (dp_span_is(verb, DP_SPAN_LIT("watch"))) {
        say_watched(fw, c, l);
    }
    else {
        fw->publishes_n++;
        say(c, "ok\t12\t9\n");
    }
}

/* @return false: it hung up */
static bool hear(fake_watcher *fw, fw_conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_n, sizeof(c->in) - c->in_n, 0);
    if (n <= 0) {
        return false;
    }
    c->in_n += (size_t)n;
    unsigned char *at = c->in, *end = c->in + c->in_n, *lf;
    while ((lf = memchr(at, '\n', (size_t)(end - at)))) {
        dp_link_line line;
        dp_link_parse(at, (size_t)(lf - at), &line);
        at = lf + 1;
        if (line.fields_n) {
            obey(fw, c, &line);
        }
    }
    c->in_n = (size_t)(end - at);
    memmove(c->in, at, c->in_n);
    return true;
}

static void welcome(fake_watcher *fw, int fd)
{
    for (int i = 0; i < FW_CONNS; i++) {
        if (fw->conn[i].fd < 0) {
            fw->conn[i] = (fw_conn){.fd = fd};
            return;
        }
    }
    close(fd);
}

/* A sign of life each time; it need not be often. */
static void *serve(void *arg)
{
    fake_watcher *fw = arg;
    struct pollfd p[FW_CONNS + 2];
    for (;;) {
        fw_lock(fw);
        if (fw->bus && !fw->is_unsigned) {
            dp_bus_sign(fw->bus, dp_clock_mono_us());
        }
        for (int i = 0; i < FW_CONNS; i++) {
            p[i] = (struct pollfd){.fd = fw->conn[i].fd, .events = POLLIN};
        }
        fw_unlock(fw);
        p[FW_CONNS] = (struct pollfd){.fd = fw->listener, .events = POLLIN};
        p[FW_CONNS + 1] = (struct pollfd){.fd = fw->stop_fd, .events = POLLIN};
        poll(p, FW_CONNS + 2, 1000);
        if (p[FW_CONNS + 1].revents) {
            return NULL;
        }
        fw_lock(fw);
        for (int i = 0; i < FW_CONNS; i++) {
            if (p[i].revents && !hear(fw, &fw->conn[i])) {
                close(fw->conn[i].fd);
                fw->conn[i].fd = -1;
            }
        }
        if (p[FW_CONNS].revents) {
            welcome(fw, accept(fw->listener, NULL, NULL));
        }
        fw_unlock(fw);
    }
}

void fw_up(fake_watcher *fw)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", fw->socket_path);
    fw->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DP_ASSERT(bind(fw->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
    DP_ASSERT(listen(fw->listener, 16) == 0);
    fw->stop_fd = eventfd(0, EFD_CLOEXEC);
    DP_ASSERT(pthread_create(&fw->thread, NULL, serve, fw) == 0);
    fw->is_up = true;
}

void fw_down(fake_watcher *fw)
{
    uint64_t one = 1;
    if (!fw->is_up) {
        return;
    }
    DP_ASSERT(write(fw->stop_fd, &one, sizeof(one)) == sizeof(one));
    pthread_join(fw->thread, NULL);
    for (int i = 0; i < FW_CONNS; i++) {
        if (fw->conn[i].fd >= 0) {
            close(fw->conn[i].fd);
            fw->conn[i].fd = -1;
        }
    }
    close(fw->listener);
    close(fw->stop_fd);
    unlink(fw->socket_path);
    fw->is_up = false;
}

dp_bus_ref fw_topic(fake_watcher *fw, const char *folder)
{
    fw_lock(fw);
    dp_bus_ref r = topic_locked(fw, folder);
    fw_unlock(fw);
    return r;
}

void fw_vouch(fake_watcher *fw, const char *folder)
{
    fw_lock(fw);
    dp_bus_vouch(fw->bus, topic_locked(fw, folder), 0);
    fw_wake_locked(fw);
    fw_unlock(fw);
}

void fw_unvouch(fake_watcher *fw, const char *folder)
{
    fw_lock(fw);
    dp_bus_unvouch(fw->bus, topic_locked(fw, folder));
    fw_wake_locked(fw);
    fw_unlock(fw);
}

void fw_drop(fake_watcher *fw, const char *folder)
{
    fw_lock(fw);
    dp_bus_topic_drop(fw->bus, topic_locked(fw, folder));
    fw_wake_locked(fw);
    fw_unlock(fw);
}

uint64_t fw_publish(fake_watcher *fw, const char *folder, bool is_new)
{
    fw_lock(fw);
    uint64_t seq = dp_bus_publish(fw->bus, topic_locked(fw, folder), is_new, !is_new,
                                  dp_clock_mono_us(), NULL);
    fw_wake_locked(fw);
    fw_unlock(fw);
    return seq;
}

uint64_t fw_tell(fake_watcher *fw, enum dp_bus_kind kind, dp_hash hash,
                 uint64_t arg)
{
    fw_lock(fw);
    uint64_t seq = dp_bus_tell(fw->bus, kind, hash, arg);
    fw_wake_locked(fw);
    fw_unlock(fw);
    return seq;
}

void fw_sign(fake_watcher *fw, dp_time_us age_us)
{
    fw_lock(fw);
    fw->is_unsigned = age_us > 0;
    dp_bus_sign(fw->bus, dp_clock_mono_us() - age_us);
    fw_unlock(fw);
}

uint64_t fw_head(fake_watcher *fw)
{
    fw_lock(fw);
    uint64_t head = dp_bus_head(dp_bus_writer_map(fw->bus));
    fw_unlock(fw);
    return head;
}
