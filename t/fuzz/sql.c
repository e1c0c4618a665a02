/* sql.c: fuzz target for the scanner of SQL: the text, its parameters and the map back to the source agree.
 */
#include "pg/scan.h"

#include <strings.h>

#include "fuzz.h"

/* The text is the source with each edit's place replaced, and perhaps without what follows a ';'. */
static void check_edits(const struct sql_statement *statement, struct str source)
{
    size_t source_at = 0, text_at = 0, text_len = strlen(statement->text);
    for (size_t i = 0; i <= statement->n_edits; i++) {
        const struct sql_edit *edit = i < statement->n_edits ? &statement->edits[i] : NULL;
        size_t text_to = edit == NULL ? text_len : edit->text_from, same = text_to - text_at;
        FUZZ_CHECK(text_to >= text_at && text_to <= text_len && same <= source.len - source_at,
                   "edit %zu lies elsewhere", i);
        FUZZ_CHECK(memcmp(source.base + source_at, statement->text + text_at, same) == 0,
                   "the text before edit %zu is another", i);
        if (edit == NULL)
            break;
        FUZZ_CHECK(edit->source_from == source_at + same && edit->source_to > edit->source_from + 1 &&
                       edit->source_to <= source.len && edit->text_to > edit->text_from,
                   "edit %zu lies elsewhere", i);
        struct str name = {source.base + edit->source_from + 1, edit->source_to - edit->source_from - 1};
        size_t blank = statement->text[edit->text_from] == ' ';
        char *end;
        unsigned long number = strtoul(statement->text + edit->text_from + blank + 1, &end, 10);
        FUZZ_CHECK(source.base[edit->source_from] == ':' && statement->text[edit->text_from + blank] == '$' &&
                       end == statement->text + edit->text_to,
                   "edit %zu is no parameter", i);
        FUZZ_CHECK(number >= 1 && number <= statement->n_params &&
                       str_equal(str_of(statement->names[number - 1]), name),
                   "edit %zu is another parameter", i);
        source_at = edit->source_to;
        text_at = edit->text_to;
    }
}

static void check_map(const struct sql_statement *statement, struct str source)
{
    size_t before = 0, edit = 0;
    for (size_t at = 0; at <= strlen(statement->text); at++) {
        size_t from = sql_source_offset(statement, at);
        FUZZ_CHECK(from >= before && from <= source.len, "offset %zu comes from %zu", at, from);
        while (edit < statement->n_edits && statement->edits[edit].text_to <= at)
            edit++;
        if (edit < statement->n_edits && statement->edits[edit].text_from <= at)
            FUZZ_CHECK(from == statement->edits[edit].source_from, "offset %zu is in edit %zu", at, edit);
        else if (statement->text[at] != '\0')
            FUZZ_CHECK(source.base[from] == statement->text[at], "offset %zu comes from %zu", at, from);
        before = from;
    }
}

static void check_names(const struct sql_statement *statement, struct str source)
{
    FUZZ_CHECK(statement->n_params <= SQL_MAX_PARAMS, "%zu parameters", statement->n_params);
    for (size_t i = 0; i < statement->n_params; i++) {
        size_t at = statement->name_offsets[i], len = strlen(statement->names[i]);
        FUZZ_CHECK(source.len - at > len && source.base[at] == ':' &&
                       memcmp(source.base + at + 1, statement->names[i], len) == 0,
                   "name %zu is not where it says", i);
        for (size_t j = 0; j < i; j++)
            FUZZ_CHECK(strcmp(statement->names[i], statement->names[j]) != 0 &&
                           statement->name_offsets[j] < at,
                       "names %zu and %zu", i, j);
    }
}

/* The text, taken for a source, is refused for its first $1, or is the same again. */
static void check_again(const struct sql_statement *statement)
{
    struct sql_statement again;
    size_t error_at = SIZE_MAX;
    const char *error = sql_scan(str_of(statement->text), &again, &error_at);
    if (statement->n_edits > 0) {
        size_t at = statement->edits[0].text_from;
        FUZZ_CHECK(error != NULL && error_at == at + (statement->text[at] == ' '), "%s at %zu", error,
                   error_at);
    } else {
        FUZZ_CHECK(error == NULL && strcmp(again.text, statement->text) == 0, "%s at %zu", error, error_at);
        sql_free(&again);
    }
}

/* A statement is taken apart where one of its words begins; the whole of it has a WITH in front, or is all
 * there is. */
static void check_main_part(const char *text)
{
    size_t main = sql_main_part(text), first = sql_first_word(str_of(text));
    FUZZ_CHECK(main == 0 || (main <= strlen(text) && first < main), "the main part is at %zu", main);
    FUZZ_CHECK(main == 0 || strncasecmp(text + first, "WITH", 4) == 0, "there is no WITH at %zu", first);
    FUZZ_CHECK(!sql_is_write(text) || main == 0, "it is a write itself");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = fuzz_copy(data, size);
    struct str source = {exact, size};
    struct sql_statement statement;
    size_t error_at = SIZE_MAX;
    const char *error = sql_scan(source, &statement, &error_at);
    if (error != NULL) {
        FUZZ_CHECK(error_at <= size, "%s at %zu of %zu", error, error_at, size);
        FUZZ_CHECK(statement.text == NULL && statement.n_params == 0 && statement.edits == NULL,
                   "something is left");
    } else {
        check_edits(&statement, source);
        check_names(&statement, source);
        check_map(&statement, source);
        check_again(&statement);
        check_main_part(statement.text);
        sql_free(&statement);
    }
    free(exact);
    return 0;
}
