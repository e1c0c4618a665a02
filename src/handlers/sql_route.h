/* sql_route.h: what a worker has of a route with `sql`: its statement, and what its answers are made with. */
#ifndef HAYFORK_HANDLERS_SQL_ROUTE_H
#define HAYFORK_HANDLERS_SQL_ROUTE_H

#include "db/lane.h"
#include "handlers/make.h"
#include "handlers/readers.h"
#include "loop/slices.h"

/* It does not change after sql_route_init. */
struct sql_route {
    const struct conf_route *conf;
    struct series *series; /* where the time that its queries take is counted; NULL: nowhere */
    size_t buffer;         /* bytes: an answer of rows up to here is held in memory */
    size_t part;           /* bytes: one that is smaller needs no stream */
    struct db_lane *lane;
    struct slices *slices;
    struct readers_source *readers; /* those who take its answers */
    struct db_statement *statement;
    const char **names; /* that its headers use; the texts are the conf's */
    size_t n_names;
};

/* Adds the statement to the lane. conf and env must outlive the route. */
void sql_route_init(struct sql_route *route, const struct conf_route *conf, const struct handler_env *env);

/* The statement ends with its lane. */
void sql_route_dispose(struct sql_route *route);

#endif
