/* load_device: answers in, the next command out; and that command's bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools/device/load_device.h"
#include "wire/eas_ping.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

static unsigned char bytes[1024];

static dp_load_answer ok(size_t n)
{
    return (dp_load_answer){.status = 200, .body = dp_span_of(bytes, n)};
}

static void leaf(dp_wbxml_writer *w, dp_wbxml_tag tag, const char *text)
{
    if (text) {
        dp_wbxml_write_leaf(w, tag, dp_span_str(text));
    }
}

/* @param folders id, name, type of each; NULL ends */
static dp_load_answer folder_sync(const char *status, const char *key,
                                  const char *const *folders)
{
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, bytes, sizeof(bytes));
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_FolderSync);
    leaf(&w, DP_TAG_FOLDER_Status, status);
    leaf(&w, DP_TAG_FOLDER_SyncKey, key);
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_Changes);
    for (; *folders; folders += 3) {
        dp_wbxml_write_open(&w, DP_TAG_FOLDER_Add);
        leaf(&w, DP_TAG_FOLDER_ServerId, folders[0]);
        leaf(&w, DP_TAG_FOLDER_ParentId, "0");
        leaf(&w, DP_TAG_FOLDER_DisplayName, folders[1]);
        leaf(&w, DP_TAG_FOLDER_Type, folders[2]);
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    return ok(w.n);
}

static const char *const FOLDERS[] = {"1", "Drafts", "3",   "2",  "Posteingang",
                                      "2", "3",      "Foo", "12", NULL};
static const char *const NO_FOLDERS[] = {NULL};

static dp_load_answer sync_of(const char *id, const char *status,
                              const char *key, bool has_more)
{
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, bytes, sizeof(bytes));
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collections);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collection);
    leaf(&w, DP_TAG_AIRSYNC_SyncKey, key);
    leaf(&w, DP_TAG_AIRSYNC_CollectionId, id);
    leaf(&w, DP_TAG_AIRSYNC_Status, status);
    if (has_more) {
        dp_wbxml_write_empty(&w, DP_TAG_AIRSYNC_MoreAvailable);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    return ok(w.n);
}

static dp_load_answer ping(unsigned status, uint32_t value)
{
    dp_span id = DP_SPAN_LIT("2");
    return ok(dp_ping_response_write(bytes, sizeof(bytes), status, &id,
                                     status == DP_PING_CHANGES, value));
}

static void assert_takes(dp_load_device *d, dp_load_answer a,
                         dp_load_outcome outcome, dp_load_cmd next)
{
    dp_load_news n = dp_load_device_take(d, "Inbox", &a);
    assert_int_equal(n.outcome, outcome);
    assert_int_equal(d->next, next);
}

static void assert_fails(dp_load_device *d, dp_load_answer a,
                         dp_load_failure why)
{
    uint8_t next = d->next;
    dp_load_news n = dp_load_device_take(d, "Inbox", &a);
    assert_int_equal(n.outcome, DP_LOAD_FAILED);
    assert_int_equal(n.failure, why);
    assert_int_equal(d->next, next); /* and is tried again */
}

/* A phone from the shop, up to its first Ping. */
static void set_up(dp_load_device *d)
{
    dp_load_device_init(d, 480, false);
    assert_int_equal(d->next, DP_LOAD_FOLDERSYNC);
    assert_takes(d, folder_sync("1", "h1", FOLDERS), DP_LOAD_NEXT,
                 DP_LOAD_SYNC);
    assert_takes(d, sync_of("2", "1", "k1", false), DP_LOAD_NEXT, DP_LOAD_SYNC);
    assert_takes(d, sync_of("2", "1", "k2", false), DP_LOAD_NEXT, DP_LOAD_WAIT);
}

static void a_phone_is_set_up_as_phones_are(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_string_equal(d.folder, "2");
    assert_string_equal(d.key, "k2");
    assert_string_equal(d.hierarchy_key, "h1");
}

static void the_inbox_is_known_by_type_and_others_by_name(void **state)
{
    (void)state;
    assert_true(dp_load_device_wants("inbox", DP_SPAN_LIT("Posteingang"), 2));
    assert_false(dp_load_device_wants("Inbox", DP_SPAN_LIT("Inbox"), 12));
    assert_true(dp_load_device_wants("FOO", DP_SPAN_LIT("Foo"), 12));
    assert_false(dp_load_device_wants("Foo", DP_SPAN_LIT("Foobar"), 12));
}

