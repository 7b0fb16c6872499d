#include "hold/hold_set.h"

#include <unistd.h>

#include "base/dp_check.h"
#include "base/dp_mutant.h"
#include "wire/eas_ping.h"

/* A moment of DirectPushProvoke further away than this is not waited for: the
 * hold asks again after about that time, so that an overlong queue of holds
 * that have ended meanwhile does not build up. */
#define PROVOKE_PATIENCE_US (60 * DP_SECOND_US)

void dp_hold_set_init(dp_hold_set *set, dp_spread_rate *provoke,
                      uint32_t provoke_per_s, int nudge_fd,
                      dp_time_us now_us)
{
    *set = (dp_hold_set){.provoke = provoke, .provoke_per_s = provoke_per_s,
                          .nudge_fd = nudge_fd};
    pthread_mutex_init(&set->lock, NULL);
    pthread_cond_init(&set->settled, NULL);
    dp_wheel_init(&set->wheel, now_us);
    set->ready_last = &set->ready;
}

void dp_hold_set_destroy(dp_hold_set *set)
{
    dp_topics_free(&set->topics);
    dp_map_free(&set->by_device);
    pthread_cond_destroy(&set->settled);
    pthread_mutex_destroy(&set->lock);
}

void dp_hold_set_nudge_locked(dp_hold_set *set, dp_time_us due_us)
{
    if (due_us < set->sleeps_until_us) {
        uint64_t one = 1;
        set->sleeps_until_us = 0;
        if (write(set->nudge_fd, &one, sizeof(one)) < 0) {
            /* the counter is full: it is readable, which is all we want */
        }
    }
}

static dp_hash device_hash(const dp_hold_set *set, const dp_hold *hold)
{
    return dp_who_hash(set->bus ? set->bus->header->hash_key
                                : dp_hash_own_key(),
                       &hold->who);
}

/* Marks and announcements above the head, or of another instance, are none:
 * the bus may have been replaced since they were read from the store. */
static void fit_to_bus(const dp_hold_set *set, dp_hold *hold)
{
    if (!set->bus) {
        return;
    }
    uint64_t head = dp_bus_head(set->bus);
    bool is_other = hold->instance != set->bus->header->instance;
    hold->instance = set->bus->header->instance;
    if (is_other || !hold->linked_seq) {
        hold->linked_seq = head;
    }
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[k];
        if (is_other) {
            i->seq_now = 0; /* it may be claimed, and be stored still */
        }
        if ((is_other && !DP_MUTANT(other_instance))
            || (i->mark > head && !DP_MUTANT(mark_above_head))) {
            i->mark = 0;
        }
        if (is_other || i->likely_seq > head) {
            i->likely_seq = 0;
        }
        if (is_other || i->announced_seq > head) {
            i->announced_seq = 0;
            i->announced_n = 0;
        }
    }
}

void dp_hold_set_link_locked(dp_hold_set *set, dp_hold *hold,
                             const dp_topic_spec *names)
{
    if (set->bus && !hold->instance) {
        hold->instance = set->bus->header->instance;
    }
    fit_to_bus(set, hold);
    for (uint32_t k = 0; k < hold->items_n; k++) {
        if (names[k].class_id != DP_CLASS_UNKNOWN) {
            dp_topics_link(dp_topics_get(&set->topics, set->bus,
                                         hold->who.user, names[k].class_id,
                                         names[k].folder),
                           &hold->items[k]);
        }
    }
    dp_map_put(&set->by_device, &hold->by_device, device_hash(set, hold));
    hold->all_next = set->all;
    hold->all_at = &set->all;
    if (set->all) {
        set->all->all_at = &hold->all_next;
    }
    set->all = hold;
    hold->is_linked = hold->is_watching = true;
    set->holds_n++;
    set->watching_n++;
    dp_share_add(&set->share, &hold->who, 1);
    dp_count(set->count, DP_COUNT_held, 1);
}

void dp_hold_set_unwatch_locked(dp_hold_set *set, dp_hold *hold)
{
    if (!hold->is_watching) {
        return;
    }
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_topics_unlink(&set->topics, &hold->items[k]);
    }
    dp_map_del(&set->by_device, &hold->by_device);
    dp_wheel_unlink(&set->wheel, &hold->timer);
    hold->is_watching = false;
    set->watching_n--;
    dp_share_add(&set->share, &hold->who, -1);
    dp_count(set->count, DP_COUNT_held, -1);
}

void dp_hold_set_remove_locked(dp_hold_set *set, dp_hold *hold)
{
    if (!hold->is_linked) {
        return;
    }
    dp_hold_set_unwatch_locked(set, hold);
    dp_wheel_unlink(&set->wheel, &hold->timer);
    if (set->relook_at == hold) {
        set->relook_at = hold->all_next;
    }
    *hold->all_at = hold->all_next;
    if (hold->all_next) {
        hold->all_next->all_at = hold->all_at;
    }
    hold->is_linked = false;
    set->holds_n--;
}

