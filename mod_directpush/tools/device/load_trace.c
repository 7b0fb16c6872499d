#include "tools/device/load_trace.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/dp_clock.h"

/* Two numbers, the longest word, "close". */
#define LINE_MAX_BYTES 80

bool dp_load_trace_open(dp_load_trace *t, const char *file)
{
    t->n = 0;
    t->fd =
        file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    return !file || t->fd >= 0;
}

/* A trace with a hole would be judged as if nothing had happened there. */
void dp_load_trace_flush(dp_load_trace *t)
{
    size_t done = 0; /* of nothing, if nothing is traced */
    while (done < t->n) {
        ssize_t n = write(t->fd, t->buf + done, t->n - done);
        if (n < 0) {
            perror("directpush-device: --trace");
            exit(1);
        }
        done += (size_t)n;
    }
    t->n = 0;
}

void dp_load_trace_note(dp_load_trace *t, uint32_t device, const char *what,
                        bool closes)
{
    if (t->fd < 0) {
        return;
    }
    if (t->n + LINE_MAX_BYTES > sizeof(t->buf)) {
        dp_load_trace_flush(t);
    }
    t->n += (size_t)snprintf(
        t->buf + t->n, LINE_MAX_BYTES, "%" PRId64 " %" PRIu32 " %s%s\n",
        (int64_t)dp_clock_mono_us(), device, what, closes ? " close" : "");
}

void dp_load_trace_close(dp_load_trace *t)
{
    if (t->fd >= 0) {
        dp_load_trace_flush(t);
        close(t->fd);
        t->fd = -1;
    }
}
