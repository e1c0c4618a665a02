/*
 * metric.h: what is counted and shown besides what is counted of each route (metrics/series.h).
 *
 * One row of a table below is one figure. Its place in the memory that processes share, its sum over all of
 * them, and its text for monitoring systems come from that row; hayfork(8) has a line for each family. Rows
 * of one family stand together, and differ in their label.
 */
#ifndef HAYFORK_METRICS_METRIC_H
#define HAYFORK_METRICS_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"

/*
 * What a process of the server has: anybody counts it by metric_add, wherever it happens. The columns: the
 * name in METRIC_name; COUNTER or GAUGE; the family, which ends in its unit, where it has one, and without
 * the _total of counters; a label and its value, or NULL twice; what it is, in a line.
 */
#define METRICS_OF_SERVER(ROW)                                                                               \
    ROW(CONNECTIONS_IDLE, GAUGE, "hayfork_connections_idle", NULL, NULL,                                     \
        "Connections of clients on which no request is answered just now.")                                  \
    ROW(CONNECTIONS_ACCEPTED, COUNTER, "hayfork_connections_accepted", NULL, NULL,                           \
        "Connections of clients that were accepted.")                                                        \
    ROW(CONNECTIONS_PASSED, COUNTER, "hayfork_connections_passed", NULL, NULL,                               \
        "Of these, connections that a worker has passed to another one with fewer.")                         \
    ROW(REQUESTS_IN_FLIGHT, GAUGE, "hayfork_requests_in_flight", NULL, NULL,                                 \
        "Requests that are being answered.")                                                                 \
    ROW(ACCESS_LOG_DROPPED, COUNTER, "hayfork_access_log_dropped_lines", NULL, NULL,                         \
        "Lines of the access log that could not be written.")                                                \
    ROW(WORKER_STARTS, COUNTER, "hayfork_worker_starts", NULL, NULL, "Workers that were started.")           \
    ROW(WORKER_EXITED, COUNTER, "hayfork_worker_deaths", "cause", "exited",                                  \
        "Workers that ended without being told to, by the way they did.")                                    \
    ROW(WORKER_CRASHED, COUNTER, "hayfork_worker_deaths", "cause", "crashed", NULL)                          \
    ROW(WORKER_KILLED, COUNTER, "hayfork_worker_deaths", "cause", "killed", NULL)                            \
    ROW(WORKER_NEVER_READY, COUNTER, "hayfork_worker_deaths", "cause", "never_ready", NULL)                  \
    ROW(HELPERS, GAUGE, "hayfork_helpers", NULL, NULL, "Helper processes that there are.")                   \
    ROW(HELPER_STARTS, COUNTER, "hayfork_helper_starts", NULL, NULL, "Helper processes that were started.")  \
    ROW(TEXTS, COUNTER, "hayfork_texts", NULL, NULL, "Texts that were given to models.")                     \
    ROW(TEXTS_JOINED, COUNTER, "hayfork_texts_joined", NULL, NULL,                                           \
        "Texts that became part of a job that was waiting already.")                                         \
    ROW(JOBS_WAITING, GAUGE, "hayfork_helper_jobs_waiting", NULL, NULL, "Jobs that wait for a helper.")      \
    ROW(JOBS_RUNNING, GAUGE, "hayfork_helper_jobs_running", NULL, NULL, "Jobs that helpers work on.")        \
    ROW(JOBS_DONE, COUNTER, "hayfork_helper_jobs", "result", "done",                                         \
        "Jobs for helpers, by what came of them.")                                                           \
    ROW(JOBS_FULL, COUNTER, "hayfork_helper_jobs", "result", "full", NULL)                                   \
    ROW(JOBS_WAITED, COUNTER, "hayfork_helper_jobs", "result", "not_begun", NULL)                            \
    ROW(JOBS_LATE, COUNTER, "hayfork_helper_jobs", "result", "late", NULL)                                   \
    ROW(JOBS_DIED, COUNTER, "hayfork_helper_jobs", "result", "died", NULL)                                   \
    ROW(JOBS_ABANDONED, COUNTER, "hayfork_helper_jobs", "result", "abandoned", NULL)                         \
    ROW(IMAGES_SHARED, COUNTER, "hayfork_images_shared", NULL, NULL,                                         \
        "Requests whose picture was being made for another one already.")                                    \
    ROW(RELOADS_DONE, COUNTER, "hayfork_reloads", "result", "done", "Reloads, by their result.")             \
    ROW(RELOADS_REFUSED, COUNTER, "hayfork_reloads", "result", "refused", NULL)

