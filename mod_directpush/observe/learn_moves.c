/* learn_moves: MoveItems: which folders a phone has changed (eas-protocol
 * 4.7). Which of several moves succeeded is not joined: if one did, all the
 * folders that were named count as changed, at the price of a Sync. */
#include "observe/learn_private.h"

#include <stdlib.h>
#include <string.h>

/* Different folders in one request; the rest is left to the watcher. */
#define MOVES_MAX 64

static void name_folder(dp_exchange *x, dp_span id, bool is_destination)
{
    dp_learn_moves *m = &x->as.moves;
    if (!id.n) {
        return;
    }
    for (size_t i = 0; i < m->n; i++) {
        if (dp_span_is(dp_span_of(m->list[i].id, m->list[i].id_n), id)) {
            m->list[i].adds += is_destination;
            return;
        }
    }
    if (m->n < MOVES_MAX) {
        dp_sync_seen *seen = dp_learn_grow((void **)&m->list, &m->n, &m->cap,
                                           sizeof(*seen));
        seen->id = (char *)(uintptr_t)dp_learn_keep(x, id).p;
        seen->id_n = id.n;
        seen->adds = is_destination;
    }
}

static void on_move(void *ctx, dp_span from, dp_span to)
{
    name_folder(ctx, from, false);
    name_folder(ctx, to, true);
}

static void begin(dp_exchange *x)
{
    dp_move_init(&x->as.moves.request, on_move, x);
    dp_move_init(&x->as.moves.response, NULL, NULL);
    dp_learn_status_init(&x->as.moves.status, x->cmd);
}

static bool feed_request(dp_exchange *x, dp_span clear)
{
    return dp_move_feed(&x->as.moves.request, clear);
}

static bool feed_response(dp_exchange *x, dp_span clear)
{
    dp_learn_status_feed(&x->as.moves.status, clear);
    return dp_move_feed(&x->as.moves.response, clear);
}

static void let_go(dp_exchange *x)
{
    free(x->as.moves.list);
    x->as.moves.list = NULL;
}

static bool is_read(const dp_exchange *x, unsigned *out_status)
{
    const dp_learn_moves *m = &x->as.moves;
    *out_status = m->status.status;
    return x->http_status == 200 && x->response_is_whole
           && m->response.is_whole && !m->response.is_bad
           && m->status.is_whole && !m->status.is_bad;
}

static apr_status_t learn(dp_exchange *x, dp_store_txn *t)
{
    dp_learn_moves *m = &x->as.moves;
    unsigned status = 0;
    if (!is_read(x, &status) || !m->response.moved_n || !x->request_is_whole
        || !m->request.is_whole) {
        return APR_SUCCESS;
    }
    for (size_t i = 0; i < m->n; i++) {
        dp_span id = dp_span_of(m->list[i].id, m->list[i].id_n);
        dp_folder_topic topic;
        if (dp_learn_topic(x, t, id, DP_CLASS_UNKNOWN, &topic)) {
            dp_learn_upload_add(
                x, &(dp_learn_upload){
                       .topic = {topic.class_id,
                                 dp_span_of(topic.folder, topic.folder_n)},
                       .is_new = m->list[i].adds > 0,
                       .id = id});
        }
    }
    return APR_SUCCESS;
}

const dp_learn_kind dp_learn_moves_kind = {
    .begin = begin,
    .request = feed_request,
    .response = feed_response,
    .status = is_read,
    .learn = learn,
    .free = let_go,
};
