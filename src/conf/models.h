/* models.h: `models`, and what follows from it. Private to conf/. */
#ifndef HAYFORK_CONF_MODELS_H
#define HAYFORK_CONF_MODELS_H

#include "conf/table.h"
#include "conf/yaml.h"

/* What a model can have besides its folder: rows with their places in struct conf_model. */
extern const struct conf_directive conf_models_options[];
extern const size_t conf_models_n_options;

/* Reads the value of `models`, adds to conf->models and notes all mistakes. */
void conf_models_read(struct conf *conf, const struct conf_yaml *node);

/*
 * The route's model is that of this name. Notes where there is none, and where another route has it do
 * something else.
 */
void conf_models_use(struct conf *conf, struct conf_route *route);

/* All routes are read: looks into the folders of the models that they use, and notes what is wrong there. */
void conf_models_check(struct conf *conf);

void conf_models_free(struct conf *conf);

#endif
