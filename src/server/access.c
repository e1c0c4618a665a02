/* access.c: the access log: a line for each request of the routes that want it. */
#include "server/access.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/complain.h"
#include "base/hex.h"
#include "base/lines.h"
#include "base/mem.h"
#include "metrics/metric.h"

enum {
    FLUSH_MS = 1000,      /* after which a line is written at the latest */
    MOST_OF_VALUE = 2048, /* bytes that are kept of what a client has sent */
    LONGEST_ESCAPE = 6,   /* bytes that one may become */
    /*
     * Of a line, which what a client has sent does not take: texts of the conf, numbers, the rest of JSON.
     * Most of it have the fields of the top level, of the defaults of two files and of a route, 64 of each,
     * with a name of 64 bytes, a value of 32 and 6 around these.
     */
    RESERVED = 32 * 1024,
    ISO_LEN = CLOCK_ISO_LEN,
    CLF_LEN = 26, /* "28/Nov/2026:21:53:50 +0000" */
    BLOCK = 16,
};

/* Sources that stand in the format combined alone. */
enum { CLF_TIME = CONF_SOURCE_QUERY + 1, PROTOCOL };

/* A text, and the source whose value follows it. */
struct piece {
    char *before; /* padded, so that it can be copied BLOCK bytes at a time */
    size_t before_len;
    int kind; /* enum conf_source_kind, or one of those above; CONF_SOURCE_TEXT: nothing follows */
    struct str name;
};

struct access_log {
    struct access *access;
    struct access_file *file;
    bool is_json;
    struct piece *pieces;
    size_t n_pieces;
    struct str text;    /* that comes before the next piece, while they are made; owned */
    uint64_t threshold; /* a random number of 32 bits below it: the request is in the sample */
    uint64_t random;
};

struct access_file {
    const char *path;
    struct lines lines;
};

struct access {
    h2o_loop_t *loop;
    h2o_timeout_t *flush;
    h2o_timeout_entry_t timer; /* linked while lines wait to be written */
    struct access_file **files;
    size_t n_files;
    struct access_log **logs; /* of the routes, then of the others; NULL for none */
    size_t n_logs;
    uint64_t wall; /* CLOCK_REALTIME - CLOCK_MONOTONIC, in ns; looked at whenever a first line waits */
    time_t second; /* that the texts below are of */
    char iso[ISO_LEN], clf[CLF_LEN];
};

/* Files */

static void flush(struct access_file *file)
{
    bool is_open = file->lines.fd >= 0;
    size_t dropped = lines_flush(&file->lines);
    if (dropped == 0)
        return;
    metric_add(METRIC_ACCESS_LOG_DROPPED, dropped);
    if (!is_open)
        return; /* which was logged when it could not be opened */
    int error = errno;
    char *about = mem_printf("access log %s", file->path);
    complain(LOG_LEVEL_ERROR, about, "cannot write to the access log %s, and drops its lines: %s", file->path,
             strerror(error));
    free(about);
}

static void on_flush(h2o_timeout_entry_t *timer)
{
    struct access *access = H2O_STRUCT_FROM_MEMBER(struct access, timer, timer);
    for (size_t i = 0; i < access->n_files; i++)
        flush(access->files[i]);
}

void access_set_file(struct access *access, size_t which, int fd)
{
    if (which >= access->n_files) {
        close(fd);
        return;
    }
    flush(access->files[which]);
    lines_open(&access->files[which]->lines, fd);
}

/* Times */

static uint64_t ns_of(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void look_at_clock(struct access *access)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    access->wall = ns_of(now) - clock_ns();
}

/* Makes the texts of a second. */
static void set_second(struct access *access, time_t second)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm utc;
    char text[64];
    gmtime_r(&second, &utc);
    access->second = second;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000Z", &utc);
    memcpy(access->iso, text, ISO_LEN);
    snprintf(text, sizeof(text), "%02d/%s/%04d:%02d:%02d:%02d +0000", utc.tm_mday, months[utc.tm_mon],
             utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    memcpy(access->clf, text, CLF_LEN);
}

