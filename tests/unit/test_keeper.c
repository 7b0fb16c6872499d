/* The keeper's thread, between a watcher that does what the test says and
 * hooks that note what it is told to do. The test plays httpd's workers.
 *
 * Nothing is timed: the test waits for what must happen, and fails when it
 * has not after PATIENCE_S.
 */
#include <errno.h>
#include <time.h>

#include "bus_fixture.h"
#include "fake_watcher.h"
#include "hold/keeper.h"
#include "wire/eas_ping.h"

#define SECOND     DP_SECOND_US
#define MINUTE     (60 * SECOND)
#define PATIENCE_S 60

typedef struct answer {
    char device[16];
    dp_verdict verdict;
    bool names_first;
} answer;

typedef struct box {
    fake_watcher *fw;
    dp_keeper *k;
    dp_spread_rate provoke;
    dp_look_rules rules;
    dp_counters *counters;
    uint64_t arrivals;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t news;
    answer answers[64];
    unsigned answers_n, forgets_n, ticks_n, errors_n, closes_n;
    bool forgets_everybody, shares_recent;
    dp_hash last_forget;
    char last_error[1024];
} box;

static box *the; /* hooks without a context find it here */

static void note(unsigned *n)
{
    (*n)++;
    pthread_cond_broadcast(&the->news);
}

static void on_answer(dp_hold *hold)
{
    pthread_mutex_lock(&the->lock);
    DP_ASSERT(dp_hold_state_of(hold) == DP_HOLD_ANSWERING);
    answer *a = &the->answers[the->answers_n % 64];
    snprintf(a->device, sizeof(a->device), "%.*s", (int)hold->who.device.n,
             hold->who.device.p);
    a->verdict = hold->verdict;
    a->names_first = hold->items[0].was_announced_now;
    note(&the->answers_n);
    pthread_mutex_unlock(&the->lock);
    dp_hold_set_settle(dp_keeper_set(the->k), hold,
                       hold->must_close ? DP_HOLD_SHUT : DP_HOLD_IDLE,
                       dp_clock_mono_us() + 3600 * SECOND);
}

static void on_close(dp_hold *hold)
{
    pthread_mutex_lock(&the->lock);
    note(&the->closes_n);
    pthread_mutex_unlock(&the->lock);
    dp_hold_set_settle(dp_keeper_set(the->k), hold, DP_HOLD_SHUT, 0);
}

static void on_forget(void *ctx, dp_hash who, uint64_t arg,
                      const dp_bus_map *bus)
{
    box *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->forgets_everybody = !bus;
    b->last_forget = who;
    note(&b->forgets_n);
    pthread_mutex_unlock(&b->lock);
}

static void on_tick(void *ctx)
{
    box *b = ctx;
    pthread_mutex_lock(&b->lock);
    note(&b->ticks_n);
    pthread_mutex_unlock(&b->lock);
}

static void on_log(void *ctx, dp_keeper_level level, const char *line)
{
    box *b = ctx;
    if (level == DP_KEEPER_ERROR) {
        pthread_mutex_lock(&b->lock);
        snprintf(b->last_error, sizeof(b->last_error), "%s", line);
        note(&b->errors_n);
        pthread_mutex_unlock(&b->lock);
    }
}

static int setup(void **state)
{
    box *b = calloc(1, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->news, NULL);
    b->fw = fw_new();
    b->rules = (dp_look_rules){.pace_us = 5 * SECOND,
                               .quiet_us = 30 * SECOND,
                               .blind_mail_us = 5 * MINUTE,
                               .blind_other_us = 30 * MINUTE};
    b->counters = calloc(1, dp_counters_size(1));
    dp_counters_init(b->counters, 1);
    *state = the = b;
    return 0;
}

/* Not on the stack: megabytes. */
static dp_recent recent;

static void start(box *b)
{
    const dp_keeper_args args = {
        .runtime_dir = b->fw->dir,
        .provoke = &b->provoke,
        .provoke_per_s = 1000,
        .count = dp_counters_claim(b->counters),
        .recent = b->shares_recent ? &recent : NULL,
        .child = b->shares_recent ? dp_recent_child(&recent) : 0,
        .tick_us = SECOND / 50,
        .hooks = {.loop_answer = on_answer,
                  .loop_close = on_close,
                  .loop_forget = on_forget,
                  .loop_tick = on_tick,
                  .log = on_log,
                  .ctx = b}};
    assert_int_equal(dp_keeper_start(&b->k, &args), APR_SUCCESS);
}

static int teardown(void **state)
{
    box *b = *state;
    if (b->shares_recent) { /* the next one's clock begins anew */
        memset(&recent, 0, sizeof(recent));
    }
    if (b->k) {
        dp_hold_set *set = dp_keeper_set(b->k);
        dp_keeper_stop(&b->k);
        while (set->all) {
            dp_hold *h = set->all;
            dp_hold_set_worker_take(set, h);
            dp_keeper_worker_free(b->k, &h);
        }
        assert_int_equal(set->owned_n, 0);
        assert_int_equal(dp_counters_sum(b->counters, DP_COUNT_held), 0);
        dp_keeper_free(&b->k);
    }
    fw_free(&b->fw);
    pthread_cond_destroy(&b->news);
    pthread_mutex_destroy(&b->lock);
    free(b->counters);
    free(b);
    return 0;
}

