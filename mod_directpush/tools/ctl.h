/* ctl: what directpushctl does; main() and its table are in directpushctl.c.
 *
 * ctl_link.c finds and opens the socket and speaks lines, ctl_commands.c has a
 * function per command. Each returns an exit status.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/bus_link.h"

/* As in watcher/conf.h, which is another program's. */
#ifndef DP_SYSCONFDIR
#define DP_SYSCONFDIR "/etc"
#endif
#define DP_CONF_DEFAULT    DP_SYSCONFDIR "/directpush/directpushd.conf"
#define DP_CTL_RUNTIME_DIR "/run/directpush"

enum {
    DP_CTL_OK = 0,
    DP_CTL_REFUSED = 1,
    DP_CTL_USAGE = 2,
    DP_CTL_NO_DAEMON = 3
};

typedef struct dp_ctl {
    const char *conf_file; /* NULL: the default */
    const char *socket;    /* NULL: as the configuration says */
    bool is_json;
    char path[4096]; /* of the socket, once known */
    int fd;
    unsigned char in[4 * DP_LINK_LINE_MAX];
    size_t in_n, done_n; /* bytes in `in`; of them, lines handed out */
} dp_ctl;

/* --- ctl_link.c */

/** Find the path of the socket. @return exit status, after saying why */
int dp_ctl_find(dp_ctl *ctl);

/** Find and connect. @return exit status, after saying what to do */
int dp_ctl_open(dp_ctl *ctl);
void dp_ctl_close(dp_ctl *ctl);

/** Send one line of `n` words. */
bool dp_ctl_say(dp_ctl *ctl, const char *const *words, size_t n);

/** The next line; its spans last until the next call.
 *  @return false at the end, or when directpushd does not answer */
bool dp_ctl_line(dp_ctl *ctl, dp_link_line *out);

/** Open, say, and take the one answer; a `no` is printed.
 *  @return exit status */
int dp_ctl_ask(dp_ctl *ctl, const char *const *words, size_t n,
               dp_link_line *out);

/* --- ctl_commands.c */

int dp_ctl_publish(dp_ctl *ctl, int argc, char **argv);
int dp_ctl_status(dp_ctl *ctl, int argc, char **argv);
int dp_ctl_follow(dp_ctl *ctl, int argc, char **argv);
int dp_ctl_forget(dp_ctl *ctl, int argc, char **argv);
int dp_ctl_verify(dp_ctl *ctl, int argc, char **argv);
int dp_ctl_check(dp_ctl *ctl, int argc, char **argv);

#endif
