/* dav_change: which topics a request over CalDAV or CardDAV has changed, once
 * the backend has accepted it. Pure; any thread.
 */
#ifndef DAV_CHANGE_H
#define DAV_CHANGE_H

#include "observe/dav_body.h"
#include "observe/dav_path.h"
#include "observe/learn.h"

typedef enum dp_dav_method {
    DP_DAV_NONE, /* changes nothing, or nothing that phones see */
    DP_DAV_PUT,
    DP_DAV_DELETE,
    DP_DAV_MOVE,
    DP_DAV_COPY,
    DP_DAV_PROPPATCH,
    DP_DAV_POST,
    DP_DAV_MKCOL,
    DP_DAV_MKCALENDAR
} dp_dav_method;

/* Two places, each with an owner and the one who asked; three classes and the
 * hierarchy of each. */
#define DP_DAV_TOPICS_MAX 24

/* What was seen of a request. */
typedef struct dp_dav_seen {
    dp_dav_method method;
    dp_span login;        /* who asked; may be empty */
    dp_span content_type; /* of the request; may be empty */
    dp_dav_place at;      /* the request's path */
    const dp_dav_place *to; /* Destination, or Location of a POST; or NULL */
    dp_dav_body body;
} dp_dav_seen;

typedef struct dp_dav_topic {
    dp_span user; /* a login, as the path or the header has it */
    dp_topic_name topic;
    bool is_new;
} dp_dav_topic;

dp_dav_method dp_dav_method_of(dp_span method);

/** The classes that a Content-Type stands for; 0: not known. */
unsigned dp_dav_type_classes(dp_span content_type);

/**
 * @param out  DP_DAV_TOPICS_MAX of them; spans borrow from `s`
 * @return how many
 */
size_t dp_dav_changed(const dp_dav_seen *s, dp_dav_topic *out);

#endif
