#include "hold/look.h"

#include "wire/eas_ping.h"

/* What one item asks for. */
typedef struct wish {
    enum { NOTHING, KNOWN, UNPROVEN, BLIND } kind;
    dp_time_us due_us;
    bool is_repeat;  /* announced before, no Sync since */
    bool is_backing; /* repeated and waiting for its doubled time */
} wish;

static dp_time_us later(dp_time_us a, dp_time_us b)
{
    return a > b ? a : b;
}

static dp_time_us sooner(dp_time_us a, dp_time_us b)
{
    return a < b ? a : b;
}

static dp_time_us blind_interval(const dp_hold_item *i, const dp_look_rules *r)
{
    return i->class_id == DP_CLASS_EMAIL ? r->blind_mail_us : r->blind_other_us;
}

/* The doubling time after the second and later repetitions: Pace, 2 Pace, …
 * up to the fallback interval. */
static dp_time_us repeat_wait(const dp_hold_item *i, const dp_look_rules *r)
{
    dp_time_us wait = r->pace_us, most = blind_interval(i, r);
    for (uint32_t n = 2; n < i->announced_n && wait < most; n++) {
        wait *= 2;
    }
    return sooner(wait, most);
}

static uint64_t newest_of(const dp_bus_view *v)
{
    return v->changed > v->watched_from ? v->changed : v->watched_from;
}

static bool is_vouched(const dp_bus_view *v, bool is_alive)
{
    return is_alive && v->is_current && v->watched_from != DP_BUS_UNWATCHED;
}

static wish blind_wish(const dp_hold_item *i, const dp_look_rules *r)
{
    if (i->class_id == DP_CLASS_HIERARCHY) {
        return (wish){NOTHING, 0, false, false};
    }
    /* Its clock runs from the last Sync, or from when it was last named; one
     * of which we know neither is named once. */
    dp_time_us since = later(i->synced_at_us,
                             i->announced_n ? i->announced_at_us : 0);
    dp_time_us due = since ? since + blind_interval(i, r) : 0;
    return (wish){BLIND, due, i->announced_n > 0, false};
}

static wish dirty_wish(const dp_hold_item *i, const dp_bus_view *v,
                       const dp_look_rules *r, dp_time_us not_before_us)
{
    uint64_t newest = newest_of(v);
    wish w = {.kind = i->mark && v->changed > i->mark ? KNOWN : UNPROVEN};
    if (newest == i->announced_seq && i->announced_n) {
        /* The same again and no Sync since: at once the first time, since
         * the answer may have been lost, then after doubling times. */
        w.is_repeat = true;
        if (i->announced_n > 1) {
            w.due_us = i->announced_at_us + repeat_wait(i, r);
            w.is_backing = true;
        }
        return w;
    }
    if (newest == i->announced_seq && i->lag_until_us) {
        w.due_us = i->lag_until_us;
        return w;
    }
    if (w.kind == KNOWN && v->changed_new <= i->mark) {
        w.due_us = v->changed_at_us + r->quiet_us;
    }
    w.due_us = later(later(w.due_us, not_before_us), i->settle_until_us);
    return w;
}

static wish wish_of(dp_hold_item *i, const dp_bus_map *bus,
                    bool is_alive, const dp_look_rules *r,
                    dp_time_us not_before_us)
{
    i->seq_now = 0;
    if (!i->topic || !bus || !bus->header) {
        return blind_wish(i, r);
    }
    dp_bus_view v = dp_bus_look(bus, i->topic->ref);
    if (!is_vouched(&v, is_alive)) {
        return blind_wish(i, r);
    }
    uint64_t newest = newest_of(&v);
    i->seq_now = newest;
    if (i->mark && newest <= i->mark) {
        return (wish){NOTHING, 0, false, false};
    }
    if (i->class_id == DP_CLASS_HIERARCHY) {
        if (newest == i->announced_seq) {
            return (wish){NOTHING, 0, false, false};
        }
        return (wish){i->mark && v.changed > i->mark ? KNOWN : UNPROVEN,
                      not_before_us, false, false};
    }
    if (!i->mark && i->announced_n && newest <= i->announced_seq) {
        return blind_wish(i, r); /* named once; until a Sync it is blind */
    }
    return dirty_wish(i, &v, r, not_before_us);
}

/* Tallies of one look. */
typedef struct tally {
    bool known_due;    /* a change that we know of is due */
    bool unproven_due; /* a provoked Sync is due, if the rate allows */
    bool fresh_due;    /* … of which one was not announced before */
    bool dirty;        /* something is not clean, due or not */
    bool hierarchy_due;
    bool hierarchy_known;
    dp_time_us next_us;
} tally;

