/* The folder list of a box: which directories the root has, their GUIDs, and
 * what it means when one comes or goes. */
#include "watcher/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/topic_name.h"
#include "watcher/maildir_name.h"

dp_box_dir *dp_box_dir_named(const dp_box *box, dp_span name)
{
    for (size_t i = 0; i < box->dirs_n; i++) {
        if (dp_span_is(dp_span_str(box->dirs[i].name), name)) {
            return &box->dirs[i];
        }
    }
    return NULL;
}

bool dp_box_has(const dp_box *box, const char *dir)
{
    return !*dir || dp_box_dir_named(box, dp_span_str(dir));
}

bool dp_maildir_has(const struct dp_source *source, const char *user,
                    dp_class c, const char *folder)
{
    char dir[DP_MAILDIR_PATH_MAX];
    const dp_box *box =
        dp_box_find((const dp_maildir *)(const void *)source, user);
    return c == DP_CLASS_EMAIL && box
           && dp_maildir_dir_of(dir, sizeof(dir), dp_span_str(folder))
           && dp_box_has(box, dir);
}

void dp_box_forget_dirs(dp_box *box)
{
    for (size_t i = 0; i < box->dirs_n; i++) {
        free(box->dirs[i].name);
    }
    free(box->dirs);
    box->dirs = NULL;
    box->dirs_n = 0;
}

static dp_folder *folder_of_dir(const dp_box *box, const char *dir)
{
    for (dp_folder *f = box->folders; f; f = f->next) {
        if (strcmp(f->dir, dir) == 0) {
            return f;
        }
    }
    return NULL;
}

/* A list that is being read for the first time tells nobody anything. */
static bool is_telling(const dp_box *box)
{
    return box->state == DP_BOX_PRESENT;
}

static void hierarchy_changed(dp_box *box)
{
    if (box->hierarchy && is_telling(box)) {
        /* like new items: nobody wants to wait for company here */
        dp_emit_change(box->source->emit, box->hierarchy, true, DP_BUS_MANY);
    }
}

static void went(dp_box *box, dp_box_dir *dir)
{
    dp_folder *f = folder_of_dir(box, dir->name);
    free(dir->name);
    *dir = box->dirs[--box->dirs_n];
    hierarchy_changed(box);
    if (f && is_telling(box)) {
        if (f->want) {
            dp_folder_place(f, -1);
        }
        else {
            dp_folder_free(f);
        }
        dp_box_class_afresh(box);
        dp_box_check_class(box); /* it may have been the one in the way */
    }
}

static void place_came(dp_box *box, const char *folder)
{
    dp_folder *f = box->all ? dp_folder_get(box, folder)
                            : dp_folder_find(box, folder);
    if (f) {
        dp_folder_place_again(f);
    }
}

/* @param folder  its name, decoded */
static void came(dp_box *box, const char *name, uint64_t ino,
                 const char *folder)
{
    dp_box_dir *dir = dp_box_dir_named(box, dp_span_str(name));
    if (dir && dir->ino == ino) {
        dir->is_listed = true;
        return;
    }
    if (dir) { /* another directory of the same name */
        went(box, dir);
    }
    box->dirs = realloc(box->dirs, (box->dirs_n + 1) * sizeof(*box->dirs));
    DP_ASSERT(box->dirs);
    box->dirs[box->dirs_n] =
        (dp_box_dir){.name = strdup(name), .ino = ino, .is_listed = true};
    DP_ASSERT(box->dirs[box->dirs_n].name);
    box->dirs_n++;
    hierarchy_changed(box);
    if (is_telling(box)) {
        place_came(box, folder);
    }
}

/* What a mail server may take for a folder: a symbolic link, too, which may be
 * one that can't be watched. */
static bool is_like_folder(int root, const char *name, mode_t mode)
{
    return S_ISDIR(mode)
           || (S_ISLNK(mode) && dp_maildir_may_be_dir(root, name));
}

