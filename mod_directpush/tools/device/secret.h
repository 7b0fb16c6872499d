/* secret: the password, from a file, the environment or the terminal.
 *
 * Never from the command line, which everybody on the machine can read. It
 * lives in one buffer, as the Authorization field, until the end.
 */
#ifndef SECRET_H
#define SECRET_H

#include "tools/device/dp_buf.h"

#define DP_SECRET_ENV "DIRECTPUSH_PASSWORD"

typedef enum dp_secret_result {
    DP_SECRET_OK,
    DP_SECRET_NONE,   /* `why` says what is wrong */
    DP_SECRET_STOPPED /* at the prompt */
} dp_secret_result;

/**
 * Get the password and make `Authorization: Basic …` with CR LF of it.
 * @param file    its first line; NULL: the environment, then the terminal
 * @param out_why a phrase, of static storage
 * From here on the process leaves no core dump.
 */
dp_secret_result dp_secret_authorization(const char *user, const char *file,
                                         int stop_fd, dp_buf *out,
                                         const char **out_why);

/**
 * Get the password alone; see above. The caller frees it, which wipes it.
 * @param user for the prompt
 */
dp_secret_result dp_secret_password(const char *user, const char *file,
                                    int stop_fd, dp_buf *out,
                                    const char **out_why);

#endif
