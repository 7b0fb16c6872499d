/* ready: what systemd is told. Does nothing without it. */
#ifndef READY_H
#define READY_H

#include "base/dp_clock.h"

void dp_ready_tell(const char *status);
void dp_ready_reloading(void);
void dp_ready_reloaded(const char *status);
void dp_ready_stopping(void);

/** Also tells the watchdog that we are alive. */
void dp_ready_alive(void);

#endif
