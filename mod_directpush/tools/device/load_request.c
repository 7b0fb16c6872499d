#include "tools/device/load_request.h"

#include <openssl/evp.h>

#include "base/dp_check.h"
#include "config.h"
#include "wire/eas_ping.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define BODY_MAX 512

/* Of nginx's and of our announcements, which are 21 bytes of WBXML and a head:
 * 150 bytes. */
static const char MESSAGE[] = "{\"folder\":\"INBOX\",\"event\":\"new\"}";

/* FilterType 5: a month, as AOSP asks for. */
#define FILTER_ONE_MONTH "5"

/* The lengths of all parts are known beforehand and bounded: see
 * dp_load_requests_init(). */
static char *put(char *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

static char *put_buf(char *at, const dp_buf *b)
{
    return b->n ? put(at, b->p, b->n) : at;
}

static char *put_str(char *at, const char *s)
{
    return put(at, s, strlen(s));
}

/* --- bodies --- */

static size_t folder_sync(const dp_load_device *d, unsigned char *out)
{
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, out, BODY_MAX);
    dp_wbxml_write_open(&w, DP_TAG_FOLDER_FolderSync);
    dp_wbxml_write_leaf(&w, DP_TAG_FOLDER_SyncKey,
                        dp_span_str(d->hierarchy_key));
    dp_wbxml_write_close(&w);
    return w.n;
}

static size_t sync_body(const dp_load_device *d, unsigned char *out)
{
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, out, BODY_MAX);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collections);
    dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Collection);
    dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_SyncKey, dp_span_str(d->key));
    dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_CollectionId,
                        dp_span_str(d->folder));
    if (strcmp(d->key, "0") != 0) {
        dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_DeletesAsMoves,
                            DP_SPAN_LIT("1"));
        dp_wbxml_write_empty(&w, DP_TAG_AIRSYNC_GetChanges);
        dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_WindowSize, DP_SPAN_LIT("50"));
        dp_wbxml_write_open(&w, DP_TAG_AIRSYNC_Options);
        dp_wbxml_write_leaf(&w, DP_TAG_AIRSYNC_FilterType,
                            DP_SPAN_LIT(FILTER_ONE_MONTH));
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    return w.n;
}

static size_t ping_body(const dp_load_device *d, unsigned char *out)
{
    dp_ping_folder folder = {.id = dp_span_str(d->folder),
                             .class_name = DP_SPAN_LIT("Email")};
    return dp_ping_request_write(out, BODY_MAX, d->heartbeat_s, &folder, 1);
}

static size_t body_of(const dp_load_device *d, unsigned char *out)
{
    size_t n = d->next == DP_LOAD_FOLDERSYNC ? folder_sync(d, out)
               : d->next == DP_LOAD_SYNC     ? sync_body(d, out)
                                             : ping_body(d, out);
    DP_ASSERT(n && n <= BODY_MAX);
    return n;
}

/* --- what is the same for all --- */

static void init_heads(dp_load_requests *r)
{
    static const char *const commands[] = {[DP_LOAD_FOLDERSYNC] = "FolderSync",
                                           [DP_LOAD_SYNC] = "Sync",
                                           [DP_LOAD_WAIT] = "Ping"};
    const dp_target *t = &r->args->target;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        dp_buf_printf(&r->head[i], "POST %s?Cmd=%s&User=", dp_buf_str(&t->path),
                      commands[i]);
    }
    dp_buf_printf(&r->tail,
                  "&DeviceType=directpush HTTP/1.1\r\n"
                  "Host: %s\r\n"
                  "User-Agent: directpush-device/" PACKAGE_VERSION "\r\n"
                  "MS-ASProtocolVersion: 14.1\r\n"
                  "Content-Type: application/vnd.ms-sync.wbxml\r\n"
                  "Authorization: Basic ",
                  dp_buf_str(&t->authority));
    dp_buf_add_percent(&r->user_before, r->args->user.before);
    dp_buf_add_percent(&r->user_after, r->args->user.after);
    r->user = (dp_load_template){.before = dp_buf_span(&r->user_before),
                                 .after = dp_buf_span(&r->user_after),
                                 .width = r->args->user.width};
}

