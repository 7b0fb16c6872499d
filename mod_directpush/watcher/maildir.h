/* maildir: the inside of the maildir source: source, mailboxes, folders.
 *
 * A box is a mailbox user's Maildir. It is *placed*: every directory from `/`
 * down to the root is subscribed to, top down, each before the next is looked
 * for, so that nothing can appear or go unseen. Where the way ends early the
 * box is awaited there. Any surprise on the way (a component moved, replaced,
 * unmounted; events lost) places the whole box again, which vouches afresh.
 *
 *    box: AWAITED  the end of the way is watched; nothing is vouched for,
 *                  since the path may be wrong
 *         PRESENT  the root is there; folders are placed
 *         REFUSED  can't be watched; nothing is vouched for; tried again
 *
 *    folder: ABSENT ──▶ SCANNING ──▶ SETTLING ──▶ READY
 *              ▲  place    scanned      drained     │
 *              └──────────── gone ◀──── placed again┘
 *
 * Settling: what happened during the scan has been told before the folder is
 * vouched for. A polled folder goes SCANNING ──▶ READY at every interval, or as
 * often as its scan takes.
 *
 * Private to source_maildir.c and maildir_*.c; the daemon's one thread.
 */
#ifndef MAILDIR_H
#define MAILDIR_H

#include "watcher/conf.h"
#include "watcher/emit.h"
#include "watcher/maildir_messages.h"
#include "watcher/maildir_path.h"
#include "watcher/notify.h"
#include "watcher/source.h"
#include "watcher/uidlist.h"

typedef struct dp_maildir dp_maildir;
typedef struct dp_box dp_box;
typedef struct dp_folder dp_folder;

typedef enum dp_folder_state {
    DP_FOLDER_ABSENT,
    DP_FOLDER_SCANNING,
    DP_FOLDER_SETTLING,
    DP_FOLDER_READY,
    DP_FOLDER_REFUSED
} dp_folder_state;

struct dp_folder {
    uint32_t magic;
    dp_box *box;
    dp_folder *next, *prev; /* of the same box */
    char *name;             /* `Projects/2026` */
    char *dir;              /* `.Projects.2026`; "" is the root */
    dp_want *want;          /* NULL: watched for the class topic only */
    dp_folder_state state;
    bool is_polled;
    dp_notify_sub self, in_new, in_cur;
    dp_messages messages;
    uint32_t left_by;    /* cookie of the rename that one left by last */
    dp_cursor known;     /* of the last scan, and current trip */
    dp_cursor before;    /* polled: of the scan before */
    bool has_before;
    dp_link_node job;    /* among the source's scans or settles */
    int scan_fd;         /* -1: not open */
    dp_where scan_where; /* which of the two is being scanned */
    dp_loop_timer leavers;
};

typedef enum dp_box_state {
    DP_BOX_UNPLACED,
    DP_BOX_AWAITED,
    DP_BOX_PRESENT,
    DP_BOX_REFUSED
} dp_box_state;

/* A folder's directory in the root. */
typedef struct dp_box_dir {
    char *name;
    uint64_t ino;
    char guid[DP_GUID_HEX + 1]; /* when last looked at; "" unknown */
    bool is_listed;             /* by the listing under way */
} dp_box_dir;

/* A dp_maildir_path that takes no more room than it needs. */
typedef struct dp_box_path {
    char *path;
    size_t base_n;
} dp_box_path;

/* One directory on the way to the root. */
typedef struct dp_box_step {
    dp_notify_named next; /* of the component after it; the name is ours */
    dp_box *box;
} dp_box_step;

struct dp_box {
    uint32_t magic;
    dp_maildir *source;
    dp_map_node by_user;
    char *user;
    dp_box_path path;
    dp_box_state state;
    char *why; /* REFUSED: the reason; else NULL or an old one */
    bool is_polled;
    uint64_t identity; /* of the root; 0: not there */
    dp_box_step *steps;
    size_t steps_n;
    dp_notify_sub root;
    dp_box_dir *dirs;
    size_t dirs_n;
    bool has_unnamed; /* directories that no topic can name */
    dp_folder *folders;
    dp_want *all;       /* Email `*` */
    dp_want *hierarchy; /* Hierarchy `*` */
    dp_link_node job;   /* to be placed, or freed */
    dp_loop_timer again; /* poll, or see whether the way still leads here */
};

