/*
 * images.c: routes with `images`: what their handler answers is an original, of which a picture is made.
 *
 * The handler sees a plain GET for all of the original. What it answers comes through a layer, which keeps
 * the bytes in a memory file, hands that to a helper, and answers with what comes back. Whatever is not a 200
 * goes through as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/complain.h"
#include "base/mem.h"
#include "base/hex.h"
#include "conf/kind.h"
#include "http/conditional.h"
#include "http/layer.h"
#include "http/problem.h"
#include "images/sniff.h"
#include "stages/images_query.h"
#include "stages/make.h"
#include "stages/pictures.h"

enum {
    OWN_FIELDS = 4,
    ORIGINALS_MOST = 4, /* as many of the largest size may be kept in a worker at a time */
    DIGEST = 32,        /* bytes of SHA-256 */
    TAG_BYTES = 16,     /* of it that make a tag */
};

/* Of originals that are kept in this worker, in all routes. */
static size_t kept;

struct stage_images {
    struct stage super;
    const struct conf *conf;
    const struct conf_route *route;
    h2o_loop_t *loop;
    h2o_timeout_t *at_once;
    struct pictures *pictures;
    char *broken, *overdue, *died; /* what is complained about */
};

enum state {
    PASSING,    /* what the handler answers is no original */
    COLLECTING, /* an original */
    DECIDED,    /* it is answered, with `status`, as soon as the handler is heard of again */
    SWALLOWING, /* what comes of the original is not needed any more */
};

/* One request. It lives in its memory. */
struct imaging {
    struct layer layer;
    struct stage_images *stage;
    struct str (*field)(const struct request *request, struct str name); /* the request's own, */
    void *of;                                                            /* and whom it asks */
    struct conditional_request wish;
    bool is_head;
    enum state state;
    struct images_wish image;
    struct sink_field *fields; /* of the answer, with room for OWN_FIELDS more */
    size_t n_fields;
    char tag[PICTURES_TAG_SIZE];
    EVP_MD_CTX *digest; /* NULL, or what the tag is to be made of */
    int status;         /* that is decided */
    const char *detail;
    int file; /* -1, or with the original */
    size_t size;
    char first[IMAGES_SNIFF_BYTES];
    enum images_format format;
    struct pictures_waiter waiter;
    struct picture *picture;
    h2o_timeout_entry_t timer; /* for the handler to go on */
};

/* Which fields of a request are about the answer that its client gets, and not about the original. */
static bool is_hidden(struct str name)
{
    static const char *const names[] = {
        "accept-encoding", "if-match", "if-modified-since", "if-none-match", "if-unmodified-since",
        "if-range",        "range"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (http1_same(name, str_of(names[i])))
            return true;
    }
    return false;
}

/* Which fields of an original are not those of the picture. */
static bool is_of_original(struct str name)
{
    static const char *const names[] = {"Accept-Ranges", "Content-Encoding", "Content-Range", "ETag",
                                        "Last-Modified"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (http1_same(name, str_of(names[i])))
            return true;
    }
    return false;
}

/* Answering */

static void forget_original(struct imaging *imaging)
{
    if (imaging->file >= 0)
        close(imaging->file);
    imaging->file = -1;
    kept -= imaging->size;
    imaging->size = 0;
}

static void refuse(struct imaging *imaging, int status, const char *parameter, const char *detail)
{
    imaging->state = SWALLOWING;
    problem_send(imaging->layer.below, &(struct problem){.status = status,
                                                         .detail = detail,
                                                         .parameter = parameter,
                                                         .fields = imaging->fields,
                                                         .n_fields = imaging->n_fields});
}

/* The fields that all answers about the picture have (RFC 9110 section 15.4.5). */
static void add_own_fields(struct imaging *imaging)
{
    imaging->fields[imaging->n_fields++] = (struct sink_field){STR("ETag"), str_of(imaging->tag)};
    if (imaging->image.is_auto)
        imaging->fields[imaging->n_fields++] = (struct sink_field){STR("Vary"), STR("Accept")};
}

