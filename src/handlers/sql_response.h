/* sql_response.h: the result of a query as the route's `answer` wants it. */
#ifndef HAYFORK_HANDLERS_SQL_RESPONSE_H
#define HAYFORK_HANDLERS_SQL_RESPONSE_H

#include "handlers/sql_call.h"

/* The query has succeeded, with all its rows; no stream has begun. */
void sql_response_send(struct sql_call *call, const struct db_result *result);

#endif
