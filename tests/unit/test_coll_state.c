/* coll_state: marks and announcements, written and read. */
#include "test_device_support.h"

#include <stdio.h>
#include <string.h>

static void nothing_is_known_at_first(void **state)
{
    lab *l = *state;
    dp_coll_state st;
    memset(&st, 0xff, sizeof(st));
    assert_false(dp_coll_state_get(l->store, NULL, &l->who, S("5"), &st));
    assert_int_equal(st.mark.instance, 0);
    assert_int_equal(st.announced_n, 0);
    assert_false(dp_coll_state_get(l->store, NULL, &l->who, S(""), &st));
    assert_int_not_equal(dp_coll_state_put(l->store, NULL, &l->who, S(""),
                                           &st),
                         APR_SUCCESS);
}

static void what_is_put_can_be_read_by_the_same_device_only(void **state)
{
    lab *l = *state;
    dp_coll_state st = {.mark = {3, 4}, .useless_n = 1}, got;
    dp_who other = l->who;
    dp_coll_state_put(l->store, NULL, &l->who, S("5"), &st);
    assert_true(dp_coll_state_get(l->store, NULL, &l->who, S("5"), &got));
    assert_memory_equal(&got, &st, sizeof(st));
    other.device = S("android1");
    assert_false(dp_coll_state_get(l->store, NULL, &other, S("5"), &got));
    other = l->who;
    other.realm = S("other.example.com");
    assert_false(dp_coll_state_get(l->store, NULL, &other, S("5"), &got));
    other = l->who;
    other.user = S("shared"); /* topics are his, state is the login's */
    assert_true(dp_coll_state_get(l->store, NULL, &other, S("5"), &got));
}

static void ids_are_opaque_bytes(void **state)
{
    lab *l = *state;
    dp_coll_state st = {.mark = {3, 4}}, got;
    dp_span id = dp_span_of("a\0b", 3);
    dp_coll_state_put(l->store, NULL, &l->who, id, &st);
    assert_true(dp_coll_state_get(l->store, NULL, &l->who, id, &got));
    assert_false(dp_coll_state_get(l->store, NULL, &l->who, S("a"), &got));
}

static void times_in_the_future_are_of_another_boot(void **state)
{
    lab *l = *state;
    dp_coll_state st = {.synced_at_us = l->now_us + 1,
                        .announced_at_us = l->now_us + 1,
                        .lag_until_us = l->now_us + 7200 * DP_SECOND_US};
    dp_coll_state_put(l->store, NULL, &l->who, S("5"), &st);
    dp_coll_state got = lab_state(l, "5");
    assert_int_equal(got.synced_at_us, 0);
    assert_int_equal(got.announced_at_us, 0);
    assert_int_equal(got.lag_until_us, 0);
    st.lag_until_us = l->now_us + DP_SECOND_US;
    dp_coll_state_put(l->store, NULL, &l->who, S("5"), &st);
    assert_int_equal(lab_state(l, "5").lag_until_us, st.lag_until_us);
}

static void announcements_count_while_nothing_new_comes(void **state)
{
    lab *l = *state;
    dp_announced a[] = {{S("5"), 70}, {S("6"), 71}};
    assert_int_equal(dp_coll_state_announced(l->store, NULL, &l->who, 9, a, 2,
                                             l->now_us),
                     APR_SUCCESS);
    assert_int_equal(lab_state(l, "5").announced.seq, 70);
    assert_int_equal(lab_state(l, "5").announced_n, 1);
    assert_int_equal(lab_state(l, "6").announced.seq, 71);
    lab_tick(l, DP_SECOND_US);
    dp_coll_state_announced(l->store, NULL, &l->who, 9, a, 1, l->now_us);
    assert_int_equal(lab_state(l, "5").announced_n, 2);
    assert_int_equal(lab_state(l, "5").announced_at_us, l->now_us);
    assert_int_equal(lab_state(l, "6").announced_n, 1);
    a[0].seq = 0; /* blind: no seq to name */
    dp_coll_state_announced(l->store, NULL, &l->who, 9, a, 1, l->now_us);
    assert_int_equal(lab_state(l, "5").announced_n, 3);
    assert_int_equal(lab_state(l, "5").announced.seq, 70);
    a[0].seq = 72;
    dp_coll_state_announced(l->store, NULL, &l->who, 9, a, 1, l->now_us);
    assert_int_equal(lab_state(l, "5").announced_n, 1);
    assert_int_equal(lab_state(l, "5").announced.seq, 72);
    dp_coll_state_announced(l->store, NULL, &l->who, 9, a, 1, l->now_us);
    assert_int_equal(lab_state(l, "5").announced_n, 2);
    /* the same number in another bus is another change */
    dp_coll_state_announced(l->store, NULL, &l->who, 10, a, 1, l->now_us);
    assert_int_equal(lab_state(l, "5").announced_n, 1);
    assert_int_equal(lab_state(l, "5").announced.instance, 10);
}

