/* dav_change: the topics of a request, written as "user Class folder new". */
#include "test_device_support.h"

#include <stdio.h>
#include <string.h>

#include "observe/dav_change.h"

static unsigned char at_buf[1024], to_buf[1024];

static const char *changed(const char *method, const char *at, const char *to,
                           const char *type, const char *body)
{
    static char out[2048];
    dp_dav_place to_place;
    dp_dav_topic topics[DP_DAV_TOPICS_MAX];
    dp_dav_seen s = {.method = dp_dav_method_of(dp_span_str(method)),
                     .login = DP_SPAN_LIT("alice"),
                     .content_type = dp_span_str(type)};
    bool is_collection = s.method >= DP_DAV_MKCOL;
    dp_dav_path_parse(dp_span_str(at), s.login, is_collection, at_buf, &s.at);
    if (to) {
        dp_dav_path_parse(dp_span_str(to), s.login, false, to_buf, &to_place);
        s.to = &to_place;
    }
    if (body) {
        dp_dav_body_feed(&s.body, dp_span_str(body));
        dp_dav_body_end(&s.body);
    }
    size_t n = dp_dav_changed(&s, topics), used = 0;
    out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        used += (size_t)snprintf(
            out + used, sizeof(out) - used, "%s%.*s %s %.*s %s",
            i ? ", " : "", (int)topics[i].user.n, topics[i].user.p,
            dp_class_name(topics[i].topic.class_id),
            (int)topics[i].topic.folder.n, topics[i].topic.folder.p,
            topics[i].is_new ? "new" : "other");
    }
    return out;
}

#define EVENT "BEGIN:VCALENDAR\nBEGIN:VEVENT\n"
#define CARD "BEGIN:VCARD\n"
#define HOME "/SOGo/dav/alice/Calendar/"

static void a_put_is_of_the_class_of_its_body(void **state)
{
    assert_string_equal(changed("PUT", HOME "personal/1", NULL, NULL, EVENT),
                        "alice Calendar * new");
    assert_string_equal(changed("PUT", HOME "w/1", NULL, NULL, NULL),
                        "alice Calendar w new, alice Tasks w new");
    assert_string_equal(changed("PUT", "/alice/w/1", NULL, NULL, CARD),
                        "alice Contacts w new");
    assert_string_equal(changed("PUT", "/alice/w/1", NULL,
                                "Text/vCard; charset=utf-8", NULL),
                        "alice Contacts w new");
    assert_string_equal(changed("PUT", "/alice/w/1", NULL, NULL, "text"), "");
}

static void a_delegates_change_is_of_both(void **state)
{
    assert_string_equal(
        changed("PUT", HOME "bob_personal/1", NULL, NULL, EVENT),
        "alice Calendar bob_personal new, bob Calendar * new");
    assert_string_equal(
        changed("PUT", "/SOGo/dav/bob/Calendar/w/1", NULL, NULL, EVENT),
        "bob Calendar w new");
}

static void who_may_be_meant_is_told(void **state)
{
    assert_string_equal(changed("PUT", "/uuid-7/w/1", NULL, NULL, EVENT),
                        "uuid-7 Calendar w new, alice Calendar * new");
    assert_string_equal(changed("DELETE", "/..", NULL, NULL, NULL),
                        "alice Hierarchy * other, alice Calendar * other, "
                        "alice Contacts * other, alice Tasks * other");
}

static void a_move_is_two_places_and_a_copy_one(void **state)
{
    assert_string_equal(
        changed("MOVE", HOME "a/1", HOME "b/1", NULL, NULL),
        "alice Calendar a other, alice Tasks a other, "
        "alice Calendar b new, alice Tasks b new");
    assert_string_equal(
        changed("MOVE", HOME "a/1", HOME "a/2", NULL, NULL),
        "alice Calendar a new, alice Tasks a new");
    assert_string_equal(
        changed("COPY", "/SOGo/dav/bob/Contacts/a/1",
                "/SOGo/dav/alice/Contacts/b/1", NULL, NULL),
        "alice Contacts b new");
}

static void a_folder_is_the_hierarchys_as_well(void **state)
{
    assert_string_equal(changed("DELETE", "/SOGo/dav/alice/Contacts/a/", NULL,
                                NULL, NULL),
                        "alice Hierarchy * other, alice Contacts a other");
    assert_string_equal(changed("MKCALENDAR", "/alice/a", NULL, NULL, NULL),
                        "alice Hierarchy * new, alice Calendar a new, "
                        "alice Tasks a new");
    assert_string_equal(changed("PROPPATCH", HOME "a/", NULL, NULL, NULL),
                        "alice Hierarchy * other");
    assert_string_equal(changed("PROPPATCH", HOME "a/1", NULL, NULL, NULL),
                        "alice Calendar a other, alice Tasks a other");
}

static void a_post_is_of_the_place_that_it_made(void **state)
{
    assert_string_equal(changed("POST", HOME "a/", HOME "b/1", NULL, EVENT),
                        "alice Calendar b new");
    assert_string_equal(changed("POST", HOME "a/", NULL, "text/calendar",
                                "BEGIN:VCALENDAR\nBEGIN:VFREEBUSY\n"), "");
}

static void other_methods_change_nothing(void **state)
{
    assert_string_equal(changed("GET", HOME "a/1", NULL, NULL, NULL), "");
    assert_string_equal(changed("put", HOME "a/1", NULL, NULL, NULL), "");
    assert_string_equal(changed("", HOME "a/1", NULL, NULL, NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_of_the_class_of_its_body),
        cmocka_unit_test(a_delegates_change_is_of_both),
        cmocka_unit_test(who_may_be_meant_is_told),
        cmocka_unit_test(a_move_is_two_places_and_a_copy_one),
        cmocka_unit_test(a_folder_is_the_hierarchys_as_well),
        cmocka_unit_test(a_post_is_of_the_place_that_it_made),
        cmocka_unit_test(other_methods_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
