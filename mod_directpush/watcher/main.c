/* directpushd: arguments, signals, the way in and out. */
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/dp_mutant.h"
#include "config.h"
#include "watcher/ready.h"
#include "watcher/watcher.h"

typedef struct program {
    const char *file;
    bool only_checks;
    dp_watcher watcher;
    dp_loop_fd signals;
} program;

static const char usage[] =
    "usage: directpushd [-c FILE] [-F] [-t]\n"
    "Watches mailboxes for mod_directpush.\n"
    "\n"
    "  -c, --config FILE   read FILE instead of " DP_CONF_DEFAULT "\n"
    "  -F, --foreground    stay in the foreground (it always does)\n"
    "  -t, --test          check the configuration and exit\n"
    "  -V, --version       say the version\n"
    "  -h, --help          say this\n"
    "\n"
    "SIGHUP reads the configuration again, SIGTERM ends. See directpushd(8).\n";

/* @return false: exit now with *out_status */
static bool take_arguments(int argc, char **argv, program *p, int *out_status)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"foreground", no_argument, NULL, 'F'},
        {"test", no_argument, NULL, 't'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    p->file = DP_CONF_DEFAULT;
    *out_status = 0;
    while ((option = getopt_long(argc, argv, "c:FtVh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            p->file = optarg;
            break;
        case 'F':
            break;
        case 't':
            p->only_checks = true;
            break;
        case 'V':
            printf("directpushd %s\n", PACKAGE_VERSION);
            return false;
        case 'h':
            fputs(usage, stdout);
            return false;
        default:
            *out_status = 2;
            return false;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        *out_status = 2;
        return false;
    }
    return true;
}

static void reload(program *p)
{
    char problem[1024];
    dp_ready_reloading();
    dp_conf *conf = dp_conf_read(p->file, problem, sizeof(problem));
    if (conf) {
        dp_watcher_reload(&p->watcher, conf);
        dp_log(DP_LOG_NOTICE, "%s read again", p->file);
    }
    else {
        dp_log(DP_LOG_ERROR, "%s (the old configuration stays)", problem);
    }
    dp_ready_reloaded(conf ? "watching" : "watching, with the old "
                                          "configuration: the new one is wrong");
}

static void signal_ready(void *ctx, uint32_t events)
{
    program *p = ctx;
    struct signalfd_siginfo info;
    while (read(p->signals.fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload(p);
        }
        else {
            dp_log(DP_LOG_NOTICE, "signal %u, leaving", info.ssi_signo);
            dp_loop_stop(p->watcher.loop);
        }
    }
}

/* Before anything is started: a signal that comes early is kept. */
static int catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* A descriptor per connection, and some for the scans. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(program *p, dp_conf *conf)
{
    char problem[1024];
    for (size_t i = 0; dp_mutant_named(i); i++) {
        dp_log(DP_LOG_WARN, "TEST ONLY: MUTANT %s active", dp_mutant_named(i));
    }
    raise_descriptors();
    p->signals.fd = catch_signals();
    if (!dp_watcher_start(&p->watcher, conf, problem, sizeof(problem))) {
        dp_log(DP_LOG_ERROR, "%s", problem);
        dp_conf_free(&p->watcher.conf);
        return 1;
    }
    p->signals.ready = signal_ready;
    p->signals.ctx = p;
    dp_loop_add(p->watcher.loop, &p->signals, EPOLLIN);
    dp_log(DP_LOG_NOTICE, "ready, runtime_dir %s", p->watcher.conf->runtime_dir);
    dp_ready_tell("watching");
    dp_loop_run(p->watcher.loop);
    dp_ready_stopping();
    dp_watcher_stop(&p->watcher);
    dp_conf_free(&p->watcher.conf);
    close(p->signals.fd);
    return 0;
}

/* What is allowed, but hardly meant; for -t. */
static void warn_of(const dp_conf *conf)
{
    if (!conf->maildir.is_on && !conf->dav.is_on) {
        printf("%s: warning: nothing is watched: it has neither a maildir nor "
               "a dav section; only what is published counts\n", conf->file);
    }
    if (conf->maildir.is_on) {
        char fixed[PATH_MAX];
        size_t n = strcspn(conf->maildir.path, "%");
        while (n > 1 && conf->maildir.path[n - 1] != '/') {
            n--;
        }
        snprintf(fixed, sizeof(fixed), "%.*s", (int)n, conf->maildir.path);
        if (access(fixed, F_OK) != 0) {
            printf("%s: warning: maildir: path: %s is not there: expected "
                   "where the mailboxes are, as in Dovecot's mail_location\n",
                   conf->file, fixed);
        }
    }
}

int main(int argc, char **argv)
{
    static program p;
    char problem[1024];
    int status;
    setlocale(LC_CTYPE, "C.UTF-8");
    if (!take_arguments(argc, argv, &p, &status)) {
        return status;
    }
    dp_conf *conf = dp_conf_read(p.file, problem, sizeof(problem));
    if (!conf) {
        dp_log(DP_LOG_ERROR, "%s", problem);
        return 1;
    }
    if (p.only_checks) {
        warn_of(conf);
        printf("%s: configuration is fine\n", p.file);
        dp_conf_free(&conf);
        return 0;
    }
    return run(&p, conf);
}
