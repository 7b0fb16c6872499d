/* What dp_look() says of folders that nobody vouches for, of the hierarchy,
 * and of credentials that expire. */
#include "look_fixture.h"

#define INBOX(...) {"INBOX", DP_CLASS_EMAIL, {__VA_ARGS__}}
#define FOLDERS(...)                                                           \
    {"*", DP_CLASS_HIERARCHY, {__VA_ARGS__}}
#define ASSUMED(...) {"*", DP_CLASS_EMAIL, {.is_assumed = true, __VA_ARGS__}}
#define CLEAN .mark = head(w)

static void a_blind_folder_is_named_an_interval_after_its_last_sync(
    void **state)
{
    world *w = *state;
    PING(w, {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0 - 2 * MINUTE}});
    assert_waits_until(w, T0 + 3 * MINUTE);
    passes(w, 3 * MINUTE);
    assert_wants_provoke(w);
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_true(v.is_provoked);
}

static void its_clock_runs_on_from_when_it_was_last_named(void **state)
{
    world *w = *state;
    PING(w, {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0 - 20 * MINUTE,
                                    .announced_n = 3,
                                    .announced_at_us = T0 - MINUTE}});
    assert_waits_until(w, T0 + 4 * MINUTE);
}

static void other_classes_have_an_interval_of_their_own(void **state)
{
    world *w = *state;
    PING(w, {NULL, DP_CLASS_CALENDAR, {.synced_at_us = T0 - 25 * MINUTE}});
    assert_waits_until(w, T0 + 5 * MINUTE);
}

static void a_blind_folder_never_seen_is_named_once_and_then_has_a_clock(
    void **state)
{
    world *w = *state;
    PING(w, {NULL, DP_CLASS_EMAIL, {.mark = 0}});
    assert_wants_provoke(w);
    look_with_moment(w);
    announced_again(w);
    assert_waits_until(w, T0 + 5 * MINUTE);
}

static void blind_and_not_due_ends_in_status_1(void **state)
{
    world *w = *state;
    PING(w, {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0}});
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
}

static void blind_and_due_does_not(void **state)
{
    world *w = *state;
    PING(w, {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0 - 5 * MINUTE}});
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
}

static void what_nobody_vouches_for_is_blind(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .synced_at_us = T0));
    dp_bus_unvouch(w->bus->w, r);
    assert_waits_until(w, T0 + 5 * MINUTE);
}

static void what_was_published_stays_so_when_nobody_vouches_any_more(
    void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .synced_at_us = T0));
    uint64_t seq = arrives(w, r);
    dp_bus_unvouch(w->bus->w, r);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_false(v.is_provoked);
    assert_int_equal(w->hold->items[0].seq_now, seq);
    w->hold->items[0].mark = seq;
    assert_waits_until(w, T0 + 5 * MINUTE);
}

static void what_is_in_doubt_stays_so_when_nobody_vouches_any_more(
    void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    is_flagged(w, r);
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_LAST, .synced_at_us = T0));
    w->is_alive = false;
    assert_waits_until(w, T0 + 5 * MINUTE); /* its clock runs on */
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
    w->is_alive = true;
    dp_bus_unvouch(w->bus->w, r);
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
    w->hold->items[0].doubt = DP_DOUBT_NONE;
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
}

static void what_was_published_stays_so_when_the_watcher_dies(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX"), folders = hierarchy(w);
    PING(w, INBOX(CLEAN, .synced_at_us = T0), FOLDERS(CLEAN));
    arrives(w, folders);
    w->is_alive = false;
    assert_int_equal(look(w).status, DP_PING_HIERARCHY);
    arrives(w, r);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
    announced_again(w);
    assert_int_equal(last_look(w).status, DP_PING_HIERARCHY);
}

static void all_is_blind_when_the_watcher_is_dead(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .synced_at_us = T0));
    w->is_alive = false;
    assert_waits_until(w, T0 + 5 * MINUTE);
    w->is_alive = true;
    assert_waits_until(w, w->hold->ends_us);
}

static void a_slot_that_changed_hands_says_nothing(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .synced_at_us = T0));
    dp_bus_topic_drop(w->bus->w, r);
    assert_waits_until(w, T0 + 5 * MINUTE);
}

static void without_a_bus_all_is_blind(void **state)
{
    world *w = *state;
    static const dp_bus_map none;
    mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .synced_at_us = T0));
    dp_verdict v = dp_look(w->hold, NULL, true, &w->rules, false, w->now_us);
    assert_int_equal(v.wake_us, T0 + 5 * MINUTE);
    v = dp_look(w->hold, &none, true, &w->rules, false, w->now_us);
    assert_int_equal(v.wake_us, T0 + 5 * MINUTE);
}

static void a_blind_folder_is_not_named_with_a_change_before_its_time(
    void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN), {NULL, DP_CLASS_TASKS, {.synced_at_us = T0}},
         {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0 - MINUTE}},
         {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0 - 9 * MINUTE}});
    arrives(w, r);
    look(w);
    assert_true(is_named(w, 0));
    assert_false(is_named(w, 1));
    assert_false(is_named(w, 2));
    assert_true(is_named(w, 3));
}

