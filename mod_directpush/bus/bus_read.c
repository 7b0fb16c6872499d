#include "bus/bus_read.h"

#include "base/dp_mutant.h"

/* A slot is read between two looks at its generation. The loads between them
 * are acquire, so that the second look can't move before them, and the writer
 * stores the same words with release after it made the generation odd: who
 * sees one of its new words sees the odd generation too. No fence is needed,
 * and ThreadSanitizer, which knows none, can follow. */
#define LOAD(word)    atomic_load_explicit(&(word), memory_order_acquire)
#define RELAXED(word) atomic_load_explicit(&(word), memory_order_relaxed)

/* Plain words, shared the same way: dp_hash is no atomic type. */
#define LOAD_PLAIN(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)

static dp_hash load_hash(const dp_hash *h)
{
    return (dp_hash){{LOAD_PLAIN(h->w[0]), LOAD_PLAIN(h->w[1])}};
}

uint64_t dp_bus_head(const dp_bus_map *map)
{
    return LOAD(map->header->head); /* with publish_head() of the writer */
}

bool dp_bus_is_alive(const dp_bus_map *map, dp_time_us now_us,
                     dp_time_us silence_us)
{
    /* with dp_bus_sign(); `now_us` may be a little older than the sign */
    int64_t alive_us = LOAD(map->header->alive_us);
    if (alive_us <= 0) {
        return false;
    }
    return now_us - alive_us <= silence_us && alive_us - now_us <= silence_us;
}

/* One slot as find needs it. */
typedef struct slot_view {
    bool is_steady; /* the rest belongs together */
    uint32_t gen;
    dp_hash key;
    uint32_t flags;
    uint32_t target_slot;
    uint32_t target_gen;
} slot_view;

static slot_view look_at_slot(const dp_bus_topic *t)
{
    slot_view v = {.gen = LOAD(t->gen)};
    v.key = load_hash(&t->key);
    v.flags = LOAD(t->flags);
    v.target_slot = LOAD(t->class_slot);
    v.target_gen = (uint32_t)LOAD(t->changed);
    v.is_steady = !(v.gen & 1) && RELAXED(t->gen) == v.gen;
    return v;
}

static bool is_never_used(const slot_view *v)
{
    return v->is_steady && v->key.w[0] == 0 && v->key.w[1] == 0
           && !(v->flags & DP_BUS_TOPIC_GONE);
}

static dp_bus_ref ref_of(const dp_bus_map *map, uint32_t slot,
                         const slot_view *v)
{
    if (!(v->flags & DP_BUS_TOPIC_ALIAS)) {
        return (dp_bus_ref){slot, v->gen};
    }
    if (v->target_slot >= map->topic_cap
        || LOAD(map->topics[v->target_slot].gen) != v->target_gen) {
        return DP_BUS_NO_REF; /* its topic is gone: ask again */
    }
    return (dp_bus_ref){v->target_slot, v->target_gen};
}

dp_bus_ref dp_bus_find(const dp_bus_map *map, dp_hash key)
{
    uint32_t mask = map->topic_cap - 1;
    uint32_t slot = (uint32_t)key.w[0] & mask;
    for (uint32_t i = 0; i <= mask; i++, slot = (slot + 1) & mask) {
        slot_view v = look_at_slot(&map->topics[slot]);
        if (v.is_steady && dp_hash_is(v.key, key)) {
            return ref_of(map, slot, &v);
        }
        if (is_never_used(&v)) {
            break;
        }
    }
    return DP_BUS_NO_REF;
}

bool dp_bus_key_of(const dp_bus_map *map, dp_bus_ref ref, dp_hash *out)
{
    if (ref.slot >= map->topic_cap) {
        return false;
    }
    slot_view v = look_at_slot(&map->topics[ref.slot]);
    *out = v.key;
    return v.is_steady && v.gen == ref.gen && ref.gen != 0;
}

dp_bus_view dp_bus_look(const dp_bus_map *map, dp_bus_ref ref)
{
    dp_bus_view blind = {.ref = ref, .watched_from = DP_BUS_UNWATCHED};
    if (ref.slot >= map->topic_cap || ref.gen == 0 || ref.gen & 1) {
        return blind;
    }
    const dp_bus_topic *t = &map->topics[ref.slot];
    if (LOAD(t->gen) != ref.gen && !DP_MUTANT(gen_ignored)) {
        return blind;
    }
    uint64_t new_and_others = LOAD(t->changed_new);
    uint32_t flags = LOAD(t->flags); /* inside of the other: see below */
    dp_bus_view v = {
        .ref = ref,
        .is_current = true,
        .changed = LOAD(t->changed),
        .changed_new = new_and_others & DP_BUS_SEQ_MASK,
        .watched_from = LOAD(t->watched_from),
        .changed_at_us = LOAD(t->changed_at_us),
        .renewed_s = LOAD(t->renewed_s),
    };
    /* Every change of the words above makes another count, or stands between
     * two looks at COUNTING: see begin_counting(). */
    v.adds_n = flags >> DP_BUS_COUNT_SHIFT;
    v.others_n = (uint16_t)(new_and_others >> DP_BUS_OTHERS_SHIFT);
    v.is_counted = !(flags & DP_BUS_TOPIC_COUNTING)
                   && v.adds_n < DP_BUS_COUNT_MAX
                   && LOAD(t->flags) == flags
                   && RELAXED(t->changed_new) == new_and_others;
    return RELAXED(t->gen) == ref.gen || DP_MUTANT(gen_ignored) ? v : blind;
}

dp_bus_cursor dp_bus_cursor_at_head(const dp_bus_map *map)
{
    return (dp_bus_cursor){dp_bus_head(map) + 1};
}

dp_bus_next dp_bus_catch_up(const dp_bus_map *map, dp_bus_cursor *cursor,
                            dp_bus_event *out)
{
    uint64_t head = dp_bus_head(map);
    uint64_t next = cursor->next;
    if (next == head + 1) {
        return DP_BUS_NEXT_NONE;
    }
    const dp_bus_record *r = &map->journal[next & (map->journal_cap - 1)];
    if (next <= head && head - next < map->journal_cap
        && LOAD(r->seq) == next) { /* with write_record() */
        *out = (dp_bus_event){
            .seq = next,
            .kind = LOAD_PLAIN(r->kind),
            .ref = {LOAD_PLAIN(r->slot), LOAD_PLAIN(r->gen)},
            .hash = load_hash(&r->hash),
            .arg = LOAD_PLAIN(r->arg),
        };
        if (RELAXED(r->seq) == next) {
            cursor->next = next + 1;
            return DP_BUS_NEXT_RECORD;
        }
    }
    /* Overwritten, skipped by a restarted writer, or of another file. All up
     * to `head`, which was read first, is in the topics. */
    cursor->next = head + 1;
    return DP_BUS_NEXT_LAPPED;
}
