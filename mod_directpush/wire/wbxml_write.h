/* wbxml_write: writes WBXML into the caller's buffer.
 *
 * Too small a buffer is remembered, not overrun: `n` then goes on counting
 * what it takes, and dp_wbxml_write_is_ok() says no. Pure.
 */
#ifndef WBXML_WRITE_H
#define WBXML_WRITE_H

#include "wire/wbxml_read.h"

typedef struct dp_wbxml_writer {
    unsigned char *buf;
    size_t cap;
    size_t n;
    uint8_t page;
} dp_wbxml_writer;

/** Begin: the header of four bytes. */
void dp_wbxml_write_init(dp_wbxml_writer *w, void *buf, size_t cap);
void dp_wbxml_write_open(dp_wbxml_writer *w, dp_wbxml_tag tag);
void dp_wbxml_write_empty(dp_wbxml_writer *w, dp_wbxml_tag tag);
/** As STR_I; text with a NUL in it as OPAQUE. */
void dp_wbxml_write_text(dp_wbxml_writer *w, dp_span text);
void dp_wbxml_write_close(dp_wbxml_writer *w);
/** open, text, close */
void dp_wbxml_write_leaf(dp_wbxml_writer *w, dp_wbxml_tag tag, dp_span text);
bool dp_wbxml_write_is_ok(const dp_wbxml_writer *w);

#endif
