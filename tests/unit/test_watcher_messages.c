/* What names that come and go in new/ and cur/ mean; cursors; the set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "watcher/maildir_messages.h"

static const uint8_t key[16] = {7};

static dp_messages *fresh(void **state)
{
    static dp_messages m;
    dp_messages_clear(&m);
    m.key = key;
    (void)state;
    return &m;
}

#define CAME(where, name) dp_messages_came(m, where, DP_SPAN_LIT(name))
#define LEFT(where, name) dp_messages_went(m, where, DP_SPAN_LIT(name), true)
#define DIED(where, name) dp_messages_went(m, where, DP_SPAN_LIT(name), false)

static void a_mail_that_comes_to_new_is_new_once(void **state)
{
    dp_messages *m = fresh(state);
    assert_int_equal(CAME(DP_IN_NEW, "a"), DP_VERDICT_NEW);
    assert_int_equal(CAME(DP_IN_NEW, "a"), DP_VERDICT_NOTHING);
    assert_int_equal(CAME(DP_IN_NEW, ".a"), DP_VERDICT_NOTHING);
    dp_messages_clear(m);
}

static void selecting_is_nothing_and_flags_are_other(void **state)
{
    dp_messages *m = fresh(state);
    CAME(DP_IN_NEW, "a");
    assert_int_equal(LEFT(DP_IN_NEW, "a"), DP_VERDICT_NOTHING);
    assert_int_equal(CAME(DP_IN_CUR, "a:2,"), DP_VERDICT_NOTHING);
    assert_int_equal(LEFT(DP_IN_CUR, "a:2,"), DP_VERDICT_OTHER);
    assert_int_equal(CAME(DP_IN_CUR, "a:2,S"), DP_VERDICT_BACK);
    assert_int_equal(LEFT(DP_IN_CUR, "a:2,S"), DP_VERDICT_OTHER);
    assert_int_equal(CAME(DP_IN_NEW, "a"), DP_VERDICT_BACK);
    assert_int_equal(DIED(DP_IN_NEW, "a"), DP_VERDICT_OTHER);
    assert_int_equal(m->count, 0);
    assert_int_equal(m->names, 0);
    assert_int_equal(m->flags, 0);
    dp_messages_clear(m);
}

static void seen_while_selecting_is_other(void **state)
{
    dp_messages *m = fresh(state);
    CAME(DP_IN_NEW, "a");
    LEFT(DP_IN_NEW, "a");
    assert_int_equal(CAME(DP_IN_CUR, "a:2,S"), DP_VERDICT_OTHER);
    dp_messages_clear(m);
}

static void a_mail_from_elsewhere_in_cur_is_new(void **state)
{
    dp_messages *m = fresh(state);
    assert_int_equal(CAME(DP_IN_CUR, "a:2,S"), DP_VERDICT_NEW);
    dp_messages_clear(m);
}

static void a_link_into_cur_is_a_move(void **state)
{
    dp_messages *m = fresh(state);
    CAME(DP_IN_NEW, "a");
    assert_int_equal(CAME(DP_IN_CUR, "a:2,"), DP_VERDICT_NOTHING);
    assert_int_equal(DIED(DP_IN_NEW, "a"), DP_VERDICT_NOTHING);
    assert_int_equal(m->count, 1);
    dp_messages_clear(m);
}

static void who_leaves_new_and_never_arrives_is_other(void **state)
{
    uint32_t n;
    dp_messages *m = fresh(state);
    CAME(DP_IN_NEW, "a");
    LEFT(DP_IN_NEW, "a");
    assert_int_equal(dp_messages_give_up_leavers(m, &n), DP_VERDICT_OTHER);
    assert_int_equal(n, 1);
    assert_int_equal(dp_messages_give_up_leavers(m, &n), DP_VERDICT_NOTHING);
    CAME(DP_IN_CUR, "b:2,");
    assert_int_equal(LEFT(DP_IN_CUR, "b:2,"), DP_VERDICT_OTHER);
    assert_int_equal(dp_messages_give_up_leavers(m, &n), DP_VERDICT_NOTHING);
    assert_int_equal(n, 0);
    dp_messages_clear(m);
}

static void leavers_are_bounded(void **state)
{
    dp_messages *m = fresh(state);
    char name[32];
    bool was_told = false;
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        dp_messages_came(m, DP_IN_NEW, dp_span_str(name));
        was_told |= dp_messages_went(m, DP_IN_NEW, dp_span_str(name), true)
                    == DP_VERDICT_OTHER;
    }
    assert_true(was_told);
    assert_true(m->leavers_n <= 1024);
    dp_messages_clear(m);
}

static void found_and_told_counts_once(void **state)
{
    dp_messages *m = fresh(state);
    dp_messages_begin(m);
    dp_messages_found(m, DP_IN_NEW, DP_SPAN_LIT("a"));
    dp_messages_found(m, DP_IN_CUR, DP_SPAN_LIT("b:2,S"));
    CAME(DP_IN_NEW, "a");      /* came before the scan saw it */
    DIED(DP_IN_CUR, "c:2,");   /* died before the scan came there */
    LEFT(DP_IN_CUR, "b:2,S");  /* both ends of a rename, both ways */
    CAME(DP_IN_CUR, "b:2,FS");
    dp_messages_found(m, DP_IN_CUR, DP_SPAN_LIT("b:2,FS"));
    dp_messages_settled(m);
    assert_int_equal(m->count, 2);
    dp_messages again = {.key = key};
    dp_messages_begin(&again);
    dp_messages_found(&again, DP_IN_CUR, DP_SPAN_LIT("b:2,FS"));
    dp_messages_found(&again, DP_IN_NEW, DP_SPAN_LIT("a"));
    dp_messages_settled(&again);
    assert_true(again.names == m->names && again.flags == m->flags);
    dp_messages_clear(&again);
    dp_messages_clear(m);
}

