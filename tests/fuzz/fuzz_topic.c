/* fuzz_topic: names of topics, from phones, DAV clients and the control socket.
 * A sane folder never climbs or breaks a line; of a subscribed collection's
 * name the owner and the rest are put together again. */
#include "bus/subscribed_name.h"
#include "bus/topic_name.h"
#include "fuzz_same.h"

static void check_folder(dp_span folder)
{
    dp_span guid = dp_topic_guid(folder), listed = dp_topic_listed(folder);
    DP_ASSERT(guid.n == 0 || guid.n == DP_TOPIC_GUID_HEX);
    DP_ASSERT(!guid.n || guid.p + guid.n == folder.p + folder.n);
    DP_ASSERT(!listed.n || listed.p + listed.n == folder.p + folder.n);
    if (!dp_topic_folder_is_sane(folder)) {
        DP_ASSERT(!guid.n);
        return;
    }
    DP_ASSERT(folder.n > 0 && folder.n <= DP_TOPIC_FOLDER_MAX);
    /* `/guid/…` and `/listed/…` alone begin with a slash */
    DP_ASSERT(folder.p[0] != '/' || guid.n || listed.n);
    size_t from = guid.n     ? folder.n - guid.n
                  : listed.n ? folder.n - listed.n
                             : 0;
    for (size_t i = from, begin = from; i <= folder.n; i++) {
        DP_ASSERT(i == folder.n || folder.p[i] >= 0x20);
        if (i == folder.n || folder.p[i] == '/') {
            dp_span part = dp_span_of(folder.p + begin, i - begin);
            DP_ASSERT(part.n && !dp_span_is(part, DP_SPAN_LIT("."))
                      && !dp_span_is(part, DP_SPAN_LIT("..")));
            begin = i + 1;
        }
    }
}

/* As SOGo writes it: see subscribed_name.c. */
static size_t write_owner(unsigned char *out, dp_span owner)
{
    static const char plain[] = "_.@+#*:, '&$";
    static const char *const codes[] = {"_U_", "_D_", "_A_",  "_P_",  "_H_",
                                        "_S_", "_C_", "_CO_", "_SP_", "_SQ_",
                                        "_AM_", "_DS_"};
    size_t n = 0;
    for (size_t i = 0; i < owner.n; i++) {
        const char *at = owner.p[i] ? strchr(plain, owner.p[i]) : NULL;
        if (at) {
            size_t code_n = strlen(codes[at - plain]);
            memcpy(out + n, codes[at - plain], code_n);
            n += code_n;
        }
        else {
            out[n++] = owner.p[i];
        }
    }
    return n;
}

static void check_subscribed(dp_span name)
{
    unsigned char *buf = malloc(name.n), *written = malloc(4 * name.n + 1);
    dp_span owner, rest, owner2, rest2;
    if (dp_subscribed_split(name, buf, &owner, &rest)) {
        DP_ASSERT(owner.n && rest.n && owner.n + rest.n < name.n);
        DP_ASSERT(rest.p + rest.n == name.p + name.n);
        size_t n = write_owner(written, owner);
        written[n++] = '_';
        unsigned char *whole = malloc(n + rest.n), *buf2 = malloc(n + rest.n);
        memcpy(whole, written, n);
        memcpy(whole + n, rest.p, rest.n);
        /* its name may begin as a code does: that is SOGo's ambiguity */
        if (dp_subscribed_split(dp_span_of(whole, n + rest.n), buf2, &owner2,
                                &rest2)) {
            DP_ASSERT(owner2.n >= owner.n
                      && memcmp(owner2.p, owner.p, owner.n) == 0);
            DP_ASSERT(owner2.n > owner.n || dp_span_is(rest, rest2));
        }
        free(whole);
        free(buf2);
    }
    free(buf);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_span all = dp_span_of(data, size);
    check_folder(all);
    if (size) {
        check_subscribed(all);
    }
    if (dp_topic_user_is_sane(all)) {
        DP_ASSERT(size && size <= DP_TOPIC_USER_MAX);
        DP_ASSERT(!memchr(data, '/', size) && !memchr(data, '\n', size)
                  && !memchr(data, 0, size));
    }
    dp_class c = dp_class_of(all);
    DP_ASSERT(c == DP_CLASS_UNKNOWN
              || dp_span_is(all, dp_span_str(dp_class_name(c))));
    return 0;
}
