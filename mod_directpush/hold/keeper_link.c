/* The keeper's side towards the watcher: bus file, control socket, liveness. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "base/dp_mutant.h"
#include "hold/keeper_private.h"

/* Tries to reach a watcher that is away: at first at once, then less often. */
#define RETRY_MIN_US (DP_SECOND_US / 4)
#define RETRY_MAX_US (5 * DP_SECOND_US)

/* Lines that may wait in the link for the watcher to read; further ones wait in
 * their lists. A child that asks for all of its topics at once fits, whatever
 * their names are. */
#define SEND_AHEAD (DP_LINK_QUEUE_MAX / 16)

dp_bus_handle *dp_keeper_bus(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    dp_bus_handle *h = k->bus;
    if (h) {
        atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&k->set.lock);
    return h;
}

void dp_keeper_bus_release(dp_bus_handle **bus)
{
    dp_bus_handle *h = *bus;
    *bus = NULL;
    /* release: our reads are done; acquire in the last one, which unmaps */
    if (h
        && atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1) {
        dp_bus_detach(&h->map);
        free(h);
    }
}

/* Is this news, to whoever reads the log of all children? */
static bool is_news(_Atomic int32_t *told, int32_t what)
{
    return atomic_exchange_explicit(told, what, memory_order_relaxed) != what;
}

static bool is_draining(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    bool is_draining = k->set.is_draining;
    pthread_mutex_unlock(&k->set.lock);
    return is_draining;
}

/* After an upgrade the bus is no longer for the children that leave, and again
 * for those that have come: the latter's word counts. */
static void tell_bus(dp_keeper *k, dp_bus_problem why)
{
    if (is_draining(k) || !is_news(&k->told->bus, why)) {
        return;
    }
    char line[768];
    if (why == DP_BUS_OK) {
        snprintf(line, sizeof(line), "the change bus %s is there", k->bus_path);
        dp_keeper_say(k, DP_KEEPER_INFO, line);
        return;
    }
    snprintf(line, sizeof(line),
             "cannot use the change bus %s: %s; until then phones are told to "
             "sync at the fallback interval",
             k->bus_path, dp_bus_problem_text(why));
    dp_keeper_say(k, DP_KEEPER_ERROR, line);
}

/* Was a `forget` journalled that we have not read, and perhaps never will?
 * Then nobody's proof is safe. */
static void forget_missed(dp_keeper *k, const dp_bus_map *map)
{
    uint64_t seq = atomic_load_explicit(&map->header->forget_seq,
                                        memory_order_acquire);
    if (seq <= k->forget_seen) {
        return;
    }
    k->forget_seen = seq;
    if (k->is_started) { /* a new child's proofs are those of the others */
        k->hooks.loop_forget(k->hooks.ctx, (dp_hash){{0, 0}}, 0, NULL);
    }
}

/* From now on `fresh` is the bus (NULL: none). */
static void take_bus(dp_keeper *k, dp_bus_handle *fresh)
{
    if (k->bus) {
        forget_missed(k, &k->bus->map);
    }
    if (fresh) {
        uint64_t instance = fresh->map.header->instance;
        k->forget_seen = instance == k->last_instance ? k->forget_seen : 0;
        k->last_instance = instance;
        /* the cursor first, then compare all: nothing falls between */
        k->cursor = dp_bus_cursor_at_head(&fresh->map);
    }
    pthread_mutex_lock(&k->set.lock);
    dp_bus_handle *old = k->bus;
    k->bus = fresh;
    dp_hold_set_rebind_locked(&k->set, fresh ? &fresh->map : NULL);
    dp_keeper_lose_pings(k); /* told of by their names in the other one */
    pthread_mutex_unlock(&k->set.lock);
    if (fresh) {
        forget_missed(k, &fresh->map);
    }
    dp_keeper_bus_release(&old);
    k->is_rebound = true;
    k->must_ask = true;
}

