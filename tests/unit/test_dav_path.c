/* dav_path: what paths of the servers that we know say, and what hostile ones
 * do not. */
#include "test_device_support.h"

#include <stdlib.h>
#include <string.h>

#include "observe/dav_path.h"

static unsigned char buf[8192];

static dp_dav_place parse_as(const char *login, const char *url)
{
    dp_dav_place p;
    size_t n = strlen(url);
    assert_true(DP_DAV_BUF(n) <= sizeof(buf));
    dp_dav_path_parse(dp_span_of(url, n), dp_span_str(login), false, buf, &p);
    return p;
}

static dp_dav_place parse(const char *url)
{
    return parse_as("alice", url);
}

static void is_text(dp_span s, const char *text)
{
    assert_int_equal(s.n, strlen(text));
    assert_memory_equal(s.p, text, s.n);
}

static void is_place(dp_dav_place p, const char *user, const char *folder,
                     unsigned classes, bool is_item)
{
    is_text(p.user, user);
    is_text(p.folder, folder);
    assert_int_equal(p.classes, classes);
    assert_int_equal(p.is_item, is_item);
}

static void sogo_names_user_class_and_folder(void **state)
{
    is_place(parse("/SOGo/dav/alice/Calendar/personal/1.ics"), "alice",
             "personal", DP_DAV_CALENDAR, true);
    is_place(parse("/SOGo/dav/bob/Contacts/4A-1/"), "bob", "4A-1",
             DP_DAV_CONTACTS, false);
    is_place(parse("/dav/a%40x.org/Calendar"), "a@x.org", "",
             DP_DAV_CALENDAR, false);
    is_place(parse("https://h:8443/SOGo//dav/alice/Calendar/w/1?x=/a#b"),
             "alice", "w", DP_DAV_CALENDAR, true);
    assert_int_equal(parse("/SOGo/dav/a/Calendar/b/").shape, DP_DAV_SOGO);
}

static void a_subscribed_folder_names_its_owner(void **state)
{
    dp_dav_place p = parse("/SOGo/dav/alice/Calendar/bob_personal/1.ics");
    is_text(p.folder, "bob_personal");
    is_text(p.owner, "bob");
    is_text(p.owner_folder, "personal");
    p = parse("/SOGo/dav/alice/Calendar/b_U_o_D_b_A_x_D_org_4A-1/");
    is_text(p.owner, "b_o.b@x.org");
    is_text(p.owner_folder, "4A-1");
    p = parse("/remote.php/dav/calendars/alice/a_shared_by_b_shared_by_bob/1");
    is_text(p.owner, "bob");
    is_text(p.owner_folder, "a_shared_by_b");
    static const char *const own[] = {"work", "_work", "work_", "w_A_x", "_"};
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
        char url[64];
        snprintf(url, sizeof(url), "/SOGo/dav/alice/Calendar/%s/", own[i]);
        assert_int_equal(parse(url).owner.n, 0);
    }
}

static void homes_are_below_calendars_and_addressbooks(void **state)
{
    is_place(parse("/remote.php/dav/calendars/alice/personal/1.ics"), "alice",
             "personal", DP_DAV_CALENDAR, true);
    is_place(parse("/remote.php/dav/addressbooks/users/alice/contacts/1.vcf"),
             "alice", "contacts", DP_DAV_CONTACTS, true);
    is_place(parse("/rpc.php/calendars/alice/abc/"), "alice", "abc",
             DP_DAV_CALENDAR, false);
    is_place(parse("/dav/calendars/user/alice/Default/x.ics"), "alice",
             "Default", DP_DAV_CALENDAR, true);
    is_place(parse("/calendars"), "", "", DP_DAV_CALENDAR, false);
}

static void elsewhere_the_position_counts(void **state)
{
    is_place(parse("/radicale/alice/work/1.ics"), "alice", "work",
             DP_DAV_CALENDAR, true);
    is_place(parse("/alice/work/"), "alice", "work", 0, false);
    is_place(parse("/alice/work"), "alice", "work", 0, false);
    is_place(parse("/bob/cards/1.vcf"), "bob", "cards", DP_DAV_CONTACTS, true);
    is_place(parse("/bob/cards/1"), "bob", "cards", 0, true);
    is_place(parse("/bob/cards/"), "bob", "cards", 0, false);
    is_place(parse("/cards/1.vcf"), "", "cards", DP_DAV_CONTACTS, true);
    is_place(parse("/x"), "", "x", 0, false);
    is_place(parse_as("alice@x.org", "/dav.php/alice/w/1"), "alice", "w", 0,
             true);
    is_place(parse_as("", "/bob/w/1.ics"), "bob", "w", DP_DAV_CALENDAR, true);
}

static void files_are_none_of_ours(void **state)
{
    assert_int_equal(parse("/remote.php/dav/files/alice/1.ics").shape,
                     DP_DAV_FOREIGN);
    assert_int_equal(parse("/nc/remote.php/webdav/1.txt").shape,
                     DP_DAV_FOREIGN);
}

static void what_cannot_be_a_name_names_nothing(void **state)
{
    static const char *const bad[] = {
        "", "*", "http:/x", "http://host", "/", "///", "/?a/b/c", "/a/%/c",
        "/a/%4/c", "/a/%zz/c", "/a/%00/c", "/SOGo/dav/al%2Fice/Calendar/p/1",
        "/SOGo/dav/../bob/Calendar/p/1", "/SOGo/dav/%2e%2e/Calendar/p/1",
        "/SOGo/dav/a%0ab/Calendar/p/1", "/SOGo/dav/a\nb/Calendar/p/1",
        "/./a/b", "/a/b%7f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        dp_dav_place p = parse(bad[i]);
        assert_int_equal(p.shape, DP_DAV_UNREADABLE);
        is_place(p, "", "", 0, false);
    }
    char deep[200] = "";
    for (int i = 0; i < 33; i++) {
        strcat(deep, "/a");
    }
    assert_int_equal(parse(deep).shape, DP_DAV_UNREADABLE);
}

static void users_are_the_same_by_what_both_say(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_same;
    } cases[] = {{"alice", "ALICE", true},       {"alice", "alice@x", true},
                 {"X\\alice", "alice", true},    {"a@x", "a@y", false},
                 {"alice", "bob", false},        {"", "", false},
                 {"@x", "", false},              {"a@x", "A@X", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(dp_dav_is_same_user(dp_span_str(cases[i].a),
                                             dp_span_str(cases[i].b)),
                         cases[i].is_same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sogo_names_user_class_and_folder),
        cmocka_unit_test(a_subscribed_folder_names_its_owner),
        cmocka_unit_test(homes_are_below_calendars_and_addressbooks),
        cmocka_unit_test(elsewhere_the_position_counts),
        cmocka_unit_test(files_are_none_of_ours),
        cmocka_unit_test(what_cannot_be_a_name_names_nothing),
        cmocka_unit_test(users_are_the_same_by_what_both_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
