/* address.h: what a conf's address stands for: sockets of our own, or those of the service manager. */
#ifndef HAYFORK_PROCESS_ADDRESS_H
#define HAYFORK_PROCESS_ADDRESS_H

#include "conf/conf.h"
#include "process/listen.h"
#include "process/sd.h"

/*
 * By what a listener of the conf is known: two with the same name have the same sockets, whatever generation
 * they are of. `systemd` stands for every passed socket that no `systemd:NAME` of the conf takes, so which
 * ones these are is part of its name. The caller frees it.
 */
char *address_name(const struct conf *conf, size_t which, const struct sd_sockets *passed);

/* Opens it for so many workers: see listen_open. Returns 0, or -1 after logging. */
int address_open(struct listener *listener, const struct conf *conf, size_t which,
                 const struct sd_sockets *passed, unsigned workers, bool ours);

#endif
