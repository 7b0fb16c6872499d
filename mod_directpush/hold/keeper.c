#include "hold/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "base/dp_mutant.h"
#include "hold/keeper_private.h"
#include "hold/thread.h"

/* The keeper looks at liveness, the bus's name and the link this often, also
 * when nothing happens. */
#define TICK_US DP_SECOND_US

/* Holds looked at per lock when all are, so that workers get their turn. */
#define RELOOK_STEP 256

/* Records of the journal per turn, so that answers leave and timers fire while
 * a busy watcher writes on. */
#define FOLLOW_STEP (DP_MUTANT(behind_ignored) ? 1 : 1024)

/* A publisher's patience: the watcher answers in microseconds or is ill. */
#define PUBLISH_PATIENCE_US (DP_SECOND_US / 2)

void dp_keeper_say(dp_keeper *k, dp_keeper_level level, const char *line)
{
    if (k->hooks.log) {
        k->hooks.log(k->hooks.ctx, level, line);
    }
}

static void answer_ready(dp_keeper *k)
{
    dp_hold_set *set = &k->set;
    pthread_mutex_lock(&set->lock);
    dp_hold *list = dp_hold_set_ready_locked(set);
    for (dp_hold *h = list; h; h = h->ready_next) {
        dp_hold_set_unwatch_locked(set, h);
    }
    pthread_mutex_unlock(&set->lock);
    for (dp_hold *h = list, *next; h; h = next) {
        next = h->ready_next;
        if (dp_hold_state_of(h) == DP_HOLD_ANSWERING) {
            k->hooks.loop_answer(h);
        }
        else {
            k->hooks.loop_close(h);
        }
    }
}

static void relook_all(dp_keeper *k)
{
    dp_hold_set *set = &k->set;
    pthread_mutex_lock(&set->lock);
    dp_hold_set_relook_begin_locked(set);
    while (dp_hold_set_relook_locked(set, RELOOK_STEP, dp_clock_mono_us())) {
        pthread_mutex_unlock(&set->lock);
        answer_ready(k);
        pthread_mutex_lock(&set->lock);
    }
    pthread_mutex_unlock(&set->lock);
}

/* A Ping of that device is held elsewhere. If ours is the newer one, that child
 * has perhaps not heard of it: ours came when the place was ours already. */
static void end_older(dp_keeper *k, dp_hash device, uint64_t arrival,
                      dp_time_us now)
{
    dp_count(k->count, DP_COUNT_superseded,
             (int64_t)dp_hold_set_end_locked(&k->set, device, arrival,
                                             DP_CAUSE_NEWER, now));
    uint64_t newest = dp_hold_set_newest_locked(&k->set, device);
    if (newest > arrival) {
        dp_keeper_tell_ping_locked(k, device, newest);
    }
}

static void handle_event(dp_keeper *k, const dp_bus_event *ev)
{
    dp_hold_set *set = &k->set;
    dp_time_us now = dp_clock_mono_us();
    switch (ev->kind) {
    case DP_BUS_KIND_NEW:
    case DP_BUS_KIND_OTHER:
    case DP_BUS_KIND_VOUCH:
        /* Given up, it may get another slot when it is asked for again;
         * vouched for, it may be what we know by another name. */
        k->has_doubt |= ev->kind == DP_BUS_KIND_VOUCH;
        pthread_mutex_lock(&set->lock);
        if (ev->kind == DP_BUS_KIND_VOUCH) { /* we may have been told "no" */
            dp_topics_appeared(&set->topics, set->bus, ev->ref);
        }
        dp_hold_set_slot_locked(set, ev->ref.slot, now);
        pthread_mutex_unlock(&set->lock);
        break;
    case DP_BUS_KIND_PING:
        pthread_mutex_lock(&set->lock);
        if (!DP_MUTANT(newer_stays)) {
            end_older(k, ev->hash, ev->arg, now);
        }
        pthread_mutex_unlock(&set->lock);
        break;
    case DP_BUS_KIND_FORGET:
        k->forget_seen = ev->seq;
        k->hooks.loop_forget(k->hooks.ctx, ev->hash, ev->arg,
                             &k->bus->map);
        break;
    default:
        break; /* a newer watcher's: nothing that concerns a hold */
    }
}

