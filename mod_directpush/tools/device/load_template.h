/* load_template: a text with a number in it, such as `user%d`.
 *
 * One place: `%d` or `%u`, with a width and zeros as in printf(3) if wished
 * (`user%05d`). Any other percent sign stands for itself. Pure.
 */
#ifndef LOAD_TEMPLATE_H
#define LOAD_TEMPLATE_H

#include <stdint.h>

#include "base/dp_span.h"

typedef struct dp_load_template {
    dp_span before, after; /* point into the text */
    unsigned width;        /* at least so many digits; 0 as many as needed */
} dp_load_template;

#define DP_LOAD_DIGITS_MAX 10 /* of a number, and the widest width */

/** @return false: there is no place for the number, or two */
bool dp_load_template_parse(const char *text, dp_load_template *out);

/** The number as digits, no NUL. @return how many; at most
 *  DP_LOAD_DIGITS_MAX */
size_t dp_load_digits(char *out, uint32_t number, unsigned width);

/** The longest that it gets. */
size_t dp_load_template_max(const dp_load_template *t);

/** Fill it in; `out` has room for dp_load_template_max(), no NUL.
 *  @return bytes */
size_t dp_load_template_write(const dp_load_template *t, uint32_t number,
                              char *out);

#endif
