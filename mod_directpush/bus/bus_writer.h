/* bus_writer: inside of the writer, shared by the three files that make it:
 * bus_create.c (the file), bus_topics.c (the table), bus_write.c (changes).
 * Private to bus/; directpushd's one thread only.
 */
#ifndef BUS_WRITER_H
#define BUS_WRITER_H

#include "bus/bus_write.h"

struct dp_bus_writer {
    uint32_t magic;
    dp_bus_map map;
    dp_bus_header *header; /* the same memory as `map`, writable */
    dp_bus_topic *topics;
    dp_bus_record *journal;
    uint32_t *members; /* per slot: topics that have it as their class */
    uint64_t head; /* the newest seq given out; header->head follows it */
};

#define DP_BUS_WRITER_MAGIC 0x44504257u

/* Readers load these words with acquire between two looks at gen or seq; see
 * the top of bus_read.c. */
#define DP_BUS_STORE(word, value)                                              \
    atomic_store_explicit(&(word), (value), memory_order_release)
#define DP_BUS_STORE_PLAIN(word, value)                                        \
    __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)
/* The writer's own reading: nobody else stores. */
#define DP_BUS_OWN(word) atomic_load_explicit(&(word), memory_order_relaxed)

/** The slot of a topic that still is this one, else NULL. */
dp_bus_topic *dp_bus_topic_at(const dp_bus_writer *w, dp_bus_ref ref);

/** Give a slot free: generation ended, GONE. */
void dp_bus_slot_clear(dp_bus_writer *w, uint32_t slot);

/** Take over what an earlier writer left, maybe in the middle of a change. */
void dp_bus_topics_repair(dp_bus_writer *w);

/** The count belongs to the topic's other words, now. */
void dp_bus_end_counting(dp_bus_topic *t, uint32_t count);

/** Let readers see all seqs given out so far. */
void dp_bus_publish_head(dp_bus_writer *w);

#endif
