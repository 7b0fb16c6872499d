#include "tools/device/load_args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "config.h"

#define PER_USER    10
#define RATE        2000
#define INFLIGHT    256
#define HEARTBEAT_S 3540
#define PATIENCE_S  120

/* Longer names are none that a topic can have. */
#define FOLDER_MAX 512

/* A worker needs few more than its devices: epoll, its line to the
 * coordinator, standard streams. */
#define DESCRIPTORS_BESIDE 64

/* One worker would be the bottleneck of a storm; more than this would take
 * turns with the server on a small machine. */
#define PROCESSES_LEAST 2
#define PROCESSES_MOST  64

/* Linux has 28,232 ports for connections to one address; those that have ended
 * are not free for a minute. */
#define DEVICES_PER_SOURCE 20000
#define SOURCES_MOST       250

enum {
    OPT_DEVICES = 256,
    OPT_PROCESSES,
    OPT_PER_USER,
    OPT_SOURCES,
    OPT_RATE,
    OPT_INFLIGHT,
    OPT_HEARTBEAT,
    OPT_FOLDER,
    OPT_PASSWORD_FILE,
    OPT_CA,
    OPT_INSECURE,
    OPT_NO_RESUME,
    OPT_NO_RETRY,
    OPT_PATIENCE,
    OPT_PUBLISH,
    OPT_LONGPOLL,
    OPT_STEPS,
    OPT_TRACE,
    OPT_JSON
};

static const struct option LONG_OPTIONS[] = {
    {"devices", required_argument, NULL, OPT_DEVICES},
    {"processes", required_argument, NULL, OPT_PROCESSES},
    {"per-user", required_argument, NULL, OPT_PER_USER},
    {"sources", required_argument, NULL, OPT_SOURCES},
    {"rate", required_argument, NULL, OPT_RATE},
    {"inflight", required_argument, NULL, OPT_INFLIGHT},
    {"heartbeat", required_argument, NULL, OPT_HEARTBEAT},
    {"folder", required_argument, NULL, OPT_FOLDER},
    {"password-file", required_argument, NULL, OPT_PASSWORD_FILE},
    {"ca", required_argument, NULL, OPT_CA},
    {"insecure", no_argument, NULL, OPT_INSECURE},
    {"no-resume", no_argument, NULL, OPT_NO_RESUME},
    {"no-retry", no_argument, NULL, OPT_NO_RETRY},
    {"patience", required_argument, NULL, OPT_PATIENCE},
    {"publish", required_argument, NULL, OPT_PUBLISH},
    {"longpoll", required_argument, NULL, OPT_LONGPOLL},
    {"steps", required_argument, NULL, OPT_STEPS},
    {"trace", required_argument, NULL, OPT_TRACE},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

static const char HELP[] =
    "Usage: directpush-device --devices N --steps LIST [options] URL USER\n"
    "       directpush-device --devices N --steps LIST --longpoll SUB PUB "
    "[options] URL\n"
    "Many phones at once, and how the server bears them. USER has the number\n"
    "of the user in it, like user%d.\n"
    "\n"
    "      --steps LIST       in this order, separated by commas: hold=N,\n"
    "                         wake=N, storm, heartbeat=S, expire=S, idle=S,\n"
    "                         pause[=NAME], quit\n"
    "      --publish SOCKET   directpushd's control.sock, for wake and storm\n"
    "      --longpoll SUB PUB wait with GET SUB, publish with POST PUB; %d is\n"
    "                         the channel's number\n"
    "      --per-user K       devices of each user, default 10; with\n"
    "                         --longpoll of each channel, default 1\n"
    "      --processes P      default: as many as descriptors ask for, from 2\n"
    "      --sources K        connect from 127.0.0.1 to 127.0.0.K; 0: as the\n"
    "                         system likes; default: as many as ports ask for\n"
    "      --rate R           new devices in a second, default 2000\n"
    "      --inflight M       devices being set up at a time, default 256\n"
    "      --heartbeat S      default 3540 seconds\n"
    "      --folder NAME      the folder of the Pings, default Inbox\n"
    "      --password-file FILE  else DIRECTPUSH_PASSWORD; one for all\n"
    "      --ca FILE, --insecure  as for one device\n"
    "      --no-resume        a full TLS handshake for each connection\n"
    "      --no-retry         who is refused (503) is left out\n"
    "      --patience S       give a step up after so long without progress,\n"
    "                         default 120\n"
    "      --trace FILE       append what happens to each device, a line each\n"
    "      --json             one JSON object per step and line\n"
    "\n"
    "Ends with 0 when all steps were done and no answer is missing, else 1.\n";

static bool wrong(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static bool wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("directpush-device: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (--devices 1 --help)\n", stderr);
    va_end(args);
    return false;
}

static bool parse_number(const char *what, const char *text, uint32_t low,
                         uint32_t high, uint32_t *out)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long long v = strtoull(text, NULL, 10);
    if (digits == 0 || digits > 9 || text[digits] || v < low || v > high) {
        return wrong("%s: %s is no number from %u to %u", what, text, low,
                     high);
    }
    *out = (uint32_t)v;
    return true;
}

