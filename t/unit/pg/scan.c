/* sql.c: what the scanner takes for a parameter, what it refuses, and where things came from. */
#include "pg/scan.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* The names of a statement in $n order, with blanks between them. */
static char *names_of(const struct sql_statement *statement)
{
    char *all = mem_strdup("");
    for (size_t i = 0; i < statement->n_params; i++) {
        char *longer = mem_printf("%s%s%s", all, i == 0 ? "" : " ", statement->names[i]);
        free(all);
        all = longer;
    }
    return all;
}

/* The source comes to be the text, with these names. A text of NULL is the source unchanged. */
static const struct {
    const char *what, *source, *text, *names;
} accepted[] = {
    {"a parameter", "select * from t where id = :id", "select * from t where id = $1", "id"},
    {"two, numbered as they come", "select :b, :a", "select $1, $2", "b a"},
    {"the same name twice is one parameter", "select :a, :b, :a", "select $1, $2, $1", "a b"},
    {"a name that begins another", "select :id, :idx, :i", "select $1, $2, $3", "id idx i"},
    {"capitals count", "select :Id, :id", "select $1, $2", "Id id"},
    {"digits and underscores", "select :_a1, :b_2", "select $1, $2", "_a1 b_2"},
    {"a multi-byte name", "select :größe, :名", "select $1, $2", "größe 名"},
    {"at the start and at the end", ":a = :b", "$1 = $2", "a b"},
    {"nothing but a parameter", ":a", "$1", "a"},
    {"none at all", "select 1", NULL, ""},

    {"a cast", "select a::text, '1' :: int, :n::int", "select a::text, '1' :: int, $1::int", "n"},
    {"a cast of a cast", "select :n::int::text", "select $1::int::text", "n"},
    {"a cast directly behind a bracket", "select (a)::text, b[1]::text", NULL, ""},
    {"a named argument", "select f(a := 1, b=>:n, c := :m)", "select f(a := 1, b=>$1, c := $2)", "n m"},
    {"a colon and a blank", "select a : b", NULL, ""},
    {"a colon and a digit", "select a :1", NULL, ""},
    {"a colon at the end", "select a:", NULL, ""},

    {"behind an operator", "select a<:b, a<=:c, a!=:d", "select a<$1, a<=$2, a!=$3", "b c d"},
    {"behind the operators of jsonb", "select a?:k, a->:k, a#>>:p", "select a?$1, a->$1, a#>>$2", "k p"},
    {"behind an operator and a minus", "select -:n", "select -$1", "n"},
    {"between brackets and commas", "select f(:a,:b)", "select f($1,$2)", "a b"},
    {"behind a word: a blank keeps them apart", "select 1 limit:n", "select 1 limit $1", "n"},
    {"behind a number", "select 1:n", "select 1 $1", "n"},
    {"behind a parameter", "select :a:b", "select $1 $2", "a b"},
    {"behind a string", "select 'x':n", "select 'x'$1", "n"},

    {"in a string", "select ':a', 'it''s :a', ''':a'", NULL, ""},
    {"a backslash does not escape in a string", "select '\\', :a", "select '\\', $1", "a"},
    {"it does in an E string", "select E'\\':a', e'\\\\', :b", "select E'\\':a', e'\\\\', $1", "b"},
    {"e may be small", "select e'\\':a'", NULL, ""},
    {"a doubled quote in an E string", "select E'it''s \\':a'", NULL, ""},
    {"an E string that goes on in the next line", "select E'a'\n  '\\':a'", NULL, ""},
    {"with a comment between", "select E'a' -- it's\n'\\':a'", NULL, ""},
    {"but not on the same line", "select E'a' '\\', :a", "select E'a' '\\', $1", "a"},
    {"nor behind a comma", "select E'a',\n'\\', :a", "select E'a',\n'\\', $1", "a"},
    {"a word that ends in e is no E string", "select type'\\', :a", "select type'\\', $1", "a"},
    {"nor is one that begins with it", "select case when :a then 'b' else'\\' end, :c",
     "select case when $1 then 'b' else'\\' end, $2", "a c"},
    {"B'' and X''", "select B'01', X'ff', :a", "select B'01', X'ff', $1", "a"},
    {"N'' and a date", "select N':a', date':b'", NULL, ""},
    {"U&''", "select U&'\\', U&'d\\0061:a' uescape '!', :b", "select U&'\\', U&'d\\0061:a' uescape '!', $1",
     "b"},
    {"an empty string", "select '', :a, E'', :b", "select '', $1, E'', $2", "a b"},
    {"a string over two lines", "select ':a\n:b'", NULL, ""},

    {"in a quoted name", "select \":a\", \"x\"\":b\"", NULL, ""},
    {"a quote in a quoted name", "select \"it's\", :a", "select \"it's\", $1", "a"},
    {"U&\"\"", "select U&\"\\00e4:a\", :b", "select U&\"\\00e4:a\", $1", "b"},

    {"in a line comment", "select 1 -- :a isn't\n, :b", "select 1 -- :a isn't\n, $1", "b"},
    {"in a line comment that ends the text", "select 1 -- :a", NULL, ""},
    {"in a comment", "select 1 /* :a isn't */, :b", "select 1 /* :a isn't */, $1", "b"},
    {"in nested comments", "/* /* :a */ :b */ select :c", "/* /* :a */ :b */ select $1", "c"},
    {"/*/ opens only", "/*/ :a */ select :b", "/*/ :a */ select $1", "b"},
    {"an operator ends where a comment begins", "select 1 +/* :a */ 2 +-- :b\n 3", NULL, ""},
    {"two minus signs in a string are none", "select '--', :a", "select '--', $1", "a"},
    {"minus and division", "select 4 - :a / :b", "select 4 - $1 / $2", "a b"},

    {"in a dollar quote", "select $$ :a ' $$, :b", "select $$ :a ' $$, $1", "b"},
    {"with a tag", "select $t$ :a $$ $T$ $t$, :b", "select $t$ :a $$ $T$ $t$, $1", "b"},
    {"with a multi-byte tag", "select $größe$ :a $größe$", NULL, ""},
    {"an empty dollar quote", "select $$$$, :a", "select $$$$, $1", "a"},
    {"a dollar in a word quotes nothing", "select a$b$ :a, c$b$", "select a$b$ $1, c$b$", "a"},
    {"abc$1 is a word", "select abc$1, é$2", NULL, ""},
    {"a dollar by itself", "select a $ b", NULL, ""},

    {"a slice", "select a[1:2]", NULL, ""},
    {"a slice up to a column", "select a[1:n], a[i:n], a[\"i\":n], a[f(x):n], a[b[1]:n], a['1':n]", NULL, ""},
    {"a slice with a blank behind its colon", "select a[1 : n], a[: n], a[1:]", NULL, ""},
    {"an element", "select a[:n]", "select a[$1]", "n"},
    {"a slice between parameters", "select a[:m : :n], a[1: :n]", "select a[$1 : $2], a[1: $2]", "m n"},
    {"a parameter behind a blank is one", "select a[1 :n]", "select a[1 $1]", "n"},
    {"elements of an array", "select array[:a,:b, :c]", "select array[$1,$2, $3]", "a b c"},
    {"a query in an array", "select array[(select x from t where y=:a)]",
     "select array[(select x from t where y=$1)]", "a"},
    {"behind the brackets all is as before", "select a[1:2], 3:n", "select a[1:2], 3 $1", "n"},
    {"brackets in a string are none", "select '[', 3:n", "select '[', 3 $1", "n"},
    {"a bracket too many", "select a], 3:n", "select a], 3 $1", "n"},

    {"a semicolon at the end is dropped", "select 1;", "select 1", ""},
    {"with blanks and comments behind it", "select :a ; -- done\n /* really */ ;\n", "select $1 ", "a"},
    {"a semicolon in a string is none", "select ';', $$;$$, \";\" -- ;", NULL, ""},
};

