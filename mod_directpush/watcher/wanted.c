#include "watcher/wanted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/bus_link.h"

#define NAME "wanted"

/* A million topics with the longest names that are usual. */
#define BYTES_MAX (256 << 20)

struct dp_wanted {
    FILE *f;
    char *line; /* getline()'s */
    size_t cap;
};

static void path_of(const char *dir, const char *name, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%s", dir, name);
}

/* --- writing */

typedef struct writing {
    FILE *f;
    dp_time_us since_us;
} writing;

static void write_one(void *ctx, dp_want *want)
{
    writing *all = ctx;
    char line[DP_LINK_LINE_MAX];
    if (!want->is_vouched || want->renewed_us < all->since_us) {
        return;
    }
    dp_span fields[] = {dp_span_str(want->user->name),
                        dp_span_str(dp_class_name(want->class)),
                        dp_span_str(want->folder)};
    size_t n = dp_link_format(line, sizeof(line), fields, 3);
    if (n) {
        fwrite(line, 1, n, all->f);
    }
}

/* No fsync of the directory: whether a crash leaves this, an older one or none
 * is all the same. */
int dp_wanted_write(const char *dir, dp_wants *wants, dp_time_us now_us)
{
    char path[4096], temp[4096];
    path_of(dir, NAME, path, sizeof(path));
    path_of(dir, NAME ".new", temp, sizeof(temp));
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    writing all = {.since_us = now_us
                               - DP_LINK_WATCH_EXPIRY_S / 2 * DP_SECOND_US};
    if (fd < 0 || (all.f = fdopen(fd, "w")) == NULL) {
        int err = errno;
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    dp_wants_each(wants, write_one, &all);
    bool is_whole = fflush(all.f) == 0 && !ferror(all.f) && fsync(fd) == 0;
    int err = is_whole ? 0 : errno;
    fclose(all.f);
    if (!err && rename(temp, path) != 0) {
        err = errno;
    }
    if (err) {
        unlink(temp);
        unlink(path);
    }
    return err;
}

/* --- reading */

dp_wanted *dp_wanted_take(const char *dir)
{
    char path[4096];
    struct stat st;
    path_of(dir, NAME, path, sizeof(path));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return NULL;
    }
    unlink(path); /* if it is our end, it is not that of the next start */
    bool is_good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                   && st.st_size <= BYTES_MAX;
    FILE *f = is_good ? fdopen(fd, "r") : NULL;
    if (!f) {
        close(fd);
        return NULL;
    }
    dp_wanted *w = calloc(1, sizeof(*w));
    DP_ASSERT(w);
    w->f = f;
    return w;
}

bool dp_wanted_next(dp_wanted *w, dp_span *out_user, dp_class *out_class,
                    dp_span *out_folder)
{
    ssize_t n;
    while ((n = getline(&w->line, &w->cap, w->f)) > 0) {
        dp_link_line line;
        if (w->line[n - 1] != '\n') {
            break; /* cut off */
        }
        dp_link_parse((unsigned char *)w->line, (size_t)n - 1, &line);
        if (line.fields_n == 3) {
            *out_user = line.field[0];
            *out_class = dp_class_of(line.field[1]);
            *out_folder = line.field[2];
            return true;
        }
    }
    return false;
}

void dp_wanted_free(dp_wanted **w)
{
    if (*w) {
        fclose((*w)->f);
        free((*w)->line);
        free(*w);
        *w = NULL;
    }
}
