/* The holds of one child: who is woken by what, who owns whom. */
#include "set_fixture.h"

static void a_change_claims_the_holds_of_its_folder_only(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    folder(w, "Work");
    dp_hold *a = held(w, "A", "INBOX"), *b = held(w, "B", "Work");
    dp_hold *c = held(w, "C", "INBOX");
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(dp_hold_state_of(a), DP_HOLD_ANSWERING);
    assert_int_equal(dp_hold_state_of(b), DP_HOLD_HELD);
    assert_int_equal(dp_hold_state_of(c), DP_HOLD_ANSWERING);
    assert_int_equal(a->verdict.status, DP_PING_CHANGES);
    assert_int_equal(w->set.owned_n, 2);
    assert_int_equal(claimed(w), 2);
    assert_int_equal(w->set.watching_n, 1);
    assert_int_equal(w->set.holds_n, 3);
}

static void a_hold_that_names_a_folder_twice_is_claimed_once(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    const char *names[] = {"INBOX", "Work", "INBOX"};
    folder(w, "Work");
    hold_it(w, ping_of(w, "A", names, 3));
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(claimed(w), 1);
}

static void a_slot_that_nobody_follows_wakes_nobody(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    held(w, "A", "INBOX");
    arrives(w, folder(w, "Work"));
    dp_hold_set_slot_locked(&w->set, folder(w, "Work").slot, w->now_us);
    dp_hold_set_slot_locked(&w->set, DP_BUS_NO_SLOT, w->now_us);
    dp_hold_set_slot_locked(&w->set, 1u << 30, w->now_us);
    assert_int_equal(claimed(w), 0);
}

static void a_change_while_parking_kicks(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    const char *name = "INBOX";
    dp_hold *h = ping_of(w, "A", &name, 1);
    dp_hold_set_look_locked(&w->set, h, false, w->now_us);
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_KICKED);
    assert_int_equal(claimed(w), 0);
    assert_true(dp_hold_transit(h, DP_HOLD_KICKED, DP_HOLD_HELD));
    dp_hold_set_consider_locked(&w->set, h, w->now_us);
    assert_int_equal(claimed(w), 1);
}

static void a_worker_takes_back_what_is_not_claimed(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    assert_int_equal(take(w, h), DP_HOLD_HELD);
    assert_int_equal(take(w, h), DP_HOLD_TAKEN);
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_TAKEN);
    assert_int_equal(claimed(w), 0);
    /* its own look tells it */
    assert_int_equal(dp_hold_set_look_locked(&w->set, h, false, w->now_us)
                         .status, DP_PING_CHANGES);
}

typedef struct taker {
    dp_hold_set *set;
    dp_hold *hold;
    dp_hold_state from;
} taker;

static void *take_it(void *arg)
{
    taker *t = arg;
    t->from = dp_hold_set_worker_take(t->set, t->hold);
    return NULL;
}

static void a_worker_waits_for_the_answer_to_be_finished(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    taker t = {&w->set, held(w, "A", "INBOX"), DP_HOLD_TAKEN};
    pthread_t thread;
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(claimed(w), 1);
    assert_int_equal(pthread_create(&thread, NULL, take_it, &t), 0);
    while (!w->set.waiters_n) {
        pthread_mutex_unlock(&w->set.lock);
        sched_yield();
        pthread_mutex_lock(&w->set.lock);
    }
    settle(w, t.hold, DP_HOLD_IDLE, w->now_us + SECOND);
    pthread_mutex_unlock(&w->set.lock);
    pthread_join(thread, NULL);
    pthread_mutex_lock(&w->set.lock);
    assert_int_equal(t.from, DP_HOLD_IDLE);
    assert_int_equal(w->set.owned_n, 0);
}

/* Time. */

static void the_heartbeats_end_claims(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    expire(w, 10 * MINUTE - SECOND);
    assert_int_equal(claimed(w), 0);
    expire(w, SECOND + DP_WHEEL_TICK_US);
    assert_int_equal(claimed(w), 1);
    assert_int_equal(h->verdict.status, DP_PING_NOTHING);
    assert_int_equal(h->verdict.cause, DP_CAUSE_HEARTBEAT);
}

