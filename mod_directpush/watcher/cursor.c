#include "watcher/cursor.h"

dp_cursor_change dp_cursor_compare(const dp_cursor *then, const dp_cursor *now)
{
    if (then->identity != now->identity) {
        return DP_CURSOR_STRANGER;
    }
    if (then->names != now->names || then->count != now->count) {
        return DP_CURSOR_NEW;
    }
    /* A client that selects the folder moves mails from new/ to cur/ and so
     * trips too, for nothing: one Sync, once per restart. */
    if (then->flags != now->flags || then->trip != now->trip) {
        return DP_CURSOR_OTHER;
    }
    return DP_CURSOR_SAME;
}
