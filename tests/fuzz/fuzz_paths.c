/* fuzz_paths: where a user's Maildir is. Lines: template, default domain, user,
 * a path below. A user never gets another's path or one outside of the base,
 * his canonical name is its own, and what is opened lies beneath. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/topic_name.h"
#include "fuzz_same.h"
#include "watcher/maildir_path.h"

static char root[] = "/tmp/dp-fuzz-paths-XXXXXX";

static dp_span line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *from = *at;
    while (*at < end && **at != '\n') {
        (*at)++;
    }
    dp_span s = dp_span_of(from, (size_t)(*at - from));
    *at += *at < end;
    return s;
}

static void check_path(const char *template_text, dp_span user)
{
    static dp_maildir_path p;
    if (dp_maildir_template_problem(template_text)
        || dp_maildir_path_of(&p, template_text, user)) {
        return;
    }
    size_t n = strlen(p.path);
    DP_ASSERT(p.path[0] == '/' && n < sizeof(p.path));
    DP_ASSERT(n == 1 || p.path[n - 1] != '/');
    DP_ASSERT(!strstr(p.path, "/../") && !strstr(p.path, "/./")
              && !strstr(p.path, "//"));
    DP_ASSERT(n < 3 || strcmp(p.path + n - 3, "/..") != 0);
    /* the base is the administrator's, letter for letter */
    DP_ASSERT(p.base_n < n && p.path[p.base_n] == '/');
    DP_ASSERT(memcmp(p.path, template_text, p.base_n) == 0
              && !memchr(p.path, '%', p.base_n));
    DP_ASSERT(strchr(template_text, '%') > template_text + p.base_n);
    DP_ASSERT(memmem(p.path + p.base_n, n - p.base_n, user.p, user.n)
              || strstr(template_text, "%%") || !strstr(template_text, "%u"));
}

static void check_user(dp_span user, const char *domain, char *out, size_t cap)
{
    char again[DP_TOPIC_USER_MAX + 1];
    if (!dp_maildir_canonical_user(out, cap, user, domain)) {
        out[0] = '\0';
        return;
    }
    DP_ASSERT(dp_topic_user_is_sane(dp_span_str(out)));
    DP_ASSERT(dp_maildir_canonical_user(again, sizeof(again), dp_span_str(out),
                                        domain));
    DP_ASSERT(strcmp(again, out) == 0);
}

/* --- opening beneath */

static void remove_tree(void)
{
    static const char *const names[] = {"in/link", "in/up", "in/file", "in/a/b",
                                        "in/a", "in", "out", ""};
    char path[64];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        if (unlink(path) != 0) {
            rmdir(path);
        }
    }
}

static int make_tree(void)
{
    DP_ASSERT(mkdtemp(root));
    atexit(remove_tree);
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    DP_ASSERT(mkdirat(fd, "in", 0700) == 0 && mkdirat(fd, "out", 0700) == 0);
    DP_ASSERT(mkdirat(fd, "in/a", 0700) == 0);
    DP_ASSERT(mkdirat(fd, "in/a/b", 0700) == 0);
    close(openat(fd, "in/file", O_CREAT | O_WRONLY, 0600));
    DP_ASSERT(symlinkat("../out", fd, "in/link") == 0);
    DP_ASSERT(symlinkat("a", fd, "in/up") == 0);
    int in = openat(fd, "in", O_RDONLY | O_DIRECTORY);
    close(fd);
    return in;
}

static void check_beneath(dp_span relative)
{
    static int in = -1;
    char path[128], is[256], beneath[128], *text;
    if (in < 0) {
        in = make_tree();
    }
    text = malloc(relative.n + 1);
    if (relative.n) {
        memcpy(text, relative.p, relative.n);
    }
    text[relative.n] = '\0';
    int fd = dp_maildir_open_beneath(in, text, O_PATH);
    if (fd >= 0) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, is, sizeof(is) - 1);
        DP_ASSERT(n > 0);
        is[n] = '\0';
        snprintf(beneath, sizeof(beneath), "%s/in", root);
        DP_ASSERT(strncmp(is, beneath, strlen(beneath)) == 0);
        DP_ASSERT(is[strlen(beneath)] == '\0' || is[strlen(beneath)] == '/');
        close(fd);
    }
    dp_maildir_may_be_dir(in, text);
    free(text);
}

static char *text_of(dp_span s)
{
    char *text = malloc(s.n + 1);
    if (s.n) {
        memcpy(text, s.p, s.n);
    }
    text[s.n] = '\0';
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    char canonical[DP_TOPIC_USER_MAX + 1];
    char *template_text = text_of(line(&at, end));
    char *domain = text_of(line(&at, end));
    /* as conf.c has it: none, or one of lower case that a user can have */
    bool has_domain = *domain && dp_topic_user_is_sane(dp_span_str(domain))
                      && !strchr(domain, '@');
    for (char *c = domain; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
    }
    check_user(line(&at, end), has_domain ? domain : NULL, canonical,
               sizeof(canonical));
    if (canonical[0]) {
        check_path(template_text, dp_span_str(canonical));
    }
    check_beneath(line(&at, end));
    free(template_text);
    free(domain);
    return 0;
}
