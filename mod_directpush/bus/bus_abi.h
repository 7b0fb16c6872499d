/* bus_abi: the layout of the file `bus`, the contract of watcher and module.
 *
 * directpushd is the only writer; Apache's children map the file read-only and
 * take no lock. The file is three parts, each starting at a multiple of 4096:
 *
 *    0            topics_off                journal_off            size
 *    +------------+-------------------------+----------------------+
 *    | header     | topic_cap slots, 64 B   | journal_cap records, |
 *    |            |                         | 64 B                 |
 *    +------------+-------------------------+----------------------+
 *
 * One topic slot, one cache line, native endian:
 *
 *    0        16        24            32             40
 *    +--------+---------+-------------+--------------+--------------+
 *    | key    | changed | changed_new | watched_from | changed_at   |
 *    +--------+---------+-------------+--------------+--------------+
 *    48     52           56         60         64
 *    +------+------------+----------+----------+
 *    | gen  | class_slot | renewed  | flags    |
 *    +------+------------+----------+----------+
 *
 * The upper 24 bits of `flags` count new items, the upper 16 of `changed_new`
 * other changes.
 *
 * One journal record:
 *
 *    0      8      12     16    20    24            40    48        64
 *    +------+------+------+-----+-----+-------------+-----+---------+
 *    | seq  | kind | slot | gen | -   | hash        | arg | spare   |
 *    +------+------+------+-----+-----+-------------+-----+---------+
 *
 * Why readers need no lock, and why a stale read is harmless:
 *  - `head`, `changed` and `watched_from` only grow within a generation of a
 *    slot. A reader that sees an old value sees what was true a moment ago;
 *    whatever was stored since raises `head` afterwards and wakes it again.
 *  - Publish stores the topic first, the journal record second, `head` last
 *    (release). A reader takes `head` first (acquire), so all that a seq up to
 *    it stands for is visible.
 *  - `gen` is odd while a slot changes hands and another even number after
 *    it. A reader looks at it before and after; anything but the number that
 *    it was told means: not your topic any more, ask again (blind meanwhile).
 *  - While a count and `changed` or watched_from are of two moments, `flags` has
 *    COUNTING; each change makes another count. A reader that finds `flags` and
 *    `changed_new` the same before and after the other words knows that they
 *    belong together.
 *  - A journal record is invalidated (seq 0), filled, and given its seq last.
 *    A reader that finds another seq than it expects was lapped, and compares
 *    all that it holds: the journal says where to look, the topics what is so.
 *
 * What may change without a new DP_BUS_ABI_VERSION: nothing but spare bytes.
 * Sizes are folded into `abi`, so that builds that differ refuse each other.
 */
#ifndef BUS_ABI_H
#define BUS_ABI_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dp_check.h"
#include "base/dp_hash.h"

#define DP_BUS_MAGIC       "DPBUS\r\n\x01"
#define DP_BUS_ALIGN       4096u
#ifndef DP_BUS_ABI_VERSION /* build_other_abi of build/lib/compile.sh: a test */
#define DP_BUS_ABI_VERSION 4u
#endif

/* `watched_from` of a topic that nobody vouches for. */
#define DP_BUS_UNWATCHED UINT64_MAX

/* Probing starts at key.w[0] & (topic_cap - 1), goes up by one, and ends at a
 * slot whose key is 0 and which is not GONE. */

/* No slot. */
#define DP_BUS_NO_SLOT UINT32_MAX

enum dp_bus_topic_flags {
    DP_BUS_TOPIC_ALIAS = 1u, /* class_slot is the slot of the real topic,
                                `changed` its gen */
    DP_BUS_TOPIC_CLASS = 2u, /* folder is `*` */
    DP_BUS_TOPIC_GONE = 4u,  /* given back: key is 0, but a probe goes on */
    DP_BUS_TOPIC_COUNTING = 8u /* count and changed are of two moments */
};

/* In `flags`: how many new items since vouching began afresh. It stops at
 * COUNT_MAX, which means that nobody knows. */
#define DP_BUS_COUNT_SHIFT 8
#define DP_BUS_COUNT_MAX   (UINT32_MAX >> DP_BUS_COUNT_SHIFT)
#define DP_BUS_FLAGS       ((1u << DP_BUS_COUNT_SHIFT) - 1)

