/*
 * batches.h: texts on their way to a model: those of requests that wait at the same time become one job for a
 * helper. Nothing ever waits for more to come: while a helper is free, each request is a job of its own.
 */
#ifndef HAYFORK_HANDLERS_BATCHES_H
#define HAYFORK_HANDLERS_BATCHES_H

#include "base/str.h"
#include "conf/conf.h"
#include "helpers/pool.h"
#include "inference/exchange.h"

struct batches;
struct batches_job;

/* A request; in the memory of whoever asks. */
struct batches_request {
    struct batches_job *job; /* NULL once the end was told, or before there is one */
    struct batches_request *next;
    size_t first, n; /* its texts among those of the job */
    /*
     * How it ended, once. results is one for each text, in order, or NULL; of a text that was answered
     * batches_numbers has the rest. All of it is gone afterwards. reason is for the log: why no text has a
     * result, or NULL.
     */
    void (*done)(struct batches_request *request, enum helpers_end end, const char *results,
                 const char *reason);
};

/* Those of one model in this worker, which has this place in the conf. The pool must outlive them. */
struct batches *batches_new(struct helpers_pool *pool, const struct conf_model *model, uint32_t place);

/* Nobody may be waiting. */
void batches_free(struct batches *batches);

/*
 * Has texts run, n of them, which are bytes as in inference/exchange.h, and copied. wait is how long, in ms,
 * a helper may be waited for. Returns false, with errno set to EAGAIN where the queue is full.
 */
bool batches_add(struct batches *batches, struct str texts, size_t n, unsigned wait,
                 struct batches_request *request);

/* The request waits no longer. */
void batches_leave(struct batches_request *request);

/* The i-th of a request's results. Its numbers are copied to `numbers`: as many as an answer has. */
struct exchange_result batches_result(const struct batches *batches, const char *results, size_t i,
                                      float *numbers);

/* How many tokens a text may have. Known once there was a result. */
uint32_t batches_length(const struct batches *batches);

#endif
