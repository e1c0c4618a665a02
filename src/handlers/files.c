/*
 * files.c: routes with `files`: what lies in a folder.
 *
 * Of libh2o's file handler only the table of media types is used. The rest of it cannot be kept within a
 * folder, ignores If-Range, so that parts of two versions become one file, knows If-None-Match as a single
 * tag, and does not end when a file becomes shorter while it is sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <h2o.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/complain.h"
#include "base/lack.h"
#include "http/conditional.h"
#include "http/folder.h"
#include "handlers/make.h"
#include "handlers/headers.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/problem.h"

enum {
    PIECE =
        128 *
        1024, /* bytes that are read at once: what a client takes its time with is held no more than once */
    OWN_FIELDS = 4,
};

struct handler_files {
    struct handler super;
    const struct conf_route *route;
    size_t capture; /* which of the path's captures is the rest */
    int folder;     /* -1 while it cannot be opened */
    h2o_mimemap_t *types;
    char *unreadable; /* what is complained about */
};

/* One answer. It lives in the request's memory. */
struct sending {
    struct handler_files *handler;
    struct sink *sink;
    struct headers headers;
    char *path; /* in the folder */
    int fd;     /* -1 once it is closed */
    struct stat status;
    uint64_t at, left; /* of the file: what is still to be read */
    char *piece;
    size_t piece_size;
};

