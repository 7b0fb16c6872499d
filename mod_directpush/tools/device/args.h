/* args: the command line. */
#ifndef ARGS_H
#define ARGS_H

#include <stdint.h>

#include "tools/device/target.h"

#define DP_DEVICE_ID_SIZE   33 /* [MS-ASHTTP]: up to 32 characters */
#define DP_DEVICE_TYPE_SIZE 65
#define DP_FILTERS_MAX      64

/* What the program ends with; listed in directpush-device(1). */
enum dp_exit {
    DP_EXIT_OK = 0,
    DP_EXIT_USAGE = 1,
    DP_EXIT_UNREACHABLE = 2,
    DP_EXIT_DENIED = 3,
    DP_EXIT_PROTOCOL = 4
};

typedef struct dp_args {
    dp_target target;
    const char *user;
    char device_id[DP_DEVICE_ID_SIZE];
    char device_type[DP_DEVICE_TYPE_SIZE];
    const char *filters[DP_FILTERS_MAX];
    size_t filters_n;
    unsigned version; /* 121, 140, 141; 0: the newest that both know */
    bool is_base64;
    bool has_heartbeat; /* given, so it wins over a remembered one */
    uint32_t heartbeat_s, min_s, max_s, step_s;
    bool wants_empty_pings;
    bool is_once;
    uint32_t pings; /* end after so many answers; 0 never */
    bool has_retries;
    uint32_t retries;
    const char *state_file;    /* or NULL */
    const char *password_file; /* or NULL */
    const char *ca_file;       /* or NULL: the system's */
    bool is_insecure;
    bool is_json, is_verbose;
} dp_args;

typedef enum dp_args_result {
    DP_ARGS_RUN,
    DP_ARGS_SHOWN, /* --help or --version: done */
    DP_ARGS_WRONG  /* said so on standard error */
} dp_args_result;

/** Strings point into argv. */
dp_args_result dp_args_parse(int argc, char **argv, dp_args *out);
void dp_args_free(dp_args *a);

#endif
