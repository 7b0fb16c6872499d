/* load_answer: whole answers where they lie, all others by the long way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools/device/load_answer.h"

#define PING                                                                   \
    "HTTP/1.1 200 OK\r\nDate: Fri, 01 Jan 2027 00:00:00 GMT\r\n"               \
    "Cache-Control: private\r\nContent-Length: 5\r\n"                          \
    "Content-Type: application/vnd.ms-sync.wbxml\r\n\r\nhello"

static void assert_body(const dp_load_answer *a, const char *body)
{
    assert_int_equal(a->body.n, strlen(body));
    assert_memory_equal(a->body.p, body, a->body.n);
}

static dp_load_read read_all(const char *text, dp_load_answer *out,
                             size_t *out_n)
{
    dp_load_pieces *pieces = NULL;
    dp_load_read r =
        dp_load_answer_read(&pieces, dp_span_str(text), out, out_n);
    assert_null(pieces);
    return r;
}

static void a_whole_answer_is_taken_where_it_lies(void **state)
{
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(read_all(PING, &a, &n), DP_LOAD_WHOLE);
    assert_int_equal(n, sizeof(PING) - 1);
    assert_int_equal(a.status, 200);
    assert_false(a.closes);
    assert_body(&a, "hello");
}

static void fields_have_any_case_and_blanks(void **state)
{
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(read_all("HTTP/1.1 503 busy\r\ncontent-length:0\r\n"
                              "RETRY-AFTER: \t42 \r\nconnection: Close\r\n"
                              "ETag: \"1:0\"\r\nlast-modified: yesterday\r\n"
                              "Connection-Hint: x\r\n\r\n",
                              &a, &n),
                     DP_LOAD_WHOLE);
    assert_int_equal(a.status, 503);
    assert_int_equal(a.retry_after_s, 42);
    assert_true(a.closes);
    assert_true(dp_span_is(a.etag, DP_SPAN_LIT("\"1:0\"")));
    assert_true(dp_span_is(a.last_modified, DP_SPAN_LIT("yesterday")));
    assert_body(&a, "");
}

static void what_has_no_body_ends_with_its_head(void **state)
{
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(read_all("HTTP/1.1 304 Not Modified\r\n\r\n", &a, &n),
                     DP_LOAD_WHOLE);
    assert_int_equal(a.status, 304);
}

static void the_next_answer_is_left_alone(void **state)
{
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(read_all(PING PING, &a, &n), DP_LOAD_WHOLE);
    assert_int_equal(n, sizeof(PING) - 1);
}

/* Feed in two pieces, cut at each byte. */
static void assert_any_cut(const char *text, unsigned status, const char *body)
{
    size_t all = strlen(text), n;
    for (size_t cut = 1; cut < all; cut++) {
        dp_load_pieces *pieces = NULL;
        dp_load_answer a;
        assert_int_equal(
            dp_load_answer_read(&pieces, dp_span_of(text, cut), &a, &n),
            DP_LOAD_MORE);
        assert_int_equal(
            dp_load_answer_read(&pieces, dp_span_str(text + cut), &a, &n),
            DP_LOAD_WHOLE);
        assert_int_equal(n, all - cut);
        assert_int_equal(a.status, status);
        assert_body(&a, body);
        dp_load_pieces_free(&pieces);
        assert_null(pieces);
    }
}

static void an_answer_may_come_in_pieces(void **state)
{
    (void)state;
    assert_any_cut(PING, 200, "hello");
}

#define CHUNKED                                                                \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"                    \
    "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"

static void a_chunked_answer_goes_the_long_way(void **state)
{
    dp_load_pieces *pieces = NULL;
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(
        dp_load_answer_read(&pieces, DP_SPAN_LIT(CHUNKED "HTTP"), &a, &n),
        DP_LOAD_WHOLE);
    assert_int_equal(n, sizeof(CHUNKED) - 1);
    assert_body(&a, "hello!");
    dp_load_pieces_free(&pieces);
    assert_any_cut(CHUNKED, 200, "hello!");
}

