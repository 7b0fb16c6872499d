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

static void the_newest_arrival_stays(void **state)
{
    dp_who a = who("A"), b = who("B");
    dp_recent_note(&recent, &a, 10);
    assert_false(dp_recent_is_newer(&recent, &a, 10));
    assert_true(dp_recent_is_newer(&recent, &a, 9));
    dp_recent_note(&recent, &a, 5);
    assert_true(dp_recent_is_newer(&recent, &a, 9));
    assert_false(dp_recent_is_newer(&recent, &b, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_comes_again_is_known, setup),
        cmocka_unit_test_setup(after_a_loss_nobody_is_known, setup),
        cmocka_unit_test_setup(
            devices_that_share_a_place_are_never_taken_for_each_other, setup),
        cmocka_unit_test_setup(the_newest_arrival_stays, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
