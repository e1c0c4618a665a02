/* log.c: one line per event, on standard error or in a file, each naming the process that wrote it. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_ring.h"
#include "base/str.h"
#include "base/utf8.h"

/* What log_open was told. One per process, like standard error itself. */
static struct {
    char process[32];
    enum log_level level;
    enum log_format format;
    int fd;
    bool journal;
    struct log_rings *rings; /* NULL: nobody looks */
} this_log = {"", LOG_LEVEL_INFO, LOG_PLAIN, STDERR_FILENO, false, NULL};

/* Does the log go to the stream that systemd connected to the journal (systemd.exec(5), $JOURNAL_STREAM)? */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(this_log.fd, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_open(const char *process, enum log_level level)
{
    snprintf(this_log.process, sizeof(this_log.process), "%s", process);
    this_log.level = level;
    this_log.journal = is_journal();
}

void log_set_format(enum log_format format)
{
    this_log.format = format;
}

void log_set_file(int fd)
{
    int before = this_log.fd;
    this_log.fd = fd;
    this_log.journal = is_journal();
    if (before > STDERR_FILENO && before != fd)
        close(before);
}

int log_file(void)
{
    return this_log.fd;
}

/* What comes before log_open is a plain line. */
static bool is_json(void)
{
    return this_log.format == LOG_JSON && this_log.process[0] != '\0';
}

bool log_writes(enum log_level level)
{
    return level <= this_log.level;
}

/*
 * What would not be seen, or would make a terminal or an editor show something else than is there (CWE-150,
 * CWE-117): controls, what turns the direction of text around, separators of lines, and what Unicode calls
 * Default_Ignorable_Code_Point.
 */
static bool is_invisible(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},       {0x034f, 0x034f},   {0x061c, 0x061c},
        {0x115f, 0x1160}, {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f}, {0x3164, 0x3164},   {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
        {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        if (c <= ranges[i].last)
            return c >= ranges[i].first;
    }
    return false;
}

/* Writes a character that begins the text as it is shown. Returns how many bytes of the text it has. */
typedef size_t show_one(struct str text, char shown[16]);

/* In a plain line. */
static size_t show(struct str text, char shown[16])
{
    static const char *const short_ones[0x20] = {['\t'] = "\\t", ['\n'] = "\\n", ['\r'] = "\\r"};
    unsigned char byte = (unsigned char)text.base[0];
    size_t len = utf8_character(text);
    uint32_t c = len == 0 ? 0 : utf8_code_point(text, len);
    if (len == 0 || (byte < 0x20 && short_ones[byte] == NULL) || byte == 0x7f)
        sprintf(shown, "\\x%02x", byte);
    else if (byte < 0x20)
        strcpy(shown, short_ones[byte]);
    else if (byte == '\\')
        strcpy(shown, "\\\\"); /* so that nobody can write what looks like one of the others */
    else if (is_invisible(c))
        sprintf(shown, c <= 0xffff ? "\\u%04" PRIx32 : "\\U%08" PRIx32, c);
    else
        *(char *)mempcpy(shown, text.base, len) = '\0';
    return len == 0 ? 1 : len;
}

size_t log_escape_json(struct str text, char shown[16])
{
    static const char letters[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    size_t len = utf8_character(text);
    uint32_t c = len == 0 ? 0xfffd : utf8_code_point(text, len);
    if (c == '"' || c == '\\')
        sprintf(shown, "\\%c", (char)c);
    else if (c < 0x20 && letters[c] != '\0')
        sprintf(shown, "\\%c", letters[c]);
    else if (len == 0 || (is_invisible(c) && c <= 0xffff))
        sprintf(shown, "\\u%04" PRIx32, c);
    else if (is_invisible(c))
        sprintf(shown, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
    else
        *(char *)mempcpy(shown, text.base, len) = '\0';
    return len == 0 ? 1 : len;
}

/* Adds a text as it is shown, as far as there is room. Returns where the line ends then. */
static char *put(char *out, const char *end, struct str text, show_one *show_it)
{
    static const char cut[] = "…";
    char *may_cut = out; /* where there is room for that, in case of need */
    while (text.len > 0) {
        char shown[16];
        size_t len = show_it(text, shown), n = strlen(shown);
        if ((size_t)(end - out) < n)
            return (size_t)(end - may_cut) < strlen(cut) ? may_cut : mempcpy(may_cut, cut, strlen(cut));
        out = mempcpy(out, shown, n);
        if ((size_t)(end - out) >= strlen(cut))
            may_cut = out;
        text = (struct str){text.base + len, text.len - len};
    }
    return out;
}

void log_share(struct log_rings *rings)
{
    this_log.rings = rings;
}

/* For who looks at the last errors and warnings. */
static void keep(enum log_level level, struct str message, const char *error)
{
    if (this_log.rings == NULL || level > LOG_LEVEL_WARN)
        return;
    char text[LOG_RING_TEXT];
    const char *end = text + sizeof(text);
    char *out = put(text, end, message, show);
    if (error != NULL)
        out = put(put(out, end, STR(": "), show), end, str_of(error), show);
    log_ring_add(level == LOG_LEVEL_ERROR ? &this_log.rings->errors : &this_log.rings->warnings,
                 this_log.process, (struct str){text, (size_t)(out - text)});
}

static const struct {
    const char *name;
    int priority; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* What stands before the message. */
static size_t write_prefix(char *line, size_t size, enum log_level level)
{
    char now[CLOCK_ISO_LEN], priority[8] = "";
    const char *name = levels[level].name;
    int n;
    if (this_log.journal)
        snprintf(priority, sizeof(priority), "<%d>", levels[level].priority);
    if (this_log.process[0] == '\0')
        return (size_t)snprintf(line, size, "hayfork: ");
    if (this_log.journal && this_log.format == LOG_PLAIN)
        return (size_t)snprintf(line, size, "%s%s: ", priority, this_log.process);
    clock_iso(now);
    if (this_log.format == LOG_PLAIN)
        n = snprintf(line, size, "%.*s %s %s[%d]: ", CLOCK_ISO_LEN, now, name, this_log.process,
                     (int)getpid());
    else
        n = snprintf(line, size,
                     "%s{\"time\":\"%.*s\",\"level\":\"%s\",\"process\":\"%s\",\"pid\":%d,\"message\":\"",
                     priority, CLOCK_ISO_LEN, now, name, this_log.process, (int)getpid());
    return (size_t)n;
}

bool log_takes_others(void)
{
    return this_log.format == LOG_PLAIN && !this_log.journal;
}

static bool write_to(int fd, const char *line, size_t len)
{
    ssize_t written;
    do
        written = write(fd, line, len);
    while (written < 0 && errno == EINTR);
    return written >= 0;
}

/*
 * Writes the line in one write(2), so that lines of several processes do not mix: a pipe takes PIPE_BUF bytes
 * as one. The message may hold anybody's bytes.
 */
static void write_line(enum log_level level, int errnum, const char *format, va_list args)
{
    if (!log_writes(level))
        return;
    char text[PIPE_BUF + 1], line[PIPE_BUF];
    struct str close = is_json() ? STR("\"}\n") : STR("\n");
    const char *end = line + sizeof(line) - close.len; /* which always fits */
    char *out = line + write_prefix(line, sizeof(line), level);
    int n = vsnprintf(text, sizeof(text), format, args);
    struct str message = {text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1};
    while (message.len > 0 && message.base[message.len - 1] == '\n')
        message.len--;
    keep(level, message, errnum == 0 ? NULL : strerror(errnum));
    show_one *show_it = is_json() ? log_escape_json : show;
    out = put(out, end, message, show_it);
    if (errnum != 0)
        out = put(put(out, end, STR(": "), show_it), end, str_of(strerror(errnum)), show_it);
    size_t len = (size_t)((char *)mempcpy(out, close.base, close.len) - line);
    if (!write_to(this_log.fd, line, len) && this_log.fd != STDERR_FILENO)
        write_to(STDERR_FILENO, line, len);
}

void log_others(struct str lines)
{
    while (lines.len > 0) {
        ssize_t written = write(this_log.fd, lines.base, lines.len);
        if (written < 0 && errno != EINTR)
            break;
        if (written > 0)
            lines = (struct str){lines.base + written, lines.len - (size_t)written};
    }
}

void log_at(enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(level, 0, format, args);
    va_end(args);
}

#define LOG_FUNCTION(name, level, errnum)                                                                    \
    void name(const char *format, ...)                                                                       \
    {                                                                                                        \
        int saved = errno;                                                                                   \
        va_list args;                                                                                        \
        va_start(args, format);                                                                              \
        write_line(level, errnum, format, args);                                                             \
        va_end(args);                                                                                        \
        errno = saved;                                                                                       \
    }

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, 0)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, saved)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN, 0)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, saved)
LOG_FUNCTION(log_errorx, LOG_LEVEL_ERROR, 0)

void log_fatal(const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    write_line(LOG_LEVEL_ERROR, saved, format, args);
    va_end(args);
    exit(EX_UNAVAILABLE);
}

void log_fatalx(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(LOG_LEVEL_ERROR, 0, format, args);
    va_end(args);
    exit(EX_UNAVAILABLE);
}
