#include "apache/outlet.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <http_config.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "base/dp_check.h"

/* So much is written without waiting for more, and fits into the buffer of any
 * socket that is empty; httpd sets less than this aside. */
#define SMALL 4096

struct dp_outlet {
    char *held; /* malloc'ed, SMALL bytes, while there are some */
    size_t held_n;
    bool is_added;       /* there is a filter above TLS */
    bool is_joining;     /* the response is a phone's */
    bool is_large;       /* of this response more than SMALL went by */
    bool writes_at_once; /* what comes below now is small, and whole */
};

static ap_filter_rec_t *join_rec, *write_rec;

typedef struct content {
    apr_off_t data_n; /* in front of what is no data; < 0: not known */
    size_t buckets_n; /* … in so many buckets */
    bool is_all;      /* nothing but data */
} content;

static content content_of(apr_bucket_brigade *bb)
{
    content it = {.is_all = true};
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb);
         b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_METADATA(b)) {
            it.is_all = false;
            break;
        }
        if (b->length == (apr_size_t)-1) {
            it.data_n = -1;
            break;
        }
        it.data_n += (apr_off_t)b->length;
        it.buckets_n++;
    }
    return it;
}

/* Move the data in front over to what is held. */
static apr_status_t hold_back(struct dp_outlet *o, apr_bucket_brigade *bb)
{
    if (!o->held) {
        o->held = malloc(SMALL);
        DP_ASSERT(o->held);
    }
    while (!APR_BRIGADE_EMPTY(bb)
           && !APR_BUCKET_IS_METADATA(APR_BRIGADE_FIRST(bb))) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t n;
        apr_status_t rv = apr_bucket_read(b, &data, &n, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        DP_ASSERT(o->held_n + n <= SMALL);
        memcpy(o->held + o->held_n, data, n);
        o->held_n += n;
        apr_bucket_delete(b);
    }
    return APR_SUCCESS;
}

static void put_in_front(struct dp_outlet *o, apr_bucket_brigade *bb)
{
    if (o->held_n) {
        APR_BRIGADE_INSERT_HEAD(bb, apr_bucket_heap_create(o->held, o->held_n,
                                                           free,
                                                           bb->bucket_alloc));
        o->held = NULL; /* the bucket's */
        o->held_n = 0;
    }
}

static bool ends_response(apr_bucket_brigade *bb)
{
    return !APR_BRIGADE_EMPTY(bb) && AP_BUCKET_IS_EOR(APR_BRIGADE_LAST(bb));
}

static apr_status_t join(ap_filter_t *f, apr_bucket_brigade *bb)
{
    struct dp_outlet *o = f->ctx;
    if (!o->is_joining || APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    content it = content_of(bb);
    bool is_small = it.data_n >= 0
                    && (apr_off_t)o->held_n + it.data_n <= SMALL;
    apr_status_t rv = APR_SUCCESS;
    if (is_small && (it.is_all || o->held_n || it.buckets_n > 1)) {
        rv = hold_back(o, bb);
        if (rv != APR_SUCCESS) { /* half a response: nothing may follow it */
            f->c->aborted = 1;
            apr_brigade_cleanup(bb);
        }
        if (rv != APR_SUCCESS || it.is_all) {
            return rv;
        }
    }
    put_in_front(o, bb);
    o->is_large |= !is_small;
    o->writes_at_once = !o->is_large && !f->c->data_in_output_filters;
    o->is_large &= !ends_response(bb);
    rv = ap_pass_brigade(f->next, bb);
    o->writes_at_once = false;
    return rv;
}

static apr_status_t write_small(ap_filter_t *f, apr_bucket_brigade *bb)
{
    struct dp_outlet *o = f->ctx;
    content it = content_of(bb);
    if (o->writes_at_once && it.data_n > 0) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
    }
    return ap_pass_brigade(f->next, bb);
}

void dp_outlet_begin(dp_seat *seat)
{
    seat->outlet = apr_pcalloc(seat->c->pool, sizeof(*seat->outlet));
    seat->outlet->writes_at_once = true;
    ap_add_output_filter_handle(write_rec, seat->outlet, NULL, seat->c);
}

/* mod_ssl has shaken hands. */
static int begin_requests(conn_rec *c)
{
    dp_seat *seat = dp_here ? dp_seat_of(c) : NULL;
    if (seat) {
        seat->outlet->writes_at_once = false;
    }
    return DECLINED;
}

/* Whose it is, is not known yet. What came before is with the MPM, down to its
 * last byte; in a tunnel nothing would follow that lets held bytes go. */
static int begin_request(request_rec *r)
{
    dp_seat *seat = dp_here ? dp_seat_of(r->connection) : NULL;
    if (seat) {
        seat->outlet->is_joining = false;
    }
    return DECLINED;
}

void dp_outlet_add(dp_seat *seat)
{
    struct dp_outlet *o = seat->outlet;
    if (!o->is_added) {
        o->is_added = true;
        ap_add_output_filter_handle(join_rec, o, NULL, seat->c);
    }
    o->is_joining = true;
    o->is_large = o->writes_at_once = false;
}

void dp_outlet_free(dp_seat *seat)
{
    free(seat->outlet->held);
    seat->outlet->held = NULL;
    seat->outlet->held_n = 0;
}

void dp_outlet_register(apr_pool_t *p)
{
    static const char *const before[] = {"mod_ssl.c", NULL};
    static const char *const after[] = {"mod_http2.c", NULL};
    ap_hook_process_connection(begin_requests, before, after, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(begin_request, NULL, NULL, APR_HOOK_REALLY_FIRST);

    join_rec = ap_register_output_filter("DIRECTPUSH_JOIN", join, NULL,
                                         AP_FTYPE_CONNECTION);
    write_rec = ap_register_output_filter("DIRECTPUSH_WRITE", write_small, NULL,
                                          AP_FTYPE_NETWORK - 1);
}
