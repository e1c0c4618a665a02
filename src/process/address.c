/* address.c: what a conf's address stands for: sockets of our own, or those of the service manager. */
#include "process/address.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

static bool is_passed(const char *address)
{
    return strncmp(address, "systemd", 7) == 0 && (address[7] == '\0' || address[7] == ':');
}

static bool is_taken_by_name(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_listen; i++) {
        const char *address = conf->listen[i].address;
        if (is_passed(address) && address[7] == ':' && strcmp(address + 8, name) == 0)
            return true;
    }
    return false;
}

static bool is_meant(const struct conf *conf, const char *address, const struct sd_socket *socket)
{
    return address[7] == ':' ? strcmp(address + 8, socket->name) == 0 : !is_taken_by_name(conf, socket->name);
}

char *address_name(const struct conf *conf, size_t which, const struct sd_sockets *passed)
{
    const char *address = conf->listen[which].address;
    char *name = mem_strdup(address);
    for (size_t i = 0; is_passed(address) && i < passed->n; i++) {
        if (!is_meant(conf, address, &passed->sockets[i]))
            continue;
        char *longer = mem_printf("%s %d", name, passed->sockets[i].fd);
        free(name);
        name = longer;
    }
    return name;
}

int address_open(struct listener *listener, const struct conf *conf, size_t which,
                 const struct sd_sockets *passed, unsigned workers, bool ours)
{
    const char *address = conf->listen[which].address;
    const struct conf_socket_rights *rights = &conf->listen[which].rights;
    if (!is_passed(address) && conf->listen[which].is_admin)
        return listen_open_shared(listener, address, ours, rights);
    if (!is_passed(address))
        return listen_open(listener, address, workers, ours, rights);
    int *fds = mem_calloc(passed->n + 1, sizeof(*fds)), result = -1;
    size_t n = 0;
    for (size_t i = 0; i < passed->n; i++) {
        if (is_meant(conf, address, &passed->sockets[i]))
            fds[n++] = passed->sockets[i].fd;
    }
    char *name = address_name(conf, which, passed);
    if (n > 0)
        result = listen_of_passed(listener, name, fds, n);
    else
        log_errorx("cannot listen on %s: the service manager has passed no such socket", address);
    free(name);
    free(fds);
    return result;
}
