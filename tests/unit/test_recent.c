/* Which child a device's last Ping came to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hold/recent.h"

static dp_recent recent;

static int setup(void **state)
{
    static const uint8_t key[DP_HASH_KEY_SIZE] = {7};
    memset(&recent, 0, sizeof(recent));
    dp_recent_init(&recent, key);
    return 0;
}

static dp_who who(const char *device)
{
    return (dp_who){.realm = dp_span_str("r"), .login = dp_span_str("a"),
                    .user = dp_span_str("a"), .device = dp_span_str(device)};
}

static void who_comes_again_is_known(void **state)
{
    uint32_t here = dp_recent_child(&recent), there = dp_recent_child(&recent);
    dp_who a = who("A");
    assert_int_not_equal(here, there);
    assert_false(dp_recent_claim(&recent, &a, here));
    assert_true(dp_recent_claim(&recent, &a, here));
    assert_false(dp_recent_claim(&recent, &a, there));
    assert_false(dp_recent_claim(&recent, &a, here));
    assert_true(dp_recent_claim(&recent, &a, here));
}

static void after_a_loss_nobody_is_known(void **state)
{
    uint32_t here = dp_recent_child(&recent);
    dp_who a = who("A"), b = who("B");
    dp_recent_claim(&recent, &a, here);
    dp_recent_claim(&recent, &b, here);
    dp_recent_lose(&recent);
    assert_false(dp_recent_claim(&recent, &a, here));
    assert_true(dp_recent_claim(&recent, &a, here));
    assert_false(dp_recent_claim(&recent, &b, here));
}

/* Far more devices than places: whoever lost his place is told of again, and
 * nobody is ever taken for another. */
static void devices_that_share_a_place_are_never_taken_for_each_other(
    void **state)
{
    uint32_t here = dp_recent_child(&recent);
    char name[16];
    unsigned known = 0;
    for (size_t i = 0; i < 3 * DP_RECENT_PLACES; i++) {
        snprintf(name, sizeof(name), "%zu", i);
        dp_who w = who(name);
        known += dp_recent_claim(&recent, &w, here);
    }
    assert_int_equal(known, 0);
}

static bool is_newest(const dp_who *w, uint64_t arrival)
{
    bool is = dp_recent_store_begin(&recent, w, arrival);
    dp_recent_store_end(&recent, w);
    return is;
}

static void the_newest_arrival_stays(void **state)
{
    dp_who a = who("A"), b = who("B");
    assert_true(dp_recent_note(&recent, &a, 10));
    assert_true(is_newest(&a, 10));
    assert_false(is_newest(&a, 9));
    dp_recent_note(&recent, &a, 5);
    assert_false(is_newest(&a, 9));
    assert_true(is_newest(&b, 1));
}

static void who_comes_while_another_stores_knows(void **state)
{
    dp_who a = who("A"), b = who("B");
    assert_true(dp_recent_store_begin(&recent, &a, 10));
    assert_false(dp_recent_note(&recent, &a, 11));
    assert_true(dp_recent_note(&recent, &b, 11));
    dp_recent_store_end(&recent, &a);
    assert_true(dp_recent_note(&recent, &a, 12));
}

/* A store that tells what a reader finds after each transaction. */
static dp_store *the;
static dp_store_ops watched;
static const dp_store_ops *plain;
static unsigned found_late;

static bool has(dp_store *s, const dp_who *w, const char *id)
{
    dp_ping_params p;
    bool is = dp_ping_params_get(s, NULL, w, &p) && p.folders_n
              && dp_span_is(p.folders[0].id, dp_span_str(id));
    dp_ping_params_free(&p);
    return is;
}

static apr_status_t commit(dp_store_txn **t)
{
    static bool is_within;
    apr_status_t rv = plain->commit(t);
    if (!is_within) {
        is_within = true;
        dp_who a = who("A");
        found_late += has(the, &a, "late");
        is_within = false;
    }
    return rv;
}

static apr_status_t ask_for(const char *id, uint64_t arrival)
{
    dp_who a = who("A");
    dp_ping_folder f = {dp_span_str(id), dp_span_str("Email")};
    dp_ping_params p = {.heartbeat_s = 60, .arrival = arrival, .folders_n = 1,
                        .folders = &f};
    return dp_recent_store(&recent, the, &a, &p);
}

/* A Ping that is overtaken by one that asks for what is stored already: a third
 * one, without a list, never gets that of the first. */
static void what_comes_late_is_never_to_be_seen(void **state)
{
    dp_who a = who("A");
    found_late = 0;
    assert_int_equal(dp_store_ram_open(&the), APR_SUCCESS);
    plain = the->ops;
    watched = *plain;
    watched.commit = commit;
    the->ops = &watched;
    dp_recent_note(&recent, &a, 1);
    ask_for("usual", 1);
    assert_true(has(the, &a, "usual"));
    dp_recent_note(&recent, &a, 2); /* it is slow */
    dp_recent_note(&recent, &a, 3); /* it finds what it asks for */
    ask_for("late", 2);
    assert_int_equal(found_late, 0);
    assert_false(has(the, &a, "usual")); /* in doubt */
    ask_for("usual", 3);
    ask_for("late", 2);
    assert_int_equal(found_late, 0);
    assert_true(has(the, &a, "usual"));
    the->ops = plain;
    plain->close(the, true);
}

/* Its word to the others was said by a child that has nothing to hold: the
 * next one may not think that it was its own. */
static void who_gives_way_leaves_no_claim(void **state)
{
    uint32_t here = dp_recent_child(&recent);
    dp_who a = who("A");
    dp_recent_note(&recent, &a, 5);
    dp_recent_claim(&recent, &a, here);
    assert_false(dp_recent_give_way(&recent, &a, 5));
    assert_true(dp_recent_claim(&recent, &a, here));
    assert_true(dp_recent_give_way(&recent, &a, 4));
    assert_false(dp_recent_claim(&recent, &a, here));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_comes_again_is_known, setup),
        cmocka_unit_test_setup(after_a_loss_nobody_is_known, setup),
        cmocka_unit_test_setup(
            devices_that_share_a_place_are_never_taken_for_each_other, setup),
        cmocka_unit_test_setup(the_newest_arrival_stays, setup),
        cmocka_unit_test_setup(who_gives_way_leaves_no_claim, setup),
        cmocka_unit_test_setup(who_comes_while_another_stores_knows, setup),
        cmocka_unit_test_setup(what_comes_late_is_never_to_be_seen, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
