/* json, event: nothing from a server breaks a line or speaks to a terminal. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tools/device/event.h"
#include "tools/device/json.h"

typedef void (*writer)(FILE *out, dp_span text);

static void assert_written(writer write, const char *text, size_t n,
                           const char *expected)
{
    char *got = NULL;
    size_t got_n = 0;
    FILE *out = open_memstream(&got, &got_n);
    assert_non_null(out);
    write(out, dp_span_of(text, n));
    fclose(out);
    assert_string_equal(got, expected);
    free(got);
}

static void quoted(FILE *out, dp_span text)
{
    dp_json j = {.out = out};
    dp_json_text(&j, NULL, text);
}

#define JSON(text, expected)                                                   \
    assert_written(quoted, text, sizeof(text) - 1, expected)
#define PRINT(text, expected)                                                  \
    assert_written(dp_event_print, text, sizeof(text) - 1, expected)

static void an_object_has_its_members_in_order(void **state)
{
    char *got = NULL;
    size_t got_n = 0;
    FILE *out = open_memstream(&got, &got_n);
    dp_json j = {.out = out};
    dp_json_open(&j, NULL, '{');
    dp_json_str(&j, "a", "b");
    dp_json_open(&j, "list", '[');
    dp_json_int(&j, NULL, -1);
    dp_json_open(&j, NULL, '{');
    dp_json_close(&j, '}');
    dp_json_close(&j, ']');
    dp_json_bool(&j, "yes", true);
    dp_json_seconds(&j, "after", 30847999);
    dp_json_seconds(&j, "before", -5000);
    dp_json_close(&j, '}');
    fclose(out);
    assert_string_equal(got, "{\"a\":\"b\",\"list\":[-1,{}],\"yes\":true,"
                             "\"after\":30.847,\"before\":-0.005}");
    free(got);
}

static void without_a_stream_nothing_happens(void **state)
{
    dp_json j = {0};
    dp_json_open(&j, NULL, '{');
    dp_json_str(&j, "a", "b");
    dp_json_close(&j, '}');
}

static void hostile_text_stays_within_its_quotes(void **state)
{
    JSON("a\"b\\c", "\"a\\\"b\\\\c\"");
    JSON("\n\r\t\033[31m\x7f", "\"\\u000a\\u000d\\u0009\\u001b[31m\\u007f\"");
    JSON("a\0b", "\"a\\u0000b\"");
    JSON("", "\"\"");
}

static void what_is_not_utf8_is_replaced(void **state)
{
    JSON("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x93\xB1",
         "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x93\xB1\"");
    JSON("\xFF"
         "a",
         "\"\\ufffda\"");
    JSON("\xC3", "\"\\ufffd\"");            /* cut off */
    JSON("\xC0\xAF", "\"\\ufffd\\ufffd\""); /* overlong */
    JSON("\xE0\x80\xAF", "\"\\ufffd\\ufffd\\ufffd\"");
    JSON("\xED\xA0\x80", "\"\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    JSON("\xF4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    JSON("\xE2\x82"
         "a",
         "\"\\ufffd\\ufffda\"");
}

static void a_terminal_sees_no_controls(void **state)
{
    PRINT("caf\xC3\xA9", "caf\xC3\xA9");
    PRINT("\033]0;owned\007x", "?]0;owned?x");
    PRINT("a\nb\rc", "a?b?c");
    PRINT("\xC2\x9B"
          "31m",
          "?31m"); /* C1 CSI */
    PRINT("\xE2\x80\xAE"
          "txt",
          "?txt"); /* right to left */
    PRINT("\xE2\x81\xA6"
          "x\xE2\x80\xA8",
          "?x?"); /* isolate, line separator */
    PRINT("\xFF\xC3", "??");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_has_its_members_in_order),
        cmocka_unit_test(without_a_stream_nothing_happens),
        cmocka_unit_test(hostile_text_stays_within_its_quotes),
        cmocka_unit_test(what_is_not_utf8_is_replaced),
        cmocka_unit_test(a_terminal_sees_no_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
