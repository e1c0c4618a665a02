/* stage.c: requests come through the stages of their route, and answers out again. */
#include "stages/stage.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/layer.h"
#include "unit/tap.h"

enum { WAIT_MS = 5, MOST_TURNS = 2000 };

static h2o_loop_t *loop;
static struct timeouts *timeouts;

/* What happens, in words. */
static char happened[1024];

#define NOTE(...) snprintf(happened + strlen(happened), sizeof(happened) - strlen(happened), __VA_ARGS__)

static void happened_is(const char *what, const char *name)
{
    is_str(happened, what, "%s", name);
    happened[0] = '\0';
}

/* A sink that writes down what comes out, with memory that is freed with it. */

static void *blocks[64];
static size_t n_blocks;

static void *alloc_block(void *arg, size_t size)
{
    (void)arg;
    if (n_blocks == sizeof(blocks) / sizeof(blocks[0]))
        abort();
    return blocks[n_blocks++] = mem_calloc(1, size);
}

static void out_start(struct sink *sink, const struct sink_head *head)
{
    (void)sink;
    NOTE("%d: ", head->status);
}

static void out_parts(const struct str *parts, size_t n, const char *after)
{
    for (size_t i = 0; i < n; i++)
        NOTE("%.*s", (int)parts[i].len, parts[i].base);
    NOTE("%s", after);
}

static void out_push(struct sink *sink, const struct str *parts, size_t n)
{
    (void)sink;
    out_parts(parts, n, "|");
}

static void out_finish(struct sink *sink, const struct str *parts, size_t n)
{
    (void)sink;
    out_parts(parts, n, ". ");
}

static void out_abort(struct sink *sink)
{
    (void)sink;
    NOTE("aborted ");
}

static void out_cut(struct sink *sink)
{
    sink->gone(sink);
}

static uint64_t out_taken(struct sink *sink)
{
    (void)sink;
    return 17;
}

static struct sink_client out_client(struct sink *sink)
{
    (void)sink;
    return (struct sink_client){.network = 18};
}

static const char *out_request_id(struct sink *sink)
{
    (void)sink;
    return "19";
}

static const struct sink_ops out_ops = {
    .start = out_start,
    .push = out_push,
    .finish = out_finish,
    .abort = out_abort,
    .cut = out_cut,
    .taken = out_taken,
    .client = out_client,
    .request_id = out_request_id,
};

static struct sink out;

static void client_leaves(void)
{
    if (out.gone != NULL)
        out.gone(&out);
}

/* The request ends. */
static void end(void)
{
    client_leaves();
    while (n_blocks > 0)
        free(blocks[--n_blocks]);
}

/* A stage that counts, and lets requests go on. */

static unsigned n_counted;

static void free_stage(struct stage *stage)
{
    free(stage);
}

static struct stage *stage_new(const struct stage_ops *ops)
{
    struct stage *stage = mem_calloc(1, sizeof(*stage));
    stage->ops = ops;
    return stage;
}

static enum stage_outcome count_enter(struct stage *stage, struct stage_run *run)
{
    (void)stage, (void)run;
    n_counted++;
    NOTE("counted ");
    return STAGE_NEXT;
}

static struct stage *make_counting(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = count_enter, .free = free_stage};
    (void)route, (void)env;
    return stage_new(&ops);
}

/* One that waits for a while, and then lets them go on, too. */

struct waiting {
    h2o_timeout_entry_t timer;
    struct stage_run *run;
};

static void on_wait_over(h2o_timeout_entry_t *entry)
{
    struct waiting *waiting = H2O_STRUCT_FROM_MEMBER(struct waiting, timer, entry);
    NOTE("goes on ");
    stage_go_on(waiting->run);
}

static void on_gone_waiting(struct sink *sink)
{
    struct waiting *waiting = sink->data;
    h2o_timeout_unlink(&waiting->timer);
    NOTE("gone while it waits ");
}

static enum stage_outcome wait_enter(struct stage *stage, struct stage_run *run)
{
    struct sink *sink = run->request.sink;
    struct waiting *waiting = arena_alloc(&sink->arena, sizeof(*waiting));
    (void)stage;
    *waiting = (struct waiting){.timer = {.cb = on_wait_over}, .run = run};
    sink->data = waiting;
    sink->gone = on_gone_waiting;
    h2o_timeout_link(loop, timeouts_get(timeouts, WAIT_MS), &waiting->timer);
    NOTE("waits ");
    return STAGE_WAITS;
}

static struct stage *make_waiting(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = wait_enter, .free = free_stage};
    (void)route, (void)env;
    struct stage *stage = stage_new(&ops);
    stage->wants_message = true;
    return stage;
}

/* One that answers. */

