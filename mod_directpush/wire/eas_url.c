/* eas_url: see the header.
 *
 * Which form a query has is decided as the backends do it (eas-protocol 1.3):
 * with a known parameter in it, it is plain; without `&` it may be base64.
 * Nobody's query is answered with an error here: what we cannot read for sure
 * goes to the backend.
 */
#include "wire/eas_url.h"

/* The names in plain text, and the codes of the base64 form; the codes 5 to 8
 * are of no version that has this form. */
static const struct command {
    const char *name;
    int code; /* -1: none */
} COMMANDS[DP_CMD_N] = {
    [DP_CMD_NONE] = {"", -1},
    [DP_CMD_SYNC] = {"Sync", 0},
    [DP_CMD_SENDMAIL] = {"SendMail", 1},
    [DP_CMD_SMARTFORWARD] = {"SmartForward", 2},
    [DP_CMD_SMARTREPLY] = {"SmartReply", 3},
    [DP_CMD_GETATTACHMENT] = {"GetAttachment", 4},
    [DP_CMD_FOLDERSYNC] = {"FolderSync", 9},
    [DP_CMD_FOLDERCREATE] = {"FolderCreate", 10},
    [DP_CMD_FOLDERDELETE] = {"FolderDelete", 11},
    [DP_CMD_FOLDERUPDATE] = {"FolderUpdate", 12},
    [DP_CMD_MOVEITEMS] = {"MoveItems", 13},
    [DP_CMD_GETITEMESTIMATE] = {"GetItemEstimate", 14},
    [DP_CMD_MEETINGRESPONSE] = {"MeetingResponse", 15},
    [DP_CMD_SEARCH] = {"Search", 16},
    [DP_CMD_SETTINGS] = {"Settings", 17},
    [DP_CMD_PING] = {"Ping", 18},
    [DP_CMD_ITEMOPERATIONS] = {"ItemOperations", 19},
    [DP_CMD_PROVISION] = {"Provision", 20},
    [DP_CMD_RESOLVERECIPIENTS] = {"ResolveRecipients", 21},
    [DP_CMD_VALIDATECERT] = {"ValidateCert", 22},
    [DP_CMD_FIND] = {"Find", 23},
    [DP_CMD_GETHIERARCHY] = {"GetHierarchy", -1},
    [DP_CMD_CREATECOLLECTION] = {"CreateCollection", -1},
    [DP_CMD_DELETECOLLECTION] = {"DeleteCollection", -1},
    [DP_CMD_MOVECOLLECTION] = {"MoveCollection", -1},
};

/* Longest value of a plain parameter that we look at: a device id; anything
 * longer is cut off or refused anyway. */
#define VALUE_MAX (DP_DEVICE_ID_MAX + 1)

/* A base64 query decoded: version, command, locale and three lengths (7), the
 * device id and type (255 each), the policy key (4) and each of the nine
 * parameters once (2 + 255): 2834 bytes. */
#define BINARY_MAX 3072

enum parameter {
    PARAM_OTHER,
    PARAM_CMD,
    PARAM_DEVICE_ID,
    PARAM_DEVICE_TYPE,
    PARAM_USER,
    PARAM_N
};

static const char *const PARAMETERS[PARAM_N] = {
    [PARAM_OTHER] = "",
    [PARAM_CMD] = "Cmd",
    [PARAM_DEVICE_ID] = "DeviceId",
    [PARAM_DEVICE_TYPE] = "DeviceType",
    [PARAM_USER] = "User",
};

const char *dp_cmd_name(dp_cmd cmd)
{
    return (unsigned)cmd < DP_CMD_N ? COMMANDS[cmd].name : "";
}

/* Not of <ctype.h>: no locale may change what an ActiveSync name is. */
static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

