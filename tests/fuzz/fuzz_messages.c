/* fuzz_messages: names that come and go in new/ and cur/, as the kernel tells
 * them. What is counted in the end is what a scan of the folder finds then,
 * and a name that was there and is not counted twice. Byte by byte: what
 * happens to which of a few names; the rest of the input are the names. */
#include "base/dp_hash.h"
#include "fuzz_same.h"
#include "watcher/maildir_messages.h"

#define NAMES_MAX 8

static const uint8_t key[16] = "fuzz_messages";

typedef struct folder {
    dp_span name[NAMES_MAX];
    size_t names_n;
    bool is_there[2][NAMES_MAX]; /* in new/, in cur/ */
} folder;

static void take_names(folder *f, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    while (data < end && f->names_n < NAMES_MAX) {
        const uint8_t *stop = memchr(data, '\n', (size_t)(end - data));
        stop = stop ? stop : end;
        dp_span s = dp_span_of(data, (size_t)(stop - data));
        bool is_new = s.n > 0 && s.n <= 255 && !memchr(s.p, '/', s.n)
                      && !memchr(s.p, 0, s.n);
        for (size_t i = 0; i < f->names_n; i++) {
            is_new &= !dp_span_is(f->name[i], s);
        }
        if (is_new) {
            f->name[f->names_n++] = s;
        }
        data = stop < end ? stop + 1 : end;
    }
}

static void step(folder *f, dp_messages *m, uint8_t what)
{
    size_t i = (what >> 3 & 7) % f->names_n;
    dp_where where = what & 1 ? DP_IN_CUR : DP_IN_NEW;
    bool *is_there = &f->is_there[where][i];
    if (what & 0x80) { /* to another name or place by a rename */
        size_t to = (i + (what >> 1 & 3)) % f->names_n;
        bool *arrives = &f->is_there[DP_IN_CUR][to];
        if (*is_there && !*arrives) {
            *is_there = false;
            dp_messages_went(m, where, f->name[i], true);
            *arrives = true;
            dp_messages_came(m, DP_IN_CUR, f->name[to]);
        }
    }
    else if (what & 0x40) {
        uint32_t n;
        dp_messages_give_up_leavers(m, &n);
    }
    else if (*is_there) {
        *is_there = false;
        dp_messages_went(m, where, f->name[i], what & 2);
    }
    else {
        *is_there = true;
        dp_messages_came(m, where, f->name[i]);
    }
}

static void scan(const folder *f, dp_messages *m)
{
    for (int where = DP_IN_NEW; where <= DP_IN_CUR; where++) {
        for (size_t i = 0; i < f->names_n; i++) {
            if (f->is_there[where][i]) {
                dp_messages_found(m, (dp_where)where, f->name[i]);
            }
        }
    }
}

/* The first scan: names come and go while it is under way. Its halves see the
 * folder at different times; what happened is told afterwards. */
static void scan_amid(folder *f, dp_messages *m, const uint8_t *ops, size_t n)
{
    dp_messages none = {.key = key};
    dp_messages_begin(m);
    folder before = *f;
    for (size_t i = 0; i < n; i++) {
        step(f, &none, ops[i]);
    }
    scan(n & 1 ? f : &before, m);
    *f = before;
    for (size_t i = 0; i < n; i++) {
        step(f, m, ops[i]);
    }
    dp_messages_settled(m);
    dp_messages_clear(&none);
}

static void check(const folder *f, const dp_messages *m)
{
    dp_messages fresh = {.key = key};
    dp_cursor is = {0}, ought = {0};
    dp_messages_begin(&fresh);
    scan(f, &fresh);
    dp_messages_settled(&fresh);
    dp_messages_fill(m, &is);
    dp_messages_fill(&fresh, &ought);
    DP_ASSERT(is.count == ought.count);
    DP_ASSERT(is.names == ought.names);
    DP_ASSERT(is.flags == ought.flags);
    DP_ASSERT(dp_cursor_compare(&is, &ought) == DP_CURSOR_SAME
              || !is.identity);
    dp_messages_clear(&fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    folder f = {.names_n = 0};
    dp_messages m = {.key = key};
    size_t ops_n = size ? data[0] % 64 : 0;
    if (size < ops_n + 2) {
        return 0;
    }
    take_names(&f, data + 1 + ops_n, size - 1 - ops_n);
    if (!f.names_n) {
        return 0;
    }
    scan_amid(&f, &m, data + 1, ops_n / 2);
    check(&f, &m);
    for (size_t i = ops_n / 2; i < ops_n; i++) {
        step(&f, &m, data[1 + i]);
    }
    check(&f, &m);
    dp_messages_clear(&m);
    return 0;
}