static void test_accepted(void)
{
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        struct sql_statement statement;
        size_t error_at = 0;
        const char *error = sql_scan(str_of(accepted[i].source), &statement, &error_at);
        if (!is_str(error, NULL, "%s: no error", accepted[i].what))
            continue;
        const char *want = accepted[i].text == NULL ? accepted[i].source : accepted[i].text;
        is_str(statement.text, want, "%s: text", accepted[i].what);
        char *names = names_of(&statement);
        is_str(names, accepted[i].names, "%s: names", accepted[i].what);
        free(names);
        sql_free(&statement);
    }
}

/* The error is found where the '^' stands in the source, which is cut out for the scan. */
static const struct {
    const char *source, *message;
} refused[] = {
    {"select ^'abc", "this string has no closing '"},
    {"select ^'it''s", "this string has no closing '"},
    {"select 'a' ^'", "this string has no closing '"},
    {"select E^'abc\\'", "this string has no closing '"},
    {"select E^'abc\\", "this string has no closing '"},
    {"select E^'abc'\n'\\'", "this string has no closing '"},
    {"select ^\"abc", "this quoted name has no closing \""},
    {"select ^$$ abc $", "this dollar quote is not closed: the same $tag$ must follow"},
    {"select ^$t$ abc $$ $T$", "this dollar quote is not closed: the same $tag$ must follow"},
    {"select ^$t$", "this dollar quote is not closed: the same $tag$ must follow"},
    {"select ^/* abc", "this comment has no closing */ (comments nest: every /* needs its own)"},
    {"select ^/* /* abc */", "this comment has no closing */ (comments nest: every /* needs its own)"},
    {"select ^/*/", "this comment has no closing */ (comments nest: every /* needs its own)"},
    {"select 1; ^/* abc", "this comment has no closing */ (comments nest: every /* needs its own)"},
    {"select ^$1", "write parameters as :name, not as $1"},
    {"select :a + ^$2", "write parameters as :name, not as $1"},
    {"select 1; ^select 2", "a second statement begins here; a route has exactly one"},
    {"select 1; -- one\n ^:a", "a second statement begins here; a route has exactly one"},
    {"select 1;;^'", "a second statement begins here; a route has exactly one"},
    {"^", "there is no SQL statement here"},
    {"^ \n-- nothing", "there is no SQL statement here"},
    {"^;", "there is no SQL statement here"},
    {"/* first */ ^; select 1", "there is no SQL statement before this ';'"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *source = mem_strdup(refused[i].source);
        char *caret = strchr(source, '^');
        memmove(caret, caret + 1, strlen(caret));
        struct sql_statement statement;
        size_t error_at = 1000;
        const char *error = sql_scan(str_of(source), &statement, &error_at);
        is_str(error, refused[i].message, "refused: %s", refused[i].source);
        is_int((long long)error_at, caret - source, "its place: %s", refused[i].source);
        ok(statement.text == NULL && statement.n_params == 0, "nothing to free: %s", refused[i].source);
        free(source);
    }
}

