/* description.c: what PostgreSQL said of a statement. */
#include "db/description.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct db_description *db_description_new(const struct pgwire_message *message)
{
    struct db_description *description = mem_calloc(1, sizeof(*description));
    description->references = 1;
    description->digest = hash_64_bytes(HASH_64, message->body, message->len);
    if (pgwire_types(message, &description->types, &description->n_types))
        return description;
    db_description_drop(description);
    return NULL;
}

uint64_t db_fields_digest(const struct pgwire_message *message)
{
    return hash_64_bytes(HASH_64, message->body, message->len) | 1;
}

bool db_description_take_fields(struct db_description *description, const struct pgwire_message *message,
                                struct db_fields *fields)
{
    description->digest = hash_64_bytes(description->digest, message->body, message->len);
    fields->digest = db_fields_digest(message);
    if (message->type == PGWIRE_NO_DATA)
        return message->len == 0;
    fields->text = mem_alloc(message->len + 1);
    memcpy(fields->text, message->body, message->len);
    struct pgwire_message kept = {message->type, fields->text, message->len};
    return pgwire_fields(&kept, &fields->all, &fields->n);
}

void db_description_complete(struct db_description *description, const struct db_fields *fields,
                             enum pgjson_want want, struct pgcatalogue *catalogue)
{
    description->catalogue = catalogue == NULL ? NULL : pgcatalogue_keep(catalogue);
    description->parameters = mem_calloc(description->n_types, sizeof(*description->parameters));
    for (size_t i = 0; i < description->n_types; i++)
        description->parameters[i] = pgtypes_parameter(pgcatalogue_find(catalogue, description->types[i]));
    description->columns = pgjson_columns_new(fields->all, fields->n, want, catalogue);
}

bool db_description_takes_the_same(const struct db_description *one, const struct db_description *other)
{
    return one->n_types == other->n_types &&
           memcmp(one->types, other->types, one->n_types * sizeof(*one->types)) == 0;
}

void db_description_drop(struct db_description *description)
{
    if (description == NULL || --description->references > 0)
        return;
    pgjson_columns_free(description->columns);
    pgcatalogue_drop(description->catalogue);
    free(description->parameters);
    free(description->types);
    free(description);
}

struct db_fields db_fields_take(struct db_fields *from)
{
    struct db_fields taken = *from;
    *from = (struct db_fields){0};
    return taken;
}

void db_fields_clear(struct db_fields *fields)
{
    free(fields->all);
    free(fields->text);
    *fields = (struct db_fields){0};
}