/* --- steps --- */

typedef enum step_value { NO_VALUE, NAME, COUNT, SECONDS } step_value;

static const struct {
    const char *name;
    step_value value;
    uint32_t high;
} KINDS[DP_LOAD_KINDS_N] = {
    [DP_LOAD_HOLD] = {"hold", COUNT, DP_LOAD_DEVICES_MAX},
    [DP_LOAD_PAUSE] = {"pause", NAME, 0},
    [DP_LOAD_WAKE] = {"wake", COUNT, 10000000},
    [DP_LOAD_STORM] = {"storm", NO_VALUE, 0},
    [DP_LOAD_EXPIRE] = {"expire", SECONDS, 86400},
    [DP_LOAD_HEARTBEAT] = {"heartbeat", SECONDS, 86400},
    [DP_LOAD_IDLE] = {"idle", SECONDS, 86400},
    [DP_LOAD_QUIT] = {"quit", NO_VALUE, 0},
};

const char *dp_load_kind_name(dp_load_kind kind)
{
    return KINDS[kind].name;
}

static bool take_value(dp_load_step *step, const char *value)
{
    switch (KINDS[step->kind].value) {
    case NAME:
        snprintf(step->name, sizeof(step->name), "%s", value ? value : "");
        return true;
    case NO_VALUE:
        return !value || wrong("--steps: %s takes no value",
                               dp_load_kind_name(step->kind));
    default:
        return value ? parse_number(dp_load_kind_name(step->kind), value, 1,
                                    KINDS[step->kind].high, &step->n)
                     : wrong("--steps: %s needs a number",
                             dp_load_kind_name(step->kind));
    }
}

static bool add_step(dp_load_args *a, char *text)
{
    if (a->steps_n == DP_LOAD_STEPS_MAX) {
        return wrong("--steps: more than %d", DP_LOAD_STEPS_MAX);
    }
    dp_load_step *step = &a->steps[a->steps_n];
    char *value = strchr(text, '=');
    size_t n = value ? (size_t)(value - text) : strlen(text);
    for (int kind = 0; kind < DP_LOAD_KINDS_N; kind++) {
        if (strlen(KINDS[kind].name) == n &&
            strncmp(KINDS[kind].name, text, n) == 0) {
            step->kind = (dp_load_kind)kind;
            a->steps_n++;
            return take_value(step, value ? value + 1 : NULL);
        }
    }
    return wrong("--steps: there is no step %s", text);
}

static bool parse_steps(dp_load_args *a, const char *list)
{
    char text[4096], *rest = NULL;
    if (strlen(list) >= sizeof(text)) {
        return wrong("--steps: too long");
    }
    memcpy(text, list, strlen(list) + 1);
    for (char *one = strtok_r(text, ",", &rest); one;
         one = strtok_r(NULL, ",", &rest)) {
        if (!add_step(a, one)) {
            return false;
        }
    }
    return true;
}

