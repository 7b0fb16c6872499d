/* mail_items: what a Sync answer brings, however its bytes come. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tools/device/mail_items.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define EMAIL_SUBJECT    DP_WBXML_TAG(2, 0x14)
#define EMAIL_FROM       DP_WBXML_TAG(2, 0x18)
#define CALENDAR_SUBJECT DP_WBXML_TAG(4, 0x26)
#define EXCEPTIONS       DP_WBXML_TAG(4, 0x14)
#define EXCEPTION        DP_WBXML_TAG(4, 0x13)

#define ITEMS_MAX 8

typedef struct seen {
    dp_item items[ITEMS_MAX];
    size_t n;
} seen;

static void see(void *ctx, const dp_item *item)
{
    seen *s = ctx;
    assert_true(s->n < ITEMS_MAX);
    s->items[s->n++] = *item;
}

/* Each chunk a block of its own, freed before the next. */
static bool parse(const unsigned char *body, size_t n, size_t step, seen *out)
{
    dp_mail_items p;
    *out = (seen){0};
    dp_mail_items_init(&p, see, out);
    for (size_t at = 0; at < n; at += step) {
        size_t piece_n = n - at < step ? n - at : step;
        unsigned char *piece = malloc(piece_n);
        assert_non_null(piece);
        memcpy(piece, body + at, piece_n);
        dp_mail_items_feed(&p, dp_span_of(piece, piece_n));
        free(piece);
    }
    return p.is_whole && !p.is_bad;
}

static void assert_item(const dp_item *item, dp_item_op op, const char *id,
                        const char *title, const char *from)
{
    assert_int_equal(item->op, op);
    assert_int_equal(item->id_n, strlen(id));
    assert_memory_equal(item->id, id, item->id_n);
    assert_int_equal(item->title_n, strlen(title));
    assert_memory_equal(item->title, title, item->title_n);
    assert_int_equal(item->from_n, strlen(from));
    assert_memory_equal(item->from, from, item->from_n);
}

/* Sync > Collections > Collection > Commands */
static void begin(dp_wbxml_writer *w, void *buf, size_t cap, dp_wbxml_tag list)
{
    dp_wbxml_write_init(w, buf, cap);
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Collections);
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Collection);
    dp_wbxml_write_open(w, list);
}

static void end(dp_wbxml_writer *w)
{
    for (int i = 0; i < 4; i++) {
        dp_wbxml_write_close(w);
    }
    assert_true(dp_wbxml_write_is_ok(w));
}

static void add_item(dp_wbxml_writer *w, dp_wbxml_tag op, const char *id,
                     dp_wbxml_tag title_tag, const char *title)
{
    dp_wbxml_write_open(w, op);
    dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_ServerId, dp_span_str(id));
    if (title) {
        dp_wbxml_write_open(w, DP_TAG_AIRSYNC_ApplicationData);
        dp_wbxml_write_leaf(w, title_tag, dp_span_str(title));
        dp_wbxml_write_close(w);
    }
    dp_wbxml_write_close(w);
}

/* An answer of tests/backend, which writes WBXML by itself: one new mail. */
static const unsigned char ONE_MAIL[] = {
    0x03, 0x01, 0x6a, 0x00, 0x45, 0x5c, 0x4f, 0x50, 0x03, 'E',  'm',  'a',
    'i',  'l',  0x00, 0x01, 0x4b, 0x03, '2',  0x00, 0x01, 0x52, 0x03, '5',
    0x00, 0x01, 0x4e, 0x03, '1',  0x00, 0x01, 0x56, 0x47, 0x4d, 0x03, '1',
    0x00, 0x01, 0x5d, 0x00, 0x02, 0x56, 0x03, 'a',  0x00, 0x01, 0x58, 0x03,
    '"',  'B',  '"',  ' ',  '<',  'b',  '@',  'c',  '>',  0x00, 0x01, 0x54,
    0x03, 'H',  'e',  'l',  'l',  'o',  0x00, 0x01, 0x00, 0x11, 0x4a, 0x46,
    0x03, '1',  0x00, 0x01, 0x4b, 0x03, 'h',  'i',  0x00, 0x01, 0x01, 0x01,
    0x01, 0x01, 0x01, 0x01, 0x01};

static void a_mail_is_read_however_its_bytes_come(void **state)
{
    seen s;
    for (size_t step = 1; step <= sizeof(ONE_MAIL); step++) {
        assert_true(parse(ONE_MAIL, sizeof(ONE_MAIL), step, &s));
        assert_int_equal(s.n, 1);
        assert_item(&s.items[0], DP_ITEM_ADD, "1", "Hello", "\"B\" <b@c>");
    }
}

static void an_answer_that_is_cut_off_is_not_whole(void **state)
{
    seen s;
    for (size_t n = 0; n < sizeof(ONE_MAIL); n++) {
        assert_false(parse(ONE_MAIL, n, sizeof(ONE_MAIL), &s));
    }
}

static void hostile_bytes_are_survived(void **state)
{
    unsigned char body[sizeof(ONE_MAIL)];
    seen s;
    for (size_t i = 0; i < sizeof(body); i++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(body, ONE_MAIL, sizeof(body));
            body[i] = (unsigned char)value;
            parse(body, sizeof(body), 5, &s);
        }
    }
}

