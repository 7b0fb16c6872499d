#include "tools/device/mail_items.h"

#include "wire/wbxml_tokens.h"

/* [MS-ASWBXML] 2.1.2.1: one tag per class of items */
#define CONTACTS_FILEAS  DP_WBXML_TAG(1, 0x1E)
#define EMAIL_SUBJECT    DP_WBXML_TAG(2, 0x14)
#define EMAIL_FROM       DP_WBXML_TAG(2, 0x18)
#define CALENDAR_SUBJECT DP_WBXML_TAG(4, 0x26)
#define TASKS_SUBJECT    DP_WBXML_TAG(9, 0x20)
#define NOTES_SUBJECT    DP_WBXML_TAG(23, 0x05)

/* Sync > Collections > Collection > Commands > Add > ApplicationData > Subject.
 * By depth, since a meeting's Exceptions repeat Subject deeper down. */
enum {
    DEPTH_COMMANDS = 4,
    DEPTH_COMMAND = 5,
    DEPTH_SERVER_ID = 6,
    DEPTH_FIELD = 7
};

void dp_mail_items_init(dp_mail_items *p,
                        void (*on_item)(void *ctx, const dp_item *item),
                        void *ctx)
{
    *p = (dp_mail_items){.on_item = on_item, .ctx = ctx};
    dp_wbxml_read_init(&p->reader, UINT64_MAX);
}

static void collect(dp_mail_items *p, char *text, size_t *text_n, size_t max)
{
    p->text = text;
    p->text_n = text_n;
    p->text_max = max;
    *text_n = 0;
}

static bool is_command(dp_wbxml_tag tag, dp_item_op *out)
{
    switch (tag) {
    case DP_TAG_AIRSYNC_Add:
        *out = DP_ITEM_ADD;
        return true;
    case DP_TAG_AIRSYNC_Change:
        *out = DP_ITEM_CHANGE;
        return true;
    case DP_TAG_AIRSYNC_Delete:
    case DP_TAG_AIRSYNC_SoftDelete:
        *out = DP_ITEM_DELETE;
        return true;
    default:
        return false;
    }
}

static void open_field(dp_mail_items *p, dp_wbxml_tag tag)
{
    dp_item *item = &p->now;
    switch (tag) {
    case CONTACTS_FILEAS:
    case EMAIL_SUBJECT:
    case CALENDAR_SUBJECT:
    case TASKS_SUBJECT:
    case NOTES_SUBJECT:
        collect(p, item->title, &item->title_n, sizeof(item->title));
        break;
    case EMAIL_FROM:
        collect(p, item->from, &item->from_n, sizeof(item->from));
        break;
    default:
        break;
    }
}

static void opened(dp_mail_items *p)
{
    dp_wbxml_tag tag = p->reader.tag;
    dp_item_op op;
    p->text = NULL;
    switch (p->reader.depth) {
    case 1:
        p->is_bad = tag != DP_TAG_AIRSYNC_Sync;
        break;
    case DEPTH_COMMANDS:
        p->in_commands = tag == DP_TAG_AIRSYNC_Commands;
        break;
    case DEPTH_COMMAND:
        if (p->in_commands && is_command(tag, &op)) {
            p->now.op = op;
            p->now.id_n = p->now.title_n = p->now.from_n = 0;
        }
        break;
    case DEPTH_SERVER_ID:
        if (tag == DP_TAG_AIRSYNC_ServerId) {
            collect(p, p->now.id, &p->now.id_n, sizeof(p->now.id));
        }
        break;
    case DEPTH_FIELD:
        open_field(p, tag);
        break;
    default:
        break;
    }
}

/* Drop a character that was cut, however the pieces came. */
static size_t whole_characters(const char *text, size_t n)
{
    size_t lead = n;
    while (lead && n - lead < 3 &&
           ((unsigned char)text[lead - 1] & 0xC0) == 0x80) {
        lead--;
    }
    if (lead == 0) {
        return n;
    }
    unsigned char c = (unsigned char)text[lead - 1];
    size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return n - (lead - 1) < need ? lead - 1 : n;
}

static void add_text(dp_mail_items *p, dp_span s)
{
    if (!p->text || s.n == 0) {
        return;
    }
    size_t room = p->text_max - *p->text_n;
    size_t n = s.n < room ? s.n : room;
    memcpy(p->text + *p->text_n, s.p, n);
    *p->text_n += n;
    if (n < s.n) {
        *p->text_n = whole_characters(p->text, *p->text_n);
        p->text = NULL; /* what follows must not fill the gap */
    }
}

static void closed(dp_mail_items *p)
{
    dp_item_op op;
    p->text = NULL;
    if (p->reader.depth == DEPTH_COMMANDS) {
        p->in_commands = false;
    }
    else if (p->reader.depth == DEPTH_COMMAND && p->in_commands &&
             is_command(p->reader.tag, &op)) {
        p->on_item(p->ctx, &p->now);
    }
}

bool dp_mail_items_feed(dp_mail_items *p, dp_span chunk)
{
    if (p->is_bad || p->is_whole) {
        return !p->is_bad;
    }
    dp_wbxml_read_feed(&p->reader, chunk);
    while (!p->is_bad) {
        switch (dp_wbxml_read_next(&p->reader)) {
        case DP_WBXML_MORE:
            return true;
        case DP_WBXML_OPEN:
            opened(p);
            break;
        case DP_WBXML_TEXT:
            add_text(p, p->reader.text);
            break;
        case DP_WBXML_CLOSE:
            closed(p);
            break;
        case DP_WBXML_END:
            p->is_whole = true;
            return true;
        case DP_WBXML_BAD:
            p->is_bad = true;
            break;
        }
    }
    return false;
}
