/* eas_move: MoveItems, for which folders a phone has changed. Streaming. Pure.
 *
 * eas-protocol 2.7, 4.7: request Move{SrcMsgId, SrcFldId, DstFldId}, response
 * Response{SrcMsgId, Status (3 = moved), DstMsgId}.
 */
#ifndef EAS_MOVE_H
#define EAS_MOVE_H

#include "wire/eas_sync.h"

typedef struct dp_move_parser {
    bool is_whole;
    bool is_bad;
    unsigned moved_n; /* response: with Status 3 */
    /* the parser's own */
    void (*on_move)(void *ctx, dp_span from, dp_span to);
    void *ctx;
    dp_wbxml_reader reader;
    char from[DP_COLLECTION_ID_MAX], to[DP_COLLECTION_ID_MAX];
    size_t from_n, to_n;
    char text[DP_COLLECTION_ID_MAX];
    size_t text_n;
    bool text_is_long;
} dp_move_parser;

/** @param on_move request: each Move; or NULL. An id that is missing or too
 *  long is an empty span. The spans are good during the call only. */
void dp_move_init(dp_move_parser *p,
                  void (*on_move)(void *ctx, dp_span from, dp_span to),
                  void *ctx);
/** @return false once it is bad; further calls do nothing then */
bool dp_move_feed(dp_move_parser *p, dp_span chunk);

#endif
