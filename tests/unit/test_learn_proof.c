/* learn: what proves an Authorization, what disproves it, who is refused; and
 * passed Pings and moves. */
#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define AUTHORIZATION "Basic YWxpY2U6c2VjcmV0"

static dp_proof proof_of(lab *l)
{
    dp_time_us until;
    return dp_proof_get(l->store, NULL, l->proof_key, &l->who,
                        S(AUTHORIZATION), l->env.trust_us, l->now_us, &until);
}

static lab_body *bare(dp_wbxml_tag root, dp_wbxml_tag tag, const char *text)
{
    lab_body *b = calloc(1, sizeof(*b));
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, b->bytes, sizeof(b->bytes));
    dp_wbxml_write_open(&w, root);
    if (text) {
        dp_wbxml_write_leaf(&w, tag, S(text));
    }
    else if (tag) {
        dp_wbxml_write_empty(&w, tag);
    }
    dp_wbxml_write_close(&w);
    b->n = w.n;
    return b;
}

/* A stranger so far; the backend answers 200 and this. */
static bool proves(lab *l, dp_cmd cmd, lab_body *request, lab_body *response)
{
    l->had_proof = false;
    dp_proof_del(l->store, NULL, l->proof_key, &l->who, S(AUTHORIZATION));
    lab_exchange(l, cmd, request, 200, response);
    assert_int_equal(l->out.is_proof, proof_of(l) == DP_PROOF_GOOD);
    return l->out.is_proof;
}

static void a_body_that_reads_proves(void **state)
{
    lab *l = *state;
    static const struct {
        dp_cmd cmd;
        unsigned root, status;
    } cmds[] = {
        {DP_CMD_GETITEMESTIMATE, DP_TAG_ESTIMATE_GetItemEstimate,
         DP_TAG_ESTIMATE_Status},
        {DP_CMD_ITEMOPERATIONS, DP_TAG_ITEMOPS_ItemOperations,
         DP_TAG_ITEMOPS_Status},
        {DP_CMD_SETTINGS, DP_WBXML_TAG(18, 5), DP_WBXML_TAG(18, 6)},
        {DP_CMD_MOVEITEMS, DP_TAG_MOVE_MoveItems, DP_TAG_MOVE_Status},
        {DP_CMD_SYNC, DP_TAG_AIRSYNC_Sync, DP_TAG_AIRSYNC_Status},
        {DP_CMD_FOLDERSYNC, DP_TAG_FOLDER_FolderSync, DP_TAG_FOLDER_Status},
    };
    static const unsigned good[] = {1, 2, 13, 16, 110, 111, 125, 132, 138, 146},
                          bad[] = {112, 123, 126, 127, 128, 129, 130, 131,
                                   139, 140, 141, 142, 143, 144, 145, 177};
    char text[16];
    for (size_t c = 0; c < 6; c++) {
        dp_wbxml_tag root = (dp_wbxml_tag)cmds[c].root;
        dp_wbxml_tag status = (dp_wbxml_tag)cmds[c].status;
        assert_true(proves(l, cmds[c].cmd, NULL, bare(root, 0, NULL)));
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
            snprintf(text, sizeof(text), "%u", good[i]);
            assert_true(proves(l, cmds[c].cmd, NULL,
                               bare(root, status, text)));
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            snprintf(text, sizeof(text), "%u", bad[i]);
            assert_false(proves(l, cmds[c].cmd, NULL,
                                bare(root, status, text)));
            assert_false(l->out.is_refused); /* a stranger's */
        }
        /* another command's body, or none */
        assert_false(proves(l, cmds[c].cmd, NULL,
                            bare(DP_TAG_PING_Ping, 0, NULL)));
        assert_int_equal(proves(l, cmds[c].cmd, NULL, NULL),
                         cmds[c].cmd == DP_CMD_SYNC);
    }
}

static void other_commands_prove_nothing(void **state)
{
    lab *l = *state;
    assert_false(proves(l, DP_CMD_PROVISION, NULL,
                        bare(DP_TAG_PROVISION_Provision,
                             DP_TAG_PROVISION_Status, "1")));
    assert_false(proves(l, DP_CMD_NONE, NULL, NULL)); /* OPTIONS */
    assert_false(proves(l, DP_CMD_SENDMAIL, NULL, NULL));
    assert_false(proves(l, DP_CMD_SEARCH, NULL, NULL));
}

