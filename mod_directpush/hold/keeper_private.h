/* keeper_private: the keeper's own state, shared by keeper.c (the loop),
 * keeper_link.c (bus and control socket) and keeper_worker.c (what httpd's
 * workers call). Nobody else includes it. */
#ifndef KEEPER_PRIVATE_H
#define KEEPER_PRIVATE_H

#include "hold/keeper.h"

/* A topic that is to be asked for, or a Ping that is to be told. */
typedef struct dp_keeper_want_line {
    struct dp_keeper_want_line *next;
    dp_hash key;
    dp_class class_id;
    size_t user_n, folder_n;
    char name[]; /* user, folder */
} dp_keeper_want_line;

typedef struct dp_keeper_ping_line {
    struct dp_keeper_ping_line *next;
    dp_hash device;
    uint64_t arrival;
} dp_keeper_ping_line;

struct dp_keeper {
    pthread_t thread;
    _Atomic bool is_ending;
    dp_hold_set set;
    dp_keeper_hooks hooks;
    dp_counter_slot *count;
    dp_recent *recent;           /* or NULL */
    uint32_t child;
    int nudge_fd;
    char bus_path[512], socket_path[512];

    /* guarded by set.lock */
    dp_bus_handle *bus;          /* NULL: none; replaced by the loop only */
    dp_keeper_want_line *wants;  /* to be sent by the loop */
    dp_keeper_ping_line *pings;
    size_t pings_n;
    size_t wants_n;

    /* the loop's own */
    dp_bus_cursor cursor;
    bool is_started;             /* hooks may be called */
    bool is_behind;              /* the journal goes on */
    bool is_rebound;             /* another bus: look at all holds */
    bool must_ask;               /* the watcher shall hear of all topics */
    bool has_doubt;              /* some topic may have lost its slot */
    uint64_t last_instance;
    uint64_t forget_seen;        /* seq of the newest FORGET we acted on */
    dp_link_client link;
    dp_time_us tick_us;          /* from one to the next */
    dp_time_us tick_at_us;
    dp_time_us retry_at_us;      /* next try to connect */
    dp_time_us retry_wait_us;
    dp_keeper_told *told;        /* shared, or own_told */
    dp_keeper_told own_told;

    dp_link_publisher *publisher;
};

/* More topics to ask for than this wait for their holds' next turn. */
#define DP_KEEPER_WANTS_MAX 200000

/* Pings that wait to be told while the watcher is away. */
#define DP_KEEPER_PINGS_MAX 10000

void dp_keeper_say(dp_keeper *k, dp_keeper_level level, const char *line);

/* loop: descriptors of the link are ready */
void dp_keeper_loop_link(dp_keeper *k, bool request_ready, bool wake_ready);
/* loop: would the link take a line now? Else it says so when it is writable */
bool dp_keeper_can_send(const dp_keeper *k);
/* loop: send what workers have left */
void dp_keeper_loop_send(dp_keeper *k);
/* loop: bus, link, liveness; true: all holds must be looked at */
bool dp_keeper_loop_tick(dp_keeper *k, dp_time_us now_us);
/* loop: topics that were found anew are looked at */
void dp_keeper_mend(dp_keeper *k);
/* loop: the journal has overtaken us */
void dp_keeper_lapped(dp_keeper *k);

/* Free what workers have left and nobody will send. */
void dp_keeper_drop_lines(dp_keeper *k);

/* Queue a `ping`, so that other children end older ones. Lock held. */
void dp_keeper_tell_ping_locked(dp_keeper *k, dp_hash device, uint64_t arrival);

/* A `ping` that was told, by us or to us, may be lost. */
void dp_keeper_lose_pings(dp_keeper *k);

/* Queue a `watch`, unless the bus says that it is fresh. Lock held. */
void dp_keeper_ask_locked(dp_keeper *k, dp_hash key, dp_bus_ref ref,
                          dp_span user, dp_class class_id, dp_span folder,
                          dp_time_us now_us);

#endif
