/* conninfo.c: libpq's connection strings: what is refused in one, and what of it is never shown. */
#include "conf/conninfo.h"

#include <libpq-fe.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

static const struct {
    const char *text, *shown;
} hidden[] = {
    {"", ""},
    {"dbname=contacts", "dbname=contacts"},
    {"contacts", "contacts"},
    {"user=a password=hush dbname=contacts", "user=a password=*** dbname=contacts"},
    {"password = 'hu\\'sh x' user = 'a b'", "password = '***' user = 'a b'"},
    {"password=hu\\ sh host=b", "password=*** host=b"},
    {"password= hush host=b", "password= *** host=b"},
    {"sslpassword=hush sslkey=c", "sslpassword=*** sslkey=c"},
    {"scram_client_key=hush host=b", "scram_client_key=*** host=b"},
    {"scram_server_key=hush host=b", "scram_server_key=*** host=b"},
    {"oauth_client_secret=hush host=b", "oauth_client_secret=*** host=b"},
    {"passfile=/etc/pass user=password", "passfile=/etc/pass user=password"},
    {"host=a keepalives=1 sslcrl=b", "host=a keepalives=1 sslcrl=b"},
    /* what libpq does not take */
    {"PGPASSWORD=hush", "PGPASSWORD=***"},
    {"Password=hush host=b", "Password=*** host=b"},
    {"passwd=hush pwd=hush pass=hush", "passwd=*** ***"},
    {"api_token=hush", "api_token=***"},
    {"password=hush hush host=b", "password=*** ***"},
    {"password=hush host host=b", "password=*** ***"},
    {"password=hush hush=hush", "password=*** ***"},
    {"user=a password='hush", "user=a password='***"},
    {"user=a options='hush password=hush", "user=a options='***"},
    {"dbname='host=b password=hush' user=a", "dbname='***' user=a"},
    {"dbname=postgres://a:hush@b", "dbname=***"},
    /* URIs */
    {"postgresql://db/contacts", "postgresql://db/contacts"},
    {"postgresql://a@db:5432,[::1]:5433/contacts", "postgresql://a@db:5432,[::1]:5433/contacts"},
    {"postgres://a:hush@db:5432/contacts?sslmode=off", "postgres://a:***@db:5432/contacts?sslmode=off"},
    {"postgres://a:@db", "postgres://a:@db"},
    {"postgresql://a:hu?sh@db?user=b@c", "postgresql://a:***@db?user=b@c"},
    {"postgresql://a:hu/s@h@db/contacts", "postgresql://a:***@db/contacts"},
    {"postgresql://a:12/34@db/contacts", "postgresql://a:***@db/contacts"},
    {"postgresql://a:12/3?4@db/contacts", "postgresql://a:***@db/contacts"},
    {"postgresql://a:hu%zzsh@db/contacts", "postgresql://a:***@db/contacts"},
    {"postgresql://db:5432/contacts?user=b@c", "postgresql://db:5432/contacts?user=b@c"},
    {"postgresql:///contacts?password=hush&user=a", "postgresql:///contacts?password=***&user=a"},
    {"postgresql:///contacts?user=a&sslpassword=hush", "postgresql:///contacts?user=a&sslpassword=***"},
    {"postgresql:///?pass%77ord=hush", "postgresql:///?pass%77ord=***"},
    {"postgresql:///?%70%61%73%73%77%6F%72%64=hush&user=a",
     "postgresql:///?%70%61%73%73%77%6F%72%64=***&user=a"},
    {"postgresql:///?%73%63%72%61%6d_client_key=hush", "postgresql:///?%73%63%72%61%6d_client_key=***"},
    {"postgresql:///?oauth%5Fclient%5fsecret=hush", "postgresql:///?oauth%5Fclient%5fsecret=***"},
    {"postgresql:///?PASSWORD=hush", "postgresql:///?PASSWORD=***"},
    {"postgresql:///?password=hush=hush", "postgresql:///?password=***"},
    {"mysql://a:hush@db/contacts", "mysql://a:***@db/contacts"},
    {"postgresql:/a:hush@db/contacts", "postgresql:***@db/contacts"},
    {"a:hush@db/contacts?sslmode=on", "a:***@db/contacts?sslmode=on"},
    {"postgres://a:hu@sh@db/contacts", "postgres://a:***@db/contacts"},
    {"jdbc:postgresql://db/contacts?user=a&password=hush",
     "jdbc:postgresql://db/contacts?user=a&password=***"},
};

