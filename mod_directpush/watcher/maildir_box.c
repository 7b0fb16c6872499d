#include "watcher/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_siphash.h>

#include "bus/topic_name.h"
#include "watcher/local_fs.h"
#include "watcher/log.h"
#include "watcher/maildir_name.h"

/* Something mounted over a component, or a symbolic link on the way that was
 * changed, is told by no event: look now and then whether the way still leads
 * to the same directory. */
#define VERIFY_US (300 * DP_SECOND_US)

uint64_t dp_maildir_mix(const dp_maildir *s, const char *text, uint64_t a,
                        uint64_t b)
{
    unsigned char buf[16 + 256];
    size_t n = strnlen(text, 255);
    memcpy(buf, &a, 8);
    memcpy(buf + 8, &b, 8);
    memcpy(buf + 16, text, n);
    return apr_siphash24(buf, 16 + n, s->hash_key);
}

/* --- placing */

static void for_each_want(dp_box *box, dp_want_hook *each, void *ctx)
{
    for (dp_folder *f = box->folders; f; f = f->next) {
        if (f->want) {
            each(ctx, f->want);
        }
    }
    if (box->all) {
        each(ctx, box->all);
    }
    if (box->hierarchy) {
        each(ctx, box->hierarchy);
    }
}

typedef struct lost_ctx {
    dp_emit *emit;
    const char *why;
} lost_ctx;

static void say_lost(void *ctx, dp_want *want)
{
    lost_ctx *l = ctx;
    dp_emit_lost(l->emit, want, l->why);
}

static void lose_all(dp_box *box, const char *why)
{
    lost_ctx l = {box->source->emit, why};
    for_each_want(box, say_lost, &l);
}

void dp_box_place_later(dp_box *box, const char *why)
{
    lose_all(box, why);
    if (dp_list_is_empty(&box->job)) {
        dp_list_add(&box->source->box_jobs, &box->job);
    }
}

static void refuse(dp_box *box, const char *why)
{
    dp_maildir *s = box->source;
    box->state = DP_BOX_REFUSED;
    box->identity = 0;
    free(box->why);
    box->why = strdup(why);
    DP_ASSERT(box->why);
    if (dp_log_first(&s->unreadable_trouble)) {
        dp_log(DP_LOG_ERROR,
               "%s: %s: this Maildir, and others like it, are not watched; "
               "tried again every %d seconds",
               box->path.path, why, (int)(s->conf.poll_us / DP_SECOND_US));
    }
    for (dp_folder *f = box->folders; f; f = f->next) {
        dp_folder_unplace(f, DP_FOLDER_REFUSED, why);
    }
    lose_all(box, why);
}

void dp_box_check_hierarchy(dp_box *box)
{
    dp_emit *emit = box->source->emit;
    if (box->hierarchy && box->state == DP_BOX_PRESENT) {
        dp_box_fill_hierarchy(box, &box->hierarchy->cursor);
        dp_emit_vouch(emit, box->hierarchy);
    }
    else if (box->hierarchy) {
        dp_emit_lost(emit, box->hierarchy, "there is no Maildir");
    }
}

static void place_folders(dp_box *box, int root)
{
    for (dp_folder *f = box->folders; f; f = f->next) {
        dp_folder_place(f, root);
    }
}

static void await(dp_box *box, int sub_err)
{
    if (sub_err && !box->is_polled) {
        refuse(box, dp_maildir_refusal(sub_err));
        return;
    }
    box->state = DP_BOX_AWAITED;
    box->identity = 0;
    dp_box_forget_dirs(box);
    if (dp_log_first(&box->source->absent_news)) {
        dp_log(DP_LOG_INFO,
               "%s: no Maildir there yet; it is awaited, and until it comes "
               "this user's phones sync at the fallback interval: is `path` "
               "in the maildir section right? (said for the first one only)",
               box->path.path);
    }
    place_folders(box, -1);
    dp_box_check_hierarchy(box);
    dp_box_check_class(box);
}

/* May inotify be trusted here? @return false after refusing */
static bool choose_polling(dp_box *box, int root)
{
    dp_maildir *s = box->source;
    const char *name = "";
    bool is_local = dp_fs_is_local(root, &name);
    box->is_polled |= !is_local; /* what the way made it stays */
    if (is_local) {
        return true;
    }
    if (dp_log_first(&s->network_trouble)) {
        dp_log(DP_LOG_WARN,
               "%s is on %s, where inotify does not see what other hosts "
               "change: %s (maildir: network = poll or refuse)",
               box->path.path, name,
               s->conf.network == DP_CONF_NETWORK_POLL ? "polled instead"
                                                       : "not watched");
    }
    if (s->conf.network == DP_CONF_NETWORK_REFUSE) {
        char why[128];
        snprintf(why, sizeof(why), "on %s, which inotify can't watch", name);
        refuse(box, why);
        return false;
    }
    return true;
}

