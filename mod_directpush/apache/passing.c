#include "apache/passing.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "apache/delivery.h"
#include "apache/module.h"
#include "apache/park.h"
#include "device/proof.h"
#include "observe/learn.h"

static ap_filter_rec_t *input_rec, *output_rec, *back_rec;

/* One observed request; in r->pool, freed by its cleanup. */
typedef struct passing {
    request_rec *r;
    dp_request *rq;
    dp_exchange *x;
    dp_bus_handle *bus;
    dp_seat *seat;
    apr_bucket_brigade *body; /* of a Ping, to be read once more; or NULL */
    uint64_t arrival;
    bool is_counted;
    bool has_ended;  /* the request's body */
    bool has_begun;  /* the response */
    bool is_broken;  /* an error bucket went by */
    bool is_over;
} passing;

static void conclude(passing *p, dp_learned *l);

/* httpd has said something else than the backend (ProxyErrorOverride, an
 * ErrorDocument): our filter was passed by, but not the backend's word. */
static void learn_refusal(passing *p)
{
    dp_learned l = {0};
    if (!p->has_begun) {
        dp_exchange_response_begin(p->x, p->r->status, DP_TAP_OPAQUE, -1);
    }
    p->is_over = p->is_broken = true;
    conclude(p, &l);
}

static apr_status_t passing_goes(void *data)
{
    passing *p = data;
    if (!p->is_over && ap_is_HTTP_CLIENT_ERROR(p->r->status)) {
        learn_refusal(p);
    }
    dp_exchange_free(&p->x);
    dp_keeper_bus_release(&p->bus);
    return APR_SUCCESS;
}

/* Leave only what the tap can read: br and zstd go, the rest stays. */
static void keep_readable_codings(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept-Encoding");
    if (!accept || (!ap_strcasestr(accept, "br")
                    && !ap_strcasestr(accept, "zstd"))) {
        return;
    }
    char *kept = NULL, *state, *list = apr_pstrdup(r->pool, accept);
    for (char *t = apr_strtok(list, ",", &state); t;
         t = apr_strtok(NULL, ",", &state)) {
        while (apr_isspace(*t)) {
            t++;
        }
        size_t n = strcspn(t, "; \t");
        if ((n == 2 && !strncasecmp(t, "br", 2))
            || (n == 4 && !strncasecmp(t, "zstd", 4))) {
            continue;
        }
        kept = kept ? apr_pstrcat(r->pool, kept, ", ", t, NULL) : t;
    }
    if (kept) {
        apr_table_setn(r->headers_in, "Accept-Encoding", kept);
    }
    else {
        apr_table_unset(r->headers_in, "Accept-Encoding");
    }
}

static bool has_body(request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");
    return apr_table_get(r->headers_in, "Transfer-Encoding")
           || (length && strcmp(length, "0") != 0);
}

static void attach(passing *p)
{
    request_rec *r = p->r;
    if (!p->has_ended) {
        ap_add_input_filter_handle(input_rec, p, r, r->connection);
    }
    if (p->body) {
        ap_add_input_filter_handle(back_rec, p->body, r, r->connection);
    }
    ap_add_output_filter_handle(output_rec, p, r, r->connection);
}

