/* json.c: routes with `json` or `json_file`: a document, with "{now}" replaced by the time. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "handlers/headers.h"
#include "handlers/make.h"

#define NOW "{now}"

/* The document cut at every {now}; the parts of an answer are the pieces with the time in between. */
struct handler_json {
    struct handler super;
    const struct conf_route *route;
    size_t n_pieces;
    struct str pieces[];
};

static void handle(struct handler *handler, const struct request *request)
{
    struct handler_json *self = (struct handler_json *)handler;
    struct sink *sink = request->sink;
    struct str *parts = self->pieces;
    size_t n_parts = 2 * self->n_pieces - 1;
    if (self->n_pieces > 1) {
        parts = arena_alloc(&sink->arena, n_parts * sizeof(*parts));
        char *now = arena_alloc(&sink->arena, CLOCK_ISO_LEN);
        clock_iso(now);
        for (size_t i = 0; i < n_parts; i++)
            parts[i] = i % 2 == 0 ? self->pieces[i / 2] : (struct str){now, CLOCK_ISO_LEN};
    }
    struct sink_head head;
    headers_head(&head, 200, STR("application/json"), self->route, sink, NULL, NULL);
    sink_answer(sink, &head, parts, n_parts);
}

static void dispose(struct handler *handler)
{
    free(handler);
}

struct handler *handler_json_new(const struct conf_route *route, const struct handler_env *env)
{
    (void)env;
    size_t n = 1;
    for (const char *at = route->body; (at = strstr(at, NOW)) != NULL; at += strlen(NOW))
        n++;
    struct handler_json *self = mem_calloc(1, sizeof(*self) + n * sizeof(self->pieces[0]));
    self->super = (struct handler){.handle = handle, .free = dispose};
    self->route = route;
    const char *from = route->body, *next;
    while ((next = strstr(from, NOW)) != NULL) {
        self->pieces[self->n_pieces++] = (struct str){from, (size_t)(next - from)};
        from = next + strlen(NOW);
    }
    self->pieces[self->n_pieces++] = str_of(from);
    return &self->super;
}
