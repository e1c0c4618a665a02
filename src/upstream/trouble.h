/* trouble.h: what is logged about servers that do not work, and that they work again. */
#ifndef HAYFORK_UPSTREAM_TROUBLE_H
#define HAYFORK_UPSTREAM_TROUBLE_H

#include <stdint.h>

#include "base/complain.h"
#include "conf/conf.h"

/* What is complained about. The first is the upstream's, not one server's. */
#define UPSTREAM_FULL           "all connections are in use"
#define UPSTREAM_CANNOT_LOOK_UP "cannot look up its name"
#define UPSTREAM_CANNOT_CONNECT "cannot connect"
#define UPSTREAM_NO_ANSWER      "no answer"
#define UPSTREAM_LATE_ANSWER    "no answer by the deadline"
#define UPSTREAM_BAD_ANSWER     "bad answer"

/* Logs a trouble with a server, as complain does. id, or NULL, is that of the request that met it. */
void upstream_trouble_log(const struct conf_upstream *upstream, const struct conf_server *server,
                          const char *id, const char *trouble, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* There is no trouble just now: forgets that it was logged, as complain_forget does, if that is some time
 * ago. */
enum complain_past upstream_trouble_forget(const struct conf_upstream *upstream,
                                           const struct conf_server *server, const char *trouble,
                                           uint32_t *left_out);

#endif
