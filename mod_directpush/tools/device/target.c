#include "tools/device/target.h"

#include <arpa/inet.h>
#include <strings.h>

static bool is_ip_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 ||
           inet_pton(AF_INET6, host, address) == 1;
}

static bool is_port(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n <= 5 && s[n] == '\0';
}

/* `host`, `host:port`, `[::1]:port` up to `n` bytes */
static bool parse_authority(const char *s, size_t n, dp_target *out)
{
    const char *end = s + n;
    const char *host_end;
    if (n && *s == '[') {
        s++;
        host_end = memchr(s, ']', (size_t)(end - s));
        if (!host_end) {
            return false;
        }
        dp_buf_add(&out->host, dp_span_of(s, (size_t)(host_end - s)));
        host_end++;
    }
    else {
        host_end = memchr(s, ':', n);
        host_end = host_end ? host_end : end;
        dp_buf_add(&out->host, dp_span_of(s, (size_t)(host_end - s)));
    }
    if (out->host.n == 0 || (host_end < end && *host_end != ':')) {
        return false;
    }
    if (host_end < end) {
        host_end++;
        dp_buf_add(&out->port, dp_span_of(host_end, (size_t)(end - host_end)));
    }
    else {
        dp_buf_add(&out->port, dp_span_str(out->is_tls ? "443" : "80"));
    }
    return is_port(out->port.p);
}

static void name_authority(dp_target *t)
{
    bool has_colon = strchr(t->host.p, ':') != NULL;
    dp_buf_printf(&t->authority, has_colon ? "[%s]" : "%s", t->host.p);
    if (strcmp(t->port.p, t->is_tls ? "443" : "80") != 0) {
        dp_buf_printf(&t->authority, ":%s", t->port.p);
    }
}

bool dp_target_parse(const char *url, dp_target *out, const char **out_why)
{
    *out = (dp_target){0};
    for (const char *c = url; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7F) {
            *out_why = "a URL has no blanks, control or non-ASCII characters";
            return false;
        }
    }
    const char *rest;
    if (strncasecmp(url, "https://", 8) == 0) {
        out->is_tls = true;
        rest = url + 8;
    }
    else if (strncasecmp(url, "http://", 7) == 0) {
        rest = url + 7;
    }
    else {
        *out_why = "a URL begins with https:// or http://";
        return false;
    }
    if (strpbrk(rest, "@?#")) {
        *out_why = "no user, query or fragment belongs in the URL";
        return false;
    }
    size_t n = strcspn(rest, "/");
    if (!parse_authority(rest, n, out)) {
        *out_why = "a damaged host or port in the URL";
        dp_target_free(out);
        return false;
    }
    name_authority(out);
    out->is_address = is_ip_address(out->host.p);
    const char *path = rest + n;
    dp_buf_add(
        &out->path,
        dp_span_str(*path && strcmp(path, "/") != 0 ? path : DP_TARGET_PATH));
    return true;
}

void dp_target_free(dp_target *t)
{
    dp_buf_free(&t->host);
    dp_buf_free(&t->port);
    dp_buf_free(&t->authority);
    dp_buf_free(&t->path);
}
