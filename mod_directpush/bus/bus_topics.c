#include "bus/bus_writer.h"

#include <string.h>

#define NO_KEY ((dp_hash){{0, 0}})

static bool is_key(dp_hash key)
{
    return key.w[0] != 0 || key.w[1] != 0;
}

static void count(_Atomic uint32_t *counter, int by)
{
    DP_BUS_STORE(*counter, (uint32_t)((int64_t)DP_BUS_OWN(*counter) + by));
}

dp_bus_topic *dp_bus_topic_at(const dp_bus_writer *w, dp_bus_ref ref)
{
    DP_MAGIC_CHECK(w, DP_BUS_WRITER_MAGIC);
    if (ref.slot >= w->map.topic_cap || ref.gen == 0 || ref.gen & 1
        || DP_BUS_OWN(w->topics[ref.slot].gen) != ref.gen) {
        return NULL;
    }
    return &w->topics[ref.slot];
}

/* The slot of `key`, or where it may go; NO_SLOT when there is neither. */
static uint32_t probe(const dp_bus_writer *w, dp_hash key, bool *out_found)
{
    uint32_t mask = w->map.topic_cap - 1;
    uint32_t slot = (uint32_t)key.w[0] & mask;
    uint32_t free_slot = DP_BUS_NO_SLOT;
    *out_found = false;
    for (uint32_t i = 0; i <= mask; i++, slot = (slot + 1) & mask) {
        const dp_bus_topic *t = &w->topics[slot];
        if (dp_hash_is(t->key, key)) {
            *out_found = true;
            return slot;
        }
        if (!is_key(t->key)) {
            if (free_slot == DP_BUS_NO_SLOT) {
                free_slot = slot;
            }
            if (!(DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_GONE)) {
                break;
            }
        }
    }
    return free_slot;
}

/* What a slot holds from one generation on. */
typedef struct meaning {
    dp_hash key;
    uint64_t changed;
    uint32_t class_slot;
    uint32_t flags;
} meaning;

static void count_member(dp_bus_writer *w, const dp_bus_topic *t, int by)
{
    uint32_t class_slot = DP_BUS_OWN(t->class_slot);
    if (is_key(t->key) && class_slot < w->map.topic_cap
        && !(DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_ALIAS)) {
        w->members[class_slot] += (uint32_t)by;
    }
}

/* Of a topic, not of an alias. */
static void set_class(dp_bus_writer *w, dp_bus_topic *t, uint32_t class_slot)
{
    count_member(w, t, -1);
    DP_BUS_STORE(t->class_slot, class_slot);
    count_member(w, t, 1);
}

/* The only place where a slot changes hands. */
static uint32_t hand_over(dp_bus_writer *w, dp_bus_topic *t, const meaning *m)
{
    uint32_t gen = DP_BUS_OWN(t->gen);
    count_member(w, t, -1);
    DP_BUS_STORE(t->gen, gen | 1); /* readers turn away: look_at_slot() */
    DP_BUS_STORE_PLAIN(t->key.w[0], m->key.w[0]);
    DP_BUS_STORE_PLAIN(t->key.w[1], m->key.w[1]);
    DP_BUS_STORE(t->changed, m->changed);
    DP_BUS_STORE(t->changed_new, 0);
    DP_BUS_STORE(t->watched_from, DP_BUS_UNWATCHED);
    DP_BUS_STORE(t->changed_at_us, 0);
    DP_BUS_STORE(t->class_slot, m->class_slot);
    DP_BUS_STORE(t->renewed_s, 0);
    DP_BUS_STORE(t->flags, m->flags);
    count_member(w, t, 1);
    gen = (gen | 1) + 1;
    gen = gen ? gen : 2; /* 2^31 owners later; 0 means never used */
    DP_BUS_STORE(t->gen, gen);
    return gen;
}

