/* wbxml_read: real documents in any chunking, and those that are not ours. */
#include "test_eas_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/wbxml_tokens.h"

struct reading {
    dp_wbxml_reader reader;
    wire_log *log;
    bool in_text;
    bool is_done;
};

/** Write down every event; the pieces of a text become one. */
static bool note_events(void *parser, dp_span chunk)
{
    struct reading *reading = parser;
    dp_wbxml_reader *r = &reading->reader;
    dp_wbxml_event event;

    dp_wbxml_read_feed(r, chunk);
    while ((event = dp_wbxml_read_next(r)) == DP_WBXML_OPEN ||
           event == DP_WBXML_TEXT || event == DP_WBXML_CLOSE) {
        if (event == DP_WBXML_TEXT) {
            assert_true(r->text.n > 0);
            wire_log_add(reading->log, reading->in_text ? "" : " text ");
            wire_log_span(reading->log, r->text);
            reading->in_text = true;
            continue;
        }
        reading->in_text = false;
        assert_in_range(r->depth, 1, DP_WBXML_DEPTH_MAX);
        wire_log_add(reading->log,
                     event == DP_WBXML_OPEN ? " <%u:%04x" : " >%u:%04x",
                     r->depth, (unsigned)r->tag);
    }
    if (event == DP_WBXML_BAD || event == DP_WBXML_END) {
        wire_log_add(reading->log, " %s=1 at %u",
                     event == DP_WBXML_BAD ? "bad" : "whole",
                     (unsigned)r->offset);
        reading->is_done = true;
    }
    return !reading->is_done;
}

static void read_limited(dp_span body, size_t chunk_n, uint64_t bytes_max,
                         wire_log *log)
{
    struct reading reading = {.log = log};

    dp_wbxml_read_init(&reading.reader, bytes_max);
    wire_log_add(log, "read:");
    wire_feed(body, chunk_n, note_events, &reading);
}

static void read_any(dp_span body, size_t chunk_n, wire_log *log)
{
    read_limited(body, chunk_n, UINT64_MAX, log);
}

static void read_at_most_60_bytes(dp_span body, size_t chunk_n, wire_log *log)
{
    read_limited(body, chunk_n, 60, log);
}

/** These bytes give these events, in any chunking. */
static void assert_reads(const char *hex, const char *expected)
{
    dp_span body = wire_unhex(hex);
    wire_log log = {.text = NULL};

    wire_check_body(read_any, hex, body);
    read_any(body, body.n, &log);
    assert_string_equal(log.text, expected);
    wire_log_free(&log);
    free((void *)body.p);
}

static void a_ping_response_is_read_as_its_elements(void **state)
{
    assert_reads("03 01 6a 00 00 0d 45 47 03 31 00 01 01",
                 "read: <1:0d05 <2:0d07 text 1 >2:0d07 >1:0d05 whole=1 at 13");
}

static void an_element_without_content_is_opened_and_closed(void **state)
{
    assert_reads("03016a00 45 14 14 01",
                 "read: <1:0005 <2:0014 >2:0014 <2:0014 >2:0014 >1:0005 "
                 "whole=1 at 8");
    assert_reads("03016a00 05", "read: <1:0005 >1:0005 whole=1 at 5");
}

static void an_element_with_content_may_hold_nothing(void **state)
{
    assert_reads("03016a00 45 01", "read: <1:0005 >1:0005 whole=1 at 6");
    assert_reads("03016a00 45 0300 c300 01",
                 "read: <1:0005 >1:0005 whole=1 at 10");
}

static void what_follows_the_root_is_not_read(void **state)
{
    assert_reads("03016a00 45 01 45 ff 83",
                 "read: <1:0005 >1:0005 whole=1 at 6");
}

static void strings_and_opaques_in_a_row_are_one_text(void **state)
{
    assert_reads("03016a00 45 036100 c3026200 0363 00 01",
                 "read: <1:0005 text ab\\x00c >1:0005 whole=1 at 16");
}