/* Wait for something that a hook notes. */
static void wait_for(box *b, const unsigned *n, unsigned want)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&b->lock);
    while (*n < want
           && pthread_cond_timedwait(&b->news, &b->lock, &until) == 0) {
    }
    bool is_there = *n >= want;
    pthread_mutex_unlock(&b->lock);
    assert_true(is_there);
}

static void ticks(box *b, unsigned more)
{
    pthread_mutex_lock(&b->lock);
    unsigned want = b->ticks_n + more;
    pthread_mutex_unlock(&b->lock);
    wait_for(b, &b->ticks_n, want);
}

/* Wait for something that only looking tells. */
#define WAIT_UNTIL(cond)                                                       \
    do {                                                                       \
        dp_time_us until_ = dp_clock_mono_us() + PATIENCE_S * SECOND;          \
        while (!(cond)) {                                                      \
            assert_true(dp_clock_mono_us() < until_);                          \
            usleep(500);                                                       \
        }                                                                      \
    } while (0)

static bool fw_saw(box *b, const unsigned *n, unsigned want)
{
    fw_lock(b->fw);
    bool is_so = *n >= want;
    fw_unlock(b->fw);
    return is_so;
}

static void alive(box *b)
{
    WAIT_UNTIL(dp_keeper_is_alive(b->k));
}

/* A watcher that vouches for INBOX, and a keeper that knows it. */
static void all_up(box *b)
{
    fw_bus_new(b->fw, false);
    fw_vouch(b->fw, "INBOX");
    b->fw->vouches = true;
    fw_up(b->fw);
    start(b);
    alive(b);
}

static dp_who who(const char *device)
{
    return (dp_who){DP_SPAN_LIT("example.com"), DP_SPAN_LIT("alice"),
                    DP_SPAN_LIT("alice"), dp_span_str(device)};
}

static uint64_t head_of(box *b)
{
    dp_bus_handle *bus = dp_keeper_bus(b->k);
    uint64_t head = bus ? dp_bus_head(&bus->map) : 0;
    dp_keeper_bus_release(&bus);
    return head;
}

static const dp_topic_spec inbox = {DP_CLASS_EMAIL,
                                    {(const unsigned char *)"INBOX", 5}};

/* A Ping of ten minutes for INBOX, clean up to now. */
static dp_hold *ping(box *b, const char *device)
{
    dp_time_us now = dp_clock_mono_us();
    dp_hold_spec spec = {.id = DP_SPAN_LIT("5"), .class_id = DP_CLASS_EMAIL,
                         .synced_at_us = now, .mark = head_of(b)};
    dp_who he = who(device);
    dp_hold *h = dp_hold_make(&he, &spec, 1);
    h->rules = &b->rules;
    h->arrival = ++b->arrivals;
    h->ends_us = now + 10 * MINUTE;
    h->proof_until_us = now + 60 * MINUTE;
    return h;
}

static dp_hold *parked(box *b, const char *device)
{
    dp_hold *h = ping(b, device);
    assert_int_equal(dp_keeper_worker_park(b->k, h, &inbox).status, 0);
    dp_keeper_worker_held(b->k, h);
    return h;
}

static const answer *answered(box *b, unsigned nth)
{
    wait_for(b, &b->answers_n, nth);
    return &b->answers[nth - 1];
}

static void end(box *b, dp_hold **h)
{
    dp_hold_set_worker_take(dp_keeper_set(b->k), *h);
    dp_keeper_worker_free(b->k, h);
}

/* Where a change may come. */

static void a_change_is_answered_while_held(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    fw_publish(b->fw, "INBOX", true);
    const answer *a = answered(b, 1);
    assert_int_equal(a->verdict.status, DP_PING_CHANGES);
    assert_int_equal(a->verdict.cause, DP_CAUSE_CHANGE);
    assert_true(a->names_first);
    assert_int_equal(dp_hold_set_worker_take(dp_keeper_set(b->k), h),
                     DP_HOLD_IDLE);
    dp_keeper_worker_free(b->k, &h);
}

static void a_change_before_linking_is_answered_at_once(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = ping(b, "A");
    fw_publish(b->fw, "INBOX", true);
    dp_verdict v = dp_keeper_worker_park(b->k, h, &inbox);
    assert_int_equal(v.status, DP_PING_CHANGES);
    assert_false(h->is_linked);
    dp_keeper_worker_free(b->k, &h);
}

static void a_change_while_parking_is_answered_once_it_is_held(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = ping(b, "A");
    assert_int_equal(dp_keeper_worker_park(b->k, h, &inbox).status, 0);
    fw_publish(b->fw, "INBOX", true);
    WAIT_UNTIL(dp_hold_state_of(h) == DP_HOLD_KICKED);
    dp_keeper_worker_held(b->k, h);
    assert_int_equal(answered(b, 1)->verdict.status, DP_PING_CHANGES);
}

static void a_change_while_a_worker_looks_is_answered_by_it(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    dp_hold_set_worker_take(dp_keeper_set(b->k), h);
    fw_publish(b->fw, "INBOX", true);
    dp_verdict v = dp_keeper_worker_repark(b->k, h);
    assert_int_equal(v.status, DP_PING_CHANGES);
    dp_keeper_worker_free(b->k, &h);
}

static void what_was_taken_for_nothing_is_held_again(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    dp_hold_set_worker_take(dp_keeper_set(b->k), h);
    assert_int_equal(dp_keeper_worker_repark(b->k, h).status, 0);
    dp_keeper_worker_held(b->k, h);
    fw_publish(b->fw, "INBOX", true);
    assert_int_equal(answered(b, 1)->verdict.status, DP_PING_CHANGES);
}