#define DP_BOX_MAGIC    0x4450626fu
#define DP_FOLDER_MAGIC 0x4450666fu

struct dp_maildir {
    dp_source source; /* first: a source is what it begins with */
    dp_loop *loop;
    dp_emit *emit;
    const uint8_t *hash_key;
    dp_conf_maildir conf; /* a copy of our own */
    char *default_domain; /* or NULL */
    dp_notify *notify; /* NULL: the kernel gave none; all is polled */
    dp_loop_fd notify_fd;
    dp_map boxes;
    dp_link_node box_jobs;
    dp_link_node scans;
    dp_link_node settles;
    uint64_t scans_n, messages_scanned, polled_n;
    bool is_asking;
    dp_box *asked;  /* while asking: the box that was placed for it, or NULL */
    int asked_root; /* that one's root */
    char answer[512]; /* the last `no` */
    dp_log_cause limit_trouble, unreadable_trouble, network_trouble;
    dp_log_cause absent_news, shared_trouble;
};

/* --- maildir_box.c */

dp_box *dp_box_get(dp_maildir *s, const char *user);
dp_box *dp_box_find(const dp_maildir *s, const char *user);
void dp_box_free(dp_box *box);

/** Another configuration: its path, without placing it. */
void dp_box_set_path(dp_box *box);

/** Place it (again). What was vouched for is not until it is looked at. */
void dp_box_place(dp_box *box);

/** Place it soon: something happened to its way, or events were lost. */
void dp_box_place_later(dp_box *box, const char *why);

/** A folder's state is another one: what of the class topic? */
void dp_box_check_class(dp_box *box);

/** Vouch for the folder list, if somebody wants it and the root is there. */
void dp_box_check_hierarchy(dp_box *box);

/** Some folder's content is not what it was: the class topic starts afresh. */
void dp_box_class_afresh(dp_box *box);

/** See that the folders that the class topic needs are there. */
void dp_box_add_class_folders(dp_box *box);

/** Start the interval after which it is polled, or verified. */
void dp_box_look_again(dp_box *box);

/** Let it go soon if nobody wants anything of it. */
void dp_box_leave(dp_box *box);

/** The cursors of the two topics that are the box's own. */
void dp_box_fill_class(dp_box *box, dp_cursor *out);
void dp_box_fill_hierarchy(const dp_box *box, dp_cursor *out);

uint64_t dp_maildir_mix(const dp_maildir *s, const char *text, uint64_t a,
                        uint64_t b);

/* --- maildir_way.c */

/* Where a walk ended. */
typedef struct dp_box_walk_end {
    int root;    /* open (O_PATH), or -1 */
    int err;     /* why not */
    int sub_err; /* of subscribing to the last directory that is there */
} dp_box_walk_end;

/** Go down the path; with `subscribes`, be told of each directory on it. */
dp_box_walk_end dp_box_walk(dp_box *box, bool subscribes);

/** Open the root; -1 with errno. O_PATH. While the box is being asked that was
 *  placed for it, the root that was found then. */
int dp_box_open_root(const dp_box *box);

/** Steps for the box's path, not subscribed yet. */
void dp_box_make_steps(dp_box *box);

/** No longer be told of the way and the root. */
void dp_box_drop_way(dp_box *box);

/** That, and no steps any more. */
void dp_box_drop_steps(dp_box *box);

/* --- maildir_dirs.c */