/* A line while it is written. */
struct line {
    char *at;
    const char *end; /* for what a client has sent */
    bool is_json;
    struct exchange *exchange;
    uint64_t elapsed;
};

static char *put_pair(char *out, unsigned number)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    memcpy(out, pairs + 2 * number, 2);
    return out + 2;
}

static char *put_number(char *out, uint64_t number)
{
    char digits[20], *first = digits + sizeof(digits);
    if (number < 10) {
        *out = (char)('0' + number);
        return out + 1;
    }
    for (; number >= 100; number /= 100)
        put_pair(first -= 2, (unsigned)(number % 100));
    if (number >= 10)
        put_pair(first -= 2, (unsigned)number);
    else
        *--first = (char)('0' + number);
    size_t len = (size_t)(digits + sizeof(digits) - first);
    for (size_t i = 0; i < len; i++)
        out[i] = first[i];
    return out + len;
}

/* Seconds. */
static void put_time(struct line *line, uint64_t ns)
{
    uint64_t us = ns / 1000, seconds = us / 1000000;
    unsigned rest = (unsigned)(us - seconds * 1000000);
    line->at = put_number(line->at, seconds);
    *line->at++ = '.';
    line->at = put_pair(put_pair(put_pair(line->at, rest / 10000), rest / 100 % 100), rest % 100);
}

static void put_now(struct line *line, const struct access *access, uint64_t now, bool is_clf)
{
    unsigned ms = (unsigned)(now % 1000000000 / 1000000);
    if (is_clf) {
        memcpy(line->at, access->clf, CLF_LEN);
        line->at += CLF_LEN;
        return;
    }
    memcpy(line->at, access->iso, ISO_LEN);
    line->at += ISO_LEN;
    line->at[-4] = (char)('0' + ms / 100); /* before the Z */
    put_pair(line->at - 3, ms % 100);
}

/* Texts */

/* Is some of these eight bytes to be escaped: a control, a quote, a backslash, or none of ASCII? */
static bool any_is_special(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t quotes = bytes ^ ones * '"', slashes = bytes ^ ones * '\\', deletes = bytes ^ ones * 0x7f;
    return ((bytes | (bytes - ones * 0x20) | (quotes - ones) | (slashes - ones) | (deletes - ones)) & high) !=
           0;
}

static bool is_special(unsigned char c)
{
    return c < 0x20 || c >= 0x7f || c == '"' || c == '\\';
}

/* Escapes one character. Returns how many bytes of the text it has. */
static size_t put_special(struct line *line, struct str text)
{
    unsigned char c = (unsigned char)text.base[0];
    char escaped[16];
    if (line->is_json) {
        size_t len = log_escape_json(text, escaped);
        line->at = stpcpy(line->at, escaped);
        return len;
    }
    *line->at++ = '\\';
    if (c == '"' || c == '\\') {
        *line->at++ = (char)c;
        return 1;
    }
    *line->at++ = 'x';
    *line->at++ = HEX_LOWER[c >> 4];
    *line->at++ = HEX_LOWER[c & 15];
    return 1;
}

/* What has nothing to be escaped in it, and is most often short. */
static inline char *put_raw(char *out, struct str text)
{
    const char *from = text.base;
    if (text.len < 4) {
        for (size_t i = 0; i < text.len; i++)
            out[i] = from[i];
    } else if (text.len < 8) {
        memcpy(out, from, 4);
        memcpy(out + text.len - 4, from + text.len - 4, 4);
    } else if (text.len <= 16) {
        memcpy(out, from, 8);
        memcpy(out + text.len - 8, from + text.len - 8, 8);
    } else {
        memcpy(out, from, text.len);
    }
    return out + text.len;
}

/* How many bytes from the first on need not be escaped, counted in eights. */
static size_t plain_part(struct str text)
{
    uint64_t eight;
    size_t i = 0;
    for (; text.len - i >= sizeof(eight); i += sizeof(eight)) {
        memcpy(&eight, text.base + i, sizeof(eight));
        if (any_is_special(eight))
            return i;
    }
    if (i == text.len || text.len < sizeof(eight))
        return i;
    memcpy(&eight, text.base + text.len - sizeof(eight), sizeof(eight)); /* some of them once more */
    return any_is_special(eight) ? i : text.len;
}

