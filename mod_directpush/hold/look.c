#include "hold/look.h"

#include "base/dp_mutant.h"
#include "wire/eas_ping.h"

#define REPEAT_MIN_US DP_SECOND_US

/* Phones sync folders one after the other, so that their clocks differ by
 * some seconds or a minute: without this each would wake the phone. A tenth of
 * the interval, 30 s of mail's and 3 min of others', costs a tenth more Syncs
 * at most. */
#define CLOCK_SLACK 10

/* What one item asks for. */
typedef struct wish {
    enum { NOTHING, KNOWN, UNPROVEN, BLIND } kind;
    dp_time_us due_us;
    dp_time_us soon_us; /* BLIND: from when it goes along with others */
    bool is_repeat;     /* announced before, no Sync since */
    bool is_backing;    /* repeated and waiting for its doubled time */
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

/* What has no mark is named so often, the answers may have been lost; then it is
 * blind until a Sync of it is seen. At once, and after 1, 2, 4 and 8 times
 * DirectPushPace: a tunnel. */
#define UNMARKED_TIMES 5

/* The doubling time after the second and later repetitions: Pace, 2 Pace, …
 * up to the fallback interval. Never nothing, whatever Pace is: it is what
 * ends a loop with a device that cannot sync. */
static dp_time_us repeat_wait(const dp_hold_item *i, const dp_look_rules *r)
{
    dp_time_us wait = later(r->pace_us, REPEAT_MIN_US);
    dp_time_us most = blind_interval(i, r);
    for (uint32_t n = 2; n < i->announced_n && wait < most; n++) {
        wait *= 2;
    }
    return sooner(wait, most);
}

static uint64_t newest_of(const dp_bus_view *v)
{
    bool is_changed = v->changed > v->watched_from
                      || DP_MUTANT(watched_from_ignored);
    return is_changed ? v->changed : v->watched_from;
}

static bool is_vouched(const dp_bus_view *v, bool is_alive)
{
    return is_alive && v->is_current && v->watched_from != DP_BUS_UNWATCHED;
}

/* A clock runs from the last Sync, or from when it was last named; one of
 * which we know neither is named once. */
static wish clock_wish(const dp_hold_item *i, dp_time_us interval_us)
{
    dp_time_us since = later(i->synced_at_us,
                             i->announced_n ? i->announced_at_us : 0);
    dp_time_us due = since ? since + interval_us : 0;
    return (wish){.kind = BLIND,
                  .due_us = due,
                  .soon_us = due - interval_us / CLOCK_SLACK,
                  .is_repeat = i->announced_n > 0};
}

static wish blind_wish(const dp_hold_item *i, const dp_look_rules *r)
{
    if (i->class_id == DP_CLASS_HIERARCHY) {
        return (wish){.kind = NOTHING};
    }
    return clock_wish(i, blind_interval(i, r));
}

/* The same was announced, and no Sync since: at once the first time, since the
 * answer may have been lost, then after doubling times. */
static void back_off(wish *w, const dp_hold_item *i, const dp_look_rules *r)
{
    w->is_repeat = true;
    if (i->announced_n > 1) {
        w->due_us = i->announced_at_us + repeat_wait(i, r);
        w->is_backing = true;
    }
}

/* A small doubt waits for so many times DirectPushQuiet: five minutes, as shipped. */
#define SMALL_DOUBT_QUIETS 10

/* Nothing since its mark, of which there is a doubt: of flags and deletions, and
 * not much of one. It goes along with whatever is named, or waits as they do
 * for company, or, if it is a small one, for longer. Named in vain, it waits as
 * long once more: a backend may leave out what has not changed, and then the
 * doubt stays. */
static wish doubtful_wish(const dp_hold_item *i, const dp_bus_view *v,
                          const dp_look_rules *r, dp_time_us not_before_us)
{
    wish w = {.kind = UNPROVEN};
    dp_time_us wait_us = later(r->quiet_us, r->lag_us);
    wait_us *= i->doubt == DP_DOUBT_QUIET ? 1 : SMALL_DOUBT_QUIETS;
    w.due_us = v->changed_at_us + wait_us;
    w.is_repeat = i->announced_n && newest_of(v) == i->announced_seq;
    if (w.is_repeat) {
        w.due_us = later(w.due_us, i->announced_at_us + wait_us);
    }
    if (w.is_repeat && i->announced_n > 1) {
        w.due_us = later(w.due_us, i->announced_at_us + repeat_wait(i, r));
    }
    w.due_us = later(w.due_us, not_before_us);
    return w;
}

/* A doubt of what is blind besides. */
static wish whichever_is_sooner(wish w, const wish *clock)
{
    w.due_us = sooner(w.due_us, clock->due_us);
    return w;
}

/* Nothing since its mark. Where the topic is but assumed, that is so if the
 * folder is the user's own, and most are; it may be one that somebody shares,
 * and of that nobody knows. So it is blind besides, mail too at the interval
 * of other classes: what is the user's own is told at once anyway. */
static wish clean_wish(dp_hold_item *i, const dp_bus_view *v,
                       const dp_look_rules *r, dp_time_us not_before_us)
{
    bool has_doubt = i->doubt && !DP_MUTANT(doubt_is_clean);
    wish w = has_doubt ? doubtful_wish(i, v, r, not_before_us)
                       : (wish){.kind = NOTHING};
    if (!i->is_assumed) {
        return w;
    }
    wish clock = clock_wish(i, r->blind_other_us);
    if (has_doubt) {
        return whichever_is_sooner(w, &clock);
    }
    i->seq_now = 0; /* to be named for no change */
    return clock;
}

/* What is newer than this is a change that the device does not know: its mark,
 * or without one all that it was told of, or that was there when it came. */
static uint64_t known_to(const dp_hold_item *i)
{
    uint64_t told = i->announced_n ? i->announced_seq : 0;
    if (i->mark) {
        return i->mark;
    }
    return told > i->hold->linked_seq ? told : i->hold->linked_seq;
}

/* A Sync sooner than this may not be shown all that was there when vouching
 * began, and would be asked for again (design.md 3.3). */
static dp_time_us shown_at(const wish *w, const dp_bus_view *v,
                           const dp_look_rules *r)
{
    bool is_vouching = w->kind == UNPROVEN && v->watched_from > v->changed;
    return is_vouching ? v->changed_at_us + r->lag_us : 0;
}

static void put_off(wish *w, const dp_hold_item *i, const dp_bus_view *v,
                    const dp_look_rules *r, dp_time_us not_before_us)
{
    w->due_us = later(w->due_us, shown_at(w, v, r));
    w->due_us = later(later(w->due_us, not_before_us), i->settle_until_us);
}

static wish dirty_wish(const dp_hold_item *i, const dp_bus_view *v,
                       const dp_look_rules *r, dp_time_us not_before_us)
{
    uint64_t newest = newest_of(v);
    wish w = {.kind = v->changed > known_to(i) ? KNOWN : UNPROVEN};
    if (newest == i->announced_seq && i->announced_n) {
        back_off(&w, i, r);
        return w;
    }
    if (newest == i->announced_seq && i->lag_until_us) {
        w.due_us = i->lag_until_us; /* sooner would prove nothing again */
        w.is_backing = true;
        return w;
    }
    if (w.kind == KNOWN && v->changed_new <= known_to(i)) {
        w.due_us = v->changed_at_us + r->quiet_us;
    }
    put_off(&w, i, v, r, not_before_us);
    return w;
}

/* Status 7: again, as Status 2 is, while no FolderSync has followed. */
static wish hierarchy_wish(const dp_hold_item *i, const dp_bus_view *v,
                           const dp_look_rules *r, dp_time_us not_before_us)
{
    wish w = {.kind = v->changed > known_to(i) ? KNOWN : UNPROVEN};
    if (newest_of(v) == i->announced_seq) {
        w.due_us = i->announced_n > 1
                       ? i->announced_at_us + repeat_wait(i, r)
                       : i->lag_until_us;
        w.is_repeat = w.is_backing = i->announced_n > 1;
    }
    put_off(&w, i, v, r, not_before_us);
    return w;
}

/* Nobody vouches for it, and nothing was published since its mark. A doubt of
 * what was published before stays a doubt. */
static wish blind_or_doubtful_wish(dp_hold_item *i, dp_bus_view *v,
                                   const dp_look_rules *r,
                                   dp_time_us not_before_us)
{
    wish clock = blind_wish(i, r);
    if (!v->is_current || !i->mark || !i->doubt || DP_MUTANT(dead_is_blind)) {
        return clock;
    }
    v->watched_from = 0;
    i->seq_now = v->changed;
    wish w = doubtful_wish(i, v, r, not_before_us);
    return whichever_is_sooner(w, &clock);
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
        /* What was published stays published; of the rest nobody knows. */
        if (!v.is_current || v.changed <= known_to(i)
            || DP_MUTANT(dead_is_blind)) {
            return blind_or_doubtful_wish(i, &v, r, not_before_us);
        }
        v.watched_from = 0;
    }
    uint64_t newest = newest_of(&v);
    i->seq_now = newest;
    if (i->mark && newest <= i->mark) {
        return clean_wish(i, &v, r, not_before_us);
    }
    if (newest <= i->likely_seq) { /* not doubted before the last look */
        not_before_us = later(not_before_us, i->hold->ends_us);
    }
    if (i->class_id == DP_CLASS_HIERARCHY) {
        return hierarchy_wish(i, &v, r, not_before_us);
    }
    if (!i->mark && i->announced_n > UNMARKED_TIMES
        && newest <= i->announced_seq) {
        return blind_wish(i, r);
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
    unsigned named_n;  /* collections with was_announced_now set */
    bool known_named;  /* … of which one has a change that we know of */
    dp_time_us next_us;
} tally;

/* Who is told of one thing is told of all that is dirty, due or not, and of
 * the blind that will soon be due; but what is repeated in vain waits for its
 * own time. The last look waits for nothing.
 */
static void count_item(tally *t, dp_hold_item *i, const wish *w, bool is_final,
                       dp_time_us now_us)
{
    bool is_due = w->due_us <= now_us;
    bool is_dirty = w->kind != BLIND;
    if (!is_due) {
        t->next_us = sooner(t->next_us, w->due_us);
    }
    if (i->class_id == DP_CLASS_HIERARCHY) {
        t->hierarchy_due = is_due || is_final;
        t->hierarchy_known = w->kind == KNOWN;
        return;
    }
    t->dirty |= is_dirty || is_due;
    i->was_announced_now =
        is_due || (is_dirty && (is_final || !w->is_backing))
        || (w->kind == BLIND && w->soon_us <= now_us);
    t->named_n += i->was_announced_now;
    t->known_named |= i->was_announced_now && w->kind == KNOWN;
    if (is_due) {
        t->known_due |= w->kind == KNOWN;
        t->unproven_due |= w->kind != KNOWN;
        t->fresh_due |= !w->is_repeat;
    }
}

static unsigned name_one_in_rotation(dp_hold *hold)
{
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[(hold->rotate + k) % hold->items_n];
        if (i->class_id != DP_CLASS_HIERARCHY) {
            i->was_announced_now = true;
            return 1;
        }
    }
    return 0;
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

static dp_hold_cause cause_of(const dp_hold *hold, dp_time_us now_us)
{
    if (hold->ending) {
        return hold->ending;
    }
    if (hold->ends_us <= now_us) {
        return DP_CAUSE_HEARTBEAT;
    }
    return hold->proof_until_us <= now_us ? DP_CAUSE_PROOF : DP_CAUSE_CHANGE;
}

static dp_verdict decide(dp_hold *hold, const tally *t, bool is_final,
                         dp_time_us now_us)
{
    dp_hold_cause cause = cause_of(hold, now_us);
    bool is_renewal = hold->proof_until_us <= now_us;
    bool may_provoke = is_final
                       || (hold->provoke_at_us
                           && hold->provoke_at_us <= now_us);
    bool asks_provoked = t->unproven_due || is_renewal
                         || (t->hierarchy_due && !t->hierarchy_known);
    bool changes = t->known_due || (t->unproven_due && may_provoke)
                   || (is_final && t->dirty);
    bool hierarchy = t->hierarchy_due && (t->hierarchy_known || may_provoke);
    if (hierarchy && !(changes && t->fresh_due)) {
        name_nothing(hold);
        return (dp_verdict){.status = DP_PING_HIERARCHY,
                            .is_provoked = !t->hierarchy_known,
                            .cause = cause};
    }
    if (changes) {
        return (dp_verdict){.status = DP_PING_CHANGES,
                            .is_provoked = !t->known_named,
                            .cause = cause,
                            .named_n = t->named_n};
    }
    if (is_renewal && may_provoke) { /* what waits will do, too */
        return (dp_verdict){.status = DP_PING_CHANGES,
                            .is_provoked = !t->known_named,
                            .cause = cause,
                            .named_n = t->named_n ? t->named_n
                                       : name_one_in_rotation(hold)};
    }
    if (is_final) {
        name_nothing(hold);
        return (dp_verdict){.status = DP_PING_NOTHING, .cause = cause};
    }
    return wait_on(hold, t, asks_provoked && !hold->provoke_at_us, now_us);
}

dp_verdict dp_look(dp_hold *hold, const dp_bus_map *bus, bool is_alive,
                   const dp_look_rules *rules, bool is_final,
                   dp_time_us now_us)
{
    tally t = {.next_us = DP_NEVER_US};
    is_final |= hold->ending || hold->ends_us <= now_us;
    for (uint32_t k = 0; k < hold->items_n; k++) {
        dp_hold_item *i = &hold->items[k];
        i->was_announced_now = false;
        wish w = wish_of(i, bus, is_alive, rules, hold->not_before_us);
        if (w.kind != NOTHING && !(is_final && DP_MUTANT(no_last_look))) {
            count_item(&t, i, &w, is_final, now_us);
        }
    }
    return decide(hold, &t, is_final, now_us);
}
