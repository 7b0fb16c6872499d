/* Which kinds have changed, of a detail and what was seen before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "watcher/dav_home.h"

#define BOTH (DP_DAV_EVENTS | DP_DAV_TASKS)

static const uint8_t hash_key[16];

typedef struct item {
    const char *href, *etag; /* etag NULL: it is gone */
    unsigned kinds;          /* what the server says, or 0 */
} item;

/* A detail of these (until one without href) and the answer about them. */
static unsigned judge(dp_dav_kinds *known, uint32_t base, const item *items)
{
    static dp_dav_news news;
    static dp_dav_response r;
    news = (dp_dav_news){.hash_key = hash_key,
                         .known = known,
                         .base = base,
                         .sum = DP_DAV_NO_DETAIL};
    for (const item *i = items; i->href; i++) {
        memset(&r, 0, sizeof(r));
        snprintf(r.href, sizeof(r.href), "%s", i->href);
        snprintf(r.etag, sizeof(r.etag), "%s", i->etag ? i->etag : "");
        r.status = i->etag ? 0 : 404;
        assert_true(dp_dav_news_take(&news, &r));
    }
    for (const item *i = items; i->href; i++) {
        memset(&r, 0, sizeof(r));
        snprintf(r.href, sizeof(r.href), "%s", i->href);
        r.kinds = i->kinds;
        assert_true(dp_dav_news_answer(&news, &r));
    }
    unsigned kinds = dp_dav_news_judge(&news, BOTH);
    dp_dav_news_keep(&news, known);
    dp_dav_news_clear(&news);
    return kinds;
}

#define JUDGE(known, base, ...)                                                \
    judge(known, base, (item[]){__VA_ARGS__, {NULL, NULL, 0}})

static void an_event_is_an_event(void **state)
{
    dp_dav_kinds k = {0};
    assert_int_equal(JUDGE(&k, 1, {"/e", "1", DP_DAV_EVENTS}), DP_DAV_EVENTS);
    assert_int_equal(JUDGE(&k, 2, {"/t", "1", DP_DAV_TASKS}), DP_DAV_TASKS);
    assert_int_equal(JUDGE(&k, 3, {"/e", "2", DP_DAV_EVENTS},
                           {"/t", "2", DP_DAV_TASKS}), BOTH);
    dp_dav_kinds_clear(&k);
}

static void what_was_judged_is_not_told_again(void **state)
{
    dp_dav_kinds k = {0};
    JUDGE(&k, 1, {"/e", "1", DP_DAV_EVENTS});
    assert_int_equal(JUDGE(&k, 1, {"/e", "1", 0}, {"/t", "1", DP_DAV_TASKS}),
                     DP_DAV_TASKS);
    /* since another base it is a change, though it looks the same */
    assert_int_equal(JUDGE(&k, 2, {"/e", "1", 0}, {"/t", "2", DP_DAV_TASKS}),
                     BOTH);
    dp_dav_kinds_clear(&k);
}

static void what_is_gone_is_what_it_was(void **state)
{
    dp_dav_kinds k = {0};
    JUDGE(&k, 1, {"/e", "1", DP_DAV_EVENTS}, {"/t", "1", DP_DAV_TASKS});
    assert_int_equal(JUDGE(&k, 2, {"/e", NULL, 0}), DP_DAV_EVENTS);
    assert_int_equal(JUDGE(&k, 2, {"/e", NULL, 0}, {"/t", NULL, 0}),
                     DP_DAV_TASKS);
    dp_dav_kinds_clear(&k);
}

static void an_unknown_kind_is_both(void **state)
{
    dp_dav_kinds k = {0};
    assert_int_equal(JUDGE(&k, 1, {"/gone", NULL, 0}), BOTH);
    assert_int_equal(JUDGE(&k, 1, {"/silent", "1", 0}), BOTH);
    assert_int_equal(JUDGE(&k, 1, {"/e", "1", DP_DAV_EVENTS},
                           {"/gone2", NULL, 0}), BOTH);
    dp_dav_kinds_clear(&k);
}

static void one_that_became_another_is_both(void **state)
{
    dp_dav_kinds k = {0};
    JUDGE(&k, 1, {"/e", "1", DP_DAV_EVENTS});
    assert_int_equal(JUDGE(&k, 1, {"/e", "2", DP_DAV_TASKS}), BOTH);
    dp_dav_kinds_clear(&k);
}

static void memory_is_bounded_and_what_is_forgotten_is_both(void **state)
{
    dp_dav_kinds k = {0};
    char href[32];
    for (int i = 0; i <= DP_DAV_KNOWN_MAX; i++) {
        snprintf(href, sizeof(href), "/%d", i);
        JUDGE(&k, 1, {href, "1", DP_DAV_EVENTS});
    }
    assert_int_equal(k.n, DP_DAV_KNOWN_MAX);
    assert_int_equal(JUDGE(&k, 2, {"/256", NULL, 0}), DP_DAV_EVENTS);
    assert_int_equal(JUDGE(&k, 2, {"/0", NULL, 0}), BOTH);
    dp_dav_kinds_clear(&k);
}

static void more_than_can_be_asked_is_both(void **state)
{
    static char hrefs[DP_DAV_ASKED_MAX + 1][32];
    item items[DP_DAV_ASKED_MAX + 2] = {{NULL, NULL, 0}};
    dp_dav_kinds k = {0};
    for (int i = 0; i <= DP_DAV_ASKED_MAX; i++) {
        snprintf(hrefs[i], sizeof(hrefs[i]), "/%d", i);
        items[i] = (item){hrefs[i], "1", DP_DAV_EVENTS};
    }
    assert_int_equal(judge(&k, 1, items), BOTH);
    items[DP_DAV_ASKED_MAX].href = NULL;
    assert_int_equal(judge(&k, 2, items), DP_DAV_EVENTS);
    dp_dav_kinds_clear(&k);
}

static void a_list_that_was_cut_off_says_so_and_507_is_no_item(void **state)
{
    static dp_dav_news news;
    static dp_dav_response r = {.href = "/calendar/", .status = 507};
    dp_dav_kinds k = {0};
    news = (dp_dav_news){
        .hash_key = hash_key, .known = &k, .sum = DP_DAV_NO_DETAIL};
    assert_true(dp_dav_news_take(&news, &r));
    assert_true(news.is_cut);
    assert_int_equal(news.n, 0);
    assert_true(news.sum == DP_DAV_NO_DETAIL);
    dp_dav_news_clear(&news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_an_event),
        cmocka_unit_test(what_was_judged_is_not_told_again),
        cmocka_unit_test(what_is_gone_is_what_it_was),
        cmocka_unit_test(an_unknown_kind_is_both),
        cmocka_unit_test(one_that_became_another_is_both),
        cmocka_unit_test(memory_is_bounded_and_what_is_forgotten_is_both),
        cmocka_unit_test(more_than_can_be_asked_is_both),
        cmocka_unit_test(
            a_list_that_was_cut_off_says_so_and_507_is_no_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
