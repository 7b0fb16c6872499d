/* eas_folders: the hierarchy as FolderSync tells it, and single folders. */
#include "test_eas_support.h"

#include <stdlib.h>

#include "wire/eas_folders.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

static void log_change(void *ctx, const dp_folder_change *c)
{
    wire_log_add(ctx, "[%c ", "AUD"[c->op]);
    wire_log_span(ctx, c->id);
    wire_log_add(ctx, " in ");
    wire_log_span(ctx, c->parent);
    wire_log_add(ctx, " '");
    wire_log_span(ctx, c->name);
    wire_log_add(ctx, "' type=%u odd=%d]\n", c->type, c->is_odd);
}

static bool feed(void *p, dp_span chunk)
{
    return dp_folders_feed(p, chunk);
}

static void log_folders(dp_span body, size_t chunk_n, wire_log *log)
{
    dp_folders_parser p;

    dp_folders_init(&p, log_change, log);
    wire_feed(body, chunk_n, feed, &p);
    wire_log_add(log, "%s status=%u key=", dp_cmd_name(p.root), p.status);
    wire_log_span(log, dp_span_of(p.key, p.key_n));
    wire_log_add(log, " n=%zu", p.changes_n);
    if (p.is_whole && p.id_n + p.parent_n + p.name_n + p.type > 0) {
        wire_log_add(log, " id=");
        wire_log_span(log, dp_span_of(p.id, p.id_n));
        wire_log_add(log, " parent=");
        wire_log_span(log, dp_span_of(p.parent, p.parent_n));
        wire_log_add(log, " name=");
        wire_log_span(log, dp_span_of(p.name, p.name_n));
        wire_log_add(log, " type=%u", p.type);
    }
    wire_log_add(log, " odd=%d whole=%d bad=%d", p.is_odd, p.is_whole,
                 p.is_bad);
}

static void assert_outcome(const char *name, dp_span body, const char *expected)
{
    wire_log log = {.text = NULL};

    wire_check_body(log_folders, name, body);
    log_folders(body, body.n, &log);
    assert_string_equal(log.text, expected);
    wire_log_free(&log);
    free((void *)body.p);
}

static void assert_captured(const char *name, const char *expected)
{
    assert_outcome(name, wire_capture(name), expected);
}

static void assert_hex(const char *hex, const char *expected)
{
    assert_outcome(hex, wire_unhex(hex), expected);
}

/* ---- captures ---- */

static void the_hierarchy_of_sogo_is_told(void **state)
{
    assert_captured(
        "sogo/07-foldersync-initial.resp",
        "[A mail%2Fa139c21dfa82036bd80c000083ecc375 in 0 'INBOX' type=2 "
        "odd=0]\n"
        "[A mail%2Fa039c21dfa82036bd80c000083ecc375 in 0 'Drafts' type=3 "
        "odd=0]\n"
        "[A mail%2Fd8ecef1dfa82036bd80c000083ecc375 in 0 'Sent' type=5 odd=0]\n"
        "[A mail%2Ff84a171efa82036bd80c000083ecc375 in 0 'Trash' type=4 "
        "odd=0]\n"
        "[A mail%2F28d63d1efa82036bd80c000083ecc375 in 0 'Junk' type=12 "
        "odd=0]\n"
        "[A mail%2F5ca9931dfa82036bd80c000083ecc375 in 0 'Templates' type=12 "
        "odd=0]\n"
        "[A vevent%2Fpersonal in 0 'Personal Calendar' type=8 odd=0]\n"
        "[A vtodo%2Fpersonal in 0 'Personal Calendar' type=7 odd=0]\n"
        "[A vcard%2Fpersonal in 0 'Personal Address Book' type=9 odd=0]\n"
        "FolderSync status=1 key=vm_9b1_30b3ba29_1 n=9 odd=0 whole=1 bad=0");
}

static void the_hierarchy_of_zpush_is_told(void **state)
{
    assert_captured(
        "zpush/07b-foldersync-initial.resp",
        "[A 2edb5446 in 0 'Inbox' type=2 odd=0]\n"
        "[A d0d339dd in 0 'Templates' type=12 odd=0]\n"
        "[A 25033f22 in 0 'Drafts' type=3 odd=0]\n"
        "[A 6021c01c in 0 'Sent' type=5 odd=0]\n"
        "[A d7d84ed4 in 0 'Trash' type=4 odd=0]\n"
        "[A ea43f91e in 0 'Junk' type=12 odd=0]\n"
        "FolderSync status=1 key={7818796c-31f3-445b-9fb6-9a04227a21ce}1 n=6 "
        "odd=0 whole=1 bad=0");
}

