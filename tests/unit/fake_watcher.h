/* fake_watcher: a watcher for tests: a real bus, a real control socket, and a
 * thread that answers as the test tells it to. It watches nothing; changes are
 * what the test publishes.
 *
 * All calls may come from any thread: one lock guards the bus and the records
 * of what clients said.
 */
#ifndef FAKE_WATCHER_H
#define FAKE_WATCHER_H

#include <pthread.h>

#include "bus/bus_link.h"
#include "bus/bus_write.h"

enum { FW_CONNS = 16 };

typedef struct fw_conn {
    int fd; /* -1: none */
    bool is_wake;
    size_t in_n;
    unsigned char in[DP_LINK_LINE_MAX];
} fw_conn;

typedef struct fake_watcher {
    char dir[64], bus_path[96], socket_path[96];
    pthread_t thread;
    pthread_mutex_t lock;
    bool is_up;
    int listener, stop_fd;
    uint32_t journal_cap;
    dp_bus_writer *bus;      /* NULL before fw_bus_new() */
    uint64_t instance;
    fw_conn conn[FW_CONNS];
    /* what it does; set before fw_up() or under the lock */
    bool refuses;            /* `no` to hello and wake */
    bool is_mute;            /* answers nothing */
    bool vouches;            /* whoever asks gets a topic vouched for */
    bool is_unsigned;        /* gives no sign of life */
    uint32_t fold_slot;      /* not NO_SLOT: `watch` answers this one */
    /* what it heard */
    unsigned hellos_n, watches_n, pings_n, publishes_n;
    dp_hash last_ping;
    uint64_t last_arrival;
    char last_watch[128];
} fake_watcher;

fake_watcher *fw_new(void);
void fw_free(fake_watcher **fw);

/** A bus file; a second one replaces the first. */
void fw_bus_new(fake_watcher *fw, bool is_same_instance);

/** The socket and its thread; down: all connections are hung up. */
void fw_up(fake_watcher *fw);
void fw_down(fake_watcher *fw);

void fw_lock(fake_watcher *fw);
void fw_unlock(fake_watcher *fw);

/** A topic of alice's mail. Makes it if need be. */
dp_bus_ref fw_topic(fake_watcher *fw, const char *folder);
void fw_vouch(fake_watcher *fw, const char *folder);
void fw_unvouch(fake_watcher *fw, const char *folder);
void fw_drop(fake_watcher *fw, const char *folder);
uint64_t fw_publish(fake_watcher *fw, const char *folder, bool is_new);
uint64_t fw_tell(fake_watcher *fw, enum dp_bus_kind kind, dp_hash hash,
                 uint64_t arg);
/** The sign of life is this old now. */
void fw_sign(fake_watcher *fw, dp_time_us age_us);
/** One byte to everybody; with the lock held. */
void fw_wake_locked(fake_watcher *fw);
uint64_t fw_head(fake_watcher *fw);

#endif
