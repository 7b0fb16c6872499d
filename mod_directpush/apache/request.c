#include "apache/request.h"

#include <stdatomic.h>

#include <ap_expr.h>
#include <apr_base64.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>

#include "apache/module.h"
#include "apache/outlet.h"
#include "apache/park.h"
#include "apache/passing.h"
#include "apache/delivery.h"
#include "apache/ping.h"
#include "bus/topic_name.h"

#define EAS_PATH "/Microsoft-Server-ActiveSync"

/* With a trailing slash or /default.eas it is the same resource. */
static bool is_path(const char *uri, const char *path)
{
    size_t n = strlen(path);
    if (strncasecmp(uri, path, n)) {
        return false;
    }
    return !uri[n] || !strcmp(uri + n, "/")
           || !strcasecmp(uri + n, "/default.eas");
}

static bool is_our_path(const dp_conf *conf, const char *uri)
{
    if (is_path(uri, EAS_PATH)) {
        return true;
    }
    for (int i = 0; conf->paths && i < conf->paths->nelts; i++) {
        if (is_path(uri, APR_ARRAY_IDX(conf->paths, i, const char *))) {
            return true;
        }
    }
    return false;
}

static char *lower(apr_pool_t *p, const char *s, size_t n)
{
    char *l = apr_pstrmemdup(p, s, n);
    for (char *c = l; *c; c++) {
        *c = apr_tolower(*c);
    }
    return l;
}

/* Only base64 to its end: of anything else the backend may read another name
 * than we do. */
static bool is_base64(const char *s)
{
    s += strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789+/");
    return !s[strspn(s, "=")];
}

/* The name in a Basic header; the password is wiped at once. NULL: none. */
static const char *basic_login(apr_pool_t *p, const char *header)
{
    if (!header || strncasecmp(header, "Basic ", 6)) {
        return NULL;
    }
    header += 6;
    header += strspn(header, " ");
    if (!is_base64(header)) {
        return NULL;
    }
    int cap = apr_base64_decode_len(header);
    char *plain = apr_palloc(p, (apr_size_t)cap + 1);
    int n = apr_base64_decode(plain, header);
    char *colon = n > 0 ? memchr(plain, ':', (size_t)n) : NULL;
    const char *login = NULL;
    if (colon && colon > plain && strlen(plain) >= (size_t)(colon - plain)) {
        login = apr_pstrmemdup(p, plain, (apr_size_t)(colon - plain));
    }
    /* volatile: the compiler must not drop the wiping */
    for (volatile char *w = plain; n > 0 && w < plain + n; w++) {
        *w = 0;
    }
    return login;
}

const char *dp_request_login(request_rec *r)
{
    const char *login =
        r->user ? r->user
                : basic_login(r->pool,
                              apr_table_get(r->headers_in, "Authorization"));
    return login ? login : "";
}

static const char *without_domain(const char *login)
{
    const char *backslash = strrchr(login, '\\');
    return backslash ? backslash + 1 : login;
}

const char *dp_request_mailbox_user(request_rec *r, const char *login)
{
    const dp_conf *conf = dp_conf_of(r->server);
    const char *user = login;
    if (conf->user) {
        const char *wrong = NULL;
        char *before = r->user;
        r->user = apr_pstrdup(r->pool, login);
        user = ap_expr_str_exec(r, conf->user, &wrong);
        r->user = before;
        if (wrong || !user) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          "DirectPushUser cannot be evaluated for \"%s\": %s",
                          login, wrong ? wrong : "no result");
            return "";
        }
    }
    else {
        const char *name = without_domain(login);
        user = lower(r->pool, name, strlen(name));
    }
    return dp_topic_user_is_sane(dp_span_str(user)) ? user : "";
}

/* httpd has authenticated one name (a client certificate, say) and the
 * Authorization that the backend gets has another: whose mailbox it is only
 * the administrator knows. */
static bool has_two_names(request_rec *r, const dp_conf *conf,
                          const char *header)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT; /* once per child */
    const char *basic = r->user && !conf->user ? basic_login(r->pool, header)
                                               : NULL;
    if (!basic
        || !strcasecmp(without_domain(r->user), without_domain(basic))) {
        return false;
    }
    if (!atomic_flag_test_and_set(&is_told)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "httpd calls the user \"%s\" and the Authorization "
                      "\"%s\": whose mailbox is it? Such Pings go to the "
                      "backend until DirectPushUser says so; DirectPushUser "
                      "\"%%{tolower:%%{REMOTE_USER}}\" takes httpd's name",
                      r->user, basic);
    }
    return true;
}

static dp_request *read_request(request_rec *r)
{
    const dp_conf *conf = dp_conf_of(r->server);
    if (!r->args || !is_our_path(conf, r->uri)) {
        return NULL;
    }
    dp_request *rq = apr_pcalloc(r->pool, sizeof(*rq));
    rq->conf = conf;
    if (!dp_eas_query_parse(dp_span_str(r->args), &rq->query)) {
        return NULL;
    }
    const char *header = apr_table_get(r->headers_in, "Authorization");
    const char *login = dp_request_login(r);
    if (!*login || strlen(login) > DP_TOPIC_USER_MAX
        || !rq->query.device_id[0] || has_two_names(r, conf, header)) {
        return NULL; /* the backend's business */
    }
    rq->authorization = dp_span_str(header);
    rq->who = (dp_who){
        .realm = dp_span_str(conf->realm),
        .login = dp_span_str(lower(r->pool, login, strlen(login))),
        .user = dp_span_str(dp_request_mailbox_user(r, login)),
        .device = dp_span_str(rq->query.device_id)};
    return rq;
}

int dp_request_handler(request_rec *r)
{
    if (dp_here && r->prev && !r->main) {
        dp_passing_follow(r);
        return DECLINED;
    }
    if (!dp_here || r->method_number != M_POST || r->main
        || !dp_is_enabled(r)) {
        return DECLINED;
    }
    dp_request *rq = read_request(r);
    if (!rq) {
        return DECLINED;
    }
    dp_seat *seat = dp_seat_of(r->connection);
    if (!seat && !r->connection->master) {
        seat = dp_seat_make(r->connection);
    }
    if (seat) {
        dp_outlet_add(seat);
    }
    rq->line = dp_line_of(r, seat, &rq->who);
    dp_delivery_next_request(seat, &rq->who);
    if (rq->query.cmd == DP_CMD_PING && rq->who.user.n) {
        return dp_ping_handle(r, rq);
    }
    return dp_passing_observe(r, rq, DP_PASS_UNCOUNTED);
}

/* Nobody in front of us has taken it: next comes httpd's handler for files. */
int dp_request_unserved(request_rec *r)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT; /* once per child */
    bool is_phones = r->method_number == M_POST
                     || r->method_number == M_OPTIONS;
    if (!dp_here || r->main || r->prev || !is_phones || !dp_is_enabled(r)
        || !is_our_path(dp_conf_of(r->server), r->uri)
        || atomic_flag_test_and_set(&is_told)) {
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "DirectPush is On, but nothing in the virtual host %s "
                  "(%s:%u) hands %s to an ActiveSync backend, so phones get "
                  "errors: add its line there, such as \"ProxyPass %s "
                  "http://127.0.0.1:20000/SOGo" EAS_PATH "\" for SOGo or the "
                  "Alias of Z-Push (whole examples are in conf/), or "
                  "\"DirectPush Off\" (said once, of one such host)",
                  r->server->server_hostname,
                  r->server->defn_name ? r->server->defn_name : "?",
                  r->server->defn_line_number, r->uri, r->uri);
    return DECLINED;
}
