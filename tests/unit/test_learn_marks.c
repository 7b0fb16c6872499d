/* learn_marks: what the end of a Sync does to one collection's state. */
#include "test_device_support.h"

#include <string.h>

#include "observe/learn_private.h"

#define K0 0u
#define K1 11u
#define K2 12u
#define K3 13u

/* what had changed up to the mark of state_with() */
#define ADDS_AT_MARK   7u
#define OTHERS_AT_MARK 65534u /* and this count comes round */

static const uint64_t instance = 77;
static const dp_bus_ref topic = {3, 2};

static dp_mark at(uint64_t seq)
{
    return dp_mark_at(instance, seq);
}

/* A completed Sync that began when the bus stood at `seq`. */
static dp_mark_news done(uint64_t key, uint64_t new_key, uint64_t seq)
{
    return (dp_mark_news){.key_hash = key,
                          .new_key_hash = new_key,
                          .is_answered = true,
                          .is_completed = true,
                          .start = at(seq),
                          .began_us = 100 * DP_SECOND_US,
                          .now_us = 101 * DP_SECOND_US,
                          .backend_lag_us = 2 * DP_SECOND_US,
                          .token = seq + 1000};
}

static dp_mark_news brought(uint64_t key, uint64_t new_key, uint64_t seq)
{
    dp_mark_news n = done(key, new_key, seq);
    n.brought_adds = 1;
    return n;
}

/* A request that has got no answer (yet): only its key speaks. */
static dp_mark_news asks(uint64_t key)
{
    return (dp_mark_news){.key_hash = key,
                          .start = at(60),
                          .began_us = 100 * DP_SECOND_US,
                          .now_us = 101 * DP_SECOND_US};
}

static dp_coll_state state_with(uint64_t seq, uint64_t key)
{
    dp_mark mark = at(seq);
    mark.adds_1 = 1 + ADDS_AT_MARK;
    mark.others = OTHERS_AT_MARK;
    return (dp_coll_state){
        .mark = mark, .counted = topic, .prov_old_key = key};
}

static void a_sync_that_brings_nothing_makes_a_firm_mark(void **state)
{
    dp_coll_state st = {.announced_n = 1};
    dp_mark_news n = done(K1, 0, 50);
    assert_false(dp_learn_marks(&st, &n));
    assert_int_equal(st.mark.seq, 50);
    assert_int_equal(st.mark.instance, instance);
    assert_int_equal(st.prov.instance, 0);
    assert_int_equal(st.announced_n, 0);
    assert_int_equal(st.synced_at_us, n.now_us);
}

static void items_on_their_way_make_a_provisional_one(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    assert_true(dp_learn_marks(&st, &n));
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.prov.seq, 50);
    assert_int_equal(st.prov_token, 1050);
}

static void the_next_key_confirms_a_provisional_mark(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    dp_learn_marks(&st, &n);
    n = asks(K2);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 50);
    assert_int_equal(st.prov.instance, 0);
}

static void the_old_key_withdraws_it(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    dp_learn_marks(&st, &n);
    n = asks(K1);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.prov.instance, 0);
    assert_false(dp_coll_state_deliver(&st, 1050));
    assert_int_equal(st.mark.seq, 20);
}

static void a_device_that_goes_back_after_delivery_loses_the_mark(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    dp_learn_marks(&st, &n);
    assert_true(dp_coll_state_deliver(&st, 1050));
    assert_int_equal(st.mark.seq, 50);
    n = asks(K1);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.instance, 0);
}

static void a_key_that_we_never_saw_voids_all(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    dp_learn_marks(&st, &n);
    n = asks(K3);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.instance, 0);
    assert_int_equal(st.prov.instance, 0);
}

static void either_key_of_a_sync_that_brought_nothing_is_good(void **state)
{
    dp_coll_state st = {.announced_n = 0};
    dp_mark_news n = done(K1, K2, 50);
    dp_learn_marks(&st, &n);
    dp_coll_state lost = st, arrived = st;
    n = asks(K1);
    dp_learn_marks(&lost, &n);
    assert_int_equal(lost.mark.seq, 50);
    n = asks(K2);
    dp_learn_marks(&arrived, &n);
    assert_int_equal(arrived.mark.seq, 50);
}

