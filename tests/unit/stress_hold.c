/* Holds under load: threads as httpd's workers, a keeper, a clerk, and a
 * watcher that publishes, gives topics up and replaces its bus. Made for the
 * sanitizers; the claims hold without them too:
 *
 *  - a connection has one owner at a time (the word `owner` of each)
 *  - no change is lost: when all has come to rest, no hold that is held still
 *    misses anything; no answer says "nothing" over what came before its end
 *  - everything ends, and is freed
 *
 * Children come and go: each is stopped while its workers go on.
 *
 * DP_STRESS_N: transitions of holds, at least.
 */
#include <sched.h>

#include "bus_fixture.h"
#include "fake_watcher.h"
#include "hold/keeper.h"
#include "wire/eas_ping.h"

enum { CONNS = 48, FOLDERS = 12, PER_PING = 3, WORKERS = 4 };

enum { NOBODY, WORKER, KEEPER, CLERK };

/* A phone's connection. Two of them are of one device. */
typedef struct conn {
    _Atomic int owner;       /* who touches the connection */
    _Atomic bool is_busy;    /* the MPM has given it to a worker */
    dp_hold *hold;           /* whoever is busy with it */
    _Atomic uintptr_t seen;  /* the same, for the judge */
    int folder[PER_PING];
    _Atomic uint64_t mark[PER_PING]; /* what the phone has */
} conn;

typedef struct shared {
    fake_watcher *fw;
    dp_keeper *k;
    dp_clerk *clerk;
    dp_spread_rate provoke;
    dp_look_rules rules;
    dp_counters *counters;
    uint64_t instance; /* every new file carries it on */
    conn conn[CONNS];
    char name[FOLDERS][8], device[CONNS][8];
    pthread_mutex_t lock; /* the books of the publisher */
    uint64_t published[FOLDERS];
    dp_time_us published_at_us[FOLDERS];
    _Atomic int64_t replaced_until_us; /* the keeper has the new bus since */
    _Atomic uint64_t arrivals;
    _Atomic bool is_resting, is_over;
    _Atomic unsigned resting_n;
    _Atomic uint64_t parks_n, answers_n, takes_n, closes_n, publishes_n;
} shared;

static shared s;

static unsigned dice(unsigned *seed, unsigned sides)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % sides;
}

static void own(conn *c, int who)
{
    int none = NOBODY;
    DP_ASSERT(atomic_compare_exchange_strong(&c->owner, &none, who));
}

static void hand_over(conn *c, int from, int to)
{
    DP_ASSERT(atomic_compare_exchange_strong(&c->owner, &from, to));
}

/* The oracle. */

static void books_of(int folder, uint64_t *seq, dp_time_us *at_us)
{
    pthread_mutex_lock(&s.lock);
    *seq = s.published[folder];
    *at_us = s.published_at_us[folder];
    pthread_mutex_unlock(&s.lock);
}

/* "Nothing changed" was said of what was looked at not before `since_us`.
 * While a bus is being replaced all is blind. */
static void judge(const conn *c, const dp_verdict *v, dp_time_us since_us)
{
    if (since_us <= atomic_load(&s.replaced_until_us)) {
        return;
    }
    for (int i = 0; i < PER_PING && v->status == DP_PING_NOTHING; i++) {
        uint64_t seq, mark = atomic_load(&c->mark[i]);
        dp_time_us at_us;
        books_of(c->folder[i], &seq, &at_us);
        DP_ASSERT(seq <= mark || at_us >= since_us);
    }
}

/* The phone does as it is told: what is named it Syncs. */
static uint64_t head_now(void)
{
    dp_bus_handle *bus = dp_keeper_bus(s.k);
    uint64_t head = bus ? dp_bus_head(&bus->map) : 0;
    dp_keeper_bus_release(&bus);
    return head;
}