static void a_passed_ping_proves_by_1_and_2(void **state)
{
    lab *l = *state;
    static const char *const ids[] = {"5"};
    for (unsigned status = 1; status <= 8; status++) {
        assert_int_equal(proves(l, DP_CMD_PING, lab_ping(600, ids, 1),
                                lab_ping_response(status)),
                         status <= 2);
        assert_int_equal(l->out.passed_status, status);
    }
    assert_false(proves(l, DP_CMD_PING, NULL, NULL));
    assert_int_equal(l->out.passed_status, 0);
}

static void half_a_body_proves_nothing(void **state)
{
    lab *l = *state;
    l->had_proof = false;
    lab_begin(l, DP_CMD_SYNC);
    lab_request(l, S(""));
    lab_answer(l, 200, S(""));
    lab_conclude(l, false);
    assert_false(l->out.is_proof);
    lab_begin(l, DP_CMD_SYNC);
    lab_request(l, S(""));
    dp_exchange_response_begin(l->x, 200, DP_TAP_OPAQUE, -1);
    dp_exchange_response_bytes(l->x, S("brotli"));
    lab_conclude(l, true);
    assert_false(l->out.is_proof);
    lab_begin(l, DP_CMD_SYNC);
    lab_request(l, S(""));
    lab_conclude(l, true); /* no response at all */
    assert_false(l->out.is_proof);
}

static void errors_of_the_server_prove_neither(void **state)
{
    lab *l = *state;
    static const int codes[] = {204, 302, 400, 404, 449, 451, 500, 502, 503};
    l->had_proof = true;
    dp_proof_put(l->store, NULL, l->proof_key, &l->who, S(AUTHORIZATION),
                 l->now_us);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        lab_exchange(l, DP_CMD_SYNC, NULL, codes[i], NULL);
        assert_false(l->out.is_proof);
        assert_false(l->out.is_rejected);
        assert_int_equal(proof_of(l), DP_PROOF_GOOD);
    }
}

static void a_rejection_removes_that_proof_only(void **state)
{
    lab *l = *state;
    dp_time_us until;
    static const int codes[] = {401, 403};
    for (int i = 0; i < 2; i++) {
        dp_proof_put(l->store, NULL, l->proof_key, &l->who, S(AUTHORIZATION),
                     l->now_us);
        dp_proof_put(l->store, NULL, l->proof_key, &l->who, S("Basic other"),
                     l->now_us);
        l->had_proof = i;
        lab_exchange(l, DP_CMD_NONE, NULL, codes[i], NULL);
        assert_true(l->out.is_rejected);
        assert_int_equal(l->out.is_refused, i); /* a hold of his own ends */
        assert_int_equal(proof_of(l), DP_PROOF_NONE);
        assert_int_equal(dp_proof_get(l->store, NULL, l->proof_key, &l->who,
                                      S("Basic other"), l->env.trust_us,
                                      l->now_us, &until),
                         DP_PROOF_GOOD);
    }
}

static void a_device_that_was_proven_can_be_refused(void **state)
{
    lab *l = *state;
    l->had_proof = true;
    lab_exchange(l, DP_CMD_SYNC, NULL, 449, NULL);
    assert_true(l->out.is_refused);
    assert_true(dp_refused_get(l->store, NULL, &l->who));
    /* a Ping and a Provision that go well do not lift that */
    lab_exchange(l, DP_CMD_PING, NULL, 200, lab_ping_response(1));
    assert_true(l->out.is_proof);
    assert_true(dp_refused_get(l->store, NULL, &l->who));
    /* a Sync does */
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, NULL);
    assert_false(l->out.is_refused);
    assert_false(dp_refused_get(l->store, NULL, &l->who));

    static const unsigned statuses[] = {129, 130, 131, 140, 141, 142, 143,
                                        144, 145};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        lab_exchange(l, DP_CMD_SYNC, NULL, 200,
                     lab_sync(true, statuses[i], false, NULL, 0));
        assert_true(l->out.is_refused);
        assert_true(dp_refused_get(l->store, NULL, &l->who));
        lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h"), 200,
                     lab_foldersync_response(1, "h", NULL, 0));
        assert_false(dp_refused_get(l->store, NULL, &l->who));
    }
    lab_exchange(l, DP_CMD_PING, NULL, 200, lab_ping_response(140));
    assert_true(l->out.is_refused);
}

