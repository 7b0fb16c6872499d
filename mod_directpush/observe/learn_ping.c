/* learn_ping: a Ping that the backend answered. Its parameters are learnt as
 * those of the Pings that we answer are (design.md 6.7). */
#include "observe/learn_private.h"

#include <stdlib.h>
#include <string.h>

/* An entry is 32 bytes; more folders than this are not remembered. */
#define FOLDERS_MAX 2048

static void begin(dp_exchange *x)
{
    dp_ping_response_init(&x->as.ping.response, NULL, NULL);
}

static bool feed_request(dp_exchange *x, dp_span clear)
{
    dp_learn_ping *p = &x->as.ping;
    if (p->is_too_long || clear.n > DP_LEARN_PING_MAX - p->body_n) {
        p->is_too_long = true;
        return false;
    }
    if (p->body_n + clear.n > p->body_cap) {
        p->body_cap = 2 * p->body_cap > p->body_n + clear.n
                          ? 2 * p->body_cap
                          : p->body_n + clear.n;
        p->body = realloc(p->body, p->body_cap);
        DP_ASSERT(p->body);
    }
    memcpy(p->body + p->body_n, clear.p, clear.n);
    p->body_n += clear.n;
    return true;
}

static bool feed_response(dp_exchange *x, dp_span clear)
{
    return dp_ping_response_feed(&x->as.ping.response, clear);
}

static void let_go(dp_exchange *x)
{
    free(x->as.ping.body);
    x->as.ping.body = NULL;
}

static bool is_read(const dp_exchange *x, unsigned *out_status)
{
    const dp_ping_response *p = &x->as.ping.response;
    *out_status = p->status;
    return x->http_status == 200 && x->response_is_whole && p->is_whole
           && !p->is_bad;
}

/* What this Ping left out is as it was. */
static apr_status_t put(dp_exchange *x, dp_store_txn *t,
                        const dp_ping_request *q)
{
    if (x->is_overtaken) {
        return dp_ping_params_del(x->env.store, t, &x->who,
                                  (uint64_t)x->began_us);
    }
    dp_ping_params was, now = {.arrival = (uint64_t)x->began_us};
    dp_ping_params_get(x->env.store, t, &x->who, &was);
    now.heartbeat_s = q->has_heartbeat ? q->heartbeat_s : was.heartbeat_s;
    now.folders_n = q->has_folders ? q->folders_n : was.folders_n;
    now.folders = q->has_folders ? q->folders : was.folders;
    apr_status_t rv = dp_ping_params_put(x->env.store, t, &x->who, &now);
    dp_ping_params_free(&was);
    return rv;
}

static apr_status_t learn(dp_exchange *x, dp_store_txn *t)
{
    dp_learn_ping *p = &x->as.ping;
    dp_ping_request q;
    unsigned status = 0;
    apr_status_t rv = APR_SUCCESS;

    if (!is_read(x, &status)
        || (status != DP_PING_NOTHING && status != DP_PING_CHANGES)
        || !x->request_is_whole || p->is_too_long || !p->body_n) {
        return APR_SUCCESS;
    }
    unsigned char *arena = malloc(p->body_n);
    dp_ping_folder *folders = calloc(FOLDERS_MAX, sizeof(*folders));
    DP_ASSERT(arena && folders);
    if (dp_ping_parse(dp_span_of(p->body, p->body_n), arena, folders,
                      FOLDERS_MAX, &q) == DP_PING_PARSED
        && q.folders_n <= FOLDERS_MAX
        && (!q.has_heartbeat || q.heartbeat_is_number)
        && (q.has_heartbeat || q.has_folders)) {
        q.folders = folders;
        rv = put(x, t, &q);
    }
    free(folders);
    free(arena);
    return rv;
}

const dp_learn_kind dp_learn_ping_kind = {
    .begin = begin,
    .request = feed_request,
    .response = feed_response,
    .status = is_read,
    .learn = learn,
    .free = let_go,
};