static void take_identity(dp_box *box, int root)
{
    struct stat st;
    box->identity = 1;
    if (fstat(root, &st) == 0) {
        box->identity = dp_maildir_mix(box->source, "", st.st_dev, st.st_ino);
    }
}

static void place_root(dp_box *box, int root)
{
    if (!choose_polling(box, root)) {
        return;
    }
    take_identity(box, root);
    int err = box->is_polled ? 0
                             : dp_maildir_subscribe(box->source, &box->root,
                                                    root, DP_NOTIFY_NAMES);
    if (err == ENOSPC || err == ENOMEM) {
        box->is_polled = true;
        err = 0;
    }
    dp_box_forget_dirs(box);
    if (!err) {
        err = dp_box_list(box, root);
    }
    if (err) {
        refuse(box, dp_maildir_refusal(err));
        return;
    }
    box->state = DP_BOX_PRESENT;
    dp_box_add_class_folders(box);
    place_folders(box, root);
    dp_box_check_hierarchy(box);
    dp_box_check_class(box);
}

/* One that is polled, or could not be watched and is tried again? */
static bool has_polled_folder(const dp_box *box)
{
    for (const dp_folder *f = box->folders; f; f = f->next) {
        if (f->is_polled || f->state == DP_FOLDER_REFUSED) {
            return true;
        }
    }
    return false;
}

void dp_box_look_again(dp_box *box)
{
    bool is_soon = box->state != DP_BOX_PRESENT || has_polled_folder(box)
                   || box->is_polled;
    dp_time_us due_us = dp_clock_mono_us()
                        + (is_soon ? box->source->conf.poll_us : VERIFY_US);
    /* never later than it would be already */
    if (!dp_timer_is_linked(&box->again.timer)
        || box->again.timer.due_us > due_us) {
        dp_loop_at(box->source->loop, &box->again, due_us);
    }
}

/* Folders that only the class topic needs are found anew. */
static void free_unasked_folders(dp_box *box)
{
    for (dp_folder *f = box->folders, *next; f; f = next) {
        next = f->next;
        if (!f->want) {
            dp_folder_free(f);
        }
    }
}

void dp_box_place(dp_box *box)
{
    dp_box_drop_way(box);
    free_unasked_folders(box);
    box->state = DP_BOX_UNPLACED;
    box->is_polled = box->source->conf.is_polled || !box->source->notify;
    dp_box_walk_end end = dp_box_walk(box, box->source->notify != NULL);
    if (end.root >= 0) {
        place_root(box, end.root);
        dp_maildir_give_root(box, end.root);
    }
    else if (end.err == ENOENT || end.err == ENOTDIR) {
        await(box, end.sub_err);
    }
    else {
        refuse(box, dp_maildir_refusal(end.err));
    }
    dp_box_look_again(box);
}

static bool is_same_root(const dp_box *box, int root)
{
    struct stat st;
    return fstat(root, &st) == 0
           && dp_maildir_mix(box->source, "", st.st_dev, st.st_ino)
                  == box->identity;
}

/* A scan that takes longer than the interval is let end: begun anew each time
 * it would find nothing, ever. What was put in another's place meanwhile (the
 * root, a folder's directory) was seen before; that new/ or cur/ is another one
 * is found by the scan after it. */
static void look_at_folders(dp_box *box, int root)
{
    for (dp_folder *f = box->folders; f; f = f->next) {
        bool is_due = f->is_polled || f->state == DP_FOLDER_REFUSED;
        bool is_under_way = !dp_list_is_empty(&f->job);
        if (is_due && !is_under_way) {
            dp_folder_place(f, root);
        }
    }
}

/* An interval is over: poll what is polled, verify the rest. */
static void again_due(void *ctx)
{
    dp_box *box = ctx;
    DP_MAGIC_CHECK(box, DP_BOX_MAGIC);
    int root = dp_box_open_root(box);
    bool is_there = root >= 0 && box->state == DP_BOX_PRESENT
                    && is_same_root(box, root);
    bool is_awaited = root < 0 && box->state == DP_BOX_AWAITED;
    if (!is_there && !is_awaited) {
        dp_box_place_later(box, "it is another directory, or may be there now");
    }
    else if (is_there) {
        if (box->is_polled && dp_box_list(box, root)) {
            dp_box_place_later(box, "its folders can't be listed");
        }
        look_at_folders(box, root);
    }
    if (root >= 0) {
        close(root);
    }
    dp_box_look_again(box);
}

/* --- the class topic */

void dp_box_check_class(dp_box *box)
{
    dp_emit *emit = box->source->emit;
    if (!box->all || box->state == DP_BOX_UNPLACED) {
        return;
    }
    bool is_known = box->state == DP_BOX_PRESENT && !box->has_unnamed;
    for (const dp_folder *f = box->folders; is_known && f; f = f->next) {
        is_known = dp_folder_is_known(f);
    }
    if (!is_known) {
        dp_emit_lost(emit, box->all, "one of its folders is not watched");
    }
    else if (!box->all->is_vouched) {
        for (dp_folder *f = box->folders; f; f = f->next) {
            dp_folder_sample(f); /* as in dp_folder_ready() */
        }
        dp_box_fill_class(box, &box->all->cursor);
        dp_emit_vouch(emit, box->all);
    }
}

