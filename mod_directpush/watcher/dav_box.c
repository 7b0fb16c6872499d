/* The boxes of a source: one home of one user each. */
#include "watcher/dav_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic_name.h"

/* --- addresses */

size_t dp_dav_escape(char *out, size_t cap, const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@";
    size_t n = 0;
    for (; *name && n + 4 < cap; name++) {
        if (strchr(plain, *name)) {
            out[n++] = *name;
        }
        else {
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*name);
        }
    }
    out[n] = '\0';
    return n;
}

static dp_hash key_of(const dp_dav *s, const char *user, unsigned which)
{
    dp_span spans[] = {dp_span_str(user), dp_span_of(&which, sizeof(which))};
    return dp_hash_spans(s->hash_key, spans, 2);
}

/* The user's home: the template with %u, %n, %d, escaped. */
static bool url_of(const dp_dav *s, const char *user, unsigned which, char *out,
                   size_t cap)
{
    const char *at = s->conf.url;
    const char *domain = strchr(user, '@');
    char local[DP_TOPIC_USER_MAX + 1];
    size_t n = 0;
    snprintf(local, sizeof(local), "%.*s",
             (int)(domain ? domain - user : (ptrdiff_t)strlen(user)), user);
    for (; *at && n + 4 < cap; at++) {
        if (*at != '%' || !strchr("und%", at[1]) || !at[1]) {
            out[n++] = *at;
            continue;
        }
        at++;
        if (*at == 'd' && !domain) {
            return false;
        }
        const char *value = *at == 'u' ? user : *at == 'n' ? local
                            : *at == 'd' ? domain + 1 : "%";
        n += dp_dav_escape(out + n, cap - n, value);
    }
    out[n] = '\0';
    const char *home = which == 0 ? s->conf.calendars : s->conf.contacts;
    return n + strlen(home) < cap && strcpy(out + n, home);
}

/* --- life */

static void look_due(void *ctx)
{
    dp_dav_box_look_soon(ctx, false);
}

void dp_dav_box_look_soon(dp_dav_box *box, bool is_urgent)
{
    dp_dav *s = box->source;
    if (box->is_looking) {
        box->wants_again |= is_urgent;
        return;
    }
    if (box->until_us > dp_clock_mono_us()) {
        return; /* its timer is set */
    }
    dp_list_del(&box->job);
    dp_list_add(is_urgent ? &s->urgent : &s->queue, &box->job);
    dp_dav_look_over(s);
}

void dp_dav_box_abandon(dp_dav_box *box, const char *why)
{
    if (box->fetch) {
        dp_dav_fetch_cancel(&box->fetch);
        box->source->running_n--;
    }
    box->is_looking = box->wants_again = false;
    box->detailed = NULL;
    dp_dav_detail_forget(box);
    dp_dav_tell_changes(box);
    dp_dav_tell_hinted(box, false);
    dp_dav_suspend_all(box, why);
}

dp_dav_box *dp_dav_box_find(const dp_dav *s, const char *user, unsigned which)
{
    dp_map_node *n = dp_map_get(&s->boxes, key_of(s, user, which));
    return n ? DP_DAV_OWNER(n, dp_dav_box, by_name) : NULL;
}

dp_dav_box *dp_dav_box_get(dp_dav *s, const char *user, unsigned which)
{
    char url[4096];
    dp_dav_box *box = dp_dav_box_find(s, user, which);
    if (box) {
        return box;
    }
    if (!url_of(s, user, which, url, sizeof(url))) {
        snprintf(s->answer, sizeof(s->answer),
                 "%s has no domain, and url has %%d in it (default_domain in "
                 "directpushd.conf)",
                 user);
        return NULL;
    }
    box = calloc(1, sizeof(*box));
    DP_ASSERT(box);
    box->source = s;
    box->which = which;
    box->user = strdup(user);
    box->url = strdup(url);
    DP_ASSERT(box->user && box->url);
    box->home.kinds = which == 0 ? DP_DAV_EVENTS | DP_DAV_TASKS
                                 : DP_DAV_CONTACTS;
    box->due = (dp_loop_timer){.due = look_due, .ctx = box};
    box->late = (dp_loop_timer){.due = dp_dav_hints_late, .ctx = box};
    dp_list_init(&box->job);
    dp_map_put(&s->boxes, &box->by_name, key_of(s, user, which));
    return box;
}

bool dp_dav_box_readdress(dp_dav_box *box)
{
    char url[4096];
    if (!url_of(box->source, box->user, box->which, url, sizeof(url))) {
        return false;
    }
    if (strcmp(url, box->url) != 0) {
        free(box->url);
        box->url = strdup(url);
        DP_ASSERT(box->url);
        dp_dav_home_clear(&box->home); /* another place: nothing is known */
    }
    box->trouble = DP_DAV_FINE;
    box->failures_n = 0;
    box->until_us = 0;
    return true;
}

void dp_dav_box_free(dp_dav_box *box)
{
    dp_dav *s = box->source;
    dp_dav_box_abandon(box, "ended");
    dp_list_del(&box->job);
    dp_loop_cancel(s->loop, &box->due);
    dp_loop_cancel(s->loop, &box->late);
    dp_dav_home_clear(&box->home);
    dp_map_del(&s->boxes, &box->by_name);
    free(box->user);
    free(box->url);
    free(box);
}
