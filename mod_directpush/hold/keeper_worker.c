/* What httpd's workers call: parking, taking back, wanting, publishing. */
#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "base/dp_mutant.h"
#include "hold/keeper_private.h"

dp_hold_set *dp_keeper_set(dp_keeper *k)
{
    return &k->set;
}

bool dp_keeper_is_alive(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    bool alive = k->set.is_alive;
    pthread_mutex_unlock(&k->set.lock);
    return alive;
}

/* Does the watcher know, and recently enough, that somebody follows it? */
static bool is_fresh(dp_keeper *k, dp_bus_ref ref, dp_time_us now_us)
{
    if (!k->bus || ref.slot == DP_BUS_NO_SLOT) {
        return false;
    }
    dp_bus_view v = dp_bus_look(&k->bus->map, ref);
    return v.is_current && v.watched_from != DP_BUS_UNWATCHED && v.renewed_s
           && now_us / DP_SECOND_US - v.renewed_s < DP_LINK_WATCH_RENEW_S;
}

void dp_keeper_ask_locked(dp_keeper *k, dp_hash key, dp_bus_ref ref,
                          dp_span user, dp_class class_id, dp_span folder,
                          dp_time_us now_us)
{
    if (is_fresh(k, ref, now_us) || k->wants_n >= DP_KEEPER_WANTS_MAX) {
        return;
    }
    dp_keeper_want_line *w = calloc(1, sizeof(*w) + user.n + folder.n);
    DP_ASSERT(w);
    w->key = key;
    w->class_id = class_id;
    w->user_n = user.n;
    w->folder_n = folder.n;
    memcpy(w->name, user.p, user.n);
    memcpy(w->name + user.n, folder.p, folder.n);
    w->next = k->wants;
    k->wants = w;
    k->wants_n++;
    dp_hold_set_nudge_locked(&k->set, 0);
}

void dp_keeper_lose_pings(dp_keeper *k)
{
    if (k->recent) {
        dp_recent_lose(k->recent);
    }
}

void dp_keeper_tell_ping_locked(dp_keeper *k, dp_hash device, uint64_t arrival)
{
    if (k->pings_n >= DP_KEEPER_PINGS_MAX) {
        dp_keeper_lose_pings(k);
        return; /* the watcher is away; older Pings end by themselves */
    }
    k->pings_n++;
    dp_keeper_ping_line *p = calloc(1, sizeof(*p));
    DP_ASSERT(p);
    p->device = device;
    p->arrival = arrival;
    p->next = k->pings;
    k->pings = p;
    dp_hold_set_nudge_locked(&k->set, 0);
}

static void ask_for_topics(dp_keeper *k, dp_hold *hold, dp_time_us now_us)
{
    /* A topic that was refused, or not answered yet, is asked for again when
     * a Ping of it comes after this time. */
    const dp_time_us again_us = 60 * DP_SECOND_US;
    for (uint32_t i = 0; i < hold->items_n; i++) {
        dp_topic *t = hold->items[i].topic;
        if (!t || (t->asked_at_us && now_us - t->asked_at_us < again_us)) {
            continue;
        }
        size_t before = k->wants_n;
        dp_keeper_ask_locked(k, t->node.key, t->ref, dp_topic_user(t),
                             t->class_id, dp_topic_folder(t), now_us);
        if (k->wants_n > before) {
            t->asked_at_us = now_us;
        }
    }
}

/* Linked already: a child that takes the device over from now on tells us. */
static bool must_tell(dp_keeper *k, const dp_hold *hold)
{
    return !k->recent || !dp_recent_claim(k->recent, &hold->who, k->child);
}

/* As if linked only now: for DP_MUTANT(compare_before_link). */
static void link_late(dp_hold_set *set, dp_hold *hold)
{
    hold->is_watching = false;
    pthread_mutex_unlock(&set->lock);
    DP_MUTANT_WINDOW(compare_before_link);
    pthread_mutex_lock(&set->lock);
    hold->is_watching = true;
}

dp_verdict dp_keeper_worker_park(dp_keeper *k, dp_hold *hold,
                                 const dp_topic_spec *names)
{
    dp_hold_set *set = &k->set;
    dp_time_us now = dp_clock_mono_us();
    pthread_mutex_lock(&set->lock);
    dp_hold_set_link_locked(set, hold, names);
    dp_hash device = hold->by_device.key;
    dp_count(k->count, DP_COUNT_superseded,
             (int64_t)dp_hold_set_end_locked(set, device, hold->arrival,
                                             DP_CAUSE_NEWER, now));
    bool tells = must_tell(k, hold);
    if (dp_hold_set_newest_locked(set, device) > hold->arrival
        || (k->recent
            && dp_recent_give_way(k->recent, &hold->who, hold->arrival))) {
        /* its worker was overtaken by that of a newer one, here or in another
         * child, whose word may have come before there was a hold to end */
        hold->ending = DP_CAUSE_NEWER;
    }
    if (set->is_draining) {
        hold->ending = DP_CAUSE_DRAIN;
        hold->must_close = true;
    }
    ask_for_topics(k, hold, now);
    uint64_t arrival = hold->arrival;
    dp_verdict v = dp_hold_set_look_locked(set, hold, false, now);
    if (v.status) {
        dp_hold_set_remove_locked(set, hold);
    }
    else if (DP_MUTANT(compare_before_link)) {
        link_late(set, hold);
    }
    if (tells) {
        dp_keeper_tell_ping_locked(k, device, arrival);
    }
    pthread_mutex_unlock(&set->lock);
    return v;
}

