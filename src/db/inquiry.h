/*
 * inquiry.h: questions to PostgreSQL one at a time, each of which is waited for. For `hayfork -t --db` alone:
 * a worker never waits.
 */
#ifndef HAYFORK_DB_INQUIRY_H
#define HAYFORK_DB_INQUIRY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

struct db_inquiry {
    PGconn *pg;
    const char *lost;  /* why nothing more can be asked, or NULL */
    unsigned deadline; /* ms after which the server itself gives up */
    char *settings;    /* SQL that begins a transaction, behind a pooler; or NULL */
};

/*
 * Begins on a session, which it owns then. A pooler may have dropped the settings that the session was asked
 * for, and may give two questions two sessions, so that what one prepares is not there for the next: behind a
 * pooler, questions are asked in transactions that begin with these settings, one SQL statement.
 */
void db_inquiry_begin(struct db_inquiry *inquiry, PGconn *pg, unsigned deadline, const char *settings);

/* Ends it, and the session. */
void db_inquiry_end(struct db_inquiry *inquiry);

/*
 * sent is what libpq says about sending a question: 1 if it could be done. Waits for all results and returns
 * the first error among them, or else the last one, which the caller clears. NULL if none comes in time or
 * the connection is lost: then inquiry->lost says why.
 */
PGresult *db_inquiry_receive(struct db_inquiry *inquiry, int sent);

/* Prepares sql as the unnamed statement. The types of the first n parameters are given; 0 is left open. */
PGresult *db_inquiry_prepare(struct db_inquiry *inquiry, const char *sql, const Oid *types, size_t n);

/* Describes the unnamed statement. */
PGresult *db_inquiry_describe(struct db_inquiry *inquiry);

/* Runs sql with one parameter of that type (0: to be found out), given as text. */
PGresult *db_inquiry_ask(struct db_inquiry *inquiry, const char *sql, Oid type, const char *value);

/* Has a statement been prepared or described? */
bool db_inquiry_is_good(const PGresult *result);

/* Has a statement run that gives rows? */
bool db_inquiry_has_rows(const PGresult *result);

#endif
