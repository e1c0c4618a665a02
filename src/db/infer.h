/*
 * infer.h: finds out the type of a parameter that PostgreSQL cannot tell, from the parameter's other uses.
 *
 * In `:q IS NULL OR name ILIKE :q` the first use says nothing, and PostgreSQL refuses the statement (42P18).
 * So the statement is prepared with every use as a parameter of its own. The uses that say nothing are
 * complained of one by one, and are then declared as text; the others get the type that is looked for.
 */
#ifndef HAYFORK_DB_INFER_H
#define HAYFORK_DB_INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/scan.h"

/* What PostgreSQL said when it was to prepare and describe a statement: an error, or types. */
struct db_report {
    const char *state; /* SQLSTATE of the error; NULL if there is none */
    const char *message;
    bool has_detail;
    const uint32_t *types; /* of the parameters */
    size_t n_types;
};

struct db_inference;

/* target counts from 1, as in $1. declared[0..n_params) are types that are known already, 0 for those that
 * are not. statement and declared must outlive the inference. */
struct db_inference *db_infer_new(const struct sql_statement *statement, size_t target,
                                  const uint32_t *declared);

/* What is to be prepared and described next, with these types. Both belong to the inference. */
const char *db_infer_sql(const struct db_inference *inference);
size_t db_infer_types(const struct db_inference *inference, const uint32_t **types);

enum db_inferred {
    DB_INFER_AGAIN,  /* prepare and describe once more */
    DB_INFER_FOUND,  /* *type is the type */
    DB_INFER_UNKNOWN /* no use tells it */
};

/* Takes the description, or the error, of what was prepared. */
enum db_inferred db_infer_take(struct db_inference *inference, const struct db_report *report,
                               uint32_t *type);

void db_infer_free(struct db_inference *inference);

/* The parameter whose type an error says cannot be told (42P18, 42P08), counted from 1; 0 for any other
 * error. */
size_t db_infer_complaint(const struct db_report *report);

#endif
