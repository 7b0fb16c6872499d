/* dp_map: an intrusive hash table of nodes with 128-bit keys.
 *
 * Keys come from dp_hash_spans() under a secret key, so that nobody outside
 * can choose colliding ones; any word of them will do as the place. Several
 * nodes may have one key. The table owns its buckets only. Not thread-safe.
 */
#ifndef DP_MAP_H
#define DP_MAP_H

#include <stddef.h>

#include "base/dp_hash.h"

typedef struct dp_map_node {
    struct dp_map_node *next;
    dp_hash key;
} dp_map_node;

typedef struct dp_map {
    dp_map_node **bucket; /* NULL until the first put */
    size_t cap;           /* power of two, or 0 */
    size_t n;             /* nodes in it */
} dp_map;

/** Put a node under `key`; in front of others with the same key. */
void dp_map_put(dp_map *m, dp_map_node *node, dp_hash key);

/** The first node with that key, or NULL. */
dp_map_node *dp_map_get(const dp_map *m, dp_hash key);

/** The next node with the same key as `node`, or NULL. */
dp_map_node *dp_map_same(const dp_map_node *node);

/** Take a node out. It must be in. */
void dp_map_del(dp_map *m, dp_map_node *node);

/** Call `each` for every node; it may take out the node that it is given. */
void dp_map_each(dp_map *m, void (*each)(void *ctx, dp_map_node *node),
                 void *ctx);

/** Give the buckets back; nodes that are left are no longer in any map. */
void dp_map_free(dp_map *m);

#endif
