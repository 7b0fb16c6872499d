/* back_off: doubling, jitter within its bounds, and the server's wish. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tools/device/back_off.h"

#define SEEDS 200

static void delays_double_up_to_the_maximum(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        dp_back_off b;
        dp_back_off_init(&b, 1000, 16000, seed);
        dp_time_us whole = 1000;
        for (int i = 0; i < 10; i++) {
            dp_time_us delay = dp_back_off_next(&b, 0);
            assert_true(delay >= whole / 2 && delay <= whole);
            whole = whole * 2 < 16000 ? whole * 2 : 16000;
        }
    }
}

static void phones_spread_over_half_the_delay(void **state)
{
    dp_time_us least = INT64_MAX, most = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        dp_back_off b;
        dp_back_off_init(&b, 60000000, 60000000, seed * 0x9E3779B97F4A7C15);
        dp_time_us delay = dp_back_off_next(&b, 0);
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
    }
    assert_true(least < 33000000);
    assert_true(most > 57000000);
}

static void success_begins_again(void **state)
{
    dp_back_off b;
    dp_back_off_init(&b, 1000, 1000000, 7);
    for (int i = 0; i < 8; i++) {
        dp_back_off_next(&b, 0);
    }
    assert_int_equal(b.failures, 8);
    dp_back_off_reset(&b);
    assert_true(dp_back_off_next(&b, 0) <= 1000);
}

static void a_server_that_asks_for_time_gets_it(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        dp_back_off b;
        dp_back_off_init(&b, DP_SECOND_US, 60 * DP_SECOND_US, seed);
        dp_time_us delay = dp_back_off_next(&b, 120 * DP_SECOND_US);
        assert_true(delay >= 120 * DP_SECOND_US);
        assert_true(delay <= 132 * DP_SECOND_US);
    }
}

static void an_absurd_wish_is_an_hour(void **state)
{
    dp_back_off b;
    dp_back_off_init(&b, DP_SECOND_US, 60 * DP_SECOND_US, 1);
    dp_time_us delay = dp_back_off_next(&b, DP_NEVER_US);
    assert_true(delay >= 3600 * DP_SECOND_US && delay <= 3960 * DP_SECOND_US);
}

static void a_wish_below_our_own_delay_changes_nothing(void **state)
{
    dp_back_off b;
    dp_back_off_init(&b, 100 * DP_SECOND_US, 100 * DP_SECOND_US, 1);
    dp_time_us delay = dp_back_off_next(&b, DP_SECOND_US);
    assert_true(delay >= 50 * DP_SECOND_US && delay <= 100 * DP_SECOND_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_double_up_to_the_maximum),
        cmocka_unit_test(phones_spread_over_half_the_delay),
        cmocka_unit_test(success_begins_again),
        cmocka_unit_test(a_server_that_asks_for_time_gets_it),
        cmocka_unit_test(an_absurd_wish_is_an_hour),
        cmocka_unit_test(a_wish_below_our_own_delay_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
