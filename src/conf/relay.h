/* relay.h: `upstreams`, and where `relay` leads. Private to conf/. */
#ifndef HAYFORK_CONF_RELAY_H
#define HAYFORK_CONF_RELAY_H

#include "conf/table.h"
#include "conf/yaml.h"

/* What an upstream can have beside its servers; offset is in struct conf_upstream. */
extern const struct conf_directive conf_relay_options[];
extern const size_t conf_relay_n_options;

/* Reads the value of `upstreams`, adds to conf->upstreams and notes all mistakes. */
void conf_relay_read_upstreams(struct conf *conf, const struct conf_yaml *node);

/*
 * Finds the upstream and the target of a route whose `relay` was read, fills in what it takes over from
 * the conf, and notes all mistakes. names are those in the route's path; n_names is SIZE_MAX where that is
 * not known. Adds an upstream to conf->upstreams where the route names a server by its address.
 */
void conf_relay_check(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names);

void conf_relay_free_target(struct conf_route *route);

/* Frees what an upstream holds. */
void conf_relay_free_upstream(struct conf_upstream *upstream);

#endif
