/* images_query.h: what the query of a request says about a picture, within what its route allows. */
#ifndef HAYFORK_STAGES_IMAGES_QUERY_H
#define HAYFORK_STAGES_IMAGES_QUERY_H

#include "conf/conf.h"
#include "http/problem.h"
#include "http/request.h"
#include "images/params.h"

/*
 * Sets what is wanted, and leaves in the request's query what is not about the picture. Returns false where a
 * parameter is wrong, unknown or missing, with what is wrong in *problem, in memory of the request's.
 */
bool images_query_read(const struct conf_route *route, struct request *request, struct images_wish *wish,
                       struct problem *problem);

#endif
