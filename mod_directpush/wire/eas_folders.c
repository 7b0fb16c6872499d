/* eas_folders: see the header.
 *
 * One set of buffers (id, parent, name, type) serves the one folder of
 * Create, Update and Delete as well as each Add, Update and Delete of a
 * FolderSync, which are emptied as soon as they were told.
 */
#include "wire/eas_folders.h"

#include "wire/eas_walk.h"
#include "wire/wbxml_tokens.h"

#define FH(name)               DP_TAG_FOLDER_##name
#define IN_CHANGES(field, ...) DP_EAS_PATH(field, FH(Changes), __VA_ARGS__)

enum field {
    STATUS = 1,
    SYNC_KEY,
    CHANGE_ADD,
    CHANGE_UPDATE,
    CHANGE_DELETE,
    ID,
    PARENT,
    NAME,
    TYPE
};

static const dp_eas_path PATHS[] = {
    DP_EAS_PATH(STATUS, FH(Status)),
    DP_EAS_PATH(SYNC_KEY, FH(SyncKey)),
    /* Create, Update, Delete */
    DP_EAS_PATH(ID, FH(ServerId)),
    DP_EAS_PATH(PARENT, FH(ParentId)),
    DP_EAS_PATH(NAME, FH(DisplayName)),
    DP_EAS_PATH(TYPE, FH(Type)),
    /* FolderSync */
    IN_CHANGES(CHANGE_ADD, FH(Add)),
    IN_CHANGES(CHANGE_UPDATE, FH(Update)),
    IN_CHANGES(CHANGE_DELETE, FH(Delete)),
    IN_CHANGES(ID, FH(Add), FH(ServerId)),
    IN_CHANGES(ID, FH(Update), FH(ServerId)),
    IN_CHANGES(ID, FH(Delete), FH(ServerId)),
    IN_CHANGES(PARENT, FH(Add), FH(ParentId)),
    IN_CHANGES(PARENT, FH(Update), FH(ParentId)),
    IN_CHANGES(NAME, FH(Add), FH(DisplayName)),
    IN_CHANGES(NAME, FH(Update), FH(DisplayName)),
    IN_CHANGES(TYPE, FH(Add), FH(Type)),
    IN_CHANGES(TYPE, FH(Update), FH(Type)),
};

static bool on_root(void *parser, dp_wbxml_tag root)
{
    dp_folders_parser *p = parser;

    switch (root) {
    case FH(FolderSync):
        p->root = DP_CMD_FOLDERSYNC;
        return true;
    case FH(FolderCreate):
        p->root = DP_CMD_FOLDERCREATE;
        return true;
    case FH(FolderUpdate):
        p->root = DP_CMD_FOLDERUPDATE;
        return true;
    case FH(FolderDelete):
        p->root = DP_CMD_FOLDERDELETE;
        return true;
    default:
        return false;
    }
}

static void forget_folder(dp_folders_parser *p)
{
    p->id_n = 0;
    p->parent_n = 0;
    p->name_n = 0;
    p->type = 0;
    p->seen &= ~(1u << ID | 1u << PARENT | 1u << NAME | 1u << TYPE);
}

static void mark_odd(dp_folders_parser *p)
{
    if (p->in_change) {
        p->change_is_odd = true;
    }
    else {
        p->is_odd = true;
    }
}

static void begin_change(dp_folders_parser *p, dp_folder_op op)
{
    if (p->root != DP_CMD_FOLDERSYNC) { /* the others have no Changes */
        p->is_odd = true;
    }
    forget_folder(p);
    p->in_change = true;
    p->op = op;
    p->change_is_odd = false;
}

static void end_change(dp_folders_parser *p)
{
    dp_folder_change change = {
        .op = p->op,
        .id = dp_span_of(p->id, p->id_n),
        .parent = dp_span_of(p->parent, p->parent_n),
        .name = dp_span_of(p->name, p->name_n),
        .type = p->type,
        .is_odd = p->change_is_odd || p->id_n == 0,
    };

    p->in_change = false;
    if (p->root == DP_CMD_FOLDERSYNC) {
        p->changes_n++;
        if (p->on_change) {
            p->on_change(p->ctx, &change);
        }
    }
    forget_folder(p);
}

static void on_open(void *parser, int field)
{
    dp_folders_parser *p = parser;

    switch (field) {
    case CHANGE_ADD:
        begin_change(p, DP_FOLDER_ADD);
        return;
    case CHANGE_UPDATE:
        begin_change(p, DP_FOLDER_UPDATE);
        return;
    case CHANGE_DELETE:
        begin_change(p, DP_FOLDER_DELETE);
        return;
    default:
        break;
    }
    p->text_n = 0;
    p->text_is_long = false;
    if (p->seen & 1u << field) { /* twice: which one counts? */
        mark_odd(p);
    }
    p->seen |= 1u << field;
}

static void on_text(void *parser, int field, dp_span piece)
{
    dp_folders_parser *p = parser;

    dp_eas_text_add(p->text, sizeof(p->text), &p->text_n, &p->text_is_long,
                    piece);
}

static unsigned number(dp_folders_parser *p)
{
    uint32_t value = 0;

    if (p->text_is_long || !dp_eas_number(p->text, p->text_n, &value)) {
        mark_odd(p);
    }
    return value;
}

/** Keep the text of a leaf; left empty and odd when it is too long. */
static void keep(dp_folders_parser *p, char *buf, size_t cap, size_t *n)
{
    bool is_long = p->text_is_long;

    *n = 0;
    dp_eas_text_add(buf, cap, n, &is_long, dp_span_of(p->text, p->text_n));
    if (is_long) {
        mark_odd(p);
    }
}

static void on_close(void *parser, int field)
{
    dp_folders_parser *p = parser;

    switch (field) {
    case STATUS:
        p->status = number(p);
        break;
    case SYNC_KEY:
        keep(p, p->key, sizeof(p->key), &p->key_n);
        break;
    case ID:
        keep(p, p->id, sizeof(p->id), &p->id_n);
        break;
    case PARENT:
        keep(p, p->parent, sizeof(p->parent), &p->parent_n);
        break;
    case NAME:
        keep(p, p->name, sizeof(p->name), &p->name_n);
        break;
    case TYPE:
        p->type = number(p);
        break;
    default:
        end_change(p);
        break;
    }
}

static const dp_eas_grammar GRAMMAR = {
    .paths = PATHS,
    .paths_n = sizeof(PATHS) / sizeof(PATHS[0]),
    .on_root = on_root,
    .on_open = on_open,
    .on_text = on_text,
    .on_close = on_close,
};

void dp_folders_init(dp_folders_parser *p,
                     void (*on_change)(void *ctx, const dp_folder_change *c),
                     void *ctx)
{
    memset(p, 0, sizeof(*p));
    p->on_change = on_change;
    p->ctx = ctx;
    dp_wbxml_read_init(&p->reader, UINT64_MAX);
}

bool dp_folders_feed(dp_folders_parser *p, dp_span chunk)
{
    dp_wbxml_event event;

    if (p->is_bad || p->is_whole) {
        return !p->is_bad;
    }
    event = dp_eas_walk(&p->reader, chunk, &GRAMMAR, p);
    p->is_whole = event == DP_WBXML_END;
    p->is_bad = event == DP_WBXML_BAD;
    if (p->is_whole && p->root == DP_CMD_FOLDERSYNC) {
        forget_folder(p); /* it is about many, not about one */
    }
    return !p->is_bad;
}
