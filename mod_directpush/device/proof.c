#include "device/proof.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "device/store_use.h"

/* One device of a login has a password, perhaps in two spellings. Who sends more
 * forms of an accepted Authorization than that loses the oldest. */
#define PROOFS_PER_DEVICE 8

/* The fixed part of the value; login and mailbox user follow, for those who
 * look for a person: the key may hold the login as a hash. */
typedef struct proof_fixed {
    dp_time_us at_us;
    uint32_t login_n;
    uint32_t user_n;
} proof_fixed;

typedef struct proof_record {
    proof_fixed fixed;
    dp_span login, user; /* into the store */
} proof_record;

static bool unpack(dp_span value, proof_record *out)
{
    if (value.n < sizeof(out->fixed)) {
        return false;
    }
    memcpy(&out->fixed, value.p, sizeof(out->fixed));
    if (value.n != sizeof(out->fixed) + (size_t)out->fixed.login_n
                       + out->fixed.user_n) {
        return false;
    }
    out->login = dp_span_of(value.p + sizeof(out->fixed), out->fixed.login_n);
    out->user = dp_span_of(out->login.p + out->login.n, out->fixed.user_n);
    return true;
}

static void make_key(dp_store_key *key, const uint8_t *proof_key,
                     const dp_who *who, dp_span authorization)
{
    dp_span of[] = {who->realm, who->login, who->device, authorization};
    dp_hash h = dp_hash_spans(proof_key, of, 4);
    dp_store_key_of_id(key, 'a', who, dp_span_of(&h, sizeof(h)));
}

static void make_device_prefix(dp_store_key *key, const dp_who *who)
{
    dp_store_key_of_id(key, 'a', who, dp_span_of(NULL, 0));
}

dp_proof dp_proof_get(dp_store *s, dp_store_txn *t, const uint8_t *proof_key,
                      const dp_who *who, dp_span authorization,
                      dp_time_us trust_us, dp_time_us now_us,
                      dp_time_us *out_until_us)
{
    dp_store_use u;
    dp_store_key key;
    dp_span value;
    proof_record r;
    dp_proof proof = DP_PROOF_NONE;

    *out_until_us = 0;
    if (!authorization.n || dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return DP_PROOF_NONE;
    }
    make_key(&key, proof_key, who, authorization);
    if (dp_store_get(&u, &key, &value) == APR_SUCCESS && unpack(value, &r)) {
        /* at_us may be after now_us: another device of the same person was
         * accepted since the caller looked at the clock */
        proof = DP_PROOF_EXPIRED;
        if (now_us - r.fixed.at_us < trust_us) {
            proof = DP_PROOF_GOOD;
            *out_until_us = r.fixed.at_us + trust_us;
        }
    }
    dp_store_leave(&u, APR_SUCCESS);
    return proof;
}

typedef struct oldest {
    dp_store_key key;
    dp_time_us at_us;
    size_t n;
} oldest;

static bool find_oldest(void *ctx, dp_span key, dp_span value)
{
    oldest *o = ctx;
    proof_record r = {.fixed = {.at_us = 0}};
    unpack(value, &r);
    if ((o->n == 0 || r.fixed.at_us < o->at_us)
        && key.n <= sizeof(o->key.bytes)) {
        memcpy(o->key.bytes, key.p, key.n);
        o->key.n = key.n;
        o->at_us = r.fixed.at_us;
    }
    o->n++;
    return true;
}

static apr_status_t make_room(dp_store_use *u, const dp_who *who)
{
    dp_store_key prefix;
    oldest o = {.n = 0};
    make_device_prefix(&prefix, who);
    apr_status_t rv = u->store->ops->scan(
        u->txn, dp_span_of(prefix.bytes, prefix.n), find_oldest, &o);
    return rv == APR_SUCCESS && o.n >= PROOFS_PER_DEVICE
               ? dp_store_del(u, &o.key)
               : rv;
}

static apr_status_t write_proof(dp_store_use *u, const dp_store_key *key,
                                const dp_who *who, dp_time_us now_us)
{
    proof_fixed fixed = {now_us, (uint32_t)who->login.n,
                         (uint32_t)who->user.n};
    size_t n = sizeof(fixed) + who->login.n + who->user.n;
    unsigned char *value = malloc(n);
    DP_ASSERT(value);
    memcpy(value, &fixed, sizeof(fixed));
    if (who->login.n) {
        memcpy(value + sizeof(fixed), who->login.p, who->login.n);
    }
    if (who->user.n) {
        memcpy(value + sizeof(fixed) + who->login.n, who->user.p,
               who->user.n);
    }
    apr_status_t rv = dp_store_put(u, key, value, n);
    free(value);
    return rv;
}

