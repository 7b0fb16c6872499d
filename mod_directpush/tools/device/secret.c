#include "tools/device/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "tools/device/wait.h"

#define PASSWORD_MAX 1024

/* 1, not 0: with core_pattern a pipe Linux ignores 0 and takes 1 as "never";
 * to a file it is too short for a core. core(5) */
static void leave_no_core(void)
{
    struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
    setrlimit(RLIMIT_CORE, &limit);
}

/* Read a line, without its end, into `out`. */
static dp_secret_result read_line(int fd, int stop_fd, dp_buf *out)
{
    char c;
    while (out->n < PASSWORD_MAX) {
        if (dp_wait_for(fd, POLLIN, DP_NEVER_US, stop_fd) != DP_WAIT_READY) {
            return DP_SECRET_STOPPED;
        }
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (n <= 0 || c == '\n') {
            break;
        }
        dp_buf_add(out, dp_span_of(&c, 1));
    }
    if (out->n && out->p[out->n - 1] == '\r') {
        out->p[--out->n] = '\0';
    }
    return out->n ? DP_SECRET_OK : DP_SECRET_NONE;
}

static dp_secret_result from_file(const char *file, int stop_fd, dp_buf *out,
                                  const char **out_why)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *out_why = strerror(errno);
        return DP_SECRET_NONE;
    }
    dp_secret_result result = read_line(fd, stop_fd, out);
    close(fd);
    *out_why = "the password file begins with an empty line";
    return result;
}

static dp_secret_result from_terminal(const char *user, int stop_fd,
                                      dp_buf *out, const char **out_why)
{
    *out_why = "no password: use --password-file or " DP_SECRET_ENV;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios old, quiet;
    if (fd < 0 || tcgetattr(fd, &old) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return DP_SECRET_NONE;
    }
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    dprintf(fd, "Password of %s: ", user);
    tcsetattr(fd, TCSAFLUSH, &quiet);
    dp_secret_result result = read_line(fd, stop_fd, out);
    tcsetattr(fd, TCSAFLUSH, &old);
    dprintf(fd, "\n");
    close(fd);
    return result;
}

static bool from_environment(dp_buf *out)
{
    char *value = getenv(DP_SECRET_ENV);
    if (!value || !*value) {
        return false;
    }
    dp_buf_set(out, dp_span_str(value));
    OPENSSL_cleanse(value, strlen(value)); /* out of /proc/PID/environ */
    unsetenv(DP_SECRET_ENV);
    return true;
}

dp_secret_result dp_secret_password(const char *user, const char *file,
                                    int stop_fd, dp_buf *out,
                                    const char **out_why)
{
    leave_no_core();
    if (file) {
        return from_file(file, stop_fd, out, out_why);
    }
    return from_environment(out)
               ? DP_SECRET_OK
               : from_terminal(user, stop_fd, out, out_why);
}

dp_secret_result dp_secret_authorization(const char *user, const char *file,
                                         int stop_fd, dp_buf *out,
                                         const char **out_why)
{
    dp_buf login = {0}, password = {0};
    dp_secret_result result =
        dp_secret_password(user, file, stop_fd, &password, out_why);
    if (result == DP_SECRET_OK) {
        dp_buf_printf(&login, "%s:", user);
        dp_buf_add(&login, dp_buf_span(&password));
        dp_buf_set(out, DP_SPAN_LIT("Authorization: Basic "));
        dp_buf_add_base64(out, dp_buf_span(&login));
        dp_buf_add(out, DP_SPAN_LIT("\r\n"));
    }
    dp_buf_free(&login);
    dp_buf_free(&password);
    return result;
}