/* The caret stands below the byte at which the text is wrong. */
static const struct {
    const char *text, *at, *problem;
} refused[] = {
    {"shop", "shop", "\"shop\" is not a connection string: write dbname=shop"},
    {"  shop", "shop", "\"shop\" is not a connection string: write dbname=shop"},
    {"my shop", "my shop", "this is not a connection string: a database of this name is dbname='NAME'"},
    {"host=a shop", "shop",
     "this word has no `=`: options are written KEY=VALUE, and a value with spaces needs single quotes"},
    {"shop host=a", "shop host",
     "this word has no `=`: options are written KEY=VALUE, and a value with spaces needs single quotes"},
    {"host=a hots=b", "hots", "libpq has no option \"hots\"; did you mean \"host\"?"},
    {"host=a =b", "=b", "libpq has no option \"\""},
    {"password=hu sh=a", "sh=a", "this is not an option of libpq; a value with spaces needs single quotes"},
    {"host=a password='hush", "password",
     "the quote of this value is never closed; in a value a quote is \\'"},
    {"host=a port=5432x", "5432x", "a port is a number from 1 to 65535"},
    {"port=5432,0", "5432,0", "a port is a number from 1 to 65535"},
    {"port='65536'", "65536", "a port is a number from 1 to 65535"},
    {"mysql://a:hush@db", "mysql", "the URI of a database begins with postgresql:// or postgres://"},
    {"postgresql:/a:hush@db", "postgresql", "the URI of a database begins with postgresql:// or postgres://"},
    {"a:hush@db?sslmode=on", "a:", "the URI of a database begins with postgresql:// or postgres://"},
    {"host: a", "host", "this is not a connection string: a database of this name is dbname='NAME'"},
    {"postgres://a:hu@sh@db:1/b", "@sh", "only one @ stands before the host; in a password @ is written %40"},
    {"host=a,b port=1,2,3", "1,2,3", "3 ports do not fit 2 hosts: give one for each, or one for all"},
    {"port=1,2 hostaddr=::1", "1,2", "2 ports do not fit 1 host: give one for each, or one for all"},
    {"postgres://db?host=a,b,c&port=1,2", "1,2",
     "2 ports do not fit 3 hosts: give one for each, or one for all"},
    {"postgres://a:hu/sh@db", "hu/sh",
     "a port is a number from 1 to 65535; in a password : is written %3A, / %2F and @ %40"},
    {"postgres://a:hu%sh@db", "%sh", "after % come two hexadecimal digits; a % itself is written %25"},
    {"postgres://db/a%00b", "%00", "a connection string cannot contain a NUL character (%00)"},
    {"postgres://[::1/a", "[::1/a", "this bracket is never closed"},
    {"postgres://[]/a", "[]", "there is no address in these brackets"},
    {"postgres://[::1]5432/a", "5432",
     "after an address in brackets comes `:` and a port, `/` and a database, or `,` and another host"},
    {"postgres://db?user", "user", "this parameter has no `=`: it is written KEY=VALUE"},
    {"postgres://db?user=a=b", "=b", "there is one `=` too many; in a value it is written %3D"},
    {"postgres://db?usr=a", "usr", "libpq has no option \"usr\"; did you mean \"user\"?"},
    {"postgres://db?password=hu&sh=a", "sh=a",
     "this is not an option of libpq; in a URI a & in a value is written %26"},
    {"postgres://db?port=x", "x", "a port is a number from 1 to 65535"},
    {"sslmode=off user=a", "off", "sslmode takes disable, allow, prefer, require, verify-ca or verify-full"},
    {"user=a gssencmode = 'on'", "on", "gssencmode takes disable, prefer or require"},
    {"postgres://db?connect_timeout=2s", "2s", "connect_timeout takes a whole number"},
    {"keepalives_idle=-", "-", "keepalives_idle takes a whole number"},
};

static const char *const taken[] = {
    "",
    "  ",
    "dbname=shop",
    "host=a,b,c port=5432,,5433 user = 'a b' password=",
    "host=a port=' 5432 '",
    "host=a,b port=5432",
    "port=5432,5433",
    "host='a\\,b' port=5432,5433",
    "postgres://a@@run/shop",
    "postgres://a@%2Frun@b/shop",
    "port=54\\32",
    "password= host=b",
    "host='a'port=1",
    "service=shop passfile=/x",
    "postgres://",
    "postgresql://a:hush@[::1]:5432,db,db:/shop?ssl=true&connect_timeout=2&",
    "postgresql:///shop?host=/run/postgresql&port=5433",
    "postgres://%2Frun%2Fpostgresql/shop",
    "postgres://db:%35432/shop",
    "sslmode=verify-full ssl_min_protocol_version=tlsv1.2 target_session_attrs=prefer-standby",
    "sslmode='' connect_timeout=-1 keepalives=0 channel_binding=re\\quire",
    "postgres://db?sslmode=%64isable",
};

