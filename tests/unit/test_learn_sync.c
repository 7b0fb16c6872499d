/* learn: Sync requests and responses, and what they do to the store. */
#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAIL "5"

static const lab_coll ask_k1 = {.id = MAIL, .key = "k1",
                                .class_name = "Email"};

/* The device has synced once, with nothing to fetch: a firm mark. */
static void settle(lab *l)
{
    lab_sync_one(l, &ask_k1,
                 &(lab_coll){.id = MAIL, .key = "k1", .status = 1});
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

static void the_mark_is_the_head_before_the_request_went_out(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref inbox = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l); /* no other change whose age the one below would hide */
    lab_topic(l, DP_CLASS_CALENDAR, "*");
    uint64_t head = lab_head(l);
    lab_begin(l, DP_CMD_SYNC);
    lab_body *q = lab_sync(false, 0, false, &ask_k1, 1);
    lab_request(l, lab_span(q));
    lab_change(l, inbox); /* while the backend works */
    lab_answer(l, 200, lab_span(NULL));
    lab_conclude(l, true);
    free(q);
    assert_int_equal(lab_mark(l, MAIL), head);
    assert_true(lab_head(l) > head);
    assert_int_equal(l->out.wants_n, 1);
    assert_int_equal(l->out.wants[0].class_id, DP_CLASS_EMAIL);
    assert_true(dp_span_is(l->out.wants[0].folder, S("*")));
}

static void items_become_firm_when_delivered(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t before = lab_head(l);
    lab_change(l, all);
    lab_sync_one(l, &ask_k1,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1, .adds = 1});
    assert_int_equal(lab_mark(l, MAIL), before);
    assert_int_equal(l->out.ids_n, 1);
    assert_true(dp_span_is(l->out.ids[0], S(MAIL)));
    lab_delivered(l);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

static void items_that_were_lost_leave_the_old_mark(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t before = lab_head(l);
    lab_change(l, all);
    lab_tick(l, 60 * DP_SECOND_US);
    lab_sync_one(l, &ask_k1,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1, .adds = 1});
    uint64_t token = l->out.token;
    /* the phone asks again with the key that it has; the backend is gone */
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &ask_k1, 1), 503,
                 NULL);
    assert_int_equal(lab_mark(l, MAIL), before);
    dp_span id = S(MAIL);
    dp_coll_state_delivered(l->store, &l->who, token, &id, 1); /* too late */
    assert_int_equal(lab_mark(l, MAIL), before);
}

static void a_cut_response_moves_nothing(void **state)
{
    lab *l = *state;
    lab_bus(l);
    settle(l);
    uint64_t before = lab_mark(l, MAIL);
    lab_change(l, lab_topic(l, DP_CLASS_EMAIL, "*"));
    lab_body *q = lab_sync(false, 0, false, &ask_k1, 1);
    lab_coll a = {.id = MAIL, .key = "k2", .status = 1};
    lab_body *r = lab_sync(true, 0, false, &a, 1);
    for (size_t n = 0; n < r->n; n++) {
        lab_begin(l, DP_CMD_SYNC);
        lab_request(l, lab_span(q));
        dp_exchange_response_begin(l->x, 200, DP_TAP_IDENTITY, (int64_t)r->n);
        dp_exchange_response_bytes(l->x, dp_span_of(r->bytes, n));
        lab_conclude(l, n % 2); /* even when the caller believes it whole */
        assert_int_equal(lab_mark(l, MAIL), before);
    }
    free(q);
    free(r);
}

static void errors_move_nothing(void **state)
{
    lab *l = *state;
    static const int codes[] = {100, 204, 302, 400, 404, 500, 502, 503};
    lab_bus(l);
    settle(l);
    uint64_t before = lab_mark(l, MAIL);
    lab_change(l, lab_topic(l, DP_CLASS_EMAIL, "*"));
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &ask_k1, 1),
                     codes[i], NULL);
        assert_int_equal(lab_mark(l, MAIL), before);
    }
    static const unsigned statuses[] = {3, 4, 5, 8, 12, 13, 16, 110, 136};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &ask_k1, 1),
                     200, lab_sync(true, statuses[i], false, NULL, 0));
        assert_int_equal(lab_mark(l, MAIL), before);
    }
}

