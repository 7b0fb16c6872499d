#include "base/dp_map.h"

#include <stdlib.h>

#include "base/dp_check.h"

#define CAP_FIRST 64

static dp_map_node **place(const dp_map *m, dp_hash key)
{
    return &m->bucket[key.w[0] & (m->cap - 1)];
}

static void grow(dp_map *m)
{
    size_t cap = m->cap ? m->cap * 2 : CAP_FIRST;
    dp_map bigger = {.bucket = calloc(cap, sizeof(*bigger.bucket)), .cap = cap};
    DP_ASSERT(bigger.bucket);
    for (size_t i = 0; i < m->cap; i++) {
        for (dp_map_node *n = m->bucket[i], *next; n; n = next) {
            next = n->next;
            dp_map_node **to = place(&bigger, n->key);
            n->next = *to;
            *to = n;
        }
    }
    free(m->bucket);
    m->bucket = bigger.bucket;
    m->cap = cap;
}

void dp_map_put(dp_map *m, dp_map_node *node, dp_hash key)
{
    if (m->n >= m->cap) {
        grow(m);
    }
    node->key = key;
    dp_map_node **to = place(m, key);
    node->next = *to;
    *to = node;
    m->n++;
}

dp_map_node *dp_map_get(const dp_map *m, dp_hash key)
{
    if (!m->cap) {
        return NULL;
    }
    dp_map_node *n = *place(m, key);
    while (n && !dp_hash_is(n->key, key)) {
        n = n->next;
    }
    return n;
}

dp_map_node *dp_map_same(const dp_map_node *node)
{
    dp_map_node *n = node->next;
    while (n && !dp_hash_is(n->key, node->key)) {
        n = n->next;
    }
    return n;
}

void dp_map_del(dp_map *m, dp_map_node *node)
{
    dp_map_node **at = place(m, node->key);
    while (*at != node) {
        DP_ASSERT(*at);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    m->n--;
}

void dp_map_each(dp_map *m, void (*each)(void *ctx, dp_map_node *node),
                 void *ctx)
{
    for (size_t i = 0; i < m->cap; i++) {
        for (dp_map_node *n = m->bucket[i], *next; n; n = next) {
            next = n->next;
            each(ctx, n);
        }
    }
}

void dp_map_free(dp_map *m)
{
    free(m->bucket);
    *m = (dp_map){0};
}
