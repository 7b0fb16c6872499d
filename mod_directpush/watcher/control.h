/* control: serves the control socket (bus_link.h has the lines).
 *
 * Who may speak: root, the daemon's own user, and members of the configured
 * group, told by the kernel (SO_PEERCRED, SO_PEERGROUPS). `follow` and `status`
 * are for the first two. Nobody can block the loop: a peer that does not read
 * its answers is not read from, a `wake` that is not read is one byte anyway,
 * and a `follow` that falls behind is hung up on.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "watcher/emit.h"

typedef struct dp_control dp_control;
struct dp_watcher;

/** @return NULL after one line in `problem` */
dp_control *dp_control_open(struct dp_watcher *w, char *problem, size_t cap);

/** Hang up on all and remove the socket. */
void dp_control_close(dp_control **c);

/** One byte to every `wake`, at once. */
void dp_control_wake(dp_control *c);

/** A line to every `follow`. */
void dp_control_follow_line(dp_control *c, uint64_t seq, const dp_want *want,
                            dp_emit_kind kind);

/** The configured group may be another one. */
void dp_control_set_group(dp_control *c);

/** Free who has gone; at the end of a turn. */
void dp_control_after_turn(dp_control *c);

void dp_control_report(const dp_control *c,
                       void (*line)(void *ctx, const char *name,
                                    uint64_t value),
                       void *ctx);

#endif
