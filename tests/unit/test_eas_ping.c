/* eas_ping: requests parsed and written. Responses: test_eas_ping_response.c.
 */
#include "test_eas_support.h"

#include <stdlib.h>

#include "wire/eas_ping.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define FOLDERS_MAX 4

/* A request and what its spans point into. */
struct parsed {
    dp_ping_parse_result result;
    dp_ping_request request;
    dp_ping_folder folders[FOLDERS_MAX];
    unsigned char *arena;
};

static struct parsed *parse(dp_span body)
{
    struct parsed *p = calloc(1, sizeof(*p));

    p->arena = malloc(body.n > 0 ? body.n : 1);
    p->result =
        dp_ping_parse(body, p->arena, p->folders, FOLDERS_MAX, &p->request);
    return p;
}

static void done(struct parsed *p, dp_span body)
{
    free(p->arena);
    free(p);
    free((void *)body.p);
}

static void assert_span(dp_span span, const char *expected)
{
    assert_int_equal(span.n, strlen(expected));
    assert_memory_equal(span.p, expected, span.n);
}

/** Parse hex that is one Ping. */
static struct parsed *parse_hex(const char *hex, dp_ping_parse_result expected,
                                dp_span *body)
{
    struct parsed *p;

    *body = wire_unhex(hex);
    p = parse(*body);
    if (p->result != expected) {
        fail_msg("%s: %d instead of %d", hex, (int)p->result, (int)expected);
    }
    return p;
}

static void assert_parse_result(const char *hex, dp_ping_parse_result expected)
{
    dp_span body;

    done(parse_hex(hex, expected, &body), body);
}

/* ---- requests ---- */

static void the_vector_of_a_request_is_read(void **state)
{
    dp_span body;
    struct parsed *p =
        parse_hex("03 01 6a 00 00 0d 45 48 03 34 38 30 00 01 49 4a 4b 03 35 00 "
                  "01 4c 03 45 6d 61 69 6c 00 01 01 01 01",
                  DP_PING_PARSED, &body);

    assert_true(p->request.has_heartbeat);
    assert_true(p->request.heartbeat_is_number);
    assert_int_equal(p->request.heartbeat_s, 480);
    assert_true(p->request.has_folders);
    assert_int_equal(p->request.folders_n, 1);
    assert_span(p->folders[0].id, "5");
    assert_span(p->folders[0].class_name, "Email");
    done(p, body);
}

static void an_empty_body_asks_for_nothing_in_particular(void **state)
{
    dp_ping_request request;

    assert_int_equal(
        dp_ping_parse(dp_span_of(NULL, 0), NULL, NULL, 0, &request),
        DP_PING_PARSED);
    assert_false(request.has_heartbeat);
    assert_false(request.has_folders);
    assert_int_equal(request.folders_n, 0);
}

static void
a_ping_element_with_nothing_in_it_is_like_an_empty_body(void **state)
{
    dp_span body;
    struct parsed *p = parse_hex("03016a00 000d 05", DP_PING_PARSED, &body);

    assert_false(p->request.has_heartbeat);
    assert_false(p->request.has_folders);
    done(p, body);
}

static void folders_with_no_folder_are_no_list(void **state)
{
    dp_span body;
    struct parsed *p = parse_hex("03016a00 000d 45 48 033900 01 09 49 01 01",
                                 DP_PING_PARSED, &body);

    assert_int_equal(p->request.heartbeat_s, 9);
    assert_false(p->request.has_folders);
    done(p, body);
}

static void the_order_of_elements_does_not_matter(void **state)
{
    dp_span body;
    struct parsed *p =
        parse_hex("03016a00 000d 45 49 4a 4c 0363 00 01 4b 0361 00 "
                  "01 01 01 48 033900 01 01",
                  DP_PING_PARSED, &body);

    assert_int_equal(p->request.heartbeat_s, 9);
    assert_span(p->folders[0].id, "a");
    assert_span(p->folders[0].class_name, "c");
    done(p, body);
}

static void an_id_in_pieces_is_put_together(void **state)
{
    dp_span body;
    struct parsed *p =
        parse_hex("03016a00 000d 45 49"
                  "4a 4b 036100 c302 6200 0363 00 01 4c 034500 036d00 01 01"
                  "4a 4b 037800 01 01"
                  "4a 4c 037100 01 4b c30179 037a00 01 01"
                  "01 01",
                  DP_PING_PARSED, &body);

    assert_int_equal(p->request.folders_n, 3);
    assert_int_equal(p->folders[0].id.n, 4);
    assert_memory_equal(p->folders[0].id.p, "ab\0c", 4);
    assert_span(p->folders[0].class_name, "Em");
    assert_span(p->folders[1].id, "x");
    assert_span(p->folders[1].class_name, "");
    assert_span(p->folders[2].id, "yz");
    assert_span(p->folders[2].class_name, "q");
    done(p, body);
}

