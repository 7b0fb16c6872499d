/* What the administrator is told: `verify` and `status`. */
#include "watcher/maildir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bus/topic_name.h"
#include "watcher/maildir_name.h"

const char *dp_maildir_refusal(int err)
{
    switch (err) {
    case EACCES:
    case EPERM:
        return "no permission: give directpushd's user read permission, or "
               "the capability CAP_DAC_READ_SEARCH (see directpushd.service)";
    case EXDEV:
        return "a symbolic link leads out of the directory before the first % "
               "of the path";
    case ELOOP:
        return "a symbolic link in the user's part of the path";
    case EMFILE:
    case ENFILE:
        return "Too many open files: raise LimitNOFILE in directpushd.service";
    default:
        return strerror(err);
    }
}

static const char *state_text(const dp_folder *f)
{
    switch (f->state) {
    case DP_FOLDER_ABSENT:
        return "not there, its coming is watched for";
    case DP_FOLDER_SCANNING:
    case DP_FOLDER_SETTLING:
        return f->has_before ? "polled" : "being scanned";
    case DP_FOLDER_READY:
        return f->is_polled ? "polled" : "watched by inotify";
    case DP_FOLDER_REFUSED:
        break;
    }
    return "not readable";
}

static bool explain_folder(const dp_box *box, const char *folder, char *out,
                           size_t cap)
{
    char dir[DP_MAILDIR_PATH_MAX];
    const dp_folder *f = dp_folder_find(box, folder);
    const char *path = box->path.path;
    if (!dp_maildir_dir_of(dir, sizeof(dir), dp_span_str(folder))) {
        snprintf(out, cap, "no Maildir++ folder can have that name");
        return false;
    }
    if (f) {
        snprintf(out, cap, "%s/%s: %s, %" PRIu64 " messages, %zu of them in "
                           "new/",
                 path, dir, state_text(f), f->messages.count,
                 f->messages.in_new.n);
        return f->state != DP_FOLDER_ABSENT && f->state != DP_FOLDER_REFUSED;
    }
    if (*dir && !dp_box_dir_named(box, dp_span_str(dir))) {
        snprintf(out, cap, "%s: has no folder %s", path, dir);
        return false;
    }
    snprintf(out, cap, "%s/%s: there", path, dir);
    return true;
}

static void explain_box(const dp_box *box, dp_class c, char *out, size_t cap)
{
    size_t folders_n = 0;
    for (const dp_folder *f = box->folders; f; f = f->next) {
        folders_n++;
    }
    snprintf(out, cap, "%s: %s, %zu folders besides INBOX, %zu watched",
             box->path.path, box->is_polled ? "polled" : "watched by inotify",
             box->dirs_n, folders_n);
}

bool dp_maildir_explain(struct dp_source *source, const char *user, dp_class c,
                        const char *folder, char *out, size_t cap)
{
    dp_maildir *s = (dp_maildir *)(void *)source;
    dp_box *box = dp_box_get(s, user);
    if (!box) {
        snprintf(out, cap, "%s", s->answer);
        return false;
    }
    bool is_fit = false;
    if (box->state == DP_BOX_REFUSED) {
        snprintf(out, cap, "%s: not watched: %s", box->path.path, box->why);
    }
    else if (box->state == DP_BOX_AWAITED) {
        snprintf(out, cap, "%s: not there yet, its coming is watched for",
                 box->path.path);
    }
    else if (strcmp(folder, DP_TOPIC_WHOLE_CLASS) == 0) {
        explain_box(box, c, out, cap);
        is_fit = true;
    }
    else {
        is_fit = explain_folder(box, folder, out, cap);
    }
    dp_box_leave(box);
    return is_fit;
}

typedef struct tally {
    uint64_t boxes, awaited, refused, folders, polled, scanning;
} tally;

static void count_box(void *ctx, dp_map_node *node)
{
    tally *t = ctx;
    const dp_box *box = DP_OWNER(node, dp_box, by_user);
    t->boxes++;
    t->awaited += box->state == DP_BOX_AWAITED;
    t->refused += box->state == DP_BOX_REFUSED;
    for (const dp_folder *f = box->folders; f; f = f->next) {
        t->folders++;
        t->polled += f->is_polled;
        t->scanning += f->state == DP_FOLDER_SCANNING;
    }
}

void dp_maildir_report(const dp_source *source,
                       void (*line)(void *ctx, const char *name,
                                    uint64_t value),
                       void *ctx)
{
    const dp_maildir *s = (const dp_maildir *)(const void *)source;
    tally t = {0};
    dp_map_each((dp_map *)(uintptr_t)&s->boxes, count_box, &t);
    line(ctx, "maildirs", t.boxes);
    line(ctx, "maildirs_awaited", t.awaited);
    line(ctx, "maildirs_refused", t.refused);
    line(ctx, "folders", t.folders);
    line(ctx, "folders_polled", t.polled);
    line(ctx, "folders_scanning", t.scanning);
    line(ctx, "scans", s->scans_n);
    line(ctx, "messages_scanned", s->messages_scanned);
    line(ctx, "inotify_watches", s->notify ? dp_notify_watches(s->notify) : 0);
    line(ctx, "inotify_overflows",
         s->notify ? dp_notify_overflows(s->notify) : 0);
}