static void what_is_absent_from_a_response_is_not_concluded(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_coll two[] = {ask_k1, {.id = "6", .key = "j1", .class_name = "Email"}};
    lab_coll one = {.id = "6", .key = "j1", .status = 1};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, two, 2), 200,
                 lab_sync(true, 0, false, &one, 1));
    assert_int_equal(lab_mark(l, MAIL), 0);
    assert_int_equal(lab_mark(l, "6"), lab_head(l));
}

static void an_empty_answer_is_good_for_all_that_were_asked(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_coll three[] = {ask_k1,
                        {.id = "6", .key = "j1", .class_name = "Email"},
                        {.id = "7", .key = "0", .class_name = "Calendar"},
                        {.id = "8", .key = "i1", .get_changes = -1}};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, three, 4), 200,
                 NULL);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
    assert_int_equal(lab_mark(l, "6"), lab_head(l));
    assert_int_equal(lab_mark(l, "7"), 0); /* priming */
    assert_int_equal(lab_mark(l, "8"), 0); /* GetChanges off */
    assert_int_equal(l->out.wants_n, 2);   /* both mails, the calendar */
}

static void an_empty_request_repeats_the_last(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, NULL); /* of what? */
    assert_int_equal(lab_mark(l, MAIL), 0);
    settle(l);
    lab_tick(l, 60 * DP_SECOND_US);
    lab_change(l, lab_topic(l, DP_CLASS_EMAIL, "*"));
    lab_tick(l, 60 * DP_SECOND_US);
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, NULL);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
    lab_coll a = {.id = MAIL, .key = "k2", .status = 1, .adds = 1};
    lab_coll stranger = {.id = "9", .key = "k2", .status = 1};
    lab_coll both[] = {a, stranger};
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, lab_sync(true, 0, false, both, 2));
    assert_int_equal(l->out.ids_n, 1);
    assert_int_equal(lab_mark(l, "9"), 0);
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, lab_sync(true, 13, false, NULL, 0));
    assert_int_equal(l->out.ids_n, 0);
}

/* The backend has the newer list, and we can't tell: an empty request then is
 * about something else than we know. */
static void a_list_whose_answer_was_not_read_ends_the_last(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t seq = lab_change(l, all);
    lab_tick(l, 60 * DP_SECOND_US);
    lab_coll other = {.id = "other", .key = "o1", .class_name = "Email"};
    lab_begin(l, DP_CMD_SYNC);
    lab_body *q = lab_sync(false, 0, false, &other, 1);
    lab_request(l, lab_span(q));
    free(q);
    dp_exchange_response_begin(l->x, 200, DP_TAP_OPAQUE, -1);
    dp_exchange_response_bytes(l->x, S("in a coding that nobody asked for"));
    lab_conclude(l, true);
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, NULL); /* `other`: nothing new */
    assert_true(lab_mark(l, MAIL) < seq);
}

static void a_partial_request_says_nothing_of_what_it_leaves_out(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_coll two[] = {ask_k1, {.id = "6", .key = "j1", .class_name = "Email"}};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, two, 2), 200, NULL);
    uint64_t before = lab_head(l);
    lab_change(l, lab_topic(l, DP_CLASS_EMAIL, "*"));
    lab_tick(l, 60 * DP_SECOND_US);
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, true, &two[1], 1), 200,
                 NULL);
    assert_int_equal(lab_mark(l, "6"), lab_head(l));
    assert_int_equal(lab_mark(l, MAIL), before);
    /* the cached request is whole again, as the backend's is */
    lab_exchange(l, DP_CMD_SYNC, NULL, 200, NULL);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

static void a_collection_named_twice_teaches_nothing(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_coll twice[] = {ask_k1, {.id = MAIL, .key = "k7"}};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, twice, 2), 200,
                 NULL);
    assert_int_equal(lab_mark(l, MAIL), 0);
    lab_coll a[] = {{.id = MAIL, .key = "k1", .status = 1},
                    {.id = MAIL, .key = "k1", .status = 8}};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &ask_k1, 1), 200,
                 lab_sync(true, 0, false, a, 2));
    assert_int_equal(lab_mark(l, MAIL), 0);
}

