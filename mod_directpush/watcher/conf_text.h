/* conf_text: what the parser of directpushd.conf lets pass: a section that
 * never ends, and a word that is given twice. */
#ifndef CONF_TEXT_H
#define CONF_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** Look through a file. @return false after writing `FILE:LINE: …` into
 *  `problem`; a file that can't be read is no matter of this */
bool dp_conf_text_check(const char *file, char *problem, size_t cap);

#endif
