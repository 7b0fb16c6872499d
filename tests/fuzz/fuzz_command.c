/* fuzz_command: what a child of Apache (or who has taken one over) may say at
 * the control socket, to a whole directpushd, with Maildirs or without. Each
 * line that can be answered is answered once, by a line; in pieces the answers
 * are of the same kinds; and what is vouched for is there again after a
 * restart. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus/bus_link.h"
#include "fuzz_same.h"
#include "watcher/watcher.h"

#define ANSWERS_MAX (4 << 20)

static char root[64];

/* --- a place with mailboxes */

static void remove_in(const char *dir)
{
    char path[512];
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
            if (unlink(path) != 0) {
                remove_in(path);
            }
        }
    }
    if (d) {
        closedir(d);
    }
    rmdir(dir);
}

static void remove_root(void)
{
    remove_in(root);
}

static void make(const char *below, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", root, below);
    if (!text) {
        DP_ASSERT(mkdir(path, 0700) == 0);
        return;
    }
    FILE *f = fopen(path, "w");
    DP_ASSERT(f && fputs(text, f) >= 0);
    fclose(f);
}

static void make_maildir(const char *below)
{
    static const char *const parts[] = {"", "/cur", "/new", "/tmp"};
    char path[256];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s%s", below, parts[i]);
        make(path, NULL);
    }
}

static void make_place(void)
{
    const char *tmpfs = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(root, sizeof(root), "%s/dp-fuzz-command-XXXXXX", tmpfs);
    DP_ASSERT(mkdtemp(root));
    atexit(remove_root);
    make("mail", NULL);
    make_maildir("mail/alice");
    make_maildir("mail/alice/.Sent");
    make_maildir("mail/alice/.A&AOQ-.B");
    make_maildir("mail/bob");
    make_maildir("mail/public");
    make("mail/alice/cur/1.a:2,S", "");
    make("mail/alice/dovecot-uidlist",
         "3 V1 N1 G0123456789abcdef0123456789abcdef\n");
    make("mail/bob/dovecot-uidlist",
         "3 V1 N1 Gfedcba98765432100123456789abcdef\n");
    make("dict", "shared/shared-boxes/user/alice/bob\n1\n");
}

static char *text_at(const char *below)
{
    char *path = malloc(512);
    snprintf(path, 512, "%s/%s", root, below);
    return path;
}

/* Byte 0: whether there is mail, whether the same is said in pieces, whether
 * it starts again, whether paths have a name many times, and how long the
 * pieces are. */
enum { WITH_MAIL = 1, IN_PIECES = 2, AGAIN = 4, LONG_PATHS = 8, LONGER = 16 };

static dp_conf *make_conf(uint8_t how)
{
    dp_conf *c = calloc(1, sizeof(*c));
    c->file = strdup("fuzz");
    c->runtime_dir = text_at("run");
    c->state_dir = text_at("state");
    c->gid = (gid_t)-1;
    c->default_domain = strdup("x.org");
    c->topics = 64;
    c->journal = 64;
    c->user_topics = 3;
    c->connections = 10;
    c->log_level = DP_LOG_ERROR;
    if (how & WITH_MAIL) {
        const char *place = how & LONG_PATHS
                                ? "mail/%n/%n/%n/%n/%n/%n/%n/%n/%n/%n/%n/%n"
                                : "mail/%n";
        c->maildir = (dp_conf_maildir){.is_on = true,
                                       .path = text_at(place),
                                       .public = text_at("mail/public"),
                                       .shared_dict = text_at("dict"),
                                       .poll_us = DP_SECOND_US,
                                       .is_polled = true};
    }
    return c;
}

/* --- a client on the daemon's own loop */

typedef struct client {
    dp_watcher *w;
    dp_loop_fd fd;
    const uint8_t *at;
    size_t left, chunk_n;
    bool has_shut;
    char *answers;
    size_t n;
} client;

static void say_more(client *c)
{
    size_t n = c->left < c->chunk_n ? c->left : c->chunk_n;
    ssize_t sent = n ? send(c->fd.fd, c->at, n, MSG_NOSIGNAL | MSG_DONTWAIT)
                     : 0;
    if (sent > 0) {
        c->at += sent;
        c->left -= (size_t)sent;
    }
    else if (sent < 0 && errno != EAGAIN) {
        c->left = 0; /* hung up on */
    }
    if (c->left == 0 && !c->has_shut) {
        shutdown(c->fd.fd, SHUT_WR);
        c->has_shut = true;
        dp_loop_change(c->w->loop, &c->fd, EPOLLIN);
    }
}

static void client_ready(void *ctx, uint32_t events)
{
    client *c = ctx;
    if (events & (EPOLLIN | EPOLLHUP)) {
        DP_ASSERT(c->n < ANSWERS_MAX);
        ssize_t n = recv(c->fd.fd, c->answers + c->n, ANSWERS_MAX - c->n,
                         MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            dp_loop_close(c->w->loop, &c->fd);
            dp_loop_stop(c->w->loop);
            return;
        }
        c->n += n > 0 ? (size_t)n : 0;
    }
    if (events & EPOLLOUT) {
        say_more(c);
    }
}

