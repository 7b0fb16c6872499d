#include "watcher/conf_dav.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "watcher/dav_secret.h"

const char dp_conf_dav_words[] =
    "url, calendars, contacts, user, password_file, credentials, interval, "
    "requests_per_second, connections or ca_file";

static const char *host_of(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0    ? url + 7
           : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                  : NULL;
}

static int expect_url(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    const char *host = value ? host_of(value) : NULL;
    size_t n = value ? strlen(value) : 0;
    bool has_user = n && (strstr(value, "%u") || strstr(value, "%n"));
    if (!host || !*host || *host == '/' || *host == '%' || n > 1024
        || value[n - 1] != '/' || !has_user
        || strcspn(host, "@") < strcspn(host, "/")) {
        cfg_error(cfg,
                  "url = \"%s\": expected https://HOST/PATH/ with %%u or %%n "
                  "for the user, a slash at its end and no password in it, "
                  "like \"https://mail.example.com/SOGo/dav/%%u/\"",
                  value ? value : "");
        return -1;
    }
    return 0;
}

static int expect_home(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
    size_t n = value ? strlen(value) : 0;
    if (n && (value[0] == '/' || value[n - 1] != '/' || strstr(value, "..")
              || n > 512 || strpbrk(value, "?# \t\r\n"))) {
        cfg_error(cfg,
                  "%s = \"%s\": expected a path below url with a slash at its "
                  "end, like \"Calendar/\", or \"\" for none",
                  cfg_opt_name(opt), value);
        return -1;
    }
    return 0;
}

static int expect_count(cfg_t *cfg, cfg_opt_t *opt)
{
    long value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);
    long most = strcmp(cfg_opt_name(opt), "interval") == 0 ? 86400 : 1000;
    if (value < 1 || value > most) {
        cfg_error(cfg, "%s = %ld: expected a number from 1 to %ld",
                  cfg_opt_name(opt), value, most);
        return -1;
    }
    return 0;
}

void dp_conf_dav_checks(cfg_t *cfg)
{
    cfg_set_validate_func(cfg, "dav|url", expect_url);
    cfg_set_validate_func(cfg, "dav|calendars", expect_home);
    cfg_set_validate_func(cfg, "dav|contacts", expect_home);
    cfg_set_validate_func(cfg, "dav|interval", expect_count);
    cfg_set_validate_func(cfg, "dav|requests_per_second", expect_count);
    cfg_set_validate_func(cfg, "dav|connections", expect_count);
}

static char *copy_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    DP_ASSERT(copy || !text);
    return copy;
}

static bool is_loopback(const char *url)
{
    const char *host = host_of(url);
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0
           || (strncasecmp(host, "localhost", 9) == 0
               && strchr(":/", host[9]));
}

static bool take_secrets(dp_conf_dav *d, cfg_t *sec, char *why, size_t cap)
{
    const char *file = cfg_getstr(sec, "password_file");
    const char *credentials = cfg_getstr(sec, "credentials");
    const char *user = cfg_getstr(sec, "user");
    bool is_one = user && *user && file && *file && !credentials;
    if (!is_one && !(credentials && *credentials && !user && !file)) {
        snprintf(why, cap,
                 "expected either user and password_file (one account that "
                 "may read all) or credentials (a file of lines "
                 "USER:PASSWORD)");
        return false;
    }
    d->user = copy_of(user);
    if (!is_one) {
        return (d->passwords = dp_secret_read(credentials, why, cap)) != NULL;
    }
    d->password = dp_secret_read(file, why, cap);
    if (d->password) {
        d->password[strcspn(d->password, "\r\n")] = '\0';
    }
    return d->password != NULL;
}

bool dp_conf_dav_take(dp_conf_dav *out, const char *file, cfg_t *sec,
                      char *problem, size_t cap)
{
    char why[1024];
    dp_conf_dav *d = out;
    const char *ca_file = cfg_getstr(sec, "ca_file");
    d->is_on = true;
    d->url = copy_of(cfg_getstr(sec, "url"));
    d->calendars = copy_of(cfg_getstr(sec, "calendars"));
    d->contacts = copy_of(cfg_getstr(sec, "contacts"));
    d->ca_file = ca_file && *ca_file ? copy_of(ca_file) : NULL;
    d->interval_us = cfg_getint(sec, "interval") * DP_SECOND_US;
    d->requests_per_second = (unsigned)cfg_getint(sec, "requests_per_second");
    d->connections = (unsigned)cfg_getint(sec, "connections");
    bool is_good = false;
    if (!d->url) {
        snprintf(why, sizeof(why),
                 "expected url = \"...\" in it, like "
                 "\"https://mail.example.com/SOGo/dav/%%u/\"");
    }
    else if (!*d->calendars && !*d->contacts) {
        snprintf(why, sizeof(why), "expected calendars or contacts");
    }
    else if (d->ca_file && access(d->ca_file, R_OK) != 0) {
        snprintf(why, sizeof(why), "ca_file = \"%s\": expected a readable file",
                 d->ca_file);
    }
    else {
        is_good = take_secrets(d, sec, why, sizeof(why));
    }
    if (!is_good) {
        snprintf(problem, cap, "%s:%d: dav: %s", file, sec->line, why);
        return false;
    }
    if (strncasecmp(d->url, "http://", 7) == 0 && !is_loopback(d->url)) {
        dp_log(DP_LOG_WARN,
               "%s:%d: dav: url is not https: passwords and calendars can be "
               "read on the way to the server",
               file, sec->line);
    }
    return true;
}

void dp_conf_dav_copy(dp_conf_dav *to, const dp_conf_dav *from)
{
    *to = *from;
    to->url = copy_of(from->url);
    to->calendars = copy_of(from->calendars);
    to->contacts = copy_of(from->contacts);
    to->user = copy_of(from->user);
    to->password = copy_of(from->password);
    to->passwords = copy_of(from->passwords);
    to->ca_file = copy_of(from->ca_file);
}

void dp_conf_dav_clear(dp_conf_dav *d)
{
    free(d->url);
    free(d->calendars);
    free(d->contacts);
    free(d->user);
    free(d->ca_file);
    dp_secret_free(&d->password);
    dp_secret_free(&d->passwords);
    *d = (dp_conf_dav){0};
}
