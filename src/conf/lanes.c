/* lanes.c: the lanes of the conf: `database.lanes`, and what follows from it. */
#include "conf/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "conf/table.h"
#include "base/mem.h"

enum { MAX_NAME = 32 }; /* bytes of a lane's name */

enum lane_key_index { KEY_FROM, KEY_CONNECTIONS, KEY_QUEUE, KEY_DEADLINE, N_LANE_KEYS };

/* But for `from`, a key is the directive that has its default: with its type, its bounds, its messages. */
static const struct lane_key {
    const char *name;
    const char *section;
    size_t offset; /* in struct conf_lane; the member is an unsigned that is 0 while nothing is said */
} lane_keys[N_LANE_KEYS] = {
    [KEY_FROM] = {"from", NULL, 0},
    [KEY_CONNECTIONS] = {"connections", "database", offsetof(struct conf_lane, connections)},
    [KEY_QUEUE] = {"queue", "database", offsetof(struct conf_lane, queue)},
    [KEY_DEADLINE] = {"deadline", "limits", offsetof(struct conf_lane, deadline)},
};

static unsigned *place_of(struct conf_lane *lane, const struct lane_key *key)
{
    return (unsigned *)((char *)lane + key->offset);
}

static const struct conf_directive *row_of(const struct lane_key *key)
{
    return conf_table_find(key->section, key->name);
}

static struct conf_lane *add_lane(struct conf *conf, const char *name)
{
    MEM_GROW(&conf->lanes, conf->n_lanes);
    struct conf_lane *lane = &conf->lanes[conf->n_lanes++];
    *lane = (struct conf_lane){.name = mem_strdup(name)};
    return lane;
}

void conf_lanes_init(struct conf *conf)
{
    add_lane(conf, "read")->read_only = true;
    add_lane(conf, "write");
}

static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && len <= MAX_NAME && text[len] == '\0' && strchr(letters, text[0]) != NULL;
}

static void note_unknown_key(struct conf_files *files, const struct conf_yaml *key)
{
    const char *names[N_LANE_KEYS];
    for (size_t i = 0; i < N_LANE_KEYS; i++)
        names[i] = lane_keys[i].name;
    conf_table_unknown_key(files, key->pos, "lane", key->value, names, N_LANE_KEYS, true);
}

static void check_from(struct conf_files *files, const struct conf_yaml *value)
{
    static const char *const words[] = {"read", "write"};
    if (strcmp(value->value, words[0]) == 0 || strcmp(value->value, words[1]) == 0)
        return;
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(value->value, words, 2));
    conf_files_error(files, value->pos,
                     "from takes read or write, the lane whose session it has, not \"%.*s\"%s",
                     CONF_FILES_QUOTE(value->value), meant);
    free(meant);
}

/*
 * Does a lane of its own with this mapping only read? Where mistakes leave that open, it writes: what can run
 * on it is then not taken for another mistake.
 */
static bool only_reads(const struct conf_yaml *map, bool sound)
{
    const struct conf_yaml *from = map->kind == CONF_YAML_MAP ? conf_yaml_get(map, "from") : NULL;
    if (from == NULL)
        return sound;
    return from->kind == CONF_YAML_SCALAR && strcmp(from->value, "read") == 0;
}

/* Reads one key of a lane; is_own is false for read and write. */
static void read_key(struct conf_files *files, struct conf_lane *lane, bool is_own,
                     const struct conf_yaml *key, const struct conf_yaml *value)
{
    size_t k = 0;
    while (k < N_LANE_KEYS && strcmp(lane_keys[k].name, key->value) != 0)
        k++;
    if (k == N_LANE_KEYS) {
        note_unknown_key(files, key);
    } else if (k == KEY_FROM && !is_own) {
        conf_files_error(files, key->pos,
                         "the lanes read and write have sessions of their own: `from` is for other lanes; "
                         "remove it");
    } else if (conf_yaml_is_null(value)) {
        conf_files_error(files, value->pos, "%s has no value; remove the line for the default", key->value);
    } else if (value->kind != CONF_YAML_SCALAR) {
        conf_files_error(files, value->pos, "%s takes a single value, not %s", key->value,
                         conf_yaml_what(value));
    } else if (k == KEY_FROM) {
        check_from(files, value);
    } else {
        char *problem = conf_table_read(row_of(&lane_keys[k]), place_of(lane, &lane_keys[k]), value->value);
        if (problem != NULL)
            conf_files_error(files, value->pos, "%s", problem);
        free(problem);
    }
}

