/* source: the table of functions that everybody who watches mailboxes offers.
 *
 * A source is asked for topics (wants) and vouches for each by itself. It says
 * what it sees through emit.h, from then on until it is told to leave:
 *
 *    ask ──▶ dp_emit_vouch ──▶ dp_emit_change … ──▶ dp_emit_lost
 *             ▲    (within ask or later)                 │
 *             └──────────────────────────────────────────┘
 *
 * Everything runs on the daemon's one thread; `step` takes long work in slices.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "base/dp_span.h"
#include "bus/topic_name.h"
#include "watcher/want.h"

typedef struct dp_source dp_source;

/* A folder by its canonical name. */
typedef struct dp_resolved {
    char user[DP_TOPIC_USER_MAX + 1];
    char folder[DP_TOPIC_FOLDER_MAX + 1];
} dp_resolved;

typedef struct dp_source_ops {
    const char *name;

    /** Does it say of each change that it is one, so that what is published
     *  of the same topic by others is a change that it has counted, or will? */
    bool is_counting;

    /** Does it know anything about such topics? */
    bool (*offers)(const dp_source *s, dp_class c);

    /**
     * Begin to watch.
     * @return NULL, or why not (for a `no` line); static or in the source
     */
    const char *(*ask)(dp_source *s, dp_want *want);

    /**
     * Is there such a folder, as far as is known now? One that is to share
     * its class's topic, after ask() for that, is vouched for only if so.
     */
    bool (*has)(const dp_source *s, const char *user, dp_class c,
                const char *folder);

    /** Stop; `want` is not touched again. */
    void (*leave)(dp_source *s, dp_want *want);

    /** What an alias of this user means; a folder of somebody else's only
     *  when it is one of those that were listed to him (topic_name.h).
     *  @return false: unknown */
    bool (*resolve)(dp_source *s, const char *user, dp_class c, dp_span alias,
                    dp_resolved *out);

    /** Tell all that happened before this call. */
    void (*drain)(dp_source *s);

    /** Sample what drain can't tell: want->cursor.trip. Before drain. */
    void (*sample)(dp_source *s, dp_want *want);

    /** The rest of want->cursor, as known now. After drain. */
    void (*fill)(dp_source *s, dp_want *want);

    /**
     * Somebody says that this topic has changed, and the source would see the
     * same by itself: it looks now and announces both as one. NULL: it never
     * does.
     * @return true: it will be announced, soon, whatever the look brings
     */
    bool (*told)(dp_source *s, dp_want *want, bool is_new);

    /**
     * A collection has changed of which others may have views: whoever has
     * one is looked at now. NULL: there are no such views.
     * @param is_view  is that folder of somebody a view of it?
     */
    void (*noticed)(dp_source *s, dp_class c,
                    bool (*is_view)(void *ctx, const char *folder), void *ctx);

    /** A slice of work, some milliseconds. @return true: there is more */
    bool (*step)(dp_source *s);

    /** How this topic is, or would be, watched; one line for people.
     *  @return it can be */
    bool (*explain)(dp_source *s, const char *user, dp_class c,
                    const char *folder, char *out, size_t cap);

    /** Lines `name TAB value` for status. */
    void (*report)(const dp_source *s,
                   void (*line)(void *ctx, const char *name, uint64_t value),
                   void *ctx);

    /** Take a new configuration; wants stay asked for. */
    void (*reload)(dp_source *s, const struct dp_conf *conf);

    void (*close)(dp_source **s);
} dp_source_ops;

/* Every source begins with this. */
struct dp_source {
    const dp_source_ops *ops;
};

#endif