dp_verdict dp_keeper_worker_repark(dp_keeper *k, dp_hold *hold)
{
    dp_hold_set *set = &k->set;
    pthread_mutex_lock(&set->lock);
    bool is_ours = dp_hold_transit(hold, DP_HOLD_TAKEN, DP_HOLD_PARKING);
    DP_ASSERT(is_ours);
    dp_verdict v = {.status = 0};
    if (!DP_MUTANT(repark_unseen)) {
        v = dp_hold_set_look_locked(set, hold, false, dp_clock_mono_us());
    }
    if (v.status) {
        dp_hold_set_remove_locked(set, hold);
    }
    pthread_mutex_unlock(&set->lock);
    return v;
}

void dp_keeper_worker_held(dp_keeper *k, dp_hold *hold)
{
    DP_MUTANT_WINDOW(kicked_ignored);
    DP_MUTANT_WINDOW(parking_passed_over);
    if (dp_hold_transit(hold, DP_HOLD_PARKING, DP_HOLD_HELD)) {
        return;
    }
    /* Somebody wanted it looked at while we parked it. */
    pthread_mutex_lock(&k->set.lock);
    if (dp_hold_transit(hold, DP_HOLD_KICKED, DP_HOLD_HELD)
        && !DP_MUTANT(kicked_ignored)) {
        dp_hold_set_consider_locked(&k->set, hold, dp_clock_mono_us());
    }
    pthread_mutex_unlock(&k->set.lock);
}

dp_verdict dp_keeper_worker_end(dp_keeper *k, dp_hold *hold,
                                dp_hold_cause cause)
{
    dp_hold_set *set = &k->set;
    pthread_mutex_lock(&set->lock);
    if (!hold->ending) {
        hold->ending = (uint8_t)cause;
    }
    dp_verdict v = dp_hold_set_look_locked(set, hold, true,
                                           dp_clock_mono_us());
    dp_hold_set_remove_locked(set, hold);
    pthread_mutex_unlock(&set->lock);
    return v;
}

void dp_keeper_worker_free(dp_keeper *k, dp_hold **hold)
{
    if (*hold) {
        pthread_mutex_lock(&k->set.lock);
        dp_hold_set_remove_locked(&k->set, *hold);
        pthread_mutex_unlock(&k->set.lock);
        dp_hold_free(hold);
    }
}

void dp_keeper_want(dp_keeper *k, dp_span user, dp_class class_id,
                    dp_span folder)
{
    pthread_mutex_lock(&k->set.lock);
    if (k->bus) {
        dp_hash key = dp_topic_key(k->bus->map.header->hash_key, user,
                                   class_id, folder);
        dp_keeper_ask_locked(k, key, dp_bus_find(&k->bus->map, key), user,
                             class_id, folder, dp_clock_mono_us());
    }
    pthread_mutex_unlock(&k->set.lock);
}

static dp_hash hash_of(dp_keeper *k, const dp_who *who)
{
    return dp_who_hash(k->bus ? k->bus->map.header->hash_key
                              : dp_hash_own_key(),
                       who);
}

bool dp_keeper_worker_has_share(dp_keeper *k, const dp_who *who, uint32_t max)
{
    if (dp_share_of(&k->set.share, who) < max) {
        return true;
    }
    pthread_mutex_lock(&k->set.lock);
    bool has_one = dp_map_get(&k->set.by_device, hash_of(k, who)) != NULL;
    pthread_mutex_unlock(&k->set.lock);
    return has_one;
}

void dp_keeper_end(dp_keeper *k, const dp_who *who, dp_hold_cause cause)
{
    pthread_mutex_lock(&k->set.lock);
    dp_hash device = hash_of(k, who);
    dp_time_us now = dp_clock_mono_us();
    dp_hold_set_end_locked(&k->set, device, UINT64_MAX, cause, now);
    /* in other children, as a newer Ping does it */
    dp_keeper_tell_ping_locked(k, device, (uint64_t)now);
    pthread_mutex_unlock(&k->set.lock);
}

void dp_keeper_mark(dp_keeper *k, const dp_who *who, dp_span id, dp_mark mark)
{
    pthread_mutex_lock(&k->set.lock);
    dp_hold_set_mark_locked(&k->set, hash_of(k, who), id, mark,
                            dp_clock_mono_us());
    pthread_mutex_unlock(&k->set.lock);
}

void dp_keeper_drain(dp_keeper *k, dp_time_us span_us)
{
    pthread_mutex_lock(&k->set.lock);
    dp_hold_set_drain_locked(&k->set, span_us, dp_clock_mono_us());
    pthread_mutex_unlock(&k->set.lock);
}

bool dp_keeper_publish(dp_keeper *k, dp_span user, dp_class class_id,
                       dp_span folder, bool is_new, uint64_t *out_seq,
                       uint64_t *out_prev)
{
    return dp_link_publish(k->publisher, user, dp_class_name(class_id), folder,
                           is_new, out_seq, out_prev);
}
