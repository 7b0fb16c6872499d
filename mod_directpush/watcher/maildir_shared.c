/* Which mailbox a GUID is: one of the user's own, or, for a folder that the
 * backend has listed to the user's device, one that somebody shares with him
 * or that is public. A GUID names one mailbox on earth: wherever it is found,
 * it is the one that the device means. What is not found stays blind.
 *
 * Who shares something with whom is in the file of Dovecot's acl_shared_dict:
 *
 *    shared/shared-boxes/user/bob/alice      alice has shared with bob,
 *    1
 *    shared/shared-boxes/group/sales/alice   with a group (which may be his),
 *    1
 *    shared/shared-boxes/anyone/alice        with all
 *    1
 */
#include "watcher/maildir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic_name.h"

/* Whose mailboxes are looked through for one GUID at most: each costs a look
 * into each of its folders. */
#define OWNERS_MAX 256

#define DICT_PREFIX "shared/shared-boxes/"

static bool is_in(dp_maildir *s, const char *user, const char *guid,
                  dp_resolved *out)
{
    dp_box *box = dp_box_get(s, user);
    if (!box) {
        return false;
    }
    bool is_found = box->state == DP_BOX_PRESENT
                    && dp_box_resolve_guid(box, guid, out->folder,
                                           sizeof(out->folder));
    dp_box_leave(box); /* unless somebody asks before the next step */
    if (is_found) {
        snprintf(out->user, sizeof(out->user), "%s", user);
    }
    return is_found;
}

static bool is_same_user(const dp_maildir *s, const char *user, dp_span name)
{
    char canonical[DP_TOPIC_USER_MAX + 1];
    return dp_maildir_canonical_user(canonical, sizeof(canonical), name,
                                     s->default_domain)
           && strcmp(canonical, user) == 0;
}

static bool begins_with(dp_span s, dp_span prefix)
{
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* A line of the file: somebody who shares something with `user`, or may?
 * @param out  of DP_TOPIC_USER_MAX + 1 bytes */
static bool owner_of(const dp_maildir *s, const char *user, dp_span line,
                     char *out)
{
    const dp_span prefix = DP_SPAN_LIT(DICT_PREFIX);
    const dp_span to_user = DP_SPAN_LIT("user/");
    if (!begins_with(line, prefix)) {
        return false;
    }
    dp_span to = dp_span_of(line.p + prefix.n, line.n - prefix.n);
    const unsigned char *slash = memrchr(to.p, '/', to.n);
    if (!slash) {
        return false;
    }
    dp_span owner = dp_span_of(slash + 1, (size_t)(to.p + to.n - slash - 1));
    to.n = (size_t)(slash - to.p);
    if (begins_with(to, to_user)
        && !is_same_user(s, user,
                         dp_span_of(to.p + to_user.n, to.n - to_user.n))) {
        return false;
    }
    return dp_maildir_canonical_user(out, DP_TOPIC_USER_MAX + 1, owner,
                                     s->default_domain);
}

static bool is_in_shared(dp_maildir *s, const char *user, const char *guid,
                         dp_resolved *out)
{
    char *line = NULL;
    size_t cap = 0;
    unsigned owners_n = 0;
    bool is_found = false;
    FILE *f = s->conf.shared_dict ? fopen(s->conf.shared_dict, "re") : NULL;
    if (!f) {
        if (s->conf.shared_dict && dp_log_first(&s->shared_trouble)) {
            dp_log(DP_LOG_WARN,
                   "%s can't be read: %s: shared folders are not watched "
                   "(shared_dict; it is there once somebody shares a folder)",
                   s->conf.shared_dict, strerror(errno));
        }
        return false;
    }
    for (ssize_t n; !is_found && owners_n < OWNERS_MAX
                    && (n = getline(&line, &cap, f)) > 0;) {
        char owner[DP_TOPIC_USER_MAX + 1];
        dp_span text = dp_span_of(line, (size_t)n - (line[n - 1] == '\n'));
        if (owner_of(s, user, text, owner) && strcmp(owner, user) != 0) {
            owners_n++;
            is_found = is_in(s, owner, guid, out);
        }
    }
    free(line);
    fclose(f);
    return is_found;
}

bool dp_maildir_resolve(dp_source *source, const char *user, dp_class c,
                        dp_span alias, dp_resolved *out)
{
    dp_maildir *s = (dp_maildir *)(void *)source;
    char guid[DP_GUID_HEX + 1];
    dp_span hex = dp_topic_guid(alias);
    if (c != DP_CLASS_EMAIL || !hex.n) {
        return false;
    }
    memcpy(guid, hex.p, DP_GUID_HEX);
    guid[DP_GUID_HEX] = '\0';
    if (is_in(s, user, guid, out)) {
        return true;
    }
    return dp_topic_listed(alias).n
           && ((s->conf.public && is_in(s, DP_MAILDIR_PUBLIC, guid, out))
               || is_in_shared(s, user, guid, out));
}

const char *dp_maildir_place_of(const dp_maildir *s, const char *user,
                                dp_maildir_path *out)
{
    const char *where = s->conf.path;
    if (strcmp(user, DP_MAILDIR_PUBLIC) == 0) {
        where = s->conf.public;
    }
    return where ? dp_maildir_path_of(out, where, dp_span_str(user))
                 : "there is no public = ... in directpushd.conf";
}
