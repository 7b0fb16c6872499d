/* learn_proof: what a response says of the Authorization and of the device.
 *
 * eas-protocol 1.6 and 8.20. An OPTIONS, a Provision and an error of the
 * server prove nothing; 401 and 403 disprove this very Authorization; what
 * blocks or wipes the device counts only when the request had proof, since
 * anybody can provoke it for somebody else's DeviceId.
 */
#include "observe/learn_private.h"

#include "wire/wbxml_tokens.h"

#define HTTP_NEEDS_PROVISION 449
#define HTTP_BLOCKED         456 /* eas-protocol 1.8 */
#define HTTP_EXPIRED         457

/* Common statuses that say who is asking is not welcome, whatever the reason:
 * 1.6. */
static bool is_no_proof(unsigned status)
{
    return status == 112 || status == 123 || (status >= 126 && status <= 131)
           || (status >= 139 && status <= 145) || status == 177;
}

/* Blocked, disabled, to be wiped, or to be provisioned first. */
static bool is_refusal(unsigned status)
{
    return (status >= 129 && status <= 131)
           || (status >= 140 && status <= 145);
}

static bool is_command_that_proves(dp_cmd cmd)
{
    switch (cmd) {
    case DP_CMD_SYNC:
    case DP_CMD_FOLDERSYNC:
    case DP_CMD_GETITEMESTIMATE:
    case DP_CMD_ITEMOPERATIONS:
    case DP_CMD_SETTINGS:
    case DP_CMD_MOVEITEMS:
        return true;
    default:
        return false;
    }
}

bool dp_learn_is_forgetting(const dp_exchange *x)
{
    const dp_bus_map *bus = x->env.bus;
    return bus && bus->header
           && atomic_load_explicit(&bus->header->forget_seq,
                                   memory_order_acquire)
                  != x->forget_seq;
}

dp_learn_verdict dp_learn_judge(dp_exchange *x)
{
    dp_learn_verdict v = {.is_accepted = false};
    unsigned status = 0;
    bool is_read = x->kind && x->kind->status(x, &status);
    bool has_wipe = x->kind == &dp_learn_status_kind && is_read
                    && x->as.status.has_wipe;

    if (x->http_status == 401 || x->http_status == 403) {
        v.is_rejected = x->authorization_n > 0;
        return v;
    }
    v.is_refused = x->had_proof
                   && (x->http_status == HTTP_NEEDS_PROVISION
                       || x->http_status == HTTP_BLOCKED
                       || x->http_status == HTTP_EXPIRED || has_wipe
                       || (is_read && is_refusal(status)));
    if (!is_read || v.is_refused || is_no_proof(status)) {
        return v;
    }
    if (x->cmd == DP_CMD_PING) {
        v.is_accepted = status == DP_PING_NOTHING || status == DP_PING_CHANGES;
    }
    else {
        v.is_accepted = is_command_that_proves(x->cmd);
    }
    v.is_welcome = v.is_accepted && (x->cmd == DP_CMD_SYNC
                                     || x->cmd == DP_CMD_FOLDERSYNC);
    v.is_accepted = v.is_accepted && x->authorization_n > 0
                    && !dp_learn_is_forgetting(x);
    return v;
}

/* Page 18 has no name for us but here ([MS-ASWBXML], Settings). */
#define TAG_SETTINGS        DP_WBXML_TAG(18, 0x05)
#define TAG_SETTINGS_STATUS DP_WBXML_TAG(18, 0x06)

typedef struct root_of {
    dp_cmd cmd;
    dp_wbxml_tag root, status;
} root_of;

static const root_of roots[] = {
    {DP_CMD_GETITEMESTIMATE, DP_TAG_ESTIMATE_GetItemEstimate,
     DP_TAG_ESTIMATE_Status},
    {DP_CMD_ITEMOPERATIONS, DP_TAG_ITEMOPS_ItemOperations,
     DP_TAG_ITEMOPS_Status},
    {DP_CMD_SETTINGS, TAG_SETTINGS, TAG_SETTINGS_STATUS},
    {DP_CMD_MOVEITEMS, DP_TAG_MOVE_MoveItems, DP_TAG_MOVE_Status},
    {DP_CMD_MEETINGRESPONSE, DP_TAG_MEETING_MeetingResponse,
     DP_TAG_MEETING_Status},
    {DP_CMD_PROVISION, DP_TAG_PROVISION_Provision, DP_TAG_PROVISION_Status},
};

void dp_learn_status_init(dp_learn_status *s, dp_cmd cmd)
{
    *s = (dp_learn_status){.root = 0};
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        if (roots[i].cmd == cmd) {
            s->root = roots[i].root;
            s->status_tag = roots[i].status;
        }
    }
    dp_wbxml_read_init(&s->reader, UINT64_MAX);
}

static void on_open(dp_learn_status *s)
{
    const dp_wbxml_reader *r = &s->reader;
    s->is_bad = r->depth == 1 && r->tag != s->root;
    s->in_status = r->depth == 2 && r->tag == s->status_tag;
    s->has_wipe = s->has_wipe || r->tag == DP_TAG_PROVISION_RemoteWipe
                  || r->tag == DP_TAG_PROVISION_AccountOnlyRemoteWipe;
}

static void on_text(dp_learn_status *s)
{
    dp_span text = s->reader.text;
    for (size_t i = 0; s->in_status && i < text.n; i++) {
        bool is_digit = text.p[i] >= '0' && text.p[i] <= '9';
        if (!is_digit || s->status > 99999) {
            s->is_bad = true;
            return;
        }
        s->status = s->status * 10 + (unsigned)(text.p[i] - '0');
    }
}

bool dp_learn_status_feed(dp_learn_status *s, dp_span chunk)
{
    if (s->is_whole || s->is_bad) {
        return !s->is_bad;
    }
    dp_wbxml_read_feed(&s->reader, chunk);
    while (!s->is_bad && !s->is_whole) {
        switch (dp_wbxml_read_next(&s->reader)) {
        case DP_WBXML_MORE:
            return true;
        case DP_WBXML_OPEN:
            on_open(s);
            break;
        case DP_WBXML_TEXT:
            on_text(s);
            break;
        case DP_WBXML_CLOSE:
            s->in_status = false;
            break;
        case DP_WBXML_END:
            s->is_whole = true;
            break;
        default:
            s->is_bad = true;
            break;
        }
    }
    return !s->is_bad;
}

static void begin_status(dp_exchange *x)
{
    dp_learn_status_init(&x->as.status, x->cmd);
}

static bool feed_nothing(dp_exchange *x, dp_span clear)
{
    return false; /* its request is of no interest */
}

static bool feed_status(dp_exchange *x, dp_span clear)
{
    return dp_learn_status_feed(&x->as.status, clear);
}

static bool is_status_read(const dp_exchange *x, unsigned *out_status)
{
    *out_status = x->as.status.status;
    return x->http_status == 200 && x->response_is_whole
           && x->as.status.is_whole && !x->as.status.is_bad;
}

const dp_learn_kind dp_learn_status_kind = {
    .begin = begin_status,
    .request = feed_nothing,
    .response = feed_status,
    .status = is_status_read,
};
