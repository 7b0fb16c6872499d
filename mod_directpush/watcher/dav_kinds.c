#include "watcher/dav_kinds.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "base/dp_hash.h"
#include "watcher/dav_home.h"

/* HTTP's 507 */
#define INSUFFICIENT_STORAGE 507

static dp_dav_item *find(dp_dav_item *items, unsigned n, uint64_t name)
{
    for (unsigned i = 0; i < n; i++) {
        if (items[i].name == name) {
            return &items[i];
        }
    }
    return NULL;
}

static uint64_t name_of(const dp_dav_news *news, const dp_dav_response *r)
{
    dp_span href = dp_span_str(r->href);
    return dp_hash_spans(news->hash_key, &href, 1).w[0];
}

static bool is_gone(const dp_dav_response *r)
{
    return r->status == 404 || r->status == 410;
}

bool dp_dav_news_take(void *ctx, const dp_dav_response *r)
{
    dp_dav_news *news = ctx;
    if (r->status == INSUFFICIENT_STORAGE) { /* of the collection: no item */
        news->is_cut = true;
        return true;
    }
    uint64_t before = news->sum;
    news->sum = dp_dav_detail_add(news->sum, news->hash_key, r);
    dp_dav_item item = {.name = name_of(news, r),
                        .version = news->sum - before,
                        .base = news->base};
    const dp_dav_item *known =
        find(news->known->items, news->known->n, item.name);
    bool is_same = known && known->version == item.version;
    if (is_same && known->base == news->base) {
        return true; /* judged already */
    }
    item.kinds = known ? known->kinds : 0;
    news->kinds |= item.kinds;
    if (news->n == DP_DAV_ASKED_MAX) {
        news->in_doubt = true;
        return true;
    }
    if (is_gone(r)) {
        news->in_doubt |= !item.kinds;
    }
    else if (!is_same || !item.kinds) {
        item.kinds = 0; /* it may have become another */
        news->asked[news->n] = strdup(r->href);
        DP_ASSERT(news->asked[news->n]);
        news->asked_n++;
    }
    news->items[news->n++] = item;
    return true;
}

bool dp_dav_news_answer(void *ctx, const dp_dav_response *r)
{
    dp_dav_news *news = ctx;
    dp_dav_item *item = find(news->items, news->n, name_of(news, r));
    if (item && news->asked[item - news->items] && r->kinds) {
        item->kinds = (uint16_t)r->kinds;
        news->kinds |= r->kinds;
    }
    return true;
}

unsigned dp_dav_news_judge(const dp_dav_news *news, unsigned all)
{
    bool in_doubt = news->in_doubt;
    for (unsigned i = 0; i < news->n; i++) {
        in_doubt |= !news->items[i].kinds;
    }
    return in_doubt || !(news->kinds & all) ? all : news->kinds & all;
}

static dp_dav_item *room(dp_dav_kinds *k)
{
    if (k->n >= k->cap && k->cap < DP_DAV_KNOWN_MAX) {
        k->cap = k->cap ? k->cap * 2 : 8;
        k->items = realloc(k->items, k->cap * sizeof(*k->items));
        DP_ASSERT(k->items);
    }
    if (k->n < k->cap) {
        return &k->items[k->n++];
    }
    dp_dav_item *oldest = &k->items[k->next];
    k->next = (k->next + 1) % k->cap;
    return oldest;
}

void dp_dav_news_keep(const dp_dav_news *news, dp_dav_kinds *known)
{
    for (unsigned i = 0; i < news->n; i++) {
        dp_dav_item *at = find(known->items, known->n, news->items[i].name);
        if (!at && !news->items[i].kinds) {
            continue; /* it would be of no use */
        }
        *(at ? at : room(known)) = news->items[i];
    }
}

void dp_dav_news_clear(dp_dav_news *news)
{
    for (unsigned i = 0; i < news->n; i++) {
        free(news->asked[i]);
        news->asked[i] = NULL;
    }
    news->n = news->asked_n = 0;
}

void dp_dav_kinds_clear(dp_dav_kinds *k)
{
    free(k->items);
    *k = (dp_dav_kinds){0};
}
