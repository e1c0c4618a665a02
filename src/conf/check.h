/* check.h: the rules of the conf that span several directives. Private to conf/. */
#ifndef HAYFORK_CONF_CHECK_H
#define HAYFORK_CONF_CHECK_H

#include "conf/conf.h"

/*
 * Checks addresses, paths, SQL and where each SQL parameter comes from; notes all mistakes. Fills in what
 * follows from several directives: each listener's table, each route's deadline, each SQL route's statement
 * and params, and which lanes are used.
 */
void conf_check(struct conf *conf);

#endif
