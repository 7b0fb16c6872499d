/* The collections of a home: what is told, and how often, when tags are whole
 * seconds. Times are the server's; T is a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "watcher/dav_home.h"

#define T 1795485600LL

typedef struct fixture {
    dp_dav_home home;
} fixture;

static void list(dp_dav_home *h, const char *name, const char *tag)
{
    static dp_dav_response r;
    memset(&r, 0, sizeof(r));
    snprintf(r.href, sizeof(r.href), "/SOGo/dav/alice/Calendar/%s/", name);
    snprintf(r.ctag, sizeof(r.ctag), "%s", tag);
    snprintf(r.token, sizeof(r.token), "%s", tag);
    r.is_calendar = true;
    dp_dav_home_take(h, &r);
}

static void begin(dp_dav_home *h)
{
    h->kinds = DP_DAV_EVENTS | DP_DAV_TASKS;
    dp_dav_home_begin(h);
}

/* One look at `personal` that brings `tag`, at `date_s`, and for its detail
 * `sum` with `token` (NULL: no detail is to be had).
 * @return it is to be told */
static bool look(dp_dav_home *h, const char *tag, long long date_s,
                 uint64_t sum, const char *token)
{
    begin(h);
    list(h, "personal", tag);
    assert_true(dp_dav_home_listed(h, date_s, 1000));
    for (dp_dav_coll *c; (c = dp_dav_home_next_detail(h));) {
        if (token) {
            dp_dav_home_detail(h, c, sum, token, c->kinds);
        }
        else {
            dp_dav_home_no_detail(h, c);
        }
    }
    dp_dav_home_end(h);
    dp_dav_coll *c = dp_dav_home_find(h, "personal");
    bool has_changed = c && c->changed;
    if (c) {
        c->changed = 0;
    }
    return has_changed;
}

static char *tag_of(long long s)
{
    static char text[4][24];
    static unsigned at;
    char *out = text[at++ % 4];
    snprintf(out, 24, "%lld", s);
    return out;
}

static void a_first_look_tells_nothing(void **state)
{
    dp_dav_home h = {0};
    assert_false(look(&h, tag_of(T), T + 100, 0, NULL));
    assert_true(h.is_known);
    assert_false(dp_dav_home_is_open(&h));
    assert_false(look(&h, tag_of(T), T + 200, 0, NULL));
    dp_dav_home_clear(&h);
}

static void a_first_look_waits_for_a_young_tag(void **state)
{
    dp_dav_home h = {0};
    assert_false(look(&h, tag_of(T), T, 0, NULL));
    assert_false(h.is_known);
    assert_false(look(&h, tag_of(T), T + 3, 0, NULL));
    assert_true(h.is_known);
    dp_dav_home_clear(&h);
}

static void a_change_is_told_once_and_looked_at_again(void **state)
{
    dp_dav_home h = {0};
    const char *new = tag_of(T + 50);
    look(&h, tag_of(T), T + 40, 0, NULL);
    assert_false(look(&h, new, T + 50, 77, new)); /* its second goes on */
    assert_true(dp_dav_home_waits(&h, DP_DAV_EVENTS, "personal"));
    assert_false(dp_dav_home_waits(&h, DP_DAV_CONTACTS, NULL));
    assert_false(look(&h, new, T + 51, 77, new)); /* as far as we know */
    h.known_floor_us = (T + 51) * DP_SECOND_US;
    assert_true(look(&h, new, T + 51, 77, new));
    assert_false(dp_dav_home_waits(&h, ~0u, NULL));
    assert_true(dp_dav_home_is_open(&h));
    assert_string_equal(h.first->base_tag, tag_of(T));
    assert_false(look(&h, new, T + 53, 77, new));
    assert_false(dp_dav_home_is_open(&h));
    assert_string_equal(h.first->base_tag, new);
    assert_false(look(&h, new, T + 60, 77, new));
    dp_dav_home_clear(&h);
}

static void a_second_change_in_the_same_second_is_told(void **state)
{
    dp_dav_home h = {0};
    const char *new = tag_of(T + 50);
    look(&h, tag_of(T), T + 40, 0, NULL);
    assert_true(look(&h, new, T + 52, 77, new));
    assert_true(look(&h, new, T + 53, 78, new));
    assert_false(dp_dav_home_is_open(&h));
    dp_dav_home_clear(&h);
}

static void a_calendar_that_never_rests_is_told(void **state)
{
    dp_dav_home h = {0};
    unsigned told_n = 0;
    look(&h, tag_of(T), T + 40, 0, NULL);
    for (int i = 0; i < 40; i++) {
        const char *new = tag_of(T + 50 + i);
        told_n += look(&h, new, T + 50 + i, (uint64_t)i + 2, new);
    }
    assert_true(told_n >= 2);
    dp_dav_home_clear(&h);
}