static void blind_folders_that_are_due_soon_go_along(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN), {NULL, DP_CLASS_TASKS, {.synced_at_us = T0}},
         {NULL, DP_CLASS_EMAIL, {.synced_at_us = T0 + 24 * MINUTE}},
         {NULL, DP_CLASS_CALENDAR, {.synced_at_us = T0 + 3 * MINUTE}},
         {NULL, DP_CLASS_NOTES, {.synced_at_us = T0 + 3 * MINUTE + 1}});
    w->hold->ends_us = T0 + 40 * MINUTE;
    w->now_us = T0 + 27 * MINUTE;
    assert_waits_until(w, T0 + 29 * MINUTE);
    for (uint32_t k = 0; k < w->hold->items_n; k++) {
        assert_false(is_named(w, k)); /* none is due: nothing goes */
    }
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
    arrives(w, r);
    assert_int_equal(look(w).named_n, 2);
    assert_true(is_named(w, 0) && is_named(w, 1));
    w->hold->items[0].mark = head(w);
    passes(w, 3 * MINUTE);
    assert_wants_provoke(w);
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.named_n, 3);
    assert_true(is_named(w, 1) && is_named(w, 2) && is_named(w, 3));
}

/* Collections whose topic is but assumed. */

static void of_an_assumed_topic_a_change_is_told_at_once(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "*");
    PING(w, ASSUMED(CLEAN, .synced_at_us = T0));
    uint64_t seq = arrives(w, r);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_false(v.is_provoked);
    assert_int_equal(w->hold->items[0].seq_now, seq);
}

static void but_that_it_is_clean_proves_nothing(void **state)
{
    world *w = *state;
    mail(w, "*");
    PING(w, ASSUMED(CLEAN, .synced_at_us = T0 - 25 * MINUTE));
    assert_waits_until(w, T0 + 5 * MINUTE);
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
    passes(w, 5 * MINUTE);
    assert_wants_provoke(w);
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_true(v.is_provoked);
    assert_int_equal(w->hold->items[0].seq_now, 0);
    announced_again(w);
    assert_waits_until(w, w->hold->ends_us);
}

static void a_doubt_does_not_stop_its_clock(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "*"));
    PING(w, ASSUMED(CLEAN, .doubt = DP_DOUBT_LAST,
                    .synced_at_us = T0 - 25 * MINUTE));
    assert_waits_until(w, T0 + 5 * MINUTE);
}

static void an_assumed_topic_of_nobody_is_as_blind_as_any(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "*");
    PING(w, ASSUMED(CLEAN, .synced_at_us = T0));
    dp_bus_unvouch(w->bus->w, r);
    assert_waits_until(w, T0 + 5 * MINUTE);
}

/* The hierarchy. */

static void a_change_of_the_hierarchy_is_status_7(void **state)
{
    world *w = *state;
    dp_bus_ref inbox = mail(w, "INBOX"), folders = hierarchy(w);
    (void)inbox;
    PING(w, INBOX(CLEAN), FOLDERS(CLEAN));
    assert_waits_until(w, w->hold->ends_us);
    uint64_t seq = arrives(w, folders);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_HIERARCHY);
    assert_false(v.is_provoked);
    assert_int_equal(w->hold->items[1].seq_now, seq);
}

static void status_7_is_repeated_while_no_foldersync_follows(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    dp_bus_ref folders = hierarchy(w);
    PING(w, INBOX(CLEAN), FOLDERS(CLEAN, .announced_n = 1));
    dp_hold_item *i = &w->hold->items[1];
    i->announced_seq = arrives(w, folders);
    i->announced_at_us = w->now_us;
    /* the answer may have been lost */
    assert_int_equal(look(w).status, DP_PING_HIERARCHY);
    i->announced_n = 2;
    assert_waits_until(w, w->now_us + w->rules.pace_us);
    i->announced_n = 3;
    assert_waits_until(w, w->now_us + 2 * w->rules.pace_us);
    /* … and is not passed over at the heartbeat's end */
    assert_int_equal(last_look(w).status, DP_PING_HIERARCHY);
    arrives(w, folders);
    assert_int_equal(look(w).status, DP_PING_HIERARCHY);
}

static void and_once_more_when_the_backend_lagged(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    dp_bus_ref folders = hierarchy(w);
    PING(w, INBOX(CLEAN), FOLDERS(CLEAN, .lag_until_us = T0 + 2 * SECOND));
    w->hold->items[1].announced_seq = arrives(w, folders);
    assert_waits_until(w, T0 + 2 * SECOND);
    passes(w, 2 * SECOND);
    assert_int_equal(look(w).status, DP_PING_HIERARCHY);
}

static void a_fresh_change_goes_before_status_7(void **state)
{
    world *w = *state;
    dp_bus_ref inbox = mail(w, "INBOX"), folders = hierarchy(w);
    PING(w, INBOX(CLEAN), FOLDERS(CLEAN));
    arrives(w, folders);
    arrives(w, inbox);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
    announced_again(w);
    assert_int_equal(look(w).status, DP_PING_HIERARCHY);
}

