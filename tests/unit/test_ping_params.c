/* ping_params and last_sync: lists that are remembered per device. */
#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(lab *l, uint32_t heartbeat_s, uint64_t arrival,
                const char *id)
{
    dp_ping_folder f = {S(id), S("Email")};
    dp_ping_params p = {.heartbeat_s = heartbeat_s, .arrival = arrival,
                        .folders_n = id ? 1 : 0, .folders = &f};
    assert_int_equal(dp_ping_params_put(l->store, NULL, &l->who, &p),
                     APR_SUCCESS);
}

static uint32_t heartbeat_of(lab *l)
{
    dp_ping_params p;
    dp_ping_params_get(l->store, NULL, &l->who, &p);
    uint32_t heartbeat_s = p.heartbeat_s;
    dp_ping_params_free(&p);
    return heartbeat_s;
}

static void nothing_is_known_at_first(void **state)
{
    lab *l = *state;
    dp_ping_params p;
    memset(&p, 0xff, sizeof(p));
    assert_false(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.folders_n, 0);
    assert_null(p.folders);
    dp_ping_params_free(&p);
}

static void what_is_forgotten_is_asked_for(void **state)
{
    lab *l = *state;
    put(l, 600, 5, "1");
    assert_int_equal(dp_ping_params_del(l->store, NULL, &l->who, 4),
                     APR_SUCCESS); /* by an older one: not these */
    assert_int_equal(heartbeat_of(l), 600);
    assert_int_equal(dp_ping_params_del(l->store, NULL, &l->who, 5),
                     APR_SUCCESS);
    assert_int_equal(heartbeat_of(l), 0);
    dp_ping_params_del(l->store, NULL, &l->who, 5); /* harmless */
}

static void only_the_arrival_may_differ_of_what_is_the_same(void **state)
{
    dp_ping_folder f[] = {{S("1"), S("Email")}, {S("2"), S("Tasks")}},
                   g[] = {{S("1"), S("Email")}, {S("2"), S("Notes")}},
                   h[] = {{S("1"), S("Email")}, {S("3"), S("Tasks")}};
    dp_ping_params a = {.heartbeat_s = 60, .arrival = 1, .folders_n = 2,
                        .folders = f};
    dp_ping_params b = a;
    b.arrival = 2;
    assert_true(dp_ping_params_are_same(&a, &b));
    b.heartbeat_s = 61;
    assert_false(dp_ping_params_are_same(&a, &b));
    b = a;
    b.folders_n = 1;
    assert_false(dp_ping_params_are_same(&a, &b));
    b.folders_n = 2;
    b.folders = g;
    assert_false(dp_ping_params_are_same(&a, &b));
    b.folders = h;
    assert_false(dp_ping_params_are_same(&a, &b));
}

static void ids_and_classes_come_back_byte_for_byte(void **state)
{
    lab *l = *state;
    char longest[DP_COLLECTION_ID_MAX];
    memset(longest, 0xfe, sizeof(longest));
    dp_ping_folder f[] = {{S("mail%2F6b93"), S("Email")},
                          {dp_span_of("a\0b", 3), S("")},
                          {dp_span_of(longest, sizeof(longest)),
                           S("a class far too long to be one of ours, ever")}};
    dp_ping_params got, p = {.heartbeat_s = 3540, .arrival = 5, .folders_n = 3,
                             .folders = f};
    assert_int_equal(dp_ping_params_put(l->store, NULL, &l->who, &p),
                     APR_SUCCESS);
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &got));
    assert_int_equal(got.heartbeat_s, 3540);
    assert_int_equal(got.arrival, 5);
    assert_int_equal(got.folders_n, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(dp_span_is(got.folders[i].id, f[i].id));
    }
    assert_true(dp_span_is(got.folders[0].class_name, S("Email")));
    assert_int_equal(got.folders[2].class_name.n, 0);
    dp_ping_params_free(&got);
    assert_null(got.bytes);
}