/* Take the bus that the name stands for now. */
static void attach(dp_keeper *k)
{
    dp_bus_map map;
    dp_bus_problem why = DP_BUS_OK;
    if (k->bus && !dp_bus_is_replaced(&k->bus->map, k->bus_path)) {
        return;
    }
    if (dp_bus_attach(&map, k->bus_path, &why) != APR_SUCCESS) {
        tell_bus(k, why);
        if (k->bus) {
            take_bus(k, NULL); /* ours is replaced by nothing usable */
        }
        return;
    }
    dp_bus_handle *fresh = calloc(1, sizeof(*fresh));
    DP_ASSERT(fresh);
    fresh->map = map;
    atomic_init(&fresh->refs, 1);
    tell_bus(k, DP_BUS_OK);
    take_bus(k, fresh);
}

static void ask_topic(void *ctx, dp_map_node *node)
{
    dp_keeper *k = ctx;
    dp_topic *t = (dp_topic *)node;
    dp_keeper_ask_locked(k, node->key, DP_BUS_NO_REF, dp_topic_user(t),
                         t->class_id, dp_topic_folder(t), 0);
}

/* The watcher is there (again): it hears of all that we wait for. */
static void ask_all(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    dp_map_each(&k->set.topics.by_key, ask_topic, k);
    pthread_mutex_unlock(&k->set.lock);
}

static void tell_link(dp_keeper *k, int why)
{
    if (atomic_load_explicit(&k->told->gone, memory_order_relaxed)
        || ((why == ENOENT || why == ECONNREFUSED)
            && atomic_load_explicit(&k->told->bus, memory_order_relaxed)
                   == DP_BUS_MISSING)) {
        return; /* missed already, or never there: one cause, one line */
    }
    if (!is_news(&k->told->link, why)) {
        return;
    }
    const char *remedy = "is directpushd overloaded, or out of descriptors?";
    if (why == ENOENT || why == ECONNREFUSED) {
        remedy = "directpushd does not run: start it (systemctl start "
                 "directpushd)";
    }
    else if (why == ENOTDIR) {
        remedy = "DirectPushRuntimeDir has to name the directory that is "
                 "runtime_dir in directpushd.conf";
    }
    else if (why == EACCES) {
        remedy = "set `group` in directpushd.conf to the group of Apache's "
                 "user";
    }
    else if (why == ENAMETOOLONG) {
        remedy = "choose a shorter DirectPushRuntimeDir";
    }
    else if (why == EPROTO) {
        remedy = "it refuses us or hangs: its log says why; directpushd and "
                 "the module must be of one version";
    }
    char line[1024];
    snprintf(line, sizeof(line), "cannot reach the watcher at %s: %s; %s",
             k->socket_path, strerror(why), remedy);
    dp_keeper_say(k, DP_KEEPER_ERROR, line);
}

/* The next try, later each time. */
static void wait_longer(dp_keeper *k, dp_time_us now_us)
{
    k->retry_wait_us *= 2;
    if (k->retry_wait_us < RETRY_MIN_US) {
        k->retry_wait_us = RETRY_MIN_US;
    }
    if (k->retry_wait_us > RETRY_MAX_US) {
        k->retry_wait_us = RETRY_MAX_US;
    }
    k->retry_at_us = now_us + dp_spread_jitter_us(k->retry_wait_us);
}

static void lose_link(dp_keeper *k, dp_time_us now_us)
{
    bool was_ready = k->link.state == DP_LINK_READY;
    dp_link_close(&k->link);
    dp_keeper_lose_pings(k);
    k->retry_wait_us = was_ready ? 0 : k->retry_wait_us;
    wait_longer(k, now_us);
    if (!was_ready) {
        tell_link(k, EPROTO); /* it accepts us, but does not greet */
        return;
    }
    if (is_news(&k->told->gone, 1)) {
        dp_keeper_say(k, DP_KEEPER_ERROR,
                      "directpushd has gone away; phones are told to sync "
                      "at the fallback interval until it is back");
    }
    k->tick_at_us = 0; /* blind from now on: look at all holds */
}

