/* The way from `/` to a box's root: each directory on it is subscribed to
 * before the next one is looked for. */
#include "watcher/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void box_told(dp_box *box, const dp_notify_event *e, dp_span expected)
{
    DP_MAGIC_CHECK(box, DP_BOX_MAGIC);
    if (e->mask & DP_NOTIFY_SELF) {
        dp_box_place_later(box, "a directory on the way to it was moved, "
                                "removed or unmounted");
    }
    else if (dp_span_is(e->name, expected)) {
        dp_box_place_later(box, "the way to it changed");
    }
}

static void told_of_step(void *ctx, const dp_notify_event *e)
{
    dp_box_step *step = ctx;
    box_told(step->box, e, dp_span_str(step->next.name));
}

void dp_box_make_steps(dp_box *box)
{
    for (const char *c = box->path.path; *c; c++) {
        box->steps_n += *c == '/';
    }
    box->steps = calloc(box->steps_n, sizeof(*box->steps));
    DP_ASSERT(box->steps);
    const char *at = box->path.path + 1;
    for (size_t i = 0; i < box->steps_n; i++) {
        size_t n = strcspn(at, "/");
        box->steps[i].box = box;
        box->steps[i].next.name = strndup(at, n);
        DP_ASSERT(box->steps[i].next.name);
        box->steps[i].next.sub = (dp_notify_sub){
            .told = told_of_step, .ctx = &box->steps[i], .is_named = true};
        at += n + (at[n] == '/');
    }
}

void dp_box_drop_way(dp_box *box)
{
    for (size_t i = 0; i < box->steps_n; i++) {
        dp_maildir_unsubscribe(box->source, &box->steps[i].next.sub);
    }
    dp_maildir_unsubscribe(box->source, &box->root);
}

/* Open the component after `at`. What the user's name made up is resolved
 * beneath the base, the administrator's part as the system does. */
static int open_next(const dp_box *box, int at, int base, size_t step,
                     size_t offset)
{
    const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    char rest[DP_MAILDIR_PATH_MAX];
    if (base < 0) {
        return openat(at, box->steps[step].next.name, flags);
    }
    size_t n = offset - box->path.base_n - 1;
    memcpy(rest, box->path.path + box->path.base_n + 1, n);
    rest[n] = '\0';
    return dp_maildir_open_beneath(base, rest, flags);
}

dp_box_walk_end dp_box_walk(dp_box *box, bool subscribes)
{
    dp_box_walk_end end = {-1, 0, 0};
    size_t offset = 0; /* into the path, at a slash */
    int base = -1;
    int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    end.err = at < 0 ? errno : 0;
    for (size_t i = 0; at >= 0 && i < box->steps_n; i++) {
        if (subscribes) {
            end.sub_err = dp_maildir_subscribe(
                box->source, &box->steps[i].next.sub, at, DP_NOTIFY_NAMES);
            if (end.sub_err == ENOSPC || end.sub_err == ENOMEM) {
                box->is_polled = true;
            }
        }
        if (offset == box->path.base_n) {
            base = fcntl(at, F_DUPFD_CLOEXEC, 3);
        }
        offset += 1 + strlen(box->steps[i].next.name);
        int next = open_next(box, at, base, i, offset);
        end.err = next < 0 ? errno : 0;
        close(at);
        at = next;
    }
    if (base >= 0) {
        close(base);
    }
    end.root = at;
    return end;
}

int dp_box_open_root(const dp_box *box)
{
    if (box->source->asked == box) {
        return fcntl(box->source->asked_root, F_DUPFD_CLOEXEC, 3);
    }
    dp_box_walk_end end = dp_box_walk((dp_box *)(uintptr_t)box, false);
    errno = end.err;
    return end.root;
}

void dp_box_drop_steps(dp_box *box)
{
    dp_box_drop_way(box);
    for (size_t i = 0; i < box->steps_n; i++) {
        free((char *)(uintptr_t)box->steps[i].next.name);
    }
    free(box->steps);
    box->steps = NULL;
    box->steps_n = 0;
}