static void answer_decided(struct imaging *imaging)
{
    struct sink *below = imaging->layer.below;
    forget_original(imaging);
    imaging->state = SWALLOWING;
    if (imaging->status != 304) {
        refuse(imaging, imaging->status, NULL, imaging->detail);
        return;
    }
    add_own_fields(imaging);
    below->ops->start(below, &(struct sink_head){.status = 304,
                                                 .content_length = SINK_LENGTH_UNKNOWN,
                                                 .fields = imaging->fields,
                                                 .n_fields = imaging->n_fields});
    below->ops->finish(below, NULL, 0);
}

static void decide(struct imaging *imaging, int status, const char *detail)
{
    imaging->state = DECIDED;
    imaging->status = status;
    imaging->detail = detail;
}

static struct str content_range(const struct imaging *imaging, uint64_t from, uint64_t len, uint64_t size)
{
    const struct arena *arena = &imaging->layer.sink.arena;
    if (len == 0)
        return str_of(arena_printf(arena, "bytes */%" PRIu64, size));
    return str_of(arena_printf(arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, from + len - 1, size));
}

static void send_picture(struct imaging *imaging, enum images_format format)
{
    struct sink *below = imaging->layer.below;
    struct conditional_file file = {.etag = str_of(imaging->tag), .size = imaging->picture->len};
    uint64_t from = 0, len = imaging->picture->len;
    int status = (int)conditional_decide(&imaging->wish, &file, &from, &len);
    if (status != 200 && status != 206 && status != 416) {
        decide(imaging, status, "The picture has changed since the request's condition was true.");
        answer_decided(imaging);
        return;
    }
    if (status == 416 || status == 206)
        imaging->fields[imaging->n_fields++] = (struct sink_field){
            STR("Content-Range"), content_range(imaging, from, status == 416 ? 0 : len, file.size)};
    if (status == 416) {
        refuse(imaging, 416, NULL, "The picture has no such part.");
        return;
    }
    add_own_fields(imaging);
    imaging->fields[imaging->n_fields++] = (struct sink_field){STR("Accept-Ranges"), STR("bytes")};
    struct sink_head head = {.status = status,
                             .content_type = images_params_type(format),
                             .content_length = (size_t)len,
                             .fields = imaging->fields,
                             .n_fields = imaging->n_fields};
    struct str body = {imaging->picture->bytes + from, (size_t)len};
    below->ops->start(below, &head);
    below->ops->finish(below, &body, imaging->is_head ? 0 : 1);
}

/* What a helper says is wrong with the original or the request. */
static void refuse_as_told(struct imaging *imaging, const struct images_result *result)
{
    struct sink *sink = imaging->layer.below;
    const struct arena *arena = &sink->arena;
    if (result->status == 422)
        complain(LOG_LEVEL_WARN, imaging->stage->broken, "%s: 422: %s (request %s)", sink->route,
                 result->reason, sink_request_id(sink));
    refuse(imaging, (int)result->status,
           result->parameter[0] == '\0' ? NULL : arena_copy(arena, str_of(result->parameter)),
           arena_copy(arena, str_of(result->detail)));
}

static void on_picture(struct pictures_waiter *waiter, enum helpers_end end,
                       const struct images_result *result, struct picture *picture)
{
    struct imaging *imaging = H2O_STRUCT_FROM_MEMBER(struct imaging, waiter, waiter);
    struct sink *sink = imaging->layer.below;
    imaging->picture = picture;
    imaging->state = SWALLOWING;
    if (end == HELPERS_WAITED) {
        refuse(imaging, 503, NULL, "The server is busy with other pictures.");
    } else if (end == HELPERS_LATE) {
        complain(LOG_LEVEL_WARN, imaging->stage->overdue,
                 "%s: 504: a picture took longer than limits.images.time (request %s)", sink->route,
                 sink_request_id(sink));
        refuse(imaging, 504, NULL, "The picture took too long.");
    } else if (result == NULL) {
        complain(LOG_LEVEL_ERROR, imaging->stage->died,
                 "%s: 500: the helper that made a picture has died of it (request %s)", sink->route,
                 sink_request_id(sink));
        refuse(imaging, 500, NULL, "The picture could not be made.");
    } else if (result->status != 200) {
        refuse_as_told(imaging, result);
    } else {
        send_picture(imaging, result->format);
    }
}

