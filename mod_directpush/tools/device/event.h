/* event: one line of the time line, in the making, for both forms at once.
 *
 * Members of e.json appear with --json, what is said appears without. For
 * timeline*.c only.
 */
#ifndef EVENT_H
#define EVENT_H

#include "tools/device/json.h"
#include "tools/device/timeline.h"

typedef struct dp_event {
    dp_timeline *timeline;
    dp_json json;
} dp_event;

/** @param name  for programs
 *  @param label for people, at most 12 characters */
void dp_event_begin(dp_event *e, dp_timeline *t, const char *name,
                    const char *label);
void dp_event_end(dp_event *e);

void dp_event_say(dp_event *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Hostile text, made fit for a terminal. */
void dp_event_say_text(dp_event *e, dp_span text);
/** `before`, then `30.847 s` */
void dp_event_say_seconds(dp_event *e, const char *before, dp_time_us span);

/** Write `text`, with a question mark for what is not printable. */
void dp_event_print(FILE *out, dp_span text);

#endif