static void talk(dp_watcher *w, client *c)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/%s", root,
             DP_BUS_SOCKET_NAME);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DP_ASSERT(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    c->w = w;
    c->fd = (dp_loop_fd){.fd = fd, .ready = client_ready, .ctx = c};
    DP_ASSERT(dp_loop_add(w->loop, &c->fd, EPOLLIN | EPOLLOUT));
    dp_loop_run(w->loop);
}

typedef struct topics {
    size_t n, vouched_n; /* `vouched_n` are sure to be there after a restart */
} topics;

static void count_topic(void *ctx, dp_want *want)
{
    topics *t = ctx;
    t->n++;
    t->vouched_n += want->is_vouched && dp_list_is_empty(&want->gone);
}

/* A run of directpushd for what the client has to say. */
static void run(client *c, uint8_t how, bool is_fresh, topics *out_before,
                topics *out_after)
{
    dp_watcher w;
    char problem[1024];
    if (is_fresh) {
        char *run_dir = text_at("run"), *state_dir = text_at("state");
        remove_in(run_dir);
        remove_in(state_dir);
        free(run_dir);
        free(state_dir);
    }
    if (!dp_watcher_start(&w, make_conf(how), problem, sizeof(problem))) {
        fprintf(stderr, "%s\n", problem);
        abort();
    }
    *out_before = *out_after = (topics){.n = 0};
    dp_wants_each(w.wants, count_topic, out_before);
    talk(&w, c);
    dp_wants_each(w.wants, count_topic, out_after);
    dp_watcher_stop(&w);
    dp_conf_free(&w.conf);
}

/* --- what it was answered */

/* One answer: a line of this protocol. Of `follow` and `wake` there is more. */
static size_t count_answers(const client *c)
{
    size_t n = 0;
    for (size_t at = 0; at < c->n;) {
        const char *lf = memchr(c->answers + at, '\n', c->n - at);
        if (!lf) { /* bytes of `wake` */
            DP_ASSERT(strspn(c->answers + at, "w") >= c->n - at);
            break;
        }
        size_t line_n = (size_t)(lf - c->answers) - at;
        unsigned char *copy = malloc(line_n + 1);
        dp_link_line line;
        memcpy(copy, c->answers + at, line_n);
        dp_link_parse(copy, line_n, &line);
        DP_ASSERT(line.fields_n > 0);
        n++;
        free(copy);
        at += line_n + 1;
    }
    return n;
}

/* First words only: slots, seqs and instances differ. */
static uint64_t kinds_of(const client *c)
{
    uint64_t hash = 0;
    for (size_t at = 0; at < c->n;) {
        size_t word_n = strcspn(c->answers + at, "\t\n");
        const char *lf = memchr(c->answers + at, '\n', c->n - at);
        hash = fuzz_mix(hash, c->answers + at, word_n);
        at = lf ? (size_t)(lf - c->answers) + 1 : c->n;
    }
    return hash;
}

static bool has_word(const uint8_t *data, size_t size, const char *word)
{
    return memmem(data, size, word, strlen(word)) != NULL;
}

/* One answer for each line that has one. `status` has many. */
static void check_answers(const client *c, const uint8_t *data, size_t size)
{
    size_t lines = 0, n = count_answers(c);
    for (size_t i = 0; i < size; i++) {
        lines += data[i] == '\n';
    }
    if (!has_word(data, size, "status")) {
        DP_ASSERT(n <= lines);
        DP_ASSERT(n == lines || has_word(data, size, "ping"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *texts[3];
    topics before, after, restored;
    if (size == 0) {
        return 0;
    }
    if (!root[0]) {
        make_place();
        for (int i = 0; i < 3; i++) {
            texts[i] = malloc(ANSWERS_MAX + 1);
        }
    }
    uint8_t how = *data++;
    size--;
    bool is_paired = !has_word(data, size, "wake")
                     && !has_word(data, size, "follow");
    client whole = {.at = data, .left = size, .chunk_n = SIZE_MAX,
                    .answers = texts[0]};
    client pieces = whole, none = {.answers = texts[2]};
    run(&whole, how, true, &before, &after);
    whole.answers[whole.n] = '\0';
    if (is_paired) {
        check_answers(&whole, data, size);
    }
    if (how & AGAIN) {
        run(&none, how, false, &restored, &before);
        DP_ASSERT(restored.n >= after.vouched_n && restored.n <= after.n);
    }
    if (how & IN_PIECES) {
        pieces.chunk_n = 3 + how / LONGER;
        pieces.answers = texts[1];
        run(&pieces, how, true, &before, &after);
        pieces.answers[pieces.n] = '\0';
        if (is_paired && !(how & WITH_MAIL)) {
            /* with mail a look may end between two lines */
            DP_ASSERT(kinds_of(&whole) == kinds_of(&pieces));
        }
    }
    return 0;
}
