/* dav_body: the component that a body is about, in any pieces. */
#include "test_device_support.h"

#include <stdlib.h>
#include <string.h>

#include "observe/dav_body.h"
#include "observe/dav_path.h"

#define CAL "BEGIN:VCALENDAR\r\n"
#define EVENT DP_DAV_BIT(DP_CLASS_CALENDAR)
#define TASK DP_DAV_BIT(DP_CLASS_TASKS)

static dp_dav_body read_in(const char *text, size_t n, size_t step)
{
    dp_dav_body b = {0};
    for (size_t at = 0; at < n; at += step) {
        dp_dav_body_feed(&b, dp_span_of(text + at,
                                        n - at < step ? n - at : step));
    }
    dp_dav_body_end(&b);
    return b;
}

static void the_component_tells_the_class_in_any_pieces(void **state)
{
    static const struct {
        const char *text;
        unsigned classes;
        bool is_foreign;
    } cases[] = {
        {CAL "BEGIN:VEVENT\r\n", EVENT, false},
        {CAL "BEGIN:VTODO", TASK, false},
        {CAL "BEGIN:VEVENT\nBEGIN:VTODO\n", EVENT | TASK, false},
        {"begin:vcalendar\nbegin:vevent\n", EVENT, false},
        {"\xef\xbb\xbf" CAL "BEGIN:VEVENT \r\n", EVENT, false},
        {"BEGIN:VCARD\r\n", DP_DAV_CONTACTS, false},
        {CAL "DESCRIPTION:a\r\n BEGIN:VTODO\r\nBEGIN:VEVENT\r\n", EVENT, false},
        {CAL "BEGIN:VEVENTS\r\n", 0, false},
        {CAL "BEGIN:VFREEBUSY\r\n", 0, true},
        {CAL "BEGIN:VJOURNAL\r\n", 0, false},
        {"", 0, false},
        {"\r\n\r\n", 0, false},
        {"hello\nBEGIN:VEVENT\n", 0, true},
        {"BEGIN:VEVENT\n", 0, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t step = 1; step < 40; step++) {
            dp_dav_body b =
                read_in(cases[i].text, strlen(cases[i].text), step);
            assert_int_equal(dp_dav_body_classes(&b), cases[i].classes);
            assert_int_equal(dp_dav_body_is_foreign(&b), cases[i].is_foreign);
        }
    }
}

static void a_body_that_is_cut_tells_nothing(void **state)
{
    static const char head[] = CAL "BEGIN:VEVENT\r\nX:";
    size_t n = DP_DAV_BODY_MAX + 1;
    char *text = malloc(n);
    memset(text, 'x', n);
    memcpy(text, head, sizeof(head) - 1);
    dp_dav_body b = read_in(text, n, 1000);
    assert_true(b.is_cut);
    assert_int_equal(dp_dav_body_classes(&b), 0);
    assert_false(dp_dav_body_is_foreign(&b));
    b = read_in(text, n - 1, 1000);
    assert_false(b.is_cut);
    assert_int_equal(dp_dav_body_classes(&b), EVENT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_component_tells_the_class_in_any_pieces),
        cmocka_unit_test(a_body_that_is_cut_tells_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
