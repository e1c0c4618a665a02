/* problem.c: the documents that tell a client what was wrong. */
#include "http/problem.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* The last answer. */
static int status;
static char *body, *retry_after;
static char content_type[64];
static size_t content_length;

/* The memory of a request. */
static void *blocks[16];
static size_t n_blocks;

static void *give(void *arg, size_t size)
{
    (void)arg;
    if (n_blocks == sizeof(blocks) / sizeof(blocks[0]))
        abort();
    return blocks[n_blocks++] = mem_alloc(size);
}

static void on_start(struct sink *sink, const struct sink_head *head)
{
    (void)sink;
    status = head->status;
    content_length = head->content_length;
    snprintf(content_type, sizeof(content_type), "%.*s", (int)head->content_type.len,
             head->content_type.base);
    free(retry_after);
    retry_after = NULL;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (str_equal(head->fields[i].name, STR("Retry-After")))
            retry_after = mem_strndup(head->fields[i].value.base, head->fields[i].value.len);
    }
}

static void on_finish(struct sink *sink, const struct str *parts, size_t n)
{
    (void)sink;
    free(body);
    body = n == 1 ? mem_strndup(parts[0].base, parts[0].len) : mem_strdup("not in one part");
}

static const char *id_of(struct sink *sink)
{
    (void)sink;
    return "c1a690e09f107da9";
}

static const struct sink_ops ops = {.start = on_start, .finish = on_finish, .request_id = id_of};

static void send_problem(struct problem problem)
{
    struct sink sink = {.ops = &ops, .arena = {give, NULL}};
    problem_send(&sink, &problem);
    while (n_blocks > 0)
        free(blocks[--n_blocks]);
    is_int((long long)content_length, (long long)strlen(body), "the length is that of the document");
}

static void test_document(void)
{
    send_problem((struct problem){.status = 404, .detail = "There is nothing at this path."});
    is_str(body,
           "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
           "\"detail\":\"There is nothing at this path.\",\"request_id\":\"c1a690e09f107da9\"}",
           "a document");
    is_int(status, 404, "its status is the answer's");
    is_str(content_type, "application/problem+json", "and its type");
    ok(retry_after == NULL, "nobody is asked to come again");
    send_problem((struct problem){.status = 409, .detail = "x", .parameter = "a", .constraint = "b"});
    is_str(body,
           "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,\"detail\":\"x\","
           "\"request_id\":\"c1a690e09f107da9\",\"parameter\":\"a\",\"constraint\":\"b\"}",
           "what is at fault is named");
    send_problem((struct problem){.status = 503, .detail = "x"});
    ok(retry_after != NULL && atoi(retry_after) >= 1 && atoi(retry_after) <= 3, "503: come again soon");
}

/* What a client has sent may be in a document. */
static void test_escapes(void)
{
    send_problem((struct problem){.status = 400, .detail = "\"\\/\b\f\n\r\t\x01\x1f\x7f é"});
    ok(strstr(body, "\"detail\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f é\"") != NULL,
       "characters that need it are escaped: %s", body);
}

static void test_long(void)
{
    enum { LONG = 5000 };
    char *text = mem_alloc(LONG + 1);
    memset(text, '"', LONG);
    text[LONG] = '\0';
    send_problem((struct problem){.status = 400, .detail = text});
    char *end = strstr(body, "\",\"request_id\":\"c1a690e09f107da9\"}");
    char *begin = strstr(body, "\"detail\":\"");
    ok(begin != NULL && end != NULL, "a long document is whole");
    is_int(end - begin, (long long)strlen("\"detail\":\"") + LONG * 2, "with all that it has to say");
    free(text);
}

int main(void)
{
    test_document();
    test_escapes();
    test_long();
    free(body);
    free(retry_after);
    return done_testing();
}