static void count_item(tally *t, dp_hold_item *i, const wish *w,
                       dp_time_us now_us)
{
    bool is_due = w->due_us <= now_us;
    if (!is_due) {
        t->next_us = sooner(t->next_us, w->due_us);
    }
    if (i->class_id == DP_CLASS_HIERARCHY) {
        t->hierarchy_due = is_due;
        t->hierarchy_known = w->kind == KNOWN;
        return;
    }
    t->dirty |= w->kind != BLIND || is_due;
    i->was_announced_now = is_due || (w->kind != BLIND && !w->is_backing);
    if (is_due) {
        t->known_due |= w->kind == KNOWN;
        t->unproven_due |= w->kind != KNOWN;
        t->fresh_due |= !w->is_repeat;
    }
}

static unsigned count_named(dp_hold *hold, bool all_dirty, const dp_bus_map *bus, bool is_alive,
                            const dp_look_rules *r)
{
    unsigned n = 0;
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[k];
        if (all_dirty && i->class_id != DP_CLASS_HIERARCHY) {
            wish w = wish_of(i, bus, is_alive, r, 0);
            i->was_announced_now |= w.kind == KNOWN || w.kind == UNPROVEN;
        }
        n += i->was_announced_now;
    }
    return n;
}

static void name_one_in_rotation(dp_hold *hold)
{
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[(hold->rotate + k) % hold->items_n];
        if (i->class_id != DP_CLASS_HIERARCHY) {
            i->was_announced_now = true;
            return;
        }
    }
}

static void name_nothing(dp_hold *hold)
{
    for (uint32_t k = 0; k < hold->items_n; k++) {
        hold->items[k].was_announced_now = false;
    }
}

/* The hold goes on: when is the next look? */
static dp_verdict wait_on(dp_hold *hold, const tally *t, bool wants_provoke,
                          dp_time_us now_us)
{
    name_nothing(hold);
    dp_time_us wake = sooner(hold->ends_us, t->next_us);
    if (hold->proof_until_us > now_us) {
        wake = sooner(wake, hold->proof_until_us);
    }
    if (hold->provoke_at_us > now_us) {
        wake = sooner(wake, hold->provoke_at_us);
    }
    return (dp_verdict){.wake_us = wake, .wants_provoke = wants_provoke};
}

dp_verdict dp_look(dp_hold *hold, const dp_bus_map *bus, bool is_alive,
                   const dp_look_rules *rules, bool is_final,
                   dp_time_us now_us)
{
    tally t = {.next_us = DP_NEVER_US};
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[k];
        i->was_announced_now = false;
        wish w = wish_of(i, bus, is_alive, rules, hold->not_before_us);
        if (w.kind != NOTHING) {
            count_item(&t, i, &w, now_us);
        }
    }
    dp_hold_cause cause = hold->ending;
    bool is_renewal = hold->proof_until_us <= now_us;
    if (!cause && hold->ends_us <= now_us) {
        cause = DP_CAUSE_HEARTBEAT;
    }
    else if (!cause && is_renewal) {
        cause = DP_CAUSE_PROOF;
    }
    is_final |= hold->ending || hold->ends_us <= now_us;
    bool may_provoke = is_final
                       || (hold->provoke_at_us
                           && hold->provoke_at_us <= now_us);
    bool asks_provoked = t.unproven_due || is_renewal
                         || (t.hierarchy_due && !t.hierarchy_known);
    bool changes = t.known_due || (t.unproven_due && may_provoke)
                   || (is_final && t.dirty);
    bool hierarchy = t.hierarchy_due && (t.hierarchy_known || may_provoke);
    if (hierarchy && !(changes && t.fresh_due)) {
        name_nothing(hold);
        return (dp_verdict){.status = DP_PING_HIERARCHY,
                            .is_provoked = !t.hierarchy_known,
                            .cause = cause};
    }
    if (changes) {
        return (dp_verdict){
            .status = DP_PING_CHANGES,
            .is_provoked = !t.known_due,
            .cause = cause,
            .named_n = count_named(hold, is_final, bus, is_alive, rules)};
    }
    if (is_renewal && may_provoke) {
        name_one_in_rotation(hold);
        return (dp_verdict){.status = DP_PING_CHANGES, .is_provoked = true,
                            .cause = cause, .named_n = 1};
    }
    if (is_final) {
        return (dp_verdict){.status = DP_PING_NOTHING, .cause = cause};
    }
    return wait_on(hold, &t, asks_provoked && !hold->provoke_at_us, now_us);
}