static void a_class_without_an_id_teaches_nothing(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_coll c = {.key = "k1", .class_name = "Contacts"};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &c, 1), 200, NULL);
    assert_int_equal(l->out.wants_n, 0);
    assert_int_equal(l->out.ids_n, 0);
}

static void too_many_collections_conclude_nothing(void **state)
{
    lab *l = *state;
    enum { MANY = 513 };
    lab_coll *list = calloc(MANY, sizeof(*list));
    char (*ids)[16] = calloc(MANY, sizeof(*ids));
    lab_bus(l);
    for (int i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%d", i);
        list[i] = (lab_coll){.id = ids[i], .key = "k1",
                             .class_name = "Email"};
    }
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, list, MANY), 200,
                 NULL);
    assert_int_equal(lab_mark(l, "0"), 0);
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, list, MANY - 1),
                 200, NULL);
    assert_int_equal(lab_mark(l, "0"), lab_head(l));
    assert_int_equal(lab_mark(l, "511"), lab_head(l));
    free(ids);
    free(list);
}

static void without_proof_a_sync_leaves_no_trace(void **state)
{
    lab *l = *state;
    dp_coll_state st;
    lab_bus(l);
    l->had_proof = false;
    /* the backend's answer proves nothing either */
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &ask_k1, 1), 200,
                 lab_sync(true, 129, false, NULL, 0));
    assert_false(l->out.is_proof);
    assert_int_equal(l->out.wants_n, 0);
    assert_false(dp_coll_state_get(l->store, NULL, &l->who, S(MAIL), &st));
    /* this one does */
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, &ask_k1, 1), 200,
                 NULL);
    assert_true(l->out.is_proof);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

static void without_a_bus_the_sync_is_still_remembered(void **state)
{
    lab *l = *state;
    lab_sync_one(l, &ask_k1,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1, .adds = 2});
    assert_int_equal(l->out.token, 0);
    dp_coll_state st = lab_state(l, MAIL);
    assert_int_equal(st.mark.instance, 0);
    assert_int_equal(st.synced_at_us, l->now_us);
    assert_int_equal(l->out.wants_n, 1);
}