static void push_ready(dp_hold_set *set, dp_hold *hold)
{
    hold->ready_next = NULL;
    set->owned_n++;
    *set->ready_last = hold;
    set->ready_last = &hold->ready_next;
    if (!DP_MUTANT(nudge_omitted)) {
        dp_hold_set_nudge_locked(set, 0);
    }
}

dp_hold *dp_hold_set_ready_locked(dp_hold_set *set)
{
    dp_hold *list = set->ready;
    set->ready = NULL;
    set->ready_last = &set->ready;
    return list;
}

/* A provoked Sync waits for its moment; there may be none soon. */
static dp_time_us reserve(dp_hold_set *set, dp_hold *hold, dp_time_us now_us)
{
    hold->provoke_at_us = dp_spread_reserve(set->provoke, set->provoke_per_s,
                                            now_us, PROVOKE_PATIENCE_US);
    return hold->provoke_at_us
               ? hold->provoke_at_us
               : now_us + dp_spread_jitter_us(PROVOKE_PATIENCE_US);
}

/* Does the bus that we have mapped tell all that is published? One that was
 * replaced does not any more, though the keeper may not have noticed yet. */
static bool is_vouching(const dp_hold_set *set)
{
    /* with tell_replaced(), before anything is published in the new one */
    return set->is_alive && set->bus
           && !atomic_load_explicit(&set->bus->header->replaced,
                                    memory_order_acquire);
}

/* Look up again what has no slot any more, or had none yet.
 * @return some of it has one now */
static bool find_again(dp_hold_set *set, dp_hold *hold)
{
    bool has_found = false;
    for (uint32_t k = 0; set->bus && k < hold->items_n; k++) {
        dp_topic *t = hold->items[k].topic;
        if (t && !dp_bus_look(set->bus, t->ref).is_current) {
            dp_topics_find(&set->topics, set->bus, t);
            t->is_found_anew = t->ref.slot != DP_BUS_NO_SLOT;
            has_found |= t->is_found_anew;
        }
    }
    if (has_found) { /* others wait for that topic, too */
        set->has_found = true;
        dp_hold_set_nudge_locked(set, 0);
    }
    return has_found;
}

/* A later one, or the same with less of a doubt. */
static bool is_better(const dp_hold_item *i, dp_mark mark)
{
    return mark.seq > i->mark || (mark.seq == i->mark && mark.doubt < i->doubt);
}

static void take_mark(dp_hold_item *i, dp_mark mark)
{
    i->mark = mark.seq;
    i->doubt = mark.doubt;
    i->announced_n = 0;
    i->settle_until_us = 0;
}

/* The time to settle is over: perhaps another child has seen the response
 * arrive. @return a mark has moved */
static bool settle_marks(dp_hold_set *set, dp_hold *hold)
{
    bool has_moved = false;
    for (uint32_t k = 0; set->stored_mark && k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[k];
        if (!i->settle_until_us || !i->was_announced_now) {
            continue;
        }
        i->settle_until_us = 0;
        dp_mark m = set->stored_mark(&hold->who, dp_hold_item_id(i));
        if (set->bus && m.instance == set->bus->header->instance
            && is_better(i, m) && m.seq <= dp_bus_head(set->bus)) {
            take_mark(i, m);
            has_moved = true;
        }
    }
    return has_moved;
}

static dp_verdict look(dp_hold_set *set, dp_hold *hold, bool is_final,
                       dp_time_us now_us)
{
    bool is_alive = is_vouching(set);
    dp_verdict v = dp_look(hold, set->bus, is_alive, hold->rules, is_final,
                           now_us);
    if (v.status == DP_PING_CHANGES && settle_marks(set, hold)) {
        v = dp_look(hold, set->bus, is_alive, hold->rules, is_final, now_us);
    }
    if (v.status == DP_PING_NOTHING && find_again(set, hold)) {
        v = dp_look(hold, set->bus, is_alive, hold->rules, is_final, now_us);
    }
    return v;
}

dp_verdict dp_hold_set_look_locked(dp_hold_set *set, dp_hold *hold,
                                   bool is_final, dp_time_us now_us)
{
    dp_verdict v = look(set, hold, is_final, now_us);
    if (v.wants_provoke) {
        dp_time_us at = reserve(set, hold, now_us);
        if (at <= now_us) {
            v = look(set, hold, is_final, now_us);
        }
        else if (at < v.wake_us) {
            v.wake_us = at;
        }
    }
    if (!v.status) {
        if (hold->provoke_at_us <= now_us) {
            hold->provoke_at_us = 0; /* it came, and nothing asked for it */
        }
        dp_wheel_link(&set->wheel, &hold->timer, v.wake_us);
        dp_hold_set_nudge_locked(set, v.wake_us);
    }
    if (set->is_draining && v.cause == DP_CAUSE_HEARTBEAT) {
        v.cause = DP_CAUSE_DRAIN;
    }
    hold->verdict = v;
    return v;
}

