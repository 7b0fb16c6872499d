/* load_args: the command line of `directpush-device --devices N`. */
#ifndef LOAD_ARGS_H
#define LOAD_ARGS_H

#include <stdint.h>

#include "tools/device/args.h"
#include "tools/device/load_template.h"

#define DP_LOAD_STEPS_MAX   64
#define DP_LOAD_NAME_MAX    64
#define DP_LOAD_DEVICES_MAX 100000

typedef enum dp_load_kind {
    DP_LOAD_HOLD,  /* n: devices */
    DP_LOAD_PAUSE, /* name */
    DP_LOAD_WAKE,  /* n: times */
    DP_LOAD_STORM,
    DP_LOAD_EXPIRE, /* n: seconds */
    DP_LOAD_HEARTBEAT, /* n: seconds, of the Pings from now on */
    DP_LOAD_IDLE,   /* n: seconds */
    DP_LOAD_QUIT,
    DP_LOAD_KINDS_N
} dp_load_kind;

typedef struct dp_load_step {
    dp_load_kind kind;
    uint32_t n;
    char name[DP_LOAD_NAME_MAX];
} dp_load_step;

typedef struct dp_load_args {
    dp_target target;
    dp_load_template user; /* not with long-polling */
    const char *user_text;
    uint32_t devices;
    uint32_t processes; /* workers */
    uint32_t per_user;  /* devices of one user, or of one channel */
    uint32_t sources;   /* addresses to connect from; 0: the system chooses */
    uint32_t rate;      /* new devices in a second */
    uint32_t inflight;  /* devices on their way to waiting at a time */
    uint32_t heartbeat_s;
    uint32_t patience_s; /* without progress a step is given up */
    const char *folder;
    const char *password_file;  /* or NULL */
    const char *ca_file;        /* or NULL */
    const char *publish_socket; /* or NULL: nothing to publish to */
    const char *trace_file;     /* or NULL; load_trace.h */
    bool is_longpoll;
    dp_load_template subscribe, publish; /* paths, with long-polling */
    bool is_insecure, is_json, wants_full_handshakes, wants_no_retry;
    dp_load_step steps[DP_LOAD_STEPS_MAX];
    size_t steps_n;
} dp_load_args;

/** Is this command line one of these? */
bool dp_load_args_are_meant(int argc, char **argv);

/** Strings point into argv.
 *  @param descriptors that one process may have (RLIMIT_NOFILE) */
dp_args_result dp_load_args_parse(int argc, char **argv, uint32_t descriptors,
                                  dp_load_args *out);
void dp_load_args_free(dp_load_args *a);

/** `hold`, `wake`, … */
const char *dp_load_kind_name(dp_load_kind kind);

#endif
