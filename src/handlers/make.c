/* make.c: which kind of route is made into which handler. */
#include "handlers/make.h"

#include "base/log.h"
#include "conf/kind.h"
#include "handlers/staged.h"
#include "stages/make.h"

static const struct {
    const struct conf_kind *kind;
    handler_maker *make;
} makers[] = {
    {&conf_kind_sql, handler_sql_new},     {&conf_kind_json, handler_json_new},
    {&conf_kind_text, handler_text_new},   {&conf_kind_files, handler_files_new},
    {&conf_kind_relay, handler_relay_new}, {&conf_kind_admin, handler_admin_new},
    {&conf_kind_model, handler_model_new},
};

struct handler *handler_make(const struct conf_route *route, const struct handler_env *env)
{
    for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
        if (makers[i].kind == route->kind) {
            struct handler *handler = makers[i].make(route, env);
            return handler_staged(handler, stage_makers, route, &env->stages, env->slot);
        }
    }
    log_fatalx("%s: nothing answers routes with %s", route->label, conf_kind_name(route->kind));
}
