#include "bus/bus_write.h"

#include "base/dp_mutant.h"
#include "bus/bus_writer.h"

void dp_bus_publish_head(dp_bus_writer *w)
{
    /* with dp_bus_head(): all that was stored for seqs up to it is visible */
    DP_BUS_STORE(w->header->head, w->head);
}

void dp_bus_raise_head(dp_bus_writer *w, uint64_t seq)
{
    if (seq > w->head) {
        /* the seqs between have no records: readers see that they were lapped
         * and compare all */
        w->head = seq;
        dp_bus_publish_head(w);
    }
}

static dp_bus_event event_of(dp_bus_writer *w, uint32_t kind, dp_bus_ref ref)
{
    return (dp_bus_event){.seq = ++w->head, .kind = kind, .ref = ref};
}

/* Invisible until dp_bus_publish_head(). */
static void write_record(dp_bus_writer *w, const dp_bus_event *e)
{
    dp_bus_record *r = &w->journal[e->seq & (w->map.journal_cap - 1)];
    DP_BUS_STORE(r->seq, 0); /* a reader in the middle turns away */
    DP_BUS_STORE_PLAIN(r->kind, e->kind);
    DP_BUS_STORE_PLAIN(r->slot, e->ref.slot);
    DP_BUS_STORE_PLAIN(r->gen, e->ref.gen);
    DP_BUS_STORE_PLAIN(r->hash.w[0], e->hash.w[0]);
    DP_BUS_STORE_PLAIN(r->hash.w[1], e->hash.w[1]);
    DP_BUS_STORE_PLAIN(r->arg, e->arg);
    DP_BUS_STORE(r->seq, e->seq); /* with dp_bus_catch_up() */
}

/* Between the two, `changed` and watched_from may be of another moment than
 * the count, which dp_bus_look() sees: before, after, and never in between, it
 * finds flags that are the same. */
static uint32_t begin_counting(dp_bus_topic *t)
{
    uint32_t flags = DP_BUS_OWN(t->flags);
    DP_BUS_STORE(t->flags, flags | DP_BUS_TOPIC_COUNTING);
    return flags >> DP_BUS_COUNT_SHIFT;
}

void dp_bus_end_counting(dp_bus_topic *t, uint32_t count)
{
    uint32_t flags = DP_BUS_OWN(t->flags) & DP_BUS_FLAGS;
    DP_BUS_STORE(t->flags, (flags & ~(uint32_t)DP_BUS_TOPIC_COUNTING)
                               | count << DP_BUS_COUNT_SHIFT);
}

typedef struct amount {
    uint32_t adds, others;
} amount;

static uint32_t at_most_many(uint32_t n)
{
    return n > DP_BUS_MANY ? DP_BUS_MANY : n;
}

static uint32_t count_on(uint32_t count, uint32_t adds)
{
    return adds < DP_BUS_COUNT_MAX - count ? count + adds : DP_BUS_COUNT_MAX;
}

/* With dp_bus_look(): the count of others changes with each of them. */
static void store_new_and_others(dp_bus_topic *t, uint64_t seq, amount n)
{
    uint64_t word = DP_BUS_OWN(t->changed_new);
    uint64_t others = (word >> DP_BUS_OTHERS_SHIFT) + n.others;
    uint64_t newest = n.adds ? seq : word;
    DP_BUS_STORE(t->changed_new, others << DP_BUS_OTHERS_SHIFT
                                     | (newest & DP_BUS_SEQ_MASK));
}

static uint64_t change(dp_bus_writer *w, dp_bus_ref ref, amount n,
                       dp_time_us now_us)
{
    dp_bus_topic *t = &w->topics[ref.slot];
    dp_bus_event e =
        event_of(w, n.adds ? DP_BUS_KIND_NEW : DP_BUS_KIND_OTHER, ref);
    uint32_t count = begin_counting(t);
    if (DP_MUTANT(head_before_topic)) {
        dp_bus_publish_head(w);
    }
    DP_MUTANT_WINDOW(head_before_topic);
    DP_BUS_STORE(t->changed_at_us, now_us);
    store_new_and_others(t, e.seq, n);
    DP_BUS_STORE(t->changed, e.seq);
    dp_bus_end_counting(t, count_on(count, n.adds));
    write_record(w, &e);
    return e.seq;
}

