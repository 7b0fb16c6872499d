/* learn_sync: which collections a Sync was about, and how each came out.
 *
 * eas-protocol 4. Collections are joined by id; what is named twice, or did
 * not fit, or names a class only (AirSync 1.0, 2.0) teaches nothing.
 */
#include "observe/learn_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_mutant.h"

#define SYNC_OK      1
#define SYNC_BAD_KEY 3

static dp_sync_seen *find(dp_learn_sync *s, dp_span id)
{
    for (size_t i = 0; i < s->n; i++) {
        if (dp_span_is(dp_span_of(s->list[i].id, s->list[i].id_n), id)) {
            return &s->list[i];
        }
    }
    return NULL;
}

static dp_sync_seen *add(dp_exchange *x, dp_span id)
{
    dp_learn_sync *s = &x->as.sync;
    if (s->n == DP_LEARN_COLLECTIONS_MAX) {
        s->is_too_many = true;
        return NULL;
    }
    dp_sync_seen *c = dp_learn_grow((void **)&s->list, &s->n, &s->cap,
                                    sizeof(*c));
    c->id = (char *)(uintptr_t)dp_learn_keep(x, id).p;
    c->id_n = id.n;
    return c;
}

static void on_asked(void *ctx, const dp_sync_collection *c)
{
    dp_exchange *x = ctx;
    dp_span id = dp_span_of(c->id, c->id_n);
    dp_sync_seen *seen = id.n ? find(&x->as.sync, id) : NULL;
    x->as.sync.has_commands |= c->client_adds + c->client_changes
                                   + c->client_deletes + c->client_fetches
                               > 0;
    if (seen) {
        seen->is_odd = true;
        return;
    }
    seen = id.n ? add(x, id) : NULL;
    if (!seen) {
        return;
    }
    seen->class_id = dp_class_of(dp_span_of(c->class_name, c->class_name_n));
    seen->key_hash = dp_sync_key_hash(dp_span_of(c->key, c->key_n));
    seen->key_is_zero = c->key_is_zero;
    seen->wants_changes = c->wants_changes;
    seen->said_get_changes = c->said_get_changes;
    seen->is_odd = c->is_odd || c->key_n == 0;
    seen->adds = c->client_adds;
    seen->changes = c->client_changes;
    seen->deletes = c->client_deletes;
    seen->fetches = c->client_fetches;
    seen->filter = c->filter;
}

static void on_answered(void *ctx, const dp_sync_collection *c)
{
    dp_exchange *x = ctx;
    dp_span id = dp_span_of(c->id, c->id_n);
    dp_sync_seen *seen = id.n ? find(&x->as.sync, id) : NULL;
    if (!seen && id.n && x->as.sync.request.is_empty) {
        seen = add(x, id); /* what it was about is in record `s` */
        if (seen) {
            seen->is_unasked = true;
        }
    }
    if (!seen) {
        return;
    }
    seen->is_odd = seen->is_odd || seen->is_answered || c->is_odd;
    seen->is_answered = true;
    seen->status = c->status;
    seen->more_available = c->more_available;
    seen->new_key_hash = dp_sync_key_hash(dp_span_of(c->key, c->key_n));
    seen->brought_adds = c->server_adds;
    /* what leaves by its age alone (SoftDelete) is no change at all */
    seen->brought_others = c->server_changes + c->server_deletes;
    seen->left = c->server_leaves;
    seen->bad = c->responses_bad;
    seen->has_responses =
        c->responses_ok + c->responses_bad + c->responses_fetched > 0;
    if (seen->class_id == DP_CLASS_UNKNOWN) {
        seen->class_id =
            dp_class_of(dp_span_of(c->class_name, c->class_name_n));
    }
}

static void begin(dp_exchange *x)
{
    dp_sync_init(&x->as.sync.request, false, on_asked, x);
    dp_sync_init(&x->as.sync.response, true, on_answered, x);
}

static bool feed_request(dp_exchange *x, dp_span clear)
{
    return dp_sync_feed(&x->as.sync.request, clear);
}

static bool feed_response(dp_exchange *x, dp_span clear)
{
    return dp_sync_feed(&x->as.sync.response, clear);
}

static void let_go(dp_exchange *x)
{
    free(x->as.sync.list);
    x->as.sync.list = NULL;
}

/* An empty answer is a whole one: nothing changed. */
static bool is_read(const dp_exchange *x, unsigned *out_status)
{
    const dp_sync_parser *p = &x->as.sync.response;
    *out_status = p->status;
    return x->http_status == 200 && x->response_is_whole && !p->is_bad
           && (p->is_whole || p->is_empty);
}

