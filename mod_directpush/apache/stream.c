#include "apache/stream.h"

#include <stdatomic.h>

#include <http_protocol.h>

#include "apache/module.h"
#include "apache/park.h"

/* mod_http2 runs 6 streams of a new connection at a time. */
#define STREAMS_PER_CONNECTION 2

/* mod_http2 reads the note as mod_ssl's: what was asked for can't be had here,
 * but over HTTP/1.1. */
#define REQUIRE_NOTE "ssl-renegotiate-forbidden"

static atomic_llong streams_here;

bool dp_stream_enter(conn_rec *c)
{
    if (!c->master) {
        return true;
    }
    dp_seat *seat = dp_seat_of(c->master);
    if (atomic_fetch_add(&streams_here, 1) < dp_limit.streams) {
        if (!seat
            || atomic_fetch_add(&seat->streams, 1) < STREAMS_PER_CONNECTION) {
            return true;
        }
        atomic_fetch_sub(&seat->streams, 1);
    }
    atomic_fetch_sub(&streams_here, 1);
    return false;
}

void dp_stream_leave(conn_rec *c)
{
    if (c->master) {
        dp_seat *seat = dp_seat_of(c->master);
        if (seat) {
            atomic_fetch_sub(&seat->streams, 1);
        }
        atomic_fetch_sub(&streams_here, 1);
    }
}

bool dp_stream_can_send_off(request_rec *r)
{
    conn_rec *master = r->connection->master;
    dp_seat *seat = master ? dp_seat_of(master) : NULL;
    return seat && dp_here->can_park
           && !atomic_exchange(&seat->was_sent_off, true);
}

int dp_stream_send_off(request_rec *r)
{
    apr_table_setn(r->notes, REQUIRE_NOTE, "directpush");
    apr_table_setn(r->notes, "directpush-outcome", "http/1.1");
    dp_count(dp_here->count, DP_COUNT_sent_off, 1);
    r->status = HTTP_FORBIDDEN;
    ap_set_content_length(r, 0);
    ap_finalize_request_protocol(r);
    return OK;
}
