/* directpushctl: the administrator's tool; one question to directpushd each.
 *
 * It knows the socket and its lines, nothing else: what it can say, a script
 * with a socket can say too.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "tools/ctl.h"

static const char usage[] =
    "usage: directpushctl [-c FILE | -s SOCKET] COMMAND\n"
    "Talks to directpushd, the mailbox watcher of mod_directpush.\n"
    "\n"
    "  publish USER CLASS FOLDER [new|other]   tell phones of a change\n"
    "  status [--json]                         counters of the watcher\n"
    "  follow                                  a line for each change, as it "
    "comes\n"
    "  forget USER [DEVICE]                    drop proofs, end Pings, now\n"
    "  verify USER [CLASS FOLDER]              how a folder is watched, or why "
    "not\n"
    "  check                                   is all in place?\n"
    "\n"
    "status and follow are for root and directpushd's own user, the rest also\n"
    "for members of the group that directpushd.conf names.\n"
    "\n"
    "  -c, --config FILE    directpushd's configuration, for where its socket "
    "is\n"
    "                       (" DP_CONF_DEFAULT ")\n"
    "  -s, --socket SOCKET  the socket itself\n"
    "  -j, --json           machine-readable (status)\n"
    "  -V, --version        say the version\n"
    "  -h, --help           say this\n"
    "\n"
    "CLASS is Email, Calendar, Contacts, Tasks, Notes or Hierarchy; FOLDER is\n"
    "a path like INBOX or Projects/2026, or * for all. Exit status: 0 done,\n"
    "1 refused or not watched, 2 wrong arguments, 3 no directpushd.\n";

typedef struct ctl_command {
    const char *word;
    int least, most;
    int (*run)(dp_ctl *ctl, int argc, char **argv);
    const char *example;
} ctl_command;

static const ctl_command commands[] = {
    {"publish", 3, 4, dp_ctl_publish, "publish alice Email INBOX"},
    {"status", 0, 0, dp_ctl_status, "status --json"},
    {"follow", 0, 0, dp_ctl_follow, "follow"},
    {"forget", 1, 2, dp_ctl_forget, "forget alice"},
    {"verify", 1, 3, dp_ctl_verify, "verify alice Email INBOX"},
    {"check", 0, 0, dp_ctl_check, "check"},
};

#define COMMANDS_N (sizeof(commands) / sizeof(commands[0]))

/* @return NULL after saying which word is wrong, or with what it goes */
static const ctl_command *find_command(int argc, char **argv)
{
    for (size_t i = 0; i < COMMANDS_N; i++) {
        const ctl_command *c = &commands[i];
        if (strcmp(argv[0], c->word) != 0) {
            continue;
        }
        if (argc - 1 >= c->least && argc - 1 <= c->most) {
            return c;
        }
        fprintf(stderr,
                "directpushctl: too %s arguments for %s. For example:\n"
                "  directpushctl %s\n"
                "directpushctl --help says more.\n",
                argc - 1 < c->least ? "few" : "many", c->word, c->example);
        return NULL;
    }
    fprintf(stderr, "directpushctl: there is no command \"%s\"; there are",
            argv[0]);
    for (size_t i = 0; i < COMMANDS_N; i++) {
        fprintf(stderr, "%s %s", i ? "," : "", commands[i].word);
    }
    fputs(".\ndirectpushctl --help says more.\n", stderr);
    return NULL;
}

/* @return false: exit now with *out_status */
static bool take_options(int argc, char **argv, dp_ctl *ctl, int *out_status)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"socket", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    *out_status = DP_CTL_OK;
    while ((option = getopt_long(argc, argv, "c:s:jVh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            ctl->conf_file = optarg;
            break;
        case 's':
            ctl->socket = optarg;
            break;
        case 'j':
            ctl->is_json = true;
            break;
        case 'V':
            printf("directpushctl %s\n", PACKAGE_VERSION);
            return false;
        case 'h':
            fputs(usage, stdout);
            return false;
        default:
            *out_status = DP_CTL_USAGE;
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    dp_ctl ctl = {.fd = -1};
    int status;
    if (!take_options(argc, argv, &ctl, &status)) {
        return status;
    }
    argc -= optind;
    argv += optind;
    if (argc == 0) {
        fputs(usage, stderr);
        return DP_CTL_USAGE;
    }
    const ctl_command *command = find_command(argc, argv);
    if (!command) {
        return DP_CTL_USAGE;
    }
    status = command->run(&ctl, argc - 1, argv + 1);
    dp_ctl_close(&ctl);
    return status;
}