static bool is_dir(int root, const struct dirent *d)
{
    struct stat st;
    if (d->d_type != DT_UNKNOWN) {
        return is_like_folder(root, d->d_name, DTTOIF(d->d_type));
    }
    return fstatat(root, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
           && is_like_folder(root, d->d_name, st.st_mode);
}

static bool is_where_folders_are(dp_span name)
{
    return name.n > 1 && name.p[0] == '.' && name.p[1] != '.'
           && name.n <= NAME_MAX;
}

/* Does who asks for the folder of that name get this directory? Not when its
 * name is no modified UTF-7 (`folder` is "" then), or is UTF-8 as it stands. */
static bool is_named(dp_span name, char *folder, size_t cap)
{
    char dir[DP_MAILDIR_PATH_MAX];
    if (!dp_maildir_folder_of(folder, cap, name)) {
        folder[0] = '\0';
        return false;
    }
    return dp_maildir_dir_of(dir, sizeof(dir), dp_span_str(folder))
           && (!*dir || dp_span_is(name, dp_span_str(dir)));
}

int dp_box_list(dp_box *box, int root_fd)
{
    char folder[DP_TOPIC_FOLDER_MAX + 1];
    int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        int err = errno;
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    for (size_t i = 0; i < box->dirs_n; i++) {
        box->dirs[i].is_listed = false;
    }
    box->has_unnamed = false;
    for (const struct dirent *d; (d = readdir(stream));) {
        dp_span name = dp_span_str(d->d_name);
        if (!is_where_folders_are(name) || !is_dir(fd, d)) {
            continue;
        }
        box->has_unnamed |= !is_named(name, folder, sizeof(folder));
        if (*folder) {
            came(box, d->d_name, d->d_ino, folder);
        }
    }
    closedir(stream);
    for (size_t i = box->dirs_n; i-- > 0;) {
        if (!box->dirs[i].is_listed) {
            went(box, &box->dirs[i]);
        }
    }
    return 0;
}

static void dir_told(dp_box *box, const dp_notify_event *e, const char *folder)
{
    char name[NAME_MAX + 1];
    struct stat st;
    memcpy(name, e->name.p, e->name.n);
    name[e->name.n] = '\0';
    if (e->mask & (IN_DELETE | IN_MOVED_FROM)) {
        dp_box_dir *dir = dp_box_dir_named(box, e->name);
        if (dir) {
            went(box, dir);
        }
        return;
    }
    int root = dp_box_open_root(box);
    if (root < 0) {
        dp_box_place_later(box, strerror(errno));
        return;
    }
    if (fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0
        && is_like_folder(root, name, st.st_mode)) {
        came(box, name, st.st_ino, folder);
    }
    close(root);
}

/* One that no topic can name came or went: are there such ones now? */
static void list_again(dp_box *box)
{
    int root = dp_box_open_root(box);
    int err = root < 0 ? errno : dp_box_list(box, root);
    if (root >= 0) {
        close(root);
    }
    if (err) {
        dp_box_place_later(box, strerror(err));
    }
    else {
        dp_box_check_class(box);
    }
}

void dp_box_root_told(void *ctx, const dp_notify_event *e)
{
    char folder[DP_TOPIC_FOLDER_MAX + 1];
    dp_box *box = ctx;
    DP_MAGIC_CHECK(box, DP_BOX_MAGIC);
    if (e->mask & DP_NOTIFY_SELF) {
        dp_box_place_later(box, "it was moved, removed or unmounted");
        return;
    }
    if (box->state != DP_BOX_PRESENT) {
        return;
    }
    if (is_where_folders_are(e->name)) {
        bool is_ours = is_named(e->name, folder, sizeof(folder));
        if (*folder) {
            dir_told(box, e, folder);
        }
        if (!is_ours && (e->mask & IN_ISDIR || box->has_unnamed)) {
            list_again(box);
        }
    }
}

/* --- GUIDs */

static bool read_guid(int root, const char *dir, char *out)
{
    if (!*dir) {
        return dp_uidlist_read(root, out);
    }
    int fd = dp_maildir_open_beneath(root, dir, O_PATH | O_DIRECTORY);
    bool is_read = fd >= 0 && dp_uidlist_read(fd, out);
    if (fd >= 0) {
        close(fd);
    }
    return is_read;
}

static bool is_guid_of(int root, dp_box_dir *dir, const char *guid)
{
    if (!read_guid(root, dir->name, dir->guid)) {
        dir->guid[0] = '\0';
    }
    return strcmp(dir->guid, guid) == 0;
}

static dp_box_dir *find_guid(dp_box *box, int root, const char *guid)
{
    /* who remembers that GUID first: one file to read instead of all */
    for (size_t i = 0; i < box->dirs_n; i++) {
        if (strcmp(box->dirs[i].guid, guid) == 0
            && is_guid_of(root, &box->dirs[i], guid)) {
            return &box->dirs[i];
        }
    }
    for (size_t i = 0; i < box->dirs_n; i++) {
        if (is_guid_of(root, &box->dirs[i], guid)) {
            return &box->dirs[i];
        }
    }
    return NULL;
}

bool dp_box_resolve_guid(dp_box *box, const char *guid, char *out_folder,
                         size_t cap)
{
    char inbox[DP_GUID_HEX + 1];
    int root = dp_box_open_root(box);
    if (root < 0) {
        return false;
    }
    bool is_found = false;
    if (read_guid(root, "", inbox) && strcmp(inbox, guid) == 0) {
        snprintf(out_folder, cap, "%s", DP_MAILDIR_INBOX);
        is_found = true;
    }
    else {
        const dp_box_dir *dir = find_guid(box, root, guid);
        is_found = dir
                   && dp_maildir_folder_of(out_folder, cap,
                                           dp_span_str(dir->name));
    }
    close(root);
    return is_found;
}
