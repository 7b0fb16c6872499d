/* learn: FolderSync, FolderCreate, FolderUpdate, FolderDelete. */
#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lab_folder three[] = {{'A', "1", "0", "Inbox", 2},
                                   {'A', "2", "0", "Projects", 12},
                                   {'A', "3", "2", "2026", 12}};

static void sync_all(lab *l, const char *key, const char *new_key,
                     const lab_folder *list, size_t n)
{
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync(key), 200,
                 lab_foldersync_response(1, new_key, list, n));
}

static uint64_t hier_mark(lab *l)
{
    return dp_mark_seq(lab_hier(l).mark,
                       dp_bus_writer_map(l->bus)->header->instance,
                       lab_head(l));
}

static void a_full_list_is_the_map(void **state)
{
    lab *l = *state;
    sync_all(l, "0", "h1", three, 3);
    assert_int_equal(lab_hier(l).is_map_known, 1);
    assert_string_equal(lab_map(l, "1", 0), "Email INBOX");
    assert_string_equal(lab_map(l, "3", 0), "Email Projects/2026");
    sync_all(l, "0", "h2", three, 1);
    assert_string_equal(lab_map(l, "3", 0), "none");
    assert_int_equal(l->out.wants_n, 1);
    assert_int_equal(l->out.wants[0].class_id, DP_CLASS_HIERARCHY);
}

static void differences_are_applied(void **state)
{
    lab *l = *state;
    static const lab_folder changes[] = {{'U', "2", "0", "Work", 12},
                                         {'D', "1", NULL, NULL, 0},
                                         {'A', "4", "2", "New", 12}};
    sync_all(l, "0", "h1", three, 3);
    sync_all(l, "h1", "h2", changes, 3);
    assert_int_equal(lab_hier(l).is_map_known, 1);
    assert_string_equal(lab_map(l, "1", 0), "none");
    assert_string_equal(lab_map(l, "3", 0), "Email Work/2026");
    assert_string_equal(lab_map(l, "4", 0), "Email Work/New");
}

