/* conf_dav: the section `dav` of directpushd.conf. */
#ifndef CONF_DAV_H
#define CONF_DAV_H

#include <confuse.h>

#include "watcher/conf.h"

extern const char dp_conf_dav_words[];

/** Set the checks of single values. */
void dp_conf_dav_checks(cfg_t *cfg);

/** Take the section, with the secrets that it names.
 *  @return false after one line in `problem` */
bool dp_conf_dav_take(dp_conf_dav *out, const char *file, cfg_t *section,
                      char *problem, size_t cap);

#endif
