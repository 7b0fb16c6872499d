/* notify: one inotify instance, shared by all who watch directories.
 *
 * The kernel has one watch per inode and instance; here any number of
 * subscribers share it, each with a mask of its own. All mailboxes are told of
 * the directories above them, each for one entry of it: what happens to an
 * entry costs as many calls as care for that name. What is told about a
 * directory under an older watch is not told to later subscribers.
 * The daemon's one thread.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/inotify.h>

#include "base/dp_span.h"

/* The directory itself is gone from where it was; always told. */
#define DP_NOTIFY_SELF                                                         \
    (IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT | IN_IGNORED)
/* Names that come and go in it. */
#define DP_NOTIFY_NAMES (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)

typedef struct dp_notify dp_notify;
typedef struct dp_notify_node dp_notify_node;

typedef struct dp_notify_event {
    uint32_t mask;
    uint32_t cookie; /* the two events of one rename have the same */
    dp_span name; /* of the entry; empty when it is about the directory */
} dp_notify_event;

/* Part of its owner; all zero when not subscribed, but for what it sets. */
typedef struct dp_notify_sub {
    dp_notify_node *node;
    struct dp_notify_sub *next, *prev;
    uint32_t mask;
    bool is_named; /* it is the one in a dp_notify_named */
    void (*told)(void *ctx, const dp_notify_event *event);
    void *ctx;
} dp_notify_sub;

/* One that is told of the entry with this name, and of the directory itself. */
typedef struct dp_notify_named {
    dp_notify_sub sub; /* first; is_named */
    struct dp_notify_named *next, *prev; /* same directory, same name */
    struct dp_notify_name *of;
    const char *name; /* its owner's */
} dp_notify_named;

/** @return NULL with errno when the kernel gives no instance */
dp_notify *dp_notify_new(void (*overflow)(void *ctx), void *ctx);
void dp_notify_free(dp_notify **n);

/** Its descriptor was closed, and all watches with it: what is left is to drop
 *  the subscriptions. */
void dp_notify_close(dp_notify *n);

/** To be polled for EPOLLIN. */
int dp_notify_fd(const dp_notify *n);

/**
 * Watch the directory that `fd` (O_PATH will do) is open on.
 * @param sub  `told` and `ctx` are set, and the name if it is_named; not subscribed yet
 * @return 0, or errno: ENOSPC when the kernel's limit is reached
 */
int dp_notify_add(dp_notify *n, dp_notify_sub *sub, int fd, uint32_t mask);

/** Harmless when not subscribed. May be called from any `told`. */
void dp_notify_drop(dp_notify *n, dp_notify_sub *sub);

/**
 * Read all that the kernel has queued and tell it.
 * When it returns, everything that happened before the call has been told.
 */
void dp_notify_drain(dp_notify *n);

/** Kernel watches in use, and overflows so far. */
uint64_t dp_notify_watches(const dp_notify *n);
uint64_t dp_notify_overflows(const dp_notify *n);

#endif
