#include "watcher/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dp_mutant.h"
#include "bus/topic_name.h"
#include "watcher/local_fs.h"
#include "watcher/log.h"
#include "watcher/maildir_name.h"

/* Both ends of a rename are queued within microseconds of each other. */
#define LEAVERS_WAIT_US ((dp_time_us)20000)

dp_folder *dp_folder_find(const dp_box *box, const char *name)
{
    for (dp_folder *f = box->folders; f; f = f->next) {
        if (strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

static void leavers_due(void *ctx);

dp_folder *dp_folder_get(dp_box *box, const char *name)
{
    char dir[DP_MAILDIR_PATH_MAX];
    dp_folder *f = dp_folder_find(box, name);
    if (f || !dp_maildir_dir_of(dir, sizeof(dir), dp_span_str(name))) {
        return f;
    }
    f = calloc(1, sizeof(*f));
    DP_ASSERT(f);
    f->magic = DP_FOLDER_MAGIC;
    f->box = box;
    f->name = strdup(name);
    f->dir = strdup(dir);
    DP_ASSERT(f->name && f->dir);
    f->messages.key = box->source->hash_key;
    f->scan_fd = -1;
    f->leavers = (dp_loop_timer){.due = leavers_due, .ctx = f};
    dp_list_init(&f->job);
    f->next = box->folders;
    if (f->next) {
        f->next->prev = f;
    }
    box->folders = f;
    return f;
}

static void stop_watching(dp_folder *f)
{
    dp_maildir *s = f->box->source;
    dp_maildir_unsubscribe(s, &f->self);
    dp_maildir_unsubscribe(s, &f->in_new);
    dp_maildir_unsubscribe(s, &f->in_cur);
    dp_folder_scan_stop(f);
    dp_list_del(&f->job);
    dp_loop_cancel(s->loop, &f->leavers);
}

void dp_folder_free(dp_folder *f)
{
    stop_watching(f);
    dp_messages_clear(&f->messages);
    if (f->prev) {
        f->prev->next = f->next;
    }
    else {
        f->box->folders = f->next;
    }
    if (f->next) {
        f->next->prev = f->prev;
    }
    f->magic = 0;
    free(f->name);
    free(f->dir);
    free(f);
}

dp_want *dp_folder_topic(const dp_folder *f)
{
    /* one that is about to go tells the class nothing any more */
    return f->want && f->want->is_vouched ? f->want : f->box->all;
}

static void vouch(dp_folder *f)
{
    if (f->want) {
        f->want->cursor = f->known;
        dp_emit_vouch(f->box->source->emit, f->want);
    }
}

/* Every mailbox has an INBOX, and is there: where that is not so, the mail may
 * well go elsewhere, and the path be wrong. Other folders may be gone. */
static bool may_be_absent(const dp_folder *f)
{
    return *f->dir && f->box->state == DP_BOX_PRESENT;
}

bool dp_folder_is_known(const dp_folder *f)
{
    return f->state == DP_FOLDER_READY
           || (f->state == DP_FOLDER_ABSENT && may_be_absent(f))
           || (f->state == DP_FOLDER_SCANNING && f->has_before);
}

void dp_folder_fill(dp_folder *f)
{
    dp_messages_fill(&f->messages, &f->known);
}

void dp_folder_unplace(dp_folder *f, dp_folder_state state, const char *why)
{
    stop_watching(f);
    f->state = state;
    f->known = (dp_cursor){0};
    f->has_before = false;
    if (f->want && state == DP_FOLDER_REFUSED) {
        dp_emit_lost(f->box->source->emit, f->want, why);
    }
}

/* --- events */

static void change(dp_folder *f, dp_verdict v, uint32_t n)
{
    dp_emit *emit = f->box->source->emit;
    dp_want *topic = dp_folder_topic(f);
    if (f->state != DP_FOLDER_READY) {
        return; /* the vouching to come is above it */
    }
    if (topic) {
        if (v == DP_VERDICT_NOTHING) {
            dp_emit_touch(emit, topic);
        }
        else {
            dp_emit_change(emit, topic, v == DP_VERDICT_NEW, n);
        }
    }
    if (f->want && f->box->all) { /* its cursor is made of its folders' */
        dp_emit_touch(emit, f->box->all);
    }
}

static void leavers_due(void *ctx)
{
    dp_folder *f = ctx;
    DP_MAGIC_CHECK(f, DP_FOLDER_MAGIC);
    uint32_t n;
    dp_verdict v = dp_messages_give_up_leavers(&f->messages, &n);
    change(f, v, n);
}

static void told_of_message(dp_folder *f, dp_where where,
                            const dp_notify_event *e)
{
    dp_maildir *s = f->box->source;
    dp_verdict v;
    DP_MAGIC_CHECK(f, DP_FOLDER_MAGIC);
    if (e->mask & DP_NOTIFY_SELF) {
        dp_box_place_later(f->box, "new/ or cur/ of a folder was replaced");
        return;
    }
    if (e->mask & IN_ISDIR
        || (f->state != DP_FOLDER_READY && DP_MUTANT(scan_before_watch))) {
        return;
    }
    if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
        v = dp_messages_came(&f->messages, where, e->name);
    }
    else {
        v = dp_messages_went(&f->messages, where, e->name,
                             e->mask & IN_MOVED_FROM);
        f->left_by = e->mask & IN_MOVED_FROM ? e->cookie : 0;
    }
    /* Out and in again by one rename is one change, which was counted. */
    bool is_counted =
        v == DP_VERDICT_BACK && e->cookie && e->cookie == f->left_by;
    if (f->messages.leavers_n > 0) {
        dp_loop_at(s->loop, &f->leavers, dp_clock_mono_us() + LEAVERS_WAIT_US);
    }
    else {
        dp_loop_cancel(s->loop, &f->leavers);
    }
    change(f, v, is_counted ? 0 : 1);
}

static void told_of_new(void *ctx, const dp_notify_event *e)
{
    told_of_message(ctx, DP_IN_NEW, e);
}

static void told_of_cur(void *ctx, const dp_notify_event *e)
{
    told_of_message(ctx, DP_IN_CUR, e);
}

/* A device asked for this folder by its GUID: is it still that folder? */
static void check_guid(dp_folder *f, int dir_fd)
{
    char guid[DP_GUID_HEX + 1];
    const char *asked = f->want ? dp_want_guid(f->want) : NULL;
    if (asked
        && (!dp_uidlist_read(dir_fd, guid) || strcmp(guid, asked) != 0)) {
        dp_emit_gone(f->box->source->emit, f->want,
                     "its GUID is no longer the one that was asked for");
    }
}

static int open_dir(const dp_folder *f, int root_fd, const char *part)
{
    char path[DP_MAILDIR_PATH_MAX];
    snprintf(path, sizeof(path), "%s%s%s", f->dir,
             *f->dir && *part ? "/" : "", *f->dir || *part ? part : ".");
    return dp_maildir_open_beneath(root_fd, path, O_PATH | O_DIRECTORY);
}

static void told_of_self(void *ctx, const dp_notify_event *e)
{
    dp_folder *f = ctx;
    DP_MAGIC_CHECK(f, DP_FOLDER_MAGIC);
    if (e->mask & DP_NOTIFY_SELF) {
        dp_box_place_later(f->box, "the folder's directory was replaced");
        return;
    }
    if (e->mask & (IN_CREATE | IN_MOVED_TO) && e->mask & IN_ISDIR
        && (dp_span_is(e->name, DP_SPAN_LIT("new"))
            || dp_span_is(e->name, DP_SPAN_LIT("cur")))) {
        dp_folder_place_again(f);
        return;
    }
    if (dp_span_is(e->name, DP_SPAN_LIT(DP_UIDLIST_NAME))
        && e->mask & (IN_CREATE | IN_MOVED_TO | IN_DELETE)) {
        int root = dp_box_open_root(f->box);
        int dir = root < 0 ? -1 : open_dir(f, root, "");
        check_guid(f, dir); /* that it can't be read is no proof */
        if (dir >= 0) {
            close(dir);
        }
        if (root >= 0) {
            close(root);
        }
    }
}

/* --- placing */

static void mix_stat(dp_folder *f, int fd, const char *part)
{
    struct stat st;
    const dp_maildir *s = f->box->source;
    if (fstat(fd, &st) == 0) {
        f->known.identity += dp_maildir_mix(s, part, st.st_dev, st.st_ino);
        f->known.trip +=
            *part ? dp_maildir_mix(s, part, (uint64_t)st.st_ctim.tv_sec,
                                   (uint64_t)st.st_ctim.tv_nsec)
                  : 0;
    }
}

void dp_folder_sample(dp_folder *f)
{
    static const char *const parts[] = {"new", "cur"};
    char path[DP_MAILDIR_PATH_MAX * 2];
    struct stat st;
    const dp_maildir *s = f->box->source;
    uint64_t trip = 0;
    if (f->is_polled) {
        return; /* the times of the last scan: what came since is to be told */
    }
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s%s%s", f->box->path.path, f->dir,
                 *f->dir ? "/" : "", parts[i]);
        if (stat(path, &st) == 0) {
            trip += dp_maildir_mix(s, parts[i], (uint64_t)st.st_ctim.tv_sec,
                                   (uint64_t)st.st_ctim.tv_nsec);
        }
    }
    f->known.trip = trip;
}

