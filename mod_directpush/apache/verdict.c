#include "apache/verdict.h"

#include <stdlib.h>

#include "apache/module.h"
#include "base/dp_check.h"
#include "device/coll_state.h"
#include "device/folder_map.h"
#include "wire/eas_ping.h"

/* WBXML of all but the ids, and around each of them. */
#define FRAME_MAX 64
#define ID_FRAME 8

/* Collections for which no memory is taken. */
#define FEW 16

void dp_count_status(unsigned status)
{
    static const dp_counter of[] = {
        [DP_PING_NOTHING] = DP_COUNT_answered_nothing,
        [DP_PING_CHANGES] = DP_COUNT_answered_changes,
        [DP_PING_MISSING] = DP_COUNT_answered_missing,
        [DP_PING_SYNTAX] = DP_COUNT_answered_syntax,
        [DP_PING_HEARTBEAT] = DP_COUNT_answered_heartbeat,
        [DP_PING_FOLDERS] = DP_COUNT_answered_folders,
        [DP_PING_HIERARCHY] = DP_COUNT_answered_hierarchy,
        [DP_PING_ERROR] = DP_COUNT_answered_error};
    dp_count(dp_here->count, of[status], 1);
}

const char *dp_verdict_outcome(const dp_verdict *v)
{
    if (v->status == DP_PING_CHANGES) {
        return v->is_provoked ? "sync-please" : "changes";
    }
    return v->status == DP_PING_HIERARCHY ? "hierarchy"
           : v->cause                     ? dp_hold_cause_name(v->cause)
                                          : "nothing";
}

/* Room for `n` of them: `few`, or malloc'ed. */
static void *room(void *few, size_t n, size_t size)
{
    void *list = n > FEW ? calloc(n, size) : few;
    DP_ASSERT(list);
    return list;
}

void dp_verdict_write(dp_verdict_body *b, const dp_hold *hold,
                      const dp_verdict *v)
{
    dp_span few[FEW], *ids = room(few, v->named_n, sizeof(*ids));
    size_t n = 0, need = FRAME_MAX;
    for (uint32_t k = 0; v->named_n && k < hold->items_n; k++) {
        if (hold->items[k].was_announced_now) {
            ids[n] = dp_hold_item_id(&hold->items[k]);
            need += ids[n++].n + ID_FRAME;
        }
    }
    b->bytes = need > sizeof(b->small) ? malloc(need) : b->small;
    DP_ASSERT(b->bytes);
    b->n = dp_ping_response_write(
        b->bytes, need > sizeof(b->small) ? need : sizeof(b->small), v->status,
        ids, n, 0);
    DP_ASSERT(b->n);
    if (ids != few) {
        free(ids);
    }
    dp_count_status(v->status);
    dp_count(dp_here->count, DP_COUNT_provoked, v->is_provoked);
    dp_count(dp_here->count, DP_COUNT_drained, v->cause == DP_CAUSE_DRAIN);
}

void dp_verdict_body_free(dp_verdict_body *b)
{
    if (b->bytes != b->small) {
        free(b->bytes);
    }
    b->bytes = NULL;
}

bool dp_verdict_is_announced(const dp_verdict *v)
{
    return v->named_n || v->status == DP_PING_HIERARCHY;
}

apr_status_t dp_verdict_announced(dp_store_txn *t, const dp_hold *hold,
                                  const dp_verdict *v)
{
    if (!dp_verdict_is_announced(v)) {
        return APR_SUCCESS;
    }
    dp_time_us now = dp_clock_mono_us();
    dp_announced few[FEW], *list = room(few, v->named_n, sizeof(*list));
    size_t n = 0;
    apr_status_t rv = APR_SUCCESS;
    for (uint32_t k = 0; k < hold->items_n; k++) {
        const dp_hold_item *i = &hold->items[k];
        if (v->status == DP_PING_HIERARCHY
            && i->class_id == DP_CLASS_HIERARCHY) {
            rv = dp_hier_state_announced(dp_here->store, t, &hold->who,
                                         dp_mark_at(hold->instance, i->seq_now),
                                         now);
        }
        if (v->named_n && i->was_announced_now) {
            list[n++] = (dp_announced){dp_hold_item_id(i), i->seq_now};
        }
    }
    if (n && rv == APR_SUCCESS) {
        rv = dp_coll_state_announced(dp_here->store, t, &hold->who,
                                     hold->instance, list, n, now);
    }
    if (list != few) {
        free(list);
    }
    return rv;
}
