/* What dp_look() says of folders that somebody vouches for. */
#include "look_fixture.h"

#define INBOX(...) {"INBOX", DP_CLASS_EMAIL, {__VA_ARGS__}}
#define WORK(...)  {"Work", DP_CLASS_EMAIL, {__VA_ARGS__}}
#define CLEAN      .mark = head(w)

static void a_clean_hold_waits_for_its_heartbeat(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    assert_waits_until(w, w->hold->ends_us);
}

static void a_clean_hold_ends_with_status_1(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    passes(w, 10 * MINUTE);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_NOTHING);
    assert_int_equal(v.cause, DP_CAUSE_HEARTBEAT);
}

static void new_mail_is_announced_at_once(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    uint64_t seq = arrives(w, r);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_int_equal(v.cause, DP_CAUSE_CHANGE);
    assert_false(v.is_provoked);
    assert_true(is_named(w, 0));
    assert_int_equal(w->hold->items[0].seq_now, seq);
}

static void the_folder_that_changed_is_named_and_no_other(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    dp_bus_ref r = mail(w, "Work");
    PING(w, INBOX(CLEAN), WORK(CLEAN));
    arrives(w, r);
    look(w);
    assert_false(is_named(w, 0));
    assert_true(is_named(w, 1));
}

static void a_change_before_the_mark_is_known_to_the_device(void **state)
{
    world *w = *state;
    arrives(w, mail(w, "INBOX"));
    PING(w, INBOX(CLEAN));
    assert_waits_until(w, w->hold->ends_us);
}

static void a_flag_waits_for_company(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    is_flagged(w, r);
    assert_waits_until(w, T0 + 30 * SECOND);
    passes(w, 30 * SECOND);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void a_later_flag_makes_the_wait_begin_again(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    is_flagged(w, r);
    passes(w, 20 * SECOND);
    is_flagged(w, r);
    assert_waits_until(w, T0 + 50 * SECOND);
}

static void new_mail_does_not_wait_behind_a_flag(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    arrives(w, r);
    is_flagged(w, r);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void a_flag_that_waits_is_named_with_new_mail_elsewhere(void **state)
{
    world *w = *state;
    dp_bus_ref inbox = mail(w, "INBOX"), work = mail(w, "Work");
    PING(w, INBOX(CLEAN), WORK(CLEAN));
    is_flagged(w, inbox);
    arrives(w, work);
    assert_int_equal(look(w).named_n, 2);
}

static void a_flag_that_waits_is_announced_when_the_heartbeat_ends(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    passes(w, 10 * MINUTE - SECOND);
    is_flagged(w, r);
    assert_waits_until(w, w->hold->ends_us);
    passes(w, SECOND);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_int_equal(v.cause, DP_CAUSE_HEARTBEAT);
    assert_false(v.is_provoked);
}

static void the_next_announcement_waits_for_pace(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    w->hold->not_before_us = T0 + 5 * SECOND;
    arrives(w, r);
    assert_waits_until(w, T0 + 5 * SECOND);
    passes(w, 5 * SECOND);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void what_waits_for_pace_is_announced_at_the_end(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    w->hold->not_before_us = T0 + 5 * SECOND;
    arrives(w, r);
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
}

static void an_announcement_waits_for_a_mark_to_become_firm(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .settle_until_us = T0 + 2 * SECOND));
    uint64_t seq = arrives(w, r);
    assert_waits_until(w, T0 + 2 * SECOND);
    w->hold->items[0].mark = seq; /* it did */
    assert_waits_until(w, w->hold->ends_us);
}

static void a_mark_that_never_became_firm_is_not_waited_for_longer(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .settle_until_us = T0 + 2 * SECOND));
    arrives(w, r);
    passes(w, 2 * SECOND);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void what_has_probably_arrived_is_told_at_the_end(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    w->hold->items[0].likely_seq = arrives(w, r);
    assert_waits_until(w, w->hold->ends_us);
    dp_verdict v = last_look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_int_equal(v.named_n, 1);
    arrives(w, r); /* that is news */
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

/* What has come need not be what had changed: flags and deletions. */

static void what_is_in_doubt_is_told_after_a_while(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "INBOX"));
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_LAST));
    assert_waits_until(w, T0 + 5 * MINUTE);
    passes(w, 5 * MINUTE);
    assert_wants_provoke(w);
    assert_int_equal(look_with_moment(w).status, DP_PING_CHANGES);
}

static void what_is_in_doubt_is_told_at_the_end(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "INBOX"));
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_LAST));
    dp_verdict v = last_look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_true(v.is_provoked);
    assert_true(is_named(w, 0));
}