static void requests_and_answers_without_changes_are_read(void **state)
{
    assert_captured("sogo/07-foldersync-initial.req",
                    "FolderSync status=0 key=0 n=0 odd=0 whole=1 bad=0");
    assert_captured("sogo/08-foldersync-empty.resp",
                    "FolderSync status=1 key=vm_9b1_30b3ba29_1 n=0 odd=0 "
                    "whole=1 bad=0");
    /* SOGo takes a key that it never gave for a good one */
    assert_captured("sogo/09-foldersync-bad-key.resp",
                    "FolderSync status=1 key=bogus-1 n=0 odd=0 whole=1 bad=0");
    assert_captured("zpush/09-foldersync-bad-key.resp",
                    "FolderSync status=9 key= n=0 odd=0 whole=1 bad=0");
    assert_captured("zpush/11-sync-mail.resp",
                    " status=0 key= n=0 odd=0 whole=0 bad=1");
}

static void every_capture_reads_the_same_in_any_chunking(void **state)
{
    wire_check_chunkings(log_folders);
    wire_check_mutations(log_folders);
}

static void cut_off_captures_are_not_whole(void **state)
{
    assert_true(wire_check_truncations(log_folders, "whole=1") >= 12);
}

/* ---- FolderSync ---- */

static void the_vector_of_a_request_is_read(void **state)
{
    assert_hex("03 01 6a 00 00 07 56 52 03 30 00 01 01",
               "FolderSync status=0 key=0 n=0 odd=0 whole=1 bad=0");
}

static void changes_are_told_in_any_order_of_their_elements(void **state)
{
    assert_hex("03016a00 0007 56 4e 57 0333 00 01"
               "4f 4a 0332 00 01 47 034e 00 01 49 0330 00 01 48 0361 00 01 01"
               "51 48 0362 00 01 49 0361 00 01 47 034d 00 01 4a 033132 00 01 01"
               "50 48 0363 00 01 01"
               "01 52 0337 00 01 4c 0331 00 01 01",
               "[A a in 0 'N' type=2 odd=0]\n"
               "[U b in a 'M' type=12 odd=0]\n"
               "[D c in  '' type=0 odd=0]\n"
               "FolderSync status=1 key=7 n=3 odd=0 whole=1 bad=0");
}

static void nothing_is_left_over_from_the_change_before(void **state)
{
    assert_hex("03016a00 0007 56 4e"
               "4f 48 0361 00 01 49 0330 00 01 47 034e 00 01 4a 0332 00 01 01"
               "51 48 0362 00 01 01 0f"
               "01 01",
               "[A a in 0 'N' type=2 odd=0]\n"
               "[U b in  '' type=0 odd=0]\n"
               "[A  in  '' type=0 odd=1]\n"
               "FolderSync status=0 key= n=3 odd=0 whole=1 bad=0");
}

static void a_change_with_something_twice_is_odd_and_only_that(void **state)
{
    assert_hex("03016a00 0007 56 4e"
               "4f 48 0361 00 01 48 0362 00 01 01"
               "50 48 0363 00 01 01"
               "4f 48 0364 00 01 4a 0378 00 01 01"
               "01 01",
               "[A b in  '' type=0 odd=1]\n"
               "[D c in  '' type=0 odd=0]\n"
               "[A d in  '' type=0 odd=1]\n"
               "FolderSync status=0 key= n=3 odd=0 whole=1 bad=0");
}

static void names_are_passed_on_whatever_is_in_them(void **state)
{
    assert_hex("03016a00 0007 56 4e 4f 48 0361 00 01 47 032e2e2f 00 c301 00 "
               "03c3a4 00 01 01 01 01",
               "[A a in  '../\\x00\\xc3\\xa4' type=0 odd=0]\n"
               "FolderSync status=0 key= n=1 odd=0 whole=1 bad=0");
}