void dp_hold_set_consider_locked(dp_hold_set *set, dp_hold *hold,
                                 dp_time_us now_us)
{
    dp_hold_state state = dp_hold_state_of(hold);
    if (!hold->is_watching || set->is_over
        || (state != DP_HOLD_HELD
            && (state != DP_HOLD_PARKING || DP_MUTANT(parking_passed_over)))) {
        return; /* its owner looks again before it gives it back */
    }
    dp_verdict v = dp_hold_set_look_locked(set, hold, false, now_us);
    if (!v.status) {
        return;
    }
    /* In this order: dp_keeper_worker_held() may take it from PARKING to HELD
     * at any moment, without the lock; nobody leads it back without. */
    if (!dp_hold_transit(hold, DP_HOLD_PARKING, DP_HOLD_KICKED)
        && dp_hold_transit(hold, DP_HOLD_HELD, DP_HOLD_ANSWERING)) {
        push_ready(set, hold);
    }
}

/* @return false: the lists were changed meanwhile; begin again */
static bool consider_slot(dp_hold_set *set, uint32_t slot, dp_time_us now_us)
{
    uint64_t moves = set->topics.moves_n;
    /* Claimed holds stay linked until the keeper takes `ready`; but a last
     * look may find that a topic has another slot now. */
    for (dp_topic *t = set->topics.by_slot[slot]; t; t = t->next_of_slot) {
        for (dp_hold_item *i = t->items; i; i = i->next) {
            dp_hold_set_consider_locked(set, i->hold, now_us);
            if (set->topics.moves_n != moves) {
                return false;
            }
        }
    }
    return true;
}

void dp_hold_set_slot_locked(dp_hold_set *set, uint32_t slot,
                             dp_time_us now_us)
{
    if (slot >= set->topics.slot_cap) {
        return;
    }
    while (!consider_slot(set, slot, now_us)) {
        /* whoever was claimed is passed over now, so this ends */
    }
}

uint64_t dp_hold_set_newest_locked(dp_hold_set *set, dp_hash device)
{
    uint64_t newest = 0;
    for (dp_map_node *at = dp_map_get(&set->by_device, device); at;
         at = dp_map_same(at)) {
        const dp_hold *hold = DP_TIMER_OWNER(at, dp_hold, by_device);
        newest = hold->arrival > newest ? hold->arrival : newest;
    }
    return newest;
}

size_t dp_hold_set_end_locked(dp_hold_set *set, dp_hash device,
                              uint64_t arrival, dp_hold_cause cause,
                              dp_time_us now_us)
{
    size_t n = 0;
    for (dp_map_node *at = dp_map_get(&set->by_device, device); at;
         at = dp_map_same(at)) {
        dp_hold *hold = DP_TIMER_OWNER(at, dp_hold, by_device);
        if (hold->arrival < arrival && !hold->ending) {
            hold->ending = (uint8_t)cause;
            dp_hold_set_consider_locked(set, hold, now_us);
            n++;
        }
    }
    return n;
}

void dp_hold_set_end_if_locked(dp_hold_set *set,
                               bool (*is_him)(void *ctx, const dp_who *who),
                               void *ctx, dp_hold_cause cause,
                               dp_time_us now_us)
{
    for (dp_hold *h = set->all; h; h = h->all_next) {
        if (h->is_watching && !h->ending && is_him(ctx, &h->who)) {
            h->ending = (uint8_t)cause;
            dp_hold_set_consider_locked(set, h, now_us);
        }
    }
}

void dp_hold_set_relook_begin_locked(dp_hold_set *set)
{
    set->relook_at = set->all;
}

bool dp_hold_set_relook_locked(dp_hold_set *set, size_t n, dp_time_us now_us)
{
    while (set->relook_at && n--) {
        dp_hold *hold = set->relook_at;
        set->relook_at = hold->all_next;
        dp_hold_set_consider_locked(set, hold, now_us);
    }
    return set->relook_at != NULL;
}

typedef struct expire_ctx {
    dp_hold_set *set;
    dp_time_us now_us;
} expire_ctx;

