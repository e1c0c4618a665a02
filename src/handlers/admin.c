/* admin.c: the routes of the operators' listener: does the process turn, is it ready, what has it counted? */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "db/lane.h"
#include "handlers/make.h"
#include "handlers/metrics.h"
#include "handlers/page.h"
#include "handlers/status.h"

enum { MOST_REASONS = 4 };

struct handler_admin {
    struct handler super;
    struct shm *shm;
    bool reads; /* some route is on the lane that reads */
    struct status_source source;
};

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'";

static void answer(struct sink *sink, int status, struct str type, struct str body)
{
    /* The page runs our own script and looks like our own sheet, and talks to nobody but this listener. */
    static const struct sink_field fields[] = {
        {{"Cache-Control", 13}, {"no-store", 8}},
        {{"Content-Security-Policy", 23}, {policy, sizeof(policy) - 1}},
        {{"X-Content-Type-Options", 22}, {"nosniff", 7}},
        {{"Referrer-Policy", 15}, {"no-referrer", 11}},
        {{"Cross-Origin-Resource-Policy", 28}, {"same-origin", 11}},
    };
    struct sink_head head = {
        .status = status,
        .content_type = type,
        .content_length = body.len,
        .fields = fields,
        .n_fields = sizeof(fields) / sizeof(fields[0]),
    };
    sink_answer(sink, &head, &body, 1);
}

/* The same with what was written, which is freed. */
static void answer_written(struct sink *sink, struct str type, struct json_writer *text)
{
    struct str body = {text->base, text->len};
    body.base = arena_copy(&sink->arena, body);
    free(text->base);
    answer(sink, 200, type, body);
}

static void handle_live(struct handler *handler, const struct request *request)
{
    (void)handler;
    answer(request->sink, 200, STR("application/json"), STR("{\"live\":true}"));
}

/* Readiness */

/* Which workers accept connections, and which of these can ask the database what only reads. */
struct readiness {
    unsigned workers, readers;
};

static bool can_read(const struct shm *shm, const struct shm_slot *slot)
{
    for (unsigned i = 0; i < SHM_LANES; i++) {
        const char *name = shm_name_text(shm, atomic_load(&slot->lanes[i].name));
        if (name != NULL && strcmp(name, "read") == 0)
            return atomic_load(&slot->lanes[i].state) == DB_READY;
    }
    return false;
}

static struct readiness look(struct shm *shm)
{
    struct readiness found = {0, 0};
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        const struct shm_generation *generation = &shm->generations[i];
        for (unsigned j = 0; atomic_load(&generation->number) != 0 && j < generation->workers; j++) {
            const struct shm_slot *slot = shm_slot(shm, generation, j);
            if (atomic_load(&slot->state) != SHM_READY)
                continue;
            found.workers++;
            found.readers += can_read(shm, slot);
        }
    }
    return found;
}

static size_t find_reasons(const struct handler_admin *self, const char *reasons[MOST_REASONS])
{
    struct readiness found = look(self->shm);
    size_t n = 0;
    if (atomic_load(&self->shm->is_stopping))
        reasons[n++] = "The server is draining.";
    else if (found.workers == 0)
        reasons[n++] = "No worker accepts connections.";
    if (self->reads && found.workers > 0 && found.readers == 0)
        reasons[n++] = "The lane read has no connection to PostgreSQL.";
    return n;
}

static void handle_ready(struct handler *handler, const struct request *request)
{
    const char *reasons[MOST_REASONS];
    size_t n = find_reasons((struct handler_admin *)handler, reasons);
    char text[1024];
    struct json_writer writer = json_writer_on(text, sizeof(text));
    struct str begin = n == 0 ? STR("{\"ready\":true") : STR("{\"ready\":false,\"reasons\":[");
    json_raw(&writer, begin.base, begin.len);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            json_char(&writer, ',');
        json_string(&writer, reasons[i], strlen(reasons[i]));
    }
    if (n > 0)
        json_char(&writer, ']');
    json_char(&writer, '}');
    struct arena *arena = &request->sink->arena;
    answer(request->sink, n == 0 ? 200 : 503, STR("application/json"),
           (struct str){arena_copy(arena, (struct str){writer.base, writer.len}), writer.len});
    if (writer.owned)
        free(writer.base);
}

/* Status */

static void write_status(struct handler *handler, struct json_writer *text,
                         void (*write)(const struct status *status, struct json_writer *out))
{
    struct status status;
    status_read(&status, &((struct handler_admin *)handler)->source);
    write(&status, text);
    status_free(&status);
}

static void handle_status(struct handler *handler, const struct request *request)
{
    struct json_writer text = json_writer_on(NULL, 0);
    write_status(handler, &text, status_write_json);
    answer_written(request->sink, STR("application/json"), &text);
}

static void handle_page(struct handler *handler, const struct request *request)
{
    struct json_writer text = json_writer_on(NULL, 0);
    write_status(handler, &text, status_write_page);
    answer_written(request->sink, str_of(page_html.type), &text);
}

static void answer_file(const struct request *request, const struct page_file *file)
{
    answer(request->sink, 200, str_of(file->type), (struct str){file->text, file->len});
}

static void handle_css(struct handler *handler, const struct request *request)
{
    (void)handler;
    answer_file(request, &page_css);
}

static void handle_js(struct handler *handler, const struct request *request)
{
    (void)handler;
    answer_file(request, &page_js);
}

static void handle_svg(struct handler *handler, const struct request *request)
{
    (void)handler;
    answer_file(request, &page_svg);
}

static void dispose(struct handler *handler)
{
    free(handler);
}

struct handler *handler_admin_new(const struct conf_route *route, const struct handler_env *env)
{
    static const struct {
        const char *path;
        void (*handle)(struct handler *handler, const struct request *request);
    } pages[] = {{"/", handle_page},          {"/live", handle_live},    {"/ready", handle_ready},
                 {"/status.css", handle_css}, {"/status.js", handle_js}, {"/status.json", handle_status},
                 {"/status.svg", handle_svg}};
    if (strcmp(route->path, "/metrics") == 0)
        return handler_metrics_new(env);
    struct handler_admin *self = mem_calloc(1, sizeof(*self));
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(route->path, pages[i].path) == 0)
            self->super = (struct handler){.handle = pages[i].handle, .free = dispose};
    }
    self->shm = env->shm;
    self->reads = env->conf->lanes[CONF_LANE_READ].used;
    self->source = (struct status_source){env->conf, env->handlers, env->shm, env->slot};
    return &self->super;
}
