/* load_backend: an ActiveSync backend for benchmarks, which costs nothing.
 *
 * THIS IS A FIXTURE: it lets everybody in, and has no mail. FolderSync tells of
 * one fixed list of folders, with ids as Z-Push gives them; a Sync counts its
 * key up and brings nothing; a Ping that it gets is answered "nothing changed"
 * at once. It keeps nothing of a device, so that 100,000 may come and nothing
 * but the front-end is measured. One thread, epoll; ends with SIGTERM.
 *
 *     load_backend [--port N] [--port-file FILE] [--trace FILE]
 *
 * The trace has a line for each Sync, as those of tools/device/load_trace.h, of
 * when it looked: what came before is in the answer, had it any mail.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "tools/device/load_trace.h"
#include "wire/eas_folders.h"
#include "wire/eas_ping.h"
#include "wire/eas_sync.h"
#include "wire/eas_url.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

/* A proxy's request: the phone's head and its own fields, and a body of a few
 * hundred bytes. */
#define REQUEST_MAX 16384
#define BODY_MAX    4096
#define EVENTS_N    64

/* As Z-Push's: {uuid}counter. */
#define KEY_STEM "{5f0a6f2e-9a39-4a7e-8f65-3c1f2a9b7d10}"

static const struct {
    const char *id, *name, *type;
} FOLDERS[] = {
    {"U7a6f1", "Inbox", "2"},    {"U2c904", "Drafts", "3"},
    {"U91be7", "Trash", "4"},    {"U0d3c5", "Sent", "5"},
    {"U5e8a2", "Calendar", "8"}, {"Ub1f46", "Contacts", "9"},
    {"U38d0c", "Tasks", "7"},
};

typedef struct client {
    int fd;
    size_t n; /* bytes of `in` */
    unsigned char in[REQUEST_MAX];
} client;

static dp_load_trace trace = {.fd = -1};

typedef struct request {
    dp_cmd cmd;
    uint32_t device; /* of "load000001": 0 */
    bool is_options, has_credentials, closes;
    dp_span body;
} request;

/* --- answers --- */

static void leaf(dp_wbxml_writer *w, dp_wbxml_tag tag, const char *text)
{
    dp_wbxml_write_leaf(w, tag, dp_span_str(text));
}

/* The key after this one; the first one after "0". */
static void next_key(const char *key, size_t n, char *out, size_t cap)
{
    unsigned long counter = 0;
    const char *brace = n ? memchr(key, '}', n) : NULL;
    if (brace) {
        char digits[24] = "";
        size_t digits_n = (size_t)(key + n - brace) - 1;
        memcpy(digits, brace + 1,
               digits_n < sizeof(digits) ? digits_n : sizeof(digits) - 1);
        counter = strtoul(digits, NULL, 10);
    }
    snprintf(out, cap, KEY_STEM "%lu", counter + 1);
}

static size_t folder_sync(dp_span body, unsigned char *out)
{
    dp_folders_parser p;
    dp_wbxml_writer w;
    char count[16];
    dp_folders_init(&p, NULL, NULL);
    dp_folders_feed(&p, body);
    if (p.is_bad || !p.is_whole) {
        return 0;
    }
    bool is_first = p.key_n == 1 && p.key[0] == '0';
    size_t n = is_first ? sizeof(FOLDERS) / sizeof(FOLDERS[0]) : 0;
    snprintf(count, sizeof(count), "%zu", n);
    dp_wbxml_write_init(&w, out, BODY_MAX);
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_FolderSync);
    leaf(&w, DP_TAG_FOLDER_Status, "1");
    dp_wbxml_write_leaf(&w, DP_TAG_FOLDER_SyncKey,
                        is_first ? DP_SPAN_LIT(KEY_STEM "1")
                                 : dp_span_of(p.key, p.key_n));
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_Changes);
    leaf(&w, DP_TAG_FOLDER_Count, count);
    for (size_t i = 0; i < n; i++) {
        dp_wbxml_write_open(&w, DP_TAG_FOLDER_Add);
        leaf(&w, DP_TAG_FOLDER_ServerId, FOLDERS[i].id);
        leaf(&w, DP_TAG_FOLDER_ParentId, "0");
        leaf(&w, DP_TAG_FOLDER_DisplayName, FOLDERS[i].name);
        leaf(&w, DP_TAG_FOLDER_Type, FOLDERS[i].type);
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    return w.n;
}