apr_status_t dp_proof_put(dp_store *s, dp_store_txn *t,
                          const uint8_t *proof_key, const dp_who *who,
                          dp_span authorization, dp_time_us now_us)
{
    dp_store_use u;
    dp_store_key key;
    dp_span value;
    proof_record r;

    if (!authorization.n) {
        return APR_EINVAL;
    }
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    make_key(&key, proof_key, who, authorization);
    if (dp_store_get(&u, &key, &value) != APR_SUCCESS) {
        rv = make_room(&u, who);
    }
    else if (unpack(value, &r) && now_us <= r.fixed.at_us
             && dp_span_is(r.user, who->user)) {
        return dp_store_leave(&u, APR_SUCCESS); /* newer */
    }
    if (rv == APR_SUCCESS) {
        rv = write_proof(&u, &key, who, now_us);
    }
    return dp_store_leave(&u, rv);
}

apr_status_t dp_proof_del(dp_store *s, dp_store_txn *t,
                          const uint8_t *proof_key, const dp_who *who,
                          dp_span authorization)
{
    dp_store_use u;
    dp_store_key key;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    make_key(&key, proof_key, who, authorization);
    return dp_store_leave(&u, dp_store_del(&u, &key));
}

/* Whom to forget, and the keys found in one pass over all proofs. */
typedef struct hunt {
    bool (*is_him)(void *ctx, dp_span login);
    void *ctx;
    dp_store_key *keys;
    size_t n, cap;
} hunt;

static bool collect_his(void *ctx, dp_span key, dp_span value)
{
    hunt *h = ctx;
    proof_record r;
    if (key.n > sizeof(h->keys->bytes)
        || (unpack(value, &r) && !h->is_him(h->ctx, r.login)
            && !h->is_him(h->ctx, r.user))) {
        return true;
    }
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 16;
        h->keys = realloc(h->keys, h->cap * sizeof(*h->keys));
        DP_ASSERT(h->keys);
    }
    memcpy(h->keys[h->n].bytes, key.p, key.n);
    h->keys[h->n++].n = key.n;
    return true;
}

apr_status_t dp_proof_forget_if(dp_store *s,
                                bool (*is_him)(void *ctx, dp_span login),
                                void *ctx)
{
    dp_store_use u;
    hunt h = {.is_him = is_him, .ctx = ctx};
    apr_status_t rv = dp_store_enter(&u, s, NULL, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = s->ops->scan(u.txn, dp_span_of("a", 2), collect_his, &h);
    for (size_t i = 0; i < h.n && rv == APR_SUCCESS; i++) {
        rv = dp_store_del(&u, &h.keys[i]);
    }
    free(h.keys);
    return dp_store_leave(&u, rv);
}

static bool is_this_user(void *ctx, dp_span login)
{
    const dp_span *user = ctx;
    return dp_span_is(login, *user);
}

apr_status_t dp_proof_forget(dp_store *s, dp_span user)
{
    return dp_proof_forget_if(s, is_this_user, &user);
}

bool dp_refused_get(dp_store *s, dp_store_txn *t, const dp_who *who)
{
    dp_store_use u;
    dp_store_key key;
    dp_span value;
    if (dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return false;
    }
    dp_store_key_of(&key, 'r', who);
    bool is_refused = dp_store_get(&u, &key, &value) == APR_SUCCESS;
    dp_store_leave(&u, APR_SUCCESS);
    return is_refused;
}

apr_status_t dp_refused_set(dp_store *s, dp_store_txn *t, const dp_who *who,
                            bool is_refused)
{
    dp_store_use u;
    dp_store_key key;
    dp_span value;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of(&key, 'r', who);
    bool was_refused = dp_store_get(&u, &key, &value) == APR_SUCCESS;
    if (is_refused && !was_refused) {
        rv = dp_store_put(&u, &key, "1", 1);
    }
    else if (!is_refused && was_refused) {
        rv = dp_store_del(&u, &key);
    }
    return dp_store_leave(&u, rv);
}
