/* sql_route.c: what a worker has of a route with `sql`. */
#include "handlers/sql_route.h"

#include <stdlib.h>

#include "base/mem.h"
#include "handlers/stream.h"

/* Collects the names that the route's headers use. */
static void find_names(struct sql_route *route)
{
    for (size_t i = 0; i < route->conf->n_headers; i++) {
        const struct conf_header *header = &route->conf->headers[i];
        for (size_t j = 0; j < header->n_pieces; j++) {
            if (!header->pieces[j].is_name)
                continue;
            MEM_GROW(&route->names, route->n_names);
            route->names[route->n_names++] = header->pieces[j].text;
        }
    }
}

static enum pgjson_want wanted(const struct sql_route *route)
{
    enum conf_answer answer = route->conf->answer;
    if (answer == CONF_ANSWER_VALUE || answer == CONF_ANSWER_NONE)
        return PGJSON_TEXTS;
    return route->n_names > 0 ? PGJSON_BOTH : PGJSON_OBJECTS;
}

/* The lane, as something that readers hold */

static unsigned most(const void *lane)
{
    return db_lane_connections(lane);
}

static bool is_wanted(const void *lane, uint64_t network)
{
    return db_lane_is_wanted(lane, network);
}

static struct readers_source *source_of(struct readers *readers, const struct db_lane *lane)
{
    return readers_source(
        readers,
        &(struct readers_source_conf){
            .kind = "lane", .name = db_lane_name(lane), .of = lane, .most = most, .is_wanted = is_wanted});
}

void sql_route_init(struct sql_route *route, const struct conf_route *conf, const struct handler_env *env)
{
    struct db_lane *lane = env->lanes[conf->lane];
    size_t buffer = env->conf->limits.buffer;
    *route = (struct sql_route){
        .conf = conf,
        .series = env->series,
        .buffer = buffer,
        .part = buffer < STREAM_FULL ? buffer : STREAM_FULL,
        .lane = lane,
        .slices = env->slices,
        .readers = source_of(env->readers, lane),
    };
    find_names(route);
    route->statement = db_statement_new(lane, &(struct db_statement_conf){
                                                  .label = conf->label,
                                                  .statement = &conf->statement,
                                                  .deadline = conf->deadline,
                                                  .want = wanted(route),
                                                  .streams = conf->answer == CONF_ANSWER_ROWS,
                                                  .merges = conf->answer == CONF_ANSWER_ROW &&
                                                            !conf->merge_off && conf->statement.n_params > 0,
                                              });
}

void sql_route_dispose(struct sql_route *route)
{
    free(route->names);
}
