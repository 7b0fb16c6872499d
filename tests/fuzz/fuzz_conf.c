/* fuzz_conf: directpushd.conf. What is refused is told in one line; what is
 * taken keeps its promises, and is the same after being written down by its
 * values. A reload reads with the same scanner again: no file, however bad,
 * may change what is made of the next one. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_same.h"
#include "watcher/conf.h"
#include "watcher/dav_secret.h"
#include "watcher/maildir_path.h"

/* libconfuse loses some blocks when a file is bad. Not ours to mend, and a
 * reload is somebody's typing: no flood. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfuse\n";
}

static const char good[] =
    "runtime_dir = \"/run/x\"\n"
    "maildir { path = \"/var/mail/%d/%n\" watch = poll }\n";

/* Files in memory, with names that the dictionary knows. */
#define FILE_FD   100
#define SECRET_FD 101

static const char file[] = "/proc/self/fd/100";
static const char secret[] = "/proc/self/fd/101";

static void make_files(void)
{
    int fd = memfd_create("fuzz_conf", 0), other = memfd_create("secret", 0);
    DP_ASSERT(dup2(fd, FILE_FD) == FILE_FD);
    DP_ASSERT(dup2(other, SECRET_FD) == SECRET_FD);
    close(fd);
    close(other);
    fchmod(SECRET_FD, 0600);
    DP_ASSERT(write(SECRET_FD, "pass\n", 5) == 5);
    dp_log_set_level(DP_LOG_ERROR);
}

static dp_conf *read_text(const void *text, size_t n, char *problem, size_t cap)
{
    static bool is_made;
    if (!is_made) {
        make_files();
        is_made = true;
    }
    DP_ASSERT(ftruncate(FILE_FD, 0) == 0);
    DP_ASSERT(pwrite(FILE_FD, text, n, 0) == (ssize_t)n);
    return dp_conf_read(file, problem, cap);
}

static bool is_power(uint32_t n)
{
    return n >= 64 && n <= 1 << 24 && (n & (n - 1)) == 0;
}

static void check_values(const dp_conf *c)
{
    DP_ASSERT(c->runtime_dir[0] == '/' && c->state_dir[0] == '/');
    DP_ASSERT(is_power(c->topics) && is_power(c->journal));
    DP_ASSERT(c->user_topics && c->connections);
    if (c->maildir.is_on) {
        const dp_conf_maildir *m = &c->maildir;
        DP_ASSERT(!dp_maildir_template_problem(m->path));
        DP_ASSERT(!m->public || m->public[0] == '/');
        DP_ASSERT(!m->shared_dict || m->shared_dict[0] == '/');
        DP_ASSERT(m->poll_us >= DP_SECOND_US);
    }
    if (c->dav.is_on) {
        const dp_conf_dav *d = &c->dav;
        DP_ASSERT(strncasecmp(d->url, "http", 4) == 0);
        DP_ASSERT(*d->calendars || *d->contacts);
        DP_ASSERT(d->user ? d->password != NULL : d->passwords != NULL);
        DP_ASSERT(d->interval_us >= DP_SECOND_US && d->connections
                  && d->requests_per_second);
    }
}

/* --- written down, and read again */

typedef struct paper {
    char text[65536];
    size_t n;
} paper;

static void put(paper *p, const char *s, size_t n)
{
    if (p->n + n < sizeof(p->text)) {
        memcpy(p->text + p->n, s, n);
        p->n += n;
    }
}

static void put_text(paper *p, const char *name, const char *value)
{
    if (!value) {
        return;
    }
    put(p, name, strlen(name));
    put(p, "=\"", 2);
    for (; *value; value++) {
        if (strchr("\"\\$", *value)) {
            put(p, "\\", 1);
        }
        put(p, value, 1);
    }
    put(p, "\"\n", 2);
}

static void put_number(paper *p, const char *name, long long value)
{
    char line[96];
    put(p, line, (size_t)snprintf(line, sizeof(line), "%s=%lld\n", name,
                                  value));
}

