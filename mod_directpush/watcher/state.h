/* state: what directpushd keeps in state_dir across its own restarts.
 *
 *   seq          text: the bus's instance, this boot, and a ceiling that no
 *                seq of the instance has passed. Leased in large steps, each
 *                written with fsync before a seq beyond it is given out; so a
 *                bus file that was restored from an older copy never gives out
 *                a seq twice.
 *   cursors.mdb  LMDB: one record per want, so that a restarted watcher can
 *                say "nothing changed meanwhile". Never synced: it counts for
 *                nothing after a reboot, and a lost record costs one Sync per
 *                device.
 *   wanted       names for a start with another bus: wanted.h.
 *
 * When the instance is another one (new boot, new bus) the cursors are thrown
 * away unread: a crash of the machine may have left anything in them.
 */
#ifndef STATE_H
#define STATE_H

#include "watcher/cursor.h"
#include "watcher/want.h"

typedef struct dp_state dp_state;

/* One want, as stored. */
typedef struct dp_state_record {
    dp_class class;
    const char *user;
    const char *folder;
    const char *alias_user[8]; /* aliases_n of them */
    const char *alias_folder[8];
    unsigned aliases_n;
    uint64_t changed; /* of the topic, when it was stored */
    dp_time_us renewed_us;
    dp_cursor cursor;
} dp_state_record;

/** Read `dir`/seq. Nothing there, or of another boot: instance is 0. */
dp_state *dp_state_open(const char *dir);
void dp_state_close(dp_state **st);

/** Which instance the state belongs to; 0: none. */
uint64_t dp_state_instance(const dp_state *st);
uint64_t dp_state_ceiling(const dp_state *st);

/** From now on for `instance`; cursors of another one are thrown away. */
void dp_state_begin(dp_state *st, uint64_t instance, uint64_t head);

/** Make sure that the ceiling is well above `head`; cheap when it is. */
void dp_state_lease(dp_state *st, uint64_t head);

/* Records. Errors are logged once; a record that could not be written is lost
 * together with what an older one of the same want would have proved. */
void dp_state_put(dp_state *st, const dp_want *want, uint64_t changed);
void dp_state_del(dp_state *st, const dp_want *want);
void dp_state_commit(dp_state *st);
void dp_state_each(dp_state *st,
                   void (*each)(void *ctx, const dp_state_record *record),
                   void *ctx);

#endif
