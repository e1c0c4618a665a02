/* print.c: the conf with every default filled in, as a conf file that loads to the same but for
 * passwords. */
#include <stdlib.h>
#include <string.h>

#include "conf/access.h"
#include "conf/conf.h"
#include "conf/conninfo.h"
#include "conf/images.h"
#include "conf/kind.h"
#include "conf/models.h"
#include "conf/relay.h"
#include "conf/table.h"
#include "conf/write.h"
#include "base/mem.h"
#include "metrics/shm.h"

/* A listener after its name. */
static void print_listener(const struct conf_listen *listen, int indent, FILE *out)
{
    if (listen->mode == NULL && listen->owner == NULL && listen->group == NULL) {
        putc(' ', out);
        conf_write_scalar(listen->address, indent, out);
        return;
    }
    putc('\n', out);
    indent += CONF_WRITE_STEP;
    conf_write_text("address", listen->address, indent, out);
    if (listen->mode != NULL)
        conf_write_text("mode", listen->mode, indent, out);
    if (listen->owner != NULL)
        conf_write_text("owner", listen->owner, indent, out);
    if (listen->group != NULL)
        conf_write_text("group", listen->group, indent, out);
}

/* The operators' listener is the last one, and is none of these. */
static const struct conf_listen *admin_of(const struct conf *conf)
{
    const struct conf_listen *last = &conf->listen[conf->n_listen - 1];
    return last->is_admin ? last : NULL;
}

static void print_admin(const struct conf *conf, FILE *out)
{
    const struct conf_listen *admin = admin_of(conf);
    fputs("admin:", out);
    if (admin == NULL)
        fputs(" off\n", out);
    else
        print_listener(admin, 0, out);
}

static void print_listen(const struct conf *conf, FILE *out)
{
    size_t n = admin_of(conf) == NULL ? conf->n_listen : conf->n_listen - 1;
    if (n == 1 && conf->listen[0].name == NULL) {
        conf_write_text("listen", conf->listen[0].address, 0, out);
        return;
    }
    fputs("listen:\n", out);
    for (size_t i = 0; i < n; i++) {
        const char *name = conf->listen[i].name;
        fprintf(out, "%*s%s%s", CONF_WRITE_STEP, "", name == NULL ? "-" : name, name == NULL ? "" : ":");
        print_listener(&conf->listen[i], CONF_WRITE_STEP, out);
    }
}

static void print_on(const struct conf_route *route, int indent, FILE *out)
{
    if (route->n_on == 1)
        conf_write_text("on", route->on[0].name, indent, out);
    else if (route->n_on > 1)
        fprintf(out, "%*son:\n", indent, "");
    for (size_t i = 0; route->n_on > 1 && i < route->n_on; i++)
        fprintf(out, "%*s- %s\n", indent + CONF_WRITE_STEP, "", route->on[i].name);
}

static void print_route(const struct conf *conf, const struct conf_route *route, FILE *out)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 /_.{}~%-";
    int indent = 2 * CONF_WRITE_STEP;
    fprintf(out, "%*s", CONF_WRITE_STEP, "");
    if (route->label[strspn(route->label, harmless)] == '\0')
        fputs(route->label, out);
    else
        conf_write_quoted(route->label, out);
    fputs(":\n", out);
    route->kind->print(conf, route, indent, out);
    conf_images_print(route, indent, out);
    print_on(route, indent, out);
    conf_write_like("deadline", "limits", "deadline", &route->deadline, indent, out);
    if (route->has_server_timing)
        conf_write_text("server_timing", route->server_timing == CONF_ON ? "on" : "off", indent, out);
    if (!conf_access_is_same(&route->access_log, &conf->access_log))
        conf_access_print(&route->access_log, indent, out);
    conf_write_headers("headers", route->headers, route->n_headers, indent, out);
}

/* Those that have names: they are the first ones. The others are part of their routes. */
static bool has_upstreams(const struct conf *conf)
{
    return conf->n_upstreams > 0 && !conf->upstreams[0].implied;
}

static void print_upstreams(const struct conf *conf, FILE *out)
{
    fputs("upstreams:\n", out);
    for (size_t i = 0; i < conf->n_upstreams && !conf->upstreams[i].implied; i++) {
        const struct conf_upstream *upstream = &conf->upstreams[i];
        conf_write_key(upstream->name, CONF_WRITE_STEP, out);
        fprintf(out, "\n%*sservers:\n", 2 * CONF_WRITE_STEP, "");
        for (size_t j = 0; j < upstream->n_servers; j++) {
            fprintf(out, "%*s- ", 3 * CONF_WRITE_STEP, "");
            conf_write_scalar(upstream->servers[j].address, 3 * CONF_WRITE_STEP, out);
        }
        for (size_t j = 0; j < conf_relay_n_options; j++) {
            const struct conf_directive *row = &conf_relay_options[j];
            char *text = conf_table_write(row, (const char *)upstream + row->offset);
            conf_write_text(row->name, text, 2 * CONF_WRITE_STEP, out);
            free(text);
        }
    }
}

static void print_models(const struct conf *conf, FILE *out)
{
    fputs("models:\n", out);
    for (size_t i = 0; i < conf->n_models; i++) {
        const struct conf_model *model = &conf->models[i];
        conf_write_key(model->name, CONF_WRITE_STEP, out);
        putc('\n', out);
        conf_write_text("folder", model->folder, 2 * CONF_WRITE_STEP, out);
        for (size_t j = 0; j < conf_models_n_options; j++) {
            const struct conf_directive *row = &conf_models_options[j];
            char *text = conf_table_write(row, (const char *)model + row->offset);
            conf_write_text(row->name, text, 2 * CONF_WRITE_STEP, out);
            free(text);
        }
    }
}

