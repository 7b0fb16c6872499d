/* state_record: a want as bytes, and back. Private to state.c and its test. */
#ifndef STATE_RECORD_H
#define STATE_RECORD_H

#include "watcher/state.h"

/** @param out  bytes to be freed   @return how many */
size_t dp_state_pack(const dp_want *want, uint64_t changed, char **out);

/** Strings of `out` point into `bytes`. @return false when it is no record */
bool dp_state_unpack(const char *bytes, size_t n, dp_state_record *out);

#endif