/** List the root and tell what is other than before. @return 0, or errno */
int dp_box_list(dp_box *box, int root_fd);
/** An entry of the root came or went (told by inotify). */
void dp_box_root_told(void *ctx, const dp_notify_event *event);
dp_box_dir *dp_box_dir_named(const dp_box *box, dp_span name);
/** Is that folder there? INBOX of a Maildir that is yet to come is waited for.
 *  Any other name that was never seen may as well be a mistake in somebody's
 *  mapping, which must not be vouched for as "nothing ever happens". */
bool dp_box_has(const dp_box *box, const char *dir);
bool dp_maildir_has(const struct dp_source *source, const char *user,
                    dp_class c, const char *folder);
bool dp_box_resolve_guid(dp_box *box, const char *guid, char *out_folder,
                         size_t cap);
void dp_box_forget_dirs(dp_box *box);

/* --- maildir_folder.c */

dp_folder *dp_folder_find(const dp_box *box, const char *name);
/** @return NULL when no Maildir++ folder can have that name */
dp_folder *dp_folder_get(dp_box *box, const char *name);
void dp_folder_free(dp_folder *f);

/** Watch it and have it scanned; `root_fd` -1: the root is not there. */
void dp_folder_place(dp_folder *f, int root_fd);

/** The same when the root has to be opened for it. */
void dp_folder_place_again(dp_folder *f);

/** It can't be watched: said once, tried again. */
void dp_folder_refuse(dp_folder *f, int err);

/** Its directory is gone, or the box is. */
void dp_folder_unplace(dp_folder *f, dp_folder_state state, const char *why);

/** It is scanned, and all that happened meanwhile was told. */
void dp_folder_ready(dp_folder *f);

/** May its topics be vouched for? */
bool dp_folder_is_known(const dp_folder *f);

/** Bring `known` up to date, but for `trip`. */
void dp_folder_fill(dp_folder *f);

/** Its topic, or the class topic when it has none that is vouched for. May be
 *  NULL. */
dp_want *dp_folder_topic(const dp_folder *f);

/** Sample the change times of its directories, unless it is polled. */
void dp_folder_sample(dp_folder *f);

/* --- maildir_scan.c */

/** A slice of the scan. @param root_fd  the box's root, or -1: is opened
 *  @return true when it is not finished */
bool dp_folder_scan(dp_folder *f, int root_fd);

/** As much as a small folder needs, while the root is open. */
void dp_folder_scan_begin(dp_folder *f, int root_fd);

/** It is scanned: what happened meanwhile is told next. */
void dp_folder_scanned(dp_folder *f);
void dp_folder_scan_stop(dp_folder *f);

/* --- maildir_shared.c */

/* Who owns the public mailboxes: nobody can have that name. */
#define DP_MAILDIR_PUBLIC "/public"

bool dp_maildir_resolve(struct dp_source *source, const char *user, dp_class c,
                        dp_span alias, dp_resolved *out);

/** Where a user's Maildir is, or the public one. @return NULL, or why not */
const char *dp_maildir_place_of(const dp_maildir *s, const char *user,
                                dp_maildir_path *out);

/* --- maildir_explain.c */

/** Why a directory can't be watched, and what to do about it. */
const char *dp_maildir_refusal(int err);

bool dp_maildir_explain(struct dp_source *source, const char *user, dp_class c,
                        const char *folder, char *out, size_t cap);
void dp_maildir_report(const dp_source *source,
                       void (*line)(void *ctx, const char *name,
                                    uint64_t value),
                       void *ctx);

/* --- source_maildir.c */

/** Take over the root of a box that was placed: it is kept while asking. */
void dp_maildir_give_root(dp_box *box, int root);

/** Subscribe; says the kernel's limits once. @return errno */
int dp_maildir_subscribe(dp_maildir *s, dp_notify_sub *sub, int fd,
                         uint32_t mask);
void dp_maildir_unsubscribe(dp_maildir *s, dp_notify_sub *sub);

dp_source *dp_maildir_new(dp_loop *loop, dp_emit *emit,
                          const uint8_t *hash_key, const struct dp_conf *conf);

#define DP_OWNER(node, type, member)                                           \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
