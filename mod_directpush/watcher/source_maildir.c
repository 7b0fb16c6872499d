/* source_maildir: Maildirs by inotify, and by polling where that is blind.
 * See maildir.h for how it works; this file is what the daemon calls. */
#include "watcher/maildir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/dp_mutant.h"
#include "bus/topic_name.h"
#include "watcher/log.h"

/* How long one turn may scan before the loop looks at its other business: a
 * wake-up may have to wait for that. */
#define STEP_US ((dp_time_us)2000)

/* How long a `watch` may wait for its scan; 20,000 mails in a warm cache. What
 * takes longer is answered first and vouched for when it is done. */
#define ASK_US ((dp_time_us)20000)

static dp_maildir *self(dp_source *s)
{
    return (dp_maildir *)(void *)s;
}

__attribute__((format(printf, 2, 3))) static const char *
answer(dp_maildir *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->answer, sizeof(s->answer), format, args);
    va_end(args);
    return s->answer;
}

/* --- the kernel's limits */

static long read_sysctl(const char *name)
{
    char path[128];
    long value = -1;
    snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%ld", &value) != 1) {
            value = -1;
        }
        fclose(f);
    }
    return value;
}

static void say_limit(dp_maildir *s, const char *name)
{
    long value = read_sysctl(name);
    if (dp_log_first(&s->limit_trouble)) {
        dp_log(DP_LOG_ERROR,
               "the kernel's limit fs.inotify.%s = %ld is reached: what is "
               "beyond it is polled every %d seconds; raise it: sysctl -w "
               "fs.inotify.%s=%ld",
               name, value, (int)(s->conf.poll_us / DP_SECOND_US), name,
               value > 0 ? value * 4 : 524288);
    }
}

int dp_maildir_subscribe(dp_maildir *s, dp_notify_sub *sub, int fd,
                         uint32_t mask)
{
    if (!s->notify) {
        return ENOSPC;
    }
    int err = dp_notify_add(s->notify, sub, fd, mask);
    if (err == ENOSPC || err == ENOMEM) {
        say_limit(s, "max_user_watches");
    }
    return err;
}

void dp_maildir_unsubscribe(dp_maildir *s, dp_notify_sub *sub)
{
    if (s->notify) {
        dp_notify_drop(s->notify, sub);
    }
}

/* --- work */

static void drain(dp_source *source)
{
    dp_maildir *s = self(source);
    if (s->notify) {
        dp_notify_drain(s->notify);
    }
}

static void notify_ready(void *ctx, uint32_t events)
{
    dp_maildir *s = ctx;
    drain(&s->source);
    dp_emit_flush(s->emit); /* here, not later: somebody's phone waits */
}

static void overflow_of_box(void *ctx, dp_map_node *node)
{
    dp_box_place_later(DP_OWNER(node, dp_box, by_user),
                       "the kernel's event queue overflowed");
}

static void overflowed(void *ctx)
{
    dp_maildir *s = ctx;
    dp_log(DP_LOG_WARN,
           "the kernel's event queue overflowed (fs.inotify.max_queued_events "
           "= %ld): all folders are looked at again, and devices sync once",
           read_sysctl("max_queued_events"));
    dp_map_each(&s->boxes, overflow_of_box, s);
}

static bool is_idle(const dp_box *box)
{
    return !box->folders && !box->all && !box->hierarchy;
}

static void do_box_job(dp_maildir *s)
{
    dp_box *box = DP_OWNER(s->box_jobs.next, dp_box, job);
    dp_list_del(&box->job);
    if (is_idle(box)) {
        dp_box_free(box);
    }
    else {
        dp_box_place(box);
    }
}

static void do_scan(dp_maildir *s)
{
    dp_folder *f = DP_OWNER(s->scans.next, dp_folder, job);
    DP_MAGIC_CHECK(f, DP_FOLDER_MAGIC);
    bool is_unfinished = dp_folder_scan(f, -1);
    if (!is_unfinished && f->state == DP_FOLDER_SCANNING) {
        dp_folder_scanned(f);
    }
}