static void print_lanes(const struct conf *conf, int indent, FILE *out)
{
    const struct conf_directive *row = conf_table_find("limits", "deadline");
    fprintf(out, "%*slanes:\n", indent, "");
    indent += CONF_WRITE_STEP;
    for (size_t i = 0; i < conf->n_lanes; i++) {
        const struct conf_lane *lane = &conf->lanes[i];
        char *deadline = conf_table_write(row, &lane->deadline);
        conf_write_key(lane->name, indent, out);
        putc('\n', out);
        if (i > CONF_LANE_WRITE)
            conf_write_text("from", lane->read_only ? "read" : "write", indent + CONF_WRITE_STEP, out);
        fprintf(out, "%*sconnections: %u\n", indent + CONF_WRITE_STEP, "", lane->connections);
        fprintf(out, "%*squeue: %u\n", indent + CONF_WRITE_STEP, "", lane->queue);
        conf_write_text("deadline", deadline, indent + CONF_WRITE_STEP, out);
        free(deadline);
    }
}

/* How many PostgreSQL connections there can be, as a comment. */
static void print_budget(const struct conf *conf, unsigned workers, int indent, FILE *out)
{
    size_t total = conf_connections(conf, workers), n_used = 0;
    for (size_t i = 0; i < conf->n_lanes; i++)
        n_used += conf->lanes[i].used;
    fprintf(out, "%*s# PostgreSQL connections: ", indent, "");
    if (n_used == 0) {
        fputs("none, as no route has SQL\n", out);
        return;
    }
    fprintf(out, "%u worker%s%s x ", workers, workers == 1 ? "" : "s",
            conf->workers == 0 ? " (auto, on this machine)" : "");
    const char *before = n_used > 1 ? "(" : "";
    for (size_t i = 0; i < conf->n_lanes; i++) {
        if (!conf->lanes[i].used)
            continue;
        fprintf(out, "%s%s %u", before, conf->lanes[i].name, conf->lanes[i].connections);
        before = " + ";
    }
    fprintf(out, "%s = %zu at most, %zu always open", n_used > 1 ? ")" : "", total, workers * n_used);
    if (total > conf->database.max)
        fprintf(out, "; database.max caps it at %u", conf->database.max);
    putc('\n', out);
}

/* How much memory it takes to count, as a comment. */
static void print_counters(const struct conf *conf, unsigned workers, FILE *out)
{
    size_t bytes = shm_bytes(workers, conf->n_routes + 1, conf_servers(conf));
    fprintf(out, "# counters: about %zu KB for %u worker%s and %zu routes; never more than %zu MB\n",
            (bytes + 1023) / 1024, workers, workers == 1 ? "" : "s", conf->n_routes,
            sizeof(struct shm) / (1024 * 1024) + 1);
}

/* How deep it stands. */
static int indent_of(const char *section)
{
    int indent = section[0] == '\0' ? 0 : CONF_WRITE_STEP;
    for (; *section != '\0'; section++)
        indent += *section == '.' ? CONF_WRITE_STEP : 0;
    return indent;
}

static void print_directive(const struct conf *conf, const struct conf_directive *row, unsigned workers,
                            FILE *out)
{
    int indent = indent_of(row->section);
    fprintf(out, "%*s# %s\n", indent, "", row->help);
    if (row->type == CONF_TYPE_LISTEN) {
        print_listen(conf, out);
    } else if (row->type == CONF_TYPE_ADMIN) {
        print_counters(conf, workers, out);
        print_admin(conf, out);
    } else if (row->type == CONF_TYPE_ACCESS_LOG) {
        conf_access_print(&conf->access_log, 0, out);
    } else if (row->type == CONF_TYPE_LANES) {
        print_budget(conf, workers, indent, out);
        print_lanes(conf, indent, out);
    } else if (row->type == CONF_TYPE_UPSTREAMS) {
        print_upstreams(conf, out);
    } else if (row->type == CONF_TYPE_MODELS) {
        print_models(conf, out);
    } else if (row->type == CONF_TYPE_ROUTES) {
        fputs("routes:\n", out);
        for (size_t i = 0; i < conf->n_routes && !conf->routes[i].implied; i++)
            print_route(conf, &conf->routes[i], out);
    } else {
        char *text = conf_table_get(row, conf);
        char *shown = row->type == CONF_TYPE_CONNECT ? conf_conninfo_hide(text) : mem_strdup(text);
        conf_write_text(row->name, shown, indent, out);
        free(shown);
        free(text);
    }
}

/* The key of a section, below which that of the section around it stands already. */
static void print_section(const char *section, FILE *out)
{
    const char *dot = strrchr(section, '.');
    fprintf(out, "%*s%s:\n", indent_of(section) - CONF_WRITE_STEP, "", dot == NULL ? section : dot + 1);
}

void conf_print(const struct conf *conf, unsigned workers, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < conf_table_rows; i++) {
        const struct conf_directive *row = &conf_table[i];
        if (row->type == CONF_TYPE_ENV_FILE || row->type == CONF_TYPE_INCLUDE ||
            row->type == CONF_TYPE_DEFAULTS)
            continue; /* they have become part of the others */
        if (row->type == CONF_TYPE_UPSTREAMS && !has_upstreams(conf))
            continue;
        if (row->type == CONF_TYPE_MODELS && conf->n_models == 0)
            continue;
        if (i > 0 && (strcmp(row->section, section) != 0 || row->section[0] == '\0'))
            putc('\n', out);
        if (row->section[0] != '\0' && strcmp(row->section, section) != 0)
            print_section(row->section, out);
        section = row->section;
        print_directive(conf, row, workers, out);
    }
}
