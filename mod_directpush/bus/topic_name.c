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

static dp_span after(dp_span s, dp_span prefix)
{
    if (s.n < prefix.n || memcmp(s.p, prefix.p, prefix.n) != 0) {
        return dp_span_of(NULL, 0);
    }
    return dp_span_of(s.p + prefix.n, s.n - prefix.n);
}

dp_span dp_topic_listed(dp_span folder)
{
    return after(folder, DP_SPAN_LIT(DP_TOPIC_LISTED_PREFIX));
}

dp_span dp_topic_guid(dp_span folder)
{
    /* the slash before `guid` is the prefix's last */
    dp_span rest = dp_topic_listed(folder);
    dp_span guid = after(
        rest.n ? dp_span_of(rest.p - 1, rest.n + 1) : folder,
        DP_SPAN_LIT(DP_TOPIC_GUID_PREFIX));
    if (guid.n != DP_TOPIC_GUID_HEX) {
        return dp_span_of(NULL, 0);
    }
    for (size_t i = 0; i < guid.n; i++) {
        unsigned char c = guid.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return dp_span_of(NULL, 0);
        }
    }
    return guid;
}

bool dp_topic_folder_is_sane(dp_span folder)
{
    if (folder.n == 0 || folder.n > DP_TOPIC_FOLDER_MAX
        || has_control_byte(folder)) {
        return false;
    }
    if (dp_topic_guid(folder).n) {
        return true;
    }
    dp_span listed = dp_topic_listed(folder);
    if (listed.n) {
        folder = listed;
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
