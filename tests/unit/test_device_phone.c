/* phone, provision: answers taken in, and the bodies that follow from them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tools/device/phone.h"
#include "tools/device/provision.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

static dp_phone phone;

static int set_up(void **state)
{
    dp_phone_init(&phone, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    dp_phone_free(&phone);
    return 0;
}

typedef struct listed {
    dp_wbxml_tag op;
    const char *id, *parent, *name, *type;
} listed;

static void leaf(dp_wbxml_writer *w, dp_wbxml_tag tag, const char *text)
{
    if (text) {
        dp_wbxml_write_leaf(w, tag, dp_span_str(text));
    }
}

static dp_folder_sync_result folder_sync(const char *status, const char *key,
                                         const listed *list, size_t n)
{
    unsigned char buf[2048];
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_FolderSync);
    leaf(&w, DP_TAG_FOLDER_Status, status);
    leaf(&w, DP_TAG_FOLDER_SyncKey, key);
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_Changes);
    for (size_t i = 0; i < n; i++) {
        dp_wbxml_write_open(&w, list[i].op);
        leaf(&w, DP_TAG_FOLDER_ServerId, list[i].id);
        leaf(&w, DP_TAG_FOLDER_ParentId, list[i].parent);
        leaf(&w, DP_TAG_FOLDER_DisplayName, list[i].name);
        leaf(&w, DP_TAG_FOLDER_Type, list[i].type);
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    assert_true(dp_wbxml_write_is_ok(&w));
    return dp_phone_folder_sync_take(&phone, dp_span_of(buf, w.n));
}

static const listed ALL[] = {
    {DP_TAG_FOLDER_Add, "1", "0", "Inbox", "2"},
    {DP_TAG_FOLDER_Add, "2", "1", "Lists", "12"},
    {DP_TAG_FOLDER_Add, "3", "0", "Kalender", "8"},
    {DP_TAG_FOLDER_Add, "4", "0", "Notes", "10"},
    {DP_TAG_FOLDER_Add, "RI", "0", "Recipients", "19"},
};

static bool is_watched(const char *id)
{
    const dp_phone_folder *f = dp_phone_find(&phone, dp_span_str(id));
    return f && f->is_watched;
}

static void the_first_foldersync_lists_all(void **state)
{
    dp_folder_sync_result r = folder_sync("1", "k1", ALL, 5);
    assert_int_equal(r.status, 1);
    assert_int_equal(r.added, 5);
    assert_int_equal(phone.folders_n, 5);
    assert_string_equal(phone.hierarchy_key.p, "k1");
}

static void later_ones_are_differences(void **state)
{
    static const listed changes[] = {
        {DP_TAG_FOLDER_Update, "2", "0", "News", "12"},
        {DP_TAG_FOLDER_Delete, "3", NULL, NULL, NULL},
        {DP_TAG_FOLDER_Add, "9", "0", "New", "12"},
        {DP_TAG_FOLDER_Delete, "unknown", NULL, NULL, NULL}};
    folder_sync("1", "k1", ALL, 5);
    dp_folder_sync_result r = folder_sync("1", "k2", changes, 4);
    assert_int_equal(r.added, 1);
    assert_int_equal(r.updated, 1);
    assert_int_equal(r.deleted, 1);
    assert_int_equal(phone.folders_n, 5);
    assert_string_equal(dp_phone_find(&phone, DP_SPAN_LIT("2"))->name.p,
                        "News");
    assert_null(dp_phone_find(&phone, DP_SPAN_LIT("3")));
}

static void
beginning_anew_keeps_the_keys_but_syncs_what_is_watched(void **state)
{
    folder_sync("1", "k1", ALL, 5);
    dp_buf_set(&dp_phone_find(&phone, DP_SPAN_LIT("1"))->key,
               DP_SPAN_LIT("s7"));
    dp_buf_set(&phone.hierarchy_key, DP_SPAN_LIT("0"));
    folder_sync("1", "k9", ALL, 2);
    assert_int_equal(phone.folders_n, 2);
    dp_phone_choose(&phone);
    assert_string_equal(dp_phone_find(&phone, DP_SPAN_LIT("1"))->key.p, "s7");
    assert_true(dp_phone_find(&phone, DP_SPAN_LIT("1"))->needs_sync);
    assert_false(dp_phone_find(&phone, DP_SPAN_LIT("2"))->needs_sync);
}

static void a_refused_foldersync_changes_nothing(void **state)
{
    folder_sync("1", "k1", ALL, 5);
    assert_int_equal(folder_sync("9", "k2", ALL, 1).status, 9);
    assert_int_equal(phone.folders_n, 5);
    assert_string_equal(phone.hierarchy_key.p, "k1");
    dp_folder_sync_result r =
        dp_phone_folder_sync_take(&phone, DP_SPAN_LIT("not wbxml"));
    assert_int_equal(r.status, 0);
    assert_int_equal(dp_phone_folder_sync_take(&phone, (dp_span){0}).status, 0);
    assert_int_equal(phone.folders_n, 5);
}

static void a_phone_watches_the_inbox_and_the_other_classes(void **state)
{
    folder_sync("1", "k1", ALL, 5);
    assert_int_equal(dp_phone_choose(&phone), 3);
    assert_true(is_watched("1"));
    assert_false(is_watched("2"));
    assert_true(is_watched("3"));
    assert_true(is_watched("4"));
    assert_false(is_watched("RI"));
    phone.version = 121; /* which knows no notes */
    assert_int_equal(dp_phone_choose(&phone), 2);
    assert_false(is_watched("4"));
}

