/* The clerk runs what it is given, in order, and leaves nothing behind. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hold/clerk.h"

enum { POSTERS = 4, EACH = 5000 };

typedef struct ledger {
    dp_clerk *clerk;
    unsigned done[POSTERS]; /* the clerk's thread only, until it has ended */
    unsigned out_of_order;
    unsigned batches;
} ledger;

typedef struct entry {
    dp_clerk_job job;
    ledger *ledger;
    unsigned poster, number;
    unsigned again; /* posts itself this often */
} entry;

static dp_clerk_job *enter(dp_clerk_job *job)
{
    entry *e = (entry *)job;
    dp_clerk_job *next = job->next;
    ledger *l = e->ledger;
    l->out_of_order += e->number != l->done[e->poster];
    l->done[e->poster]++;
    free(e);
    return next;
}

static void post(ledger *l, unsigned poster, unsigned number)
{
    entry *e = calloc(1, sizeof(*e));
    *e = (entry){.job.run = enter, .ledger = l, .poster = poster,
                 .number = number};
    dp_clerk_post(l->clerk, &e->job);
}

static void what_was_posted_is_done_before_the_end(void **state)
{
    ledger l = {.out_of_order = 0};
    assert_int_equal(dp_clerk_start(&l.clerk), APR_SUCCESS);
    for (unsigned i = 0; i < 1000; i++) {
        post(&l, 0, i);
    }
    dp_clerk_stop(&l.clerk);
    assert_null(l.clerk);
    assert_int_equal(l.done[0], 1000);
    assert_int_equal(l.out_of_order, 0);
}

typedef struct poster {
    ledger *l;
    unsigned number;
} poster;

static void *post_many(void *arg)
{
    poster *p = arg;
    for (unsigned i = 0; i < EACH; i++) {
        post(p->l, p->number, i);
    }
    return NULL;
}

static void each_poster_s_jobs_keep_their_order(void **state)
{
    ledger l = {.out_of_order = 0};
    pthread_t thread[POSTERS];
    poster p[POSTERS];
    assert_int_equal(dp_clerk_start(&l.clerk), APR_SUCCESS);
    for (unsigned i = 0; i < POSTERS; i++) {
        p[i] = (poster){&l, i};
        assert_int_equal(pthread_create(&thread[i], NULL, post_many, &p[i]),
                         0);
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(thread[i], NULL);
    }
    dp_clerk_stop(&l.clerk);
    for (unsigned i = 0; i < POSTERS; i++) {
        assert_int_equal(l.done[i], EACH);
    }
    assert_int_equal(l.out_of_order, 0);
}

static dp_clerk_job *post_again(dp_clerk_job *job)
{
    entry *e = (entry *)job;
    dp_clerk_job *next = job->next;
    e->ledger->done[0]++;
    if (e->again--) {
        dp_clerk_post(e->ledger->clerk, job);
        return next;
    }
    free(e);
    return next;
}

/* Does all that is left, as one piece. */
static dp_clerk_job *enter_all(dp_clerk_job *job)
{
    ledger *l = ((entry *)job)->ledger;
    l->batches++;
    while (job && job->run == enter_all) {
        job = enter(job);
    }
    return job;
}

static void a_job_may_do_those_that_follow(void **state)
{
    ledger l = {.out_of_order = 0};
    assert_int_equal(dp_clerk_start(&l.clerk), APR_SUCCESS);
    for (unsigned i = 0; i < EACH; i++) {
        entry *e = calloc(1, sizeof(*e));
        *e = (entry){.job.run = i % 10 ? enter_all : enter, .ledger = &l,
                     .number = i};
        dp_clerk_post(l.clerk, &e->job);
    }
    dp_clerk_stop(&l.clerk);
    assert_int_equal(l.done[0], EACH);
    assert_int_equal(l.out_of_order, 0);
    assert_in_range(l.batches, EACH / 10, EACH - EACH / 10);
}

static void a_job_may_post_itself_again(void **state)
{
    ledger l = {.out_of_order = 0};
    assert_int_equal(dp_clerk_start(&l.clerk), APR_SUCCESS);
    entry *e = calloc(1, sizeof(*e));
    *e = (entry){.job.run = post_again, .ledger = &l, .again = 100};
    dp_clerk_post(l.clerk, &e->job);
    dp_clerk_stop(&l.clerk);
    assert_int_equal(l.done[0], 101);
}

static void a_clerk_without_work_ends(void **state)
{
    dp_clerk *c;
    assert_int_equal(dp_clerk_start(&c), APR_SUCCESS);
    dp_clerk_stop(&c);
    dp_clerk_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_posted_is_done_before_the_end),
        cmocka_unit_test(each_poster_s_jobs_keep_their_order),
        cmocka_unit_test(a_job_may_post_itself_again),
        cmocka_unit_test(a_job_may_do_those_that_follow),
        cmocka_unit_test(a_clerk_without_work_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
