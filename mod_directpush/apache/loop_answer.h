/* loop_answer: the keeper's part of answering and closing parked connections,
 * and the clerk's, who remembers, logs and lets go.
 */
#ifndef LOOP_ANSWER_H
#define LOOP_ANSWER_H

#include "hold/hold.h"

/** Keeper's hooks. */
void dp_answer_loop(dp_hold *hold);
void dp_close_loop(dp_hold *hold);

#endif