static void sync_named(conn *c, const dp_hold *h)
{
    uint64_t head = head_now();
    for (int i = 0; i < PER_PING; i++) {
        if (h->items[i].was_announced_now) {
            atomic_store(&c->mark[i], head);
        }
    }
}

/* Hooks. */

typedef struct finish_job {
    dp_clerk_job job;
    conn *conn;
    dp_hold *hold;
} finish_job;

static dp_clerk_job *finish(dp_clerk_job *job)
{
    finish_job *f = (finish_job *)job;
    dp_clerk_job *next = job->next;
    conn *c = f->conn;
    dp_hold *h = f->hold;
    static unsigned seed = 7; /* the clerk is one thread */
    free(f);
    hand_over(c, CLERK, NOBODY);
    dp_hold_state to = h->must_close || !dice(&seed, 4) ? DP_HOLD_CLOSING
                                                        : DP_HOLD_IDLE;
    if (to == DP_HOLD_CLOSING && !dice(&seed, 3)) {
        to = DP_HOLD_SHUT;
    }
    dp_hold_set_settle(dp_keeper_set(s.k), h, to,
                       to == DP_HOLD_SHUT
                           ? 0
                           : dp_clock_mono_us() + dice(&seed, 5000));
    return next;
}

static void on_answer(dp_hold *hold)
{
    conn *c = hold->owner;
    own(c, KEEPER);
    atomic_fetch_add(&s.answers_n, 1);
    if (hold->verdict.cause == DP_CAUSE_HEARTBEAT) {
        judge(c, &hold->verdict, hold->ends_us);
    }
    sync_named(c, hold);
    finish_job *f = calloc(1, sizeof(*f));
    *f = (finish_job){{NULL, finish}, c, hold};
    hand_over(c, KEEPER, CLERK);
    dp_clerk_post(s.clerk, &f->job);
}

static void on_close(dp_hold *hold)
{
    conn *c = hold->owner;
    own(c, KEEPER);
    atomic_fetch_add(&s.closes_n, 1);
    hand_over(c, KEEPER, NOBODY);
    dp_hold_set_settle(dp_keeper_set(s.k), hold,
                       hold->is_half_closed ? DP_HOLD_SHUT : DP_HOLD_CLOSING,
                       hold->is_half_closed ? 0 : dp_clock_mono_us() + 1000);
}

static void on_forget(void *ctx, dp_hash who, uint64_t arg,
                      const dp_bus_map *bus)
{
}

static void on_tick(void *ctx)
{
}

/* Workers. */

static dp_who who(const conn *c)
{
    return (dp_who){DP_SPAN_LIT("example.com"), DP_SPAN_LIT("alice"),
                    DP_SPAN_LIT("alice"),
                    dp_span_str(s.device[(c - s.conn) / 2])};
}

static void let_go(conn *c)
{
    atomic_store(&c->seen, 0);
    dp_keeper_worker_free(s.k, &c->hold);
}

/* The worker's last touch: the connection is the MPM's now. */
static void release(conn *c)
{
    hand_over(c, WORKER, NOBODY);
}

static void park(conn *c, unsigned *seed)
{
    dp_hold_spec specs[PER_PING];
    dp_topic_spec names[PER_PING];
    dp_who he = who(c);
    dp_time_us now = dp_clock_mono_us();
    for (int i = 0; i < PER_PING; i++) {
        dp_span name = dp_span_str(s.name[c->folder[i]]);
        specs[i] = (dp_hold_spec){.id = name, .class_id = DP_CLASS_EMAIL,
                                  .mark = atomic_load(&c->mark[i]),
                                  .synced_at_us = now};
        names[i] = (dp_topic_spec){DP_CLASS_EMAIL, name};
    }
    dp_hold *h = dp_hold_make(&he, specs, PER_PING);
    h->rules = &s.rules;
    h->owner = c;
    h->arrival = atomic_fetch_add(&s.arrivals, 1) + 1;
    h->ends_us = now + (dice(seed, 2) ? dice(seed, 20000) + 1
                                      : 600 * DP_SECOND_US);
    h->proof_until_us = now + 3600 * DP_SECOND_US;
    own(c, WORKER);
    c->hold = h;
    atomic_fetch_add(&s.parks_n, 1);
    dp_verdict v = dp_keeper_worker_park(s.k, h, names);
    if (v.status) {
        judge(c, &v, now);
        sync_named(c, h);
        release(c);
        let_go(c);
        return;
    }
    atomic_store(&c->seen, (uintptr_t)h);
    release(c);
    dp_keeper_worker_held(s.k, h);
}

