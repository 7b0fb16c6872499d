/* mail_items: the items that a Sync response adds, changes and deletes, with
 * what a person recognises them by.
 *
 * Keys, statuses and MoreAvailable are the business of wire/eas_sync. Streaming
 * and bounded like it. Pure; one parser, one thread.
 */
#ifndef MAIL_ITEMS_H
#define MAIL_ITEMS_H

#include "wire/eas_sync.h"
#include "wire/wbxml_read.h"

#define DP_ITEM_ID_MAX   256 /* bytes; longer ones are cut */
#define DP_ITEM_TEXT_MAX 512

typedef enum dp_item_op {
    DP_ITEM_ADD,
    DP_ITEM_CHANGE,
    DP_ITEM_DELETE /* SoftDelete too: it has left the phone's window */
} dp_item_op;

/* Text is UTF-8 as sent, hostile, cut between two characters. */
typedef struct dp_item {
    dp_item_op op;
    char id[DP_ITEM_ID_MAX]; /* ServerId */
    size_t id_n;
    char title[DP_ITEM_TEXT_MAX]; /* Subject, of a contact FileAs */
    size_t title_n;
    char from[DP_ITEM_TEXT_MAX]; /* mail: the From header */
    size_t from_n;
} dp_item;

typedef struct dp_mail_items {
    bool is_whole;
    bool is_bad;
    /* the parser's own */
    void (*on_item)(void *ctx, const dp_item *item);
    void *ctx;
    dp_wbxml_reader reader;
    dp_item now;
    bool in_commands; /* of the server; Responses are not looked at */
    char *text;       /* where text goes, within `now`; NULL nowhere */
    size_t *text_n;
    size_t text_max;
} dp_mail_items;

void dp_mail_items_init(dp_mail_items *p,
                        void (*on_item)(void *ctx, const dp_item *item),
                        void *ctx);

/** @return false once it is bad; further calls do nothing then */
bool dp_mail_items_feed(dp_mail_items *p, dp_span chunk);

#endif
