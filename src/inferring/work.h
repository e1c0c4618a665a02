/* work.h: does the jobs of a helper that runs models. */
#ifndef HAYFORK_INFERRING_WORK_H
#define HAYFORK_INFERRING_WORK_H

#include "helpers/serve.h"
#include "inference/model.h"
#include "inferring/engine.h"

struct work_model {
    struct model model;
    struct engine_model *engine; /* NULL where no route uses it */
};

/* All models of the conf, in its order, and the ms that one job may take. Both must stay. */
void work_begin(const struct work_model *models, size_t n, unsigned time);

/*
 * Does a job, and writes its results into the file that goes with it. One that takes too long ends the
 * process by SIGALRM.
 */
size_t work_do(const struct helpers_call *call, void *answer, size_t size);

#endif