static bool is_letter_or_digit(unsigned char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

static bool is_same_word(dp_span text, const char *word)
{
    for (size_t i = 0; i < text.n; i++) {
        if (word[i] == 0 || lower(text.p[i]) != lower((unsigned char)word[i])) {
            return false;
        }
    }
    return word[text.n] == 0;
}

/* ---- what both forms have ---- */

/** Normalise (eas-protocol 1.3). @return false: empty or too long */
static bool set_device_id(dp_eas_query *q, dp_span id)
{
    static const char hex[] = "0123456789abcdef";
    bool is_text = true;

    for (size_t i = 0; i < id.n; i++) {
        is_text = is_text && is_letter_or_digit(id.p[i]);
    }
    if (id.n == 0 ||
        id.n > (is_text ? DP_DEVICE_ID_MAX : DP_DEVICE_ID_MAX / 2)) {
        return false;
    }
    for (size_t i = 0; i < id.n; i++) {
        if (is_text) {
            q->device_id[i] = (char)lower(id.p[i]);
        }
        else {
            q->device_id[2 * i] = hex[id.p[i] >> 4];
            q->device_id[2 * i + 1] = hex[id.p[i] & 15];
        }
    }
    return true;
}

static void set_device_type(dp_eas_query *q, dp_span type)
{
    for (size_t i = 0; i < type.n && i < DP_DEVICE_TYPE_MAX; i++) {
        bool is_printable = type.p[i] >= ' ' && type.p[i] < 0x7F;

        q->device_type[i] = is_printable ? (char)type.p[i] : '?';
    }
}

static int hex_digit(unsigned char c)
{
    c = lower(c);
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Take one character off the front, with its percent-encoding undone.
 *  @return false: damaged */
static bool take_char(dp_span *in, unsigned char *out)
{
    int high, low;

    *out = in->p[0];
    if (*out != '%') {
        *in = dp_span_of(in->p + 1, in->n - 1);
        return true;
    }
    high = in->n >= 3 ? hex_digit(in->p[1]) : -1;
    low = in->n >= 3 ? hex_digit(in->p[2]) : -1;
    if (high < 0 || low < 0) {
        return false;
    }
    *out = (unsigned char)(high << 4 | low);
    *in = dp_span_of(in->p + 3, in->n - 3);
    return true;
}

/* ---- plain text ---- */

/** Undo percent-encoding into `buf`; what is over VALUE_MAX is cut off.
 *  @return false: damaged */
static bool decode_value(dp_span in, unsigned char *buf, size_t *n)
{
    unsigned char c;

    *n = 0;
    while (in.n > 0) {
        if (!take_char(&in, &c)) {
            return false;
        }
        if (*n < VALUE_MAX) {
            buf[(*n)++] = c;
        }
    }
    return true;
}

/** Split the next `name=value` off the query. */
static void next_pair(dp_span *query, dp_span *name, dp_span *value)
{
    const unsigned char *end = memchr(query->p, '&', query->n);
    size_t n = end ? (size_t)(end - query->p) : query->n;
    const unsigned char *equals = n > 0 ? memchr(query->p, '=', n) : NULL;
    size_t name_n = equals ? (size_t)(equals - query->p) : n;

    *name = dp_span_of(query->p, name_n);
    *value = dp_span_of(query->p + name_n, n - name_n);
    if (equals) {
        *value = dp_span_of(value->p + 1, value->n - 1);
    }
    n += end ? 1 : 0;
    *query = dp_span_of(query->p + n, query->n - n);
}

static enum parameter parameter_of(dp_span name)
{
    unsigned char buf[VALUE_MAX];
    size_t n;

    if (decode_value(name, buf, &n)) {
        for (int i = PARAM_OTHER + 1; i < PARAM_N; i++) {
            if (is_same_word(dp_span_of(buf, n), PARAMETERS[i])) {
                return (enum parameter)i;
            }
        }
    }
    return PARAM_OTHER;
}

static dp_cmd command_by_name(dp_span name)
{
    for (int i = DP_CMD_NONE + 1; i < DP_CMD_N; i++) {
        if (is_same_word(name, COMMANDS[i].name)) {
            return (dp_cmd)i;
        }
    }
    return DP_CMD_NONE;
}

/** @return false: damaged */
static bool set_parameter(dp_eas_query *q, enum parameter which, dp_span raw)
{
    unsigned char buf[VALUE_MAX];
    dp_span value = {buf, 0};

    if (which == PARAM_OTHER || which == PARAM_USER) {
        return true;
    }
    if (!decode_value(raw, buf, &value.n)) {
        return false;
    }
    if (which == PARAM_CMD) {
        q->cmd = command_by_name(value);
    }
    else if (which == PARAM_DEVICE_ID) {
        set_device_id(q, value);
    }
    else {
        set_device_type(q, value);
    }
    return true;
}

static bool is_plain(dp_span query)
{
    dp_span name, value;

    while (query.n > 0) {
        next_pair(&query, &name, &value);
        if (parameter_of(name) != PARAM_OTHER) {
            return true;
        }
    }
    return false;
}

/** A parameter given twice is damage: backends differ in which one counts. */
static bool parse_plain(dp_span query, dp_eas_query *q)
{
    bool seen[PARAM_N] = {false};
    dp_span name, value;

    while (query.n > 0) {
        enum parameter which;

        next_pair(&query, &name, &value);
        which = parameter_of(name);
        if (which != PARAM_OTHER && seen[which]) {
            return false;
        }
        seen[which] = true;
        if (!set_parameter(q, which, value)) {
            return false;
        }
    }
    return true;
}

/* ---- base64 ---- */

static int base64_digit(unsigned char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/** Take four characters, of which up to two may be padding at the very end.
 *  @return bytes put into out, 0 when damaged */
static size_t take_quartet(dp_span *in, unsigned char out[3])
{
    uint32_t bits = 0;
    size_t padding = 0;

    for (int i = 0; i < 4; i++) {
        unsigned char c;
        int digit;

        if (in->n == 0 || !take_char(in, &c)) {
            return 0;
        }
        digit = base64_digit(c);
        if (c == '=' && i >= 2) {
            padding++;
            digit = 0;
        }
        else if (padding > 0) {
            return 0;
        }
        if (digit < 0) {
            return 0;
        }
        bits = bits << 6 | (uint32_t)digit;
    }
    if (padding > 0 && (in->n > 0 || (bits & ((1u << 8 * padding) - 1)))) {
        return 0;
    }
    out[0] = (unsigned char)(bits >> 16);
    out[1] = (unsigned char)(bits >> 8);
    out[2] = (unsigned char)bits;
    return 3 - padding;
}

/** @return bytes, or 0 when it is no base64 or too long */
static size_t decode_base64(dp_span in, unsigned char *out, size_t cap)
{
    size_t n = 0;

    while (in.n > 0) {
        unsigned char three[3];
        size_t got = take_quartet(&in, three);

        if (got == 0 || got > cap - n) {
            return 0;
        }
        memcpy(out + n, three, got);
        n += got;
    }
    return n;
}

/** Take a length and as many bytes. @return false: it ends before */
static bool take_counted(dp_span *in, dp_span *out)
{
    size_t n;

    if (in->n < 1 || in->n - 1 < in->p[0]) {
        return false;
    }
    n = in->p[0];
    *out = dp_span_of(in->p + 1, n);
    *in = dp_span_of(in->p + 1 + n, in->n - 1 - n);
    return true;
}

static bool is_version(uint8_t version)
{
    return version == 121 || version == 140 || version == 141 ||
           version == 160 || version == 161;
}

static dp_cmd command_by_code(int code)
{
    for (int i = DP_CMD_NONE + 1; i < DP_CMD_N; i++) {
        if (COMMANDS[i].code == code) {
            return (dp_cmd)i;
        }
    }
    return DP_CMD_NONE;
}

static bool set_policy_key(dp_eas_query *q, dp_span key)
{
    if (key.n == 4) {
        q->has_policy_key = true;
        q->policy_key = (uint32_t)key.p[0] | (uint32_t)key.p[1] << 8 |
                        (uint32_t)key.p[2] << 16 | (uint32_t)key.p[3] << 24;
    }
    return key.n == 4 || key.n == 0;
}

static bool parse_binary(dp_span in, dp_eas_query *q)
{
    dp_span device_id, policy_key, device_type, value;

    if (in.n < 4 || !is_version(in.p[0])) {
        return false;
    }
    q->is_base64 = true;
    q->version = in.p[0];
    q->cmd = command_by_code(in.p[1]);
    in = dp_span_of(in.p + 4, in.n - 4); /* 2 and 3: the locale */
    if (q->cmd == DP_CMD_NONE || !take_counted(&in, &device_id) ||
        !set_device_id(q, device_id) || !take_counted(&in, &policy_key) ||
        !set_policy_key(q, policy_key) || !take_counted(&in, &device_type)) {
        return false;
    }
    set_device_type(q, device_type);
    while (in.n > 0) {
        in = dp_span_of(in.p + 1, in.n - 1); /* the parameter's tag */
        if (!take_counted(&in, &value)) {
            return false;
        }
    }
    return true;
}

static bool parse_base64(dp_span query, dp_eas_query *q)
{
    unsigned char binary[BINARY_MAX];
    size_t n = decode_base64(query, binary, sizeof(binary));

    return parse_binary(dp_span_of(binary, n), q);
}

bool dp_eas_query_parse(dp_span query, dp_eas_query *out)
{
    bool is_read;

    *out = (dp_eas_query){.cmd = DP_CMD_NONE};
    is_read =
        is_plain(query) ? parse_plain(query, out) : parse_base64(query, out);
    if (!is_read) {
        *out = (dp_eas_query){.cmd = DP_CMD_NONE};
    }
    return is_read;
}
