/* fuzz_store: records of a device as they may lie in a damaged store. The input
 * is a row of records: kind, id, two bytes of length, value. Each is read by
 * all who read such records: what is taken comes back the same after being
 * written, a folder's topic can be one, and after `forget` no proof is left. */
#include "base/dp_hash.h"
#include "device/coll_state.h"
#include "device/folder_map.h"
#include "device/last_sync.h"
#include "device/ping_params.h"
#include "device/proof.h"
#include "device/store_use.h"
#include "fuzz_same.h"
#include "wire/eas_folders.h"

#define IDS_N 8

static const uint8_t key[DP_HASH_KEY_SIZE];
static const dp_who who = {{(const unsigned char *)"r", 1},
                           {(const unsigned char *)"alice", 5},
                           {(const unsigned char *)"alice@example.org", 17},
                           {(const unsigned char *)"d", 1}};
static const dp_span password = {(const unsigned char *)"Basic x", 7};

static dp_span id_of(unsigned i)
{
    return dp_span_of(&"ABCDEFGH"[i % IDS_N], 1);
}

typedef struct found {
    dp_store_key key;
} found;

static bool take_key(void *ctx, dp_span k, dp_span value)
{
    found *f = ctx;
    memcpy(f->key.bytes, k.p, k.n);
    f->key.n = k.n;
    return false;
}

/* The key of the one proof, which is a hash. */
static void proof_key(dp_store *s, dp_store_txn *t, dp_store_key *out)
{
    found f = {.key = {.n = 0}};
    dp_proof_put(s, t, key, &who, password, 1);
    s->ops->scan(t, DP_SPAN_LIT("a\0"), take_key, &f);
    *out = f.key;
}

/* @return how many bytes of `in` the record took; 0: no more */
static size_t put_one(dp_store *s, dp_store_txn *t, dp_span in)
{
    static const char kinds[] = "cmhpsra";
    dp_store_key k;
    if (in.n < 4) {
        return 0;
    }
    size_t n = (size_t)in.p[2] << 8 | in.p[3];
    n = n < in.n - 4 ? n : in.n - 4;
    char kind = kinds[in.p[0] % (sizeof(kinds) - 1)];
    if (kind == 'a') {
        proof_key(s, t, &k);
    }
    else if (kind == 'c' || kind == 'm') {
        dp_store_key_of_id(&k, kind, &who, id_of(in.p[1]));
    }
    else {
        dp_store_key_of(&k, kind, &who);
    }
    DP_ASSERT(s->ops->put(t, dp_span_of(k.bytes, k.n),
                          dp_span_of(in.p + 4, n)) == APR_SUCCESS);
    return 4 + n;
}

static void check_coll(dp_store *s, dp_store_txn *t, dp_span id)
{
    dp_coll_state st, again;
    if (dp_coll_state_get(s, t, &who, id, &st)) {
        DP_ASSERT(st.synced_at_us <= dp_clock_mono_us());
        DP_ASSERT(dp_coll_state_put(s, t, &who, id, &st) == APR_SUCCESS);
        DP_ASSERT(dp_coll_state_get(s, t, &who, id, &again));
        DP_ASSERT(memcmp(&st, &again, sizeof(st)) == 0);
        dp_coll_state_deliver(&st, st.prov_token);
        DP_ASSERT(!st.prov.instance || !st.prov_token);
    }
}

static void check_folder(dp_store *s, dp_store_txn *t, dp_span id)
{
    dp_folder_topic topic;
    unsigned type;
    for (int c = DP_CLASS_UNKNOWN; c < DP_CLASS_N; c++) {
        if (dp_folder_map_topic(s, t, &who, id, (dp_class)c, &topic)) {
            dp_span folder = dp_span_of(topic.folder, topic.folder_n);
            DP_ASSERT(dp_topic_folder_is_sane(folder));
            DP_ASSERT(topic.class_id > DP_CLASS_UNKNOWN
                      && topic.class_id < DP_CLASS_N);
        }
        else {
            DP_ASSERT(topic.class_id == DP_CLASS_UNKNOWN && !topic.folder_n);
        }
    }
    dp_folder_map_type(s, t, &who, id, &type);
}

