/* park: a connection whose Ping waits, and the MPM's hooks around it.
 *
 * A seat belongs to a connection for life; it has a hold while a Ping waits,
 * is answered, or the next request is awaited after our answer. Who may touch
 * the connection is said by the hold's state (hold_states.def).
 */
#ifndef PARK_H
#define PARK_H

#include <stdatomic.h>

#include <httpd.h>

#include "apache/module.h"
#include "hold/hold.h"

#define DP_SEAT_MAGIC 0x44505354u /* "DPST" */

typedef struct dp_seat {
    uint32_t magic;
    conn_rec *c;
    request_rec *r;        /* the Ping; NULL once it is logged */
    struct dp_kept *kept;  /* … in place of it while it waits: shed.h */
    dp_hold *hold;         /* NULL: nothing waits */
    conn_state_t *real_cs; /* c->cs while somebody else answers */
    conn_state_t dummy_cs; /* … and what c->cs is then */
    bool is_nested;        /* our process_connection runs the others' */
    struct dp_outlet *outlet; /* outlet.h */
    bool is_lean;          /* what it had put by was taken: spare.h */
    bool is_new;           /* the nested run has made a hold */
    uint8_t taken_from;    /* dp_hold_state of the last resume */
    apr_interval_time_t timeout; /* of the socket, while answering */
    apr_bucket_brigade *bb; /* empty between uses */
    struct dp_delivery *prepared; /* responses not yet written out */
    bool has_deliveries;   /* delivery.c has some of ours */
    bool is_shared;        /* devices of several owners came over it */
    uint64_t device;       /* hash of the last one's id; 0: none yet */
    uint64_t line;         /* name of this connection: line.h */
    atomic_int streams;    /* Pings held on HTTP/2 streams of it: stream.h */
    atomic_bool was_sent_off; /* one was asked to come over HTTP/1.1 */
} dp_seat;

/** The seat of a connection, or NULL. */
dp_seat *dp_seat_of(conn_rec *c);

/** Make it; the worker that owns the connection; not for HTTP/2 streams. */
dp_seat *dp_seat_make(conn_rec *c);

/** This request's hold is to be parked when its worker lets go. */
void dp_park_request(dp_seat *seat, request_rec *r, dp_hold *hold);

/** A request is about to be made: the connection gets back the memory that it
 *  gave away when it was parked. The worker that owns it. */
void dp_park_feed(dp_seat *seat);

/** Hooks: process_connection, suspend, resume. */
void dp_park_register(apr_pool_t *p);

#endif
