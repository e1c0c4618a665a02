/* exchange.c: one request and its answer, whichever version of HTTP brings them over the link. */
#include "server/exchange.h"

#include "base/clock.h"
#include "http/problem.h"
#include "metrics/counter.h"

static unsigned us(uint64_t ns)
{
    return (unsigned)(ns / 1000);
}

/* The sink */

static struct exchange *exchange_of(struct sink *sink)
{
    return H2O_STRUCT_FROM_MEMBER(struct exchange, sink, sink);
}

/* Server-Timing (W3C): what is known when the answer begins, in ms. */
static struct str times_of(struct exchange *exchange)
{
    const struct sink_notes *notes = &exchange->notes;
    uint64_t now = clock_turn_ns();
    unsigned total = us((now == exchange->begun_at ? clock_ns() : now) - exchange->begun_at);
    unsigned queue = us(notes->queue), database = us(notes->database);
    if (!notes->asked)
        return str_of(arena_printf(&exchange->sink.arena, "total;dur=%u.%03u", total / 1000, total % 1000));
    return str_of(arena_printf(&exchange->sink.arena,
                               "queue;dur=%u.%03u, database;dur=%u.%03u, total;dur=%u.%03u", queue / 1000,
                               queue % 1000, database / 1000, database % 1000, total / 1000, total % 1000));
}

/* The answer's head gets the field, too. */
static void add_times(struct exchange *exchange)
{
    struct sink_head *head = &exchange->head;
    struct sink_field *fields = h2o_mem_alloc_pool(&exchange->pool, (head->n_fields + 1) * sizeof(*fields));
    for (size_t i = 0; i < head->n_fields; i++)
        fields[i] = head->fields[i];
    fields[head->n_fields] = (struct sink_field){STR("Server-Timing"), times_of(exchange)};
    head->fields = fields;
    head->n_fields++;
}

static void sink_start(struct sink *sink, const struct sink_head *head)
{
    struct exchange *exchange = exchange_of(sink);
    exchange->head = *head;
    if (head->reason == NULL)
        exchange->head.reason = problem_reason(head->status);
    if (head->n_fields > 0) {
        size_t size = head->n_fields * sizeof(*head->fields);
        exchange->head.fields = memcpy(h2o_mem_alloc_pool(&exchange->pool, size), head->fields, size);
    }
    exchange->all->n_answered++;
    exchange->answered_at = clock_turn_ns();
    if (exchange->tells_times)
        add_times(exchange);
}

static void sink_push(struct sink *sink, const struct str *parts, size_t n)
{
    struct exchange *exchange = exchange_of(sink);
    exchange->ops->send(exchange, parts, n, EXCHANGE_MORE);
}

static void sink_finish(struct sink *sink, const struct str *parts, size_t n)
{
    struct exchange *exchange = exchange_of(sink);
    exchange->ops->send(exchange, parts, n, EXCHANGE_LAST);
}

static void sink_abort(struct sink *sink)
{
    struct exchange *exchange = exchange_of(sink);
    exchange->ops->send(exchange, NULL, 0, EXCHANGE_ABORTED);
}

static void sink_cut(struct sink *sink)
{
    struct exchange *exchange = exchange_of(sink);
    exchange->ops->cut(exchange);
}

static uint64_t sink_taken(struct sink *sink)
{
    struct exchange *exchange = exchange_of(sink);
    return exchange->ops->taken(exchange);
}

static struct sink_client sink_client(struct sink *sink)
{
    return peer_client(exchange_of(sink)->peer);
}

static const char *sink_id(struct sink *sink)
{
    return exchange_id(exchange_of(sink)).base;
}

static struct str sink_trace(struct sink *sink)
{
    return exchange_trace(exchange_of(sink));
}