static void reach(dp_keeper *k, dp_time_us now_us)
{
    if (k->link.state == DP_LINK_GREETING
        && now_us - k->link.since_us > DP_LINK_SILENCE_US) {
        lose_link(k, now_us);
    }
    if (k->link.state != DP_LINK_DOWN || now_us < k->retry_at_us) {
        return;
    }
    int why = dp_link_open(&k->link, k->socket_path, now_us);
    if (why) {
        tell_link(k, why);
        wait_longer(k, now_us);
    }
}

static bool is_alive(dp_keeper *k, dp_time_us now_us)
{
    return k->bus && k->link.state == DP_LINK_READY
           && dp_bus_is_alive(&k->bus->map, now_us, DP_LINK_SILENCE_US);
}

/* Without a bus there is no place for a sign: tell_bus() has said why. */
static void tell_silence(dp_keeper *k, bool alive)
{
    bool is_silent = k->bus && !alive && k->link.state == DP_LINK_READY;
    if (is_news(&k->told->silence, is_silent) && is_silent) {
        dp_keeper_say(k, DP_KEEPER_ERROR,
                      "directpushd gives no sign of life; phones are told to "
                      "sync at the fallback interval until it does");
    }
}

static void consider_items(dp_keeper *k, dp_topic *t, dp_time_us now_us)
{
    for (dp_hold_item *i = t->items; i; i = i->next) {
        dp_hold_set_consider_locked(&k->set, i->hold, now_us);
    }
}

/* A topic that has no slot, or whose slot changed hands, is looked up again;
 * it is asked for when it is nowhere, unless the watcher said "no" to it. */
static void mend_topic(void *ctx, dp_map_node *node)
{
    dp_keeper *k = ctx;
    dp_topic *t = (dp_topic *)node;
    bool had_slot = t->ref.slot != DP_BUS_NO_SLOT;
    if (!had_slot || !dp_bus_look(k->set.bus, t->ref).is_current) {
        dp_topics_find(&k->set.topics, k->set.bus, t);
        t->is_found_anew = t->ref.slot != DP_BUS_NO_SLOT;
        if (!t->is_found_anew && (had_slot || t->answer == DP_TOPIC_OK)) {
            ask_topic(k, node);
        }
    }
    if (t->is_found_anew) {
        t->is_found_anew = false;
        consider_items(k, t, dp_clock_mono_us());
    }
}

static void mend_locked(dp_keeper *k)
{
    /* first: a last look may find further ones */
    k->set.has_found = false;
    if (k->set.bus) {
        dp_map_each(&k->set.topics.by_key, mend_topic, k);
    }
}

void dp_keeper_mend(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    if (k->set.has_found) {
        mend_locked(k);
    }
    pthread_mutex_unlock(&k->set.lock);
}

bool dp_keeper_loop_tick(dp_keeper *k, dp_time_us now_us)
{
    attach(k);
    reach(k, now_us);
    bool alive = is_alive(k, now_us);
    bool must_relook = k->is_rebound;
    k->is_rebound = false;
    tell_silence(k, alive);
    pthread_mutex_lock(&k->set.lock);
    must_relook |= alive != k->set.is_alive && !DP_MUTANT(alive_unseen);
    k->set.is_alive = alive;
    pthread_mutex_unlock(&k->set.lock);
    if (k->must_ask && k->link.state == DP_LINK_READY) {
        k->must_ask = false;
        ask_all(k);
    }
    if (k->has_doubt && !DP_MUTANT(doubt_ignored)) {
        k->has_doubt = false;
        pthread_mutex_lock(&k->set.lock);
        mend_locked(k);
        pthread_mutex_unlock(&k->set.lock);
    }
    return must_relook;
}