static void fire(dp_timer *timer, void *ctx)
{
    expire_ctx *e = ctx;
    dp_hold *hold = DP_TIMER_OWNER(timer, dp_hold, timer);
    if (e->set->is_over) {
        return;
    }
    if (dp_hold_state_of(hold) == DP_HOLD_IDLE
        && dp_hold_transit(hold, DP_HOLD_IDLE, DP_HOLD_ENDING)) {
        push_ready(e->set, hold);
    }
    else if (dp_hold_state_of(hold) == DP_HOLD_CLOSING
             && dp_hold_transit(hold, DP_HOLD_CLOSING, DP_HOLD_ENDING)) {
        push_ready(e->set, hold);
    }
    else {
        dp_hold_set_consider_locked(e->set, hold, e->now_us);
    }
}

void dp_hold_set_expire_locked(dp_hold_set *set, dp_time_us now_us)
{
    expire_ctx e = {set, now_us};
    dp_wheel_expire(&set->wheel, now_us, fire, &e);
}

void dp_hold_set_rebind_locked(dp_hold_set *set, const dp_bus_map *bus)
{
    set->bus = bus;
    dp_topics_rebind(&set->topics, bus);
    for (dp_hold *h = set->all; h; h = h->all_next) {
        if (h->is_watching) {
            dp_map_del(&set->by_device, &h->by_device);
            dp_map_put(&set->by_device, &h->by_device, device_hash(set, h));
            fit_to_bus(set, h);
        }
    }
}

static void end_at(dp_hold_set *set, dp_hold *hold, dp_time_us at_us)
{
    hold->must_close = true;
    if (at_us < hold->ends_us) {
        hold->ends_us = at_us;
    }
    if (!hold->timer.at || at_us < hold->timer.due_us) {
        dp_wheel_link(&set->wheel, &hold->timer, at_us);
    }
}

void dp_hold_set_drain_locked(dp_hold_set *set, dp_time_us span_us,
                              dp_time_us now_us)
{
    set->is_draining = true;
    for (dp_hold *h = set->all; h; h = h->all_next) {
        dp_hold_state s = dp_hold_state_of(h);
        if (h->is_watching) {
            end_at(set, h, now_us + dp_spread_random_us(span_us));
        }
        else if (s == DP_HOLD_IDLE) {
            dp_wheel_link(&set->wheel, &h->timer, now_us);
        }
    }
    dp_hold_set_nudge_locked(set, now_us);
}

void dp_hold_set_mark_locked(dp_hold_set *set, dp_hash device, dp_span id,
                             dp_mark mark, dp_time_us now_us)
{
    if (!set->bus || mark.instance != set->bus->header->instance) {
        return;
    }
    for (dp_map_node *at = dp_map_get(&set->by_device, device); at;
         at = dp_map_same(at)) {
        dp_hold *hold = DP_TIMER_OWNER(at, dp_hold, by_device);
        for (uint32_t k = 0; k < hold->items_n; k++) {
            dp_hold_item *i = &hold->items[k];
            if (i->class_id != DP_CLASS_HIERARCHY
                && dp_span_is(dp_hold_item_id(i), id) && is_better(i, mark)) {
                take_mark(i, mark);
            }
        }
        dp_hold_set_consider_locked(set, hold, now_us);
    }
}

dp_hold_state dp_hold_set_worker_take(dp_hold_set *set, dp_hold *hold)
{
    static const dp_hold_state from[] = {DP_HOLD_HELD,    DP_HOLD_IDLE,
                                         DP_HOLD_CLOSING, DP_HOLD_SHUT,
                                         DP_HOLD_PARKING, DP_HOLD_KICKED};
    pthread_mutex_lock(&set->lock);
    for (;;) {
        for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++) {
            if (dp_hold_state_of(hold) == from[i]
                && dp_hold_transit(hold, from[i], DP_HOLD_TAKEN)) {
                pthread_mutex_unlock(&set->lock);
                return from[i];
            }
        }
        if (dp_hold_state_of(hold) == DP_HOLD_TAKEN) {
            pthread_mutex_unlock(&set->lock);
            return DP_HOLD_TAKEN;
        }
        set->waiters_n++;
        pthread_cond_wait(&set->settled, &set->lock);
        set->waiters_n--;
    }
}

void dp_hold_set_settle(dp_hold_set *set, dp_hold *hold, dp_hold_state to,
                        dp_time_us timer_us)
{
    pthread_mutex_lock(&set->lock);
    if (to == DP_HOLD_IDLE && set->is_draining) {
        timer_us = dp_clock_mono_us();
    }
    if (timer_us) {
        dp_wheel_link(&set->wheel, &hold->timer, timer_us);
        dp_hold_set_nudge_locked(set, timer_us);
    }
    hold->is_half_closed = to == DP_HOLD_CLOSING;
    dp_hold_state from = dp_hold_state_of(hold);
    bool is_done = dp_hold_transit(hold, from, to);
    DP_ASSERT(is_done);
    set->owned_n--;
    if (set->waiters_n) {
        pthread_cond_broadcast(&set->settled);
    }
    pthread_mutex_unlock(&set->lock);
}
