/* bus_link: the lines of the control socket (design.md section 4).
 *
 * A line is fields separated by TAB, ended by LF; in a field `%`, TAB, CR, LF,
 * NUL and other control bytes stand as %XX. Requests and answers pair up in
 * order; a connection on which `wake` or `follow` was said carries no further
 * requests. Answers:
 *
 *   hello module 1           ->  ok INSTANCE            (decimal)
 *   hello module 1 ABI       ->  the same; ABI is informative
 *   wake                     ->  ok, then one byte `w` per batch of changes
 *   watch USER CLASS FOLDER  ->  ok SLOT GEN | no REASON
 *   publish USER CLASS FOLDER [new|other]  ->  ok SEQ PREV | no REASON
 *   ping DEVICEHASH ARRIVAL  ->  (no answer)   hash: 32 hex; arrival: decimal
 *   forget USER [DEVICE]     ->  ok SEQ
 *   verify USER CLASS FOLDER ->  ok TEXT | no REASON     how it is watched
 *   status                   ->  lines `name TAB value`, then `.`
 *   follow                   ->  lines SEQ TAB USER TAB CLASS TAB FOLDER TAB
 *                                kind, as changes come
 *   anything else            ->  no REASON
 *
 * `publish` of a topic that nobody has asked to watch answers `ok SEQ 0` and
 * keeps nothing but the seq: whoever asks later starts from a fresh
 * watched_from. This file only makes and parses lines; sockets are the
 * business of the two ends. Pure; any thread.
 */
#ifndef BUS_LINK_H
#define BUS_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"

#define DP_LINK_VERSION    1
#define DP_LINK_FIELDS_MAX 6
#define DP_LINK_LINE_MAX   8192 /* bytes, LF included; longer ends a peer */

/* How long a watch lasts without renewal. Longer than a night and a day off,
 * so that a phone that was away does not pay for it; a forgotten account's
 * inotify watches go after two days. Children renew after a quarter. */
#define DP_LINK_WATCH_EXPIRY_S (48 * 3600)
#define DP_LINK_WATCH_RENEW_S  (DP_LINK_WATCH_EXPIRY_S / 4)

/* The writer signs the header this often; readers believe it for the other. */
#define DP_LINK_ALIVE_EVERY_US ((int64_t)2 * 1000000)
#define DP_LINK_SILENCE_US     ((int64_t)10 * 1000000)

/* A parsed line; spans point into the caller's buffer, already unescaped. */
typedef struct dp_link_line {
    dp_span field[DP_LINK_FIELDS_MAX];
    size_t fields_n; /* 0: unusable (too many fields, bad escape) */
} dp_link_line;

/** Split and unescape one line in place (without its LF). */
void dp_link_parse(unsigned char *line, size_t n, dp_link_line *out);

/**
 * Write a line of `n` fields, escaped, with LF, into `buf`.
 * @return bytes written, or 0 when `cap` does not suffice
 */
size_t dp_link_format(char *buf, size_t cap, const dp_span *fields, size_t n);

/** A field as decimal. @return false when it is no number or too large. */
bool dp_link_u64(dp_span field, uint64_t *out);

#endif
