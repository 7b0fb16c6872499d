/* learn: what a phone or a backend sends to do harm. Nothing of it may crash,
 * fill memory, or be believed. */
#include "test_device_support.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "wire/wbxml_tokens.h"

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Under a sanitizer malloc's own numbers are zero: then this says nothing. */
static void expect_memory_below(size_t before, size_t bound)
{
    size_t now = in_use();
    if (now > before && now - before > bound) {
        fail_msg("%zu bytes are held by one exchange", now - before);
    }
}

static void captures_with_damage_are_taken(void **state)
{
    lab *l = *state;
    unsigned seed = 99;
    lab_coll list[] = {{.id = "5", .key = "k1", .class_name = "Email",
                        .adds = 2, .status = 1},
                       {.id = "6", .key = "j1", .status = 1, .ok = 1,
                        .bad = 1}};
    lab_bus(l);
    lab_topic(l, DP_CLASS_EMAIL, "*");
    for (int round = 0; round < 3000; round++) {
        lab_body *q = lab_sync(false, 0, false, list, 2);
        lab_body *r = round % 3 ? lab_sync(true, 0, false, list, 2)
                                : lab_foldersync_response(1, "h", NULL, 0);
        for (int i = 0; i < 3; i++) {
            seed = seed * 1103515245u + 12345;
            lab_body *b = seed >> 8 & 1 ? q : r;
            b->bytes[(seed >> 16) % b->n] ^= (unsigned char)(seed >> 9);
        }
        static const dp_cmd cmds[] = {DP_CMD_SYNC, DP_CMD_FOLDERSYNC,
                                      DP_CMD_FOLDERCREATE, DP_CMD_MOVEITEMS,
                                      DP_CMD_PING, DP_CMD_PROVISION,
                                      DP_CMD_SETTINGS};
        lab_exchange(l, round % 2 ? DP_CMD_SYNC : cmds[round % 7], q, 200, r);
        assert_true(lab_mark(l, "5") <= lab_head(l));
    }
}

