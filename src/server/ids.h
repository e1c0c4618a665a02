/*
 * ids.h: ids of requests, in X-Request-Id, problem documents and the log.
 *
 * A client may bring one, so that all who have a part in a request call it by the same name. Others are made:
 * a number that counts up, under a cipher whose key each worker makes for itself. They tell neither how many
 * requests there were nor which id comes next, and differ between workers and restarts.
 */
#ifndef HAYFORK_SERVER_IDS_H
#define HAYFORK_SERVER_IDS_H

#include <stdbool.h>
#include <string.h>

#include "base/chacha.h"
#include "base/str.h"

enum {
    IDS_LEN = 16,   /* of one that is made: hexadecimal digits */
    IDS_MOST = 128, /* of one that a client has brought */
};

struct ids {
    struct chacha chacha;
    unsigned n_made; /* of those below, from the first on, are to be given out yet */
    char made[CHACHA_BLOCK * 2 / IDS_LEN][IDS_LEN];
};

void ids_init(struct ids *ids);

/* Makes some more, for ids_take. */
void ids_make(struct ids *ids);

/* Writes a new one. */
static inline void ids_take(struct ids *ids, char id[IDS_LEN])
{
    if (ids->n_made == 0)
        ids_make(ids);
    memcpy(id, ids->made[--ids->n_made], IDS_LEN);
}

enum { IDS_TRACE_LEN = 55, IDS_TRACE_ID = 3, IDS_TRACE_ID_LEN = 32 };

/*
 * Is it a traceparent (W3C Trace Context, section 3.2), of this or a later version? From IDS_TRACE_ID on it
 * has the trace's id.
 */
bool ids_is_trace(struct str text);

/* Writes a new one, that of a trace that is recorded. */
void ids_make_trace(struct ids *ids, char trace[IDS_TRACE_LEN]);

/* Can it be passed on as it is? It is not long, and has letters, digits and "+-./:=@_~" only. */
bool ids_is_good(struct str id);

#endif