static void a_timer_that_meets_a_parking_hold_kicks_it(void **state)
{
    set_world *w = *state;
    const char *name = "INBOX";
    folder(w, name);
    dp_hold *h = ping_of(w, "A", &name, 1);
    dp_hold_set_look_locked(&w->set, h, false, w->now_us);
    expire(w, 11 * MINUTE);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_KICKED);
}

static void after_the_answer_the_keep_alive_ends_politely(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    claimed(w);
    settle(w, h, DP_HOLD_IDLE, w->now_us + 5 * SECOND);
    expire(w, 6 * SECOND);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_ENDING);
    assert_int_equal(claimed(w), 1);
    settle(w, h, DP_HOLD_CLOSING, w->now_us + 2 * SECOND);
    assert_true(h->is_half_closed);
    expire(w, 3 * SECOND);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_ENDING);
    assert_int_equal(claimed(w), 1);
    settle(w, h, DP_HOLD_SHUT, 0);
    assert_int_equal(take(w, h), DP_HOLD_SHUT);
    assert_int_equal(w->set.owned_n, 0);
}

static void a_sooner_deadline_ends_the_keepers_sleep(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    w->set.sleeps_until_us = w->now_us + SECOND;
    dp_hold *h = held(w, "A", "INBOX"); /* wakes in ten minutes */
    assert_false(was_nudged(w));
    assert_int_equal(w->set.sleeps_until_us, w->now_us + SECOND);
    arrives(w, inbox);
    h->not_before_us = w->now_us + SECOND / 2;
    dp_hold_set_consider_locked(&w->set, h, w->now_us);
    assert_true(was_nudged(w));
    dp_hold_set_consider_locked(&w->set, h, w->now_us);
    assert_false(was_nudged(w)); /* once is enough */
}

/* Devices. */

static void a_newer_ping_ends_the_older_of_its_device_alone(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    dp_hold *older = held(w, "A", "INBOX"), *other = held(w, "B", "INBOX");
    dp_hold *newer = held(w, "A", "INBOX");
    assert_int_equal(dp_hold_set_end_locked(&w->set, device_key(w, "A"),
                                            newer->arrival, DP_CAUSE_NEWER,
                                            w->now_us), 1);
    assert_int_equal(dp_hold_state_of(older), DP_HOLD_ANSWERING);
    assert_int_equal(older->verdict.cause, DP_CAUSE_NEWER);
    assert_int_equal(older->verdict.status, DP_PING_NOTHING);
    assert_int_equal(dp_hold_state_of(newer), DP_HOLD_HELD);
    assert_int_equal(dp_hold_state_of(other), DP_HOLD_HELD);
    assert_int_equal(dp_hold_set_end_locked(&w->set, device_key(w, "A"),
                                            newer->arrival, DP_CAUSE_NEWER,
                                            w->now_us), 0);
    assert_int_equal(claimed(w), 1);
}

static void the_end_of_a_taken_hold_is_found_by_its_worker(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    take(w, h);
    dp_hold_set_end_locked(&w->set, device_key(w, "A"), UINT64_MAX,
                           DP_CAUSE_FORGET, w->now_us);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_TAKEN);
    dp_verdict v = dp_hold_set_look_locked(&w->set, h, false, w->now_us);
    assert_int_equal(v.status, DP_PING_NOTHING);
    assert_int_equal(v.cause, DP_CAUSE_FORGET);
}

static bool is_device_b(void *ctx, const dp_who *he)
{
    return dp_span_is(he->device, DP_SPAN_LIT("B"));
}

static void those_who_are_meant_end(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    dp_hold *a = held(w, "A", "INBOX"), *b = held(w, "B", "INBOX");
    dp_hold_set_end_if_locked(&w->set, is_device_b, NULL, DP_CAUSE_FORGET,
                              w->now_us);
    assert_int_equal(dp_hold_state_of(a), DP_HOLD_HELD);
    assert_int_equal(dp_hold_state_of(b), DP_HOLD_ANSWERING);
    assert_int_equal(claimed(w), 1);
}

static dp_mark mark_now(const set_world *w)
{
    return dp_mark_at(w->bus->map.header->instance,
                     dp_bus_head(&w->bus->map));
}

