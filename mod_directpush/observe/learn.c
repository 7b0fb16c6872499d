/* learn: the life of an exchange; see learn.h and learn_private.h.
 *
 * The bodies stream through a tap each into the parsers of their command; only
 * dp_exchange_conclude() touches the store, in one write transaction.
 */
#include "observe/learn_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_mutant.h"

/* Clear bytes of one body: mail with attachments fits many times over; what is
 * longer is a bomb, or teaches nothing worth the work. */
#define CLEAR_MAX ((uint64_t)1 << 30)

static const dp_learn_kind *kind_of(dp_cmd cmd)
{
    switch (cmd) {
    case DP_CMD_SYNC:
        return &dp_learn_sync_kind;
    case DP_CMD_FOLDERSYNC:
    case DP_CMD_FOLDERCREATE:
    case DP_CMD_FOLDERUPDATE:
    case DP_CMD_FOLDERDELETE:
        return &dp_learn_folders_kind;
    case DP_CMD_PING:
        return &dp_learn_ping_kind;
    case DP_CMD_MOVEITEMS:
        return &dp_learn_moves_kind;
    case DP_CMD_MEETINGRESPONSE:
        return &dp_learn_meeting_kind;
    case DP_CMD_GETITEMESTIMATE:
    case DP_CMD_ITEMOPERATIONS:
    case DP_CMD_SETTINGS:
    case DP_CMD_PROVISION:
        return &dp_learn_status_kind;
    default:
        return NULL;
    }
}

static void read_bus(dp_exchange *x)
{
    const dp_bus_map *bus = x->env.bus;
    if (!bus || !bus->header) {
        return;
    }
    /* Before the request goes out: what the backend leaves out is published
     * later than this, with a larger seq (design.md 3.1). */
    x->start = dp_mark_at(bus->header->instance, dp_bus_head(bus));
    x->forget_seq = atomic_load_explicit(&bus->header->forget_seq,
                                         memory_order_acquire);
}

dp_exchange *dp_exchange_begin(const dp_learn_env *env, const dp_who *who,
                               dp_cmd cmd, dp_span authorization,
                               bool had_proof, dp_time_us now_us)
{
    dp_exchange *x = calloc(1, sizeof(*x));
    DP_ASSERT(x);
    x->magic = DP_EXCHANGE_MAGIC;
    x->env = *env;
    x->cmd = cmd;
    x->had_proof = had_proof;
    x->began_us = now_us;
    x->content_length = -1;
    read_bus(x);
    x->who = (dp_who){.realm = dp_learn_keep(x, who->realm),
                      .login = dp_learn_keep(x, who->login),
                      .user = dp_learn_keep(x, who->user),
                      .device = dp_learn_keep(x, who->device)};
    if (authorization.n) {
        x->authorization = malloc(authorization.n);
        DP_ASSERT(x->authorization);
        memcpy(x->authorization, authorization.p, authorization.n);
        x->authorization_n = authorization.n;
    }
    /* Nothing to prove, and nothing proven: then nothing is learnt. */
    x->kind = authorization.n || had_proof || cmd == DP_CMD_PING
                  ? kind_of(cmd)
                  : NULL;
    if (x->kind) {
        x->kind->begin(x);
    }
    return x;
}

static bool to_request(void *ctx, dp_span clear)
{
    dp_exchange *x = ctx;
    return x->kind->request(x, clear);
}

static bool to_response(void *ctx, dp_span clear)
{
    dp_exchange *x = ctx;
    return x->kind->response(x, clear);
}

void dp_exchange_request_coding(dp_exchange *x, dp_tap_coding coding)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    if (x->kind && !x->request_tap) {
        x->request_tap = dp_tap_make(coding, CLEAR_MAX, to_request, x);
    }
}

void dp_exchange_request_bytes(dp_exchange *x, dp_span bytes)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    dp_exchange_request_coding(x, DP_TAP_IDENTITY); /* unless it was said */
    if (x->request_tap && !x->request_is_whole) {
        dp_tap_feed(x->request_tap, bytes);
    }
}

void dp_exchange_request_end(dp_exchange *x)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    x->request_is_whole = !x->request_tap || dp_tap_end(x->request_tap);
}

void dp_exchange_response_begin(dp_exchange *x, int http_status,
                                dp_tap_coding coding, int64_t content_length)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    x->http_status = http_status;
    x->content_length = content_length;
    if (x->kind && !x->response_tap && http_status == 200) {
        x->response_tap = dp_tap_make(coding, CLEAR_MAX, to_response, x);
    }
}

void dp_exchange_response_bytes(dp_exchange *x, dp_span bytes)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    x->response_n += bytes.n;
    if (x->response_tap) {
        dp_tap_feed(x->response_tap, bytes);
    }
}

