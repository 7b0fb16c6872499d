/* tap: clear bytes out of whatever Content-Encoding passes by. */
#include "test_device_support.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "observe/tap.h"

typedef struct sunk {
    unsigned char *bytes;
    size_t n, stop_at;
} sunk;

static bool sink(void *ctx, dp_span clear)
{
    sunk *s = ctx;
    s->bytes = realloc(s->bytes, s->n + clear.n);
    assert_non_null(s->bytes);
    memcpy(s->bytes + s->n, clear.p, clear.n);
    s->n += clear.n;
    return !s->stop_at || s->n < s->stop_at;
}

static dp_span squeeze(dp_span clear, int window)
{
    z_stream z = {0};
    size_t cap = clear.n + 1024;
    unsigned char *out = malloc(cap);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 8,
                                  Z_DEFAULT_STRATEGY),
                     Z_OK);
    z.next_in = (Bytef *)(uintptr_t)clear.p;
    z.avail_in = (uInt)clear.n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = cap - z.avail_out;
    deflateEnd(&z);
    return dp_span_of(out, n);
}

static void drop(dp_span s)
{
    free((void *)(uintptr_t)s.p);
}

static dp_span text_of(size_t n)
{
    unsigned char *p = malloc(n);
    unsigned seed = 7;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245u + 12345;
        p[i] = (unsigned char)("abcdefgh"[seed >> 16 & 7]);
    }
    return dp_span_of(p, n);
}

/* @return dp_tap_end() */
static bool run(dp_tap_coding coding, dp_span body, size_t step, uint64_t max,
                sunk *out)
{
    dp_tap *tap = dp_tap_make(coding, max, sink, out);
    for (size_t at = 0; at < body.n; at += step) {
        size_t n = body.n - at < step ? body.n - at : step;
        unsigned char *piece = malloc(n);
        memcpy(piece, body.p + at, n);
        dp_tap_feed(tap, dp_span_of(piece, n));
        free(piece);
    }
    bool is_whole = dp_tap_end(tap);
    dp_tap_free(&tap);
    assert_null(tap);
    return is_whole;
}

static void headers_name_codings(void **state)
{
    assert_int_equal(dp_tap_coding_of(NULL), DP_TAP_IDENTITY);
    assert_int_equal(dp_tap_coding_of(""), DP_TAP_IDENTITY);
    assert_int_equal(dp_tap_coding_of(" identity "), DP_TAP_IDENTITY);
    assert_int_equal(dp_tap_coding_of("GZip"), DP_TAP_GZIP);
    assert_int_equal(dp_tap_coding_of("x-gzip"), DP_TAP_GZIP);
    assert_int_equal(dp_tap_coding_of("\tdeflate"), DP_TAP_DEFLATE);
    assert_int_equal(dp_tap_coding_of("br"), DP_TAP_OPAQUE);
    assert_int_equal(dp_tap_coding_of("zstd"), DP_TAP_OPAQUE);
    assert_int_equal(dp_tap_coding_of("gzip, gzip"), DP_TAP_OPAQUE);
    assert_int_equal(dp_tap_coding_of("gzipp"), DP_TAP_OPAQUE);
}

static void every_coding_comes_out_clear_in_any_pieces(void **state)
{
    static const struct {
        dp_tap_coding coding;
        int window;
    } cases[] = {{DP_TAP_GZIP, 31}, {DP_TAP_DEFLATE, 15},
                 {DP_TAP_DEFLATE, -15}};
    static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 8192, 100000};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            dp_span clear = text_of(sizes[k]);
            dp_span body = squeeze(clear, cases[i].window);
            for (size_t step = 1; step <= body.n; step = step * 3 + 1) {
                sunk out = {0};
                assert_true(run(cases[i].coding, body, step, 1 << 20, &out));
                assert_true(dp_span_is(dp_span_of(out.bytes, out.n), clear));
                free(out.bytes);
            }
            drop(body);
            drop(clear);
        }
    }
}

static void identity_passes_as_it_is(void **state)
{
    sunk out = {0};
    assert_true(run(DP_TAP_IDENTITY, S("hello"), 2, 100, &out));
    assert_memory_equal(out.bytes, "hello", 5);
    free(out.bytes);
    out = (sunk){0};
    assert_false(run(DP_TAP_IDENTITY, S("hello"), 2, 4, &out));
    free(out.bytes);
}

