/* set_fixture: a hold set with its bus, the way a child of Apache has them,
 * and Pings of several devices. The test plays keeper and workers. */
#ifndef SET_FIXTURE_H
#define SET_FIXTURE_H

#include <sys/eventfd.h>

#include "bus_fixture.h"
#include "hold/hold_set.h"
#include "wire/eas_ping.h"

#define SECOND DP_SECOND_US
#define MINUTE (60 * SECOND)
#define T0     (10000 * SECOND)

typedef struct set_world {
    bus_fixture *bus;
    dp_hold_set set;
    dp_spread_rate rate;
    dp_look_rules rules;
    dp_time_us now_us;
    int nudge_fd;
    uint64_t arrivals;
} set_world;

static inline int set_setup(void **state)
{
    set_world *w = calloc(1, sizeof(*w));
    void *bus;
    bus_setup(&bus);
    w->bus = bus;
    w->now_us = T0;
    w->nudge_fd = eventfd(0, EFD_NONBLOCK);
    w->rules = (dp_look_rules){.pace_us = 5 * SECOND,
                               .quiet_us = 30 * SECOND,
                               .blind_mail_us = 5 * MINUTE,
                               .blind_other_us = 30 * MINUTE};
    dp_hold_set_init(&w->set, &w->rate, 20, w->nudge_fd, T0);
    pthread_mutex_lock(&w->set.lock);
    dp_hold_set_rebind_locked(&w->set, &w->bus->map);
    w->set.is_alive = true;
    *state = w;
    return 0;
}

static inline int set_teardown(void **state)
{
    set_world *w = *state;
    void *bus = w->bus;
    while (w->set.all) {
        dp_hold *h = w->set.all;
        dp_hold_set_remove_locked(&w->set, h);
        dp_hold_free(&h);
    }
    dp_hold_set_rebind_locked(&w->set, NULL);
    pthread_mutex_unlock(&w->set.lock);
    dp_wheel_validate(&w->set.wheel);
    assert_int_equal(w->set.holds_n, 0);
    assert_int_equal(w->set.watching_n, 0);
    dp_hold_set_destroy(&w->set);
    bus_teardown(&bus);
    close(w->nudge_fd);
    free(w);
    dp_clock_fake(0);
    return 0;
}

static inline dp_bus_ref folder(set_world *w, const char *name)
{
    dp_bus_ref r = bus_topic(w->bus, name);
    if (dp_bus_look(&w->bus->map, r).watched_from == DP_BUS_UNWATCHED) {
        dp_bus_vouch(w->bus->w, r, 0);
    }
    return r;
}

static inline dp_who who(const char *device)
{
    return (dp_who){DP_SPAN_LIT("example.com"), DP_SPAN_LIT("alice"),
                    DP_SPAN_LIT("alice"), dp_span_str(device)};
}

static inline dp_hash device_key(const set_world *w, const char *device)
{
    dp_who alice = who(device);
    return dp_who_hash(w->bus->map.header->hash_key, &alice);
}

/* A Ping of ten minutes, linked, PARKING; its collections are clean now. */
static inline dp_hold *ping_of(set_world *w, const char *device,
                               const char *const *folders, size_t n)
{
    dp_hold_spec specs[8];
    dp_topic_spec names[8];
    dp_who alice = who(device);
    for (size_t i = 0; i < n; i++) {
        specs[i] = (dp_hold_spec){.id = dp_span_str(folders[i]),
                                  .class_id = DP_CLASS_EMAIL,
                                  .synced_at_us = w->now_us,
                                  .mark = dp_bus_head(&w->bus->map)};
        names[i] = (dp_topic_spec){DP_CLASS_EMAIL, dp_span_str(folders[i])};
    }
    dp_hold *h = dp_hold_make(&alice, specs, n);
    h->rules = &w->rules;
    h->arrival = ++w->arrivals;
    h->ends_us = w->now_us + 10 * MINUTE;
    h->proof_until_us = w->now_us + 3600 * SECOND;
    dp_hold_set_link_locked(&w->set, h, names);
    return h;
}

static inline void hold_it(set_world *w, dp_hold *h)
{
    dp_verdict v = dp_hold_set_look_locked(&w->set, h, false, w->now_us);
    assert_int_equal(v.status, 0);
    assert_true(dp_hold_transit(h, DP_HOLD_PARKING, DP_HOLD_HELD));
}

static inline dp_hold *held(set_world *w, const char *device,
                            const char *folder_name)
{
    dp_hold *h = ping_of(w, device, &folder_name, 1);
    hold_it(w, h);
    return h;
}

static inline uint64_t arrives(set_world *w, dp_bus_ref r)
{
    return dp_bus_publish(w->bus->w, r, 1, 0, w->now_us, NULL);
}

/* How many were claimed since; they are the keeper's now. */
static inline size_t claimed(set_world *w)
{
    size_t n = 0;
    for (dp_hold *h = dp_hold_set_ready_locked(&w->set); h;
         h = h->ready_next) {
        dp_hold_set_unwatch_locked(&w->set, h);
        n++;
    }
    return n;
}

/* The answer was sent, and settled so. */
static inline void settle(set_world *w, dp_hold *h, dp_hold_state to,
                          dp_time_us timer_us)
{
    pthread_mutex_unlock(&w->set.lock);
    dp_hold_set_settle(&w->set, h, to, timer_us);
    pthread_mutex_lock(&w->set.lock);
}

static inline dp_hold_state take(set_world *w, dp_hold *h)
{
    pthread_mutex_unlock(&w->set.lock);
    dp_hold_state from = dp_hold_set_worker_take(&w->set, h);
    pthread_mutex_lock(&w->set.lock);
    return from;
}

static inline void expire(set_world *w, dp_time_us after_us)
{
    w->now_us += after_us;
    dp_hold_set_expire_locked(&w->set, w->now_us);
}

static inline bool was_nudged(set_world *w)
{
    uint64_t n;
    return read(w->nudge_fd, &n, sizeof(n)) == sizeof(n);
}

#define SET_TEST(name)                                                         \
    cmocka_unit_test_setup_teardown(name, set_setup, set_teardown)

#endif
