/* hint.c: what somebody may have meant by a word that the conf does not know. */
#include "conf/hint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/table.h"
#include "base/mem.h"

enum { LONGEST = 32 };

/*
 * What other servers and other people call it. Letters' case and `-` for `_` do not matter. section NULL
 * is anywhere outside of routes, their parameters and lanes.
 */
static const struct synonym {
    const char *section;
    const char *word;
    const char *meaning;
} synonyms[] = {
    {"database", "host", "database.connect"},
    {"database", "port", "database.connect"},
    {"database", "user", "database.connect"},
    {"database", "username", "database.connect"},
    {"database", "password", "database.connect"},
    {"database", "name", "database.connect"},
    {"database", "dbname", "database.connect"},
    {"database", "uri", "database.connect"},
    {"database", "url", "database.connect"},
    {"database", "read_only", "database.read"},
    {"database", "readonly", "database.read"},
    {"database", "replica", "database.read"},
    {"database", "replicas", "database.read"},
    {"database", "read_replica", "database.read"},
    {"database", "slave", "database.read"},
    {"database", "standby", "database.read"},
    {"database", "conns", "database.connections"},
    {"database", "max_conns", "database.connections"},
    {"database", "max_connections", "database.connections"},
    {"database", "size", "database.connections"},
    {"database", "max_waiting", "database.queue"},
    {"database", "budget", "database.max"},
    {"database", "max_total", "database.max"},
    {"database", "total", "database.max"},
    {"database", "slow", "database.spill"},
    {"database", "spill_after", "database.spill"},
    {"database", "spill_time", "database.spill"},
    {"database", "lane", "database.lanes"},
    {"database", "pools", "database.lanes"},
    {"limits", "connections", "limits.clients"},
    {"lane", "access", "lane.from"},
    {"lane", "access_mode", "lane.from"},
    {"lane", "connect", "lane.from"},
    {"lane", "like", "lane.from"},
    {"lane", "mode", "lane.from"},
    {"lane", "read", "lane.from"},
    {"lane", "read_only", "lane.from"},
    {"lane", "readonly", "lane.from"},
    {"lane", "session", "lane.from"},
    {"lane", "type", "lane.from"},
    {"lane", "write", "lane.from"},
    {"lane", "conns", "lane.connections"},
    {"lane", "max", "lane.connections"},
    {"lane", "max_connections", "lane.connections"},
    {"lane", "max_conns", "lane.connections"},
    {"lane", "max_pool_size", "lane.connections"},
    {"lane", "pool", "lane.connections"},
    {"lane", "pool_size", "lane.connections"},
    {"lane", "size", "lane.connections"},
    {"lane", "backlog", "lane.queue"},
    {"lane", "limit", "lane.queue"},
    {"lane", "max_queue", "lane.queue"},
    {"lane", "max_waiting", "lane.queue"},
    {"lane", "queue_size", "lane.queue"},
    {"lane", "query_timeout", "lane.deadline"},
    {"lane", "statement_timeout", "lane.deadline"},
    {"lane", "timeout", "lane.deadline"},
    {"parameter", "allowed", "parameter.one_of"},
    {"parameter", "choices", "parameter.one_of"},
    {"parameter", "enum", "parameter.one_of"},
    {"parameter", "in", "parameter.one_of"},
    {"parameter", "options", "parameter.one_of"},
    {"parameter", "values", "parameter.one_of"},
    {"parameter", "default_value", "parameter.default"},
    {"parameter", "fallback", "parameter.default"},
    {"parameter", "value", "parameter.default"},
    {"parameter", "ge", "parameter.min"},
    {"parameter", "gte", "parameter.min"},
    {"parameter", "least", "parameter.min"},
    {"parameter", "minimum", "parameter.min"},
    {"parameter", "le", "parameter.max"},
    {"parameter", "lte", "parameter.max"},
    {"parameter", "maximum", "parameter.max"},
    {"parameter", "most", "parameter.max"},
    {"parameter", "mandatory", "parameter.required"},
    {"parameter", "must", "parameter.required"},
    {"parameter", "not_null", "parameter.required"},
    {"parameter", "optional", "parameter.required"},
    {NULL, "addr", "listen"},
    {NULL, "address", "listen"},
    {NULL, "addresses", "listen"},
    {NULL, "bind", "listen"},
    {NULL, "host", "listen"},
    {NULL, "http_port", "listen"},
    {NULL, "listen_addr", "listen"},
    {NULL, "listen_address", "listen"},
    {NULL, "listen_port", "listen"},
    {NULL, "port", "listen"},
    {NULL, "server_host", "listen"},
    {NULL, "server_port", "listen"},
    {NULL, "cores", "workers"},
    {NULL, "nbproc", "workers"},
    {NULL, "nbthread", "workers"},
    {NULL, "num_threads", "workers"},
    {NULL, "processes", "workers"},
    {NULL, "threads", "workers"},
    {NULL, "worker_processes", "workers"},
    {NULL, "error_log", "log"},
    {NULL, "log_level", "log"},
    {NULL, "loglevel", "log"},
    {NULL, "verbose", "log"},
    {NULL, "verbosity", "log"},
    {NULL, "db", "database"},
    {NULL, "databases", "database"},
    {NULL, "pg", "database"},
    {NULL, "postgres", "database"},
    {NULL, "postgresql", "database"},
    {NULL, "connection", "database.connect"},
    {NULL, "connection_string", "database.connect"},
    {NULL, "conninfo", "database.connect"},
    {NULL, "connstr", "database.connect"},
    {NULL, "database_uri", "database.connect"},
    {NULL, "database_url", "database.connect"},
    {NULL, "db_uri", "database.connect"},
    {NULL, "db_url", "database.connect"},
    {NULL, "dbname", "database.connect"},
    {NULL, "dsn", "database.connect"},
    {NULL, "db_replica", "database.read"},
    {NULL, "read_replica", "database.read"},
    {NULL, "replica", "database.read"},
    {NULL, "standby", "database.read"},
    {NULL, "db_pool", "database.connections"},
    {NULL, "default_pool_size", "database.connections"},
    {NULL, "max_pool_size", "database.connections"},
    {NULL, "pool", "database.connections"},
    {NULL, "pool_size", "database.connections"},
    {NULL, "max_db_connections", "database.max"},
    {NULL, "pools", "database.lanes"},
    {NULL, "backlog", "database.queue"},
    {NULL, "max_queue", "database.queue"},
    {NULL, "queue_size", "database.queue"},
    {NULL, "client_max_body_size", "limits.body"},
    {NULL, "body_limit", "limits.body"},
    {NULL, "body_size", "limits.body"},
    {NULL, "limit_request_body", "limits.body"},
    {NULL, "max_body", "limits.body"},
    {NULL, "max_body_size", "limits.body"},
    {NULL, "proxy_read_timeout", "limits.deadline"},
    {NULL, "query_timeout", "limits.deadline"},
    {NULL, "request_timeout", "limits.deadline"},
    {NULL, "statement_timeout", "limits.deadline"},
    {NULL, "timeout", "limits.deadline"},
    {NULL, "timeouts", "limits.deadline"},
    {NULL, "buffer_size", "limits.buffer"},
    {NULL, "buffers", "limits.buffer"},
    {NULL, "output_buffers", "limits.buffer"},
    {NULL, "proxy_buffer_size", "limits.buffer"},
    {NULL, "proxy_buffers", "limits.buffer"},
    {NULL, "client_header_timeout", "limits.head_time"},
    {NULL, "head_timeout", "limits.head_time"},
    {NULL, "header_timeout", "limits.head_time"},
    {NULL, "read_timeout", "limits.head_time"},
    {NULL, "large_client_header_buffers", "limits.head"},
    {NULL, "limit_request_line", "limits.target"},
    {NULL, "limit_request_fields", "limits.fields"},
    {NULL, "client_body_timeout", "limits.body_time"},
    {NULL, "keepalive_timeout", "limits.idle"},
    {NULL, "idle_timeout", "limits.idle"},
    {NULL, "send_timeout", "limits.stall"},
    {NULL, "keepalive_requests", "limits.requests"},
    {NULL, "server_tokens", "server"},
    {NULL, "graceful_timeout", "limits.drain"},
    {NULL, "grace", "limits.drain"},
    {NULL, "hard_stop_after", "limits.drain"},
    {NULL, "shutdown_timeout", "limits.drain"},
    {NULL, "worker_shutdown_timeout", "limits.drain"},
    {NULL, "max_client_conn", "limits.clients"},
    {NULL, "max_clients", "limits.clients"},
    {NULL, "max_connections", "limits.clients"},
    {NULL, "maxclients", "limits.clients"},
    {NULL, "maxconn", "limits.clients"},
    {NULL, "worker_connections", "limits.clients"},
    {NULL, "default", "defaults"},
    {NULL, "common", "defaults"},
    {NULL, "global", "defaults"},
    {NULL, "globals", "defaults"},
    {NULL, "add_header", "defaults.headers"},
    {NULL, "headers", "defaults.headers"},
    {NULL, "on", "defaults.on"},
    {NULL, "unknown_query", "defaults.unknown_query"},
    {NULL, "merge", "defaults.merge"},
    {NULL, "conf_dir", "include"},
    {NULL, "import", "include"},
    {NULL, "imports", "include"},
    {NULL, "include_dir", "include"},
    {NULL, "include_if_exists", "include"},
    {NULL, "includes", "include"},
    {NULL, "backend", "upstreams"},
    {NULL, "backends", "upstreams"},
    {NULL, "origins", "upstreams"},
    {NULL, "servers", "upstreams"},
    {NULL, "upstream", "upstreams"},
    {NULL, "dns_interval", "resolve"},
    {NULL, "resolver", "resolve"},
    {NULL, "proxy_connect_timeout", "limits.connect"},
    {NULL, "connect_timeout", "limits.connect"},
    {NULL, "timeout_connect", "limits.connect"},
    {NULL, "forwardfor", "forwarded"},
    {NULL, "x_forwarded_for", "forwarded"},
    {NULL, "endpoint", "routes"},
    {NULL, "endpoints", "routes"},
    {NULL, "handlers", "routes"},
    {NULL, "location", "routes"},
    {NULL, "locations", "routes"},
    {NULL, "path", "routes"},
    {NULL, "paths", "routes"},
    {NULL, "urls", "routes"},
    {"route", "cmd", "route.sql"},
    {"route", "command", "route.sql"},
    {"route", "select", "route.sql"},
    {"route", "statement", "route.sql"},
    {"route", "file", "route.sql_file"},
    {"route", "alias", "route.files"},
    {"route", "dir", "route.files"},
    {"route", "directory", "route.files"},
    {"route", "document_root", "route.files"},
    {"route", "folder", "route.files"},
    {"route", "root", "route.files"},
    {"route", "serve", "route.files"},
    {"route", "static", "route.files"},
    {"route", "default_file", "route.index"},
    {"route", "directory_index", "route.index"},
    {"route", "index_file", "route.index"},
    {"route", "error_page", "route.fallback"},
    {"route", "spa", "route.fallback"},
    {"route", "try_files", "route.fallback"},
    {"route", "entrypoints", "route.on"},
    {"route", "listen", "route.on"},
    {"route", "listener", "route.on"},
    {"route", "listeners", "route.on"},
    {"route", "data", "route.json"},
    {"route", "content", "route.text"},
    {"route", "return", "route.text"},
    {"route", "string", "route.text"},
    {"route", "add_header", "route.headers"},
    {"route", "header", "route.headers"},
    {"route", "http_response", "route.headers"},
    {"route", "more_set_headers", "route.headers"},
    {"route", "response_headers", "route.headers"},
    {"route", "set_header", "route.headers"},
    {"route", "set_headers", "route.headers"},
    {"route", "backend", "route.relay"},
    {"route", "forward", "route.relay"},
    {"route", "forward_to", "route.relay"},
    {"route", "proxy", "route.relay"},
    {"route", "proxy_pass", "route.relay"},
    {"route", "reverse_proxy", "route.relay"},
    {"route", "upstream", "route.relay"},
    {"route", "url", "route.relay"},
    {"route", "header_up", "route.send"},
    {"route", "proxy_set_header", "route.send"},
    {"route", "request_headers", "route.send"},
    {"route", "connect_timeout", "route.connect_deadline"},
    {"route", "proxy_connect_timeout", "route.connect_deadline"},
    {"route", "timeout_connect", "route.connect_deadline"},
    {"route", "forwardfor", "route.forwarded"},
    {"route", "x_forwarded_for", "route.forwarded"},
    {"upstream", "keepalive", "upstream.connections"},
    {"upstream", "max_conns", "upstream.connections"},
    {"upstream", "maxconn", "upstream.connections"},
    {"upstream", "pool", "upstream.connections"},
    {"upstream", "idle_timeout", "upstream.idle"},
    {"upstream", "keepalive_timeout", "upstream.idle"},
    {"upstream", "keepalive_time", "upstream.age"},
    {"upstream", "max_age", "upstream.age"},
    {"upstream", "address", "upstream.servers"},
    {"upstream", "hosts", "upstream.servers"},
    {"upstream", "server", "upstream.servers"},
    {"upstream", "url", "upstream.servers"},
    {"upstream", "urls", "upstream.servers"},
    {"route", "proxy_read_timeout", "route.deadline"},
    {"route", "query_timeout", "route.deadline"},
    {"route", "request_timeout", "route.deadline"},
    {"route", "statement_timeout", "route.deadline"},
    {"route", "timeout", "route.deadline"},
    {"route", "timeout_server", "route.deadline"},
    {"route", "code", "route.status"},
    {"route", "http_status", "route.status"},
    {"route", "response_code", "route.status"},
    {"route", "response_status", "route.status"},
    {"route", "status_code", "route.status"},
    {"route", "if_empty", "route.no_row"},
    {"route", "no_rows", "route.no_row"},
    {"route", "not_found", "route.no_row"},
    {"route", "on_empty", "route.no_row"},
    {"route", "access", "route.lane"},
    {"route", "access_mode", "route.lane"},
    {"route", "connection", "route.lane"},
    {"route", "lanes", "route.lane"},
    {"route", "pool", "route.lane"},
    {"route", "pool_mode", "route.lane"},
    {"route", "read", "route.lane"},
    {"route", "read_only", "route.lane"},
    {"route", "readonly", "route.lane"},
    {"route", "tx_mode", "route.lane"},
    {"route", "write", "route.lane"},
    {"route", "columns", "route.body"},
    {"route", "fields", "route.body"},
    {"route", "form", "route.body"},
    {"route", "payload", "route.body"},
    {"route", "request_body", "route.body"},
    {"route", "body_param", "route.body_as"},
    {"route", "json_body", "route.body_as"},
    {"route", "raw_body", "route.body_as"},
    {"route", "whole_body", "route.body_as"},
    {"route", "batch", "route.merge"},
    {"route", "combine", "route.merge"},
    {"route", "extra_query", "route.unknown_query"},
    {"route", "ignore_unknown", "route.unknown_query"},
    {"route", "strict", "route.unknown_query"},
    {"route", "unknown", "route.unknown_query"},
    {"route", "unknown_params", "route.unknown_query"},
    {"route", "format", "route.answer"},
    {"route", "output", "route.answer"},
    {"route", "response", "route.answer"},
    {"route", "result", "route.answer"},
    {"route", "returns", "route.answer"},
    {"route", "type", "route.answer"},
    {"route", "args", "route.query"},
    {"route", "arguments", "route.query"},
    {"route", "parameters", "route.query"},
    {"route", "params", "route.query"},
    {"route", "query_params", "route.query"},
    {"route", "query_string", "route.query"},
};

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters have to be put in, taken out, exchanged or swapped with the next to make b of a. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    size_t len_a = strlen(a), len_b = strlen(b);
    if (len_a > LONGEST || len_b > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= len_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= len_a; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= len_b; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && second[j - 2] + 1 < row[j])
                row[j] = second[j - 2] + 1;
        }
    }
    return rows[len_a % 3][len_b];
}