static enum stage_outcome refuse_enter(struct stage *stage, struct stage_run *run)
{
    struct str text = STR("no");
    struct sink_head head = {.status = 403};
    (void)stage;
    sink_answer(run->request.sink, &head, &text, 1);
    return STAGE_ANSWERED;
}

static struct stage *make_refusing(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = refuse_enter, .free = free_stage};
    (void)route, (void)env;
    return stage_new(&ops);
}

/* One that writes all answers in capitals, and is told of room and of the end. */

struct shouting {
    struct layer layer;
    size_t n_bytes;
};

static void shout(struct shouting *shouting, const struct str *parts, size_t n, bool is_last)
{
    struct sink *below = shouting->layer.below;
    struct str *loud = arena_alloc(&below->arena, (n + 1) * sizeof(*loud));
    for (size_t i = 0; i < n; i++) {
        char *text = arena_copy(&below->arena, parts[i]);
        for (size_t j = 0; j < parts[i].len; j++)
            text[j] = (char)toupper(text[j]);
        loud[i] = (struct str){text, parts[i].len};
        shouting->n_bytes += parts[i].len;
    }
    if (is_last)
        below->ops->finish(below, loud, n);
    else
        below->ops->push(below, loud, n);
}

static void shout_push(struct sink *sink, const struct str *parts, size_t n)
{
    shout((struct shouting *)sink, parts, n, false);
}

static void shout_finish(struct sink *sink, const struct str *parts, size_t n)
{
    shout((struct shouting *)sink, parts, n, true);
}

static void shout_room(struct sink *below)
{
    NOTE("(room) ");
    layer_room(below);
}

static void shout_gone(struct sink *below)
{
    layer_gone(below);
    NOTE("%zu loud bytes ", ((struct shouting *)below->data)->n_bytes);
}

static enum stage_outcome shout_enter(struct stage *stage, struct stage_run *run)
{
    static const struct sink_ops ops = {
        .start = layer_start,
        .push = shout_push,
        .finish = shout_finish,
        .abort = layer_abort,
        .cut = layer_cut,
        .taken = layer_taken,
        .client = layer_client,
        .request_id = layer_request_id,
        .trace = layer_trace,
    };
    struct sink *below = run->request.sink;
    struct shouting *shouting = arena_alloc(&below->arena, sizeof(*shouting));
    (void)stage;
    shouting->n_bytes = 0;
    layer_init(&shouting->layer, &ops, below);
    below->room = shout_room;
    below->gone = shout_gone;
    run->request.sink = &shouting->layer.sink;
    return STAGE_NEXT;
}

static struct stage *make_shouting(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = shout_enter, .free = free_stage};
    (void)route, (void)env;
    return stage_new(&ops);
}

/* One that no route needs. */
static struct stage *make_none(const struct conf_route *route, const struct stage_env *env)
{
    (void)route, (void)env;
    return NULL;
}

/* What is at the end of the stages: it answers at once, or in parts. */

static struct sink *arrived; /* the sink to be answered into */

static void handler_gone(struct sink *sink)
{
    NOTE("handler: %s is gone ", (const char *)sink->data);
}

static void handler_room(struct sink *sink)
{
    struct str text = STR("last");
    sink->ops->finish(sink, &text, 1);
}

static void arrive(struct stages *stages, const struct request *request)
{
    (void)stages;
    NOTE("handler ");
    if (request->n_captures > 0)
        NOTE("of %.*s ", (int)request->captures[0].len, request->captures[0].base);
    if (request->message != NULL)
        NOTE("for %.*s ", (int)request->message->host.len, request->message->host.base);
    arrived = request->sink;
    if (arrived->data != NULL || arrived->room != NULL || arrived->gone != NULL)
        NOTE("(the sink is in use) ");
    arrived->data = (void *)"its answer";
    arrived->gone = handler_gone;
    arrived->room = handler_room;
}

static void answer(const char *text)
{
    struct sink_head head = {.status = 200};
    struct str bytes = str_of(text);
    sink_answer(arrived, &head, &bytes, 1);
}

static struct stages stages;

static void make(stage_maker *const *makers)
{
    static const struct stages_ops ops = {.arrive = arrive};
    static const struct conf_route route;
    static const struct stage_env env;
    stages_init(&stages, &ops, makers, &route, &env);
}

/* A request comes, from memory that is used for something else as soon as it is in the stages. */
static void request_comes(void)
{
    struct str captures[] = {STR("seven")};
    struct request_message message = {.host = STR("example.com")};
    struct request request = {.captures = captures, .n_captures = 1, .message = &message, .sink = &out};
    out = (struct sink){.ops = &out_ops, .arena = {alloc_block, NULL}, .route = "GET /numbers/{n}"};
    stages_enter(&stages, &request);
    memset(captures, 0xff, sizeof(captures));
    memset(&message, 0xff, sizeof(message));
    memset(&request, 0xff, sizeof(request));
}

