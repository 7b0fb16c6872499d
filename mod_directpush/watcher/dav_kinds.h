/* dav_kinds: which items of a calendar are events and which are tasks, as far
 * as it was seen: the calendar's tag does not tell, and of an item that is gone
 * nobody can be asked.
 *
 * An item's kind is learnt when it changes. The newest changes are remembered,
 * a bounded number of them; of all else the kind is unknown, and an unknown
 * kind is both. Pure.
 */
#ifndef DAV_KINDS_H
#define DAV_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include "watcher/dav_xml.h"

/* Items remembered per calendar: 24 bytes each, and none before a change. */
#define DP_DAV_KNOWN_MAX 256
/* Changed items that are asked about at a time; more are both kinds. */
#define DP_DAV_ASKED_MAX 32

typedef struct dp_dav_item {
    uint64_t name;    /* hash of its href */
    uint64_t version; /* of its etag and status */
    uint16_t kinds;   /* of dp_dav_kind; 0: not known */
    uint32_t base;    /* listed since that base of its collection */
} dp_dav_item;

typedef struct dp_dav_kinds {
    dp_dav_item *items;
    unsigned n, cap, next; /* `next` is the oldest once it is full */
} dp_dav_kinds;

/* What one detail brings that was not judged yet. */
typedef struct dp_dav_news {
    const uint8_t *hash_key;
    const dp_dav_kinds *known;
    uint32_t base;
    uint64_t sum;   /* of the whole detail */
    unsigned kinds; /* that have changed, as far as it is known */
    bool in_doubt;  /* there are items of which it is not known */
    bool is_cut;    /* the server left some out: RFC 6578, 3.6 */
    unsigned n, asked_n;
    dp_dav_item items[DP_DAV_ASKED_MAX];
    char *asked[DP_DAV_ASKED_MAX]; /* hrefs of those that must be asked about */
} dp_dav_news;

/** Begin with {.hash_key, .known, .base}, the rest 0 but `sum`. A dp_dav_each
 *  for the detail, with the news as ctx. */
bool dp_dav_news_take(void *news, const dp_dav_response *r);

/** The same for the answer to the question about `asked`. */
bool dp_dav_news_answer(void *news, const dp_dav_response *r);

/** All is asked. @return the kinds that have changed, or `all` in doubt */
unsigned dp_dav_news_judge(const dp_dav_news *news, unsigned all);

/** It is told: remember. */
void dp_dav_news_keep(const dp_dav_news *news, dp_dav_kinds *known);

/** Forget the hrefs. */
void dp_dav_news_clear(dp_dav_news *news);

void dp_dav_kinds_clear(dp_dav_kinds *k);

#endif