static void test_nul(void)
{
    struct sql_statement statement;
    size_t error_at = 0;
    const char *error = sql_scan(STR("select 'a\0b'"), &statement, &error_at);
    is_str(error, "there is a NUL byte in the SQL", "a NUL byte is refused");
    is_int((long long)error_at, 9, "and found");
    error = sql_scan((struct str){NULL, 0}, &statement, &error_at);
    is_str(error, "there is no SQL statement here", "no bytes at all");
}

static void test_limit(void)
{
    char source[1000] = "select ";
    struct sql_statement statement;
    size_t error_at = 0;
    for (int i = 0; i < SQL_MAX_PARAMS; i++)
        sprintf(source + strlen(source), ":p%d,", i);
    strcat(source, ":p0");
    is_str(sql_scan(str_of(source), &statement, &error_at), NULL, "64 parameters, one of them twice");
    is_int((long long)statement.n_params, SQL_MAX_PARAMS, "are counted");
    is_str(statement.names[63], "p63", "the last is there");
    ok(strstr(statement.text, "$63,$64,$1") != NULL, "the text ends in $63,$64,$1");
    sql_free(&statement);
    size_t len = strlen(source);
    strcat(source, ",:p64");
    is_str(sql_scan(str_of(source), &statement, &error_at),
           "too many parameters: a statement may have 64 different ones", "the 65th is refused");
    is_int((long long)error_at, (long long)len + 1, "and found");
}

