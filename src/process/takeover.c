/* takeover.c: what one program's master hands to the next. */
#include "process/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pack.h"

enum {
    LAYOUT = 2,              /* counts up with each change of what is written below */
    MOST = 64 * 1024 * 1024, /* bytes */
    WORD = sizeof(uint64_t),
};

/* Writing */

static void pack_fds(struct pack *pack, const int *fds, size_t n)
{
    pack_number(pack, n);
    for (size_t i = 0; i < n; i++)
        pack_number(pack, (uint64_t)fds[i]);
}

static void pack_listener(struct pack *pack, const struct listener *listener)
{
    pack_text(pack, str_of(listener->address));
    pack_text(pack, str_of(listener->unix_path == NULL ? "" : listener->unix_path));
    pack_number(pack, listener->device);
    pack_number(pack, listener->inode);
    pack_number(pack, listener->shared);
    pack_number(pack, listener->passed);
    pack_fds(pack, listener->fds, listener->n_fds);
}

static size_t index_of(const struct takeover *takeover, const struct listener *listener)
{
    size_t i = 0;
    while (takeover->listeners[i] != listener)
        i++;
    return i;
}

static void pack_helpers(struct pack *pack, const struct helpers_of *helpers)
{
    pack_number(pack, helpers->n);
    for (unsigned i = 0; i < helpers->n; i++)
        pack_number(pack, (uint64_t)helpers->all[i].pid);
    if (helpers->n > 0) {
        pack_number(pack, (uint64_t)helpers->to);
        pack_number(pack, (uint64_t)helpers->from);
    }
}

static void pack_generation(struct pack *pack, const struct takeover *takeover,
                            const struct generation *generation)
{
    pack_number(pack, generation->number);
    pack_number(pack, generation->role);
    pack_number(pack, (uint64_t)generation->snapshot);
    pack_number(pack, generation->place);
    pack_number(pack, generation->n_lanes);
    pack_number(pack, generation->database_max);
    pack_number(pack, generation->drain);
    pack_number(pack, generation->drain_notice);
    pack_number(pack, generation->kill_at);
    pack_number(pack, generation->failed_starts);
    pack_number(pack, generation->ever_ready);
    pack_number(pack, generation->announced);
    pack_number(pack, generation->n_listeners);
    for (size_t i = 0; i < generation->n_listeners; i++)
        pack_number(pack, index_of(takeover, generation->listeners[i]));
    pack_number(pack, generation->n_workers);
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct child *worker = &generation->workers[i];
        pack_number(pack, (uint64_t)worker->pid);
        pack_number(pack, worker->leaves);
        pack_number(pack, worker->start_at);
        pack_number(pack, worker->back_off);
    }
    pack_number(pack, generation->handoff.n);
    for (unsigned i = 0; i < generation->handoff.n; i++) {
        pack_number(pack, (uint64_t)generation->handoff.queues[i].to);
        pack_number(pack, (uint64_t)generation->handoff.queues[i].from);
    }
    for (int kind = 0; kind < HELPERS_KINDS; kind++)
        pack_helpers(pack, &generation->helpers.kinds[kind]);
}

int takeover_write(const struct takeover *takeover)
{
    struct pack pack = {0};
    pack_text(&pack, STR("hayfork"));
    pack_number(&pack, LAYOUT);
    pack_number(&pack, SHM_LAYOUT);
    pack_number(&pack, (uint64_t)takeover->shm);
    pack_fds(&pack, takeover->ready_pipe, 2);
    pack_number(&pack, (uint64_t)(int64_t)takeover->control);
    pack_number(&pack, takeover->last_number);
    pack_number(&pack, takeover->again);
    pack_number(&pack, takeover->passed.n);
    for (size_t i = 0; i < takeover->passed.n; i++) {
        pack_number(&pack, (uint64_t)takeover->passed.sockets[i].fd);
        pack_text(&pack, str_of(takeover->passed.sockets[i].name));
    }
    pack_number(&pack, takeover->n_listeners);
    for (size_t i = 0; i < takeover->n_listeners; i++)
        pack_listener(&pack, takeover->listeners[i]);
    pack_number(&pack, takeover->n_generations);
    for (size_t i = 0; i < takeover->n_generations; i++)
        pack_generation(&pack, takeover, takeover->generations[i]);
    pack_fds(&pack, takeover->clients, takeover->n_clients);
    pack_fds(&pack, takeover->next, takeover->n_next);
    int file = pack_to_file(&pack, "hayfork state");
    free(pack.data);
    return file;
}

static void set_inherited(int fd, bool inherit)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, inherit ? 0 : FD_CLOEXEC);
}

