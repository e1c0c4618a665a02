/* sql_answer.h: the result of a query as the route's `answer` wants it. */
#ifndef HAYFORK_HANDLERS_SQL_ANSWER_H
#define HAYFORK_HANDLERS_SQL_ANSWER_H

#include "handlers/sql_call.h"

/* The query has succeeded, with all its rows; no stream has begun. */
void sql_answer_send(struct sql_call *call, const struct db_result *result);

#endif
