/* models.c: `models`: folders with models, and who uses them. */
#include "conf/models.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/mem.h"
#include "conf/hint.h"
#include "inference/model.h"

enum {
    MOST_MODELS = 64,
    MOST_NUMBERS = 1 << 22, /* of all answers of a job */
};

const struct conf_directive conf_models_options[] = {
    {"model",
     "texts",
     CONF_TYPE_UNSIGNED,
     offsetof(struct conf_model, texts),
     1,
     10000,
     {NULL},
     "32",
     "texts that one request may have, and that are run together"},
    {"model",
     "length",
     CONF_TYPE_UNSIGNED,
     offsetof(struct conf_model, length),
     2,
     65536,
     {"auto"},
     "auto",
     "tokens of a text at most; auto is as many as the model takes"},
    {"model",
     "too_long",
     CONF_TYPE_ENUM,
     offsetof(struct conf_model, refuses_long),
     0,
     0,
     {"cut", "refuse"},
     "cut",
     "what becomes of a longer text: cut, or refuse, which is answered 413"},
};
const size_t conf_models_n_options = sizeof(conf_models_options) / sizeof(conf_models_options[0]);

static const char folder_key[] = "folder";

static void read_folder(struct conf *conf, struct conf_model *model, const struct conf_yaml *value)
{
    if (value->kind != CONF_YAML_SCALAR || value->value[0] == '\0') {
        conf_files_error(conf->files, value->pos, "folder is the path of a folder");
        return;
    }
    char *path = conf_files_resolve(value->pos.file, value->value);
    free(model->folder);
    model->folder = path;
    model->folder_pos = value->pos;
}

static void read_option(struct conf *conf, struct conf_model *model, const struct conf_yaml *key,
                        const struct conf_yaml *value)
{
    const char *names[8] = {folder_key};
    size_t i = 0;
    while (i < conf_models_n_options && strcmp(conf_models_options[i].name, key->value) != 0)
        i++;
    if (i == conf_models_n_options) {
        for (size_t j = 0; j < conf_models_n_options; j++)
            names[j + 1] = conf_models_options[j].name;
        conf_table_unknown_key(conf->files, key->pos, "model", key->value, names, conf_models_n_options + 1,
                               false);
        return;
    }
    const struct conf_directive *row = &conf_models_options[i];
    char *problem = value->kind != CONF_YAML_SCALAR
                        ? mem_printf("%s takes a single value, not %s", row->name, conf_yaml_what(value))
                        : conf_table_read(row, (char *)model + row->offset, value->value);
    if (problem != NULL)
        conf_files_error(conf->files, value->pos, "%s", problem);
    free(problem);
}

static bool is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return len > 0 && text[len] == '\0' && strchr("0123456789-", text[0]) == NULL;
}

static void read_model(struct conf *conf, const struct conf_yaml *key, const struct conf_yaml *value)
{
    if (!is_name(key->value))
        conf_files_error(conf->files, key->pos,
                         "\"%.*s\" cannot be the name of a model: that is letters, digits, `_` and `-`, such "
                         "as sentiment",
                         CONF_FILES_QUOTE(key->value));
    if (conf->n_models == MOST_MODELS)
        conf_files_error(conf->files, key->pos, "this model is one too many: there can be %d", MOST_MODELS);
    MEM_GROW(&conf->models, conf->n_models);
    struct conf_model *model = &conf->models[conf->n_models++];
    *model = (struct conf_model){.pos = key->pos, .name = mem_strdup(key->value)};
    for (size_t i = 0; i < conf_models_n_options; i++) {
        const struct conf_directive *row = &conf_models_options[i];
        free(conf_table_read(row, (char *)model + row->offset, row->default_text));
    }
    if (value->kind != CONF_YAML_MAP) {
        read_folder(conf, model, value);
        return;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml *option = value->items[i].key, *what = value->items[i].value;
        if (strcmp(option->value, folder_key) == 0)
            read_folder(conf, model, what);
        else
            read_option(conf, model, option, what);
    }
    if (conf_yaml_get(value, folder_key) == NULL && !value->incomplete)
        conf_files_error(conf->files, key->pos,
                         "this model has no folder: write `folder: models/%s` below it", model->name);
}

void conf_models_read(struct conf *conf, const struct conf_yaml *node)
{
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(conf->files, node->pos,
                         "models takes a mapping from names to folders, not %s: write `sentiment: "
                         "models/sentiment` on the line below, indented",
                         conf_yaml_what(node));
        return;
    }
    for (size_t i = 0; i < node->n_items; i++)
        read_model(conf, node->items[i].key, node->items[i].value);
}

