/* eas_ping: Ping requests to a struct, a struct to Ping responses, and back.
 *
 * [MS-ASCMD] 2.2.1.13; eas-protocol 3. Pure.
 */
#ifndef EAS_PING_H
#define EAS_PING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"
#include "wire/wbxml_read.h"

/* Statuses of a Ping response (eas-protocol 3.2). */
enum dp_ping_status {
    DP_PING_NOTHING = 1,
    DP_PING_CHANGES = 2,
    DP_PING_MISSING = 3,
    DP_PING_SYNTAX = 4,
    DP_PING_HEARTBEAT = 5,
    DP_PING_FOLDERS = 6,
    DP_PING_HIERARCHY = 7,
    DP_PING_ERROR = 8
};

#define DP_COLLECTION_ID_MAX 256 /* bytes; the specification says 64 */

typedef struct dp_ping_folder {
    dp_span id;         /* opaque, never empty */
    dp_span class_name; /* as sent; may be empty */
} dp_ping_folder;

typedef struct dp_ping_request {
    bool has_heartbeat;
    bool heartbeat_is_number; /* digits only; UINT32_MAX when they overflow */
    uint32_t heartbeat_s;
    bool has_folders;        /* a Folders element with at least one Folder */
    dp_ping_folder *folders; /* the caller's array */
    size_t folders_n;        /* all that were named, also beyond the array */
} dp_ping_request;

typedef enum dp_ping_parse_result {
    DP_PING_PARSED,
    DP_PING_NOT_OURS, /* does not decode, or its root is not Ping */
    DP_PING_MALFORMED /* a Ping that breaks the rules: Status 4 */
} dp_ping_parse_result;

/**
 * Parse a whole Ping body. An empty body parses: nothing is set.
 * @param body    not kept, but folders point into it and into `arena`
 * @param arena   room for ids that come in pieces; as long as the body is
 * @param folders array of `cap` entries; more are counted only
 * MALFORMED: a Folder without Id or with two, an id longer than
 * DP_COLLECTION_ID_MAX; *out holds what else was said.
 * Elements that we don't know are skipped.
 */
dp_ping_parse_result dp_ping_parse(dp_span body, unsigned char *arena,
                                   dp_ping_folder *folders, size_t cap,
                                   dp_ping_request *out);

/**
 * Write a response.
 * @param ids   the changed collections (Status 2), echoed byte for byte
 * @param value HeartbeatInterval (Status 5) or MaxFolders (Status 6)
 * @return bytes, or 0 when `cap` does not suffice
 */
size_t dp_ping_response_write(unsigned char *buf, size_t cap, unsigned status,
                              const dp_span *ids, size_t ids_n, uint32_t value);

/** Write a request (for devices); heartbeat_s 0 leaves it out, likewise
 *  folders_n 0. @return bytes, or 0 when `cap` does not suffice */
size_t dp_ping_request_write(unsigned char *buf, size_t cap,
                             uint32_t heartbeat_s,
                             const dp_ping_folder *folders, size_t folders_n);

/* A response being read as it streams past. */
typedef struct dp_ping_response {
    unsigned status; /* 0: none seen */
    uint32_t value;  /* of HeartbeatInterval or MaxFolders */
    bool is_whole;   /* the root was closed */
    bool is_bad;
    size_t folders_n; /* also those with an id too long to be reported */
    /* the parser's own */
    dp_wbxml_reader reader;
    char text[DP_COLLECTION_ID_MAX + 1];
    size_t text_n;
    bool text_is_long;
    void (*on_folder)(void *ctx, dp_span id); /* may be NULL */
    void *ctx;
} dp_ping_response;

void dp_ping_response_init(dp_ping_response *p,
                           void (*on_folder)(void *ctx, dp_span id), void *ctx);
/** @return false once it is bad; further calls do nothing then */
bool dp_ping_response_feed(dp_ping_response *p, dp_span chunk);

#endif