/* What a lane to PostgreSQL has. The states are those of enum db_state (db/lane.h), in its order. */
#define METRICS_OF_LANE(ROW)                                                                                 \
    ROW(LANE_CONNECTING, GAUGE, "hayfork_database_state", "state", "connecting",                             \
        "Workers, by the state of the lane's first connection.")                                             \
    ROW(LANE_PREPARING, GAUGE, "hayfork_database_state", "state", "preparing", NULL)                         \
    ROW(LANE_READY, GAUGE, "hayfork_database_state", "state", "ready", NULL)                                 \
    ROW(LANE_BROKEN, GAUGE, "hayfork_database_state", "state", "broken", NULL)                               \
    ROW(LANE_BACKING_OFF, GAUGE, "hayfork_database_state", "state", "backing_off", NULL)                     \
    ROW(LANE_DRAINING, GAUGE, "hayfork_database_state", "state", "draining", NULL)                           \
    ROW(LANE_OPEN, GAUGE, "hayfork_database_connections", NULL, NULL,                                        \
        "Connections to PostgreSQL that are open.")                                                          \
    ROW(LANE_IN_FLIGHT, GAUGE, "hayfork_database_in_flight", NULL, NULL,                                     \
        "Statements that PostgreSQL has not answered yet.")                                                  \
    ROW(LANE_WAITING, GAUGE, "hayfork_database_waiting", NULL, NULL, "Queries that wait to be sent.")        \
    ROW(LANE_QUERIES, COUNTER, "hayfork_database_queries", NULL, NULL, "Queries that a lane has taken.")     \
    ROW(LANE_WAITS, COUNTER, "hayfork_database_waits", NULL, NULL,                                           \
        "Of these, queries that were not sent in the turn of the loop in which they came.")                  \
    ROW(LANE_MERGED, COUNTER, "hayfork_database_merged", NULL, NULL,                                         \
        "Statements that have asked for several queries at once.")                                           \
    ROW(LANE_MERGED_QUERIES, COUNTER, "hayfork_database_merged_queries", NULL, NULL,                         \
        "Queries that were asked so.")                                                                       \
    ROW(LANE_RETRIED, COUNTER, "hayfork_database_retries", NULL, NULL,                                       \
        "Queries that were sent again after a connection broke.")                                            \
    ROW(LANE_SPILLS, COUNTER, "hayfork_database_spills", NULL, NULL,                                         \
        "Connections that were opened beside the first one.")                                                \
    ROW(LANE_LOST, COUNTER, "hayfork_database_connections_lost", NULL, NULL,                                 \
        "Connections to PostgreSQL that broke.")                                                             \
    ROW(LANE_RECONNECTS, COUNTER, "hayfork_database_reconnects", NULL, NULL,                                 \
        "Connections to PostgreSQL that were made again after they broke.")                                  \
    ROW(LANE_AWAY, COUNTER, "hayfork_database_failures", "cause", "away",                                    \
        "Queries without a result, by the cause.")                                                           \
    ROW(LANE_FULL, COUNTER, "hayfork_database_failures", "cause", "full", NULL)                              \
    ROW(LANE_NOT_SENT, COUNTER, "hayfork_database_failures", "cause", "not_sent", NULL)                      \
    ROW(LANE_LATE, COUNTER, "hayfork_database_failures", "cause", "late", NULL)                              \
    ROW(LANE_LOST_QUERIES, COUNTER, "hayfork_database_failures", "cause", "lost", NULL)

