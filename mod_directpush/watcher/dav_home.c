#include "watcher/dav_home.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "base/dp_hash.h"
#include "bus/topic_name.h"

/* Looks that wait for a young tag before the first one counts; a calendar that
 * changes all the time is told once too often then. */
#define TRIES_MAX 5
/* The same for a change: one that never rests is told all the same. */
#define WAITS_MAX 12

static void set(char **to, const char *text)
{
    char *copy = strdup(text);
    DP_ASSERT(copy);
    free(*to);
    *to = copy;
}

static void free_coll(dp_dav_coll *c)
{
    free(c->name);
    free(c->tag);
    free(c->token);
    free(c->base_tag);
    free(c->base_token);
    dp_dav_kinds_clear(&c->known);
    free(c);
}

dp_dav_coll *dp_dav_home_find(const dp_dav_home *h, const char *name)
{
    dp_dav_coll *c = h->first;
    while (c && strcmp(c->name, name) != 0) {
        c = c->next;
    }
    return c;
}

static dp_dav_coll *add(dp_dav_home *h, const char *name)
{
    dp_dav_coll *c = calloc(1, sizeof(*c));
    DP_ASSERT(c);
    set(&c->name, name);
    set(&c->tag, "");
    set(&c->token, "");
    set(&c->base_tag, "");
    set(&c->base_token, "");
    c->told = DP_DAV_NO_DETAIL;
    c->is_fresh = true;
    c->next = h->first;
    h->first = c;
    return c;
}

/* Those for which `is_seen` is not so. @return there were some */
static bool drop(dp_dav_home *h, bool only_fresh)
{
    bool has_some = false;
    for (dp_dav_coll **at = &h->first; *at;) {
        dp_dav_coll *c = *at;
        if (only_fresh ? c->is_fresh : !c->is_seen) {
            *at = c->next;
            free_coll(c);
            has_some = true;
        }
        else {
            at = &c->next;
        }
    }
    return has_some;
}

void dp_dav_home_begin(dp_dav_home *h)
{
    drop(h, true);
    h->has_list_changed = false;
    h->blind_seen = 0;
    for (dp_dav_coll *c = h->first; c; c = c->next) {
        c->is_seen = c->wants_detail = false;
    }
}

bool dp_dav_home_take(void *home, const dp_dav_response *r)
{
    dp_dav_home *h = home;
    char name[DP_TOPIC_FOLDER_MAX + 1];
    const char *tag = *r->ctag ? r->ctag : r->token;
    unsigned kinds = r->is_calendar || r->is_addressbook ? r->kinds : 0;
    if (r->is_calendar && !(kinds & (DP_DAV_EVENTS | DP_DAV_TASKS))) {
        kinds |= DP_DAV_EVENTS | DP_DAV_TASKS; /* it did not say */
    }
    kinds &= h->kinds;
    if (!kinds) {
        return true;
    }
    if (!*tag || !dp_dav_name_of(r->href, name, sizeof(name))) {
        h->blind_seen |= kinds;
        return true;
    }
    dp_dav_coll *c = dp_dav_home_find(h, name);
    if (c && c->is_seen) {
        return true; /* twice */
    }
    c = c ? c : add(h, name);
    c->is_seen = true;
    c->kinds = kinds;
    c->has_moved |= c->is_fresh || strcmp(c->tag, tag) != 0;
    set(&c->tag, tag);
    set(&c->token, r->token);
    return true;
}

/* Seconds that a tag means, or 0 when it is no time. */
static long long time_of(const char *tag, dp_time_us now_us)
{
    size_t n = strlen(tag);
    if (n < 9 || n > 11 || strspn(tag, "0123456789") != n) {
        return 0;
    }
    long long s = atoll(tag);
    long long now_s = now_us / DP_SECOND_US;
    /* somewhere near: a counter is none */
    return s > now_s - 20LL * 366 * 86400 && s < now_s + 86400 ? s : 0;
}

static bool is_settled(const dp_dav_home *h, const char *tag)
{
    long long s = time_of(tag, h->floor_us);
    return !s || h->floor_us >= (s + DP_DAV_SETTLE_S) * DP_SECOND_US;
}

/* May its second still be going on? Not for ever. */
static bool is_too_early(const dp_dav_home *h, dp_dav_coll *c, int after_s)
{
    long long s = time_of(c->tag, h->floor_us);
    bool is_early = c->has_moved && s
                    && h->floor_us < (s + after_s) * DP_SECOND_US
                    && c->waits_n < WAITS_MAX;
    c->waits_n = is_early ? c->waits_n + 1 : 0;
    c->is_open |= is_early;
    return is_early;
}

static void settle(dp_dav_coll *c)
{
    set(&c->base_tag, c->tag);
    set(&c->base_token, c->token);
    c->told = DP_DAV_NO_DETAIL;
    c->base_n++;
    c->is_open = false;
}

