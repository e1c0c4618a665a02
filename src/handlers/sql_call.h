/*
 * sql_call.h: a request to a route with `sql` on its way: its values, its query, the rows so far, and the
 * answer.
 */
#ifndef HAYFORK_HANDLERS_SQL_CALL_H
#define HAYFORK_HANDLERS_SQL_CALL_H

#include "handlers/sql_rows.h"
#include "handlers/sql_values.h"
#include "handlers/stream.h"
#include "http/problem.h"

/* In the request's memory, so it is gone with the client. */
struct sql_call {
    const struct sql_route *route;
    struct sink *sink;
    bool is_head;
    struct sql_values values;
    struct db_query *pending; /* NULL while there is none */
    uint64_t asked_at;        /* clock_turn_ns: when it was submitted last */
    struct sql_rows rows;
    bool drops_rows;       /* more of them are not kept: the answer waits for what becomes of the query */
    struct stream *stream; /* of rows that are many; else NULL */
    struct reader *reader; /* of another large answer; else NULL */
};

/* A request's; ops as for sql_values_init. All of it ends with the sink. */
struct sql_call *sql_call_new(const struct sql_route *route, const struct request *request,
                              const struct sql_values_ops *ops);

/* The query */

/* Asks for the result, with the values that there are: see db_submit. asker's owner is the call. */
void sql_call_submit(struct sql_call *call, const struct db_asker *asker);

/* The query, which was sent then (struct db_result), has ended: nothing will be asked of it. */
void sql_call_query_ended(struct sql_call *call, uint64_t sent_at);

/* It may go on, but nothing more will be heard of it. */
void sql_call_abandon(struct sql_call *call);

/* Rows */

/* The text of the rows goes into a stream from now on, which collects it until it is started. */
void sql_call_collect(struct sql_call *call);

/* The rows so far do not count: the query is asked again. */
void sql_call_again(void *call);

/* No row is to be sent, nor kept. */
void sql_call_drop_rows(struct sql_call *call);

/* Memory that the answer lies in counts if its client takes its time. */
void sql_call_hold(struct sql_call *call, size_t bytes);

/* Answers */

/* A problem, with the route's headers as far as they have values. */
void sql_call_refuse(struct sql_call *call, struct problem problem);

/*
 * The head of a good answer, with the route's headers, which may have columns of the first row in them.
 * Returns NULL, or the name of a field that cannot be sent.
 */
const char *sql_call_head(struct sql_call *call, const struct pgjson_columns *columns, int status,
                          struct str content_type, struct sink_head *head);

/* Says that this field cannot be sent. What the query did, it has done. */
void sql_call_refuse_field(struct sql_call *call, const char *field);

#endif