static void the_same_token_of_another_page_is_another_element(void **state)
{
    dp_span body;
    /* 0048, 0049 on page 0 within Ping; Id of page 7 within Folder */
    struct parsed *p =
        parse_hex("03016a00 000d 45 0000 48 033900 01 000d 49 4a "
                  "0007 4b 037100 01 000d 4b 036100 01 01 01 01",
                  DP_PING_PARSED, &body);

    assert_false(p->request.has_heartbeat);
    assert_span(p->folders[0].id, "a");
    done(p, body);
}

static void the_same_tag_at_another_place_is_another_element(void **state)
{
    dp_span body;
    /* HeartbeatInterval within Folder, Id within Folders and within Id */
    struct parsed *p =
        parse_hex("03016a00 000d 45 49 4b 037100 01 4a 48 033900 "
                  "01 4b 036100 4b 037200 01 036200 01 01 01 01",
                  DP_PING_PARSED, &body);

    assert_false(p->request.has_heartbeat);
    assert_int_equal(p->request.folders_n, 1);
    assert_span(p->folders[0].id, "ab");
    done(p, body);
}

static void unknown_elements_are_skipped_with_their_content(void **state)
{
    dp_span body;
    struct parsed *p =
        parse_hex("03016a00 000d 45 7f 48 033900 01 01 06 46 01 48 "
                  "03313000 01 01",
                  DP_PING_PARSED, &body);

    assert_int_equal(p->request.heartbeat_s, 10);
    done(p, body);
}

static void assert_heartbeat(const char *hex, bool is_number, uint32_t value)
{
    dp_span body;
    struct parsed *p = parse_hex(hex, DP_PING_PARSED, &body);

    assert_true(p->request.has_heartbeat);
    assert_int_equal(p->request.heartbeat_is_number, is_number);
    assert_int_equal(p->request.heartbeat_s, value);
    done(p, body);
}

static void a_heartbeat_is_digits_and_saturates(void **state)
{
    assert_heartbeat("03016a00 000d 45 48 0330 00 01 01", true, 0);
    assert_heartbeat("03016a00 000d 45 48 0334 00 c30138 033000 01 01", true,
                     480);
    assert_heartbeat("03016a00 000d 45 48 0334323934393637323935 00 01 01",
                     true, UINT32_MAX);
    assert_heartbeat("03016a00 000d 45 48 0334323934393637323936 00 01 01",
                     true, UINT32_MAX);
    assert_heartbeat(
        "03016a00 000d 45 48 0330303030303030303030303030 00 01 01", false, 0);
    assert_heartbeat("03016a00 000d 45 48 032d31 00 01 01", false, 0);
    assert_heartbeat("03016a00 000d 45 48 032039 00 01 01", false, 0);
    assert_heartbeat("03016a00 000d 45 48 033978 00 01 01", false, 0);
    assert_heartbeat("03016a00 000d 45 48 01 01", false, 0);
    assert_heartbeat("03016a00 000d 45 08 01", false, 0);
}

static void a_folder_without_an_id_is_malformed(void **state)
{
    assert_parse_result("03016a00 000d 45 49 0a 01 01", DP_PING_MALFORMED);
    assert_parse_result("03016a00 000d 45 49 4a 4c 036100 01 01 01 01",
                        DP_PING_MALFORMED);
    assert_parse_result("03016a00 000d 45 49 4a 4b 01 01 01 01",
                        DP_PING_MALFORMED);
    assert_parse_result("03016a00 000d 45 49 4a 0b 01 01 01",
                        DP_PING_MALFORMED);
}

static void a_folder_with_two_ids_is_malformed(void **state)
{
    assert_parse_result(
        "03016a00 000d 45 49 4a 4b 036100 01 4b 036200 01 01 01 "
        "01",
        DP_PING_MALFORMED);
}

static void an_id_may_have_256_bytes_and_no_more(void **state)
{
    static unsigned char id[DP_COLLECTION_ID_MAX + 1], buf[1024];

    memset(id, 'i', sizeof(id));
    for (size_t n = DP_COLLECTION_ID_MAX; n <= sizeof(id); n++) {
        dp_ping_folder folder = {.id = dp_span_of(id, n)};
        size_t body_n = dp_ping_request_write(buf, sizeof(buf), 60, &folder, 1);
        struct parsed *p = parse(dp_span_of(buf, body_n));

        assert_int_equal(p->result, n <= DP_COLLECTION_ID_MAX
                                        ? DP_PING_PARSED
                                        : DP_PING_MALFORMED);
        done(p, dp_span_of(NULL, 0));
    }
}

