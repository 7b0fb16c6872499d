/* module: what the files of apache/ share: the server's and the child's state.
 */
#ifndef DP_APACHE_MODULE_H
#define DP_APACHE_MODULE_H

#include <pthread.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "apache/spare.h"
#include "device/device_store.h"
#include "hold/keeper.h"

APLOG_USE_MODULE(directpush);

/* Memory shared by all children of all generations: made once per server
 * process, before the first fork. */
typedef struct dp_shared {
    dp_spread_rate provoke;
    dp_keeper_told told;
    _Atomic int32_t told_whole; /* … that requests are kept whole */
    _Atomic int64_t told_user_us; /* … which user has too many devices, when */
    _Atomic int32_t told_full;  /* … what there is no room for: room.c */
    /* never written to a disk; the same after a graceful restart, so that
     * what the backend accepted stays accepted */
    uint8_t proof_key[DP_HASH_KEY_SIZE];
    pthread_mutex_t places; /* places.h */
    dp_recent recent;
    dp_counters counters; /* last: it ends in slots */
} dp_shared;

/* What a child runs with; NULL before child_init and in the parent. */
typedef struct dp_child {
    server_rec *server; /* main */
    dp_keeper *keeper;
    dp_clerk *clerk;
    dp_store *store;
    dp_spare *spare;
    apr_pool_t *log_pool; /* requests of shed.h, to be logged; the clerk's */
    dp_counter_slot *count;
    bool can_park;      /* the MPM knows CONN_STATE_ASYNC_WAITIO */
} dp_child;

extern dp_child *dp_here;
extern dp_shared *dp_all;

/* Limits of the whole server, from directives and MPM; post_config. */
typedef struct dp_limits {
    int64_t holds, blocking, passed;
    int64_t streams; /* HTTP/2 streams of one child that may hold a Ping */
    int64_t conns; /* with as many, the MPM still accepts further ones */
    /* descriptors of one child, and from which number on a connection is not
     * kept, not even served */
    size_t fd_all, fd_kept, fd_served;
} dp_limits;
extern dp_limits dp_limit;

/* The server_rec whose time-outs parked connections get; shadow.c */
extern server_rec *dp_shadow;

#endif
