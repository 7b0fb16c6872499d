/* eas_sync: what requests and responses say of each collection. */
#include "test_eas_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/eas_sync.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define AS(name) DP_TAG_AIRSYNC_##name

static void log_request_collection(void *ctx, const dp_sync_collection *c)
{
    wire_log_add(ctx, "[id=");
    wire_log_span(ctx, dp_span_of(c->id, c->id_n));
    wire_log_add(ctx, " class=");
    wire_log_span(ctx, dp_span_of(c->class_name, c->class_name_n));
    wire_log_add(ctx, " key=");
    wire_log_span(ctx, dp_span_of(c->key, c->key_n));
    wire_log_add(ctx, " zero=%d get=%d moves=%d cmds=%u,%u,%u,%u odd=%d]",
                 c->key_is_zero, c->wants_changes, c->deletes_as_moves,
                 c->client_adds, c->client_changes, c->client_deletes,
                 c->client_fetches, c->is_odd);
    if (c->filter) {
        wire_log_add(ctx, "filter=%u ", c->filter);
    }
    assert_int_equal(c->status + c->server_adds + c->responses_ok, 0);
}

static void log_response_collection(void *ctx, const dp_sync_collection *c)
{
    wire_log_add(ctx, "[id=");
    wire_log_span(ctx, dp_span_of(c->id, c->id_n));
    wire_log_add(ctx, " class=");
    wire_log_span(ctx, dp_span_of(c->class_name, c->class_name_n));
    wire_log_add(ctx, " key=");
    wire_log_span(ctx, dp_span_of(c->key, c->key_n));
    wire_log_add(ctx, " status=%u more=%d items=%u,%u,%u results=%u,%u odd=%d]",
                 c->status, c->more_available, c->server_adds,
                 c->server_changes, c->server_deletes, c->responses_ok,
                 c->responses_bad, c->is_odd);
    if (c->server_leaves) {
        wire_log_add(ctx, "left=%u ", c->server_leaves);
    }
    if (c->responses_fetched) {
        wire_log_add(ctx, "fetched=%u ", c->responses_fetched);
    }
    assert_int_equal(c->client_adds + c->client_changes + c->wants_changes, 0);
}

static bool feed(void *p, dp_span chunk)
{
    return dp_sync_feed(p, chunk);
}

static void log_request(dp_span body, size_t chunk_n, wire_log *log)
{
    dp_sync_parser p;

    dp_sync_init(&p, false, log_request_collection, log);
    wire_feed(body, chunk_n, feed, &p);
    wire_log_add(log, "n=%zu partial=%d wait=%u heartbeat=%u whole=%d bad=%d",
                 p.collections_n, p.is_partial, (unsigned)p.wait_min,
                 (unsigned)p.heartbeat_s, p.is_whole, p.is_bad);
    assert_int_equal(p.status, 0);
}

static void log_response(dp_span body, size_t chunk_n, wire_log *log)
{
    dp_sync_parser p;

    dp_sync_init(&p, true, log_response_collection, log);
    wire_feed(body, chunk_n, feed, &p);
    wire_log_add(log, "n=%zu status=%u whole=%d bad=%d", p.collections_n,
                 p.status, p.is_whole, p.is_bad);
    assert_int_equal(p.wait_min, 0);
}

static void assert_outcome(wire_subject subject, const char *name, dp_span body,
                           const char *expected)
{
    wire_log log = {.text = NULL};

    wire_check_body(subject, name, body);
    subject(body, body.n, &log);
    assert_string_equal(log.text, expected);
    wire_log_free(&log);
    free((void *)body.p);
}

static void assert_captured(wire_subject subject, const char *name,
                            const char *expected)
{
    assert_outcome(subject, name, wire_capture(name), expected);
}

/** A Collection in hex, within Sync and Collections. */
static void assert_collection(wire_subject subject, const char *hex,
                              const char *expected)
{
    char document[2048];

    snprintf(document, sizeof(document), "03016a00 45 5c 4f %s 01 01 01", hex);
    assert_outcome(subject, hex, wire_unhex(document), expected);
}

