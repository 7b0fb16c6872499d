#include "watcher/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/dp_check.h"

#define EVENTS_PER_TURN 64

/* Sleep no longer than this: the sign of life has a timer, this is for the
 * case that nobody has one. */
#define SLEEP_MAX_MS 1000

struct dp_loop {
    int epoll;
    bool is_stopping;
    dp_wheel wheel;
    dp_loop_hooks hooks;
    void *garbage; /* a list: each begins with the next */
};

dp_loop *dp_loop_new(void)
{
    dp_loop *loop = calloc(1, sizeof(*loop));
    DP_ASSERT(loop);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    DP_ASSERT(loop->epoll >= 0);
    dp_wheel_init(&loop->wheel, dp_clock_mono_us());
    return loop;
}

void dp_loop_free_later(dp_loop *loop, void *memory)
{
    memcpy(memory, &loop->garbage, sizeof(loop->garbage));
    loop->garbage = memory;
}

static void free_garbage(dp_loop *loop)
{
    while (loop->garbage) {
        void *memory = loop->garbage;
        memcpy(&loop->garbage, memory, sizeof(loop->garbage));
        free(memory);
    }
}

void dp_loop_free(dp_loop **loop)
{
    if (*loop) {
        free_garbage(*loop);
        close((*loop)->epoll);
        free(*loop);
        *loop = NULL;
    }
}

void dp_loop_set_hooks(dp_loop *loop, const dp_loop_hooks *hooks)
{
    loop->hooks = *hooks;
}

bool dp_loop_add(dp_loop *loop, dp_loop_fd *f, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = f};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, f->fd, &e) == 0;
}

void dp_loop_change(dp_loop *loop, dp_loop_fd *f, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = f};
    DP_ASSERT(epoll_ctl(loop->epoll, EPOLL_CTL_MOD, f->fd, &e) == 0);
}

void dp_loop_close(dp_loop *loop, dp_loop_fd *f)
{
    if (f->fd >= 0) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, f->fd, NULL);
        close(f->fd);
        f->fd = -1; /* what this turn still has for it is passed over */
    }
}

void dp_loop_forget(dp_loop *loop, dp_loop_fd *f)
{
    if (f->fd >= 0) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, f->fd, NULL);
        f->fd = -1;
    }
}

void dp_loop_at(dp_loop *loop, dp_loop_timer *t, dp_time_us due_us)
{
    dp_wheel_link(&loop->wheel, &t->timer, due_us);
}

void dp_loop_cancel(dp_loop *loop, dp_loop_timer *t)
{
    dp_wheel_unlink(&loop->wheel, &t->timer);
}

static void fire(dp_timer *timer, void *ctx)
{
    dp_loop_timer *t = DP_TIMER_OWNER(timer, dp_loop_timer, timer);
    t->due(t->ctx);
}

static int sleep_ms(const dp_loop *loop, bool has_work)
{
    dp_time_us next_us = dp_wheel_next(&loop->wheel);
    dp_time_us now_us = dp_clock_mono_us();
    if (has_work || loop->is_stopping || next_us <= now_us) {
        return 0;
    }
    dp_time_us ms = (next_us - now_us + 999) / 1000;
    return ms < SLEEP_MAX_MS ? (int)ms : SLEEP_MAX_MS;
}

static void turn(dp_loop *loop)
{
    struct epoll_event events[EVENTS_PER_TURN];
    bool has_work = loop->hooks.work && loop->hooks.work(loop->hooks.ctx);
    int n = epoll_wait(loop->epoll, events, EVENTS_PER_TURN,
                       sleep_ms(loop, has_work));
    for (int i = 0; i < n; i++) {
        dp_loop_fd *f = events[i].data.ptr;
        if (f->fd >= 0) {
            f->ready(f->ctx, events[i].events);
        }
    }
    DP_ASSERT(n >= 0 || errno == EINTR);
    dp_wheel_expire(&loop->wheel, dp_clock_mono_us(), fire, NULL);
    if (loop->hooks.after) {
        loop->hooks.after(loop->hooks.ctx);
    }
    free_garbage(loop);
}

void dp_loop_run(dp_loop *loop)
{
    while (!loop->is_stopping) {
        turn(loop);
    }
}

void dp_loop_stop(dp_loop *loop)
{
    loop->is_stopping = true;
}
