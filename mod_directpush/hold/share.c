#include "hold/share.h"

static dp_hash hash_of(const dp_who *who)
{
    dp_span parts[] = {who->realm, who->user.n ? who->user : who->login};
    return dp_hash_spans(dp_hash_own_key(), parts, 2);
}

void dp_share_add(dp_share *share, const dp_who *who, int by)
{
    dp_hash h = hash_of(who);
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add_explicit(&share->n[i][h.w[i] % DP_SHARE_PLACES],
                                  (uint32_t)by, memory_order_relaxed);
    }
}

uint32_t dp_share_of(const dp_share *share, const dp_who *who)
{
    dp_hash h = hash_of(who);
    uint32_t least = UINT32_MAX;
    for (int i = 0; i < 2; i++) {
        uint32_t n = atomic_load_explicit(
            &share->n[i][h.w[i] % DP_SHARE_PLACES], memory_order_relaxed);
        least = n < least ? n : least;
    }
    return least;
}
