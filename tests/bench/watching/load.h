/* load: what the programs that load the watcher share: ending with a message,
 * memory that forked processes see, the control socket, users' names.
 * One thread per process.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <sys/types.h>

#include "bus/bus_map.h"
#include "bus/bus_read.h"

/* Everything here ends sooner, or is broken. */
#define LOAD_PATIENCE_US (120 * DP_SECOND_US)

/** Say why (with errno's text when it is not 0) and exit with status 1; a child
 *  of load_fork() ends its parent too, and so all. */
__attribute__((noreturn, format(printf, 1, 2))) void load_die(const char *format,
                                                              ...);

/** Zeroed memory that children made by fork() share. */
void *load_shared(size_t bytes);

/** fork(); the child dies with its parent. @return as fork() */
pid_t load_fork(void);

/** Wait for a child. It must have ended well. */
void load_reap(pid_t pid);

/** Connect to the control socket and say `line`; its answer must be `ok`. */
int load_connect(const char *socket_path, const char *line);

/** Map the bus. */
void load_attach(dp_bus_map *map, const char *path);

/** The user with that number, as tests/bench/watcher names them. */
#define LOAD_USER_MAX 16
void load_user(char out[LOAD_USER_MAX], unsigned number);

/** The slot of a topic that was watched. */
dp_bus_ref load_topic(const dp_bus_map *map, unsigned user, dp_class c,
                      const char *folder);

#endif
