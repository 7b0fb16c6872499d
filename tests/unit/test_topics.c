/* The topics that holds wait for, and their slots in the bus. */
#include "bus_fixture.h"
#include "hold/hold.h"

typedef struct box {
    bus_fixture *bus;
    dp_topics ts;
    dp_hold_item item[4];
} box;

static int setup(void **state)
{
    box *b = calloc(1, sizeof(*b));
    void *bus;
    bus_setup(&bus);
    b->bus = bus;
    dp_topics_rebind(&b->ts, &b->bus->map);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    box *b = *state;
    void *bus = b->bus;
    for (int i = 0; i < 4; i++) {
        dp_topics_unlink(&b->ts, &b->item[i]);
    }
    dp_topics_free(&b->ts);
    bus_teardown(&bus);
    free(b);
    return 0;
}

static dp_topic *get(box *b, const char *folder)
{
    return dp_topics_get(&b->ts, &b->bus->map, DP_SPAN_LIT("alice"),
                         DP_CLASS_EMAIL, dp_span_str(folder));
}

static void a_topic_is_one_for_all_who_name_it(void **state)
{
    box *b = *state;
    dp_topic *t = get(b, "INBOX");
    dp_topics_link(t, &b->item[0]);
    assert_ptr_equal(get(b, "INBOX"), t);
    dp_topics_link(t, &b->item[1]);
    assert_int_equal(t->items_n, 2);
    assert_true(dp_span_is(dp_topic_user(t), DP_SPAN_LIT("alice")));
    assert_true(dp_span_is(dp_topic_folder(t), DP_SPAN_LIT("INBOX")));
}

static void the_last_who_leaves_frees_it(void **state)
{
    box *b = *state;
    dp_bus_ref r = bus_topic(b->bus, "INBOX");
    dp_topic *t = get(b, "INBOX");
    for (int i = 0; i < 3; i++) {
        dp_topics_link(t, &b->item[i]);
    }
    dp_topics_unlink(&b->ts, &b->item[1]);
    assert_ptr_equal(t->items, &b->item[2]);
    assert_ptr_equal(b->item[2].next, &b->item[0]);
    dp_topics_unlink(&b->ts, &b->item[2]);
    assert_ptr_equal(b->ts.by_slot[r.slot], t);
    dp_topics_unlink(&b->ts, &b->item[0]);
    dp_topics_unlink(&b->ts, &b->item[0]); /* harmless */
    assert_null(b->ts.by_slot[r.slot]);
    assert_int_equal(b->ts.by_key.n, 0);
}

static void a_topic_that_comes_into_the_bus_later_is_found(void **state)
{
    box *b = *state;
    dp_topic *t = get(b, "INBOX");
    dp_topics_link(t, &b->item[0]);
    assert_int_equal(t->ref.slot, DP_BUS_NO_SLOT);
    dp_bus_ref r = bus_topic(b->bus, "INBOX");
    dp_topics_find(&b->ts, &b->bus->map, t);
    assert_int_equal(t->ref.slot, r.slot);
    assert_ptr_equal(b->ts.by_slot[r.slot], t);
    dp_topics_find(&b->ts, &b->bus->map, t); /* again changes nothing */
    assert_null(t->next_of_slot);
}

static void names_of_one_mailbox_share_its_slot(void **state)
{
    box *b = *state;
    dp_bus_ref r = bus_topic(b->bus, "INBOX");
    assert_true(dp_bus_alias_set(b->bus->w, bus_key(b->bus, "Eingang"), r));
    dp_topics_link(get(b, "INBOX"), &b->item[0]);
    dp_topics_link(get(b, "Eingang"), &b->item[1]);
    assert_int_equal(b->item[1].topic->ref.slot, r.slot);
    assert_ptr_equal(b->ts.by_slot[r.slot], b->item[1].topic);
    assert_ptr_equal(b->item[1].topic->next_of_slot, b->item[0].topic);
    dp_topics_unlink(&b->ts, &b->item[1]);
    assert_ptr_equal(b->ts.by_slot[r.slot], b->item[0].topic);
}

static void a_topic_given_up_and_asked_for_again_is_found_anew(void **state)
{
    box *b = *state;
    dp_bus_ref r = bus_topic(b->bus, "INBOX");
    dp_topic *t = get(b, "INBOX");
    dp_topics_link(t, &b->item[0]);
    dp_bus_topic_drop(b->bus->w, r);
    assert_false(dp_bus_look(&b->bus->map, t->ref).is_current);
    dp_bus_ref again = bus_topic(b->bus, "INBOX");
    dp_topics_find(&b->ts, &b->bus->map, t);
    assert_int_equal(t->ref.gen, again.gen);
    assert_true(dp_bus_look(&b->bus->map, t->ref).is_current);
    assert_ptr_equal(b->ts.by_slot[again.slot], t);
}

