#include "apache/shed.h"

#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "base/dp_check.h"

/* Texts of a request, in the order in which they are kept. */
enum {
    TEXT_REQUEST, /* first: others are parts of it as a rule */
    TEXT_UNPARSED,
    TEXT_ARGS,
    TEXT_URI,
    TEXT_PROTOCOL,
    TEXT_HOST,
    TEXT_USER,
    TEXT_AUTH,
    TEXT_LOG_ID,
    TEXT_IP,   /* of the client, where it is not the connection's */
    TEXT_PORT, /* of the server, where the Host says it: %p */
    TEXTS_N
};

enum { TABLE_IN, TABLE_ENV, TABLE_NOTES, TABLES_N };

/* A text in the block's bytes. */
typedef struct piece {
    uint32_t at;
    uint32_t n; /* NONE: there is no text */
} piece;

#define NONE UINT32_MAX

/* One block: the struct, then pairs of key and value of the tables (each with
 * its NUL), then the texts. */
struct dp_kept {
    server_rec *server;
    apr_time_t request_time;
    int method_number;
    int proto_num;
    apr_port_t client_port; /* of TEXT_IP */
    bool stays;
    uint16_t pairs_n[TABLES_N];
    piece text[TEXTS_N];
    uint32_t texts_at;
    char bytes[];
};

/* --- may it be given back? --- */

/* Modules whose per-request state is of no use once the handler has run, or
 * is made again when it is needed. */
static bool is_harmless(const module *m)
{
    static const char *const names[] = {
        "core.c",           "mod_rewrite.c",    "mod_log_config.c",
        "mod_authz_core.c", "mod_authn_core.c", "mod_auth_basic.c",
        "mod_authn_file.c", "mod_proxy.c",      "mod_dir.c",
        "mod_negotiation.c", "mod_setenvif.c",  "mod_ssl.c",
        "mod_filter.c",     "mod_deflate.c",    "mod_brotli.c",
        "mod_authnz_ldap.c"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!strcmp(m->name, names[i])) {
            return true;
        }
    }
    return false;
}

static const char *stateful_module(request_rec *r)
{
    /* keeps its transaction in a note, and a cleanup of the pool */
    if (ap_find_linked_module("mod_security2.c")) {
        return "mod_security2.c";
    }
    for (module *m = ap_top_module; m; m = m->next) {
        if (ap_get_module_config(r->request_config, m) && !is_harmless(m)) {
            return m->name;
        }
    }
    return NULL;
}

/* Filters that leave our answer as it is: httpd's own, whose part the short
 * response plays, and those that compress what is not marked "no-gzip". */
static const char *foreign_filter(request_rec *r)
{
    static const char *const plain[] = {
        "byterange",       "content_length", "http_header",
        "http_outerror",   "deflate",        "brotli_compress",
        "bytype:deflate",  "bytype:brotli_compress"};
    const size_t plain_n = sizeof(plain) / sizeof(*plain);
    for (ap_filter_t *f = r->output_filters;
         f && f != r->connection->output_filters; f = f->next) {
        size_t i = 0;
        while (i < plain_n && strcasecmp(f->frec->name, plain[i])) {
            i++;
        }
        if (i == plain_n) {
            return f->frec->name;
        }
    }
    return NULL;
}

static const char *other_need(request_rec *r)
{
    if (r->proto_num < HTTP_VERSION(1, 1)) {
        return "HTTP/1.0";
    }
    if (!apr_is_empty_table(r->headers_out)
        || !apr_is_empty_table(r->err_headers_out)) {
        return "response headers that are set already";
    }
    if (apr_table_get(r->subprocess_env, "force-response-1.0")
        || apr_table_get(r->subprocess_env, "downgrade-1.0")) {
        return "force-response-1.0";
    }
    return NULL;
}

/* httpd's own judgement, without its traces. */
static bool stays_open(request_rec *r)
{
    conn_rec *c = r->connection;
    ap_conn_keepalive_e before = c->keepalive;
    int n = c->keepalives;
    apr_table_setn(r->headers_out, "Content-Length", "13");
    bool stays = ap_set_keepalive(r) != 0;
    apr_table_clear(r->headers_out);
    c->keepalive = before;
    c->keepalives = n;
    return stays;
}

