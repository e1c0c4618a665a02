/*
 * log.h: one line per event, on standard error or in a file, each naming the process that wrote it.
 *
 * A line is what it looks like, whoever had a part in it: what cannot be seen, or would be taken for an order
 * by a terminal, stands as \n, \r, \t, \x1b (a byte, also one that is not UTF-8), \u202e or \U000e0041 (a
 * character), and a backslash as \\. What is longer than a pipe takes as one (PIPE_BUF bytes) ends in "…".
 * In JSON (RFC 8259) a line is an object with the members time, level, process, pid and message; the same
 * characters are escaped there as it has it, and a byte that is not UTF-8 is U+FFFD.
 *
 * log_warn, log_error and log_fatal append ": " and the text of errno; their -x twins do not.
 * log_fatal and log_fatalx end the process with exit code 69 (cannot start, cannot go on).
 */
#ifndef HAYFORK_BASE_LOG_H
#define HAYFORK_BASE_LOG_H

#include <stdbool.h>

#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_format { LOG_PLAIN, LOG_JSON };

/*
 * Names this process in every line from now on ("master", "worker 2"; the text is copied) and says which
 * lines are written. Lines get the systemd priority prefix (sd-daemon(3)) when standard error is the
 * journal; plain ones have the time in UTC otherwise.
 */
void log_open(const char *process, enum log_level level);

/*
 * Writes a character that begins the text, of which there is something, as it stands in a string of JSON,
 * with a NUL after it. Returns how many bytes of the text it has.
 */
size_t log_escape_json(struct str text, char escaped[16]);

struct log_rings;

/* From now on this process keeps what it logs of errors and warnings there, too (base/log_ring.h). It must
 * stay. */
void log_share(struct log_rings *rings);

/* What the lines look like from now on. */
void log_set_format(enum log_format format);

/*
 * Lines go to this descriptor from now on, which is the log's; the one before is closed, unless it is a
 * standard one. It must not block. A line that cannot be written there goes to standard error.
 */
void log_set_file(int fd);

/* Where lines go. */
int log_file(void);

/* May lines of other programs stand in it as they are? If so, writes some. */
bool log_takes_others(void);
void log_others(struct str lines);

/* Are such lines written? */
bool log_writes(enum log_level level);

/* A line of a level that the caller learns only when it runs. */
void log_at(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_errorx(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void log_fatalx(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
