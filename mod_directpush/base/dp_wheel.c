#include "base/dp_wheel.h"

#include <string.h>

#include "base/dp_check.h"

#define LEVEL_BITS 6
#define SLOT_MASK  ((uint64_t)DP_WHEEL_SLOTS - 1)

DP_STATIC(DP_WHEEL_SLOTS == 1 << LEVEL_BITS, "slots of a level fill its bits");
/* 63 bits of microseconds are 53 bits of ticks */
DP_STATIC(DP_WHEEL_LEVELS * LEVEL_BITS >= 53, "every time has a level");

/* The first tick at which the timer may fire: rounded up, never early. */
static uint64_t tick_of(dp_time_us us)
{
    return us <= 0 ? 0
                   : (uint64_t)us / DP_WHEEL_TICK_US
                         + ((uint64_t)us % DP_WHEEL_TICK_US != 0);
}

static unsigned level_of(uint64_t tick, uint64_t wheel_tick)
{
    uint64_t differ = tick ^ wheel_tick;
    return (63u - (unsigned)__builtin_clzll(differ)) / LEVEL_BITS;
}

static unsigned slot_of(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (LEVEL_BITS * level) & SLOT_MASK);
}

static void push(dp_timer **head, dp_timer *t)
{
    t->next = *head;
    t->at = head;
    if (t->next) {
        t->next->at = &t->next;
    }
    *head = t;
}

/* Is `at` the head of a slot? Then the bit of that slot depends on it. */
static bool is_slot(const dp_wheel *w, dp_timer *const *at, size_t *out_index)
{
    uintptr_t from = (uintptr_t)&w->slot[0][0];
    if ((uintptr_t)at < from || (uintptr_t)at >= from + sizeof(w->slot)) {
        return false;
    }
    *out_index = ((uintptr_t)at - from) / sizeof(dp_timer *);
    return true;
}

static void pull(dp_wheel *w, dp_timer *t)
{
    size_t i;
    *t->at = t->next;
    if (t->next) {
        t->next->at = t->at;
    }
    else if (is_slot(w, t->at, &i)) {
        w->used[i / DP_WHEEL_SLOTS] &= ~(1ull << i % DP_WHEEL_SLOTS);
    }
    t->next = NULL;
    t->at = NULL;
}

static void place(dp_wheel *w, dp_timer *t)
{
    uint64_t tick = tick_of(t->due_us);
    if (tick <= w->tick) {
        push(&w->overdue, t);
        return;
    }
    unsigned level = level_of(tick, w->tick);
    unsigned slot = slot_of(tick, level);
    push(&w->slot[level][slot], t);
    w->used[level] |= 1ull << slot;
}

/* The tick at which the next slot begins, and where that slot is. */
static bool next_slot(const dp_wheel *w, uint64_t *out_tick,
                      unsigned *out_level)
{
    for (unsigned level = 0; level < DP_WHEEL_LEVELS; level++) {
        if (w->used[level]) {
            unsigned shift = LEVEL_BITS * level;
            uint64_t slot = (uint64_t)__builtin_ctzll(w->used[level]);
            *out_tick = ((w->tick >> shift & ~SLOT_MASK) | slot) << shift;
            *out_level = level;
            return true;
        }
    }
    return false;
}

/* Move a list away, so that what is linked meanwhile does not join it. */
static dp_timer *take_list(dp_timer **from, dp_timer **to)
{
    *to = *from;
    *from = NULL;
    if (*to) {
        (*to)->at = to;
    }
    return *to;
}

static size_t fire_list(dp_wheel *w, dp_timer **list, dp_wheel_fire *fire,
                        void *ctx)
{
    size_t fired = 0;
    while (*list) {
        dp_timer *t = *list;
        dp_wheel_unlink(w, t);
        fire(t, ctx);
        fired++;
    }
    return fired;
}

/* The slot's time has come: due ones to `ready`, the others a level down. */
static void open_slot(dp_wheel *w, unsigned level, dp_timer **ready)
{
    unsigned slot = slot_of(w->tick, level);
    dp_timer *list;
    take_list(&w->slot[level][slot], &list);
    w->used[level] &= ~(1ull << slot);
    while (list) {
        dp_timer *t = list;
        pull(w, t);
        if (tick_of(t->due_us) <= w->tick) {
            push(ready, t);
        }
        else {
            place(w, t);
        }
    }
}

void dp_wheel_init(dp_wheel *w, dp_time_us now_us)
{
    memset(w, 0, sizeof(*w));
    w->tick = (uint64_t)(now_us > 0 ? now_us : 0) / DP_WHEEL_TICK_US;
}

void dp_wheel_link(dp_wheel *w, dp_timer *t, dp_time_us due_us)
{
    dp_wheel_unlink(w, t);
    t->due_us = due_us;
    place(w, t);
    w->timers_n++;
}

void dp_wheel_unlink(dp_wheel *w, dp_timer *t)
{
    if (t->at) {
        pull(w, t);
        w->timers_n--;
    }
}

dp_time_us dp_wheel_next(const dp_wheel *w)
{
    uint64_t tick;
    unsigned level;
    if (w->overdue) {
        return (dp_time_us)w->tick * DP_WHEEL_TICK_US;
    }
    if (!next_slot(w, &tick, &level)) {
        return DP_NEVER_US;
    }
    return tick > (uint64_t)(DP_NEVER_US / DP_WHEEL_TICK_US)
               ? DP_NEVER_US
               : (dp_time_us)tick * DP_WHEEL_TICK_US;
}

size_t dp_wheel_expire(dp_wheel *w, dp_time_us now_us, dp_wheel_fire *fire,
                       void *ctx)
{
    uint64_t now = (uint64_t)(now_us > 0 ? now_us : 0) / DP_WHEEL_TICK_US;
    uint64_t tick;
    unsigned level;
    dp_timer *ready;
    take_list(&w->overdue, &ready);
    size_t fired = fire_list(w, &ready, fire, ctx);
    while (next_slot(w, &tick, &level) && tick <= now) {
        w->tick = tick;
        open_slot(w, level, &ready);
        fired += fire_list(w, &ready, fire, ctx);
    }
    if (now > w->tick) {
        w->tick = now;
    }
    return fired;
}

static size_t validate_slot(const dp_wheel *w, unsigned level, unsigned slot)
{
    size_t n = 0;
    dp_timer *const *at = &w->slot[level][slot];
    DP_ASSERT(!(w->used[level] >> slot & 1) == !*at);
    for (const dp_timer *t = *at; t; t = t->next) {
        uint64_t tick = tick_of(t->due_us);
        DP_ASSERT(t->at == at);
        DP_ASSERT(tick > w->tick);
        DP_ASSERT(level_of(tick, w->tick) == level);
        DP_ASSERT(slot_of(tick, level) == slot);
        at = &t->next;
        n++;
    }
    return n;
}

void dp_wheel_validate(const dp_wheel *w)
{
    size_t n = 0;
    for (unsigned level = 0; level < DP_WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < DP_WHEEL_SLOTS; slot++) {
            n += validate_slot(w, level, slot);
        }
    }
    for (const dp_timer *t = w->overdue; t; t = t->next) {
        n++;
    }
    DP_ASSERT(n == w->timers_n);
}
