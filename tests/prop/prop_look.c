/* dp_look() against a naive reading of the promise (design.md section 3).
 *
 * Random histories: folders change, are vouched for and given up, the watcher
 * dies and returns, the device Syncs, answers are announced, time passes. The
 * oracle keeps its own books of what was published, from the outside; it knows
 * neither wishes nor tallies, only:
 *
 *  - no last look says "nothing changed" over what is known to be unseen
 *  - a hold never sleeps past the time at which something is due
 *  - what is named is dirty, blind and due, or serves to renew a proof
 *  - a device that Syncs what it is told to is left in peace
 */
#include "look_fixture.h"

enum { FOLDERS = 5, HIER = FOLDERS, ITEMS, STEPS = 60 };

/* A folder, as the one who publishes knows it. */
typedef struct book {
    dp_bus_ref ref;
    bool is_vouched;
    uint64_t watched_from;
    uint64_t changed, changed_new;
    dp_time_us changed_at_us;
} book;

typedef struct run {
    world *w;
    book book[ITEMS];
    unsigned seed;
} run;

static unsigned dice(run *r, unsigned sides)
{
    r->seed = r->seed * 1103515245u + 12345u;
    return (r->seed >> 16) % sides;
}

static const char *const folder_name[ITEMS] = {"INBOX", "Work", "Lists",
                                               "Sent",  "cal",  "*"};

static dp_class class_of(int i)
{
    return i == HIER        ? DP_CLASS_HIERARCHY
           : i == HIER - 1 ? DP_CLASS_CALENDAR
                           : DP_CLASS_EMAIL;
}

static bool is_seen_by_us(const run *r, int i)
{
    return r->w->is_alive && r->book[i].is_vouched;
}

/* The newest seq of the folder; when nobody vouches, that of what was
 * published before. */
static uint64_t newest(const run *r, int i)
{
    const book *b = &r->book[i];
    return is_seen_by_us(r, i) && b->watched_from > b->changed
               ? b->watched_from
               : b->changed;
}

/* A change that the device is known to miss, whoever vouches. */
static bool is_certain(const run *r, int i)
{
    uint64_t mark = r->w->hold->items[i].mark;
    return mark && r->book[i].changed > mark;
}

/* The device is known to miss something, or not known to have all. */
static bool is_dirty(const run *r, int i)
{
    return is_certain(r, i)
           || (is_seen_by_us(r, i)
               && newest(r, i) > r->w->hold->items[i].mark);
}

/* Without a mark: published since the Ping, or since it was last named. */
static bool is_new_since(const run *r, int i)
{
    const dp_hold_item *it = &r->w->hold->items[i];
    return !it->mark && r->book[i].changed > r->w->hold->linked_seq
           && (!it->announced_n || r->book[i].changed > it->announced_seq);
}

/* Rule 6.6: without a mark a folder is named a few times, as hold/look.c has
 * it. */
#define UNMARKED_TIMES 5

static bool is_let_be(const run *r, int i)
{
    const dp_hold_item *it = &r->w->hold->items[i];
    return i != HIER && !it->mark && it->announced_n > UNMARKED_TIMES
           && newest(r, i) <= it->announced_seq;
}

static bool is_unseen(const run *r, int i)
{
    return is_dirty(r, i) && !is_let_be(r, i);
}

static dp_time_us max3(dp_time_us a, dp_time_us b, dp_time_us c)
{
    dp_time_us m = a > b ? a : b;
    return m > c ? m : c;
}

/* When what was named before, and not synchronised since, is named again. */
static dp_time_us repeat_of(const world *w, int i)
{
    const dp_hold_item *it = &w->hold->items[i];
    dp_time_us wait = w->rules.pace_us ? w->rules.pace_us : SECOND;
    dp_time_us most = class_of(i) == DP_CLASS_EMAIL ? w->rules.blind_mail_us
                                                    : w->rules.blind_other_us;
    for (uint32_t n = 2; n < it->announced_n && wait < most; n++) {
        wait *= 2;
    }
    return it->announced_at_us + (wait < most ? wait : most);
}

/* The latest time by which an unseen change must be announced, if its being a
 * change is certain: nothing delays it longer. */
