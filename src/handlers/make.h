/* make.h: makes the handlers of a worker, by the kinds of its routes. */
#ifndef HAYFORK_HANDLERS_MAKE_H
#define HAYFORK_HANDLERS_MAKE_H

#include "handlers/handler.h"
#include "metrics/shm.h"
#include "stages/stage.h"

struct db_lane;
struct helpers_pool;
struct upstream_context;
struct readers;
struct series;
struct shm;
struct slices;

/* What handlers are made of besides their routes. All of it must outlive them, and so must the routes. */
struct handler_env {
    const struct conf *conf;
    struct db_lane **lanes; /* by index in conf->lanes; NULL for one that no route needs */
    struct upstream_context *upstreams;
    struct readers *readers;
    struct slices *slices;
    struct stage_env stages;
    struct helpers_pool *inference;  /* who runs models; NULL where nobody does */
    struct shm_slot *slot;           /* where the worker shows the current route */
    struct shm *shm;                 /* what all workers have counted */
    const char *commit;              /* that this program was built from, or empty */
    struct series *series;           /* where the route is counted; NULL: nowhere */
    struct handler *const *handlers; /* all of them, in the order of the routes, once they are made */
};

/* The handler of a route, with its stages in front; its `free` frees it. */
struct handler *handler_make(const struct conf_route *route, const struct handler_env *env);

/* What makes one kind of handler. */
typedef struct handler *handler_maker(const struct conf_route *route, const struct handler_env *env);

handler_maker handler_sql_new, handler_json_new, handler_text_new, handler_files_new, handler_relay_new,
    handler_admin_new, handler_model_new;

#endif