/* Texts grow where a name is shorter than its number: the worst is one letter that becomes ` $10`. */
static void test_growth(void)
{
    char source[200] = "";
    struct sql_statement statement;
    size_t error_at = 0;
    for (char c = 'a'; c <= 'z'; c++)
        sprintf(source + strlen(source), ":%c:%c", c, c - 'a' + 'A');
    is_str(sql_scan(str_of(source), &statement, &error_at), NULL, "52 parameters in a row");
    ok(strncmp(statement.text, "$1 $2 $3 ", 9) == 0, "are kept apart");
    ok(strstr(statement.text, " $51 $52") != NULL, "to the last");
    sql_free(&statement);
}

static void test_offsets(void)
{
    /*                    0         1         2         3
     *                    0123456789012345678901234567890123 */
    const char *source = "select :first, é, :x limit:n; -- z";
    const char *text = "select $1, é, $2 limit $3";
    struct sql_statement statement;
    size_t error_at = 0;
    is_str(sql_scan(str_of(source), &statement, &error_at), NULL, "a statement with three parameters");
    is_str(statement.text, text, "becomes shorter");
    is_int((long long)statement.name_offsets[0], 7, ":first is used at 7");
    is_int((long long)statement.name_offsets[2], strstr(source, ":n") - source, ":n where it stands");
    is_int((long long)statement.n_edits, 3, "three places differ");

    static const struct {
        const char *what, *in_text, *in_source;
    } places[] = {
        {"the beginning", "select", "select"},
        {"a parameter", "$1", ":first"},
        {"the digit of a parameter", "1, ", ":first"},
        {"just behind a parameter", ", é", ", é"},
        {"between parameters", "é", "é"},
        {"the second parameter", "$2", ":x"},
        {"a word behind it", "limit", "limit"},
        {"the blank put before a parameter", " $3", ":n"},
        {"the parameter behind it", "$3", ":n"},
        {"the end", "", "; --"},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const char *at = places[i].in_text[0] == '\0' ? text + strlen(text) : strstr(text, places[i].in_text);
        is_int((long long)sql_source_offset(&statement, (size_t)(at - text)),
               strstr(source, places[i].in_source) - source, "the source of %s", places[i].what);
    }
    sql_free(&statement);

    source = "select :a, :b";
    is_str(sql_scan(str_of(source), &statement, &error_at), NULL, "a statement that keeps its length");
    bool same = true;
    for (size_t i = 0; i < strlen(source); i++)
        same = same && sql_source_offset(&statement, i) == (i == 8 || i == 12 ? i - 1 : i);
    ok(same, "all its places are where they were");
    sql_free(&statement);
    ok(statement.text == NULL && statement.n_edits == 0, "sql_free leaves the statement empty");
    sql_free(&statement);
}

static void test_rename(void)
{
    struct sql_statement statement;
    size_t error_at = 0;
    is_str(sql_scan(str_of("select ':a', :a, x limit:b -- :a"), &statement, &error_at), NULL, "a statement");
    char *renamed = sql_rename(&statement, "(k.p", ")");
    is_str(renamed, "select ':a',  (k.p1), x limit (k.p2) -- :a", "its parameters by other names");
    free(renamed);
    sql_free(&statement);

    is_str(sql_scan(str_of("select 1"), &statement, &error_at), NULL, "a statement without parameters");
    renamed = sql_rename(&statement, "k.p", "");
    is_str(renamed, "select 1", "stays as it is");
    free(renamed);
    sql_free(&statement);
}