static void folders_beyond_the_array_are_counted(void **state)
{
    static unsigned char buf[4096];
    dp_ping_folder folders[10];
    struct parsed *p;
    size_t n;

    for (int i = 0; i < 10; i++) {
        folders[i] = (dp_ping_folder){.id = dp_span_of(&"0123456789"[i], 1),
                                      .class_name = DP_SPAN_LIT("Email")};
    }
    n = dp_ping_request_write(buf, sizeof(buf), 60, folders, 10);
    p = parse(dp_span_of(buf, n));
    assert_int_equal(p->result, DP_PING_PARSED);
    assert_int_equal(p->request.folders_n, 10);
    assert_span(p->folders[FOLDERS_MAX - 1].id, "3");
    done(p, dp_span_of(NULL, 0));
}

static void another_root_or_no_wbxml_is_not_ours(void **state)
{
    assert_parse_result("03016a00 45 01", DP_PING_NOT_OURS);
    assert_parse_result("03016a00 0007 45 01", DP_PING_NOT_OURS);
    assert_parse_result("67617262616765", DP_PING_NOT_OURS);
    assert_parse_result("03016a00", DP_PING_NOT_OURS);
    assert_parse_result("03016a00 000d 45 49 0a 83", DP_PING_NOT_OURS);
}

static void ten_thousand_levels_are_not_ours(void **state)
{
    dp_span body = wire_deep_body(DP_PAGE_PING, 0x45, 0x49);
    struct parsed *p = parse(body);

    assert_int_equal(p->result, DP_PING_NOT_OURS);
    done(p, body);
}

