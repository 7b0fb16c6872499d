/* watcher: the parts of directpushd put together.
 *
 * main.c has the arguments and signals; this has the order of things: lock,
 * bus, state, what was asked for before, the control socket, the sign of life.
 * The daemon's one thread.
 */
#ifndef WATCHER_H
#define WATCHER_H

#include "watcher/conf.h"
#include "watcher/control.h"
#include "watcher/emit.h"
#include "watcher/source.h"
#include "watcher/wanted.h"

#define DP_SOURCES_MAX 4

typedef struct dp_watcher {
    dp_conf *conf;
    dp_loop *loop;
    int locks[2];
    dp_bus_writer *bus;
    dp_state *state;
    dp_wants *wants;
    dp_emit *emit;
    dp_control *control;
    dp_source *sources[DP_SOURCES_MAX];
    size_t sources_n;
    uint32_t ask_slot; /* what was left from before is asked for up to it */
    dp_wanted *wanted; /* of another bus, and not asked for yet; or NULL */
    dp_loop_timer sign;
    dp_time_us started_us;
    dp_log_cause bus_is_gone;
} dp_watcher;

/**
 * Start everything.
 * @param conf  taken over when it succeeds
 * @return false after one line in `problem`; nothing is left behind
 */
bool dp_watcher_start(dp_watcher *w, dp_conf *conf, char *problem, size_t cap);

/** Cursors stored, bus signed off, socket gone. */
void dp_watcher_stop(dp_watcher *w);

/** Take another configuration; watches stay. Takes `conf` over. */
void dp_watcher_reload(dp_watcher *w, dp_conf *conf);

/* --- what the control socket asks for (watcher_ask.c) */

/**
 * Somebody Pings this.
 * @return NULL and *out_ref, or why nobody watches
 */
const char *dp_watcher_watch(dp_watcher *w, dp_span user, dp_class c,
                             dp_span folder, dp_bus_ref *out_ref);

/** A change. @return its seq; *out_prev the one before, 0 when not kept */
uint64_t dp_watcher_publish(dp_watcher *w, dp_span user, dp_class c,
                            dp_span folder, bool is_new, uint64_t *out_prev);

typedef enum dp_verified {
    DP_VERIFY_NOT,     /* nobody vouches for it */
    DP_VERIFY_COULD,   /* no phone has asked for it; it can be watched */
    DP_VERIFY_WATCHED
} dp_verified;

/** A dp_want_view_of: topics that were listed, of other people's collections;
 *  ctx is the watcher. */
bool dp_watcher_view_of(void *ctx, const dp_want *want, dp_hash *out_key);

/** Is any folder of this user asked for? */
bool dp_watcher_knows(const dp_watcher *w, dp_span user);

/** How it is watched, or why not, for people: one line into `out`. */
dp_verified dp_watcher_verify(dp_watcher *w, dp_span user, dp_class c,
                              dp_span folder, char *out, size_t cap);

/** All counters. */
void dp_watcher_report(dp_watcher *w,
                       void (*line)(void *ctx, const char *name,
                                    uint64_t value),
                       void *ctx);

#endif