static void filters_are_names_paths_classes_and_ids(void **state)
{
    static const struct {
        const char *filter;
        size_t n;
        const char *watched;
    } cases[] = {{"inbox", 1, "1"},    {"Inbox/lists", 1, "2"},
                 {"calendar", 1, "3"}, {"email", 2, "2"},
                 {"2", 1, "2"},        {"*", 4, "4"},
                 {"nothing", 0, NULL}, {"RI", 0, NULL}};
    folder_sync("1", "k1", ALL, 5);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        phone.filters = &cases[i].filter;
        phone.filters_n = 1;
        assert_int_equal(dp_phone_choose(&phone), cases[i].n);
        assert_true(!cases[i].watched || is_watched(cases[i].watched));
    }
}

static void parents_in_a_circle_end(void **state)
{
    static const listed circle[] = {{DP_TAG_FOLDER_Add, "a", "b", "A", "12"},
                                    {DP_TAG_FOLDER_Add, "b", "a", "B", "12"}};
    const char *filter = "B/A";
    folder_sync("1", "k1", circle, 2);
    phone.filters = &filter;
    phone.filters_n = 1;
    assert_int_equal(dp_phone_choose(&phone), 0);
}

static void ignore(void *ctx, const dp_item *item)
{
    (*(unsigned *)ctx)++;
}

static dp_sync_result sync_answer(dp_phone_folder *f, const char *id,
                                  const char *key, const char *status,
                                  bool has_more, unsigned *out_items)
{
    unsigned char buf[512];
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collections);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collection);
    leaf(&w, DP_TAG_AIRSYNC_SyncKey, key);
    leaf(&w, DP_TAG_AIRSYNC_CollectionId, id);
    leaf(&w, DP_TAG_AIRSYNC_Status, status);
    if (has_more) {
        dp_wbxml_write_empty(&w, DP_TAG_AIRSYNC_MoreAvailable);
    }
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Commands);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Add);
    leaf(&w, DP_TAG_AIRSYNC_ServerId, "x");
    for (int i = 0; i < 5; i++) {
        dp_wbxml_write_close(&w);
    }
    assert_true(dp_wbxml_write_is_ok(&w));
    *out_items = 0;
    return dp_phone_sync_take(f, dp_span_of(buf, w.n), ignore, out_items);
}

static void a_sync_moves_the_key_and_brings_items(void **state)
{
    unsigned items;
    folder_sync("1", "k1", ALL, 5);
    dp_phone_folder *f = dp_phone_find(&phone, DP_SPAN_LIT("1"));
    dp_sync_result r = sync_answer(f, "1", "s1", "1", true, &items);
    assert_false(r.is_bad);
    assert_true(r.is_there && r.has_more && r.has_moved && r.was_first);
    assert_string_equal(f->key.p, "s1");
    assert_int_equal(items, 1);
}

static void only_status_1_of_this_folder_moves_its_key(void **state)
{
    unsigned items;
    folder_sync("1", "k1", ALL, 5);
    dp_phone_folder *f = dp_phone_find(&phone, DP_SPAN_LIT("1"));
    assert_int_equal(sync_answer(f, "1", "s1", "3", false, &items).status, 3);
    assert_int_equal(items, 0);
    assert_false(sync_answer(f, "2", "s1", "1", false, &items).is_there);
    sync_answer(f, "1", "0", "1", false, &items);
    sync_answer(f, "1", NULL, "1", false, &items);
    assert_string_equal(f->key.p, "0");
    assert_true(
        dp_phone_sync_take(f, DP_SPAN_LIT("\3\1j"), ignore, &items).is_bad);
    assert_false(dp_phone_sync_take(f, (dp_span){0}, ignore, &items).is_bad);
    assert_string_equal(f->key.p, "0");
}

