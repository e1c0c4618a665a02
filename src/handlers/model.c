/* model.c: routes with `classify` or `embed`: the texts of a body, and what a model makes of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/complain.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/mem.h"
#include "handlers/batches.h"
#include "handlers/headers.h"
#include "handlers/json_body.h"
#include "handlers/make.h"
#include "inference/scores.h"

struct handler_model {
    struct handler super;
    const struct conf_route *route;
    const struct conf_model *model;
    struct batches *batches;
};

/* A request while its texts are on their way; in its memory. */
struct call {
    struct handler_model *of;
    struct sink *sink;
    struct body_whole body;
    struct batches_request request;
    bool is_list;  /* inputs is a list, not one text */
    bool is_asked; /* how many labels: top_k is there */
    int top_k;
    bool cuts; /* a text that is too long */
    size_t n;  /* texts */
};

static struct call *call_of(struct sink *sink)
{
    return sink->data;
}

/* Why there is no answer */

static void refuse(struct call *call, int status, const char *detail, const char *parameter)
{
    struct problem problem = {.status = status, .detail = detail, .parameter = parameter};
    problem_send(call->sink, &problem);
}

static void on_gone(struct sink *sink)
{
    batches_leave(&call_of(sink)->request);
}

/* Bodies */

static bool key_is(struct str quoted, const char *name)
{
    char *text = mem_alloc(quoted.len);
    size_t len = json_unescape(quoted, text);
    bool is = len == strlen(name) && memcmp(text, name, len) == 0;
    free(text);
    return is;
}

/* The number of labels: 1 or more; null is all of them. */
static bool read_top_k(struct call *call, const struct json_value *value)
{
    call->is_asked = true;
    call->top_k = SCORES_ALL;
    if (value->kind == JSON_NULL)
        return true;
    char digits[8] = "";
    if (value->kind != JSON_NUMBER || value->text.len >= sizeof(digits))
        return false;
    memcpy(digits, value->text.base, value->text.len);
    call->top_k = (int)strspn(digits, "0123456789") == (int)value->text.len ? atoi(digits) : 0;
    return call->top_k > 0;
}

/* Returns NULL, or what is wrong with the body's member of that key. */
static const char *read_member(struct call *call, struct str key, const struct json_value *value,
                               struct json_value *inputs, const char **parameter)
{
    if (key_is(key, "inputs")) {
        *inputs = *value;
        return NULL;
    }
    if (key_is(key, "truncation")) {
        *parameter = "truncation";
        call->cuts = value->kind == JSON_TRUE;
        return value->kind == JSON_TRUE || value->kind == JSON_FALSE ? NULL
                                                                     : "truncation must be true or false.";
    }
    if (call->of->model->use == MODEL_CLASSIFIES && key_is(key, "top_k")) {
        *parameter = "top_k";
        return read_top_k(call, value) ? NULL : "top_k must be a whole number from 1 on, or null.";
    }
    return call->of->model->use == MODEL_CLASSIFIES
               ? "The body can have inputs, top_k and truncation, and no other field."
               : "The body can have inputs and truncation, and no other field.";
}

static const char *read_body(struct call *call, struct json_value *inputs, const char **parameter)
{
    struct json_value root, value;
    struct str key;
    size_t at;
    const char *error = json_read_check((struct str){call->body.bytes, call->body.len}, &root, &at);
    if (error != NULL)
        return arena_printf(&call->sink->arena, "The body is not JSON: at byte %zu, %s.", at, error);
    inputs->kind = JSON_NULL;
    if (root.kind == JSON_OBJECT) {
        struct json_iterator iterator = json_members(root);
        while (json_next(&iterator, &key, &value)) {
            const char *wrong = read_member(call, key, &value, inputs, parameter);
            if (wrong != NULL)
                return wrong;
        }
    }
    *parameter = "inputs";
    if (inputs->kind == JSON_STRING || inputs->kind == JSON_ARRAY)
        return NULL;
    return "The body must be a JSON object whose field inputs is a text or a list of texts.";
}

/* Texts */

/* Appends a text with its head; true where it is one. */
static bool add_text(const struct call *call, const struct json_value *value, char *texts, size_t *len)
{
    if (value->kind != JSON_STRING)
        return false;
    char *to = texts + *len + sizeof(struct exchange_text);
    struct exchange_text head = {(uint32_t)json_unescape(value->text, to), call->cuts};
    memcpy(texts + *len, &head, sizeof(head));
    *len += sizeof(head) + head.len;
    return true;
}

/* Returns the texts of inputs as a job has them, to be freed, or NULL where one of them is no text. */
static char *read_texts(struct call *call, const struct json_value *inputs, size_t *len)
{
    struct json_iterator iterator = json_members(*inputs);
    struct json_value value;
    struct str name;
    char *texts = mem_alloc(inputs->text.len + call->n * sizeof(struct exchange_text) + 1);
    bool good = true;
    *len = 0;
    if (!call->is_list)
        good = add_text(call, inputs, texts, len);
    while (call->is_list && good && json_next(&iterator, &name, &value))
        good = add_text(call, &value, texts, len);
    if (good)
        return texts;
    free(texts);
    return NULL;
}

static size_t count(const struct json_value *list)
{
    struct json_iterator iterator = json_members(*list);
    struct json_value value;
    struct str name;
    size_t n = 0;
    while (json_next(&iterator, &name, &value))
        n++;
    return n;
}

/* Answers */

static void send_json(struct call *call, struct str json)
{
    struct sink_head head;
    headers_head(&head, 200, STR("application/json"), call->of->route, call->sink, NULL, NULL);
    sink_answer(call->sink, &head, &json, 1);
}