/* --- options --- */

static bool parse_path(const char *text, dp_load_template *out)
{
    if (text[0] != '/' || text[strcspn(text, " \r\n")]) {
        return wrong("--longpoll takes two paths, as /sub/%%d /pub/%%d");
    }
    return dp_load_template_parse(text, out) ||
           wrong("--longpoll: %s has not one %%d in it", text);
}

/* getopt_long() knows one argument per option: the second is taken here. */
static bool parse_longpoll(dp_load_args *a, int argc, char **argv,
                           const char *subscribe)
{
    if (optind >= argc) {
        return wrong("--longpoll takes two paths, as /sub/%%d /pub/%%d");
    }
    a->is_longpoll = true;
    return parse_path(subscribe, &a->subscribe) &&
           parse_path(argv[optind++], &a->publish);
}

static bool take_number(dp_load_args *a, int option, const char *value,
                        bool *out_is_one)
{
    *out_is_one = true;
    switch (option) {
    case OPT_DEVICES:
        return parse_number("--devices", value, 1, DP_LOAD_DEVICES_MAX,
                            &a->devices);
    case OPT_PROCESSES:
        return parse_number("--processes", value, 1, PROCESSES_MOST,
                            &a->processes);
    case OPT_PER_USER:
        return parse_number("--per-user", value, 1, DP_LOAD_DEVICES_MAX,
                            &a->per_user);
    case OPT_SOURCES:
        return parse_number("--sources", value, 0, SOURCES_MOST, &a->sources);
    case OPT_RATE:
        return parse_number("--rate", value, 1, 1000000, &a->rate);
    case OPT_INFLIGHT:
        return parse_number("--inflight", value, 1, DP_LOAD_DEVICES_MAX,
                            &a->inflight);
    case OPT_HEARTBEAT:
        return parse_number("--heartbeat", value, 1, 86400, &a->heartbeat_s);
    case OPT_PATIENCE:
        return parse_number("--patience", value, 1, 86400, &a->patience_s);
    default:
        *out_is_one = false;
        return true;
    }
}

static bool take_option(dp_load_args *a, int argc, char **argv, int option,
                        const char *value)
{
    bool is_number, is_good = take_number(a, option, value, &is_number);
    if (is_number) {
        return is_good;
    }
    switch (option) {
    case OPT_FOLDER:
        a->folder = value;
        return strlen(value) <= FOLDER_MAX ||
               wrong("--folder: longer than %d bytes", FOLDER_MAX);
    case OPT_PASSWORD_FILE:
        a->password_file = value;
        return true;
    case OPT_CA:
        a->ca_file = value;
        return true;
    case OPT_PUBLISH:
        a->publish_socket = value;
        return true;
    case OPT_LONGPOLL:
        return parse_longpoll(a, argc, argv, value);
    case OPT_STEPS:
        return parse_steps(a, value);
    case OPT_TRACE:
        a->trace_file = value;
        return true;
    case OPT_INSECURE:
        a->is_insecure = true;
        return true;
    case OPT_NO_RESUME:
        a->wants_full_handshakes = true;
        return true;
    case OPT_NO_RETRY:
        a->wants_no_retry = true;
        return true;
    case OPT_JSON:
        a->is_json = true;
        return true;
    default: /* getopt_long() has said what */
        return wrong("so it does not know what to do");
    }
}

/* --- together --- */

static bool is_loopback(const dp_target *t)
{
    const char *host = dp_buf_str(&t->host);
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0;
}

static uint32_t parts(uint32_t n, uint32_t of)
{
    return (n + of - 1) / of;
}

