/* folder_map: the records of folders and of the hierarchy; see the header.
 * What they mean as topics is folder_topic.c. */
#include "device/folder_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "device/folder_record.h"
#include "device/store_use.h"
#include "wire/eas_folders.h"

DP_STATIC(sizeof(dp_hier_state) == 128, "no padding: it is stored as it is");

bool dp_hier_state_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                       dp_hier_state *out)
{
    dp_store_use u;
    dp_store_key key;

    *out = (dp_hier_state){.is_map_known = 0};
    if (dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return false;
    }
    dp_store_key_of(&key, 'h', who);
    bool is_there = dp_store_get_fixed(&u, &key, out, sizeof(*out));
    dp_store_leave(&u, APR_SUCCESS);
    dp_time_us now_us = dp_clock_mono_us();
    if (out->announced_at_us > now_us || out->asked_at_us > now_us) {
        out->announced_at_us = 0; /* of another boot */
        out->asked_at_us = 0;
        out->lag_until_us = 0;
    }
    return is_there;
}

apr_status_t dp_hier_state_put(dp_store *s, dp_store_txn *t,
                               const dp_who *who, const dp_hier_state *st)
{
    dp_store_use u;
    dp_store_key key;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of(&key, 'h', who);
    return dp_store_leave(&u, dp_store_put(&u, &key, st, sizeof(*st)));
}

bool dp_hier_state_deliver(dp_hier_state *st, uint64_t token)
{
    if (!st->prov.instance || !token || st->prov_token != token) {
        return false;
    }
    st->mark = st->prov;
    st->prov = dp_mark_at(0, 0);
    st->prov_token = 0;
    return true;
}

apr_status_t dp_hier_state_announced(dp_store *s, dp_store_txn *t,
                                     const dp_who *who, dp_mark what,
                                     dp_time_us now_us)
{
    dp_store_use u;
    dp_hier_state st;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_hier_state_get(s, u.txn, who, &st);
    if (st.announced.instance != what.instance
        || st.announced.seq != what.seq) {
        st.announced_n = 0;
    }
    st.announced_n += st.announced_n < UINT8_MAX;
    st.announced = what;
    st.announced_at_us = now_us;
    st.lag_until_us = 0;
    return dp_store_leave(&u, dp_hier_state_put(s, u.txn, who, &st));
}

apr_status_t dp_folder_map_clear(dp_store *s, dp_store_txn *t,
                                 const dp_who *who)
{
    dp_store_use u;
    dp_store_key all;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of_id(&all, 'm', who, dp_span_of(NULL, 0));
    return dp_store_leave(&u, dp_store_del_all(&u, &all));
}

bool dp_folder_record_read(dp_store_use *u, const dp_who *who, dp_span id,
                           dp_folder_record *out)
{
    dp_store_key key;
    dp_span value;

    dp_store_key_of_id(&key, 'm', who, id);
    return id.n && dp_store_get(u, &key, &value) == APR_SUCCESS
           && dp_folder_record_unpack(value, out);
}

bool dp_folder_record_unpack(dp_span value, dp_folder_record *out)
{
    if (value.n < sizeof(out->fixed)) {
        return false;
    }
    memcpy(&out->fixed, value.p, sizeof(out->fixed));
    if (value.n != sizeof(out->fixed) + out->fixed.parent_n
                       + out->fixed.name_n) {
        return false;
    }
    out->parent = dp_span_of(value.p + sizeof(out->fixed),
                             out->fixed.parent_n);
    out->name = dp_span_of(out->parent.p + out->parent.n, out->fixed.name_n);
    return true;
}

