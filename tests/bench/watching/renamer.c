#include "renamer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "load.h"

static unsigned user_of(const renamer_plan *plan, uint64_t mail)
{
    return (unsigned)(mail % plan->users);
}

static void path_of(const renamer_plan *plan, const char *part, uint64_t mail,
                    char out[PATH_MAX])
{
    char user[LOAD_USER_MAX];
    load_user(user, plan->first + user_of(plan, mail));
    /* as long as Dovecot's: 1700000000.M123456P1234.host,S=1234,W=1260 */
    snprintf(out, PATH_MAX, "%s/%s/%s/1700000000.M%09" PRIu64
             "P1234.bench,S=1234,W=1260", plan->mail, user, part, mail);
}

static void prepare(const renamer_plan *plan, unsigned which)
{
    char path[PATH_MAX];
    for (uint64_t i = which; i < plan->mails; i += plan->processes) {
        path_of(plan, "tmp", i, path);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0) {
            load_die("%s", path);
        }
        close(fd);
    }
}

static void wait_for_turn(const renamer_plan *plan, uint64_t mail,
                          dp_time_us begin_us)
{
    if (plan->per_second) {
        dp_time_us due_us =
            begin_us + (dp_time_us)(mail * 1000000 / plan->per_second);
        dp_time_us now_us = dp_clock_mono_us();
        if (now_us < due_us) {
            usleep((useconds_t)(due_us - now_us));
        }
    }
}

static void deliver(const renamer_plan *plan, unsigned which)
{
    char from[PATH_MAX], to[PATH_MAX];
    dp_time_us begin_us = dp_clock_mono_us();
    for (uint64_t i = which; i < plan->mails; i += plan->processes) {
        path_of(plan, "tmp", i, from);
        path_of(plan, "new", i, to);
        wait_for_turn(plan, i, begin_us);
        __atomic_store_n(&plan->last_us[user_of(plan, i)], dp_clock_mono_us(),
                         __ATOMIC_RELAXED);
        if (rename(from, to) != 0) {
            load_die("%s", to);
        }
    }
}

pid_t renamer_start(const renamer_plan *plan, unsigned which)
{
    pid_t pid = load_fork();
    if (pid) {
        return pid;
    }
    prepare(plan, which);
    (*plan->prepared)++;
    while (!*plan->must_start) {
        usleep(100);
    }
    deliver(plan, which);
    _exit(0);
}

void renamer_clean(const renamer_plan *plan)
{
    char path[PATH_MAX];
    for (uint64_t i = 0; i < plan->mails; i++) {
        path_of(plan, "new", i, path);
        unlink(path);
    }
}