static void read_lane(struct conf *conf, const struct conf_yaml *key, const struct conf_yaml *value)
{
    struct conf_files *files = conf->files;
    size_t index = conf_lanes_find(conf, key->value);
    bool is_own = index > CONF_LANE_WRITE;
    struct conf_lane *lane = is_own ? add_lane(conf, key->value) : &conf->lanes[index];
    lane->pos = key->pos;
    if (!is_name(key->value))
        conf_files_error(
            files, key->pos,
            "\"%.*s\" cannot be a lane's name: that begins with a-z, goes on with a-z, 0-9, _ and -, "
            "and has at most %d characters",
            CONF_FILES_QUOTE(key->value), MAX_NAME);
    if (is_own && conf->n_lanes == CONF_MAX_LANES + 1)
        conf_files_error(files, key->pos, "this lane is one too many: there can be %d, with read and write",
                         CONF_MAX_LANES);
    size_t before = conf_files_errors(files);
    if (value->kind == CONF_YAML_MAP) {
        for (size_t i = 0; i < value->n_items; i++)
            read_key(files, lane, is_own, value->items[i].key, value->items[i].value);
    } else if (!conf_yaml_is_null(value)) {
        conf_files_error(files, value->pos,
                         "a lane takes a mapping, not %s: write `%.*s: { connections: 2 }`",
                         conf_yaml_what(value), CONF_FILES_QUOTE(key->value));
    }
    if (is_own)
        lane->read_only = only_reads(value, !value->incomplete && conf_files_errors(files) == before);
}

void conf_lanes_read(struct conf *conf, const struct conf_yaml *node)
{
    conf->lanes_incomplete = conf->lanes_incomplete || node->incomplete;
    for (size_t i = 0; node->kind == CONF_YAML_MAP && i < node->n_items; i++)
        read_lane(conf, node->items[i].key, node->items[i].value);
    if (node->kind == CONF_YAML_MAP || conf_yaml_is_null(node))
        return;
    conf->lanes_incomplete = true;
    conf_files_error(
        conf->files, node->pos,
        "lanes takes a mapping, not %s: write `report: { connections: 2 }` on the line below, indented",
        conf_yaml_what(node));
}

void conf_lanes_complete(struct conf *conf)
{
    const char *read = conf->database.read[0] == '\0' ? conf->database.connect : conf->database.read;
    for (size_t i = 0; i < conf->n_lanes; i++) {
        struct conf_lane *lane = &conf->lanes[i];
        lane->connect = lane->read_only ? read : conf->database.connect;
        for (size_t k = KEY_CONNECTIONS; k < N_LANE_KEYS; k++) {
            unsigned *place = place_of(lane, &lane_keys[k]);
            if (*place == 0)
                *place = *(const unsigned *)((const char *)conf + row_of(&lane_keys[k])->offset);
        }
    }
}

size_t conf_lanes_find(const struct conf *conf, const char *name)
{
    size_t i = 0;
    while (i < conf->n_lanes && strcmp(conf->lanes[i].name, name) != 0)
        i++;
    return i;
}

const char **conf_lanes_names(const struct conf *conf)
{
    const char **names = mem_calloc(conf->n_lanes, sizeof(*names));
    for (size_t i = 0; i < conf->n_lanes; i++)
        names[i] = conf->lanes[i].name;
    return names;
}

size_t conf_connections(const struct conf *conf, unsigned workers)
{
    size_t of_each = 0;
    for (size_t i = 0; i < conf->n_lanes; i++)
        of_each += conf->lanes[i].used ? conf->lanes[i].connections : 0;
    return workers * of_each;
}

char *conf_refuse_workers(const struct conf *conf, unsigned workers)
{
    size_t n_used = 0;
    char *names = mem_strdup("");
    for (size_t i = 0; i < conf->n_lanes; i++) {
        if (!conf->lanes[i].used)
            continue;
        char *longer = mem_printf("%s%s%s", names, n_used++ == 0 ? "" : ", ", conf->lanes[i].name);
        free(names);
        names = longer;
    }
    char *problem = NULL;
    if ((workers + 1) * n_used > conf->database.max)
        problem = mem_printf(
            "%u worker%s%s with %zu lane%s each (%s) keep %zu PostgreSQL connections open, a reload "
            "needs room for one worker more, and database.max is %u: raise it, or have fewer workers%s",
            workers, workers == 1 ? "" : "s", conf->workers == 0 ? " (auto, on this machine)" : "", n_used,
            n_used == 1 ? "" : "s", names, workers * n_used, conf->database.max,
            n_used == 1 ? "" : " or lanes");
    free(names);
    return problem;
}

void conf_lanes_free(struct conf *conf)
{
    for (size_t i = 0; i < conf->n_lanes; i++)
        free(conf->lanes[i].name);
    free(conf->lanes);
}
