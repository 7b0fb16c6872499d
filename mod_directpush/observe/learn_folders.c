/* learn_folders: the hierarchy: FolderSync, and what a phone does to it.
 *
 * The map is joined to the hierarchy's SyncKey, see folder_map.h. What a
 * response teaches is collected while it streams past and written at the end,
 * when it is known to be whole.
 */
#include "observe/learn_private.h"

#include <stdlib.h>
#include <string.h>

/* The longest list of folders that is believed. A backend says it, so it is
 * not for a phone to choose, but one that never ends must not fill us. */
#define CHANGES_MAX       10000
#define CHANGES_BYTES_MAX ((size_t)4 << 20)

#define HIER_OK 1

static dp_span spn(const char *p, size_t n)
{
    return dp_span_of(p, n);
}

static void on_change(void *ctx, const dp_folder_change *c)
{
    dp_exchange *x = ctx;
    dp_learn_folders *f = &x->as.folders;
    size_t bytes = c->id.n + c->parent.n + c->name.n;
    if (c->is_odd && !c->id.n) {
        return; /* no id to ask for it by */
    }
    if (f->n == CHANGES_MAX || f->bytes + bytes > CHANGES_BYTES_MAX) {
        f->is_too_many = true;
        return;
    }
    f->bytes += bytes;
    dp_folder_seen *seen = dp_learn_grow((void **)&f->list, &f->n, &f->cap,
                                         sizeof(*seen));
    seen->op = c->op;
    seen->type = c->type;
    seen->id = dp_learn_keep(x, c->id);
    if (!c->is_odd) { /* else: no path, its class only */
        seen->parent = dp_learn_keep(x, c->parent);
        seen->name = dp_learn_keep(x, c->name);
    }
}

static void begin(dp_exchange *x)
{
    dp_folders_init(&x->as.folders.request, NULL, NULL);
    dp_folders_init(&x->as.folders.response, on_change, x);
}

static bool feed_request(dp_exchange *x, dp_span clear)
{
    return dp_folders_feed(&x->as.folders.request, clear);
}

static bool feed_response(dp_exchange *x, dp_span clear)
{
    return dp_folders_feed(&x->as.folders.response, clear);
}

static void let_go(dp_exchange *x)
{
    free(x->as.folders.list);
    x->as.folders.list = NULL;
}

static bool is_read(const dp_exchange *x, unsigned *out_status)
{
    const dp_folders_parser *p = &x->as.folders.response;
    *out_status = p->status;
    return x->http_status == 200 && x->response_is_whole && p->is_whole
           && !p->is_bad && p->root == x->cmd;
}

static bool is_request_read(const dp_exchange *x)
{
    const dp_folders_parser *p = &x->as.folders.request;
    return x->request_is_whole && p->is_whole && !p->is_bad
           && p->root == x->cmd && p->key_n && !p->is_odd;
}

/* The three keys of one step. */
typedef struct hier_keys {
    bool is_zero;   /* the request begins anew */
    uint64_t asked; /* hash of the request's; 0 when it is zero */
    uint64_t given; /* … of the response's */
} hier_keys;

static hier_keys keys_of(const dp_exchange *x)
{
    const dp_folders_parser *q = &x->as.folders.request;
    const dp_folders_parser *r = &x->as.folders.response;
    hier_keys k = {.is_zero = dp_span_is(spn(q->key, q->key_n),
                                         DP_SPAN_LIT("0")),
                   .given = dp_sync_key_hash(spn(r->key, r->key_n))};
    k.asked = k.is_zero ? 0 : dp_sync_key_hash(spn(q->key, q->key_n));
    return k;
}

static const dp_mark no_mark;

/* What the request's key says of the marks; as match_key() of learn_marks. */
static void match_key(dp_hier_state *h, const hier_keys *k)
{
    if (k->asked && k->asked == h->key_hash) {
        if (h->prov.instance) {
            dp_hier_state_deliver(h, h->prov_token);
        }
        return;
    }
    h->prov = no_mark;
    h->prov_token = 0;
    if (!k->asked || k->asked != h->prev_key_hash) {
        h->mark = no_mark;
    }
}