/* --- what is kept --- */

static void texts_of(request_rec *r, const char **text)
{
    bool is_other = r->useragent_addr != r->connection->client_addr;
    const char *const list[TEXTS_N] = {
        [TEXT_REQUEST] = r->the_request,  [TEXT_UNPARSED] = r->unparsed_uri,
        [TEXT_ARGS] = r->args,            [TEXT_URI] = r->uri,
        [TEXT_PROTOCOL] = r->protocol,    [TEXT_HOST] = r->hostname,
        [TEXT_USER] = r->user,            [TEXT_AUTH] = r->ap_auth_type,
        [TEXT_LOG_ID] = r->log_id,
        [TEXT_IP] = is_other ? r->useragent_ip : NULL,
        [TEXT_PORT] = r->parsed_uri.port_str};
    memcpy(text, list, sizeof(list));
}

/* Where a text lies in the request line, or NULL. */
static const char *within(const char *line, const char *text)
{
    return line && text ? strstr(line, text) : NULL;
}

static void tables_of(request_rec *r, apr_table_t **table)
{
    table[TABLE_IN] = r->headers_in;
    table[TABLE_ENV] = r->subprocess_env;
    table[TABLE_NOTES] = r->notes;
}

/* The log has no use for passwords, and they shall not lie here for an hour:
 * Authorization, Proxy-Authorization, and HTTP_AUTHORIZATION, REDIRECT_… as
 * set for CGI and FPM. */
static bool is_secret(const char *key)
{
    return ap_strcasestr(key, "Authorization") != NULL;
}

/* Pairs of the tables; with `to`, copied there. @return their bytes */
static size_t pack_pairs(apr_table_t *const *table, char *to, uint16_t *pairs_n)
{
    size_t at = 0;
    for (int t = 0; t < TABLES_N; t++) {
        const apr_array_header_t *a = apr_table_elts(table[t]);
        const apr_table_entry_t *e = (const apr_table_entry_t *)a->elts;
        pairs_n[t] = 0;
        for (int i = 0; i < a->nelts && pairs_n[t] < UINT16_MAX; i++) {
            if (!e[i].key || is_secret(e[i].key)) {
                continue;
            }
            const char *both[] = {e[i].key, e[i].val ? e[i].val : ""};
            for (int k = 0; k < 2; k++) {
                size_t n = strlen(both[k]) + 1;
                if (to) {
                    memcpy(to + at, both[k], n);
                }
                at += n;
            }
            pairs_n[t]++;
        }
    }
    return at;
}

static size_t text_bytes(const char *const *text)
{
    size_t n = 0;
    for (int i = 0; i < TEXTS_N; i++) {
        bool is_part = i && within(text[TEXT_REQUEST], text[i]);
        n += text[i] && !is_part ? strlen(text[i]) : 0;
    }
    return n;
}

static void pack_texts(dp_kept *k, const char *const *text)
{
    uint32_t at = k->texts_at;
    for (int i = 0; i < TEXTS_N; i++) {
        const char *part = i ? within(text[TEXT_REQUEST], text[i]) : NULL;
        k->text[i] = (piece){at, text[i] ? (uint32_t)strlen(text[i]) : NONE};
        if (part) {
            k->text[i].at = k->texts_at + (uint32_t)(part - text[TEXT_REQUEST]);
        }
        else if (text[i]) {
            memcpy(k->bytes + at, text[i], k->text[i].n);
            at += k->text[i].n;
        }
    }
}