void dp_folder_scanned(dp_folder *f)
{
    dp_list_del(&f->job);
    dp_list_add(&f->box->source->settles, &f->job);
}

/* Everything that happened while those were scanned, then vouch for them. */
static void settle(dp_maildir *s)
{
    dp_link_node batch;
    dp_list_init(&batch);
    while (!dp_list_is_empty(&s->settles)) {
        dp_link_node *n = s->settles.next;
        dp_list_del(n);
        dp_list_add(&batch, n);
    }
    DP_MUTANT_WINDOW(scan_before_watch);
    drain(&s->source); /* may place one of them again: it leaves the batch */
    while (!dp_list_is_empty(&batch)) {
        dp_folder *f = DP_OWNER(batch.next, dp_folder, job);
        dp_list_del(&f->job);
        dp_folder_ready(f);
    }
}

static bool has_work(const dp_maildir *s)
{
    return !dp_list_is_empty(&s->box_jobs) || !dp_list_is_empty(&s->scans)
           || !dp_list_is_empty(&s->settles);
}

static bool step(dp_source *source)
{
    dp_maildir *s = self(source);
    dp_time_us end_us = dp_clock_mono_us() + STEP_US;
    while (has_work(s) && dp_clock_mono_us() < end_us) {
        if (!dp_list_is_empty(&s->box_jobs)) {
            do_box_job(s);
        }
        else if (!dp_list_is_empty(&s->scans)) {
            do_scan(s);
        }
        if (dp_list_is_empty(&s->scans)) {
            settle(s);
        }
    }
    if (!dp_list_is_empty(&s->settles)) {
        settle(s); /* a giant that is still being scanned delays nobody */
    }
    return has_work(s);
}

/* --- cursors */

static dp_box *box_topic(const dp_want *want)
{
    return strcmp(want->folder, DP_TOPIC_WHOLE_CLASS) == 0 ? want->of_source
                                                           : NULL;
}

static void sample(dp_source *source, dp_want *want)
{
    dp_box *box = box_topic(want);
    if (!box) {
        dp_folder_sample(want->of_source);
    }
    else if (want->class == DP_CLASS_EMAIL) {
        for (dp_folder *f = box->folders; f; f = f->next) {
            dp_folder_sample(f);
        }
    }
}

static void fill(dp_source *source, dp_want *want)
{
    dp_box *box = box_topic(want);
    if (!box) {
        dp_folder *f = want->of_source;
        if (f->state == DP_FOLDER_READY) {
            dp_folder_fill(f);
        }
        want->cursor = f->has_before ? f->before : f->known;
    }
    else if (want->class == DP_CLASS_HIERARCHY) {
        dp_box_fill_hierarchy(box, &want->cursor);
    }
    else {
        dp_box_fill_class(box, &want->cursor);
    }
}

/* --- asking */

static bool offers(const dp_source *s, dp_class c)
{
    return c == DP_CLASS_EMAIL || c == DP_CLASS_HIERARCHY;
}

static void wait_for_scan(dp_maildir *s, const dp_want *want)
{
    dp_time_us end_us = dp_clock_mono_us() + ASK_US;
    while (!want->is_vouched && has_work(s) && dp_clock_mono_us() < end_us) {
        step(&s->source);
    }
}

/* The folder for a want; NULL after writing s->answer. */
static dp_folder *folder_for(dp_maildir *s, dp_box *box, dp_want *want)
{
    dp_folder *f = dp_folder_get(box, want->folder);
    if (!f) {
        answer(s, "no Maildir++ folder can have that name");
        return NULL;
    }
    if (!dp_box_has(box, f->dir) && !want->is_restored) {
        answer(s, "no folder %s in %s", f->dir, box->path.path);
        if (!f->want) {
            dp_folder_free(f);
        }
        return NULL;
    }
    return f;
}