static void check_hier(dp_store *s, dp_store_txn *t)
{
    dp_hier_state st, again;
    if (dp_hier_state_get(s, t, &who, &st)) {
        DP_ASSERT(dp_hier_state_put(s, t, &who, &st) == APR_SUCCESS);
        DP_ASSERT(dp_hier_state_get(s, t, &who, &again));
        DP_ASSERT(memcmp(&st, &again, sizeof(st)) == 0);
        dp_hier_state_deliver(&st, st.prov_token);
    }
}

static void check_params(dp_store *s, dp_store_txn *t)
{
    dp_ping_params p, again;
    if (!dp_ping_params_get(s, t, &who, &p)) {
        DP_ASSERT(!p.folders && !p.bytes && !p.folders_n);
        return;
    }
    for (size_t i = 0; i < p.folders_n; i++) {
        DP_ASSERT(p.folders[i].id.n > 0);
    }
    if (dp_ping_params_put(s, t, &who, &p) == APR_SUCCESS
        && dp_ping_params_get(s, t, &who, &again)) {
        /* a class that is too long to be kept is left out the first time */
        DP_ASSERT(p.folders_n == again.folders_n);
        DP_ASSERT(p.heartbeat_s == again.heartbeat_s);
        DP_ASSERT(dp_ping_params_are_same(&again, &again));
        dp_ping_params_free(&again);
    }
    dp_ping_params_free(&p);
}

static void check_last_sync(dp_store *s, dp_store_txn *t)
{
    dp_last_sync_entry *list, *again;
    size_t n, again_n;
    if (dp_last_sync_get(s, t, &who, &list, &n)) {
        DP_ASSERT(n > 0 && n <= DP_LAST_SYNC_MAX);
        DP_ASSERT(dp_last_sync_put(s, t, &who, list, n) == APR_SUCCESS);
        DP_ASSERT(dp_last_sync_get(s, t, &who, &again, &again_n));
        DP_ASSERT(n == again_n && memcmp(list, again, n * sizeof(*list)) == 0);
        free(again);
    }
    free(list);
}

static void check_proof(dp_store *s, dp_store_txn *t)
{
    dp_time_us until_us, now_us = dp_clock_mono_us();
    dp_proof p = dp_proof_get(s, t, key, &who, password, DP_SECOND_US, now_us,
                              &until_us);
    DP_ASSERT((p == DP_PROOF_GOOD) == (until_us != 0));
    DP_ASSERT(p != DP_PROOF_GOOD || until_us > now_us);
    dp_refused_get(s, t, &who);
}

static void check_forget(dp_store *s)
{
    dp_time_us until_us;
    dp_proof_put(s, NULL, key, &who, password, dp_clock_mono_us());
    dp_proof_forget(s, who.login);
    dp_proof_put(s, NULL, key, &who, password, dp_clock_mono_us());
    dp_proof_forget(s, who.user);
    DP_ASSERT(dp_proof_get(s, NULL, key, &who, password, DP_SECOND_US,
                           dp_clock_mono_us(), &until_us) == DP_PROOF_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_store *s;
    dp_store_txn *t;
    dp_span in = dp_span_of(data, size);
    dp_store_ram_open(&s);
    DP_ASSERT(s->ops->begin(s, true, &t) == APR_SUCCESS);
    for (size_t n; (n = put_one(s, t, in)) > 0;) {
        in = dp_span_of(in.p + n, in.n - n);
    }
    for (unsigned i = 0; i < IDS_N; i++) {
        check_folder(s, t, id_of(i));
        check_coll(s, t, id_of(i));
    }
    check_hier(s, t);
    check_params(s, t);
    check_last_sync(s, t);
    check_proof(s, t);
    dp_folder_map_unlearn(s, t, &who, 0);
    DP_ASSERT(s->ops->commit(&t) == APR_SUCCESS);
    check_forget(s);
    s->ops->close(s, true);
    return 0;
}
