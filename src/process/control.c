/* control.c: asking a running master for a reload, and hearing what became of it. */
#include "process/control.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { MESSAGE_MOST = 4096 };

/* The first byte of what the master says. */
enum { SAYS = ' ', DONE = '+', REFUSED = '-' };

static socklen_t name_of(pid_t pid, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "hayfork-%d", (int)pid);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

void control_open(struct control *control)
{
    struct sockaddr_un address;
    socklen_t len = name_of(getpid(), &address);
    control->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->socket >= 0 && bind(control->socket, (struct sockaddr *)&address, len) == 0 &&
        listen(control->socket, CONTROL_CLIENTS) == 0)
        return;
    log_warn("hayfork -r cannot reach this server");
    if (control->socket >= 0)
        close(control->socket);
    control->socket = -1;
}

static bool may_ask(int client)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void add(int **clients, size_t *n, int client)
{
    MEM_GROW(clients, *n);
    (*clients)[(*n)++] = client;
}

size_t control_take(struct control *control, bool busy)
{
    size_t asked = 0;
    int client;
    while (control->socket >= 0 &&
           (client = accept4(control->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (!may_ask(client) || control->n_clients + control->n_next >= CONTROL_CLIENTS) {
            close(client);
            continue;
        }
        /* To connect is to ask: there is only one thing that can be asked for. */
        if (busy)
            add(&control->next, &control->n_next, client);
        else
            add(&control->clients, &control->n_clients, client);
        asked++;
    }
    return asked;
}

void control_begin(struct control *control)
{
    for (size_t i = 0; i < control->n_next; i++)
        add(&control->clients, &control->n_clients, control->next[i]);
    control->n_next = 0;
}

/* One that does not listen, or has gone, misses it. */
static void say(const struct control *control, char kind, const char *text, size_t len)
{
    char message[MESSAGE_MOST];
    size_t take = len < sizeof(message) - 1 ? len : sizeof(message) - 1;
    message[0] = kind;
    memcpy(message + 1, text, take);
    for (size_t i = 0; i < control->n_clients; i++) {
        if (send(control->clients[i], message, take + 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
            log_debug("whoever asked for a reload does not listen");
    }
}

void control_tell(struct control *control, const char *text, size_t len)
{
    for (size_t at = 0; at < len; at += MESSAGE_MOST - 1)
        say(control, SAYS, text + at, len - at);
}

void control_end(struct control *control, const char *refused)
{
    say(control, refused == NULL ? DONE : REFUSED, refused == NULL ? "" : refused,
        refused == NULL ? 0 : strlen(refused));
    for (size_t i = 0; i < control->n_clients; i++)
        close(control->clients[i]);
    control->n_clients = 0;
}

void control_close(struct control *control)
{
    for (size_t i = 0; i < control->n_clients; i++)
        close(control->clients[i]);
    for (size_t i = 0; i < control->n_next; i++)
        close(control->next[i]);
    if (control->socket >= 0)
        close(control->socket);
    free(control->clients);
    free(control->next);
    *control = (struct control){.socket = -1};
}

/* Who asks */

static int connect_to(pid_t pid, uid_t *uid)
{
    struct sockaddr_un address;
    struct ucred peer;
    socklen_t len = name_of(pid, &address), peer_len = sizeof(peer);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, len) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) == 0 && peer.pid == pid) {
        *uid = peer.uid;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

int control_reload(pid_t pid)
{
    char message[MESSAGE_MOST];
    ssize_t got;
    uid_t uid;
    int fd = connect_to(pid, &uid);
    if (fd < 0) {
        fprintf(stderr, "hayfork: no hayfork with the process id %d listens\n", (int)pid);
        return EX_UNAVAILABLE;
    }
    if (geteuid() != 0 && geteuid() != uid) { /* may_ask() */
        fprintf(stderr, "hayfork: only root and the user that has started it may ask process %d\n", (int)pid);
        close(fd);
        return EX_UNAVAILABLE;
    }
    while ((got = recv(fd, message, sizeof(message), 0)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0 && message[0] == SAYS)
            fwrite(message + 1, 1, (size_t)got - 1, stderr);
        else if (got > 0)
            break;
    }
    close(fd);
    if (got > 0 && message[0] == DONE)
        return EXIT_SUCCESS;
    if (got > 0)
        fprintf(stderr, "hayfork: the reload was refused: %.*s\n", (int)got - 1, message + 1);
    else
        fprintf(stderr, "hayfork: the server ended, or did not answer\n");
    return got > 0 ? EX_CONFIG : EX_UNAVAILABLE;
}