/* No detail: whether there was a second change can't be known. */
static void judge_blindly(dp_dav_home *h, dp_dav_coll *c)
{
    if (is_too_early(h, c, DP_DAV_SETTLE_S)) {
        return;
    }
    bool is_over = is_settled(h, c->tag);
    if (c->has_moved || (c->is_open && is_over)) {
        c->changed = c->kinds;
    }
    c->has_moved = false;
    if (is_over) {
        settle(c);
    }
    else {
        c->is_open = true;
    }
}

bool dp_dav_home_listed(dp_dav_home *h, long long date_s,
                        dp_time_us elapsed_us)
{
    bool has_some = false;
    h->floor_us = (date_s ? date_s * DP_SECOND_US : dp_clock_wall_us())
                  - elapsed_us;
    if (h->floor_us < h->known_floor_us) {
        h->floor_us = h->known_floor_us;
    }
    for (const dp_dav_coll *c = h->first; c; c = c->next) {
        has_some |= c->is_seen;
    }
    if (!has_some) {
        return false;
    }
    for (dp_dav_coll *c = h->first; c; c = c->next) {
        if (!c->is_seen || (!c->has_moved && !c->is_open)) {
            continue;
        }
        if (h->is_known && !c->is_fresh && *c->token && *c->base_token
            && time_of(c->tag, h->floor_us)) {
            c->wants_detail = !is_too_early(h, c, 1);
        }
        else if (h->is_known) {
            judge_blindly(h, c);
        }
    }
    return true;
}

dp_dav_coll *dp_dav_home_next_detail(const dp_dav_home *h)
{
    dp_dav_coll *c = h->first;
    while (c && !c->wants_detail) {
        c = c->next;
    }
    return c;
}

void dp_dav_home_detail(dp_dav_home *h, dp_dav_coll *c, uint64_t sum,
                        const char *token, unsigned kinds)
{
    c->wants_detail = false;
    if (c->has_moved && sum == DP_DAV_NO_DETAIL) {
        c->changed = c->kinds; /* no item: the collection itself changed */
    }
    else if (sum != c->told) {
        c->changed |= kinds & c->kinds;
    }
    c->told = sum;
    c->has_moved = false;
    /* the detail is younger than the list: what it has more is in the next */
    if (is_settled(h, c->tag) && strcmp(token, c->token) == 0) {
        settle(c);
    }
    else {
        c->is_open = true;
    }
}

void dp_dav_home_no_detail(dp_dav_home *h, dp_dav_coll *c)
{
    c->wants_detail = false;
    judge_blindly(h, c);
}

/* The first look: nothing is told, all that is there is the base. */
static bool begin_with(dp_dav_home *h)
{
    bool is_young = false;
    for (dp_dav_coll *c = h->first; c; c = c->next) {
        is_young |= !is_settled(h, c->tag);
    }
    if (is_young && ++h->tries < TRIES_MAX) {
        return false;
    }
    h->tries = 0;
    for (dp_dav_coll *c = h->first; c; c = c->next) {
        bool is_over = is_settled(h, c->tag);
        settle(c);
        if (!is_over) {
            c->is_open = true;
            set(&c->base_tag, "");
            set(&c->base_token, "");
        }
        c->is_fresh = c->has_moved = false;
    }
    h->is_known = true;
    return true;
}

bool dp_dav_home_end(dp_dav_home *h)
{
    h->blind = h->blind_seen;
    if (!h->is_known) {
        return begin_with(h);
    }
    h->has_list_changed = drop(h, false);
    for (dp_dav_coll *c = h->first; c; c = c->next) {
        h->has_list_changed |= c->is_fresh;
        c->is_fresh = false;
    }
    return true;
}

bool dp_dav_home_is_open(const dp_dav_home *h)
{
    const dp_dav_coll *c = h->first;
    while (c && !c->is_open) {
        c = c->next;
    }
    return c != NULL;
}

bool dp_dav_home_waits(const dp_dav_home *h, unsigned kinds, const char *name)
{
    const dp_dav_coll *c = h->first;
    while (c && !(c->has_moved && c->kinds & kinds
                  && (!name || strcmp(c->name, name) == 0))) {
        c = c->next;
    }
    return c != NULL;
}

uint64_t dp_dav_detail_add(uint64_t sum, const uint8_t *hash_key,
                           const dp_dav_response *r)
{
    uint64_t status = (uint64_t)r->status;
    dp_span spans[] = {dp_span_str(r->href), dp_span_str(r->etag),
                       dp_span_of(&status, sizeof(status))};
    sum += dp_hash_spans(hash_key, spans, 3).w[0];
    return sum == DP_DAV_NO_DETAIL ? sum + 1 : sum;
}

void dp_dav_home_clear(dp_dav_home *h)
{
    while (h->first) {
        dp_dav_coll *c = h->first;
        h->first = c->next;
        free_coll(c);
    }
    h->is_known = false;
    h->tries = 0;
    h->blind = 0;
}