/*
 * What a server of relays has. Requests for which there was no server, as all connections were in use, are
 * its upstream's.
 */
#define METRICS_OF_UPSTREAM(ROW)                                                                             \
    ROW(UPSTREAM_IN_FLIGHT, GAUGE, "hayfork_upstream_in_flight", NULL, NULL,                                 \
        "Requests that the server has, or that are about to be sent to it.")                                 \
    ROW(UPSTREAM_CONNECTIONS, GAUGE, "hayfork_upstream_connections", NULL, NULL,                             \
        "Open connections to the server, those that are being made included.")                               \
    ROW(UPSTREAM_REQUESTS, COUNTER, "hayfork_upstream_requests", NULL, NULL,                                 \
        "Requests that were sent to the server, those that were sent again included.")                       \
    ROW(UPSTREAM_REUSED, COUNTER, "hayfork_upstream_reused", NULL, NULL,                                     \
        "Of these, requests on a connection that had had others before.")                                    \
    ROW(UPSTREAM_CONNECTED, COUNTER, "hayfork_upstream_connections_made", NULL, NULL,                        \
        "Connections that were made to the server.")                                                         \
    ROW(UPSTREAM_LOOK_UP, COUNTER, "hayfork_upstream_failures", "cause", "look_up",                          \
        "Requests that got no answer from the server, by the cause; another server may have answered them.") \
    ROW(UPSTREAM_CONNECT, COUNTER, "hayfork_upstream_failures", "cause", "connect", NULL)                    \
    ROW(UPSTREAM_NO_ANSWER, COUNTER, "hayfork_upstream_failures", "cause", "no_answer", NULL)                \
    ROW(UPSTREAM_LATE, COUNTER, "hayfork_upstream_failures", "cause", "late", NULL)                          \
    ROW(UPSTREAM_BAD_ANSWER, COUNTER, "hayfork_upstream_failures", "cause", "bad_answer", NULL)              \
    ROW(UPSTREAM_FULL, COUNTER, "hayfork_upstream_failures", "cause", "full", NULL)                          \
    ROW(UPSTREAM_RESTS, COUNTER, "hayfork_upstream_rests", NULL, NULL,                                       \
        "How often the server was left alone for a while, as it had failed.")

#define METRIC_NAME(name, ...) METRIC_##name,
enum metric_of_server { METRICS_OF_SERVER(METRIC_NAME) METRICS_SERVER_MOST };
enum metric_of_lane { METRICS_OF_LANE(METRIC_NAME) METRICS_LANE_MOST };
enum metric_of_upstream { METRICS_OF_UPSTREAM(METRIC_NAME) METRICS_UPSTREAM_MOST };
#undef METRIC_NAME

enum metric_type {
    METRIC_COUNTER, /* only grows: kept when who counts it is gone */
    METRIC_GAUGE,   /* what is so now: gone with it */
};

/* A row. */
struct metric {
    enum metric_type type;
    const char *family, *label, *value, *help;
};

struct metric_table {
    const struct metric *rows;
    size_t n;
};

extern const struct metric_table metrics_of_server, metrics_of_lane, metrics_of_upstream;

/* From now on this process counts there, where it has a place for each row: what it has counted before is
 * nobody's. Several processes may have the same. */
void metric_begin(_Atomic uint64_t *values);

/* So many more of it. */
void metric_add(enum metric_of_server which, uint64_t n);

/* It is so many now: of this process, which nobody else shares its values with. */
void metric_set(enum metric_of_server which, uint64_t value);

/* Adds what is counted, and not what is shown. Others may add to it at the same time. */
void metric_fold(const struct metric_table *table, _Atomic uint64_t *into, const _Atomic uint64_t *from);

/* Whose values these are is gone: what it showed is, too. */
void metric_forget(const struct metric_table *table, _Atomic uint64_t *values);

#endif
