/* recent: which child a device's last Ping came to, and when; shared by all
 * children of a server.
 *
 * A newer Ping ends an older one of its device, wherever that is held. Most
 * come over the same connection as the one before, so to the same child: then
 * there is nobody to be told. And most ask for the same as the one before: then
 * there is nothing to be stored.
 *
 * One place for each device, by a hash; two devices that share one cost a word
 * too many to the other children, never one too few.
 */
#ifndef RECENT_H
#define RECENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "device/ping_params.h"

#define DP_RECENT_PLACES ((size_t)1 << 18)

typedef struct dp_recent_place {
    _Atomic uint64_t last;   /* hash of a device, and the child it was at */
    _Atomic uint64_t newest; /* arrival of the newest Ping of those here */
} dp_recent_place;

typedef struct dp_recent {
    uint8_t key[DP_HASH_KEY_SIZE];
    _Atomic uint32_t children_n; /* names given so far */
    _Atomic uint64_t losses_n;   /* dp_recent_lose() */
    _Atomic uint16_t storing[DP_RECENT_PLACES]; /* Pings that are about it */
    dp_recent_place place[DP_RECENT_PLACES];
} dp_recent;

/** In shared memory that is all zero, before the first fork. */
void dp_recent_init(dp_recent *r, const uint8_t *key);

/** A name for a child, which no other had before. */
uint32_t dp_recent_child(dp_recent *r);

/**
 * A Ping is this child's, and its hold is linked.
 * @return true: the one before was, too, and all others know that
 */
bool dp_recent_claim(dp_recent *r, const dp_who *who, uint32_t child);

/** What was told has perhaps not been heard by all: each device's next Ping is
 *  told again. */
void dp_recent_lose(dp_recent *r);

/**
 * A Ping arrived; before what is stored of its device is read.
 * @return what it finds there stays: if it asks for the same, it need not store
 *         that again. Else an older one is just storing what it asked for.
 */
bool dp_recent_note(dp_recent *r, const dp_who *who, uint64_t arrival);

/**
 * Has a newer Ping been noted meanwhile? After this one is linked and claimed:
 * either the newer one is seen here, or its word finds the hold. (Or it is of a
 * device that shares the place: then this phone asks once more.)
 * @return true: this one ends; the claim is void, the next is told
 */
bool dp_recent_give_way(dp_recent *r, const dp_who *who, uint64_t arrival);

/**
 * A Ping is about to store what it asked for, until dp_recent_store_end().
 * @return false: a newer one has arrived (or one of a device that shares the
 *         place), and has perhaps found its own there and stored nothing. Then
 *         nobody can tell any more what the device may leave out.
 */
bool dp_recent_store_begin(dp_recent *r, const dp_who *who, uint64_t arrival);
void dp_recent_store_end(dp_recent *r, const dp_who *who);

/** Store what a Ping asked for, or forget what is there if that is not known
 *  any more: a Ping that leaves something out is asked for it then. */
apr_status_t dp_recent_store(dp_recent *r, dp_store *s, const dp_who *who,
                             const dp_ping_params *params);

#endif
