/* floor.c: the least that a server on libh2o can do: one constant body, sent by the library's own HTTP/1. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <h2o.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 16 };

struct constant {
    h2o_handler_t super;
    h2o_iovec_t body;
};

static int answer(h2o_handler_t *handler, h2o_req_t *req)
{
    static h2o_generator_t nothing_more;
    struct constant *constant = (struct constant *)handler;
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = constant->body.len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("application/json"));
    h2o_start_response(req, &nothing_more);
    h2o_send(req, &constant->body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

static void on_acceptable(h2o_socket_t *listener, const char *error)
{
    h2o_socket_t *client;
    for (int i = 0; error == NULL && i < ACCEPT_BATCH; i++) {
        if ((client = h2o_evloop_socket_accept(listener)) == NULL)
            break;
        h2o_accept(listener->data, client);
    }
}

/* Each process has a socket of its own, over which the kernel spreads the connections. */
static int listen_on(int port)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&where, sizeof(where)) != 0 || listen(fd, 4096) != 0)
        err(1, "cannot listen on 127.0.0.1:%d", port);
    return fd;
}

static void serve(int port, h2o_iovec_t body)
{
    h2o_globalconf_t conf;
    h2o_config_init(&conf);
    conf.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host = h2o_config_register_host(&conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/v1/avatar", 0);
    struct constant *constant = (struct constant *)h2o_create_handler(path, sizeof(*constant));
    constant->super.on_req = answer;
    constant->body = body;

    h2o_context_t context;
    h2o_context_init(&context, h2o_evloop_create(), &conf);
    h2o_accept_ctx_t accept_context = {.ctx = &context, .hosts = conf.hosts};
    h2o_socket_t *listener =
        h2o_evloop_socket_create(context.loop, listen_on(port), H2O_SOCKET_FLAG_DONT_READ);
    listener->data = &accept_context;
    h2o_socket_read_start(listener, on_acceptable);
    while (h2o_evloop_run(context.loop, INT32_MAX) == 0 || errno == EINTR)
        continue;
    err(1, "the loop ended");
}

static h2o_iovec_t read_file(const char *name)
{
    static char content[64 * 1024];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, content, sizeof(content));
    if (len < 0)
        err(1, "%s", name);
    close(fd);
    return h2o_iovec_init(content, (size_t)len);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        errx(64, "usage: floor PORT PROCESSES FILE");
    h2o_iovec_t body = read_file(argv[3]);
    signal(SIGPIPE, SIG_IGN);
    int n = atoi(argv[2]);
    pid_t *pids = h2o_mem_alloc(sizeof(*pids) * (size_t)n);
    sigset_t awaited, before;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGCHLD); /* one of them that ends, ends all */
    sigprocmask(SIG_BLOCK, &awaited, &before);
    for (int i = 0; i < n; i++) {
        if ((pids[i] = fork()) < 0)
            err(1, "fork");
        if (pids[i] == 0) {
            sigprocmask(SIG_SETMASK, &before, NULL);
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            serve(atoi(argv[1]), body);
        }
    }
    int which;
    sigwait(&awaited, &which);
    for (int i = 0; i < n; i++)
        kill(pids[i], SIGTERM);
    while (wait(NULL) > 0)
        continue;
    return which == SIGCHLD;
}