static void a_worker_ends_a_hold_by_the_truth(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    dp_hold_set_worker_take(dp_keeper_set(b->k), h);
    dp_verdict v = dp_keeper_worker_end(b->k, h, DP_CAUSE_NEXT);
    assert_int_equal(v.status, DP_PING_NOTHING);
    assert_int_equal(v.cause, DP_CAUSE_NEXT);
    dp_keeper_worker_free(b->k, &h);
    h = parked(b, "A");
    dp_hold_set_worker_take(dp_keeper_set(b->k), h);
    fw_publish(b->fw, "INBOX", false);
    v = dp_keeper_worker_end(b->k, h, DP_CAUSE_NEXT);
    assert_int_equal(v.status, DP_PING_CHANGES);
    dp_keeper_worker_free(b->k, &h);
}

static void the_heartbeat_ends(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = ping(b, "A");
    h->ends_us = dp_clock_mono_us() + SECOND / 20;
    assert_int_equal(dp_keeper_worker_park(b->k, h, &inbox).status, 0);
    dp_keeper_worker_held(b->k, h);
    const answer *a = answered(b, 1);
    assert_int_equal(a->verdict.status, DP_PING_NOTHING);
    assert_int_equal(a->verdict.cause, DP_CAUSE_HEARTBEAT);
}

static void a_flag_is_announced_after_the_quiet_time(void **state)
{
    box *b = *state;
    b->rules.quiet_us = SECOND / 10;
    all_up(b);
    parked(b, "A");
    fw_publish(b->fw, "INBOX", false);
    assert_int_equal(answered(b, 1)->verdict.status, DP_PING_CHANGES);
}

static void a_lapped_keeper_looks_at_every_hold(void **state)
{
    box *b = *state;
    all_up(b);
    parked(b, "A");
    parked(b, "B");
    fw_vouch(b->fw, "Noise");
    fw_lock(b->fw);
    pthread_mutex_lock(&dp_keeper_set(b->k)->lock); /* it gets no further */
    const dp_bus_map *map = dp_bus_writer_map(b->fw->bus);
    for (const char *f = "INBOX";; f = "Noise") {
        dp_bus_ref r = dp_bus_find(
            map, dp_topic_key(map->header->hash_key, dp_span_str("alice"),
                              DP_CLASS_EMAIL, dp_span_str(f)));
        if (*f == 'I') {
            dp_bus_publish(b->fw->bus, r, 1, 0, dp_clock_mono_us(), NULL);
            continue;
        }
        for (int i = 0; i < 1000; i++) {
            dp_bus_publish(b->fw->bus, r, 1, 0, dp_clock_mono_us(), NULL);
        }
        break;
    }
    pthread_mutex_unlock(&dp_keeper_set(b->k)->lock);
    fw_wake_locked(b->fw);
    fw_unlock(b->fw);
    assert_int_equal(answered(b, 2)->verdict.status, DP_PING_CHANGES);
    assert_true(dp_counters_sum(b->counters, DP_COUNT_lapped) >= 1);
}

/* The watcher alive, absent, killed. */

static void without_bus_and_watcher_pings_are_held_blind(void **state)
{
    box *b = *state;
    start(b);
    wait_for(b, &b->errors_n, 1); /* neither bus nor socket: one cause */
    ticks(b, 2);
    assert_int_equal(b->errors_n, 1);
    assert_false(dp_keeper_is_alive(b->k));
    dp_hold *h = parked(b, "A");
    dp_hold_set_worker_take(dp_keeper_set(b->k), h);
    assert_int_equal(
        dp_keeper_worker_end(b->k, h, DP_CAUSE_NEXT).status,
        DP_PING_NOTHING);
    dp_keeper_worker_free(b->k, &h);
}

static void a_watcher_that_comes_later_is_found(void **state)
{
    box *b = *state;
    start(b);
    dp_hold *h = parked(b, "A"); /* without a mark: there is no bus */
    (void)h;
    fw_bus_new(b->fw, false);
    b->fw->vouches = true;
    fw_up(b->fw);
    /* INBOX is asked for and vouched for; nobody knows what came before */
    const answer *a = answered(b, 1);
    assert_int_equal(a->verdict.status, DP_PING_CHANGES);
    assert_true(a->verdict.is_provoked);
    fw_lock(b->fw);
    assert_string_equal(b->fw->last_watch, "alice Email INBOX");
    fw_unlock(b->fw);
}

static void a_watcher_that_dies_leaves_all_blind_until_it_is_back(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    fw_down(b->fw);
    WAIT_UNTIL(!dp_keeper_is_alive(b->k));
    assert_int_equal(b->errors_n, 1);
    assert_non_null(strstr(b->last_error, "gone away"));
    ticks(b, 2);
    assert_int_equal(b->answers_n, 0);
    fw_up(b->fw);
    alive(b);
    fw_publish(b->fw, "INBOX", true);
    assert_int_equal(answered(b, 1)->verdict.status, DP_PING_CHANGES);
    assert_int_equal(b->errors_n, 1);
    end(b, &h);
}

static void what_was_published_last_is_announced_though_the_watcher_died(
    void **state)
{
    box *b = *state;
    all_up(b);
    parked(b, "A");
    pthread_mutex_lock(&dp_keeper_set(b->k)->lock); /* it gets no further */
    fw_publish(b->fw, "INBOX", true);
    fw_down(b->fw);
    pthread_mutex_unlock(&dp_keeper_set(b->k)->lock);
    const answer *a = answered(b, 1);
    assert_int_equal(a->verdict.status, DP_PING_CHANGES);
    assert_false(a->verdict.is_provoked);
}

