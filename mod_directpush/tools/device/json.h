/* json: writes one JSON object to a stream, members in the order of calls.
 *
 * Output only. Text is taken for UTF-8 and may be hostile: what is not valid
 * becomes U+FFFD, so that every line can be parsed. A writer without a stream
 * does nothing, which lets callers state an event once for both forms of
 * output. One writer, one thread.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/dp_span.h"

typedef struct dp_json {
    FILE *out; /* NULL: do nothing */
    bool needs_comma;
} dp_json;

/* `key` NULL: within an array. Keys are ours and plain. */
void dp_json_open(dp_json *j, const char *key, char bracket); /* { or [ */
void dp_json_close(dp_json *j, char bracket);                 /* } or ] */
void dp_json_text(dp_json *j, const char *key, dp_span text);
void dp_json_str(dp_json *j, const char *key, const char *text);
void dp_json_int(dp_json *j, const char *key, int64_t value);
void dp_json_bool(dp_json *j, const char *key, bool value);
/** Seconds with three digits behind the point. */
void dp_json_seconds(dp_json *j, const char *key, int64_t value_us);

/** Length of the valid UTF-8 sequence at the start of `s`; 0 when it is none
 *  (overlong, surrogate, cut off). `s` is not empty. */
size_t dp_utf8_length(dp_span s);

#endif
