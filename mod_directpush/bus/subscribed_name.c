#include "bus/subscribed_name.h"

#include <string.h>

/* What SOGo writes for a character of a login that an identifier lacks. */
static const struct {
    const char *code;
    unsigned char c;
} codes[] = {{"_U_", '_'},   {"_D_", '.'},   {"_A_", '@'},   {"_P_", '+'},
             {"_H_", '#'},   {"_S_", '*'},   {"_C_", ':'},   {"_CO_", ','},
             {"_SP_", ' '},  {"_SQ_", '\''}, {"_AM_", '&'},  {"_DS_", '$'}};

/* The code that `s` begins with. @return its length, 0: none */
static size_t code_at(dp_span s, unsigned char *out)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        size_t n = strlen(codes[i].code);
        if (s.n > n && !memcmp(s.p, codes[i].code, n)) {
            *out = codes[i].c;
            return n;
        }
    }
    return 0;
}

bool dp_subscribed_split(dp_span name, unsigned char *buf, dp_span *out_owner,
                         dp_span *out_name)
{
    size_t n = 0, step;
    for (size_t i = 0; i < name.n; i += step) {
        step = 1;
        buf[n] = name.p[i];
        if (name.p[i] == '_') {
            step = code_at(dp_span_of(name.p + i, name.n - i), &buf[n]);
            if (!step) {
                *out_owner = dp_span_of(buf, n);
                *out_name = dp_span_of(name.p + i + 1, name.n - i - 1);
                return n && out_name->n;
            }
        }
        n++;
    }
    return false;
}
