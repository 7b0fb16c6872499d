/* Names on their way from outside to a path: users, folders, mUTF-7, GUIDs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "watcher/maildir_name.h"
#include "watcher/maildir_path.h"
#include "watcher/uidlist.h"

static void mutf7_is_what_the_rfc_shows(void **state)
{
    static const char *const pairs[][2] = {
        {"INBOX", "INBOX"},
        {"K\xc3\xb6rbe & Co", "K&APY-rbe &- Co"},
        {"~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac"
         "\xe8\xaa\x9e", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
        {"\xf0\x9f\x93\xac", "&2D3c7A-"},
        {"", ""},
        {"&", "&-"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char out[128];
        long n = dp_mutf7_encode(out, sizeof(out), dp_span_str(pairs[i][0]));
        assert_int_equal(n, strlen(pairs[i][1]));
        assert_memory_equal(out, pairs[i][1], (size_t)n);
        n = dp_mutf7_decode(out, sizeof(out), dp_span_str(pairs[i][1]));
        assert_int_equal(n, strlen(pairs[i][0]));
        assert_memory_equal(out, pairs[i][0], (size_t)n);
    }
}

static void one_name_has_one_spelling(void **state)
{
    static const char *const bad[] = {
        "&", "&APY", "K&AP!-", "&AEE-", /* an `A` has no need of it */
        "&2D0-", /* half a pair */ "&3KwA2A-", "\xc3\xb6", "a\x01", "&APZ-",
        "&A-", "&APY-&APY-",
    };
    char out[128];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(
            dp_mutf7_decode(out, sizeof(out), dp_span_str(bad[i])), -1);
    }
    assert_int_equal(
        dp_mutf7_encode(out, sizeof(out), dp_span_str("\xc3")), -1);
    assert_int_equal(
        dp_mutf7_encode(out, sizeof(out), dp_span_str("\xed\xa0\x80")), -1);
    assert_int_equal(dp_mutf7_encode(out, 3, dp_span_str("abcd")), -1);
    assert_int_equal(dp_mutf7_decode(out, 3, dp_span_str("abcd")), -1);
}

static void folders_are_directories_and_back(void **state)
{
    char dir[256], folder[256];
    assert_true(dp_maildir_dir_of(dir, sizeof(dir), DP_SPAN_LIT("Inbox")));
    assert_string_equal(dir, "");
    assert_true(
        dp_maildir_dir_of(dir, sizeof(dir), DP_SPAN_LIT("Projects/2026")));
    assert_string_equal(dir, ".Projects.2026");
    assert_true(dp_maildir_folder_of(folder, sizeof(folder),
                                     DP_SPAN_LIT(".Projects.2026")));
    assert_string_equal(folder, "Projects/2026");
    /* Dovecot's UTF-8 option */
    assert_true(dp_maildir_folder_of(folder, sizeof(folder),
                                     DP_SPAN_LIT(".K\xc3\xb6rbe")));
    assert_string_equal(folder, "K\xc3\xb6rbe");
}

static void what_is_no_folder_is_none(void **state)
{
    char out[256];
    assert_false(dp_maildir_dir_of(out, sizeof(out), DP_SPAN_LIT("a.b")));
    assert_false(dp_maildir_dir_of(out, sizeof(out), DP_SPAN_LIT("a/../b")));
    assert_false(dp_maildir_dir_of(
        out, sizeof(out),
        DP_SPAN_LIT("/guid/00112233445566778899aabbccddeeff")));
    static const char *const dirs[] = {"cur", ".", "..", "..DOVECOT-TRASHED",
                                       ".a..b", ".&", ".a\xc3", ".*", ".a."};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        assert_false(
            dp_maildir_folder_of(out, sizeof(out), dp_span_str(dirs[i])));
    }
}

static void messages_have_a_base_and_flags(void **state)
{
    dp_span base, flags;
    assert_true(dp_maildir_split(DP_SPAN_LIT("1.M2.h,S=9:2,FS"), &base, &flags));
    assert_true(dp_span_is(base, DP_SPAN_LIT("1.M2.h,S=9")));
    assert_true(dp_span_is(flags, DP_SPAN_LIT("FS")));
    assert_true(dp_maildir_split(DP_SPAN_LIT("1.M2.h:2,"), &base, &flags));
    assert_int_equal(flags.n, 0);
    assert_true(dp_maildir_split(DP_SPAN_LIT("1.M2.h"), &base, &flags));
    assert_int_equal(flags.n, 0);
    assert_false(dp_maildir_split(DP_SPAN_LIT(".nfs0001"), &base, &flags));
    assert_false(dp_maildir_split(DP_SPAN_LIT(":2,S"), &base, &flags));
}

