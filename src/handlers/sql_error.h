/* sql_error.h: what it means for a client that a query has failed. */
#ifndef HAYFORK_HANDLERS_SQL_ERROR_H
#define HAYFORK_HANDLERS_SQL_ERROR_H

#include "handlers/sql_call.h"

/* Answers with what PostgreSQL's error means, and logs what the client is not told. */
void sql_error_send(struct sql_call *call, const struct db_result *result);

/* Only logs it: the answer has begun, and is cut off. error is that of DB_REJECTED. */
void sql_error_broke_off(const struct sql_call *call, enum db_outcome outcome, const char *error);

/* Answers, and logs, that something was done whose result cannot be read. */
void sql_error_unreadable(struct sql_call *call);

#endif
