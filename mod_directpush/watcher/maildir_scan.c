#include "watcher/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "watcher/log.h"

/* A slice is one call of the kernel: some 400 entries. What it returned is
 * counted whole before any event is looked at, so that an event that is told
 * later is about a later moment. (readdir() keeps entries of its own, which
 * may be gone by then.) */
#define SLICE_BYTES 32768

/* new/ and cur/ of a folder whose entries come in one slice each, and the two
 * calls that say that this was all. */
#define SLICES_SMALL 4

struct linux_dirent64 {
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

static int open_part(const dp_folder *f, int root_fd)
{
    char path[DP_MAILDIR_PATH_MAX];
    const char *part = f->scan_where == DP_IN_NEW ? "new" : "cur";
    int root = root_fd < 0 ? dp_box_open_root(f->box) : root_fd;
    if (root < 0) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s%s%s", f->dir, *f->dir ? "/" : "", part);
    int fd = dp_maildir_open_beneath(root, path, O_RDONLY | O_DIRECTORY);
    int err = errno;
    if (root != root_fd) {
        close(root);
    }
    errno = err;
    return fd;
}

static void count_slice(dp_folder *f, const char *buf, long n)
{
    for (long at = 0; at < n;) {
        const struct linux_dirent64 *d = (const void *)(buf + at);
        if (d->d_type != DT_DIR) {
            dp_messages_found(&f->messages, f->scan_where,
                              dp_span_str(d->d_name));
            f->box->source->messages_scanned++;
        }
        at += d->d_reclen;
    }
}

void dp_folder_scan_stop(dp_folder *f)
{
    if (f->scan_fd >= 0) {
        close(f->scan_fd);
        f->scan_fd = -1;
    }
}

/* @return true when there is a next part */
static bool next_part(dp_folder *f)
{
    dp_folder_scan_stop(f);
    if (f->scan_where == DP_IN_NEW) {
        f->scan_where = DP_IN_CUR;
        return true;
    }
    return false;
}

bool dp_folder_scan(dp_folder *f, int root_fd)
{
    char buf[SLICE_BYTES]
        __attribute__((aligned(__alignof__(struct linux_dirent64))));
    if (f->scan_fd < 0) {
        f->scan_fd = open_part(f, root_fd);
        if (f->scan_fd < 0) {
            if (errno == ENOENT) {
                return next_part(f); /* its coming will be told */
            }
            dp_folder_refuse(f, errno);
            return false;
        }
    }
    long n = syscall(SYS_getdents64, f->scan_fd, buf, sizeof(buf));
    if (n > 0) {
        count_slice(f, buf, n);
        return true;
    }
    if (n < 0 && errno != ENOENT) { /* ENOENT: removed while we read */
        dp_folder_refuse(f, errno);
        return false;
    }
    return next_part(f);
}

void dp_folder_scan_begin(dp_folder *f, int root_fd)
{
    bool is_unfinished = true;
    for (int i = 0; i < SLICES_SMALL && is_unfinished; i++) {
        is_unfinished = dp_folder_scan(f, root_fd);
    }
    if (is_unfinished) {
        /* begun again in its turn, lest many be open: what was found counts
         * once */
        dp_folder_scan_stop(f);
    }
    else if (f->state == DP_FOLDER_SCANNING) {
        dp_folder_scanned(f);
    }
}
