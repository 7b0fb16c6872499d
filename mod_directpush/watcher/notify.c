#include "watcher/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "base/dp_map.h"

struct dp_notify_node {
    dp_map_node by_wd;
    int wd;
    uint32_t mask; /* of all subscribers */
    dp_notify_sub *subs;
};

struct dp_notify {
    int fd;
    dp_map nodes;
    void (*overflow)(void *ctx);
    void *ctx;
    uint64_t overflows;
    bool is_draining;
    /* the walk over a node's subscribers that is under way */
    dp_notify_node *telling;
    dp_notify_sub *tell_next;
};

static dp_hash wd_key(int wd)
{
    /* the kernel counts them up: no hashing needed, 1 keeps it from zero */
    return (dp_hash){{(uint64_t)(unsigned)wd, 1}};
}

static dp_notify_node *node_of(const dp_notify *n, int wd)
{
    dp_map_node *m = dp_map_get(&n->nodes, wd_key(wd));
    return m ? (dp_notify_node *)(void *)((char *)m
                                          - offsetof(dp_notify_node, by_wd))
             : NULL;
}

dp_notify *dp_notify_new(void (*overflow)(void *ctx), void *ctx)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0) {
        return NULL;
    }
    dp_notify *n = calloc(1, sizeof(*n));
    DP_ASSERT(n);
    n->fd = fd;
    n->overflow = overflow;
    n->ctx = ctx;
    return n;
}

static void free_node(void *ctx, dp_map_node *m)
{
    dp_notify *n = ctx;
    dp_notify_node *node =
        (dp_notify_node *)(void *)((char *)m
                                   - offsetof(dp_notify_node, by_wd));
    DP_ASSERT(!node->subs);
    dp_map_del(&n->nodes, m);
    free(node);
}

void dp_notify_free(dp_notify **pn)
{
    dp_notify *n = *pn;
    if (n) {
        close(n->fd);
        dp_map_each(&n->nodes, free_node, n);
        dp_map_free(&n->nodes);
        free(n);
        *pn = NULL;
    }
}

int dp_notify_fd(const dp_notify *n)
{
    return n->fd;
}

int dp_notify_add(dp_notify *n, dp_notify_sub *sub, int fd, uint32_t mask)
{
    char path[64];
    DP_ASSERT(!sub->node);
    /* the descriptor was opened beneath the mailbox; a path could be led
     * elsewhere by now */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    mask |= DP_NOTIFY_SELF & ~(uint32_t)(IN_UNMOUNT | IN_IGNORED);
    int wd = inotify_add_watch(n->fd, path, mask | IN_MASK_ADD | IN_ONLYDIR);
    if (wd < 0) {
        return errno;
    }
    dp_notify_node *node = node_of(n, wd);
    if (!node) {
        node = calloc(1, sizeof(*node));
        DP_ASSERT(node);
        node->wd = wd;
        dp_map_put(&n->nodes, &node->by_wd, wd_key(wd));
    }
    node->mask |= mask;
    sub->node = node;
    sub->mask = mask | DP_NOTIFY_SELF;
    sub->prev = NULL;
    sub->next = node->subs;
    if (sub->next) {
        sub->next->prev = sub;
    }
    node->subs = sub;
    return 0;
}

static void unlink_sub(dp_notify *n, dp_notify_sub *sub)
{
    if (n->tell_next == sub) {
        n->tell_next = sub->next;
    }
    if (sub->prev) {
        sub->prev->next = sub->next;
    }
    else {
        sub->node->subs = sub->next;
    }
    if (sub->next) {
        sub->next->prev = sub->prev;
    }
    sub->node = NULL;
    sub->next = sub->prev = NULL;
}

void dp_notify_drop(dp_notify *n, dp_notify_sub *sub)
{
    dp_notify_node *node = sub->node;
    if (!node) {
        return;
    }
    unlink_sub(n, sub);
    if (!node->subs && node != n->telling) {
        inotify_rm_watch(n->fd, node->wd);
        dp_map_del(&n->nodes, &node->by_wd);
        free(node);
    }
}

static void tell(dp_notify *n, dp_notify_node *node, const dp_notify_event *e)
{
    n->telling = node;
    for (dp_notify_sub *sub = node->subs; sub; sub = n->tell_next) {
        n->tell_next = sub->next;
        if (sub->mask & e->mask) {
            sub->told(sub->ctx, e);
        }
    }
    n->telling = NULL;
    n->tell_next = NULL;
    if (e->mask & IN_IGNORED) { /* the kernel's watch is no more */
        while (node->subs) {
            unlink_sub(n, node->subs);
        }
    }
    if (!node->subs) {
        inotify_rm_watch(n->fd, node->wd); /* EINVAL after IN_IGNORED */
        dp_map_del(&n->nodes, &node->by_wd);
        free(node);
    }
}

static void tell_raw(dp_notify *n, const struct inotify_event *raw)
{
    if (raw->mask & IN_Q_OVERFLOW) {
        n->overflows++;
        n->overflow(n->ctx);
        return;
    }
    dp_notify_node *node = node_of(n, raw->wd);
    if (node) {
        dp_notify_event e = {.mask = raw->mask,
                             .name = raw->len ? dp_span_str(raw->name)
                                              : dp_span_of(NULL, 0)};
        tell(n, node, &e);
    }
}

void dp_notify_drain(dp_notify *n)
{
    /* room for some hundred events; one of the longest name always fits */
    char buf[32768] __attribute__((aligned(__alignof__(struct inotify_event))));
    int queued = 0;
    DP_ASSERT(!n->is_draining);
    n->is_draining = true;
    /* first in, first out: after so many bytes come later events, which would
     * keep us here for ever under a flood */
    if (ioctl(n->fd, FIONREAD, &queued) != 0) {
        queued = 0;
    }
    for (ssize_t done = 0; done < queued;) {
        ssize_t got = read(n->fd, buf, sizeof(buf));
        done += got > 0 ? got : 0;
        if (got <= 0) {
            DP_ASSERT(got < 0 && (errno == EAGAIN || errno == EINTR));
            if (errno == EINTR) {
                continue;
            }
            break;
        }
        for (const char *at = buf; at < buf + got;) {
            const struct inotify_event *raw = (const void *)at;
            tell_raw(n, raw);
            at += sizeof(*raw) + raw->len;
        }
    }
    n->is_draining = false;
}

uint64_t dp_notify_watches(const dp_notify *n)
{
    return n->nodes.n;
}

uint64_t dp_notify_overflows(const dp_notify *n)
{
    return n->overflows;
}
