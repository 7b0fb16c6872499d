/* dav_body: which classes a body of iCalendar or vCard is about.
 *
 * Looks at the beginnings of lines while the body passes by, keeps none of it,
 * and stops after DP_DAV_BODY_MAX. Pure; any thread.
 */
#ifndef DAV_BODY_H
#define DAV_BODY_H

#include "base/dp_span.h"

/* Time zones come before the component that matters: a few KiB each. */
#define DP_DAV_BODY_MAX 65536

typedef struct dp_dav_body {
    size_t n;         /* bytes looked at */
    unsigned classes; /* bits of dp_class, see dav_path.h */
    char line[16];    /* how the line begins, in upper case */
    size_t line_n;
    bool has_line;     /* one that is not empty was seen */
    bool is_text;      /* … and the first one began an object */
    bool has_freebusy; /* a question, no change */
    bool is_cut;       /* more came than was looked at */
} dp_dav_body;

/** Begin with `(dp_dav_body){0}`; feed in any pieces, then end. */
void dp_dav_body_feed(dp_dav_body *b, dp_span bytes);
void dp_dav_body_end(dp_dav_body *b);

/** The classes that it is surely about; 0: not known. */
unsigned dp_dav_body_classes(const dp_dav_body *b);

/** Surely neither calendar nor card: something else, or a question only. */
bool dp_dav_body_is_foreign(const dp_dav_body *b);

#endif
