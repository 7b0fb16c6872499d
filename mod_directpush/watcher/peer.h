/* peer: one connection of the control socket: its bytes, not their meaning.
 * Private to control.c and command.c; the daemon's one thread. */
#ifndef PEER_H
#define PEER_H

#include "bus/bus_link.h"
#include "watcher/loop.h"
#include "watcher/want.h"

/* Answers wait for a reader that is slow; beyond this it is not read from. */
#define DP_PEER_OUT_HIGH 65536
/* A follower that is so far behind is hung up on. */
#define DP_PEER_OUT_MAX (1024 * 1024)

typedef enum dp_peer_kind { DP_PEER_LINES, DP_PEER_WAKE, DP_PEER_FOLLOW }
    dp_peer_kind;

typedef struct dp_peer {
    uint32_t magic;
    struct dp_control *control;
    dp_link_node link;
    dp_loop_fd fd;
    uid_t uid;
    pid_t pid;
    bool is_admin; /* root or our own user */
    bool is_child; /* said hello */
    bool is_doomed; /* hung up on when the turn ends */
    bool has_hung_up; /* nothing more comes; what is asked is answered */
    dp_peer_kind kind;
    uint32_t events; /* what epoll looks for */
    unsigned char in[DP_LINK_LINE_MAX];
    size_t in_at, in_n; /* what is not done with: from where, how much */
    char *out;
    size_t out_n, out_cap;
} dp_peer;

#define DP_PEER_MAGIC 0x44507065u

/** Take what has come. @return false: hang up */
bool dp_peer_read(dp_peer *p);

/** Give what waits. @return false: hang up */
bool dp_peer_write(dp_peer *p);

/** Queue one line of fields. @return false: it is too far behind */
bool dp_peer_say(dp_peer *p, const dp_span *fields, size_t n);

/** The next whole line of `in`, without LF. @return false: none yet */
bool dp_peer_line(dp_peer *p, unsigned char **out, size_t *out_n);

/** Done with the bytes up to and including that line. */
void dp_peer_line_done(dp_peer *p, size_t n);

#endif
