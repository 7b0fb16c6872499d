/* load_template: where the number goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/device/load_template.h"

static void assert_fills(const char *text, uint32_t number, const char *want)
{
    dp_load_template t;
    char out[256];
    assert_true(dp_load_template_parse(text, &t));
    assert_true(dp_load_template_max(&t) <= sizeof(out));
    size_t n = dp_load_template_write(&t, number, out);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, n);
}

static void the_number_takes_its_place(void **state)
{
    (void)state;
    assert_fills("user%d", 0, "user0");
    assert_fills("user%u@example.org", 4711, "user4711@example.org");
    assert_fills("%d", UINT32_MAX, "4294967295");
    assert_fills("u%05d", 42, "u00042");
    assert_fills("u%02u", 4711, "u4711");
}

static void other_percent_signs_stay(void **state)
{
    (void)state;
    assert_fills("/a%20b/%d?x=%25", 7, "/a%20b/7?x=%25");
    assert_fills("100%%d", 7, "100%7");
}

static void there_is_one_number(void **state)
{
    dp_load_template t;
    (void)state;
    assert_false(dp_load_template_parse("", &t));
    assert_false(dp_load_template_parse("alice", &t));
    assert_false(dp_load_template_parse("100%", &t));
    assert_false(dp_load_template_parse("u%5d", &t));
    assert_false(dp_load_template_parse("u%011d", &t));
    assert_false(dp_load_template_parse("u%s", &t));
    assert_false(dp_load_template_parse("%d of %d", &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_takes_its_place),
        cmocka_unit_test(other_percent_signs_stay),
        cmocka_unit_test(there_is_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
