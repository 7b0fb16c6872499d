/* load_talk: the conversation of one device of a load with the server.
 *
 * What a worker has (load_worker.c) is here too, since each step of a device
 * changes the counts of its worker. Everything is called from the worker's
 * loop; nothing blocks, and nothing is allocated for an answer that comes
 * whole.
 */
#ifndef LOAD_TALK_H
#define LOAD_TALK_H

#include "base/dp_wheel.h"
#include "tools/device/load_answer.h"
#include "tools/device/load_line.h"
#include "tools/device/load_trace.h"
#include "tools/device/load_worker.h"

#define DP_LOAD_READ_SIZE 65536

typedef enum dp_talk_state {
    DP_TALK_OFF,        /* no connection, nothing to do */
    DP_TALK_READY,      /* in the list of those that go on when there is room */
    DP_TALK_CONNECTING, /* TCP and TLS */
    DP_TALK_ASKED,      /* an answer comes at once */
    DP_TALK_WAITING,    /* an answer comes when there are news */
    DP_TALK_ANSWERED,   /* of a wait; what follows is decided at once */
    DP_TALK_IDLE,       /* connected, was answered, and stays so */
    DP_TALK_RESTING,    /* failed; a timer runs */
    DP_TALK_GIVEN_UP
} dp_talk_state;

typedef struct dp_talker {
    dp_load_device is;
    dp_load_line line;
    dp_load_pieces *pieces;
    dp_timer timer; /* of the state it is in */
    struct dp_talker *next_ready;
    dp_time_us since_us; /* it has heard nothing new since: over all Pings whose
                            heartbeat ended; 0: its next Ping begins it */
    uint32_t asked_ms;   /* when the request was written; wraps */
    uint32_t events;     /* what epoll looks for */
    uint8_t state;
    uint8_t tries;  /* failures in a row */
    bool has_begun; /* its first connection was begun */
    bool is_first;  /* the request is the first one on its connection */
} dp_talker;

typedef struct dp_load_worker {
    const dp_load_worker_args *a;
    dp_load_shared *shared;
    dp_load_slot *slot;
    dp_load_lines lines;
    int epoll_fd;
    dp_wheel wheel;
    dp_talker *devices;
    uint32_t devices_n;
    uint32_t cursor; /* below it nobody is DP_TALK_OFF or DP_TALK_IDLE who
                        should not be */
    uint32_t inflight, inflight_max;
    dp_talker *ready, **ready_end;
    double tokens, tokens_max, per_us; /* for new devices: --rate */
    dp_time_us tokens_at_us;
    uint64_t random;
    dp_load_trace trace;
    unsigned char buf[DP_LOAD_READ_SIZE];
    char out[DP_LOAD_REQUEST_MAX];
} dp_load_worker;

static inline uint32_t dp_talk_number(const dp_load_worker *w,
                                      const dp_talker *d)
{
    return (uint32_t)(d - w->devices) * w->a->args->processes + w->a->index;
}

/** Send what is next, over a new connection if there is none. */
void dp_talk_begin(dp_load_worker *w, dp_talker *d);

/** epoll says so. */
void dp_talk_event(dp_load_worker *w, dp_talker *d, uint32_t events);

/** Its timer is due. */
void dp_talk_due(dp_timer *timer, void *worker);

/** Take the first off the list of those that are ready; NULL: none. */
dp_talker *dp_talk_next_ready(dp_load_worker *w);

/** Close its connection; the state stays what it is. */
void dp_talk_close(dp_talker *d);

#endif
