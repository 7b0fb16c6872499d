/* eas_ping: responses written and read. Requests: test_eas_ping.c. */
#include "test_eas_support.h"

#include <stdlib.h>

#include "wire/eas_ping.h"

static void assert_response(unsigned status, const dp_span *ids, size_t ids_n,
                            uint32_t value, const char *hex)
{
    dp_span expected = wire_unhex(hex);
    unsigned char buf[64];
    size_t n =
        dp_ping_response_write(buf, sizeof(buf), status, ids, ids_n, value);

    assert_int_equal(n, expected.n);
    assert_memory_equal(buf, expected.p, n);
    for (size_t cap = 0; cap < n; cap++) {
        assert_int_equal(
            dp_ping_response_write(buf, cap, status, ids, ids_n, value), 0);
    }
    free((void *)expected.p);
}

static void the_vectors_of_responses_are_written(void **state)
{
    const dp_span five = DP_SPAN_LIT("5");

    assert_response(DP_PING_NOTHING, NULL, 0, 0,
                    "03 01 6a 00 00 0d 45 47 03 31 00 01 01");
    assert_response(
        DP_PING_CHANGES, &five, 1, 0,
        "03 01 6a 00 00 0d 45 47 03 32 00 01 49 4a 03 35 00 01 01 01");
    assert_response(DP_PING_MISSING, NULL, 0, 0,
                    "03 01 6a 00 00 0d 45 47 03 33 00 01 01");
    assert_response(
        DP_PING_HEARTBEAT, NULL, 0, 3540,
        "03 01 6a 00 00 0d 45 47 03 35 00 01 48 03 33 35 34 30 00 01 01");
    assert_response(
        DP_PING_FOLDERS, NULL, 0, 200,
        "03 01 6a 00 00 0d 45 47 03 36 00 01 4d 03 32 30 30 00 01 01");
    assert_response(DP_PING_HIERARCHY, &five, 1, 99,
                    "03 01 6a 00 00 0d 45 47 03 37 00 01 01");
}

static void log_id(void *ctx, dp_span id)
{
    wire_log_add(ctx, " id=");
    wire_log_span(ctx, id);
}

static bool feed_response(void *p, dp_span chunk)
{
    return dp_ping_response_feed(p, chunk);
}

static void log_response(dp_span body, size_t chunk_n, wire_log *log)
{
    dp_ping_response p;

    dp_ping_response_init(&p, log_id, log);
    wire_feed(body, chunk_n, feed_response, &p);
    wire_log_add(log, " status=%u value=%u folders=%zu whole=%d bad=%d",
                 p.status, (unsigned)p.value, p.folders_n, p.is_whole,
                 p.is_bad);
}

static void assert_captured_response(const char *name, const char *expected)
{
    dp_span body = wire_capture(name);
    wire_log log = {.text = NULL};

    log_response(body, 1, &log);
    assert_string_equal(log.text, expected);
    wire_log_free(&log);
    free((void *)body.p);
}

static void responses_of_captures_say_what_the_server_answered(void **state)
{
    assert_captured_response(
        "sogo/22-ping-two-folders-change-in-second.resp",
        " id=mail%2Ff84a171efa82036bd80c000083ecc375 status=2 "
        "value=0 folders=1 whole=1 bad=0");
    assert_captured_response("sogo/25-ping-heartbeat-too-large.resp",
                             " status=5 value=40 folders=0 whole=1 bad=0");
    assert_captured_response("sogo/06-ping-empty-no-cache.resp",
                             " status=3 value=0 folders=0 whole=1 bad=0");
    assert_captured_response("zpush/20-ping-change.resp",
                             " id=2edb5446 status=2 value=0 folders=1 whole=1 "
                             "bad=0");
    assert_captured_response("zpush/28-ping-unknown-folder.resp",
                             " status=7 value=0 folders=0 whole=1 bad=0");
    assert_captured_response("zpush/07b-foldersync-initial.resp",
                             " status=0 value=0 folders=0 whole=0 bad=1");
}

static void an_id_too_long_is_counted_but_not_told(void **state)
{
    static unsigned char id[DP_COLLECTION_ID_MAX + 1], buf[1024];
    dp_span ids[2] = {dp_span_of(id, sizeof(id)), DP_SPAN_LIT("5")};
    wire_log log = {.text = NULL};
    size_t n;

    memset(id, 'i', sizeof(id));
    n = dp_ping_response_write(buf, sizeof(buf), DP_PING_CHANGES, ids, 2, 0);
    wire_check_body(log_response, "long id", dp_span_of(buf, n));
    log_response(dp_span_of(buf, n), n, &log);
    assert_string_equal(log.text,
                        " id=5 status=2 value=0 folders=2 whole=1 bad=0");
    wire_log_free(&log);
}

static void a_response_that_is_bad_stays_bad(void **state)
{
    dp_ping_response p;

    dp_ping_response_init(&p, NULL, NULL);
    assert_false(dp_ping_response_feed(&p, DP_SPAN_LIT("<html>")));
    assert_true(p.is_bad);
    assert_false(dp_ping_response_feed(&p, DP_SPAN_LIT("\x03\x01\x6A")));
    assert_false(p.is_whole);
}

static void responses_read_the_same_in_any_chunking(void **state)
{
    wire_check_chunkings(log_response);
    wire_check_mutations(log_response);
    assert_true(wire_check_truncations(log_response, "whole=1") > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_responses_are_written),
        cmocka_unit_test(responses_of_captures_say_what_the_server_answered),
        cmocka_unit_test(an_id_too_long_is_counted_but_not_told),
        cmocka_unit_test(a_response_that_is_bad_stays_bad),
        cmocka_unit_test(responses_read_the_same_in_any_chunking),
    };

    return cmocka_run_group_tests_name("eas_ping responses", tests, NULL, NULL);
}
