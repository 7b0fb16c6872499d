#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus/bus_map.h"
#include "tools/ctl.h"

/* An answer takes milliseconds; the longest scan of one turn far less. */
#define PATIENCE_S 30

/* `runtime_dir = "DIR"` of one line. @return false: it says something else */
static bool take_runtime_dir(const char *line, char *out, size_t cap)
{
    static const char word[] = "runtime_dir";
    line += strspn(line, " \t");
    if (strncmp(line, word, sizeof(word) - 1) != 0) {
        return false;
    }
    line += sizeof(word) - 1;
    line += strspn(line, " \t");
    if (*line != '=') {
        return false;
    }
    line++;
    line += strspn(line, " \t\"'");
    snprintf(out, cap, "%.*s", (int)strcspn(line, "\"'#\r\n"), line);
    return true;
}

/* Of directpushd.conf only one line is our business, and a mistake in another
 * must not keep us from asking: directpushd -t checks them. */
static bool read_runtime_dir(const char *file, char *out, size_t cap)
{
    char line[4096];
    FILE *f = fopen(file, "re");
    if (!f) {
        fprintf(stderr, "directpushctl: %s: %s\n", file, strerror(errno));
        return false;
    }
    snprintf(out, cap, "%s", DP_CTL_RUNTIME_DIR);
    while (fgets(line, sizeof(line), f)) {
        take_runtime_dir(line, out, cap);
    }
    fclose(f);
    return true;
}

int dp_ctl_find(dp_ctl *ctl)
{
    char dir[2048];
    if (ctl->socket) {
        snprintf(ctl->path, sizeof(ctl->path), "%s", ctl->socket);
        return DP_CTL_OK;
    }
    /* who may use the socket need not be able to read the configuration */
    if (!ctl->conf_file && access(DP_CONF_DEFAULT, R_OK) != 0) {
        snprintf(dir, sizeof(dir), "%s", DP_CTL_RUNTIME_DIR);
    }
    else if (!read_runtime_dir(ctl->conf_file ? ctl->conf_file
                                              : DP_CONF_DEFAULT,
                               dir, sizeof(dir))) {
        fputs("Name the configuration by -c FILE, or the socket by -s "
              "SOCKET.\n",
              stderr);
        return DP_CTL_USAGE;
    }
    snprintf(ctl->path, sizeof(ctl->path), "%s/%s", dir, DP_BUS_SOCKET_NAME);
    return DP_CTL_OK;
}

static int tell_no_socket(const dp_ctl *ctl, int err)
{
    const char *remedy = "is it a socket of directpushd?";
    if (err == ENOENT || err == ECONNREFUSED) {
        remedy = "directpushd does not run: systemctl start directpushd";
    }
    else if (err == EACCES || err == EPERM) {
        remedy = "be root, or in the group that directpushd.conf names";
    }
    fprintf(stderr, "directpushctl: %s: %s: %s\n", ctl->path, strerror(err),
            remedy);
    return DP_CTL_NO_DAEMON;
}

int dp_ctl_open(dp_ctl *ctl)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int status = ctl->path[0] ? DP_CTL_OK : dp_ctl_find(ctl);
    if (status != DP_CTL_OK) {
        return status;
    }
    if (strlen(ctl->path) >= sizeof(addr.sun_path)) {
        return tell_no_socket(ctl, ENAMETOOLONG);
    }
    strcpy(addr.sun_path, ctl->path);
    ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ctl->fd < 0
        || connect(ctl->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        int err = errno;
        dp_ctl_close(ctl);
        return tell_no_socket(ctl, err);
    }
    setsockopt(ctl->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return DP_CTL_OK;
}

void dp_ctl_close(dp_ctl *ctl)
{
    if (ctl->fd >= 0) {
        close(ctl->fd);
    }
    ctl->fd = -1;
    ctl->in_n = ctl->done_n = 0;
}

bool dp_ctl_say(dp_ctl *ctl, const char *const *words, size_t n)
{
    char line[DP_LINK_LINE_MAX];
    dp_span fields[DP_LINK_FIELDS_MAX];
    if (n > DP_LINK_FIELDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        fields[i] = dp_span_str(words[i]);
    }
    size_t len = dp_link_format(line, sizeof(line), fields, n);
    return len > 0
           && send(ctl->fd, line, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static unsigned char *find_lf(dp_ctl *ctl)
{
    return ctl->in_n > ctl->done_n
               ? memchr(ctl->in + ctl->done_n, '\n', ctl->in_n - ctl->done_n)
               : NULL;
}

/* @return false at the end, or after PATIENCE_S */
static bool read_more(dp_ctl *ctl)
{
    memmove(ctl->in, ctl->in + ctl->done_n, ctl->in_n - ctl->done_n);
    ctl->in_n -= ctl->done_n;
    ctl->done_n = 0;
    ssize_t n;
    do {
        n = recv(ctl->fd, ctl->in + ctl->in_n, sizeof(ctl->in) - ctl->in_n, 0);
    } while (n < 0 && errno == EINTR);
    ctl->in_n += n > 0 ? (size_t)n : 0;
    return n > 0;
}

bool dp_ctl_line(dp_ctl *ctl, dp_link_line *out)
{
    unsigned char *lf;
    while (!(lf = find_lf(ctl))) {
        if (!read_more(ctl)) {
            return false;
        }
    }
    dp_link_parse(ctl->in + ctl->done_n, (size_t)(lf - ctl->in) - ctl->done_n,
                  out);
    ctl->done_n = (size_t)(lf - ctl->in) + 1;
    return true;
}

int dp_ctl_ask(dp_ctl *ctl, const char *const *words, size_t n,
               dp_link_line *out)
{
    int status = dp_ctl_open(ctl);
    if (status != DP_CTL_OK) {
        return status;
    }
    /* who is refused is told so at once: the line may find a closed socket */
    bool is_said = dp_ctl_say(ctl, words, n);
    if (!dp_ctl_line(ctl, out) || out->fields_n == 0) {
        fprintf(stderr, "directpushctl: %s: %s\n", ctl->path,
                is_said ? "directpushd did not answer"
                        : "directpushd hung up");
        return DP_CTL_NO_DAEMON;
    }
    if (dp_span_is(out->field[0], DP_SPAN_LIT("no"))) {
        dp_span why = out->fields_n > 1 ? out->field[1] : DP_SPAN_LIT("no");
        fprintf(stderr, "directpushctl: %.*s\n", (int)why.n, why.p);
        return DP_CTL_REFUSED;
    }
    return DP_CTL_OK;
}