/* GONE slots before a never used one lead nowhere: probes may end there. */
static void shorten_probes(dp_bus_writer *w, uint32_t slot)
{
    uint32_t mask = w->map.topic_cap - 1;
    const dp_bus_topic *next = &w->topics[(slot + 1) & mask];
    if (is_key(next->key) || DP_BUS_OWN(next->flags) & DP_BUS_TOPIC_GONE) {
        return;
    }
    for (uint32_t i = 0; i <= mask; i++, slot = (slot - 1) & mask) {
        dp_bus_topic *t = &w->topics[slot];
        if (is_key(t->key) || !(DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_GONE)) {
            return;
        }
        DP_BUS_STORE(t->flags, 0);
    }
}

void dp_bus_slot_clear(dp_bus_writer *w, uint32_t slot)
{
    dp_bus_topic *t = &w->topics[slot];
    if (is_key(t->key)) {
        count(&w->header->topics_used, -1);
    }
    if (!(DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_ALIAS)
        && DP_BUS_OWN(t->watched_from) != DP_BUS_UNWATCHED) {
        count(&w->header->topics_watched, -1);
    }
    hand_over(w, t, &(meaning){.key = NO_KEY,
                               .class_slot = DP_BUS_NO_SLOT,
                               .flags = DP_BUS_TOPIC_GONE});
    shorten_probes(w, slot);
}

/* Put a new meaning into the slot for `m->key`. */
static dp_bus_ref settle(dp_bus_writer *w, const meaning *m)
{
    bool found;
    uint32_t slot = probe(w, m->key, &found);
    uint32_t used = DP_BUS_OWN(w->header->topics_used);
    if (slot == DP_BUS_NO_SLOT
        || (!found && used >= w->map.topic_cap / 8 * 7)) {
        return DP_BUS_NO_REF;
    }
    if (!found) {
        count(&w->header->topics_used, 1);
    }
    return (dp_bus_ref){slot, hand_over(w, &w->topics[slot], m)};
}

dp_bus_ref dp_bus_topic_add(dp_bus_writer *w, dp_hash key, uint32_t class_slot,
                            uint32_t flags)
{
    bool found;
    uint32_t slot = probe(w, key, &found);
    if (found && !(DP_BUS_OWN(w->topics[slot].flags) & DP_BUS_TOPIC_ALIAS)) {
        dp_bus_topic *t = &w->topics[slot];
        set_class(w, t, class_slot);
        DP_BUS_STORE(t->flags,
                     flags | (DP_BUS_OWN(t->flags) & ~DP_BUS_FLAGS));
        return (dp_bus_ref){slot, DP_BUS_OWN(t->gen)};
    }
    return settle(w, &(meaning){.key = key,
                                .class_slot = class_slot,
                                .flags = flags & DP_BUS_TOPIC_CLASS});
}

void dp_bus_topic_set_class(dp_bus_writer *w, dp_bus_ref ref,
                            uint32_t class_slot)
{
    dp_bus_topic *t = dp_bus_topic_at(w, ref);
    if (t) {
        set_class(w, t, class_slot);
    }
}

bool dp_bus_alias_set(dp_bus_writer *w, dp_hash key, dp_bus_ref target)
{
    bool found;
    uint32_t slot = probe(w, key, &found);
    if (!dp_bus_topic_at(w, target)) {
        return false;
    }
    if (found) {
        const dp_bus_topic *t = &w->topics[slot];
        if (!(DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_ALIAS)) {
            dp_bus_slot_clear(w, slot); /* readers of the topic go blind */
        }
        else if (DP_BUS_OWN(t->class_slot) == target.slot
                 && DP_BUS_OWN(t->changed) == target.gen) {
            return true;
        }
    }
    dp_bus_ref at = settle(w, &(meaning){.key = key,
                                         .changed = target.gen,
                                         .class_slot = target.slot,
                                         .flags = DP_BUS_TOPIC_ALIAS});
    return at.slot != DP_BUS_NO_SLOT;
}

void dp_bus_alias_drop(dp_bus_writer *w, dp_hash key)
{
    bool found;
    uint32_t slot = probe(w, key, &found);
    if (found && DP_BUS_OWN(w->topics[slot].flags) & DP_BUS_TOPIC_ALIAS) {
        dp_bus_slot_clear(w, slot);
    }
}

