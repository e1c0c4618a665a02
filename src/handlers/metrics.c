/*
 * metrics.c: /metrics of the operators' listener.
 *
 * A report takes some tenths of a millisecond to write, and its text is long: clients of the other listeners
 * would notice a hundred of them at a time. So scrapes wait in a line, of which each turn of the loop answers
 * one, and those that have come before a report was written share it. Nobody gets an older one.
 */
#include "handlers/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "metrics/report.h"

/* A report, which several answers may send. */
struct text {
    unsigned users;
    uint64_t last; /* the number of the last scrape that had come when it was written */
    struct exposition exposition;
};

struct handler_metrics {
    struct handler super;
    const struct shm *shm;
    const char *commit;
    h2o_loop_t *loop;
    h2o_timeout_t *next_turn;
    h2o_timeout_entry_t timer; /* linked while scrapes wait */
    h2o_linklist_t waiting;    /* struct scrape */
    uint64_t n_scrapes;
    struct text *latest[2]; /* of each format, while scrapes wait */
};

/* One that has asked; in its request's memory. */
struct scrape {
    struct handler_metrics *handler;
    struct sink *sink;
    uint64_t number; /* counts from 1 */
    bool is_open;    /* it wants OpenMetrics */
    h2o_linklist_t link;
    struct text *text; /* that it is answered with; NULL while it waits */
};

static void let_go(struct text *text)
{
    if (text == NULL || --text->users > 0)
        return;
    free(text->exposition.text.base);
    free(text);
}

/* The report for a scrape: a new one, unless there is one that was written after it came. */
static struct text *text_for(struct handler_metrics *self, const struct scrape *scrape)
{
    struct text **latest = &self->latest[scrape->is_open];
    if (*latest == NULL || (*latest)->last < scrape->number) {
        let_go(*latest);
        *latest = mem_calloc(1, sizeof(**latest));
        **latest = (struct text){.users = 1, .last = self->n_scrapes, .exposition.is_open = scrape->is_open};
        report_write(&(*latest)->exposition, self->shm, self->commit);
    }
    (*latest)->users++;
    return *latest;
}

static void answer(struct sink *sink, const struct exposition *exposition)
{
    static const struct sink_field fields[] = {
        {{"Cache-Control", 13}, {"no-store", 8}},
        {{"X-Content-Type-Options", 22}, {"nosniff", 7}},
    };
    struct str body = {exposition->text.base, exposition->text.len};
    struct sink_head head = {
        .status = 200,
        .content_type = exposition_content_type(exposition),
        .fields = fields,
        .n_fields = sizeof(fields) / sizeof(fields[0]),
    };
    sink_answer(sink, &head, &body, 1);
}

/* Nobody waits any longer. */
static void forget_latest(struct handler_metrics *self)
{
    for (unsigned i = 0; i < 2; i++) {
        let_go(self->latest[i]);
        self->latest[i] = NULL;
    }
}

/* Answers the first one that waits. Afterwards it may be gone. */
static void on_turn(h2o_timeout_entry_t *timer)
{
    struct handler_metrics *self = H2O_STRUCT_FROM_MEMBER(struct handler_metrics, timer, timer);
    struct scrape *scrape = H2O_STRUCT_FROM_MEMBER(struct scrape, link, self->waiting.next);
    h2o_linklist_unlink(&scrape->link);
    scrape->text = text_for(self, scrape);
    if (!h2o_linklist_is_empty(&self->waiting)) {
        h2o_timeout_link(self->loop, self->next_turn, &self->timer);
    } else {
        forget_latest(self);
    }
    answer(scrape->sink, &scrape->text->exposition);
}

/* The answer is sent, or the client has left. */
static void on_gone(struct sink *sink)
{
    struct scrape *scrape = sink->data;
    struct handler_metrics *self = scrape->handler;
    if (scrape->text != NULL) {
        let_go(scrape->text);
        return;
    }
    h2o_linklist_unlink(&scrape->link);
    if (h2o_linklist_is_empty(&self->waiting)) {
        h2o_timeout_unlink(&self->timer);
        forget_latest(self);
    }
}

/* Does Accept name OpenMetrics? Its quality is not looked at: who names it takes it. */
static bool wants_open(const struct request *request)
{
    struct str accept = request->field(request, STR("accept"));
    return accept.len > 0 && memmem(accept.base, accept.len, "application/openmetrics-text", 28) != NULL;
}

static void handle(struct handler *handler, const struct request *request)
{
    struct handler_metrics *self = (struct handler_metrics *)handler;
    struct scrape *scrape = arena_alloc(&request->sink->arena, sizeof(*scrape));
    *scrape = (struct scrape){
        .handler = self,
        .sink = request->sink,
        .number = ++self->n_scrapes,
        .is_open = wants_open(request),
    };
    request->sink->data = scrape;
    request->sink->gone = on_gone;
    h2o_linklist_insert(&self->waiting, &scrape->link);
    if (!h2o_timeout_is_linked(&self->timer))
        h2o_timeout_link(self->loop, self->next_turn, &self->timer);
}

static void dispose(struct handler *handler)
{
    struct handler_metrics *self = (struct handler_metrics *)handler;
    forget_latest(self);
    free(self);
}

struct handler *handler_metrics_new(const struct handler_env *env)
{
    struct handler_metrics *self = mem_calloc(1, sizeof(*self));
    self->super = (struct handler){.handle = handle, .free = dispose};
    self->shm = env->shm;
    self->commit = env->commit;
    self->loop = env->stages.loop;
    self->next_turn = timeouts_get(env->stages.timeouts, 0);
    self->timer.cb = on_turn;
    h2o_linklist_init_anchor(&self->waiting);
    return &self->super;
}
