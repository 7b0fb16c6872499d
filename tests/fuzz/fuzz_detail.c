/* fuzz_detail: the second kind of a DAV server's answers: what has changed in a
 * collection, and of what kind the changed items are. NUL bytes part the list,
 * then for each look the detail and the answer about its items, and after every
 * second look another list. */
#include "fuzz_same.h"
#include "base/dp_hash.h"
#include "watcher/dav_home.h"

static const uint8_t key[DP_HASH_KEY_SIZE];

static dp_span part(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *from = *at;
    const uint8_t *stop =
        from < end ? memchr(from, 0, (size_t)(end - from)) : NULL;
    stop = stop ? stop : end;
    *at = stop < end ? stop + 1 : end;
    return dp_span_of(from, (size_t)(stop - from));
}

/* @return false: the answer is no multistatus */
static bool take(dp_span answer, dp_dav_each *each, void *ctx, char *token)
{
    return !dp_dav_read((const char *)answer.p, answer.n, each, ctx, token);
}

static void look_into(dp_dav_home *h, dp_dav_coll *c, dp_span detail,
                      dp_span answer)
{
    char token[DP_DAV_TEXT_MAX];
    dp_dav_news news = {.hash_key = key, .known = &c->known,
                        .base = c->base_n, .sum = DP_DAV_NO_DETAIL};
    if (!take(detail, dp_dav_news_take, &news, token) || news.is_cut) {
        dp_dav_home_no_detail(h, c);
        dp_dav_news_clear(&news);
        return;
    }
    DP_ASSERT(news.n <= DP_DAV_ASKED_MAX && news.asked_n <= news.n);
    take(answer, dp_dav_news_answer, &news, NULL);
    unsigned kinds = dp_dav_news_judge(&news, c->kinds);
    DP_ASSERT(kinds && !(kinds & ~c->kinds));
    dp_dav_news_keep(&news, &c->known);
    DP_ASSERT(c->known.n <= DP_DAV_KNOWN_MAX);
    dp_dav_home_detail(h, c, news.sum, token, kinds);
    dp_dav_news_clear(&news);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    dp_dav_home h = {.kinds = DP_DAV_EVENTS | DP_DAV_TASKS | DP_DAV_CONTACTS};
    dp_span list = part(&at, end);
    long long date_s = 1795485600;
    for (int look = 0; look < 8 && at < end; look++) {
        dp_span detail = part(&at, end), answer = part(&at, end);
        dp_dav_home_begin(&h);
        if (!take(list, dp_dav_home_take, &h, NULL)
            || !dp_dav_home_listed(&h, date_s += 3, 0)) {
            continue;
        }
        for (dp_dav_coll *c; (c = dp_dav_home_next_detail(&h));) {
            look_into(&h, c, detail, answer);
            DP_ASSERT(!c->wants_detail);
        }
        dp_dav_home_end(&h);
        for (dp_dav_coll *c = h.first; c; c = c->next) {
            DP_ASSERT(c->kinds && !(c->changed & ~c->kinds));
            c->changed = 0;
            /* as if another change had come */
            c->has_moved = true;
        }
        list = at < end && look % 2 ? part(&at, end) : list;
    }
    dp_dav_home_clear(&h);
    return 0;
}
