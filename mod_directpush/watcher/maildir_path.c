#include "watcher/maildir_path.h"

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef HAVE_LINUX_OPENAT2_H
#include <linux/openat2.h>
#endif

#include "bus/topic_name.h"

/* Dovecot's `:INDEX=/path` and the like; a colon alone may be in a name. */
static bool has_option(const char *t)
{
    for (const char *c = strchr(t, ':'); c; c = strchr(c + 1, ':')) {
        size_t n = strspn(c + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (n && c[1 + n] == '=') {
            return true;
        }
    }
    return false;
}

const char *dp_maildir_template_problem(const char *t)
{
    bool names_user = false;
    if (strncmp(t, "maildir:", 8) == 0) {
        return "the path alone, without \"maildir:\"";
    }
    if (t[0] != '/') {
        return "an absolute path";
    }
    if (strlen(t) > DP_MAILDIR_PATH_MAX / 2) {
        return "a shorter path";
    }
    if (has_option(t)) {
        return "the path alone, without options like :INDEX= behind it";
    }
    if (strstr(t, "/../") || strstr(t, "/./")) {
        return "a path without . and ..";
    }
    for (const char *c = strchr(t, '%'); c; c = strchr(c + 2, '%')) {
        if (!c[1] || !strchr("und%", c[1])) {
            return "%u, %n, %d or %% after a percent sign";
        }
        names_user |= c[1] == 'u' || c[1] == 'n';
    }
    return names_user ? NULL : "%u or %n in it, the user's name";
}

static dp_span local_part(dp_span user)
{
    const unsigned char *at = memrchr(user.p, '@', user.n);
    return at ? dp_span_of(user.p, (size_t)(at - user.p)) : user;
}

static dp_span domain_part(dp_span user)
{
    const unsigned char *at = memrchr(user.p, '@', user.n);
    return at ? dp_span_of(at + 1, user.n - (size_t)(at + 1 - user.p))
              : dp_span_of(NULL, 0);
}

static bool append(dp_maildir_path *out, size_t *at, dp_span what)
{
    if (what.n >= sizeof(out->path) - *at) {
        return false;
    }
    if (what.n) {
        memcpy(out->path + *at, what.p, what.n);
    }
    *at += what.n;
    out->path[*at] = '\0';
    return true;
}

/* After expansion every component must be one name. */
static bool is_climbing(const char *path)
{
    for (const char *c = path; c; c = strchr(c + 1, '/')) {
        size_t n = strcspn(c + 1, "/");
        if (n == 0 || (n == 1 && c[1] == '.')
            || (n == 2 && c[1] == '.' && c[2] == '.')) {
            return true;
        }
    }
    return false;
}

static size_t base_length(const char *t)
{
    const char *percent = strchr(t, '%');
    const char *slash = t;
    if (!percent) { /* all but the last component */
        percent = t + strlen(t);
        while (percent > t + 1 && percent[-1] == '/') {
            percent--;
        }
    }
    for (const char *c = t; c < percent; c++) {
        if (*c == '/') {
            slash = c;
        }
    }
    return (size_t)(slash - t);
}

const char *dp_maildir_path_of(dp_maildir_path *out, const char *t,
                               dp_span user)
{
    dp_span local = local_part(user), domain = domain_part(user);
    dp_span literal_percent = DP_SPAN_LIT("%");
    size_t at = 0;
    out->base_n = base_length(t);
    for (; *t; t++) {
        dp_span what = dp_span_of(t, 1);
        if (*t == '%') {
            t++;
            what = *t == 'u'   ? user
                   : *t == 'n' ? local
                   : *t == 'd' ? domain
                               : literal_percent;
            if (*t == 'd' && domain.n == 0) {
                return "the user has no domain: set default_domain";
            }
            if (memchr(what.p, '/', what.n)) {
                return "a slash in the user's name";
            }
        }
        if (!append(out, &at, what)) {
            return "the path of the Maildir is too long";
        }
    }
    while (at > 1 && out->path[at - 1] == '/') {
        out->path[--at] = '\0';
    }
    return is_climbing(out->path) ? "the user's name climbs" : NULL;
}

bool dp_maildir_canonical_user(char *out, size_t cap, dp_span user,
                               const char *default_domain)
{
    dp_span local = local_part(user), domain = domain_part(user);
    if (!dp_topic_user_is_sane(user) || user.p[user.n - 1] == '@') {
        return false;
    }
    if (domain.n == 0 && default_domain) {
        domain = dp_span_str(default_domain);
    }
    size_t need = local.n + (domain.n ? 1 + domain.n : 0);
    if (need >= cap || need > DP_TOPIC_USER_MAX || local.n == 0) {
        return false;
    }
    memcpy(out, local.p, local.n);
    if (domain.n) {
        out[local.n] = '@';
        for (size_t i = 0; i < domain.n; i++) {
            unsigned char c = domain.p[i];
            out[local.n + 1 + i] =
                (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
    }
    out[need] = '\0';
    return true;
}

static bool is_link(int dirfd, const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0
           && S_ISLNK(st.st_mode);
}

/* Without openat2: step by step, following no symbolic link at all. `relative`
 * may well be ".", where the mailbox itself is meant. */
static int open_step_by_step(int dirfd, const char *relative, int flags)
{
    char name[NAME_MAX + 1];
    int at = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
    while (at >= 0) {
        size_t n = strcspn(relative, "/");
        bool is_last = relative[n] == '\0';
        bool climbs = n == 2 && memcmp(relative, "..", 2) == 0;
        if (n == 0 || n > NAME_MAX || climbs) {
            close(at);
            errno = EINVAL;
            return -1;
        }
        memcpy(name, relative, n);
        name[n] = '\0';
        int step = is_last ? flags : O_PATH | O_DIRECTORY;
        int next = openat(at, name, step | O_NOFOLLOW | O_CLOEXEC);
        /* which a link is not with O_DIRECTORY, as if there were nothing */
        int err = errno == ENOTDIR && is_link(at, name) ? ELOOP : errno;
        close(at);
        errno = err;
        at = next;
        if (is_last) {
            break;
        }
        relative += n + 1;
    }
    return at;
}

int dp_maildir_open_beneath(int dirfd, const char *relative, int flags)
{
#if defined(HAVE_LINUX_OPENAT2_H) && defined(SYS_openat2)
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, dirfd, relative, &how, sizeof(how));
    /* EPERM: some containers' filters know it no better */
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) {
        return (int)fd;
    }
#endif
    return open_step_by_step(dirfd, relative, flags);
}

static bool is_dir_by_stat(int dirfd, const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_NO_AUTOMOUNT) == 0
           && S_ISDIR(st.st_mode);
}

bool dp_maildir_may_be_dir(int dirfd, const char *name)
{
#if defined(HAVE_LINUX_OPENAT2_H) && defined(SYS_openat2)
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
    if (fd >= 0) {
        close(fd);
        return true;
    }
    if (errno != ENOSYS && errno != EPERM) {
        return errno != ENOTDIR && errno != ENOENT && errno != ELOOP;
    }
#endif
    return is_dir_by_stat(dirfd, name);
}
