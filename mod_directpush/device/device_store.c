/* device_store: keys, and what the records share; see the headers. */
#include "device/device_store.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/dp_check.h"
#include "device/store_use.h"

/* A part up to this stands as it is: DeviceIds (128 at most), host names and
 * ordinary logins do. Three such parts leave 511 - 2 - 3 * 129 = 122 bytes for
 * an id (64 by the specification); a longer one is hashed as well. */
#define PART_MAX 128

#define HASH_MARK 0x01 /* begins a part that is a hash */
#define HASH_N    32
#define HASHED_N  (1 + 2 * HASH_N) /* in hex: a part holds no NUL */

DP_STATIC(2 + 3 * (PART_MAX + 1) + HASHED_N <= DP_STORE_KEY_MAX,
          "three parts and a hashed id fit");

void (*dp_store_complain)(const char *text);

void dp_store_say(const char *text)
{
    if (dp_store_complain) {
        dp_store_complain(text);
    }
}

static void add(dp_store_key *k, const void *p, size_t n)
{
    DP_ASSERT(k->n + n <= sizeof(k->bytes));
    if (n) {
        memcpy(k->bytes + k->n, p, n);
        k->n += n;
    }
}

static void add_hashed(dp_store_key *k, dp_span part)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned char text[HASHED_N] = {HASH_MARK};
    unsigned n = 0;

    DP_ASSERT(EVP_Digest(part.p, part.n, hash, &n, EVP_sha256(), NULL) == 1
              && n == HASH_N);
    for (unsigned i = 0; i < HASH_N; i++) {
        text[1 + 2 * i] = (unsigned char)hex[hash[i] >> 4];
        text[2 + 2 * i] = (unsigned char)hex[hash[i] & 15];
    }
    add(k, text, sizeof(text));
}

void dp_store_key_make(dp_store_key *out, char kind, const dp_span *parts,
                       size_t n)
{
    out->n = 0;
    add(out, (const char[]){kind, 0}, 2);
    for (size_t i = 0; i < n; i++) {
        dp_span part = parts[i];
        bool is_last = i + 1 == n;
        size_t room = is_last ? sizeof(out->bytes) - out->n : PART_MAX;
        if (is_last && part.n == 0) {
            return;
        }
        if (part.n > room || (part.n && part.p[0] == HASH_MARK)
            || (!is_last && part.n && memchr(part.p, 0, part.n))) {
            add_hashed(out, part);
        }
        else {
            add(out, part.p, part.n);
        }
        if (!is_last) {
            add(out, "", 1);
        }
    }
}

void dp_store_key_of_id(dp_store_key *out, char kind, const dp_who *who,
                        dp_span id)
{
    dp_span parts[] = {who->realm, who->login, who->device, id};
    dp_store_key_make(out, kind, parts, 4);
}

void dp_store_key_of(dp_store_key *out, char kind, const dp_who *who)
{
    dp_span parts[] = {who->realm, who->login, who->device};
    dp_store_key_make(out, kind, parts, 3);
}

apr_status_t dp_store_enter(dp_store_use *u, dp_store *s, dp_store_txn *t,
                            bool is_write)
{
    *u = (dp_store_use){.store = s, .txn = t, .is_own = !t};
    return t ? APR_SUCCESS : s->ops->begin(s, is_write, &u->txn);
}

apr_status_t dp_store_leave(dp_store_use *u, apr_status_t rv)
{
    if (!u->is_own || !u->txn) {
        return rv;
    }
    if (rv == APR_SUCCESS) {
        return u->store->ops->commit(&u->txn);
    }
    u->store->ops->abort(&u->txn);
    return rv;
}

static dp_span key_span(const dp_store_key *key)
{
    return dp_span_of(key->bytes, key->n);
}

apr_status_t dp_store_get(dp_store_use *u, const dp_store_key *key,
                          dp_span *out)
{
    return u->store->ops->get(u->txn, key_span(key), out);
}

apr_status_t dp_store_put(dp_store_use *u, const dp_store_key *key,
                          const void *value, size_t n)
{
    return u->store->ops->put(u->txn, key_span(key), dp_span_of(value, n));
}

apr_status_t dp_store_del(dp_store_use *u, const dp_store_key *key)
{
    apr_status_t rv = u->store->ops->del(u->txn, key_span(key));
    return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
}

bool dp_store_get_fixed(dp_store_use *u, const dp_store_key *key, void *out,
                        size_t n)
{
    dp_span value;
    if (dp_store_get(u, key, &value) != APR_SUCCESS || value.n != n) {
        return false;
    }
    memcpy(out, value.p, n);
    return true;
}

typedef struct found_key {
    dp_store_key key;
    bool is_there;
} found_key;

static bool take_first(void *ctx, dp_span key, dp_span value)
{
    found_key *found = ctx;
    if (key.n <= sizeof(found->key.bytes)) {
        memcpy(found->key.bytes, key.p, key.n);
        found->key.n = key.n;
        found->is_there = true;
    }
    return false;
}

apr_status_t dp_store_del_all(dp_store_use *u, const dp_store_key *prefix)
{
    for (;;) { /* one at a time: a scan must not see its own deletions */
        found_key found = {.is_there = false};
        apr_status_t rv = u->store->ops->scan(u->txn, key_span(prefix),
                                              take_first, &found);
        if (rv != APR_SUCCESS || !found.is_there) {
            return rv;
        }
        rv = dp_store_del(u, &found.key);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
}

typedef struct counted {
    size_t n, most;
} counted;

static bool count_one(void *ctx, dp_span key, dp_span value)
{
    counted *c = ctx;
    return ++c->n < c->most;
}

size_t dp_store_count(dp_store_use *u, const dp_store_key *prefix, size_t most)
{
    counted c = {0, most};
    u->store->ops->scan(u->txn, key_span(prefix), count_one, &c);
    return c.n;
}
