#include "watcher/state_record.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_VERSION 1u
#define ALIASES_MAX    8u

/* Fixed part; user, folder and the aliases' two strings follow, each with its
 * NUL. */
typedef struct packed {
    uint32_t version;
    uint32_t class;
    uint64_t changed;
    int64_t renewed_us;
    dp_cursor cursor;
    uint64_t aliases_n;
} packed;

static char *put_text(char *at, const char *text)
{
    size_t n = strlen(text) + 1;
    memcpy(at, text, n);
    return at + n;
}

size_t dp_state_pack(const dp_want *want, uint64_t changed, char **out)
{
    packed p = {
        .version = RECORD_VERSION,
        .class = (uint32_t)want->class,
        .changed = changed,
        .renewed_us = want->renewed_us,
        .cursor = want->cursor,
    };
    size_t n = sizeof(p) + strlen(want->user->name) + strlen(want->folder) + 2;
    for (const dp_want_alias *a = want->aliases; a && p.aliases_n < ALIASES_MAX;
         a = a->next) {
        n += strlen(a->user) + strlen(a->folder) + 2;
        p.aliases_n++;
    }
    *out = malloc(n);
    DP_ASSERT(*out);
    memcpy(*out, &p, sizeof(p));
    char *at = put_text(*out + sizeof(p), want->user->name);
    at = put_text(at, want->folder);
    const dp_want_alias *a = want->aliases;
    for (uint64_t i = 0; i < p.aliases_n; i++, a = a->next) {
        at = put_text(at, a->user);
        at = put_text(at, a->folder);
    }
    DP_ASSERT(at == *out + n);
    return n;
}

static const char *take_text(const char **at, const char *end)
{
    const char *text = *at;
    const char *nul =
        text && text < end ? memchr(text, '\0', (size_t)(end - text)) : NULL;
    *at = nul ? nul + 1 : NULL;
    return nul ? text : NULL;
}

bool dp_state_unpack(const char *bytes, size_t n, dp_state_record *out)
{
    packed p;
    if (n < sizeof(p)) {
        return false;
    }
    memcpy(&p, bytes, sizeof(p));
    if (p.version != RECORD_VERSION || p.class == DP_CLASS_UNKNOWN
        || p.class >= DP_CLASS_N || p.aliases_n > ALIASES_MAX) {
        return false;
    }
    const char *at = bytes + sizeof(p);
    const char *end = bytes + n;
    *out = (dp_state_record){
        .class = (dp_class)p.class,
        .user = take_text(&at, end),
        .folder = take_text(&at, end),
        .aliases_n = (unsigned)p.aliases_n,
        .changed = p.changed,
        .renewed_us = p.renewed_us,
        .cursor = p.cursor,
    };
    for (unsigned i = 0; i < out->aliases_n; i++) {
        out->alias_user[i] = take_text(&at, end);
        out->alias_folder[i] = take_text(&at, end);
    }
    return at != NULL;
}
