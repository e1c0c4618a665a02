/*
 * cancel.c: has PostgreSQL give up what a session does. libpq waits while it connects for that, so it does so
 * in a thread. PQcancel sends the request in the clear, also where the session uses TLS: who reads it could
 * cancel what this session does, which is about to end.
 */
#include "db/cancel.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MOST = 8 /* at a time: a server that is not there holds each for minutes */ };

static atomic_uint n_under_way;

static void *cancel(void *arg)
{
    char ignored[256];
    PQcancel(arg, ignored, sizeof(ignored));
    PQfreeCancel(arg);
    atomic_fetch_sub(&n_under_way, 1);
    return NULL;
}

void db_cancel(PGconn *pg)
{
    pthread_attr_t attributes;
    pthread_t thread;
    PGcancel *request = atomic_load(&n_under_way) < MOST ? PQgetCancel(pg) : NULL;
    if (request == NULL)
        return;
    atomic_fetch_add(&n_under_way, 1);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, cancel, request) != 0) {
        PQfreeCancel(request);
        atomic_fetch_sub(&n_under_way, 1);
    }
    pthread_attr_destroy(&attributes);
}