/* What a client may have sent, with nothing to be escaped in it. */
static void put_token(struct line *line, struct str text)
{
    size_t most = line->at >= line->end ? 0 : (size_t)(line->end - line->at);
    if (text.len > MOST_OF_VALUE)
        text.len = MOST_OF_VALUE;
    if (text.len > most)
        text.len = most;
    line->at = put_raw(line->at, text);
}

static void put_escaped(struct line *line, struct str text)
{
    size_t most = line->at >= line->end ? 0 : (size_t)(line->end - line->at) / LONGEST_ESCAPE;
    if (text.len > MOST_OF_VALUE)
        text.len = MOST_OF_VALUE;
    if (text.len > most)
        text.len = most;
    size_t i = plain_part(text);
    line->at = put_raw(line->at, (struct str){text.base, i});
    while (i < text.len) {
        if (is_special((unsigned char)text.base[i]))
            i += put_special(line, (struct str){text.base + i, text.len - i});
        else
            *line->at++ = text.base[i++];
    }
}

static void put_nothing(struct line *line)
{
    line->at = line->is_json ? stpcpy(line->at, "null") : stpcpy(line->at, "-");
}

static void put_text(struct line *line, struct str text)
{
    if (text.len == 0) {
        put_nothing(line);
        return;
    }
    if (line->is_json)
        *line->at++ = '"';
    put_escaped(line, text);
    if (line->is_json)
        *line->at++ = '"';
}

/* One that has nothing to be escaped in it. */
static void put_plain(struct line *line, struct str text)
{
    if (text.len == 0) {
        put_nothing(line);
        return;
    }
    if (line->is_json)
        *line->at++ = '"';
    line->at = put_raw(line->at, text);
    if (line->is_json)
        *line->at++ = '"';
}

/* Sources */

static struct str path_of(const struct exchange *exchange)
{
    struct str path = exchange->path;
    const char *mark = memchr(path.base, '?', path.len);
    return (struct str){path.base, mark == NULL ? path.len : (size_t)(mark - path.base)};
}

/* The value of the first NAME=VALUE with this name, in a list with such a separator. */
static struct str find_pair(struct str list, char separator, struct str name)
{
    while (list.len > 0) {
        const char *end = memchr(list.base, separator, list.len);
        struct str item = {list.base, end == NULL ? list.len : (size_t)(end - list.base)};
        list = (struct str){list.base + item.len + (end != NULL), list.len - item.len - (end != NULL)};
        while (item.len > 0 && item.base[0] == ' ')
            item = (struct str){item.base + 1, item.len - 1};
        if (item.len > name.len && memcmp(item.base, name.base, name.len) == 0 && item.base[name.len] == '=')
            return (struct str){item.base + name.len + 1, item.len - name.len - 1};
    }
    return (struct str){NULL, 0};
}

static struct str query_of(const struct exchange *exchange)
{
    size_t skip = path_of(exchange).len;
    skip += skip < exchange->path.len;
    return (struct str){exchange->path.base + skip, exchange->path.len - skip};
}

static struct str text_of(struct exchange *exchange, const struct piece *piece)
{
    switch (piece->kind) {
    case CONF_SOURCE_CLIENT_SCHEME:
        return STR("http");
    case CONF_SOURCE_CLIENT_HOST:
        return exchange->authority;
    case CONF_SOURCE_REQUEST_ROUTE:
        return exchange->sink.route == NULL ? (struct str){NULL, 0} : str_of(exchange->sink.route);
    case CONF_SOURCE_UPSTREAM_SERVER:
        return exchange->notes.upstream == NULL ? (struct str){NULL, 0} : str_of(exchange->notes.upstream);
    case CONF_SOURCE_HEADER:
        return exchange_field(exchange, piece->name);
    case CONF_SOURCE_COOKIE:
        return find_pair(exchange_field(exchange, STR("cookie")), ';', piece->name);
    case CONF_SOURCE_QUERY:
        return find_pair(query_of(exchange), '&', piece->name);
    default:
        return (struct str){NULL, 0};
    }
}