static void what_is_in_doubt_goes_along_with_news(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "INBOX"));
    dp_bus_ref work = mail(w, "Work");
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_LAST), WORK(CLEAN));
    arrives(w, work);
    assert_int_equal(look(w).named_n, 2);
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_LAST), WORK(CLEAN));
    is_flagged(w, work); /* and waits with it */
    assert_waits_until(w, T0 + 30 * SECOND);
    passes(w, 30 * SECOND);
    assert_int_equal(look(w).named_n, 2);
}

static void the_wrong_number_is_asked_for_after_a_while(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "INBOX"));
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_QUIET));
    assert_waits_until(w, T0 + 30 * SECOND);
    w->hold->not_before_us = T0 + 31 * SECOND;
    assert_waits_until(w, T0 + 31 * SECOND);
    passes(w, 31 * SECOND);
    assert_wants_provoke(w);
    assert_int_equal(look_with_moment(w).status, DP_PING_CHANGES);
}

/* The answer got lost, or the Sync left out what had not changed. */
static void a_doubt_that_was_named_in_vain_waits_again(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "INBOX"));
    dp_bus_ref work = mail(w, "Work");
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_LAST), WORK(CLEAN));
    passes(w, MINUTE);
    last_look(w);
    announced_again(w);
    assert_waits_until(w, T0 + 6 * MINUTE);
    arrives(w, work);
    assert_int_equal(look(w).named_n, 2);
    announced_again(w);
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
    assert_true(is_named(w, 0));
    w->hold->items[0].doubt = DP_DOUBT_NONE;
    w->hold->items[1].mark = w->hold->items[1].seq_now;
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
}

static void the_wrong_number_is_asked_for_ever_less_often(void **state)
{
    world *w = *state;
    is_flagged(w, mail(w, "INBOX"));
    PING(w, INBOX(CLEAN, .doubt = DP_DOUBT_QUIET));
    passes(w, 30 * SECOND);
    assert_int_equal(look_with_moment(w).status, DP_PING_CHANGES);
    announced_again(w);
    assert_waits_until(w, T0 + 60 * SECOND);
    w->hold->items[0].announced_n = 5; /* 5 s, doubled three times */
    assert_waits_until(w, T0 + 70 * SECOND);
}

static void the_soonest_of_many_waits_is_slept_for(void **state)
{
    world *w = *state;
    dp_bus_ref inbox = mail(w, "INBOX"), work = mail(w, "Work");
    PING(w, INBOX(CLEAN), WORK(CLEAN, .settle_until_us = T0 + 9 * SECOND),
         {"Nobody", DP_CLASS_EMAIL, {.synced_at_us = T0}});
    is_flagged(w, inbox);
    arrives(w, work);
    assert_waits_until(w, T0 + 9 * SECOND);
    w->hold->items[1].mark = head(w);
    assert_waits_until(w, T0 + 30 * SECOND);
    w->hold->items[0].mark = head(w);
    assert_waits_until(w, T0 + 5 * MINUTE);
    w->hold->proof_until_us = T0 + 4 * MINUTE;
    assert_waits_until(w, T0 + 4 * MINUTE);
}

/* No mark, or vouched for anew. */

static void without_a_mark_the_device_is_provoked_in_its_turn(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(.mark = 0));
    assert_wants_provoke(w);
    dp_verdict v = look_with_moment(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_true(v.is_provoked);
    assert_true(is_named(w, 0));
}

static void a_moment_that_is_reserved_is_waited_for(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(.mark = 0));
    w->hold->provoke_at_us = T0 + 7 * SECOND;
    dp_verdict v = look(w);
    assert_int_equal(v.status, 0);
    assert_false(v.wants_provoke);
    assert_int_equal(v.wake_us, T0 + 7 * SECOND);
}

static void vouched_for_after_the_mark_is_dirty(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    dp_bus_unvouch(w->bus->w, r);
    dp_bus_vouch(w->bus->w, r, 0);
    assert_wants_provoke(w);
    assert_true(last_look(w).is_provoked);
    assert_true(is_named(w, 0));
}

static void vouched_for_again_from_where_it_was_is_clean(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    uint64_t from = head(w);
    PING(w, INBOX(CLEAN));
    dp_bus_unvouch(w->bus->w, r);
    dp_bus_vouch_again(w->bus->w, r, from);
    assert_waits_until(w, w->hold->ends_us);
}

static void a_change_is_a_change_also_where_vouching_began_anew(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    dp_bus_unvouch(w->bus->w, r);
    dp_bus_vouch(w->bus->w, r, 0);
    arrives(w, r);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_false(v.is_provoked);
}

static void what_comes_while_held_needs_no_mark_to_be_a_change(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    arrives(w, r);
    PING(w, INBOX(.mark = 0));
    assert_wants_provoke(w);
    arrives(w, r);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_false(v.is_provoked);
}

