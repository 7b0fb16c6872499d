/* bus_read and bus_write together: what a reader is told, and when. */
#include "bus_fixture.h"

static void publishing_reaches_topic_class_journal_and_head(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref all = dp_bus_topic_add(f->w, bus_key(f, "*"), DP_BUS_NO_SLOT,
                                      DP_BUS_TOPIC_CLASS);
    dp_bus_ref inbox = dp_bus_topic_add(f->w, bus_key(f, "INBOX"), all.slot, 0);
    dp_bus_cursor cursor = dp_bus_cursor_at_head(&f->map);
    dp_bus_event e;
    uint64_t prev;
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_NONE);

    uint64_t seq = dp_bus_publish(f->w, inbox, 1, 0, 77, &prev);
    assert_int_equal(prev, 0);
    dp_bus_view v = dp_bus_look(&f->map, inbox);
    assert_true(v.is_current);
    assert_int_equal(v.changed, seq);
    assert_int_equal(v.changed_new, seq);
    assert_int_equal(v.changed_at_us, 77);
    assert_int_equal(v.watched_from, DP_BUS_UNWATCHED);
    assert_int_equal(dp_bus_look(&f->map, all).changed, seq + 1);
    assert_int_equal(dp_bus_head(&f->map), seq + 1);

    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_RECORD);
    assert_int_equal(e.seq, seq);
    assert_int_equal(e.kind, DP_BUS_KIND_NEW);
    assert_int_equal(e.ref.slot, inbox.slot);
    assert_int_equal(e.ref.gen, inbox.gen);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_RECORD);
    assert_int_equal(e.ref.slot, all.slot);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_NONE);

    dp_bus_publish(f->w, inbox, 0, 1, 78, &prev);
    assert_int_equal(prev, seq);
    assert_int_equal(dp_bus_look(&f->map, inbox).changed_new, seq);
}

static void changes_are_counted_since_vouching_began(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref all = dp_bus_topic_add(f->w, bus_key(f, "*"), DP_BUS_NO_SLOT,
                                      DP_BUS_TOPIC_CLASS);
    dp_bus_ref inbox = dp_bus_topic_add(f->w, bus_key(f, "INBOX"), all.slot, 0);
    uint64_t from = dp_bus_vouch(f->w, inbox, 0);
    dp_bus_publish(f->w, inbox, 3, 0, 1, NULL);
    dp_bus_publish(f->w, inbox, 0, 0, 1, NULL);
    assert_true(dp_bus_look(&f->map, inbox).is_counted);
    assert_int_equal(dp_bus_look(&f->map, inbox).adds_n, 3);
    assert_int_equal(dp_bus_look(&f->map, all).adds_n, 3);
    uint16_t others = dp_bus_look(&f->map, inbox).others_n;
    assert_int_equal(dp_bus_look(&f->map, all).others_n, others);
    dp_bus_publish(f->w, inbox, 2, 5, 1, NULL);
    assert_int_equal(dp_bus_look(&f->map, inbox).adds_n, 5);
    assert_int_equal(dp_bus_look(&f->map, inbox).others_n, others + 5);
    dp_bus_publish(f->w, inbox, UINT32_MAX, UINT32_MAX, 1, NULL);
    assert_int_equal(dp_bus_look(&f->map, inbox).adds_n, 5 + DP_BUS_MANY);
    dp_bus_unvouch(f->w, inbox);
    dp_bus_vouch_again(f->w, inbox, from);
    assert_int_equal(dp_bus_look(&f->map, inbox).adds_n, 5 + DP_BUS_MANY);
    /* set again, as when directpushd comes back */
    dp_bus_topic_add(f->w, bus_key(f, "INBOX"), all.slot, 0);
    assert_int_equal(dp_bus_look(&f->map, inbox).adds_n, 5 + DP_BUS_MANY);
    dp_bus_vouch(f->w, inbox, 0);
    assert_true(dp_bus_look(&f->map, inbox).is_counted);
    assert_int_equal(dp_bus_look(&f->map, inbox).adds_n, 0);
}