void conf_models_use(struct conf *conf, struct conf_route *route)
{
    const char *names[MOST_MODELS];
    size_t n = 0;
    for (route->model = 0; route->model < conf->n_models; route->model++) {
        struct conf_model *model = &conf->models[route->model];
        if (strcmp(model->name, route->model_name) != 0) {
            if (n < MOST_MODELS)
                names[n++] = model->name;
            continue;
        }
        if (model->use != MODEL_UNUSED && model->use != route->use)
            conf_files_error(conf->files, route->model_pos,
                             "the model %s is used to classify and to embed: it can do one of them",
                             model->name);
        model->use = route->use;
        return;
    }
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(route->model_name, names, n));
    conf_files_error(conf->files, route->model_pos, "there is no model \"%.*s\"%s%s",
                     CONF_FILES_QUOTE(route->model_name), meant,
                     conf->n_models > 0 ? "" : ": name it in `models`, with its folder");
    free(meant);
}

/* Labels and sizes: of what is used later, they come with the snapshot. */
static char *read_config(struct conf *conf, struct conf_model *model)
{
    char *path = mem_printf("%s/config.json", model->folder), *error = NULL;
    struct document document = {0};
    size_t before = conf_files_errors(conf->files);
    const struct conf_file *file = conf_files_read(conf->files, path, false, model->folder_pos);
    if (file != NULL)
        error = document_take(&document, path, (struct str){file->text, file->len});
    if (file != NULL && error == NULL)
        error = model_config_read(&model->config, &document);
    document_free(&document);
    free(path);
    model->width = model_config_width(&model->config, model->use);
    if (error == NULL && conf_files_errors(conf->files) == before &&
        (size_t)model->width * model->texts > MOST_NUMBERS)
        error = mem_printf("%u texts of %u numbers each are too many for one request: have less texts",
                           model->texts, model->width);
    return error;
}

/* The rest of the folder is only looked at: a helper reads it when it starts. */
static char *check_folder(const struct conf_model *model)
{
    struct model read;
    char *error = model_read(&read, model->folder, model->use, model->length);
    model_free(&read);
    if (error == NULL && !document_is_there(model->folder, "model.onnx"))
        error = mem_printf("%s: there is no model.onnx", model->folder);
    return error;
}

static void check_model(struct conf *conf, struct conf_model *model)
{
    size_t before = conf_files_errors(conf->files);
    char *error = read_config(conf, model);
    if (error == NULL && conf_files_errors(conf->files) == before && !conf_files_are_of_snapshot(conf->files))
        error = check_folder(model);
    if (error != NULL)
        conf_files_error(conf->files, model->folder_pos, "%s", error);
    free(error);
}

/* Who runs models: a program and a library. */
static void check_engine(struct conf *conf, const struct conf_model *model)
{
    if (conf_files_are_of_snapshot(conf->files))
        return;
    char *program = beside_find("hayfork-inference");
    if (program == NULL)
        conf_files_error(conf->files, model->pos,
                         "models take the program hayfork-inference, which is not installed");
    free(program);
    if (conf->inference.library[0] == '\0')
        conf_files_error(conf->files, model->pos,
                         "models take ONNX Runtime: say where it is, as in `inference: { library: "
                         "/usr/lib/x86_64-linux-gnu/libonnxruntime.so }`");
    else if (access(conf->inference.library, R_OK) != 0)
        conf_files_error(conf->files, model->pos, "inference.library: there is no %s",
                         conf->inference.library);
}

void conf_models_check(struct conf *conf)
{
    bool is_checked = false;
    for (size_t i = 0; i < conf->n_models; i++) {
        struct conf_model *model = &conf->models[i];
        if (model->use == MODEL_UNUSED || model->folder == NULL)
            continue;
        if (!is_checked)
            check_engine(conf, model);
        is_checked = true;
        check_model(conf, model);
    }
}

bool conf_runs_models(const struct conf *conf)
{
    for (size_t i = 0; i < conf->n_models; i++) {
        if (conf->models[i].use != MODEL_UNUSED)
            return true;
    }
    return false;
}

void conf_models_free(struct conf *conf)
{
    for (size_t i = 0; i < conf->n_models; i++) {
        free(conf->models[i].name);
        free(conf->models[i].folder);
        model_config_free(&conf->models[i].config);
    }
    free(conf->models);
}
