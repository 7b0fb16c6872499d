/* eas_walk: texts that come in pieces, and numbers. Paths are tested with the
 * parsers. */
#include "test_eas_support.h"

#include "wire/eas_walk.h"

static void pieces_are_put_together_until_they_do_not_fit(void **state)
{
    char buf[4];
    bool is_long = false;
    size_t n = 0;

    dp_eas_text_add(buf, sizeof(buf), &n, &is_long, DP_SPAN_LIT("ab"));
    dp_eas_text_add(buf, sizeof(buf), &n, &is_long, DP_SPAN_LIT("cd"));
    assert_false(is_long);
    assert_int_equal(n, 4);
    assert_memory_equal(buf, "abcd", 4);
    dp_eas_text_add(buf, sizeof(buf), &n, &is_long, DP_SPAN_LIT("e"));
    assert_true(is_long);
    assert_int_equal(n, 4);
}

static void once_a_text_was_too_long_nothing_is_appended(void **state)
{
    char buf[4];
    bool is_long = false;
    size_t n = 0;

    dp_eas_text_add(buf, sizeof(buf), &n, &is_long, DP_SPAN_LIT("abcde"));
    dp_eas_text_add(buf, sizeof(buf), &n, &is_long, DP_SPAN_LIT("f"));
    assert_true(is_long);
    assert_int_equal(n, 0);
}

static void assert_number(const char *text, bool is_number, uint32_t expected)
{
    uint32_t value = 1234;

    assert_int_equal(dp_eas_number(text, strlen(text), &value), is_number);
    assert_int_equal(value, expected);
}

static void a_number_is_digits_and_fits_32_bits(void **state)
{
    assert_number("0", true, 0);
    assert_number("0060", true, 60);
    assert_number("4294967295", true, UINT32_MAX);
    assert_number("4294967296", false, 0);
    assert_number("99999999999999999999999999999999", false, 0);
    assert_number("", false, 0);
    assert_number("-1", false, 0);
    assert_number("+1", false, 0);
    assert_number(" 1", false, 0);
    assert_number("1 ", false, 0);
    assert_number("0x1", false, 0);
    assert_number("\xD9\xA1", false, 0); /* a digit, but not of ASCII */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_put_together_until_they_do_not_fit),
        cmocka_unit_test(once_a_text_was_too_long_nothing_is_appended),
        cmocka_unit_test(a_number_is_digits_and_fits_32_bits),
    };

    return cmocka_run_group_tests_name("eas_walk", tests, NULL, NULL);
}