static void the_page_may_be_switched_anywhere_and_in_vain(void **state)
{
    assert_reads("03016a00 000d 000d 000d 45 000d 0007 000d 47 0005 0000 01 "
                 "000d 01",
                 "read: <1:0d05 <2:0d07 >2:0d07 >1:0d05 whole=1 at 26");
    assert_reads("03016a00 00ff 7f 01", "read: <1:ff3f >1:ff3f whole=1 at 8");
}

static void lengths_of_opaques_have_up_to_five_bytes(void **state)
{
    assert_reads("03016a00 45 c3 8001 61 01",
                 "read: <1:0005 text a >1:0005 whole=1 at 10");
    assert_reads("03016a00 45 c3 8080808001 61 01",
                 "read: <1:0005 text a >1:0005 whole=1 at 13");
    assert_reads("03016a00 45 c3 808080808001 61 01",
                 "read: <1:0005 bad=1 at 11");
    assert_reads("03016a00 45 c3 8fffffff7f 61", "read: <1:0005 text a");
    assert_reads("03016a00 45 c3 90ffffff7f 61", "read: <1:0005 bad=1 at 10");
}

static void a_header_of_another_kind_is_bad_where_it_differs(void **state)
{
    assert_reads("02016a00 45 01", "read: bad=1 at 0");
    assert_reads("03026a00 45 01", "read: bad=1 at 1");
    assert_reads("03010400 45 01", "read: bad=1 at 2");
    assert_reads("03016a01 45 01", "read: bad=1 at 3");
    assert_reads("3c 3f 78 6d 6c", "read: bad=1 at 0");
}

static void text_and_end_outside_the_root_are_bad(void **state)
{
    assert_reads("03016a00 01", "read: bad=1 at 4");
    assert_reads("03016a00 036100", "read: bad=1 at 4");
    assert_reads("03016a00 c30161", "read: bad=1 at 4");
}

static void tokens_that_activesync_does_not_use_are_bad(void **state)
{
    static const unsigned char unused[] = {
        0x02,                   /* ENTITY */
        0x04, 0x44, 0x84, 0xC4, /* LITERAL, with content, attributes, both */
        0x40, 0x41, 0x42, 0x80, 0x81, 0x82, 0xC0, 0xC1, 0xC2, /* EXT */
        0x43,                                                 /* PI */
        0x83,                                                 /* STR_T */
        0x85, 0xC5, 0xFF, /* tags with attributes */
    };

    for (size_t i = 0; i < sizeof(unused); i++) {
        char hex[64];

        snprintf(hex, sizeof(hex), "03016a00 45 %02x 00", unused[i]);
        assert_reads(hex, "read: <1:0005 bad=1 at 5");
        snprintf(hex, sizeof(hex), "03016a00 %02x 00", unused[i]);
        assert_reads(hex, "read: bad=1 at 4");
    }
}

static void the_depth_is_bounded(void **state)
{
    dp_span body = wire_deep_body(DP_PAGE_AIRSYNC, 0x45, 0x45);
    wire_log log = {.text = NULL};

    read_any(body, body.n, &log);
    assert_non_null(strstr(log.text, "<32:0005 bad=1 at 38"));
    wire_log_free(&log);
    free((void *)body.p);
}

static void the_deepest_document_that_is_allowed_is_whole(void **state)
{
    unsigned char bytes[4 + 2 * DP_WBXML_DEPTH_MAX] = DP_WBXML_HEADER;
    dp_span body = dp_span_of(bytes, sizeof(bytes));
    wire_log log = {.text = NULL};

    memset(bytes + 4, 0x45, DP_WBXML_DEPTH_MAX);
    memset(bytes + 4 + DP_WBXML_DEPTH_MAX, 0x01, DP_WBXML_DEPTH_MAX);
    read_any(body, 1, &log);
    assert_non_null(strstr(log.text, ">1:0005 whole=1 at 68"));
    wire_log_free(&log);
}

static void a_document_over_its_limit_is_bad_at_the_limit(void **state)
{
    wire_log log = {.text = NULL};
    dp_span body = wire_unhex("03016a00 45 03 61 62 63 64 00 01");

    read_limited(body, body.n, 8, &log);
    assert_string_equal(log.text, "read: <1:0005 text ab bad=1 at 8");
    wire_log_free(&log);
    read_limited(body, body.n, body.n, &log);
    assert_non_null(strstr(log.text, "whole=1 at 12"));
    wire_log_free(&log);
    free((void *)body.p);
}