const char *conf_hint_nearest(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t best_distance = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(words[i]), far = distance(word, words[i]);
        /* A third of the letters may be wrong: a guess that is far off helps nobody. */
        if (far <= (length + 2) / 3 && far < length && (best == NULL || far < best_distance)) {
            best = words[i];
            best_distance = far;
        }
    }
    return best;
}

static bool same_word(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        int x = *a == '-' ? '_' : tolower((unsigned char)*a);
        if (x != *b)
            return false;
    }
    return *a == *b;
}

/* Is a section not one of its kind, but one of many? */
static bool is_of_many(const char *section)
{
    static const char *const many[] = {"route", "parameter", "lane", "upstream"};
    bool found = false;
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        found |= strcmp(section, many[i]) == 0;
    return found;
}

const char *conf_hint_synonym(const char *section, const char *key)
{
    bool in_route = is_of_many(section);
    for (size_t i = 0; i < sizeof(synonyms) / sizeof(synonyms[0]); i++) {
        const struct synonym *row = &synonyms[i];
        bool applies = row->section == NULL ? !in_route : strcmp(row->section, section) == 0;
        if (applies && same_word(key, row->word))
            return row->meaning;
    }
    return NULL;
}

char *conf_hint_choice(const char *const *words, size_t n)
{
    char *choice = mem_strdup(n == 0 ? "" : words[0]);
    for (size_t i = 1; i < n; i++) {
        char *longer = mem_printf("%s%s%s", choice, i + 1 == n ? " or " : ", ", words[i]);
        free(choice);
        choice = longer;
    }
    return choice;
}

