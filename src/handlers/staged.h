/* staged.h: a handler with the stages of its route in front. */
#ifndef HAYFORK_HANDLERS_STAGED_H
#define HAYFORK_HANDLERS_STAGED_H

#include "handlers/handler.h"
#include "metrics/shm.h"
#include "stages/stage.h"

/*
 * Puts the stages that a route needs in front of its handler, of those that makers make (see stages_init).
 * Returns a handler that has become the owner of the other one; or that one itself where the route needs
 * none, which costs its requests nothing. slot is where the worker shows the current route.
 */
struct handler *handler_staged(struct handler *handler, stage_maker *const *makers,
                               const struct conf_route *route, const struct stage_env *env,
                               struct shm_slot *slot);

#endif