static void put_maildir(paper *p, const dp_conf_maildir *m)
{
    put(p, "maildir {\n", 10);
    put_text(p, "path", m->path);
    put_text(p, "public", m->public);
    put_text(p, "shared_dict", m->shared_dict);
    put_number(p, "poll_interval", m->poll_us / DP_SECOND_US);
    put_text(p, "network",
             m->network == DP_CONF_NETWORK_POLL ? "poll" : "refuse");
    put_text(p, "watch", m->is_polled ? "poll" : "inotify");
    put(p, "}\n", 2);
}

static void put_dav(paper *p, const dp_conf_dav *d)
{
    put(p, "dav {\n", 6);
    put_text(p, "url", d->url);
    put_text(p, "calendars", d->calendars);
    put_text(p, "contacts", d->contacts);
    put_text(p, "user", d->user);
    put_text(p, d->user ? "password_file" : "credentials", secret);
    put_text(p, "ca_file", d->ca_file);
    put_number(p, "interval", d->interval_us / DP_SECOND_US);
    put_number(p, "requests_per_second", d->requests_per_second);
    put_number(p, "connections", d->connections);
    put(p, "}\n", 2);
}

static void write_down(paper *p, const dp_conf *c)
{
    static const char *const levels[] = {
        [DP_LOG_ERROR] = "error", [DP_LOG_WARN] = "warn",
        [DP_LOG_NOTICE] = "notice", [DP_LOG_INFO] = "info",
        [DP_LOG_DEBUG] = "debug",
    };
    p->n = 0;
    put_text(p, "runtime_dir", c->runtime_dir);
    put_text(p, "state_dir", c->state_dir);
    put_text(p, "group", c->group);
    put_text(p, "default_domain", c->default_domain);
    put_number(p, "topics", c->topics);
    put_number(p, "journal", c->journal);
    put_number(p, "user_topics", c->user_topics);
    put_number(p, "connections", c->connections);
    put_text(p, "log_level", levels[c->log_level]);
    if (c->maildir.is_on) {
        put_maildir(p, &c->maildir);
    }
    if (c->dav.is_on) {
        put_dav(p, &c->dav);
    }
}

static void check_again(const dp_conf *c)
{
    static paper first, second;
    char problem[2048];
    write_down(&first, c);
    dp_conf *again = read_text(first.text, first.n, problem, sizeof(problem));
    DP_ASSERT(again);
    check_values(again);
    write_down(&second, again);
    DP_ASSERT(first.n == second.n
              && memcmp(first.text, second.text, first.n) == 0);
    dp_conf_free(&again);
}

static void check_the_next(void)
{
    char problem[2048];
    dp_conf *c = read_text(good, sizeof(good) - 1, problem, sizeof(problem));
    DP_ASSERT(c && strcmp(c->runtime_dir, "/run/x") == 0);
    DP_ASSERT(strcmp(c->maildir.path, "/var/mail/%d/%n") == 0);
    DP_ASSERT(c->maildir.is_polled && !c->dav.is_on);
    dp_conf_free(&c);
}

/* The same bytes as a file of passwords: a password stands behind its user's
 * name and a colon at a line's beginning, and has no line end in it. */
static void check_passwords(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), out[64];
    memcpy(text, data, size);
    text[size] = '\0';
    if (dp_secret_find(text, "alice", out, sizeof(out))) {
        char line[96];
        snprintf(line, sizeof(line), "alice:%s", out);
        size_t n = strlen(line);
        const char *at = strstr(text, line);
        while (at && ((at > text && !strchr("\r\n", at[-1]))
                      || !strchr("\r\n", at[n]))) {
            at = strstr(at + 1, line);
        }
        DP_ASSERT(at && !strpbrk(out, "\r\n"));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char problem[2048];
    dp_conf *c = read_text(data, size, problem, sizeof(problem));
    if (c) {
        check_values(c);
        check_again(c);
        dp_conf_free(&c);
    }
    else {
        DP_ASSERT(*problem);
        check_the_next();
    }
    check_passwords(data, size);
    return 0;
}