/* Watch one of the folder's directories. @return errno; ENOENT is fine */
static int place_part(dp_folder *f, int root_fd, const char *part,
                      dp_notify_sub *sub,
                      void (*told)(void *, const dp_notify_event *))
{
    int fd = open_dir(f, root_fd, part);
    if (fd < 0) {
        return errno;
    }
    sub->told = told;
    sub->ctx = f;
    int err = f->is_polled ? 0
                           : dp_maildir_subscribe(f->box->source, sub, fd,
                                                  DP_NOTIFY_NAMES);
    if (err == ENOSPC || err == ENOMEM) {
        f->is_polled = true; /* said by dp_maildir_subscribe() */
        dp_box_look_again(f->box);
        err = 0;
    }
    mix_stat(f, fd, part);
    if (!*part) {
        check_guid(f, fd);
    }
    close(fd);
    return err;
}

static int place_parts(dp_folder *f, int root_fd)
{
    /* the folder first: whether new/ and cur/ come later is told there */
    int err = place_part(f, root_fd, "", &f->self, told_of_self);
    if (err) {
        return err;
    }
    err = place_part(f, root_fd, "new", &f->in_new, told_of_new);
    if (!err || err == ENOENT) {
        err = place_part(f, root_fd, "cur", &f->in_cur, told_of_cur);
    }
    return err == ENOENT ? 0 : err;
}