/* The request's own list, whole; or an empty one, which stands for `s`. */
static bool is_request_read(const dp_exchange *x)
{
    const dp_sync_parser *p = &x->as.sync.request;
    return x->request_is_whole && !p->is_bad && (p->is_whole || p->is_empty)
           && !x->as.sync.is_too_many;
}

/* An empty request: what the response did not name is added, what it did is
 * completed, from the last full request. */
static void recall(dp_exchange *x, dp_store_txn *t)
{
    dp_last_sync_entry *list = NULL;
    size_t n = 0;
    dp_learn_sync *s = &x->as.sync;

    dp_last_sync_get(x->env.store, t, &x->who, &list, &n);
    for (size_t i = 0; i < n; i++) {
        dp_span id = dp_span_of(list[i].id, list[i].id_n);
        dp_sync_seen *seen = find(s, id);
        if (!seen) {
            seen = add(x, id);
        }
        if (seen) {
            seen->is_unasked = false;
            seen->key_hash = list[i].key_hash;
            seen->key_is_zero = list[i].key_is_zero;
            seen->wants_changes = list[i].wants_changes;
            if (list[i].class_id < DP_CLASS_N && !seen->class_id) {
                seen->class_id = (dp_class)list[i].class_id;
            }
        }
    }
    free(list);
}

/* Put `c` into the list of `s`, in place of what it said of that id. */
static void merge(dp_last_sync_entry *list, size_t *n, const dp_sync_seen *c)
{
    size_t i = 0;
    while (i < *n && !dp_span_is(dp_span_of(list[i].id, list[i].id_n),
                                 dp_span_of(c->id, c->id_n))) {
        i++;
    }
    if (i == *n && (*n)++ == DP_LAST_SYNC_MAX) {
        return; /* more than is kept: the caller sees it by the count */
    }
    list[i] = (dp_last_sync_entry){.id_n = (uint16_t)c->id_n,
                                   .wants_changes = c->wants_changes,
                                   .key_is_zero = c->key_is_zero,
                                   .class_id = c->class_id,
                                   .key_hash = c->key_hash};
    memcpy(list[i].id, c->id, c->id_n);
}

/* Remember the list for empty requests; a Partial one changes part of it. */
static apr_status_t remember(dp_exchange *x, dp_store_txn *t)
{
    dp_learn_sync *s = &x->as.sync;
    dp_last_sync_entry *old = NULL;
    size_t n = 0;
    dp_last_sync_entry *list = calloc(DP_LAST_SYNC_MAX, sizeof(*list));
    DP_ASSERT(list);
    bool is_known = true;
    if (s->request.is_partial) {
        is_known = dp_last_sync_get(x->env.store, t, &x->who, &old, &n);
        if (n) {
            memcpy(list, old, n * sizeof(*list));
        }
        free(old);
    }
    for (size_t i = 0; i < s->n && n <= DP_LAST_SYNC_MAX; i++) {
        if (s->list[i].is_odd) {
            is_known = false;
        }
        merge(list, &n, &s->list[i]);
    }
    apr_status_t rv = dp_last_sync_put(x->env.store, t, &x->who, list,
                                       is_known ? n : 0);
    free(list);
    return rv;
}

/* May the backend have kept its changes back? Z-Push and Horde do when the
 * client sends or fetches something and does not say GetChanges (Z-Push then
 * for the collections behind it, too), SOGo when there is something to respond
 * (eas-protocol 4.4). */
static bool is_kept_back(const dp_exchange *x, const dp_sync_seen *c)
{
    return c->has_responses
           || (x->as.sync.has_commands && !c->said_get_changes);
}

/* Conditions 1 to 4 of eas-protocol 4.6; is_read() holds. A collection that is
 * absent proves nothing, however few items came: Z-Push and grommunio-sync
 * leave it out, and say no MoreAvailable, also when their time or memory for
 * the request is over. */
static void judge(const dp_exchange *x, const dp_sync_seen *c,
                  dp_mark_news *news)
{
    const dp_sync_parser *p = &x->as.sync.response;
    unsigned status = 0;
    *news = (dp_mark_news){.key_hash = c->key_hash,
                           .key_is_zero = c->key_is_zero,
                           .has_commands = c->adds || c->changes || c->deletes
                                           || c->fetches,
                           .filter = c->filter,
                           .is_kept_back = is_kept_back(x, c),
                           .start = x->start,
                           .began_us = x->began_us,
                           .now_us = x->now_us,
                           .backend_lag_us = x->env.backend_lag_us};
    if (!is_read(x, &status)) {
        return;
    }
    bool is_fine = p->is_empty || status == 0 || status == SYNC_OK;
    news->is_gone = c->is_answered && c->status == SYNC_BAD_KEY;
    news->is_answered = is_fine
                        && (p->is_empty
                            || (c->is_answered && c->status == SYNC_OK));
    news->new_key_hash = c->new_key_hash;
    news->brought_adds = c->brought_adds;
    news->brought_others = c->brought_others;
    news->left = c->left;
    news->has_more = c->more_available;
    news->is_completed = news->is_answered && !c->key_is_zero
                         && c->wants_changes
                         && (!c->more_available || DP_MUTANT(more_is_done));
}

