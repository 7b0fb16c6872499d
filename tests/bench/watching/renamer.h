/* renamer: delivers mail as an MDA does at its end: rename() from tmp/ into
 * new/ of many Maildirs in turn. What comes before it (writing the file) is
 * done before the clock runs, so that nothing but the rename is measured.
 * In processes of their own.
 */
#ifndef RENAMER_H
#define RENAMER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct renamer_plan {
    const char *mail;      /* the directory that has the Maildirs */
    unsigned first, users; /* whose Maildirs: user numbers from `first` on */
    unsigned processes;
    uint64_t mails;        /* in all; a multiple of `processes` */
    uint64_t per_second;   /* of all processes; 0: as fast as it goes */
    /* shared by all: */
    _Atomic uint32_t *prepared; /* processes that have their files */
    _Atomic uint32_t *must_start;
    int64_t *last_us; /* per user, just before the newest rename into it */
} renamer_plan;

/** Start process `which` of plan->processes; it ends when it has delivered. */
pid_t renamer_start(const renamer_plan *plan, unsigned which);

/** Remove what was delivered. */
void renamer_clean(const renamer_plan *plan);

#endif
