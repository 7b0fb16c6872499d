#include "watcher/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static dp_log_level most = DP_LOG_INFO;
static uint64_t troubles;

void dp_log_set_level(dp_log_level level)
{
    most = level;
}

static const char *word_of(dp_log_level level)
{
    switch (level) {
    case DP_LOG_ERROR:
        return "error: ";
    case DP_LOG_WARN:
        return "warning: ";
    case DP_LOG_DEBUG:
        return "debug: ";
    default:
        return "";
    }
}

void dp_log(dp_log_level level, const char *format, ...)
{
    char line[2048];
    va_list args;
    if (level <= DP_LOG_WARN) {
        troubles++;
    }
    if (level > most) {
        return;
    }
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    /* names come from outside: none of them may begin a line of its own */
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    if (getenv("JOURNAL_STREAM")) {
        fprintf(stderr, "<%d>%s%s\n", level, word_of(level), line);
    }
    else {
        fprintf(stderr, "directpushd: %s%s\n", word_of(level), line);
    }
}

bool dp_log_first(dp_log_cause *cause)
{
    return cause->times++ == 0;
}

void dp_log_over(dp_log_cause *cause)
{
    cause->times = 0;
}

uint64_t dp_log_troubles(void)
{
    return troubles;
}