int dp_passing_observe(request_rec *r, dp_request *rq, dp_pass_kind kind)
{
    passing *p = apr_pcalloc(r->pool, sizeof(*p));
    p->r = r;
    p->rq = rq;
    p->seat = dp_seat_of(r->connection);
    p->bus = dp_keeper_bus(dp_here->keeper);
    dp_time_us now = dp_clock_mono_us(), until;
    p->arrival = (uint64_t)now;
    dp_store_txn *t = NULL;
    bool had_proof = false;
    if (dp_here->store->ops->begin(dp_here->store, false, &t) == APR_SUCCESS) {
        had_proof = dp_proof_get(dp_here->store, t, dp_all->proof_key,
                                 &rq->who, rq->authorization, rq->conf->trust,
                                 now, &until) == DP_PROOF_GOOD;
        dp_here->store->ops->abort(&t);
    }
    const dp_learn_env env = {.store = dp_here->store,
                              .bus = p->bus ? &p->bus->map : NULL,
                              .proof_key = dp_all->proof_key,
                              .backend_lag_us = rq->conf->backend_lag,
                              .trust_us = rq->conf->trust,
                              .line = rq->line.name};
    p->x = dp_exchange_begin(&env, &rq->who, rq->query.cmd, rq->authorization,
                             had_proof, now);
    if (kind == DP_PASS_PING) {
        p->is_counted = true;
        dp_count(dp_here->count, DP_COUNT_passed, 1);
        apr_table_setn(r->notes, "directpush-outcome", "backend");
    }
    dp_count(dp_here->count, DP_COUNT_observed, 1);
    apr_pool_cleanup_register(r->pool, p, passing_goes, apr_pool_cleanup_null);
    dp_exchange_request_coding(
        p->x, dp_tap_coding_of(apr_table_get(r->headers_in,
                                             "Content-Encoding")));
    if (!has_body(r)) {
        p->has_ended = true;
        dp_exchange_request_end(p->x); /* nobody may ever read nothing */
    }
    keep_readable_codings(r);
    ap_set_module_config(r->request_config, &directpush_module, p);
    attach(p);
    return DECLINED;
}

void dp_passing_follow(request_rec *r)
{
    passing *p = ap_get_module_config(r->prev->request_config,
                                      &directpush_module);
    if (p && !p->is_over && r->prev->status == HTTP_OK) {
        p->r = r;
        ap_set_module_config(r->request_config, &directpush_module, p);
        attach(p);
    }
}

/* The bytes of all data buckets of a brigade, in order. */
static void each_data(apr_bucket_brigade *bb,
                      void (*feed)(dp_exchange *x, dp_span bytes), passing *p,
                      bool *out_eos)
{
    *out_eos = false;
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb);
         b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            *out_eos = true;
            return;
        }
        if (AP_BUCKET_IS_ERROR(b)) {
            p->is_broken = true;
        }
        const char *data;
        apr_size_t n;
        if (!APR_BUCKET_IS_METADATA(b)) {
            if (apr_bucket_read(b, &data, &n, APR_BLOCK_READ) != APR_SUCCESS) {
                p->is_broken = true;
            }
            else {
                feed(p->x, dp_span_of(data, n));
            }
        }
    }
}

static apr_status_t observe_input(ap_filter_t *f, apr_bucket_brigade *bb,
                                  ap_input_mode_t mode,
                                  apr_read_type_e block, apr_off_t bytes)
{
    passing *p = f->ctx;
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, bytes);
    if (rv == APR_SUCCESS && mode != AP_MODE_SPECULATIVE) {
        bool is_eos;
        each_data(bb, dp_exchange_request_bytes, p, &is_eos);
        if (is_eos) {
            if (!p->has_ended) {
                dp_exchange_request_end(p->x);
            }
            p->has_ended = true;
            ap_remove_input_filter(f);
        }
    }
    return rv;
}

static void begin_response(passing *p)
{
    request_rec *r = p->r;
    const char *length = apr_table_get(r->headers_out, "Content-Length");
    const char *coding = apr_table_get(r->headers_out, "Content-Encoding");
    apr_off_t n = -1;
    char *end;
    if (!length || apr_strtoff(&n, length, &end, 10) != APR_SUCCESS || *end) {
        n = -1;
    }
    p->has_begun = true;
    dp_exchange_response_begin(p->x, r->status, dp_tap_coding_of(coding), n);
}

static void flush(request_rec *r)
{
    conn_rec *c = r->connection;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(c->bucket_alloc));
    ap_pass_brigade(c->output_filters, bb);
    apr_brigade_destroy(bb);
}

