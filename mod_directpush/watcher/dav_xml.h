/* dav_xml: reads a multistatus answer (RFC 4918) of a CalDAV or CardDAV server.
 *
 * Of each response it takes what the dav source needs; all else is passed
 * over. The bytes come from a server that may be anybody's: no document type
 * (so no entities), no network, bounded depth, text and number of responses.
 * Pure; any thread.
 */
#ifndef DAV_XML_H
#define DAV_XML_H

#include <stdbool.h>
#include <stddef.h>

#define DP_DAV_TEXT_MAX      2048 /* href, tag, token, etag: bytes */
#define DP_DAV_RESPONSES_MAX 20000

typedef enum dp_dav_kind {
    DP_DAV_EVENTS = 1,
    DP_DAV_TASKS = 2,
    DP_DAV_CONTACTS = 4,
} dp_dav_kind;

/* One response; texts end in NUL and are "" when not there. */
typedef struct dp_dav_response {
    char href[DP_DAV_TEXT_MAX];
    char ctag[DP_DAV_TEXT_MAX];
    char token[DP_DAV_TEXT_MAX]; /* sync-token of the collection */
    char etag[DP_DAV_TEXT_MAX];
    unsigned kinds;  /* of dp_dav_kind: what it says to hold, or what it is */
    bool is_calendar, is_addressbook;
    int status;      /* of the response itself; 0: only its parts have one */
} dp_dav_response;

/** @return false: stop, the rest is not wanted */
typedef bool dp_dav_each(void *ctx, const dp_dav_response *r);

/**
 * Read a whole answer.
 * @param out_token  of the multistatus itself (sync-collection), or ""; may be
 *                   NULL, else DP_DAV_TEXT_MAX bytes
 * @return NULL, or what is wrong with it (static)
 */
const char *dp_dav_read(const char *bytes, size_t n, dp_dav_each *each,
                        void *ctx, char *out_token);

/** The name of a collection: the last segment of its href, percent-decoded.
 *  @return false: none that a topic can have */
bool dp_dav_name_of(const char *href, char *out, size_t cap);

#endif