static void end(conn *c, dp_hold_cause cause)
{
    dp_time_us now = dp_clock_mono_us();
    dp_verdict v = dp_keeper_worker_end(s.k, c->hold, cause);
    judge(c, &v, now);
    sync_named(c, c->hold);
    release(c);
    let_go(c);
}

static void repark(conn *c)
{
    dp_time_us now = dp_clock_mono_us();
    dp_verdict v = dp_keeper_worker_repark(s.k, c->hold);
    if (v.status) {
        judge(c, &v, now);
        sync_named(c, c->hold);
        release(c);
        let_go(c);
        return;
    }
    release(c);
    dp_keeper_worker_held(s.k, c->hold);
}

/* The MPM resumes the connection: bytes, hang-up, or nothing at all. */
static void resume(conn *c, unsigned *seed)
{
    dp_hold_state from = dp_hold_set_worker_take(dp_keeper_set(s.k), c->hold);
    own(c, WORKER);
    atomic_fetch_add(&s.takes_n, 1);
    if (from != DP_HOLD_HELD) {
        release(c);
        let_go(c);
        return;
    }
    switch (dice(seed, 4)) {
    case 0:
        release(c);
        let_go(c); /* it hung up */
        break;
    case 1:
        end(c, DP_CAUSE_NEXT);
        break;
    default:
        repark(c);
        break;
    }
}

static void tell_mark(conn *c, unsigned *seed)
{
    int i = (int)dice(seed, PER_PING);
    uint64_t head = head_now();
    dp_who he = who(c);
    for (conn *each = s.conn; each < s.conn + CONNS; each++) {
        if ((each - s.conn) / 2 == (c - s.conn) / 2) {
            for (int f = 0; f < PER_PING; f++) {
                if (each->folder[f] == c->folder[i]) {
                    atomic_store(&each->mark[f], head);
                }
            }
        }
    }
    dp_keeper_mark(s.k, &he, dp_span_str(s.name[c->folder[i]]),
                   dp_mark_at(s.instance, head));
}

static void rest(void)
{
    atomic_fetch_add(&s.resting_n, 1);
    while (atomic_load(&s.is_resting)) {
        usleep(100);
    }
    atomic_fetch_sub(&s.resting_n, 1);
}

static void *worker(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    while (!atomic_load(&s.is_over)) {
        if (atomic_load(&s.is_resting)) {
            rest();
        }
        conn *c = &s.conn[dice(&seed, CONNS)];
        if (atomic_exchange(&c->is_busy, true)) {
            continue;
        }
        if (!c->hold) {
            park(c, &seed);
        }
        else {
            resume(c, &seed);
        }
        if (!dice(&seed, 50)) {
            tell_mark(c, &seed);
        }
        if (!dice(&seed, 200)) {
            dp_who he = who(c);
            dp_keeper_end(s.k, &he, DP_CAUSE_FORGET);
        }
        atomic_store(&c->is_busy, false);
    }
    return NULL;
}

/* The publisher. */

static void publish(int folder)
{
    dp_time_us now = dp_clock_mono_us();
    uint64_t seq = fw_publish(s.fw, s.name[folder], true);
    pthread_mutex_lock(&s.lock);
    s.published[folder] = seq;
    /* from when on everybody can know of it */
    s.published_at_us[folder] = dp_clock_mono_us();
    DP_ASSERT(s.published_at_us[folder] >= now);
    pthread_mutex_unlock(&s.lock);
    atomic_fetch_add(&s.publishes_n, 1);
}