/* A response that was not seen whole: whether the device has it is not known
 * until its next key is. */
static void suspend_map(dp_hier_state *h)
{
    h->is_map_kept = h->is_map_kept || h->is_map_known;
    h->is_map_known = 0;
}

static apr_status_t lose_map(dp_exchange *x, dp_store_txn *t,
                             dp_hier_state *h)
{
    bool is_there = h->is_map_known || h->is_map_kept;
    h->is_map_known = 0;
    h->is_map_kept = 0;
    return is_there ? dp_folder_map_clear(x->env.store, t, &x->who)
                    : APR_SUCCESS;
}

/* Is the map, as it stands, that of the device that asked with this key? Make
 * it so, or lose it. */
static apr_status_t match_map(dp_exchange *x, dp_store_txn *t,
                              dp_hier_state *h, const hier_keys *k)
{
    bool is_there = h->is_map_known || h->is_map_kept;
    apr_status_t rv = APR_SUCCESS;
    if (k->is_zero && x->cmd == DP_CMD_FOLDERSYNC) {
        rv = dp_folder_map_clear(x->env.store, t, &x->who);
    }
    else if (is_there && k->asked && k->asked == h->prev_key_hash
             && k->asked != h->key_hash) {
        rv = dp_folder_map_unlearn(x->env.store, t, &x->who, h->key_hash);
    }
    else if (!is_there || !k->asked || k->asked != h->key_hash) {
        return lose_map(x, t, h);
    }
    h->is_map_known = 1;
    h->is_map_kept = 0;
    return rv;
}

static apr_status_t apply_change(dp_exchange *x, dp_store_txn *t,
                                 const dp_folder_seen *c, uint64_t key_hash)
{
    if (c->op == DP_FOLDER_DELETE) {
        return dp_folder_map_del(x->env.store, t, &x->who, c->id);
    }
    return dp_folder_map_learn(x->env.store, t, &x->who, c->id, c->parent,
                               c->name, c->type, key_hash);
}

static apr_status_t apply_sync(dp_exchange *x, dp_store_txn *t,
                               dp_hier_state *h, const hier_keys *k)
{
    dp_learn_folders *f = &x->as.folders;
    apr_status_t rv = APR_SUCCESS;
    if (f->is_too_many) {
        return lose_map(x, t, h);
    }
    for (size_t i = 0; i < f->n && rv == APR_SUCCESS; i++) {
        rv = apply_change(x, t, &f->list[i], k->given);
    }
    return rv;
}

/* FolderCreate, FolderUpdate, FolderDelete: joined from both. */
static apr_status_t apply_own(dp_exchange *x, dp_store_txn *t,
                              const hier_keys *k)
{
    const dp_folders_parser *q = &x->as.folders.request;
    const dp_folders_parser *r = &x->as.folders.response;
    dp_folder_seen c = {.op = DP_FOLDER_ADD,
                        .type = q->type,
                        .id = spn(q->id, q->id_n),
                        .parent = spn(q->parent, q->parent_n),
                        .name = spn(q->name, q->name_n)};
    if (x->cmd == DP_CMD_FOLDERCREATE) {
        c.id = spn(r->id, r->id_n);
    }
    if (!c.id.n) {
        return APR_SUCCESS;
    }
    if (x->cmd == DP_CMD_FOLDERDELETE) {
        c.op = DP_FOLDER_DELETE;
    }
    else if (x->cmd == DP_CMD_FOLDERUPDATE
             && !dp_folder_map_type(x->env.store, t, &x->who, c.id,
                                    &c.type)) {
        return APR_SUCCESS; /* a new name for what we don't know */
    }
    return apply_change(x, t, &c, k->given);
}

static void step_key(dp_hier_state *h, const hier_keys *k)
{
    h->prev_key_hash = k->asked == k->given ? 0 : k->asked;
    h->key_hash = k->given;
}

static bool is_newer(dp_mark a, dp_mark than)
{
    return a.instance && (a.instance != than.instance || a.seq > than.seq);
}

