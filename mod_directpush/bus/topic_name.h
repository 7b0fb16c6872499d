/* topic_name: how topics are named, by both processes.
 *
 * A topic is (mailbox user, class, folder). Folder is a path in UTF-8 with
 * `/` between components (`INBOX`, `Projects/2026`), or `*` for the whole
 * class, or an alias that begins with `/`, which no path does:
 * `/guid/<32 lower-case hex>` is the mailbox with that GUID, wherever it is.
 * Class `Hierarchy` has the one folder `*`: the list of folders itself.
 *
 * `/listed/guid/<hex>` may be anybody's mailbox, `/listed/NAME` is the user's
 * collection NAME and may be somebody else's: the backend has listed it to the
 * device that asks. Only who has seen that list puts this prefix in front; an
 * id alone, which a phone can make up, tells nothing of other users' folders.
 */
#ifndef TOPIC_NAME_H
#define TOPIC_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_hash.h"
#include "base/dp_span.h"

typedef enum dp_class {
    DP_CLASS_UNKNOWN = 0,
    DP_CLASS_EMAIL,
    DP_CLASS_CALENDAR,
    DP_CLASS_CONTACTS,
    DP_CLASS_TASKS,
    DP_CLASS_NOTES,
    DP_CLASS_HIERARCHY,
    DP_CLASS_N
} dp_class;

#define DP_TOPIC_WHOLE_CLASS "*"
#define DP_TOPIC_GUID_PREFIX "/guid/"
#define DP_TOPIC_LISTED_PREFIX "/listed/"
#define DP_TOPIC_GUID_HEX    32
#define DP_TOPIC_USER_MAX    320  /* bytes; RFC 5321 addresses fit */
#define DP_TOPIC_FOLDER_MAX  1024 /* bytes */

/** `Email`, `Calendar`, … as on the wire; "Unknown" for DP_CLASS_UNKNOWN. */
const char *dp_class_name(dp_class c);

/** The class called `name`, exact case; DP_CLASS_UNKNOWN when there is none. */
dp_class dp_class_of(dp_span name);

/** Key of a topic in the bus, under the bus's own hash key. */
dp_hash dp_topic_key(const uint8_t *hash_key, dp_span user, dp_class c,
                     dp_span folder);

/** What a FORGET record says: `hash` is the user's (login or mailbox user, in
 *  lower case), `arg` 0 for all devices, else the device's, never 0. */
dp_hash dp_forget_user_key(const uint8_t *hash_key, dp_span user);
uint64_t dp_forget_device_key(const uint8_t *hash_key, dp_span device);

/** The GUID of an alias, `/listed` or not: DP_TOPIC_GUID_HEX bytes; an empty
 *  span when it is none. */
dp_span dp_topic_guid(dp_span folder);

/** What follows `/listed/`; an empty span when it does not begin so. */
dp_span dp_topic_listed(dp_span folder);

/**
 * May this be a folder of a topic? Refuses what could climb or break a line:
 * empty, `.`, `..` or empty components, NUL and other control bytes, more
 * than DP_TOPIC_FOLDER_MAX bytes. `*` and aliases are allowed.
 */
bool dp_topic_folder_is_sane(dp_span folder);

/** The same for a mailbox user: no `/`, control bytes, `.` or `..`. */
bool dp_topic_user_is_sane(dp_span user);

#endif