#define SOGO_INBOX "mail%2Fa139c21dfa82036bd80c000083ecc375"
#define ZPUSH_UUID "{5ff9edb3-b069-4b59-b456-6042fe5b9e83}"

/* ---- captures ---- */

static void requests_of_captures_say_what_the_client_asked(void **state)
{
    assert_captured(log_request, "sogo/10-sync-key-0.req",
                    "[id=" SOGO_INBOX " class= key=0 zero=1 get=0 moves=1 "
                    "cmds=0,0,0,0 odd=0]n=1 partial=0 wait=0 heartbeat=0 "
                    "whole=1 bad=0");
    assert_captured(log_request, "sogo/12-sync-more-available.req",
                    "[id=" SOGO_INBOX " class= key=2-2 zero=0 get=1 moves=1 "
                    "cmds=0,0,0,0 odd=0]filter=1 n=1 partial=0 wait=0 heartbeat=0 "
                    "whole=1 bad=0");
    assert_captured(log_request, "zpush/33-sync-flag-change-by-client.req",
                    "[id=2edb5446 class= key=" ZPUSH_UUID "7 zero=0 get=1 "
                    "moves=1 cmds=0,1,0,0 odd=0]filter=1 n=1 partial=0 "
                    "wait=0 heartbeat=0 whole=1 bad=0");
    assert_captured(log_request, "zpush/20-ping-change.req",
                    "n=0 partial=0 wait=0 heartbeat=0 whole=0 bad=1");
}

static void responses_of_captures_say_what_was_synchronised(void **state)
{
    assert_captured(log_response, "sogo/10-sync-key-0.resp",
                    "[id=" SOGO_INBOX " class=Email key=-1 status=1 more=0 "
                    "items=0,0,0 results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "sogo/12-sync-more-available.resp",
                    "[id=" SOGO_INBOX " class=Email key=2-4 status=1 more=1 "
                    "items=2,0,0 results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "sogo/14-sync-more-last.resp",
                    "[id=" SOGO_INBOX " class=Email key=6-7 status=1 more=0 "
                    "items=1,0,0 results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "sogo/33-sync-flag-change-by-client.resp",
                    "[id=" SOGO_INBOX " class=Email key=9-9 status=1 more=0 "
                    "items=0,0,0 results=1,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "sogo/18-sync-empty-body.resp",
                    "n=0 status=13 whole=1 bad=0");
    assert_captured(log_response, "sogo/21-sync-key-0-type8.resp",
                    "[id=vevent%2Fpersonal class=Calendar key=-1 status=1 "
                    "more=0 items=0,0,0 results=0,0 odd=0]n=1 status=0 whole=1 "
                    "bad=0");
    assert_captured(log_response, "zpush/13-sync-more-available-2.resp",
                    "[id=2edb5446 class= key=" ZPUSH_UUID "4 status=1 more=1 "
                    "items=2,0,0 results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "zpush/33-sync-flag-change-by-client.resp",
                    "[id=2edb5446 class= key=" ZPUSH_UUID "8 status=1 more=0 "
                    "items=0,0,0 results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "zpush/37-sync-bad-key.resp",
                    "[id=2edb5446 class= key={0123}77 status=3 more=0 "
                    "items=0,0,0 results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    assert_captured(log_response, "zpush/38-sync-unknown-collection.resp",
                    "n=0 status=12 whole=1 bad=0");
}

static void an_answer_of_no_bytes_is_empty_and_not_bad(void **state)
{
    dp_sync_parser p;

    dp_sync_init(&p, true, NULL, NULL);
    assert_true(dp_sync_feed(&p, dp_span_of(NULL, 0)));
    assert_true(p.is_empty);
    assert_false(p.is_whole);
    assert_false(p.is_bad);
    assert_true(dp_sync_feed(&p, DP_SPAN_LIT("\x03")));
    assert_false(p.is_empty);
}