static bool settle(dp_load_args *a, uint32_t descriptors)
{
    uint32_t room = descriptors > 2 * DESCRIPTORS_BESIDE
                        ? descriptors - DESCRIPTORS_BESIDE
                        : DESCRIPTORS_BESIDE;
    if (a->processes == 0) {
        a->processes = parts(a->devices, room);
        a->processes =
            a->processes < PROCESSES_LEAST ? PROCESSES_LEAST : a->processes;
    }
    a->processes = a->processes > a->devices ? a->devices : a->processes;
    if (parts(a->devices, a->processes) > room) {
        return wrong("%u devices in %u processes are more than the %u "
                     "descriptors of each: raise ulimit -n or --processes",
                     a->devices, a->processes, descriptors);
    }
    if (a->sources == UINT32_MAX) {
        a->sources =
            is_loopback(&a->target) ? parts(a->devices, DEVICES_PER_SOURCE) : 0;
    }
    if (a->sources && !is_loopback(&a->target)) {
        return wrong("--sources is for a server on this machine (127.0.0.1 or "
                     "localhost)");
    }
    return true;
}

static bool check_steps(const dp_load_args *a)
{
    if (a->steps_n == 0) {
        return wrong("--steps are needed: what shall be done?");
    }
    bool can_publish = a->is_longpoll || a->publish_socket;
    for (size_t i = 0; i < a->steps_n; i++) {
        const dp_load_step *s = &a->steps[i];
        if (s->kind == DP_LOAD_HOLD && s->n > a->devices) {
            return wrong("--steps: hold=%u, but there are %u devices", s->n,
                         a->devices);
        }
        if ((s->kind == DP_LOAD_WAKE || s->kind == DP_LOAD_STORM) &&
            !can_publish) {
            return wrong("--steps: %s needs --publish",
                         dp_load_kind_name(s->kind));
        }
    }
    return true;
}

static bool take_operands(dp_load_args *a, int n, char **operands)
{
    const char *why;
    if (n != (a->is_longpoll ? 1 : 2)) {
        return wrong(a->is_longpoll ? "URL is needed, and nothing else"
                                    : "URL and USER are needed, and nothing "
                                      "else");
    }
    if (!dp_target_parse(operands[0], &a->target, &why)) {
        return wrong("%s: %s", operands[0], why);
    }
    if (a->is_longpoll) {
        /* each device has a channel of its own, unless told otherwise */
        a->per_user = a->per_user ? a->per_user : 1;
        return true;
    }
    a->per_user = a->per_user ? a->per_user : PER_USER;
    a->user_text = operands[1];
    if (strpbrk(a->user_text, ":\r\n")) {
        return wrong("USER has a colon in it");
    }
    return dp_load_template_parse(a->user_text, &a->user) ||
           wrong("USER: %s has not one %%d in it, for the user's number",
                 a->user_text);
}

bool dp_load_args_are_meant(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (strcmp(argv[i], "--devices") == 0 ||
            strncmp(argv[i], "--devices=", 10) == 0) {
            return true;
        }
    }
    return false;
}

dp_args_result dp_load_args_parse(int argc, char **argv, uint32_t descriptors,
                                  dp_load_args *out)
{
    *out = (dp_load_args){.sources = UINT32_MAX,
                          .rate = RATE,
                          .inflight = INFLIGHT,
                          .heartbeat_s = HEARTBEAT_S,
                          .patience_s = PATIENCE_S,
                          .folder = "Inbox"};
    int option;
    optind = 0; /* glibc: begin anew; tests call this again and again */
    while ((option = getopt_long(argc, argv, "h", LONG_OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            fputs(HELP, stdout);
            return DP_ARGS_SHOWN;
        }
        if (!take_option(out, argc, argv, option, optarg)) {
            return DP_ARGS_WRONG;
        }
    }
    if (!take_operands(out, argc - optind, argv + optind) ||
        !settle(out, descriptors) || !check_steps(out)) {
        return DP_ARGS_WRONG;
    }
    return DP_ARGS_RUN;
}

void dp_load_args_free(dp_load_args *a)
{
    dp_target_free(&a->target);
}
