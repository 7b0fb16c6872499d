/* bus_write: the writer's side of the bus; directpushd's one thread only.
 *
 * Every change of a topic that a reader may act on has a seq of its own and a
 * journal record: topic first, record second, head last (release).
 */
#ifndef BUS_WRITE_H
#define BUS_WRITE_H

#include "bus/bus_read.h"

typedef struct dp_bus_writer dp_bus_writer;

typedef struct dp_bus_create_args {
    const char *path;      /* the file `bus` */
    uint32_t topic_cap;    /* power of two */
    uint32_t journal_cap;  /* power of two */
    uint64_t head_at_least; /* seqs up to this may be in use: start above */
    uint64_t instance;     /* carry on this line; 0: a new random one */
    gid_t group;           /* owner group of the file, (gid_t)-1: leave */
} dp_bus_create_args;

/**
 * Make a new bus file under a temporary name, all space reserved, and rename
 * it to `path`. An older mapping is told (`replaced`).
 * @return ENOSPC and the like: nothing was changed
 */
apr_status_t dp_bus_create(dp_bus_writer **out,
                           const dp_bus_create_args *args);

/**
 * Take over the file that an earlier writer left in this boot.
 * @return APR_SUCCESS; else as dp_bus_attach(), and the caller creates anew
 */
apr_status_t dp_bus_reopen(dp_bus_writer **out, const char *path,
                           dp_bus_problem *out_problem);

/** Close; with `leaving`, alive becomes 0 and readers go blind at once. */
void dp_bus_close(dp_bus_writer **w, bool leaving);

/** The mapping, for the reader's calls. */
const dp_bus_map *dp_bus_writer_map(const dp_bus_writer *w);

/** Sign of life; call at least every DP_LINK_ALIVE_EVERY_US. */
void dp_bus_sign(dp_bus_writer *w, dp_time_us now_us);

/** Continue above `seq` (a cursor from a newer file was found). */
void dp_bus_raise_head(dp_bus_writer *w, uint64_t seq);

/**
 * Make a topic, unwatched, or find the one that the key has (its class and
 * flags are set, nothing else is touched). Its slot never moves.
 * @param class_slot slot of its class topic or DP_BUS_NO_SLOT
 * @return DP_BUS_NO_REF when the table is too full (7/8)
 */
dp_bus_ref dp_bus_topic_add(dp_bus_writer *w, dp_hash key,
                            uint32_t class_slot, uint32_t flags);

/** Move a topic to another class topic, or to none (DP_BUS_NO_SLOT). */
void dp_bus_topic_set_class(dp_bus_writer *w, dp_bus_ref ref,
                            uint32_t class_slot);

/** Another name for `target`. An old meaning of the alias is replaced. */
bool dp_bus_alias_set(dp_bus_writer *w, dp_hash key, dp_bus_ref target);
void dp_bus_alias_drop(dp_bus_writer *w, dp_hash key);

/** Give the slot back: its generation ends, readers of it go blind. */
void dp_bus_topic_drop(dp_bus_writer *w, dp_bus_ref ref);

/**
 * A change. The class topic changes too, with a seq and a record of its own
 * right after this one; both become visible together.
 * @param adds      how many items are new: each once at least; DP_BUS_MANY
 *                  when that is not known, or more
 * @param others    how many other changes there are, likewise; neither of the
 *                  two when they were counted with the publish before
 * @param out_prev  seq of the change before it, 0 none; may be NULL
 * @return its seq; 0 when `ref` is no topic any more
 */
uint64_t dp_bus_publish(dp_bus_writer *w, dp_bus_ref ref, uint32_t adds,
                        uint32_t others, dp_time_us now_us,
                        uint64_t *out_prev);

/** Vouch from now on: watched_from := ++head, published. What is there now may
 *  be as young as a change of `now_us`; changes are counted from here.
 *  @return that seq.
 *  A VOUCH record's arg is the new watched_from. */
uint64_t dp_bus_vouch(dp_bus_writer *w, dp_bus_ref ref, dp_time_us now_us);

/** Vouch again from where it was: a cursor proved that nothing changed. */
void dp_bus_vouch_again(dp_bus_writer *w, dp_bus_ref ref,
                        uint64_t watched_from);

/** Stop vouching: watched_from := UNWATCHED, published. */
void dp_bus_unvouch(dp_bus_writer *w, dp_bus_ref ref);

/**
 * Drop every topic and alias that `keep` says false of: what an earlier writer
 * left and nobody claims. `flags` as in the slot.
 */
void dp_bus_sweep(dp_bus_writer *w,
                  bool (*keep)(void *ctx, dp_bus_ref ref, uint32_t flags),
                  void *ctx);

/** Note that somebody asked for it. Not a change. */
void dp_bus_renewed(dp_bus_writer *w, dp_bus_ref ref, dp_time_us now_us);

/** Journal a Ping's arrival or a forget. @return its seq */
uint64_t dp_bus_tell(dp_bus_writer *w, enum dp_bus_kind kind, dp_hash hash,
                     uint64_t arg);

#endif
