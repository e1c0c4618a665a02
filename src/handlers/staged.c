/* staged.c: a handler with the stages of its route in front. */
#include "handlers/staged.h"

#include <stdlib.h>

#include "base/mem.h"

struct handler_staged {
    struct handler super;
    struct stages stages;
    struct handler *handler; /* of the requests that come through */
    struct shm_slot *slot;
};

static void handle(struct handler *handler, const struct request *request)
{
    stages_enter(&((struct handler_staged *)handler)->stages, request);
}

/* Where a stage has waited, the server shows no route any longer. */
static void on_arrival(struct stages *stages, const struct request *request)
{
    struct handler_staged *self = H2O_STRUCT_FROM_MEMBER(struct handler_staged, stages, stages);
    atomic_store_explicit(&self->slot->route, self->super.shown_as, memory_order_relaxed);
    self->handler->handle(self->handler, request);
    atomic_store_explicit(&self->slot->route, 0, memory_order_relaxed);
}

static void dispose(struct handler *handler)
{
    struct handler_staged *self = (struct handler_staged *)handler;
    stages_dispose(&self->stages);
    self->handler->free(self->handler);
    free(self);
}

struct handler *handler_staged(struct handler *handler, stage_maker *const *makers,
                               const struct conf_route *route, const struct stage_env *env,
                               struct shm_slot *slot)
{
    static const struct stages_ops ops = {.arrive = on_arrival};
    struct stages stages;
    stages_init(&stages, &ops, makers, route, env);
    if (stages.n == 0)
        return handler;
    struct handler_staged *self = mem_calloc(1, sizeof(*self));
    self->super = (struct handler){.handle = handle,
                                   .free = dispose,
                                   .wants_message = handler->wants_message || stages.wants_message,
                                   .statement = handler->statement};
    self->stages = stages;
    self->handler = handler;
    self->slot = slot;
    return &self->super;
}
