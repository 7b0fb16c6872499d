/* directpush-device: a phone for the command line, or many of them for a load.
 * See directpush-device(1). */
#include <signal.h>
#include <stdio.h>

#include "tools/device/load_coordinator.h"
#include "tools/device/ping_loop.h"
#include "tools/device/secret.h"
#include "tools/device/state_file.h"
#include "tools/device/wait.h"

static int exit_status(dp_run run)
{
    switch (run) {
    case DP_RUN_OK:
    case DP_RUN_STOPPED:
        return DP_EXIT_OK;
    case DP_RUN_USAGE:
        return DP_EXIT_USAGE;
    case DP_RUN_UNREACHABLE:
        return DP_EXIT_UNREACHABLE;
    case DP_RUN_DENIED:
        return DP_EXIT_DENIED;
    default:
        return DP_EXIT_PROTOCOL;
    }
}

static dp_run remember(dp_session *s)
{
    const char *why;
    if (s->args->state_file && dp_state_load(s, &why) == DP_STATE_FOREIGN) {
        return dp_session_fail(s, DP_RUN_USAGE, "%s: %s", s->args->state_file,
                               why);
    }
    return DP_RUN_OK;
}

static dp_run work(dp_session *s, const char **out_why)
{
    dp_run run = remember(s);
    if (run == DP_RUN_OK) {
        run = dp_session_options(s);
    }
    if (run == DP_RUN_OK) {
        run = dp_session_folder_sync(s);
    }
    if (run == DP_RUN_OK) {
        run = dp_ping_loop(s, out_why);
        dp_session_save(s); /* the heartbeat that was learnt */
    }
    return run;
}

static int run_phone(const dp_args *args, SSL_CTX *tls, int stop_fd)
{
    dp_timeline timeline = {.out = stdout,
                            .is_json = args->is_json,
                            .is_verbose = args->is_verbose};
    dp_buf authorization = {0};
    const char *why = NULL;
    switch (dp_secret_authorization(args->user, args->password_file, stop_fd,
                                    &authorization, &why)) {
    case DP_SECRET_NONE:
        dp_timeline_error(&timeline, "%s%s%s",
                          args->password_file ? args->password_file : "",
                          args->password_file ? ": " : "", why);
        return DP_EXIT_USAGE;
    case DP_SECRET_STOPPED:
        return DP_EXIT_OK;
    case DP_SECRET_OK:
        break;
    }
    dp_session session;
    dp_session_init(&session, args, authorization, tls, stop_fd, &timeline);
    dp_run run = work(&session, &why);
    if (run == DP_RUN_STOPPED) {
        why = "stopped by a signal";
    }
    else if (run != DP_RUN_OK) {
        why = "failed";
    }
    dp_session_free(&session);
    dp_timeline_end(&timeline, why, exit_status(run));
    return exit_status(run);
}

int main(int argc, char **argv)
{
    dp_args args;
    if (dp_load_args_are_meant(argc, argv)) {
        return dp_load_main(argc, argv);
    }
    switch (dp_args_parse(argc, argv, &args)) {
    case DP_ARGS_SHOWN:
        return DP_EXIT_OK;
    case DP_ARGS_WRONG:
        dp_args_free(&args);
        return DP_EXIT_USAGE;
    case DP_ARGS_RUN:
        break;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    int stop_fd = dp_wait_stop_fd();
    SSL_CTX *tls = NULL;
    char why[256];
    if (args.target.is_tls) {
        tls = dp_http_stream_tls(args.ca_file, args.is_insecure, why);
        if (!tls) {
            fprintf(stderr, "directpush-device: %s\n", why);
            dp_args_free(&args);
            return DP_EXIT_USAGE;
        }
    }
    int status = run_phone(&args, tls, stop_fd);
    SSL_CTX_free(tls);
    dp_args_free(&args);
    return status;
}
