#include "watcher/dav_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dp_check.h"

#define FILE_MAX ((off_t)4 * 1024 * 1024) /* some 100,000 users */

static const char *judge(const struct stat *st)
{
    if (!S_ISREG(st->st_mode)) {
        return "it is no regular file";
    }
    if (st->st_uid != 0 && st->st_uid != geteuid()) {
        return "it belongs to another user: chown it to root or to "
               "directpushd's user";
    }
    if (st->st_mode & 0027) {
        return "others may read or change it: chmod 0640 and give it to "
               "directpushd's group";
    }
    return st->st_size > FILE_MAX ? "it is too large" : NULL;
}

char *dp_secret_read(const char *file, char *problem, size_t cap)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(problem, cap, "%s: %s", file, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    const char *why = judge(&st);
    char *text = why ? NULL : calloc(1, (size_t)st.st_size + 1);
    size_t n = 0;
    while (text && n < (size_t)st.st_size) {
        ssize_t got = read(fd, text + n, (size_t)st.st_size - n);
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    close(fd);
    if (!why && n == 0) {
        why = "it is empty";
        dp_secret_free(&text);
    }
    if (why) {
        snprintf(problem, cap, "%s: %s", file, why);
    }
    return text;
}

void dp_secret_free(char **text)
{
    if (*text) {
        explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}

bool dp_secret_find(const char *text, const char *user, char *out, size_t cap)
{
    size_t user_n = strlen(user);
    while (text && *text) {
        size_t n = strcspn(text, "\r\n");
        if (n > user_n && text[user_n] == ':'
            && strncmp(text, user, user_n) == 0 && n - user_n <= cap) {
            memcpy(out, text + user_n + 1, n - user_n - 1);
            out[n - user_n - 1] = '\0';
            return true;
        }
        text += n;
        text += strspn(text, "\r\n");
    }
    return false;
}
