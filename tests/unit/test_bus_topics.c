/* bus_topics: what is asked with a slot whose meaning has changed since, and
 * names that change from topic to alias. */
#include "bus_fixture.h"

static dp_bus_ref find(const bus_fixture *f, const char *folder)
{
    return dp_bus_find(&f->map, bus_key(f, folder));
}

static uint32_t used(const bus_fixture *f)
{
    return atomic_load(&f->map.header->topics_used);
}

static uint32_t watched(const bus_fixture *f)
{
    return atomic_load(&f->map.header->topics_watched);
}

static void a_topic_that_is_gone_takes_nothing_more(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref ref = bus_topic(f, "INBOX");
    dp_hash key;
    dp_bus_vouch(f->w, ref, 0);
    assert_true(dp_bus_key_of(&f->map, ref, &key));
    dp_bus_topic_drop(f->w, ref);
    uint64_t head = dp_bus_head(&f->map), prev = 7;
    assert_int_equal(dp_bus_vouch(f->w, ref, 0), 0);
    dp_bus_vouch_again(f->w, ref, 1);
    dp_bus_unvouch(f->w, ref);
    dp_bus_renewed(f->w, ref, DP_SECOND_US);
    dp_bus_topic_set_class(f->w, ref, 3);
    dp_bus_topic_drop(f->w, ref);
    assert_int_equal(dp_bus_publish(f->w, ref, 1, 0, 1, &prev), 0);
    assert_int_equal(prev, 0);
    assert_false(dp_bus_alias_set(f->w, bus_key(f, "alias"), ref));
    assert_int_equal(dp_bus_head(&f->map), head); /* nobody was told anything */
    assert_false(dp_bus_key_of(&f->map, ref, &key));
    assert_int_equal(used(f), 0);
    assert_int_equal(watched(f), 0);
}

static void a_slot_beyond_the_table_is_nobodys(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref beyond = {f->map.topic_cap, 2};
    dp_hash key;
    assert_false(dp_bus_key_of(&f->map, beyond, &key));
    assert_false(dp_bus_key_of(&f->map, DP_BUS_NO_REF, &key));
    assert_false(dp_bus_look(&f->map, beyond).is_current);
    assert_int_equal(dp_bus_vouch(f->w, beyond, 0), 0);
}

/* A folder that was watched becomes another name of a mailbox: who holds the
 * topic goes blind, and finds the other one when it asks by name. */
static void a_watched_topic_may_become_an_alias(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX"), old = bus_topic(f, "Old");
    dp_bus_vouch(f->w, inbox, 0);
    dp_bus_vouch(f->w, old, 0);
    assert_int_equal(watched(f), 2);
    assert_true(dp_bus_alias_set(f->w, bus_key(f, "Old"), inbox));
    assert_int_equal(watched(f), 1);
    assert_int_equal(used(f), 2);
    assert_false(dp_bus_look(&f->map, old).is_current);
    assert_int_equal(find(f, "Old").slot, inbox.slot);
}

static void an_alias_is_set_once_and_may_move(void **state)
{
    bus_fixture *f = *state;
    dp_bus_ref inbox = bus_topic(f, "INBOX"), sent = bus_topic(f, "Sent");
    dp_hash alias = bus_key(f, "/guid/0123456789abcdef0123456789abcdef");
    assert_true(dp_bus_alias_set(f->w, alias, inbox));
    uint32_t n = used(f);
    assert_true(dp_bus_alias_set(f->w, alias, inbox));
    assert_int_equal(used(f), n);
    assert_true(dp_bus_alias_set(f->w, alias, sent));
    assert_int_equal(used(f), n);
    assert_int_equal(dp_bus_find(&f->map, alias).slot, sent.slot);
    dp_bus_topic_drop(f->w, sent); /* the alias leads nowhere then */
    assert_int_equal(dp_bus_find(&f->map, alias).slot, DP_BUS_NO_SLOT);
    dp_bus_alias_drop(f->w, alias);
    dp_bus_alias_drop(f->w, bus_key(f, "INBOX")); /* a topic is no alias */
    assert_true(dp_bus_look(&f->map, inbox).is_current);
    assert_int_equal(used(f), 1);
}

static void a_full_table_takes_neither_topic_nor_alias(void **state)
{
    bus_fixture *f = *state;
    char name[16];
    dp_bus_ref ref = bus_topic(f, "INBOX"), last = ref;
    for (int i = 0; last.slot != DP_BUS_NO_SLOT; i++) {
        assert_true(i < 64);
        snprintf(name, sizeof(name), "F%d", i);
        last = bus_topic(f, name);
    }
    assert_int_equal(used(f), 64 / 8 * 7);
    assert_false(dp_bus_alias_set(f->w, bus_key(f, "alias"), ref));
    dp_bus_topic_drop(f->w, ref);
    assert_int_not_equal(bus_topic(f, "more").slot, DP_BUS_NO_SLOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUS_TEST(a_topic_that_is_gone_takes_nothing_more),
        BUS_TEST(a_slot_beyond_the_table_is_nobodys),
        BUS_TEST(a_watched_topic_may_become_an_alias),
        BUS_TEST(an_alias_is_set_once_and_may_move),
        BUS_TEST(a_full_table_takes_neither_topic_nor_alias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