/* What was published before a topic was given up is nobody's promise: who
 * asks for it anew starts from a fresh watched_from. */
static void give_up(int folder)
{
    pthread_mutex_lock(&s.lock);
    s.published[folder] = 0;
    pthread_mutex_unlock(&s.lock);
    fw_drop(s.fw, s.name[folder]);
}

static void vouch_all(void)
{
    for (int i = 0; i < FOLDERS; i++) {
        dp_bus_ref r = fw_topic(s.fw, s.name[i]);
        if (dp_bus_look(dp_bus_writer_map(s.fw->bus), r).watched_from
            == DP_BUS_UNWATCHED) {
            fw_vouch(s.fw, s.name[i]);
        }
    }
}

static void replace_bus(void)
{
    pthread_mutex_lock(&s.lock);
    memset(s.published, 0, sizeof(s.published));
    pthread_mutex_unlock(&s.lock);
    atomic_store(&s.replaced_until_us, INT64_MAX);
    fw_bus_new(s.fw, true);
    vouch_all();
    for (bool is_old = true; is_old;) {
        dp_bus_handle *bus = dp_keeper_bus(s.k);
        is_old = !bus || atomic_load(&bus->map.header->replaced);
        dp_keeper_bus_release(&bus);
    }
    atomic_store(&s.replaced_until_us, dp_clock_mono_us());
}

static void burst(unsigned *seed)
{
    for (unsigned n = 200 + dice(seed, 2000); n > 0; n--) {
        int f = (int)dice(seed, FOLDERS);
        switch (dice(seed, 400)) {
        case 0:
            give_up(f);
            fw_vouch(s.fw, s.name[f]);
            break;
        case 1:
            fw_unvouch(s.fw, s.name[f]);
            fw_vouch(s.fw, s.name[f]);
            break;
        default:
            publish(f);
            break;
        }
    }
}

/* At rest: does a phone whose Ping is held miss anything? */
static bool is_settled(conn *c)
{
    dp_hold *h = (dp_hold *)atomic_load(&c->seen);
    if (!h) {
        return true;
    }
    dp_hold_state state = dp_hold_state_of(h);
    if (state != DP_HOLD_HELD) {
        return state != DP_HOLD_KICKED && state != DP_HOLD_ANSWERING;
    }
    for (int i = 0; i < PER_PING; i++) {
        uint64_t seq;
        dp_time_us at_us;
        books_of(c->folder[i], &seq, &at_us);
        if (seq > atomic_load(&c->mark[i])) {
            return false;
        }
    }
    return true;
}

static void come_to_rest(void)
{
    dp_time_us until = dp_clock_mono_us() + 60 * DP_SECOND_US;
    atomic_store(&s.is_resting, true);
    while (atomic_load(&s.resting_n) < WORKERS) {
        usleep(100);
    }
    vouch_all();
    for (int i = 0; i < CONNS; i++) {
        while (!is_settled(&s.conn[i])) {
            DP_ASSERT(dp_clock_mono_us() < until);
            usleep(100);
        }
    }
    atomic_store(&s.is_resting, false);
    while (atomic_load(&s.resting_n)) {
        usleep(100);
    }
}

