#include "base/dp_hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <apr_siphash.h>

#include "base/dp_check.h"

DP_STATIC(DP_HASH_KEY_SIZE == 2 * APR_SIPHASH_KSIZE, "two SipHash keys");

/* Topic and device names fit here; what does not (a 10 KB collection id) is
 * joined on the heap. */
#define JOIN_ON_STACK 1024

dp_hash dp_hash_spans(const uint8_t *key, const dp_span *spans, size_t n)
{
    size_t need = 0;
    for (size_t i = 0; i < n; i++) {
        need += sizeof(uint64_t) + spans[i].n;
    }
    unsigned char local[JOIN_ON_STACK];
    local[0] = 0; /* nothing to join is a valid case */
    unsigned char *joined = need <= sizeof(local) ? local : malloc(need);
    DP_ASSERT(joined);
    unsigned char *at = joined;
    for (size_t i = 0; i < n; i++) {
        uint64_t len = spans[i].n;
        memcpy(at, &len, sizeof(len));
        at += sizeof(len);
        if (len) {
            memcpy(at, spans[i].p, len);
            at += len;
        }
    }
    dp_hash h = {{apr_siphash24(joined, need, key),
                  apr_siphash24(joined, need, key + APR_SIPHASH_KSIZE)}};
    if (joined != local) {
        free(joined);
    }
    if (h.w[0] == 0 && h.w[1] == 0) {
        h.w[0] = 1; /* all zero means an empty slot */
    }
    return h;
}

static uint8_t own_key[DP_HASH_KEY_SIZE];

static void make_own_key(void)
{
    /* so few bytes come at once and whole, once the kernel has any at all */
    ssize_t n = getrandom(own_key, sizeof(own_key), 0);
    DP_ASSERT(n == (ssize_t)sizeof(own_key));
}

const uint8_t *dp_hash_own_key(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_own_key);
    return own_key;
}
