/* Jitter, and events at a bounded rate. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/spread.h"

#define SECOND DP_SECOND_US
#define T0     (1000 * SECOND)

static void a_random_time_lies_in_its_span(void **state)
{
    assert_int_equal(dp_spread_random_us(0), 0);
    assert_int_equal(dp_spread_random_us(-5), 0);
    assert_int_equal(dp_spread_random_us(1), 0);
    for (int i = 0; i < 10000; i++) {
        dp_time_us t = dp_spread_random_us(10);
        assert_true(t >= 0 && t < 10);
    }
    assert_true(dp_spread_random_us(INT64_MAX) >= 0);
}

static void random_times_fill_their_span(void **state)
{
    unsigned seen[16] = {0};
    for (int i = 0; i < 16000; i++) {
        seen[dp_spread_random_us(16)]++;
    }
    for (int i = 0; i < 16; i++) {
        assert_true(seen[i] > 500 && seen[i] < 2000);
    }
}

static void jitter_is_an_eighth_either_way(void **state)
{
    dp_time_us least = INT64_MAX, most = 0;
    for (int i = 0; i < 10000; i++) {
        dp_time_us t = dp_spread_jitter_us(800);
        assert_true(t >= 700 && t <= 900);
        least = t < least ? t : least;
        most = t > most ? t : most;
    }
    assert_true(least < 720 && most > 880);
    assert_int_equal(dp_spread_jitter_us(0), 0);
}

static void a_few_may_come_at_once_then_the_rate_holds(void **state)
{
    dp_spread_rate rate = {0};
    for (int i = 0; i < DP_SPREAD_BURST; i++) {
        assert_int_equal(dp_spread_reserve(&rate, 10, T0, SECOND), T0);
    }
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(dp_spread_reserve(&rate, 10, T0, SECOND),
                         T0 + i * SECOND / 10);
    }
    assert_int_equal(dp_spread_reserve(&rate, 10, T0, SECOND), 0);
    /* a refusal reserves nothing */
    assert_int_equal(dp_spread_reserve(&rate, 10, T0 + SECOND / 10, SECOND),
                     T0 + 11 * SECOND / 10);
}

static void with_no_patience_there_is_now_or_never(void **state)
{
    dp_spread_rate rate = {0};
    for (int i = 0; i < DP_SPREAD_BURST; i++) {
        assert_int_equal(dp_spread_reserve(&rate, 10, T0, 0), T0);
    }
    assert_int_equal(dp_spread_reserve(&rate, 10, T0, 0), 0);
    assert_int_equal(dp_spread_reserve(&rate, 10, T0 + SECOND / 10, 0),
                     T0 + SECOND / 10);
}

static void a_rate_of_nothing_is_never(void **state)
{
    dp_spread_rate rate = {0};
    assert_int_equal(dp_spread_reserve(&rate, 0, T0, DP_NEVER_US), 0);
}

static void a_rate_beyond_the_clock_is_no_limit(void **state)
{
    dp_spread_rate rate = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(dp_spread_reserve(&rate, UINT32_MAX, T0, 0), T0);
    }
}

static void a_long_silence_earns_no_more_than_the_burst(void **state)
{
    dp_spread_rate rate = {0};
    dp_spread_reserve(&rate, 1, T0, 0);
    dp_time_us later = T0 + 3600 * SECOND;
    for (int i = 0; i < DP_SPREAD_BURST; i++) {
        assert_int_equal(dp_spread_reserve(&rate, 1, later, 0), later);
    }
    assert_int_equal(dp_spread_reserve(&rate, 1, later, 0), 0);
}

enum { THREADS = 4, EACH = 20000 };

static void *reserve_many(void *arg)
{
    for (int i = 0; i < EACH; i++) {
        dp_spread_reserve(arg, 1000, T0, DP_NEVER_US / 2);
    }
    return NULL;
}

static void no_moment_is_given_twice(void **state)
{
    dp_spread_rate rate = {0};
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, reserve_many, &rate), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    /* each of them has moved the word by one step */
    assert_int_equal(atomic_load(&rate.next_us),
                     T0 + ((dp_time_us)THREADS * EACH - DP_SPREAD_BURST + 1)
                              * (SECOND / 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_time_lies_in_its_span),
        cmocka_unit_test(random_times_fill_their_span),
        cmocka_unit_test(jitter_is_an_eighth_either_way),
        cmocka_unit_test(a_few_may_come_at_once_then_the_rate_holds),
        cmocka_unit_test(with_no_patience_there_is_now_or_never),
        cmocka_unit_test(a_rate_of_nothing_is_never),
        cmocka_unit_test(a_rate_beyond_the_clock_is_no_limit),
        cmocka_unit_test(a_long_silence_earns_no_more_than_the_burst),
        cmocka_unit_test(no_moment_is_given_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
