#include "tools/device/args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "config.h"

/* AOSP's numbers (eas-protocol 6.1), with Exchange's lower bound. */
#define HEARTBEAT_S      480
#define HEARTBEAT_MIN_S  60
#define HEARTBEAT_MAX_S  1680
#define HEARTBEAT_STEP_S 300

enum {
    OPT_HEARTBEAT = 256,
    OPT_MIN,
    OPT_MAX,
    OPT_STEP,
    OPT_EMPTY,
    OPT_ONCE,
    OPT_PINGS,
    OPT_RETRIES,
    OPT_STATE,
    OPT_PASSWORD_FILE,
    OPT_PROTOCOL,
    OPT_BASE64,
    OPT_CA,
    OPT_INSECURE,
    OPT_JSON,
    OPT_VERSION
};

static const struct option LONG_OPTIONS[] = {
    {"device-id", required_argument, NULL, 'd'},
    {"device-type", required_argument, NULL, 't'},
    {"folder", required_argument, NULL, 'f'},
    {"heartbeat", required_argument, NULL, OPT_HEARTBEAT},
    {"min", required_argument, NULL, OPT_MIN},
    {"max", required_argument, NULL, OPT_MAX},
    {"step", required_argument, NULL, OPT_STEP},
    {"empty-pings", no_argument, NULL, OPT_EMPTY},
    {"once", no_argument, NULL, OPT_ONCE},
    {"pings", required_argument, NULL, OPT_PINGS},
    {"retries", required_argument, NULL, OPT_RETRIES},
    {"state", required_argument, NULL, OPT_STATE},
    {"password-file", required_argument, NULL, OPT_PASSWORD_FILE},
    {"protocol", required_argument, NULL, OPT_PROTOCOL},
    {"base64-query", no_argument, NULL, OPT_BASE64},
    {"ca", required_argument, NULL, OPT_CA},
    {"insecure", no_argument, NULL, OPT_INSECURE},
    {"json", no_argument, NULL, OPT_JSON},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0}};

static const char HELP[] =
    "Usage: directpush-device [options] URL USER\n"
    "       directpush-device --devices N ...   many at once: --devices 1 "
    "--help\n"
    "A phone for the command line: synchronises and waits in Exchange\n"
    "ActiveSync Pings. URL is like https://mail.example.com.\n"
    "\n"
    "  -d, --device-id ID     letters and digits; default: from host and user\n"
    "  -t, --device-type TYPE default: directpush\n"
    "  -f, --folder NAME      watch this folder (name, path, class or *); may "
    "be\n"
    "                         repeated; default: Inbox and the other classes\n"
    "      --heartbeat S      first heartbeat, default 480 seconds\n"
    "      --min S, --max S   bounds of the heartbeat, default 60 and 1680\n"
    "      --step S           how far it moves, default 300\n"
    "      --empty-pings      after \"nothing changed\" send an empty Ping\n"
    "      --once             end after one wake, its Sync and the next Ping\n"
    "      --pings N          end after N answers to Pings\n"
    "      --retries N        give up after N failures in a row\n"
    "      --state FILE       remember folders and keys there\n"
    "      --password-file FILE  else DIRECTPUSH_PASSWORD, else a prompt\n"
    "      --protocol V       14.1, 14.0 or 12.1; default: the newest offered\n"
    "      --base64-query     the short form of the query string\n"
    "      --ca FILE          trust these certificates, not the system's\n"
    "      --insecure         trust any certificate\n"
    "      --json             one JSON object per event and line\n"
    "  -v, --verbose          requests and answers on standard error\n"
    "  -h, --help             this text\n"
    "      --version\n"
    "\n"
    "Ends with 0 done, 1 usage, 2 cannot connect, 3 not let in, 4 protocol.\n";

static bool wrong(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static bool wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("directpush-device: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (--help)\n", stderr);
    va_end(args);
    return false;
}

static bool parse_number(const char *option, const char *text, uint32_t low,
                         uint32_t high, uint32_t *out)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long long v = strtoull(text, NULL, 10);
    if (digits == 0 || digits > 9 || text[digits] || v < low || v > high) {
        return wrong("--%s: %s is no number from %u to %u", option, text, low,
                     high);
    }
    *out = (uint32_t)v;
    return true;
}

static bool parse_version(const char *text, unsigned *out)
{
    static const struct {
        const char *text;
        unsigned version;
    } known[] = {{"14.1", 141}, {"14.0", 140}, {"12.1", 121}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(text, known[i].text) == 0) {
            *out = known[i].version;
            return true;
        }
    }
    return wrong("--protocol: %s is not 14.1, 14.0 or 12.1", text);
}