static void publish_uploads(passing *p, const dp_learned *l)
{
    for (size_t i = 0; i < l->uploads_n; i++) {
        const dp_learn_upload *u = &l->uploads[i];
        uint64_t seq, prev;
        if (dp_keeper_publish(dp_here->keeper, p->rq->who.user,
                              u->topic.class_id, u->topic.folder, u->is_new,
                              &seq, &prev)) {
            dp_exchange_published(p->x, u, seq, prev);
        }
    }
}

/* What we have learnt is put to use. */
static void conclude(passing *p, dp_learned *l)
{
    const dp_who *who = &p->rq->who;
    if (p->is_counted
        && !dp_recent_store_begin(&dp_all->recent, who, p->arrival)) {
        dp_exchange_overtaken(p->x);
    }
    dp_exchange_conclude(p->x, !p->is_broken, dp_clock_mono_us(), l);
    if (p->is_counted) {
        dp_recent_store_end(&dp_all->recent, who);
    }
    dp_count(dp_here->count, DP_COUNT_marks, l->ids_n > 0);
    if (l->is_refused) {
        dp_keeper_end(dp_here->keeper, &p->rq->who, DP_CAUSE_FORGET);
    }
    for (size_t i = 0; p->rq->who.user.n && i < l->wants_n; i++) {
        dp_keeper_want(dp_here->keeper, p->rq->who.user, l->wants[i].class_id,
                       l->wants[i].folder);
    }
    if (p->rq->line.is_direct) {
        dp_delivery_prepare(p->seat, &p->rq->who, l);
    }
}

static apr_status_t observe_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    passing *p = f->ctx;
    if (p->is_over) {
        return ap_pass_brigade(f->next, bb);
    }
    if (!p->has_begun) {
        if (APR_BRIGADE_EMPTY(bb) || ap_is_HTTP_INFO(p->r->status)) {
            return ap_pass_brigade(f->next, bb);
        }
        begin_response(p);
    }
    bool is_eos;
    each_data(bb, dp_exchange_response_bytes, p, &is_eos);
    if (!is_eos) {
        return ap_pass_brigade(f->next, bb);
    }
    p->is_over = true;
    dp_learned l = {0};
    conclude(p, &l);
    apr_status_t rv = ap_pass_brigade(f->next, bb);
    if (l.uploads_n && p->rq->who.user.n) {
        flush(p->r); /* publishing waits for the watcher: the phone shall not */
        publish_uploads(p, &l);
    }
    return rv;
}

void dp_passing_put_back(request_rec *r, apr_bucket_brigade *body)
{
    passing *p = ap_get_module_config(r->request_config, &directpush_module);
    p->body = body;
    ap_add_input_filter_handle(back_rec, body, r, r->connection);
}

static apr_status_t give_back(ap_filter_t *f, apr_bucket_brigade *bb,
                              ap_input_mode_t mode, apr_read_type_e block,
                              apr_off_t bytes)
{
    apr_bucket_brigade *kept = f->ctx;
    if (mode != AP_MODE_READBYTES || APR_BRIGADE_EMPTY(kept)) {
        if (APR_BRIGADE_EMPTY(kept)) {
            ap_remove_input_filter(f);
        }
        return ap_get_brigade(f->next, bb, mode, block, bytes);
    }
    apr_bucket *after;
    apr_status_t rv = apr_brigade_partition(kept, bytes, &after);
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) {
        return rv;
    }
    while (!APR_BRIGADE_EMPTY(kept) && APR_BRIGADE_FIRST(kept) != after) {
        apr_bucket *b = APR_BRIGADE_FIRST(kept);
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(bb, b);
    }
    return APR_SUCCESS;
}

void dp_passing_register(apr_pool_t *pool)
{
    input_rec = ap_register_input_filter("DIRECTPUSH_OBSERVE_IN",
                                         observe_input, NULL,
                                         AP_FTYPE_RESOURCE);
    output_rec = ap_register_output_filter("DIRECTPUSH_OBSERVE_OUT",
                                           observe_output, NULL,
                                           AP_FTYPE_RESOURCE);
    back_rec = ap_register_input_filter("DIRECTPUSH_BACK", give_back, NULL,
                                        AP_FTYPE_CONTENT_SET);
}