static dp_span authorization_of(const dp_exchange *x)
{
    return dp_span_of(x->authorization, x->authorization_n);
}

/* Everything that this exchange writes, in one transaction. */
static apr_status_t write_all(dp_exchange *x, dp_learn_verdict *v,
                              dp_store_txn *t)
{
    dp_store *s = x->env.store;
    apr_status_t rv = APR_SUCCESS;
    /* Looked at again now that nobody else writes: whoever forgets later than
     * this deletes after us. */
    v->is_accepted = v->is_accepted && !dp_learn_is_forgetting(x);
    if (v->is_accepted) {
        /* The backend looked at it when the request came. */
        rv = dp_proof_put(s, t, x->env.proof_key, &x->who,
                          authorization_of(x), x->began_us);
    }
    if (rv == APR_SUCCESS && (v->is_refused || v->is_welcome)) {
        rv = dp_refused_set(s, t, &x->who, v->is_refused);
    }
    if (rv == APR_SUCCESS && x->kind && x->kind->learn) {
        rv = x->kind->learn(x, t);
    }
    return rv;
}

static void forget_outcome(dp_exchange *x)
{
    x->token = 0;
    x->is_hierarchy = false;
    x->ids_n = 0;
}

static bool write_outcome(dp_exchange *x, dp_learn_verdict *v)
{
    dp_store *s = x->env.store;
    dp_store_txn *t = NULL;
    apr_status_t rv = s->ops->begin(s, true, &t);
    if (rv == APR_SUCCESS) {
        rv = write_all(x, v, t);
        if (rv == APR_SUCCESS) {
            rv = s->ops->commit(&t);
        }
        else {
            s->ops->abort(&t);
        }
    }
    if (rv != APR_SUCCESS) { /* not stored: not known */
        forget_outcome(x);
    }
    return rv == APR_SUCCESS;
}

static void give_out(const dp_exchange *x, dp_learned *out)
{
    bool has_marks = x->ids_n > 0 || x->is_hierarchy;
    out->token = has_marks ? x->token : 0;
    out->ids = x->ids;
    out->ids_n = x->ids_n;
    out->is_hierarchy = x->is_hierarchy;
    out->wants = x->wants;
    out->wants_n = x->wants_n;
    out->uploads = x->uploads;
    out->uploads_n = x->uploads_n;
}

void dp_exchange_overtaken(dp_exchange *x)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    x->is_overtaken = true;
}

void dp_exchange_conclude(dp_exchange *x, bool is_whole, dp_time_us now_us,
                          dp_learned *out)
{
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    DP_ASSERT(!x->is_concluded);
    *out = (dp_learned){.token = 0};
    x->is_concluded = true;
    if (DP_MUTANT(mark_at_end) && x->start.instance) {
        x->start.seq = dp_bus_head(x->env.bus);
    }
    x->now_us = now_us;
    x->response_is_whole =
        is_whole && x->http_status
        && (x->content_length < 0
            || x->response_n == (uint64_t)x->content_length)
        && (!x->response_tap || dp_tap_end(x->response_tap));

    dp_learn_verdict v = dp_learn_judge(x);
    if (x->cmd == DP_CMD_PING && x->kind) {
        x->kind->status(x, &out->passed_status);
    }
    if (v.is_rejected) {
        out->is_rejected = true;
        /* without proof anybody could end the hold of somebody else */
        out->is_refused = x->had_proof;
        dp_proof_del(x->env.store, NULL, x->env.proof_key, &x->who,
                     authorization_of(x));
        return;
    }
    if (!x->had_proof && !v.is_accepted) {
        return; /* a stranger changes nothing (design.md 6.5) */
    }
    out->is_refused = v.is_refused;
    if (!v.is_accepted && !v.is_refused && !(x->kind && x->kind->learn)) {
        return;
    }
    out->is_proof = write_outcome(x, &v) && v.is_accepted;
    give_out(x, out);
}

void dp_exchange_free(dp_exchange **xp)
{
    dp_exchange *x = *xp;
    if (!x) {
        return;
    }
    DP_MAGIC_CHECK(x, DP_EXCHANGE_MAGIC);
    if (x->kind && x->kind->free) {
        x->kind->free(x);
    }
    dp_ping_params_free(&x->pinged);
    dp_tap_free(&x->request_tap);
    dp_tap_free(&x->response_tap);
    if (x->authorization) {
        explicit_bzero(x->authorization, x->authorization_n);
        free(x->authorization);
    }
    free(x->ids);
    free(x->wants);
    free(x->uploads);
    while (x->blocks) {
        dp_learn_block *next = x->blocks->next;
        free(x->blocks);
        x->blocks = next;
    }
    x->magic = 0;
    free(x);
    *xp = NULL;
}
