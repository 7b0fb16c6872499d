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
    char *public;  /* the Maildir of all, or NULL */
    char *shared_dict; /* file of Dovecot's acl_shared_dict, or NULL */
    dp_time_us poll_us;
    dp_conf_network network;
    bool is_polled; /* never trust inotify, whatever the file system */
} dp_conf_maildir;

/* CalDAV and CardDAV, asked in rounds. */
typedef struct dp_conf_dav {
    bool is_on;
    char *url;       /* template: %u %n %d %%; of a user, slash at the end */
    char *calendars; /* home below url, "" for none */
    char *contacts;
    char *user;      /* one login for all, or NULL: each with his own */
    char *password;  /* of `user` */
    char *passwords; /* else: lines USER:PASSWORD */
    char *ca_file;   /* NULL: the system's */
    dp_time_us interval_us;
    unsigned requests_per_second, connections;
} dp_conf_dav;

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
    dp_conf_dav dav;
} dp_conf;

/**
 * Read and check `file`.
 * @return NULL when something is wrong; `problem` has the one line for it
 */
dp_conf *dp_conf_read(const char *file, char *problem, size_t cap);

/** A copy of its own; cleared by dp_conf_dav_clear(), secrets wiped. */
void dp_conf_dav_copy(dp_conf_dav *to, const dp_conf_dav *from);
void dp_conf_dav_clear(dp_conf_dav *dav);

void dp_conf_free(dp_conf **conf);

#endif
