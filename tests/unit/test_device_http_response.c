/* http_response: the same outcome however the bytes come, and no outcome that
 * a hostile server wishes for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tools/device/http_response.h"

/* Feed in pieces of `step` bytes, each a block of its own that is freed at
 * once. @return bytes used */
static size_t feed(dp_http_response *r, const char *text, size_t n, size_t step)
{
    size_t used = 0;
    dp_http_response_init(r);
    for (size_t at = 0; at < n && r->part < DP_HTTP_DONE; at += step) {
        size_t piece_n = n - at < step ? n - at : step;
        char *piece = malloc(piece_n);
        assert_non_null(piece);
        memcpy(piece, text + at, piece_n);
        used += dp_http_response_feed(r, dp_span_of(piece, piece_n));
        free(piece);
    }
    return used;
}

/* Whole, with this status and body, for every size of piece. */
static void assert_whole(const char *text, unsigned status, const char *body,
                         bool is_reusable)
{
    size_t n = strlen(text);
    for (size_t step = 1; step <= n; step++) {
        dp_http_response r;
        assert_int_equal(feed(&r, text, n, step), n);
        assert_int_equal(r.part, DP_HTTP_DONE);
        assert_int_equal(r.status, status);
        assert_string_equal(dp_buf_str(&r.body), body);
        assert_int_equal(r.is_reusable, is_reusable);
        dp_http_response_free(&r);
    }
}

static void assert_bad_bytes(const char *text, size_t n)
{
    for (size_t step = 1; step <= n; step++) {
        dp_http_response r;
        feed(&r, text, n, step);
        assert_int_equal(r.part, DP_HTTP_BAD);
        assert_non_null(r.why);
        dp_http_response_free(&r);
    }
}

static void assert_bad(const char *text)
{
    assert_bad_bytes(text, strlen(text));
}

#define OK "HTTP/1.1 200 OK\r\n"

static void a_body_ends_with_its_length(void **state)
{
    assert_whole(OK "Content-Length: 5\r\n\r\nhello", 200, "hello", true);
    assert_whole(OK "content-LENGTH:5  \r\n\r\nhello", 200, "hello", true);
    assert_whole(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200,
                 "hello", true);
}

static void a_length_of_zero_is_an_empty_body(void **state)
{
    assert_whole(OK "Content-Length: 0\r\n\r\n", 200, "", true);
}