static void sync_collection(void *ctx, const dp_sync_collection *c)
{
    dp_wbxml_writer *w = ctx;
    char key[64];
    next_key(c->key, c->key_n, key, sizeof(key));
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Collection);
    leaf(w, DP_TAG_AIRSYNC_SyncKey, key);
    dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_CollectionId,
                        dp_span_of(c->id, c->id_n));
    leaf(w, DP_TAG_AIRSYNC_Status, "1");
    dp_wbxml_write_close(w);
}

static size_t sync_answer(dp_span body, unsigned char *out)
{
    dp_wbxml_writer w;
    dp_sync_parser p;
    dp_wbxml_write_init(&w, out, BODY_MAX);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collections);
    dp_sync_init(&p, false, sync_collection, &w);
    dp_sync_feed(&p, body);
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    return p.is_bad || !p.is_whole || !dp_wbxml_write_is_ok(&w) ? 0 : w.n;
}

static size_t head(char *out, size_t cap, const char *line, const char *fields,
                   size_t length)
{
    return (size_t)snprintf(out, cap,
                            "HTTP/1.1 %s\r\n"
                            "MS-Server-ActiveSync: 14.1\r\n"
                            "Cache-Control: private\r\n"
                            "%s"
                            "Content-Length: %zu\r\n\r\n",
                            line, fields, length);
}

#define WBXML "Content-Type: application/vnd.ms-sync.wbxml\r\n"

static size_t answer(const request *r, char *out, size_t cap)
{
    unsigned char body[BODY_MAX];
    size_t n = 0;
    if (r->is_options) {
        return head(out, cap, "200 OK",
                    "MS-ASProtocolVersions: 12.1,14.0,14.1\r\n"
                    "MS-ASProtocolCommands: Sync,FolderSync,Ping\r\n",
                    0);
    }
    if (!r->has_credentials) {
        return head(out, cap, "401 Unauthorized",
                    "WWW-Authenticate: Basic realm=\"fixture\"\r\n", 0);
    }
    switch (r->cmd) {
    case DP_CMD_FOLDERSYNC:
        n = folder_sync(r->body, body);
        break;
    case DP_CMD_SYNC:
        dp_load_trace_note(&trace, r->device, "Sync", false);
        dp_load_trace_flush(&trace); /* before the device has the answer */
        n = sync_answer(r->body, body);
        break;
    case DP_CMD_PING:
        n = dp_ping_response_write(body, sizeof(body), DP_PING_NOTHING, NULL, 0,
                                   0);
        break;
    default:
        return head(out, cap, "501 Not Implemented", "", 0);
    }
    if (n == 0) {
        return head(out, cap, "400 Bad Request", "", 0);
    }
    size_t head_n = head(out, cap, "200 OK", WBXML, n);
    DP_ASSERT(head_n + n <= cap);
    memcpy(out + head_n, body, n);
    return head_n + n;
}

/* --- requests --- */

