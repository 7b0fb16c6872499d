/* adaptive_heartbeat: growing, shrinking, what the server says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tools/device/adaptive_heartbeat.h"

static dp_adaptive_heartbeat usual(void)
{
    dp_adaptive_heartbeat h;
    dp_adaptive_init(&h, 480, 60, 1680, 300);
    return h;
}

static void it_starts_within_its_bounds(void **state)
{
    dp_adaptive_heartbeat h;
    dp_adaptive_init(&h, 5, 60, 1680, 300);
    assert_int_equal(h.now_s, 60);
    dp_adaptive_init(&h, 5000, 60, 1680, 300);
    assert_int_equal(h.now_s, 1680);
}

static void each_ping_that_is_held_makes_the_next_longer(void **state)
{
    static const uint32_t expected[] = {780, 1080, 1380, 1680, 1680};
    dp_adaptive_heartbeat h = usual();
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        dp_adaptive_held(&h);
        assert_int_equal(h.now_s, expected[i]);
    }
}

static void after_a_loss_it_returns_to_what_was_good(void **state)
{
    dp_adaptive_heartbeat h = usual();
    dp_adaptive_held(&h); /* 480 was good */
    dp_adaptive_lost(&h); /* 780 was not */
    assert_int_equal(h.now_s, 480);
}

static void a_loss_without_anything_good_is_a_step_down(void **state)
{
    dp_adaptive_heartbeat h = usual();
    dp_adaptive_lost(&h);
    assert_int_equal(h.now_s, 180);
    dp_adaptive_lost(&h);
    assert_int_equal(h.now_s, 60);
    dp_adaptive_lost(&h);
    assert_int_equal(h.now_s, 60);
}

static void what_was_good_can_turn_bad(void **state)
{
    dp_adaptive_heartbeat h = usual();
    dp_adaptive_held(&h);
    dp_adaptive_lost(&h);
    dp_adaptive_lost(&h); /* 480, on another network */
    assert_true(h.now_s < 480);
}

/* A NAT that forgets after `limit_s`: the losses that it takes to live with
 * it, in `pings` Pings. */
static unsigned losses_under(uint32_t limit_s, unsigned pings,
                             uint32_t *out_last_s)
{
    dp_adaptive_heartbeat h = usual();
    unsigned losses = 0;
    for (unsigned i = 0; i < pings; i++) {
        *out_last_s = h.now_s;
        if (h.now_s < limit_s) {
            dp_adaptive_held(&h);
        }
        else {
            dp_adaptive_lost(&h);
            losses++;
        }
        assert_true(h.now_s >= h.min_s && h.now_s <= h.max_s);
    }
    return losses;
}

static void it_settles_below_what_the_network_allows(void **state)
{
    uint32_t last_s;
    for (uint32_t limit_s = 120; limit_s < 1680; limit_s += 60) {
        unsigned losses = losses_under(limit_s, 100, &last_s);
        assert_true(losses < 20); /* a look beyond every eighth time */
        assert_true(last_s < limit_s + 300);
    }
    assert_int_equal(losses_under(5000, 100, &last_s), 0);
}

static void a_better_network_is_noticed(void **state)
{
    dp_adaptive_heartbeat h = usual();
    dp_adaptive_held(&h);
    dp_adaptive_lost(&h); /* 780, once: the server was restarted */
    for (int i = 0; i < 60; i++) {
        dp_adaptive_held(&h);
    }
    assert_int_equal(h.now_s, 1680);
}

static void the_servers_bound_is_taken_over(void **state)
{
    dp_adaptive_heartbeat h = usual();
    assert_true(dp_adaptive_told(&h, 300));
    assert_int_equal(h.now_s, 300);
    dp_adaptive_held(&h);
    assert_int_equal(h.now_s, 300); /* not beyond */

    h = usual();
    assert_true(dp_adaptive_told(&h, 3000));
    assert_int_equal(h.now_s, 3000);

    h = usual();
    assert_true(dp_adaptive_told(&h, 10)); /* even below our own minimum */
    assert_int_equal(h.now_s, 10);
    dp_adaptive_lost(&h);
    assert_int_equal(h.now_s, 10);
}

static void a_bound_that_changes_nothing_is_told_apart(void **state)
{
    dp_adaptive_heartbeat h = usual();
    assert_false(dp_adaptive_told(&h, 480));
    assert_false(dp_adaptive_told(&h, 0));
    assert_int_equal(h.now_s, 480);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_within_its_bounds),
        cmocka_unit_test(each_ping_that_is_held_makes_the_next_longer),
        cmocka_unit_test(after_a_loss_it_returns_to_what_was_good),
        cmocka_unit_test(a_loss_without_anything_good_is_a_step_down),
        cmocka_unit_test(what_was_good_can_turn_bad),
        cmocka_unit_test(it_settles_below_what_the_network_allows),
        cmocka_unit_test(a_better_network_is_noticed),
        cmocka_unit_test(the_servers_bound_is_taken_over),
        cmocka_unit_test(a_bound_that_changes_nothing_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
