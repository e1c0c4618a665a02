/* inquiry.c: questions to PostgreSQL one at a time, each of which is waited for. */
#include "db/inquiry.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum { GRACE_MS = 2000 /* for an answer, on top of the deadline */ };

static PGresult *receive(struct db_inquiry *inquiry)
{
    uint64_t until = clock_ms() + inquiry->deadline + GRACE_MS;
    PGresult *kept = NULL, *result = NULL;
    do {
        while (PQisBusy(inquiry->pg)) {
            struct pollfd wait = {.fd = PQsocket(inquiry->pg), .events = POLLIN};
            uint64_t now = clock_ms();
            int ready = now < until ? poll(&wait, 1, (int)(until - now)) : 0;
            bool late = ready == 0, broken = ready < 0 && errno != EINTR;
            if (late || broken || PQconsumeInput(inquiry->pg) != 1) {
                inquiry->lost = late ? "no answer from the database" : PQerrorMessage(inquiry->pg);
                PQclear(kept);
                return NULL;
            }
        }
        result = PQgetResult(inquiry->pg);
        if (result != NULL && kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
            PQclear(result);
        } else if (result != NULL) {
            PQclear(kept);
            kept = result;
        }
    } while (result != NULL);
    if (PQstatus(inquiry->pg) == CONNECTION_BAD) {
        inquiry->lost = PQerrorMessage(inquiry->pg);
        PQclear(kept);
        return NULL;
    }
    return kept;
}

PGresult *db_inquiry_receive(struct db_inquiry *inquiry, int sent)
{
    if (sent == 1)
        return receive(inquiry);
    inquiry->lost = PQerrorMessage(inquiry->pg);
    return NULL;
}

static void run(struct db_inquiry *inquiry, const char *sql)
{
    if (inquiry->lost == NULL)
        PQclear(db_inquiry_receive(inquiry, PQsendQuery(inquiry->pg, sql)));
}

/* Is the server's process another one than that of which the session was told? */
static bool is_pooled(struct db_inquiry *inquiry)
{
    PGresult *result =
        db_inquiry_receive(inquiry, PQsendQuery(inquiry->pg, "SELECT pg_catalog.pg_backend_pid()"));
    bool pooled = PQntuples(result) == 1 && atoi(PQgetvalue(result, 0, 0)) != PQbackendPID(inquiry->pg);
    PQclear(result);
    return pooled;
}

void db_inquiry_begin(struct db_inquiry *inquiry, PGconn *pg, unsigned deadline, const char *settings)
{
    *inquiry = (struct db_inquiry){.pg = pg, .deadline = deadline};
    if (is_pooled(inquiry))
        inquiry->settings = mem_printf("BEGIN; %s", settings);
}

void db_inquiry_end(struct db_inquiry *inquiry)
{
    if (inquiry->settings != NULL)
        run(inquiry, "ROLLBACK");
    free(inquiry->settings);
    PQfinish(inquiry->pg);
}

/* Begins a transaction: a new one, or only where there is none that is good. */
static void begin_transaction(struct db_inquiry *inquiry, bool anew)
{
    PGTransactionStatusType status = PQtransactionStatus(inquiry->pg);
    if (inquiry->settings == NULL || (!anew && status == PQTRANS_INTRANS))
        return;
    if (status != PQTRANS_IDLE)
        run(inquiry, "ROLLBACK");
    run(inquiry, inquiry->settings);
}

PGresult *db_inquiry_prepare(struct db_inquiry *inquiry, const char *sql, const Oid *types, size_t n)
{
    begin_transaction(inquiry, true);
    if (inquiry->lost != NULL)
        return NULL;
    return db_inquiry_receive(inquiry, PQsendPrepare(inquiry->pg, "", sql, (int)n, types));
}

PGresult *db_inquiry_describe(struct db_inquiry *inquiry)
{
    return db_inquiry_receive(inquiry, PQsendDescribePrepared(inquiry->pg, ""));
}

PGresult *db_inquiry_ask(struct db_inquiry *inquiry, const char *sql, Oid type, const char *value)
{
    begin_transaction(inquiry, false);
    if (inquiry->lost != NULL)
        return NULL;
    return db_inquiry_receive(inquiry, PQsendQueryParams(inquiry->pg, sql, 1, &type, &value, NULL, NULL, 0));
}

bool db_inquiry_is_good(const PGresult *result)
{
    return result != NULL && PQresultStatus(result) == PGRES_COMMAND_OK;
}

bool db_inquiry_has_rows(const PGresult *result)
{
    return result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;
}
