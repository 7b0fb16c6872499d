/* Runs on the worker that serves the request. A change counts once the backend
 * has answered 2xx; it is published when the answer is on its way, or when the
 * request ends because the client did not want the answer. What directpushd
 * does not take is lost here: no mark of a phone depends on it, and a topic
 * stays clean only while a source of its own looks at it.
 */
#include "apache/dav.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "apache/module.h"
#include "apache/request.h"
#include "observe/dav_change.h"

#define KEY "directpush-dav"

static ap_filter_rec_t *input_rec, *output_rec;

/* A topic that is published when all is over. */
typedef struct change {
    const char *user;
    dp_topic_name topic;
    bool is_new;
} change;

/* One observed request; in r->pool, found there by KEY. */
typedef struct watched {
    request_rec *r;
    dp_dav_seen seen;
    dp_dav_place to;
    bool has_body; /* one that can be read */
    bool has_begun; /* the response */
    bool is_over;
    size_t changes_n;
    change changes[DP_DAV_TOPICS_MAX];
} watched;

static void place_of(request_rec *r, const char *url, dp_span login,
                     bool is_collection, dp_dav_place *out)
{
    size_t n = strlen(url);
    dp_dav_path_parse(dp_span_of(url, n), login, is_collection,
                      apr_palloc(r->pool, DP_DAV_BUF(n)), out);
}

static void read_head(watched *w)
{
    request_rec *r = w->r;
    dp_dav_seen *s = &w->seen;
    bool is_collection = s->method == DP_DAV_MKCOL
                         || s->method == DP_DAV_MKCALENDAR;
    s->login = dp_span_str(dp_request_login(r));
    s->content_type =
        dp_span_str(apr_table_get(r->headers_in, "Content-Type"));
    place_of(r, r->unparsed_uri, s->login, is_collection, &s->at);
    const char *to = apr_table_get(r->headers_in, "Destination");
    if (to && (s->method == DP_DAV_MOVE || s->method == DP_DAV_COPY)) {
        place_of(r, to, s->login, !s->at.is_item, &w->to);
        s->to = w->to.shape != DP_DAV_UNREADABLE ? &w->to : NULL;
    }
    w->has_body = (s->method == DP_DAV_PUT || s->method == DP_DAV_POST)
                  && !apr_table_get(r->headers_in, "Content-Encoding");
}

/* The backend has said yes: what has changed? */
static void accept_changes(watched *w)
{
    request_rec *r = w->r;
    dp_dav_seen *s = &w->seen;
    dp_dav_topic topics[DP_DAV_TOPICS_MAX];
    const char *at = apr_table_get(r->headers_out, "Location");
    if (at && s->method == DP_DAV_POST) {
        place_of(r, at, s->login, false, &w->to);
        s->to = w->to.shape != DP_DAV_UNREADABLE ? &w->to : NULL;
    }
    if (w->has_body) {
        dp_dav_body_end(&s->body);
    }
    size_t n = dp_dav_changed(s, topics);
    for (size_t i = 0; i < n; i++) {
        const char *login = apr_pstrmemdup(r->pool, (char *)topics[i].user.p,
                                           topics[i].user.n);
        const char *user = dp_request_mailbox_user(r, login);
        if (*user) {
            w->changes[w->changes_n++] =
                (change){user, topics[i].topic, topics[i].is_new};
        }
    }
}

static void publish(watched *w)
{
    size_t i;
    w->is_over = true;
    for (i = 0; i < w->changes_n; i++) {
        change *c = &w->changes[i];
        uint64_t seq, prev;
        if (!dp_keeper_publish(dp_here->keeper, dp_span_str(c->user),
                               c->topic.class_id, c->topic.folder, c->is_new,
                               &seq, &prev)) {
            break; /* each one that it does not take costs its patience */
        }
    }
    dp_count(dp_here->count, DP_COUNT_dav_published, (int64_t)i);
    dp_count(dp_here->count, DP_COUNT_dav_lost, (int64_t)(w->changes_n - i));
    w->changes_n = 0;
}

static apr_status_t request_goes(void *data)
{
    watched *w = data;
    if (!w->is_over) {
        publish(w); /* accepted, but nobody read the answer to its end */
    }
    return APR_SUCCESS;
}