/* Follow the journal, to its end or for one step. */
static void follow_bus(dp_keeper *k)
{
    dp_bus_event ev;
    k->is_behind = false;
    for (int n = 0; k->bus && n < FOLLOW_STEP; n++) {
        switch (dp_bus_catch_up(&k->bus->map, &k->cursor, &ev)) {
        case DP_BUS_NEXT_RECORD:
            handle_event(k, &ev);
            break;
        case DP_BUS_NEXT_LAPPED:
            dp_count(k->count, DP_COUNT_lapped, 1);
            dp_keeper_lapped(k);
            if (!DP_MUTANT(lapped_unseen)) {
                relook_all(k);
            }
            DP_MUTANT_WINDOW(lapped_head_late);
            if (DP_MUTANT(lapped_head_late)) {
                k->cursor = dp_bus_cursor_at_head(&k->bus->map);
            }
            break;
        case DP_BUS_NEXT_NONE:
            return;
        }
    }
    k->is_behind = k->bus != NULL;
}

static int sleep_ms(dp_keeper *k)
{
    dp_hold_set *set = &k->set;
    pthread_mutex_lock(&set->lock);
    dp_time_us now = dp_clock_mono_us();
    dp_time_us until = dp_wheel_next(&set->wheel);
    if (until > k->tick_at_us) {
        until = k->tick_at_us;
    }
    bool can_send = dp_keeper_can_send(k) && (k->wants || k->pings);
    if (set->ready || can_send
        || (k->is_behind && !DP_MUTANT(behind_ignored))) {
        until = now;
    }
    set->sleeps_until_us = until > now ? until : 0;
    pthread_mutex_unlock(&set->lock);
    return until <= now ? 0 : (int)((until - now + 999) / 1000);
}

static void wait_for_something(dp_keeper *k)
{
    struct pollfd p[3] = {{.fd = k->nudge_fd, .events = POLLIN},
                          {.fd = k->link.fd, .events = POLLIN},
                          {.fd = k->link.wake_fd, .events = POLLIN}};
    if (k->link.out_n) {
        p[1].events |= POLLOUT;
    }
    int timeout = sleep_ms(k);
    int n = poll(p, 3, timeout);
    pthread_mutex_lock(&k->set.lock);
    k->set.sleeps_until_us = 0;
    pthread_mutex_unlock(&k->set.lock);
    if (DP_MUTANT(wake_read_late)) {
        follow_bus(k);
        DP_MUTANT_WINDOW(wake_read_late);
    }
    if (n <= 0) {
        return;
    }
    if (p[0].revents) {
        uint64_t count;
        if (read(k->nudge_fd, &count, sizeof(count)) < 0) {
            /* another turn has read it */
        }
    }
    if (p[1].revents || p[2].revents) {
        dp_keeper_loop_link(k, p[1].revents != 0, p[2].revents != 0);
    }
}

/* One turn after a sleep. */
static void turn(dp_keeper *k)
{
    dp_time_us now = dp_clock_mono_us();
    if (!DP_MUTANT(wake_read_late)) {
        follow_bus(k);
    }
    if (k->bus && atomic_load_explicit(&k->bus->map.header->replaced,
                                       memory_order_acquire)) {
        k->tick_at_us = 0; /* the new one now, not in a second */
    }
    answer_ready(k);
    pthread_mutex_lock(&k->set.lock);
    dp_hold_set_expire_locked(&k->set, now);
    pthread_mutex_unlock(&k->set.lock);
    answer_ready(k);
    dp_keeper_mend(k);
    answer_ready(k);
    dp_keeper_loop_send(k);
    if (now >= k->tick_at_us) {
        k->tick_at_us = now + k->tick_us;
        k->hooks.loop_tick(k->hooks.ctx);
        if (dp_keeper_loop_tick(k, now)) {
            relook_all(k);
        }
        answer_ready(k);
    }
}