static void templates_take_users_that_do_not_climb(void **state)
{
    dp_maildir_path p;
    const char *t = "/var/mail/%d/%n/Maildir";
    assert_null(
        dp_maildir_path_of(&p, t, DP_SPAN_LIT("alice@example.com")));
    assert_string_equal(p.path, "/var/mail/example.com/alice/Maildir");
    assert_int_equal(p.base_n, strlen("/var/mail"));
    assert_null(dp_maildir_path_of(&p, "/%u", DP_SPAN_LIT("alice")));
    assert_string_equal(p.path, "/alice");
    assert_int_equal(p.base_n, 0);
    assert_null(dp_maildir_path_of(&p, "/m/100%%/%u/", DP_SPAN_LIT("a")));
    assert_string_equal(p.path, "/m/100%/a");
    assert_non_null(dp_maildir_path_of(&p, t, DP_SPAN_LIT("alice")));
    assert_non_null(dp_maildir_path_of(&p, t, DP_SPAN_LIT("..@example.com")));
    assert_non_null(dp_maildir_path_of(&p, t, DP_SPAN_LIT("alice@..")));
    assert_non_null(dp_maildir_path_of(&p, t, DP_SPAN_LIT("@example.com")));
    assert_non_null(dp_maildir_path_of(&p, t, DP_SPAN_LIT("a@b/c")));
    assert_non_null(dp_maildir_template_problem("/mail/all"));
    assert_non_null(dp_maildir_template_problem("/mail/../%u"));
    assert_non_null(dp_maildir_template_problem("/mail/%u/%"));
    assert_null(dp_maildir_template_problem("/mail/%u"));
}

static void canonical_users_have_a_domain_in_lower_case(void **state)
{
    char out[64];
    assert_true(dp_maildir_canonical_user(out, sizeof(out),
                                          DP_SPAN_LIT("alice"), "example.com"));
    assert_string_equal(out, "alice@example.com");
    assert_true(dp_maildir_canonical_user(
        out, sizeof(out), DP_SPAN_LIT("Alice@Example.COM"), NULL));
    assert_string_equal(out, "Alice@example.com");
    assert_true(dp_maildir_canonical_user(out, sizeof(out),
                                          DP_SPAN_LIT("alice"), NULL));
    assert_string_equal(out, "alice");
    assert_false(dp_maildir_canonical_user(out, sizeof(out), DP_SPAN_LIT("a@"),
                                           "example.com"));
    assert_false(
        dp_maildir_canonical_user(out, 5, DP_SPAN_LIT("alice"), NULL));
}

static void nothing_opens_outside(void **state)
{
    char dir[] = "/tmp/dp-beneath-XXXXXX", path[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/in", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/out", dir);
    assert_int_equal(symlink("/etc", path), 0);
    snprintf(path, sizeof(path), "%s/here", dir);
    assert_int_equal(symlink("in", path), 0);
    int base = open(dir, O_PATH | O_DIRECTORY);
    int fd = dp_maildir_open_beneath(base, "in", O_PATH | O_DIRECTORY);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(dp_maildir_open_beneath(base, "out", O_PATH), -1);
    assert_int_equal(dp_maildir_open_beneath(base, "out/passwd", O_RDONLY), -1);
    assert_int_equal(dp_maildir_open_beneath(base, "../", O_PATH), -1);
    assert_int_equal(dp_maildir_open_beneath(base, "/etc", O_PATH), -1);
    close(base);
    unlink(path);
    snprintf(path, sizeof(path), "%s/out", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/in", dir);
    rmdir(path);
    rmdir(dir);
}

static void a_uidlist_has_a_guid_in_its_first_line(void **state)
{
    char guid[DP_GUID_HEX + 1];
#define HEX "0123456789abcdef0123456789ABCDEF"
    assert_true(
        dp_uidlist_guid(DP_SPAN_LIT("3 V1 N2 G" HEX "\n1 :x\n"), guid));
    assert_string_equal(guid, "0123456789abcdef0123456789abcdef");
    assert_true(dp_uidlist_guid(DP_SPAN_LIT("3 G" HEX "\n"), guid));
    assert_false(dp_uidlist_guid(DP_SPAN_LIT("3 V1 N2 G" HEX), guid));
    assert_false(dp_uidlist_guid(DP_SPAN_LIT("1 V1 N2 G" HEX "\n"), guid));
    assert_false(dp_uidlist_guid(DP_SPAN_LIT("3 V1\nG" HEX "\n"), guid));
    assert_false(dp_uidlist_guid(DP_SPAN_LIT("3 GG" HEX "\n"), guid));
    assert_false(dp_uidlist_guid(DP_SPAN_LIT(""), guid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutf7_is_what_the_rfc_shows),
        cmocka_unit_test(one_name_has_one_spelling),
        cmocka_unit_test(folders_are_directories_and_back),
        cmocka_unit_test(what_is_no_folder_is_none),
        cmocka_unit_test(messages_have_a_base_and_flags),
        cmocka_unit_test(templates_take_users_that_do_not_climb),
        cmocka_unit_test(canonical_users_have_a_domain_in_lower_case),
        cmocka_unit_test(nothing_opens_outside),
        cmocka_unit_test(a_uidlist_has_a_guid_in_its_first_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