/* `watch` was answered: perhaps there is a slot for the topic now. */
static void on_watch(void *ctx, dp_hash key, bool is_ok, dp_bus_ref told)
{
    dp_keeper *k = ctx;
    pthread_mutex_lock(&k->set.lock);
    dp_topic *t = (dp_topic *)dp_map_get(&k->set.topics.by_key, key);
    if (t) {
        t->answer = is_ok ? DP_TOPIC_OK : DP_TOPIC_NO;
        dp_topics_settle(&k->set.topics, k->set.bus, t, told);
        consider_items(k, t, dp_clock_mono_us());
    }
    pthread_mutex_unlock(&k->set.lock);
}

void dp_keeper_loop_link(dp_keeper *k, bool request_ready, bool wake_ready)
{
    dp_time_us now = dp_clock_mono_us();
    bool was_ready = k->link.state == DP_LINK_READY;
    if ((wake_ready && !dp_link_read_wake(&k->link, now))
        || (request_ready && !dp_link_read(&k->link, on_watch, k, now))
        || !dp_link_flush(&k->link)) {
        lose_link(k, now);
        return;
    }
    if (!was_ready && k->link.state == DP_LINK_READY) {
        k->retry_wait_us = RETRY_MIN_US;
        is_news(&k->told->link, 0);
        /* with a bus that nobody can use it is no better than away */
        bool is_back = is_news(&k->told->gone, 0)
                       && atomic_load_explicit(&k->told->bus,
                                               memory_order_relaxed)
                              == DP_BUS_OK;
        dp_keeper_say(k, is_back ? DP_KEEPER_NOTICE : DP_KEEPER_INFO,
                      is_back ? "directpushd is back"
                              : "connected to directpushd");
        /* a watcher that was restarted may have made a new bus */
        k->must_ask = true;
        k->tick_at_us = 0;
    }
}

static dp_keeper_want_line *pop_want(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    dp_keeper_want_line *w = k->wants;
    if (w) {
        k->wants = w->next;
        k->wants_n--;
    }
    pthread_mutex_unlock(&k->set.lock);
    return w;
}

static dp_keeper_ping_line *pop_ping(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    dp_keeper_ping_line *p = k->pings;
    if (p) {
        k->pings = p->next;
        k->pings_n--;
    }
    pthread_mutex_unlock(&k->set.lock);
    return p;
}

bool dp_keeper_can_send(const dp_keeper *k)
{
    return k->link.state == DP_LINK_READY && k->link.out_n < SEND_AHEAD;
}

/* One more line? What the watcher has not read yet is not piled up. */
static bool has_room(dp_keeper *k)
{
    if (k->link.state == DP_LINK_READY && k->link.out_n >= SEND_AHEAD
        && !dp_link_flush(&k->link)) {
        lose_link(k, dp_clock_mono_us());
    }
    return dp_keeper_can_send(k);
}

void dp_keeper_loop_send(dp_keeper *k)
{
    dp_keeper_want_line *w;
    dp_keeper_ping_line *p;
    /* not READY: they wait, a child's first Pings come before the greeting */
    while (has_room(k) && (w = pop_want(k))) {
        dp_link_send_watch(&k->link, w->key, dp_span_of(w->name, w->user_n),
                           dp_class_name(w->class_id),
                           dp_span_of(w->name + w->user_n, w->folder_n));
        free(w);
    }
    while (has_room(k) && (p = pop_ping(k))) {
        dp_link_send_ping(&k->link, p->device, p->arrival);
        free(p);
    }
    if (k->link.fd >= 0 && k->link.out_n && !dp_link_flush(&k->link)) {
        lose_link(k, dp_clock_mono_us());
    }
}

void dp_keeper_drop_lines(dp_keeper *k)
{
    pthread_mutex_lock(&k->set.lock);
    while (k->wants) {
        dp_keeper_want_line *w = k->wants;
        k->wants = w->next;
        free(w);
    }
    while (k->pings) {
        dp_keeper_ping_line *p = k->pings;
        k->pings = p->next;
        free(p);
    }
    pthread_mutex_unlock(&k->set.lock);
}

void dp_keeper_lapped(dp_keeper *k)
{
    forget_missed(k, &k->bus->map);
    dp_keeper_lose_pings(k);
    k->has_doubt = true;
}