static void a_wipe_refuses(void **state)
{
    lab *l = *state;
    static const unsigned wipes[] = {DP_TAG_PROVISION_RemoteWipe,
                                     DP_TAG_PROVISION_AccountOnlyRemoteWipe};
    for (int i = 0; i < 2; i++) {
        dp_refused_set(l->store, NULL, &l->who, false);
        l->had_proof = false;
        lab_exchange(l, DP_CMD_PROVISION, NULL, 200,
                     bare(DP_TAG_PROVISION_Provision, (dp_wbxml_tag)wipes[i],
                          NULL));
        assert_false(dp_refused_get(l->store, NULL, &l->who));
        l->had_proof = true;
        lab_exchange(l, DP_CMD_PROVISION, NULL, 200,
                     bare(DP_TAG_PROVISION_Provision, (dp_wbxml_tag)wipes[i],
                          NULL));
        assert_true(l->out.is_refused);
        assert_true(dp_refused_get(l->store, NULL, &l->who));
    }
    dp_refused_set(l->store, NULL, &l->who, false);
    lab_exchange(l, DP_CMD_PROVISION, NULL, 200,
                 bare(DP_TAG_PROVISION_Provision, DP_TAG_PROVISION_Status,
                      "1"));
    assert_false(l->out.is_refused);
}

static void who_was_forgotten_meanwhile_is_not_brought_back(void **state)
{
    lab *l = *state;
    dp_hash him = {{1, 2}};
    lab_bus(l);
    l->had_proof = false;
    lab_begin(l, DP_CMD_SYNC); /* hangs for an hour … */
    lab_request(l, S(""));
    dp_bus_tell(l->bus, DP_BUS_KIND_FORGET, him, 0);
    lab_answer(l, 200, S(""));
    lab_conclude(l, true);
    assert_false(l->out.is_proof);
    assert_int_equal(proof_of(l), DP_PROOF_NONE);
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, NULL);
    assert_true(l->out.is_proof);
}

/* Between the look and the writing the administrator forgets him, and the
 * clerk has deleted his proofs. */
static const dp_store_ops *real_ops;
static lab *forgetful;

static apr_status_t begin_after_a_forget(dp_store *s, bool is_write,
                                         dp_store_txn **out)
{
    if (is_write) {
        s->ops = real_ops;
        dp_bus_tell(forgetful->bus, DP_BUS_KIND_FORGET, (dp_hash){{1, 2}}, 0);
        dp_proof_forget(s, forgetful->who.login);
    }
    return real_ops->begin(s, is_write, out);
}

static void a_forget_just_before_the_writing_counts(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_body *q = lab_sync(false, 0, false, NULL, 0);
    lab_begin(l, DP_CMD_SYNC);
    lab_request(l, lab_span(q));
    lab_answer(l, 200, lab_span(NULL));
    free(q);
    dp_store_ops ops = *l->store->ops;
    real_ops = l->store->ops;
    forgetful = l;
    ops.begin = begin_after_a_forget;
    l->store->ops = &ops;
    lab_conclude(l, true);
    l->store->ops = real_ops;
    assert_false(l->out.is_proof);
    assert_int_equal(proof_of(l), DP_PROOF_NONE);
}

static void a_proof_is_as_old_as_the_request(void **state)
{
    lab *l = *state;
    dp_time_us until, began_us = l->now_us;
    l->had_proof = false;
    lab_begin(l, DP_CMD_SYNC);
    lab_request(l, S(""));
    lab_tick(l, 3500 * DP_SECOND_US);
    lab_answer(l, 200, S(""));
    lab_conclude(l, true);
    assert_int_equal(dp_proof_get(l->store, NULL, l->proof_key, &l->who,
                                  S(AUTHORIZATION), l->env.trust_us,
                                  l->now_us, &until),
                     DP_PROOF_GOOD);
    assert_int_equal(until, began_us + l->env.trust_us);
}

static void without_an_authorization_there_is_nothing_to_prove(void **state)
{
    lab *l = *state;
    dp_exchange *x = dp_exchange_begin(&l->env, &l->who, DP_CMD_SYNC, S(""),
                                       false, l->now_us);
    dp_exchange_request_end(x);
    dp_exchange_response_begin(x, 200, DP_TAP_IDENTITY, 0);
    dp_exchange_conclude(x, true, l->now_us, &l->out);
    assert_false(l->out.is_proof);
    dp_exchange_free(&x);
    x = dp_exchange_begin(&l->env, &l->who, DP_CMD_SYNC, S(""), false,
                          l->now_us);
    dp_exchange_response_begin(x, 401, DP_TAP_IDENTITY, 0);
    dp_exchange_conclude(x, true, l->now_us, &l->out);
    assert_false(l->out.is_rejected);
    dp_exchange_free(&x);
    assert_null(x);
}

