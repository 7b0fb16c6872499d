/* topic_name: names, keys, and who may not be a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/topic_name.h"

#define FOLDER(s) dp_topic_folder_is_sane(DP_SPAN_LIT(s))
#define USER(s)   dp_topic_user_is_sane(DP_SPAN_LIT(s))

static void classes_have_names_and_names_have_classes(void **state)
{
    for (int c = 1; c < DP_CLASS_N; c++) {
        assert_int_equal(dp_class_of(dp_span_str(dp_class_name((dp_class)c))),
                         c);
    }
    assert_int_equal(dp_class_of(DP_SPAN_LIT("email")), DP_CLASS_UNKNOWN);
    assert_int_equal(dp_class_of(DP_SPAN_LIT("Unknown")), DP_CLASS_UNKNOWN);
    assert_string_equal(dp_class_name((dp_class)99), "Unknown");
}

static void folders_that_climb_or_break_lines_are_refused(void **state)
{
    assert_true(FOLDER("INBOX"));
    assert_true(FOLDER("*"));
    assert_true(FOLDER("Projects/2026"));
    assert_true(FOLDER("K\xc3\xb6rbe/...a"));
    assert_true(FOLDER("/guid/0123456789abcdef0123456789abcdef"));
    assert_false(FOLDER("/guid/0123456789ABCDEF0123456789abcdef"));
    assert_false(FOLDER("/guid/0123"));
    assert_true(FOLDER("/listed/guid/0123456789abcdef0123456789abcdef"));
    assert_true(FOLDER("/listed/bob_team"));
    assert_false(FOLDER("/listed/"));
    assert_false(FOLDER("/listed/.."));
    assert_false(FOLDER("/listed//etc"));
    assert_false(FOLDER(""));
    assert_false(FOLDER("/"));
    assert_false(FOLDER("/etc"));
    assert_false(FOLDER("a//b"));
    assert_false(FOLDER("a/"));
    assert_false(FOLDER("."));
    assert_false(FOLDER("a/../b"));
    assert_false(FOLDER("a\nb"));
    assert_false(FOLDER("a\0b"));
    assert_false(FOLDER("a\x7f"));
    unsigned char big[DP_TOPIC_FOLDER_MAX + 1];
    memset(big, 'a', sizeof(big));
    assert_false(dp_topic_folder_is_sane(dp_span_of(big, sizeof(big))));
    assert_true(dp_topic_folder_is_sane(dp_span_of(big, sizeof(big) - 1)));
}

static void an_alias_has_a_guid_or_a_name(void **state)
{
    dp_span hex = DP_SPAN_LIT("0123456789abcdef0123456789abcdef");
    dp_span plain = DP_SPAN_LIT("/guid/0123456789abcdef0123456789abcdef");
    dp_span listed =
        DP_SPAN_LIT("/listed/guid/0123456789abcdef0123456789abcdef");
    assert_true(dp_span_is(dp_topic_guid(plain), hex));
    assert_true(dp_span_is(dp_topic_guid(listed), hex));
    assert_int_equal(dp_topic_listed(plain).n, 0);
    assert_true(dp_topic_listed(listed).n > 0);
    assert_true(dp_span_is(dp_topic_listed(DP_SPAN_LIT("/listed/bob_team")),
                           DP_SPAN_LIT("bob_team")));
    assert_int_equal(dp_topic_guid(DP_SPAN_LIT("/listed/bob_team")).n, 0);
    assert_int_equal(dp_topic_guid(DP_SPAN_LIT("/listed")).n, 0);
    assert_int_equal(dp_topic_guid(DP_SPAN_LIT("INBOX")).n, 0);
}

static void users_are_one_component(void **state)
{
    assert_true(USER("alice"));
    assert_true(USER("alice@example.com"));
    assert_false(USER(""));
    assert_false(USER("."));
    assert_false(USER(".."));
    assert_false(USER("a/b"));
    assert_false(USER("a\tb"));
}

static void keys_differ_by_every_part(void **state)
{
    uint8_t key[DP_HASH_KEY_SIZE] = {1, 2, 3};
    dp_span alice = DP_SPAN_LIT("alice"), inbox = DP_SPAN_LIT("INBOX");
    dp_hash h = dp_topic_key(key, alice, DP_CLASS_EMAIL, inbox);
    assert_true(
        dp_hash_is(h, dp_topic_key(key, alice, DP_CLASS_EMAIL, inbox)));
    assert_false(
        dp_hash_is(h, dp_topic_key(key, alice, DP_CLASS_TASKS, inbox)));
    assert_false(dp_hash_is(
        h, dp_topic_key(key, DP_SPAN_LIT("bob"), DP_CLASS_EMAIL, inbox)));
    assert_false(dp_hash_is(
        h, dp_topic_key(key, alice, DP_CLASS_EMAIL, DP_SPAN_LIT("Sent"))));
    assert_false(dp_hash_is(dp_forget_user_key(key, alice),
                            dp_forget_user_key(key, DP_SPAN_LIT("bob"))));
    assert_true(dp_forget_device_key(key, DP_SPAN_LIT("d"))
                != dp_forget_device_key(key, DP_SPAN_LIT("e")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_have_names_and_names_have_classes),
        cmocka_unit_test(folders_that_climb_or_break_lines_are_refused),
        cmocka_unit_test(an_alias_has_a_guid_or_a_name),
        cmocka_unit_test(users_are_one_component),
        cmocka_unit_test(keys_differ_by_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
