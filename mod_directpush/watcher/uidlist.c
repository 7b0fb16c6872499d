#include "watcher/uidlist.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watcher/maildir_path.h"

/* Version, V, N and G are some 80 bytes; extensions may come. */
#define HEAD_MAX 1024

static bool take_guid(dp_span field, char *out)
{
    if (field.n != DP_GUID_HEX + 1 || field.p[0] != 'G') {
        return false;
    }
    for (size_t i = 0; i < DP_GUID_HEX; i++) {
        unsigned char c = field.p[i + 1];
        if (c >= 'A' && c <= 'F') {
            c = (unsigned char)(c - 'A' + 'a');
        }
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        out[i] = (char)c;
    }
    out[DP_GUID_HEX] = '\0';
    return true;
}

bool dp_uidlist_guid(dp_span head, char *out)
{
    const unsigned char *line_end =
        head.n ? memchr(head.p, '\n', head.n) : NULL;
    if (!line_end || head.n < 2 || head.p[0] != '3' || head.p[1] != ' ') {
        return false;
    }
    const unsigned char *at = head.p + 2;
    while (at < line_end) {
        const unsigned char *space =
            memchr(at, ' ', (size_t)(line_end - at));
        const unsigned char *end = space ? space : line_end;
        if (take_guid(dp_span_of(at, (size_t)(end - at)), out)) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

bool dp_uidlist_read(int dirfd, char *out)
{
    char head[HEAD_MAX];
    struct stat st;
    /* the Maildir is its user's: it may hold a link or a FIFO of that name */
    int fd = dp_maildir_open_beneath(dirfd, DP_UIDLIST_NAME,
                                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t n = -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        n = read(fd, head, sizeof(head));
    }
    close(fd);
    return n > 0 && dp_uidlist_guid(dp_span_of(head, (size_t)n), out);
}