static void a_passed_ping_teaches_its_parameters(void **state)
{
    lab *l = *state;
    static const char *const ids[] = {"5", "6"};
    dp_ping_params p;
    lab_exchange(l, DP_CMD_PING, lab_ping(600, ids, 2), 200,
                 lab_ping_response(2));
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.heartbeat_s, 600);
    assert_int_equal(p.arrival, l->now_us);
    assert_int_equal(p.folders_n, 2);
    assert_true(dp_span_is(p.folders[1].id, S("6")));
    dp_ping_params_free(&p);
    lab_tick(l, DP_SECOND_US);
    lab_exchange(l, DP_CMD_PING, lab_ping(900, NULL, 0), 200,
                 lab_ping_response(1)); /* leaves the folders out */
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.heartbeat_s, 900);
    assert_int_equal(p.folders_n, 2);
    dp_ping_params_free(&p);
    lab_tick(l, DP_SECOND_US);
    lab_exchange(l, DP_CMD_PING, lab_ping(30, ids, 1), 200,
                 lab_ping_response(5)); /* not taken by the backend */
    lab_exchange(l, DP_CMD_PING, NULL, 200, lab_ping_response(1));
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.heartbeat_s, 900);
    assert_int_equal(p.folders_n, 2);
    dp_ping_params_free(&p);
}

static void a_ping_that_ends_late_does_not_undo_a_newer_one(void **state)
{
    lab *l = *state;
    static const char *const ids[] = {"5"};
    dp_ping_params p;
    lab_begin(l, DP_CMD_PING);
    lab_body *q = lab_ping(600, ids, 1), *r = lab_ping_response(1);
    lab_request(l, lab_span(q));
    lab_tick(l, DP_SECOND_US);
    dp_ping_params newer = {.heartbeat_s = 120,
                            .arrival = (uint64_t)l->now_us};
    dp_ping_params_put(l->store, NULL, &l->who, &newer);
    lab_tick(l, DP_SECOND_US);
    lab_answer(l, 200, lab_span(r));
    lab_conclude(l, true);
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.heartbeat_s, 120);
    dp_ping_params_free(&p);
    free(q);
    free(r);
}

/* The newer one may have found its own in the store: of what is there nobody
 * knows any more. */
static void a_ping_that_was_overtaken_teaches_nothing(void **state)
{
    lab *l = *state;
    static const char *const usual[] = {"5"}, *const late[] = {"6"};
    dp_ping_params p;
    lab_exchange(l, DP_CMD_PING, lab_ping(600, usual, 1), 200,
                 lab_ping_response(1));
    lab_tick(l, DP_SECOND_US);
    lab_begin(l, DP_CMD_PING);
    lab_body *q = lab_ping(600, late, 1), *r = lab_ping_response(1);
    lab_request(l, lab_span(q));
    lab_answer(l, 200, lab_span(r));
    dp_exchange_overtaken(l->x);
    lab_conclude(l, true);
    assert_false(dp_ping_params_get(l->store, NULL, &l->who, &p));
    free(q);
    free(r);
}

static lab_body *moves(const char *const (*list)[2], size_t n)
{
    lab_body *b = calloc(1, sizeof(*b));
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, b->bytes, sizeof(b->bytes));
    dp_wbxml_write_open(&w, DP_TAG_MOVE_MoveItems);
    for (size_t i = 0; i < n; i++) {
        dp_wbxml_write_open(&w, DP_TAG_MOVE_Move);
        dp_wbxml_write_leaf(&w, DP_TAG_MOVE_SrcMsgId, S("1"));
        dp_wbxml_write_leaf(&w, DP_TAG_MOVE_SrcFldId, S(list[i][0]));
        dp_wbxml_write_leaf(&w, DP_TAG_MOVE_DstFldId, S(list[i][1]));
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    b->n = w.n;
    return b;
}

