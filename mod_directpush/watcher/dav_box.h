/* dav_box: what the files of one box share; dav.h has what others may call.
 * The daemon's one thread.
 */
#ifndef DAV_BOX_H
#define DAV_BOX_H

#include "watcher/dav.h"

/* --- dav_tell.c */

/** Announce the collections that have changed, once. */
void dp_dav_tell_changes(dp_dav_box *box);

/** The first look has succeeded: are the collections those that an earlier
 *  process knew? Said before its topics are vouched for. */
void dp_dav_tell_begun(dp_dav_box *box);
/** A collection came or went: the classes and the phone's list of folders. */
void dp_dav_tell_list(dp_dav_box *box);

/** Announce what was said and no look has shown.
 *  @param only_looked  a look is over: only what was said before it began */
void dp_dav_tell_hinted(dp_dav_box *box, bool only_looked);

/** The timer `late`: hints wait no longer. */
void dp_dav_hints_late(void *box);

/** Nothing of this box is vouched for until it is known again. */
void dp_dav_suspend_all(dp_dav_box *box, const char *why);

/* --- dav_detail.c */

/** Ask what has changed in box->detailed, and which kinds of items; then go on
 *  by dp_dav_detail_over(). */
void dp_dav_detail_ask(dp_dav_box *box);

/** The look has ended, however. */
void dp_dav_detail_forget(dp_dav_box *box);

/* --- dav_look.c */

/** Send a request of the look. @return false: none is sent, the look failed */
bool dp_dav_ask(dp_dav_box *box, const char *method, const char *url,
                const char *body, dp_dav_done *done);

/** Does the answer tell that something is wrong with the server? Then the look
 *  has failed. */
bool dp_dav_is_broken(dp_dav_box *box, const dp_dav_answer *a);

/** The detail is judged: on to the next one, or to the look's end. */
void dp_dav_detail_over(dp_dav_box *box);

/* --- dav_box.c */

/** A segment of a path, percent-encoded. @return bytes */
size_t dp_dav_escape(char *out, size_t cap, const char *name);

#endif
