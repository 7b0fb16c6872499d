/* topics: the topics that this child's holds wait for.
 *
 * One dp_topic for all holds of the process that name it. It knows the slot in
 * the bus (once somebody vouches), the items that wait for it, and what was
 * asked of the watcher. Guarded by the set's lock; no call here blocks.
 */
#ifndef TOPICS_H
#define TOPICS_H

#include "base/dp_map.h"
#include "bus/bus_read.h"
#include "device/device.h"

struct dp_hold_item;

typedef enum dp_topic_answer {
    DP_TOPIC_NOT_ASKED = 0,
    DP_TOPIC_ASKED,
    DP_TOPIC_OK, /* the watcher has it */
    DP_TOPIC_NO  /* nobody vouches */
} dp_topic_answer;

typedef struct dp_topic {
    dp_map_node node; /* key: dp_topic_key() under the bus's key */
    dp_bus_ref ref;   /* DP_BUS_NO_REF: not in the bus */
    struct dp_hold_item *items;
    struct dp_topic *next_of_slot; /* aliases may share a slot */
    dp_topic_answer answer;
    dp_time_us asked_at_us;
    dp_class class_id;
    bool is_found_anew; /* its items have not been looked at since */
    uint32_t items_n;
    uint16_t user_n, folder_n;
    char name[]; /* user, then folder; no NULs */
} dp_topic;

static inline dp_span dp_topic_user(const dp_topic *t)
{
    return dp_span_of(t->name, t->user_n);
}

static inline dp_span dp_topic_folder(const dp_topic *t)
{
    return dp_span_of(t->name + t->user_n, t->folder_n);
}

typedef struct dp_topics {
    dp_map by_key;
    dp_topic **by_slot; /* slot_cap heads; index: slot of the bus */
    uint32_t slot_cap;
    uint64_t moves_n; /* lists of `by_slot` were changed this often */
} dp_topics;

/** The topic of that name, made if need be, and looked up in the bus.
 *  @param bus may be NULL or without header: the key is then 0-keyed and the
 *         topic is found again by dp_topics_rebind() */
dp_topic *dp_topics_get(dp_topics *ts, const dp_bus_map *bus, dp_span user,
                        dp_class class_id, dp_span folder);

void dp_topics_link(dp_topic *t, struct dp_hold_item *item);
/** Unlink an item; a topic without items is freed. */
void dp_topics_unlink(dp_topics *ts, struct dp_hold_item *item);

/** Look the topic up in the bus (again). */
void dp_topics_find(dp_topics *ts, const dp_bus_map *bus, dp_topic *t);

/** Look it up after the watcher said that it is `told` (or NO_REF). A topic
 *  that has no name in the bus is its user's class topic, if that is what the
 *  watcher says; a slot number alone is not believed, since it may be of
 *  another file than the one that we have mapped. */
void dp_topics_settle(dp_topics *ts, const dp_bus_map *bus, dp_topic *t,
                      dp_bus_ref told);

/** Somebody vouches for what is in that slot now: the topic of that name, if
 *  it had no slot yet, is found there. */
void dp_topics_appeared(dp_topics *ts, const dp_bus_map *bus, dp_bus_ref ref);

/** Another bus file, or none: all keys and slots anew. */
void dp_topics_rebind(dp_topics *ts, const dp_bus_map *bus);

/** Free what is left; no item may be linked. */
void dp_topics_free(dp_topics *ts);

#endif