static lab_body *moved(const char *status)
{
    lab_body *b = calloc(1, sizeof(*b));
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, b->bytes, sizeof(b->bytes));
    dp_wbxml_write_open(&w, DP_TAG_MOVE_MoveItems);
    dp_wbxml_write_open(&w, DP_TAG_MOVE_Response);
    dp_wbxml_write_leaf(&w, DP_TAG_MOVE_Status, S(status));
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    b->n = w.n;
    return b;
}

static lab_body *meeting(const char *status)
{
    lab_body *b = calloc(1, sizeof(*b));
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, b->bytes, sizeof(b->bytes));
    dp_wbxml_write_open(&w, DP_TAG_MEETING_MeetingResponse);
    if (status) {
        dp_wbxml_write_leaf(&w, DP_TAG_MEETING_Status, S(status));
    }
    else {
        dp_wbxml_write_open(&w, DP_TAG_MEETING_Result);
        dp_wbxml_write_leaf(&w, DP_TAG_MEETING_Status, S("1"));
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    b->n = w.n;
    return b;
}

static void an_answered_invitation_changes_the_calendar(void **state)
{
    lab *l = *state;
    l->had_proof = false;
    lab_exchange(l, DP_CMD_MEETINGRESPONSE, meeting(NULL), 200, meeting(NULL));
    assert_int_equal(l->out.uploads_n, 0); /* a stranger changes nothing */
    l->had_proof = true;
    lab_exchange(l, DP_CMD_MEETINGRESPONSE, meeting(NULL), 200, meeting(NULL));
    assert_int_equal(l->out.uploads_n, 1);
    assert_int_equal(l->out.uploads[0].topic.class_id, DP_CLASS_CALENDAR);
    assert_true(dp_span_is(l->out.uploads[0].topic.folder, S("*")));
    lab_exchange(l, DP_CMD_MEETINGRESPONSE, meeting(NULL), 200, meeting("2"));
    assert_int_equal(l->out.uploads_n, 0);
    lab_exchange(l, DP_CMD_MEETINGRESPONSE, meeting(NULL), 500, meeting(NULL));
    assert_int_equal(l->out.uploads_n, 0);
}

static void a_move_changes_both_folders(void **state)
{
    lab *l = *state;
    static const lab_folder folders[] = {{'A', "1", "0", "Inbox", 2},
                                         {'A', "2", "0", "Archive", 12}};
    static const char *const list[][2] = {{"1", "2"}, {"1", "2"}, {"1", "x"}};
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("0"), 200,
                 lab_foldersync_response(1, "h1", folders, 2));
    lab_exchange(l, DP_CMD_MOVEITEMS, moves(list, 3), 200, moved("3"));
    assert_int_equal(l->out.uploads_n, 2); /* what `x` is, nobody knows */
    assert_true(dp_span_is(l->out.uploads[0].topic.folder, S("INBOX")));
    assert_false(l->out.uploads[0].is_new);
    assert_true(dp_span_is(l->out.uploads[1].topic.folder, S("Archive")));
    assert_true(l->out.uploads[1].is_new);
    assert_true(dp_span_is(l->out.uploads[1].id, S("2")));
    lab_exchange(l, DP_CMD_MOVEITEMS, moves(list, 3), 200, moved("1"));
    assert_int_equal(l->out.uploads_n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_RAM(a_body_that_reads_proves),
        LAB_RAM(other_commands_prove_nothing),
        LAB_BOTH(a_passed_ping_proves_by_1_and_2),
        LAB_RAM(half_a_body_proves_nothing),
        LAB_RAM(errors_of_the_server_prove_neither),
        LAB_BOTH(a_rejection_removes_that_proof_only),
        LAB_BOTH(a_device_that_was_proven_can_be_refused),
        LAB_RAM(a_wipe_refuses),
        LAB_RAM(who_was_forgotten_meanwhile_is_not_brought_back),
        LAB_BOTH(a_forget_just_before_the_writing_counts),
        LAB_RAM(a_proof_is_as_old_as_the_request),
        LAB_RAM(without_an_authorization_there_is_nothing_to_prove),
        LAB_BOTH(a_passed_ping_teaches_its_parameters),
        LAB_RAM(a_ping_that_ends_late_does_not_undo_a_newer_one),
        LAB_RAM(a_ping_that_was_overtaken_teaches_nothing),
        LAB_RAM(a_move_changes_both_folders),
        LAB_RAM(an_answered_invitation_changes_the_calendar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