/* It never begins anew by itself: a number that came round would be small. */
static void a_count_that_is_full_is_no_count_any_more(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_vouch(f->w, inbox, 0);
    for (uint32_t n = 0; n < DP_BUS_COUNT_MAX / DP_BUS_MANY; n++) {
        dp_bus_publish(f->w, inbox, DP_BUS_MANY, 0, 1, NULL);
        assert_true(dp_bus_look(&f->map, inbox).is_counted);
    }
    for (int i = 0; i < 2; i++) {
        dp_bus_publish(f->w, inbox, DP_BUS_MANY, 0, 1, NULL);
        assert_false(dp_bus_look(&f->map, inbox).is_counted);
    }
    dp_bus_vouch(f->w, inbox, 0);
    assert_true(dp_bus_look(&f->map, inbox).is_counted);
}

/* This one may: what is made of it is a likelihood. The seq beside it stays. */
static void the_count_of_others_comes_round(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_vouch(f->w, inbox, 0);
    uint64_t seq = dp_bus_publish(f->w, inbox, 1, 3, 1, NULL);
    for (uint32_t n = 0; n < (UINT16_MAX + 1) / DP_BUS_MANY; n++) {
        dp_bus_publish(f->w, inbox, 0, DP_BUS_MANY, 1, NULL);
        dp_bus_view v = dp_bus_look(&f->map, inbox);
        assert_true(v.is_counted);
        assert_int_equal(v.changed_new, seq);
        assert_int_equal(v.adds_n, 1);
        assert_int_equal(v.others_n,
                         (uint16_t)(3 + (n + 1) * DP_BUS_MANY));
    }
    assert_int_equal(dp_bus_look(&f->map, inbox).others_n, 3);
}

static void vouching_takes_a_seq_of_its_own_each_way(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_cursor cursor = dp_bus_cursor_at_head(&f->map);
    dp_bus_event e;
    uint64_t from = dp_bus_vouch(f->w, inbox, 0);
    assert_int_equal(dp_bus_look(&f->map, inbox).watched_from, from);
    assert_int_equal(dp_bus_head(&f->map), from);
    dp_bus_unvouch(f->w, inbox);
    assert_int_equal(dp_bus_look(&f->map, inbox).watched_from,
                     DP_BUS_UNWATCHED);
    dp_bus_unvouch(f->w, inbox); /* says nothing twice */
    assert_int_equal(dp_bus_head(&f->map), from + 1);
    dp_bus_vouch_again(f->w, inbox, from);
    assert_int_equal(dp_bus_look(&f->map, inbox).watched_from, from);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e),
                         DP_BUS_NEXT_RECORD);
        assert_int_equal(e.kind, DP_BUS_KIND_VOUCH);
    }
    assert_int_equal(e.arg, from);
    assert_int_equal(atomic_load(&f->map.header->topics_watched), 1);
}

static void a_lapped_reader_is_told_and_goes_on_at_the_head(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_cursor cursor = dp_bus_cursor_at_head(&f->map);
    dp_bus_event e;
    for (int i = 0; i < 64; i++) {
        dp_bus_publish(f->w, inbox, 1, 0, 1, NULL);
    }
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_RECORD);
    dp_bus_publish(f->w, inbox, 1, 0, 1, NULL);
    dp_bus_publish(f->w, inbox, 1, 0, 1, NULL);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_LAPPED);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_NONE);
    uint64_t seq = dp_bus_publish(f->w, inbox, 1, 0, 1, NULL);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_RECORD);
    assert_int_equal(e.seq, seq);
}

