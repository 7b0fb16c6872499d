#include "apache/child.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_dso.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <mpm_common.h>
#include <unixd.h>

#include "apache/capacity.h"
#include "apache/config.h"
#include "apache/delivery.h"
#include "apache/loop_answer.h"
#include "apache/places.h"
#include "base/dp_check.h"
#include "base/dp_mutant.h"
#include "device/coll_state.h"
#include "device/proof.h"

dp_child *dp_here;
dp_shared *dp_all;

/* A million devices' state; the file grows only as far as it is used. */
#define STORE_BYTES ((size_t)4 << 30)

/* Bytes that are not given back: a few requests. */
#define LOG_POOL_KEEP (256 * 1024)

/* A stop that is not graceful leaves this long for the last answers; httpd
 * itself kills children that take longer than about 3 s. */
#define LAST_WORDS_US (2 * DP_SECOND_US)

static size_t slots_wanted(void)
{
    int limit = 0;
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit);
    return 2 * (size_t)(limit > 0 ? limit : 16) + 16;
}

/* Made by the first generation, kept by the process pool for all. */
static int share(server_rec *s)
{
    /* A reload after an upgrade brings another module to the same process:
     * what is laid out otherwise gets memory of its own. */
    char key[96];
    apr_snprintf(key, sizeof(key), "directpush-shared-%" APR_SIZE_T_FMT "-%"
                 APR_SIZE_T_FMT, sizeof(dp_shared), sizeof(dp_counter_slot));
    void *kept = NULL;
    apr_pool_userdata_get(&kept, key, s->process->pool);
    if (!kept) {
        size_t n = sizeof(dp_shared) + dp_counters_size(slots_wanted());
        kept = mmap(NULL, n, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (kept == MAP_FAILED) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s,
                         "cannot allocate %" APR_SIZE_T_FMT
                         " bytes of shared memory", n);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        dp_shared *all = kept;
        apr_generate_random_bytes(all->proof_key, sizeof(all->proof_key));
        dp_places_init(&all->places);
        dp_recent_init(&all->recent, all->proof_key);
        dp_counters_init(&all->counters, slots_wanted());
        apr_pool_userdata_set(kept, key, apr_pool_cleanup_null,
                              s->process->pool);
    }
    dp_all = kept;
    return OK;
}

/* Who logs for the store: the parent's main server, inherited by children. */
static server_rec *main_server;

static void log_store(const char *text)
{
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server, "device store: %s",
                 text);
}

/* Said by the parent: its children find the same. */
static bool is_store_told;

/* What is missing of the way to it, which the parent makes if it may. */
static const char *remedy_for(apr_pool_t *p, const char *dir)
{
    struct stat st;
    for (const char *end = dir; *end;) {
        end += 1 + strcspn(end + 1, "/");
        const char *part = apr_pstrmemdup(p, dir, (apr_size_t)(end - dir));
        if (stat(part, &st) == 0 || errno != ENOENT) {
            continue;
        }
        return strcmp(part, dir)
                   ? apr_psprintf(p, "make the directory %s, and %s for "
                                  "Apache's user", part, dir)
                   : "make that directory for Apache's user";
    }
    return "make the directory writable for Apache's user";
}

/* glibc loads this when a thread first ends, and ends the process when it can't:
 * a child that has no descriptor left, as it stops gracefully. */
static void load_unwinder(apr_pool_t *pconf)
{
    apr_dso_handle_t *unwinder;
    apr_status_t rv = apr_dso_load(&unwinder, "libgcc_s.so.1", pconf);
    (void)rv; /* there may be none, where it is not needed */
}

