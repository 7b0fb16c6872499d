/* loop: one epoll set and one timer wheel, for the daemon's one thread.
 *
 * A turn: descriptors that are ready, timers that are due, then the `after`
 * hook. While the `work` hook says that there is more to do, a turn does not
 * sleep. Handlers may add and remove any descriptor, their own too; the memory
 * of one that was removed must last until `after` has run.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_wheel.h"

typedef struct dp_loop dp_loop;

typedef void dp_loop_ready(void *ctx, uint32_t events);

typedef struct dp_loop_fd {
    int fd; /* -1: not in the set */
    dp_loop_ready *ready;
    void *ctx;
} dp_loop_fd;

typedef struct dp_loop_timer {
    dp_timer timer;
    void (*due)(void *ctx);
    void *ctx;
} dp_loop_timer;

typedef struct dp_loop_hooks {
    bool (*work)(void *ctx);  /* a slice of work; true: there is more */
    void (*after)(void *ctx); /* at the end of each turn */
    void *ctx;
} dp_loop_hooks;

dp_loop *dp_loop_new(void);
void dp_loop_free(dp_loop **loop);

void dp_loop_set_hooks(dp_loop *loop, const dp_loop_hooks *hooks);

/** Watch `f->fd` for EPOLLIN, EPOLLOUT. @return false with errno set */
bool dp_loop_add(dp_loop *loop, dp_loop_fd *f, uint32_t events);
void dp_loop_change(dp_loop *loop, dp_loop_fd *f, uint32_t events);

/** Out of the set and closed; f->fd becomes -1. Harmless at -1. */
void dp_loop_close(dp_loop *loop, dp_loop_fd *f);

/** Out of the set, not closed (somebody else's descriptor); f->fd becomes -1. */
void dp_loop_forget(dp_loop *loop, dp_loop_fd *f);

/** Free `memory` when the turn is over; it begins with a pointer's worth of
 *  bytes that nobody needs any more, and holds no dp_loop_fd there. */
void dp_loop_free_later(dp_loop *loop, void *memory);

/** (Re)start a timer; `due` and `ctx` are set by its owner. */
void dp_loop_at(dp_loop *loop, dp_loop_timer *t, dp_time_us due_us);
void dp_loop_cancel(dp_loop *loop, dp_loop_timer *t);

/** Run until dp_loop_stop(). */
void dp_loop_run(dp_loop *loop);
void dp_loop_stop(dp_loop *loop);

#endif