static const struct sink_ops sink_ops = {
    .start = sink_start,
    .push = sink_push,
    .finish = sink_finish,
    .abort = sink_abort,
    .cut = sink_cut,
    .taken = sink_taken,
    .client = sink_client,
    .request_id = sink_id,
    .trace = sink_trace,
};

static void *alloc_in_pool(void *pool, size_t size)
{
    return h2o_mem_alloc_pool(pool, size);
}

/* The request */

/*
 * The path and query of a request, whose method is known. A URI without a path has the root's (RFC 9112
 * section 3.2.1), but to OPTIONS it stands for the server as a whole (section 3.2.4).
 */
static struct str path_of(struct exchange *exchange, struct str path)
{
    if (path.len > 0 && *path.base != '?')
        return path;
    if (path.len == 0)
        return str_equal(exchange->method, STR("OPTIONS")) ? STR("*") : STR("/");
    char *rooted = h2o_mem_alloc_pool(&exchange->pool, path.len + 1);
    rooted[0] = '/';
    memcpy(rooted + 1, path.base, path.len);
    return (struct str){rooted, path.len + 1};
}

/* One copy, so that the input may move on under a request that waits. */
static void copy_head(struct exchange *exchange, const struct http1_head *head, const char *bytes, size_t len)
{
    size_t fields_size = head->n_fields * sizeof(head->fields[0]);
    char *memory = h2o_mem_alloc_pool(&exchange->pool, fields_size + len);
    exchange->first_chunk = exchange->pool.chunks;
    memcpy(memory, head->fields, fields_size);
    memcpy(memory + fields_size, bytes, len);
    exchange->fields = (const struct http1_field *)memory;
    exchange->n_fields = head->n_fields;
    exchange->bytes = memory + fields_size;
}

void exchange_begin(struct exchange *exchange, const struct http1_head *head, const char *bytes, size_t len)
{
    struct exchanges *all = exchange->all;
    if (all->n_pools > 0)
        exchange->pool = all->pools[--all->n_pools];
    else
        h2o_mem_init_pool(&exchange->pool);
    exchange->is_open = true;
    all->n_begun++;
    exchange->begun_at = clock_turn_ns();
    exchange->series = all->unrouted;
    exchange->access = all->access;
    exchange->id.base = NULL;
    exchange->trace.base = NULL;
    exchange->tells_times = false;
    exchange->answered_at = 0;
    exchange->notes = (struct sink_notes){.asked = false};
    exchange->head.status = 0;
    exchange->sink =
        (struct sink){.ops = &sink_ops, .arena = {alloc_in_pool, &exchange->pool}, .notes = &exchange->notes};
    copy_head(exchange, head, bytes, len);
    exchange->method = http1_str(exchange->bytes, head->method);
    exchange->authority = http1_str(exchange->bytes, head->authority);
    exchange->path = path_of(exchange, http1_str(exchange->bytes, head->path));
    exchange->minor_version = head->minor_version;
    exchange->is_head = str_equal(exchange->method, STR("HEAD"));
}

struct str exchange_field(const struct exchange *exchange, struct str name)
{
    for (uint32_t i = 0; i < exchange->n_fields; i++) {
        const struct http1_field *field = &exchange->fields[i];
        if (field->name.len == name.len && http1_same(http1_str(exchange->bytes, field->name), name))
            return http1_str(exchange->bytes, field->value);
    }
    return (struct str){NULL, 0};
}

struct str exchange_field_list(struct exchange *exchange, struct str name)
{
    struct str value, only = {NULL, 0};
    size_t n = 0, size = 0;
    for (uint32_t i = 0; i < exchange->n_fields; i++) {
        if (!http1_find(&exchange->fields[i], 1, exchange->bytes, name, &value))
            continue;
        only = value;
        size += value.len + 2;
        n++;
    }
    if (n <= 1)
        return only;
    char *list = h2o_mem_alloc_pool(&exchange->pool, size), *out = list;
    for (uint32_t i = 0; i < exchange->n_fields; i++) {
        if (http1_find(&exchange->fields[i], 1, exchange->bytes, name, &value))
            out = mempcpy(mempcpy(out, value.base, value.len), ", ", 2);
    }
    return (struct str){list, size - 2};
}

