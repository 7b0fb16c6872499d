#include "tools/device/provision.h"

#include <stdio.h>

#include "base/dp_check.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

/* [MS-ASWBXML] 2.1.2.1.19 */
#define SETTINGS_SET                DP_WBXML_TAG(18, 0x08)
#define SETTINGS_DEVICE_INFORMATION DP_WBXML_TAG(18, 0x16)
#define SETTINGS_MODEL              DP_WBXML_TAG(18, 0x17)
#define SETTINGS_FRIENDLY_NAME      DP_WBXML_TAG(18, 0x19)
#define SETTINGS_OS                 DP_WBXML_TAG(18, 0x1A)

#define TEXT_MAX 16

static void write_policy_type(dp_wbxml_writer *w, unsigned version)
{
    dp_wbxml_write_leaf(w, DP_TAG_PROVISION_PolicyType,
                        version >= 120
                            ? DP_SPAN_LIT("MS-EAS-Provisioning-WBXML")
                            : DP_SPAN_LIT("MS-WAP-Provisioning-XML"));
}

/* 14.1 demands it in the first Provision ([MS-ASPROV] 2.2.2.53). */
static void write_device(dp_wbxml_writer *w, const char *device_type)
{
    dp_wbxml_write_open(w, SETTINGS_DEVICE_INFORMATION);
    dp_wbxml_write_open(w, SETTINGS_SET);
    dp_wbxml_write_leaf(w, SETTINGS_MODEL, dp_span_str(device_type));
    dp_wbxml_write_leaf(w, SETTINGS_FRIENDLY_NAME,
                        DP_SPAN_LIT("directpush-device"));
    dp_wbxml_write_leaf(w, SETTINGS_OS, DP_SPAN_LIT("Linux"));
    dp_wbxml_write_close(w);
    dp_wbxml_write_close(w);
}

static size_t finish(dp_wbxml_writer *w)
{
    dp_wbxml_write_close(w); /* Policy */
    dp_wbxml_write_close(w); /* Policies */
    dp_wbxml_write_close(w); /* Provision */
    DP_ASSERT(dp_wbxml_write_is_ok(w));
    return w->n;
}

size_t dp_provision_ask(unsigned char *buf, unsigned version,
                        const char *device_type)
{
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, buf, DP_PROVISION_BODY_MAX);
    dp_wbxml_write_open(&w, DP_TAG_PROVISION_Provision);
    if (version >= 141) {
        write_device(&w, device_type);
    }
    dp_wbxml_write_open(&w, DP_TAG_PROVISION_Policies);
    dp_wbxml_write_open(&w, DP_TAG_PROVISION_Policy);
    write_policy_type(&w, version);
    return finish(&w);
}

size_t dp_provision_acknowledge(unsigned char *buf, unsigned version,
                                uint32_t key)
{
    char digits[16];
    snprintf(digits, sizeof(digits), "%u", key);
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, buf, DP_PROVISION_BODY_MAX);
    dp_wbxml_write_open(&w, DP_TAG_PROVISION_Provision);
    dp_wbxml_write_open(&w, DP_TAG_PROVISION_Policies);
    dp_wbxml_write_open(&w, DP_TAG_PROVISION_Policy);
    write_policy_type(&w, version);
    dp_wbxml_write_leaf(&w, DP_TAG_PROVISION_PolicyKey, dp_span_str(digits));
    dp_wbxml_write_leaf(&w, DP_TAG_PROVISION_Status, DP_SPAN_LIT("1"));
    return finish(&w);
}

/* A number in the text of a leaf. */
typedef struct number {
    char text[TEXT_MAX];
    size_t n;
} number;

static void add_digits(number *v, dp_span piece)
{
    for (size_t i = 0; i < piece.n && v->n < sizeof(v->text); i++) {
        v->text[v->n++] = (char)piece.p[i];
    }
}

static bool as_number(const number *v, uint32_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (v->text[i] < '0' || v->text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(v->text[i] - '0');
    }
    *out = (uint32_t)value;
    return v->n > 0 && value <= UINT32_MAX;
}

/* Provision > Status; Provision > Policies > Policy > Status, PolicyKey */
static void take_leaf(dp_provision *p, dp_wbxml_tag tag, unsigned depth,
                      const number *v)
{
    uint32_t value;
    if (!as_number(v, &value)) {
        return;
    }
    if (tag == DP_TAG_PROVISION_Status && depth == 2) {
        p->status = value;
    }
    else if (tag == DP_TAG_PROVISION_Status && depth == 4) {
        p->policy_status = value;
    }
    else if (tag == DP_TAG_PROVISION_PolicyKey && depth == 4) {
        p->key = value;
        p->has_key = true;
    }
}

static void take_opened(dp_provision *p, dp_wbxml_tag tag, unsigned depth)
{
    if (depth == 1 && tag != DP_TAG_PROVISION_Provision) {
        p->is_bad = true;
    }
    if (depth == 2 && (tag == DP_TAG_PROVISION_RemoteWipe ||
                       tag == DP_TAG_PROVISION_AccountOnlyRemoteWipe)) {
        p->orders_wipe = true;
    }
}

bool dp_provision_parse(dp_span body, dp_provision *out)
{
    *out = (dp_provision){0};
    number text = {0};
    dp_wbxml_reader r;
    dp_wbxml_read_init(&r, body.n);
    dp_wbxml_read_feed(&r, body);
    while (!out->is_bad && !out->is_whole) {
        switch (dp_wbxml_read_next(&r)) {
        case DP_WBXML_OPEN:
            take_opened(out, r.tag, r.depth);
            text.n = 0;
            break;
        case DP_WBXML_TEXT:
            add_digits(&text, r.text);
            break;
        case DP_WBXML_CLOSE:
            take_leaf(out, r.tag, r.depth, &text);
            text.n = 0;
            break;
        case DP_WBXML_END:
            out->is_whole = true;
            break;
        default: /* MORE: it is cut off */
            out->is_bad = true;
            break;
        }
    }
    return out->is_whole && !out->is_bad;
}
