/* dav_secret: files with passwords. They must not be readable by others, and
 * what they hold is never logged. */
#ifndef DAV_SECRET_H
#define DAV_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Read a file of secrets, whole.
 * @return its text, for dp_secret_free(); NULL after one line in `problem`
 */
char *dp_secret_read(const char *file, char *problem, size_t cap);

/** Wipe and free; *text becomes NULL. */
void dp_secret_free(char **text);

/** The password of `user` in lines USER:PASSWORD. @return false: none */
bool dp_secret_find(const char *text, const char *user, char *out, size_t cap);

#endif
