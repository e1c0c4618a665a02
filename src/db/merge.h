/* merge.h: reads that wait for the same statement go out as one: see db/merge.c. */
#ifndef HAYFORK_DB_MERGE_H
#define HAYFORK_DB_MERGE_H

#include "db/ask.h"

enum { DB_MERGE_MOST = 32 }; /* queries in one statement */

/* What is known of a statement. */
struct db_merge {
    bool refused;        /* its merged form would be something else, or does not work, */
    unsigned generation; /* as the statement was then */
    size_t most;         /* at most so many queries in one; fewer if they take long together */
    unsigned rest;       /* ms: the present or last pause without merging, 0 if it went well since */
    uint64_t not_before; /* clock_ms: the end of that pause */
    size_t usual;        /* how many have gone out at a time lately, in sixteenths */
    size_t seen;         /* how many waited when they were held back last */
    unsigned held;       /* turns for which they have been held back */
};

void db_merge_init(struct db_merge *merge);

/* A statement was prepared on a connection: so is its merged form, if it may have one. */
void db_merge_prepare(struct db_connection *connection, struct db_statement *statement);

/* Can queries of the statement be merged on the connection now? Those of one that is heavy are not. */
bool db_merge_can(const struct db_connection *connection, const struct db_statement *statement);

/*
 * How many of those that wait go out now, as one: those that come first and have the same settings. 0 while
 * they are held back because more may come: until less of the statement is in flight, of which there is so
 * much, or until the next turn: then *gathers becomes true.
 */
size_t db_merge_plan(struct db_statement *statement, size_t n_in_flight, bool *gathers);

/* Sends that many of them. */
void db_merge_send(struct db_connection *connection, struct db_statement *statement, size_t n);

/* Is it merged, and takes so long that its queries had better be asked one by one? */
bool db_merge_is_stuck(const struct db_ask *ask);

/* All queries of it wait again, each to be asked by itself; their statement is not merged for a while. */
void db_merge_split(struct db_ask *ask);

/* Several of the statement as one took that many ms at the head. */
void db_merge_learn(struct db_statement *statement, uint64_t ms);

#endif
