/* Histogram: buckets, quantiles, and what merging keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stats/histogram.h"

static int setup(void **state)
{
    *state = calloc(2, sizeof(dp_histogram));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void buckets_join_without_gap_or_overlap(void **state)
{
    (void)state;
    assert_int_equal(dp_histogram_low(0), 0);
    for (size_t i = 0; i < DP_HISTOGRAM_BUCKETS; i++) {
        int64_t low = dp_histogram_low(i), next = dp_histogram_low(i + 1);
        assert_true(next > low);
        assert_int_equal(dp_histogram_bucket(low), i);
        assert_int_equal(dp_histogram_bucket(next - 1), i);
    }
    assert_int_equal(dp_histogram_low(DP_HISTOGRAM_BUCKETS),
                     DP_HISTOGRAM_MAX + 1);
}

static void no_bucket_is_wider_than_a_32nd_of_its_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < DP_HISTOGRAM_BUCKETS; i++) {
        int64_t low = dp_histogram_low(i);
        int64_t width = dp_histogram_low(i + 1) - low;
        assert_true(width == 1 || width * 32 <= low);
    }
}

static void an_empty_one_says_zero(void **state)
{
    dp_histogram *h = *state;
    assert_int_equal(dp_histogram_quantile(h, 0.5), 0);
    assert_int_equal(h->n, 0);
}

static void quantiles_are_the_values_up_to_a_bucket(void **state)
{
    dp_histogram *h = *state;
    for (int64_t v = 1; v <= 100000; v++) {
        dp_histogram_add(h, v);
    }
    static const struct {
        double q;
        int64_t exact;
    } want[] = {{0, 1},        {0.5, 50000},   {0.9, 90000},
                {0.99, 99000}, {0.999, 99900}, {1, 100000}};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        int64_t got = dp_histogram_quantile(h, want[i].q);
        assert_true(got >= want[i].exact);
        assert_true(got <= want[i].exact + want[i].exact / 32);
    }
    assert_int_equal(h->min, 1);
    assert_int_equal(h->max, 100000);
    assert_int_equal(h->sum, (int64_t)100000 * 100001 / 2);
}

static void small_values_and_the_largest_are_exact(void **state)
{
    dp_histogram *h = *state;
    dp_histogram_add(h, 3);
    dp_histogram_add(h, 3);
    dp_histogram_add(h, 1000003);
    assert_int_equal(dp_histogram_quantile(h, 0.5), 3);
    assert_int_equal(dp_histogram_quantile(h, 1), 1000003);
}

static void one_value_is_every_quantile(void **state)
{
    dp_histogram *h = *state;
    dp_histogram_add(h, 777);
    assert_int_equal(dp_histogram_quantile(h, 0), 777);
    assert_int_equal(dp_histogram_quantile(h, 0.999), 777);
}

static void what_is_out_of_range_counts_at_its_edge(void **state)
{
    dp_histogram *h = *state;
    dp_histogram_add(h, -5);
    dp_histogram_add(h, INT64_MAX);
    assert_int_equal(h->bucket[0], 1);
    assert_int_equal(h->bucket[DP_HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(h->min, 0);
    assert_int_equal(dp_histogram_quantile(h, 1), INT64_MAX);
}

static void merged_ones_are_as_if_counted_in_one(void **state)
{
    dp_histogram *a = *state, *b = a + 1;
    dp_histogram *both = calloc(1, sizeof(*both));
    assert_non_null(both);
    for (int64_t v = 0; v < 5000; v++) {
        int64_t value = v * v;
        dp_histogram_add(v % 3 ? a : b, value);
        dp_histogram_add(both, value);
    }
    dp_histogram_merge(a, b);
    assert_memory_equal(a, both, sizeof(*both));
    free(both);
}

static void merging_an_empty_one_changes_nothing(void **state)
{
    dp_histogram *a = *state, *b = a + 1;
    dp_histogram_add(a, 40);
    dp_histogram_merge(a, b);
    assert_int_equal(a->n, 1);
    assert_int_equal(a->min, 40);
    dp_histogram_merge(b, a);
    assert_memory_equal(a, b, sizeof(*a));
}

static void a_cleared_one_is_empty(void **state)
{
    dp_histogram *a = *state, *b = a + 1;
    dp_histogram_add(a, 123456);
    dp_histogram_clear(a);
    assert_memory_equal(a, b, sizeof(*a));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(buckets_join_without_gap_or_overlap),
        TEST(no_bucket_is_wider_than_a_32nd_of_its_values),
        TEST(an_empty_one_says_zero),
        TEST(quantiles_are_the_values_up_to_a_bucket),
        TEST(small_values_and_the_largest_are_exact),
        TEST(one_value_is_every_quantile),
        TEST(what_is_out_of_range_counts_at_its_edge),
        TEST(merged_ones_are_as_if_counted_in_one),
        TEST(merging_an_empty_one_changes_nothing),
        TEST(a_cleared_one_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