static apr_status_t observe_input(ap_filter_t *f, apr_bucket_brigade *bb,
                                  ap_input_mode_t mode, apr_read_type_e block,
                                  apr_off_t bytes)
{
    watched *w = f->ctx;
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, bytes);
    if (rv != APR_SUCCESS || mode == AP_MODE_SPECULATIVE) {
        return rv;
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t n;
        if (!APR_BUCKET_IS_METADATA(b)
            && apr_bucket_read(b, &data, &n, APR_BLOCK_READ) == APR_SUCCESS) {
            dp_dav_body_feed(&w->seen.body, dp_span_of(data, n));
        }
        if (APR_BUCKET_IS_EOS(b) || w->seen.body.is_cut) {
            ap_remove_input_filter(f);
            break;
        }
    }
    return APR_SUCCESS;
}

/* What stands in a brigade besides data. */
static void look_through(apr_bucket_brigade *bb, bool *out_eos,
                         bool *out_error)
{
    *out_eos = *out_error = false;
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        *out_eos |= APR_BUCKET_IS_EOS(b);
        *out_error |= AP_BUCKET_IS_ERROR(b);
    }
}

static void flush(request_rec *r)
{
    conn_rec *c = r->connection;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(c->bucket_alloc));
    ap_pass_brigade(c->output_filters, bb);
    apr_brigade_destroy(bb);
}

static apr_status_t observe_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    watched *w = f->ctx;
    bool is_eos, is_error;
    if (w->is_over || APR_BRIGADE_EMPTY(bb)
        || ap_is_HTTP_INFO(w->r->status)) {
        return ap_pass_brigade(f->next, bb);
    }
    look_through(bb, &is_eos, &is_error);
    if (!w->has_begun) {
        w->has_begun = true;
        if (!is_error && ap_is_HTTP_SUCCESS(w->r->status)) {
            accept_changes(w);
        }
        if (!w->changes_n) {
            w->is_over = true;
            ap_remove_output_filter(f);
            return ap_pass_brigade(f->next, bb);
        }
    }
    apr_status_t rv = ap_pass_brigade(f->next, bb);
    if (is_eos) {
        flush(w->r); /* publishing waits for the watcher: the client shall not */
        publish(w);
    }
    return rv;
}

static void attach(watched *w, request_rec *r)
{
    w->r = r;
    if (w->has_body) {
        ap_add_input_filter_handle(input_rec, w, r, r->connection);
    }
    ap_add_output_filter_handle(output_rec, w, r, r->connection);
}

/* A handler has redirected a request that we observe: its successor has lost
 * our filters. One that is an error's document gets none. */
static void follow(watched *w, request_rec *r)
{
    if (!w->is_over && !w->has_begun && r->prev->status == HTTP_OK) {
        w->seen.body = (dp_dav_body){0};
        attach(w, r);
    }
}

int dp_dav_handler(request_rec *r)
{
    dp_dav_method method = dp_dav_method_of(dp_span_str(r->method));
    if (!dp_here || r->main || (method == DP_DAV_NONE && !r->prev)) {
        return DECLINED;
    }
    if (r->prev) {
        void *seen = NULL;
        apr_pool_userdata_get(&seen, KEY, r->pool);
        if (seen) {
            follow(seen, r);
            return DECLINED;
        }
    }
    if (method == DP_DAV_NONE || !dp_dav_is_enabled(r)
        || (method == DP_DAV_POST /* of a form, of a phone, … */
            && !dp_dav_type_classes(dp_span_str(
                apr_table_get(r->headers_in, "Content-Type"))))) {
        return DECLINED;
    }
    watched *w = apr_pcalloc(r->pool, sizeof(*w));
    w->r = r;
    w->seen.method = method;
    read_head(w);
    if (w->seen.at.shape != DP_DAV_FOREIGN) {
        apr_pool_userdata_setn(w, KEY, NULL, r->pool);
        apr_pool_cleanup_register(r->pool, w, request_goes,
                                  apr_pool_cleanup_null);
        attach(w, r);
    }
    return DECLINED;
}

void dp_dav_register(apr_pool_t *p)
{
    input_rec = ap_register_input_filter("DIRECTPUSH_DAV_IN", observe_input,
                                         NULL, AP_FTYPE_RESOURCE);
    output_rec = ap_register_output_filter("DIRECTPUSH_DAV_OUT",
                                           observe_output, NULL,
                                           AP_FTYPE_RESOURCE);
}