static void a_raised_head_makes_readers_compare_all(void **state)
{
    bus_fixture *f = *state;
    dp_bus_cursor cursor = dp_bus_cursor_at_head(&f->map);
    dp_bus_event e;
    uint64_t head = dp_bus_head(&f->map);
    dp_bus_raise_head(f->w, head + 5);
    dp_bus_raise_head(f->w, head); /* never down */
    assert_int_equal(dp_bus_head(&f->map), head + 5);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_LAPPED);
    cursor.next = head + 100; /* of another file */
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_LAPPED);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_NONE);
}

static void a_slot_that_changed_hands_is_not_current(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_vouch(f->w, inbox, 0);
    dp_bus_topic_drop(f->w, inbox);
    dp_bus_view v = dp_bus_look(&f->map, inbox);
    assert_false(v.is_current);
    assert_int_equal(v.watched_from, DP_BUS_UNWATCHED);
    assert_int_equal(dp_bus_find(&f->map, bus_key(f, "INBOX")).slot,
                     DP_BUS_NO_SLOT);
    dp_bus_ref again = bus_topic(f, "INBOX");
    assert_true(again.gen != inbox.gen);
    assert_false(dp_bus_look(&f->map, inbox).is_current);
    assert_true(dp_bus_look(&f->map, again).is_current);
    assert_int_equal(dp_bus_publish(f->w, inbox, 1, 0, 1, NULL), 0);
    assert_false(dp_bus_look(&f->map, DP_BUS_NO_REF).is_current);
    assert_false(dp_bus_look(&f->map, (dp_bus_ref){1u << 30, 2}).is_current);
}

static void adding_a_topic_twice_gives_the_same_slot(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref a = bus_topic(f, "INBOX");
    dp_bus_ref b = bus_topic(f, "INBOX");
    assert_int_equal(a.slot, b.slot);
    assert_int_equal(a.gen, b.gen);
    assert_int_equal(atomic_load(&f->map.header->topics_used), 1);
}

static void an_alias_leads_to_its_topic_until_that_is_gone(void **state)
{
    bus_fixture *f = *state;
    dp_hash alias = bus_key(f, "/guid/00112233445566778899aabbccddeeff");
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_ref sent = bus_topic(f, "Sent");
    assert_true(dp_bus_alias_set(f->w, alias, inbox));
    assert_int_equal(dp_bus_find(&f->map, alias).slot, inbox.slot);
    assert_true(dp_bus_alias_set(f->w, alias, sent));
    assert_int_equal(dp_bus_find(&f->map, alias).slot, sent.slot);
    dp_bus_topic_drop(f->w, sent);
    assert_int_equal(dp_bus_find(&f->map, alias).slot, DP_BUS_NO_SLOT);
    assert_false(dp_bus_alias_set(f->w, alias, sent));
    assert_true(dp_bus_alias_set(f->w, alias, inbox));
    dp_bus_alias_drop(f->w, alias);
    assert_int_equal(dp_bus_find(&f->map, alias).slot, DP_BUS_NO_SLOT);
    dp_bus_alias_drop(f->w, bus_key(f, "INBOX")); /* no alias: stays */
    assert_int_equal(dp_bus_find(&f->map, bus_key(f, "INBOX")).slot,
                     inbox.slot);
}

static void a_dropped_class_is_changed_by_nobody(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref all = dp_bus_topic_add(f->w, bus_key(f, "*"), DP_BUS_NO_SLOT,
                                      DP_BUS_TOPIC_CLASS);
    dp_bus_ref inbox = dp_bus_topic_add(f->w, bus_key(f, "INBOX"), all.slot, 0);
    dp_bus_topic_drop(f->w, all);
    uint64_t seq = dp_bus_publish(f->w, inbox, 1, 0, 1, NULL);
    assert_int_equal(dp_bus_head(&f->map), seq);
}