static void a_device_that_was_there_before_us_has_no_map(void **state)
{
    lab *l = *state;
    sync_all(l, "h7", "h7", NULL, 0);
    assert_int_equal(lab_hier(l).is_map_known, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email *");
    static const lab_folder one[] = {{'A', "4", "0", "New", 12}};
    sync_all(l, "h7", "h8", one, 1);
    assert_string_equal(lab_map(l, "4", DP_CLASS_EMAIL), "Email *");
    sync_all(l, "0", "h1", three, 3); /* until it begins anew */
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email INBOX");
}

static void another_key_makes_the_map_unknown(void **state)
{
    lab *l = *state;
    sync_all(l, "0", "h1", three, 3);
    sync_all(l, "h9", "h9", NULL, 0);
    assert_int_equal(lab_hier(l).is_map_known, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email *");
    sync_all(l, "h9", "h9", NULL, 0); /* and it stays so */
    assert_int_equal(lab_hier(l).is_map_known, 0);
}

static void a_lost_response_is_taken_back(void **state)
{
    lab *l = *state;
    static const lab_folder renamed[] = {{'U', "2", "0", "Work", 12},
                                         {'A', "5", "0", "Five", 12}};
    static const lab_folder later[] = {{'A', "6", "0", "Six", 12}};
    sync_all(l, "0", "h1", three, 3);
    sync_all(l, "h1", "h2", renamed, 2);
    assert_string_equal(lab_map(l, "2", DP_CLASS_EMAIL), "Email Work");
    /* The phone never got that, and meanwhile the name was changed back: the
     * backend has nothing to tell of it. */
    sync_all(l, "h1", "h3", later, 1);
    assert_int_equal(lab_hier(l).is_map_known, 1);
    assert_string_equal(lab_map(l, "2", DP_CLASS_EMAIL), "Email *");
    assert_string_equal(lab_map(l, "5", DP_CLASS_EMAIL), "Email *");
    assert_string_equal(lab_map(l, "6", DP_CLASS_EMAIL), "Email Six");
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email INBOX");
    sync_all(l, "h3", "h3", NULL, 0);
    assert_string_equal(lab_map(l, "6", DP_CLASS_EMAIL), "Email Six");
}

static void cut_short(lab *l, const char *key, size_t n)
{
    lab_body *q = lab_foldersync(key);
    lab_body *r = lab_foldersync_response(1, "h2", three, 3);
    lab_begin(l, DP_CMD_FOLDERSYNC);
    lab_request(l, lab_span(q));
    dp_exchange_response_begin(l->x, 200, DP_TAP_IDENTITY, -1);
    dp_exchange_response_bytes(l->x, dp_span_of(r->bytes, n));
    lab_conclude(l, true);
    free(q);
    free(r);
}

static void a_response_that_was_not_seen_whole_suspends_the_map(void **state)
{
    lab *l = *state;
    sync_all(l, "0", "h1", three, 3);
    cut_short(l, "h1", 20);
    assert_int_equal(lab_hier(l).is_map_known, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email *");
    /* the phone did not take it either */
    sync_all(l, "h1", "h1", NULL, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email INBOX");
    cut_short(l, "h1", 20);
    /* this time it did: where it is now, nobody told us */
    sync_all(l, "h2", "h2", NULL, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email *");
    sync_all(l, "h1", "h1", NULL, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email *");
}

static void an_empty_or_foreign_body_suspends_it_too(void **state)
{
    lab *l = *state;
    lab_coll c = {.id = "5", .key = "k", .status = 1};
    sync_all(l, "0", "h1", three, 3);
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h1"), 200, NULL);
    assert_int_equal(lab_hier(l).is_map_known, 0);
    sync_all(l, "h1", "h1", NULL, 0);
    assert_int_equal(lab_hier(l).is_map_known, 1);
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h1"), 200,
                 lab_sync(true, 0, false, &c, 1));
    assert_int_equal(lab_hier(l).is_map_known, 0);
}

static void errors_leave_the_map(void **state)
{
    lab *l = *state;
    static const unsigned statuses[] = {6, 9, 10, 11, 12, 110};
    sync_all(l, "0", "h1", three, 3);
    for (size_t i = 0; i < 6; i++) {
        lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h1"), 200,
                     lab_foldersync_response(statuses[i], NULL, NULL, 0));
        assert_int_equal(lab_hier(l).is_map_known, 1);
    }
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h1"), 503, NULL);
    assert_int_equal(lab_hier(l).is_map_known, 1);
    assert_string_equal(lab_map(l, "1", 0), "Email INBOX");
}

static void nothing_new_makes_a_firm_mark(void **state)
{
    lab *l = *state;
    lab_bus(l);
    lab_topic(l, DP_CLASS_HIERARCHY, "*");
    sync_all(l, "h7", "h7", NULL, 0);
    assert_int_equal(hier_mark(l), lab_head(l));
    assert_int_equal(l->out.token, 0);
}

static void news_make_a_provisional_one(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref h = lab_topic(l, DP_CLASS_HIERARCHY, "*");
    sync_all(l, "0", "h1", three, 3);
    assert_int_equal(hier_mark(l), 0);
    assert_true(l->out.is_hierarchy);
    lab_delivered(l);
    uint64_t first = hier_mark(l);
    assert_int_equal(first, lab_head(l));
    lab_change(l, h);
    lab_tick(l, 60 * DP_SECOND_US);
    sync_all(l, "h1", "h2", three, 1);
    assert_int_equal(hier_mark(l), first);
    uint64_t second = lab_head(l);
    lab_change(l, h);
    lab_tick(l, 60 * DP_SECOND_US);
    /* the next key tells that it arrived, whatever becomes of this one */
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h2"), 503, NULL);
    assert_int_equal(hier_mark(l), second);
}

static void a_lost_one_is_withdrawn(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref h = lab_topic(l, DP_CLASS_HIERARCHY, "*");
    sync_all(l, "h1", "h1", NULL, 0);
    uint64_t first = hier_mark(l);
    lab_change(l, h);
    lab_tick(l, 60 * DP_SECOND_US);
    sync_all(l, "h1", "h2", three, 3);
    uint64_t token = l->out.token;
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("h1"), 503, NULL);
    dp_coll_state_delivered(l->store, &l->who, token, NULL, 0);
    assert_int_equal(hier_mark(l), first);
}

/* In step, and then a change, a second ago. @return its topic */
static dp_bus_ref with_young_change(lab *l, uint64_t *out_mark,
                                    uint64_t *out_seq)
{
    lab_bus(l);
    dp_bus_ref h = lab_topic(l, DP_CLASS_HIERARCHY, "*");
    lab_tick(l, 60 * DP_SECOND_US);
    sync_all(l, "h1", "h1", NULL, 0);
    *out_mark = hier_mark(l);
    *out_seq = lab_change(l, h);
    lab_tick(l, DP_SECOND_US);
    return h;
}

static void a_lagging_backend_leaves_the_mark(void **state)
{
    lab *l = *state;
    uint64_t first, seq;
    with_young_change(l, &first, &seq);
    sync_all(l, "h1", "h1", NULL, 0);
    assert_int_equal(hier_mark(l), first);
    assert_int_equal(lab_hier(l).announced.seq, seq);
    assert_int_equal(lab_hier(l).lag_until_us,
                     l->now_us + l->env.backend_lag_us - DP_SECOND_US);
    lab_tick(l, 2 * DP_SECOND_US);
    sync_all(l, "h1", "h1", NULL, 0);
    assert_int_equal(hier_mark(l), lab_head(l));
    assert_int_equal(lab_hier(l).lag_until_us, 0);
}

/* Two folders shortly after each other, and a backend that shows the first. */
static void the_first_of_two_young_folders_does_not_count_for_both(void **state)
{
    lab *l = *state;
    static const lab_folder one[] = {{'A', "4", "0", "New", 12}};
    uint64_t first, seq;
    with_young_change(l, &first, &seq);
    sync_all(l, "h1", "h2", one, 1);
    lab_delivered(l);
    assert_int_equal(hier_mark(l), first);
    assert_int_equal(lab_hier(l).announced.seq, seq);
    assert_int_not_equal(lab_hier(l).lag_until_us, 0);
    lab_tick(l, 2 * DP_SECOND_US);
    sync_all(l, "h2", "h3", one, 1);
    lab_delivered(l);
    assert_int_equal(hier_mark(l), lab_head(l));
}

static void a_folder_list_that_was_given_up_may_lag(void **state)
{
    lab *l = *state;
    uint64_t first, seq;
    dp_bus_ref h = with_young_change(l, &first, &seq);
    uint64_t from = dp_bus_look(dp_bus_writer_map(l->bus), h).watched_from;
    dp_bus_unvouch(l->bus, h);
    sync_all(l, "h1", "h1", NULL, 0);
    dp_bus_vouch_again(l->bus, h, from);
    assert_int_equal(hier_mark(l), first);
    assert_int_not_equal(lab_hier(l).lag_until_us, 0);
}

static void create(lab *l, const char *key, unsigned status,
                   const char *new_key)
{
    lab_exchange(l, DP_CMD_FOLDERCREATE,
                 lab_folder_op(DP_CMD_FOLDERCREATE, 0, key, NULL, "2",
                               "Created", 12),
                 200,
                 lab_folder_op(DP_CMD_FOLDERCREATE, status, new_key,
                               status == 1 ? "9" : NULL, NULL, NULL, 0));
}

static void what_the_phone_does_itself_is_joined_from_both(void **state)
{
    lab *l = *state;
    sync_all(l, "0", "h1", three, 3);
    create(l, "h1", 1, "h2");
    assert_string_equal(lab_map(l, "9", 0), "Email Projects/Created");
    assert_int_equal(l->out.uploads_n, 1);
    assert_int_equal(l->out.uploads[0].topic.class_id, DP_CLASS_HIERARCHY);
    lab_exchange(l, DP_CMD_FOLDERUPDATE,
                 lab_folder_op(DP_CMD_FOLDERUPDATE, 0, "h2", "9", "0",
                               "Renamed", 0),
                 200,
                 lab_folder_op(DP_CMD_FOLDERUPDATE, 1, "h3", NULL, NULL, NULL,
                               0));
    assert_string_equal(lab_map(l, "9", 0), "Email Renamed");
    lab_exchange(l, DP_CMD_FOLDERDELETE,
                 lab_folder_op(DP_CMD_FOLDERDELETE, 0, "h3", "9", NULL, NULL,
                               0),
                 200,
                 lab_folder_op(DP_CMD_FOLDERDELETE, 1, "h4", NULL, NULL, NULL,
                               0));
    assert_string_equal(lab_map(l, "9", 0), "none");
    sync_all(l, "h4", "h4", NULL, 0); /* the chain of keys has held */
    assert_string_equal(lab_map(l, "1", 0), "Email INBOX");
}

static void what_failed_changes_nothing(void **state)
{
    lab *l = *state;
    sync_all(l, "0", "h1", three, 3);
    create(l, "h1", 2, NULL);
    assert_int_equal(l->out.uploads_n, 0);
    assert_string_equal(lab_map(l, "9", 0), "none");
    sync_all(l, "h1", "h1", NULL, 0);
    assert_string_equal(lab_map(l, "1", 0), "Email INBOX");
    create(l, "h8", 1, "h9"); /* with a key that we never saw */
    assert_int_equal(lab_hier(l).is_map_known, 0);
    assert_int_equal(l->out.uploads_n, 1); /* others must see it all the same */
}

static void ones_own_folder_does_not_wake_one(void **state)
{
    lab *l = *state;
    lab_bus(l);
    dp_bus_ref h = lab_topic(l, DP_CLASS_HIERARCHY, "*");
    sync_all(l, "0", "h1", three, 3);
    lab_delivered(l);
    create(l, "h1", 1, "h2");
    uint64_t prev, seq = dp_bus_publish(l->bus, h, 1, 0, l->now_us, &prev);
    dp_exchange_published(l->x, &l->out.uploads[0], seq, prev);
    assert_int_equal(hier_mark(l), seq);
}

static void without_proof_the_map_is_left_alone(void **state)
{
    lab *l = *state;
    sync_all(l, "0", "h1", three, 3);
    l->had_proof = false;
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("bogus"), 200,
                 lab_foldersync_response(129, NULL, NULL, 0));
    lab_exchange(l, DP_CMD_FOLDERSYNC, lab_foldersync("0"), 401, NULL);
    lab_exchange(l, DP_CMD_FOLDERCREATE,
                 lab_folder_op(DP_CMD_FOLDERCREATE, 0, "x", NULL, "2", "X",
                               12),
                 200,
                 lab_folder_op(DP_CMD_FOLDERCREATE, 1, "y", "9", NULL, NULL,
                               0)); /* not a command that proves */
    assert_int_equal(lab_hier(l).is_map_known, 1);
    assert_string_equal(lab_map(l, "1", 0), "Email INBOX");
    assert_string_equal(lab_map(l, "9", 0), "none");
}

static void odd_folders_are_blind(void **state)
{
    lab *l = *state;
    char name[DP_TOPIC_FOLDER_MAX + 100], id[DP_COLLECTION_ID_MAX + 10];
    memset(name, 'n', sizeof(name));
    memset(id, 'i', sizeof(id));
    name[sizeof(name) - 1] = 0;
    id[sizeof(id) - 1] = 0;
    lab_folder odd[] = {{'A', "1", "0", name, 12},
                        {'A', id, "0", "fine", 12},
                        {'A', "2", "0", "../../etc", 12},
                        {'A', "3", "0", "fine", 2}};
    sync_all(l, "0", "h1", odd, 4);
    assert_string_equal(lab_map(l, "1", 0), "none");
    assert_string_equal(lab_map(l, "2", 0), "none");
    assert_string_equal(lab_map(l, "3", 0), "Email INBOX");
    assert_string_equal(lab_map(l, id, 0), "none");
}

static void a_list_without_end_is_no_map(void **state)
{
    lab *l = *state;
    enum { MANY = 10001, AT_ONCE = 500 };
    char (*ids)[16] = calloc(AT_ONCE, sizeof(*ids));
    lab_folder *list = calloc(AT_ONCE, sizeof(*list));
    sync_all(l, "0", "h1", three, 3);
    lab_body *q = lab_foldersync("0");
    lab_begin(l, DP_CMD_FOLDERSYNC);
    lab_request(l, lab_span(q));
    dp_exchange_response_begin(l->x, 200, DP_TAP_IDENTITY, -1);
    lab_body *r = NULL;
    for (int i = 0; i < AT_ONCE; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%d", i);
        list[i] = (lab_folder){'A', ids[i], "0", "n", 12};
    }
    r = lab_foldersync_response(1, "h2", list, AT_ONCE);
    /* the document's head, its list over and over, its end: two closes */
    lab_body *none = lab_foldersync_response(1, "h2", NULL, 0);
    lab_body *one = lab_foldersync_response(1, "h2", list, 1);
    size_t head = 0;
    while (none->bytes[head] == one->bytes[head]) {
        head++;
    }
    dp_exchange_response_bytes(l->x, dp_span_of(r->bytes, head));
    for (int i = 0; i < MANY; i += AT_ONCE) {
        dp_exchange_response_bytes(
            l->x, dp_span_of(r->bytes + head, r->n - head - 2));
    }
    dp_exchange_response_bytes(l->x, dp_span_of(r->bytes + r->n - 2, 2));
    lab_conclude(l, true);
    assert_true(l->out.is_proof);
    assert_int_equal(lab_hier(l).is_map_known, 0);
    assert_string_equal(lab_map(l, "1", DP_CLASS_EMAIL), "Email *");
    free(q);
    free(r);
    free(none);
    free(one);
    free(ids);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_BOTH(a_full_list_is_the_map),
        LAB_BOTH(differences_are_applied),
        LAB_BOTH(a_device_that_was_there_before_us_has_no_map),
        LAB_RAM(another_key_makes_the_map_unknown),
        LAB_BOTH(a_lost_response_is_taken_back),
        LAB_BOTH(a_response_that_was_not_seen_whole_suspends_the_map),
        LAB_RAM(an_empty_or_foreign_body_suspends_it_too),
        LAB_RAM(errors_leave_the_map),
        LAB_RAM(nothing_new_makes_a_firm_mark),
        LAB_BOTH(news_make_a_provisional_one),
        LAB_RAM(a_lost_one_is_withdrawn),
        LAB_RAM(a_lagging_backend_leaves_the_mark),
        LAB_RAM(the_first_of_two_young_folders_does_not_count_for_both),
        LAB_RAM(a_folder_list_that_was_given_up_may_lag),
        LAB_BOTH(what_the_phone_does_itself_is_joined_from_both),
        LAB_RAM(what_failed_changes_nothing),
        LAB_RAM(ones_own_folder_does_not_wake_one),
        LAB_BOTH(without_proof_the_map_is_left_alone),
        LAB_RAM(odd_folders_are_blind),
        LAB_BOTH(a_list_without_end_is_no_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