static dp_span gzip_of(dp_span clear)
{
    z_stream z = {0};
    size_t cap = clear.n / 100 + 65536;
    unsigned char *out = malloc(cap);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8,
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

static void a_compressed_ocean_of_collections_stays_small(void **state)
{
    lab *l = *state;
    enum { COLLS = 50000, ROOM = 32 << 20 };
    /* Collections of the longest ids and keys, written by hand */
    unsigned char *p = malloc(ROOM), *at = p;
    static const unsigned char head[] = {3, 1, 0x6a, 0, 0x45, 0x5c};
    memcpy(at, head, sizeof(head));
    at += sizeof(head);
    for (int i = 0; i < COLLS; i++) {
        *at++ = 0x4f; /* Collection */
        *at++ = 0x4b; /* SyncKey */
        *at++ = 3;
        memset(at, 'k', 250);
        at += 250;
        *at++ = 0;
        *at++ = 1;
        *at++ = 0x52; /* CollectionId */
        *at++ = 3;
        memset(at, 'i', 240);
        at += 240;
        at += sprintf((char *)at, "%d", i);
        *at++ = 0;
        *at++ = 1;
        *at++ = 1;
    }
    *at++ = 1;
    *at++ = 1;
    dp_span clear = dp_span_of(p, (size_t)(at - p));
    dp_span body = gzip_of(clear);
    assert_true(body.n < clear.n / 50);
    size_t before = in_use();
    lab_begin(l, DP_CMD_SYNC);
    dp_exchange_request_coding(l->x, DP_TAP_GZIP);
    lab_request(l, body);
    expect_memory_below(before, 512 << 10);
    lab_answer(l, 200, S(""));
    lab_conclude(l, true);
    assert_int_equal(l->out.wants_n, 0);
    assert_int_equal(l->out.ids_n, 0);
    free((void *)(uintptr_t)body.p);
    free(p);
}

static void a_long_ping_is_not_kept(void **state)
{
    lab *l = *state;
    static unsigned char zeros[1 << 20];
    size_t before = in_use();
    dp_ping_params p;
    lab_begin(l, DP_CMD_PING);
    for (int i = 0; i < 16; i++) {
        dp_exchange_request_bytes(l->x, dp_span_of(zeros, sizeof(zeros)));
    }
    dp_exchange_request_end(l->x);
    expect_memory_below(before, 512 << 10);
    lab_body *r = lab_ping_response(1);
    lab_answer(l, 200, lab_span(r));
    lab_conclude(l, true);
    assert_false(dp_ping_params_get(l->store, NULL, &l->who, &p));
    free(r);
}

static void moves_between_countless_folders_stay_small(void **state)
{
    lab *l = *state;
    unsigned char one[] = {0x46,                    /* Move */
                           0x48, 3, 'v', 'e', 'v', 'e', 'n', 't', '/',
                           '0', '0', '0', '0', '0', 0, 1,
                           0x49, 3, 'x', 0, 1, 1};
    static const unsigned char head[] = {3, 1, 0x6a, 0, 0, 5, 0x45};
    static const unsigned char yes[] = {3, 1, 0x6a, 0, 0, 5, 0x45, 0x4a,
                                        0x4b, 3, '3', 0, 1, 1, 1};
    size_t before = in_use();
    lab_begin(l, DP_CMD_MOVEITEMS);
    dp_exchange_request_bytes(l->x, dp_span_of(head, sizeof(head)));
    for (int i = 0; i < 20000; i++) {
        char digits[16];
        snprintf(digits, sizeof(digits), "%05d", i);
        memcpy(one + 10, digits, 5);
        dp_exchange_request_bytes(l->x, dp_span_of(one, sizeof(one)));
    }
    dp_exchange_request_bytes(l->x, S("\1"));
    dp_exchange_request_end(l->x);
    expect_memory_below(before, 512 << 10);
    lab_answer(l, 200, dp_span_of(yes, sizeof(yes)));
    lab_conclude(l, true);
    assert_true(l->out.uploads_n > 0 && l->out.uploads_n <= 64);
}

static void ids_full_of_traps_become_no_topics(void **state)
{
    lab *l = *state;
    static const char *const ids[] = {
        "vevent/../../etc", "vevent/..%2f..", "mail/../../../etc/passwd",
        "vcard/%00", "vtodo/%0d%0a", "vevent/%09x", "vevent/.",
        "vevent/a%2fb", "mail%2F%2F", "%2e%2e%2f"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        lab_coll c = {.id = ids[i], .key = "k", .class_name = "Email"};
        lab_sync_one(l, &c, NULL);
        for (size_t k = 0; k < l->out.wants_n; k++) {
            assert_true(dp_span_is(l->out.wants[k].folder, S("*")));
        }
    }
}

static void a_stranger_with_somebodys_device_id_changes_nothing(void **state)
{
    lab *l = *state;
    static const lab_folder inbox[] = {{'A', "5", "0", "Inbox", 2}};
    static const char *const ids[] = {"5"};
    lab_coll c = {.id = "5", .key = "k1", .class_name = "Email"};
    lab_bus(l);
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("0"), 200,
                 lab_foldersync_response(1, "h1", inbox, 1));
    lab_sync_one(l, &c, NULL);
    lab_exchange(l, DP_CMD_PING, lab_ping(600, ids, 1), 200,
                 lab_ping_response(1));
    dp_coll_state st = lab_state(l, "5");
    dp_hier_state hier = lab_hier(l);

    static const int codes[] = {401, 403, 449, 400, 500, 503, 302};
    static const dp_cmd cmds[] = {DP_CMD_SYNC, DP_CMD_FOLDERSYNC, DP_CMD_PING,
                                  DP_CMD_PROVISION, DP_CMD_FOLDERDELETE,
                                  DP_CMD_MOVEITEMS, DP_CMD_SETTINGS};
    l->had_proof = false;
    lab_coll other = {.id = "5", .key = "stolen"};
    for (size_t i = 0; i < 7; i++) {
        for (size_t k = 0; k < 7; k++) {
            lab_exchange(l, cmds[k],
                         cmds[k] == DP_CMD_SYNC
                             ? lab_sync(false, 0, false, &other, 1)
                             : lab_foldersync("stolen"),
                         codes[i], NULL);
            assert_false(l->out.is_refused);
            assert_int_equal(l->out.wants_n + l->out.uploads_n + l->out.ids_n,
                             0);
        }
    }
    dp_coll_state st_now = lab_state(l, "5");
    dp_hier_state hier_now = lab_hier(l);
    dp_ping_params p;
    assert_memory_equal(&st, &st_now, sizeof(st));
    assert_memory_equal(&hier, &hier_now, sizeof(hier));
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.heartbeat_s, 600);
    dp_ping_params_free(&p);
    assert_false(dp_refused_get(l->store, NULL, &l->who));
}

static void a_store_that_refuses_costs_no_more_than_marks(void **state)
{
    lab *l = *state;
    dp_store *tiny;
    lab_coll c = {.id = "5", .key = "k1", .class_name = "Email"};
    lab_bus(l);
    assert_int_equal(dp_store_ram_open_bounded(&tiny, 0, true), APR_SUCCESS);
    l->env.store = tiny;
    lab_sync_one(l, &c,
                 &(lab_coll){.id = "5", .key = "k2", .status = 1, .adds = 1});
    assert_int_equal(l->out.token, 0);
    assert_int_equal(l->out.ids_n, 0);
    assert_int_equal(l->out.wants_n, 0);
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &c, 1), 449, NULL);
    assert_true(l->out.is_refused); /* holds must end all the same */
    dp_exchange_free(&l->x);
    tiny->ops->close(tiny, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_RAM(captures_with_damage_are_taken),
        LAB_RAM(a_compressed_ocean_of_collections_stays_small),
        LAB_RAM(a_long_ping_is_not_kept),
        LAB_RAM(moves_between_countless_folders_stay_small),
        LAB_BOTH(ids_full_of_traps_become_no_topics),
        LAB_BOTH(a_stranger_with_somebodys_device_id_changes_nothing),
        LAB_RAM(a_store_that_refuses_costs_no_more_than_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
