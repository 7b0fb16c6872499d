/* subscribed_name: what SOGo calls somebody else's collection in the home of
 * who has subscribed to it: `OWNER_NAME`, the owner's login written as an
 * identifier. Pure; any thread, both processes.
 */
#ifndef SUBSCRIBED_NAME_H
#define SUBSCRIBED_NAME_H

#include <stdbool.h>

#include "base/dp_span.h"

/**
 * @param name  of a collection; hostile
 * @param buf   of name.n bytes; holds the owner
 * @param out_name  what the owner calls it; borrows from `name`
 * @return false: it can't be somebody else's
 */
bool dp_subscribed_split(dp_span name, unsigned char *buf, dp_span *out_owner,
                         dp_span *out_name);

#endif