static apr_status_t write_record(dp_store_use *u, const dp_who *who,
                                 dp_span id, dp_span parent, dp_span name,
                                 unsigned type, uint64_t key_hash)
{
    unsigned char value[sizeof(dp_folder_fixed) + DP_COLLECTION_ID_MAX
                        + DP_FOLDER_NAME_MAX];
    dp_folder_fixed fixed = {.key_hash = key_hash,
                             .type = type <= UINT16_MAX ? (uint16_t)type : 0};
    dp_store_key key;

    if (!id.n || id.n > DP_COLLECTION_ID_MAX) {
        return APR_EINVAL;
    }
    if (parent.n <= DP_COLLECTION_ID_MAX && name.n <= DP_FOLDER_NAME_MAX) {
        fixed.parent_n = (uint16_t)parent.n;
        fixed.name_n = (uint16_t)name.n;
    } /* else it has no path, and is blind */
    memcpy(value, &fixed, sizeof(fixed));
    unsigned char *at = value + sizeof(fixed);
    if (fixed.parent_n) {
        memcpy(at, parent.p, fixed.parent_n);
    }
    if (fixed.name_n) {
        memcpy(at + fixed.parent_n, name.p, fixed.name_n);
    }
    dp_store_key_of_id(&key, 'm', who, id);
    return dp_store_put(u, &key, value,
                        sizeof(fixed) + fixed.parent_n + fixed.name_n);
}

apr_status_t dp_folder_map_learn(dp_store *s, dp_store_txn *t,
                                 const dp_who *who, dp_span id, dp_span parent,
                                 dp_span name, unsigned type,
                                 uint64_t key_hash)
{
    dp_store_use u;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return dp_store_leave(&u, write_record(&u, who, id, parent, name, type,
                                           key_hash));
}

bool dp_folder_map_type(dp_store *s, dp_store_txn *t, const dp_who *who,
                        dp_span id, unsigned *out)
{
    dp_store_use u;
    dp_folder_record r;
    if (dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return false;
    }
    bool is_there = dp_folder_record_read(&u, who, id, &r);
    *out = is_there ? r.fixed.type : 0;
    dp_store_leave(&u, APR_SUCCESS);
    return is_there;
}

apr_status_t dp_folder_map_set(dp_store *s, dp_store_txn *t,
                               const dp_who *who, dp_span id, dp_span parent,
                               dp_span name, unsigned type)
{
    return dp_folder_map_learn(s, t, who, id, parent, name, type, 0);
}

apr_status_t dp_folder_map_del(dp_store *s, dp_store_txn *t,
                               const dp_who *who, dp_span id)
{
    dp_store_use u;
    dp_store_key key;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!id.n) {
        return dp_store_leave(&u, APR_EINVAL);
    }
    dp_store_key_of_id(&key, 'm', who, id);
    return dp_store_leave(&u, dp_store_del(&u, &key));
}

/* Keys taught by one response, found in one pass and deleted in another. */
typedef struct taught_by {
    uint64_t key_hash;
    dp_store_key *keys;
    size_t n, cap;
} taught_by;

static bool collect_taught(void *ctx, dp_span key, dp_span value)
{
    taught_by *by = ctx;
    dp_folder_record r;
    bool is_one = !dp_folder_record_unpack(value, &r)
                  || r.fixed.key_hash == by->key_hash;
    if (!is_one || key.n > sizeof(by->keys->bytes)) {
        return true;
    }
    if (by->n == by->cap) {
        by->cap = by->cap ? 2 * by->cap : 16;
        by->keys = realloc(by->keys, by->cap * sizeof(*by->keys));
        DP_ASSERT(by->keys);
    }
    memcpy(by->keys[by->n].bytes, key.p, key.n);
    by->keys[by->n++].n = key.n;
    return true;
}

apr_status_t dp_folder_map_unlearn(dp_store *s, dp_store_txn *t,
                                   const dp_who *who, uint64_t key_hash)
{
    dp_store_use u;
    dp_store_key all;
    taught_by by = {.key_hash = key_hash};
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of_id(&all, 'm', who, dp_span_of(NULL, 0));
    rv = s->ops->scan(u.txn, dp_span_of(all.bytes, all.n), collect_taught,
                      &by);
    for (size_t i = 0; i < by.n && rv == APR_SUCCESS; i++) {
        rv = dp_store_del(&u, &by.keys[i]);
    }
    free(by.keys);
    return dp_store_leave(&u, rv);
}