static const char *ask_folder(dp_maildir *s, dp_box *box, dp_want *want)
{
    dp_folder *f = folder_for(s, box, want);
    if (!f) {
        return s->answer;
    }
    f->want = want;
    want->source = &s->source;
    want->of_source = f;
    if (f->state == DP_FOLDER_READY && !f->is_polled) {
        /* It is watched for the class already, which alone was told of what has
         * happened since: only the times show what was undone again. */
        dp_folder_sample(f);
        fill(&s->source, want);
        dp_emit_vouch(s->emit, want);
        return NULL;
    }
    if (box->state == DP_BOX_PRESENT) {
        dp_folder_place_again(f);
    }
    else {
        dp_folder_place(f, -1);
    }
    if (f->state == DP_FOLDER_REFUSED) {
        return answer(s, "%s/%s can't be read (see directpushd's log)",
                      box->path.path, f->dir);
    }
    return NULL;
}

static const char *ask_box(dp_maildir *s, dp_box *box, dp_want *want)
{
    want->source = &s->source;
    want->of_source = box;
    if (want->class == DP_CLASS_HIERARCHY) {
        box->hierarchy = want;
        dp_box_check_hierarchy(box);
        return NULL;
    }
    box->all = want;
    dp_box_add_class_folders(box);
    int root = dp_box_open_root(box);
    for (dp_folder *f = box->folders; root >= 0 && f; f = f->next) {
        if (!f->want) {
            dp_folder_place(f, root);
        }
    }
    if (root >= 0) {
        close(root);
    }
    dp_box_check_class(box);
    return NULL;
}

static void leave(dp_source *source, dp_want *want)
{
    dp_box *box = want->of_source;
    if (want->class == DP_CLASS_HIERARCHY) {
        box->hierarchy = NULL;
    }
    else if (strcmp(want->folder, DP_TOPIC_WHOLE_CLASS) == 0) {
        box->all = NULL;
    }
    else {
        dp_folder *f = want->of_source;
        DP_MAGIC_CHECK(f, DP_FOLDER_MAGIC);
        box = f->box;
        f->want = NULL;
    }
    DP_MAGIC_CHECK(box, DP_BOX_MAGIC);
    want->of_source = NULL;
    dp_box_leave(box);
}

static void forget_root(dp_maildir *s)
{
    if (s->asked) {
        close(s->asked_root);
        s->asked = NULL;
    }
}

void dp_maildir_give_root(dp_box *box, int root)
{
    dp_maildir *s = box->source;
    if (!s->is_asking) {
        close(root);
        return;
    }
    forget_root(s);
    s->asked = box;
    s->asked_root = root;
}

static const char *begin_to_watch(dp_maildir *s, dp_want *want)
{
    bool is_folder = strcmp(want->folder, DP_TOPIC_WHOLE_CLASS) != 0;
    dp_box *box = dp_box_get(s, want->user->name);
    if (!box) {
        return s->answer;
    }
    if (box->state == DP_BOX_UNPLACED || !dp_list_is_empty(&box->job)) {
        dp_list_del(&box->job);
        dp_box_place(box);
    }
    const char *why = NULL;
    if (box->state == DP_BOX_REFUSED) {
        why = answer(s, "%s: %s", box->path.path, box->why);
    }
    else {
        why = is_folder ? ask_folder(s, box, want) : ask_box(s, box, want);
    }
    if (why) {
        if (want->source) {
            leave(&s->source, want);
            want->source = NULL;
        }
        dp_box_leave(box);
    }
    return why;
}

static const char *ask(dp_source *source, dp_want *want)
{
    dp_maildir *s = self(source);
    s->is_asking = true;
    const char *why = begin_to_watch(s, want);
    s->is_asking = false;
    forget_root(s);
    if (!why && !want->is_restored) { /* at start nobody waits for the answer */
        wait_for_scan(s, want);
    }
    return why;
}