/* Bytes of the body, as far as the kernel has taken it. */
static uint64_t body_bytes(const struct exchange *exchange)
{
    return exchange->sent > exchange->head_len ? exchange->sent - exchange->head_len : 0;
}

static void put_value(struct line *line, const struct access *access, const struct piece *piece, uint64_t now)
{
    struct exchange *exchange = line->exchange;
    const struct sink_notes *notes = &exchange->notes;
    switch (piece->kind) {
    case CONF_SOURCE_TEXT:
        break;
    case CONF_SOURCE_REQUEST_TIME:
    case CLF_TIME:
        put_now(line, access, now, piece->kind == CLF_TIME);
        break;
    case PROTOCOL:
        line->at = put_raw(line->at, exchange->minor_version == 1 ? STR(" HTTP/1.1") : STR(" HTTP/1.0"));
        break;
    case CONF_SOURCE_CLIENT_ADDRESS:
        put_plain(line, peer_client(exchange->peer).address);
        break;
    case CONF_SOURCE_REQUEST_ID:
        put_token(line, exchange_id(exchange));
        break;
    case CONF_SOURCE_REQUEST_METHOD: /* a token (RFC 9110 section 5.6.2), or empty, as the paths may be */
        put_text(line, exchange->method);
        break;
    case CONF_SOURCE_REQUEST_TRACE:
        line->at =
            put_raw(line->at, (struct str){exchange_trace(exchange).base + IDS_TRACE_ID, IDS_TRACE_ID_LEN});
        break;
    case CONF_SOURCE_REQUEST_PATH:
        put_text(line, path_of(exchange));
        break;
    case CONF_SOURCE_REQUEST_TARGET:
        put_text(line, exchange->path);
        break;
    case CONF_SOURCE_ANSWER_STATUS:
        line->at = put_number(line->at, (uint64_t)exchange_status(exchange));
        break;
    case CONF_SOURCE_ANSWER_BYTES:
        line->at = put_number(line->at, body_bytes(exchange));
        break;
    case CONF_SOURCE_TIME_TOTAL:
        put_time(line, line->elapsed);
        break;
    case CONF_SOURCE_TIME_QUEUE:
    case CONF_SOURCE_TIME_DATABASE:
        if (notes->asked)
            put_time(line, piece->kind == CONF_SOURCE_TIME_QUEUE ? notes->queue : notes->database);
        else
            put_nothing(line);
        break;
    default:
        put_text(line, text_of(exchange, piece));
        break;
    }
}

static void put_piece(struct line *line, const struct access *access, const struct piece *piece, uint64_t now)
{
    for (size_t i = 0; i < piece->before_len; i += BLOCK)
        memcpy(line->at + i, piece->before + i, BLOCK); /* what is too much is written over */
    line->at += piece->before_len;
    put_value(line, access, piece, now);
}

/* Is it one of the sample? By chance, as what repeats every so many requests would be in it always, or never.
 */
static bool is_sampled(struct access_log *log)
{
    log->random = log->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return log->random >> 32 < log->threshold;
}

void access_add(struct access_log *log, struct exchange *exchange, uint64_t elapsed, bool is_slow)
{
    struct access *access = log->access;
    struct access_file *file = log->file;
    if (log->threshold >> 32 == 0 && exchange_status(exchange) < 500 && !is_slow && !is_sampled(log))
        return;
    if (!h2o_timeout_is_linked(&access->timer)) {
        h2o_timeout_link(access->loop, access->flush, &access->timer);
        look_at_clock(access);
    }
    uint64_t now = exchange->begun_at + elapsed + access->wall;
    if ((time_t)(now / 1000000000) != access->second)
        set_second(access, (time_t)(now / 1000000000));
    if (lines_is_full(&file->lines))
        flush(file);
    char *room = lines_room(&file->lines);
    struct line line = {room, room + LINES_MOST - RESERVED, log->is_json, exchange, elapsed};
    for (size_t i = 0; i < log->n_pieces; i++)
        put_piece(&line, access, &log->pieces[i], now);
    file->lines.len += (size_t)(line.at - room);
}

