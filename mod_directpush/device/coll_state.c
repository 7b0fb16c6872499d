#include "device/coll_state.h"

#include "base/dp_check.h"
#include "device/folder_map.h"
#include "device/store_use.h"

DP_STATIC(sizeof(dp_coll_state) == 168, "no padding: it is stored as it is");

/* Not a lag of this boot: DirectPushBackendLag is seconds. */
#define LAG_MAX_US (3600 * DP_SECOND_US)

uint64_t dp_sync_key_hash(dp_span key)
{
    /* Compared with keys of the same device only: who makes two that collide
     * fools himself. */
    static const uint8_t no_secret[DP_HASH_KEY_SIZE];
    uint64_t h = key.n ? dp_hash_spans(no_secret, &key, 1).w[0] : 0;
    return key.n && !h ? 1 : h;
}

static void drop_times_of_another_boot(dp_coll_state *st)
{
    dp_time_us now_us = dp_clock_mono_us();
    if (st->synced_at_us > now_us) {
        st->synced_at_us = 0;
    }
    if (st->announced_at_us > now_us) {
        st->announced_at_us = 0;
    }
    if (st->asked_at_us > now_us) {
        st->asked_at_us = 0;
    }
    if (st->lag_until_us > now_us + LAG_MAX_US) {
        st->lag_until_us = 0;
    }
    if (st->doubt_until_us > now_us + LAG_MAX_US) {
        st->doubt_until_us = 0;
    }
}

bool dp_coll_state_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                       dp_span id, dp_coll_state *out)
{
    dp_store_use u;
    dp_store_key key;
    bool is_there = false;

    *out = (dp_coll_state){.announced_n = 0};
    if (!id.n || dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return false;
    }
    dp_store_key_of_id(&key, 'c', who, id);
    is_there = dp_store_get_fixed(&u, &key, out, sizeof(*out));
    dp_store_leave(&u, APR_SUCCESS);
    if (is_there) {
        drop_times_of_another_boot(out);
    }
    return is_there;
}

static apr_status_t put_in(dp_store_use *u, const dp_who *who, dp_span id,
                           const dp_coll_state *st)
{
    dp_store_key key, all;
    dp_span value;
    apr_status_t rv = APR_SUCCESS;

    if (!id.n) {
        return APR_EINVAL;
    }
    dp_store_key_of_id(&key, 'c', who, id);
    dp_store_key_of_id(&all, 'c', who, dp_span_of(NULL, 0));
    if (dp_store_get(u, &key, &value) != APR_SUCCESS
        && dp_store_count(u, &all, DP_COLLS_PER_DEVICE)
               >= DP_COLLS_PER_DEVICE) {
        rv = dp_store_del_all(u, &all);
    }
    return rv == APR_SUCCESS ? dp_store_put(u, &key, st, sizeof(*st)) : rv;
}

apr_status_t dp_coll_state_put(dp_store *s, dp_store_txn *t, const dp_who *who,
                               dp_span id, const dp_coll_state *st)
{
    dp_store_use u;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    return rv == APR_SUCCESS ? dp_store_leave(&u, put_in(&u, who, id, st))
                             : rv;
}

apr_status_t dp_coll_state_announced(dp_store *s, dp_store_txn *t,
                                     const dp_who *who, uint64_t instance,
                                     const dp_announced *list, size_t n,
                                     dp_time_us now_us)
{
    dp_store_use u;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (size_t i = 0; i < n && rv == APR_SUCCESS; i++) {
        dp_coll_state st;
        dp_coll_state_get(s, u.txn, who, list[i].id, &st);
        if (list[i].seq
            && (list[i].seq != st.announced.seq
                || instance != st.announced.instance)) {
            st.announced = dp_mark_at(instance, list[i].seq);
            st.announced_n = 0;
        }
        if (st.announced_n < UINT32_MAX) {
            st.announced_n++;
        }
        st.announced_at_us = now_us;
        rv = put_in(&u, who, list[i].id, &st);
    }
    return dp_store_leave(&u, rv);
}

bool dp_coll_state_deliver(dp_coll_state *st, uint64_t token)
{
    if (!st->prov.instance || !token || st->prov_token != token) {
        return false;
    }
    st->mark = st->prov;
    st->prov = dp_mark_at(0, 0);
    st->prov_token = 0;
    if (st->prov_new_key) { /* else the two keys are one */
        st->prov_old_key = 0;
    }
    return true;
}

apr_status_t dp_coll_state_delivered(dp_store *s, const dp_who *who,
                                     uint64_t token, const dp_span *ids,
                                     size_t n)
{
    dp_store_use u;
    dp_hier_state hier;
    apr_status_t rv = dp_store_enter(&u, s, NULL, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (dp_hier_state_get(s, u.txn, who, &hier)
        && dp_hier_state_deliver(&hier, token)) {
        rv = dp_hier_state_put(s, u.txn, who, &hier);
    }
    for (size_t i = 0; i < n && rv == APR_SUCCESS; i++) {
        dp_coll_state st;
        if (dp_coll_state_get(s, u.txn, who, ids[i], &st)
            && dp_coll_state_deliver(&st, token)) {
            rv = put_in(&u, who, ids[i], &st);
        }
    }
    return dp_store_leave(&u, rv);
}