static void every_capture_reads_the_same_in_any_chunking(void **state)
{
    wire_check_chunkings(log_request);
    wire_check_chunkings(log_response);
}

static void cut_off_captures_are_not_whole(void **state)
{
    assert_true(wire_check_truncations(log_request, "whole=1") > 40);
    assert_true(wire_check_truncations(log_response, "whole=1") > 40);
}

static void damaged_captures_read_the_same_in_any_chunking(void **state)
{
    wire_check_mutations(log_request);
    wire_check_mutations(log_response);
}

/* ---- requests ---- */

static void assert_get_changes(const char *hex, bool expected)
{
    char document[256];
    wire_log log = {.text = NULL};
    dp_span body;

    snprintf(document, sizeof(document),
             "03016a00 45 5c 4f %s 52 0361 00 01 01 01 01", hex);
    body = wire_unhex(document);
    log_request(body, body.n, &log);
    if (!strstr(log.text, expected ? " get=1" : " get=0")) {
        fail_msg("%s: %s", hex, log.text);
    }
    wire_log_free(&log);
    free((void *)body.p);
}

static void get_changes_is_on_unless_the_key_is_zero_or_it_says_so(void **state)
{
    assert_get_changes("4b 0331 00 01", true);
    assert_get_changes("4b 0330 00 01", false);
    assert_get_changes("4b 033000 033000 01", true); /* "00" is not "0" */
    assert_get_changes("", true);
    assert_get_changes("4b 0331 00 01 13", true);
    assert_get_changes("4b 0331 00 01 53 01", true);
    assert_get_changes("4b 0331 00 01 53 0331 00 01", true);
    assert_get_changes("4b 0331 00 01 53 0330 00 01", false);
    assert_get_changes("4b 0330 00 01 13", true);
    /* before the key as well, and in doubt off */
    assert_get_changes("13 4b 0330 00 01", true);
    assert_get_changes("53 0330 00 01 4b 0331 00 01", false);
    assert_get_changes("53 0374727565 00 01 4b 0331 00 01", false);
}