/* What libh2o's table lacks, or has by names that RFC 9239 and RFC 8081 have replaced. */
static const char *const more_types[][2] = {
    {"aac", "audio/aac"},
    {"avif", "image/avif"},
    {"bz2", "application/x-bzip2"},
    {"cjs", "text/javascript"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"geojson", "application/geo+json"},
    {"gz", "application/gzip"},
    {"ics", "text/calendar"},
    {"js", "text/javascript"},
    {"jsonld", "application/ld+json"},
    {"jxl", "image/jxl"},
    {"log", "text/plain"},
    {"map", "application/json"},
    {"mjs", "text/javascript"},
    {"ndjson", "application/x-ndjson"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"otf", "font/otf"},
    {"tar", "application/x-tar"},
    {"ttf", "font/ttf"},
    {"vtt", "text/vtt"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webmanifest", "application/manifest+json"},
    {"woff", "font/woff"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zst", "application/zstd"},
};

static void close_file(struct sending *sending)
{
    if (sending->fd >= 0)
        close(sending->fd);
    sending->fd = -1;
}

static void refuse(struct sending *sending, int status, const char *detail)
{
    close_file(sending);
    problem_send(sending->sink, &(struct problem){.status = status,
                                                  .detail = detail,
                                                  .fields = sending->headers.fields,
                                                  .n_fields = sending->headers.n});
}

static void refuse_path(struct sending *sending)
{
    refuse(sending, 404, "There is nothing at this path.");
}

/* What cannot be opened, or read. */
static void refuse_by_errno(struct sending *sending, int error)
{
    bool forbidden = error == EACCES || error == EPERM;
    bool busy = lack_is(error) || error == EAGAIN || error == ESTALE;
    if (error == EXDEV || error == ELOOP || error == ENXIO || error == ENODEV) { /* not within, or no file */
        refuse_path(sending);
        return;
    }
    complain(LOG_LEVEL_ERROR, sending->handler->unreadable, "%s: cannot read %s in %s: %s (request %s)",
             sending->sink->route, sending->path, sending->handler->route->folder, strerror(error),
             sink_request_id(sending->sink));
    if (forbidden)
        refuse(sending, 403, "This is not allowed.");
    else if (busy)
        refuse(sending, 503, "The server cannot open this at the moment.");
    else
        refuse(sending, 500, "The server cannot read this.");
}

/* Sending */

/* Reads the next piece. Returns its length, 0 where the file has become shorter, or -1 with errno set. */
static ssize_t read_piece(struct sending *sending)
{
    size_t want = sending->left < sending->piece_size ? (size_t)sending->left : sending->piece_size, got = 0;
    while (got < want) {
        ssize_t n = pread(sending->fd, sending->piece + got, want - got, (off_t)(sending->at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n;
        got += (size_t)n;
    }
    sending->at += got;
    sending->left -= got;
    return (ssize_t)got;
}

/* Hands over a piece that was read. */
static void send_piece(struct sending *sending, size_t len)
{
    struct str part = {sending->piece, len};
    if (sending->left > 0) {
        sending->sink->ops->push(sending->sink, &part, 1);
        return;
    }
    close_file(sending);
    sending->sink->ops->finish(sending->sink, &part, 1);
}

static void on_room(struct sink *sink)
{
    struct sending *sending = sink->data;
    ssize_t n = read_piece(sending);
    if (n > 0) {
        send_piece(sending, (size_t)n);
        return;
    }
    const char *why = n == 0 ? "it has become shorter" : strerror(errno);
    complain(LOG_LEVEL_ERROR, sending->handler->unreadable, "%s: stopped sending %s in %s: %s (request %s)",
             sink->route, sending->path, sending->handler->route->folder, why, sink_request_id(sink));
    close_file(sending);
    sink->ops->abort(sink);
}

static void on_gone(struct sink *sink)
{
    close_file(sink->data);
}

/* Text is taken for UTF-8, as the conf is. */
static struct str type_of(struct sending *sending)
{
    const char *dot = strrchr(sending->path, '.'), *slash = strrchr(sending->path, '/');
    h2o_iovec_t extension = {NULL, 0};
    if (sending->headers.content_type.len != 0)
        return sending->headers.content_type;
    if (dot != NULL && (slash == NULL || dot > slash))
        extension = h2o_iovec_init(dot + 1, strlen(dot + 1));
    h2o_iovec_t type = h2o_mimemap_get_type_by_extension(sending->handler->types, extension)->data.mimetype;
    if (type.len < 5 || memcmp(type.base, "text/", 5) != 0)
        return (struct str){type.base, type.len};
    return str_of(arena_printf(&sending->sink->arena, "%.*s; charset=utf-8", (int)type.len, type.base));
}

/* Changes with the content: the time is that of the file system, to the nanosecond. */
static struct str make_etag(struct sending *sending)
{
    const struct stat *status = &sending->status;
    uint64_t modified = (uint64_t)status->st_mtim.tv_sec * 1000000000 + (uint64_t)status->st_mtim.tv_nsec;
    return str_of(arena_printf(&sending->sink->arena, "\"%" PRIx64 "-%" PRIx64 "\"", modified,
                               (uint64_t)status->st_size));
}

static struct str make_date(struct sending *sending, time_t at)
{
    char *date = arena_alloc(&sending->sink->arena, H2O_TIMESTR_RFC1123_LEN + 1);
    struct tm utc = {.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
    gmtime_r(&at, &utc); /* which leaves it alone where the year has no int */
    h2o_time2str_rfc1123(date, &utc);
    return (struct str){date, H2O_TIMESTR_RFC1123_LEN};
}

static struct str make_content_range(struct sending *sending)
{
    const struct arena *arena = &sending->sink->arena;
    uint64_t size = (uint64_t)sending->status.st_size;
    if (sending->left == 0)
        return str_of(arena_printf(arena, "bytes */%" PRIu64, size));
    return str_of(arena_printf(arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, sending->at,
                               sending->at + sending->left - 1, size));
}

/* The route's fields and the file's own, of which a 304 has only the tag (RFC 9110 section 15.4.5). */
static struct sink_field *make_fields(struct sending *sending, int status, struct str etag, time_t modified,
                                      size_t *n)
{
    struct sink_field *fields =
        arena_alloc(&sending->sink->arena, (sending->headers.n + OWN_FIELDS) * sizeof(*fields));
    for (*n = 0; *n < sending->headers.n; (*n)++)
        fields[*n] = sending->headers.fields[*n];
    if (status == 416) {
        fields[(*n)++] = (struct sink_field){STR("Content-Range"), make_content_range(sending)};
        return fields;
    }
    fields[(*n)++] = (struct sink_field){STR("ETag"), etag};
    if (status == 304)
        return fields;
    fields[(*n)++] = (struct sink_field){STR("Last-Modified"), make_date(sending, modified)};
    fields[(*n)++] = (struct sink_field){STR("Accept-Ranges"), STR("bytes")};
    if (status == 206)
        fields[(*n)++] = (struct sink_field){STR("Content-Range"), make_content_range(sending)};
    return fields;
}

/* Sends the head, and the body if the method has one. */
static void send_file(struct sending *sending, struct sink_head *head, bool with_body)
{
    struct sink *sink = sending->sink;
    ssize_t n = 0;
    if (with_body && sending->left > 0) {
        sending->piece_size = sending->left < PIECE ? (size_t)sending->left : PIECE;
        sending->piece = arena_alloc(&sink->arena, sending->piece_size);
        n = read_piece(sending); /* before the head, which cannot be taken back */
        if (n <= 0) {
            refuse_by_errno(sending, n == 0 ? EAGAIN : errno);
            return;
        }
    }
    sink->ops->start(sink, head);
    if (n > 0) {
        send_piece(sending, (size_t)n);
        return;
    }
    close_file(sending);
    sink->ops->finish(sink, NULL, 0);
}

static void answer_file(struct sending *sending, const struct request *request)
{
    bool is_head = str_equal(request->method, STR("HEAD"));
    struct conditional_request wish = {
        .is_get = !is_head,
        .if_match = request->field(request, STR("if-match")),
        .if_none_match = request->field(request, STR("if-none-match")),
        .if_modified_since = request->field(request, STR("if-modified-since")),
        .if_unmodified_since = request->field(request, STR("if-unmodified-since")),
        .if_range = request->field(request, STR("if-range")),
        .range = request->field(request, STR("range")),
    };
    struct conditional_file file = {
        .etag = make_etag(sending),
        .modified = sending->status.st_mtim.tv_sec,
        .now = time(NULL),
        .size = (uint64_t)sending->status.st_size,
    };
    if (file.modified > file.now) /* RFC 9110 section 8.8.2.1 */
        file.modified = file.now;
    int status = (int)conditional_decide(&wish, &file, &sending->at, &sending->left);
    if (status == 412) {
        refuse(sending, 412, "The file has changed since the request's condition was true.");
        return;
    }
    if (status == 416)
        sending->left = 0;
    struct sink_head head = {.status = status, .content_length = SINK_LENGTH_UNKNOWN};
    head.fields = make_fields(sending, status, file.etag, file.modified, &head.n_fields);
    if (status == 416) {
        sending->headers.fields = (struct sink_field *)head.fields;
        sending->headers.n = head.n_fields;
        refuse(sending, 416, "The file has no such part.");
        return;
    }
    if (status != 304) {
        head.content_length = (size_t)sending->left;
        head.content_type = type_of(sending);
    }
    send_file(sending, &head, status != 304 && !is_head);
}

/* Finding */

/* A folder whose '/' is missing: relative links on its page would go astray. */
static void redirect(struct sending *sending, const struct request *request)
{
    struct sink *sink = sending->sink;
    struct str path = request->path, query = request->query;
    bool has_query = query.base != NULL;
    char *location = arena_alloc(&sink->arena, path.len + query.len + 3), *out = location;
    out = mempcpy(out, path.base, path.len);
    *out++ = '/';
    if (has_query)
        *out++ = '?';
    if (query.len > 0)
        out = mempcpy(out, query.base, query.len);
    struct sink_field *fields = arena_alloc(&sink->arena, (sending->headers.n + 1) * sizeof(*fields));
    size_t n = 0;
    for (; n < sending->headers.n; n++)
        fields[n] = sending->headers.fields[n];
    fields[n++] = (struct sink_field){STR("Location"), {location, (size_t)(out - location)}};
    close_file(sending);
    sink_answer(sink, &(struct sink_head){.status = 301, .fields = fields, .n_fields = n}, NULL, 0);
}

/* Opens sending->path. Returns 0, or an error of errno: EISDIR for a folder, ENXIO for what is not a file. */
static int open_path(struct sending *sending)
{
    sending->fd = folder_open_file(sending->handler->folder, sending->path);
    if (sending->fd < 0)
        return errno;
    if (fstat(sending->fd, &sending->status) != 0)
        return errno;
    return S_ISREG(sending->status.st_mode) ? 0 : S_ISDIR(sending->status.st_mode) ? EISDIR : ENXIO;
}

static bool is_missing(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG;
}

static void find_file(struct sending *sending, const struct request *request, enum folder_wish wish)
{
    const struct conf_route *route = sending->handler->route;
    int error = open_path(sending);
    if (error == EISDIR && wish == FOLDER_FILE) {
        redirect(sending, request);
        return;
    }
    if (is_missing(error) && route->fallback != NULL) {
        sending->path = route->fallback;
        error = open_path(sending);
    }
    if (error == 0)
        answer_file(sending, request);
    else if (is_missing(error) || error == EISDIR)
        refuse_path(sending);
    else
        refuse_by_errno(sending, error);
}

static void handle(struct handler *handler, const struct request *request)
{
    struct handler_files *self = (struct handler_files *)handler;
    struct sink *sink = request->sink;
    struct str rest = request->captures[self->capture];
    struct sending *sending = arena_alloc(&sink->arena, sizeof(*sending));
    *sending = (struct sending){
        .handler = self,
        .sink = sink,
        .headers = headers_fill(self->route, sink, NULL, NULL),
        .path = arena_alloc(&sink->arena, rest.len + strlen(self->route->index) + 1),
        .fd = -1,
    };
    sink->data = sending;
    sink->room = on_room;
    sink->gone = on_gone;
    if (self->folder < 0)
        self->folder = folder_open(self->route->folder);
    if (self->folder < 0) {
        complain(LOG_LEVEL_ERROR, self->unreadable, "%s: 503: cannot open the folder %s: %s", sink->route,
                 self->route->folder, strerror(errno));
        refuse(sending, 503, "The server cannot open this at the moment.");
        return;
    }
    enum folder_wish wish = folder_read_path(rest, sending->path);
    if (wish == FOLDER_INDEX)
        strcat(sending->path, self->route->index);
    if (wish == FOLDER_NOTHING)
        refuse_path(sending);
    else if (wish == FOLDER_MALFORMED)
        refuse(sending, 400,
               "The path has a '%' without two hexadecimal digits after it ('%' itself is %25).");
    else
        find_file(sending, request, wish);
}

static void dispose(struct handler *handler)
{
    struct handler_files *self = (struct handler_files *)handler;
    if (self->folder >= 0)
        close(self->folder);
    h2o_mem_release_shared(self->types);
    free(self->unreadable);
    free(self);
}

struct handler *handler_files_new(const struct conf_route *route, const struct handler_env *env)
{
    (void)env;
    struct handler_files *self = mem_calloc(1, sizeof(*self));
    struct str names[ROUTE_MAX_CAPTURES];
    size_t n_names, error_at;
    route_check_pattern(str_of(route->path), names, &n_names, &error_at);
    self->super = (struct handler){.handle = handle, .free = dispose};
    self->route = route;
    self->capture = n_names - 1;
    self->unreadable = mem_printf("%s: the folder %s", route->label, route->folder);
    self->folder = folder_open(route->folder);
    if (self->folder < 0)
        log_error("%s: 503: cannot open the folder %s", route->label, route->folder);
    self->types = h2o_mimemap_create();
    for (size_t i = 0; i < sizeof(more_types) / sizeof(more_types[0]); i++)
        h2o_mimemap_define_mimetype(self->types, more_types[i][0], more_types[i][1], NULL);
    return &self->super;
}