/* It was taken for an answer whose end has not come, and what came next for
 * more of it. */
static void lines_that_end_with_lf_alone_go_the_long_way(void **state)
{
    static const char text[] = "HTTP/1.1 304 Not Modified\r\nETag: 1\n\n";
    dp_load_pieces *pieces = NULL;
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(
        dp_load_answer_read(&pieces, dp_span_str(text), &a, &n),
        DP_LOAD_WHOLE);
    assert_int_equal(n, sizeof(text) - 1);
    assert_int_equal(a.status, 304);
    dp_load_pieces_free(&pieces);
    assert_any_cut(text, 304, "");
}

static void a_length_beside_a_coding_does_not_count(void **state)
{
    dp_load_pieces *pieces = NULL;
    dp_load_answer a;
    size_t n;
    (void)state;
    /* the long way refuses it: RFC 9112, 6.3 */
    assert_int_not_equal(
        dp_load_answer_read(&pieces,
                            DP_SPAN_LIT("HTTP/1.1 200 OK\r\n"
                                        "Content-Length: 2\r\n"
                                        "Transfer-Encoding: chunked\r\n\r\n"
                                        "0\r\n\r\n"),
                            &a, &n),
        DP_LOAD_MORE);
    dp_load_pieces_free(&pieces);
}

static void an_interim_answer_is_passed_over(void **state)
{
    dp_load_pieces *pieces = NULL;
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(
        dp_load_answer_read(
            &pieces, DP_SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n" PING), &a, &n),
        DP_LOAD_WHOLE);
    assert_int_equal(a.status, 200);
    assert_body(&a, "hello");
    dp_load_pieces_free(&pieces);
}

static void closing_ends_what_has_no_length(void **state)
{
    dp_load_pieces *pieces = NULL;
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(
        dp_load_answer_read(&pieces, DP_SPAN_LIT("HTTP/1.1 200 OK\r\n\r\nhel"),
                            &a, &n),
        DP_LOAD_MORE);
    assert_int_equal(dp_load_answer_read(&pieces, DP_SPAN_LIT("lo"), &a, &n),
                     DP_LOAD_MORE);
    assert_int_equal(dp_load_answer_close(pieces, &a), DP_LOAD_WHOLE);
    assert_true(a.closes);
    assert_body(&a, "hello");
    dp_load_pieces_free(&pieces);
}

static void closing_breaks_what_has_a_length(void **state)
{
    dp_load_pieces *pieces = NULL;
    dp_load_answer a;
    size_t n;
    (void)state;
    assert_int_equal(dp_load_answer_close(NULL, &a), DP_LOAD_BAD);
    dp_load_answer_read(&pieces, dp_span_of(PING, sizeof(PING) - 2), &a, &n);
    assert_int_equal(dp_load_answer_close(pieces, &a), DP_LOAD_BAD);
    dp_load_pieces_free(&pieces);
}

static void what_is_no_http_is_bad(void **state)
{
    static const char *const texts[] = {
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        dp_load_pieces *pieces = NULL;
        dp_load_answer a;
        size_t n;
        assert_int_equal(
            dp_load_answer_read(&pieces, dp_span_str(texts[i]), &a, &n),
            DP_LOAD_BAD);
        dp_load_pieces_free(&pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer_is_taken_where_it_lies),
        cmocka_unit_test(fields_have_any_case_and_blanks),
        cmocka_unit_test(what_has_no_body_ends_with_its_head),
        cmocka_unit_test(the_next_answer_is_left_alone),
        cmocka_unit_test(an_answer_may_come_in_pieces),
        cmocka_unit_test(a_chunked_answer_goes_the_long_way),
        cmocka_unit_test(lines_that_end_with_lf_alone_go_the_long_way),
        cmocka_unit_test(a_length_beside_a_coding_does_not_count),
        cmocka_unit_test(an_interim_answer_is_passed_over),
        cmocka_unit_test(closing_ends_what_has_no_length),
        cmocka_unit_test(closing_breaks_what_has_a_length),
        cmocka_unit_test(what_is_no_http_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
