/* stage.c: requests on their way through the stages of their routes. */
#include "stages/stage.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void go_on(struct stage_run *run)
{
    struct stages *stages = run->stages;
    while (run->next < stages->n) {
        struct stage *stage = stages->all[run->next++];
        if (stage->ops->enter(stage, run) != STAGE_NEXT)
            return;
    }
    stages->ops->arrive(stages, &run->request);
}

void stage_go_on(struct stage_run *run)
{
    struct sink *sink = run->request.sink;
    sink->data = NULL;
    sink->room = NULL;
    sink->gone = NULL;
    go_on(run);
}

void stages_enter(struct stages *stages, const struct request *request)
{
    size_t captures_size = request->n_captures * sizeof(*request->captures);
    struct stage_run *run = arena_alloc(&request->sink->arena, sizeof(*run) + captures_size);
    run->request = *request;
    run->stages = stages;
    run->next = 0;
    if (captures_size > 0)
        memcpy(run->captures, request->captures, captures_size);
    run->request.captures = run->captures;
    if (request->message != NULL) {
        run->message = *request->message;
        run->request.message = &run->message;
    }
    go_on(run);
}

void stages_init(struct stages *stages, const struct stages_ops *ops, stage_maker *const *makers,
                 const struct conf_route *route, const struct stage_env *env)
{
    *stages = (struct stages){.ops = ops};
    for (; *makers != NULL; makers++) {
        struct stage *stage = (*makers)(route, env);
        if (stage == NULL)
            continue;
        MEM_GROW(&stages->all, stages->n);
        stages->all[stages->n++] = stage;
        stages->wants_message = stages->wants_message || stage->wants_message;
    }
}

void stages_dispose(struct stages *stages)
{
    for (size_t i = 0; i < stages->n; i++)
        stages->all[i]->ops->free(stages->all[i]);
    free(stages->all);
}