static void a_ping_names_watched_folders_that_have_a_key(void **state)
{
    static const unsigned char expected[] = {
        0x03, 0x01, 0x6a, 0x00, 0x00, 0x0d, 0x45, 0x48, 0x03, '4',  '8',
        '0',  0x00, 0x01, 0x49, 0x4a, 0x4b, 0x03, '1',  0x00, 0x01, 0x4c,
        0x03, 'E',  'm',  'a',  'i',  'l',  0x00, 0x01, 0x01, 0x01, 0x01};
    unsigned items;
    dp_buf body = {0};
    folder_sync("1", "k1", ALL, 5);
    dp_phone_choose(&phone);
    assert_int_equal(dp_phone_ping_body(&phone, DP_PING_FULL, 480, &body), 0);
    sync_answer(dp_phone_find(&phone, DP_SPAN_LIT("1")), "1", "s1", "1", false,
                &items);
    assert_int_equal(dp_phone_ping_body(&phone, DP_PING_FULL, 480, &body), 1);
    assert_int_equal(body.n, sizeof(expected));
    assert_memory_equal(body.p, expected, sizeof(expected));
    assert_int_equal(dp_phone_ping_body(&phone, DP_PING_EMPTY, 480, &body), 1);
    assert_int_equal(body.n, 0);
    dp_phone_ping_body(&phone, DP_PING_HEARTBEAT_ONLY, 480, &body);
    assert_int_equal(body.n, 15);
    dp_buf_free(&body);
}

static void provision_speaks_the_numbers_of_the_specification(void **state)
{
    unsigned char body[DP_PROVISION_BODY_MAX];
    static const unsigned char acknowledge[] = {
        0x03, 0x01, 0x6a, 0x00, 0x00, 0x0e, 0x45, 0x46, 0x47, 0x48, 0x03,
        'M',  'S',  '-',  'E',  'A',  'S',  '-',  'P',  'r',  'o',  'v',
        'i',  's',  'i',  'o',  'n',  'i',  'n',  'g',  '-',  'W',  'B',
        'X',  'M',  'L',  0x00, 0x01, 0x49, 0x03, '7',  0x00, 0x01, 0x4b,
        0x03, '1',  0x00, 0x01, 0x01, 0x01, 0x01};
    size_t n = dp_provision_acknowledge(body, 141, 7);
    assert_int_equal(n, sizeof(acknowledge));
    assert_memory_equal(body, acknowledge, n);
    n = dp_provision_ask(body, 141, "t");
    assert_memory_equal(body, "\x03\x01\x6a\x00\x00\x0e\x45\x00\x12\x56", 10);
    n = dp_provision_ask(body, 121, "t");
    assert_memory_equal(body, "\x03\x01\x6a\x00\x00\x0e\x45\x46\x47\x48", 10);
}

static void a_policy_is_read(void **state)
{
    static const unsigned char answer[] = {
        0x03, 0x01, 0x6a, 0x00, 0x00, 0x0e, 0x45, 0x4b, 0x03, '1',
        0x00, 0x01, 0x46, 0x47, 0x4b, 0x03, '1',  0x00, 0x01, 0x49,
        0x03, '4',  '2',  0x00, 0x01, 0x4a, 0x4d, 0x4e, 0x03, '0',
        0x00, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01};
    dp_provision p;
    assert_true(dp_provision_parse(dp_span_of(answer, sizeof(answer)), &p));
    assert_int_equal(p.status, 1);
    assert_int_equal(p.policy_status, 1);
    assert_true(p.has_key && !p.orders_wipe);
    assert_int_equal(p.key, 42);
    for (size_t n = 0; n < sizeof(answer); n++) {
        assert_false(dp_provision_parse(dp_span_of(answer, n), &p));
    }
}

static void a_wipe_is_an_order(void **state)
{
    dp_provision p;
    assert_true(
        dp_provision_parse(DP_SPAN_LIT("\x03\x01\x6a\x00\x00\x0e\x45\x4b\x03"
                                       "1\x00\x01\x0c\x01"),
                           &p));
    assert_true(p.orders_wipe);
}

#define PHONE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PHONE_TEST(the_first_foldersync_lists_all),
        PHONE_TEST(later_ones_are_differences),
        PHONE_TEST(beginning_anew_keeps_the_keys_but_syncs_what_is_watched),
        PHONE_TEST(a_refused_foldersync_changes_nothing),
        PHONE_TEST(a_phone_watches_the_inbox_and_the_other_classes),
        PHONE_TEST(filters_are_names_paths_classes_and_ids),
        PHONE_TEST(parents_in_a_circle_end),
        PHONE_TEST(a_sync_moves_the_key_and_brings_items),
        PHONE_TEST(only_status_1_of_this_folder_moves_its_key),
        PHONE_TEST(a_ping_names_watched_folders_that_have_a_key),
        cmocka_unit_test(provision_speaks_the_numbers_of_the_specification),
        cmocka_unit_test(a_policy_is_read),
        cmocka_unit_test(a_wipe_is_an_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
