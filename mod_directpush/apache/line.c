#include "apache/line.h"

#include <stdatomic.h>
#include <strings.h>
#include <sys/random.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

#include "apache/module.h"
#include "base/dp_clock.h"
#include "base/dp_hash.h"

static const char name_header[] = "X-DirectPush-Connection";

/* Headers of which each says that somebody has handed the request on. */
static const char *const traces[] = {name_header, "X-Forwarded-For",
                                     "X-Forwarded-Proto", "Forwarded",
                                     "X-Real-IP", "Via"};

#define TRACES_N (sizeof(traces) / sizeof(traces[0]))

uint64_t dp_line_make(void)
{
    uint64_t name = 0;
    if (getrandom(&name, sizeof(name), GRND_NONBLOCK) != sizeof(name)) {
        name = (uint64_t)dp_clock_mono_us(); /* early boot */
    }
    return name + !name;
}

static uint64_t hash_of(dp_span s)
{
    uint64_t h = dp_hash_spans(dp_all->proof_key, &s, 1).w[0];
    return h + !h;
}

/* Has mod_remoteip, by the PROXY protocol, put another client in place of the
 * socket's peer? By a header it leaves the peer's port. */
static bool has_other_client(const request_rec *r)
{
    const apr_sockaddr_t *peer = r->connection->client_addr;
    return r->useragent_addr && r->useragent_addr != peer
           && r->useragent_addr->port != 0
           && r->useragent_addr->port != peer->port;
}

/* Phones speak HTTP/1.1, and have a connection to themselves. */
static bool is_relayed(request_rec *r, dp_seat *seat, const dp_who *who)
{
    uint64_t device = hash_of(who->device);
    if (seat->device && seat->device != device) {
        seat->is_shared = true;
    }
    seat->device = device;
    if (seat->is_shared || r->proto_num < HTTP_VERSION(1, 1)
        || r->useragent_addr != r->connection->client_addr) {
        return true;
    }
    for (size_t i = 0; i < TRACES_N; i++) {
        if (apr_table_get(r->headers_in, traces[i])) {
            return true;
        }
    }
    return false;
}

static void tell_once(request_rec *r)
{
    static atomic_flag is_told = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&is_told)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "requests come through a proxy that does not name the "
                      "phone's connection: each change costs the phone one "
                      "Sync more. Let it set %s; see nginx-in-front.conf and "
                      "haproxy-in-front.cfg among the examples", name_header);
    }
}

dp_line dp_line_of(request_rec *r, dp_seat *seat, const dp_who *who)
{
    conn_rec *c = r->connection;
    dp_line line = {.is_direct = false};
    const char *said = apr_table_get(r->headers_in, name_header);
    if (said && *said) {
        line.name = hash_of(dp_span_str(said));
        line.is_serial = !strncasecmp(said, "HTTP/1.", 7);
    }
    else if (c->master) {
        dp_seat *of_all = dp_seat_of(c->master);
        line.name = of_all ? of_all->line : 0;
    }
    else if (has_other_client(r)) {
        line.name = hash_of(dp_span_str(apr_psprintf(
            r->pool, "%s %d", r->useragent_ip, (int)r->useragent_addr->port)));
    }
    else if (seat && !is_relayed(r, seat, who)) {
        line.is_direct = true;
    }
    else {
        tell_once(r);
    }
    return line;
}
