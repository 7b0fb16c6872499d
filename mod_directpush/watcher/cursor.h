/* cursor: what a topic looked like, to be compared after a restart.
 *
 * Sums of keyed hashes, so that the order of names does not matter and a name
 * is added and taken away in one step. Names alone can't tell a change that
 * was undone while nobody looked (a mail came, a phone fetched it, the mail
 * was deleted): `trip` is a hash of the directories' change times, sampled
 * *before* the names were last brought up to date. Equal names and an equal
 * trip prove that nothing happened; a trip alone proves nothing, it only
 * forbids to say "same". The folder list has none: its root changes all the
 * time (index files), and a phone with a folder that is no more learns that
 * from its next Sync of it.
 *
 * Topics of the dav source keep there which collections the home had: for the
 * folder list, which is another source's topic.
 *
 * Under another hash key (a new bus) sums can't be compared; then the topic is
 * vouched for afresh anyway.
 */
#ifndef CURSOR_H
#define CURSOR_H

#include <stdint.h>

typedef struct dp_cursor {
    uint64_t names;    /* sum over base names of messages, or folders */
    uint64_t flags;    /* sum over (base name, flags) that has flags */
    uint64_t count;    /* messages, or folders */
    uint64_t identity; /* which directories these are; 0: not there */
    uint64_t trip;     /* change times; 0: not sampled */
} dp_cursor;

typedef enum dp_cursor_change {
    DP_CURSOR_SAME,    /* nothing happened */
    DP_CURSOR_OTHER,   /* flags, or something that was undone */
    DP_CURSOR_NEW,     /* other messages: treated as new ones */
    DP_CURSOR_STRANGER /* other directories: nothing can be said */
} dp_cursor_change;

dp_cursor_change dp_cursor_compare(const dp_cursor *then, const dp_cursor *now);

#endif