/* The directory is not there, and who would see it come watches. A topic that
 * was asked for by GUID is that folder wherever it went: ask again. */
static void vouch_as_absent(dp_folder *f)
{
    bool is_news = f->state != DP_FOLDER_ABSENT || !f->want
                   || !f->want->is_vouched;
    dp_folder_unplace(f, DP_FOLDER_ABSENT, "gone");
    if (f->want && !may_be_absent(f)) {
        dp_emit_lost(f->box->source->emit, f->want, "there is no Maildir");
    }
    else if (f->want && dp_want_guid(f->want)) {
        dp_emit_gone(f->box->source->emit, f->want, "the folder is gone");
    }
    else if (is_news) {
        vouch(f);
    }
    dp_box_check_class(f->box);
}

static void say_unreadable(dp_folder *f, int err)
{
    dp_maildir *s = f->box->source;
    if (dp_log_first(&s->unreadable_trouble)) {
        dp_log(DP_LOG_ERROR,
               "%s/%s: %s: this folder, and others like it, are not watched; "
               "tried again every %d seconds",
               f->box->path.path, f->dir, dp_maildir_refusal(err),
               (int)(s->conf.poll_us / DP_SECOND_US));
    }
}

void dp_folder_refuse(dp_folder *f, int err)
{
    say_unreadable(f, err);
    dp_folder_unplace(f, DP_FOLDER_REFUSED, strerror(err));
    dp_box_check_class(f->box);
    dp_box_look_again(f->box);
}

/* What this interval's scan found, against the one before. */
static void tell_polled(dp_folder *f)
{
    dp_cursor_change c = dp_cursor_compare(&f->before, &f->known);
    f->has_before = false;
    f->state = DP_FOLDER_READY;
    if (c == DP_CURSOR_STRANGER || (f->want && !f->want->is_vouched)) {
        vouch(f);
        dp_box_class_afresh(f->box);
    }
    else if (c != DP_CURSOR_SAME) {
        change(f, c == DP_CURSOR_NEW ? DP_VERDICT_NEW : DP_VERDICT_OTHER,
               DP_BUS_MANY);
    }
}

void dp_folder_ready(dp_folder *f)
{
    dp_messages_settled(&f->messages);
    /* What was undone while it was scanned shows in the times only, and in
     * those of now: nobody was told of it. */
    dp_folder_sample(f);
    dp_folder_fill(f);
    if (f->has_before) {
        tell_polled(f);
    }
    else {
        f->state = DP_FOLDER_READY;
        vouch(f);
    }
    dp_box_check_class(f->box);
}

/* A polled folder goes on being what the last scan said it is. */
static void keep_before(dp_folder *f)
{
    if (f->is_polled && f->state == DP_FOLDER_READY) {
        dp_folder_fill(f);
        f->before = f->known;
        f->has_before = true;
    }
}

/* Who asks waits for this one, and it may be small: in front. One that is
 * vouched for by the scan before has its turn: those polled often would keep
 * the others from theirs. */
static void queue(dp_folder *f)
{
    dp_maildir *s = f->box->source;
    bool has_time = f->has_before && (!f->want || f->want->is_vouched);
    dp_list_add(has_time ? &s->scans : s->scans.next, &f->job);
    s->scans_n++;
}

void dp_folder_place(dp_folder *f, int root_fd)
{
    keep_before(f);
    stop_watching(f);
    f->known = (dp_cursor){0};
    f->is_polled = f->box->is_polled;
    int err = root_fd < 0 ? ENOENT : place_parts(f, root_fd);
    if (err == ENOENT || err == ENOTDIR) {
        vouch_as_absent(f);
        return;
    }
    if (err) {
        dp_folder_refuse(f, err);
        return;
    }
    dp_messages_begin(&f->messages);
    f->state = DP_FOLDER_SCANNING;
    f->scan_where = DP_IN_NEW;
    dp_box_check_class(f->box);
    queue(f);
    dp_folder_scan_begin(f, root_fd);
}

void dp_folder_place_again(dp_folder *f)
{
    int root = dp_box_open_root(f->box);
    if (root < 0 && errno != ENOENT && errno != ENOTDIR) {
        dp_folder_refuse(f, errno); /* who can't look must not say: gone */
        return;
    }
    dp_folder_place(f, root);
    if (root >= 0) {
        close(root);
    }
}
