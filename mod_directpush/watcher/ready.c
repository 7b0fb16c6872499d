#include "watcher/ready.h"

#include "config.h"

#ifdef HAVE_SYSTEMD

#include <time.h>

#include <systemd/sd-daemon.h>

void dp_ready_tell(const char *status)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void dp_ready_reloading(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* Type=notify-reload wants this one */
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

void dp_ready_reloaded(const char *status)
{
    sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void dp_ready_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void dp_ready_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

#else

void dp_ready_tell(const char *status)
{
}

void dp_ready_reloading(void)
{
}

void dp_ready_reloaded(const char *status)
{
}

void dp_ready_stopping(void)
{
}

void dp_ready_alive(void)
{
}

#endif