static void named_in_vain_without_a_mark_a_folder_is_blind(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(.announced_n = 6, .announced_seq = head(w),
                  .announced_at_us = T0 - MINUTE));
    assert_waits_until(w, T0 + 4 * MINUTE);
    assert_int_equal(last_look(w).status, DP_PING_NOTHING);
    passes(w, 4 * MINUTE);
    assert_wants_provoke(w);
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
}

/* The answers may have been lost. */
static void named_a_few_times_without_a_mark_it_is_named_again(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(.announced_n = 1, .announced_seq = head(w),
                  .announced_at_us = T0));
    assert_wants_provoke(w);
    for (unsigned n = 2; n <= 5; n++) {
        w->hold->items[0].announced_n = n;
        assert_waits_until(w, T0 + (SECOND * 5 << (n - 2)));
        assert_int_equal(last_look(w).status, DP_PING_CHANGES);
    }
}

static void a_change_after_that_one_naming_is_announced(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(.announced_n = 1, .announced_seq = head(w),
                  .announced_at_us = T0 - MINUTE));
    arrives(w, r);
    dp_verdict v = look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_false(v.is_provoked);
}

/* No loops. */

static void the_first_repeat_comes_at_once(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    w->hold->not_before_us = T0 + 5 * SECOND;
    arrives(w, r);
    last_look(w);
    announced_again(w);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void later_repeats_wait_for_a_doubling_time(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    w->hold->ends_us = T0 + 7200 * SECOND;
    w->hold->proof_until_us = T0 + 7200 * SECOND;
    arrives(w, r);
    look(w);
    announced_again(w);
    look(w);
    announced_again(w);
    const dp_time_us waits[] = {5, 10, 20, 40, 80, 160, 300, 300, 300};
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        assert_waits_until(w, w->now_us + waits[i] * SECOND);
        passes(w, waits[i] * SECOND);
        assert_int_equal(look(w).status, DP_PING_CHANGES);
        announced_again(w);
    }
}

static void what_is_repeated_never_ends_in_status_1(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN));
    arrives(w, r);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(last_look(w).status, DP_PING_CHANGES);
        announced_again(w);
    }
}

static void a_newer_change_is_no_repeat(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .announced_n = 9));
    w->hold->items[0].announced_seq = arrives(w, r);
    w->hold->items[0].announced_at_us = T0;
    assert_int_equal(look(w).status, 0);
    arrives(w, r);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void what_is_repeated_in_vain_is_not_named_with_others(void **state)
{
    world *w = *state;
    dp_bus_ref inbox = mail(w, "INBOX"), work = mail(w, "Work");
    PING(w, INBOX(CLEAN, .announced_n = 9), WORK(CLEAN));
    w->hold->items[0].announced_seq = arrives(w, inbox);
    w->hold->items[0].announced_at_us = T0;
    arrives(w, work);
    look(w);
    assert_false(is_named(w, 0));
    assert_true(is_named(w, 1));
}

static void without_pace_repeats_are_spaced_still(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    w->rules.pace_us = 0;
    PING(w, INBOX(CLEAN, .announced_n = UINT32_MAX));
    w->hold->items[0].announced_seq = arrives(w, r);
    w->hold->items[0].announced_at_us = T0;
    assert_waits_until(w, T0 + 5 * MINUTE);
    w->hold->items[0].announced_n = 2;
    assert_waits_until(w, T0 + SECOND);
}

/* Backend lag. */

static void a_lagging_backend_is_asked_again_when_the_lag_is_over(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .lag_until_us = T0 + 2 * SECOND));
    w->hold->items[0].announced_seq = arrives(w, r);
    assert_waits_until(w, T0 + 2 * SECOND);
    passes(w, 2 * SECOND);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void the_lag_of_an_older_change_delays_no_newer_one(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .lag_until_us = T0 + 2 * SECOND));
    w->hold->items[0].announced_seq = arrives(w, r);
    arrives(w, r);
    assert_int_equal(look(w).status, DP_PING_CHANGES);
}

static void what_lags_is_announced_at_the_end(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    PING(w, INBOX(CLEAN, .lag_until_us = T0 + 2 * SECOND));
    w->hold->items[0].announced_seq = arrives(w, r);
    assert_int_equal(last_look(w).status, DP_PING_CHANGES);
}

/* Topics of a whole class. */

static void a_change_in_any_folder_is_one_of_its_class(void **state)
{
    world *w = *state;
    dp_bus_ref all = dp_bus_topic_add(
        w->bus->w,
        dp_topic_key(w->bus->map.header->hash_key, dp_span_str("alice"),
                     DP_CLASS_CALENDAR, dp_span_str("*")),
        DP_BUS_NO_SLOT, DP_BUS_TOPIC_CLASS);
    dp_bus_ref one = dp_bus_topic_add(
        w->bus->w,
        dp_topic_key(w->bus->map.header->hash_key, dp_span_str("alice"),
                     DP_CLASS_CALENDAR, dp_span_str("work")),
        all.slot, 0);
    dp_bus_vouch(w->bus->w, one, 0);
    dp_bus_vouch(w->bus->w, all, 0);
    PING(w, {"*", DP_CLASS_CALENDAR, {CLEAN}},
         {"work", DP_CLASS_CALENDAR, {CLEAN}});
    arrives(w, one);
    assert_int_equal(look(w).named_n, 2);
}

