#include "watcher/emit.h"

#include <stdlib.h>

#include "base/dp_mutant.h"
#include "bus/topic_name.h"
#include "watcher/log.h"
#include "watcher/source.h"

/* Cursors are needed after a restart only: a change that is younger than this
 * when the process is killed is published once more. A transaction without
 * sync is some 50 us, for however many topics. */
#define STORE_CHANGE_US (DP_SECOND_US / 10)

/* A topic that is younger has to be asked for again. */
#define STORE_VOUCH_US (DP_SECOND_US / 100)

/* Cursors are sampled and stored so many at a time, so that events do not
 * wait; the kernel's queue has room for 16,384. */
#define STORE_BATCH 256

/* While changes go on, storing has one in so many parts of the time: the more
 * topics change, the older a cursor may be. */
#define STORE_PARTS 8

#define SOURCES_MAX 8

struct dp_emit {
    dp_loop *loop;
    dp_bus_writer *bus;
    dp_wants *wants;
    dp_state *state;
    dp_emit_hooks hooks;
    dp_emit_counts counts;
    dp_link_node changed;
    dp_link_node dirty;
    dp_link_node gone;
    dp_loop_timer store;
    bool is_storing;
    dp_time_us store_from_us; /* not before */
    uint64_t told_head; /* readers were woken for all up to it */
};

#define WANT_AT(node, member)                                                  \
    ((dp_want *)(void *)((char *)(node)-offsetof(dp_want, member)))

static void store_due(void *ctx);

dp_emit *dp_emit_new(dp_loop *loop, dp_bus_writer *bus, dp_wants *wants,
                     dp_state *state)
{
    dp_emit *e = calloc(1, sizeof(*e));
    DP_ASSERT(e);
    e->loop = loop;
    e->bus = bus;
    e->wants = wants;
    e->state = state;
    e->store = (dp_loop_timer){.due = store_due, .ctx = e};
    e->told_head = dp_bus_head(dp_bus_writer_map(bus));
    dp_list_init(&e->changed);
    dp_list_init(&e->dirty);
    dp_list_init(&e->gone);
    return e;
}

void dp_emit_free(dp_emit **e)
{
    if (*e) {
        dp_loop_cancel((*e)->loop, &(*e)->store);
        free(*e);
        *e = NULL;
    }
}

void dp_emit_set_hooks(dp_emit *e, const dp_emit_hooks *hooks)
{
    e->hooks = *hooks;
}

const dp_emit_counts *dp_emit_counted(const dp_emit *e)
{
    return &e->counts;
}

static void store_within(dp_emit *e, dp_want *want, dp_time_us span_us);

static uint64_t head_of(const dp_emit *e)
{
    return dp_bus_head(dp_bus_writer_map(e->bus));
}

static void say(dp_emit *e, uint64_t seq, const dp_want *want,
                dp_emit_kind kind)
{
    if (e->hooks.line) {
        e->hooks.line(e->hooks.ctx, seq, want, kind);
    }
}

static void count_on(uint32_t *count, uint32_t n)
{
    *count = n < DP_BUS_MANY - *count ? *count + n : DP_BUS_MANY;
}

void dp_emit_change(dp_emit *e, dp_want *want, bool is_new, uint32_t n)
{
    DP_MAGIC_CHECK(want, DP_WANT_MAGIC);
    dp_emit_touch(e, want);
    if (!want->is_vouched) {
        return; /* vouching will start above it */
    }
    if (is_new) {
        count_on(&want->adds_n, n);
    }
    if (!is_new || n >= DP_BUS_MANY) {
        count_on(&want->others_n, n);
    }
    if (dp_list_is_empty(&want->changed)) {
        dp_list_add(&e->changed, &want->changed);
    }
}

static uint64_t publish(dp_emit *e, dp_want *want, uint32_t adds,
                        uint32_t others, uint64_t *out_prev)
{
    bool is_new = adds > 0;
    uint64_t seq = dp_bus_publish(e->bus, want->ref, adds, others,
                                  dp_clock_mono_us(), out_prev);
    e->counts.published_new += is_new;
    e->counts.published_other += !is_new;
    say(e, seq, want, is_new ? DP_EMIT_NEW : DP_EMIT_OTHER);
    return seq;
}

uint64_t dp_emit_publish(dp_emit *e, dp_want *want, bool is_new,
                         uint64_t *out_prev)
{
    bool is_counted = !is_new && want->is_vouched && want->source
                      && want->source->ops->is_counting;
    return publish(e, want, is_new ? DP_BUS_MANY : 0,
                   is_counted ? 0 : DP_BUS_MANY, out_prev);
}