void dp_box_class_afresh(dp_box *box)
{
    if (box->all && box->all->is_vouched) {
        dp_emit_vouch(box->source->emit, box->all);
    }
}

void dp_box_add_class_folders(dp_box *box)
{
    char name[DP_TOPIC_FOLDER_MAX + 1];
    if (!box->all) {
        return;
    }
    dp_folder_get(box, DP_MAILDIR_INBOX);
    for (size_t i = 0; i < box->dirs_n; i++) {
        if (dp_maildir_folder_of(name, sizeof(name),
                                 dp_span_str(box->dirs[i].name))) {
            dp_folder_get(box, name);
        }
    }
}

void dp_box_fill_class(dp_box *box, dp_cursor *out)
{
    const dp_maildir *s = box->source;
    *out = (dp_cursor){0};
    for (dp_folder *f = box->folders; f; f = f->next) {
        if (f->state == DP_FOLDER_READY) {
            dp_folder_fill(f);
        }
        if (f->state == DP_FOLDER_ABSENT) {
            continue; /* watched or not, it holds nothing */
        }
        const dp_cursor *k = f->has_before ? &f->before : &f->known;
        out->names += dp_maildir_mix(s, f->name, k->names, 1);
        out->flags += dp_maildir_mix(s, f->name, k->flags, 2);
        out->identity += dp_maildir_mix(s, f->name, k->identity, 3);
        out->trip += dp_maildir_mix(s, f->name, k->trip, 4);
        out->count += k->count;
    }
}

void dp_box_fill_hierarchy(const dp_box *box, dp_cursor *out)
{
    *out = (dp_cursor){.identity = box->identity, .count = box->dirs_n};
    for (size_t i = 0; i < box->dirs_n; i++) {
        out->names += dp_maildir_mix(box->source, box->dirs[i].name,
                                     box->dirs[i].ino, 0);
    }
}

/* --- life */

static void take_path(dp_box *box, const dp_maildir_path *path)
{
    free(box->path.path);
    box->path = (dp_box_path){strdup(path->path), path->base_n};
    DP_ASSERT(box->path.path);
    dp_box_make_steps(box);
}

void dp_box_set_path(dp_box *box)
{
    dp_maildir_path path;
    /* who had a path has one under any sane template, but for %d; and while
     * there is no public one any more, that of before stands for it */
    if (!dp_maildir_place_of(box->source, box->user, &path)) {
        dp_box_drop_steps(box);
        take_path(box, &path);
    }
}

static dp_hash user_key(const dp_maildir *s, const char *user)
{
    dp_span part = dp_span_str(user);
    return dp_hash_spans(s->hash_key, &part, 1);
}

dp_box *dp_box_find(const dp_maildir *s, const char *user)
{
    dp_map_node *n = dp_map_get(&s->boxes, user_key(s, user));
    return n ? DP_OWNER(n, dp_box, by_user) : NULL;
}

dp_box *dp_box_get(dp_maildir *s, const char *user)
{
    dp_maildir_path path;
    dp_box *box = dp_box_find(s, user);
    if (box) {
        return box;
    }
    const char *why = dp_maildir_place_of(s, user, &path);
    if (why) {
        snprintf(s->answer, sizeof(s->answer), "%s", why);
        return NULL;
    }
    box = calloc(1, sizeof(*box));
    DP_ASSERT(box);
    box->magic = DP_BOX_MAGIC;
    box->source = s;
    box->user = strdup(user);
    DP_ASSERT(box->user);
    box->again = (dp_loop_timer){.due = again_due, .ctx = box};
    box->root.told = dp_box_root_told;
    box->root.ctx = box;
    dp_list_init(&box->job);
    take_path(box, &path);
    dp_map_put(&s->boxes, &box->by_user, user_key(s, user));
    dp_box_place(box);
    return box;
}

void dp_box_leave(dp_box *box)
{
    if (!box->all) {
        free_unasked_folders(box);
    }
    if (!box->folders && !box->hierarchy && !box->all
        && dp_list_is_empty(&box->job)) {
        dp_list_add(&box->source->box_jobs, &box->job);
    }
}

void dp_box_free(dp_box *box)
{
    dp_maildir *s = box->source;
    while (box->folders) {
        dp_folder_free(box->folders);
    }
    dp_box_forget_dirs(box);
    dp_loop_cancel(s->loop, &box->again);
    dp_list_del(&box->job);
    dp_map_del(&s->boxes, &box->by_user);
    dp_box_drop_steps(box);
    free(box->user);
    free(box->path.path);
    free(box->why);
    box->magic = 0;
    free(box);
}