static dp_bus_ref class_topic(box *b)
{
    return dp_bus_topic_add(b->bus->w, bus_key(b->bus, "*"), DP_BUS_NO_SLOT,
                            DP_BUS_TOPIC_CLASS);
}

static void a_folder_folded_into_its_class_has_the_class_s_slot(void **state)
{
    box *b = *state;
    dp_bus_ref all = class_topic(b);
    dp_topic *t = get(b, "Archive");
    dp_topics_link(t, &b->item[0]);
    dp_topics_settle(&b->ts, &b->bus->map, t, all);
    assert_int_equal(t->ref.slot, all.slot);
    assert_ptr_equal(b->ts.by_slot[all.slot], t);
}

static void a_slot_that_is_not_its_class_is_not_believed(void **state)
{
    box *b = *state;
    dp_bus_ref other = bus_topic(b->bus, "Other");
    dp_bus_ref all = class_topic(b);
    dp_topic *t = get(b, "Archive");
    dp_topics_link(t, &b->item[0]);
    dp_topics_settle(&b->ts, &b->bus->map, t, other);
    assert_int_equal(t->ref.slot, DP_BUS_NO_SLOT);
    dp_topics_settle(&b->ts, &b->bus->map, t,
                     (dp_bus_ref){all.slot, all.gen + 2});
    assert_int_equal(t->ref.slot, DP_BUS_NO_SLOT);
    dp_topics_settle(&b->ts, &b->bus->map, t, DP_BUS_NO_REF);
    assert_int_equal(t->ref.slot, DP_BUS_NO_SLOT);
    dp_topics_settle(&b->ts, NULL, t, all);
    assert_int_equal(t->ref.slot, DP_BUS_NO_SLOT);
}

static void without_a_bus_topics_wait_for_one(void **state)
{
    box *b = *state;
    dp_bus_ref r = bus_topic(b->bus, "INBOX");
    dp_topics_link(get(b, "INBOX"), &b->item[0]);
    dp_topics_link(get(b, "Work"), &b->item[1]);
    b->item[0].topic->answer = DP_TOPIC_OK;
    b->item[0].topic->asked_at_us = 5;
    dp_topics_rebind(&b->ts, NULL);
    assert_int_equal(b->item[0].topic->ref.slot, DP_BUS_NO_SLOT);
    assert_int_equal(b->item[0].topic->answer, DP_TOPIC_NOT_ASKED);
    dp_topic *t = dp_topics_get(&b->ts, NULL, DP_SPAN_LIT("alice"),
                                DP_CLASS_EMAIL, DP_SPAN_LIT("INBOX"));
    assert_ptr_equal(t, b->item[0].topic);
    dp_topics_rebind(&b->ts, &b->bus->map);
    assert_ptr_equal(get(b, "INBOX"), t);
    assert_int_equal(t->ref.slot, r.slot);
    assert_ptr_equal(b->ts.by_slot[r.slot], t);
}

/* Phones choose the names: under a key that they know, they would choose such
 * as all fall into one bucket. */
static void without_a_bus_names_are_hashed_under_a_key_of_our_own(void **state)
{
    static const uint8_t known[DP_HASH_KEY_SIZE];
    box *b = *state;
    dp_topics_rebind(&b->ts, NULL);
    dp_topic *t = dp_topics_get(&b->ts, NULL, DP_SPAN_LIT("alice"),
                                DP_CLASS_EMAIL, DP_SPAN_LIT("INBOX"));
    dp_topics_link(t, &b->item[0]);
    assert_false(dp_hash_is(t->node.key,
                            dp_topic_key(known, DP_SPAN_LIT("alice"),
                                         DP_CLASS_EMAIL, DP_SPAN_LIT("INBOX"))));
    dp_hash ours = dp_topic_key(dp_hash_own_key(), DP_SPAN_LIT("alice"),
                                DP_CLASS_EMAIL, DP_SPAN_LIT("INBOX"));
    assert_true(dp_hash_is(t->node.key, ours));
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(a_topic_is_one_for_all_who_name_it),
        BOX_TEST(the_last_who_leaves_frees_it),
        BOX_TEST(a_topic_that_comes_into_the_bus_later_is_found),
        BOX_TEST(names_of_one_mailbox_share_its_slot),
        BOX_TEST(a_topic_given_up_and_asked_for_again_is_found_anew),
        BOX_TEST(a_folder_folded_into_its_class_has_the_class_s_slot),
        BOX_TEST(a_slot_that_is_not_its_class_is_not_believed),
        BOX_TEST(without_a_bus_topics_wait_for_one),
        BOX_TEST(without_a_bus_names_are_hashed_under_a_key_of_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
