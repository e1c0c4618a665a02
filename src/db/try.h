/* try.h: `hayfork -t --db`: would PostgreSQL take the statements of the conf? */
#ifndef HAYFORK_DB_TRY_H
#define HAYFORK_DB_TRY_H

#include <stdio.h>

#include "conf/conf.h"

/*
 * Connects as the lanes do and prepares every statement; runs none. Whatever is wrong is written to errors:
 * mistakes in statements in the form of mistakes in the conf, a database that cannot be asked in a line of
 * its own. A conf whose lanes may, with so many workers, open more connections than the server allows is
 * warned about there. Returns 0, EX_CONFIG if a statement is wrong, or else EX_UNAVAILABLE if not all could
 * be asked about. Blocks: at most 10 s for each host that cannot be reached.
 */
int db_try(const struct conf *conf, unsigned workers, FILE *errors);

#endif
