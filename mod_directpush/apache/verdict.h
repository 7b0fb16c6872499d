/* verdict: what a verdict says to the device, and what is remembered of it. */
#ifndef VERDICT_H
#define VERDICT_H

#include "device/device_store.h"
#include "hold/hold.h"

/* The body of a response; usually it fits. */
typedef struct dp_verdict_body {
    unsigned char small[512];
    unsigned char *bytes; /* small, or malloc'ed */
    size_t n;
} dp_verdict_body;

/** Write the WBXML of an answered hold (status not 0), and count it. */
void dp_verdict_write(dp_verdict_body *b, const dp_hold *hold,
                      const dp_verdict *v);
void dp_verdict_body_free(dp_verdict_body *b);

/** What the log says of it; static. */
const char *dp_verdict_outcome(const dp_verdict *v);

/** Does the store have to know of it? */
bool dp_verdict_is_announced(const dp_verdict *v);

/** Remember what was announced. May wait for another writer: workers and the
 *  clerk only. @param t  to write in, or NULL for one of its own
 *  @return what the store said; in `t` nothing more can be written then */
apr_status_t dp_verdict_announced(dp_store_txn *t, const dp_hold *hold,
                          const dp_verdict *v);

/** Count an answer. */
void dp_count_status(unsigned status);

#endif