static void begin(void)
{
    s.fw = fw_new();
    s.fw->vouches = true;
    pthread_mutex_init(&s.lock, NULL);
    s.rules = (dp_look_rules){.pace_us = 1000, .quiet_us = 1000,
                              .blind_mail_us = 3600 * DP_SECOND_US,
                              .blind_other_us = 3600 * DP_SECOND_US};
    s.counters = calloc(1, dp_counters_size(1));
    dp_counters_init(s.counters, 1);
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(s.name[i], sizeof(s.name[i]), "F%d", i);
    }
    for (int i = 0; i < CONNS; i++) {
        snprintf(s.device[i], sizeof(s.device[i]), "D%d", i);
        for (int f = 0; f < PER_PING; f++) {
            s.conn[i].folder[f] = (i + f * 5) % FOLDERS;
            atomic_store(&s.conn[i].mark[f], 0);
        }
    }
    memset(s.published, 0, sizeof(s.published));
    fw_bus_new(s.fw, false);
    s.instance = s.fw->instance;
    vouch_all();
    fw_up(s.fw);
    const dp_keeper_args args = {
        .runtime_dir = s.fw->dir,
        .provoke = &s.provoke,
        .provoke_per_s = 1000000,
        .count = dp_counters_claim(s.counters),
        .tick_us = DP_SECOND_US / 100,
        .hooks = {.loop_answer = on_answer,
                  .loop_close = on_close,
                  .loop_forget = on_forget,
                  .loop_tick = on_tick}};
    assert_int_equal(dp_clerk_start(&s.clerk), APR_SUCCESS);
    assert_int_equal(dp_keeper_start(&s.k, &args), APR_SUCCESS);
    while (!dp_keeper_is_alive(s.k)) {
        usleep(100);
    }
}

/* As httpd stops a child: the phones whose Pings end come again meanwhile. */
static void drain(void)
{
    dp_hold_set *set = dp_keeper_set(s.k);
    dp_time_us until = dp_clock_mono_us() + 60 * DP_SECOND_US;
    dp_keeper_drain(s.k, DP_SECOND_US / 20);
    for (size_t left = 1; left;) {
        DP_ASSERT(dp_clock_mono_us() < until);
        pthread_mutex_lock(&set->lock);
        left = set->watching_n + set->owned_n;
        pthread_mutex_unlock(&set->lock);
        usleep(100);
    }
}

/* Taken back, freed; and nothing is left. */
static void finish_all(void)
{
    dp_hold_set *set = dp_keeper_set(s.k);
    drain();
    dp_keeper_stop(&s.k);
    dp_clerk_stop(&s.clerk);
    for (int i = 0; i < CONNS; i++) {
        if (s.conn[i].hold) {
            dp_hold_set_worker_take(set, s.conn[i].hold);
            let_go(&s.conn[i]);
        }
        assert_int_equal(atomic_load(&s.conn[i].owner), NOBODY);
    }
    assert_int_equal(set->holds_n, 0);
    assert_int_equal(set->owned_n, 0);
    assert_int_equal(set->topics.by_key.n, 0);
    assert_int_equal(set->by_device.n, 0);
    assert_int_equal(set->wheel.timers_n, 0);
    assert_int_equal(dp_counters_sum(s.counters, DP_COUNT_held), 0);
    dp_keeper_free(&s.k);
    fw_free(&s.fw);
    pthread_mutex_destroy(&s.lock);
    free(s.counters);
}

static uint64_t wanted(void)
{
    const char *n = getenv("DP_STRESS_N");
    return n ? strtoull(n, NULL, 10) : 100000;
}

/* A hold that is parked became PARKING and HELD, at least once each. */
static uint64_t transitions(void)
{
    return 2 * atomic_load(&s.parks_n) + atomic_load(&s.answers_n)
           + atomic_load(&s.takes_n) + atomic_load(&s.closes_n);
}

/* One child, from its start to its end. @return rounds */
static unsigned live(unsigned *seed, uint64_t until)
{
    pthread_t thread[WORKERS];
    unsigned rounds = 0;
    begin();
    atomic_store(&s.is_over, false);
    for (uintptr_t i = 0; i < WORKERS; i++) {
        assert_int_equal(
            pthread_create(&thread[i], NULL, worker, (void *)(i + 1)), 0);
    }
    for (; rounds == 0 || transitions() < until; rounds++) {
        burst(seed);
        if (rounds % 8 == 7) {
            replace_bus();
        }
        come_to_rest();
    }
    drain();
    atomic_store(&s.is_over, true);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(thread[i], NULL);
    }
    finish_all();
    return rounds;
}

