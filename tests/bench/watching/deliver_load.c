/* deliver_load: how many deliveries into Maildirs per second are seen, by
 * directpushd (published in the bus) or by a bare inotify reader.
 *
 *   deliver_load bus  BUS MAIL FIRST USERS PROCESSES MAILS RATE
 *   deliver_load bare -   MAIL FIRST USERS PROCESSES MAILS RATE
 *
 * Several processes rename MAILS files from tmp/ into new/ of the users'
 * Maildirs (RATE per second, 0: as fast as they can). The clock runs from the
 * first rename to when the last one was seen: each user's topic has a change
 * that was published after the last rename into his Maildir, or read() has
 * returned the last event. JSON on stdout; age_us is how long each Maildir's
 * last delivery waited.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bare_reader.h"
#include "load.h"
#include "renamer.h"

#define PROCESSES_MAX 64

typedef struct run {
    const char *bus_path; /* NULL: the bare reader */
    renamer_plan plan;
    dp_bus_map bus;
    dp_bus_ref *topics;
    bare_reader_seen *bare;
    pid_t reader;
    dp_time_us begin_us, renamed_us, seen_us;
    dp_time_us *age_us; /* per user */
} run;

static void take_arguments(run *r, int argc, char **argv)
{
    if (argc != 9) {
        errno = 0;
        load_die("usage: deliver_load bus|bare BUS MAIL FIRST USERS PROCESSES "
                 "MAILS RATE");
    }
    r->bus_path = strcmp(argv[1], "bus") == 0 ? argv[2] : NULL;
    r->plan = (renamer_plan){
        .mail = argv[3],
        .first = (unsigned)atoi(argv[4]),
        .users = (unsigned)atoi(argv[5]),
        .processes = (unsigned)atoi(argv[6]),
        .mails = strtoull(argv[7], NULL, 10),
        .per_second = strtoull(argv[8], NULL, 10),
    };
    if (!r->plan.users || !r->plan.processes
        || r->plan.processes > PROCESSES_MAX
        || r->plan.mails < r->plan.users) {
        errno = 0;
        load_die("1 to %d processes, and a mail for each user at least",
                 PROCESSES_MAX);
    }
    r->plan.mails -= r->plan.mails % r->plan.processes;
    r->plan.prepared = load_shared(sizeof(*r->plan.prepared));
    r->plan.must_start = load_shared(sizeof(*r->plan.must_start));
    r->plan.last_us = load_shared(r->plan.users * sizeof(*r->plan.last_us));
    r->age_us = load_shared(r->plan.users * sizeof(*r->age_us));
}

static void begin_to_look(run *r)
{
    if (r->bus_path) {
        load_attach(&r->bus, r->bus_path);
        r->topics = load_shared(r->plan.users * sizeof(*r->topics));
        for (unsigned i = 0; i < r->plan.users; i++) {
            r->topics[i] = load_topic(&r->bus, r->plan.first + i,
                                      DP_CLASS_EMAIL, "INBOX");
        }
        return;
    }
    r->bare = load_shared(sizeof(*r->bare));
    r->reader = bare_reader_start(r->plan.mail, r->plan.first, r->plan.users,
                                  r->plan.mails, r->bare);
    while (!r->bare->is_ready) {
        usleep(1000);
    }
}

static void deliver(run *r)
{
    pid_t pids[PROCESSES_MAX];
    for (unsigned i = 0; i < r->plan.processes; i++) {
        pids[i] = renamer_start(&r->plan, i);
    }
    while (*r->plan.prepared < r->plan.processes) {
        usleep(1000);
    }
    r->begin_us = dp_clock_mono_us();
    *r->plan.must_start = 1;
    for (unsigned i = 0; i < r->plan.processes; i++) {
        load_reap(pids[i]);
    }
    r->renamed_us = dp_clock_mono_us();
}

static void await_topic(run *r, unsigned i, dp_time_us end_us)
{
    dp_bus_view v;
    while (v = dp_bus_look(&r->bus, r->topics[i]),
           v.changed_at_us < r->plan.last_us[i]) {
        if (dp_clock_mono_us() > end_us || !v.is_current
            || v.watched_from == DP_BUS_UNWATCHED) {
            errno = 0;
            load_die("user %u: a delivery was not published (did the kernel's "
                     "queue overflow?)", r->plan.first + i);
        }
        usleep(500);
    }
    r->age_us[i] = v.changed_at_us - r->plan.last_us[i];
    r->seen_us = v.changed_at_us > r->seen_us ? v.changed_at_us : r->seen_us;
}

static void await_all(run *r)
{
    if (!r->bus_path) {
        load_reap(r->reader);
        if (r->bare->is_lost) {
            errno = 0;
            load_die("the bare reader is too slow: the kernel's queue "
                     "overflowed");
        }
        r->seen_us = r->bare->last_us;
        return;
    }
    dp_time_us end_us = dp_clock_mono_us() + LOAD_PATIENCE_US;
    for (unsigned i = 0; i < r->plan.users; i++) {
        await_topic(r, i, end_us);
    }
}

static int by_size(const void *a, const void *b)
{
    dp_time_us x = *(const dp_time_us *)a, y = *(const dp_time_us *)b;
    return (x > y) - (x < y);
}

static void report(run *r)
{
    double mails = (double)r->plan.mails;
    printf("{\"mails\": %" PRIu64 ", \"seconds\": %.6f, \"per_second\": %.0f, "
           "\"renamed_per_second\": %.0f",
           r->plan.mails, (double)(r->seen_us - r->begin_us) / 1e6,
           mails * 1e6 / (double)(r->seen_us - r->begin_us),
           mails * 1e6 / (double)(r->renamed_us - r->begin_us));
    if (r->bus_path) {
        qsort(r->age_us, r->plan.users, sizeof(*r->age_us), by_size);
        printf(", \"age_us\": {\"p50\": %" PRId64 ", \"p99\": %" PRId64
               ", \"max\": %" PRId64 "}",
               r->age_us[r->plan.users / 2],
               r->age_us[r->plan.users - 1 - r->plan.users / 100],
               r->age_us[r->plan.users - 1]);
    }
    else {
        printf(", \"reader_cpu_us\": %.3f",
               (double)r->bare->cpu_us / mails);
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    run r = {0};
    take_arguments(&r, argc, argv);
    begin_to_look(&r);
    deliver(&r);
    await_all(&r);
    report(&r);
    renamer_clean(&r.plan);
    return 0;
}
