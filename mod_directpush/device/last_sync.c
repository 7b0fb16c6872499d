#include "device/last_sync.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "device/store_use.h"

/* One entry of the value; the id follows. */
typedef struct entry_fixed {
    uint64_t key_hash;
    uint32_t class_id;
    uint16_t id_n;
    uint8_t wants_changes;
    uint8_t key_is_zero;
} entry_fixed;

DP_STATIC(sizeof(entry_fixed) == 16, "no padding: it is stored as it is");

static size_t count_entries(dp_span value)
{
    entry_fixed f;
    size_t n = 0, at = 0;
    for (; value.n - at >= sizeof(f); n++) {
        memcpy(&f, value.p + at, sizeof(f));
        at += sizeof(f);
        if (!f.id_n || f.id_n > DP_COLLECTION_ID_MAX || f.id_n > value.n - at) {
            return 0;
        }
        at += f.id_n;
    }
    return at == value.n && n <= DP_LAST_SYNC_MAX ? n : 0;
}

bool dp_last_sync_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                      dp_last_sync_entry **out, size_t *out_n)
{
    dp_store_use u;
    dp_store_key key;
    dp_span value;

    *out = NULL;
    *out_n = 0;
    if (dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return false;
    }
    dp_store_key_of(&key, 's', who);
    size_t n = dp_store_get(&u, &key, &value) == APR_SUCCESS
                   ? count_entries(value)
                   : 0;
    if (n) {
        dp_last_sync_entry *list = calloc(n, sizeof(*list));
        const unsigned char *at = value.p;
        DP_ASSERT(list);
        for (size_t i = 0; i < n; i++) {
            entry_fixed f;
            memcpy(&f, at, sizeof(f));
            list[i].key_hash = f.key_hash;
            list[i].class_id = f.class_id;
            list[i].id_n = f.id_n;
            list[i].wants_changes = f.wants_changes;
            list[i].key_is_zero = f.key_is_zero;
            memcpy(list[i].id, at + sizeof(f), f.id_n);
            at += sizeof(f) + f.id_n;
        }
        *out = list;
        *out_n = n;
    }
    dp_store_leave(&u, APR_SUCCESS);
    return n > 0;
}

static unsigned char *pack(const dp_last_sync_entry *list, size_t n,
                           size_t *out_n)
{
    unsigned char *value = malloc(n * (sizeof(entry_fixed)
                                       + DP_COLLECTION_ID_MAX));
    unsigned char *at = value;
    DP_ASSERT(value);
    for (size_t i = 0; i < n; i++) {
        entry_fixed f = {.key_hash = list[i].key_hash,
                         .class_id = list[i].class_id,
                         .id_n = list[i].id_n,
                         .wants_changes = list[i].wants_changes,
                         .key_is_zero = list[i].key_is_zero};
        DP_ASSERT(f.id_n && f.id_n <= DP_COLLECTION_ID_MAX);
        memcpy(at, &f, sizeof(f));
        memcpy(at + sizeof(f), list[i].id, f.id_n);
        at += sizeof(f) + f.id_n;
    }
    *out_n = (size_t)(at - value);
    return value;
}

apr_status_t dp_last_sync_put(dp_store *s, dp_store_txn *t, const dp_who *who,
                              const dp_last_sync_entry *list, size_t n)
{
    dp_store_use u;
    dp_store_key key;
    dp_span old;
    size_t value_n = 0;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of(&key, 's', who);
    bool is_there = dp_store_get(&u, &key, &old) == APR_SUCCESS;
    if (n == 0 || n > DP_LAST_SYNC_MAX) {
        return dp_store_leave(&u, is_there ? dp_store_del(&u, &key) : rv);
    }
    unsigned char *value = pack(list, n, &value_n);
    if (!is_there || !dp_span_is(old, dp_span_of(value, value_n))) {
        rv = dp_store_put(&u, &key, value, value_n);
    }
    free(value);
    return dp_store_leave(&u, rv);
}
