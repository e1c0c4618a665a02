/* engine.c: ONNX Runtime, one thread, and what it says where something is wrong. */
#include "inferring/engine.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "inferring/ort.h"

enum { MOST_INPUTS = 3, MOST_DIMENSIONS = 3 };

struct engine {
    const struct ort_api *api;
    const struct ort_base *base;
    struct ort_env *env;
    struct ort_options *options;
    struct ort_memory *memory;
    struct ort_allocator *allocator;
};

enum input { IDS, MASK, TYPES };

static const char *const input_names[MOST_INPUTS] = {"input_ids", "attention_mask", "token_type_ids"};

struct engine_model {
    const struct engine *engine;
    struct ort_session *session;
    enum input inputs[MOST_INPUTS];
    const char *names[MOST_INPUTS]; /* of inputs */
    size_t n_inputs;
    enum engine_output output;
    char *output_name;
    size_t width;
};

/* NULL where it was done, or the library's own words. */
static char *error_of(const struct engine *engine, ort_status *status)
{
    if (status == NULL)
        return NULL;
    char *error = mem_strdup(engine->api->error_message(status));
    engine->api->release_status(status);
    return error;
}

/* The words with what they are about before them; NULL stays NULL. Frees error. */
static char *about(const char *what, char *error)
{
    if (error == NULL)
        return NULL;
    char *whole = mem_printf("%s: %s", what, error);
    free(error);
    return whole;
}

/* The library */

static char *use_gpu(struct engine *engine)
{
    struct ort_cuda *cuda;
    char *error = error_of(engine, engine->api->create_cuda(&cuda));
    if (error != NULL)
        return error;
    error = error_of(engine, engine->api->append_cuda(engine->options, cuda));
    engine->api->release_cuda(cuda);
    return error;
}

/* One thread: texts are answered by as many processes as there are cores, and a fork has but one thread. */
static char *set_up(struct engine *engine, bool on_gpu)
{
    const struct ort_api *api = engine->api;
    char *error = error_of(engine, api->create_env(ORT_LOGS_ERRORS, "hayfork", &engine->env));
    if (error == NULL)
        error = error_of(engine, api->disable_telemetry(engine->env));
    if (error == NULL)
        error = error_of(engine, api->create_options(&engine->options));
    if (error == NULL)
        error = error_of(engine, api->set_intra_threads(engine->options, 1));
    if (error == NULL)
        error = error_of(engine, api->set_inter_threads(engine->options, 1));
    if (error == NULL)
        error = error_of(engine, api->set_optimization(engine->options, ORT_OPTIMIZES_ALL));
    if (error == NULL) /* a plan for each shape that comes would be kept for ever */
        error = error_of(engine, api->disable_memory_pattern(engine->options));
    if (error == NULL) /* an arena would keep what the longest texts have taken, and more, for ever */
        error = error_of(engine, api->disable_cpu_arena(engine->options));
    if (error == NULL && on_gpu)
        error = about("device: cuda", use_gpu(engine));
    if (error == NULL)
        error = error_of(engine,
                         api->create_cpu_memory(ORT_ALLOCATOR_DEVICE, ORT_MEMORY_DEFAULT, &engine->memory));
    if (error == NULL)
        error = error_of(engine, api->default_allocator(&engine->allocator));
    return error;
}