static bool is_field(const char *line, const char *name)
{
    size_t n = strlen(name);
    return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

static void take_line(char *line, request *r)
{
    char *query, *end;
    if ((query = strchr(line, '?')) == NULL ||
        (end = strchr(query, ' ')) == NULL) {
        return;
    }
    dp_eas_query q;
    dp_eas_query_parse(dp_span_of(query + 1, (size_t)(end - query - 1)), &q);
    r->cmd = q.cmd;
    const char *number = q.device_id + strcspn(q.device_id, "0123456789");
    r->device = (uint32_t)strtoul(number, NULL, 10) - 1;
}

/* @return bytes of a whole request at the start of `in`; 0 not yet, -1 none */
static ssize_t parse(client *c, request *r)
{
    unsigned char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
    size_t length = 0;
    if (!end) {
        return c->n == sizeof(c->in) ? -1 : 0;
    }
    *r = (request){.cmd = DP_CMD_NONE};
    r->is_options = memcmp(c->in, "OPTIONS", 7) == 0;
    bool is_first = true;
    for (char *at = (char *)c->in, *eol; at < (char *)end + 2; at = eol + 2) {
        eol = memmem(at, (size_t)((char *)end + 2 - at), "\r\n", 2);
        *eol = '\0';
        if (is_first) {
            take_line(at, r);
        }
        else if (is_field(at, "Content-Length")) {
            length = strtoul(at + 15, NULL, 10);
        }
        else if (is_field(at, "Authorization")) {
            r->has_credentials = true;
        }
        else if (is_field(at, "Connection")) {
            r->closes = strcasestr(at, "close") != NULL;
        }
        else if (is_field(at, "Transfer-Encoding")) {
            return -1; /* our front-end passes lengths on */
        }
        *eol = '\r'; /* it may be parsed again, with more of the body */
        is_first = false;
    }
    size_t head_n = (size_t)(end + 4 - c->in);
    if (length > sizeof(c->in) - head_n) {
        return -1;
    }
    r->body = dp_span_of(end + 4, length);
    return head_n + length <= c->n ? (ssize_t)(head_n + length) : 0;
}

/* Answers are short and their reader waits for them: they fit into the
 * socket's buffer. @return false: it is over */
static bool serve(client *c)
{
    char out[BODY_MAX + 1024];
    request r;
    ssize_t used;
    while ((used = parse(c, &r)) > 0) {
        size_t n = answer(&r, out, sizeof(out));
        if (send(c->fd, out, n, MSG_NOSIGNAL) != (ssize_t)n || r.closes) {
            return false;
        }
        c->n -= (size_t)used;
        memmove(c->in, c->in + used, c->n);
    }
    return used == 0;
}

static bool readable(client *c)
{
    ssize_t n = recv(c->fd, c->in + c->n, sizeof(c->in) - c->n, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    c->n += (size_t)n;
    return n > 0 && serve(c);
}

/* --- life --- */

static void look_for(int epoll_fd, int fd, void *who)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = who};
    DP_ASSERT(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0);
}

static void welcome(int epoll_fd, int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        client *c = calloc(1, sizeof(*c));
        DP_ASSERT(c);
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        look_for(epoll_fd, fd, c);
    }
}

static int listen_at(uint16_t port, uint16_t *out_port)
{
    int on = 1,
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0) {
        perror("load_backend");
        exit(1);
    }
    *out_port = ntohs(at.sin_port);
    return fd;
}

static void tell_port(const char *file, uint16_t port)
{
    char temp[4096];
    if (!file) {
        printf("%u\n", port);
        fflush(stdout);
        return;
    }
    snprintf(temp, sizeof(temp), "%s.tmp", file);
    FILE *f = fopen(temp, "w");
    if (!f || fprintf(f, "%u\n", port) < 0 || fclose(f) != 0 ||
        rename(temp, file) != 0) {
        perror(file);
        exit(1);
    }
}

static int signal_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void work(int listener, int signals)
{
    struct epoll_event events[EVENTS_N];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    DP_ASSERT(epoll_fd >= 0);
    look_for(epoll_fd, signals, &signals);
    look_for(epoll_fd, listener, &listener);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_N, -1);
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;
            if (who == &signals) {
                return;
            }
            if (who == &listener) {
                welcome(epoll_fd, listener);
                continue;
            }
            client *c = who;
            if (!readable(c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"port-file", required_argument, NULL, 'f'},
        {"trace", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0}};
    unsigned long wanted = 0;
    const char *file = NULL, *trace_file = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == '?') {
            fputs("Usage: load_backend [--port N] [--port-file FILE] "
                  "[--trace FILE]\n",
                  stderr);
            return 1;
        }
        wanted = o == 'p' ? strtoul(optarg, NULL, 10) : wanted;
        file = o == 'f' ? optarg : file;
        trace_file = o == 't' ? optarg : trace_file;
    }
    if (!dp_load_trace_open(&trace, trace_file)) {
        perror(trace_file);
        return 1;
    }
    uint16_t port;
    int signals = signal_fd();
    int listener = listen_at((uint16_t)wanted, &port);
    tell_port(file, port);
    work(listener, signals);
    return 0;
}
