#include "device/ping_params.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "device/store_use.h"

/* DirectPushMaxFolders is 300 by default; a list that is longer than this is
 * not remembered, and an empty Ping is then asked for the whole (Status 3). */
#define FOLDERS_MAX 4096

/* Known classes are short; another one is as good as none. */
#define CLASS_MAX 32

/* The fixed part of the value. Then for each folder two bytes of id length,
 * one of class length, and both. */
typedef struct params_fixed {
    uint64_t arrival;
    uint32_t heartbeat_s;
    uint32_t folders_n;
} params_fixed;

#define FOLDER_FIXED 3

static dp_span class_to_keep(const dp_ping_folder *f)
{
    return f->class_name.n <= CLASS_MAX ? f->class_name : dp_span_of(NULL, 0);
}

/* @return malloc'ed value, or NULL when it can't be kept */
static unsigned char *pack(const dp_ping_params *p, size_t *out_n)
{
    params_fixed fixed = {p->arrival, p->heartbeat_s, (uint32_t)p->folders_n};
    size_t n = sizeof(fixed);

    if (p->folders_n > FOLDERS_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < p->folders_n; i++) {
        if (!p->folders[i].id.n
            || p->folders[i].id.n > DP_COLLECTION_ID_MAX) {
            return NULL;
        }
        n += FOLDER_FIXED + p->folders[i].id.n
             + class_to_keep(&p->folders[i]).n;
    }
    unsigned char *value = malloc(n), *at = value;
    DP_ASSERT(value);
    memcpy(at, &fixed, sizeof(fixed));
    at += sizeof(fixed);
    for (size_t i = 0; i < p->folders_n; i++) {
        dp_span id = p->folders[i].id, c = class_to_keep(&p->folders[i]);
        *at++ = (unsigned char)(id.n >> 8);
        *at++ = (unsigned char)id.n;
        *at++ = (unsigned char)c.n;
        memcpy(at, id.p, id.n);
        at += id.n;
        if (c.n) {
            memcpy(at, c.p, c.n);
            at += c.n;
        }
    }
    *out_n = n;
    return value;
}

/* Point `out` into its bytes, which hold a value. @return false: damaged */
static bool unpack(dp_ping_params *out, size_t n)
{
    params_fixed fixed;
    memcpy(&fixed, out->bytes, sizeof(fixed));
    if (fixed.folders_n > FOLDERS_MAX) {
        return false;
    }
    const unsigned char *at = out->bytes + sizeof(fixed), *end = out->bytes + n;
    out->arrival = fixed.arrival;
    out->heartbeat_s = fixed.heartbeat_s;
    out->folders_n = fixed.folders_n;
    out->folders = calloc(fixed.folders_n + 1, sizeof(*out->folders));
    DP_ASSERT(out->folders);
    for (size_t i = 0; i < out->folders_n; i++) {
        if (end - at < FOLDER_FIXED) {
            return false;
        }
        size_t id_n = (size_t)at[0] << 8 | at[1], class_n = at[2];
        at += FOLDER_FIXED;
        if (!id_n || (size_t)(end - at) < id_n + class_n) {
            return false;
        }
        out->folders[i].id = dp_span_of(at, id_n);
        out->folders[i].class_name = dp_span_of(at + id_n, class_n);
        at += id_n + class_n;
    }
    return at == end;
}

void dp_ping_params_free(dp_ping_params *p)
{
    free(p->folders);
    free(p->bytes);
    memset(p, 0, sizeof(*p));
}

bool dp_ping_params_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                        dp_ping_params *out)
{
    dp_store_use u;
    dp_store_key key;
    dp_span value;
    bool is_known = false;

    memset(out, 0, sizeof(*out));
    if (dp_store_enter(&u, s, t, false) != APR_SUCCESS) {
        return false;
    }
    dp_store_key_of(&key, 'p', who);
    if (dp_store_get(&u, &key, &value) == APR_SUCCESS
        && value.n >= sizeof(params_fixed)) {
        out->bytes = malloc(value.n);
        DP_ASSERT(out->bytes);
        memcpy(out->bytes, value.p, value.n);
        is_known = unpack(out, value.n);
        if (!is_known) {
            dp_ping_params_free(out);
        }
    }
    dp_store_leave(&u, APR_SUCCESS);
    return is_known;
}

bool dp_ping_params_are_same(const dp_ping_params *a, const dp_ping_params *b)
{
    if (a->heartbeat_s != b->heartbeat_s || a->folders_n != b->folders_n) {
        return false;
    }
    for (size_t i = 0; i < a->folders_n; i++) {
        if (!dp_span_is(a->folders[i].id, b->folders[i].id)
            || !dp_span_is(a->folders[i].class_name,
                           b->folders[i].class_name)) {
            return false;
        }
    }
    return true;
}

/* The arrival of the Ping that the stored value came with; 0 if there is none,
 * or it is of another boot: its clock was another one. */
static uint64_t stored_arrival(dp_span value)
{
    params_fixed fixed;
    if (value.n < sizeof(fixed)) {
        return 0;
    }
    memcpy(&fixed, value.p, sizeof(fixed));
    return fixed.arrival <= (uint64_t)dp_clock_mono_us() ? fixed.arrival : 0;
}

apr_status_t dp_ping_params_del(dp_store *s, dp_store_txn *t,
                                const dp_who *who, uint64_t arrival)
{
    dp_store_use u;
    dp_store_key key;
    dp_span old;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of(&key, 'p', who);
    if (dp_store_get(&u, &key, &old) == APR_SUCCESS
        && stored_arrival(old) <= arrival) {
        rv = dp_store_del(&u, &key);
    }
    return dp_store_leave(&u, rv);
}

apr_status_t dp_ping_params_put(dp_store *s, dp_store_txn *t,
                                const dp_who *who, const dp_ping_params *p)
{
    dp_store_use u;
    dp_store_key key;
    dp_span old;
    size_t n = 0;
    apr_status_t rv = dp_store_enter(&u, s, t, true);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_store_key_of(&key, 'p', who);
    bool is_there = dp_store_get(&u, &key, &old) == APR_SUCCESS;
    if (is_there && stored_arrival(old) > p->arrival) {
        return dp_store_leave(&u, APR_SUCCESS);
    }
    unsigned char *value = pack(p, &n);
    if (!value) { /* what was said before counts no more */
        return dp_store_leave(&u, dp_store_del(&u, &key));
    }
    if (!is_there || !dp_span_is(old, dp_span_of(value, n))) {
        rv = dp_store_put(&u, &key, value, n);
    }
    free(value);
    return dp_store_leave(&u, rv);
}
