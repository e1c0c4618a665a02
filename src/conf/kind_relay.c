/* kind_relay.c: routes with `relay`: their keys. */
#include "base/mem.h"
#include "conf/headers.h"
#include "conf/kind.h"
#include "conf/relay.h"
#include "conf/reading.h"
#include "conf/write.h"

static void read_connect_deadline(struct conf_reading *reading, const char *key,
                                  const struct conf_yaml *value)
{
    conf_reading_like(reading, "limits", "connect", &reading->route->connect_deadline, key, value);
}

static void read_forwarded(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    reading->route->forwarded_is_set = true;
    conf_reading_like(reading, "", "forwarded", &reading->route->forwarded, key, value);
}

static void read_relay(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    reading->route->relay = mem_strdup(value->value);
    reading->route->relay_pos = value->pos;
}

static void read_send(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    conf_headers_read(reading->files, key, value, &reading->route->send, &reading->route->n_send);
}

static void print(const struct conf *conf, const struct conf_route *route, int indent, FILE *out)
{
    (void)conf;
    conf_write_text("relay", route->relay, indent, out);
    conf_write_headers("send", route->send, route->n_send, indent, out);
    conf_write_like("forwarded", "", "forwarded", &route->forwarded, indent, out);
    conf_write_like("connect_deadline", "limits", "connect", &route->connect_deadline, indent, out);
}

static void check(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names)
{
    if (route->relay != NULL)
        conf_relay_check(conf, route, names, n_names);
}

static const struct conf_key keys[] = {
    {"relay", read_relay},
    {"send", read_send},
    {"forwarded", read_forwarded},
    {"connect_deadline", read_connect_deadline},
};

const struct conf_kind conf_kind_relay = {
    .keys = keys,
    .n_keys = sizeof(keys) / sizeof(keys[0]),
    .has_originals = true,
    .n_first = 1,
    .fills_headers = true,
    .takes_options = true,
    .check = check,
    .print = print,
};