static void delivery_makes_its_own_marks_firm(void **state)
{
    lab *l = *state;
    dp_coll_state mine = {.mark = {1, 10}, .prov = {1, 20}, .prov_token = 5};
    dp_coll_state other = {.mark = {1, 10}, .prov = {1, 20}, .prov_token = 6};
    dp_hier_state hier = {.prov = {1, 30}, .prov_token = 5};
    dp_span ids[] = {S("a"), S("b"), S("none")};
    dp_coll_state_put(l->store, NULL, &l->who, S("a"), &mine);
    dp_coll_state_put(l->store, NULL, &l->who, S("b"), &other);
    dp_hier_state_put(l->store, NULL, &l->who, &hier);
    assert_int_equal(dp_coll_state_delivered(l->store, &l->who, 0, ids, 3),
                     APR_SUCCESS); /* no token is nobody's */
    assert_int_equal(lab_state(l, "a").mark.seq, 10);
    assert_int_equal(dp_coll_state_delivered(l->store, &l->who, 5, ids, 3),
                     APR_SUCCESS);
    assert_int_equal(lab_state(l, "a").mark.seq, 20);
    assert_int_equal(lab_state(l, "a").prov.instance, 0);
    assert_int_equal(lab_state(l, "b").mark.seq, 10);
    assert_int_equal(lab_hier(l).mark.seq, 30);
    dp_coll_state st;
    assert_false(dp_coll_state_get(l->store, NULL, &l->who, S("none"), &st));
}

static void a_device_that_names_too_many_loses_the_old_ones(void **state)
{
    lab *l = *state;
    dp_coll_state st = {.mark = {1, 1}};
    char id[16];
    dp_who other = l->who;
    other.device = S("appl123");
    dp_coll_state_put(l->store, NULL, &other, S("5"), &st);
    for (int i = 0; i < DP_COLLS_PER_DEVICE + 1; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(dp_coll_state_put(l->store, NULL, &l->who, S(id),
                                           &st),
                         APR_SUCCESS);
    }
    assert_int_equal(lab_state(l, "0").mark.seq, 0);
    assert_int_equal(lab_state(l, id).mark.seq, 1);
    assert_true(dp_coll_state_get(l->store, NULL, &other, S("5"), &st));
}

static void a_mark_counts_on_its_own_bus_only(void **state)
{
    dp_mark m = dp_mark_at(7, 50);
    assert_int_equal(dp_mark_seq(m, 7, 50), 50);
    assert_int_equal(dp_mark_seq(m, 7, 49), 0); /* above head */
    assert_int_equal(dp_mark_seq(m, 8, 90), 0);
}

static void the_device_has_one_name_on_the_bus(void **state)
{
    lab *l = *state;
    static const uint8_t key[DP_HASH_KEY_SIZE] = {1};
    dp_who same = l->who, other = l->who;
    same.user = S("somebody");
    other.login = S("bob");
    assert_true(dp_hash_is(dp_who_hash(key, &l->who),
                           dp_who_hash(key, &same)));
    assert_false(dp_hash_is(dp_who_hash(key, &l->who),
                            dp_who_hash(key, &other)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_BOTH(nothing_is_known_at_first),
        LAB_BOTH(what_is_put_can_be_read_by_the_same_device_only),
        LAB_BOTH(ids_are_opaque_bytes),
        LAB_BOTH(times_in_the_future_are_of_another_boot),
        LAB_BOTH(announcements_count_while_nothing_new_comes),
        LAB_BOTH(delivery_makes_its_own_marks_firm),
        LAB_BOTH(a_device_that_names_too_many_loses_the_old_ones),
        cmocka_unit_test(a_mark_counts_on_its_own_bus_only),
        LAB_RAM(the_device_has_one_name_on_the_bus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