static void what_the_detail_had_already_is_not_told_again(void **state)
{
    dp_dav_home h = {0};
    look(&h, tag_of(T), T + 40, 0, NULL);
    /* the detail was asked later than the list: it has another change */
    assert_true(look(&h, tag_of(T + 50), T + 55, 99, tag_of(T + 55)));
    assert_true(dp_dav_home_is_open(&h));
    assert_false(look(&h, tag_of(T + 55), T + 58, 99, tag_of(T + 55)));
    assert_false(dp_dav_home_is_open(&h));
    dp_dav_home_clear(&h);
}

static void without_detail_it_is_told_when_it_is_settled(
    void **state)
{
    dp_dav_home h = {0};
    const char *new = tag_of(T + 50);
    look(&h, tag_of(T), T + 40, 0, NULL);
    assert_false(look(&h, new, T + 50, 0, NULL));
    assert_false(look(&h, new, T + 51, 0, NULL));
    assert_true(look(&h, new, T + 53, 0, NULL));
    assert_false(look(&h, new, T + 54, 0, NULL));
    dp_dav_home_clear(&h);
}

static void a_tag_that_is_no_time_is_final(void **state)
{
    dp_dav_home h = {0};
    look(&h, "a-7", T, 0, NULL);
    assert_true(h.is_known);
    assert_true(look(&h, "a-8", T, 0, NULL));
    assert_false(dp_dav_home_is_open(&h));
    assert_false(look(&h, "a-8", T + 9, 0, NULL));
    dp_dav_home_clear(&h);
}

static void the_first_entry_of_an_empty_calendar_is_told(void **state)
{
    dp_dav_home h = {0};
    look(&h, "-1", T, 0, NULL);
    assert_true(h.is_known);
    assert_true(look(&h, tag_of(T + 5), T + 7, 5, tag_of(T + 5)));
    assert_false(look(&h, tag_of(T + 5), T + 9, 5, tag_of(T + 5)));
    dp_dav_home_clear(&h);
}

static void a_look_that_breaks_off_loses_nothing(void **state)
{
    dp_dav_home h = {0};
    const char *new = tag_of(T + 50);
    look(&h, tag_of(T), T + 40, 0, NULL);
    begin(&h); /* the list arrives, the detail does not */
    list(&h, "personal", new);
    assert_true(dp_dav_home_listed(&h, T + 60, 1000));
    assert_non_null(dp_dav_home_next_detail(&h));
    assert_true(look(&h, new, T + 70, DP_DAV_NO_DETAIL, new));
    dp_dav_home_clear(&h);
}

static void collections_come_and_go(void **state)
{
    dp_dav_home h = {0};
    look(&h, "x", T, 0, NULL);
    begin(&h);
    list(&h, "personal", "x");
    list(&h, "team", "y");
    assert_true(dp_dav_home_listed(&h, T, 0));
    assert_true(dp_dav_home_end(&h));
    assert_true(h.has_list_changed);
    assert_true(dp_dav_home_find(&h, "team")->changed);
    look(&h, "x", T, 0, NULL);
    assert_true(h.has_list_changed);
    assert_null(dp_dav_home_find(&h, "team"));
    look(&h, "x", T, 0, NULL);
    assert_false(h.has_list_changed);
    dp_dav_home_clear(&h);
}

static void an_empty_home_is_no_answer(void **state)
{
    dp_dav_home h = {0};
    look(&h, "x", T, 0, NULL);
    begin(&h);
    assert_false(dp_dav_home_listed(&h, T, 0));
    assert_non_null(dp_dav_home_find(&h, "personal"));
    assert_false(look(&h, "x", T, 0, NULL));
    dp_dav_home_clear(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_look_tells_nothing),
        cmocka_unit_test(a_first_look_waits_for_a_young_tag),
        cmocka_unit_test(a_change_is_told_once_and_looked_at_again),
        cmocka_unit_test(a_second_change_in_the_same_second_is_told),
        cmocka_unit_test(what_the_detail_had_already_is_not_told_again),
        cmocka_unit_test(
            without_detail_it_is_told_when_it_is_settled),
        cmocka_unit_test(a_calendar_that_never_rests_is_told),
        cmocka_unit_test(a_tag_that_is_no_time_is_final),
        cmocka_unit_test(the_first_entry_of_an_empty_calendar_is_told),
        cmocka_unit_test(a_look_that_breaks_off_loses_nothing),
        cmocka_unit_test(collections_come_and_go),
        cmocka_unit_test(an_empty_home_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