static dp_time_us latest_of(const run *r, int i)
{
    const world *w = r->w;
    const dp_hold_item *it = &w->hold->items[i];
    const book *b = &r->book[i];
    bool is_same = it->announced_seq == newest(r, i);
    dp_time_us not_before = newest(r, i) > it->likely_seq
                                ? w->hold->not_before_us
                                : w->hold->ends_us;
    if (i == HIER) {
        dp_time_us due = !is_same                ? 0
                         : it->announced_n > 1   ? repeat_of(w, i)
                                                 : it->lag_until_us;
        return max3(due, not_before, it->settle_until_us);
    }
    if (is_same && it->lag_until_us && !it->announced_n) {
        return it->lag_until_us;
    }
    if (is_same && it->announced_n == 1) {
        return 0;
    }
    if (is_same && it->announced_n > 1) {
        return repeat_of(w, i);
    }
    dp_time_us quiet = b->changed_new > it->mark
                           ? 0
                           : b->changed_at_us + w->rules.quiet_us;
    return max3(quiet, not_before, it->settle_until_us);
}

static bool is_blind_due(const run *r, int i)
{
    const world *w = r->w;
    const dp_hold_item *it = &w->hold->items[i];
    dp_time_us since = it->synced_at_us;
    if (it->announced_n && it->announced_at_us > since) {
        since = it->announced_at_us;
    }
    dp_time_us span = class_of(i) == DP_CLASS_EMAIL ? w->rules.blind_mail_us
                                                    : w->rules.blind_other_us;
    return i != HIER && (!since || since + span <= w->now_us);
}

static void judge_wait(run *r, const dp_verdict *v)
{
    world *w = r->w;
    assert_true(v->wake_us > w->now_us);
    assert_true(v->wake_us <= w->hold->ends_us);
    for (int i = 0; i < ITEMS; i++) {
        if (is_unseen(r, i) && is_certain(r, i)) {
            assert_true(v->wake_us <= latest_of(r, i));
        }
    }
    assert_true(w->hold->proof_until_us <= w->now_us
                || v->wake_us <= w->hold->proof_until_us);
}

static void judge_nothing(const run *r)
{
    for (int i = 0; i < ITEMS; i++) {
        assert_false(is_unseen(r, i));
        assert_false(is_new_since(r, i) && i != HIER);
        assert_false(!is_seen_by_us(r, i) && is_blind_due(r, i));
    }
    assert_true(r->w->hold->proof_until_us > r->w->now_us);
}

static void judge_changes(const run *r, const dp_verdict *v)
{
    bool is_renewal = r->w->hold->proof_until_us <= r->w->now_us;
    assert_true(v->named_n > 0);
    for (int i = 0; i < HIER; i++) {
        if (is_named(r->w, (uint32_t)i)) {
            bool is_blind = !is_seen_by_us(r, i)
                            || (is_dirty(r, i) && is_let_be(r, i));
            assert_true(is_unseen(r, i) || is_new_since(r, i)
                        || (is_blind && is_blind_due(r, i))
                        || (is_renewal && v->named_n == 1));
        }
    }
}

static void judge_verdict(run *r, bool is_final)
{
    dp_verdict v = is_final ? last_look(r->w) : look(r->w);
    switch (v.status) {
    case 0:
        judge_wait(r, &v);
        break;
    case DP_PING_NOTHING:
        judge_nothing(r);
        break;
    case DP_PING_CHANGES:
        judge_changes(r, &v);
        break;
    default:
        assert_int_equal(v.status, DP_PING_HIERARCHY);
        assert_true(is_unseen(r, HIER) || is_new_since(r, HIER));
        break;
    }
}

/* What happens. */

static void publish(run *r, int i)
{
    book *b = &r->book[i];
    bool is_new = dice(r, 2);
    b->changed = dp_bus_publish(r->w->bus->w, b->ref, is_new, !is_new, r->w->now_us,
                                NULL);
    b->changed_new = is_new ? b->changed : b->changed_new;
    b->changed_at_us = r->w->now_us;
}

static void vouch(run *r, int i)
{
    book *b = &r->book[i];
    if (b->is_vouched && dice(r, 2)) {
        dp_bus_unvouch(r->w->bus->w, b->ref);
        b->is_vouched = false;
    }
    else if (b->watched_from && dice(r, 2)) {
        dp_bus_vouch_again(r->w->bus->w, b->ref, b->watched_from);
        b->is_vouched = true;
    }
    else {
        b->watched_from = dp_bus_vouch(r->w->bus->w, b->ref, 0);
        b->is_vouched = true;
    }
}

/* A Sync that began now and ends now; or one that brought nothing because the
 * backend lags; or a key that lost its mark. */