int dp_child_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    if (!dp_conf_is_used()) {
        return OK;
    }
    int rc = share(s);
    if (rc != OK) {
        return rc;
    }
    for (size_t i = 0; dp_mutant_named(i); i++) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "TEST ONLY: MUTANT %s active", dp_mutant_named(i));
    }
    load_unwinder(pconf);
    dp_conf *conf = dp_conf_of(s);
    main_server = s;
    /* another configuration may load other modules */
    atomic_store_explicit(&dp_all->told_whole, 0, memory_order_relaxed);
    atomic_store_explicit(&dp_all->told_full, 0, memory_order_relaxed);
    dp_store_complain = log_store;
    apr_status_t rv = dp_store_prepare(conf->state_dir,
                                       ap_unixd_config.user_id,
                                       ap_unixd_config.group_id);
    is_store_told = rv != APR_SUCCESS;
    if (is_store_told) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "cannot use DirectPushStateDir %s: each child remembers "
                     "devices in memory only, and a reload costs a Sync per "
                     "device; %s", conf->state_dir,
                     remedy_for(ptemp, conf->state_dir));
    }
    dp_capacity_check(ptemp, s);
    return OK;
}

static void log_line(void *ctx, dp_keeper_level level, const char *line)
{
    static const int level_of[] = {[DP_KEEPER_ERROR] = APLOG_ERR,
                                   [DP_KEEPER_WARNING] = APLOG_WARNING,
                                   [DP_KEEPER_NOTICE] = APLOG_NOTICE,
                                   [DP_KEEPER_INFO] = APLOG_INFO};
    ap_log_error(APLOG_MARK, level_of[level], 0, dp_here->server, "%s", line);
}

/* `forget`, as journalled: hashes under the bus's key. */
typedef struct forget_job {
    dp_clerk_job job;
    bool is_everybody; /* the journal was lapped: nobody's proof is safe */
    dp_hash user;
    uint64_t device; /* 0: all of them */
    uint8_t key[DP_HASH_KEY_SIZE];
} forget_job;

static bool is_user(void *ctx, dp_span name)
{
    const forget_job *f = ctx;
    return f->is_everybody
           || dp_hash_is(dp_forget_user_key(f->key, name), f->user);
}

static bool is_held_by(void *ctx, const dp_who *who)
{
    const forget_job *f = ctx;
    return (is_user(ctx, who->user) || is_user(ctx, who->login))
           && (!f->device
               || dp_forget_device_key(f->key, who->device) == f->device);
}

/* A proof is a login's, not a device's: with one device forgotten, the others
 * prove themselves again, too. */
static dp_clerk_job *forget(dp_clerk_job *job)
{
    dp_clerk_job *next = job->next;
    dp_proof_forget_if(dp_here->store, is_user, job);
    free(job);
    return next;
}

static void loop_forget(void *ctx, dp_hash who, uint64_t arg,
                        const dp_bus_map *bus)
{
    forget_job *f = calloc(1, sizeof(*f));
    DP_ASSERT(f);
    f->job.run = forget;
    f->user = who;
    f->device = arg;
    f->is_everybody = !bus;
    if (bus) {
        memcpy(f->key, bus->header->hash_key, sizeof(f->key));
    }
    dp_hold_set *set = dp_keeper_set(dp_here->keeper);
    pthread_mutex_lock(&set->lock);
    dp_hold_set_end_if_locked(set, is_held_by, f, DP_CAUSE_FORGET,
                              dp_clock_mono_us());
    pthread_mutex_unlock(&set->lock);
    dp_clerk_post(dp_here->clerk, &f->job);
}

static dp_clerk_job *sweep(dp_clerk_job *job)
{
    dp_clerk_job *next = job->next;
    free(job);
    dp_delivery_sweep();
    return next;
}

/* A read of the store: it waits for no writer. */
static dp_mark stored_mark(const dp_who *who, dp_span id)
{
    dp_coll_state st = {.announced_n = 0};
    dp_store_txn *t;
    dp_store *s = dp_here->store;
    if (s->ops->begin(s, false, &t) == APR_SUCCESS) {
        dp_coll_state_get(s, t, who, id, &st);
        s->ops->abort(&t);
    }
    return st.mark;
}

static void loop_tick(void *ctx)
{
    if (dp_delivery_is_waiting()) {
        dp_clerk_job *job = calloc(1, sizeof(*job));
        DP_ASSERT(job);
        job->run = sweep;
        dp_clerk_post(dp_here->clerk, job);
    }
}

