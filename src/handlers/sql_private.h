/* sql_private.h: what handlers/sql.c (questions) and handler_sql_*.c (answers) share. */
#ifndef HAYFORK_HANDLERS_SQL_PRIVATE_H
#define HAYFORK_HANDLERS_SQL_PRIVATE_H

#include "db/lane.h"
#include "http/body.h"
#include "handlers/handler.h"
#include "handlers/headers.h"
#include "handlers/readers.h"
#include "handlers/stream.h"
#include "loop/slices.h"
#include "pg/pgjson.h"
#include "http/problem.h"
#include "route/params.h"

struct handler_sql {
    struct handler super;
    const struct conf_route *route;
    size_t buffer; /* bytes: an answer of rows up to here is held in memory */
    size_t part;   /* bytes: one that is smaller needs no stream */
    struct db_lane *lane;
    struct slices *slices;
    struct readers_source *readers; /* those who take its answers */
    struct db_statement *statement;
    size_t n_captures;  /* of the route's path */
    const char **names; /* that its headers use; the texts are the conf's */
    size_t n_names;
};

/* A request on its way. It lives in the request's memory, so it is gone with the client. */
struct call {
    const struct handler_sql *handler;
    struct sink *sink;
    struct str captures[ROUTE_MAX_CAPTURES];
    struct str query;
    bool is_head;
    struct body_whole body;
    const struct str *values;    /* of the parameters, once they are gathered */
    struct gathering *gathering; /* of the values of a long body; NULL for others */
    struct db_query *pending;    /* NULL while there is none */

    /* What the rows so far gave. */
    uint64_t n_rows;
    struct str *named;         /* of the first row: the values of handler->names; NULL base for SQL NULL */
    struct str value;          /* `answer: value`: the first one; NULL base for SQL NULL */
    uint32_t value_type;       /* its OID */
    bool drops_rows;           /* more of them are not kept: the answer waits for what becomes of the query */
    struct json_writer answer; /* the body, or the part of it that the stream has not taken yet */

    struct stream *stream; /* of rows that are many; else NULL */
    struct reader *reader; /* of another large answer; else NULL */
};

/* Answers with a problem, with the route's headers as far as they have values. */
void handler_sql_refuse(struct call *call, struct problem problem);

/* handlers/sql_answer.c: a row has come; that was all, with the command's tag. */
void handler_sql_row(void *owner, const struct pgjson_columns *columns, struct pgwire_row row);
void handler_sql_answer(struct call *call, const struct db_answer *answer);

/*
 * The head of a good answer, with the route's headers, which may have columns of the first row in them.
 * Returns NULL, or the name of a field that cannot be sent.
 */
const char *handler_sql_head(struct call *call, const struct pgjson_columns *columns, int status,
                             struct str content_type, struct sink_head *head);

/* Answers that this field cannot be sent. What the query did, it has done. */
void handler_sql_unsendable(struct call *call, const char *field);

/* handlers/sql_stream.c: an answer that is larger than handler->buffer goes out as it comes. */

/*
 * More rows were written to call->answer, which has handler->part bytes, or which a stream takes from: they
 * are collected, go out, or bring it about that the query is asked again.
 */
void handler_sql_stream(struct call *call, const struct pgjson_columns *columns);

/* The rows so far do not count. */
void handler_sql_again(void *owner);

/* There are no more rows of a stream that has started; complete says whether those were all. */
void handler_sql_stream_end(struct call *call, bool complete);

/* The lane, as something that readers hold. */
struct readers_source *handler_sql_source(struct readers *readers, const struct db_lane *lane);

/* Answers with what PostgreSQL's error means (handlers/sql_error.c), and logs what the client is not told. */
void handler_sql_error(struct call *call, const struct db_answer *answer);

/* Only logs it: the answer has begun, and is cut off. error is that of DB_REJECTED. */
void handler_sql_broke_off(const struct call *call, enum db_outcome outcome, const char *error);

/* Answers, and logs, that something was done whose answer cannot be read. */
void handler_sql_unreadable(struct call *call);

/* For headers_fill: a parameter's value, when there is no row. arg is the call. */
bool handler_sql_parameter(void *arg, const char *name, struct str *value);

#endif