static void what_the_backend_may_not_show_yet_is_asked_for_again(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t before = lab_mark(l, MAIL);
    uint64_t seq = lab_change(l, all);
    dp_time_us changed_at_us = l->now_us;
    lab_tick(l, DP_SECOND_US);
    lab_sync_one(l, &ask_k1, NULL);
    assert_int_equal(lab_mark(l, MAIL), before);
    assert_int_equal(lab_state(l, MAIL).lag_until_us,
                     changed_at_us + l->env.backend_lag_us);
    assert_int_equal(lab_state(l, MAIL).announced.seq, seq);
    lab_tick(l, 2 * DP_SECOND_US);
    lab_sync_one(l, &ask_k1, NULL);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

/* A watcher that restarts gives up and takes up again: the mark must not have
 * jumped over the change meanwhile (tests/model, unwatched_is_no_lag). */
static void what_it_may_not_show_yet_counts_when_it_was_given_up(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t before = lab_mark(l, MAIL);
    uint64_t from = dp_bus_look(dp_bus_writer_map(l->bus), all).watched_from;
    uint64_t seq = lab_change(l, all);
    lab_tick(l, DP_SECOND_US);
    dp_bus_unvouch(l->bus, all);
    lab_sync_one(l, &ask_k1, NULL);
    dp_bus_vouch_again(l->bus, all, from);
    assert_int_equal(lab_mark(l, MAIL), before);
    assert_int_equal(lab_state(l, MAIL).announced.seq, seq);
    assert_int_not_equal(lab_state(l, MAIL).lag_until_us, 0);
    lab_tick(l, 2 * DP_SECOND_US);
    lab_sync_one(l, &ask_k1, NULL);
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

/* Its class may be vouched for again a moment sooner, and knows less. */
static void a_topic_of_its_own_is_judged_by_itself(void **state)
{
    lab *l = *state;
    static const char work[] = "vevent%2Fwork";
    static const lab_coll ask = {.id = work, .key = "k1"};
    static const lab_coll nothing = {.id = work, .key = "k1", .status = 1};
    lab_bus(l);
    dp_bus_ref own = lab_topic(l, DP_CLASS_CALENDAR, "work");
    lab_topic(l, DP_CLASS_CALENDAR, "*");
    lab_sync_one(l, &ask, &nothing);
    uint64_t before = lab_mark(l, work);
    assert_int_equal(before, lab_head(l));
    uint64_t from = dp_bus_look(dp_bus_writer_map(l->bus), own).watched_from;
    lab_change(l, own);
    lab_tick(l, DP_SECOND_US);
    dp_bus_unvouch(l->bus, own);
    lab_sync_one(l, &ask, &nothing);
    dp_bus_vouch_again(l->bus, own, from);
    assert_int_equal(lab_mark(l, work), before);
    assert_int_not_equal(lab_state(l, work).lag_until_us, 0);
}

/* From 12.1 on a Sync says no Class, and ids of Z-Push say nothing: of a device
 * whose folder list is not known its Pings tell. */
static void the_class_that_a_ping_said_counts_for_its_syncs(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    dp_ping_folder f[] = {{.id = S("7"), .class_name = S("Calendar")},
                          {.id = S(MAIL), .class_name = S("Email")}};
    dp_ping_params p = {.heartbeat_s = 600, .folders_n = 2, .folders = f};
    dp_ping_params_put(l->store, NULL, &l->who, &p);
    const lab_coll ask = {.id = MAIL, .key = "k1"};
    lab_sync_one(l, &ask, NULL);
    uint64_t before = lab_mark(l, MAIL);
    uint64_t seq = lab_change(l, all);
    lab_tick(l, DP_SECOND_US);
    lab_sync_one(l, &ask, NULL); /* the backend may not show it yet */
    assert_int_equal(lab_mark(l, MAIL), before);
    assert_int_equal(lab_state(l, MAIL).announced.seq, seq);
    assert_int_equal(l->out.wants_n, 1);
    lab_tick(l, 2 * DP_SECOND_US);
    lab_sync_one(l, &ask, NULL);
    assert_int_equal(lab_mark(l, MAIL), seq);
    lab_sync_one(l, &(lab_coll){.id = MAIL, .key = "k1", .adds = 1},
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1});
    assert_int_equal(l->out.uploads_n, 1);
    assert_int_equal(l->out.uploads[0].topic.class_id, DP_CLASS_EMAIL);
}

static const lab_coll client_change = {
    .id = MAIL, .key = "k1", .class_name = "Email", .changes = 1};

static void an_upload_that_succeeded_is_published(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t mark = lab_mark(l, MAIL);
    lab_sync_one(l, &client_change,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1});
    assert_int_equal(l->out.uploads_n, 1);
    const dp_learn_upload *u = &l->out.uploads[0];
    assert_int_equal(u->topic.class_id, DP_CLASS_EMAIL);
    assert_false(u->is_new);
    uint64_t prev, seq = dp_bus_publish(l->bus, all, 0, 1, l->now_us, &prev);
    assert_int_equal(lab_mark(l, MAIL), mark);
    dp_exchange_published(l->x, u, seq, prev);
    assert_int_equal(lab_mark(l, MAIL), seq); /* no echo */
}

static void an_upload_does_not_hide_somebody_elses_change(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t mark = lab_mark(l, MAIL);
    lab_change(l, all);
    lab_sync_one(l, &client_change,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1});
    uint64_t prev, seq = dp_bus_publish(l->bus, all, 0, 1, l->now_us, &prev);
    dp_exchange_published(l->x, &l->out.uploads[0], seq, prev);
    assert_int_equal(lab_mark(l, MAIL), mark);
}

static void an_upload_does_not_jump_over_a_gap_in_watching(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t mark = lab_mark(l, MAIL);
    dp_bus_unvouch(l->bus, all); /* what happens here, nobody sees */
    dp_bus_vouch(l->bus, all, 0);
    lab_sync_one(l, &client_change,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1});
    uint64_t prev, seq = dp_bus_publish(l->bus, all, 0, 1, l->now_us, &prev);
    dp_exchange_published(l->x, &l->out.uploads[0], seq, prev);
    assert_int_equal(lab_mark(l, MAIL), mark);
}

/* A Sync ended between the publishing of an upload and the mark's moving over
 * it: what was too young for the backend when that Sync began is not own. */