static void a_folder_under_the_root_of_a_foldersync_is_nothing(void **state)
{
    assert_hex("03016a00 0007 56 48 0361 00 01 4a 0332 00 01 01",
               "FolderSync status=0 key= n=0 odd=0 whole=1 bad=0");
    assert_hex(
        "03016a00 0007 56 48 0361 00 01 4a 0332 00 01 4e 4f 47 034e 00 01 "
        "01 01 01",
        "[A  in  'N' type=0 odd=1]\n"
        "FolderSync status=0 key= n=1 odd=0 whole=1 bad=0");
}

static void a_status_within_a_change_is_not_that_of_the_whole(void **state)
{
    assert_hex(
        "03016a00 0007 56 4c 0331 00 01 4e 4f 4c 0339 00 01 52 0338 00 01 "
        "48 0361 00 01 01 01 01",
        "[A a in  '' type=0 odd=0]\n"
        "FolderSync status=1 key= n=1 odd=0 whole=1 bad=0");
}

static void a_status_or_key_that_is_there_twice_is_odd(void **state)
{
    assert_hex("03016a00 0007 56 4c 0331 00 01 4c 0339 00 01 01",
               "FolderSync status=9 key= n=0 odd=1 whole=1 bad=0");
    assert_hex("03016a00 0007 56 52 0331 00 01 52 0332 00 01 01",
               "FolderSync status=0 key=2 n=0 odd=1 whole=1 bad=0");
}

/* ---- FolderCreate, FolderUpdate, FolderDelete ---- */

static void the_other_three_are_about_one_folder(void **state)
{
    assert_hex("03016a00 0007 53 52 0337 00 01 49 0330 00 01 47 034e 00 01 "
               "4a 033132 00 01 01",
               "FolderCreate status=0 key=7 n=0 id= parent=0 name=N type=12 "
               "odd=0 whole=1 bad=0");
    assert_hex("03016a00 0007 53 4c 0331 00 01 52 0338 00 01 48 0361 00 01 01",
               "FolderCreate status=1 key=8 n=0 id=a parent= name= type=0 "
               "odd=0 whole=1 bad=0");
    assert_hex("03016a00 0007 55 52 0338 00 01 48 0361 00 01 49 0362 00 01 "
               "47 034d 00 01 01",
               "FolderUpdate status=0 key=8 n=0 id=a parent=b name=M type=0 "
               "odd=0 whole=1 bad=0");
    assert_hex("03016a00 0007 54 52 0339 00 01 48 0361 00 01 01",
               "FolderDelete status=0 key=9 n=0 id=a parent= name= type=0 "
               "odd=0 whole=1 bad=0");
}

static void changes_in_one_of_the_three_are_odd_and_not_told(void **state)
{
    assert_hex("03016a00 0007 53 4e 4f 48 0361 00 01 01 01 01",
               "FolderCreate status=0 key= n=0 odd=1 whole=1 bad=0");
}

static void another_root_is_bad(void **state)
{
    assert_hex("03016a00 56 01", " status=0 key= n=0 odd=0 whole=0 bad=1");
    assert_hex("03016a00 0007 45 01", " status=0 key= n=0 odd=0 whole=0 bad=1");
}

/* ---- limits ---- */

/** A FolderCreate, or a FolderSync with one Add, with a text of `n` bytes. */
static void assert_length(bool is_sync, dp_wbxml_tag tag, size_t n, bool is_odd)
{
    static unsigned char text[4096], buf[8192];
    wire_log log = {.text = NULL};
    dp_wbxml_writer w;

    memset(text, 't', sizeof(text));
    dp_wbxml_write_init(&w, buf, sizeof(buf));
    dp_wbxml_write_open(&w, is_sync ? DP_TAG_FOLDER_FolderSync
                                    : DP_TAG_FOLDER_FolderCreate);
    if (is_sync) {
        dp_wbxml_write_open(&w, DP_TAG_FOLDER_Changes);
        dp_wbxml_write_open(&w, DP_TAG_FOLDER_Add);
    }
    dp_wbxml_write_leaf(&w, tag, dp_span_of(text, n));
    if (tag != DP_TAG_FOLDER_ServerId) {
        dp_wbxml_write_leaf(&w, DP_TAG_FOLDER_ServerId, DP_SPAN_LIT("a"));
    }
    for (int i = 0; i < (is_sync ? 3 : 1); i++) {
        dp_wbxml_write_close(&w);
    }
    wire_check_body(log_folders, "long text", dp_span_of(buf, w.n));
    log_folders(dp_span_of(buf, w.n), w.n, &log);
    assert_int_equal(strstr(log.text, "odd=1") != NULL, is_odd);
    assert_non_null(strstr(log.text, "whole=1"));
    wire_log_free(&log);
}