static void cursors_tell_same_other_new_and_stranger(void **state)
{
    dp_cursor a = {.names = 1, .flags = 2, .count = 3, .identity = 4, .trip = 5};
    dp_cursor b = a;
    assert_int_equal(dp_cursor_compare(&a, &b), DP_CURSOR_SAME);
    b.trip++;
    assert_int_equal(dp_cursor_compare(&a, &b), DP_CURSOR_OTHER);
    b = a;
    b.flags++;
    assert_int_equal(dp_cursor_compare(&a, &b), DP_CURSOR_OTHER);
    b.names++;
    assert_int_equal(dp_cursor_compare(&a, &b), DP_CURSOR_NEW);
    b.identity++;
    assert_int_equal(dp_cursor_compare(&a, &b), DP_CURSOR_STRANGER);
}

static void the_set_behaves_like_a_set(void **state)
{
    enum { N = 3000 };
    static bool in[N];
    dp_name_set s = {0};
    size_t n = 0;
    srand(3);
    for (int step = 0; step < 60000; step++) {
        /* neighbours on purpose: long probes */
        unsigned i = (unsigned)rand() % N;
        uint64_t hash = i / 3;
        if (i % 3) {
            hash |= (uint64_t)(i % 3) << 32;
        }
        hash = hash ? hash : 99999;
        bool is_growing = step % 20000 < 10000;
        if (rand() % 10 < (is_growing ? 7 : 3)) {
            assert_true(dp_name_set_add(&s, hash) == !in[i]);
            n += !in[i];
            in[i] = true;
        }
        else {
            assert_true(dp_name_set_del(&s, hash) == in[i]);
            n -= in[i];
            in[i] = false;
        }
        assert_int_equal(s.n, n);
        assert_true(dp_name_set_has(&s, hash) == in[i]);
    }
    dp_name_set_clear(&s);
    assert_false(dp_name_set_has(&s, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_that_comes_to_new_is_new_once),
        cmocka_unit_test(selecting_is_nothing_and_flags_are_other),
        cmocka_unit_test(seen_while_selecting_is_other),
        cmocka_unit_test(a_mail_from_elsewhere_in_cur_is_new),
        cmocka_unit_test(a_link_into_cur_is_a_move),
        cmocka_unit_test(who_leaves_new_and_never_arrives_is_other),
        cmocka_unit_test(leavers_are_bounded),
        cmocka_unit_test(found_and_told_counts_once),
        cmocka_unit_test(cursors_tell_same_other_new_and_stranger),
        cmocka_unit_test(the_set_behaves_like_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
