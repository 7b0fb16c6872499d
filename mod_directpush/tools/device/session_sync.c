/* OPTIONS, FolderSync and Sync, each until it is done. See session.h. */
#include "tools/device/session.h"

#include "tools/device/state_file.h"

/* A folder that has to begin anew this often in one go is left alone until a
 * FolderSync or its next change. */
#define RESTARTS_MAX 3

void dp_session_save(dp_session *s)
{
    const char *why;
    if (s->args->state_file && !dp_state_save(s, &why)) {
        dp_timeline_note(s->timeline, "%s was not written: %s",
                         s->args->state_file, why);
    }
}

/* --- OPTIONS --- */

static bool lists(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list) {
        list += strspn(list, ", \t");
        size_t item_n = strcspn(list, ", \t");
        if (item_n == n && strncmp(list, word, n) == 0) {
            return true;
        }
        list += item_n;
    }
    return false;
}

/* The newest that both sides know; what was asked for wins. */
static unsigned choose_version(const dp_session *s, const char *offered)
{
    static const unsigned known[] = {141, 140, 121};
    char text[16];
    if (s->args->version) {
        return s->args->version;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        snprintf(text, sizeof(text), "%u.%u", known[i] / 10, known[i] % 10);
        if (lists(offered, text)) {
            return known[i];
        }
    }
    return 0;
}

dp_run dp_session_options(dp_session *s)
{
    dp_run run = dp_session_command(s, DP_CMD_NONE, (dp_span){0});
    if (run != DP_RUN_OK) {
        return run;
    }
    const char *versions = dp_buf_str(&s->answer.versions);
    const char *commands = dp_buf_str(&s->answer.commands);
    if (!*versions) {
        return dp_session_fail(
            s, DP_RUN_PROTOCOL,
            "no ActiveSync at %s%s: OPTIONS names no protocol version",
            dp_buf_str(&s->args->target.authority),
            dp_buf_str(&s->args->target.path));
    }
    s->phone.version = choose_version(s, versions);
    if (!s->phone.version) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "no common version: the server offers %s",
                               versions);
    }
    dp_timeline_options(s->timeline, versions, commands, s->phone.version);
    if (*commands && !lists(commands, "Ping")) {
        dp_timeline_note(s->timeline, "the server does not offer Ping");
    }
    return DP_RUN_OK;
}

/* --- FolderSync --- */

/* @return OK with *out_again: once more */
static dp_run folder_sync_status(dp_session *s, unsigned status,
                                 bool *out_again)
{
    *out_again = true;
    if (status >= 100) {
        return dp_session_recover_status(s, "FolderSync", status);
    }
    bool is_from_zero = strcmp(s->phone.hierarchy_key.p, "0") == 0;
    switch (status) {
    case 0:
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "the answer to FolderSync does not decode");
    case 1:
        *out_again = false;
        return DP_RUN_OK;
    case 9:
        if (!is_from_zero) {
            dp_timeline_note(s->timeline, "the folder list begins anew");
            dp_buf_set(&s->phone.hierarchy_key, DP_SPAN_LIT("0"));
            return DP_RUN_OK;
        }
        break;
    case 6:
    case 11:
        return dp_session_pause(s, &s->patience, "FolderSync: server error", 0);
    default:
        break;
    }
    return dp_session_fail(s, DP_RUN_PROTOCOL,
                           "FolderSync was answered Status %u", status);
}

static dp_run complain_of_filters(dp_session *s)
{
    if (s->args->filters_n) {
        return dp_session_fail(s, DP_RUN_USAGE,
                               "no folder that could be watched fits -f; "
                               "without -f, --json lists them all");
    }
    return dp_session_fail(s, DP_RUN_PROTOCOL,
                           "the server lists no folder that could be watched");
}