static void blind_holds_are_told_to_sync_after_the_interval(void **state)
{
    box *b = *state;
    b->rules.blind_mail_us = 3 * SECOND;
    all_up(b);
    parked(b, "A");
    fw_down(b->fw);
    const answer *a = answered(b, 1);
    assert_int_equal(a->verdict.status, DP_PING_CHANGES);
    assert_true(a->verdict.is_provoked);
}

static void a_watcher_that_is_silent_is_as_good_as_dead(void **state)
{
    box *b = *state;
    all_up(b);
    parked(b, "A");
    fw_sign(b->fw, 2 * DP_LINK_SILENCE_US);
    WAIT_UNTIL(!dp_keeper_is_alive(b->k));
    wait_for(b, &b->errors_n, 1);
    assert_non_null(strstr(b->last_error, "no sign of life"));
    fw_sign(b->fw, 0);
    alive(b);
    fw_publish(b->fw, "INBOX", true);
    answered(b, 1);
    assert_int_equal(b->errors_n, 1);
}

static void a_watcher_that_refuses_us_is_said_once_and_tried_again(
    void **state)
{
    box *b = *state;
    fw_bus_new(b->fw, false);
    b->fw->refuses = true;
    fw_up(b->fw);
    start(b);
    WAIT_UNTIL(fw_saw(b, &b->fw->hellos_n, 2));
    assert_int_equal(b->errors_n, 1);
    assert_non_null(strstr(b->last_error, "refuses"));
    fw_lock(b->fw);
    b->fw->refuses = false;
    fw_unlock(b->fw);
    alive(b);
}

/* The bus is replaced. */

static void a_new_bus_of_the_same_instance_keeps_marks(void **state)
{
    box *b = *state;
    all_up(b);
    uint64_t from = dp_bus_look(dp_bus_writer_map(b->fw->bus),
                                fw_topic(b->fw, "INBOX")).watched_from;
    dp_hold *h = parked(b, "A");
    uint64_t mark = h->items[0].mark;
    fw_lock(b->fw);
    b->fw->vouches = false;
    fw_unlock(b->fw);
    fw_bus_new(b->fw, true);
    fw_topic(b->fw, "INBOX");
    fw_lock(b->fw);
    dp_bus_ref r = dp_bus_find(
        dp_bus_writer_map(b->fw->bus),
        dp_topic_key(dp_bus_writer_map(b->fw->bus)->header->hash_key,
                     dp_span_str("alice"), DP_CLASS_EMAIL,
                     dp_span_str("INBOX")));
    dp_bus_vouch_again(b->fw->bus, r, from);
    fw_unlock(b->fw);
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 2)); /* on the new one again */
    pthread_mutex_lock(&dp_keeper_set(b->k)->lock);
    assert_int_equal(h->items[0].mark, mark);
    pthread_mutex_unlock(&dp_keeper_set(b->k)->lock);
    assert_int_equal(b->answers_n, 0);
    fw_publish(b->fw, "INBOX", true);
    assert_false(answered(b, 1)->verdict.is_provoked);
}

static void a_new_instance_makes_all_marks_void(void **state)
{
    box *b = *state;
    all_up(b);
    parked(b, "A");
    fw_bus_new(b->fw, false);
    const answer *a = answered(b, 1); /* vouched for anew: who knows? */
    assert_int_equal(a->verdict.status, DP_PING_CHANGES);
    assert_true(a->verdict.is_provoked);
}

static void who_uses_an_old_bus_keeps_it(void **state)
{
    box *b = *state;
    all_up(b);
    dp_bus_handle *old = dp_keeper_bus(b->k);
    uint64_t instance = old->map.header->instance;
    fw_bus_new(b->fw, false);
    dp_bus_handle *now;
    WAIT_UNTIL((now = dp_keeper_bus(b->k), dp_keeper_bus_release(&now),
                head_of(b) == fw_head(b->fw)));
    assert_int_equal(old->map.header->instance, instance);
    dp_keeper_bus_release(&old);
    assert_null(old);
}

static void a_bus_that_cannot_be_used_is_said_and_all_is_blind(void **state)
{
    box *b = *state;
    char other[128];
    all_up(b);
    parked(b, "A");
    snprintf(other, sizeof(other), "%s.bad", b->fw->bus_path);
    FILE *f = fopen(other, "w");
    fputs("no bus", f);
    fclose(f);
    assert_int_equal(rename(other, b->fw->bus_path), 0);
    WAIT_UNTIL(!dp_keeper_is_alive(b->k));
    wait_for(b, &b->errors_n, 1);
    assert_null(dp_keeper_bus(b->k));
    fw_bus_new(b->fw, true);
    fw_vouch(b->fw, "INBOX");
    alive(b);
    answered(b, 1);
}

/* Topics that come and go. */

static void a_topic_given_up_is_asked_for_again(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 1));
    fw_drop(b->fw, "INBOX");
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 2));
    /* vouched for anew */
    assert_true(answered(b, 1)->verdict.is_provoked);
    end(b, &h);
    h = parked(b, "A");
    fw_publish(b->fw, "INBOX", true);
    assert_false(answered(b, 2)->verdict.is_provoked);
}

