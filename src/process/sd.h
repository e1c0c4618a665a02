/*
 * sd.h: what a service manager is told, and what it hands over: the protocols of sd_notify(3) and
 * sd_listen_fds(3), which are a line of text on a socket and two environment variables.
 */
#ifndef HAYFORK_PROCESS_SD_H
#define HAYFORK_PROCESS_SD_H

#include <stddef.h>

/*
 * Tells the service manager, if there is one ($NOTIFY_SOCKET): lines of NAME=VALUE. One that cannot be
 * reached is complained of once.
 */
void sd_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often the manager wants to hear WATCHDOG=1, in ms ($WATCHDOG_USEC, for this process); 0: never. */
unsigned sd_watchdog_ms(void);

/* A socket that the manager has opened, with the name that the unit gives it. */
struct sd_socket {
    int fd; /* closed on exec */
    char *name;
};

struct sd_sockets {
    struct sd_socket *sockets; /* the array and the names are owned */
    size_t n;
};

/*
 * Takes the sockets that were handed to this process ($LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES), once. What
 * does not fit is logged, and passed over.
 */
struct sd_sockets sd_take_sockets(void);

/* Closes and frees them. */
void sd_close_sockets(struct sd_sockets *sockets);

#endif