static void an_upload_does_not_move_a_mark_that_was_made_meanwhile(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    lab_sync_one(l, &client_change,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1});
    dp_exchange *uploading = l->x;
    lab_tick(l, 1000);
    dp_learn_upload u = l->out.uploads[0];
    l->x = NULL;
    lab_change(l, all); /* X; not shown yet */
    uint64_t x_seq = lab_head(l);
    lab_coll ask_k2 = {.id = MAIL, .key = "k2", .class_name = "Email"};
    lab_begin(l, DP_CMD_SYNC);
    lab_body *q = lab_sync(false, 0, false, &ask_k2, 1);
    lab_request(l, lab_span(q));
    uint64_t prev, seq = dp_bus_publish(l->bus, all, 0, 1, l->now_us, &prev);
    assert_int_equal(prev, x_seq);
    lab_answer(l, 200, lab_span(NULL));
    lab_conclude(l, true);
    free(q);
    dp_exchange_published(uploading, &u, seq, prev);
    assert_true(lab_mark(l, MAIL) < seq); /* else X is hidden for ever */
    dp_exchange_free(&uploading);
}

static void an_upload_that_was_refused_is_not_published(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_sync_one(l, &client_change,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1, .bad = 1});
    assert_int_equal(l->out.uploads_n, 0);
    lab_sync_one(l, &client_change,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 3});
    assert_int_equal(l->out.uploads_n, 0);
    lab_coll add = {.id = MAIL, .key = "k1", .class_name = "Email",
                    .adds = 1, .changes = 1};
    lab_sync_one(l, &add,
                 &(lab_coll){.id = MAIL, .key = "k2", .status = 1, .ok = 1,
                             .bad = 1});
    assert_int_equal(l->out.uploads_n, 1);
    assert_true(l->out.uploads[0].is_new);
}

static void the_mark_moves_after_two_useless_announcements(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t seq = lab_change(l, all);
    lab_tick(l, 60 * DP_SECOND_US);
    lab_coll asked = client_change;
    asked.get_changes = 1; /* so nobody keeps anything back */
    for (int i = 0; i < 2; i++) {
        dp_announced a = {S(MAIL), seq};
        dp_coll_state_announced(l->store, NULL, &l->who, 9, &a, 1, l->now_us);
        assert_int_equal(lab_state(l, MAIL).announced_n, 1);
        assert_true(lab_mark(l, MAIL) < seq);
        lab_sync_one(l, &asked,
                     &(lab_coll){.id = MAIL, .key = "k1", .status = 1});
        assert_int_equal(lab_state(l, MAIL).announced_n, 0);
    }
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

/* SOGo, Z-Push and Horde keep their own changes back when the phone fetches the
 * rest of a mail (eas-protocol 4.4): that they bring nothing proves nothing. */
static void fetching_an_item_proves_no_currency(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t seq = lab_change(l, all);
    lab_tick(l, 60 * DP_SECOND_US);
    for (int get = 0; get <= 1; get++) {
        lab_sync_one(l,
                     &(lab_coll){.id = MAIL, .key = "k1", .get_changes = get,
                                 .class_name = "Email", .fetches = 1},
                     &(lab_coll){.id = MAIL, .key = "k1", .status = 1,
                                 .fetches = 1});
        assert_true(lab_mark(l, MAIL) < seq);
    }
    lab_sync_one(l, &ask_k1,
                 &(lab_coll){.id = MAIL, .key = "k1", .status = 1});
    assert_int_equal(lab_mark(l, MAIL), seq);
}

/* Z-Push: commands for one collection, and it sends no changes of the ones
 * behind it either, unless they ask for them. */
static void commands_for_one_collection_prove_nothing_of_another(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t seq = lab_change(l, all);
    lab_tick(l, 60 * DP_SECOND_US);
    lab_coll asked[] = {{.id = "other", .key = "o1", .changes = 1,
                         .class_name = "Email"},
                        {.id = MAIL, .key = "k1", .class_name = "Email"}};
    lab_coll answered[] = {{.id = "other", .key = "o2", .status = 1},
                           {.id = MAIL, .key = "k1", .status = 1}};
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, asked, 2), 200,
                 lab_sync(true, 0, false, answered, 2));
    assert_true(lab_mark(l, MAIL) < seq);
    asked[1].get_changes = 1;
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, asked, 2), 200,
                 lab_sync(true, 0, false, answered, 2));
    assert_int_equal(lab_mark(l, MAIL), seq);
}

