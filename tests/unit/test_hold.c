/* A hold by itself: what it keeps, and how its state may change. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bus_fixture.h"
#include "hold/hold.h"

typedef struct move {
    dp_hold_state from, to;
} move;

static const move listed[] = {
#define DP_HOLD_MOVE(from, to) {DP_HOLD_##from, DP_HOLD_##to},
#include "hold/hold_states.def"
#undef DP_HOLD_MOVE
};

static const dp_who alice = {DP_SPAN_LIT("realm"), DP_SPAN_LIT("login"),
                             DP_SPAN_LIT("user"), DP_SPAN_LIT("device")};

static bool is_listed(dp_hold_state from, dp_hold_state to)
{
    for (size_t i = 0; i < sizeof(listed) / sizeof(*listed); i++) {
        if (listed[i].from == from && listed[i].to == to) {
            return true;
        }
    }
    return false;
}

static void a_hold_keeps_what_it_was_told(void **state)
{
    char id[] = "5", device[] = "PHONE";
    dp_who he = alice;
    he.device = dp_span_str(device);
    dp_hold_spec specs[] = {
        {.id = dp_span_str(id), .class_id = DP_CLASS_EMAIL, .mark = 7,
         .announced_seq = 6, .announced_n = 5, .announced_at_us = 4,
         .synced_at_us = 3, .lag_until_us = 2, .settle_until_us = 1,
         .likely_seq = 9},
        {.class_id = DP_CLASS_HIERARCHY}};
    dp_hold *h = dp_hold_make(&he, specs, 2);
    memset(id, 'x', 1);
    memset(device, 'x', 5);
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_PARKING);
    assert_true(dp_span_is(h->who.realm, alice.realm));
    assert_true(dp_span_is(h->who.login, alice.login));
    assert_true(dp_span_is(h->who.user, alice.user));
    assert_true(dp_span_is(h->who.device, DP_SPAN_LIT("PHONE")));
    const dp_hold_item *i = &h->items[0];
    assert_true(dp_span_is(dp_hold_item_id(i), DP_SPAN_LIT("5")));
    assert_int_equal(i->class_id, DP_CLASS_EMAIL);
    assert_int_equal(i->mark, 7);
    assert_int_equal(i->announced_seq, 6);
    assert_int_equal(i->announced_n, 5);
    assert_int_equal(i->announced_at_us, 4);
    assert_int_equal(i->synced_at_us, 3);
    assert_int_equal(i->lag_until_us, 2);
    assert_int_equal(i->settle_until_us, 1);
    assert_int_equal(i->likely_seq, 9);
    assert_int_equal(dp_hold_item_id(&h->items[1]).n, 0);
    dp_hold_free(&h);
    assert_null(h);
    dp_hold_free(&h);
}

static void every_listed_transition_works_from_its_state_only(void **state)
{
    dp_hold *h = dp_hold_make(&alice, NULL, 0);
    for (size_t i = 0; i < sizeof(listed) / sizeof(*listed); i++) {
        for (int is = 0; is < DP_HOLD_STATES_N; is++) {
            atomic_store(&h->state, (uint32_t)is);
            bool moved = dp_hold_transit(h, listed[i].from, listed[i].to);
            assert_int_equal(moved, is == (int)listed[i].from);
            assert_int_equal(dp_hold_state_of(h),
                             moved ? (int)listed[i].to : is);
        }
    }
    dp_hold_free(&h);
}

static void transit_in_vain(const void *arg)
{
    const move *m = arg;
    dp_hold *h = dp_hold_make(&alice, NULL, 0);
    atomic_store(&h->state, (uint32_t)m->from);
    dp_hold_transit(h, m->from, m->to);
}

static void free_a_linked_one(const void *arg)
{
    dp_hold *h = dp_hold_make(&alice, NULL, 0);
    h->is_linked = true;
    dp_hold_free(&h);
}

static void transit_no_hold(const void *arg)
{
    dp_hold *h = dp_hold_make(&alice, NULL, 0);
    h->magic = 0;
    dp_hold_transit(h, DP_HOLD_HELD, DP_HOLD_TAKEN);
}

/* In a process of its own, since it ends there. */
static void assert_aborts(void (*f)(const void *arg), const void *arg)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(1);
        }
        f(arg);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void an_unlisted_transition_is_our_defect(void **state)
{
    for (int from = 0; from < DP_HOLD_STATES_N; from++) {
        for (int to = 0; to < DP_HOLD_STATES_N; to++) {
            move m = {(dp_hold_state)from, (dp_hold_state)to};
            if (!is_listed(m.from, m.to)) {
                assert_aborts(transit_in_vain, &m);
            }
        }
    }
}

static void so_is_freeing_what_others_can_find(void **state)
{
    assert_aborts(free_a_linked_one, NULL);
}

static void so_is_touching_what_is_no_hold(void **state)
{
    assert_aborts(transit_no_hold, NULL);
}

static void every_state_and_cause_has_a_name(void **state)
{
    for (int s = 0; s < DP_HOLD_STATES_N; s++) {
        assert_string_not_equal(dp_hold_state_name((dp_hold_state)s), "?");
    }
    assert_string_equal(dp_hold_state_name(DP_HOLD_STATES_N), "?");
    for (int c = 0; c <= DP_CAUSE_GONE; c++) {
        assert_string_not_equal(dp_hold_cause_name((dp_hold_cause)c), "?");
    }
    assert_string_equal(dp_hold_cause_name(DP_CAUSE_GONE), "gone");
    assert_string_equal(dp_hold_cause_name(DP_CAUSE_GONE + 1), "?");
}

static void no_state_is_a_dead_end_or_out_of_reach(void **state)
{
    bool leads[DP_HOLD_STATES_N] = {false}, led_to[DP_HOLD_STATES_N] = {false};
    for (size_t i = 0; i < sizeof(listed) / sizeof(*listed); i++) {
        leads[listed[i].from] = true;
        led_to[listed[i].to] = true;
    }
    for (int s = 0; s < DP_HOLD_STATES_N; s++) {
        assert_true(leads[s] && led_to[s]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_keeps_what_it_was_told),
        cmocka_unit_test(every_listed_transition_works_from_its_state_only),
        cmocka_unit_test(an_unlisted_transition_is_our_defect),
        cmocka_unit_test(so_is_freeing_what_others_can_find),
        cmocka_unit_test(so_is_touching_what_is_no_hold),
        cmocka_unit_test(every_state_and_cause_has_a_name),
        cmocka_unit_test(no_state_is_a_dead_end_or_out_of_reach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
