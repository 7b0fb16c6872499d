/* link_client: a child's two connections to the watcher's control socket.
 *
 * One carries requests and their answers, the other one byte per batch of
 * changes. Both are non-blocking and belong to the keeper's thread; lines
 * queue up to a bound, beyond which the link is given up and made anew. The
 * keeper polls the descriptors and calls the functions below.
 */
#ifndef LINK_CLIENT_H
#define LINK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dp_clock.h"
#include "base/dp_hash.h"
#include "bus/bus_link.h"
#include "bus/bus_read.h"
#include "device/device.h"

/* What 100,000 `watch` lines of ordinary length take. */
#define DP_LINK_QUEUE_MAX (16u << 20)

typedef enum dp_link_state {
    DP_LINK_DOWN,
    DP_LINK_GREETING, /* `hello` and `wake` sent, answers awaited */
    DP_LINK_READY
} dp_link_state;

typedef struct dp_link_client {
    dp_link_state state;
    int fd;      /* -1 when down */
    int wake_fd;
    dp_time_us since_us; /* of the state */
    char *out;   /* lines not yet written */
    size_t out_n, out_cap;
    unsigned char in[DP_LINK_LINE_MAX];
    size_t in_n;
    dp_hash *asked; /* topics whose `watch` awaits an answer, oldest first */
    size_t asked_n, asked_cap, asked_head;
    bool hello_is_ok, wake_is_ok; /* both: READY */
    bool is_overfull; /* a line found no room: the link is to be given up */
} dp_link_client;

/* An answer to `watch`. @param told  where the topic is; NO_REF: `no`, or not
 *  said */
typedef void dp_link_on_watch(void *ctx, dp_hash topic_key, bool is_ok,
                              dp_bus_ref told);

void dp_link_init(dp_link_client *l);

/** Connect and greet. @return 0, or the errno that says why not */
int dp_link_open(dp_link_client *l, const char *path, dp_time_us now_us);

void dp_link_close(dp_link_client *l);

/** Queue a line; nothing happens when the link is not READY. */
void dp_link_send_watch(dp_link_client *l, dp_hash key, dp_span user,
                        const char *class_name, dp_span folder);
void dp_link_send_ping(dp_link_client *l, dp_hash device, uint64_t arrival);

/** Write what is queued. @return false: the link broke, close it */
bool dp_link_flush(dp_link_client *l);

/** The request connection is readable: read answers. @return false: broke */
bool dp_link_read(dp_link_client *l, dp_link_on_watch *on_watch, void *ctx,
                  dp_time_us now_us);

/** The wake connection is readable: swallow the bytes. @return false: broke,
 *  or the watcher refused */
bool dp_link_read_wake(dp_link_client *l, dp_time_us now_us);

/* Publishing waits for its answer, so it has a connection of its own, which
 * any thread may use; they take turns. */
typedef struct dp_link_publisher dp_link_publisher;

dp_link_publisher *dp_link_publisher_make(const char *path,
                                          dp_time_us patience_us);
void dp_link_publisher_free(dp_link_publisher **p);

/** Publish a change and wait for the answer, at most `patience_us`.
 *  @return false: it did not reach the watcher */
bool dp_link_publish(dp_link_publisher *p, dp_span user,
                     const char *class_name, dp_span folder, bool is_new,
                     uint64_t *out_seq, uint64_t *out_prev);

#endif