static void another_root_is_bad(void **state)
{
    static const unsigned char ping[] = {0x03, 0x01, 0x6a, 0x00, 0x00,
                                         0x0d, 0x45, 0x47, 0x03, '1',
                                         0x00, 0x01, 0x01};
    seen s;
    assert_false(parse(ping, sizeof(ping), sizeof(ping), &s));
}

static void changes_and_deletions_are_told_apart(void **state)
{
    unsigned char buf[512];
    dp_wbxml_writer w;
    seen s;
    begin(&w, buf, sizeof(buf), DP_TAG_AIRSYNC_Commands);
    add_item(&w, DP_TAG_AIRSYNC_Add, "a", EMAIL_SUBJECT, "first");
    add_item(&w, DP_TAG_AIRSYNC_Change, "b", EMAIL_SUBJECT, NULL);
    add_item(&w, DP_TAG_AIRSYNC_Delete, "c", EMAIL_SUBJECT, NULL);
    add_item(&w, DP_TAG_AIRSYNC_SoftDelete, "d", EMAIL_SUBJECT, NULL);
    end(&w);
    for (size_t step = 1; step <= w.n; step++) {
        assert_true(parse(buf, w.n, step, &s));
        assert_int_equal(s.n, 4);
        assert_item(&s.items[0], DP_ITEM_ADD, "a", "first", "");
        assert_item(&s.items[1], DP_ITEM_CHANGE, "b", "", "");
        assert_item(&s.items[2], DP_ITEM_DELETE, "c", "", "");
        assert_item(&s.items[3], DP_ITEM_DELETE, "d", "", "");
    }
}

static void answers_to_the_phones_own_changes_are_no_items(void **state)
{
    unsigned char buf[512];
    dp_wbxml_writer w;
    seen s;
    begin(&w, buf, sizeof(buf), DP_TAG_AIRSYNC_Responses);
    add_item(&w, DP_TAG_AIRSYNC_Add, "a", EMAIL_SUBJECT, "mine");
    end(&w);
    assert_true(parse(buf, w.n, w.n, &s));
    assert_int_equal(s.n, 0);
}

static void an_exception_does_not_rename_its_meeting(void **state)
{
    unsigned char buf[512];
    dp_wbxml_writer w;
    seen s;
    begin(&w, buf, sizeof(buf), DP_TAG_AIRSYNC_Commands);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Add);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_ApplicationData);
    dp_wbxml_write_leaf(&w, CALENDAR_SUBJECT, DP_SPAN_LIT("weekly"));
    dp_wbxml_write_open(&w, EXCEPTIONS);
    dp_wbxml_write_open(&w, EXCEPTION);
    dp_wbxml_write_leaf(&w, CALENDAR_SUBJECT, DP_SPAN_LIT("moved"));
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_ServerId, DP_SPAN_LIT("m"));
    dp_wbxml_write_close(&w);
    end(&w);
    assert_true(parse(buf, w.n, w.n, &s));
    assert_int_equal(s.n, 1);
    assert_item(&s.items[0], DP_ITEM_ADD, "m", "weekly", "");
}

static void long_text_is_cut_between_two_characters(void **state)
{
    char title[2 * DP_ITEM_TEXT_MAX];
    unsigned char buf[4 * DP_ITEM_TEXT_MAX];
    seen s;
    dp_wbxml_writer w;
    for (size_t shift = 0; shift < 3; shift++) { /* "xx\xE2\x82\xAC\xE2..." */
        size_t n = 0;
        while (n < shift) {
            title[n++] = 'x';
        }
        while (n + 4 < sizeof(title)) {
            memcpy(title + n, "\xE2\x82\xAC", 3);
            n += 3;
        }
        title[n] = '\0';
        begin(&w, buf, sizeof(buf), DP_TAG_AIRSYNC_Commands);
        add_item(&w, DP_TAG_AIRSYNC_Add, "a", EMAIL_SUBJECT, title);
        end(&w);
        for (size_t step = 1; step < 9; step++) {
            assert_true(parse(buf, w.n, step, &s));
            assert_int_equal(s.items[0].title_n,
                             (DP_ITEM_TEXT_MAX - shift) / 3 * 3 + shift);
            assert_memory_equal(s.items[0].title, title, s.items[0].title_n);
        }
    }
}

static void an_item_does_not_inherit_from_the_one_before(void **state)
{
    unsigned char buf[512];
    dp_wbxml_writer w;
    seen s;
    begin(&w, buf, sizeof(buf), DP_TAG_AIRSYNC_Commands);
    add_item(&w, DP_TAG_AIRSYNC_Add, "a", EMAIL_FROM, "bob");
    dp_wbxml_write_empty(&w, DP_TAG_AIRSYNC_Add);
    end(&w);
    assert_true(parse(buf, w.n, w.n, &s));
    assert_int_equal(s.n, 2);
    assert_item(&s.items[0], DP_ITEM_ADD, "a", "", "bob");
    assert_item(&s.items[1], DP_ITEM_ADD, "", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_is_read_however_its_bytes_come),
        cmocka_unit_test(an_answer_that_is_cut_off_is_not_whole),
        cmocka_unit_test(hostile_bytes_are_survived),
        cmocka_unit_test(another_root_is_bad),
        cmocka_unit_test(changes_and_deletions_are_told_apart),
        cmocka_unit_test(answers_to_the_phones_own_changes_are_no_items),
        cmocka_unit_test(an_exception_does_not_rename_its_meeting),
        cmocka_unit_test(long_text_is_cut_between_two_characters),
        cmocka_unit_test(an_item_does_not_inherit_from_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
