/* sql_stream.h: rows that are more than route->buffer go out as they come. */
#ifndef HAYFORK_HANDLERS_SQL_STREAM_H
#define HAYFORK_HANDLERS_SQL_STREAM_H

#include "handlers/sql_call.h"

/*
 * More rows were written, which have route->part bytes, or which a stream takes: they are collected, go out,
 * or bring it about that the query is asked again.
 */
void sql_stream_rows(struct sql_call *call, const struct pgjson_columns *columns);

/* Has an answer begun as a stream? */
bool sql_stream_has_begun(const struct sql_call *call);

/* There are no more rows of one that has; complete says whether those were all. */
void sql_stream_end(struct sql_call *call, bool complete);

#endif
