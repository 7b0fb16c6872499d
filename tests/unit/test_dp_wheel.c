/* dp_wheel against the simplest model: a list of due times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/dp_wheel.h"

typedef struct item {
    dp_timer timer;
    dp_time_us due_us; /* DP_NEVER_US: not linked */
    unsigned fired_n;
    dp_time_us again_us; /* relink when fired, unless 0 */
} item;

typedef struct fixture {
    dp_wheel wheel;
    dp_time_us now_us;
} fixture;

static void note_fired(dp_timer *t, void *ctx)
{
    fixture *f = ctx;
    item *it = DP_TIMER_OWNER(t, item, timer);
    assert_false(dp_timer_is_linked(t));
    assert_true(it->due_us <= f->now_us);
    it->fired_n++;
    it->due_us = DP_NEVER_US;
    if (it->again_us) {
        it->due_us = it->again_us;
        dp_wheel_link(&f->wheel, t, it->again_us);
    }
}

static void link_item(fixture *f, item *it, dp_time_us due_us)
{
    it->due_us = due_us;
    dp_wheel_link(&f->wheel, &it->timer, due_us);
}

static size_t expire_at(fixture *f, dp_time_us now_us)
{
    f->now_us = now_us;
    return dp_wheel_expire(&f->wheel, now_us, note_fired, f);
}

static void an_empty_wheel_sleeps_for_ever(void **state)
{
    fixture f;
    dp_wheel_init(&f.wheel, 12345);
    assert_int_equal(dp_wheel_next(&f.wheel), DP_NEVER_US);
    assert_int_equal(expire_at(&f, 10 * DP_SECOND_US), 0);
    dp_wheel_validate(&f.wheel);
}

static void a_timer_fires_once_not_early_and_at_most_a_tick_late(void **state)
{
    fixture f;
    item it = {.due_us = DP_NEVER_US};
    dp_wheel_init(&f.wheel, 1000000);
    link_item(&f, &it, 1500000);
    assert_true(dp_wheel_next(&f.wheel) < 1500000 + DP_WHEEL_TICK_US);
    assert_int_equal(expire_at(&f, 1499999), 0);
    assert_int_equal(expire_at(&f, 1500000 + DP_WHEEL_TICK_US), 1);
    assert_int_equal(expire_at(&f, 9999999), 0);
    assert_int_equal(it.fired_n, 1);
}

static void unlinking_twice_is_harmless(void **state)
{
    fixture f;
    item it = {.due_us = DP_NEVER_US};
    dp_wheel_init(&f.wheel, 1);
    dp_wheel_unlink(&f.wheel, &it.timer);
    link_item(&f, &it, 50);
    dp_wheel_unlink(&f.wheel, &it.timer);
    dp_wheel_unlink(&f.wheel, &it.timer);
    assert_int_equal(f.wheel.timers_n, 0);
    assert_int_equal(expire_at(&f, DP_SECOND_US), 0);
}

static void a_timer_relinked_into_the_past_waits_for_the_next_call(void **state)
{
    fixture f;
    item it = {.again_us = 5};
    dp_wheel_init(&f.wheel, DP_SECOND_US);
    link_item(&f, &it, 5);
    assert_true(dp_wheel_next(&f.wheel) <= DP_SECOND_US);
    assert_int_equal(expire_at(&f, DP_SECOND_US), 1);
    assert_int_equal(expire_at(&f, DP_SECOND_US), 1);
    dp_wheel_unlink(&f.wheel, &it.timer);
}

static void hours_and_never_are_in_range(void **state)
{
    fixture f;
    item far = {.due_us = DP_NEVER_US}, never = {.due_us = DP_NEVER_US};
    dp_wheel_init(&f.wheel, 1);
    link_item(&f, &far, 48 * 3600 * DP_SECOND_US);
    link_item(&f, &never, DP_NEVER_US);
    dp_wheel_validate(&f.wheel);
    int wakes = 0;
    while (!far.fired_n) {
        expire_at(&f, dp_wheel_next(&f.wheel));
        dp_wheel_validate(&f.wheel);
        wakes++;
    }
    assert_true(wakes <= DP_WHEEL_LEVELS);
    assert_int_equal(never.fired_n, 0);
    dp_wheel_unlink(&f.wheel, &never.timer);
}

/* The model: at every step all items that are due, and no others, fire. */
static void check_against_model(fixture *f, item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(items[i].due_us == DP_NEVER_US
                    || items[i].due_us > f->now_us - DP_WHEEL_TICK_US);
    }
    dp_wheel_validate(&f->wheel);
}

static void many_timers_behave_like_a_list(void **state)
{
    enum { N = 300, STEPS = 20000 };
    static item items[N];
    fixture f = {.now_us = 777};
    srand(1);
    for (int i = 0; i < N; i++) {
        items[i].due_us = DP_NEVER_US;
    }
    dp_wheel_init(&f.wheel, f.now_us);
    for (int step = 0; step < STEPS; step++) {
        item *it = &items[rand() % N];
        int shift = rand() % 36;
        if (rand() % 4 == 0) {
            dp_wheel_unlink(&f.wheel, &it->timer);
            it->due_us = DP_NEVER_US;
        }
        else {
            link_item(&f, it, f.now_us + (rand() & ((1ll << shift) - 1)));
        }
        if (rand() % 3 == 0) {
            dp_time_us next = dp_wheel_next(&f.wheel);
            dp_time_us to = f.now_us + (rand() & ((1ll << rand() % 28) - 1));
            bool due = next <= to;
            size_t fired = expire_at(&f, to);
            assert_true(due || fired == 0); /* next is never late */
            check_against_model(&f, items, N);
        }
    }
    for (int i = 0; i < N; i++) {
        dp_wheel_unlink(&f.wheel, &items[i].timer);
    }
    dp_wheel_validate(&f.wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_wheel_sleeps_for_ever),
        cmocka_unit_test(
            a_timer_fires_once_not_early_and_at_most_a_tick_late),
        cmocka_unit_test(unlinking_twice_is_harmless),
        cmocka_unit_test(
            a_timer_relinked_into_the_past_waits_for_the_next_call),
        cmocka_unit_test(hours_and_never_are_in_range),
        cmocka_unit_test(many_timers_behave_like_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