struct str exchange_id(struct exchange *exchange)
{
    if (exchange->id.base != NULL)
        return exchange->id;
    struct str brought = exchange_field(exchange, STR("x-request-id"));
    if (brought.len > 0 && ids_is_good(brought)) {
        exchange->id = (struct str){arena_copy(&exchange->sink.arena, brought), brought.len};
    } else {
        ids_take(&exchange->all->ids, exchange->own_id);
        exchange->id = (struct str){exchange->own_id, IDS_LEN};
    }
    return exchange->id;
}

struct str exchange_trace(struct exchange *exchange)
{
    if (exchange->trace.base != NULL)
        return exchange->trace;
    struct str brought = exchange_field(exchange, STR("traceparent"));
    if (brought.len > 0 && ids_is_trace(brought)) {
        exchange->trace = brought;
    } else {
        char *made = h2o_mem_alloc_pool(&exchange->pool, IDS_TRACE_LEN);
        ids_make_trace(&exchange->all->ids, made);
        exchange->trace = (struct str){made, IDS_TRACE_LEN};
    }
    return exchange->trace;
}

/* Life */

void exchange_room(struct exchange *exchange)
{
    if (exchange->sink.room != NULL)
        exchange->sink.room(&exchange->sink);
}

/* Counts it, and tells those who want to know of its end. */
static void tell(struct exchange *exchange)
{
    const struct exchanges *all = exchange->all;
    struct series *series = exchange->series;
    if (series == NULL && exchange->access == NULL)
        return;
    uint64_t now = clock_turn_ns();
    if (now == exchange->begun_at)
        now = clock_ns(); /* it began and ends in one turn */
    uint64_t elapsed = now - exchange->begun_at;
    if (series != NULL) {
        series_add(series, exchange_status(exchange), elapsed / 1000);
        counter_add(&series->received, exchange->received);
        counter_add(&series->sent, exchange->sent);
    }
    if (exchange->access != NULL || elapsed >= all->slow)
        all->ops->ended(exchange, elapsed);
}

void exchange_close(struct exchange *exchange)
{
    if (exchange->sink.gone != NULL) /* who may have to say what PostgreSQL did until now */
        exchange->sink.gone(&exchange->sink);
    tell(exchange);
    exchange->is_open = false;
    exchange->all->n_ended++;
}

/* The memory is kept for another one where a single chunk was enough. */
void exchange_end(struct exchange *exchange)
{
    struct exchanges *all = exchange->all;
    h2o_mem_pool_t *pool = &exchange->pool;
    if (all->n_pools < EXCHANGE_POOLS && pool->chunks == exchange->first_chunk && pool->directs == NULL &&
        pool->shared_refs == NULL) {
        pool->chunk_offset = 0;
        all->pools[all->n_pools++] = *pool;
    } else {
        h2o_mem_clear_pool(pool);
    }
}

void exchange_init(struct exchange *exchange, struct exchanges *all, const struct exchange_ops *ops,
                   const struct conf_listen *listen, struct peer *peer, struct body *body)
{
    exchange->ops = ops;
    exchange->all = all;
    exchange->listen = listen;
    exchange->peer = peer;
    exchange->body = body;
}

void exchanges_init(struct exchanges *exchanges, const struct exchanges_ops *ops, struct series *unrouted)
{
    *exchanges = (struct exchanges){.ops = ops, .unrouted = unrouted, .slow = UINT64_MAX};
    ids_init(&exchanges->ids);
}

void exchanges_dispose(struct exchanges *exchanges)
{
    while (exchanges->n_pools > 0)
        h2o_mem_clear_pool(&exchanges->pools[--exchanges->n_pools]);
}
