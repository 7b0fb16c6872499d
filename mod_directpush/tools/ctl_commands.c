#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "bus/bus_read.h"
#include "tools/ctl.h"

#define TEXT(span) (int)(span).n, (const char *)(span).p

/* @return NULL, or what is wrong with the arguments of publish */
static const char *judge_publish(int argc, char **argv)
{
    if (dp_class_of(dp_span_str(argv[1])) == DP_CLASS_UNKNOWN) {
        return "no such class; there are Email, Calendar, Contacts, Tasks, "
               "Notes and Hierarchy";
    }
    if (argc == 4 && strcmp(argv[3], "new") && strcmp(argv[3], "other")) {
        return "the kind of a change is new or other";
    }
    return NULL;
}

int dp_ctl_publish(dp_ctl *ctl, int argc, char **argv)
{
    const char *wrong = judge_publish(argc, argv);
    if (wrong) {
        fprintf(stderr, "directpushctl: publish: %s\n", wrong);
        return DP_CTL_USAGE;
    }
    const char *words[5] = {"publish"};
    dp_link_line line;
    for (int i = 0; i < argc; i++) {
        words[1 + i] = argv[i];
    }
    int status = dp_ctl_ask(ctl, words, 1 + (size_t)argc, &line);
    if (status == DP_CTL_OK && line.fields_n == 3) {
        bool is_kept = !dp_span_is(line.field[2], DP_SPAN_LIT("0"));
        printf("published as change %.*s%s\n", TEXT(line.field[1]),
               is_kept ? "" : " (the first one, or nobody asked for it)");
    }
    return status;
}

/* --- status */

static void print_pair(const dp_ctl *ctl, const dp_link_line *line,
                       bool is_first)
{
    if (ctl->is_json) {
        /* names are ours, values are numbers: nothing to escape */
        printf("%s\n  \"%.*s\": %.*s", is_first ? "{" : ",",
               TEXT(line->field[0]), TEXT(line->field[1]));
    }
    else {
        printf("%-22.*s %.*s\n", TEXT(line->field[0]), TEXT(line->field[1]));
    }
}

int dp_ctl_status(dp_ctl *ctl, int argc, char **argv)
{
    const char *words[] = {"status"};
    dp_link_line line;
    bool is_first = true;
    int status = dp_ctl_ask(ctl, words, 1, &line);
    while (status == DP_CTL_OK && line.fields_n == 2) {
        print_pair(ctl, &line, is_first);
        is_first = false;
        if (!dp_ctl_line(ctl, &line)) {
            status = DP_CTL_NO_DAEMON;
        }
    }
    if (ctl->is_json && !is_first) {
        printf("\n}\n");
    }
    return status;
}

/* --- follow */

static void print_change(const dp_link_line *line)
{
    struct timeval now;
    struct tm local;
    char at[32];
    gettimeofday(&now, NULL);
    localtime_r(&now.tv_sec, &local);
    strftime(at, sizeof(at), "%H:%M:%S", &local);
    printf("%s.%03d %.*s %.*s %.*s %.*s %.*s\n", at, (int)(now.tv_usec / 1000),
           TEXT(line->field[0]), TEXT(line->field[4]), TEXT(line->field[1]),
           TEXT(line->field[2]), TEXT(line->field[3]));
    fflush(stdout);
}