/* Tags */

/* The tag of what is made of an original with that tag, or those bytes, in that place. */
static void make_tag(struct imaging *imaging)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char key[IMAGES_KEY_SIZE];
    unsigned len;
    size_t key_len = images_params_key(&imaging->image, key);
    EVP_DigestUpdate(imaging->digest, "\0" PACKAGE_VERSION, sizeof(PACKAGE_VERSION));
    EVP_DigestUpdate(imaging->digest, key, key_len);
    EVP_DigestFinal_ex(imaging->digest, digest, &len);
    EVP_MD_CTX_free(imaging->digest);
    imaging->digest = NULL;
    char *out = imaging->tag;
    *out++ = '"';
    for (size_t i = 0; i < TAG_BYTES; i++) {
        *out++ = HEX_LOWER[digest[i] >> 4];
        *out++ = HEX_LOWER[digest[i] & 15];
    }
    strcpy(out, "\"");
}

/* Once the tag is known some need no picture, and others get one that is being made. Returns whether one has
 * to be made. */
static bool is_needed(struct imaging *imaging)
{
    struct conditional_request wish = imaging->wish;
    struct conditional_file file = {.etag = str_of(imaging->tag), .size = 1};
    uint64_t from, len;
    wish.range = wish.if_range = (struct str){NULL, 0};
    int status = (int)conditional_decide(&wish, &file, &from, &len);
    if (status == 304 || status == 412) {
        decide(imaging, status, "The picture has changed since the request's condition was true.");
        return false;
    }
    if (!pictures_join(imaging->stage->pictures, imaging->tag, &imaging->waiter))
        return true;
    imaging->state = SWALLOWING;
    forget_original(imaging);
    return false;
}

/* The original */

static struct imaging *imaging_of(struct sink *sink)
{
    return H2O_STRUCT_FROM_MEMBER(struct imaging, layer, (struct layer *)sink);
}

static void take_fields(struct imaging *imaging, const struct sink_head *head)
{
    imaging->fields =
        arena_alloc(&imaging->layer.sink.arena, (head->n_fields + OWN_FIELDS) * sizeof(*imaging->fields));
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct sink_field *field = &head->fields[i];
        if (!is_of_original(field->name))
            imaging->fields[imaging->n_fields++] = *field;
        if (http1_same(field->name, STR("Content-Encoding")))
            decide(imaging, 415, "The original comes in a content coding.");
        if (!http1_same(field->name, STR("ETag")))
            continue;
        EVP_DigestUpdate(imaging->digest, field->value.base, field->value.len);
        make_tag(imaging);
    }
}

static void on_start(struct sink *sink, const struct sink_head *head)
{
    struct imaging *imaging = imaging_of(sink);
    size_t most = imaging->stage->conf->images.bytes_in;
    if (head->status != 200) {
        imaging->state = PASSING;
        layer_start(sink, head);
        return;
    }
    imaging->state = COLLECTING;
    take_fields(imaging, head);
    if (imaging->state == COLLECTING && imaging->tag[0] != '\0' && !is_needed(imaging))
        return;
    if (head->content_length != SINK_LENGTH_UNKNOWN && head->content_length > most)
        decide(imaging, 413, "The original has more bytes than are taken.");
}

