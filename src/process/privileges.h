/* privileges.h: what the master and the workers are allowed to do. */
#ifndef HAYFORK_PROCESS_PRIVILEGES_H
#define HAYFORK_PROCESS_PRIVILEGES_H

#include "conf/conf.h"

/*
 * Memory is neither dumped nor looked at by others but root, unless the conf says `core: on` (prctl(2),
 * PR_SET_DUMPABLE). To execute a program ends that.
 */
void privileges_protect_memory(const struct conf *conf);

/*
 * Leaves the master with the capabilities (capabilities(7)) that it needs to go on: CAP_NET_BIND_SERVICE and
 * CAP_CHOWN for listeners, CAP_SETUID and CAP_SETGID for the workers' account, CAP_KILL to stop workers of
 * another user, also by its own death (PR_SET_PDEATHSIG in prctl(2)); of these it keeps what it has. What it
 * executes cannot get others either. Its memory is protected. Logs a warning where the workers' account is
 * not what an administrator would expect.
 *
 * Root keeps its own files, but has no right to those of others from here on.
 */
void privileges_limit_master(const struct conf *conf);

/*
 * Gives up for good all that a worker does not need: root becomes the conf's account, if there is one, with
 * its groups and its HOME, USER and LOGNAME; no capability is left; nothing that is executed can get more
 * (PR_SET_NO_NEW_PRIVS); its memory is protected. Clears PR_SET_PDEATHSIG. Ends
 * the process where the account cannot be taken on.
 */
void privileges_give_up(const struct conf *conf);

#endif
