/* metrics.h: /metrics of the operators' listener. */
#ifndef HAYFORK_HANDLERS_METRICS_H
#define HAYFORK_HANDLERS_METRICS_H

#include "handlers/make.h"

struct handler *handler_metrics_new(const struct handler_env *env);

#endif
