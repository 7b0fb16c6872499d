#include "bus/topic_name.h"

static const char *const class_names[DP_CLASS_N] = {
    [DP_CLASS_UNKNOWN] = "Unknown",     [DP_CLASS_EMAIL] = "Email",
    [DP_CLASS_CALENDAR] = "Calendar",   [DP_CLASS_CONTACTS] = "Contacts",
    [DP_CLASS_TASKS] = "Tasks",         [DP_CLASS_NOTES] = "Notes",
    [DP_CLASS_HIERARCHY] = "Hierarchy",
};

const char *dp_class_name(dp_class c)
{
    return class_names[(unsigned)c < DP_CLASS_N ? c : DP_CLASS_UNKNOWN];
}

dp_class dp_class_of(dp_span name)
{
    for (int c = DP_CLASS_UNKNOWN + 1; c < DP_CLASS_N; c++) {
        if (dp_span_is(name, dp_span_str(class_names[c]))) {
            return (dp_class)c;
        }
    }
    return DP_CLASS_UNKNOWN;
}

dp_hash dp_topic_key(const uint8_t *hash_key, dp_span user, dp_class c,
                     dp_span folder)
{
    dp_span parts[] = {user, dp_span_str(dp_class_name(c)), folder};
    return dp_hash_spans(hash_key, parts, 3);
}

static bool has_control_byte(dp_span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool is_sane_component(dp_span c)
{
    return c.n > 0 && !dp_span_is(c, DP_SPAN_LIT("."))
           && !dp_span_is(c, DP_SPAN_LIT(".."));
}

static bool is_guid_alias(dp_span folder)
{
    dp_span prefix = DP_SPAN_LIT(DP_TOPIC_GUID_PREFIX);
    if (folder.n != prefix.n + 32 || memcmp(folder.p, prefix.p, prefix.n)) {
        return false;
    }
    for (size_t i = prefix.n; i < folder.n; i++) {
        unsigned char c = folder.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
    }
    return true;
}

bool dp_topic_folder_is_sane(dp_span folder)
{
    if (folder.n == 0 || folder.n > DP_TOPIC_FOLDER_MAX
        || has_control_byte(folder)) {
        return false;
    }
    if (is_guid_alias(folder)) {
        return true;
    }
    const unsigned char *end = folder.p + folder.n;
    for (const unsigned char *at = folder.p;;) {
        const unsigned char *slash = memchr(at, '/', (size_t)(end - at));
        const unsigned char *stop = slash ? slash : end;
        if (!is_sane_component(dp_span_of(at, (size_t)(stop - at)))) {
            return false;
        }
        if (!slash) {
            return true;
        }
        at = slash + 1;
    }
}

bool dp_topic_user_is_sane(dp_span user)
{
    return is_sane_component(user) && user.n <= DP_TOPIC_USER_MAX
           && !has_control_byte(user) && !memchr(user.p, '/', user.n);
}

dp_hash dp_forget_user_key(const uint8_t *hash_key, dp_span user)
{
    const dp_span parts[] = {DP_SPAN_LIT("forget-user"), user};
    return dp_hash_spans(hash_key, parts, 2);
}

uint64_t dp_forget_device_key(const uint8_t *hash_key, dp_span device)
{
    const dp_span parts[] = {DP_SPAN_LIT("forget-device"), device};
    uint64_t key = dp_hash_spans(hash_key, parts, 2).w[0];
    return key ? key : 1;
}