static void publish_collected(dp_emit *e, dp_want *want)
{
    if (!dp_list_is_empty(&want->changed)) {
        dp_list_del(&want->changed);
        publish(e, want, want->adds_n, want->others_n, NULL);
        want->adds_n = want->others_n = 0;
    }
}

static void wake(dp_emit *e)
{
    if (e->hooks.moved) {
        e->hooks.moved(e->hooks.ctx);
    }
}

void dp_emit_flush(dp_emit *e)
{
    bool is_early =
        DP_MUTANT(wake_before_head) && !dp_list_is_empty(&e->changed);
    if (is_early) {
        wake(e);
        DP_MUTANT_WINDOW(wake_before_head);
    }
    while (!dp_list_is_empty(&e->changed)) {
        publish_collected(e, WANT_AT(e->changed.next, changed));
    }
    while (!dp_list_is_empty(&e->gone)) {
        dp_want *want = WANT_AT(e->gone.next, gone);
        dp_want_end(e->wants, &want);
    }
    uint64_t head = head_of(e);
    if (head != e->told_head) {
        e->told_head = head;
        dp_state_lease(e->state, head);
        if (!is_early) {
            wake(e);
        }
    }
}

/* What the cursor of an earlier process proves about a restored want. */
static bool vouch_restored(dp_emit *e, dp_want *want)
{
    dp_cursor_change change =
        DP_MUTANT(cursor_unread)
            ? DP_CURSOR_SAME
            : dp_cursor_compare(&want->old_cursor, &want->cursor);
    want->is_stored &= change == DP_CURSOR_SAME;
    if (change == DP_CURSOR_STRANGER) {
        return false;
    }
    if (change != DP_CURSOR_SAME) { /* before vouching: nobody looks between */
        dp_emit_publish(e, want, change == DP_CURSOR_NEW, NULL);
    }
    dp_bus_vouch_again(e->bus, want->ref, want->old_watched_from);
    e->counts.vouched_again++;
    say(e, head_of(e), want, DP_EMIT_VOUCHED);
    return true;
}

void dp_emit_vouch(dp_emit *e, dp_want *want)
{
    DP_MAGIC_CHECK(want, DP_WANT_MAGIC);
    bool is_done = want->is_restored && !want->is_vouched
                   && vouch_restored(e, want);
    if (!is_done) {
        uint64_t seq = dp_bus_vouch(e->bus, want->ref, dp_clock_mono_us());
        want->is_stored = false;
        e->counts.vouched++;
        say(e, seq, want, DP_EMIT_VOUCHED);
    }
    want->is_restored = false;
    want->is_vouched = true;
    if (!want->is_stored) {
        store_within(e, want, STORE_VOUCH_US);
    }
}

void dp_emit_lost(dp_emit *e, dp_want *want, const char *why)
{
    DP_MAGIC_CHECK(want, DP_WANT_MAGIC);
    if (!want->is_vouched) {
        return;
    }
    publish_collected(e, want);
    want->is_vouched = false;
    dp_bus_unvouch(e->bus, want->ref);
    e->counts.lost++;
    say(e, head_of(e), want, DP_EMIT_LOST);
    dp_log(DP_LOG_DEBUG, "%s %s %s: no longer vouched for: %s",
           want->user->name, dp_class_name(want->class), want->folder, why);
    dp_state_del(e->state, want);
    want->is_stored = false;
}

void dp_emit_suspend(dp_emit *e, dp_want *want, const char *why)
{
    if (!want->is_vouched) {
        return;
    }
    publish_collected(e, want);
    dp_bus_view view = dp_bus_look(dp_bus_writer_map(e->bus), want->ref);
    dp_emit_lost(e, want, why);
    want->is_restored = true;
    want->old_cursor = want->cursor;
    want->old_watched_from = view.watched_from;
    /* a process that comes meanwhile vouches afresh, but knows what was there */
    dp_state_put(e->state, want, view.changed);
}

uint64_t dp_emit_tell(dp_emit *e, bool is_new)
{
    return dp_bus_tell(e->bus, is_new ? DP_BUS_KIND_NEW : DP_BUS_KIND_OTHER,
                       (dp_hash){{0, 0}}, 0);
}

void dp_emit_gone(dp_emit *e, dp_want *want, const char *why)
{
    dp_emit_lost(e, want, why);
    want->is_restored = false;
    if (dp_list_is_empty(&want->gone)) {
        dp_list_add(&e->gone, &want->gone);
    }
}

