/* dp_check: assertions about ourselves, magic words, static size checks.
 *
 * Trouble from outside is a value; trouble from ourselves ends here, with the
 * name of what was broken on standard error (httpd's error log in a child).
 */
#ifndef DP_CHECK_H
#define DP_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define DP_STATIC(cond, what) _Static_assert(cond, what)

#define DP_ASSERT(cond)                                                        \
    ((cond) ? (void)0                                                          \
            : (fprintf(stderr, "directpush: %s:%d: broken: %s\n", __FILE__,    \
                       __LINE__, #cond),                                       \
               abort()))

/* Long-lived objects start with a magic word, looked at whenever a `void *`
 * comes back from a callback. */
#define DP_MAGIC_CHECK(obj, word) DP_ASSERT((obj) && (obj)->magic == (word))

#endif