static void items_under_an_unchanged_key_are_never_confirmed_by_it(
    void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K1, 50);
    dp_learn_marks(&st, &n);
    n = asks(K1);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.prov.instance, 0);
}

static void priming_starts_over(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K0, K1, 50);
    n.key_is_zero = true;
    n.is_completed = false;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.instance, 0);
    assert_int_equal(st.synced_at_us, 0);
    n = brought(K1, K2, 60);
    assert_true(dp_learn_marks(&st, &n));
    n = done(K2, K2, 70);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 70);
}

static void more_available_leaves_the_mark(void **state)
{
    dp_coll_state st = state_with(20, K1);
    st.announced_n = 1;
    dp_mark_news n = brought(K1, K2, 50);
    n.is_completed = false;
    assert_false(dp_learn_marks(&st, &n));
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.announced_n, 1);
    /* and both keys are good for it */
    n = brought(K2, K3, 51);
    assert_true(dp_learn_marks(&st, &n));
    assert_int_equal(st.mark.seq, 20);
}

static void an_invalid_key_voids_the_mark(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = asks(K1);
    n.is_gone = true;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.instance, 0);
}

static void marks_never_go_back_in_one_line_of_files(void **state)
{
    dp_coll_state st = state_with(60, K1);
    dp_mark_news n = done(K1, 0, 50); /* began before the one that ended */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 60);
}

static void a_mark_of_another_boot_gives_way(void **state)
{
    dp_coll_state st = state_with(60, K1);
    st.mark.instance = 1;
    dp_mark_news n = done(K1, 0, 50);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 50);
    assert_int_equal(st.mark.instance, instance);
}

static void without_a_bus_marks_are_left_but_the_sync_counts(void **state)
{
    dp_coll_state st = state_with(60, K1);
    dp_mark_news n = brought(K1, K2, 0);
    n.start = dp_mark_at(0, 0);
    assert_false(dp_learn_marks(&st, &n));
    assert_int_equal(st.mark.seq, 60);
    assert_int_equal(st.synced_at_us, n.now_us);
}

static void a_lagging_backend_leaves_the_mark_once(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    n.is_vouched = true;
    n.changed = n.newest = 45;
    n.changed_at_us = n.began_us - DP_SECOND_US;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.lag_until_us, n.changed_at_us + 2 * DP_SECOND_US);
    assert_int_equal(st.announced.seq, 45);
    assert_int_equal(st.announced_n, 0);
    n.began_us = st.lag_until_us; /* old enough now */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 50);
    assert_int_equal(st.lag_until_us, 0);
}

static void a_change_after_the_start_is_no_lag(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    n.is_vouched = true;
    n.changed = n.newest = 55;
    n.changed_at_us = n.began_us;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 50); /* dirty by itself: 55 > 50 */
    assert_int_equal(st.lag_until_us, 0);
}

/* The topic had so many changes since a mark that state_with() made, the newest
 * at `newest`, a second before the Sync began. */
static void has_changed(dp_mark_news *news, uint64_t newest, uint32_t adds,
                        uint32_t others)
{
    news->is_vouched = true;
    news->changed = news->newest = newest;
    news->watched_from = 5;
    news->ref = topic;
    news->is_counted = true;
    news->changed_new = adds && !others ? newest : 0;
    news->adds_n = ADDS_AT_MARK + adds;
    news->others_n = (uint16_t)(OTHERS_AT_MARK + others);
    news->changed_at_us = news->began_us - DP_SECOND_US;
}