static void changes_lead_to_a_sync_and_the_next_ping(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_takes(&d, ping(DP_PING_CHANGES, 0), DP_LOAD_TOLD, DP_LOAD_SYNC);
    assert_takes(&d, sync_of("2", "1", "k3", true), DP_LOAD_NEXT, DP_LOAD_SYNC);
    assert_takes(&d, sync_of("2", "1", "k4", false), DP_LOAD_NEXT,
                 DP_LOAD_WAIT);
    assert_string_equal(d.key, "k4");
}

static void an_empty_sync_keeps_the_key(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_takes(&d, ping(DP_PING_CHANGES, 0), DP_LOAD_TOLD, DP_LOAD_SYNC);
    assert_takes(&d, ok(0), DP_LOAD_NEXT, DP_LOAD_WAIT);
    assert_string_equal(d.key, "k2");
}

static void the_end_of_the_heartbeat_leads_to_the_next_ping(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_takes(&d, ping(DP_PING_NOTHING, 0), DP_LOAD_EXPIRED, DP_LOAD_WAIT);
}

static void a_new_folder_list_is_fetched_and_the_ping_sent_again(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_takes(&d, ping(DP_PING_HIERARCHY, 0), DP_LOAD_LISTED,
                 DP_LOAD_FOLDERSYNC);
    assert_takes(&d, folder_sync("1", "h2", NO_FOLDERS), DP_LOAD_NEXT,
                 DP_LOAD_WAIT);
    assert_string_equal(d.hierarchy_key, "h2");
    assert_string_equal(d.key, "k2");
}

static void another_heartbeat_is_taken_over(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_takes(&d, ping(DP_PING_HEARTBEAT, 900), DP_LOAD_NEXT, DP_LOAD_WAIT);
    assert_int_equal(d.heartbeat_s, 900);
    dp_load_device_wish(&d, 480); /* still the first wish */
    assert_int_equal(d.heartbeat_s, 900);
    assert_fails(&d, ping(DP_PING_HEARTBEAT, 900), DP_LOAD_FAIL_STATUS);
    dp_load_device_wish(&d, 60);
    assert_int_equal(d.heartbeat_s, 60);
}

static void who_is_forgotten_begins_anew_but_not_for_ever(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    assert_takes(&d, ping(DP_PING_CHANGES, 0), DP_LOAD_TOLD, DP_LOAD_SYNC);
    for (int i = 0; i < 3; i++) {
        assert_takes(&d, sync_of("2", "3", "0", false), DP_LOAD_NEXT,
                     DP_LOAD_FOLDERSYNC);
        assert_string_equal(d.hierarchy_key, "0");
        assert_takes(&d, folder_sync("1", "h1", FOLDERS), DP_LOAD_NEXT,
                     DP_LOAD_SYNC);
        assert_string_equal(d.key, "0");
    }
    assert_fails(&d, sync_of("2", "3", "0", false), DP_LOAD_FAIL_STATUS);
}

static void an_answered_ping_ends_the_row_of_restarts(void **state)
{
    dp_load_device d;
    (void)state;
    set_up(&d);
    for (int i = 0; i < 10; i++) {
        assert_takes(&d, ping(DP_PING_CHANGES, 0), DP_LOAD_TOLD, DP_LOAD_SYNC);
        assert_takes(&d, sync_of("2", "3", "0", false), DP_LOAD_NEXT,
                     DP_LOAD_FOLDERSYNC);
        assert_takes(&d, folder_sync("1", "h1", FOLDERS), DP_LOAD_NEXT,
                     DP_LOAD_SYNC);
        assert_takes(&d, sync_of("2", "1", "k1", false), DP_LOAD_NEXT,
                     DP_LOAD_SYNC);
        assert_takes(&d, sync_of("2", "1", "k2", false), DP_LOAD_NEXT,
                     DP_LOAD_WAIT);
    }
}