static apr_status_t child_exits(void *data)
{
    dp_child *child = data;
    dp_delivery_sweep();
    dp_keeper_stop(&child->keeper);
    dp_clerk_stop(&child->clerk);
    child->store->ops->close(child->store, true);
    return APR_SUCCESS;
}

/* Requests are made and freed there at the rate of the answers: their pages
 * stay, as far as LOG_POOL_KEEP goes. The clerk alone uses it. */
static apr_pool_t *make_log_pool(apr_pool_t *pchild)
{
    apr_allocator_t *a;
    apr_pool_t *p;
    if (apr_allocator_create(&a) != APR_SUCCESS) {
        return NULL;
    }
    apr_allocator_max_free_set(a, LOG_POOL_KEEP);
    if (apr_pool_create_ex(&p, pchild, NULL, a) != APR_SUCCESS) {
        apr_allocator_destroy(a);
        return NULL;
    }
    apr_allocator_owner_set(a, p);
    apr_pool_tag(p, "directpush-log");
    return p;
}

static apr_status_t start(dp_child *child, server_rec *s)
{
    const dp_conf *conf = dp_conf_of(s);
    const char *why = NULL;
    int daemons = 0;
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    apr_status_t rv = dp_store_open(&child->store, conf->state_dir,
                                    STORE_BYTES,
                                    256 * (unsigned)(daemons > 0 ? daemons
                                                                 : 16),
                                    &why);
    if (why && !is_store_told) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "device store in %s: %s",
                     conf->state_dir, why);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if ((rv = dp_clerk_start(&child->clerk)) != APR_SUCCESS) {
        return rv;
    }
    const dp_keeper_args args = {
        .runtime_dir = conf->runtime_dir,
        .provoke = &dp_all->provoke,
        .provoke_per_s = (uint32_t)conf->provoke,
        .count = child->count,
        .told = &dp_all->told,
        .recent = &dp_all->recent,
        .child = dp_recent_child(&dp_all->recent),
        .hooks = {.loop_answer = dp_answer_loop,
                  .loop_close = dp_close_loop,
                  .loop_forget = loop_forget,
                  .loop_tick = loop_tick,
                  .stored_mark = stored_mark,
                  .log = log_line}};
    return dp_keeper_start(&child->keeper, &args);
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    if (!dp_conf_is_used() || !dp_all) {
        return;
    }
    dp_child *child = apr_pcalloc(pchild, sizeof(*child));
    child->server = s;
    child->log_pool = make_log_pool(pchild);
    child->spare = dp_spare_make();
    child->can_park = dp_capacity_can_park();
    child->count = dp_counters_claim(&dp_all->counters);
    dp_here = child; /* the keeper's first lines are logged through it */
    apr_status_t rv = start(child, s);
    if (rv != APR_SUCCESS) {
        dp_here = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "this child cannot hold Pings; the backend gets them");
        return;
    }
    /* Before the pools within pchild go: the clerk may be at work in log_pool. */
    apr_pool_pre_cleanup_register(pchild, child, child_exits);
}

/* Wait until no Ping is held any more, but not long. */
static void last_words(dp_hold_set *set)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LAST_WORDS_US / DP_SECOND_US;
    pthread_mutex_lock(&set->lock);
    set->waiters_n++;
    while (set->watching_n + set->owned_n
           && pthread_cond_timedwait(&set->settled, &set->lock, &until) == 0) {
        /* each answer tells */
    }
    set->waiters_n--;
    pthread_mutex_unlock(&set->lock);
}

static void child_stopping(apr_pool_t *pchild, int graceful)
{
    if (!dp_here) {
        return;
    }
    dp_keeper_drain(dp_here->keeper,
                    graceful ? dp_conf_of(dp_here->server)->drain : 0);
    if (!graceful) {
        last_words(dp_keeper_set(dp_here->keeper));
    }
}

void dp_child_register(apr_pool_t *p)
{
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
