#include "tools/device/phone.h"

#include <stdlib.h>
#include <strings.h>

#include "base/dp_check.h"

/* Deeper trees are loops, or nobody's mail. */
#define PATH_DEPTH_MAX 16

#define VERSION_WITH_NOTES 140

void dp_phone_init(dp_phone *p, const char *const *filters, size_t filters_n)
{
    *p = (dp_phone){.version = 141, .filters = filters, .filters_n = filters_n};
    dp_buf_set(&p->hierarchy_key, DP_SPAN_LIT("0"));
}

static void free_folder(dp_phone_folder *f)
{
    dp_buf_free(&f->id);
    dp_buf_free(&f->parent);
    dp_buf_free(&f->name);
    dp_buf_free(&f->key);
}

void dp_phone_free(dp_phone *p)
{
    for (size_t i = 0; i < p->folders_n; i++) {
        free_folder(&p->folders[i]);
    }
    free(p->folders);
    dp_buf_free(&p->hierarchy_key);
}

/* eas-protocol 5.2 */
const char *dp_phone_class(unsigned type)
{
    switch (type) {
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 12:
        return "Email";
    case 8:
    case 13:
        return "Calendar";
    case 9:
    case 14:
        return "Contacts";
    case 7:
    case 15:
        return "Tasks";
    case 10:
    case 17:
        return "Notes";
    default: /* journal, unknown, recipient cache */
        return "";
    }
}

dp_phone_folder *dp_phone_find(dp_phone *p, dp_span id)
{
    for (size_t i = 0; i < p->folders_n; i++) {
        if (dp_span_is(dp_buf_span(&p->folders[i].id), id)) {
            return &p->folders[i];
        }
    }
    return NULL;
}

dp_phone_folder *dp_phone_due(dp_phone *p)
{
    for (size_t i = 0; i < p->folders_n; i++) {
        if (p->folders[i].needs_sync) {
            return &p->folders[i];
        }
    }
    return NULL;
}

dp_phone_folder *dp_phone_add(dp_phone *p, dp_span id)
{
    if (p->folders_n == p->folders_cap) {
        size_t cap = p->folders_cap ? p->folders_cap * 2 : 16;
        dp_phone_folder *grown = realloc(p->folders, cap * sizeof(*grown));
        DP_ASSERT(grown);
        p->folders = grown;
        p->folders_cap = cap;
    }
    dp_phone_folder *f = &p->folders[p->folders_n++];
    *f = (dp_phone_folder){0};
    dp_buf_set(&f->id, id);
    dp_buf_set(&f->key, DP_SPAN_LIT("0"));
    return f;
}

/* --- which folders are watched --- */

/* `Parent/Name`, as people write it. */
static void add_path(dp_phone *p, const dp_phone_folder *f, unsigned depth,
                     dp_buf *out)
{
    const dp_phone_folder *parent =
        depth < PATH_DEPTH_MAX ? dp_phone_find(p, dp_buf_span(&f->parent))
                               : NULL;
    if (parent) {
        add_path(p, parent, depth + 1, out);
        dp_buf_add(out, DP_SPAN_LIT("/"));
    }
    dp_buf_add(out, dp_buf_span(&f->name));
}

/* A filter is a name, a path, a class, an id, or * for all. */
static bool fits(dp_phone *p, const dp_phone_folder *f, const char *filter)
{
    dp_buf path = {0};
    add_path(p, f, 0, &path);
    bool does = strcmp(filter, "*") == 0 ||
                strcasecmp(filter, dp_buf_str(&f->name)) == 0 ||
                strcasecmp(filter, dp_buf_str(&path)) == 0 ||
                strcasecmp(filter, dp_phone_class(f->type)) == 0 ||
                strcmp(filter, dp_buf_str(&f->id)) == 0;
    dp_buf_free(&path);
    return does;
}

/* The Inbox alone of the mail folders, and the other classes whole: the way
 * phones come from the shop. */