void takeover_inherit(const struct takeover *takeover, int file, bool inherit)
{
    set_inherited(file, inherit);
    set_inherited(takeover->shm, inherit);
    set_inherited(takeover->ready_pipe[0], inherit);
    set_inherited(takeover->ready_pipe[1], inherit);
    set_inherited(takeover->control, inherit);
    for (size_t i = 0; i < takeover->n_clients; i++)
        set_inherited(takeover->clients[i], inherit);
    for (size_t i = 0; i < takeover->n_next; i++)
        set_inherited(takeover->next[i], inherit);
    for (size_t i = 0; i < takeover->passed.n; i++)
        set_inherited(takeover->passed.sockets[i].fd, inherit);
    for (size_t i = 0; i < takeover->n_listeners; i++) {
        for (size_t j = 0; j < takeover->listeners[i]->n_fds; j++)
            set_inherited(takeover->listeners[i]->fds[j], inherit);
    }
    for (size_t i = 0; i < takeover->n_generations; i++) {
        const struct generation *generation = takeover->generations[i];
        set_inherited(generation->snapshot, inherit);
        for (unsigned j = 0; j < generation->handoff.n; j++) {
            set_inherited(generation->handoff.queues[j].to, inherit);
            set_inherited(generation->handoff.queues[j].from, inherit);
        }
        for (int kind = 0; kind < HELPERS_KINDS; kind++) {
            set_inherited(generation->helpers.kinds[kind].to, inherit);
            set_inherited(generation->helpers.kinds[kind].from, inherit);
        }
    }
}

/* Reading */

static int unpack_fd(struct unpack *in)
{
    uint64_t fd = unpack_number(in);
    if (fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)
        in->failed = true;
    return in->failed ? -1 : (int)fd;
}

static size_t unpack_fds(struct unpack *in, int **fds)
{
    size_t n = unpack_count(in, WORD);
    *fds = NULL;
    for (size_t i = 0; i < n; i++) {
        MEM_GROW(fds, i);
        (*fds)[i] = unpack_fd(in);
    }
    return n;
}

static unsigned unpack_unsigned(struct unpack *in)
{
    uint64_t number = unpack_number(in);
    if (number > UINT32_MAX)
        in->failed = true;
    return in->failed ? 0 : (unsigned)number;
}

static char *unpack_string(struct unpack *in)
{
    struct str text = unpack_text(in);
    return mem_strndup(text.base, text.len);
}

static struct listener *unpack_listener(struct unpack *in)
{
    struct listener *listener = mem_calloc(1, sizeof(*listener));
    listener->address = unpack_string(in);
    listener->unix_path = unpack_string(in);
    if (listener->unix_path[0] == '\0') {
        free(listener->unix_path);
        listener->unix_path = NULL;
    }
    listener->device = unpack_number(in);
    listener->inode = unpack_number(in);
    listener->shared = unpack_number(in);
    listener->passed = unpack_number(in);
    listener->n_fds = unpack_fds(in, &listener->fds);
    return listener;
}

static void unpack_workers(struct unpack *in, struct generation *generation)
{
    generation->n_workers = (unsigned)unpack_count(in, 4 * WORD);
    generation->workers = mem_calloc(generation->n_workers, sizeof(*generation->workers));
    for (unsigned i = 0; i < generation->n_workers; i++) {
        struct child *worker = &generation->workers[i];
        worker->pid = (pid_t)unpack_unsigned(in);
        worker->leaves = unpack_number(in);
        worker->start_at = unpack_number(in);
        worker->back_off = unpack_unsigned(in);
    }
}

static void unpack_handoff(struct unpack *in, struct generation *generation)
{
    struct handoff *handoff = &generation->handoff;
    handoff->n = (unsigned)unpack_count(in, 2 * WORD);
    if (handoff->n > 0) /* else they are made when the generation gets its slots */
        handoff->queues = mem_calloc(handoff->n, sizeof(*handoff->queues));
    for (unsigned i = 0; i < handoff->n; i++) {
        handoff->queues[i].to = unpack_fd(in);
        handoff->queues[i].from = unpack_fd(in);
    }
}

static void unpack_helpers(struct unpack *in, struct helpers_of *helpers)
{
    helpers->n = (unsigned)unpack_count(in, WORD);
    if (helpers->n == 0)
        return;
    helpers->all = mem_calloc(helpers->n, sizeof(*helpers->all));
    for (unsigned i = 0; i < helpers->n; i++)
        helpers->all[i].pid = (pid_t)unpack_unsigned(in);
    helpers->to = unpack_fd(in);
    helpers->from = unpack_fd(in);
}