static bool keep(struct imaging *imaging, struct str part)
{
    if (imaging->file < 0)
        imaging->file = memfd_create("original", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (imaging->file < 0)
        return false;
    for (size_t at = 0; at < part.len;) {
        ssize_t wrote = write(imaging->file, part.base + at, part.len - at);
        if (wrote < 0)
            return false;
        at += (size_t)wrote;
    }
    if (imaging->size < sizeof(imaging->first)) {
        size_t free_bytes = sizeof(imaging->first) - imaging->size;
        memcpy(imaging->first + imaging->size, part.base, part.len < free_bytes ? part.len : free_bytes);
    }
    imaging->size += part.len;
    kept += part.len;
    return true;
}

static void collect(struct imaging *imaging, const struct str *parts, size_t n)
{
    size_t most = imaging->stage->conf->images.bytes_in, before = imaging->size;
    for (size_t i = 0; i < n && imaging->state == COLLECTING; i++) {
        if (parts[i].len == 0)
            continue;
        if (parts[i].len > most - imaging->size)
            decide(imaging, 413, "The original has more bytes than are taken.");
        else if (kept + parts[i].len > ORIGINALS_MOST * most)
            decide(imaging, 503, "The server is busy with other pictures.");
        else if (!keep(imaging, parts[i]))
            decide(imaging, 503, "The server cannot keep the original at the moment.");
        else if (imaging->digest != NULL)
            EVP_DigestUpdate(imaging->digest, parts[i].base, parts[i].len);
    }
    if (imaging->state != COLLECTING || before >= sizeof(imaging->first))
        return;
    size_t len = imaging->size < sizeof(imaging->first) ? imaging->size : sizeof(imaging->first);
    imaging->format = images_sniff((struct str){imaging->first, len});
    if (imaging->format == IMAGES_OTHER && len == sizeof(imaging->first))
        decide(imaging, 415, "The original is no JPEG, PNG, WebP, GIF or AVIF picture.");
}

static void on_timer(h2o_timeout_entry_t *entry)
{
    struct imaging *imaging = H2O_STRUCT_FROM_MEMBER(struct imaging, timer, entry);
    imaging->layer.sink.room(&imaging->layer.sink);
}

static void on_push(struct sink *sink, const struct str *parts, size_t n)
{
    struct imaging *imaging = imaging_of(sink);
    if (imaging->state == PASSING) {
        layer_push(sink, parts, n);
        return;
    }
    if (imaging->state == COLLECTING)
        collect(imaging, parts, n);
    if (imaging->state == DECIDED)
        answer_decided(imaging);
    else
        h2o_timeout_link(imaging->stage->loop, imaging->stage->at_once, &imaging->timer);
}

static void submit(struct imaging *imaging)
{
    struct stage_images *stage = imaging->stage;
    struct images_job job = {.wish = imaging->image,
                             .format = (uint8_t)imaging->format,
                             .size = imaging->size,
                             .pixels_in = stage->conf->images.pixels_in,
                             .pixels_out = stage->conf->images.pixels_out};
    int original = imaging->file;
    imaging->file = -1;
    if (!pictures_make(stage->pictures, imaging->tag, &job, original, stage->route->deadline,
                       &imaging->waiter))
        refuse(imaging, 503, NULL,
               errno == EAGAIN ? "The server is busy with other pictures."
                               : "The server cannot keep the picture at the moment.");
}

static void on_finish(struct sink *sink, const struct str *parts, size_t n)
{
    struct imaging *imaging = imaging_of(sink);
    if (imaging->state == PASSING) {
        layer_finish(sink, parts, n);
        return;
    }
    if (imaging->state == SWALLOWING)
        return; /* another request's picture is waited for, or it is answered */
    if (imaging->state == COLLECTING)
        collect(imaging, parts, n);
    if (imaging->state == COLLECTING && imaging->format == IMAGES_OTHER)
        decide(imaging, 415, "The original is no JPEG, PNG, WebP, GIF or AVIF picture.");
    if (imaging->state == COLLECTING && imaging->tag[0] == '\0') {
        make_tag(imaging);
        if (!is_needed(imaging) && imaging->state == SWALLOWING)
            return;
    }
    if (imaging->state == DECIDED)
        answer_decided(imaging);
    else
        submit(imaging);
}

/* The original ends before it is whole. */
static void on_abort(struct sink *sink)
{
    struct imaging *imaging = imaging_of(sink);
    bool is_open = imaging->state == COLLECTING || imaging->state == DECIDED;
    if (imaging->state == PASSING)
        layer_abort(sink);
    else if (is_open && imaging->stage->route->kind == &conf_kind_relay)
        refuse(imaging, 502, NULL, "The upstream's answer has ended before it was whole.");
    else if (is_open)
        refuse(imaging, 500, NULL, "The original cannot be read as a whole.");
}

static void on_gone(struct sink *below)
{
    struct imaging *imaging = below->data;
    h2o_timeout_unlink(&imaging->timer);
    pictures_leave(&imaging->waiter);
    picture_drop(imaging->picture);
    imaging->picture = NULL;
    EVP_MD_CTX_free(imaging->digest);
    imaging->digest = NULL;
    forget_original(imaging);
    layer_gone(below);
}

static const struct sink_ops layer_ops = {
    .start = on_start,
    .push = on_push,
    .finish = on_finish,
    .abort = on_abort,
    .cut = layer_cut,
    .taken = layer_taken,
    .client = layer_client,
    .request_id = layer_request_id,
    .trace = layer_trace,
};

/* The request that the handler gets */

static struct str get_field(const struct request *request, struct str name)
{
    const struct imaging *imaging = request->of;
    struct request own = *request;
    own.of = imaging->of;
    own.field = imaging->field;
    return is_hidden(name) ? (struct str){NULL, 0} : imaging->field(&own, name);
}

static void hide_fields(struct stage_run *run)
{
    struct request_message *message = &run->message;
    if (run->request.message == NULL)
        return;
    struct http1_field *fields =
        arena_alloc(&run->request.sink->arena, (message->n_fields + 1) * sizeof(*fields));
    size_t n = 0;
    for (size_t i = 0; i < message->n_fields; i++) {
        if (!is_hidden(http1_str(message->bytes, message->fields[i].name)))
            fields[n++] = message->fields[i];
    }
    message->fields = fields;
    message->n_fields = n;
}

static void take_wish(struct imaging *imaging, const struct request *request)
{
    imaging->is_head = str_equal(request->method, STR("HEAD"));
    imaging->wish = (struct conditional_request){
        .is_get = !imaging->is_head,
        .if_match = request->field(request, STR("if-match")),
        .if_none_match = request->field(request, STR("if-none-match")),
        .if_range = request->field(request, STR("if-range")),
        .range = request->field(request, STR("range")),
    };
    if (imaging->image.is_auto)
        imaging->image.takes = images_params_accepted(request->field(request, STR("accept")));
}

static enum stage_outcome enter(struct stage *stage, struct stage_run *run)
{
    struct stage_images *self = (struct stage_images *)stage;
    struct request *request = &run->request;
    struct sink *below = request->sink;
    struct imaging *imaging = arena_alloc(&below->arena, sizeof(*imaging));
    *imaging = (struct imaging){.stage = self, .file = -1, .field = request->field, .of = request->of};
    struct problem problem = {.status = 400};
    if (!images_query_read(self->route, request, &imaging->image, &problem)) {
        problem_send(below, &problem);
        return STAGE_ANSWERED;
    }
    take_wish(imaging, request);
    imaging->waiter.done = on_picture;
    imaging->timer.cb = on_timer;
    imaging->digest = EVP_MD_CTX_new();
    if (imaging->digest == NULL || EVP_DigestInit_ex(imaging->digest, EVP_sha256(), NULL) != 1)
        log_fatalx("SHA-256 is unavailable");
    EVP_DigestUpdate(imaging->digest, request->path.base, request->path.len);
    hide_fields(run);
    layer_init(&imaging->layer, &layer_ops, below);
    below->data = imaging;
    below->gone = on_gone;
    request->method = STR("GET");
    request->field = get_field;
    request->of = imaging;
    request->sink = &imaging->layer.sink;
    return STAGE_NEXT;
}

/* Life */

static void dispose(struct stage *stage)
{
    struct stage_images *self = (struct stage_images *)stage;
    pictures_free(self->pictures);
    free(self->broken);
    free(self->overdue);
    free(self->died);
    free(self);
}

struct stage *stage_images_new(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = enter, .free = dispose};
    if (!route->makes_images)
        return NULL;
    struct stage_images *self = mem_calloc(1, sizeof(*self));
    self->super = (struct stage){.ops = &ops};
    self->conf = env->conf;
    self->route = route;
    self->loop = env->loop;
    self->at_once = timeouts_get(env->timeouts, 0);
    self->pictures = pictures_new(env->images);
    self->broken = mem_printf("%s: originals that are broken", route->label);
    self->overdue = mem_printf("%s: pictures that take too long", route->label);
    self->died = mem_printf("%s: helpers that die", route->label);
    return &self->super;
}
