/* admin.c: `admin`, the listener for the operators, with the routes on it. */
#include "conf/admin.h"

#include <string.h>

#include "base/mem.h"
#include "conf/files.h"
#include "conf/kind.h"
#include "conf/listen.h"

static void add_route(struct conf *conf, struct conf_pos pos, const char *path)
{
    MEM_GROW(&conf->routes, conf->n_routes);
    struct conf_route *route = &conf->routes[conf->n_routes++];
    *route = (struct conf_route){
        .pos = pos,
        .method = mem_strdup("GET"),
        .path = mem_strdup(path),
        .label = mem_printf("GET %s", path),
        .kind = &conf_kind_admin,
        .status = 200,
        .implied = true,
        .whole = true,
    };
    MEM_GROW(&route->on, route->n_on);
    route->on[route->n_on++] = (struct conf_on){pos, mem_strdup(CONF_ADMIN)};
}

void conf_admin_read(struct conf *conf, const struct conf_yaml *root)
{
    static const char *const paths[] = {"/",           "/live",      "/metrics",     "/ready",
                                        "/status.css", "/status.js", "/status.json", "/status.svg"};
    const struct conf_yaml *node = conf_yaml_get(root, CONF_ADMIN);
    if (node == NULL || (node->kind == CONF_YAML_SCALAR && strcmp(node->value, "off") == 0))
        return;
    if (!conf_listen_add_admin(conf, node))
        return;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        add_route(conf, node->pos, paths[i]);
}