/* Making */

/* Text before the value of the next source. */
static void add_text(struct access_log *log, const char *text)
{
    char *longer =
        mem_printf("%.*s%s", (int)log->text.len, log->text.base == NULL ? "" : log->text.base, text);
    free((char *)log->text.base);
    log->text = str_of(longer);
}

static void add(struct access_log *log, int kind, const char *name)
{
    struct piece piece = {.before_len = log->text.len, .kind = kind};
    piece.before = mem_calloc(log->text.len / BLOCK + 1, BLOCK);
    if (log->text.len > 0)
        memcpy(piece.before, log->text.base, log->text.len);
    if (name != NULL)
        piece.name = str_of(name);
    MEM_GROW(&log->pieces, log->n_pieces);
    log->pieces[log->n_pieces++] = piece;
    free((char *)log->text.base);
    log->text = (struct str){NULL, 0};
}

static void make_combined(struct access_log *log)
{
    add(log, CONF_SOURCE_CLIENT_ADDRESS, NULL);
    add_text(log, " - - [");
    add(log, CLF_TIME, NULL);
    add_text(log, "] \"");
    add(log, CONF_SOURCE_REQUEST_METHOD, NULL);
    add_text(log, " ");
    add(log, CONF_SOURCE_REQUEST_TARGET, NULL);
    add(log, PROTOCOL, NULL);
    add_text(log, "\" ");
    add(log, CONF_SOURCE_ANSWER_STATUS, NULL);
    add_text(log, " ");
    add(log, CONF_SOURCE_ANSWER_BYTES, NULL);
    add_text(log, " \"");
    add(log, CONF_SOURCE_HEADER, "referer");
    add_text(log, "\" \"");
    add(log, CONF_SOURCE_HEADER, "user-agent");
    add_text(log, "\"");
}

/* Is its value a text that each request has? */
static bool is_always_text(int kind)
{
    return kind == CONF_SOURCE_REQUEST_TIME || kind == CONF_SOURCE_REQUEST_ID ||
           kind == CONF_SOURCE_REQUEST_TRACE;
}

/* A name is plain: conf/access.c has seen to that. */
static void add_member(struct access_log *log, const char *name, int kind, const char *source_name)
{
    bool is_text = is_always_text(kind);
    char *text = mem_printf("%c\"%s\":%s", log->n_pieces == 0 ? '{' : ',', name, is_text ? "\"" : "");
    add_text(log, text);
    add(log, kind, source_name);
    if (is_text)
        add_text(log, "\"");
    free(text);
}

static const struct conf_access_field *find_field(const struct conf_access_log *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_fields; i++) {
        if (strcmp(conf->fields[i].name, name) == 0)
            return &conf->fields[i];
    }
    return NULL;
}

static const struct {
    const char *name;
    enum conf_source_kind kind;
} members[] = {
    {"time", CONF_SOURCE_REQUEST_TIME},        {"client", CONF_SOURCE_CLIENT_ADDRESS},
    {"method", CONF_SOURCE_REQUEST_METHOD},    {"target", CONF_SOURCE_REQUEST_TARGET},
    {"route", CONF_SOURCE_REQUEST_ROUTE},      {"status", CONF_SOURCE_ANSWER_STATUS},
    {"bytes", CONF_SOURCE_ANSWER_BYTES},       {"total", CONF_SOURCE_TIME_TOTAL},
    {"queue", CONF_SOURCE_TIME_QUEUE},         {"database", CONF_SOURCE_TIME_DATABASE},
    {"upstream", CONF_SOURCE_UPSTREAM_SERVER}, {"request_id", CONF_SOURCE_REQUEST_ID},
};
enum { N_MEMBERS = sizeof(members) / sizeof(members[0]) };