static void the_newest_arrival_wins(void **state)
{
    lab *l = *state;
    put(l, 100, 50, "5");
    put(l, 200, 40, "6"); /* came before, was answered later */
    assert_int_equal(heartbeat_of(l), 100);
    put(l, 300, 50, "7"); /* in a tie the later writer */
    assert_int_equal(heartbeat_of(l), 300);
    put(l, 300, 60, "7"); /* the same again, but newer … */
    put(l, 400, 55, "8"); /* … than this one */
    assert_int_equal(heartbeat_of(l), 300);
}

static void an_arrival_of_another_boot_does_not_win(void **state)
{
    lab *l = *state;
    put(l, 100, (uint64_t)l->now_us + 1, "5");
    put(l, 200, (uint64_t)l->now_us, "5");
    assert_int_equal(heartbeat_of(l), 200);
}

static void what_cannot_be_kept_is_forgotten(void **state)
{
    lab *l = *state;
    char id[DP_COLLECTION_ID_MAX + 1];
    memset(id, 'i', sizeof(id));
    put(l, 100, 1, "5");
    dp_ping_folder f = {dp_span_of(id, sizeof(id)), S("Email")};
    dp_ping_params p = {.heartbeat_s = 1, .arrival = 2, .folders_n = 1,
                        .folders = &f};
    assert_int_equal(dp_ping_params_put(l->store, NULL, &l->who, &p),
                     APR_SUCCESS);
    assert_int_equal(heartbeat_of(l), 0);
}

static void damaged_values_are_unknown(void **state)
{
    lab *l = *state;
    dp_store_key k;
    dp_span parts[] = {l->who.realm, l->who.login, l->who.device};
    put(l, 100, 1, "5");
    dp_store_key_make(&k, 'p', parts, 3);
    dp_store_txn *t;
    dp_span v;
    unsigned char whole[256];
    l->store->ops->begin(l->store, false, &t);
    assert_int_equal(l->store->ops->get(t, dp_span_of(k.bytes, k.n), &v),
                     APR_SUCCESS);
    size_t n = v.n;
    memcpy(whole, v.p, n);
    l->store->ops->abort(&t);
    whole[n] = 'x';
    for (size_t cut = 0; cut <= n + 1; cut++) {
        dp_ping_params p;
        if (cut == n) {
            continue;
        }
        l->store->ops->begin(l->store, true, &t);
        l->store->ops->put(t, dp_span_of(k.bytes, k.n),
                           dp_span_of(whole, cut));
        l->store->ops->commit(&t);
        assert_false(dp_ping_params_get(l->store, NULL, &l->who, &p));
        assert_null(p.folders);
    }
}

static void the_last_sync_comes_back(void **state)
{
    lab *l = *state;
    dp_last_sync_entry list[2] = {{.id = "5", .id_n = 1, .wants_changes = 1,
                                   .class_id = DP_CLASS_EMAIL,
                                   .key_hash = 77},
                                  {.id = "6", .id_n = 1, .key_is_zero = 1}};
    dp_last_sync_entry *got;
    size_t n;
    assert_false(dp_last_sync_get(l->store, NULL, &l->who, &got, &n));
    assert_int_equal(dp_last_sync_put(l->store, NULL, &l->who, list, 2),
                     APR_SUCCESS);
    assert_true(dp_last_sync_get(l->store, NULL, &l->who, &got, &n));
    assert_int_equal(n, 2);
    assert_memory_equal(&got[0], &list[0], sizeof(list[0]));
    assert_memory_equal(&got[1], &list[1], sizeof(list[0]));
    free(got);
    dp_last_sync_put(l->store, NULL, &l->who, NULL, 0);
    assert_false(dp_last_sync_get(l->store, NULL, &l->who, &got, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_BOTH(nothing_is_known_at_first),
        LAB_BOTH(ids_and_classes_come_back_byte_for_byte),
        LAB_BOTH(what_is_forgotten_is_asked_for),
        LAB_BOTH(only_the_arrival_may_differ_of_what_is_the_same),
        LAB_BOTH(the_newest_arrival_wins),
        LAB_BOTH(an_arrival_of_another_boot_does_not_win),
        LAB_BOTH(what_cannot_be_kept_is_forgotten),
        LAB_BOTH(damaged_values_are_unknown),
        LAB_BOTH(the_last_sync_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
