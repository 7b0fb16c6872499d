/* The bus under contention: one writer thread, reading threads, no locks.
 * Made for ThreadSanitizer; the claims hold without it too.
 *
 * DP_STRESS_N: changes that are published. */
#include <pthread.h>

#include "bus_fixture.h"

enum { READERS = 3, TOPICS = 8 };

typedef struct shared {
    bus_fixture *f;
    dp_bus_ref refs[TOPICS];
    /* of the first topic: the seq at each count */
    _Atomic uint64_t *seqs;
    _Atomic int is_done;
} shared;

/* Follow the journal as a child does: whatever is said or lapped, at the end
 * every topic's newest change must have been seen. */
static void *follow(void *arg)
{
    shared *s = arg;
    const dp_bus_map *map = &s->f->map;
    dp_bus_cursor cursor = {1};
    uint64_t seen[TOPICS] = {0};
    for (bool is_last = false;;) {
        dp_bus_event e;
        dp_bus_next next = dp_bus_catch_up(map, &cursor, &e);
        if (next == DP_BUS_NEXT_LAPPED) {
            for (int i = 0; i < TOPICS; i++) {
                dp_bus_view v = dp_bus_look(map, s->refs[i]);
                DP_ASSERT(!v.is_current || v.changed >= seen[i]);
                seen[i] = v.is_current ? v.changed : seen[i];
            }
        }
        else if (next == DP_BUS_NEXT_RECORD) {
            dp_bus_view v = dp_bus_look(map, e.ref);
            DP_ASSERT(!v.is_current || v.changed >= e.seq
                      || e.kind == DP_BUS_KIND_VOUCH);
            for (int i = 0; i < TOPICS; i++) {
                if (e.ref.slot == s->refs[i].slot
                    && e.kind != DP_BUS_KIND_VOUCH) {
                    seen[i] = e.seq;
                }
            }
        }
        else if (is_last) {
            break;
        }
        else {
            is_last = atomic_load(&s->is_done);
        }
    }
    for (int i = 0; i < TOPICS; i++) {
        DP_ASSERT(seen[i] == dp_bus_look(map, s->refs[i]).changed);
    }
    return NULL;
}

/* How many changes: new ones and others come by turns, and the count of these
 * comes round. */
static size_t count_of(const dp_bus_view *v)
{
    return 2 * (size_t)v->adds_n - (uint16_t)(v->adds_n - v->others_n);
}

/* A reference that was found names the topic of that key or nothing. */
static void *find(void *arg)
{
    shared *s = arg;
    const dp_bus_map *map = &s->f->map;
    dp_hash coming_and_going = bus_key(s->f, "Now and then");
    while (!atomic_load(&s->is_done)) {
        dp_bus_ref ref = dp_bus_find(map, coming_and_going);
        dp_bus_view v = dp_bus_look(map, ref);
        /* this topic is vouched for but never changed; others are changed */
        DP_ASSERT(!v.is_current || v.changed == 0);
        for (int i = 0; i < TOPICS; i++) {
            DP_ASSERT(dp_bus_look(map, s->refs[i]).is_current);
        }
        v = dp_bus_look(map, s->refs[0]);
        DP_ASSERT(!v.is_counted
                  || v.changed == atomic_load(&s->seqs[count_of(&v)]));
    }
    return NULL;
}

static long rounds(void)
{
    const char *n = getenv("DP_STRESS_N");
    return n ? atol(n) : 30000;
}

static void nothing_is_missed_and_nothing_is_torn(void **state)
{
    bus_fixture *f = *state;
    static shared s;
    pthread_t followers[READERS], finder;
    char name[32];
    const long n = rounds();
    s.f = f;
    s.seqs = calloc((size_t)n / TOPICS + 2, sizeof(*s.seqs));
    assert_non_null(s.seqs);
    for (int i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof(name), "F%d", i);
        s.refs[i] = bus_topic(f, name);
    }
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&followers[i], NULL, follow, &s), 0);
    }
    assert_int_equal(pthread_create(&finder, NULL, find, &s), 0);
    for (long i = 0; i < n; i++) {
        if (i % TOPICS == 0) {
            atomic_store(&s.seqs[i / TOPICS + 1], dp_bus_head(&f->map) + 1);
        }
        bool is_new = (i / TOPICS) % 2 == 0; /* count_of() */
        dp_bus_publish(f->w, s.refs[i % TOPICS], is_new, !is_new, i, NULL);
        if (i % 7 == 0) {
            dp_bus_ref r = bus_topic(f, "Now and then");
            dp_bus_vouch(f->w, r, 0);
            dp_bus_topic_drop(f->w, r);
            /* the slot may be taken by a topic that does change */
            r = bus_topic(f, "Somebody else");
            dp_bus_publish(f->w, r, 1, 0, i, NULL);
            dp_bus_topic_drop(f->w, r);
        }
        dp_bus_sign(f->w, i + 1);
    }
    atomic_store(&s.is_done, 1);
    for (int i = 0; i < READERS; i++) {
        pthread_join(followers[i], NULL);
    }
    pthread_join(finder, NULL);
    free(s.seqs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUS_TEST(nothing_is_missed_and_nothing_is_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