uint64_t dp_bus_publish(dp_bus_writer *w, dp_bus_ref ref, uint32_t adds,
                        uint32_t others, dp_time_us now_us,
                        uint64_t *out_prev)
{
    amount n = {at_most_many(adds), at_most_many(others)};
    dp_bus_topic *t = dp_bus_topic_at(w, ref);
    if (out_prev) {
        *out_prev = t ? DP_BUS_OWN(t->changed) : 0;
    }
    if (!t) {
        return 0;
    }
    uint64_t seq = change(w, ref, n, now_us);
    uint32_t class_slot = DP_BUS_OWN(t->class_slot);
    if (class_slot < w->map.topic_cap && class_slot != ref.slot) {
        uint32_t gen = DP_BUS_OWN(w->topics[class_slot].gen);
        change(w, (dp_bus_ref){class_slot, gen}, n, now_us);
    }
    dp_bus_publish_head(w);
    return seq;
}

/* The only place where watched_from changes. */
static void set_watched_from(dp_bus_writer *w, dp_bus_ref ref, dp_bus_event *e)
{
    dp_bus_topic *t = &w->topics[ref.slot];
    uint32_t watched = DP_BUS_OWN(w->header->topics_watched);
    watched -= DP_BUS_OWN(t->watched_from) != DP_BUS_UNWATCHED;
    watched += e->arg != DP_BUS_UNWATCHED;
    DP_BUS_STORE(w->header->topics_watched, watched);
    DP_BUS_STORE(t->watched_from, e->arg);
    write_record(w, e);
    dp_bus_publish_head(w);
}

uint64_t dp_bus_vouch(dp_bus_writer *w, dp_bus_ref ref, dp_time_us now_us)
{
    dp_bus_topic *t = dp_bus_topic_at(w, ref);
    if (!t) {
        return 0;
    }
    if (!DP_MUTANT(vouched_is_old)) {
        DP_BUS_STORE(t->changed_at_us, now_us);
    }
    dp_bus_event e = event_of(w, DP_BUS_KIND_VOUCH, ref);
    e.arg = DP_MUTANT(vouch_without_seq) ? e.seq - 1 : e.seq;
    begin_counting(t);
    set_watched_from(w, ref, &e);
    dp_bus_end_counting(t, 0);
    return e.seq;
}

void dp_bus_vouch_again(dp_bus_writer *w, dp_bus_ref ref, uint64_t watched_from)
{
    if (dp_bus_topic_at(w, ref)) {
        DP_ASSERT(watched_from <= w->head);
        dp_bus_event e = event_of(w, DP_BUS_KIND_VOUCH, ref);
        e.arg = watched_from;
        set_watched_from(w, ref, &e);
    }
}

void dp_bus_unvouch(dp_bus_writer *w, dp_bus_ref ref)
{
    const dp_bus_topic *t = dp_bus_topic_at(w, ref);
    if (t && DP_BUS_OWN(t->watched_from) != DP_BUS_UNWATCHED) {
        dp_bus_event e = event_of(w, DP_BUS_KIND_VOUCH, ref);
        e.arg = DP_MUTANT(unwatched_is_clean) ? DP_BUS_OWN(t->watched_from)
                                              : DP_BUS_UNWATCHED;
        set_watched_from(w, ref, &e);
    }
}

void dp_bus_renewed(dp_bus_writer *w, dp_bus_ref ref, dp_time_us now_us)
{
    dp_bus_topic *t = dp_bus_topic_at(w, ref);
    if (t) {
        DP_BUS_STORE(t->renewed_s, (uint32_t)(now_us / DP_SECOND_US));
    }
}

uint64_t dp_bus_tell(dp_bus_writer *w, enum dp_bus_kind kind, dp_hash hash,
                     uint64_t arg)
{
    dp_bus_event e = event_of(w, kind, DP_BUS_NO_REF);
    e.hash = hash;
    e.arg = arg;
    write_record(w, &e);
    if (kind == DP_BUS_KIND_FORGET) {
        DP_BUS_STORE(w->header->forget_seq, e.seq);
    }
    dp_bus_publish_head(w);
    return e.seq;
}