/* Two mails shortly after each other, and a backend that shows the first. */
static void the_first_of_two_young_ones_does_not_count_for_both(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    has_changed(&n, 45, 2, 0);
    assert_true(dp_learn_marks(&st, &n));
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.prov.seq, 20); /* delivered, it covers no more */
    assert_int_equal(st.lag_until_us, n.changed_at_us + 2 * DP_SECOND_US);
    assert_int_equal(st.announced.seq, 45);
    /* and it still knows how many there are to come */
    assert_int_equal(st.prov.adds_1, 1 + ADDS_AT_MARK + 1);

    st = state_with(20, K1);
    n.brought_adds = 3; /* one of them is none of the two */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 20);
    assert_int_equal(st.prov.adds_1, 1 + ADDS_AT_MARK);

    st = state_with(20, K1);
    n.brought_adds = 2;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50);
    assert_int_equal(st.prov.adds_1, 1 + ADDS_AT_MARK + 2);
    assert_int_equal(st.lag_until_us, 0);

    st = state_with(20, K1);
    n.brought_adds = 1;
    n.changed_at_us = n.began_us - 2 * DP_SECOND_US; /* both are shown */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50);
}

/* As many items as there were changes, and yet one of them may be another:
 * nobody knows how many changes there were (before vouching began, of another
 * topic, while one was being written, since a mark without a count); the client
 * may be sent what it sent itself; what is no Add is no new item. */
static void what_is_not_counted_proves_nothing(void **state)
{
    for (int why = 0; why < 6; why++) {
        dp_coll_state st = state_with(20, K1);
        dp_mark_news n = brought(K1, K2, 50);
        has_changed(&n, 45, 1, 0);
        n.watched_from = why == 0 ? 21 : n.watched_from;
        n.ref.gen += why == 1 ? 2 : 0;
        n.is_counted = why != 2;
        st.mark.adds_1 = why == 3 ? 0 : st.mark.adds_1;
        n.brought_adds = why == 3 ? n.adds_n + 1 : n.brought_adds;
        n.has_commands = why == 4;
        n.brought_adds -= why == 5;
        n.brought_others = why == 5;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.prov.seq, 20);
        assert_int_not_equal(st.lag_until_us, 0);
    }
}

static void a_mark_that_covers_nothing_is_one_all_the_same(void **state)
{
    dp_coll_state st = {.prov_old_key = K1};
    dp_mark_news n = brought(K1, K2, 50);
    has_changed(&n, 45, 2, 0);
    assert_true(dp_learn_marks(&st, &n));
    assert_int_equal(st.prov.seq, 1);
    assert_int_equal(st.prov.adds_1, 0);
}

/* The count has the one that came meanwhile in it, and perhaps others: none of
 * them may be left out of what the next Sync has to bring. */
static void a_change_meanwhile_leaves_the_count_of_before(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    has_changed(&n, 55, 2, 0);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 50); /* 55 is told at once */
    assert_int_equal(st.mark.adds_1, 1 + ADDS_AT_MARK);
    assert_int_equal(st.lag_until_us, 0);
    n = brought(K1, K2, 60);
    has_changed(&n, 55, 2, 0);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50);
    assert_int_not_equal(st.lag_until_us, 0);
}

/* … unless the Sync has brought all of them. */
static void what_came_meanwhile_may_have_come_down_too(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    has_changed(&n, 55, 2, 1);
    n.brought_adds = 2;
    n.brought_others = 1;
    assert_true(dp_learn_marks(&st, &n));
    assert_int_equal(st.prov.seq, 55);
    assert_int_equal(st.prov.doubt, DP_DOUBT_LAST);
    assert_int_equal(st.prov.adds_1, 1 + ADDS_AT_MARK + 2);
    st = state_with(20, K1);
    n.brought_others = 2;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50);
    assert_int_equal(st.prov.doubt, DP_DOUBT_NONE); /* 55 is told anyway */
}

/* … but what that change hides is how young a new item before it is: it does
 * not wait with that change for company. */
