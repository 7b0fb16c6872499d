/* Which heartbeats are taken, and when a Ping is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/heartbeat.h"

static void a_heartbeat_within_the_bounds_is_taken(void **state)
{
    assert_int_equal(dp_heartbeat_clamp(60, 60, 3540), 60);
    assert_int_equal(dp_heartbeat_clamp(900, 60, 3540), 900);
    assert_int_equal(dp_heartbeat_clamp(3540, 60, 3540), 3540);
}

static void outside_the_nearest_is_offered(void **state)
{
    assert_int_equal(dp_heartbeat_clamp(0, 60, 3540), 60);
    assert_int_equal(dp_heartbeat_clamp(59, 60, 3540), 60);
    assert_int_equal(dp_heartbeat_clamp(3541, 60, 3540), 3540);
    assert_int_equal(dp_heartbeat_clamp(UINT32_MAX, 60, 3540), 3540);
}

static void a_ping_is_answered_a_little_before_its_heartbeat_ends(void **state)
{
    assert_int_equal(dp_heartbeat_hold_us(30), 29 * DP_SECOND_US);
    assert_int_equal(dp_heartbeat_hold_us(60), 58 * DP_SECOND_US);
    assert_int_equal(dp_heartbeat_hold_us(3540), 3538 * DP_SECOND_US);
    assert_int_equal(dp_heartbeat_hold_us(UINT32_MAX),
                     ((dp_time_us)UINT32_MAX - 2) * DP_SECOND_US);
}

static void it_is_held_for_some_time_always(void **state)
{
    assert_int_equal(dp_heartbeat_hold_us(0), 0);
    for (uint32_t s = 1; s < 4000; s++) {
        dp_time_us held = dp_heartbeat_hold_us(s);
        assert_true(held > 0 && held < s * DP_SECOND_US);
        assert_true(s * DP_SECOND_US - held <= 2 * DP_SECOND_US);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heartbeat_within_the_bounds_is_taken),
        cmocka_unit_test(outside_the_nearest_is_offered),
        cmocka_unit_test(a_ping_is_answered_a_little_before_its_heartbeat_ends),
        cmocka_unit_test(it_is_held_for_some_time_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