static bool is_watched_by_default(unsigned type)
{
    return type == 2 || strcmp(dp_phone_class(type), "Email") != 0;
}

static bool is_wanted(dp_phone *p, const dp_phone_folder *f)
{
    const char *class_name = dp_phone_class(f->type);
    if (!*class_name ||
        (strcmp(class_name, "Notes") == 0 && p->version < VERSION_WITH_NOTES)) {
        return false;
    }
    if (p->filters_n == 0) {
        return is_watched_by_default(f->type);
    }
    for (size_t i = 0; i < p->filters_n; i++) {
        if (fits(p, f, p->filters[i])) {
            return true;
        }
    }
    return false;
}

size_t dp_phone_choose(dp_phone *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->folders_n; i++) {
        dp_phone_folder *f = &p->folders[i];
        f->is_watched = is_wanted(p, f);
        if (!f->is_watched) {
            f->needs_sync = false;
        }
        else if (strcmp(f->key.p, "0") == 0) {
            f->needs_sync = true;
        }
        n += f->is_watched;
    }
    return n;
}

/* --- FolderSync --- */

typedef struct folder_taker {
    dp_phone *phone;
    dp_folder_sync_result *result;
} folder_taker;

static void remove_folder(dp_phone *p, dp_phone_folder *f)
{
    free_folder(f);
    p->folders_n--;
    size_t after = (size_t)(p->folders + p->folders_n - f);
    memmove(f, f + 1, after * sizeof(*f));
}

static void take_change(void *ctx, const dp_folder_change *c)
{
    folder_taker *t = ctx;
    if (c->is_odd || c->id.n == 0) {
        t->result->odd++;
        return;
    }
    dp_phone_folder *f = dp_phone_find(t->phone, c->id);
    if (c->op == DP_FOLDER_DELETE) {
        if (f) {
            remove_folder(t->phone, f);
            t->result->deleted++;
        }
        return;
    }
    if (f) {
        t->result->updated++;
    }
    else {
        f = dp_phone_add(t->phone, c->id);
        t->result->added++;
    }
    dp_buf_set(&f->parent, c->parent);
    dp_buf_set(&f->name, c->name);
    f->type = c->type;
    f->is_listed = true;
}

/* A FolderSync from the beginning lists all there are. If the server has
 * forgotten the old one, what else has it forgotten? */
static void begin_anew(dp_phone *p, dp_folder_sync_result *result)
{
    for (size_t i = p->folders_n; i-- > 0;) {
        if (p->folders[i].is_listed) {
            p->folders[i].needs_sync = true;
        }
        else {
            remove_folder(p, &p->folders[i]);
            result->deleted++;
        }
    }
}

dp_folder_sync_result dp_phone_folder_sync_take(dp_phone *p, dp_span body)
{
    dp_folder_sync_result result = {0};
    folder_taker taker = {.phone = p, .result = &result};
    dp_folders_parser parser;
    dp_folders_init(&parser, NULL, NULL); /* first: is it whole, and good? */
    dp_folders_feed(&parser, body);
    if (parser.is_bad || !parser.is_whole || parser.root != DP_CMD_FOLDERSYNC ||
        parser.status == 0) {
        return result;
    }
    result.status = parser.status;
    if (parser.status != 1 || parser.key_n == 0 || parser.is_odd) {
        result.status = parser.status == 1 ? 0 : parser.status;
        return result;
    }
    bool is_from_zero = strcmp(p->hierarchy_key.p, "0") == 0;
    for (size_t i = 0; i < p->folders_n; i++) {
        p->folders[i].is_listed = false;
    }
    dp_folders_init(&parser, take_change, &taker);
    dp_folders_feed(&parser, body);
    if (is_from_zero) {
        begin_anew(p, &result);
    }
    dp_buf_set(&p->hierarchy_key, dp_span_of(parser.key, parser.key_n));
    return result;
}
