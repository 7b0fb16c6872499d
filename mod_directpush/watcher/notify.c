#include "watcher/notify.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "base/dp_map.h"

struct dp_notify_node {
    dp_map_node by_wd;
    int wd;
    uint32_t mask; /* of all subscribers */
    dp_notify_sub *subs;  /* told of all entries */
    dp_notify_sub *named; /* told of one each */
};

/* Those who are told of one entry of a directory. */
struct dp_notify_name {
    dp_map_node by_name; /* and directory */
    dp_notify_named *first;
};

struct dp_notify {
    int fd;
    dp_map nodes;
    dp_map names;
    uint8_t key[DP_HASH_KEY_SIZE]; /* of the names' hashes */
    void (*overflow)(void *ctx);
    void *ctx;
    uint64_t overflows;
    bool is_draining;
    /* the walk over a node's subscribers that is under way */
    dp_notify_node *telling;
    dp_notify_sub *tell_next;
    bool is_telling_name; /* it is a walk along one name's */
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

static struct dp_notify_name *name_of(const dp_notify *n, int wd, dp_span name,
                                      dp_hash *out_key)
{
    dp_span parts[] = {dp_span_of(&wd, sizeof(wd)), name};
    *out_key = dp_hash_spans(n->key, parts, 2);
    dp_map_node *m = dp_map_get(&n->names, *out_key);
    return m ? (struct dp_notify_name *)(void *)((char *)m
                                                 - offsetof(
                                                     struct dp_notify_name,
                                                     by_name))
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
    DP_ASSERT(getrandom(n->key, sizeof(n->key), 0) == (ssize_t)sizeof(n->key));
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
    DP_ASSERT(!node->subs && !node->named);
    dp_map_del(&n->nodes, m);
    free(node);
}

void dp_notify_free(dp_notify **pn)
{
    dp_notify *n = *pn;
    if (n) {
        if (n->fd >= 0) {
            close(n->fd);
        }
        dp_map_each(&n->nodes, free_node, n);
        dp_map_free(&n->nodes);
        dp_map_free(&n->names);
        free(n);
        *pn = NULL;
    }
}

void dp_notify_close(dp_notify *n)
{
    n->fd = -1;
}

int dp_notify_fd(const dp_notify *n)
{
    return n->fd;
}

static void link_sub(dp_notify_node *node, dp_notify_sub *sub)
{
    dp_notify_sub **list = sub->is_named ? &node->named : &node->subs;
    sub->node = node;
    sub->prev = NULL;
    sub->next = *list;
    if (sub->next) {
        sub->next->prev = sub;
    }
    *list = sub;
}

static dp_notify_named *named(dp_notify_sub *sub)
{
    return (dp_notify_named *)(void *)sub;
}

static void link_name(dp_notify *n, dp_notify_named *who)
{
    dp_hash key;
    struct dp_notify_name *name =
        name_of(n, who->sub.node->wd, dp_span_str(who->name), &key);
    if (!name) {
        name = calloc(1, sizeof(*name));
        DP_ASSERT(name);
        dp_map_put(&n->names, &name->by_name, key);
    }
    who->of = name;
    who->prev = NULL;
    who->next = name->first;
    if (who->next) {
        who->next->prev = who;
    }
    name->first = who;
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
    sub->mask = mask | DP_NOTIFY_SELF;
    link_sub(node, sub);
    if (sub->is_named) {
        link_name(n, named(sub));
    }
    return 0;
}

static void unlink_name(dp_notify *n, dp_notify_named *who)
{
    struct dp_notify_name *name = who->of;
    if (who->prev) {
        who->prev->next = who->next;
    }
    else {
        name->first = who->next;
    }
    if (who->next) {
        who->next->prev = who->prev;
    }
    if (!name->first) {
        dp_map_del(&n->names, &name->by_name);
        free(name);
    }
    who->of = NULL;
    who->next = who->prev = NULL;
}

/* Who is told after this one. */
static dp_notify_sub *next_told(const dp_notify *n, dp_notify_sub *sub)
{
    if (!n->is_telling_name) {
        return sub->next;
    }
    return named(sub)->next ? &named(sub)->next->sub : NULL;
}

static void unlink_sub(dp_notify *n, dp_notify_sub *sub)
{
    if (n->tell_next == sub) {
        n->tell_next = next_told(n, sub);
    }
    if (sub->prev) {
        sub->prev->next = sub->next;
    }
    else if (sub->is_named) {
        sub->node->named = sub->next;
    }
    else {
        sub->node->subs = sub->next;
    }
    if (sub->next) {
        sub->next->prev = sub->prev;
    }
    if (sub->is_named) {
        unlink_name(n, named(sub));
    }
    sub->node = NULL;
    sub->next = sub->prev = NULL;
}

static bool has_subs(const dp_notify_node *node)
{
    return node->subs || node->named;
}

static void drop_node(dp_notify *n, dp_notify_node *node)
{
    if (n->fd >= 0) {
        inotify_rm_watch(n->fd, node->wd); /* EINVAL after IN_IGNORED */
    }
    dp_map_del(&n->nodes, &node->by_wd);
    free(node);
}

void dp_notify_drop(dp_notify *n, dp_notify_sub *sub)
{
    dp_notify_node *node = sub->node;
    if (!node) {
        return;
    }
    unlink_sub(n, sub);
    if (!has_subs(node) && node != n->telling) {
        drop_node(n, node);
    }
}

/* Any of them may leave meanwhile. */
static void tell_each(dp_notify *n, dp_notify_sub *first,
                      const dp_notify_event *e)
{
    for (dp_notify_sub *sub = first; sub; sub = n->tell_next) {
        n->tell_next = next_told(n, sub);
        if (sub->mask & e->mask) {
            sub->told(sub->ctx, e);
        }
    }
    n->tell_next = NULL;
}

static void tell_name(dp_notify *n, const dp_notify_node *node,
                      const dp_notify_event *e)
{
    dp_hash key;
    const struct dp_notify_name *name = name_of(n, node->wd, e->name, &key);
    if (name) {
        n->is_telling_name = true;
        tell_each(n, &name->first->sub, e);
        n->is_telling_name = false;
    }
}

static void tell(dp_notify *n, dp_notify_node *node, const dp_notify_event *e)
{
    n->telling = node;
    tell_each(n, node->subs, e);
    if (e->mask & DP_NOTIFY_SELF) {
        tell_each(n, node->named, e);
    }
    else if (node->named) {
        tell_name(n, node, e);
    }
    n->telling = NULL;
    if (e->mask & IN_IGNORED) { /* the kernel's watch is no more */
        while (has_subs(node)) {
            unlink_sub(n, node->subs ? node->subs : node->named);
        }
    }
    if (!has_subs(node)) {
        drop_node(n, node);
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
                             .cookie = raw->cookie,
                             .name = raw->len ? dp_span_str(raw->name)
                                              : dp_span_of(NULL, 0)};
        tell(n, node, &e);
    }
}

