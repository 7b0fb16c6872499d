/* load_device: what one of many phones knows, and what it does next.
 *
 *    FolderSync -> Sync (key 0) -> Sync -> Ping -> … answered
 *        ^            ^   ^                 |
 *        |            |   `---- Status 2 ---+
 *        `------------+-------- Status 7 ---+
 *
 * An answer goes in, the next command comes out; it sends nothing and waits for
 * nothing. A phone of the load has one folder and reads no mail, so 200 bytes
 * hold it. With long-polling there is one command only, the request that waits.
 * Pure; one device, one thread.
 */
#ifndef LOAD_DEVICE_H
#define LOAD_DEVICE_H

#include "tools/device/load_answer.h"

/* Longest key or id that is kept: Z-Push's keys have 45 bytes, SOGo's ids 39.
 * A longer one is a failure that says so. */
#define DP_LOAD_KEY_MAX 64

typedef enum dp_load_cmd {
    DP_LOAD_FOLDERSYNC,
    DP_LOAD_SYNC,
    DP_LOAD_WAIT /* the Ping, or the request of long-polling */
} dp_load_cmd;

/** As the query string has it; the wait is a Ping. */
const char *dp_load_cmd_name(dp_load_cmd cmd);

typedef struct dp_load_device {
    uint8_t next;     /* dp_load_cmd: what it sends next, or has sent */
    uint8_t restarts; /* in a row; see RESTARTS_MAX */
    uint32_t heartbeat_s; /* of its next Ping; the server may have changed it */
    uint32_t wished_s;    /* what was asked of it last */
    /* NUL-terminated; with long-polling Last-Modified and Etag of the last
     * message, empty at first */
    char hierarchy_key[DP_LOAD_KEY_MAX];
    char key[DP_LOAD_KEY_MAX]; /* of the folder; "0" before its first Sync */
    char folder[DP_LOAD_KEY_MAX];
} dp_load_device;

/* Why something failed; all are counted. */
#define DP_LOAD_FAILURES(X)                                                    \
    X(CONNECT, "connect") /* no connection */                                  \
    X(TLS, "tls")         /* no handshake */                                   \
    X(LOST, "lost")       /* the connection ended without an answer */         \
    X(RESET, "reset")     /* … by a reset */                                   \
    X(TIMEOUT, "timeout") /* no answer in time */                              \
    X(HTTP, "http")       /* another status than 200, or no HTTP */            \
    X(STATUS, "status")   /* an answer that does not lead on */                \
    X(DENIED, "denied")   /* 401, 403 */                                       \
    X(REFUSED, "refused") /* 503: busy */

typedef enum dp_load_failure {
#define DP_LOAD_FAILURE(name, text) DP_LOAD_FAIL_##name,
    DP_LOAD_FAILURES(DP_LOAD_FAILURE)
#undef DP_LOAD_FAILURE
        DP_LOAD_FAILURES_N
} dp_load_failure;

const char *dp_load_failure_name(dp_load_failure f);

typedef enum dp_load_outcome {
    DP_LOAD_NEXT,    /* one step further: send `next` */
    DP_LOAD_TOLD,    /* a wait has ended with the change: send `next` */
    DP_LOAD_LISTED,  /* … because of the folder list (Status 7): the same */
    DP_LOAD_EXPIRED, /* a wait has ended without: send `next` */
    DP_LOAD_FAILED   /* `failure`; try `next` later */
} dp_load_outcome;

/** `done`, `told`, `listed`, `nothing`, `failed` */
const char *dp_load_outcome_name(dp_load_outcome outcome);

typedef struct dp_load_news {
    dp_load_outcome outcome;
    dp_load_failure failure;
    int64_t retry_after_s; /* of FAILED: 0 as one likes */
} dp_load_news;

/** A phone from the shop. @param is_longpoll one that only waits */
void dp_load_device_init(dp_load_device *d, uint32_t heartbeat_s,
                         bool is_longpoll);

/** From now on Pings shall be so long, unless the server wants them otherwise;
 *  the same wish again changes nothing. */
void dp_load_device_wish(dp_load_device *d, uint32_t heartbeat_s);

/** Is the wish for this folder, `name` of `type` (eas-protocol 5.2)? "Inbox"
 *  fits by type, since it has other names too. */
bool dp_load_device_wants(const char *wish, dp_span name, unsigned type);

/** Take the answer to `next` in. @param folder the one to wait for */
dp_load_news dp_load_device_take(dp_load_device *d, const char *folder,
                                 const dp_load_answer *answer);

/** The same for long-polling. */
dp_load_news dp_load_device_take_message(dp_load_device *d,
                                         const dp_load_answer *answer);

#endif