static struct generation *unpack_generation(struct unpack *in, const struct takeover *takeover)
{
    unsigned number = unpack_unsigned(in), role = unpack_unsigned(in);
    struct generation *generation = generation_of_snapshot(number, unpack_fd(in));
    generation->role = role;
    generation->place = unpack_unsigned(in);
    generation->n_lanes = unpack_unsigned(in);
    generation->database_max = unpack_unsigned(in);
    generation->drain = unpack_unsigned(in);
    generation->drain_notice = unpack_unsigned(in);
    generation->kill_at = unpack_number(in);
    generation->failed_starts = unpack_unsigned(in);
    generation->ever_ready = unpack_number(in);
    generation->announced = unpack_number(in);
    generation->n_listeners = unpack_count(in, WORD);
    generation->listeners = mem_calloc(generation->n_listeners, sizeof(*generation->listeners));
    for (size_t i = 0; i < generation->n_listeners; i++) {
        uint64_t which = unpack_number(in);
        in->failed = in->failed || which >= takeover->n_listeners;
        generation->listeners[i] = in->failed ? NULL : takeover->listeners[which];
    }
    unpack_workers(in, generation);
    unpack_handoff(in, generation);
    for (int kind = 0; kind < HELPERS_KINDS; kind++)
        unpack_helpers(in, &generation->helpers.kinds[kind]);
    if (role > GENERATION_LEAVING || generation->place > SHM_GENERATIONS ||
        (generation->place != 0 && generation->handoff.n != generation->n_workers))
        in->failed = true;
    return generation;
}

static void unpack_all(struct unpack *in, struct takeover *takeover)
{
    int *ready_pipe;
    takeover->shm = unpack_fd(in);
    size_t ends = unpack_fds(in, &ready_pipe);
    if (ends == 2)
        memcpy(takeover->ready_pipe, ready_pipe, sizeof(takeover->ready_pipe));
    else
        in->failed = true;
    free(ready_pipe);
    takeover->control = (int)(int64_t)unpack_number(in);
    takeover->last_number = unpack_unsigned(in);
    takeover->again = unpack_number(in);
    for (size_t n = unpack_count(in, WORD); n > 0 && !in->failed; n--) {
        MEM_GROW(&takeover->passed.sockets, takeover->passed.n);
        struct sd_socket *socket = &takeover->passed.sockets[takeover->passed.n++];
        socket->fd = unpack_fd(in);
        socket->name = unpack_string(in);
    }
    for (size_t n = unpack_count(in, WORD); n > 0 && !in->failed; n--) {
        MEM_GROW(&takeover->listeners, takeover->n_listeners);
        takeover->listeners[takeover->n_listeners++] = unpack_listener(in);
    }
    for (size_t n = unpack_count(in, WORD); n > 0 && !in->failed; n--) {
        MEM_GROW(&takeover->generations, takeover->n_generations);
        takeover->generations[takeover->n_generations++] = unpack_generation(in, takeover);
    }
    takeover->n_clients = unpack_fds(in, &takeover->clients);
    takeover->n_next = unpack_fds(in, &takeover->next);
}

bool takeover_read(int file, struct takeover *takeover)
{
    size_t len;
    *takeover = (struct takeover){.control = -1};
    char *bytes = pack_from_file(file, MOST, &len);
    if (bytes == NULL)
        return false;
    struct unpack in = {{bytes, len}, false};
    bool known = str_equal(unpack_text(&in), STR("hayfork")) && unpack_number(&in) == LAYOUT &&
                 unpack_number(&in) == SHM_LAYOUT;
    if (known)
        unpack_all(&in, takeover);
    known = known && !in.failed && in.rest.len == 0;
    free(bytes);
    if (known)
        takeover_inherit(takeover, file, false);
    return known;
}

void takeover_free(struct takeover *takeover)
{
    for (size_t i = 0; i < takeover->n_generations; i++) {
        struct generation *generation = takeover->generations[i];
        free(generation->handoff.queues);
        for (int kind = 0; kind < HELPERS_KINDS; kind++)
            free(generation->helpers.kinds[kind].all);
        free(generation->listeners);
        free(generation->workers);
        free(generation);
    }
    for (size_t i = 0; i < takeover->n_listeners; i++) {
        free(takeover->listeners[i]->address);
        free(takeover->listeners[i]->unix_path);
        free(takeover->listeners[i]->fds);
        free(takeover->listeners[i]);
    }
    for (size_t i = 0; i < takeover->passed.n; i++)
        free(takeover->passed.sockets[i].name);
    free(takeover->passed.sockets);
    free(takeover->generations);
    free(takeover->listeners);
    free(takeover->clients);
    free(takeover->next);
}
