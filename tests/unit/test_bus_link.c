/* bus_link: lines in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/bus_link.h"

static size_t parse(const char *text, unsigned char *buf, dp_link_line *out)
{
    size_t n = strlen(text);
    memcpy(buf, text, n);
    dp_link_parse(buf, n, out);
    return out->fields_n;
}

static void a_line_survives_the_way_there_and_back(void **state)
{
    char buf[256];
    dp_link_line line;
    dp_span fields[] = {
        DP_SPAN_LIT("watch"), DP_SPAN_LIT("a\tb\n%\r\x01\x7f"),
        DP_SPAN_LIT(""), DP_SPAN_LIT("K\xc3\xb6rbe/100 %"),
        dp_span_of("\0", 1),
    };
    size_t n = dp_link_format(buf, sizeof(buf), fields, 5);
    assert_true(n > 0);
    assert_int_equal(buf[n - 1], '\n');
    assert_null(memchr(buf, '\n', n - 1));
    dp_link_parse((unsigned char *)buf, n - 1, &line);
    assert_int_equal(line.fields_n, 5);
    for (int i = 0; i < 5; i++) {
        assert_true(dp_span_is(line.field[i], fields[i]));
    }
}

static void what_cannot_be_a_line_has_no_fields(void **state)
{
    unsigned char buf[DP_LINK_LINE_MAX + 1];
    dp_link_line line;
    assert_int_equal(parse("", buf, &line), 0);
    assert_int_equal(parse("a\tb\tc\td\te\tf\tg", buf, &line), 0);
    assert_int_equal(parse("a\tb\tc\td\te\tf", buf, &line), 6);
    assert_int_equal(parse("wake%", buf, &line), 0);
    assert_int_equal(parse("wake%1", buf, &line), 0);
    assert_int_equal(parse("wake%zz", buf, &line), 0);
    assert_int_equal(parse("wake%41", buf, &line), 1);
    assert_true(dp_span_is(line.field[0], DP_SPAN_LIT("wakeA")));
    assert_int_equal(parse("wake\r", buf, &line), 0);
    assert_int_equal(parse("wake\x7f", buf, &line), 0);
    memset(buf, 'a', sizeof(buf));
    dp_link_parse(buf, sizeof(buf), &line);
    assert_int_equal(line.fields_n, 0);
}

static void a_buffer_that_is_too_small_gives_nothing(void **state)
{
    char buf[64];
    dp_span fields[] = {DP_SPAN_LIT("ab"), DP_SPAN_LIT("c\n")};
    size_t need = dp_link_format(buf, sizeof(buf), fields, 2);
    assert_int_equal(need, strlen("ab\tc%0A\n"));
    for (size_t cap = 0; cap < need; cap++) {
        assert_int_equal(dp_link_format(buf, cap, fields, 2), 0);
    }
    assert_int_equal(dp_link_format(buf, need, fields, 2), need);
}

static void numbers_are_decimal_and_bounded(void **state)
{
    uint64_t n;
    assert_true(dp_link_u64(DP_SPAN_LIT("18446744073709551615"), &n));
    assert_true(n == UINT64_MAX);
    assert_false(dp_link_u64(DP_SPAN_LIT("18446744073709551616"), &n));
    assert_false(dp_link_u64(DP_SPAN_LIT("99999999999999999999"), &n));
    assert_false(dp_link_u64(DP_SPAN_LIT(""), &n));
    assert_false(dp_link_u64(DP_SPAN_LIT("-1"), &n));
    assert_false(dp_link_u64(DP_SPAN_LIT("1 "), &n));
    assert_true(dp_link_u64(DP_SPAN_LIT("0"), &n));
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_survives_the_way_there_and_back),
        cmocka_unit_test(what_cannot_be_a_line_has_no_fields),
        cmocka_unit_test(a_buffer_that_is_too_small_gives_nothing),
        cmocka_unit_test(numbers_are_decimal_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