static void a_mark_that_became_firm_cleans_the_hold(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    h->items[0].settle_until_us = w->now_us + 2 * SECOND;
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    dp_hold_set_mark_locked(&w->set, device_key(w, "A"),
                            DP_SPAN_LIT("Drafts"), mark_now(w), w->now_us);
    assert_true(h->items[0].mark < dp_bus_head(&w->bus->map));
    dp_hold_set_mark_locked(&w->set, device_key(w, "A"),
                            DP_SPAN_LIT("INBOX"), mark_now(w), w->now_us);
    assert_int_equal(h->timer.due_us, h->ends_us);
    expire(w, 3 * SECOND);
    assert_int_equal(claimed(w), 0);
}

/* hold/look.c: ten times DirectPushQuiet. */
#define SMALL_DOUBT_US (300 * SECOND)

/* Its doubt with it: that of before has nothing to do with it. */
static void its_doubt_comes_with_it(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    dp_mark mark;
    arrives(w, inbox);
    mark = mark_now(w);
    mark.doubt = DP_DOUBT_LAST;
    dp_hold_set_mark_locked(&w->set, device_key(w, "A"), DP_SPAN_LIT("INBOX"),
                            mark, w->now_us);
    assert_int_equal(h->items[0].doubt, DP_DOUBT_LAST);
    assert_int_equal(h->timer.due_us, w->now_us + SMALL_DOUBT_US);
    arrives(w, inbox);
    dp_hold_set_mark_locked(&w->set, device_key(w, "A"), DP_SPAN_LIT("INBOX"),
                            mark_now(w), w->now_us);
    assert_int_equal(h->items[0].doubt, DP_DOUBT_NONE);
}

/* What another child has stored meanwhile. */
static dp_mark stored;
static unsigned asked_n;

static dp_mark stored_mark(const dp_who *he, dp_span id)
{
    assert_true(dp_span_is(he->device, DP_SPAN_LIT("A")));
    assert_true(dp_span_is(id, DP_SPAN_LIT("INBOX")));
    asked_n++;
    return stored;
}

static dp_hold *settling(set_world *w, dp_bus_ref inbox)
{
    dp_hold *h = held(w, "A", "INBOX");
    w->set.stored_mark = stored_mark;
    asked_n = 0;
    h->items[0].settle_until_us = w->now_us + 2 * SECOND;
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(asked_n, 0);
    return h;
}

static void a_mark_that_another_child_stored_counts_when_it_has_settled(
    void **state)
{
    set_world *w = *state;
    dp_hold *h = settling(w, folder(w, "INBOX"));
    dp_time_us arrived_us = w->now_us;
    stored = mark_now(w);
    stored.doubt = DP_DOUBT_LAST;
    expire(w, 2 * SECOND + DP_WHEEL_TICK_US);
    assert_int_equal(asked_n, 1);
    assert_int_equal(claimed(w), 0);
    assert_int_equal(h->items[0].mark, stored.seq);
    assert_int_equal(h->items[0].doubt, DP_DOUBT_LAST);
    assert_int_equal(h->timer.due_us, arrived_us + SMALL_DOUBT_US);
}

static void a_stored_mark_that_is_none_changes_nothing(void **state)
{
    set_world *w = *state;
    uint64_t instance = mark_now(w).instance;
    const dp_mark none[] = {dp_mark_at(0, 0), dp_mark_at(instance + 1, 1000),
                            dp_mark_at(instance, 1000000)};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        dp_hold *h = settling(w, folder(w, "INBOX"));
        stored = none[i];
        expire(w, 2 * SECOND + DP_WHEEL_TICK_US);
        assert_int_equal(asked_n, 1);
        assert_int_equal(claimed(w), 1);
        assert_int_equal(h->verdict.status, DP_PING_CHANGES);
        settle(w, h, DP_HOLD_SHUT, 0);
    }
}

static void a_mark_of_another_instance_says_nothing(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    uint64_t before = h->items[0].mark;
    dp_mark foreign =
        dp_mark_at(mark_now(w).instance + 1, UINT64_MAX / 2);
    dp_hold_set_mark_locked(&w->set, device_key(w, "A"),
                            DP_SPAN_LIT("INBOX"), foreign, w->now_us);
    assert_int_equal(h->items[0].mark, before);
}

