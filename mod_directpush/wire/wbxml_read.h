/* wbxml_read: a pull reader of ActiveSync's WBXML over chunks of any size.
 *
 * Bounded depth and bytes, no allocation, no recursion; it needs not know the
 * names of the tokens that it passes. Reads what [MS-ASWBXML] 2.1 allows:
 * header 03 01 6A 00, SWITCH_PAGE, tags, END, STR_I, OPAQUE. Anything else is
 * DP_WBXML_BAD with the offset of the byte. Pure; one reader, one thread.
 */
#ifndef WBXML_READ_H
#define WBXML_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"

/* Real documents stay below 15 levels (eas-protocol 2.1). */
#define DP_WBXML_DEPTH_MAX 32

/* A tag with its page: (page << 8) | token, token without the 0x40 bit. */
typedef uint16_t dp_wbxml_tag;
#define DP_WBXML_TAG(page, token) ((dp_wbxml_tag)((page) << 8 | (token)))

typedef enum dp_wbxml_event {
    DP_WBXML_MORE,  /* the chunk is used up: feed the next, or it is cut off */
    DP_WBXML_OPEN,  /* tag opened; `depth` counts it */
    DP_WBXML_TEXT,  /* a piece of text or opaque: `text`; may come in pieces */
    DP_WBXML_CLOSE, /* tag closed; `tag` is the one closed; `depth` counts it.
                       An element without content gives OPEN, then CLOSE. */
    DP_WBXML_END,   /* the root was closed; what follows is not read */
    DP_WBXML_BAD    /* not ours; `offset` says where */
} dp_wbxml_event;

typedef struct dp_wbxml_reader {
    /* what the last event was about */
    dp_wbxml_tag tag;
    dp_span text;    /* borrowed from the chunk fed last */
    unsigned depth;  /* 1 = root */
    uint64_t offset; /* bytes read so far */
    /* the reader's own */
    dp_span chunk;
    uint64_t bytes_max;
    uint32_t left;   /* of an OPAQUE */
    uint32_t length; /* mb_u_int32 being read */
    uint8_t state, page, header_n, length_n, close_pending;
    dp_wbxml_tag stack[DP_WBXML_DEPTH_MAX];
} dp_wbxml_reader;

/** Begin a document. @param bytes_max longer ones are BAD; UINT64_MAX: any */
void dp_wbxml_read_init(dp_wbxml_reader *r, uint64_t bytes_max);

/** Give the next bytes; only when the last event was MORE (or at first).
 *  They must stay until the next MORE. */
void dp_wbxml_read_feed(dp_wbxml_reader *r, dp_span chunk);

dp_wbxml_event dp_wbxml_read_next(dp_wbxml_reader *r);

#endif
