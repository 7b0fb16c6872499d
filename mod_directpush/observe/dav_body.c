#include "observe/dav_body.h"

#include <string.h>

#include "observe/dav_path.h"

static bool is_line(const dp_dav_body *b, const char *text)
{
    return b->line_n == strlen(text) && !memcmp(b->line, text, b->line_n);
}

static void end_line(dp_dav_body *b)
{
    while (b->line_n && (b->line[b->line_n - 1] == ' '
                         || b->line[b->line_n - 1] == '\r')) {
        b->line_n--;
    }
    if (b->line_n && !b->has_line) {
        b->has_line = true;
        b->is_text = is_line(b, "BEGIN:VCALENDAR") || is_line(b, "BEGIN:VCARD");
    }
    if (is_line(b, "BEGIN:VEVENT")) {
        b->classes |= DP_DAV_BIT(DP_CLASS_CALENDAR);
    }
    else if (is_line(b, "BEGIN:VTODO")) {
        b->classes |= DP_DAV_BIT(DP_CLASS_TASKS);
    }
    else if (is_line(b, "BEGIN:VCARD")) {
        b->classes |= DP_DAV_CONTACTS;
    }
    else if (is_line(b, "BEGIN:VFREEBUSY")) {
        b->has_freebusy = true;
    }
    b->line_n = 0;
}

static void take(dp_dav_body *b, unsigned char c)
{
    static const unsigned char bom[] = {0xef, 0xbb, 0xbf};
    if (b->n < sizeof(bom) && c == bom[b->n]) {
        return;
    }
    if (c == '\n') {
        end_line(b);
    }
    else if (b->line_n < sizeof(b->line)) {
        b->line[b->line_n++] =
            (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
}

void dp_dav_body_feed(dp_dav_body *b, dp_span bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (b->n == DP_DAV_BODY_MAX) {
            b->is_cut = true;
            return;
        }
        if (b->line_n == sizeof(b->line) && bytes.p[i] != '\n') {
            b->n++; /* the rest of a long line */
            continue;
        }
        take(b, bytes.p[i]);
        b->n++;
    }
}

void dp_dav_body_end(dp_dav_body *b)
{
    if (!b->is_cut) {
        end_line(b);
    }
}

unsigned dp_dav_body_classes(const dp_dav_body *b)
{
    return b->is_text && !b->is_cut ? b->classes : 0;
}

bool dp_dav_body_is_foreign(const dp_dav_body *b)
{
    return b->has_line
           && (!b->is_text
               || (b->has_freebusy && !b->classes && !b->is_cut));
}