/* Room for some hundred events. */
#define READ_BYTES 32768
/* One of the longest name. */
#define EVENT_MAX (sizeof(struct inotify_event) + NAME_MAX + 1)

/* @return bytes read */
static size_t read_some(dp_notify *n)
{
    char buf[READ_BYTES]
        __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got;
    while ((got = read(n->fd, buf, sizeof(buf))) < 0) {
        DP_ASSERT(errno == EAGAIN || errno == EINTR);
        if (errno == EAGAIN) {
            return 0;
        }
    }
    for (const char *at = buf; at < buf + got;) {
        const struct inotify_event *raw = (const void *)at;
        tell_raw(n, raw);
        at += sizeof(*raw) + raw->len;
    }
    return (size_t)got;
}

void dp_notify_drain(dp_notify *n)
{
    int queued = 0;
    DP_ASSERT(!n->is_draining);
    n->is_draining = true;
    /* had there been more, it would have come */
    bool is_all = read_some(n) + EVENT_MAX <= READ_BYTES;
    /* first in, first out: after so many bytes come later events, which would
     * keep us here for ever under a flood */
    if (!is_all && ioctl(n->fd, FIONREAD, &queued) != 0) {
        queued = 0;
    }
    for (size_t got; queued > 0 && (got = read_some(n)) > 0;) {
        queued -= (int)got;
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