static void bare_line_feeds_are_line_ends_too(void **state)
{
    assert_whole("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, "hi", true);
}

static void chunks_are_joined(void **state)
{
    assert_whole(OK "Transfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n1;name=value\r\n,\r\n006 \r\n world\r\n"
                    "0\r\nTrailer: x\r\n\r\n",
                 200, "hello, world", true);
}

static void chunk_sizes_are_hexadecimal(void **state)
{
    assert_whole(OK "Transfer-Encoding: Chunked\r\n\r\n"
                    "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
                 200, "abcdefghijklmnopqrstuvwxyz", true);
}

static void
a_length_beside_chunks_does_not_count_and_ends_the_connection(void **state)
{
    assert_whole(OK "Content-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2\r\nhi\r\n0\r\n\r\n",
                 200, "hi", false);
}

static void interim_responses_are_skipped(void **state)
{
    assert_whole("HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n"
                 "HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                 200, "hi", true);
}

static void some_statuses_have_no_body(void **state)
{
    assert_whole("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
    assert_whole("HTTP/1.1 304\r\nContent-Length: 7\r\n\r\n", 304, "", true);
}

static void the_connection_ends_when_the_server_says_so(void **state)
{
    assert_whole(OK "Connection: foo, Close\r\nContent-Length: 2\r\n\r\nhi",
                 200, "hi", false);
    assert_whole("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi",
                 false);
    assert_whole("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n"
                 "Content-Length: 2\r\n\r\nhi",
                 200, "hi", true);
}

static void without_a_length_the_body_lasts_until_the_end(void **state)
{
    const char text[] = OK "\r\nall that follows";
    dp_http_response r;
    feed(&r, text, sizeof(text) - 1, 3);
    assert_int_equal(r.part, DP_HTTP_BODY_TO_CLOSE);
    dp_http_response_close(&r);
    assert_int_equal(r.part, DP_HTTP_DONE);
    assert_string_equal(r.body.p, "all that follows");
    assert_false(r.is_reusable);
    dp_http_response_free(&r);
}

static void a_response_that_is_cut_off_is_bad_wherever_it_is_cut(void **state)
{
    const char text[] = OK "Transfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhello\r\n0\r\n\r\n";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        dp_http_response r;
        feed(&r, text, n, n ? n : 1);
        assert_int_equal(dp_http_response_has_begun(&r), n != 0);
        dp_http_response_close(&r);
        assert_int_equal(r.part, DP_HTTP_BAD);
        dp_http_response_free(&r);
    }
}

static void what_follows_the_response_is_left_alone(void **state)
{
    const char text[] = OK "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK";
    dp_http_response r;
    assert_int_equal(feed(&r, text, sizeof(text) - 1, sizeof(text) - 1),
                     sizeof(text) - 1 - strlen("HTTP/1.1 200 OK"));
    assert_string_equal(r.body.p, "hi");
    dp_http_response_free(&r);
}

static void the_fields_of_activesync_are_kept(void **state)
{
    const char text[] = OK "MS-ASProtocolVersions: 2.5,12.1\r\n"
                           "MS-ASProtocolVersions: 14.1\r\n"
                           "MS-ASProtocolCommands: Sync,Ping\r\n"
                           "X-MS-Location: https://other/\r\n"
                           "X-MS-ASThrottle: CommandFrequency\r\n"
                           "Retry-After: 120\r\nContent-Length: 0\r\n\r\n";
    dp_http_response r;
    feed(&r, text, sizeof(text) - 1, 7);
    assert_int_equal(r.part, DP_HTTP_DONE);
    assert_string_equal(r.versions.p, "2.5,12.1,14.1");
    assert_string_equal(r.commands.p, "Sync,Ping");
    assert_string_equal(r.location.p, "https://other/");
    assert_string_equal(r.throttle.p, "CommandFrequency");
    assert_true(r.has_retry_after);
    assert_int_equal(r.retry_after_s, 120);
    dp_http_response_free(&r);
}

static int64_t retry_after(const char *value)
{
    dp_buf text = {0};
    dp_buf_printf(&text,
                  "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\n"
                  "Content-Length: 0\r\n\r\n",
                  value);
    dp_http_response r;
    feed(&r, text.p, text.n, text.n);
    assert_int_equal(r.part, DP_HTTP_DONE);
    int64_t seconds = r.has_retry_after ? r.retry_after_s : -1;
    dp_http_response_free(&r);
    dp_buf_free(&text);
    return seconds;
}

static void retry_after_may_be_a_date(void **state)
{
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), 0);
    assert_true(retry_after("Fri, 31 Dec 2100 23:59:59 GMT") > 1000000);
    assert_int_equal(retry_after("-1"), -1);
    assert_int_equal(retry_after("soon"), -1);
    assert_int_equal(retry_after("99999999999999999999"), -1);
}