static void a_topic_vouched_for_later_wakes_who_waits(void **state)
{
    box *b = *state;
    fw_bus_new(b->fw, false);
    fw_topic(b->fw, "INBOX"); /* known, and not vouched for */
    fw_up(b->fw);
    start(b);
    alive(b);
    parked(b, "A");
    fw_vouch(b->fw, "INBOX");
    assert_true(answered(b, 1)->verdict.is_provoked);
}

/* Device A waits for what the watcher has said "no" to. */
static void refused(box *b)
{
    fw_bus_new(b->fw, false);
    fw_up(b->fw);
    start(b);
    alive(b);
    parked(b, "A");
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 1));
    ticks(b, 2);
}

static void a_topic_that_was_refused_is_found_when_it_is_vouched_for(
    void **state)
{
    box *b = *state;
    refused(b);
    fw_vouch(b->fw, "INBOX"); /* somebody else asked, and it is there now */
    assert_true(answered(b, 1)->verdict.is_provoked);
}

/* … and so it is when it has another name there, */
static void a_topic_that_was_refused_is_found_by_an_alias(void **state)
{
    box *b = *state;
    refused(b);
    dp_bus_ref r = fw_topic(b->fw, "Real");
    fw_lock(b->fw);
    const dp_bus_map *map = dp_bus_writer_map(b->fw->bus);
    dp_bus_alias_set(b->fw->bus,
                     dp_topic_key(map->header->hash_key, dp_span_str("alice"),
                                  DP_CLASS_EMAIL, dp_span_str("INBOX")),
                     r);
    fw_unlock(b->fw);
    fw_vouch(b->fw, "Real");
    answered(b, 1);
}

/* … or when what vouches for it was overwritten before it was read, */
static void a_topic_that_was_refused_is_found_by_who_was_lapped(void **state)
{
    box *b = *state;
    refused(b);
    dp_bus_ref in = fw_topic(b->fw, "INBOX"), noise = fw_topic(b->fw, "Noise");
    fw_lock(b->fw);
    pthread_mutex_lock(&dp_keeper_set(b->k)->lock);
    dp_bus_vouch(b->fw->bus, in, 0);
    for (int i = 0; i < 1000; i++) {
        dp_bus_publish(b->fw->bus, noise, 1, 0, dp_clock_mono_us(), NULL);
    }
    pthread_mutex_unlock(&dp_keeper_set(b->k)->lock);
    fw_wake_locked(b->fw);
    fw_unlock(b->fw);
    answered(b, 1);
}

/* … or when it was given up without a word in between. */
static void a_topic_that_was_dropped_silently_is_found(void **state)
{
    box *b = *state;
    refused(b);
    fw_vouch(b->fw, "INBOX");
    answered(b, 1);
    parked(b, "B");
    fw_unvouch(b->fw, "INBOX");
    ticks(b, 5);
    fw_drop(b->fw, "INBOX");
    ticks(b, 5);
    fw_vouch(b->fw, "INBOX");
    fw_publish(b->fw, "INBOX", true);
    answered(b, 2);
}

static void a_folder_without_a_name_is_its_class(void **state)
{
    box *b = *state;
    fw_bus_new(b->fw, false);
    b->fw->fold_slot = fw_topic(b->fw, "*").slot;
    fw_vouch(b->fw, "*");
    fw_up(b->fw);
    start(b);
    alive(b);
    dp_hold *h = parked(b, "A");
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 1));
    fw_publish(b->fw, "*", true);
    assert_false(answered(b, 1)->verdict.is_provoked);
    end(b, &h);
}

static void what_is_fresh_is_not_asked_for_again(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A"); /* vouched for, but not renewed lately */
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 1));
    end(b, &h);
    h = parked(b, "B");
    dp_keeper_want(b->k, DP_SPAN_LIT("alice"), DP_CLASS_EMAIL,
                   DP_SPAN_LIT("INBOX"));
    dp_keeper_want(b->k, DP_SPAN_LIT("bob"), DP_CLASS_EMAIL,
                   DP_SPAN_LIT("Work"));
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, 2));
    fw_lock(b->fw);
    assert_string_equal(b->fw->last_watch, "bob Email Work");
    fw_unlock(b->fw);
    end(b, &h);
}

/* Devices. */

static void a_newer_ping_ends_the_older_here_and_tells_the_watcher(
    void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *older = parked(b, "A");
    dp_hold *newer = parked(b, "A");
    const answer *a = answered(b, 1);
    assert_int_equal(a->verdict.status, DP_PING_NOTHING);
    assert_int_equal(a->verdict.cause, DP_CAUSE_NEWER);
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 2));
    assert_int_equal(dp_counters_sum(b->counters, DP_COUNT_superseded), 1);
    end(b, &older);
    end(b, &newer);
}

static void a_ping_that_was_overtaken_ends_itself(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *older = ping(b, "A");
    dp_hold *newer = parked(b, "A");
    dp_verdict v = dp_keeper_worker_park(b->k, older, &inbox);
    assert_int_equal(v.status, DP_PING_NOTHING);
    assert_int_equal(v.cause, DP_CAUSE_NEWER);
    assert_int_equal(dp_hold_state_of(newer), DP_HOLD_HELD);
    dp_keeper_worker_free(b->k, &older);
    end(b, &newer);
}

/* The newer one's word came before there was a hold to end. */
static void a_ping_that_was_overtaken_elsewhere_ends_itself(void **state)
{
    box *b = *state;
    b->shares_recent = true;
    all_up(b);
    dp_hold *older = ping(b, "A");
    dp_recent_note(&recent, &older->who, older->arrival + 1);
    dp_verdict v = dp_keeper_worker_park(b->k, older, &inbox);
    assert_int_equal(v.status, DP_PING_NOTHING);
    assert_int_equal(v.cause, DP_CAUSE_NEWER);
    dp_keeper_worker_free(b->k, &older);
}