static void test_pair(void)
{
    static const struct {
        const char *name, *value, *pair;
    } pairs[] = {
        {"host", "db", "host=db"},       {"name", "my shop", "dbname='my shop'"},
        {"username", "a", "user=a"},     {"options", "-c a='b\\'", "options='-c a=\\'b\\\\\\''"},
        {"hostaddr", "", "hostaddr=''"}, {"password", "hush", NULL},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        bool secret = false;
        char *pair = conf_conninfo_pair(pairs[i].name, pairs[i].value, &secret);
        is_str(pair, pairs[i].pair, "%s as libpq's", pairs[i].name);
        ok(secret == (pairs[i].pair == NULL), "is it a secret?");
        free(pair);
    }
    ok(conf_conninfo_has_option("database") && !conf_conninfo_has_option("connections"), "what is an option");
}

static void test_hide(void)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        char *shown = conf_conninfo_hide(hidden[i].text);
        is_str(shown, hidden[i].shown, "of \"%s\" is shown what is no secret", hidden[i].text);
        free(shown);
    }
}

static void test_check(void)
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *problem = conf_conninfo_check(refused[i].text, &at);
        is_str(problem, refused[i].problem, "\"%s\" is refused", refused[i].text);
        is_int((long long)at, strstr(refused[i].text, refused[i].at) - refused[i].text, "and where");
        free(problem);
    }
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        char *problem = conf_conninfo_check(taken[i], &at);
        is_str(problem, NULL, "\"%s\" is taken", taken[i]);
        free(problem);
    }
}

static unsigned seed = 1;

static unsigned any(unsigned n)
{
    return (unsigned)rand_r(&seed) / 7 % n;
}

/* One of these words after another. */
static char *any_text(void)
{
    static const char *const words[] = {"postgres://", "postgresql://",
                                        "password",    "host",
                                        "port",        "password=hush",
                                        "user",        "=",
                                        "=",           "=",
                                        " ",           " ",
                                        "'",           "\\",
                                        "hush",        "a",
                                        "5432",        ":",
                                        "@",           "/",
                                        "?",           "&",
                                        "%",           "%41",
                                        "%00",         "[",
                                        "]",           ",",
                                        "::1",         "pass%77ord",
                                        "sslmode",     "ssl",
                                        "true",        "x y",
                                        "\n",          "''"};
    char *text = mem_strdup("");
    for (unsigned n = any(12); n > 0; n--) {
        char *longer = mem_printf("%s%s", text, words[any(sizeof(words) / sizeof(words[0]))]);
        free(text);
        text = longer;
    }
    return text;
}

/* The value of an option as libpq has understood it, or NULL. */
static const char *value_of(const PQconninfoOption *options, const char *name)
{
    while (options->keyword != NULL && strcmp(options->keyword, name) != 0)
        options++;
    return options->val;
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    while ((text = strstr(text, word)) != NULL) {
        text += strlen(word);
        n++;
    }
    return n;
}

/* What libpq looks at only when it connects: hosts, ports, and options that take one of some words or a
 * number. */
static bool is_late(const char *problem)
{
    return strstr(problem, "a port is") == problem || strstr(problem, "sslmode takes") == problem ||
           strstr(problem, "only one @") == problem || strstr(problem, " ports do not fit ") != NULL;
}

/* Nothing else may be wrong with what libpq takes, and of that no password is seen. */
static void test_like_libpq(void)
{
    enum { TIMES = 200000 };
    size_t n_taken = 0, n_passwords = 0, n_wrong = 0;
    for (size_t i = 0; i < TIMES && n_wrong < 10; i++) {
        char *text = any_text(), *shown = conf_conninfo_hide(text);
        size_t at = SIZE_MAX;
        char *problem = conf_conninfo_check(text, &at);
        PQconninfoOption *options = PQconninfoParse(text, NULL);
        const char *password = options == NULL ? NULL : value_of(options, "password");
        bool right =
            options != NULL ? problem == NULL || is_late(problem) : problem != NULL && at <= strlen(text);
        if (problem != NULL && strcmp(problem, "libpq cannot read this connection string") == 0)
            right = false; /* there is always a better reason */
        if (password != NULL && strstr(password, "hush") != NULL) {
            n_passwords++;
            right = right && count(shown, "hush") < count(text, "hush");
        }
        n_taken += options != NULL;
        if (!right) {
            n_wrong++;
            tap_show("text", text);
            tap_show("shown", shown);
            tap_show("problem", problem);
        }
        PQconninfoFree(options);
        free(problem);
        free(shown);
        free(text);
    }
    ok(n_wrong == 0, "%d texts by chance are taken as libpq takes them", TIMES);
    ok(n_taken > TIMES / 50 && n_passwords > 100, "%zu of them were taken, %zu with a password", n_taken,
       n_passwords);
}

int main(void)
{
    test_hide();
    test_pair();
    test_check();
    test_like_libpq();
    return done_testing();
}