static void write_vector(struct json_writer *writer, const float *numbers, size_t n)
{
    json_char(writer, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            json_char(writer, ',');
        scores_write_number(writer, numbers[i]);
    }
    json_char(writer, ']');
}

/*
 * A vector for each text; of labels what the pipeline of transformers has: one text without top_k is a list
 * of one label, with it the list of labels itself.
 */
static void answer(struct call *call, const char *results)
{
    const struct conf_model *model = call->of->model;
    bool embeds = call->of->model->use == MODEL_EMBEDS;
    bool has_list = call->is_list || (!embeds && !call->is_asked);
    float *numbers = mem_alloc(model->width * sizeof(*numbers));
    struct json_writer writer = json_writer_on(NULL, 0);
    const char *problem = NULL;
    if (has_list)
        json_char(&writer, '[');
    for (size_t i = 0; problem == NULL && i < call->n; i++) {
        struct exchange_result result = batches_result(call->of->batches, results, i, numbers);
        if (!result.is_answered)
            problem = arena_printf(&call->sink->arena, "Text %zu has %u tokens; the model takes %u.", i + 1,
                                   result.tokens, batches_length(call->of->batches));
        if (i > 0)
            json_char(&writer, ',');
        if (embeds)
            write_vector(&writer, numbers, model->width);
        else
            scores_write(&writer, &model->config, numbers, call->is_asked ? call->top_k : SCORES_BEST);
    }
    if (has_list)
        json_char(&writer, ']');
    free(numbers);
    if (problem != NULL)
        refuse(call, 413, problem, "inputs");
    else
        send_json(call, (struct str){arena_copy(&call->sink->arena, (struct str){writer.base, writer.len}),
                                     writer.len});
    free(writer.base);
}

/* A line for the log, once a minute, about what no client has caused by itself. */
static void complain_of(const struct call *call, enum log_level level, int status, const char *what,
                        const char *why)
{
    const char *route = call->of->route->label;
    char *about = mem_printf("%s: %d: %s", route, status, what);
    complain(level, about, "%s%s%s", about, why == NULL ? "" : ": ", why == NULL ? "" : why);
    free(about);
}

static void on_done(struct batches_request *request, enum helpers_end end, const char *results,
                    const char *reason)
{
    struct call *call = (struct call *)((char *)request - offsetof(struct call, request));
    if (reason != NULL) {
        complain_of(call, LOG_LEVEL_ERROR, 500, "the model cannot be run", reason);
        refuse(call, 500, "The model cannot be run.", NULL);
    } else if (end == HELPERS_ANSWERED) {
        answer(call, results);
    } else if (end == HELPERS_LATE) {
        complain_of(call, LOG_LEVEL_WARN, 504, "a model took longer than limits.inference.time", NULL);
        refuse(call, 504, "The model took too long.", NULL);
    } else if (end == HELPERS_WAITED) {
        complain_of(call, LOG_LEVEL_WARN, 503, "no helper was free in time to run a model", NULL);
        refuse(call, 503, "Nobody was free in time to run the model.", NULL);
    } else {
        complain_of(call, LOG_LEVEL_ERROR, 503, "the helper that ran the model has died", NULL);
        refuse(call, 503, "The process that ran the model has ended.", NULL);
    }
}

/* Requests */

static void ask(struct call *call)
{
    const struct handler_model *self = call->of;
    const char *parameter = NULL;
    struct json_value inputs;
    const char *wrong = read_body(call, &inputs, &parameter);
    if (wrong != NULL) {
        refuse(call, 400, wrong, parameter);
        return;
    }
    call->is_list = inputs.kind == JSON_ARRAY;
    call->n = call->is_list ? count(&inputs) : 1;
    if (call->n > self->model->texts) {
        refuse(call, 413,
               arena_printf(&call->sink->arena, "inputs has %zu texts; there may be %u.", call->n,
                            self->model->texts),
               "inputs");
        return;
    }
    size_t len;
    char *texts = read_texts(call, &inputs, &len);
    body_release(call->body.body);
    if (texts == NULL)
        refuse(call, 400, "inputs must be a text or a list of texts.", "inputs");
    else if (call->n == 0)
        send_json(call, STR("[]"));
    else if (!batches_add(self->batches, (struct str){texts, len}, call->n, self->route->deadline,
                          &call->request))
        refuse(call, 503, errno == EAGAIN ? "Too many texts wait for a model." : "There is no memory now.",
               NULL);
    free(texts);
}

static void on_body(struct body_whole *body, bool complete)
{
    struct call *call = (struct call *)((char *)body - offsetof(struct call, body));
    if (complete)
        ask(call);
    else
        refuse(call, body->body->status, body->body->detail, NULL);
}

static void handle(struct handler *handler, const struct request *request)
{
    struct handler_model *self = (struct handler_model *)handler;
    struct sink *sink = request->sink;
    struct problem problem;
    struct call *call = arena_alloc(&sink->arena, sizeof(*call));
    *call = (struct call){.of = self, .sink = sink, .cuts = !self->model->refuses_long};
    call->body.arena = &sink->arena;
    call->body.done = on_body;
    call->request.done = on_done;
    sink->data = call;
    sink->gone = on_gone;
    if (json_body_is_taken(request, &problem))
        body_collect(&call->body, request->body);
    else
        problem_send(sink, &problem);
}

static void dispose(struct handler *handler)
{
    batches_free(((struct handler_model *)handler)->batches);
    free(handler);
}

struct handler *handler_model_new(const struct conf_route *route, const struct handler_env *env)
{
    struct handler_model *self = mem_calloc(1, sizeof(*self));
    self->super = (struct handler){.handle = handle, .free = dispose};
    self->route = route;
    self->model = &env->conf->models[route->model];
    self->batches = batches_new(env->inference, self->model, (uint32_t)route->model);
    return &self->super;
}
