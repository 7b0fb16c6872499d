/* dp_map: nodes come and go, several under one key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/dp_map.h"

typedef struct thing {
    dp_map_node node;
    bool is_in;
} thing;

static dp_hash key(uint64_t n)
{
    return (dp_hash){{n * 0x9E3779B97F4A7C15ull, n}};
}

static void an_empty_map_has_nothing(void **state)
{
    dp_map m = {0};
    assert_null(dp_map_get(&m, key(1)));
    dp_map_free(&m);
}

static void what_was_put_is_got_until_it_is_deleted(void **state)
{
    dp_map m = {0};
    thing a = {.is_in = true};
    dp_map_put(&m, &a.node, key(1));
    assert_ptr_equal(dp_map_get(&m, key(1)), &a.node);
    assert_null(dp_map_get(&m, key(2)));
    dp_map_del(&m, &a.node);
    assert_null(dp_map_get(&m, key(1)));
    assert_int_equal(m.n, 0);
    dp_map_free(&m);
}

static void keys_in_one_bucket_are_kept_apart(void **state)
{
    dp_map m = {0};
    thing a, b;
    dp_map_put(&m, &a.node, (dp_hash){{7, 1}});
    dp_map_put(&m, &b.node, (dp_hash){{7, 2}});
    assert_ptr_equal(dp_map_get(&m, (dp_hash){{7, 1}}), &a.node);
    assert_ptr_equal(dp_map_get(&m, (dp_hash){{7, 2}}), &b.node);
    assert_null(dp_map_same(dp_map_get(&m, (dp_hash){{7, 2}})));
    dp_map_free(&m);
}

static void nodes_of_one_key_are_walked(void **state)
{
    dp_map m = {0};
    thing t[5], other;
    dp_map_put(&m, &other.node, (dp_hash){{3, 9}});
    for (int i = 0; i < 5; i++) {
        dp_map_put(&m, &t[i].node, (dp_hash){{3, 1}});
    }
    dp_map_del(&m, &t[2].node);
    int n = 0;
    for (dp_map_node *at = dp_map_get(&m, (dp_hash){{3, 1}}); at;
         at = dp_map_same(at)) {
        assert_ptr_not_equal(at, &t[2].node);
        assert_ptr_not_equal(at, &other.node);
        n++;
    }
    assert_int_equal(n, 4);
    dp_map_free(&m);
}

enum { THINGS = 1000, KEYS = 300 };

/* Some keys twice and thrice, through several growths. */
static void a_random_history_agrees_with_a_list(void **state)
{
    static thing t[THINGS];
    dp_map m = {0};
    unsigned seed = 1;
    for (int step = 0; step < 50000; step++) {
        seed = seed * 1103515245u + 12345u;
        thing *x = &t[(seed >> 16) % THINGS];
        uint64_t k = (uint64_t)(x - t) % KEYS;
        if (x->is_in) {
            dp_map_del(&m, &x->node);
        }
        else {
            dp_map_put(&m, &x->node, key(k));
        }
        x->is_in = !x->is_in;
        size_t want = 0, got = 0;
        for (size_t i = k; i < THINGS; i += KEYS) {
            want += t[i].is_in;
        }
        for (dp_map_node *at = dp_map_get(&m, key(k)); at;
             at = dp_map_same(at)) {
            got++;
        }
        assert_int_equal(got, want);
    }
    dp_map_free(&m);
}

static void take_out(void *ctx, dp_map_node *node)
{
    dp_map *m = ctx;
    dp_map_del(m, node);
    ((thing *)node)->is_in = false;
}

static void each_may_take_out_what_it_is_given(void **state)
{
    static thing t[THINGS];
    dp_map m = {0};
    for (uint64_t i = 0; i < THINGS; i++) {
        t[i].is_in = true;
        dp_map_put(&m, &t[i].node, key(i % KEYS));
    }
    dp_map_each(&m, take_out, &m);
    assert_int_equal(m.n, 0);
    for (int i = 0; i < THINGS; i++) {
        assert_false(t[i].is_in);
    }
    dp_map_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(what_was_put_is_got_until_it_is_deleted),
        cmocka_unit_test(keys_in_one_bucket_are_kept_apart),
        cmocka_unit_test(nodes_of_one_key_are_walked),
        cmocka_unit_test(a_random_history_agrees_with_a_list),
        cmocka_unit_test(each_may_take_out_what_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