static void init_longpoll(dp_load_requests *r)
{
    dp_buf_printf(&r->tail,
                  " HTTP/1.1\r\nHost: %s\r\n"
                  "User-Agent: directpush-device/" PACKAGE_VERSION "\r\n",
                  dp_buf_str(&r->args->target.authority));
}

bool dp_load_requests_init(dp_load_requests *r, const dp_load_args *args,
                           dp_buf password)
{
    *r = (dp_load_requests){.args = args, .password = password};
    if (args->is_longpoll) {
        init_longpoll(r);
    }
    else {
        init_heads(r);
    }
    /* user three times at most (percent-encoded), password, keys, digits; the
     * rest is fixed and below 1 KiB */
    size_t user = 3 * dp_load_template_max(&args->user);
    size_t longest = r->tail.n + r->head[0].n + 2 * user + 2 * password.n +
                     dp_load_template_max(&args->subscribe) +
                     dp_load_template_max(&args->publish) + BODY_MAX + 1024;
    return longest <= DP_LOAD_REQUEST_MAX;
}

void dp_load_requests_free(dp_load_requests *r)
{
    dp_buf_free(&r->password);
    dp_buf_free(&r->user_before);
    dp_buf_free(&r->user_after);
    for (size_t i = 0; i < sizeof(r->head) / sizeof(r->head[0]); i++) {
        dp_buf_free(&r->head[i]);
    }
    dp_buf_free(&r->tail);
}

/* --- one request --- */

static char *put_credentials(const dp_load_requests *r, uint32_t user, char *at)
{
    unsigned char plain[DP_LOAD_REQUEST_MAX / 2];
    size_t n = dp_load_template_write(&r->args->user, user, (char *)plain);
    plain[n++] = ':';
    memcpy(plain + n, r->password.p, r->password.n);
    n += r->password.n;
    return at + EVP_EncodeBlock((unsigned char *)at, plain, (int)n);
}

static char *put_length(char *at, size_t n)
{
    at = put_str(at, "\r\nContent-Length: ");
    at += dp_load_digits(at, (uint32_t)n, 0);
    return put_str(at, "\r\n\r\n");
}

static size_t eas(const dp_load_requests *r, uint32_t number,
                  const dp_load_device *d, char *out)
{
    unsigned char body[BODY_MAX];
    size_t body_n = body_of(d, body);
    uint32_t user = number / r->args->per_user;
    char *at = put_buf(out, &r->head[d->next]);
    at += dp_load_template_write(&r->user, user, at);
    at = put_str(at, "&DeviceId=load");
    at += dp_load_digits(at, number + 1, 6);
    at = put_buf(at, &r->tail);
    at = put_credentials(r, user, at);
    at = put_length(at, body_n);
    at = put(at, body, body_n);
    return (size_t)(at - out);
}

static size_t longpoll(const dp_load_requests *r, uint32_t number,
                       const dp_load_device *d, char *out)
{
    char *at = put_str(out, "GET ");
    at += dp_load_template_write(&r->args->subscribe,
                                 number / r->args->per_user, at);
    at = put_buf(at, &r->tail);
    if (*d->hierarchy_key) {
        at = put_str(at, "If-Modified-Since: ");
        at = put_str(at, d->hierarchy_key);
        at = put_str(at, "\r\n");
    }
    if (*d->key) {
        at = put_str(at, "If-None-Match: ");
        at = put_str(at, d->key);
        at = put_str(at, "\r\n");
    }
    at = put_str(at, "\r\n");
    return (size_t)(at - out);
}

size_t dp_load_request_write(const dp_load_requests *r, uint32_t number,
                             const dp_load_device *d, char *out)
{
    return r->args->is_longpoll ? longpoll(r, number, d, out)
                                : eas(r, number, d, out);
}

size_t dp_load_request_publish(const dp_load_requests *r, uint32_t number,
                               char *out)
{
    char *at = put_str(out, "POST ");
    at += dp_load_template_write(&r->args->publish,
                                 number / r->args->per_user, at);
    at = put_buf(at, &r->tail);
    at -= 2; /* put_length() begins with a line's end */
    at = put_length(at, sizeof(MESSAGE) - 1);
    at = put(at, MESSAGE, sizeof(MESSAGE) - 1);
    return (size_t)(at - out);
}