static bool is_member(const char *name)
{
    for (size_t i = 0; i < N_MEMBERS; i++) {
        if (strcmp(members[i].name, name) == 0)
            return true;
    }
    return false;
}

static void make_json(struct access_log *log, const struct conf_access_log *conf)
{
    log->is_json = true;
    for (size_t i = 0; i < N_MEMBERS; i++) {
        const struct conf_access_field *field = find_field(conf, members[i].name);
        if (field == NULL)
            add_member(log, members[i].name, members[i].kind, NULL);
        else if (strcmp(field->text, "off") != 0)
            add_member(log, field->name, field->source.kind, field->source.text);
    }
    for (size_t i = 0; i < conf->n_fields; i++) {
        const struct conf_access_field *field = &conf->fields[i];
        if (!is_member(field->name) && strcmp(field->text, "off") != 0)
            add_member(log, field->name, field->source.kind, field->source.text);
    }
    add_text(log, log->n_pieces == 0 ? "{}" : "}");
}

static struct access_log *log_new(struct access *access, const struct conf_access_log *conf)
{
    if (conf->file == CONF_ACCESS_NOWHERE)
        return NULL;
    struct access_log *log = mem_calloc(1, sizeof(*log));
    log->access = access;
    log->file = access->files[conf->file];
    log->threshold = ((uint64_t)conf->sample << 32) / CONF_ACCESS_ALL;
    log->random = clock_ns();
    if (conf->format == CONF_ACCESS_COMBINED)
        make_combined(log);
    else if (conf->format == CONF_ACCESS_JSON)
        make_json(log, conf);
    for (size_t i = 0; conf->format == CONF_ACCESS_TEXT && i < conf->n_pieces; i++) {
        if (conf->pieces[i].kind == CONF_SOURCE_TEXT)
            add_text(log, conf->pieces[i].text);
        else
            add(log, (int)conf->pieces[i].kind, conf->pieces[i].text);
    }
    add_text(log, "\n");
    add(log, CONF_SOURCE_TEXT, NULL);
    return log;
}

static void log_free(struct access_log *log)
{
    if (log == NULL)
        return;
    for (size_t i = 0; i < log->n_pieces; i++)
        free(log->pieces[i].before);
    free(log->pieces);
    free(log);
}

struct access *access_new(h2o_loop_t *loop, struct timeouts *timeouts, const struct conf *conf,
                          const int *files)
{
    struct access *access = mem_calloc(1, sizeof(*access));
    access->loop = loop;
    access->flush = timeouts_get(timeouts, FLUSH_MS);
    access->timer.cb = on_flush;
    access->n_files = conf->n_access_files;
    access->files = mem_calloc(access->n_files + 1, sizeof(*access->files));
    for (size_t i = 0; i < access->n_files; i++) {
        access->files[i] = mem_alloc(sizeof(*access->files[i]));
        access->files[i]->path = conf->access_files[i];
        access->files[i]->lines.fd = -1;
        access->files[i]->lines.len = 0;
        lines_open(&access->files[i]->lines, files[i]);
    }
    access->n_logs = conf->n_routes + 1;
    access->logs = mem_calloc(access->n_logs, sizeof(*access->logs));
    for (size_t i = 0; i < conf->n_routes; i++)
        access->logs[i] = log_new(access, &conf->routes[i].access_log);
    access->logs[conf->n_routes] = log_new(access, &conf->access_log);
    return access;
}

struct access_log *access_of_route(struct access *access, size_t route)
{
    return access->logs[route];
}

struct access_log *access_of_others(struct access *access)
{
    return access->logs[access->n_logs - 1];
}

void access_free(struct access *access)
{
    h2o_timeout_unlink(&access->timer);
    for (size_t i = 0; i < access->n_files; i++) {
        flush(access->files[i]);
        lines_open(&access->files[i]->lines, -1);
        free(access->files[i]);
    }
    for (size_t i = 0; i < access->n_logs; i++)
        log_free(access->logs[i]);
    free(access->files);
    free(access->logs);
    free(access);
}
