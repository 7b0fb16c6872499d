#include "hold/recent.h"

#include <string.h>

/* Bits of a child's name: it takes a server a while to have that many. */
#define CHILD_BITS 24

void dp_recent_init(dp_recent *r, const uint8_t *key)
{
    memcpy(r->key, key, sizeof(r->key));
}

uint32_t dp_recent_child(dp_recent *r)
{
    uint32_t n = atomic_fetch_add_explicit(&r->children_n, 1,
                                           memory_order_relaxed);
    return (n + 1) & ((1u << CHILD_BITS) - 1);
}

static dp_recent_place *place_of(dp_recent *r, dp_hash h)
{
    return &r->place[h.w[0] % DP_RECENT_PLACES];
}

bool dp_recent_claim(dp_recent *r, const dp_who *who, uint32_t child)
{
    dp_hash h = dp_who_hash(r->key, who);
    uint64_t losses = atomic_load_explicit(&r->losses_n, memory_order_seq_cst);
    uint64_t mine = (h.w[1] + losses) << CHILD_BITS | child;
    /* Both halves of what matters here are reads after writes of others: the
     * hold was linked before; who claims the place later sees ours, or we see
     * theirs in the journal. */
    return atomic_exchange_explicit(&place_of(r, h)->last, mine,
                                    memory_order_seq_cst) == mine;
}

void dp_recent_lose(dp_recent *r)
{
    atomic_fetch_add_explicit(&r->losses_n, 1, memory_order_seq_cst);
}

/* Who notes looks at `storing` next, who stores at `newest`: one of two that
 * meet sees the other. */
bool dp_recent_note(dp_recent *r, const dp_who *who, uint64_t arrival)
{
    dp_recent_place *at = place_of(r, dp_who_hash(r->key, who));
    uint64_t seen = atomic_load_explicit(&at->newest, memory_order_seq_cst);
    while (seen < arrival
           && !atomic_compare_exchange_weak_explicit(&at->newest, &seen,
                                                     arrival,
                                                     memory_order_seq_cst,
                                                     memory_order_seq_cst)) {
        /* seen is what is there now */
    }
    return !atomic_load_explicit(&r->storing[at - r->place],
                                 memory_order_seq_cst);
}

bool dp_recent_give_way(dp_recent *r, const dp_who *who, uint64_t arrival)
{
    dp_recent_place *at = place_of(r, dp_who_hash(r->key, who));
    /* with dp_recent_note() */
    if (atomic_load_explicit(&at->newest, memory_order_seq_cst) <= arrival) {
        return false;
    }
    /* Our child's name would let one that comes here next, newer than the one
     * that is there, keep quiet. */
    atomic_store_explicit(&at->last, 0, memory_order_seq_cst);
    return true;
}

bool dp_recent_store_begin(dp_recent *r, const dp_who *who, uint64_t arrival)
{
    dp_recent_place *at = place_of(r, dp_who_hash(r->key, who));
    atomic_fetch_add_explicit(&r->storing[at - r->place], 1,
                              memory_order_seq_cst);
    return atomic_load_explicit(&at->newest, memory_order_seq_cst) <= arrival;
}

/* Who dies in between leaves its device to store the same again each time. */
void dp_recent_store_end(dp_recent *r, const dp_who *who)
{
    dp_recent_place *at = place_of(r, dp_who_hash(r->key, who));
    atomic_fetch_sub_explicit(&r->storing[at - r->place], 1,
                              memory_order_seq_cst);
}

apr_status_t dp_recent_store(dp_recent *r, dp_store *s, const dp_who *who,
                             const dp_ping_params *params)
{
    apr_status_t rv =
        dp_recent_store_begin(r, who, params->arrival)
            ? dp_ping_params_put(s, NULL, who, params)
            : dp_ping_params_del(s, NULL, who, params->arrival);
    dp_recent_store_end(r, who);
    return rv;
}
