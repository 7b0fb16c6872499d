/* load_coordinator: starts the workers of a load, does its steps, ends it.
 *
 * It alone touches the outside beside the devices: it publishes, prints, and
 * reads standard input. The steps are in load_steps.c.
 */
#ifndef LOAD_COORDINATOR_H
#define LOAD_COORDINATOR_H

#include <sys/types.h>

#include "tools/device/load_publisher.h"
#include "tools/device/load_report.h"
#include "tools/device/load_worker.h"

typedef struct dp_load_process {
    pid_t pid;   /* 0: none, or waited for */
    int line_fd; /* ours of the pair; -1 none */
} dp_load_process;

typedef struct dp_load_coordinator {
    const dp_load_args *args;
    dp_load_requests requests;
    dp_load_shared *shared;
    dp_load_publisher publisher;
    bool can_publish; /* it is open */
    dp_load_report report;
    dp_load_process *processes;
    int stop_fd;
    uint64_t random;
} dp_load_coordinator;

/* What a wait saw; several may be true. */
typedef struct dp_load_seen {
    bool was_told;   /* the probe has been answered */
    bool is_waiting; /* … and waits again */
    bool has_input;  /* standard input is readable */
    bool is_over;    /* stopped, or a worker is gone: said so */
} dp_load_seen;

/** Wait until something is seen, at most until `until_us`. */
dp_load_seen dp_load_wait(dp_load_coordinator *c, dp_time_us until_us,
                          bool wants_input);

/** Have the workers look at the shared words. */
void dp_load_have_looked(dp_load_coordinator *c);

/** A line on standard error. */
void dp_load_complain(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

typedef enum dp_load_end {
    DP_LOAD_DONE,
    DP_LOAD_MISSING, /* … but something was lost: exit status 1 */
    DP_LOAD_OVER     /* no further steps: exit status 1 */
} dp_load_end;

/** One step, and its report. In load_steps.c. */
dp_load_end dp_load_step_run(dp_load_coordinator *c, const dp_load_step *step);

/** All of it. @return exit status */
int dp_load_main(int argc, char **argv);

#endif
