/* kind_admin.c: the routes of the listener for the operators, which are in no conf. */
#include "conf/kind.h"
#include "conf/reading.h"

static const struct conf_key keys[] = {{"admin", NULL}};

const struct conf_kind conf_kind_admin = {.keys = keys, .n_keys = 1, .n_first = 1};
