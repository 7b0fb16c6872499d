#include "tools/device/query.h"

#include "base/dp_check.h"

#define LOCALE_EN_US 0x0409

void dp_query_plain(dp_buf *out, const dp_query *q)
{
    dp_buf_printf(out, "Cmd=%s&User=", dp_cmd_name(q->cmd));
    dp_buf_add_percent(out, dp_span_str(q->user));
    dp_buf_add(out, DP_SPAN_LIT("&DeviceId="));
    dp_buf_add_percent(out, dp_span_str(q->device_id));
    dp_buf_add(out, DP_SPAN_LIT("&DeviceType="));
    dp_buf_add_percent(out, dp_span_str(q->device_type));
}

/* [MS-ASHTTP] 2.2.1.1.1.1.2 */
static unsigned char command_code(dp_cmd cmd)
{
    switch (cmd) {
    case DP_CMD_SYNC:
        return 0;
    case DP_CMD_FOLDERSYNC:
        return 9;
    case DP_CMD_PING:
        return 18;
    default:
        DP_ASSERT(cmd == DP_CMD_PROVISION);
        return 20;
    }
}

static void add_byte(dp_buf *b, size_t value)
{
    DP_ASSERT(value <= 255);
    unsigned char c = (unsigned char)value;
    dp_buf_add(b, dp_span_of(&c, 1));
}

static void add_counted(dp_buf *b, const char *text)
{
    add_byte(b, strlen(text));
    dp_buf_add(b, dp_span_str(text));
}

void dp_query_base64(dp_buf *out, const dp_query *q)
{
    dp_buf raw = {0};
    add_byte(&raw, q->version);
    add_byte(&raw, command_code(q->cmd));
    add_byte(&raw, LOCALE_EN_US & 0xFF);
    add_byte(&raw, LOCALE_EN_US >> 8);
    add_counted(&raw, q->device_id);
    add_byte(&raw, q->has_policy_key ? 4 : 0);
    for (unsigned i = 0; q->has_policy_key && i < 4; i++) {
        add_byte(&raw, q->policy_key >> 8 * i & 0xFF);
    }
    add_counted(&raw, q->device_type);
    dp_buf_add_base64(out, dp_buf_span(&raw));
    dp_buf_free(&raw);
}