int dp_ctl_follow(dp_ctl *ctl, int argc, char **argv)
{
    const char *words[] = {"follow"};
    struct timeval for_ever = {0, 0};
    dp_link_line line;
    int status = dp_ctl_open(ctl);
    if (status != DP_CTL_OK) {
        return status;
    }
    setsockopt(ctl->fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
    dp_ctl_say(ctl, words, 1);
    while (dp_ctl_line(ctl, &line)) {
        if (line.fields_n == 2) { /* no REASON */
            fprintf(stderr, "directpushctl: %.*s\n", TEXT(line.field[1]));
            return DP_CTL_REFUSED;
        }
        if (line.fields_n == 5) {
            print_change(&line);
        }
    }
    fprintf(stderr, "directpushctl: directpushd has gone\n");
    return DP_CTL_NO_DAEMON;
}

int dp_ctl_forget(dp_ctl *ctl, int argc, char **argv)
{
    const char *words[3] = {"forget", argv[0], argc > 1 ? argv[1] : ""};
    dp_link_line line;
    int status = dp_ctl_ask(ctl, words, 1 + (size_t)argc, &line);
    if (status == DP_CTL_OK) {
        printf("%s%s%s is forgotten: what it asks next goes to the backend\n",
               argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    }
    if (status == DP_CTL_OK && line.fields_n == 3
        && dp_span_is(line.field[2], DP_SPAN_LIT("0"))) {
        printf("Nothing was known of a mailbox user %s here: no phone waits "
               "for a folder of that\nname. Is it spelt as directpushctl "
               "follow and DirectPushUser have it?\n",
               argv[0]);
    }
    return status;
}

/* --- verify */

static int verify_one(dp_ctl *ctl, const char *user, const char *class_name,
                      const char *folder)
{
    const char *words[] = {"verify", user, class_name, folder};
    dp_link_line line;
    int status = dp_ctl_open(ctl);
    if (status != DP_CTL_OK) {
        return status;
    }
    if (!dp_ctl_say(ctl, words, 4) || !dp_ctl_line(ctl, &line)
        || line.fields_n < 2) {
        fprintf(stderr, "directpushctl: directpushd did not answer\n");
        return DP_CTL_NO_DAEMON;
    }
    bool is_watched = dp_span_is(line.field[0], DP_SPAN_LIT("ok"));
    bool could_be = dp_span_is(line.field[0], DP_SPAN_LIT("could"));
    printf("%s %s %s: %s: %.*s\n", user, class_name, folder,
           is_watched  ? "watched"
           : could_be ? "can be watched"
                      : "not watched",
           TEXT(line.field[1]));
    dp_ctl_close(ctl);
    return is_watched || could_be ? DP_CTL_OK : DP_CTL_REFUSED;
}

int dp_ctl_verify(dp_ctl *ctl, int argc, char **argv)
{
    if (argc == 2) {
        return verify_one(ctl, argv[0], argv[1], "*");
    }
    if (argc == 3) {
        return verify_one(ctl, argv[0], argv[1], argv[2]);
    }
    int inbox = verify_one(ctl, argv[0], "Email", "INBOX");
    if (inbox == DP_CTL_NO_DAEMON || inbox == DP_CTL_USAGE) {
        return inbox;
    }
    int list = verify_one(ctl, argv[0], "Hierarchy", "*");
    return inbox ? inbox : list;
}

/* --- check */

static int check_bus(const dp_ctl *ctl)
{
    char path[4096];
    dp_bus_map map;
    dp_bus_problem problem;
    const char *slash = strrchr(ctl->path, '/');
    snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - ctl->path), ctl->path,
             DP_BUS_FILE_NAME);
    if (dp_bus_attach(&map, path, &problem) != APR_SUCCESS) {
        printf("bus      %s: %s\n", path, dp_bus_problem_text(problem));
        return DP_CTL_REFUSED;
    }
    bool is_alive =
        dp_bus_is_alive(&map, dp_clock_mono_us(), DP_LINK_SILENCE_US);
    printf("bus      %s: %s, %" PRIu32 " of %" PRIu32 " topics\n", path,
           is_alive ? "alive" : "no sign of life from directpushd",
           atomic_load(&map.header->topics_used), map.topic_cap);
    dp_bus_detach(&map);
    return is_alive ? DP_CTL_OK : DP_CTL_REFUSED;
}

int dp_ctl_check(dp_ctl *ctl, int argc, char **argv)
{
    int status = dp_ctl_open(ctl);
    if (status != DP_CTL_OK) {
        return status;
    }
    printf("socket   %s: connected\n", ctl->path);
    if (!strchr(ctl->path, '/')) {
        return DP_CTL_OK; /* no directory to look for the bus in */
    }
    return check_bus(ctl);
}