static const char LETTERS_AND_DIGITS[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static bool parse_word(const char *what, const char *text, char *out,
                       size_t size)
{
    size_t n = strlen(text);
    if (n == 0 || n >= size || strspn(text, LETTERS_AND_DIGITS) != n) {
        return wrong("%s takes 1 to %zu letters and digits", what, size - 1);
    }
    memcpy(out, text, n + 1);
    return true;
}

static bool add_filter(dp_args *a, const char *name)
{
    if (a->filters_n == DP_FILTERS_MAX) {
        return wrong("more than %d times -f; try a class, or *",
                     DP_FILTERS_MAX);
    }
    a->filters[a->filters_n++] = name;
    return true;
}

static bool take_option(dp_args *a, int option, const char *value)
{
    switch (option) {
    case 'd':
        return parse_word("-d", value, a->device_id, sizeof(a->device_id));
    case 't':
        return parse_word("-t", value, a->device_type, sizeof(a->device_type));
    case 'f':
        return add_filter(a, value);
    case OPT_HEARTBEAT:
        a->has_heartbeat = true;
        return parse_number("heartbeat", value, 1, 86400, &a->heartbeat_s);
    case OPT_MIN:
        return parse_number("min", value, 1, 86400, &a->min_s);
    case OPT_MAX:
        return parse_number("max", value, 1, 86400, &a->max_s);
    case OPT_STEP:
        return parse_number("step", value, 1, 86400, &a->step_s);
    case OPT_PINGS:
        return parse_number("pings", value, 1, 999999999, &a->pings);
    case OPT_RETRIES:
        a->has_retries = true;
        return parse_number("retries", value, 0, 999999999, &a->retries);
    case OPT_PROTOCOL:
        return parse_version(value, &a->version);
    case OPT_STATE:
        a->state_file = value;
        return true;
    case OPT_PASSWORD_FILE:
        a->password_file = value;
        return true;
    case OPT_CA:
        a->ca_file = value;
        return true;
    case OPT_EMPTY:
        a->wants_empty_pings = true;
        return true;
    case OPT_ONCE:
        a->is_once = true;
        return true;
    case OPT_BASE64:
        a->is_base64 = true;
        return true;
    case OPT_INSECURE:
        a->is_insecure = true;
        return true;
    case OPT_JSON:
        a->is_json = true;
        return true;
    case 'v':
        a->is_verbose = true;
        return true;
    default: /* getopt_long() has said what */
        return wrong("so it does not know what to do");
    }
}

/* A bound that was not given makes room for a heartbeat that was. */
static bool settle_heartbeat(dp_args *a)
{
    bool has_min = a->min_s != 0, has_max = a->max_s != 0;
    a->min_s = has_min ? a->min_s : HEARTBEAT_MIN_S;
    a->max_s = has_max ? a->max_s : HEARTBEAT_MAX_S;
    if (a->has_heartbeat) {
        a->min_s =
            !has_min && a->heartbeat_s < a->min_s ? a->heartbeat_s : a->min_s;
        a->max_s =
            !has_max && a->heartbeat_s > a->max_s ? a->heartbeat_s : a->max_s;
        if (a->heartbeat_s < a->min_s || a->heartbeat_s > a->max_s) {
            return wrong("--heartbeat %u lies outside --min and --max",
                         a->heartbeat_s);
        }
    }
    if (!has_min && a->min_s > a->max_s) {
        a->min_s = a->max_s;
    }
    if (!has_max && a->max_s < a->min_s) {
        a->max_s = a->min_s;
    }
    return a->min_s <= a->max_s ||
           wrong("--min %u is above --max %u", a->min_s, a->max_s);
}

/* The same on each run, so that the server sees one device: a hash of this
 * machine's name, the server and the user. */
static void make_device_id(dp_args *a)
{
    dp_buf what = {0};
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    dp_buf_printf(&what, "%s\n%s\n%s", host, dp_buf_str(&a->target.authority),
                  a->user);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_n = 0;
    EVP_Digest(what.p, what.n, digest, &digest_n, EVP_sha256(), NULL);
    dp_buf_free(&what);
    char *at = a->device_id;
    at += sprintf(at, "dp");
    for (unsigned i = 0; i < 7 && i < digest_n; i++) {
        at += sprintf(at, "%02x", digest[i]);
    }
}

static bool take_operands(dp_args *a, int n, char **operands)
{
    const char *why;
    if (n != 2) {
        return wrong("URL and USER are needed, and nothing else");
    }
    if (!dp_target_parse(operands[0], &a->target, &why)) {
        return wrong("%s: %s", operands[0], why);
    }
    a->user = operands[1];
    if (!*a->user || strpbrk(a->user, ":\r\n")) {
        return wrong("USER is empty or has a colon in it");
    }
    if (!*a->device_id) {
        make_device_id(a);
    }
    return true;
}

dp_args_result dp_args_parse(int argc, char **argv, dp_args *out)
{
    *out = (dp_args){.heartbeat_s = HEARTBEAT_S,
                     .step_s = HEARTBEAT_STEP_S,
                     .device_type = "directpush"};
    int option;
    while ((option = getopt_long(argc, argv, "d:t:f:vh", LONG_OPTIONS, NULL)) !=
           -1) {
        if (option == 'h') {
            fputs(HELP, stdout);
            return DP_ARGS_SHOWN;
        }
        if (option == OPT_VERSION) {
            puts("directpush-device " PACKAGE_VERSION);
            return DP_ARGS_SHOWN;
        }
        if (!take_option(out, option, optarg)) {
            return DP_ARGS_WRONG;
        }
    }
    if (!settle_heartbeat(out) ||
        !take_operands(out, argc - optind, argv + optind)) {
        return DP_ARGS_WRONG;
    }
    return DP_ARGS_RUN;
}

void dp_args_free(dp_args *a)
{
    dp_target_free(&a->target);
}