static void a_newer_ping_elsewhere_ends_the_one_here(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A"), *other = parked(b, "B");
    dp_hash key = h->by_device.key;
    fw_tell(b->fw, DP_BUS_KIND_PING, key, h->arrival); /* our own, echoed */
    fw_tell(b->fw, DP_BUS_KIND_PING, key, h->arrival + 1000);
    const answer *a = answered(b, 1);
    assert_string_equal(a->device, "A");
    assert_int_equal(a->verdict.cause, DP_CAUSE_NEWER);
    assert_int_equal(dp_hold_state_of(other), DP_HOLD_HELD);
}

/* Of three Pings that came here one after the other the first is told; then
 * one comes elsewhere, and the next here is told again. */
static void only_who_takes_a_device_over_tells_others(void **state)
{
    box *b = *state;
    b->shares_recent = true;
    all_up(b);
    dp_who a = who("A");
    dp_hold *h[4];
    for (int i = 0; i < 3; i++) {
        h[i] = parked(b, "A");
    }
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 1));
    assert_false(dp_recent_claim(&recent, &a, dp_recent_child(&recent)));
    h[3] = parked(b, "A");
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 2));
    ticks(b, 3);
    fw_lock(b->fw);
    assert_int_equal(b->fw->pings_n, 2);
    fw_unlock(b->fw);
    answered(b, 3);
    for (int i = 0; i < 4; i++) {
        end(b, &h[i]);
    }
}

/* Another child took the device over just after ours had seen that it was its
 * own: it hears of the newer Ping here when it tells of its older one. */
static void who_tells_of_an_older_ping_hears_of_the_newer(void **state)
{
    box *b = *state;
    b->shares_recent = true;
    all_up(b);
    dp_hold *first = parked(b, "A"), *h = parked(b, "A");
    answered(b, 1);
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 1));
    fw_tell(b->fw, DP_BUS_KIND_PING, h->by_device.key, h->arrival - 1);
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 2));
    assert_int_equal(dp_hold_state_of(h), DP_HOLD_HELD);
    end(b, &first);
    end(b, &h);
}

/* What was told may not have arrived, or not be known any more: the next Ping
 * of the device is told again, though it comes to the same child. */
static void next_is_told_again(box *b, void (*lose)(box *b))
{
    b->shares_recent = true;
    all_up(b);
    dp_hold *first = parked(b, "A");
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 1));
    lose(b);
    alive(b);
    dp_hold *next = parked(b, "A");
    WAIT_UNTIL(fw_saw(b, &b->fw->pings_n, 2));
    fw_lock(b->fw);
    assert_true(dp_hash_is(b->fw->last_ping, next->by_device.key));
    assert_int_equal(b->fw->last_arrival, next->arrival);
    fw_unlock(b->fw);
    end(b, &first);
    end(b, &next);
}

static void lose_link(box *b)
{
    fw_down(b->fw);
    WAIT_UNTIL(!dp_keeper_is_alive(b->k));
    fw_up(b->fw);
}

static void lose_bus(box *b)
{
    dp_bus_handle *was = dp_keeper_bus(b->k), *now = dp_keeper_bus(b->k);
    fw_bus_new(b->fw, true);
    while (now == was) { /* which stays ours, so that its place is not reused */
        dp_keeper_bus_release(&now);
        usleep(500);
        now = dp_keeper_bus(b->k);
    }
    dp_keeper_bus_release(&now);
    dp_keeper_bus_release(&was);
}

/* Another child was too slow, and has not read what was told. */
static void lose_journal(box *b)
{
    fw_lock(b->fw);
    pthread_mutex_lock(&dp_keeper_set(b->k)->lock);
    dp_bus_tell(b->fw->bus, DP_BUS_KIND_NEW, (dp_hash){{1, 2}}, 3);
    for (int i = 0; i < 200; i++) {
        dp_bus_tell(b->fw->bus, DP_BUS_KIND_PING, (dp_hash){{1, 2}}, 3);
    }
    pthread_mutex_unlock(&dp_keeper_set(b->k)->lock);
    fw_wake_locked(b->fw);
    fw_unlock(b->fw);
    WAIT_UNTIL(dp_counters_sum(b->counters, DP_COUNT_lapped));
}

static void after_a_lost_link_a_ping_is_told_again(void **state)
{
    next_is_told_again(*state, lose_link);
}

static void after_another_bus_a_ping_is_told_again(void **state)
{
    next_is_told_again(*state, lose_bus);
}

static void after_a_lapped_journal_a_ping_is_told_again(void **state)
{
    next_is_told_again(*state, lose_journal);
}

static void a_device_that_is_refused_ends(void **state)
{
    box *b = *state;
    dp_who a = who("A");
    all_up(b);
    parked(b, "A");
    dp_hold *other = parked(b, "B");
    dp_keeper_end(b->k, &a, DP_CAUSE_FORGET);
    assert_int_equal(answered(b, 1)->verdict.cause, DP_CAUSE_FORGET);
    assert_int_equal(dp_hold_state_of(other), DP_HOLD_HELD);
}

