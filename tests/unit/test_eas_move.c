/* eas_move: which folders a phone moved items between. */
#include "test_eas_support.h"

#include <stdlib.h>

#include "wire/eas_move.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

static void log_move(void *ctx, dp_span from, dp_span to)
{
    wire_log_add(ctx, "[");
    wire_log_span(ctx, from);
    wire_log_add(ctx, ">");
    wire_log_span(ctx, to);
    wire_log_add(ctx, "]");
}

static bool feed(void *p, dp_span chunk)
{
    return dp_move_feed(p, chunk);
}

static void log_moves(dp_span body, size_t chunk_n, wire_log *log)
{
    dp_move_parser p;

    dp_move_init(&p, log_move, log);
    wire_feed(body, chunk_n, feed, &p);
    wire_log_add(log, " moved=%u whole=%d bad=%d", p.moved_n, p.is_whole,
                 p.is_bad);
}

static void assert_outcome(const char *name, dp_span body, const char *expected)
{
    wire_log log = {.text = NULL};

    wire_check_body(log_moves, name, body);
    log_moves(body, body.n, &log);
    assert_string_equal(log.text, expected);
    wire_log_free(&log);
    free((void *)body.p);
}

static void assert_hex(const char *hex, const char *expected)
{
    assert_outcome(hex, wire_unhex(hex), expected);
}

static void each_move_of_a_request_is_told(void **state)
{
    assert_hex("03016a00 0005 45"
               "46 47 0331 00 01 48 0361 00 01 49 0362 00 01 01"
               "46 49 0363 00 01 47 0332 00 01 48 0364 00 c30165 01 01"
               "01",
               "[a>b][de>c] moved=0 whole=1 bad=0");
}

static void an_id_that_is_not_named_is_empty(void **state)
{
    assert_hex("03016a00 0005 45 46 48 0361 00 01 49 0362 00 01 01"
               "46 49 0363 00 01 01 06 46 48 01 09 01 01",
               "[a>b][>c][>][>] moved=0 whole=1 bad=0");
}

static void answers_with_status_3_are_counted(void **state)
{
    assert_hex("03016a00 0005 45"
               "4a 47 0331 00 01 4b 0333 00 01 4c 0339 00 01 01"
               "4a 47 0332 00 01 4b 0331 00 01 01"
               "4a 4b c30133 01 01 4a 4b 033333 00 01 01 4a 0b 01 4b 0333 00 01"
               "01",
               " moved=2 whole=1 bad=0");
}

static void the_same_token_of_another_page_is_another_element(void **state)
{
    assert_hex("03016a00 0005 45 4a 0000 4b 0333 00 01 0005 01 0007 46 0005 48 "
               "0361 00 01 01 01",
               " moved=0 whole=1 bad=0");
}

static void an_id_that_is_too_long_is_empty(void **state)
{
    static unsigned char id[DP_COLLECTION_ID_MAX + 1], buf[1024];

    memset(id, 'i', sizeof(id));
    for (size_t n = DP_COLLECTION_ID_MAX; n <= sizeof(id); n++) {
        wire_log log = {.text = NULL};
        dp_wbxml_writer w;

        dp_wbxml_write_init(&w, buf, sizeof(buf));
        dp_wbxml_write_open(&w, DP_TAG_MOVE_MoveItems);
        dp_wbxml_write_open(&w, DP_TAG_MOVE_Move);
        dp_wbxml_write_leaf(&w, DP_TAG_MOVE_SrcFldId, dp_span_of(id, n));
        dp_wbxml_write_leaf(&w, DP_TAG_MOVE_DstFldId, DP_SPAN_LIT("b"));
        dp_wbxml_write_close(&w);
        dp_wbxml_write_close(&w);
        wire_check_body(log_moves, "long id", dp_span_of(buf, w.n));
        log_moves(dp_span_of(buf, w.n), w.n, &log);
        assert_non_null(
            strstr(log.text, n > DP_COLLECTION_ID_MAX ? "[>b]" : "[iii"));
        wire_log_free(&log);
    }
}

static void another_root_is_bad(void **state)
{
    assert_hex("03016a00 45 01", " moved=0 whole=0 bad=1");
    assert_hex("03016a00 0005 46 01", " moved=0 whole=0 bad=1");
}

static void ten_thousand_levels_are_bad(void **state)
{
    assert_outcome("deep", wire_deep_body(DP_PAGE_MOVE, 0x45, 0x46),
                   " moved=0 whole=0 bad=1");
}

static void every_capture_reads_the_same_in_any_chunking(void **state)
{
    /* no capture is a MoveItems: all are refused at once */
    wire_check_chunkings(log_moves);
    assert_int_equal(wire_check_truncations(log_moves, "whole=1"), 0);
}

static void damaged_moves_read_the_same_in_any_chunking(void **state)
{
    dp_span body = wire_unhex("03016a00 0005 45"
                              "46 47 0331 00 01 48 0361 00 01 49 0362 00 01 01"
                              "4a 47 0331 00 01 4b 0333 00 01 01 01");
    unsigned char *bytes = (unsigned char *)(uintptr_t)body.p;

    for (size_t i = 0; i < body.n; i++) {
        unsigned char was = bytes[i];

        for (unsigned byte = 0; byte < 256; byte++) {
            bytes[i] = (unsigned char)byte;
            wire_check_body(log_moves, "damaged", body);
        }
        bytes[i] = was;
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_move_of_a_request_is_told),
        cmocka_unit_test(an_id_that_is_not_named_is_empty),
        cmocka_unit_test(answers_with_status_3_are_counted),
        cmocka_unit_test(the_same_token_of_another_page_is_another_element),
        cmocka_unit_test(an_id_that_is_too_long_is_empty),
        cmocka_unit_test(another_root_is_bad),
        cmocka_unit_test(ten_thousand_levels_are_bad),
        cmocka_unit_test(every_capture_reads_the_same_in_any_chunking),
        cmocka_unit_test(damaged_moves_read_the_same_in_any_chunking),
    };

    return cmocka_run_group_tests_name("eas_move", tests, NULL, NULL);
}
