/* wbxml_write: the bytes, the room they take, and that they read back. */
#include "test_eas_support.h"

#include <stdlib.h>

#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

static void assert_wrote(const dp_wbxml_writer *w, const char *hex)
{
    dp_span expected = wire_unhex(hex);

    assert_true(dp_wbxml_write_is_ok(w));
    assert_int_equal(w->n, expected.n);
    assert_memory_equal(w->buf, expected.p, expected.n);
    free((void *)expected.p);
}

static void a_foldersync_is_written_as_in_the_specification(void **state)
{
    unsigned char buf[64];
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_FolderSync);
    dp_wbxml_write_leaf(&w, DP_TAG_FOLDER_SyncKey, DP_SPAN_LIT("0"));
    dp_wbxml_write_close(&w);
    assert_wrote(&w, "03 01 6a 00 00 07 56 52 03 30 00 01 01");
}

static void the_page_is_switched_only_when_it_changes(void **state)
{
    unsigned char buf[64];
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_empty(&w, DP_TAG_BASE_Body);
    dp_wbxml_write_empty(&w, DP_TAG_BASE_Data);
    dp_wbxml_write_empty(&w, DP_TAG_AIRSYNC_MoreAvailable);
    dp_wbxml_write_close(&w);
    assert_wrote(&w, "03016a00 45 0011 0a 0b 0000 14 01");
}

static void text_with_a_nul_in_it_becomes_an_opaque(void **state)
{
    unsigned char buf[64];
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_Sync, dp_span_of("a\0b", 3));
    assert_wrote(&w, "03016a00 45 c303 610062 01");
}

static void an_empty_text_is_an_empty_string(void **state)
{
    unsigned char buf[64];
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_Sync, dp_span_of(NULL, 0));
    assert_wrote(&w, "03016a00 45 0300 01");
}

/** Write NULs of this length and read them back. */
static void assert_length_survives(size_t n, size_t length_bytes)
{
    unsigned char *zeros = calloc(n, 1), *buf = malloc(n + 16);
    dp_wbxml_writer w;
    dp_wbxml_reader r;
    dp_wbxml_event event;
    size_t seen_n = 0;

    dp_wbxml_write_init(&w, buf, n + 16);
    dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_Sync, dp_span_of(zeros, n));
    assert_true(dp_wbxml_write_is_ok(&w));
    assert_int_equal(w.n, 4 + 1 + 1 + length_bytes + n + 1);
    dp_wbxml_read_init(&r, UINT64_MAX);
    dp_wbxml_read_feed(&r, dp_span_of(buf, w.n));
    while ((event = dp_wbxml_read_next(&r)) != DP_WBXML_END) {
        assert_true(event != DP_WBXML_BAD && event != DP_WBXML_MORE);
        seen_n += event == DP_WBXML_TEXT ? r.text.n : 0;
    }
    assert_int_equal(seen_n, n);
    free(zeros);
    free(buf);
}

static void lengths_take_as_few_bytes_as_they_need(void **state)
{
    assert_length_survives(1, 1);
    assert_length_survives(127, 1);
    assert_length_survives(128, 2);
    assert_length_survives(16383, 2);
    assert_length_survives(16384, 3);
    assert_length_survives(2097151, 3);
    assert_length_survives(2097152, 4);
}

static size_t write_something(unsigned char *buf, size_t cap, bool *is_ok)
{
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, cap);
    dp_wbxml_write_open(&w, DP_TAG_PING_Ping);
    dp_wbxml_write_leaf(&w, DP_TAG_PING_Status, DP_SPAN_LIT("12345"));
    dp_wbxml_write_close(&w);
    *is_ok = dp_wbxml_write_is_ok(&w);
    return w.n;
}

static void too_small_a_buffer_is_remembered_not_overrun(void **state)
{
    bool is_ok;
    size_t needed = write_something(NULL, 0, &is_ok);

    assert_false(is_ok);
    for (size_t cap = 0; cap <= needed; cap++) {
        unsigned char *buf = malloc(cap + 1);

        buf[cap] = 0xAA;
        assert_int_equal(write_something(buf, cap, &is_ok), needed);
        assert_int_equal(is_ok, cap == needed);
        assert_int_equal(buf[cap], 0xAA);
        free(buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foldersync_is_written_as_in_the_specification),
        cmocka_unit_test(the_page_is_switched_only_when_it_changes),
        cmocka_unit_test(text_with_a_nul_in_it_becomes_an_opaque),
        cmocka_unit_test(an_empty_text_is_an_empty_string),
        cmocka_unit_test(lengths_take_as_few_bytes_as_they_need),
        cmocka_unit_test(too_small_a_buffer_is_remembered_not_overrun),
    };

    return cmocka_run_group_tests_name("wbxml_write", tests, NULL, NULL);
}
