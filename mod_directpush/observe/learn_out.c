/* learn_out: what an exchange collects for whoever asked, and what happens
 * when its uploads have been published. */
#include "observe/learn_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/dp_mutant.h"

void *dp_learn_alloc(dp_exchange *x, size_t n)
{
    dp_learn_block *b = malloc(sizeof(*b) + n);
    DP_ASSERT(b);
    b->next = x->blocks;
    x->blocks = b;
    return b->bytes;
}

dp_span dp_learn_keep(dp_exchange *x, dp_span s)
{
    if (!s.n) {
        return dp_span_of("", 0);
    }
    unsigned char *p = dp_learn_alloc(x, s.n);
    memcpy(p, s.p, s.n);
    return dp_span_of(p, s.n);
}

void *dp_learn_grow(void **list, size_t *n, size_t *cap, size_t size)
{
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 8;
        *list = realloc(*list, *cap * size);
        DP_ASSERT(*list);
    }
    void *at = (char *)*list + (*n)++ * size;
    memset(at, 0, size);
    return at;
}

uint64_t dp_learn_token(dp_exchange *x)
{
    if (!x->token) {
        x->token = x->env.line;
    }
    if (!x->token
        && getrandom(&x->token, sizeof(x->token), GRND_NONBLOCK)
               != sizeof(x->token)) {
        x->token = (uint64_t)dp_clock_mono_us(); /* early boot */
    }
    x->token += !x->token; /* 0 means none */
    return x->token;
}

void dp_learn_want(dp_exchange *x, dp_class c, dp_span folder)
{
    for (size_t i = 0; i < x->wants_n; i++) {
        if (x->wants[i].class_id == c
            && dp_span_is(x->wants[i].folder, folder)) {
            return;
        }
    }
    dp_topic_name *w = dp_learn_grow((void **)&x->wants, &x->wants_n,
                                     &x->wants_cap, sizeof(*w));
    *w = (dp_topic_name){c, dp_learn_keep(x, folder)};
}

void dp_learn_upload_add(dp_exchange *x, const dp_learn_upload *u)
{
    dp_learn_upload *to = dp_learn_grow((void **)&x->uploads, &x->uploads_n,
                                        &x->uploads_cap, sizeof(*to));
    *to = *u;
    to->topic.folder = dp_learn_keep(x, u->topic.folder);
    to->id = dp_learn_keep(x, u->id);
}

/* A Sync says no Class from 12.1 on, a Ping does. */
static dp_class pinged_class(dp_exchange *x, dp_store_txn *t, dp_span id)
{
    if (!x->has_pinged) {
        x->has_pinged = true;
        dp_ping_params_get(x->env.store, t, &x->who, &x->pinged);
    }
    for (size_t i = 0; i < x->pinged.folders_n; i++) {
        if (dp_span_is(x->pinged.folders[i].id, id)) {
            return dp_class_of(x->pinged.folders[i].class_name);
        }
    }
    return DP_CLASS_UNKNOWN;
}

bool dp_learn_topic(dp_exchange *x, dp_store_txn *t, dp_span id,
                    dp_class hint, dp_folder_topic *out)
{
    dp_store *s = x->env.store;
    if (dp_folder_map_topic(s, t, &x->who, id, hint, out)) {
        return true;
    }
    if (hint == DP_CLASS_UNKNOWN) {
        hint = pinged_class(x, t, id);
    }
    return hint != DP_CLASS_UNKNOWN
           && dp_folder_map_topic(s, t, &x->who, id, hint, out);
}

static bool look_at(const dp_exchange *x, dp_class c, dp_span folder,
                    dp_bus_view *out)
{
    const dp_bus_map *bus = x->env.bus;
    dp_hash key = dp_topic_key(bus->header->hash_key, x->who.user, c, folder);
    *out = dp_bus_look(bus, dp_bus_find(bus, key));
    return out->is_current && out->watched_from != DP_BUS_UNWATCHED;
}

bool dp_learn_look(const dp_exchange *x, dp_class c, dp_span folder,
                   dp_learn_topic_seen *seen)
{
    dp_span whole = DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS);
    if (!x->start.instance || !x->env.bus || !x->env.bus->header
        || x->env.bus->header->instance != x->start.instance) {
        return false;
    }
    seen->is_vouched = look_at(x, c, folder, &seen->view);
    if (!seen->view.is_current) { /* one of its own is what Pings look at */
        seen->is_vouched = !dp_span_is(folder, whole)
                           && look_at(x, c, whole, &seen->view);
        if (!seen->is_vouched) {
            return false;
        }
    }
    const dp_bus_view *v = &seen->view;
    bool is_change = !seen->is_vouched || v->changed > v->watched_from;
    seen->newest = is_change ? v->changed : v->watched_from;
    return true;
}

/* The mark of somebody who made the change at `seq` himself. */
static bool move_over_own(dp_mark *m, uint64_t instance, uint64_t from,
                          uint64_t seq)
{
    if (m->instance != instance || m->seq < from || m->seq >= seq) {
        return false;
    }
    m->seq = seq;
    return true;
}

/* Both marks of a state. @return true when one moved */
static bool move_both(dp_mark *mark, dp_mark *prov, uint64_t instance,
                      uint64_t from, uint64_t seq)
{
    bool is_moved = move_over_own(mark, instance, from, seq);
    return move_over_own(prov, instance, from, seq) || is_moved;
}

static apr_status_t move_marks(dp_exchange *x, dp_store_txn *t,
                               const dp_learn_upload *u, uint64_t from,
                               uint64_t seq)
{
    uint64_t instance = x->start.instance;
    dp_store *s = x->env.store;
    /* A mark that was made since may have been made beside this very change, by
     * a Sync that was too early for one before it. */
    if (u->topic.class_id == DP_CLASS_HIERARCHY) {
        dp_hier_state hier;
        bool is_moved = dp_hier_state_get(s, t, &x->who, &hier)
                        && hier.asked_at_us <= x->began_us
                        && move_both(&hier.mark, &hier.prov, instance, from,
                                     seq);
        return is_moved ? dp_hier_state_put(s, t, &x->who, &hier)
                        : APR_SUCCESS;
    }
    dp_coll_state st;
    bool is_moved = dp_coll_state_get(s, t, &x->who, u->id, &st)
                    && (st.synced_at_us <= x->now_us
                        || DP_MUTANT(made_meanwhile))
                    && move_both(&st.mark, &st.prov, instance, from, seq);
    return is_moved ? dp_coll_state_put(s, t, &x->who, u->id, &st)
                    : APR_SUCCESS;
}

void dp_exchange_published(dp_exchange *x, const dp_learn_upload *u,
                           uint64_t seq, uint64_t prev)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    dp_store *s = x->env.store;
    dp_bus_view view;
    dp_store_txn *t = NULL;
    /* A mark that stays below watched_from is dirty, and shall stay so. The
     * class topic in its stead proves nothing here. */
    if (!seq || !x->start.instance || !x->env.bus || !x->env.bus->header
        || x->env.bus->header->instance != x->start.instance
        || !look_at(x, u->topic.class_id, u->topic.folder, &view)
        || s->ops->begin(s, true, &t) != APR_SUCCESS) {
        return;
    }
    uint64_t from = prev > view.watched_from ? prev : view.watched_from;
    from = DP_MUTANT(own_unchecked) ? 0 : from;
    if (move_marks(x, t, u, from, seq) == APR_SUCCESS) {
        s->ops->commit(&t);
    }
    else {
        s->ops->abort(&t);
    }
}
