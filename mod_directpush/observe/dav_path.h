/* dav_path: which folder of whom a CalDAV or CardDAV path names.
 *
 * Known shapes: SOGo (`…/USER/Calendar/NAME/ITEM`, `…/USER/Contacts/…`, with
 * subscribed folders called `OWNER_NAME`), those with `calendars` and
 * `addressbooks` before the user (Nextcloud, Horde, Cyrus), and for all others
 * `…/USER/COLLECTION/ITEM`. Paths are hostile input. Pure; any thread.
 */
#ifndef DAV_PATH_H
#define DAV_PATH_H

#include "base/dp_span.h"
#include "bus/topic_name.h"

/* Sets of classes are bits. */
#define DP_DAV_BIT(c)    (1u << (c))
#define DP_DAV_CALENDAR  (DP_DAV_BIT(DP_CLASS_CALENDAR) \
                          | DP_DAV_BIT(DP_CLASS_TASKS))
#define DP_DAV_CONTACTS  DP_DAV_BIT(DP_CLASS_CONTACTS)
#define DP_DAV_ALL       (DP_DAV_CALENDAR | DP_DAV_CONTACTS)

/* the path decoded, and an owner's name out of it */
#define DP_DAV_BUF(url_n) (2 * (url_n) + 1)

typedef enum dp_dav_shape {
    DP_DAV_UNREADABLE, /* nothing can be told; the other fields are empty */
    DP_DAV_FOREIGN,    /* surely neither a calendar nor an address book */
    DP_DAV_SOGO,       /* user and classes are certain */
    DP_DAV_HOMES,      /* below `calendars` or `addressbooks` */
    DP_DAV_ANY         /* by position only */
} dp_dav_shape;

/* What a path says; spans borrow from the caller's buffer. */
typedef struct dp_dav_place {
    dp_dav_shape shape;
    dp_span user;     /* as the path has it; empty: it names none */
    dp_span folder;   /* of that user; empty: the home itself, or unknown */
    unsigned classes; /* bits; 0: the path does not tell */
    bool is_item;     /* something in the folder, not the folder itself */
    /* a view of somebody else's folder: whose, and how it is called there */
    dp_span owner, owner_folder;
} dp_dav_place;

/**
 * @param url    absolute path, or URL with scheme and host; query is left out
 * @param login  who asks; helps to find the user where the shape does not
 * @param is_collection  it is one, whatever it looks like (MKCOL)
 * @param buf    of DP_DAV_BUF(url.n) bytes; what `out` points to
 */
void dp_dav_path_parse(dp_span url, dp_span login, bool is_collection,
                       unsigned char *buf, dp_dav_place *out);

/** Is this the same user, as far as two logins tell? Case and what follows an
 *  `@` or precedes a `\` are left out where only one has it. */
bool dp_dav_is_same_user(dp_span a, dp_span b);

#endif