char *conf_hint_did_you_mean(const char *word)
{
    return word == NULL ? mem_strdup("") : mem_printf("; did you mean \"%s\"?", word);
}

void conf_hint_unknown(struct conf_files *files, struct conf_pos pos, const char *section, const char *key,
                       const char *meaning, const char *const *keys, size_t n)
{
    bool in_route = is_of_many(section), on_top = section[0] == '\0';
    char *where = on_top ? mem_strdup("")
                         : mem_printf(" in %s%s",
                                      !in_route                     ? ""
                                      : strchr("aeiou", section[0]) ? "an "
                                                                    : "a ",
                                      section);
    size_t prefix = strlen(section);
    if (meaning == NULL) {
        char *choice = conf_hint_choice(keys, n);
        conf_files_error(files, pos, "unknown key \"%.*s\"%s; it can be %s", CONF_FILES_QUOTE(key), where,
                         choice);
        free(choice);
    } else if (!in_route && strncmp(meaning, "route.", 6) == 0) {
        conf_files_error(files, pos, "\"%s\" belongs in a route, below \"routes\"", meaning + 6);
    } else if (!on_top && strncmp(meaning, section, prefix) == 0 && meaning[prefix] == '.') {
        conf_files_error(files, pos, "unknown key \"%.*s\"%s; did you mean \"%s\"?", CONF_FILES_QUOTE(key),
                         where, meaning + prefix + 1);
    } else {
        bool top_level = !on_top && strchr(meaning, '.') == NULL;
        conf_files_error(files, pos, "unknown key \"%.*s\"%s; did you mean \"%s\"%s?", CONF_FILES_QUOTE(key),
                         where, meaning, top_level ? " at the top level" : "");
    }
    free(where);
}

void conf_hint_unknown_key(struct conf_files *files, struct conf_pos pos, const char *section,
                           const char *key, const char *const *keys, size_t n, bool elsewhere)
{
    const char *synonym = conf_hint_synonym(section, key), *near = conf_hint_nearest(key, keys, n);
    char *meaning = synonym != NULL ? mem_strdup(synonym) : elsewhere ? conf_table_anywhere(key) : NULL;
    if (meaning == NULL && near != NULL)
        meaning = mem_printf("%s.%s", section, near);
    conf_hint_unknown(files, pos, section, key, meaning, keys, n);
    free(meaning);
}
