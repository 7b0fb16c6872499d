/* conf: directpushd.conf, read by libconfuse and checked whole.
 *
 * A value that can't be used is told with file, line and what was expected.
 * A read configuration does not change; a reload reads another one.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/dp_clock.h"
#include "watcher/log.h"

/* `make` says where; /etc is for those who compile by hand. */
#ifndef DP_SYSCONFDIR
#define DP_SYSCONFDIR "/etc"
#endif
#define DP_CONF_DEFAULT DP_SYSCONFDIR "/directpush/directpushd.conf"

/* What the maildir source does where inotify can't see other hosts' changes. */
typedef enum dp_conf_network {
    DP_CONF_NETWORK_POLL,
    DP_CONF_NETWORK_REFUSE
} dp_conf_network;

typedef struct dp_conf_maildir {
    bool is_on;
    char *path;    /* template: %u %n %d %% */
    dp_time_us poll_us;
    dp_conf_network network;
    bool is_polled; /* never trust inotify, whatever the file system */
} dp_conf_maildir;

typedef struct dp_conf {
    char *file;
    char *runtime_dir;
    char *state_dir;
    char *group; /* name, or NULL: the daemon's own */
    gid_t gid;   /* of `group`, or (gid_t)-1 */
    char *default_domain; /* lower case, or NULL */
    uint32_t topics;      /* slots of the table; power of two */
    uint32_t journal;     /* records; power of two */
    uint32_t user_topics; /* folders of a user with a topic of their own */
    uint32_t connections; /* per peer uid */
    dp_log_level log_level;
    dp_conf_maildir maildir;
} dp_conf;

/**
 * Read and check `file`.
 * @return NULL when something is wrong; `problem` has the one line for it
 */
dp_conf *dp_conf_read(const char *file, char *problem, size_t cap);

void dp_conf_free(dp_conf **conf);

#endif
