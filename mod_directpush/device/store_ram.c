/* store_ram: the store in memory, for tests and for when the disk won't do.
 *
 * A treap whose nodes are never changed once a root is published: a writer
 * copies the path that it changes, a reader holds on to the root it began
 * with. So a reader never waits for a writer and sees one state to its end,
 * as with LMDB, and an abort just lets go of the new root.
 *
 * Priorities are a keyed hash of the key: a phone that chooses its ids can't
 * make the tree deep. Any thread; `writing` is held by the one writer, `root`
 * is read and swapped under `swap`, which nobody holds for long. Order of
 * locks: writing, swap.
 */
#include "device/device_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/dp_check.h"
#include "base/dp_clock.h"
#include "base/dp_hash.h"

typedef struct entry {
    _Atomic uint32_t refs;
    uint32_t key_n;
    size_t value_n;
    uint64_t priority;
    unsigned char bytes[]; /* key, value */
} entry;

typedef struct node {
    _Atomic uint32_t refs;
    struct node *left, *right; /* owned */
    entry *e;                  /* owned */
} node;

#define RAM_MAGIC 0x4450524du /* "DPRM" */

typedef struct ram_store {
    dp_store base; /* first: the interface */
    uint32_t magic;
    pthread_mutex_t writing;
    pthread_mutex_t swap;
    node *root;   /* owned; by swap */
    size_t n;     /* entries; by writing */
    size_t n_max;
    bool is_one_of_many;
    uint8_t hash_key[DP_HASH_KEY_SIZE];
} ram_store;

struct dp_store_txn {
    ram_store *store;
    bool is_write;
    node *root; /* owned */
    size_t n;
};

static ram_store *ram_of(dp_store *s)
{
    ram_store *r = (ram_store *)s;
    DP_MAGIC_CHECK(r, RAM_MAGIC);
    return r;
}

static void *must_alloc(size_t n)
{
    void *p = malloc(n);
    DP_ASSERT(p);
    return p;
}

static void entry_unref(entry *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1) {
        free(e);
    }
}

static entry *entry_ref(entry *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

static node *node_ref(node *t)
{
    if (t) {
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    }
    return t;
}

static void node_unref(node *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel)
             == 1) {
        node_unref(t->left);
        node_unref(t->right);
        entry_unref(t->e);
        free(t);
    }
}

/* A node of its own reference to `e`; takes over `left` and `right`. */
static node *make_node(entry *e, node *left, node *right)
{
    node *t = must_alloc(sizeof(*t));
    atomic_init(&t->refs, 1);
    t->left = left;
    t->right = right;
    t->e = entry_ref(e);
    return t;
}

