/* wanted: names of what was watched when directpushd last ended in order, for a
 * start with another bus: after a boot, or with another version's.
 *
 * With them it watches before the first device syncs. Without, vouching begins
 * when the first Ping asks for it, after the Sync that was to be its mark, and
 * the device syncs once more (design.md 3.4). They prove nothing: a name that is
 * missing costs that Sync, one too many a watch that ends by itself.
 *
 * A text file in state_dir, lines of bus_link.h: USER CLASS FOLDER.
 */
#ifndef WANTED_H
#define WANTED_H

#include "bus/topic_name.h"
#include "watcher/want.h"

typedef struct dp_wanted dp_wanted;

/** Replace what is there by what is vouched for. What nobody has asked for
 *  during half of the expiry is left out. @return 0, or errno: none is there */
int dp_wanted_write(const char *dir, dp_wants *wants, dp_time_us now_us);

/** Read and remove it. @return NULL: there is none, or it can't be read */
dp_wanted *dp_wanted_take(const char *dir);

/** The next name; spans are valid until the next call. @return false: no more */
bool dp_wanted_next(dp_wanted *w, dp_span *out_user, dp_class *out_class,
                    dp_span *out_folder);

void dp_wanted_free(dp_wanted **w);

#endif