static void texts_that_do_not_fit_are_odd(void **state)
{
    assert_length(false, DP_TAG_FOLDER_SyncKey, DP_SYNC_KEY_MAX, false);
    assert_length(false, DP_TAG_FOLDER_SyncKey, DP_SYNC_KEY_MAX + 1, true);
    assert_length(false, DP_TAG_FOLDER_DisplayName, 4000, true);
    for (int is_sync = 0; is_sync < 2; is_sync++) {
        assert_length(is_sync, DP_TAG_FOLDER_ServerId, DP_COLLECTION_ID_MAX,
                      false);
        assert_length(is_sync, DP_TAG_FOLDER_ServerId, DP_COLLECTION_ID_MAX + 1,
                      true);
        assert_length(is_sync, DP_TAG_FOLDER_ParentId, DP_COLLECTION_ID_MAX + 1,
                      true);
        assert_length(is_sync, DP_TAG_FOLDER_DisplayName, DP_FOLDER_NAME_MAX,
                      false);
        assert_length(is_sync, DP_TAG_FOLDER_DisplayName,
                      DP_FOLDER_NAME_MAX + 1, true);
    }
}

static void ten_thousand_levels_are_bad(void **state)
{
    assert_outcome("deep", wire_deep_body(DP_PAGE_FOLDER, 0x56, 0x4E),
                   "FolderSync status=0 key= n=0 odd=0 whole=0 bad=1");
}

static void ten_megabytes_of_changes_take_no_memory(void **state)
{
    static const unsigned char deletion[] = {0x50, 0x48, 0x03, 'a',
                                             0x00, 0x01, 0x01};
    size_t n = (10 << 20) / sizeof(deletion);
    dp_folders_parser p;

    dp_folders_init(&p, NULL, NULL);
    assert_true(
        dp_folders_feed(&p, DP_SPAN_LIT("\x03\x01\x6A\0\0\x07\x56\x4E")));
    for (size_t i = 0; i < n; i++) {
        assert_true(
            dp_folders_feed(&p, dp_span_of(deletion, sizeof(deletion))));
    }
    assert_true(dp_folders_feed(&p, DP_SPAN_LIT("\x01\x01")));
    assert_true(p.is_whole);
    assert_int_equal(p.changes_n, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hierarchy_of_sogo_is_told),
        cmocka_unit_test(the_hierarchy_of_zpush_is_told),
        cmocka_unit_test(requests_and_answers_without_changes_are_read),
        cmocka_unit_test(every_capture_reads_the_same_in_any_chunking),
        cmocka_unit_test(cut_off_captures_are_not_whole),
        cmocka_unit_test(the_vector_of_a_request_is_read),
        cmocka_unit_test(changes_are_told_in_any_order_of_their_elements),
        cmocka_unit_test(nothing_is_left_over_from_the_change_before),
        cmocka_unit_test(a_change_with_something_twice_is_odd_and_only_that),
        cmocka_unit_test(names_are_passed_on_whatever_is_in_them),
        cmocka_unit_test(a_folder_under_the_root_of_a_foldersync_is_nothing),
        cmocka_unit_test(a_status_within_a_change_is_not_that_of_the_whole),
        cmocka_unit_test(a_status_or_key_that_is_there_twice_is_odd),
        cmocka_unit_test(the_other_three_are_about_one_folder),
        cmocka_unit_test(changes_in_one_of_the_three_are_odd_and_not_told),
        cmocka_unit_test(another_root_is_bad),
        cmocka_unit_test(texts_that_do_not_fit_are_odd),
        cmocka_unit_test(ten_thousand_levels_are_bad),
        cmocka_unit_test(ten_megabytes_of_changes_take_no_memory),
    };

    return cmocka_run_group_tests_name("eas_folders", tests, NULL, NULL);
}