static void answers_that_lead_nowhere_are_failures(void **state)
{
    static const char *const no_inbox[] = {"1", "Drafts", "3", NULL};
    dp_load_device d;
    (void)state;
    dp_load_device_init(&d, 480, false);
    assert_fails(&d, folder_sync("6", "", NO_FOLDERS), DP_LOAD_FAIL_STATUS);
    assert_fails(&d, folder_sync("1", "h1", no_inbox), DP_LOAD_FAIL_STATUS);
    assert_fails(&d, ok(0), DP_LOAD_FAIL_STATUS);
    assert_takes(&d, folder_sync("1", "h1", FOLDERS), DP_LOAD_NEXT,
                 DP_LOAD_SYNC);
    assert_fails(&d, ok(0), DP_LOAD_FAIL_STATUS); /* the first has a key */
    assert_fails(&d, sync_of("9", "1", "k1", false), DP_LOAD_FAIL_STATUS);
    assert_fails(&d, sync_of("2", "5", NULL, false), DP_LOAD_FAIL_STATUS);
    set_up(&d);
    assert_fails(&d, ping(DP_PING_ERROR, 0), DP_LOAD_FAIL_STATUS);
    assert_fails(&d, ok(0), DP_LOAD_FAIL_STATUS);
    memset(bytes, 'x', 20);
    assert_fails(&d, ok(20), DP_LOAD_FAIL_STATUS);
}

static void a_key_that_is_too_long_is_a_failure(void **state)
{
    char key[DP_LOAD_KEY_MAX + 1];
    dp_load_device d;
    (void)state;
    memset(key, 'k', sizeof(key));
    key[DP_LOAD_KEY_MAX] = '\0';
    set_up(&d);
    d.next = DP_LOAD_SYNC;
    assert_fails(&d, sync_of("2", "1", key, false), DP_LOAD_FAIL_STATUS);
    key[DP_LOAD_KEY_MAX - 1] = '\0';
    assert_takes(&d, sync_of("2", "1", key, false), DP_LOAD_NEXT, DP_LOAD_WAIT);
}

static void http_tells_refused_from_denied(void **state)
{
    static const struct {
        unsigned status;
        dp_load_failure why;
    } want[] = {{503, DP_LOAD_FAIL_REFUSED}, {401, DP_LOAD_FAIL_DENIED},
                {403, DP_LOAD_FAIL_DENIED},  {500, DP_LOAD_FAIL_HTTP},
                {449, DP_LOAD_FAIL_HTTP},    {204, DP_LOAD_FAIL_HTTP}};
    dp_load_device d;
    (void)state;
    set_up(&d);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_fails(&d, (dp_load_answer){.status = want[i].status},
                     want[i].why);
    }
    dp_load_answer busy = {.status = 503, .retry_after_s = 42};
    assert_int_equal(dp_load_device_take(&d, "Inbox", &busy).retry_after_s, 42);
}

static void longpolling_asks_for_what_follows_the_last_message(void **state)
{
    dp_load_device d;
    (void)state;
    dp_load_device_init(&d, 480, true);
    assert_int_equal(d.next, DP_LOAD_WAIT);
    dp_load_answer message = {.status = 200,
                              .etag = DP_SPAN_LIT("0"),
                              .last_modified =
                                  DP_SPAN_LIT("Fri, 01 Jan 2027 00:00:00 GMT")};
    dp_load_news n = dp_load_device_take_message(&d, &message);
    assert_int_equal(n.outcome, DP_LOAD_TOLD);
    assert_string_equal(d.key, "0");
    assert_string_equal(d.hierarchy_key, "Fri, 01 Jan 2027 00:00:00 GMT");
    dp_load_answer none = {.status = 304};
    n = dp_load_device_take_message(&d, &none);
    assert_int_equal(n.outcome, DP_LOAD_EXPIRED);
    assert_string_equal(d.key, "0");
    dp_load_answer gone = {.status = 410};
    n = dp_load_device_take_message(&d, &gone);
    assert_int_equal(n.outcome, DP_LOAD_FAILED);
    assert_int_equal(d.next, DP_LOAD_WAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_phone_is_set_up_as_phones_are),
        cmocka_unit_test(the_inbox_is_known_by_type_and_others_by_name),
        cmocka_unit_test(changes_lead_to_a_sync_and_the_next_ping),
        cmocka_unit_test(an_empty_sync_keeps_the_key),
        cmocka_unit_test(the_end_of_the_heartbeat_leads_to_the_next_ping),
        cmocka_unit_test(a_new_folder_list_is_fetched_and_the_ping_sent_again),
        cmocka_unit_test(another_heartbeat_is_taken_over),
        cmocka_unit_test(who_is_forgotten_begins_anew_but_not_for_ever),
        cmocka_unit_test(an_answered_ping_ends_the_row_of_restarts),
        cmocka_unit_test(answers_that_lead_nowhere_are_failures),
        cmocka_unit_test(a_key_that_is_too_long_is_a_failure),
        cmocka_unit_test(http_tells_refused_from_denied),
        cmocka_unit_test(longpolling_asks_for_what_follows_the_last_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
