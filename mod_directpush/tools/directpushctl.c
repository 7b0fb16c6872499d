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

static const struct {
    const char *word;
    int least, most;
    int (*run)(dp_ctl *ctl, int argc, char **argv);
} commands[] = {
    {"publish", 3, 4, dp_ctl_publish}, {"status", 0, 0, dp_ctl_status},
    {"follow", 0, 0, dp_ctl_follow},   {"forget", 1, 2, dp_ctl_forget},
    {"verify", 1, 3, dp_ctl_verify},   {"check", 0, 0, dp_ctl_check},
};

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
    for (size_t i = 0; argc > 0 && i < sizeof(commands) / sizeof(commands[0]);
         i++) {
        if (strcmp(argv[0], commands[i].word) == 0) {
            if (argc - 1 < commands[i].least || argc - 1 > commands[i].most) {
                break;
            }
            status = commands[i].run(&ctl, argc - 1, argv + 1);
            dp_ctl_close(&ctl);
            return status;
        }
    }
    fputs(usage, stderr);
    return DP_CTL_USAGE;
}
