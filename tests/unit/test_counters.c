/* Counters: slots of processes that come and go, sums over all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stats/counters.h"

enum { SLOTS = 3 };

static int setup(void **state)
{
    void *block = mmap(NULL, dp_counters_size(SLOTS), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(block, MAP_FAILED);
    dp_counters_init(block, SLOTS);
    *state = block;
    return 0;
}

static int teardown(void **state)
{
    return munmap(*state, dp_counters_size(SLOTS));
}

/* A child of Apache that counts, and is gone when this returns. */
static void live_and_die(dp_counters *block, int64_t pings, int64_t holds)
{
    pid_t pid = fork();
    if (pid == 0) {
        dp_counter_slot *s = dp_counters_claim(block);
        dp_count(s, DP_COUNT_pings, pings);
        dp_count(s, DP_COUNT_held, holds);
        _exit(s ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_process_counts_in_its_slot(void **state)
{
    dp_counters *block = *state;
    dp_counter_slot *s = dp_counters_claim(block);
    assert_int_equal(atomic_load(&s->pid), getpid());
    dp_count(s, DP_COUNT_held, 5);
    dp_count(s, DP_COUNT_held, -2);
    dp_count(s, DP_COUNT_pings, 7);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_held), 3);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_pings), 7);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_marks), 0);
}

static void a_bound_counts_the_living_only(void **state)
{
    dp_counters *block = *state;
    live_and_die(block, 1, 5);
    dp_count(dp_counters_claim(block), DP_COUNT_held, 1);
    live_and_die(block, 1, 7);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_held), 1);
    assert_true(dp_counters_is_below(block, DP_COUNT_held, 100));
    assert_true(dp_counters_is_below(block, DP_COUNT_held, 2));
    assert_false(dp_counters_is_below(block, DP_COUNT_held, 1));
}

static void slots_of_living_processes_are_not_given_twice(void **state)
{
    dp_counters *block = *state;
    for (int i = 0; i < SLOTS; i++) {
        assert_ptr_equal(dp_counters_claim(block), &block->slot[i]);
    }
    assert_null(dp_counters_claim(block));
}

static void without_a_slot_nothing_is_counted(void **state)
{
    dp_count(NULL, DP_COUNT_pings, 1);
    assert_int_equal(dp_counters_sum(*state, DP_COUNT_pings), 0);
}

static void the_dead_hold_nothing_but_have_done_what_they_did(void **state)
{
    dp_counters *block = *state;
    live_and_die(block, 10, 4);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_pings), 10);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_held), 0);
}

static void who_takes_over_a_slot_goes_on_counting(void **state)
{
    dp_counters *block = *state;
    for (int i = 0; i < 10 * SLOTS; i++) {
        live_and_die(block, 10, 4);
    }
    assert_int_equal(dp_counters_sum(block, DP_COUNT_pings), 100 * SLOTS);
    dp_counter_slot *s = dp_counters_claim(block);
    assert_non_null(s);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_held), 0);
    dp_count(s, DP_COUNT_held, 1);
    assert_int_equal(dp_counters_sum(block, DP_COUNT_held), 1);
}

static void every_counter_has_name_help_and_kind(void **state)
{
    for (int c = 0; c < DP_COUNTERS_N; c++) {
        assert_true(strlen(dp_counter_name((dp_counter)c)) > 0);
        assert_true(strlen(dp_counter_help((dp_counter)c)) > 0);
        for (int other = 0; other < c; other++) {
            assert_string_not_equal(dp_counter_name((dp_counter)c),
                                    dp_counter_name((dp_counter)other));
        }
    }
    assert_string_equal(dp_counter_name(DP_COUNT_held), "held");
    assert_int_equal(dp_counter_kind_of(DP_COUNT_held), DP_COUNTER_GAUGE);
    assert_int_equal(dp_counter_kind_of(DP_COUNT_pings), DP_COUNTER_COUNT);
}

#define COUNT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COUNT_TEST(a_process_counts_in_its_slot),
        COUNT_TEST(slots_of_living_processes_are_not_given_twice),
        COUNT_TEST(without_a_slot_nothing_is_counted),
        COUNT_TEST(the_dead_hold_nothing_but_have_done_what_they_did),
        COUNT_TEST(who_takes_over_a_slot_goes_on_counting),
        COUNT_TEST(a_bound_counts_the_living_only),
        COUNT_TEST(every_counter_has_name_help_and_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
