/* Answers of CalDAV servers, good and hostile; names; files of secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "watcher/dav_secret.h"
#include "watcher/dav_xml.h"

#define HEAD "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\" "         \
             "xmlns:C=\"urn:ietf:params:xml:ns:caldav\" "                      \
             "xmlns:S=\"http://calendarserver.org/ns/\">"
#define TAIL "</D:multistatus>"

typedef struct seen {
    dp_dav_response r[4];
    unsigned n;
} seen;

static bool note(void *ctx, const dp_dav_response *r)
{
    seen *s = ctx;
    if (s->n < 4) {
        s->r[s->n] = *r;
    }
    s->n++;
    return true;
}

static const char *read_text(const char *text, seen *s, char *token)
{
    memset(s, 0, sizeof(*s));
    return dp_dav_read(text, strlen(text), note, s, token);
}

static void a_home_of_sogo(void **state)
{
    static seen s;
    assert_null(read_text(
        HEAD "<D:response><D:href>/dav/a/Calendar/</D:href><D:propstat>"
             "<D:status>HTTP/1.1 200 OK</D:status><D:prop><D:resourcetype>"
             "<D:collection/></D:resourcetype></D:prop></D:propstat><D:propstat>"
             "<D:status>HTTP/1.1 404 Not Found</D:status><D:prop><S:getctag>no"
             "</S:getctag></D:prop></D:propstat></D:response><D:response>"
             "<D:href>/dav/a/Calendar/personal/</D:href><D:propstat><D:prop>"
             "<D:resourcetype><D:collection/><calendar xmlns=\"urn:ietf:params:"
             "xml:ns:caldav\"/><vtodo-collection xmlns=\"http://groupdav.org/\""
             "/></D:resourcetype><S:getctag> -1 </S:getctag><D:sync-token>-1"
             "</D:sync-token><C:supported-calendar-component-set><C:comp "
             "name=\"VEVENT\"/></C:supported-calendar-component-set></D:prop>"
             "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        TAIL, &s, NULL));
    assert_int_equal(s.n, 2);
    assert_false(s.r[0].is_calendar);
    assert_string_equal(s.r[0].ctag, "");
    assert_true(s.r[1].is_calendar);
    assert_int_equal(s.r[1].kinds, DP_DAV_EVENTS | DP_DAV_TASKS);
    assert_string_equal(s.r[1].href, "/dav/a/Calendar/personal/");
    assert_string_equal(s.r[1].ctag, "-1");
    assert_string_equal(s.r[1].token, "-1");
}

static void a_detail_has_items_and_a_token(void **state)
{
    static seen s;
    char token[DP_DAV_TEXT_MAX];
    assert_null(read_text(
        HEAD "<D:response><D:href>/a/1.ics</D:href><D:propstat><D:prop>"
             "<D:getetag>&quot;7&quot;</D:getetag></D:prop><D:status>HTTP/1.1 "
             "200 OK</D:status></D:propstat></D:response><D:response><D:href>"
             "/a/2.ics</D:href><D:status>HTTP/1.1 404 Not Found</D:status>"
             "</D:response><D:sync-token>99</D:sync-token>"
        TAIL, &s, token));
    assert_int_equal(s.n, 2);
    assert_string_equal(s.r[0].etag, "\"7\"");
    assert_int_equal(s.r[1].status, 404);
    assert_string_equal(token, "99");
}

static void hostile_answers_are_refused(void **state)
{
    static seen s;
    static char deep[4096], wide[DP_DAV_TEXT_MAX + 1024];
    const char *bomb =
        "<?xml version=\"1.0\"?><!DOCTYPE m [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY "
        "b \"&a;&a;&a;&a;&a;&a;\">]><D:multistatus xmlns:D=\"DAV:\"><D:response>"
        "<D:href>&b;</D:href></D:response></D:multistatus>";
    assert_string_equal(read_text(bomb, &s, NULL),
                        "it has a document type declaration");
    assert_non_null(read_text("", &s, NULL));
    assert_non_null(read_text("<html>hello</html>", &s, NULL));
    assert_non_null(read_text("hello", &s, NULL));
    assert_non_null(read_text(HEAD "<D:response>", &s, NULL));
    assert_non_null(read_text(HEAD "&b;" TAIL, &s, NULL));
    strcpy(deep, HEAD);
    for (int i = 0; i < 64; i++) {
        strcat(deep, "<x>");
    }
    assert_string_equal(read_text(deep, &s, NULL), "it is nested too deep");
    strcpy(wide, HEAD "<D:response><D:href>");
    memset(wide + strlen(wide), 'x', DP_DAV_TEXT_MAX);
    assert_string_equal(read_text(wide, &s, NULL),
                        "it has a text that is too long");
}

static void names_are_the_last_segment(void **state)
{
    char name[64];
    assert_true(dp_dav_name_of("/SOGo/dav/a/Calendar/personal/", name, 64));
    assert_string_equal(name, "personal");
    assert_true(dp_dav_name_of("http://h/x/My%20Team", name, 64));
    assert_string_equal(name, "My Team");
    assert_false(dp_dav_name_of("/a/%2e%2e/", name, 64));
    assert_false(dp_dav_name_of("/a/x%2Fy/", name, 64));
    assert_false(dp_dav_name_of("/a/x%00y/", name, 64));
    assert_false(dp_dav_name_of("/a/x%4", name, 64));
    assert_false(dp_dav_name_of("/a/*/", name, 64));
    assert_false(dp_dav_name_of("/", name, 64));
}

static void secrets_are_for_us_alone(void **state)
{
    char path[] = "/tmp/dp-secret-XXXXXX", problem[512], password[64];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "bob:x\nalice:se:cret\r\n", 21), 21);
    close(fd);
    chmod(path, 0644);
    assert_null(dp_secret_read(path, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "chmod 0640"));
    chmod(path, 0640);
    char *text = dp_secret_read(path, problem, sizeof(problem));
    assert_non_null(text);
    assert_true(dp_secret_find(text, "alice", password, sizeof(password)));
    assert_string_equal(password, "se:cret");
    assert_false(dp_secret_find(text, "ali", password, sizeof(password)));
    assert_false(dp_secret_find(text, "carol", password, sizeof(password)));
    dp_secret_free(&text);
    assert_null(text);
    unlink(path);
    assert_null(dp_secret_read(path, problem, sizeof(problem)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_of_sogo),
        cmocka_unit_test(a_detail_has_items_and_a_token),
        cmocka_unit_test(hostile_answers_are_refused),
        cmocka_unit_test(names_are_the_last_segment),
        cmocka_unit_test(secrets_are_for_us_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
