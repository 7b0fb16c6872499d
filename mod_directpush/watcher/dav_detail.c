/* What has changed in one collection, and whether it was events or tasks: the
 * items since the base (sync-collection), and for a calendar that holds both
 * kinds what the changed ones are (calendar-multiget). One request each per look
 * and collection whose tag has moved.
 */
#include "watcher/dav_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic_name.h"

typedef struct dp_dav_detail {
    dp_dav_news news;
    char token[DP_DAV_TEXT_MAX];
} dp_dav_detail;

/* @return bytes */
static size_t escape_xml(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; *text && n + 7 < cap; text++) {
        if (strchr("<>&\"'", *text)) {
            n += (size_t)snprintf(out + n, 7, "&#%d;", *text);
        }
        else {
            out[n++] = *text;
        }
    }
    out[n] = '\0';
    return n;
}

static void url_of(const dp_dav_box *box, char *out, size_t cap)
{
    char name[DP_TOPIC_FOLDER_MAX * 3 + 8];
    dp_dav_escape(name, sizeof(name), box->detailed->name);
    snprintf(out, cap, "%s%s/", box->url, name);
}

void dp_dav_detail_forget(dp_dav_box *box)
{
    if (box->detail) {
        dp_dav_news_clear(&box->detail->news);
        free(box->detail);
        box->detail = NULL;
    }
}

static void judge(dp_dav_box *box)
{
    dp_dav_coll *c = box->detailed;
    const dp_dav_news *news = &box->detail->news;
    unsigned kinds = dp_dav_news_judge(news, c->kinds);
    if (news->sum != c->told) {
        dp_dav_news_keep(news, &c->known);
    }
    dp_dav_home_detail(&box->home, c, news->sum, box->detail->token, kinds);
    dp_dav_detail_forget(box);
    dp_dav_detail_over(box);
}

static void kinds_done(void *ctx, const dp_dav_answer *a)
{
    dp_dav_box *box = ctx;
    box->fetch = NULL;
    box->source->running_n--;
    /* whatever is wrong with it: what it does not tell is both */
    if (!a->error && !a->is_too_long && a->status == 207) {
        dp_dav_read(a->body, a->body_n, dp_dav_news_answer, &box->detail->news,
                    NULL);
    }
    judge(box);
}

static void ask_kinds(dp_dav_box *box)
{
    static const char head[] =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
        "<C:calendar-multiget xmlns:D=\"DAV:\" "
        "xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop>"
        "<C:calendar-data/></D:prop>";
    static const char tail[] = "</C:calendar-multiget>";
    const dp_dav_news *news = &box->detail->news;
    size_t n = sizeof(head) - 1, cap = sizeof(head) + sizeof(tail);
    char url[8192];
    for (unsigned i = 0; i < news->n; i++) {
        cap += news->asked[i] ? strlen(news->asked[i]) * 6 + 32 : 0;
    }
    char *body = malloc(cap);
    DP_ASSERT(body);
    memcpy(body, head, sizeof(head));
    for (unsigned i = 0; i < news->n; i++) {
        if (news->asked[i]) {
            n += (size_t)snprintf(body + n, cap - n, "<D:href>");
            n += escape_xml(body + n, cap - n, news->asked[i]);
            n += (size_t)snprintf(body + n, cap - n, "</D:href>");
        }
    }
    memcpy(body + n, tail, sizeof(tail));
    url_of(box, url, sizeof(url));
    box->source->kinds_n++;
    dp_dav_ask(box, "REPORT", url, body, kinds_done);
    free(body);
}

/* Is it all that has changed since the base? What the server cut off would be
 * missed, and the same first page says nothing of what is new behind it. */
static bool take_detail(dp_dav_box *box, const dp_dav_answer *a)
{
    dp_dav_news *news = &box->detail->news;
    return !a->is_too_long && a->status == 207
           && !dp_dav_read(a->body, a->body_n, dp_dav_news_take, news,
                           box->detail->token)
           && !news->is_cut;
}

static void detail_done(void *ctx, const dp_dav_answer *a)
{
    const unsigned both = DP_DAV_EVENTS | DP_DAV_TASKS;
    dp_dav_box *box = ctx;
    dp_dav_coll *c = box->detailed;
    box->fetch = NULL;
    box->source->running_n--;
    if (dp_dav_is_broken(box, a)) {
        return;
    }
    box->detail = calloc(1, sizeof(*box->detail));
    DP_ASSERT(box->detail);
    dp_dav_news *news = &box->detail->news;
    news->hash_key = box->source->hash_key;
    news->known = &c->known;
    news->base = c->base_n;
    news->sum = DP_DAV_NO_DETAIL;
    if (!take_detail(box, a)) {
        dp_dav_detail_forget(box);
        dp_dav_home_no_detail(&box->home, c);
        dp_dav_detail_over(box);
    }
    else if (c->kinds == both && news->sum != c->told && news->asked_n) {
        ask_kinds(box);
    }
    else {
        judge(box);
    }
}

void dp_dav_detail_ask(dp_dav_box *box)
{
    char token[DP_DAV_TEXT_MAX * 6], url[8192];
    char body[DP_DAV_TEXT_MAX * 6 + 512];
    escape_xml(token, sizeof(token), box->detailed->base_token);
    url_of(box, url, sizeof(url));
    snprintf(body, sizeof(body),
             "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
             "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>%s"
             "</D:sync-token><D:sync-level>1</D:sync-level><D:prop>"
             "<D:getetag/></D:prop></D:sync-collection>",
             token);
    box->source->details_n++;
    dp_dav_ask(box, "REPORT", url, body, detail_done);
}