static int compare(dp_span a, dp_span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static dp_span key_of(const entry *e)
{
    return dp_span_of(e->bytes, e->key_n);
}

static dp_span value_of(const entry *e)
{
    return dp_span_of(e->bytes + e->key_n, e->value_n);
}

static entry *make_entry(ram_store *r, dp_span key, dp_span value)
{
    entry *e = must_alloc(sizeof(*e) + key.n + value.n);
    atomic_init(&e->refs, 1);
    e->key_n = (uint32_t)key.n;
    e->value_n = value.n;
    e->priority = dp_hash_spans(r->hash_key, &key, 1).w[0];
    memcpy(e->bytes, key.p, key.n);
    if (value.n) {
        memcpy(e->bytes + key.n, value.p, value.n);
    }
    return e;
}

static entry *find(node *t, dp_span key)
{
    while (t) {
        int c = compare(key, key_of(t->e));
        if (c == 0) {
            return t->e;
        }
        t = c < 0 ? t->left : t->right;
    }
    return NULL;
}

/* The tree `t` with `e` in it, as a new one. */
static node *with(node *t, entry *e)
{
    if (!t) {
        return make_node(e, NULL, NULL);
    }
    int c = compare(key_of(e), key_of(t->e));
    if (c == 0) {
        return make_node(e, node_ref(t->left), node_ref(t->right));
    }
    node *child = with(c < 0 ? t->left : t->right, e);
    if (child->e->priority <= t->e->priority) {
        return c < 0 ? make_node(t->e, child, node_ref(t->right))
                     : make_node(t->e, node_ref(t->left), child);
    }
    /* the child rises above its parent */
    node *up;
    if (c < 0) {
        up = make_node(child->e, node_ref(child->left),
                       make_node(t->e, node_ref(child->right),
                                 node_ref(t->right)));
    }
    else {
        up = make_node(child->e,
                       make_node(t->e, node_ref(t->left),
                                 node_ref(child->left)),
                       node_ref(child->right));
    }
    node_unref(child);
    return up;
}

/* Both trees as one; all keys of `a` are below those of `b`. */
static node *join(node *a, node *b)
{
    if (!a || !b) {
        return node_ref(a ? a : b);
    }
    if (a->e->priority > b->e->priority) {
        return make_node(a->e, node_ref(a->left), join(a->right, b));
    }
    return make_node(b->e, join(a, b->left), node_ref(b->right));
}

/* The tree without `key`, which is in it. */
static node *without(node *t, dp_span key)
{
    int c = compare(key, key_of(t->e));
    if (c == 0) {
        return join(t->left, t->right);
    }
    if (c < 0) {
        return make_node(t->e, without(t->left, key), node_ref(t->right));
    }
    return make_node(t->e, node_ref(t->left), without(t->right, key));
}

static apr_status_t ram_begin(dp_store *s, bool is_write, dp_store_txn **out)
{
    ram_store *r = ram_of(s);
    dp_store_txn *t = must_alloc(sizeof(*t));

    if (is_write) {
        pthread_mutex_lock(&r->writing);
    }
    pthread_mutex_lock(&r->swap);
    *t = (dp_store_txn){r, is_write, node_ref(r->root), r->n};
    pthread_mutex_unlock(&r->swap);
    *out = t;
    return APR_SUCCESS;
}

static apr_status_t ram_get(dp_store_txn *t, dp_span key, dp_span *out)
{
    entry *e = find(t->root, key);
    if (!e) {
        *out = dp_span_of(NULL, 0);
        return APR_NOTFOUND;
    }
    *out = value_of(e);
    return APR_SUCCESS;
}

static void take_root(dp_store_txn *t, node *root)
{
    node *old = t->root;
    t->root = root;
    node_unref(old);
}

static apr_status_t ram_put(dp_store_txn *t, dp_span key, dp_span value)
{
    if (!t->is_write || key.n == 0 || key.n > DP_STORE_KEY_MAX) {
        return APR_EINVAL;
    }
    if (t->store->is_one_of_many && key.p[0] == 'm') {
        return APR_SUCCESS; /* see dp_store_ram_open_bounded() */
    }
    bool is_new = !find(t->root, key);
    if (is_new && t->n >= t->store->n_max) {
        return APR_ENOSPC;
    }
    entry *e = make_entry(t->store, key, value);
    take_root(t, with(t->root, e));
    entry_unref(e);
    t->n += is_new;
    return APR_SUCCESS;
}

static apr_status_t ram_del(dp_store_txn *t, dp_span key)
{
    if (!t->is_write) {
        return APR_EINVAL;
    }
    if (!find(t->root, key)) {
        return APR_NOTFOUND;
    }
    take_root(t, without(t->root, key));
    t->n--;
    return APR_SUCCESS;
}

typedef struct scan_of {
    dp_span prefix;
    bool (*each)(void *ctx, dp_span key, dp_span value);
    void *ctx;
} scan_of;

/* -1 below the prefix, 0 begins with it, 1 above */
static int place(dp_span key, dp_span prefix)
{
    return compare(dp_span_of(key.p, key.n < prefix.n ? key.n : prefix.n),
                   prefix);
}

static bool scan_tree(node *t, const scan_of *scan)
{
    if (!t) {
        return true;
    }
    int c = place(key_of(t->e), scan->prefix);
    if (c >= 0 && !scan_tree(t->left, scan)) {
        return false;
    }
    if (c == 0 && !scan->each(scan->ctx, key_of(t->e), value_of(t->e))) {
        return false;
    }
    return c > 0 || scan_tree(t->right, scan);
}

static apr_status_t ram_scan(dp_store_txn *t, dp_span prefix,
                             bool (*each)(void *ctx, dp_span key,
                                          dp_span value),
                             void *ctx)
{
    node *root = node_ref(t->root); /* `each` may write */
    scan_tree(root, &(scan_of){prefix, each, ctx});
    node_unref(root);
    return APR_SUCCESS;
}

static void end(dp_store_txn **tp)
{
    dp_store_txn *t = *tp;
    if (t) {
        node_unref(t->root);
        if (t->is_write) {
            pthread_mutex_unlock(&t->store->writing);
        }
        free(t);
        *tp = NULL;
    }
}

static apr_status_t ram_commit(dp_store_txn **tp)
{
    dp_store_txn *t = *tp;
    if (t->is_write) {
        pthread_mutex_lock(&t->store->swap);
        node *old = t->store->root;
        t->store->root = t->root;
        t->store->n = t->n;
        pthread_mutex_unlock(&t->store->swap);
        t->root = old;
    }
    end(tp);
    return APR_SUCCESS;
}

static void ram_close(dp_store *s, bool is_clean)
{
    ram_store *r = ram_of(s);
    node_unref(r->root);
    pthread_mutex_destroy(&r->writing);
    pthread_mutex_destroy(&r->swap);
    r->magic = 0;
    free(r);
}

static const dp_store_ops ram_ops = {
    .name = "ram",
    .begin = ram_begin,
    .get = ram_get,
    .put = ram_put,
    .del = ram_del,
    .scan = ram_scan,
    .commit = ram_commit,
    .abort = end,
    .close = ram_close,
};

apr_status_t dp_store_ram_open_bounded(dp_store **out, size_t entries_max,
                                       bool is_one_of_many)
{
    ram_store *r = must_alloc(sizeof(*r));
    *r = (ram_store){.base = {&ram_ops}, .magic = RAM_MAGIC,
                     .n_max = entries_max,
                     .is_one_of_many = is_one_of_many};
    pthread_mutex_init(&r->writing, NULL);
    pthread_mutex_init(&r->swap, NULL);
    if (getrandom(r->hash_key, sizeof(r->hash_key), GRND_NONBLOCK)
        != sizeof(r->hash_key)) { /* early boot: the time must do */
        dp_time_us now_us = dp_clock_mono_us();
        memcpy(r->hash_key, &now_us, sizeof(now_us));
    }
    *out = &r->base;
    return APR_SUCCESS;
}

apr_status_t dp_store_ram_open(dp_store **out)
{
    return dp_store_ram_open_bounded(out, SIZE_MAX, false);
}