/* In `changed_new`, above the seq: how many other changes. It comes round: what
 * it says is taken for likely, never for certain (learn_marks.c). */
#define DP_BUS_OTHERS_SHIFT 48
#define DP_BUS_SEQ_MASK     ((UINT64_C(1) << DP_BUS_OTHERS_SHIFT) - 1)

/* An unknown number of changes counts as so many, and no more than that count
 * at once: above all that one Sync brings [MS-ASCMD WindowSize: 512]. */
#define DP_BUS_MANY 1024u

typedef struct dp_bus_topic {
    dp_hash key;                   /* of user, class, folder; 0 = empty */
    _Atomic uint64_t changed;      /* seq of the newest change, 0 none */
    _Atomic uint64_t changed_new;  /* seq of the newest *new item*; above it
                                      the count of other changes */
    _Atomic uint64_t watched_from; /* vouched for since, or UNWATCHED */
    _Atomic int64_t changed_at_us; /* dp_clock_mono_us() of the newer of
                                      `changed` and `watched_from` */
    _Atomic uint32_t gen;          /* even: steady; odd: changing hands */
    _Atomic uint32_t class_slot;   /* class topic, or target of an alias */
    _Atomic uint32_t renewed_s;    /* mono seconds of the last `watch` */
    _Atomic uint32_t flags;        /* dp_bus_topic_flags; above them the
                                      count of new items */
} dp_bus_topic;

enum dp_bus_kind {
    DP_BUS_KIND_NEW = 1,    /* new items in the topic `slot` */
    DP_BUS_KIND_OTHER = 2,  /* flags, deletions, moves out */
    DP_BUS_KIND_VOUCH = 3,  /* watched_from changed, either way */
    DP_BUS_KIND_PING = 4,   /* hash = device, arg = arrival: older ones end */
    DP_BUS_KIND_FORGET = 5  /* hash and arg: topic_name.h, dp_forget_… */
};

typedef struct dp_bus_record {
    _Atomic uint64_t seq; /* 0 while being written */
    uint32_t kind;
    uint32_t slot;
    uint32_t gen;
    uint32_t spare0;
    dp_hash hash;
    uint64_t arg;
    uint64_t spare[2];
} dp_bus_record;

typedef struct dp_bus_header {
    char magic[8];
    uint32_t abi;      /* DP_BUS_ABI */
    uint32_t abi_bytes; /* sizeof(dp_bus_header) */
    uint64_t instance; /* random, of the line of files since boot; never 0 */
    uint64_t size;     /* bytes of the file, all of them allocated */
    uint64_t topics_off;
    uint64_t journal_off;
    uint32_t topic_cap;   /* power of two */
    uint32_t journal_cap; /* power of two */
    uint8_t hash_key[DP_HASH_KEY_SIZE];
    uint8_t boot_id[16];
    /* written all the time: on cache lines of their own */
    _Alignas(64) _Atomic uint64_t head; /* the newest seq; starts above 0 */
    _Atomic int64_t alive_us; /* mono time of the writer's last sign of life,
                                 0 when it left or is not ready */
    _Atomic uint64_t forget_seq; /* seq of the newest FORGET */
    _Atomic uint32_t replaced;   /* 1: a newer file has the name now */
    _Atomic uint32_t writer_pid;
    _Atomic uint32_t topics_used;
    _Atomic uint32_t topics_watched;
    uint8_t spare[64];
} dp_bus_header;

DP_STATIC(sizeof(dp_bus_topic) == 64, "a topic is one cache line");
DP_STATIC(sizeof(dp_bus_record) == 64, "a journal record is one cache line");
DP_STATIC(sizeof(dp_bus_header) % 64 == 0, "the header ends on a line");
DP_STATIC(sizeof(dp_bus_header) <= DP_BUS_ALIGN, "the header is one page");
DP_STATIC(offsetof(dp_bus_topic, gen) == 48, "drawn above");
DP_STATIC(offsetof(dp_bus_record, hash) == 24, "drawn above");

#define DP_BUS_ABI                                                             \
    (DP_BUS_ABI_VERSION << 24 ^ (uint32_t)sizeof(dp_bus_header) << 12          \
     ^ (uint32_t)sizeof(dp_bus_topic) << 6 ^ (uint32_t)sizeof(dp_bus_record))

#endif