static void look_at_topic(const dp_exchange *x, const dp_folder_topic *topic,
                          dp_mark_news *news)
{
    dp_learn_topic_seen seen;
    const dp_bus_view *view = &seen.view;
    if (!dp_learn_look(x, topic->class_id,
                       dp_span_of(topic->folder, topic->folder_n), &seen)) {
        return;
    }
    news->is_vouched = seen.is_vouched;
    news->was_given_up = !seen.is_vouched;
    news->newest = seen.newest;
    news->changed = view->changed;
    news->changed_new = view->changed_new;
    news->watched_from = view->watched_from;
    news->ref = view->ref;
    news->is_counted = view->is_counted;
    news->adds_n = view->adds_n;
    news->others_n = view->others_n;
    news->changed_at_us = view->changed_at_us;
}

/* The device changed something itself, and it was not refused. */
static void add_upload(dp_exchange *x, const dp_sync_seen *c,
                       const dp_folder_topic *topic, uint64_t mark)
{
    unsigned items = c->adds + c->changes + c->deletes;
    if (items > c->bad) {
        dp_learn_upload_add(
            x, &(dp_learn_upload){
                   .topic = {topic->class_id,
                             dp_span_of(topic->folder, topic->folder_n)},
                   .is_new = c->adds > 0,
                   .id = dp_span_of(c->id, c->id_n),
                   .mark = mark});
    }
}

static apr_status_t learn_one(dp_exchange *x, dp_store_txn *t,
                              const dp_sync_seen *c)
{
    dp_span id = dp_span_of(c->id, c->id_n);
    dp_folder_topic topic;
    dp_coll_state st, was;
    dp_mark_news news;

    judge(x, c, &news);
    bool is_mapped = dp_learn_topic(x, t, id, c->class_id, &topic);
    if (is_mapped) {
        dp_learn_want(x, topic.class_id,
                      dp_span_of(topic.folder, topic.folder_n));
        look_at_topic(x, &topic, &news);
    }
    if (news.is_completed && x->start.instance
        && dp_mark_news_brought(&news)) {
        news.token = dp_learn_token(x);
    }
    dp_coll_state_get(x->env.store, t, &x->who, id, &st);
    was = st;
    bool is_provisional = dp_learn_marks(&st, &news);
    if (is_provisional) {
        dp_span *slot = dp_learn_grow((void **)&x->ids, &x->ids_n,
                                      &x->ids_cap, sizeof(*slot));
        *slot = id;
    }
    if (is_mapped && news.is_answered) {
        add_upload(x, c, &topic, is_provisional ? st.prov.seq : 0);
    }
    return memcmp(&st, &was, sizeof(st)) == 0
               ? APR_SUCCESS
               : dp_coll_state_put(x->env.store, t, &x->who, id, &st);
}

static apr_status_t learn(dp_exchange *x, dp_store_txn *t)
{
    dp_learn_sync *s = &x->as.sync;
    unsigned status = 0;
    apr_status_t rv = APR_SUCCESS;

    if (!is_request_read(x)) { /* what it asked for is not known */
        return dp_last_sync_put(x->env.store, t, &x->who, NULL, 0);
    }
    bool is_accepted = is_read(x, &status)
                       && (status == 0 || status == SYNC_OK);
    if (s->request.is_empty) {
        if (!is_accepted) { /* status 13: whatever we remember, it does not */
            return APR_SUCCESS;
        }
        recall(x, t);
    }
    else if (is_accepted) {
        rv = remember(x, t);
    }
    else { /* the backend may have taken the list for the next empty request */
        rv = dp_last_sync_put(x->env.store, t, &x->who, NULL, 0);
    }
    for (size_t i = 0; i < s->n && rv == APR_SUCCESS; i++) {
        if (!s->list[i].is_odd && !s->list[i].is_unasked) {
            rv = learn_one(x, t, &s->list[i]);
        }
    }
    return rv;
}

const dp_learn_kind dp_learn_sync_kind = {
    .begin = begin,
    .request = feed_request,
    .response = feed_response,
    .status = is_read,
    .learn = learn,
    .free = let_go,
};