dp_run dp_session_folder_sync(dp_session *s)
{
    dp_folder_sync_result result;
    bool is_again;
    do {
        dp_buf body = {0};
        dp_phone_folder_sync_body(&s->phone, &body);
        dp_run run =
            dp_session_command(s, DP_CMD_FOLDERSYNC, dp_buf_span(&body));
        dp_buf_free(&body);
        if (run != DP_RUN_OK) {
            return run;
        }
        result =
            dp_phone_folder_sync_take(&s->phone, dp_buf_span(&s->answer.body));
        run = folder_sync_status(s, result.status, &is_again);
        if (run != DP_RUN_OK) {
            return run;
        }
    } while (is_again);
    size_t watched = dp_phone_choose(&s->phone);
    dp_timeline_folder_sync(s->timeline, &s->phone, &result);
    dp_session_save(s);
    return watched ? DP_RUN_OK : complain_of_filters(s);
}

/* --- Sync --- */

typedef enum sync_step { SYNC_DONE, SYNC_MORE, SYNC_RESTART } sync_step;

/* What a folder's status asks for; `f` may be gone afterwards. */
static dp_run take_status(dp_session *s, dp_phone_folder *f,
                          const dp_sync_result *r, sync_step *out_step)
{
    unsigned status = r->status ? r->status : r->global_status;
    *out_step = SYNC_RESTART;
    switch (status) {
    case 0: /* an empty answer, or the folder is left out: nothing new */
        *out_step = SYNC_DONE;
        return DP_RUN_OK;
    case 1:
        *out_step = (r->was_first || r->has_more) && r->has_moved ? SYNC_MORE
                                                                  : SYNC_DONE;
        return DP_RUN_OK;
    case 3:
        dp_timeline_note(s->timeline, "%s begins anew: its SyncKey is unknown",
                         dp_buf_str(&f->name));
        dp_buf_set(&f->key, DP_SPAN_LIT("0"));
        return DP_RUN_OK;
    case 8:
    case 12:
        return dp_session_folder_sync(s);
    case 5:
    case 13:
    case 16:
        return dp_session_pause(s, &s->patience, "Sync: the server is busy", 0);
    default:
        if (status >= 100) {
            return dp_session_recover_status(s, "Sync", status);
        }
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "Sync of %s was answered "
                               "Status %u",
                               dp_buf_str(&f->name), status);
    }
}

static dp_run sync_once(dp_session *s, dp_phone_folder *f, sync_step *out_step)
{
    dp_buf body = {0};
    dp_phone_sync_body(f, &body);
    dp_run run = dp_session_command(s, DP_CMD_SYNC, dp_buf_span(&body));
    dp_buf_free(&body);
    if (run != DP_RUN_OK) {
        return run;
    }
    dp_timeline_items items = {0};
    dp_sync_result result = dp_phone_sync_take(f, dp_buf_span(&s->answer.body),
                                               dp_timeline_items_add, &items);
    bool is_good =
        !result.is_bad && result.status <= 1 && result.global_status <= 1;
    s->items += items.added + items.changed + items.deleted;
    if (is_good) {
        dp_timeline_sync(s->timeline, f, &result, &items);
        if (result.has_moved) {
            dp_session_save(s);
        }
    }
    dp_timeline_items_free(&items);
    if (result.is_bad) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "the answer to Sync does not decode");
    }
    return take_status(s, f, &result, out_step);
}

static dp_run sync_folder(dp_session *s, dp_span id)
{
    unsigned restarts = 0;
    sync_step step = SYNC_MORE;
    dp_phone_folder *f;
    while ((f = dp_phone_find(&s->phone, id)) != NULL && f->needs_sync) {
        if (step == SYNC_DONE || restarts > RESTARTS_MAX) {
            f->needs_sync = false;
            break;
        }
        dp_run run = sync_once(s, f, &step);
        if (run != DP_RUN_OK) {
            return run;
        }
        restarts += step == SYNC_RESTART;
    }
    if (restarts > RESTARTS_MAX) {
        return dp_session_pause(s, &s->patience,
                                "a folder that begins anew without end", 0);
    }
    return DP_RUN_OK;
}

dp_run dp_session_sync_due(dp_session *s)
{
    dp_phone_folder *f;
    while ((f = dp_phone_due(&s->phone)) != NULL) {
        dp_buf id = {0};
        dp_buf_set(&id, dp_buf_span(&f->id)); /* `f` may go meanwhile */
        dp_run run = sync_folder(s, dp_buf_span(&id));
        dp_buf_free(&id);
        if (run != DP_RUN_OK) {
            return run;
        }
    }
    return DP_RUN_OK;
}
