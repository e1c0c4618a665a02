/*
 * fleet.h: all generations of workers, and the listeners that they share: which one accepts connections,
 * which one is to follow it, which ones are leaving.
 *
 * A candidate's workers are started beside those of the running generation. When all of them are prepared
 * they are told to accept, and the others to finish what they have. Where database.max is too small for both,
 * the running generation first gives up the connections that it need not have; where that is not enough,
 * workers are exchanged one by one. Until the last worker of a candidate is prepared, all can be taken back.
 */
#ifndef HAYFORK_PROCESS_FLEET_H
#define HAYFORK_PROCESS_FLEET_H

#include <stdbool.h>
#include <stddef.h>

#include "process/generation.h"
#include "process/listen.h"
#include "process/takeover.h"

/* What a fleet tells. Called from fleet_step, fleet_on_ready and fleet_take_death. */
struct fleet_ops {
    /* The candidate is the running generation now and serves, or is none any longer, for this reason. */
    void (*switched)(void *arg, const char *refused);
};

struct fleet {
    struct generation_home home;
    int shm_fd;
    struct sd_sockets passed; /* by the service manager */
    struct listener **listeners;
    size_t n_listeners;
    struct generation *running;
    struct generation *candidate; /* NULL: none */
    struct generation **leaving;
    size_t n_leaving;
    uint64_t give_up_at; /* clock_ms: when the candidate has had its time */
    const char *lacks;   /* why its workers are not ready yet, as far as that is known */
    bool exchanging;     /* its workers take the place of others one by one */
    uint64_t refuse_at;  /* clock_ms: when listeners that nobody has any longer are shut; 0: none is */
    bool stopping;
    bool failed; /* no worker could ever start */
    const struct fleet_ops *ops;
    void *arg; /* of ops */
};

/*
 * Opens the conf's listeners and makes the first generation, to be started by fleet_step. Takes over conf.
 * Returns false after logging.
 */
bool fleet_begin(struct fleet *fleet, struct conf *conf);

/* Writes down what another program needs to go on; what the arrays hold stays the fleet's, the arrays are the
 * caller's. The control socket and its clients are the caller's to add. */
struct takeover fleet_hand_over(const struct fleet *fleet);

/* Goes on where another program has left off. Takes over what takeover's arrays hold, and frees those of its
 * own. Returns false after logging where it cannot. */
bool fleet_take_over(struct fleet *fleet, struct takeover *takeover);

/* Makes a generation the candidate, of which there is none. */
void fleet_follow(struct fleet *fleet, struct generation *candidate);

/* Makes one with so many workers more or fewer than the running one has the candidate. Returns false after
 * logging. */
bool fleet_adjust(struct fleet *fleet, int workers);

/* The listener of an address, or NULL; and a new one, which is the fleet's from now on. */
struct listener *fleet_find_listener(const struct fleet *fleet, const char *address);
struct listener *fleet_add_listener(struct fleet *fleet, struct listener listener);

/* Closes the listeners that no generation has. */
void fleet_drop_listeners(struct fleet *fleet);

/* Does what is due. Returns the ms until something else is, or -1. */
int fleet_step(struct fleet *fleet);

/* Some worker's state has changed. */
void fleet_on_ready(struct fleet *fleet);

/* A process has ended. Returns false if it was not a worker. */
bool fleet_take_death(struct fleet *fleet, pid_t pid, int status);

/* Ends it: workers finish what they have within their drain limit, or, at once, what they do. */
void fleet_stop(struct fleet *fleet, bool at_once);

/* Opens the files of the log again, of the master and of all workers. */
void fleet_open_logs(struct fleet *fleet);

bool fleet_is_alive(const struct fleet *fleet);

/* Frees all; no worker may be alive. */
void fleet_end(struct fleet *fleet);

#endif