static void a_hierarchy_that_waits_for_pace_is_told_of_at_the_end(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    dp_bus_ref folders = hierarchy(w);
    PING(w, INBOX(CLEAN), FOLDERS(CLEAN));
    w->hold->not_before_us = T0 + 5 * SECOND;
    arrives(w, folders);
    assert_waits_until(w, T0 + 5 * SECOND);
    assert_int_equal(last_look(w).status, DP_PING_HIERARCHY);
}

static void a_hierarchy_without_a_mark_is_provoked_in_its_turn(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    hierarchy(w);
    PING(w, INBOX(CLEAN), FOLDERS(.mark = 0));
    assert_wants_provoke(w);
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.status, DP_PING_HIERARCHY);
    assert_true(v.is_provoked);
}

static void a_blind_hierarchy_asks_for_nothing(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(CLEAN), FOLDERS(.mark = 0));
    assert_waits_until(w, w->hold->ends_us);
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
}

/* Credentials. */

static void an_expired_proof_is_renewed_by_the_sync_of_one_folder(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    hierarchy(w);
    PING(w, INBOX(CLEAN), {"INBOX", DP_CLASS_EMAIL, {CLEAN}}, FOLDERS(CLEAN));
    w->hold->proof_until_us = T0;
    assert_wants_provoke(w);
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_int_equal(v.cause, DP_CAUSE_PROOF);
    assert_true(v.is_provoked);
    assert_int_equal(v.named_n, 1);
    assert_true(is_named(w, 0));
}

static void folders_take_turns_in_renewing(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    hierarchy(w);
    PING(w, INBOX(CLEAN), FOLDERS(CLEAN), {"INBOX", DP_CLASS_EMAIL, {CLEAN}});
    w->hold->proof_until_us = T0;
    w->hold->rotate = 1; /* the hierarchy is no folder: the next one */
    look_with_moment(w);
    assert_true(is_named(w, 2));
    w->hold->rotate = UINT32_MAX;
    look_with_moment(w);
    assert_true(is_named(w, 0));
}

static void what_waits_renews_a_proof_as_well(void **state)
{
    world *w = *state;
    look_item items[24];
    dp_bus_ref r = mail(w, "INBOX");
    for (size_t i = 0; i < 24; i++) {
        items[i] = (look_item)INBOX(CLEAN);
    }
    ping(w, items, 24);
    is_flagged(w, r);
    w->hold->proof_until_us = T0;
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.named_n, 24);
    assert_false(v.is_provoked);
}

static void a_renewal_at_the_heartbeats_end_needs_no_moment(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    w->hold->proof_until_us = T0;
    passes(w, 10 * MINUTE);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_int_equal(v.cause, DP_CAUSE_HEARTBEAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOK_TEST(a_blind_folder_is_named_an_interval_after_its_last_sync),
        LOOK_TEST(its_clock_runs_on_from_when_it_was_last_named),
        LOOK_TEST(other_classes_have_an_interval_of_their_own),
        LOOK_TEST(
            a_blind_folder_never_seen_is_named_once_and_then_has_a_clock),
        LOOK_TEST(blind_and_not_due_ends_in_status_1),
        LOOK_TEST(blind_and_due_does_not),
        LOOK_TEST(what_nobody_vouches_for_is_blind),
        LOOK_TEST(
            what_was_published_stays_so_when_nobody_vouches_any_more),
        LOOK_TEST(what_is_in_doubt_stays_so_when_nobody_vouches_any_more),
        LOOK_TEST(what_was_published_stays_so_when_the_watcher_dies),
        LOOK_TEST(all_is_blind_when_the_watcher_is_dead),
        LOOK_TEST(a_slot_that_changed_hands_says_nothing),
        LOOK_TEST(without_a_bus_all_is_blind),
        LOOK_TEST(a_blind_folder_is_not_named_with_a_change_before_its_time),
        LOOK_TEST(blind_folders_that_are_due_soon_go_along),
        LOOK_TEST(of_an_assumed_topic_a_change_is_told_at_once),
        LOOK_TEST(but_that_it_is_clean_proves_nothing),
        LOOK_TEST(a_doubt_does_not_stop_its_clock),
        LOOK_TEST(an_assumed_topic_of_nobody_is_as_blind_as_any),
        LOOK_TEST(a_change_of_the_hierarchy_is_status_7),
        LOOK_TEST(status_7_is_repeated_while_no_foldersync_follows),
        LOOK_TEST(and_once_more_when_the_backend_lagged),
        LOOK_TEST(a_fresh_change_goes_before_status_7),
        LOOK_TEST(a_hierarchy_that_waits_for_pace_is_told_of_at_the_end),
        LOOK_TEST(a_hierarchy_without_a_mark_is_provoked_in_its_turn),
        LOOK_TEST(a_blind_hierarchy_asks_for_nothing),
        LOOK_TEST(an_expired_proof_is_renewed_by_the_sync_of_one_folder),
        LOOK_TEST(folders_take_turns_in_renewing),
        LOOK_TEST(what_waits_renews_a_proof_as_well),
        LOOK_TEST(a_renewal_at_the_heartbeats_end_needs_no_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
