/* Memory that goes from connections that wait to those that are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <apr_allocator.h>
#include <apr_general.h>
#include <apr_pools.h>
#include <cmocka.h>

#include "apache/spare.h"

#define NODE 8192

typedef struct connection {
    apr_allocator_t *allocator;
    apr_pool_t *pool;
} connection;

static connection connected(void)
{
    connection c;
    assert_int_equal(apr_allocator_create(&c.allocator), APR_SUCCESS);
    assert_int_equal(apr_pool_create_ex(&c.pool, NULL, NULL, c.allocator),
                     APR_SUCCESS);
    apr_allocator_owner_set(c.allocator, c.pool);
    return c;
}

/* A request of `nodes` smallest nodes and one that is as large as `big`. */
static void serve(connection *c, int nodes, size_t big)
{
    apr_pool_t *r;
    assert_int_equal(apr_pool_create(&r, c->pool), APR_SUCCESS);
    for (int i = 0; i < nodes; i++) {
        memset(apr_palloc(r, NODE - 512), 0xa5, NODE - 512);
    }
    if (big) {
        memset(apr_palloc(r, big), 0xa5, big);
    }
    apr_pool_destroy(r);
}

/* Nodes that its allocator has put by; they are gone afterwards. */
static int put_by(connection *c)
{
    apr_memnode_t *all = NULL;
    int n = 0;
    for (;; n++) {
        apr_memnode_t *node = apr_allocator_alloc(c->allocator, NODE - 64);
        const char *at = (const char *)node + APR_MEMNODE_T_SIZE;
        node->next = all;
        all = node;
        if (!*at && !memcmp(at, at + 1, 4000)) {
            break;
        }
    }
    apr_allocator_max_free_set(c->allocator, 1);
    apr_allocator_free(c->allocator, all);
    return n;
}

static long resident_pages(void)
{
    long size, pages;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
    fclose(f);
    return pages;
}

static int setup(void **state)
{
    apr_initialize();
    *state = dp_spare_make();
    return 0;
}

static int teardown(void **state)
{
    dp_spare *s = *state;
    dp_spare_free(&s);
    apr_terminate();
    return 0;
}

static void nothing_is_left_with_who_waits(void **state)
{
    connection c = connected();
    serve(&c, 12, 30000);
    dp_spare_collect(*state, c.pool);
    assert_int_equal(put_by(&c), 0);
    apr_pool_destroy(c.pool);
}

static void who_is_served_gets_what_others_gave(void **state)
{
    connection a = connected(), b = connected();
    serve(&a, 12, 0);
    dp_spare_collect(*state, a.pool);
    dp_spare_lend(*state, b.pool);
    assert_true(put_by(&b) >= 7);
    apr_pool_destroy(a.pool);
    apr_pool_destroy(b.pool);
}

/* Even if nothing was there to be lent. */
static void what_was_lent_comes_back_whole(void **state)
{
    connection c = connected();
    for (int i = 0; i < 20; i++) {
        dp_spare_lend(*state, c.pool);
        serve(&c, i, i % 3 ? 9000 : 0);
        dp_spare_collect(*state, c.pool);
    }
    assert_int_equal(put_by(&c), 0);
    apr_pool_destroy(c.pool);
}

static void a_child_keeps_no_more_than_it_needs(void **state)
{
    connection c = connected();
    long before = 0;
    for (int i = 0; i < 3000; i++) {
        before = i == 1000 ? resident_pages() : before;
        dp_spare_lend(*state, c.pool);
        serve(&c, 40, 60000); /* more than is lent */
        dp_spare_collect(*state, c.pool);
    }
    assert_true(resident_pages() - before < 1000);
    apr_pool_destroy(c.pool);
}

int main(void)
{
#define SPARE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        SPARE_TEST(nothing_is_left_with_who_waits),
        SPARE_TEST(who_is_served_gets_what_others_gave),
        SPARE_TEST(what_was_lent_comes_back_whole),
        SPARE_TEST(a_child_keeps_no_more_than_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