static void each_collection_begins_anew(void **state)
{
    assert_outcome(
        log_request, "two collections",
        wire_unhex("03016a00 45 5c"
                   "4f 50 0345 00 01 4b 0330 00 01 52 0361 00 01 5e 0330 00 01"
                   "   53 0331 00 01 56 47 01 47 01 01 01"
                   "4f 4b 0330 00 01 52 0362 00 01 01"
                   "01 01"),
        "[id=a class=E key=0 zero=1 get=1 moves=0 cmds=2,0,0,0 odd=0]"
        "[id=b class= key=0 zero=1 get=0 moves=1 cmds=0,0,0,0 odd=0]"
        "n=2 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

static void commands_of_the_client_are_counted_by_kind(void **state)
{
    assert_collection(
        log_request,
        "4b 0331 00 01 52 0361 00 01 56 47 01 07 48 01 08 08 49 01 "
        "4a 01 0a 01",
        "[id=a class= key=1 zero=0 get=1 moves=1 cmds=2,3,1,2 "
        "odd=0]n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

static void what_is_global_stands_under_the_root(void **state)
{
    assert_outcome(log_request, "globals",
                   wire_unhex("03016a00 45 5c 01 69 03393000 01 26 01"),
                   "n=0 partial=1 wait=0 heartbeat=90 whole=1 bad=0");
    assert_outcome(log_request, "wait",
                   wire_unhex("03016a00 45 64 033539 00 01 66 01 01"),
                   "n=0 partial=1 wait=59 heartbeat=0 whole=1 bad=0");
    assert_outcome(log_request, "within a collection they are nothing",
                   wire_unhex("03016a00 45 5c 4f 4b 0331 00 01 52 0361 00 01 "
                              "64 033539 00 01 26 01 01 01"),
                   "[id=a class= key=1 zero=0 get=1 moves=1 cmds=0,0,0,0 odd=0]"
                   "n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

static void a_collection_may_have_only_a_class(void **state)
{
    assert_collection(log_request, "50 0345 00 01 4b 0331 00 01",
                      "[id= class=E key=1 zero=0 get=1 moves=1 cmds=0,0,0,0 "
                      "odd=0]n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
    assert_collection(log_request, "4b 0331 00 01",
                      "[id= class= key=1 zero=0 get=1 moves=1 cmds=0,0,0,0 "
                      "odd=1]n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

static void a_collection_without_a_key_is_odd_unless_it_failed(void **state)
{
    assert_collection(log_request, "52 0361 00 01",
                      "[id=a class= key= zero=0 get=1 moves=1 cmds=0,0,0,0 "
                      "odd=1]n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
    assert_collection(
        log_response, "52 0361 00 01 4e 0331 00 01",
        "[id=a class= key= status=1 more=0 items=0,0,0 results=0,0 "
        "odd=1]n=1 status=0 whole=1 bad=0");
    assert_collection(
        log_response, "52 0361 00 01 4e 0338 00 01",
        "[id=a class= key= status=8 more=0 items=0,0,0 results=0,0 "
        "odd=0]n=1 status=0 whole=1 bad=0");
}

static void the_class_within_options_is_another(void **state)
{
    assert_collection(
        log_request,
        "4b 0331 00 01 52 0361 00 01 57 50 0353 00 01 58 0330 00 01 "
        "01",
        "[id=a class= key=1 zero=0 get=1 moves=1 cmds=0,0,0,0 "
        "odd=0]filter=1 n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

/* Of mail and of the text messages in its folder: 3 days and 2 weeks. */
static void the_filters_of_all_options_make_one(void **state)
{
    assert_collection(
        log_request,
        "4b 0331 00 01 52 0361 00 01 57 58 0332 00 01 01 57 58 0334 00 01 01 ",
        "[id=a class= key=1 zero=0 get=1 moves=1 cmds=0,0,0,0 "
        "odd=0]filter=53 n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

static void a_leaf_that_is_there_twice_is_odd(void **state)
{
    assert_collection(log_request, "4b 0331 00 01 52 0361 00 01 52 0362 00 01",
                      "[id=b class= key=1 zero=0 get=1 moves=1 cmds=0,0,0,0 "
                      "odd=1]n=1 partial=0 wait=0 heartbeat=0 whole=1 bad=0");
}

/* ---- responses ---- */

static void a_status_belongs_to_where_it_stands(void **state)
{
    /* globally 5, of the collection 3, of an added item 7, of a result 8 */
    assert_outcome(log_response, "statuses",
                   wire_unhex("03016a00 45 4e 0335 00 01 5c 4f"
                              "4b 0331 00 01 52 0361 00 01 4e 0333 00 01"
                              "56 47 4e 0337 00 01 01 01"
                              "46 48 4e 0338 00 01 01 01"
                              "01 01 01"),
                   "[id=a class= key=1 status=3 more=0 items=1,0,0 results=0,1 "
                   "odd=0]n=1 status=5 whole=1 bad=0");
}

static void the_content_of_items_is_not_looked_at(void **state)
{
    /* in ApplicationData: Collection, Status and MoreAvailable of page 0 and
     * the same tokens on page 17 */
    assert_collection(
        log_response,
        "4b 0331 00 01 52 0361 00 01 4e 0331 00 01 56 47 4d 0378 00 "
        "01 5d 0002 4e 0339 00 01 0011 4a 46 0331 00 01 4e 0332 00 01"
        " 14 01 0000 4f 4e 0339 00 01 14 52 037a 00 01 01 01 01 01",
        "[id=a class= key=1 status=1 more=0 items=1,0,0 results=0,0 "
        "odd=0]n=1 status=0 whole=1 bad=0");
}

static void more_available_is_found_in_any_place_and_form(void **state)
{
    assert_collection(
        log_response, "14 4b 0331 00 01 52 0361 00 01 4e 0331 00 01",
        "[id=a class= key=1 status=1 more=1 items=0,0,0 results=0,0 "
        "odd=0]n=1 status=0 whole=1 bad=0");
    assert_collection(
        log_response,
        "4b 0331 00 01 52 0361 00 01 4e 0331 00 01 56 07 01 54 01",
        "[id=a class= key=1 status=1 more=1 items=1,0,0 results=0,0 "
        "odd=0]n=1 status=0 whole=1 bad=0");
}

static void changes_of_the_server_are_counted_by_kind(void **state)
{
    assert_collection(
        log_response,
        "4b 0331 00 01 52 0361 00 01 4e 0331 00 01"
        "56 07 47 01 08 09 49 01 61 01 21 4a 01 01",
        "[id=a class= key=1 status=1 more=0 items=2,1,2 results=0,0 "
        "odd=0]left=2 n=1 status=0 whole=1 bad=0");
}

static void results_are_good_with_status_1_or_none(void **state)
{
    /* Add 1, Change 7, Delete without, Fetch 8, Add with an odd one */
    assert_collection(
        log_response,
        "4b 0331 00 01 52 0361 00 01 4e 0331 00 01"
        "46 47 4e 0331 00 01 01 48 4e 0337 00 01 01 49 01"
        "   4a 4e 0338 00 01 01 47 4e 0378 00 01 01 01",
        "[id=a class= key=1 status=1 more=0 items=0,0,0 results=2,2 "
        "odd=0]fetched=1 n=1 status=0 whole=1 bad=0");
}

static void a_status_that_is_no_number_is_odd(void **state)
{
    assert_collection(
        log_response, "52 0361 00 01 4e 032d31 00 01",
        "[id=a class= key= status=0 more=0 items=0,0,0 results=0,0 "
        "odd=1]n=1 status=0 whole=1 bad=0");
}

/** One Collection whose leaf `tag` has a text of `n` bytes. */
static void assert_length(dp_wbxml_tag tag, size_t n, bool is_odd)
{
    static unsigned char text[4096], buf[8192];
    wire_log log = {.text = NULL};
    dp_wbxml_writer w;

    memset(text, 't', sizeof(text));
    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, AS(Sync));
    dp_wbxml_write_open(&w, AS(Collections));
    dp_wbxml_write_open(&w, AS(Collection));
    dp_wbxml_write_leaf(&w, tag, dp_span_of(text, n));
    if (tag != AS(CollectionId)) {
        dp_wbxml_write_leaf(&w, AS(CollectionId), DP_SPAN_LIT("a"));
    }
    for (int i = 0; i < 3; i++) {
        dp_wbxml_write_close(&w);
    }
    wire_check_body(log_response, "long text", dp_span_of(buf, w.n));
    log_response(dp_span_of(buf, w.n), w.n, &log);
    assert_non_null(strstr(log.text, is_odd ? "odd=1" : "odd=0"));
    assert_non_null(strstr(log.text, "whole=1"));
    wire_log_free(&log);
}

static void texts_that_do_not_fit_are_odd(void **state)
{
    assert_length(AS(SyncKey), DP_SYNC_KEY_MAX, false);
    assert_length(AS(SyncKey), DP_SYNC_KEY_MAX + 1, true);
    assert_length(AS(CollectionId), DP_COLLECTION_ID_MAX, false);
    assert_length(AS(CollectionId), DP_COLLECTION_ID_MAX + 1, true);
    assert_length(AS(Class), DP_SYNC_CLASS_MAX, false);
    assert_length(AS(Class), DP_SYNC_CLASS_MAX + 1, true);
    assert_length(AS(Status), 1000, true);
}

/* ---- hostile ---- */

static void ten_thousand_levels_are_bad(void **state)
{
    assert_outcome(log_response, "deep",
                   wire_deep_body(DP_PAGE_AIRSYNC, 0x45, 0x5C),
                   "n=0 status=0 whole=0 bad=1");
}

static void ten_megabytes_in_an_item_are_passed_over(void **state)
{
    static unsigned char text[10 << 20], buf[sizeof(text) + 256];
    wire_log log = {.text = NULL};
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, AS(Sync));
    dp_wbxml_write_open(&w, AS(Collections));
    dp_wbxml_write_open(&w, AS(Collection));
    dp_wbxml_write_leaf(&w, AS(CollectionId), DP_SPAN_LIT("a"));
    dp_wbxml_write_open(&w, AS(Commands));
    dp_wbxml_write_open(&w, AS(Add));
    dp_wbxml_write_open(&w, AS(ApplicationData));
    dp_wbxml_write_leaf(&w, DP_TAG_BASE_Data, dp_span_of(text, sizeof(text)));
    for (int i = 0; i < 6; i++) {
        dp_wbxml_write_close(&w);
    }
    assert_true(dp_wbxml_write_is_ok(&w));
    log_response(dp_span_of(buf, w.n), 4096, &log);
    assert_string_equal(log.text,
                        "[id=a class= key= status=0 more=0 items=1,0,0 "
                        "results=0,0 odd=0]n=1 status=0 whole=1 bad=0");
    wire_log_free(&log);
}

static void a_key_without_end_takes_no_memory(void **state)
{
    static unsigned char a[1 << 16];
    dp_sync_parser p;

    memset(a, 'a', sizeof(a));
    dp_sync_init(&p, false, NULL, NULL);
    assert_true(
        dp_sync_feed(&p, DP_SPAN_LIT("\x03\x01\x6A\x00\x45\x5C\x4F\x4B\x03")));
    for (int i = 0; i < 1000; i++) {
        assert_true(dp_sync_feed(&p, dp_span_of(a, sizeof(a))));
    }
    assert_true(dp_sync_feed(&p, DP_SPAN_LIT("\0\x01\x01\x01\x01")));
    assert_true(p.is_whole);
    assert_int_equal(p.collections_n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_captures_say_what_the_client_asked),
        cmocka_unit_test(responses_of_captures_say_what_was_synchronised),
        cmocka_unit_test(an_answer_of_no_bytes_is_empty_and_not_bad),
        cmocka_unit_test(every_capture_reads_the_same_in_any_chunking),
        cmocka_unit_test(cut_off_captures_are_not_whole),
        cmocka_unit_test(damaged_captures_read_the_same_in_any_chunking),
        cmocka_unit_test(
            get_changes_is_on_unless_the_key_is_zero_or_it_says_so),
        cmocka_unit_test(each_collection_begins_anew),
        cmocka_unit_test(commands_of_the_client_are_counted_by_kind),
        cmocka_unit_test(what_is_global_stands_under_the_root),
        cmocka_unit_test(a_collection_may_have_only_a_class),
        cmocka_unit_test(a_collection_without_a_key_is_odd_unless_it_failed),
        cmocka_unit_test(the_class_within_options_is_another),
        cmocka_unit_test(the_filters_of_all_options_make_one),
        cmocka_unit_test(a_leaf_that_is_there_twice_is_odd),
        cmocka_unit_test(a_status_belongs_to_where_it_stands),
        cmocka_unit_test(the_content_of_items_is_not_looked_at),
        cmocka_unit_test(more_available_is_found_in_any_place_and_form),
        cmocka_unit_test(changes_of_the_server_are_counted_by_kind),
        cmocka_unit_test(results_are_good_with_status_1_or_none),
        cmocka_unit_test(a_status_that_is_no_number_is_odd),
        cmocka_unit_test(texts_that_do_not_fit_are_odd),
        cmocka_unit_test(ten_thousand_levels_are_bad),
        cmocka_unit_test(ten_megabytes_in_an_item_are_passed_over),
        cmocka_unit_test(a_key_without_end_takes_no_memory),
    };

    return cmocka_run_group_tests_name("eas_sync", tests, NULL, NULL);
}