static void marks_read_before_the_bus_was_replaced_are_none(void **state)
{
    set_world *w = *state;
    dp_hold_spec spec = {.id = DP_SPAN_LIT("1"), .class_id = DP_CLASS_EMAIL,
                         .mark = 1, .announced_n = 1, .announced_seq = 1};
    dp_topic_spec name = {DP_CLASS_EMAIL, DP_SPAN_LIT("INBOX")};
    dp_who alice = who("A");
    folder(w, "INBOX");
    dp_hold *h = dp_hold_make(&alice, &spec, 1);
    h->instance = mark_now(w).instance + 1;
    dp_hold_set_link_locked(&w->set, h, &name);
    assert_int_equal(h->items[0].mark, 0);
    assert_int_equal(h->items[0].announced_n, 0);
    dp_hold_set_remove_locked(&w->set, h);
    h->instance = mark_now(w).instance;
    h->items[0].mark = mark_now(w).seq + 1; /* of a bus that was lost */
    dp_hold_set_link_locked(&w->set, h, &name);
    assert_int_equal(h->items[0].mark, 0);
}

/* All of them. */

static void a_walk_over_all_survives_removals(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h[10];
    char name[10][4];
    for (int i = 0; i < 10; i++) {
        snprintf(name[i], sizeof(name[i]), "D%d", i);
        h[i] = held(w, name[i], "INBOX");
    }
    arrives(w, inbox);
    dp_hold_set_relook_begin_locked(&w->set);
    assert_true(dp_hold_set_relook_locked(&w->set, 3, w->now_us));
    assert_int_equal(claimed(w), 3); /* newest first: 9, 8, 7 */
    assert_int_equal(take(w, h[6]), DP_HOLD_HELD); /* the next one */
    dp_hold_set_remove_locked(&w->set, h[6]);
    dp_hold_free(&h[6]);
    assert_int_equal(take(w, h[5]), DP_HOLD_HELD);
    dp_hold_set_remove_locked(&w->set, h[5]);
    dp_hold_free(&h[5]);
    assert_false(dp_hold_set_relook_locked(&w->set, 100, w->now_us));
    assert_int_equal(claimed(w), 5);
    assert_false(dp_hold_set_relook_locked(&w->set, 100, w->now_us));
}

static void draining_ends_all_within_the_span_and_new_ones_idle_not(
    void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    char name[50][4];
    for (int i = 0; i < 50; i++) {
        snprintf(name[i], sizeof(name[i]), "D%d", i);
        held(w, name[i], "INBOX");
    }
    dp_hold *idle = held(w, "idle", "INBOX");
    dp_hold_set_end_locked(&w->set, device_key(w, "idle"), UINT64_MAX,
                           DP_CAUSE_NEWER, w->now_us);
    claimed(w);
    dp_clock_fake(w->now_us);
    dp_hold_set_drain_locked(&w->set, 10 * SECOND, w->now_us);
    settle(w, idle, DP_HOLD_IDLE, w->now_us + MINUTE);
    expire(w, 5 * SECOND);
    size_t half = claimed(w);
    assert_in_range(half, 5, 46); /* 50 coins, and the idle one */
    assert_int_equal(dp_hold_state_of(idle), DP_HOLD_ENDING);
    expire(w, 5 * SECOND + DP_WHEEL_TICK_US);
    assert_int_equal(half + claimed(w), 51);
    assert_int_equal(w->set.watching_n, 0);
    for (dp_hold *h = w->set.all; h; h = h->all_next) {
        if (h != idle) {
            assert_int_equal(h->verdict.cause, DP_CAUSE_DRAIN);
            assert_true(h->must_close);
        }
    }
}

static void draining_says_what_waits(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    dp_bus_publish(w->bus->w, inbox, 0, 1, w->now_us, NULL);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    dp_hold_set_drain_locked(&w->set, 0, w->now_us);
    expire(w, DP_WHEEL_TICK_US);
    assert_int_equal(claimed(w), 1);
    assert_int_equal(h->verdict.status, DP_PING_CHANGES);
    assert_int_equal(h->verdict.cause, DP_CAUSE_DRAIN);
}

static void when_the_keeper_has_ended_nothing_is_claimed(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    w->set.is_over = true;
    arrives(w, inbox);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    expire(w, 11 * MINUTE);
    assert_int_equal(claimed(w), 0);
    assert_int_equal(take(w, h), DP_HOLD_HELD);
}

/* Another bus. */

