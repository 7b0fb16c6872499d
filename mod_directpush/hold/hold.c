#include "hold/hold.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"

static bool is_listed(dp_hold_state from, dp_hold_state to)
{
    static const struct {
        uint8_t from, to;
    } moves[] = {
#define DP_HOLD_MOVE(from, to) {DP_HOLD_##from, DP_HOLD_##to},
#include "hold/hold_states.def"
#undef DP_HOLD_MOVE
    };
    for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++) {
        if (moves[i].from == from && moves[i].to == to) {
            return true;
        }
    }
    return false;
}

bool dp_hold_transit(dp_hold *hold, dp_hold_state from, dp_hold_state to)
{
    DP_MAGIC_CHECK(hold, DP_HOLD_MAGIC);
    DP_ASSERT(is_listed(from, to));
    uint32_t is = from;
    return atomic_compare_exchange_strong_explicit(
        &hold->state, &is, to, memory_order_acq_rel, memory_order_acquire);
}

dp_hold_state dp_hold_state_of(const dp_hold *hold)
{
    return (dp_hold_state)atomic_load_explicit(&hold->state,
                                               memory_order_acquire);
}

const char *dp_hold_state_name(dp_hold_state s)
{
    static const char *const name[DP_HOLD_STATES_N] = {
#define DP_HOLD_STATE(n, help) #n,
#include "hold/hold_states.def"
#undef DP_HOLD_STATE
    };
    return s < DP_HOLD_STATES_N ? name[s] : "?";
}

const char *dp_hold_cause_name(dp_hold_cause c)
{
    static const char *const name[] = {
        "change",  "heartbeat", "proof",  "newer-ping",
        "request", "drain",     "forget", "gone"};
    return (size_t)c < sizeof(name) / sizeof(*name) ? name[c] : "?";
}

/* Copy `s` behind `*at`, and say where it went. */
static dp_span keep(unsigned char **at, dp_span s)
{
    dp_span kept = dp_span_of(*at, s.n);
    if (s.n) {
        memcpy(*at, s.p, s.n);
    }
    *at += s.n;
    return kept;
}

dp_hold *dp_hold_make(const dp_who *who, const dp_hold_spec *specs, size_t n)
{
    size_t bytes = who->realm.n + who->login.n + who->user.n + who->device.n;
    for (size_t i = 0; i < n; i++) {
        bytes += specs[i].id.n;
    }
    dp_hold *h = calloc(1, sizeof(*h) + n * sizeof(dp_hold_item) + bytes);
    DP_ASSERT(h);
    h->magic = DP_HOLD_MAGIC;
    h->items_n = (uint32_t)n;
    h->items = (dp_hold_item *)(h + 1);
    h->bytes = (unsigned char *)(h->items + n);
    atomic_init(&h->state, DP_HOLD_PARKING);
    unsigned char *at = h->bytes;
    for (size_t i = 0; i < n; i++) {
        const dp_hold_spec *s = &specs[i];
        h->items[i] = (dp_hold_item){
            .hold = h,
            .mark = s->mark,
            .doubt = s->doubt,
            .announced_seq = s->announced_seq,
            .announced_n = s->announced_n,
            .announced_at_us = s->announced_at_us,
            .synced_at_us = s->synced_at_us,
            .lag_until_us = s->lag_until_us,
            .settle_until_us = s->settle_until_us,
            .likely_seq = s->likely_seq,
            .id_off = (uint32_t)(at - h->bytes),
            .id_n = (uint16_t)s->id.n,
            .class_id = (uint8_t)s->class_id,
            .is_assumed = s->is_assumed,
        };
        keep(&at, s->id);
    }
    h->who.realm = keep(&at, who->realm);
    h->who.login = keep(&at, who->login);
    h->who.user = keep(&at, who->user);
    h->who.device = keep(&at, who->device);
    return h;
}

void dp_hold_free(dp_hold **hold)
{
    if (*hold) {
        DP_MAGIC_CHECK(*hold, DP_HOLD_MAGIC);
        DP_ASSERT(!(*hold)->is_linked);
        (*hold)->magic = 0;
        free(*hold);
        *hold = NULL;
    }
}