static void a_new_item_is_not_hidden_by_a_change_after_the_start(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    has_changed(&n, 55, 1, 1);
    n.changed_new = 48;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 47);
    assert_int_equal(st.mark.adds_1, 1 + ADDS_AT_MARK);
    st = state_with(20, K1);
    n = brought(K1, K2, 50); /* it has come */
    has_changed(&n, 55, 1, 1);
    n.changed_new = 48;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50);
}

/* The guard ends what a Sync ends that comes late enough. */
static void a_useless_announcement_of_a_doubt_ends_it_too(void **state)
{
    dp_coll_state st = state_with(60, K1);
    st.mark.doubt = DP_DOUBT_QUIET;
    for (unsigned i = 0; i < 2; i++) {
        dp_mark_news n = done(K1, 0, 70 + i);
        has_changed(&n, 55, 0, 0);
        n.changed_at_us = 0;
        n.has_commands = true;
        st.announced_n = 1;
        dp_learn_marks(&st, &n);
    }
    assert_int_equal(st.mark.seq, 71);
    assert_int_equal(st.mark.doubt, DP_DOUBT_NONE);
}

/* New items are all there; of flags and deletions as many came as had changed,
 * or another number. */
static void of_others_there_is_a_doubt(void **state)
{
    for (uint32_t came = 0; came < 3; came++) {
        dp_coll_state st = state_with(20, K1);
        dp_mark_news n = brought(K1, K2, 50);
        has_changed(&n, 45, 1, 3);
        n.brought_others = 2 + came;
        assert_true(dp_learn_marks(&st, &n));
        assert_int_equal(st.lag_until_us, 0);
        assert_int_equal(st.prov.seq, 50);
        assert_int_equal(st.prov.doubt,
                         came == 1 ? DP_DOUBT_LAST : DP_DOUBT_QUIET);
        assert_true(dp_coll_state_deliver(&st, n.token));
        assert_int_not_equal(st.mark.doubt, DP_DOUBT_NONE);
    }
}

/* Published by somebody who does not count, over a source that does: what is
 * not counted is there all the same. */
static void what_is_not_counted_is_in_doubt(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    has_changed(&n, 45, 1, 0);
    n.changed_new = 44; /* and 45 is no new item */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50);
    assert_int_equal(st.prov.doubt, DP_DOUBT_LAST);
}

/* What is too old now has left, and stands for nothing that has changed. */
static void what_leaves_by_its_age_is_no_change(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    has_changed(&n, 45, 1, 1);
    n.left = 1;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.doubt, DP_DOUBT_QUIET);
    st = state_with(20, K1);
    has_changed(&n, 45, 0, 0);
    n.brought_adds = 0;
    n.changed_at_us = 0;
    assert_true(dp_learn_marks(&st, &n)); /* its response has to arrive, too */
}

/* The user wants to see more days: items come that are no news, as many as the
 * news that do not. */
static void another_filter_brings_what_nobody_counts(void **state)
{
    for (int parts = 0; parts < 2; parts++) {
        dp_coll_state st = state_with(20, K1);
        st.filter = 2;
        dp_mark_news n = done(K1, K2, 50);
        has_changed(&n, 55, 2, 0);
        n.filter = 4;
        n.brought_adds = 2;
        n.has_more = parts;
        n.is_completed = !parts;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.filter, 4);
        if (parts) {
            n = done(K2, K3, 51);
            has_changed(&n, 55, 2, 0);
            n.filter = 4;
            dp_learn_marks(&st, &n);
            assert_int_equal(st.mark.seq, 51);
        }
        else {
            assert_int_equal(st.prov.seq, 50); /* 55 is told */
        }
        n.filter = 0; /* as before, then */
        n.key_hash = parts ? K3 : K2;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.filter, 4);
    }
}

/* A state with such a doubt, of a change at 45. */
static dp_coll_state doubtful(dp_doubt doubt)
{
    dp_coll_state st = state_with(50, K1);
    st.mark.doubt = (uint8_t)doubt;
    st.doubt_until_us = DP_NEVER_US;
    return st;
}