static void replace_bus(set_world *w, bool is_same_instance)
{
    static bus_fixture next; /* the same directory */
    dp_bus_problem problem;
    next = *w->bus;
    dp_bus_create_args args = bus_args(w->bus);
    args.head_at_least = dp_bus_head(&w->bus->map);
    args.instance = is_same_instance ? w->bus->map.header->instance : 0;
    assert_int_equal(dp_bus_create(&next.w, &args), APR_SUCCESS);
    assert_int_equal(dp_bus_attach(&next.map, next.path, &problem),
                     APR_SUCCESS);
    dp_hold_set_rebind_locked(&w->set, &next.map);
    dp_bus_detach(&w->bus->map);
    dp_bus_close(&w->bus->w, false);
    *w->bus = next;
    w->set.bus = &w->bus->map;
}

static void marks_outlive_a_new_file_of_the_same_instance(void **state)
{
    set_world *w = *state;
    uint64_t from = dp_bus_look(&w->bus->map, folder(w, "INBOX")).watched_from;
    dp_hold *h = held(w, "A", "INBOX");
    uint64_t mark = h->items[0].mark;
    dp_hold_set_rebind_locked(&w->set, NULL); /* lost for a while */
    assert_int_equal(h->items[0].mark, mark);
    dp_hold_set_rebind_locked(&w->set, &w->bus->map);
    replace_bus(w, true);
    assert_int_equal(h->items[0].mark, mark);
    dp_bus_ref r = bus_topic(w->bus, "INBOX");
    dp_bus_vouch_again(w->bus->w, r, from);
    dp_topics_find(&w->set.topics, w->set.bus, h->items[0].topic);
    dp_hold_set_slot_locked(&w->set, r.slot, w->now_us);
    assert_int_equal(claimed(w), 0);
    arrives(w, r);
    dp_hold_set_slot_locked(&w->set, r.slot, w->now_us);
    assert_int_equal(claimed(w), 1);
}

static void marks_of_another_instance_are_forgotten(void **state)
{
    set_world *w = *state;
    folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    h->items[0].announced_seq = 1;
    h->items[0].announced_n = 1;
    replace_bus(w, false);
    assert_int_equal(h->items[0].mark, 0);
    assert_int_equal(h->items[0].announced_n, 0);
    assert_int_equal(h->linked_seq, dp_bus_head(&w->bus->map));
    /* the device is found under the new key */
    assert_int_equal(dp_hold_set_end_locked(&w->set, device_key(w, "A"),
                                            UINT64_MAX, DP_CAUSE_NEWER,
                                            w->now_us), 1);
    assert_int_equal(claimed(w), 1);
}

/* Topics that were given up and asked for again meanwhile. */

static void a_last_look_finds_a_topic_that_has_moved(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX"), *other = held(w, "B", "INBOX");
    dp_bus_topic_drop(w->bus->w, inbox);
    arrives(w, folder(w, "INBOX"));
    h->ending = DP_CAUSE_NEXT;
    dp_hold_set_consider_locked(&w->set, h, w->now_us);
    assert_int_equal(h->verdict.status, DP_PING_CHANGES);
    /* the keeper is told to look at the other */
    assert_true(w->set.has_found);
    assert_true(other->items[0].topic->is_found_anew);
    assert_int_equal(claimed(w), 1);
}

static void a_slot_s_holds_are_all_looked_at_though_topics_move(void **state)
{
    set_world *w = *state;
    const char *both[] = {"INBOX", "Work"};
    dp_bus_ref inbox = folder(w, "INBOX"), work = folder(w, "Work");
    dp_hold *h[6];
    char name[6][4];
    assert_true(dp_bus_alias_set(w->bus->w, bus_key(w->bus, "Eingang"),
                                 inbox));
    for (int i = 0; i < 6; i++) {
        snprintf(name[i], sizeof(name[i]), "D%d", i);
        both[0] = i % 2 ? "INBOX" : "Eingang";
        h[i] = ping_of(w, name[i], both, 2);
        hold_it(w, h[i]);
        h[i]->ending = DP_CAUSE_NEXT; /* a last look finds what moved */
    }
    dp_bus_topic_drop(w->bus->w, work);
    folder(w, "Lists"); /* may have its slot now */
    folder(w, "Work");
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(claimed(w), 6);
}

/* Provoked Syncs. */