/* Why it ends. */

static void every_cause_ends_in_the_truth(void **state)
{
    world *w = *state;
    dp_bus_ref r = mail(w, "INBOX");
    for (int c = DP_CAUSE_HEARTBEAT; c <= DP_CAUSE_FORGET; c++) {
        PING(w, INBOX(CLEAN));
        w->hold->ending = (uint8_t)c;
        dp_verdict v = look(w);
        assert_int_equal(v.status, DP_PING_NOTHING);
        assert_int_equal(v.cause, c);
        is_flagged(w, r);
        v = look(w);
        assert_int_equal(v.status, DP_PING_CHANGES);
        assert_int_equal(v.cause, c);
    }
}

static void the_last_look_needs_no_moment_to_provoke(void **state)
{
    world *w = *state;
    mail(w, "INBOX");
    PING(w, INBOX(.mark = 0));
    w->hold->provoke_at_us = T0 + 50 * SECOND;
    dp_verdict v = last_look(w);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_true(v.is_provoked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOK_TEST(a_clean_hold_waits_for_its_heartbeat),
        LOOK_TEST(a_clean_hold_ends_with_status_1),
        LOOK_TEST(new_mail_is_announced_at_once),
        LOOK_TEST(the_folder_that_changed_is_named_and_no_other),
        LOOK_TEST(a_change_before_the_mark_is_known_to_the_device),
        LOOK_TEST(a_flag_waits_for_company),
        LOOK_TEST(a_later_flag_makes_the_wait_begin_again),
        LOOK_TEST(new_mail_does_not_wait_behind_a_flag),
        LOOK_TEST(a_flag_that_waits_is_named_with_new_mail_elsewhere),
        LOOK_TEST(a_flag_that_waits_is_announced_when_the_heartbeat_ends),
        LOOK_TEST(the_next_announcement_waits_for_pace),
        LOOK_TEST(what_waits_for_pace_is_announced_at_the_end),
        LOOK_TEST(an_announcement_waits_for_a_mark_to_become_firm),
        LOOK_TEST(a_mark_that_never_became_firm_is_not_waited_for_longer),
        LOOK_TEST(what_has_probably_arrived_is_told_at_the_end),
        LOOK_TEST(what_is_in_doubt_is_told_after_a_while),
        LOOK_TEST(what_is_in_doubt_is_told_at_the_end),
        LOOK_TEST(what_is_in_doubt_goes_along_with_news),
        LOOK_TEST(the_wrong_number_is_asked_for_after_a_while),
        LOOK_TEST(a_doubt_that_was_named_in_vain_waits_again),
        LOOK_TEST(the_wrong_number_is_asked_for_ever_less_often),
        LOOK_TEST(the_soonest_of_many_waits_is_slept_for),
        LOOK_TEST(without_a_mark_the_device_is_provoked_in_its_turn),
        LOOK_TEST(a_moment_that_is_reserved_is_waited_for),
        LOOK_TEST(vouched_for_after_the_mark_is_dirty),
        LOOK_TEST(vouched_for_again_from_where_it_was_is_clean),
        LOOK_TEST(a_change_is_a_change_also_where_vouching_began_anew),
        LOOK_TEST(what_comes_while_held_needs_no_mark_to_be_a_change),
        LOOK_TEST(named_in_vain_without_a_mark_a_folder_is_blind),
        LOOK_TEST(named_a_few_times_without_a_mark_it_is_named_again),
        LOOK_TEST(a_change_after_that_one_naming_is_announced),
        LOOK_TEST(the_first_repeat_comes_at_once),
        LOOK_TEST(later_repeats_wait_for_a_doubling_time),
        LOOK_TEST(what_is_repeated_never_ends_in_status_1),
        LOOK_TEST(a_newer_change_is_no_repeat),
        LOOK_TEST(what_is_repeated_in_vain_is_not_named_with_others),
        LOOK_TEST(without_pace_repeats_are_spaced_still),
        LOOK_TEST(a_lagging_backend_is_asked_again_when_the_lag_is_over),
        LOOK_TEST(the_lag_of_an_older_change_delays_no_newer_one),
        LOOK_TEST(what_lags_is_announced_at_the_end),
        LOOK_TEST(a_change_in_any_folder_is_one_of_its_class),
        LOOK_TEST(every_cause_ends_in_the_truth),
        LOOK_TEST(the_last_look_needs_no_moment_to_provoke),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