/* What sql_scan keeps as words, with blanks between them. */
static void words_are(const char *source, const char *expected, const char *what)
{
    struct sql_statement statement;
    size_t error_at = 0;
    is_str(sql_scan(str_of(source), &statement, &error_at), NULL, "%s", source);
    char *all = mem_strdup("");
    for (size_t i = 0; i < statement.n_words; i++) {
        char *longer = mem_printf("%s%s%s", all, i == 0 ? "" : " ", statement.words[i]);
        free(all);
        all = longer;
    }
    is_str(all, expected, "%s", what);
    free(all);
    sql_free(&statement);
}

static void test_words(void)
{
    char name[] = "select x1234567890123456789012345678901234567890123456789012345678901é";
    words_are("SELECT a, B.a FROM Big b", "a b big from select", "each word once, in small letters");
    words_are("select \"Big One\".\"a\"\"b\" from t", "Big One a\"b from select t",
              "names in quotes as they are");
    words_are("select U&\"d\\0061t\\+000061\", u&\"\\00e9\\4f60\\+01f600\", U&\"a\\\\b\\006\"",
              "a\\b\\006 data select u é你😀", "what escapes stand for in a name with U&");
    words_are("select U&\"!0061\\0062\" /**/ UESCAPE '!'", "a\\0062 select u uescape",
              "by another character");
    words_are("select xu&\"\\0061\", x &\"\\0061\"", "\\0061 select x xu", "but in no other name");
    words_are("select 'no', $$no$$, E'\\'no', :no, 7 -- no\n/* no */", "e select", "what is no word");
    words_are(name, "select x1234567890123456789012345678901234567890123456789012345678901",
              "a name of 64 bytes is cut between characters");
    words_are("select \"0123456789012345678901234567890123456789012345678901234567890123456789\"",
              "012345678901234567890123456789012345678901234567890123456789012 select",
              "so is one in quotes");

    struct sql_statement statement;
    size_t error_at = 0;
    is_str(sql_scan(str_of("select * from t TableSample system (1)"), &statement, &error_at), NULL,
           "a sample");
    ok(sql_has_word(&statement, "tablesample"), "a word that is there");
    ok(!sql_has_word(&statement, "table"), "one that is not");
    sql_free(&statement);
    ok(!sql_has_word(&statement, "select"), "nothing is in what was freed");
    is_str(sql_scan(str_of("select \"a"), &statement, &error_at), "this quoted name has no closing \"",
           "an error");
    is_int((long long)statement.n_words, 0, "leaves no words");
}

/* The first `:a` in quotes, with what it stands in. */
static void quoted_is(const char *source, const char *in, const char *what)
{
    size_t from = 0, to = 0, at = sql_find_quoted(str_of(source), "a", &from, &to);
    if (in == NULL) {
        is_int((long long)at, (long long)strlen(source), "%s", what);
        return;
    }
    char *found = mem_strndup(source + from, to - from);
    is_str(found, in, "%s", what);
    ok(at > from && at < to && memcmp(source + at, ":a", 2) == 0, "... and where");
    free(found);
}

static void test_quoted(void)
{
    quoted_is("select ':a', :a", "':a'", "in a string");
    quoted_is("select :a, ':b', 'it''s :a'", "'it''s :a'", "in the second one");
    quoted_is("select E'\\':a'", "E'\\':a'", "in one with escapes");
    quoted_is("select \"x :a\"", "\"x :a\"", "in a name");
    quoted_is("select $q$ ':a' $q$", "$q$ ':a' $q$", "in a dollar quote");
    quoted_is("select '::a :ab :A', :a::a -- ':a'\n/* ':a' */", NULL, "nowhere");
    quoted_is("", NULL, "in nothing");
}

int main(void)
{
    test_accepted();
    test_refused();
    test_nul();
    test_limit();
    test_growth();
    test_offsets();
    test_rename();
    test_words();
    test_quoted();
    return done_testing();
}