static void a_sync_that_is_as_early_leaves_the_doubt(void **state)
{
    for (int has_commands = 0; has_commands < 2; has_commands++) {
        dp_coll_state st = doubtful(DP_DOUBT_LAST);
        dp_mark_news n = done(K1, 0, 60);
        has_changed(&n, 45, 0, 0);
        n.has_commands = has_commands;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.mark.doubt, DP_DOUBT_LAST);
        assert_int_equal(st.lag_until_us, 0);
        assert_int_equal(st.mark.seq, has_commands ? 50 : 60);
    }
}

static void a_later_one_ends_it(void **state)
{
    for (uint64_t start = 45; start < 65; start += 5) {
        dp_coll_state st = doubtful(DP_DOUBT_QUIET);
        dp_mark_news n = done(K1, 0, start);
        has_changed(&n, 45, 0, 0);
        n.changed_at_us = n.began_us - n.backend_lag_us;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.mark.doubt, DP_DOUBT_NONE);
        assert_int_equal(st.mark.seq, start > 50 ? start : 50);
    }
}

/* New items that are all there say nothing of what was in doubt before. */
static void new_items_do_not_end_it(void **state)
{
    dp_coll_state st = doubtful(DP_DOUBT_LAST);
    dp_mark_news n = brought(K1, K2, 60);
    has_changed(&n, 55, 1, 0);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 60);
    assert_int_equal(st.prov.doubt, DP_DOUBT_LAST);
}

/* Nor does one that changes are published during. */
static void a_change_meanwhile_leaves_the_doubt(void **state)
{
    dp_coll_state st = doubtful(DP_DOUBT_LAST);
    dp_mark_news n = done(K1, 0, 60);
    has_changed(&n, 65, 1, 0);
    n.changed_at_us = n.began_us - 10 * DP_SECOND_US;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 60);
    assert_int_equal(st.mark.doubt, DP_DOUBT_LAST);
}

/* What it is of has become old, whatever has come since. */
static void time_ends_the_doubt(void **state)
{
    for (int is_over = 0; is_over < 2; is_over++) {
        dp_coll_state st = state_with(20, K1);
        dp_mark_news n = brought(K1, K2, 50);
        has_changed(&n, 45, 1, 1);
        n.brought_others = 1;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.prov.doubt, DP_DOUBT_LAST);
        n = brought(K2, K3, 60);
        has_changed(&n, 55, 2, 1);
        n.changed_new = 55;
        n.began_us += DP_SECOND_US - !is_over;
        n.changed_at_us = n.began_us - 1;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.prov.seq, 60);
        assert_int_equal(st.prov.doubt,
                         is_over ? DP_DOUBT_NONE : DP_DOUBT_LAST);
    }
}

/* Three, of which one came meanwhile: two have come down, the next Sync brings
 * the third, and that is all. */
static void what_has_come_is_not_waited_for_again(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = brought(K1, K2, 50);
    has_changed(&n, 55, 3, 0);
    n.brought_adds = 2;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 50); /* 55 is told at once */
    n = brought(K2, K3, 60);
    has_changed(&n, 55, 3, 0);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.prov.seq, 60);
    assert_int_equal(st.lag_until_us, 0);
}

static void nobody_vouches_so_the_doubt_stays(void **state)
{
    dp_coll_state st = doubtful(DP_DOUBT_LAST);
    dp_mark_news n = done(K1, 0, 60);
    has_changed(&n, 45, 0, 0);
    n.changed_at_us = n.began_us - n.backend_lag_us;
    n.is_vouched = false;
    n.was_given_up = true;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.doubt, DP_DOUBT_LAST);
}

/* MoreAvailable: a Sync that is not completed, of so many new items. */
static dp_mark_news part(uint64_t key, uint64_t new_key, uint32_t adds)
{
    dp_mark_news n = done(key, new_key, 50);
    has_changed(&n, 45, 1, 0);
    n.is_completed = false;
    n.has_more = true;
    n.brought_adds = adds;
    return n;
}

