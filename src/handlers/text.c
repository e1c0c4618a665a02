/* text.c: routes with `text`: the same plain text for everybody. */
#include <stdlib.h>

#include "handlers/make.h"
#include "handlers/headers.h"
#include "base/mem.h"

struct handler_text {
    struct handler super;
    const struct conf_route *route;
    struct str body;
};

static void handle(struct handler *handler, const struct request *request)
{
    struct handler_text *self = (struct handler_text *)handler;
    struct sink_head head;
    headers_head(&head, 200, STR("text/plain; charset=utf-8"), self->route, request->sink, NULL, NULL);
    sink_answer(request->sink, &head, &self->body, 1);
}

static void dispose(struct handler *handler)
{
    free(handler);
}

struct handler *handler_text_new(const struct conf_route *route, const struct handler_env *env)
{
    (void)env;
    struct handler_text *self = mem_calloc(1, sizeof(*self));
    self->super = (struct handler){.handle = handle, .free = dispose};
    self->route = route;
    self->body = str_of(route->body);
    return &self->super;
}
