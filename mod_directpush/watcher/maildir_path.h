/* maildir_path: where a user's Maildir is.
 *
 * The template's components before the first `%` are the administrator's and
 * trusted (the base); the rest is made of a user's name and is only ever
 * opened beneath the base. Pure, but for dp_maildir_open_beneath().
 */
#ifndef MAILDIR_PATH_H
#define MAILDIR_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dp_span.h"

#define DP_MAILDIR_PATH_MAX 4096

typedef struct dp_maildir_path {
    char path[DP_MAILDIR_PATH_MAX]; /* absolute, no slash at the end */
    size_t base_n; /* bytes of the trusted beginning; path + base_n + 1 is
                      the rest. 0: the base is `/` */
} dp_maildir_path;

/** What is wrong with a template, as "expected …"; NULL: nothing. */
const char *dp_maildir_template_problem(const char *template_text);

/**
 * Put a user into the template: %u whole, %n before the @, %d after it.
 * @param user  canonical, sane
 * @return NULL, or why that user has no path (for an answer and the log)
 */
const char *dp_maildir_path_of(dp_maildir_path *out, const char *template_text,
                               dp_span user);

/**
 * Alice is alice@example.com when that is the default domain; domains are
 * lower case. @return false when it does not fit or is no sane user
 */
bool dp_maildir_canonical_user(char *out, size_t cap, dp_span user,
                               const char *default_domain);

/**
 * Open `relative` beneath the directory `dirfd`: no step and no symbolic link
 * leads out of it, and none is magic. `flags` as for open().
 * @return a descriptor, or -1 with errno (EXDEV, ELOOP: it led out)
 */
int dp_maildir_open_beneath(int dirfd, const char *relative, int flags);

/**
 * Does the symbolic link `name` lead to a directory, as far as can be seen
 * without going into another file system, whose server may hang? What can't be
 * seen may be one.
 */
bool dp_maildir_may_be_dir(int dirfd, const char *name);

#endif
