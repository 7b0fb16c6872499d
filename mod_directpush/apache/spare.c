#include "apache/spare.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_allocator.h>

#include "base/dp_check.h"

/* APR's nodes are of two pages and more. A request takes six or seven of the
 * smallest and one of the next. */
#define PAGE 4096
#define LARGEST 20 /* pages; larger ones APR does not hand out for less */

enum { SMALL, NEXT, LAST, KINDS };
static const struct {
    unsigned pages, lent, kept_max;
} kinds[KINDS] = {
    [SMALL] = {2, 7, 96},
    [NEXT] = {3, 1, 16},
    [LAST] = {LARGEST, 1, 16}, /* comes back after all others: only its first
                                  page is ever touched */
};

/* More than a connection has ever put by: httpd's own limit is far below,
 * unless MaxMemFree is 0. */
#define COLLECT_MAX 4096

struct dp_spare {
    pthread_mutex_t lock;
    apr_allocator_t *system; /* what is freed there, is gone */
    apr_memnode_t *first[KINDS];
    unsigned n[KINDS];
};

dp_spare *dp_spare_make(void)
{
    dp_spare *s = calloc(1, sizeof(*s));
    DP_ASSERT(s);
    apr_status_t rv = apr_allocator_create(&s->system);
    DP_ASSERT(rv == APR_SUCCESS);
    apr_allocator_max_free_set(s->system, 1);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void dp_spare_free(dp_spare **spare)
{
    dp_spare *s = *spare;
    *spare = NULL;
    for (int k = 0; k < KINDS; k++) {
        if (s->first[k]) { /* all of the list */
            apr_allocator_free(s->system, s->first[k]);
        }
    }
    apr_allocator_destroy(s->system);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static unsigned pages_of(const apr_memnode_t *node)
{
    return (unsigned)((node->endp - (const char *)node) / PAGE);
}

static char *content_of(apr_memnode_t *node)
{
    return (char *)node + APR_MEMNODE_T_SIZE;
}

/* Straight from the system it is all zero; a node that somebody has used is
 * not, and where it is all the same, the rest stays with the connection. */
static bool is_fresh(apr_memnode_t *node)
{
    const char *at = content_of(node);
    return !*at && !memcmp(at, at + 1, PAGE - APR_MEMNODE_T_SIZE - 1);
}

static apr_memnode_t *make(apr_allocator_t *a, unsigned pages)
{
    return apr_allocator_alloc(a, (apr_size_t)pages * PAGE
                                      - APR_MEMNODE_T_SIZE);
}

static void keep_locked(dp_spare *s, apr_memnode_t *node)
{
    for (int k = 0; k < KINDS; k++) {
        if (pages_of(node) == kinds[k].pages && s->n[k] < kinds[k].kept_max) {
            node->next = s->first[k];
            s->first[k] = node;
            s->n[k]++;
            *content_of(node) = 1; /* as if used */
            return;
        }
    }
    node->next = NULL;
    apr_allocator_free(s->system, node);
}

void dp_spare_collect(dp_spare *s, apr_pool_t *from)
{
    apr_allocator_t *a = apr_pool_allocator_get(from);
    apr_memnode_t *all = NULL;
    bool goes_on = true;
    for (int i = 0; goes_on && i < COLLECT_MAX; i++) {
        /* the smallest there is, at last a new one */
        apr_memnode_t *node = make(a, kinds[SMALL].pages);
        if (!node) {
            break;
        }
        if ((uintptr_t)node % PAGE) { /* of malloc: who knows what is new? */
            apr_allocator_free(a, node);
            break;
        }
        goes_on = pages_of(node) < LARGEST && !is_fresh(node);
        node->next = all;
        all = node;
    }
    pthread_mutex_lock(&s->lock);
    while (all) {
        apr_memnode_t *next = all->next;
        keep_locked(s, all);
        all = next;
    }
    pthread_mutex_unlock(&s->lock);
}

void dp_spare_lend(dp_spare *s, apr_pool_t *to)
{
    apr_allocator_t *a = apr_pool_allocator_get(to);
    apr_memnode_t *list = NULL;
    pthread_mutex_lock(&s->lock);
    for (int k = 0; k < KINDS; k++) {
        for (unsigned i = 0; i < kinds[k].lent && s->first[k]; i++) {
            apr_memnode_t *node = s->first[k];
            s->first[k] = node->next;
            s->n[k]--;
            node->next = list;
            list = node;
        }
    }
    bool has_last = list && pages_of(list) == LARGEST;
    if (!has_last) {
        apr_memnode_t *last = make(s->system, LARGEST);
        if (last) {
            *content_of(last) = 1;
            last->next = list;
            list = last;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (list) {
        apr_allocator_free(a, list);
    }
}
