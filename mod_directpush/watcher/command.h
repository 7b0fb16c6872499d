/* command: what the lines of the control socket mean. */
#ifndef COMMAND_H
#define COMMAND_H

#include "watcher/peer.h"

struct dp_watcher;

/** Carry out one line and queue its answer. @return false: hang up */
bool dp_command_run(struct dp_watcher *w, dp_peer *p, unsigned char *line,
                    size_t n);

/** The kind of a change in the words of `follow`. */
const char *dp_command_kind(int emit_kind);

#endif