static void parts_are_counted_together(void **state)
{
    for (uint32_t last = 0; last < 3; last++) {
        dp_coll_state st = state_with(20, K1);
        dp_mark_news n = part(K1, K2, 2);
        dp_learn_marks(&st, &n);
        n = part(K2, K3, 1);
        dp_learn_marks(&st, &n);
        n = brought(K3, K3 + 1, 51);
        has_changed(&n, 45, 4, 0);
        n.brought_adds = last;
        dp_learn_marks(&st, &n);
        bool is_all = st.prov.seq == 51 || st.mark.seq == 51;
        assert_int_equal(is_all, last == 1);
        assert_int_equal(st.more_adds, 0);
    }
}

/* The phone never got the first part, and has it sent again; or it came with
 * something that the phone had sent. */
static void a_part_counts_once_and_if_it_arrived(void **state)
{
    for (int why = 0; why < 3; why++) {
        dp_coll_state st = state_with(20, K1);
        dp_mark_news n = part(K1, K2, 1);
        n.has_commands = why == 2;
        dp_learn_marks(&st, &n);
        n = brought(why == 1 ? K1 : K2, K3, 51);
        has_changed(&n, 45, 2, 0);
        dp_learn_marks(&st, &n);
        assert_int_equal(st.prov.seq, why ? 20 : 51);
    }
}

static void what_was_there_when_vouching_began_may_be_young(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    has_changed(&n, 45, 0, 0);
    n.changed = 0;
    n.watched_from = 45;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.lag_until_us, n.changed_at_us + 2 * DP_SECOND_US);
}

static void commands_of_the_client_prove_no_currency(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, K2, 50);
    n.has_commands = true;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 20);
    assert_int_equal(st.synced_at_us, n.now_us);
    /* the next one finds the mark still good */
    n = asks(K2);
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 20);
}

static void two_useless_announcements_in_a_row_move_the_mark(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    n.has_commands = true;
    st.announced_n = 1;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.useless_n, 1);
    assert_int_equal(st.mark.seq, 20);
    st.announced_n = 1;
    n.start.seq = 55;
    n.is_vouched = true;
    n.changed = n.newest = 60; /* told while the second was under way */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 55); /* of the second's start */
    assert_int_equal(st.useless_n, 0);
}

static void what_may_be_kept_back_is_not_jumped_over(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    n.is_kept_back = true;
    st.announced_n = 1;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.announced_n, 0); /* told anew at once */
    for (uint32_t k = 1; k < 5; k++) {
        st.announced_n = k;
        dp_learn_marks(&st, &n);
        assert_int_equal(st.announced_n, k); /* then less and less often */
        assert_int_equal(st.mark.seq, 20);
    }
    n.is_kept_back = false;
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.seq, 50);
    assert_int_equal(st.announced_n, 0);
}

static void syncs_that_nobody_asked_for_do_not_count_as_useless(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    n.has_commands = true;
    for (int i = 0; i < 5; i++) {
        dp_learn_marks(&st, &n);
    }
    assert_int_equal(st.useless_n, 0);
    assert_int_equal(st.mark.seq, 20);
}

static void something_useful_in_between_begins_the_count_anew(void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news n = done(K1, 0, 50);
    n.has_commands = true;
    st.announced_n = 1;
    dp_learn_marks(&st, &n);
    dp_mark_news items = brought(K1, K2, 52);
    dp_learn_marks(&st, &items);
    assert_int_equal(st.useless_n, 0);
}

static void a_mark_ahead_of_what_comes_down_does_not_serve(void **state)
{
    dp_coll_state st = state_with(40, K1);
    dp_mark_news n = brought(K1, K2, 50);
    n.is_vouched = true;
    n.changed = n.newest = 30; /* the mark said that the device has this */
    dp_learn_marks(&st, &n);
    assert_int_equal(st.mark.instance, 0);
    assert_true(dp_coll_state_deliver(&st, n.token));
    assert_int_equal(st.mark.seq, 50);
}