static void an_endless_string_is_passed_on_in_pieces(void **state)
{
    static unsigned char a[1 << 16];
    dp_span begin = DP_SPAN_LIT("\x03\x01\x6A\x00\x45\x03");
    dp_wbxml_reader r;
    uint64_t seen_n = 0;

    memset(a, 'a', sizeof(a));
    dp_wbxml_read_init(&r, UINT64_MAX);
    dp_wbxml_read_feed(&r, begin);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_OPEN);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_MORE);
    for (int i = 0; i < 2000; i++) {
        dp_wbxml_read_feed(&r, dp_span_of(a, sizeof(a)));
        while (dp_wbxml_read_next(&r) == DP_WBXML_TEXT) {
            seen_n += r.text.n;
        }
    }
    assert_int_equal(seen_n, 2000 * sizeof(a));
    assert_int_equal(r.offset, begin.n + seen_n);
}

static void after_the_end_it_stays_the_end(void **state)
{
    dp_wbxml_reader r;

    dp_wbxml_read_init(&r, UINT64_MAX);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_MORE);
    dp_wbxml_read_feed(&r, DP_SPAN_LIT("\x03\x01\x6A\x00\x05"));
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_OPEN);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_CLOSE);
    assert_int_equal(r.depth, 1);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_END);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_END);
}

static void after_something_bad_it_stays_bad(void **state)
{
    dp_wbxml_reader r;

    dp_wbxml_read_init(&r, UINT64_MAX);
    dp_wbxml_read_feed(&r, DP_SPAN_LIT("\x03\x01\x6A\x00\x01\x05"));
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_BAD);
    assert_int_equal(dp_wbxml_read_next(&r), DP_WBXML_BAD);
    assert_int_equal(r.offset, 4);
}

static void every_capture_reads_the_same_in_any_chunking(void **state)
{
    wire_check_chunkings(read_any);
    wire_check_chunkings(read_at_most_60_bytes);
}

static void every_capture_but_the_garbage_is_whole(void **state)
{
    /* every cut is tried as well: neither whole nor bad. 130 bodies of WBXML
     * are in tests/captures; the rest is text ("Unauthorized", "garbage") */
    assert_int_equal(wire_check_truncations(read_any, "whole=1"), 130);
}

static void damaged_captures_read_the_same_in_any_chunking(void **state)
{
    wire_check_mutations(read_any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_response_is_read_as_its_elements),
        cmocka_unit_test(an_element_without_content_is_opened_and_closed),
        cmocka_unit_test(an_element_with_content_may_hold_nothing),
        cmocka_unit_test(what_follows_the_root_is_not_read),
        cmocka_unit_test(strings_and_opaques_in_a_row_are_one_text),
        cmocka_unit_test(the_page_may_be_switched_anywhere_and_in_vain),
        cmocka_unit_test(lengths_of_opaques_have_up_to_five_bytes),
        cmocka_unit_test(a_header_of_another_kind_is_bad_where_it_differs),
        cmocka_unit_test(text_and_end_outside_the_root_are_bad),
        cmocka_unit_test(tokens_that_activesync_does_not_use_are_bad),
        cmocka_unit_test(the_depth_is_bounded),
        cmocka_unit_test(the_deepest_document_that_is_allowed_is_whole),
        cmocka_unit_test(a_document_over_its_limit_is_bad_at_the_limit),
        cmocka_unit_test(an_endless_string_is_passed_on_in_pieces),
        cmocka_unit_test(after_the_end_it_stays_the_end),
        cmocka_unit_test(after_something_bad_it_stays_bad),
        cmocka_unit_test(every_capture_reads_the_same_in_any_chunking),
        cmocka_unit_test(every_capture_but_the_garbage_is_whole),
        cmocka_unit_test(damaged_captures_read_the_same_in_any_chunking),
    };

    return cmocka_run_group_tests_name("wbxml_read", tests, NULL, NULL);
}
