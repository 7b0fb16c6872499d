/* session: a phone at work: sends its commands and does what the answers ask.
 *
 * The blocking half of a phone. Everything that can go wrong under any command
 * is dealt with here once: lost connections, 503, Provision, refusals. One
 * session, one thread.
 */
#ifndef SESSION_H
#define SESSION_H

#include "tools/device/adaptive_heartbeat.h"
#include "tools/device/args.h"
#include "tools/device/back_off.h"
#include "tools/device/http_client.h"
#include "tools/device/phone.h"
#include "tools/device/timeline.h"

/* How a piece of work ended; all but OK end the program. */
typedef enum dp_run {
    DP_RUN_OK,
    DP_RUN_STOPPED,     /* by a signal */
    DP_RUN_USAGE,       /* asked for what is not there */
    DP_RUN_UNREACHABLE, /* no connection, or none that can be trusted */
    DP_RUN_DENIED,      /* credentials, policy, block, wipe */
    DP_RUN_PROTOCOL     /* answers that make no sense */
} dp_run;

/* What came back for one request. */
typedef enum dp_answer {
    DP_ANSWER_GOOD, /* 200, and the body is whole */
    DP_ANSWER_UNREACHABLE,
    DP_ANSWER_LOST,
    DP_ANSWER_TIMEOUT,
    DP_ANSWER_BUSY,      /* 5xx */
    DP_ANSWER_PROVISION, /* 449 */
    DP_ANSWER_OVER       /* no use to try again: session.end says how */
} dp_answer;

typedef struct dp_session {
    const dp_args *args;
    dp_phone phone;
    dp_adaptive_heartbeat heartbeat;
    dp_http_client http;
    dp_buf authorization; /* a header line */
    dp_timeline *timeline;
    dp_back_off back_off; /* failures of the network and of the server */
    dp_back_off patience; /* answers that bring nothing and would repeat */
    int stop_fd;
    uint64_t items;          /* changes that Syncs have brought */
    bool has_answered;       /* anything, ever */
    unsigned provisions;     /* since the last good answer to another command */
    dp_time_us sent_us;      /* when the last request was sent; 0 it was not */
    dp_http_response answer; /* to the last request */
    dp_run end;
    char why[512]; /* of the last answer other than GOOD */
} dp_session;

/** Takes `authorization` over. */
void dp_session_init(dp_session *s, const dp_args *args, dp_buf authorization,
                     SSL_CTX *tls, int stop_fd, dp_timeline *timeline);
void dp_session_free(dp_session *s);

/**
 * Send one request and wait for its answer; a kept connection that turns out
 * to be closed already is replaced at once.
 * @param cmd     DP_CMD_NONE: OPTIONS
 * @param on_sent called when it is under way, perhaps again on the second
 *                connection; or NULL
 * After anything but GOOD the connection is closed.
 */
dp_answer dp_session_ask(dp_session *s, dp_cmd cmd, dp_span body,
                         dp_time_us timeout_us,
                         void (*on_sent)(dp_session *s, void *ctx), void *ctx);

/** Do what has to be done after an answer other than GOOD: wait, provision.
 *  @return OK: try again */
dp_run dp_session_recover(dp_session *s, dp_answer answer);

/** The same for a status of 100 and more in a body. */
dp_run dp_session_recover_status(dp_session *s, const char *command,
                                 unsigned status);

/** Ask until the answer is good. */
dp_run dp_session_command(dp_session *s, dp_cmd cmd, dp_span body);

/** Wait, longer each time, since going on at once would be a tight loop. */
dp_run dp_session_pause(dp_session *s, dp_back_off *back_off, const char *why,
                        dp_time_us at_least_us);

/** Say why, and give `run` back. */
dp_run dp_session_fail(dp_session *s, dp_run run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- session_sync.c --- */

dp_run dp_session_options(dp_session *s);
dp_run dp_session_folder_sync(dp_session *s);
/** Sync every folder that is due, until nothing is left. */
dp_run dp_session_sync_due(dp_session *s);
/** Write the state file, if there is to be one. */
void dp_session_save(dp_session *s);

/* --- session_provision.c --- */

dp_run dp_session_provision(dp_session *s);

#endif