static void a_request_that_was_given_up_tells_nothing_when_it_ends(
    void **state)
{
    dp_coll_state st = state_with(20, K1);
    dp_mark_news late = done(K1, K2, 50), priming = done(K0, K3, 60);
    priming.key_is_zero = true;
    priming.is_completed = false;
    priming.began_us = late.began_us + 1;
    dp_learn_marks(&st, &priming);
    dp_coll_state before = st;
    assert_false(dp_learn_marks(&st, &late));
    assert_memory_equal(&st, &before, sizeof(st));
    assert_int_equal(st.mark.instance, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_that_brings_nothing_makes_a_firm_mark),
        cmocka_unit_test(items_on_their_way_make_a_provisional_one),
        cmocka_unit_test(the_next_key_confirms_a_provisional_mark),
        cmocka_unit_test(the_old_key_withdraws_it),
        cmocka_unit_test(
            a_device_that_goes_back_after_delivery_loses_the_mark),
        cmocka_unit_test(a_key_that_we_never_saw_voids_all),
        cmocka_unit_test(either_key_of_a_sync_that_brought_nothing_is_good),
        cmocka_unit_test(
            items_under_an_unchanged_key_are_never_confirmed_by_it),
        cmocka_unit_test(priming_starts_over),
        cmocka_unit_test(more_available_leaves_the_mark),
        cmocka_unit_test(an_invalid_key_voids_the_mark),
        cmocka_unit_test(marks_never_go_back_in_one_line_of_files),
        cmocka_unit_test(a_mark_of_another_boot_gives_way),
        cmocka_unit_test(without_a_bus_marks_are_left_but_the_sync_counts),
        cmocka_unit_test(a_lagging_backend_leaves_the_mark_once),
        cmocka_unit_test(a_change_after_the_start_is_no_lag),
        cmocka_unit_test(the_first_of_two_young_ones_does_not_count_for_both),
        cmocka_unit_test(a_mark_that_covers_nothing_is_one_all_the_same),
        cmocka_unit_test(a_change_meanwhile_leaves_the_count_of_before),
        cmocka_unit_test(what_is_not_counted_proves_nothing),
        cmocka_unit_test(what_came_meanwhile_may_have_come_down_too),
        cmocka_unit_test(a_new_item_is_not_hidden_by_a_change_after_the_start),
        cmocka_unit_test(a_useless_announcement_of_a_doubt_ends_it_too),
        cmocka_unit_test(of_others_there_is_a_doubt),
        cmocka_unit_test(what_is_not_counted_is_in_doubt),
        cmocka_unit_test(what_leaves_by_its_age_is_no_change),
        cmocka_unit_test(another_filter_brings_what_nobody_counts),
        cmocka_unit_test(a_sync_that_is_as_early_leaves_the_doubt),
        cmocka_unit_test(a_later_one_ends_it),
        cmocka_unit_test(new_items_do_not_end_it),
        cmocka_unit_test(a_change_meanwhile_leaves_the_doubt),
        cmocka_unit_test(time_ends_the_doubt),
        cmocka_unit_test(what_has_come_is_not_waited_for_again),
        cmocka_unit_test(nobody_vouches_so_the_doubt_stays),
        cmocka_unit_test(parts_are_counted_together),
        cmocka_unit_test(a_part_counts_once_and_if_it_arrived),
        cmocka_unit_test(what_was_there_when_vouching_began_may_be_young),
        cmocka_unit_test(commands_of_the_client_prove_no_currency),
        cmocka_unit_test(two_useless_announcements_in_a_row_move_the_mark),
        cmocka_unit_test(what_may_be_kept_back_is_not_jumped_over),
        cmocka_unit_test(
            syncs_that_nobody_asked_for_do_not_count_as_useless),
        cmocka_unit_test(something_useful_in_between_begins_the_count_anew),
        cmocka_unit_test(
            a_request_that_was_given_up_tells_nothing_when_it_ends),
        cmocka_unit_test(a_mark_ahead_of_what_comes_down_does_not_serve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