static void a_body_of_no_bytes_is_whole_in_any_coding(void **state)
{
    for (int coding = 0; coding <= DP_TAP_OPAQUE; coding++) {
        sunk out = {0};
        assert_true(run((dp_tap_coding)coding, S(""), 1, 10, &out));
        assert_int_equal(out.n, 0);
    }
}

static void what_cannot_be_read_proves_nothing(void **state)
{
    sunk out = {0};
    assert_false(run(DP_TAP_OPAQUE, S("hello"), 1, 100, &out));
    assert_false(run(DP_TAP_GZIP, S("hello, I am no gzip"), 1, 100, &out));
    assert_false(run(DP_TAP_DEFLATE, S("\x78"), 1, 100, &out));
    assert_false(run(DP_TAP_DEFLATE, S("\xff\xff\xff\xff"), 4, 100, &out));
    assert_int_equal(out.n, 0);
}

static void a_cut_body_is_not_whole(void **state)
{
    dp_span clear = text_of(3000), body = squeeze(clear, 31);
    for (size_t n = 1; n < body.n; n += 13) {
        sunk out = {0};
        assert_false(run(DP_TAP_GZIP, dp_span_of(body.p, n), 100, 1 << 20,
                         &out));
        assert_true(out.n <= clear.n);
        free(out.bytes);
    }
    drop(body);
    drop(clear);
}

static void damage_is_noticed(void **state)
{
    dp_span clear = text_of(3000), body = squeeze(clear, 31);
    unsigned char *p = (unsigned char *)(uintptr_t)body.p;
    p[body.n - 6] ^= 1; /* in the checksum */
    sunk out = {0};
    assert_false(run(DP_TAP_GZIP, body, 100, 1 << 20, &out));
    free(out.bytes);
    drop(body);
    drop(clear);
}

static dp_span join(dp_span a, dp_span b)
{
    unsigned char *p = malloc(a.n + b.n);
    memcpy(p, a.p, a.n);
    memcpy(p + a.n, b.p, b.n);
    return dp_span_of(p, a.n + b.n);
}

static void gzip_members_follow_each_other_but_nothing_else_does(void **state)
{
    dp_span clear = text_of(500), body = squeeze(clear, 31);
    dp_span two = join(body, body), odd = join(body, S("junk"));
    for (size_t step = 1; step < two.n; step = step * 2 + 1) {
        sunk out = {0};
        assert_true(run(DP_TAP_GZIP, two, step, 1 << 20, &out));
        assert_int_equal(out.n, 1000);
        free(out.bytes);
        out = (sunk){0};
        assert_false(run(DP_TAP_GZIP, odd, step, 1 << 20, &out));
        free(out.bytes);
    }
    dp_span zlib = squeeze(clear, 15), more = join(zlib, S("x"));
    sunk out = {0};
    assert_false(run(DP_TAP_DEFLATE, more, 7, 1 << 20, &out));
    free(out.bytes);
    drop(more);
    drop(zlib);
    drop(two);
    drop(odd);
    drop(body);
    drop(clear);
}

static void a_bomb_ends_at_its_bound(void **state)
{
    unsigned char *zeros = calloc(1, 10 << 20);
    dp_span body = squeeze(dp_span_of(zeros, 10 << 20), 31);
    sunk out = {0};
    assert_true(body.n < 20000);
    assert_false(run(DP_TAP_GZIP, body, body.n, 100000, &out));
    assert_true(out.n <= 100000);
    free(out.bytes);
    drop(body);
    free(zeros);
}

static void a_sink_that_has_had_enough_gets_no_more(void **state)
{
    dp_span clear = text_of(50000), body = squeeze(clear, 31);
    sunk out = {.stop_at = 1};
    assert_false(run(DP_TAP_GZIP, body, body.n, 1 << 20, &out));
    assert_true(out.n <= 4096);
    free(out.bytes);
    drop(body);
    drop(clear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_name_codings),
        cmocka_unit_test(every_coding_comes_out_clear_in_any_pieces),
        cmocka_unit_test(identity_passes_as_it_is),
        cmocka_unit_test(a_body_of_no_bytes_is_whole_in_any_coding),
        cmocka_unit_test(what_cannot_be_read_proves_nothing),
        cmocka_unit_test(a_cut_body_is_not_whole),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(gzip_members_follow_each_other_but_nothing_else_does),
        cmocka_unit_test(a_bomb_ends_at_its_bound),
        cmocka_unit_test(a_sink_that_has_had_enough_gets_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