static void sync_of(run *r, int i)
{
    dp_hold_item *it = &r->w->hold->items[i];
    it->synced_at_us = r->w->now_us;
    it->announced_n = 0;
    it->lag_until_us = 0;
    switch (dice(r, 8)) {
    case 0:
        it->mark = 0;
        break;
    case 1:
        it->lag_until_us = r->w->now_us + 2 * SECOND;
        it->announced_seq = newest(r, i);
        break;
    case 2:
        it->settle_until_us = r->w->now_us + 2 * SECOND;
        it->likely_seq = dice(r, 2) ? newest(r, i) : 0;
        break;
    default:
        it->mark = head(r->w);
        break;
    }
}

static void announce(run *r)
{
    world *w = r->w;
    dp_verdict v = dice(r, 2) ? last_look(w) : look(w);
    announced_again(w);
    if (v.status) {
        w->hold->not_before_us = w->now_us + w->rules.pace_us;
    }
    if (v.status == DP_PING_HIERARCHY) {
        dp_hold_item *it = &w->hold->items[HIER];
        it->announced_n =
            it->seq_now == it->announced_seq ? it->announced_n + 1 : 1;
        it->announced_seq = it->seq_now;
        it->announced_at_us = w->now_us;
        it->lag_until_us = 0;
    }
}

static void step(run *r)
{
    static const dp_time_us spans[] = {1,          SECOND / 2, 3 * SECOND,
                                       5 * SECOND, 31 * SECOND, 6 * MINUTE};
    int i = (int)dice(r, ITEMS);
    switch (dice(r, 10)) {
    case 0:
    case 1:
        publish(r, i);
        break;
    case 2:
        vouch(r, i);
        break;
    case 3:
    case 4:
        sync_of(r, i);
        break;
    case 5:
    case 6:
        announce(r);
        break;
    case 7:
        r->w->is_alive = dice(r, 4) > 0;
        break;
    case 8:
        r->w->hold->provoke_at_us = dice(r, 2) ? r->w->now_us : 0;
        break;
    default:
        passes(r->w, spans[dice(r, 6)]);
        break;
    }
}

static void begin(run *r)
{
    look_item items[ITEMS];
    for (int i = 0; i < ITEMS; i++) {
        book *b = &r->book[i];
        b->ref = topic(r->w, folder_name[i], class_of(i));
        if (!b->is_vouched && dice(r, 3)) {
            vouch(r, i);
        }
        items[i] = (look_item){
            folder_name[i], class_of(i),
            {.mark = dice(r, 4) ? head(r->w) : 0,
             .synced_at_us = dice(r, 2) ? r->w->now_us : 0}};
    }
    ping(r->w, items, ITEMS);
    r->w->rules.pace_us = dice(r, 4) ? 5 * SECOND : 0;
    r->w->hold->ends_us = r->w->now_us + (1 + dice(r, 30)) * MINUTE;
    r->w->hold->proof_until_us = r->w->now_us + (1 + dice(r, 60)) * MINUTE;
}

static int rounds(void)
{
    const char *n = getenv("DP_PROP_ROUNDS");
    return n ? atoi(n) : 20000;
}

static void no_history_breaks_the_promise(void **state)
{
    run r = {.w = *state};
    for (int n = rounds(); n > 0; n--) {
        r.seed = (unsigned)n * 2654435761u + 1;
        begin(&r);
        for (int s = 0; s < STEPS; s++) {
            step(&r);
            judge_verdict(&r, false);
            judge_verdict(&r, true);
        }
    }
}

/* Does as it is told, completely: after a few answers all is clean. */
static void who_syncs_what_he_is_told_to_is_left_in_peace(void **state)
{
    run r = {.w = *state};
    world *w = *state;
    for (int n = rounds(); n > 0; n--) {
        r.seed = (unsigned)n * 2246822519u + 1;
        begin(&r);
        for (int s = 0; s < 10; s++) {
            step(&r);
        }
        w->hold->ends_us = w->now_us + 3600 * SECOND;
        w->hold->proof_until_us = w->hold->ends_us + 1;
        w->is_alive = true;
        int answers = 0;
        for (dp_verdict v; (v = last_look(w)).status != DP_PING_NOTHING;) {
            assert_true(++answers <= 2 + HIER);
            for (uint32_t i = 0; i < ITEMS; i++) {
                dp_hold_item *it = &w->hold->items[i];
                if (is_named(w, i)
                    || (i == HIER && v.status == DP_PING_HIERARCHY)) {
                    it->mark = head(w);
                    it->synced_at_us = w->now_us;
                    it->announced_n = 0;
                    it->lag_until_us = 0;
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOK_TEST(no_history_breaks_the_promise),
        LOOK_TEST(who_syncs_what_he_is_told_to_is_left_in_peace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