static void a_mark_that_became_firm_ends_the_wait(void **state)
{
    box *b = *state;
    dp_who a = who("A");
    all_up(b);
    dp_hold *h = ping(b, "A");
    h->items[0].settle_until_us = dp_clock_mono_us() + 9 * MINUTE;
    assert_int_equal(dp_keeper_worker_park(b->k, h, &inbox).status, 0);
    dp_keeper_worker_held(b->k, h);
    uint64_t seq = fw_publish(b->fw, "INBOX", true);
    dp_keeper_mark(b->k, &a, DP_SPAN_LIT("5"),
                   dp_mark_at(b->fw->instance, seq));
    dp_hold_set_worker_take(dp_keeper_set(b->k), h);
    assert_int_equal(dp_keeper_worker_end(b->k, h, DP_CAUSE_NEXT).status,
                     DP_PING_NOTHING);
    dp_keeper_worker_free(b->k, &h);
}

/* Forgetting. */

static void a_forget_is_handed_on(void **state)
{
    box *b = *state;
    all_up(b);
    fw_tell(b->fw, DP_BUS_KIND_FORGET, (dp_hash){{1, 2}}, 3);
    wait_for(b, &b->forgets_n, 1);
    assert_false(b->forgets_everybody);
    assert_true(dp_hash_is(b->last_forget, (dp_hash){{1, 2}}));
}

static void a_forget_that_was_lapped_is_everybodys(void **state)
{
    box *b = *state;
    all_up(b);
    fw_lock(b->fw);
    pthread_mutex_lock(&dp_keeper_set(b->k)->lock);
    const dp_bus_map *map = dp_bus_writer_map(b->fw->bus);
    dp_bus_ref r = dp_bus_find(
        map, dp_topic_key(map->header->hash_key, dp_span_str("alice"),
                          DP_CLASS_EMAIL, dp_span_str("INBOX")));
    dp_bus_publish(b->fw->bus, r, 1, 0, 1, NULL); /* here it is stopped */
    dp_bus_tell(b->fw->bus, DP_BUS_KIND_FORGET, (dp_hash){{1, 2}}, 3);
    for (int i = 0; i < 200; i++) {
        dp_bus_publish(b->fw->bus, r, 1, 0, 1, NULL);
    }
    pthread_mutex_unlock(&dp_keeper_set(b->k)->lock);
    fw_wake_locked(b->fw);
    fw_unlock(b->fw);
    wait_for(b, &b->forgets_n, 1);
    assert_true(b->forgets_everybody);
}

static void a_forget_in_a_bus_that_we_did_not_see_yet_is_everybodys(
    void **state)
{
    box *b = *state;
    all_up(b);
    fw_bus_new(b->fw, false);
    fw_tell(b->fw, DP_BUS_KIND_FORGET, (dp_hash){{1, 2}}, 3);
    wait_for(b, &b->forgets_n, 1);
    fw_publish(b->fw, "INBOX", true);
    WAIT_UNTIL(head_of(b) == fw_head(b->fw));
}

static void a_new_child_is_not_concerned_by_what_was_forgotten_before(
    void **state)
{
    box *b = *state;
    fw_bus_new(b->fw, false);
    fw_vouch(b->fw, "INBOX");
    fw_tell(b->fw, DP_BUS_KIND_FORGET, (dp_hash){{1, 2}}, 3);
    fw_up(b->fw);
    start(b);
    alive(b);
    ticks(b, 1);
    assert_int_equal(b->forgets_n, 0);
}

/* The end. */

static void draining_ends_all_and_refuses_new_ones(void **state)
{
    box *b = *state;
    all_up(b);
    parked(b, "A");
    parked(b, "B");
    dp_keeper_drain(b->k, SECOND / 10);
    assert_int_equal(answered(b, 1)->verdict.cause, DP_CAUSE_DRAIN);
    assert_int_equal(answered(b, 2)->verdict.status, DP_PING_NOTHING);
    dp_hold *h = ping(b, "C");
    dp_verdict v = dp_keeper_worker_park(b->k, h, &inbox);
    assert_int_equal(v.status, DP_PING_NOTHING);
    assert_int_equal(v.cause, DP_CAUSE_DRAIN);
    assert_true(h->must_close);
    dp_keeper_worker_free(b->k, &h);
}

static void draining_closes_who_has_been_answered(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h = parked(b, "A");
    fw_publish(b->fw, "INBOX", true);
    answered(b, 1);
    WAIT_UNTIL(dp_hold_state_of(h) == DP_HOLD_IDLE);
    dp_keeper_drain(b->k, SECOND);
    wait_for(b, &b->closes_n, 1);
    WAIT_UNTIL(dp_hold_state_of(h) == DP_HOLD_SHUT);
}

static void what_is_claimed_when_the_keeper_ends_is_answered(void **state)
{
    box *b = *state;
    all_up(b);
    dp_hold *h[20];
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof(name), "D%d", i);
        h[i] = parked(b, name);
    }
    fw_publish(b->fw, "INBOX", true);
    dp_keeper_stop(&b->k);
    for (int i = 0; i < 20; i++) { /* answered or not: nobody waits for ever */
        end(b, &h[i]);
    }
}

static void a_directory_too_long_is_said_at_once(void **state)
{
    char dir[1000];
    dp_keeper *k;
    memset(dir, 'd', sizeof(dir));
    dir[sizeof(dir) - 1] = '\0';
    const dp_keeper_args args = {.runtime_dir = dir};
    assert_int_equal(dp_keeper_start(&k, &args), APR_ENAMETOOLONG);
    assert_null(k);
}

