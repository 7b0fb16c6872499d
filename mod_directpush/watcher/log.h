/* log: lines for the administrator, on standard error.
 *
 * Under systemd each line carries its priority (<3>…), which journald takes
 * off again. What may repeat is said once per cause: dp_log_once() counts the
 * rest. The daemon's one thread.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum dp_log_level {
    DP_LOG_ERROR = 3, /* the numbers of syslog */
    DP_LOG_WARN = 4,
    DP_LOG_NOTICE = 5,
    DP_LOG_INFO = 6,
    DP_LOG_DEBUG = 7
} dp_log_level;

/** Say lines up to `level`. */
void dp_log_set_level(dp_log_level level);

void dp_log(dp_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A cause that may come back many times. */
typedef struct dp_log_cause {
    uint64_t times;
} dp_log_cause;

/** The first time of this cause? Counts; for `if (dp_log_first(&c)) dp_log`. */
bool dp_log_first(dp_log_cause *cause);

/** The cause is over: the next time is a first one. */
void dp_log_over(dp_log_cause *cause);

/** Errors and warnings said so far. */
uint64_t dp_log_troubles(void);

#endif