char *engine_open(const char *library, bool on_gpu, struct engine **engine)
{
    /* Some builds of it report to their maker, unless told not to before they are loaded. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return mem_printf("cannot load the inference library: %s", dlerror());
    const struct ort_base *(*get_base)(void) =
        (const struct ort_base *(*)(void))dlsym(handle, "OrtGetApiBase");
    if (get_base == NULL)
        return mem_printf("%s: this is not ONNX Runtime: it has no OrtGetApiBase", library);
    const struct ort_base *base = get_base();
    const struct ort_api *api = base->get_api(ORT_VERSION);
    if (api == NULL)
        return mem_printf("%s: ONNX Runtime %s is too old: 1.%d or later is needed", library, base->version(),
                          ORT_VERSION);
    *engine = mem_calloc(1, sizeof(**engine));
    (*engine)->api = api;
    (*engine)->base = base;
    return about(library, set_up(*engine, on_gpu));
}

const char *engine_version(const struct engine *engine)
{
    return engine->base->version();
}

/* What a model takes and gives */

/* The shape of a tensor: dimensions that are not fixed are below 0. */
struct tensor {
    int element;
    size_t n;
    int64_t dimensions[MOST_DIMENSIONS];
};

static char *read_shape(const struct engine *engine, const struct ort_shape *shape, struct tensor *tensor)
{
    const struct ort_api *api = engine->api;
    char *error = error_of(engine, api->element_type(shape, &tensor->element));
    if (error == NULL)
        error = error_of(engine, api->dimensions_count(shape, &tensor->n));
    if (error == NULL && tensor->n <= MOST_DIMENSIONS)
        error = error_of(engine, api->dimensions(shape, tensor->dimensions, tensor->n));
    return error;
}

static char *read_type(const struct engine *engine, struct ort_type *type, struct tensor *tensor)
{
    const struct ort_shape *shape = NULL;
    *tensor = (struct tensor){0}; /* of no element type where it is no tensor */
    char *error = error_of(engine, engine->api->type_to_shape(type, &shape));
    if (error == NULL && shape != NULL)
        error = read_shape(engine, shape, tensor);
    engine->api->release_type(type);
    return error;
}

static char *read_input(struct engine_model *model, size_t i)
{
    const struct engine *engine = model->engine;
    struct ort_type *type;
    struct tensor tensor = {0};
    char *name;
    size_t known = 0;
    char *error = error_of(engine, engine->api->input_name(model->session, i, engine->allocator, &name));
    if (error != NULL)
        return error;
    while (known < MOST_INPUTS && strcmp(name, input_names[known]) != 0)
        known++;
    error = error_of(engine, engine->api->input_type(model->session, i, &type));
    if (error == NULL)
        error = read_type(engine, type, &tensor);
    if (error == NULL && known == MOST_INPUTS)
        error = mem_printf("the model has an input \"%s\", but input_ids, attention_mask and token_type_ids "
                           "are all that can be given",
                           name);
    else if (error == NULL && (tensor.element != ORT_TYPE_INT64 || tensor.n != 2))
        error = mem_printf("the model's input %s is not a table of 64-bit integers", name);
    else if (error == NULL && (tensor.dimensions[0] >= 0 || tensor.dimensions[1] >= 0))
        error = mem_printf("the model's input %s has a fixed size: export it with dynamic axes", name);
    engine->api->allocator_free(engine->allocator, name);
    if (error == NULL) {
        model->inputs[model->n_inputs] = (enum input)known;
        model->names[model->n_inputs++] = input_names[known];
    }
    return error;
}

static char *read_inputs(struct engine_model *model)
{
    size_t n;
    bool has_ids = false;
    char *error = error_of(model->engine, model->engine->api->input_count(model->session, &n));
    for (size_t i = 0; error == NULL && i < n; i++) {
        error = read_input(model, i);
        has_ids = has_ids || (error == NULL && model->inputs[i] == IDS);
    }
    return error == NULL && !has_ids ? mem_strdup("the model has no input input_ids") : error;
}

static size_t dimensions_of(enum engine_output output)
{
    return output == ENGINE_LOGITS ? 2 : 3;
}

/* Takes the first output that has as many dimensions as is wanted. */
static char *read_outputs(struct engine_model *model)
{
    const struct engine *engine = model->engine;
    size_t n;
    char *error = error_of(engine, engine->api->output_count(model->session, &n));
    for (size_t i = 0; error == NULL && i < n && model->output_name == NULL; i++) {
        struct ort_type *type;
        struct tensor tensor;
        char *name;
        error = error_of(engine, engine->api->output_type(model->session, i, &type));
        if (error == NULL)
            error = read_type(engine, type, &tensor);
        if (error != NULL || tensor.element != ORT_TYPE_FLOAT || tensor.n != dimensions_of(model->output))
            continue;
        int64_t width = tensor.dimensions[tensor.n - 1];
        if (width >= 0 && (size_t)width != model->width)
            return mem_printf("the model's output has %lld numbers, but config.json has %zu",
                              (long long)width, model->width);
        error = error_of(engine, engine->api->output_name(model->session, i, engine->allocator, &name));
        if (error == NULL) {
            model->output_name = mem_strdup(name);
            engine->api->allocator_free(engine->allocator, name);
        }
    }
    if (error == NULL && model->output_name == NULL)
        error = mem_printf("the model has no output of 32-bit numbers with %zu dimensions: it is not %s",
                           dimensions_of(model->output),
                           model->output == ENGINE_LOGITS ? "one that classifies" : "an encoder");
    return error;
}

char *engine_load(struct engine *engine, const char *path, enum engine_output output, size_t width,
                  struct engine_model **loaded)
{
    struct engine_model *model = mem_calloc(1, sizeof(*model));
    model->engine = engine;
    model->output = output;
    model->width = width;
    char *error =
        error_of(engine, engine->api->create_session(engine->env, path, engine->options, &model->session));
    if (error == NULL)
        error = read_inputs(model);
    if (error == NULL)
        error = read_outputs(model);
    if (error == NULL) {
        int64_t ids[2] = {0, 0}, mask[2] = {1, 1}, types[2] = {0, 0};
        struct engine_batch batch = {1, 2, ids, mask, types};
        float *out = mem_calloc(2 * width, sizeof(float));
        error = engine_run(model, &batch, out);
        free(out);
    }
    if (error != NULL) { /* its session stays, as all that the library has made */
        free(model->output_name);
        free(model);
        return about(path, error);
    }
    *loaded = model;
    return NULL;
}

/* Runs */

static char *take_output(const struct engine_model *model, const struct engine_batch *batch,
                         struct ort_value *value, float *out)
{
    const struct engine *engine = model->engine;
    struct ort_shape *shape;
    struct tensor tensor = {0};
    void *data = NULL;
    char *error = error_of(engine, engine->api->value_shape(value, &shape));
    if (error != NULL)
        return error;
    error = read_shape(engine, shape, &tensor);
    engine->api->release_shape(shape);
    if (error == NULL)
        error = error_of(engine, engine->api->tensor_data(value, &data));
    if (error != NULL)
        return error;
    size_t rows = model->output == ENGINE_LOGITS ? batch->n : batch->n * batch->length;
    bool is_as_said = tensor.element == ORT_TYPE_FLOAT && tensor.n == dimensions_of(model->output) &&
                      tensor.dimensions[0] == (int64_t)batch->n &&
                      tensor.dimensions[tensor.n - 1] == (int64_t)model->width &&
                      (model->output == ENGINE_LOGITS || tensor.dimensions[1] == (int64_t)batch->length);
    if (!is_as_said)
        return mem_printf("the model's output has other dimensions than %zu numbers for each %s",
                          model->width, model->output == ENGINE_LOGITS ? "text" : "token");
    memcpy(out, data, rows * model->width * sizeof(float));
    return NULL;
}

char *engine_run(struct engine_model *model, const struct engine_batch *batch, float *out)
{
    const struct engine *engine = model->engine;
    const int64_t shape[2] = {(int64_t)batch->n, (int64_t)batch->length};
    int64_t *const data[MOST_INPUTS] = {batch->ids, batch->mask, batch->types};
    struct ort_value *values[MOST_INPUTS] = {NULL}, *output = NULL;
    const char *const output_name = model->output_name;
    char *error = NULL;
    for (size_t i = 0; error == NULL && i < model->n_inputs; i++)
        error = error_of(engine, engine->api->create_tensor(engine->memory, data[model->inputs[i]],
                                                            batch->n * batch->length * sizeof(int64_t), shape,
                                                            2, ORT_TYPE_INT64, &values[i]));
    if (error == NULL)
        error = error_of(engine, engine->api->run(model->session, NULL, model->names,
                                                  (const struct ort_value *const *)values, model->n_inputs,
                                                  &output_name, 1, &output));
    if (error == NULL)
        error = take_output(model, batch, output, out);
    if (output != NULL)
        engine->api->release_value(output);
    for (size_t i = 0; i < model->n_inputs; i++) {
        if (values[i] != NULL)
            engine->api->release_value(values[i]);
    }
    return error;
}