static void ten_megabytes_of_folders_are_counted(void **state)
{
    const size_t each = 2 + 1 + 3 + 1 + 1; /* Folder, Id, "a", END, END */
    size_t n = (10 << 20) / each;
    unsigned char *buf = malloc(n * each + 16);
    dp_wbxml_writer w;
    struct parsed *p;

    dp_wbxml_write_init(&w, buf, n * each + 16);
    dp_wbxml_write_open(&w, DP_TAG_PING_Ping);
    dp_wbxml_write_open(&w, DP_TAG_PING_Folders);
    for (size_t i = 0; i < n; i++) {
        dp_wbxml_write_open(&w, DP_TAG_PING_Folder);
        dp_wbxml_write_leaf(&w, DP_TAG_PING_Id, DP_SPAN_LIT("a"));
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    assert_true(dp_wbxml_write_is_ok(&w));
    p = parse(dp_span_of(buf, w.n));
    assert_int_equal(p->result, DP_PING_PARSED);
    assert_int_equal(p->request.folders_n, n);
    done(p, dp_span_of(buf, 0));
}

/** A request is parsed whole, so a chunk here is the whole of its body. */
static void log_request(dp_span body, size_t chunk_n, wire_log *log)
{
    unsigned char *copy = malloc(body.n > 0 ? body.n : 1);
    struct parsed *p;

    memcpy(copy, body.p, body.n);
    p = parse(dp_span_of(copy, body.n));
    wire_log_add(log, "result=%d heartbeat=%d,%d,%u folders=%d,%zu",
                 (int)p->result, p->request.has_heartbeat,
                 p->request.heartbeat_is_number,
                 (unsigned)p->request.heartbeat_s, p->request.has_folders,
                 p->request.folders_n);
    for (size_t i = 0; i < p->request.folders_n && i < FOLDERS_MAX; i++) {
        wire_log_add(log, " id=");
        wire_log_span(log, p->folders[i].id);
        wire_log_add(log, ",");
        wire_log_span(log, p->folders[i].class_name);
    }
    done(p, dp_span_of(copy, 0));
}

static void assert_captured_request(const char *name, const char *expected)
{
    dp_span body = wire_capture(name);
    wire_log log = {.text = NULL};

    log_request(body, body.n, &log);
    assert_string_equal(log.text, expected);
    wire_log_free(&log);
    free((void *)body.p);
}

static void requests_of_captures_say_what_the_client_asked(void **state)
{
    assert_captured_request("sogo/22-ping-two-folders-change-in-second.req",
                            "result=0 heartbeat=1,1,30 folders=1,2 "
                            "id=mail%2Fa139c21dfa82036bd80c000083ecc375,Email "
                            "id=mail%2Ff84a171efa82036bd80c000083ecc375,Email");
    assert_captured_request("sogo/25-ping-heartbeat-too-large.req",
                            "result=0 heartbeat=1,1,99999 folders=1,1 "
                            "id=mail%2Fa139c21dfa82036bd80c000083ecc375,Email");
    assert_captured_request("sogo/27-ping-no-folders.req",
                            "result=0 heartbeat=1,1,10 folders=0,0");
    assert_captured_request("zpush/26-ping-no-heartbeat.req",
                            "result=0 heartbeat=0,0,0 folders=1,1 "
                            "id=2edb5446,Email");
    assert_captured_request("zpush/30-ping-garbage-body.req",
                            "result=1 heartbeat=0,0,0 folders=0,0");
    assert_captured_request("zpush/11-sync-mail.req",
                            "result=1 heartbeat=0,0,0 folders=0,0");
    assert_captured_request("sogo/23-ping-empty-body-cached.req",
                            "result=0 heartbeat=0,0,0 folders=0,0");
}

static void cut_off_requests_are_not_ours(void **state)
{
    /* an empty body is a request of its own: look for a heartbeat */
    assert_true(wire_check_truncations(log_request, "result=0 heartbeat=1") >
                20);
}

static void damaged_requests_are_survived(void **state)
{
    wire_check_mutations(log_request);
}

static void written_requests_are_read_back(void **state)
{
    unsigned char buf[256];
    dp_ping_folder folders[2] = {
        {.id = DP_SPAN_LIT("a"), .class_name = DP_SPAN_LIT("Email")},
        {.id = DP_SPAN_LIT("b\0c")},
    };
    size_t n = dp_ping_request_write(buf, sizeof(buf), 3540, folders, 2);
    struct parsed *p = parse(dp_span_of(buf, n));

    assert_int_equal(p->result, DP_PING_PARSED);
    assert_int_equal(p->request.heartbeat_s, 3540);
    assert_int_equal(p->request.folders_n, 2);
    assert_true(dp_span_is(p->folders[1].id, folders[1].id));
    assert_int_equal(p->folders[1].class_name.n, 0);
    done(p, dp_span_of(NULL, 0));
    n = dp_ping_request_write(buf, sizeof(buf), 0, NULL, 0);
    p = parse(dp_span_of(buf, n));
    assert_int_equal(p->result, DP_PING_PARSED);
    assert_false(p->request.has_heartbeat);
    done(p, dp_span_of(NULL, 0));
}

static void the_vector_of_a_request_is_written(void **state)
{
    dp_span expected = wire_unhex(
        "03 01 6a 00 00 0d 45 48 03 34 38 30 00 01 49 4a 4b 03 35 00 "
        "01 4c 03 45 6d 61 69 6c 00 01 01 01 01");
    dp_ping_folder folder = {DP_SPAN_LIT("5"), DP_SPAN_LIT("Email")};
    unsigned char buf[64];
    size_t n = dp_ping_request_write(buf, sizeof(buf), 480, &folder, 1);

    assert_int_equal(n, expected.n);
    assert_memory_equal(buf, expected.p, n);
    for (size_t cap = 0; cap < n; cap++) {
        assert_int_equal(dp_ping_request_write(buf, cap, 480, &folder, 1), 0);
    }
    free((void *)expected.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_of_a_request_is_read),
        cmocka_unit_test(an_empty_body_asks_for_nothing_in_particular),
        cmocka_unit_test(
            a_ping_element_with_nothing_in_it_is_like_an_empty_body),
        cmocka_unit_test(folders_with_no_folder_are_no_list),
        cmocka_unit_test(the_order_of_elements_does_not_matter),
        cmocka_unit_test(an_id_in_pieces_is_put_together),
        cmocka_unit_test(the_same_token_of_another_page_is_another_element),
        cmocka_unit_test(the_same_tag_at_another_place_is_another_element),
        cmocka_unit_test(unknown_elements_are_skipped_with_their_content),
        cmocka_unit_test(a_heartbeat_is_digits_and_saturates),
        cmocka_unit_test(a_folder_without_an_id_is_malformed),
        cmocka_unit_test(a_folder_with_two_ids_is_malformed),
        cmocka_unit_test(an_id_may_have_256_bytes_and_no_more),
        cmocka_unit_test(folders_beyond_the_array_are_counted),
        cmocka_unit_test(another_root_or_no_wbxml_is_not_ours),
        cmocka_unit_test(ten_thousand_levels_are_not_ours),
        cmocka_unit_test(ten_megabytes_of_folders_are_counted),
        cmocka_unit_test(requests_of_captures_say_what_the_client_asked),
        cmocka_unit_test(cut_off_requests_are_not_ours),
        cmocka_unit_test(damaged_requests_are_survived),
        cmocka_unit_test(written_requests_are_read_back),
        cmocka_unit_test(the_vector_of_a_request_is_written),
    };

    return cmocka_run_group_tests_name("eas_ping", tests, NULL, NULL);
}