/* What the backend has kept back the loop guard must not take for nothing: it
 * is announced again, less and less often. */
static void what_was_kept_back_twice_is_announced_still(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref all = lab_topic(l, DP_CLASS_EMAIL, "*");
    settle(l);
    uint64_t seq = lab_change(l, all);
    lab_tick(l, 60 * DP_SECOND_US);
    const lab_coll ways[][2] = {
        {{.id = MAIL, .key = "k1", .changes = 1}, /* nothing said: Z-Push */
         {.id = MAIL, .key = "k1", .status = 1}},
        {{.id = MAIL, .key = "k1", .changes = 1, .get_changes = 1},
         {.id = MAIL, .key = "k1", .status = 1, .bad = 1}}}; /* SOGo */
    for (int i = 0; i < 6; i++) {
        dp_announced a = {S(MAIL), seq};
        dp_coll_state_announced(l->store, NULL, &l->who, 9, &a, 1, l->now_us);
        lab_sync_one(l, &ways[i % 2][0], &ways[i % 2][1]);
        assert_true(lab_mark(l, MAIL) < seq);
    }
    assert_true(lab_state(l, MAIL).announced_n >= 4);
}

static void bodies_teach_the_same_in_any_pieces(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_topic(l, DP_CLASS_EMAIL, "*");
    for (l->chunk_n = 1; l->chunk_n < 40; l->chunk_n++) {
        lab_sync_one(l, &ask_k1,
                     &(lab_coll){.id = MAIL, .key = "k2", .status = 1,
                                 .adds = 3});
        assert_int_equal(l->out.ids_n, 1);
        lab_delivered(l);
        lab_sync_one(l, &(lab_coll){.id = MAIL, .key = "k2"},
                     &(lab_coll){.id = MAIL, .key = "k1", .status = 1});
        assert_int_equal(lab_mark(l, MAIL), lab_head(l));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_BOTH(the_mark_is_the_head_before_the_request_went_out),
        LAB_BOTH(items_become_firm_when_delivered),
        LAB_BOTH(items_that_were_lost_leave_the_old_mark),
        LAB_RAM(a_cut_response_moves_nothing),
        LAB_RAM(errors_move_nothing),
        LAB_RAM(what_is_absent_from_a_response_is_not_concluded),
        LAB_RAM(an_empty_answer_is_good_for_all_that_were_asked),
        LAB_BOTH(an_empty_request_repeats_the_last),
        LAB_BOTH(a_list_whose_answer_was_not_read_ends_the_last),
        LAB_BOTH(a_partial_request_says_nothing_of_what_it_leaves_out),
        LAB_RAM(a_collection_named_twice_teaches_nothing),
        LAB_RAM(a_class_without_an_id_teaches_nothing),
        LAB_BOTH(too_many_collections_conclude_nothing),
        LAB_BOTH(without_proof_a_sync_leaves_no_trace),
        LAB_RAM(without_a_bus_the_sync_is_still_remembered),
        LAB_RAM(what_the_backend_may_not_show_yet_is_asked_for_again),
        LAB_RAM(what_it_may_not_show_yet_counts_when_it_was_given_up),
        LAB_RAM(a_topic_of_its_own_is_judged_by_itself),
        LAB_BOTH(the_class_that_a_ping_said_counts_for_its_syncs),
        LAB_BOTH(an_upload_that_succeeded_is_published),
        LAB_RAM(an_upload_does_not_hide_somebody_elses_change),
        LAB_RAM(an_upload_does_not_jump_over_a_gap_in_watching),
        LAB_RAM(an_upload_does_not_move_a_mark_that_was_made_meanwhile),
        LAB_RAM(an_upload_that_was_refused_is_not_published),
        LAB_BOTH(the_mark_moves_after_two_useless_announcements),
        LAB_RAM(fetching_an_item_proves_no_currency),
        LAB_RAM(commands_for_one_collection_prove_nothing_of_another),
        LAB_RAM(what_was_kept_back_twice_is_announced_still),
        LAB_RAM(bodies_teach_the_same_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