dp_kept *dp_shed_pack(request_rec *r, const char **out_why)
{
    *out_why = stateful_module(r);
    *out_why = *out_why ? *out_why : foreign_filter(r);
    *out_why = *out_why ? *out_why : other_need(r);
    if (*out_why) {
        return NULL;
    }
    const char *text[TEXTS_N];
    apr_table_t *table[TABLES_N];
    uint16_t pairs_n[TABLES_N];
    texts_of(r, text);
    tables_of(r, table);
    size_t pairs = pack_pairs(table, NULL, pairs_n);
    dp_kept *k = malloc(sizeof(*k) + pairs + text_bytes(text));
    DP_ASSERT(k);
    *k = (dp_kept){.server = r->server,
                   .request_time = r->request_time,
                   .method_number = r->method_number,
                   .proto_num = r->proto_num,
                   .client_port = text[TEXT_IP] ? r->useragent_addr->port : 0,
                   .stays = stays_open(r),
                   .texts_at = (uint32_t)pairs};
    pack_pairs(table, k->bytes, k->pairs_n);
    pack_texts(k, text);
    return k;
}

/* --- made anew --- */

static char *text_of(apr_pool_t *p, const dp_kept *k, int i)
{
    const piece *t = &k->text[i];
    return t->n == NONE ? NULL : apr_pstrmemdup(p, k->bytes + t->at, t->n);
}

static void restore_tables(request_rec *r, const dp_kept *k)
{
    apr_table_t *table[TABLES_N];
    tables_of(r, table);
    const char *at = k->bytes;
    for (int t = 0; t < TABLES_N; t++) {
        for (unsigned i = 0; i < k->pairs_n[t]; i++) {
            const char *value = at + strlen(at) + 1;
            apr_table_add(table[t], at, value);
            at = value + strlen(value) + 1;
        }
    }
}

static void restore_client(request_rec *r, const dp_kept *k)
{
    char *ip = text_of(r->pool, k, TEXT_IP);
    apr_sockaddr_t *addr = NULL;
    if (ip
        && apr_sockaddr_info_get(&addr, ip, APR_UNSPEC, k->client_port, 0,
                                 r->pool) == APR_SUCCESS) {
        r->useragent_addr = addr;
    }
    if (ip) {
        r->useragent_ip = ip;
    }
}

static void restore_texts(request_rec *r, const dp_kept *k)
{
    apr_pool_t *p = r->pool;
    r->the_request = text_of(p, k, TEXT_REQUEST);
    r->unparsed_uri = text_of(p, k, TEXT_UNPARSED);
    r->args = text_of(p, k, TEXT_ARGS);
    r->uri = text_of(p, k, TEXT_URI);
    r->protocol = text_of(p, k, TEXT_PROTOCOL);
    r->hostname = text_of(p, k, TEXT_HOST);
    r->user = text_of(p, k, TEXT_USER);
    r->ap_auth_type = text_of(p, k, TEXT_AUTH);
    r->log_id = text_of(p, k, TEXT_LOG_ID);
    r->parsed_uri.port_str = text_of(p, k, TEXT_PORT);
    if (r->parsed_uri.port_str) {
        r->parsed_uri.port = (apr_port_t)atoi(r->parsed_uri.port_str);
    }
    r->parsed_uri.path = r->uri;
    r->parsed_uri.query = r->args;
}

/* httpd makes a request in a child of the connection's pool. The log's thread
 * has a pool of its own, whose pages go from one request to the next instead
 * of from the system to the connection and back. */
static request_rec *create_in(conn_rec *c, apr_pool_t *home)
{
    apr_pool_t *own = c->pool;
    c->pool = home ? home : own;
    request_rec *r = ap_create_request(c);
    c->pool = own;
    return r;
}

request_rec *dp_shed_restore(conn_rec *c, dp_kept **kept, apr_pool_t *home)
{
    dp_kept *k = *kept;
    request_rec *r = create_in(c, home);
    r->server = k->server;
    r->per_dir_config = k->server->lookup_defaults;
    r->request_time = k->request_time;
    r->method_number = k->method_number;
    r->method = apr_pstrdup(r->pool, ap_method_name_of(r->pool,
                                                       k->method_number));
    r->proto_num = k->proto_num;
    restore_texts(r, k);
    restore_client(r, k);
    restore_tables(r, k);
    dp_shed_free(kept);
    return r;
}

bool dp_shed_stays(const dp_kept *kept)
{
    return kept->stays;
}

server_rec *dp_shed_server(const dp_kept *kept)
{
    return kept->server;
}

void dp_shed_free(dp_kept **kept)
{
    free(*kept);
    *kept = NULL;
}
