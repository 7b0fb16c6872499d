/* state_file: what a phone knows, kept from one run to the next.
 *
 *   directpush-device 1
 *   account  URL  USER  DEVICEID
 *   policy   KEY
 *   heartbeat  SECONDS
 *   hierarchy  SYNCKEY
 *   folder   ID  PARENT  TYPE  SYNCKEY  NAME        one line each
 *
 * Tabs between fields, which are percent-escaped. Replaced as a whole by a
 * rename, readable by its owner only. It holds no password.
 */
#ifndef STATE_FILE_H
#define STATE_FILE_H

#include "tools/device/session.h"

typedef enum dp_state_result {
    DP_STATE_LOADED,
    DP_STATE_NONE,   /* no such file: a new phone */
    DP_STATE_FOREIGN /* unreadable, damaged, or of another account: *out_why */
} dp_state_result;

/** Read args->state_file into a fresh session, which stays fresh unless the
 *  result is LOADED. */
dp_state_result dp_state_load(dp_session *s, const char **out_why);

/** @return false with *out_why, of static storage */
bool dp_state_save(const dp_session *s, const char **out_why);

#endif
