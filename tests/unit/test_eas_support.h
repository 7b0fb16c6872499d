/* test_eas_support: what the tests of wire/ share.
 *
 * A subject is a parser and what it concludes, written out as text: the tests
 * compare that text between ways of feeding the same bytes. Every chunk is a
 * block of its own that is freed before the next comes, so that the address
 * sanitizer sees whoever keeps a pointer into it.
 */
#ifndef TEST_EAS_SUPPORT_H
#define TEST_EAS_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/dp_span.h"
#include "wire/wbxml_read.h"

/* What a subject concluded. */
typedef struct wire_log {
    char *text; /* NUL-terminated */
    size_t n, cap;
} wire_log;

void wire_log_add(wire_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Bytes, those that are not printable as \xNN. */
void wire_log_span(wire_log *log, dp_span bytes);
void wire_log_free(wire_log *log);

/** Parse `body` in chunks of `chunk_n` bytes and write down the outcome. */
typedef void (*wire_subject)(dp_span body, size_t chunk_n, wire_log *log);

/** Feed `body` in chunks; stops when feed() says false. */
void wire_feed(dp_span body, size_t chunk_n, bool (*feed)(void *, dp_span),
               void *parser);

/** Bytes from hex; spaces are skipped. To be freed. */
dp_span wire_unhex(const char *hex);

/** The body of tests/captures/NAME, chunked coding undone. To be freed. */
dp_span wire_capture(const char *name);
/** All of them that have a body. @return how many */
size_t wire_captures_each(void (*visit)(const char *name, dp_span body,
                                        void *ctx),
                          void *ctx);

/** The outcome does not depend on the chunking, for every capture. */
void wire_check_chunkings(wire_subject subject);
/** … and for this body. */
void wire_check_body(wire_subject subject, const char *name, dp_span body);
/** No beginning of a capture says `word` (as "whole=1"), but the whole does;
 *  for those that the subject reads at all. @return how many it does */
size_t wire_check_truncations(wire_subject subject, const char *word);
/** Captures with random damage: outcome still independent of the chunking. */
void wire_check_mutations(wire_subject subject);

/** 10,000 levels: header, page, root and then `tag`, open over and over. */
dp_span wire_deep_body(unsigned char page, unsigned char root,
                       unsigned char tag);

#endif