static void a_class_is_left_by_members_old_and_new(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref all = dp_bus_topic_add(f->w, bus_key(f, "*"), DP_BUS_NO_SLOT,
                                      DP_BUS_TOPIC_CLASS);
    dp_bus_ref old = dp_bus_topic_add(f->w, bus_key(f, "old"), all.slot, 0);
    dp_bus_ref gone = dp_bus_topic_add(f->w, bus_key(f, "gone"), all.slot, 0);
    dp_bus_topic_add(f->w, bus_key(f, "old"), all.slot, 0); /* once more */
    /* a later writer has them from the table */
    dp_bus_problem problem;
    dp_bus_close(&f->w, false);
    assert_int_equal(dp_bus_reopen(&f->w, f->path, &problem), APR_SUCCESS);
    dp_bus_ref young = bus_topic(f, "young");
    dp_bus_topic_set_class(f->w, young, all.slot);
    dp_bus_topic_drop(f->w, gone);
    dp_bus_topic_drop(f->w, all);
    uint64_t head = dp_bus_head(&f->map);
    dp_bus_publish(f->w, old, 1, 0, 1, NULL);
    dp_bus_publish(f->w, young, 1, 0, 1, NULL);
    assert_int_equal(dp_bus_head(&f->map), head + 2);
}

static void a_full_table_says_so_and_room_comes_back(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref refs[56];
    char name[32];
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 56; i++) {
            snprintf(name, sizeof(name), "F%d.%d", round, i);
            refs[i] = bus_topic(f, name);
            assert_true(refs[i].slot != DP_BUS_NO_SLOT);
        }
        assert_int_equal(bus_topic(f, "more").slot, DP_BUS_NO_SLOT);
        for (int i = 0; i < 56; i++) {
            snprintf(name, sizeof(name), "F%d.%d", round, i);
            assert_int_equal(dp_bus_find(&f->map, bus_key(f, name)).slot,
                             refs[i].slot);
            dp_bus_topic_drop(f->w, refs[i]);
        }
    }
    assert_int_equal(atomic_load(&f->map.header->topics_used), 0);
}

static void tells_are_journalled_and_a_forget_leaves_its_seq(void **state)
{
    bus_fixture *f = *state;
    dp_bus_cursor cursor = dp_bus_cursor_at_head(&f->map);
    dp_bus_event e;
    dp_hash h = {{3, 4}};
    dp_bus_tell(f->w, DP_BUS_KIND_PING, h, 99);
    uint64_t seq = dp_bus_tell(f->w, DP_BUS_KIND_FORGET, h, 1);
    assert_int_equal(dp_bus_catch_up(&f->map, &cursor, &e), DP_BUS_NEXT_RECORD);
    assert_int_equal(e.kind, DP_BUS_KIND_PING);
    assert_int_equal(e.arg, 99);
    assert_true(dp_hash_is(e.hash, h));
    assert_int_equal(e.ref.slot, DP_BUS_NO_SLOT);
    assert_int_equal(atomic_load(&f->map.header->forget_seq), seq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUS_TEST(publishing_reaches_topic_class_journal_and_head),
        BUS_TEST(changes_are_counted_since_vouching_began),
        BUS_TEST(a_count_that_is_full_is_no_count_any_more),
        BUS_TEST(the_count_of_others_comes_round),
        BUS_TEST(vouching_takes_a_seq_of_its_own_each_way),
        BUS_TEST(a_lapped_reader_is_told_and_goes_on_at_the_head),
        BUS_TEST(a_raised_head_makes_readers_compare_all),
        BUS_TEST(a_slot_that_changed_hands_is_not_current),
        BUS_TEST(adding_a_topic_twice_gives_the_same_slot),
        BUS_TEST(an_alias_leads_to_its_topic_until_that_is_gone),
        BUS_TEST(a_dropped_class_is_changed_by_nobody),
        BUS_TEST(a_class_is_left_by_members_old_and_new),
        BUS_TEST(a_full_table_says_so_and_room_comes_back),
        BUS_TEST(tells_are_journalled_and_a_forget_leaves_its_seq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