static void turn_until_arrived(void)
{
    for (int i = 0; i < MOST_TURNS && strstr(happened, "handler") == NULL; i++)
        h2o_evloop_run(loop, 1);
}

static void test_making(void)
{
    make((stage_maker *const[]){make_none, make_none, NULL});
    is_int((long long)stages.n, 0, "a route has no stages of kinds that it does not need");
    stages_dispose(&stages);
    make((stage_maker *const[]){make_none, make_counting, NULL});
    ok(stages.n == 1 && !stages.wants_message, "it has the one that it needs");
    stages_dispose(&stages);
    make((stage_maker *const[]){make_counting, make_waiting, NULL});
    ok(stages.n == 2 && stages.wants_message, "they want of a request what one of them wants");
    stages_dispose(&stages);
}

static void test_next(void)
{
    make((stage_maker *const[]){make_counting, make_counting, NULL});
    n_counted = 0;
    request_comes();
    happened_is("counted counted handler of seven for example.com ",
                "a request comes through all stages, then to its handler");
    is_int(n_counted, 2, "each was entered once");
    answer("fine");
    end();
    happened_is("200: fine. handler: its answer is gone ", "stages that leave the sink alone change nothing");
    stages_dispose(&stages);
}

static void test_waiting(void)
{
    make((stage_maker *const[]){make_counting, make_waiting, make_counting, make_waiting, NULL});
    request_comes();
    happened_is("counted waits ", "a request waits where a stage says so");
    turn_until_arrived();
    happened_is("goes on counted waits goes on handler of seven for example.com ",
                "it goes on later, with all that it had, and a sink that nobody uses");
    answer("late");
    end();
    happened_is("200: late. handler: its answer is gone ", "and is answered");
    stages_dispose(&stages);
}

static void test_leaving(void)
{
    make((stage_maker *const[]){make_waiting, NULL});
    request_comes();
    end();
    for (int i = 0; i < 2 * WAIT_MS; i++)
        h2o_evloop_run(loop, 1);
    happened_is("waits gone while it waits ",
                "where the client leaves meanwhile, the stage is told, and no more");
    stages_dispose(&stages);
}

static void test_answering(void)
{
    make((stage_maker *const[]){make_counting, make_refusing, make_counting, NULL});
    request_comes();
    end();
    happened_is("counted 403: no. ", "a request that a stage has answered goes no further");
    stages_dispose(&stages);
}

static void test_layers(void)
{
    make((stage_maker *const[]){make_shouting, make_waiting, NULL});
    request_comes();
    turn_until_arrived();
    happened_is("waits goes on handler of seven for example.com ", "a request goes on to a layer's sink");
    is_str(arrived->route, "GET /numbers/{n}", "which has the name of the route");
    answer("loud");
    happened_is("200: LOUD. ", "a stage may change the answer");
    end();
    happened_is("handler: its answer is gone 4 loud bytes ",
                "the handler is told of the end, then the stage");

    request_comes();
    turn_until_arrived();
    happened[0] = '\0';
    struct str text = STR("first ");
    arrived->ops->start(arrived, &(struct sink_head){.status = 200});
    arrived->ops->push(arrived, &text, 1);
    out.room(&out);
    end();
    happened_is("200: FIRST |(room) LAST. handler: its answer is gone 10 loud bytes ",
                "room comes through the stage to the handler");

    request_comes();
    client_leaves();
    happened_is("waits gone while it waits 0 loud bytes ",
                "a client that leaves is noticed by those who wait and those who wrap");
    out.gone = NULL;
    end();
    stages_dispose(&stages);
}

static void test_through(void)
{
    make((stage_maker *const[]){make_shouting, make_shouting, NULL});
    request_comes();
    struct sink *sink = arrived;
    ok(sink->ops->taken(sink) == 17 && sink->ops->client(sink).network == 18 &&
           strcmp(sink_request_id(sink), "19") == 0,
       "what a sink tells comes through two layers");
    happened[0] = '\0';
    sink->ops->start(sink, &(struct sink_head){.status = 500});
    sink->ops->abort(sink);
    happened_is("500: aborted ", "so does an abort");
    sink->ops->cut(sink);
    happened_is("handler: its answer is gone 0 loud bytes 0 loud bytes ",
                "and a cut, with gone on the way back");
    out.gone = NULL;
    end();
    stages_dispose(&stages);

    make((stage_maker *const[]){make_shouting, make_refusing, NULL});
    request_comes();
    end();
    happened_is("403: NO. 2 loud bytes ", "a stage's answer comes out through those before it");
    stages_dispose(&stages);
}

int main(void)
{
    loop = h2o_evloop_create();
    timeouts = timeouts_new(loop);
    test_making();
    test_next();
    test_waiting();
    test_leaving();
    test_answering();
    test_layers();
    test_through();
    timeouts_free(timeouts);
    return done_testing();
}