/* Nobody may go on changing a class topic that is no more: the slot may soon
 * be somebody else's. Aliases hold the generation and need no such care. Most
 * have no members, or none any more: no looking through the table. */
static void leave_class(dp_bus_writer *w, uint32_t class_slot)
{
    for (uint32_t slot = 0; w->members[class_slot] > 0; slot++) {
        DP_ASSERT(slot < w->map.topic_cap);
        dp_bus_topic *t = &w->topics[slot];
        if (DP_BUS_OWN(t->class_slot) == class_slot
            && is_key(t->key)
            && !(DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_ALIAS)) {
            set_class(w, t, DP_BUS_NO_SLOT);
        }
    }
}

void dp_bus_topic_drop(dp_bus_writer *w, dp_bus_ref ref)
{
    dp_bus_topic *t = dp_bus_topic_at(w, ref);
    if (!t) {
        return;
    }
    /* published, so that holds on it look and find that it is gone */
    dp_bus_unvouch(w, ref);
    if (DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_CLASS) {
        leave_class(w, ref.slot);
    }
    dp_bus_slot_clear(w, ref.slot);
}

void dp_bus_sweep(dp_bus_writer *w,
                  bool (*keep)(void *ctx, dp_bus_ref ref, uint32_t flags),
                  void *ctx)
{
    for (uint32_t slot = 0; slot < w->map.topic_cap; slot++) {
        dp_bus_topic *t = &w->topics[slot];
        dp_bus_ref ref = {slot, DP_BUS_OWN(t->gen)};
        uint32_t flags = DP_BUS_OWN(t->flags);
        if (!is_key(t->key) || keep(ctx, ref, flags)) {
            continue;
        }
        if (flags & DP_BUS_TOPIC_ALIAS) {
            dp_bus_slot_clear(w, slot);
        }
        else {
            dp_bus_topic_drop(w, ref);
        }
    }
}

static void raise_to(uint64_t *to, uint64_t seq)
{
    if (seq != DP_BUS_UNWATCHED && seq > *to) {
        *to = seq;
    }
}

static void count_members(dp_bus_writer *w)
{
    memset(w->members, 0, w->map.topic_cap * sizeof(*w->members));
    for (uint32_t slot = 0; slot < w->map.topic_cap; slot++) {
        count_member(w, &w->topics[slot], 1);
    }
}

/* The writer died in a change: until vouched for afresh nobody knows how many
 * there were. */
static void end_torn_count(dp_bus_topic *t)
{
    if (DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_COUNTING) {
        dp_bus_end_counting(t, DP_BUS_COUNT_MAX);
    }
}

void dp_bus_topics_repair(dp_bus_writer *w)
{
    uint32_t used = 0, watched = 0;
    for (uint32_t slot = 0; slot < w->map.topic_cap; slot++) {
        dp_bus_topic *t = &w->topics[slot];
        if (DP_BUS_OWN(t->gen) & 1) { /* it died while handing over */
            hand_over(w, t, &(meaning){.class_slot = DP_BUS_NO_SLOT,
                                       .flags = DP_BUS_TOPIC_GONE});
        }
        if (!is_key(t->key)) {
            continue;
        }
        used++;
        if (DP_BUS_OWN(t->flags) & DP_BUS_TOPIC_ALIAS) {
            continue;
        }
        if (DP_BUS_OWN(t->class_slot) >= w->map.topic_cap) {
            DP_BUS_STORE(t->class_slot, DP_BUS_NO_SLOT);
        }
        watched += DP_BUS_OWN(t->watched_from) != DP_BUS_UNWATCHED;
        /* a change may have been stored whose seq was never published */
        raise_to(&w->head, DP_BUS_OWN(t->changed));
        raise_to(&w->head, DP_BUS_OWN(t->watched_from));
        end_torn_count(t);
    }
    count_members(w);
    for (uint32_t i = 0; i < w->map.journal_cap; i++) {
        raise_to(&w->head, DP_BUS_OWN(w->journal[i].seq));
    }
    DP_BUS_STORE(w->header->topics_used, used);
    DP_BUS_STORE(w->header->topics_watched, watched);
}
