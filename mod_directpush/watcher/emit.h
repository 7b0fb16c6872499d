/* emit: from what a source sees to what the bus says.
 *
 * Changes are collected while a batch of events is read and published once per
 * topic when it ends (dp_emit_flush). Cursors follow later, in one transaction
 * for many: sampled, then published, then stored, never the other way round,
 * so that a stored cursor never covers a change that nobody was told of.
 */
#ifndef EMIT_H
#define EMIT_H

#include "watcher/state.h"
#include "watcher/want.h"

typedef struct dp_emit dp_emit;

/* What happened, in the words of `follow`. */
typedef enum dp_emit_kind {
    DP_EMIT_NEW,
    DP_EMIT_OTHER,
    DP_EMIT_VOUCHED,
    DP_EMIT_LOST
} dp_emit_kind;

typedef struct dp_emit_hooks {
    /** Each published line; may be NULL. */
    void (*line)(void *ctx, uint64_t seq, const dp_want *want,
                 dp_emit_kind kind);
    /** The head has moved: wake readers, now. */
    void (*moved)(void *ctx);
    void *ctx;
} dp_emit_hooks;

typedef struct dp_emit_counts {
    uint64_t published_new, published_other, vouched, vouched_again, lost;
} dp_emit_counts;

dp_emit *dp_emit_new(dp_loop *loop, dp_bus_writer *bus, dp_wants *wants,
                     dp_state *state);
void dp_emit_free(dp_emit **e);
void dp_emit_set_hooks(dp_emit *e, const dp_emit_hooks *hooks);
const dp_emit_counts *dp_emit_counted(const dp_emit *e);

/** `n` items are new, or changed in another way; DP_BUS_MANY when that is not
 *  known, or what else changed with them. Means nothing while the topic is not
 *  vouched for. */
void dp_emit_change(dp_emit *e, dp_want *want, bool is_new, uint32_t n);

/**
 * Vouch: the watch is placed and want->cursor says what is there. What an
 * earlier process stored decides whether that is a change, or nothing; without
 * it, or when is_vouched already, watched_from starts afresh.
 */
void dp_emit_vouch(dp_emit *e, dp_want *want);

/** No longer vouched for; said before the watch goes. Harmless twice. */
void dp_emit_lost(dp_emit *e, dp_want *want, const char *why);

/**
 * Not vouched for while its source can't look. want->cursor says what was last
 * told of; the next dp_emit_vouch() compares with it, as after a restart, so
 * that an outage during which nothing happened costs nobody a Sync.
 */
void dp_emit_suspend(dp_emit *e, dp_want *want, const char *why);

/** A change that is announced later, by what a look finds: a seq for the one
 *  who told, and no topic's. */
uint64_t dp_emit_tell(dp_emit *e, bool is_new);

/**
 * The topic is no longer what was asked for (its GUID is elsewhere now): the
 * want ends with this turn's flush, and whoever held it has to ask again.
 */
void dp_emit_gone(dp_emit *e, dp_want *want, const char *why);

/** The cursor is no longer as stored. */
void dp_emit_touch(dp_emit *e, dp_want *want);

/** Publish what has been collected and wake readers. */
void dp_emit_flush(dp_emit *e);

/** Publish at once an unknown number of changes, for the control socket. Those
 *  that are not new are none but what the source sees, too, if it counts.
 *  @return its seq */
uint64_t dp_emit_publish(dp_emit *e, dp_want *want, bool is_new,
                         uint64_t *out_prev);

/** Store all cursors that changed, now. */
void dp_emit_store(dp_emit *e);

/** A want is about to go. */
void dp_emit_ending(dp_emit *e, dp_want *want);

#endif