static void *run(void *arg)
{
    dp_keeper *k = arg;
    while (!atomic_load_explicit(&k->is_ending, memory_order_acquire)) {
        wait_for_something(k);
        turn(k);
    }
    /* What was claimed meanwhile is answered still: nobody else would, and a
     * worker that wants such a hold back would wait for ever. */
    pthread_mutex_lock(&k->set.lock);
    k->set.is_over = true;
    pthread_mutex_unlock(&k->set.lock);
    answer_ready(k);
    return NULL;
}

/* @return false: the directory's name is too long */
static bool name_files(dp_keeper *k, const char *dir)
{
    int n = snprintf(k->bus_path, sizeof(k->bus_path), "%s/%s", dir,
                     DP_BUS_FILE_NAME);
    int m = snprintf(k->socket_path, sizeof(k->socket_path), "%s/%s", dir,
                     DP_BUS_SOCKET_NAME);
    return n > 0 && (size_t)n < sizeof(k->bus_path) && m > 0
           && (size_t)m < sizeof(k->socket_path);
}

static void release(dp_keeper *k)
{
    if (k->publisher) {
        dp_link_publisher_free(&k->publisher);
        dp_link_close(&k->link);
        dp_keeper_drop_lines(k);
        pthread_mutex_lock(&k->set.lock);
        dp_hold_set_rebind_locked(&k->set, NULL);
        pthread_mutex_unlock(&k->set.lock);
        dp_hold_set_destroy(&k->set);
        dp_keeper_bus_release(&k->bus);
    }
    if (k->nudge_fd >= 0) {
        close(k->nudge_fd);
    }
    free(k);
}

apr_status_t dp_keeper_start(dp_keeper **out, const dp_keeper_args *args)
{
    dp_keeper *k = calloc(1, sizeof(*k));
    DP_ASSERT(k);
    *out = NULL;
    k->hooks = args->hooks;
    k->count = args->count;
    k->told = args->told ? args->told : &k->own_told;
    k->recent = args->recent;
    k->child = args->child;
    k->tick_us = args->tick_us ? args->tick_us : TICK_US;
    k->nudge_fd = -1;
    if (!name_files(k, args->runtime_dir)) {
        release(k);
        return APR_ENAMETOOLONG;
    }
    k->nudge_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (k->nudge_fd < 0) {
        apr_status_t why = errno;
        release(k);
        return why;
    }
    dp_time_us now = dp_clock_mono_us();
    dp_hold_set_init(&k->set, args->provoke, args->provoke_per_s, k->nudge_fd,
                     now);
    k->set.count = args->count;
    k->set.stored_mark = args->hooks.stored_mark;
    dp_link_init(&k->link);
    k->publisher = dp_link_publisher_make(k->socket_path, PUBLISH_PATIENCE_US);
    /* Before the thread runs, so that the first Ping finds a bus. */
    dp_keeper_loop_tick(k, now);
    k->tick_at_us = now + k->tick_us;
    k->is_started = true;
    *out = k; /* its hooks may want it at once */
    int rc = dp_thread_start(&k->thread, run, k);
    if (rc) {
        *out = NULL;
        release(k);
    }
    return rc;
}

void dp_keeper_stop(dp_keeper **keeper)
{
    dp_keeper *k = *keeper;
    if (!k || atomic_exchange_explicit(&k->is_ending, true,
                                       memory_order_release)) {
        return;
    }
    uint64_t one = 1;
    if (write(k->nudge_fd, &one, sizeof(one)) < 0) {
        /* full: readable as well */
    }
    pthread_join(k->thread, NULL);
    dp_link_close(&k->link);
}

void dp_keeper_free(dp_keeper **keeper)
{
    if (*keeper) {
        dp_keeper_stop(keeper);
        release(*keeper);
        *keeper = NULL;
    }
}
