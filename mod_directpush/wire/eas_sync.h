/* eas_sync: what a Sync request and its response say of each collection.
 *
 * Streaming: bytes of any chunking go in, one call per Collection comes out
 * when it is closed; bounded memory whatever the size of the items. Pure.
 * eas-protocol 4; [MS-ASCMD] 2.2.1.21.
 */
#ifndef EAS_SYNC_H
#define EAS_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"
#include "wire/eas_ping.h"
#include "wire/wbxml_read.h"

#define DP_SYNC_KEY_MAX   256 /* bytes; longer: `is_odd` */
#define DP_SYNC_CLASS_MAX 32

/* One Collection, of a request or of a response. */
typedef struct dp_sync_collection {
    char id[DP_COLLECTION_ID_MAX];
    size_t id_n; /* 0: only a class was named (AirSync 1.0/2.0) */
    char class_name[DP_SYNC_CLASS_MAX];
    size_t class_name_n;
    char key[DP_SYNC_KEY_MAX]; /* SyncKey */
    size_t key_n;
    bool is_odd; /* something did not fit or was there twice; neither id nor
                    class; no key in a request or with Status 1: conclude
                    nothing from it */

    /* request */
    bool key_is_zero;
    bool wants_changes; /* GetChanges, with its default by the key (4.1) */
    bool said_get_changes; /* … it was there, whatever it said */
    bool is_partial_commands; /* reserved, false */
    unsigned client_adds, client_changes, client_deletes, client_fetches;
    bool deletes_as_moves; /* default true */
    uint32_t filter; /* FilterType plus one, of several Options together;
                        0: not said. Another number is another filter */

    /* response */
    unsigned status; /* 0: none */
    bool more_available;
    unsigned server_adds, server_changes, server_deletes;
    unsigned server_leaves; /* SoftDelete: out of the filter's days */
    unsigned responses_ok;  /* Add/Change/Delete in Responses, Status 1 or
                               none: only a failure must be told (4.7) */
    unsigned responses_bad; /* … with another Status */
    unsigned responses_fetched; /* Fetch in Responses, whatever its Status */
} dp_sync_collection;

typedef struct dp_sync_parser {
    /* of the whole document, valid when is_whole */
    bool is_whole;        /* the root, a Sync, was closed */
    bool is_bad;          /* does not decode, or the root is not Sync */
    bool is_empty;        /* not one byte was fed */
    unsigned status;      /* response: global Status, 0 none */
    bool is_partial;      /* request: Partial */
    uint32_t wait_min;    /* request: Wait, minutes; 0 none */
    uint32_t heartbeat_s; /* request: HeartbeatInterval; 0 none */
    size_t collections_n;
    /* the parser's own */
    bool is_response;
    void (*on_collection)(void *ctx, const dp_sync_collection *c);
    void *ctx;
    dp_wbxml_reader reader;
    dp_sync_collection now;
    char text[DP_SYNC_KEY_MAX];
    size_t text_n;
    bool text_is_long;
    bool saw_get_changes;
    bool get_changes;
    uint32_t seen; /* leaves of the Collection, to tell repeated ones */
    unsigned item_status;
    bool has_item_status;
} dp_sync_parser;

/** @param is_response which of the two the bytes are */
void dp_sync_init(dp_sync_parser *p, bool is_response,
                  void (*on_collection)(void *ctx, const dp_sync_collection *c),
                  void *ctx);

/** @return false once it is bad; further calls do nothing then */
bool dp_sync_feed(dp_sync_parser *p, dp_span chunk);

#endif
