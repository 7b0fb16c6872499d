/* fuzz_link: a line of the control socket; what is parsed and formatted again
 * parses to the same fields. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus_link.h"
#include "fuzz_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_link_line line, again;
    char out[3 * DP_LINK_LINE_MAX];
    if (size > DP_LINK_LINE_MAX) {
        return 0;
    }
    unsigned char *copy = malloc(size + 1);
    memcpy(copy, data, size);
    dp_link_parse(copy, size, &line);
    DP_ASSERT(line.fields_n <= DP_LINK_FIELDS_MAX);
    if (line.fields_n) {
        uint64_t number;
        dp_link_u64(line.field[0], &number);
        size_t n = dp_link_format(out, sizeof(out), line.field, line.fields_n);
        DP_ASSERT(n > 0 && out[n - 1] == '\n');
        if (n <= DP_LINK_LINE_MAX && n > 1) {
            dp_link_parse((unsigned char *)out, n - 1, &again);
            DP_ASSERT(again.fields_n == line.fields_n);
            for (size_t i = 0; i < line.fields_n; i++) {
                DP_ASSERT(dp_span_is(again.field[i], line.field[i]));
            }
        }
    }
    free(copy);
    return 0;
}