/* --- life */

static void reload_box(void *ctx, dp_map_node *node)
{
    dp_box *box = DP_OWNER(node, dp_box, by_user);
    /* the path is part of what a box is: begin again with another one */
    dp_box_place_later(box, "the configuration changed");
    dp_box_set_path(box);
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static char *copy_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    DP_ASSERT(copy || !text);
    return copy;
}

static void take_conf(dp_maildir *s, const struct dp_conf *conf)
{
    free(s->conf.path);
    free(s->conf.public);
    free(s->conf.shared_dict);
    free(s->default_domain);
    s->conf = conf->maildir;
    s->conf.path = copy_of(conf->maildir.path);
    s->conf.public = copy_of(conf->maildir.public);
    s->conf.shared_dict = copy_of(conf->maildir.shared_dict);
    s->default_domain = copy_of(conf->default_domain);
}

static void reload(dp_source *source, const struct dp_conf *conf)
{
    dp_maildir *s = self(source);
    bool is_other = strcmp(s->conf.path, conf->maildir.path) != 0
                    || !is_same_text(s->conf.public, conf->maildir.public)
                    || s->conf.network != conf->maildir.network
                    || s->conf.is_polled != conf->maildir.is_polled;
    take_conf(s, conf);
    dp_log_over(&s->shared_trouble);
    dp_log_over(&s->limit_trouble);
    dp_log_over(&s->unreadable_trouble);
    dp_log_over(&s->network_trouble);
    dp_log_over(&s->absent_news);
    if (is_other) {
        dp_map_each(&s->boxes, reload_box, s);
    }
}

static void close_box(void *ctx, dp_map_node *node)
{
    dp_box_free(DP_OWNER(node, dp_box, by_user));
}

static void close_source(dp_source **psource)
{
    dp_maildir *s = self(*psource);
    *psource = NULL;
    if (s->notify) { /* first: else each watch would be removed by itself */
        dp_loop_close(s->loop, &s->notify_fd);
        dp_notify_close(s->notify);
    }
    dp_map_each(&s->boxes, close_box, s);
    dp_map_free(&s->boxes);
    dp_notify_free(&s->notify);
    free(s->conf.path);
    free(s->conf.public);
    free(s->conf.shared_dict);
    free(s->default_domain);
    dp_loop_free_later(s->loop, s); /* this turn may have notify_fd still */
}

static const dp_source_ops ops = {
    .name = "maildir",
    .is_counting = true,
    .offers = offers,
    .ask = ask,
    .has = dp_maildir_has,
    .leave = leave,
    .resolve = dp_maildir_resolve,
    .drain = drain,
    .sample = sample,
    .fill = fill,
    .step = step,
    .explain = dp_maildir_explain,
    .report = dp_maildir_report,
    .reload = reload,
    .close = close_source,
};

dp_source *dp_maildir_new(dp_loop *loop, dp_emit *emit, const uint8_t *hash_key,
                          const struct dp_conf *conf)
{
    dp_maildir *s = calloc(1, sizeof(*s));
    DP_ASSERT(s);
    s->source.ops = &ops;
    s->loop = loop;
    s->emit = emit;
    s->hash_key = hash_key;
    take_conf(s, conf);
    dp_list_init(&s->box_jobs);
    dp_list_init(&s->scans);
    dp_list_init(&s->settles);
    s->notify = dp_notify_new(overflowed, s);
    if (!s->notify) {
        say_limit(s, "max_user_instances");
        return &s->source;
    }
    s->notify_fd = (dp_loop_fd){
        .fd = dp_notify_fd(s->notify), .ready = notify_ready, .ctx = s};
    DP_ASSERT(dp_loop_add(loop, &s->notify_fd, EPOLLIN));
    return &s->source;
}
