#include "watcher/maildir_messages.h"

#include <stdlib.h>

#include <apr_siphash.h>

#include "base/dp_check.h"
#include "watcher/maildir_name.h"

/* Nobody moves more mails out of new/ at once and lets none of them arrive;
 * beyond that the oldest is taken for gone. */
#define LEAVERS_MAX 1024

/* Hashes of different things must not meet. */
enum { SALT_BASE = 'b', SALT_FLAGS = 'f', SALT_NEW = 'n', SALT_CUR = 'c' };

static uint64_t hash_of(const dp_messages *m, unsigned char salt, dp_span name)
{
    unsigned char buf[1 + 512];
    /* NAME_MAX is 255; what is longer did not come from a directory */
    size_t n = name.n < sizeof(buf) - 1 ? name.n : sizeof(buf) - 1;
    buf[0] = salt;
    if (n) {
        memcpy(buf + 1, name.p, n);
    }
    return apr_siphash24(buf, n + 1, m->key);
}

/* One entry, taken apart. */
typedef struct entry {
    uint64_t base;
    uint64_t flags; /* of the whole name; 0: has no flags */
    uint64_t whole; /* with its place */
} entry;

static bool take_apart(const dp_messages *m, dp_where where, dp_span name,
                       entry *out)
{
    dp_span base, flags;
    if (!dp_maildir_split(name, &base, &flags)) {
        return false;
    }
    out->base = hash_of(m, SALT_BASE, base);
    out->flags = flags.n ? hash_of(m, SALT_FLAGS, name) : 0;
    out->whole = hash_of(m, where == DP_IN_NEW ? SALT_NEW : SALT_CUR, name);
    return true;
}

static void count_in(dp_messages *m, const entry *e)
{
    m->names += e->base;
    m->flags += e->flags;
    m->count++;
}

static void count_out(dp_messages *m, const entry *e)
{
    m->names -= e->base;
    m->flags -= e->flags;
    m->count--;
}

void dp_messages_begin(dp_messages *m)
{
    const uint8_t *key = m->key;
    dp_messages_clear(m);
    m->key = key;
    m->is_scanning = true;
}

void dp_messages_found(dp_messages *m, dp_where where, dp_span name)
{
    entry e;
    if (!take_apart(m, where, name, &e) || !dp_name_set_add(&m->seen, e.whole)) {
        return;
    }
    count_in(m, &e);
    if (where == DP_IN_NEW) {
        dp_name_set_add(&m->in_new, e.base);
    }
}

void dp_messages_settled(dp_messages *m)
{
    m->is_scanning = false;
    dp_name_set_clear(&m->seen);
}

static bool take_leaver(dp_messages *m, uint64_t base, dp_where *out_from)
{
    for (size_t i = m->leavers_n; i-- > 0;) {
        if (m->leavers[i].base == base) {
            *out_from = m->leavers[i].from;
            m->leavers[i] = m->leavers[--m->leavers_n];
            return true;
        }
    }
    return false;
}

static void add_leaver(dp_messages *m, uint64_t base, dp_where from)
{
    if (m->leavers_n == m->leavers_cap) {
        m->leavers_cap = m->leavers_cap ? m->leavers_cap * 2 : 4;
        m->leavers =
            realloc(m->leavers, m->leavers_cap * sizeof(*m->leavers));
        DP_ASSERT(m->leavers);
    }
    m->leavers[m->leavers_n++] = (dp_leaver){base, from};
}

static dp_verdict came_to_new(dp_messages *m, const entry *e)
{
    dp_where from;
    bool is_back = take_leaver(m, e->base, &from);
    if (!dp_name_set_add(&m->in_new, e->base)) {
        return DP_VERDICT_NOTHING;
    }
    if (!is_back) {
        return DP_VERDICT_NEW;
    }
    return from == DP_IN_CUR ? DP_VERDICT_BACK : DP_VERDICT_OTHER;
}

static dp_verdict came_to_cur(dp_messages *m, const entry *e)
{
    dp_where from;
    if (take_leaver(m, e->base, &from)) {
        if (from == DP_IN_CUR) {
            return DP_VERDICT_BACK;
        }
        return e->flags ? DP_VERDICT_OTHER : DP_VERDICT_NOTHING;
    }
    /* Linked from new/; its unlink there is still to come, and finds nothing
     * to take out. */
    if (dp_name_set_del(&m->in_new, e->base)) {
        return e->flags ? DP_VERDICT_OTHER : DP_VERDICT_NOTHING;
    }
    return DP_VERDICT_NEW;
}

dp_verdict dp_messages_came(dp_messages *m, dp_where where, dp_span name)
{
    entry e;
    if (!take_apart(m, where, name, &e)) {
        return DP_VERDICT_NOTHING;
    }
    bool is_counted = m->is_scanning && !dp_name_set_add(&m->seen, e.whole);
    if (!is_counted) {
        count_in(m, &e);
    }
    return where == DP_IN_NEW ? came_to_new(m, &e) : came_to_cur(m, &e);
}

dp_verdict dp_messages_went(dp_messages *m, dp_where where, dp_span name,
                            bool by_move)
{
    entry e;
    if (!take_apart(m, where, name, &e)) {
        return DP_VERDICT_NOTHING;
    }
    bool is_uncounted = m->is_scanning && !dp_name_set_del(&m->seen, e.whole);
    if (!is_uncounted) {
        count_out(m, &e);
    }
    bool was_new = where == DP_IN_NEW && dp_name_set_del(&m->in_new, e.base);
    if (where == DP_IN_NEW && !was_new) {
        return DP_VERDICT_NOTHING; /* it is in cur/ by a link */
    }
    if (by_move) {
        dp_where gone;
        dp_verdict v = DP_VERDICT_NOTHING;
        if (m->leavers_n == LEAVERS_MAX
            && take_leaver(m, m->leavers[0].base, &gone)) {
            v = DP_VERDICT_OTHER;
        }
        add_leaver(m, e.base, where);
        return where == DP_IN_NEW ? v : DP_VERDICT_OTHER;
    }
    return DP_VERDICT_OTHER;
}

dp_verdict dp_messages_give_up_leavers(dp_messages *m, uint32_t *out_n)
{
    *out_n = 0;
    for (size_t i = 0; i < m->leavers_n; i++) {
        /* from cur/ it was told when it left */
        *out_n += m->leavers[i].from == DP_IN_NEW;
    }
    m->leavers_n = 0;
    return *out_n ? DP_VERDICT_OTHER : DP_VERDICT_NOTHING;
}

void dp_messages_fill(const dp_messages *m, dp_cursor *cursor)
{
    cursor->names = m->names;
    cursor->flags = m->flags;
    cursor->count = m->count;
}

void dp_messages_clear(dp_messages *m)
{
    dp_name_set_clear(&m->in_new);
    dp_name_set_clear(&m->seen);
    free(m->leavers);
    *m = (dp_messages){0};
}
