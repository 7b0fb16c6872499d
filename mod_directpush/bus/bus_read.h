/* bus_read: what a reader does with a mapped bus.
 *
 * All calls are lock-free, allocate nothing and may run on any thread; the
 * cursor belongs to one thread (the keeper of a child).
 */
#ifndef BUS_READ_H
#define BUS_READ_H

#include <stdbool.h>

#include "base/dp_clock.h"
#include "bus/bus_map.h"
#include "bus/topic_name.h"

/* A topic, as a reader remembers it. slot == DP_BUS_NO_SLOT: none. */
typedef struct dp_bus_ref {
    uint32_t slot;
    uint32_t gen;
} dp_bus_ref;

#define DP_BUS_NO_REF ((dp_bus_ref){DP_BUS_NO_SLOT, 0})

/* A topic at one moment. */
typedef struct dp_bus_view {
    dp_bus_ref ref;
    bool is_current;       /* the slot still is this topic */
    uint64_t changed;      /* 0: no change known */
    uint64_t changed_new;
    uint64_t watched_from; /* DP_BUS_UNWATCHED: nobody vouches */
    dp_time_us changed_at_us; /* of the newer of changed and watched_from */
    uint32_t renewed_s;
    bool is_counted;   /* these are known, of `changed` and watched_from: */
    uint32_t adds_n;   /* new items since vouching began afresh (not: again) */
    uint16_t others_n; /* other changes; comes round */
} dp_bus_view;

/** The newest seq. Read *before* what it shall be compared with (acquire). */
uint64_t dp_bus_head(const dp_bus_map *map);

/** Has the writer given a sign of life within `silence_us`? */
bool dp_bus_is_alive(const dp_bus_map *map, dp_time_us now_us,
                     dp_time_us silence_us);

/** Find a topic; follows an alias to the real one. DP_BUS_NO_REF if absent. */
dp_bus_ref dp_bus_find(const dp_bus_map *map, dp_hash key);

/** The key of the topic that `ref` is. @return false: the slot changed hands */
bool dp_bus_key_of(const dp_bus_map *map, dp_bus_ref ref, dp_hash *out);

/** Look at a topic. With DP_BUS_NO_REF, or a slot that changed hands:
 *  is_current false, watched_from DP_BUS_UNWATCHED. */
dp_bus_view dp_bus_look(const dp_bus_map *map, dp_bus_ref ref);

typedef struct dp_bus_cursor {
    uint64_t next; /* the seq to read next */
} dp_bus_cursor;

typedef enum dp_bus_next {
    DP_BUS_NEXT_RECORD, /* *out is a copy of the record */
    DP_BUS_NEXT_NONE,   /* caught up */
    DP_BUS_NEXT_LAPPED  /* the cursor stands at head + 1 now: compare all */
} dp_bus_next;

/** A cursor that stands after `head`. */
dp_bus_cursor dp_bus_cursor_at_head(const dp_bus_map *map);

/** A plain copy of a record, seq included. */
typedef struct dp_bus_event {
    uint64_t seq;
    uint32_t kind; /* dp_bus_kind */
    dp_bus_ref ref;
    dp_hash hash;
    uint64_t arg;
} dp_bus_event;

dp_bus_next dp_bus_catch_up(const dp_bus_map *map, dp_bus_cursor *cursor,
                            dp_bus_event *out);

#endif