static void one_owner_no_change_lost_nothing_left(void **state)
{
    enum { CHILDREN = 4 };
    unsigned seed = 3, rounds = 0;
    for (uint64_t child = 1; child <= CHILDREN; child++) {
        rounds += live(&seed, wanted() * child / CHILDREN);
    }
    print_message("%u rounds, %llu transitions at least: %llu published, "
                  "%llu parked, %llu answered, %llu taken, %llu closed\n",
                  rounds, (unsigned long long)transitions(),
                  (unsigned long long)atomic_load(&s.publishes_n),
                  (unsigned long long)atomic_load(&s.parks_n),
                  (unsigned long long)atomic_load(&s.answers_n),
                  (unsigned long long)atomic_load(&s.takes_n),
                  (unsigned long long)atomic_load(&s.closes_n));
}

/* Ending a Ping just when its worker lets go of it: `turn` is odd when both
 * may go, and even when the other has ended it. */
static _Atomic unsigned turn;

/* Each waits for two threads to be scheduled. */
static unsigned meetings(void)
{
    return (unsigned)(10000 + wanted() / 200);
}

static void *end_each(void *arg)
{
    dp_who he = who(&s.conn[0]);
    for (unsigned n = 1; n < 2 * meetings(); n += 2) {
        while (atomic_load(&turn) != n) {
            sched_yield();
        }
        dp_keeper_end(s.k, &he, DP_CAUSE_FORGET);
        atomic_store(&turn, n + 1);
    }
    return NULL;
}

static dp_hold *about_to_be_held(conn *c)
{
    dp_hold_spec specs[PER_PING];
    dp_topic_spec names[PER_PING];
    dp_who he = who(c);
    for (int i = 0; i < PER_PING; i++) {
        specs[i] = (dp_hold_spec){.class_id = DP_CLASS_EMAIL,
                                  .synced_at_us = dp_clock_mono_us()};
        names[i] = (dp_topic_spec){.class_id = DP_CLASS_UNKNOWN};
    }
    dp_hold *h = dp_hold_make(&he, specs, PER_PING);
    h->rules = &s.rules;
    h->owner = c;
    h->arrival = atomic_fetch_add(&s.arrivals, 1) + 1;
    h->ends_us = dp_clock_mono_us() + 600 * DP_SECOND_US;
    h->proof_until_us = h->ends_us;
    DP_ASSERT(dp_keeper_worker_park(s.k, h, names).status == 0);
    return h;
}

static void ending_and_letting_go_do_not_pass_each_other(void **state)
{
    pthread_t other;
    conn *c = &s.conn[0];
    begin();
    atomic_store(&turn, 0);
    assert_int_equal(pthread_create(&other, NULL, end_each, NULL), 0);
    for (unsigned n = 1; n < 2 * meetings(); n += 2) {
        dp_time_us until = dp_clock_mono_us() + 60 * DP_SECOND_US;
        dp_hold *h = about_to_be_held(c);
        atomic_store(&turn, n);
        /* somewhere in what the other does meanwhile */
        for (volatile unsigned wait = 0; wait < n * 7919 % 1499; wait++) {
        }
        dp_keeper_worker_held(s.k, h);
        while (atomic_load(&turn) != n + 1
               || dp_hold_state_of(h) == DP_HOLD_HELD) {
            DP_ASSERT(dp_clock_mono_us() < until);
            sched_yield();
        }
        dp_hold_set_worker_take(dp_keeper_set(s.k), h);
        dp_keeper_worker_free(s.k, &h);
    }
    pthread_join(other, NULL);
    finish_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ending_and_letting_go_do_not_pass_each_other),
        cmocka_unit_test(one_owner_no_change_lost_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
