#include "hold/clerk.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/dp_check.h"
#include "hold/thread.h"

struct dp_clerk {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    dp_clerk_job *first, **last;
    bool is_ending;
};

static dp_clerk_job *wait_for_jobs(dp_clerk *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->first && !c->is_ending) {
        pthread_cond_wait(&c->work, &c->lock);
    }
    dp_clerk_job *jobs = c->first;
    c->first = NULL;
    c->last = &c->first;
    pthread_mutex_unlock(&c->lock);
    return jobs;
}

static void *work(void *arg)
{
    dp_clerk *c = arg;
    dp_clerk_job *jobs;
    while ((jobs = wait_for_jobs(c))) {
        while (jobs) {
            jobs = jobs->run(jobs);
        }
    }
    return NULL;
}

apr_status_t dp_clerk_start(dp_clerk **out)
{
    dp_clerk *c = calloc(1, sizeof(*c));
    DP_ASSERT(c);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    c->last = &c->first;
    int rc = dp_thread_start(&c->thread, work, c);
    if (rc) {
        free(c);
        return rc;
    }
    *out = c;
    return APR_SUCCESS;
}

void dp_clerk_post(dp_clerk *c, dp_clerk_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&c->lock);
    bool was_idle = !c->first;
    *c->last = job;
    c->last = &job->next;
    pthread_mutex_unlock(&c->lock);
    if (was_idle) {
        pthread_cond_signal(&c->work);
    }
}

void dp_clerk_stop(dp_clerk **clerk)
{
    dp_clerk *c = *clerk;
    if (!c) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->is_ending = true;
    pthread_mutex_unlock(&c->lock);
    pthread_cond_signal(&c->work);
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->work);
    free(c);
    *clerk = NULL;
}
