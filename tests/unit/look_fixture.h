/* look_fixture: one hold of alice's device, a bus, and the clock in hand.
 *
 * Times are absolute: the world begins at second 10000. `look()` decides as a
 * timer or a change would, `last_look()` as the hold's end would.
 */
#ifndef LOOK_FIXTURE_H
#define LOOK_FIXTURE_H

#include "bus_fixture.h"
#include "hold/hold_set.h"
#include "wire/eas_ping.h"

#define SECOND DP_SECOND_US
#define MINUTE (60 * SECOND)
#define T0     (10000 * SECOND)

/* A collection of the Ping: its topic's folder (NULL: nobody can know it),
 * what the device store says of it. */
typedef struct look_item {
    const char *folder;
    dp_class class_id;
    dp_hold_spec known;
} look_item;

typedef struct world {
    bus_fixture *bus;
    dp_topics topics;
    dp_look_rules rules;
    dp_time_us now_us;
    bool is_alive;
    dp_hold *hold;
} world;

static inline int world_setup(void **state)
{
    world *w = calloc(1, sizeof(*w));
    void *bus;
    bus_setup(&bus);
    w->bus = bus;
    w->now_us = T0;
    w->is_alive = true;
    w->rules = (dp_look_rules){.pace_us = 5 * SECOND,
                               .quiet_us = 30 * SECOND,
                               .blind_mail_us = 5 * MINUTE,
                               .blind_other_us = 30 * MINUTE};
    dp_topics_rebind(&w->topics, &w->bus->map);
    *state = w;
    return 0;
}

static inline void drop_hold(world *w)
{
    for (uint32_t k = 0; w->hold && k < w->hold->items_n; k++) {
        dp_topics_unlink(&w->topics, &w->hold->items[k]);
    }
    dp_hold_free(&w->hold);
}

static inline int world_teardown(void **state)
{
    world *w = *state;
    void *bus = w->bus;
    drop_hold(w);
    dp_topics_free(&w->topics);
    bus_teardown(&bus);
    free(w);
    return 0;
}

static inline dp_bus_ref topic(world *w, const char *folder, dp_class c)
{
    return dp_bus_topic_add(w->bus->w,
                            dp_topic_key(w->bus->map.header->hash_key,
                                         dp_span_str("alice"), c,
                                         dp_span_str(folder)),
                            DP_BUS_NO_SLOT, 0);
}

/* A mail folder that is vouched for. */
static inline dp_bus_ref mail(world *w, const char *folder)
{
    dp_bus_ref r = topic(w, folder, DP_CLASS_EMAIL);
    dp_bus_vouch(w->bus->w, r, 0);
    return r;
}

static inline dp_bus_ref hierarchy(world *w)
{
    dp_bus_ref r = topic(w, "*", DP_CLASS_HIERARCHY);
    dp_bus_vouch(w->bus->w, r, 0);
    return r;
}

static inline uint64_t head(const world *w)
{
    return dp_bus_head(&w->bus->map);
}

static inline uint64_t arrives(world *w, dp_bus_ref r)
{
    return dp_bus_publish(w->bus->w, r, 1, 0, w->now_us, NULL);
}

static inline uint64_t is_flagged(world *w, dp_bus_ref r)
{
    return dp_bus_publish(w->bus->w, r, 0, 1, w->now_us, NULL);
}

static inline void passes(world *w, dp_time_us span_us)
{
    w->now_us += span_us;
}

/* A Ping of 10 minutes with these collections. */
static inline void ping(world *w, const look_item *items, size_t n)
{
    static const dp_who alice = {DP_SPAN_LIT("example.com"),
                                 DP_SPAN_LIT("alice"), DP_SPAN_LIT("alice"),
                                 DP_SPAN_LIT("PHONE1")};
    dp_hold_spec specs[32];
    char ids[32][8];
    for (size_t i = 0; i < n; i++) {
        specs[i] = items[i].known;
        specs[i].class_id = items[i].class_id;
        snprintf(ids[i], sizeof(ids[i]), "id%zu", i);
        specs[i].id = items[i].class_id == DP_CLASS_HIERARCHY
                          ? dp_span_of(NULL, 0)
                          : dp_span_str(ids[i]);
    }
    drop_hold(w);
    w->hold = dp_hold_make(&alice, specs, n);
    for (size_t i = 0; i < n; i++) {
        if (items[i].folder) {
            dp_topics_link(dp_topics_get(&w->topics, &w->bus->map,
                                         alice.user, items[i].class_id,
                                         dp_span_str(items[i].folder)),
                           &w->hold->items[i]);
        }
    }
    w->hold->rules = &w->rules;
    w->hold->linked_seq = head(w);
    w->hold->ends_us = w->now_us + 10 * MINUTE;
    w->hold->proof_until_us = w->now_us + 3600 * SECOND;
}

/* Every answer names as many as it says, never the hierarchy. */
static inline dp_verdict judged(world *w, bool is_final)
{
    dp_verdict v = dp_look(w->hold, &w->bus->map, w->is_alive, &w->rules,
                           is_final, w->now_us);
    unsigned named = 0;
    for (uint32_t k = 0; k < w->hold->items_n; k++) {
        const dp_hold_item *i = &w->hold->items[k];
        named += i->was_announced_now;
        assert_false(i->was_announced_now
                     && i->class_id == DP_CLASS_HIERARCHY);
    }
    assert_int_equal(named, v.named_n);
    assert_true((v.status == DP_PING_CHANGES) == (named > 0));
    assert_true(v.status || v.wake_us > w->now_us);
    assert_false(is_final && !v.status);
    return v;
}

static inline dp_verdict look(world *w)
{
    return judged(w, false);
}

static inline dp_verdict last_look(world *w)
{
    return judged(w, true);
}

static inline bool is_named(const world *w, uint32_t k)
{
    return w->hold->items[k].was_announced_now;
}

static inline void assert_waits_until(world *w, dp_time_us until_us)
{
    dp_verdict v = look(w);
    assert_int_equal(v.status, 0);
    assert_int_equal(v.wake_us, until_us);
}

/* What is due waits for nothing but a moment of DirectPushProvoke. */
static inline void assert_wants_provoke(world *w)
{
    dp_verdict v = look(w);
    assert_int_equal(v.status, 0);
    assert_true(v.wants_provoke);
}

static inline dp_verdict look_with_moment(world *w)
{
    w->hold->provoke_at_us = w->now_us;
    return look(w);
}

/* The answer is on its way, and the device Pings again without a Sync. */
static inline void announced_again(world *w)
{
    for (uint32_t k = 0; k < w->hold->items_n; k++) {
        dp_hold_item *i = &w->hold->items[k];
        if (i->was_announced_now) {
            i->announced_n =
                i->seq_now == i->announced_seq ? i->announced_n + 1 : 1;
            i->announced_seq = i->seq_now;
            i->announced_at_us = w->now_us;
        }
    }
    w->hold->provoke_at_us = 0;
}

#define LOOK_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

#define PING(w, ...)                                                           \
    do {                                                                       \
        const look_item list_[] = {__VA_ARGS__};                               \
        ping(w, list_, sizeof(list_) / sizeof(*list_));                        \
    } while (0)

#endif