static void provoked_syncs_take_turns(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h[10];
    char name[10][4];
    for (int i = 0; i < 10; i++) {
        snprintf(name[i], sizeof(name[i]), "D%d", i);
        h[i] = held(w, name[i], "INBOX");
    }
    (void)h;
    dp_bus_unvouch(w->bus->w, inbox);
    dp_bus_vouch(w->bus->w, inbox, 0);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(claimed(w), DP_SPREAD_BURST);
    for (int i = DP_SPREAD_BURST; i < 10; i++) {
        expire(w, SECOND / 20 + DP_WHEEL_TICK_US);
        assert_int_equal(claimed(w), 1);
    }
}

static void a_moment_that_nobody_asks_for_any_more_is_given_up(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    uint64_t from = dp_bus_look(&w->bus->map, inbox).watched_from;
    dp_hold *h = held(w, "A", "INBOX");
    atomic_store(&w->rate.next_us, w->now_us + 10 * SECOND);
    dp_bus_unvouch(w->bus->w, inbox);
    dp_bus_vouch(w->bus->w, inbox, 0);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(h->provoke_at_us, w->now_us + 10 * SECOND);
    dp_bus_unvouch(w->bus->w, inbox);
    dp_bus_vouch_again(w->bus->w, inbox, from);
    expire(w, 11 * SECOND);
    assert_int_equal(claimed(w), 0);
    assert_int_equal(h->provoke_at_us, 0);
}

static void without_a_moment_soon_the_hold_asks_again(void **state)
{
    set_world *w = *state;
    dp_bus_ref inbox = folder(w, "INBOX");
    dp_hold *h = held(w, "A", "INBOX");
    w->set.provoke_per_s = 0; /* never */
    dp_bus_unvouch(w->bus->w, inbox);
    dp_bus_vouch(w->bus->w, inbox, 0);
    dp_hold_set_slot_locked(&w->set, inbox.slot, w->now_us);
    assert_int_equal(claimed(w), 0);
    assert_in_range(h->timer.due_us - w->now_us, 50 * SECOND, 70 * SECOND);
    expire(w, 10 * MINUTE + DP_WHEEL_TICK_US); /* but not over the end */
    assert_int_equal(claimed(w), 1);
    assert_int_equal(h->verdict.status, DP_PING_CHANGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SET_TEST(a_change_claims_the_holds_of_its_folder_only),
        SET_TEST(a_hold_that_names_a_folder_twice_is_claimed_once),
        SET_TEST(a_slot_that_nobody_follows_wakes_nobody),
        SET_TEST(a_change_while_parking_kicks),
        SET_TEST(a_worker_takes_back_what_is_not_claimed),
        SET_TEST(a_worker_waits_for_the_answer_to_be_finished),
        SET_TEST(the_heartbeats_end_claims),
        SET_TEST(a_timer_that_meets_a_parking_hold_kicks_it),
        SET_TEST(after_the_answer_the_keep_alive_ends_politely),
        SET_TEST(a_sooner_deadline_ends_the_keepers_sleep),
        SET_TEST(a_newer_ping_ends_the_older_of_its_device_alone),
        SET_TEST(the_end_of_a_taken_hold_is_found_by_its_worker),
        SET_TEST(those_who_are_meant_end),
        SET_TEST(a_mark_that_became_firm_cleans_the_hold),
        SET_TEST(its_doubt_comes_with_it),
        SET_TEST(
            a_mark_that_another_child_stored_counts_when_it_has_settled),
        SET_TEST(a_stored_mark_that_is_none_changes_nothing),
        SET_TEST(a_mark_of_another_instance_says_nothing),
        SET_TEST(marks_read_before_the_bus_was_replaced_are_none),
        SET_TEST(a_walk_over_all_survives_removals),
        SET_TEST(draining_ends_all_within_the_span_and_new_ones_idle_not),
        SET_TEST(draining_says_what_waits),
        SET_TEST(when_the_keeper_has_ended_nothing_is_claimed),
        SET_TEST(marks_outlive_a_new_file_of_the_same_instance),
        SET_TEST(marks_of_another_instance_are_forgotten),
        SET_TEST(a_last_look_finds_a_topic_that_has_moved),
        SET_TEST(a_slot_s_holds_are_all_looked_at_though_topics_move),
        SET_TEST(provoked_syncs_take_turns),
        SET_TEST(a_moment_that_nobody_asks_for_any_more_is_given_up),
        SET_TEST(without_a_moment_soon_the_hold_asks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