static void what_is_not_http_is_bad(void **state)
{
    assert_bad("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    assert_bad("\r\n");
    assert_bad("HTTP/2 200 OK\r\n");
    assert_bad("HTTP/1.1 20 OK\r\n");
    assert_bad("HTTP/1.1 2000\r\n");
    assert_bad("HTTP/1.1  200 OK\r\n");
    assert_bad("HTTP/1.1 099 What\r\n");
    assert_bad("HTTP/1.1 101 Switching Protocols\r\n");
}

static void lengths_that_lie_are_bad(void **state)
{
    assert_bad(OK "Content-Length: -1\r\n\r\n");
    assert_bad(OK "Content-Length: +1\r\n\r\n");
    assert_bad(OK "Content-Length: 1 2\r\n\r\n");
    assert_bad(OK "Content-Length:\r\n\r\n");
    assert_bad(OK "Content-Length: 18446744073709551617\r\n\r\n");
    assert_bad(OK "Content-Length: 999999999999\r\n\r\n");
    assert_bad(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n");
}

static void damaged_chunks_are_bad(void **state)
{
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\n\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\n-5\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\n5 5\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n");
}

static void codings_that_nobody_asked_for_are_bad(void **state)
{
    assert_bad(OK "Content-Encoding: gzip\r\n\r\n");
    assert_bad(OK "Transfer-Encoding: gzip, chunked\r\n\r\n");
    assert_bad(OK "Transfer-Encoding: chunked\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n");
    assert_whole(OK "Content-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
                 200, "", true);
}

static void damaged_fields_are_bad(void **state)
{
    assert_bad(OK "no colon\r\n\r\n");
    assert_bad(OK ": no name\r\n\r\n");
    assert_bad(OK "Content-Length : 5\r\n\r\n");
    assert_bad(OK " folded: line\r\n\r\n");
    assert_bad_bytes(OK "A: b\0c\r\n\r\n", sizeof(OK "A: b\0c\r\n\r\n") - 1);
}

/* @return bytes that it took until it was bad */
static size_t flood(const char *head, const char *piece)
{
    dp_http_response r;
    dp_http_response_init(&r);
    dp_http_response_feed(&r, dp_span_str(head));
    size_t n = 0;
    while (r.part < DP_HTTP_DONE && n < (size_t)512 << 20) {
        n += dp_http_response_feed(&r, dp_span_str(piece));
    }
    assert_int_equal(r.part, DP_HTTP_BAD);
    dp_http_response_free(&r);
    return n;
}

static void nothing_grows_without_end(void **state)
{
    const size_t head_max = 65536 + 1024;
    assert_true(flood("", "HTTP/1.1 200 OK, OK, OK, ") < head_max);
    assert_true(flood(OK, "Field: value\r\n") < head_max);
    assert_true(flood(OK "A: ", "value ") < head_max);
    assert_true(flood("", "HTTP/1.1 100 Continue\r\n\r\n") < head_max);
    assert_true(flood(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n",
                      "Trailer: x\r\n") < head_max);
    assert_true(flood(OK "Transfer-Encoding: chunked\r\n\r\n",
                      "1;some-long-extension\r\nx\r\n") < 2 * head_max);
    char *big = malloc((1 << 20) + 1);
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    big[1 << 20] = '\0';
    assert_true(flood(OK "\r\n", big) < (size_t)66 << 20);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_ends_with_its_length),
        cmocka_unit_test(a_length_of_zero_is_an_empty_body),
        cmocka_unit_test(bare_line_feeds_are_line_ends_too),
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(chunk_sizes_are_hexadecimal),
        cmocka_unit_test(
            a_length_beside_chunks_does_not_count_and_ends_the_connection),
        cmocka_unit_test(interim_responses_are_skipped),
        cmocka_unit_test(some_statuses_have_no_body),
        cmocka_unit_test(the_connection_ends_when_the_server_says_so),
        cmocka_unit_test(without_a_length_the_body_lasts_until_the_end),
        cmocka_unit_test(a_response_that_is_cut_off_is_bad_wherever_it_is_cut),
        cmocka_unit_test(what_follows_the_response_is_left_alone),
        cmocka_unit_test(the_fields_of_activesync_are_kept),
        cmocka_unit_test(retry_after_may_be_a_date),
        cmocka_unit_test(what_is_not_http_is_bad),
        cmocka_unit_test(lengths_that_lie_are_bad),
        cmocka_unit_test(damaged_chunks_are_bad),
        cmocka_unit_test(codings_that_nobody_asked_for_are_bad),
        cmocka_unit_test(damaged_fields_are_bad),
        cmocka_unit_test(nothing_grows_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
