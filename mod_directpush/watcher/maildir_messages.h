/* maildir_messages: what we know of the messages in one folder.
 *
 * Told of names that come and go in new/ and cur/, it says what that means:
 *
 *    comes to new/                                   new
 *    new/ to cur/, same base name                    nothing: it was selected
 *    within cur/, same base name                     other: flags
 *    comes to cur/ from elsewhere (COPY, APPEND)     new
 *    goes                                            other
 *
 * Why there is no set of all names: the kernel tells a rename as "moved from"
 * directly followed by "moved to", so a move is known by the base name that
 * left a moment ago. Kept are the names in new/, which are few (8 bytes each),
 * those that left and may still arrive, and sums for the cursor. A set of all
 * names would cost 8 to 20 bytes per message, 200 MB for 1000 users with
 * 10,000 mails, and only tell more precisely what changed while nobody
 * looked: there "new" is assumed, at the price of one Sync. While the folder
 * is scanned, and only then, all names are kept, so that what is both found
 * and told counts once.
 *
 * Pure; the daemon's one thread.
 */
#ifndef MAILDIR_MESSAGES_H
#define MAILDIR_MESSAGES_H

#include "base/dp_span.h"
#include "watcher/cursor.h"
#include "watcher/name_set.h"

typedef enum dp_where { DP_IN_NEW, DP_IN_CUR } dp_where;

typedef enum dp_verdict {
    DP_VERDICT_NOTHING,
    DP_VERDICT_OTHER,
    DP_VERDICT_BACK, /* other, as was said already when it left */
    DP_VERDICT_NEW
} dp_verdict;

/* A base name that left by a rename whose other end was not told yet. */
typedef struct dp_leaver {
    uint64_t base;
    dp_where from;
} dp_leaver;

typedef struct dp_messages {
    const uint8_t *key; /* 16 bytes; the bus's */
    uint64_t names, flags, count;
    dp_name_set in_new;
    dp_name_set seen; /* of entries, while scanning */
    bool is_scanning;
    dp_leaver *leavers;
    size_t leavers_n, leavers_cap;
} dp_messages;

/** Forget all and begin to count entries once each. */
void dp_messages_begin(dp_messages *m);

/** The scan found this entry. Dot files are passed over. */
void dp_messages_found(dp_messages *m, dp_where where, dp_span name);

/** All that happened during the scan has been told. */
void dp_messages_settled(dp_messages *m);

/** An entry came (created, linked or moved here). */
dp_verdict dp_messages_came(dp_messages *m, dp_where where, dp_span name);

/** An entry went; `by_move`: it may arrive somewhere in a moment. */
dp_verdict dp_messages_went(dp_messages *m, dp_where where, dp_span name,
                            bool by_move);

/** Those that left have arrived elsewhere: no more waiting for them.
 *  @param out_n  of how many nothing was said when they left */
dp_verdict dp_messages_give_up_leavers(dp_messages *m, uint32_t *out_n);

/** Put names, flags and count into a cursor. */
void dp_messages_fill(const dp_messages *m, dp_cursor *cursor);

void dp_messages_clear(dp_messages *m);

#endif
