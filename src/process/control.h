/*
 * control.h: asking a running master for a reload, and hearing what became of it. A signal cannot say that a
 * reload was refused; whoever runs `hayfork -r PID`, as the unit's ExecReload= does, is told.
 *
 * The socket's name is abstract (unix(7)) and tells the process id, so that it is there wherever the master
 * is, also with a file system that cannot be written to. The master answers root and its own user alone;
 * whoever asks sees by the socket's credentials that it is that process that answers.
 */
#ifndef HAYFORK_PROCESS_CONTROL_H
#define HAYFORK_PROCESS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CONTROL_CLIENTS = 16 }; /* at the same time; one more is turned away */

struct control {
    int socket;   /* -1: there is none */
    int *clients; /* who hear of this reload */
    size_t n_clients;
    int *next; /* who asked while it was under way, and hear of the next one */
    size_t n_next;
};

/* Opens the socket of this process. Where it cannot, it logs that, and there is none. */
void control_open(struct control *control);

/* Takes those who ask. Returns how many more want a reload. busy: one is under way. */
size_t control_take(struct control *control, bool busy);

/* The next reload begins: those who asked for it hear of it. */
void control_begin(struct control *control);

/* Tells those who hear of this reload what a process has said, or, with the outcome, what became of it: then
 * they are let go. refused is NULL where it went through. */
void control_tell(struct control *control, const char *text, size_t len);
void control_end(struct control *control, const char *refused);

void control_close(struct control *control);

/*
 * Asks the master with this process id for a reload, and waits until all its workers are ready, or it was
 * refused. What it is told goes to standard error. Returns the exit code: EX_UNAVAILABLE if there is no such
 * master, EX_CONFIG if the reload was refused.
 */
int control_reload(pid_t pid);

#endif
