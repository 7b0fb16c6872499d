/* wbxml_tokens: names for the tags of ActiveSync's code pages.
 *
 * DP_TAG_AIRSYNC_Sync, DP_TAG_PING_Status and so on come from
 * wbxml_tokens.def; the last part is spelt as in [MS-ASWBXML] 2.1.2.1.
 * Constants only.
 */
#ifndef WBXML_TOKENS_H
#define WBXML_TOKENS_H

/* Version 1.3, public id "unknown", UTF-8, no string table: always these. */
#define DP_WBXML_HEADER                                                        \
    {                                                                          \
        0x03, 0x01, 0x6A, 0x00                                                 \
    }

/* The global tokens that are used ([MS-ASWBXML] 2.1.1). */
#define DP_WBXML_SWITCH_PAGE 0x00
#define DP_WBXML_END_TAG     0x01
#define DP_WBXML_STR_I       0x03
#define DP_WBXML_OPAQUE      0xC3

/* Bits of a tag's byte. */
#define DP_WBXML_HAS_CONTENT    0x40
#define DP_WBXML_HAS_ATTRIBUTES 0x80 /* never valid here */
#define DP_WBXML_TAG_CODE       0x3F
#define DP_WBXML_TAG_CODE_MIN   0x05 /* below are global tokens */

/* An mb_u_int32: 32 bits in groups of 7, the most significant first. */
#define DP_WBXML_LENGTH_MAX  5 /* bytes */
#define DP_WBXML_LENGTH_BITS 7
#define DP_WBXML_LENGTH_MORE 0x80 /* another group follows */

enum dp_wbxml_pages {
#define DP_PAGE(number, page, name) DP_PAGE_##page = (number),
#define DP_TOKEN(page, token, name)
#include "wire/wbxml_tokens.def"
#undef DP_PAGE
#undef DP_TOKEN
};

/* Values are those of DP_WBXML_TAG(page, token). */
enum dp_wbxml_tags {
#define DP_PAGE(number, page, name)
#define DP_TOKEN(page, token, name)                                            \
    DP_TAG_##page##_##name = DP_PAGE_##page << 8 | (token),
#include "wire/wbxml_tokens.def"
#undef DP_PAGE
#undef DP_TOKEN
};

#endif