static void publishing_goes_through_the_watcher(void **state)
{
    box *b = *state;
    uint64_t seq = 0, prev = 0;
    all_up(b);
    assert_true(dp_keeper_publish(b->k, DP_SPAN_LIT("alice"), DP_CLASS_EMAIL,
                                  DP_SPAN_LIT("INBOX"), true, &seq, &prev));
    assert_int_equal(seq, 12);
    assert_int_equal(prev, 9);
    fw_down(b->fw);
    assert_false(dp_keeper_publish(b->k, DP_SPAN_LIT("alice"), DP_CLASS_EMAIL,
                                   DP_SPAN_LIT("INBOX"), true, &seq, &prev));
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* More than a link can queue, all at once as after a restart of the watcher:
 * it hears of each, and is not left and greeted again for ever. */
static void any_number_of_topics_is_asked_for_over_one_link(void **state)
{
    box *b = *state;
    const unsigned n = DP_LINK_QUEUE_MAX / 1000 * 2;
    char folder[1001];
    fw_bus_new(b->fw, false);
    start(b);
    memset(folder, 'x', sizeof(folder));
    for (unsigned i = 0; i < n; i++) {
        char digits[9];
        snprintf(digits, sizeof(digits), "%08u", i);
        memcpy(folder, digits, 8);
        dp_keeper_want(b->k, DP_SPAN_LIT("alice"), DP_CLASS_EMAIL,
                       dp_span_of(folder, 1000));
    }
    fw_up(b->fw);
    WAIT_UNTIL(fw_saw(b, &b->fw->watches_n, n));
    fw_lock(b->fw);
    assert_int_equal(b->fw->hellos_n, 1);
    fw_unlock(b->fw);
    alive(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(a_change_is_answered_while_held),
        BOX_TEST(a_change_before_linking_is_answered_at_once),
        BOX_TEST(a_change_while_parking_is_answered_once_it_is_held),
        BOX_TEST(a_change_while_a_worker_looks_is_answered_by_it),
        BOX_TEST(what_was_taken_for_nothing_is_held_again),
        BOX_TEST(a_worker_ends_a_hold_by_the_truth),
        BOX_TEST(the_heartbeat_ends),
        BOX_TEST(a_flag_is_announced_after_the_quiet_time),
        BOX_TEST(a_lapped_keeper_looks_at_every_hold),
        BOX_TEST(without_bus_and_watcher_pings_are_held_blind),
        BOX_TEST(a_watcher_that_comes_later_is_found),
        BOX_TEST(a_watcher_that_dies_leaves_all_blind_until_it_is_back),
        BOX_TEST(
            what_was_published_last_is_announced_though_the_watcher_died),
        BOX_TEST(blind_holds_are_told_to_sync_after_the_interval),
        BOX_TEST(a_watcher_that_is_silent_is_as_good_as_dead),
        BOX_TEST(a_watcher_that_refuses_us_is_said_once_and_tried_again),
        BOX_TEST(a_new_bus_of_the_same_instance_keeps_marks),
        BOX_TEST(a_new_instance_makes_all_marks_void),
        BOX_TEST(who_uses_an_old_bus_keeps_it),
        BOX_TEST(a_bus_that_cannot_be_used_is_said_and_all_is_blind),
        BOX_TEST(a_topic_given_up_is_asked_for_again),
        BOX_TEST(a_topic_vouched_for_later_wakes_who_waits),
        BOX_TEST(a_topic_that_was_refused_is_found_when_it_is_vouched_for),
        BOX_TEST(a_topic_that_was_refused_is_found_by_an_alias),
        BOX_TEST(a_topic_that_was_refused_is_found_by_who_was_lapped),
        BOX_TEST(a_topic_that_was_dropped_silently_is_found),
        BOX_TEST(a_folder_without_a_name_is_its_class),
        BOX_TEST(what_is_fresh_is_not_asked_for_again),
        BOX_TEST(a_newer_ping_ends_the_older_here_and_tells_the_watcher),
        BOX_TEST(a_ping_that_was_overtaken_ends_itself),
        BOX_TEST(a_ping_that_was_overtaken_elsewhere_ends_itself),
        BOX_TEST(a_newer_ping_elsewhere_ends_the_one_here),
        BOX_TEST(only_who_takes_a_device_over_tells_others),
        BOX_TEST(who_tells_of_an_older_ping_hears_of_the_newer),
        BOX_TEST(after_a_lost_link_a_ping_is_told_again),
        BOX_TEST(after_another_bus_a_ping_is_told_again),
        BOX_TEST(after_a_lapped_journal_a_ping_is_told_again),
        BOX_TEST(a_device_that_is_refused_ends),
        BOX_TEST(a_mark_that_became_firm_ends_the_wait),
        BOX_TEST(a_forget_is_handed_on),
        BOX_TEST(a_forget_that_was_lapped_is_everybodys),
        BOX_TEST(a_forget_in_a_bus_that_we_did_not_see_yet_is_everybodys),
        BOX_TEST(
            a_new_child_is_not_concerned_by_what_was_forgotten_before),
        BOX_TEST(draining_ends_all_and_refuses_new_ones),
        BOX_TEST(draining_closes_who_has_been_answered),
        BOX_TEST(what_is_claimed_when_the_keeper_ends_is_answered),
        BOX_TEST(a_directory_too_long_is_said_at_once),
        BOX_TEST(publishing_goes_through_the_watcher),
        BOX_TEST(any_number_of_topics_is_asked_for_over_one_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