/* Changed so shortly before the request that the backend may not have shown all
 * of it, whatever it did show: nobody counts changes of folders. Given up: as
 * is_young() of learn_marks. */
static bool is_lagging(const dp_exchange *x, uint64_t mark,
                       dp_learn_topic_seen *seen)
{
    return dp_learn_look(x, DP_CLASS_HIERARCHY,
                         DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS), seen)
           && (!seen->is_vouched
               || (seen->newest > mark && seen->newest <= x->start.seq))
           && x->began_us - seen->view.changed_at_us < x->env.backend_lag_us;
}

/* The hierarchy's mark, as complete() of learn_marks does it. */
static void complete(dp_exchange *x, dp_hier_state *h, const hier_keys *k)
{
    dp_learn_topic_seen seen;
    bool has_brought = k->is_zero || x->as.folders.response.changes_n > 0;
    uint64_t mark = h->mark.instance == x->start.instance ? h->mark.seq : 0;
    bool lags = is_lagging(x, mark, &seen);

    h->lag_until_us =
        lags ? seen.view.changed_at_us + x->env.backend_lag_us : 0;
    h->announced_n = 0;
    if (lags) {
        h->announced = dp_mark_at(x->start.instance, seen.newest);
    }
    if (has_brought && x->start.instance) {
        h->prov = x->start;
        if (lags) {
            h->prov.seq = mark ? mark : 1; /* as leave_mark() of learn_marks */
        }
        h->prov_token = dp_learn_token(x);
        x->is_hierarchy = true;
    }
    else if (!lags && is_newer(x->start, h->mark)) {
        h->mark = x->start;
    }
}

static apr_status_t learn_response(dp_exchange *x, dp_store_txn *t,
                                   dp_hier_state *h, const hier_keys *k)
{
    apr_status_t rv = match_map(x, t, h, k);
    if (rv == APR_SUCCESS && h->is_map_known) {
        rv = x->cmd == DP_CMD_FOLDERSYNC ? apply_sync(x, t, h, k)
                                         : apply_own(x, t, k);
    }
    step_key(h, k);
    if (x->cmd == DP_CMD_FOLDERSYNC) {
        complete(x, h, k);
    }
    else {
        dp_learn_upload_add(
            x, &(dp_learn_upload){
                   .topic = {DP_CLASS_HIERARCHY,
                             DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS)},
                   .is_new = x->cmd == DP_CMD_FOLDERCREATE});
    }
    return rv;
}

static apr_status_t learn(dp_exchange *x, dp_store_txn *t)
{
    dp_hier_state h, was;
    unsigned status = 0;
    apr_status_t rv = APR_SUCCESS;

    if (x->cmd == DP_CMD_FOLDERSYNC) {
        dp_learn_want(x, DP_CLASS_HIERARCHY,
                      DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS));
    }
    dp_hier_state_get(x->env.store, t, &x->who, &h);
    was = h;
    if (x->began_us < h.asked_at_us) {
        return APR_SUCCESS; /* given up; see dp_learn_marks() */
    }
    h.asked_at_us = x->began_us;
    bool is_asked = is_request_read(x);
    hier_keys k = is_asked ? keys_of(x) : (hier_keys){.is_zero = false};
    if (is_asked) {
        match_key(&h, &k);
        if (k.asked && k.asked != h.key_hash && k.asked != h.prev_key_hash) {
            suspend_map(&h); /* not the device that the map is of */
        }
    }
    if (x->http_status != 200) {
        /* the device stays where it is */
    }
    else if (!is_asked || !is_read(x, &status)
             || (status == HIER_OK
                 && (!k.given || x->as.folders.response.is_odd))) {
        suspend_map(&h);
    }
    else if (status == HIER_OK) {
        rv = learn_response(x, t, &h, &k);
    }
    if (rv != APR_SUCCESS || memcmp(&h, &was, sizeof(h)) == 0) {
        return rv;
    }
    return dp_hier_state_put(x->env.store, t, &x->who, &h);
}

const dp_learn_kind dp_learn_folders_kind = {
    .begin = begin,
    .request = feed_request,
    .response = feed_response,
    .status = is_read,
    .learn = learn,
    .free = let_go,
};