static void store_within(dp_emit *e, dp_want *want, dp_time_us span_us)
{
    dp_time_us due_us = dp_clock_mono_us() + span_us;
    due_us = due_us > e->store_from_us ? due_us : e->store_from_us;
    if (dp_list_is_empty(&want->dirty)) {
        dp_list_add(&e->dirty, &want->dirty);
    }
    if (!dp_timer_is_linked(&e->store.timer)
        || e->store.timer.due_us > due_us) {
        dp_loop_at(e->loop, &e->store, due_us);
    }
}

void dp_emit_touch(dp_emit *e, dp_want *want)
{
    want->is_stored = false;
    store_within(e, want, STORE_CHANGE_US);
}

/* Change times first, then all events up to now, then the names: see
 * cursor.h. @return how many sources they are of */
static size_t sample_all(dp_link_node *batch, struct dp_source **out_sources)
{
    size_t sources_n = 0;
    for (dp_link_node *n = batch->next; n != batch; n = n->next) {
        dp_want *want = WANT_AT(n, dirty);
        size_t i = 0;
        if (!want->source) {
            continue;
        }
        want->source->ops->sample(want->source, want);
        while (i < sources_n && out_sources[i] != want->source) {
            i++;
        }
        if (i == sources_n) {
            DP_ASSERT(sources_n < SOURCES_MAX);
            out_sources[sources_n++] = want->source;
        }
    }
    return sources_n;
}

static void take_some(dp_link_node *to, dp_link_node *from, size_t most)
{
    dp_list_init(to);
    while (most-- > 0 && !dp_list_is_empty(from)) {
        dp_link_node *n = from->next;
        dp_list_del(n);
        dp_list_add(to, n);
    }
}

static void put_all(dp_emit *e, dp_link_node *batch)
{
    while (!dp_list_is_empty(batch)) {
        dp_want *want = WANT_AT(batch->next, dirty);
        dp_list_del(&want->dirty);
        if (want->source && want->is_vouched) {
            want->source->ops->fill(want->source, want);
            dp_state_put(e->state, want,
                         dp_bus_look(dp_bus_writer_map(e->bus), want->ref)
                             .changed);
        }
    }
    dp_state_commit(e->state);
}

/* @return how long it took, without what was to be told anyway */
static dp_time_us store_some(dp_emit *e, dp_link_node *from)
{
    dp_link_node batch;
    struct dp_source *sources[SOURCES_MAX];
    dp_time_us began_us = dp_clock_mono_us();
    take_some(&batch, from, STORE_BATCH);
    size_t sources_n = sample_all(&batch, sources);
    dp_time_us sampled_us = dp_clock_mono_us();
    DP_MUTANT_WINDOW(cursor_before_publish);
    for (size_t i = 0; i < sources_n; i++) {
        sources[i]->ops->drain(sources[i]);
    }
    if (DP_MUTANT(cursor_before_publish)) {
        put_all(e, &batch);
    }
    DP_MUTANT_WINDOW(cursor_before_publish);
    dp_emit_flush(e);
    dp_time_us told_us = dp_clock_mono_us();
    put_all(e, &batch);
    return sampled_us - began_us + dp_clock_mono_us() - told_us;
}

static void store_due(void *ctx)
{
    dp_emit *e = ctx;
    if (e->is_storing) {
        return;
    }
    e->is_storing = true;
    dp_time_us took_us = store_some(e, &e->dirty);
    e->store_from_us = dp_clock_mono_us() + took_us * (STORE_PARTS - 1);
    if (!dp_list_is_empty(&e->dirty)) {
        dp_loop_at(e->loop, &e->store, e->store_from_us);
    }
    e->is_storing = false;
}

void dp_emit_store(dp_emit *e)
{
    dp_link_node all; /* what changes meanwhile is not waited for */
    if (e->is_storing) {
        return;
    }
    e->is_storing = true;
    take_some(&all, &e->dirty, SIZE_MAX);
    while (!dp_list_is_empty(&all)) {
        store_some(e, &all);
    }
    dp_state_commit(e->state);
    e->is_storing = false;
}

void dp_emit_ending(dp_emit *e, dp_want *want)
{
    publish_collected(e, want);
    if (want->is_vouched) {
        dp_emit_lost(e, want, "ended");
    }
    if (want->source) {
        want->source->ops->leave(want->source, want);
        want->source = NULL;
    }
    dp_list_del(&want->dirty);
    dp_state_del(e->state, want);
}
