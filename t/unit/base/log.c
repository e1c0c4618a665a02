/* log.c: a line is what it looks like, whoever had a part in it. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/utf8.h"
#include "unit/tap.h"

static int log_fd, shown_fd;
static char line[64 * 1024];

static void catch_log(void)
{
    dup2(log_fd, STDERR_FILENO);
}

/* What was logged since catch_log. */
static const char *caught(void)
{
    dup2(shown_fd, STDERR_FILENO);
    ssize_t n = pread(log_fd, line, sizeof(line) - 1, 0);
    if (n < 0 || ftruncate(log_fd, 0) != 0)
        abort();
    line[n] = '\0';
    return line;
}

#define LOGGED(statement) (catch_log(), (statement), caught())

static void test_what_is_shown(void)
{
    static const struct {
        const char *name, *text, *shown;
    } rows[] = {
        {"plain text", "GET /contacts: 404 ~!\"'%", "GET /contacts: 404 ~!\"'%"},
        {"letters of all kinds", "Zoë Müller Ω мир 你好 שלום مرحبا 🐘", "Zoë Müller Ω мир 你好 שלום مرحبا 🐘"},
        {"line breaks and tabs", "a\nb\r\n\tc", "a\\nb\\r\\n\\tc"},
        {"line breaks at the end, which messages of others have", "a\n\n", "a"},
        {"a backslash", "C:\\new \\x1b", "C:\\\\new \\\\x1b"},
        {"controls", "\x01\x07\x08\x0b\x0c\x1b[31mred\x1f", "\\x01\\x07\\x08\\x0b\\x0c\\x1b[31mred\\x1f"},
        {"DEL", "a\x7f", "a\\x7f"},
        {"C1 controls, of which one is as good as ESC [",
         "\xc2\x80\xc2\x85\xc2\x9b"
         "31m\xc2\x9f\xc2\xa0",
         "\\u0080\\u0085\\u009b31m\\u009f\xc2\xa0"},
        {"what turns the direction around", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
         "\\u202a\\u202b\\u202c\\u202d\\u202e\\u2066\\u2067\\u2068\\u2069"},
        {"marks of a direction", "\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"},
        {"separators of lines and paragraphs", "a\u2028b\u2029c", "a\\u2028b\\u2029c"},
        {"what has no width", "ad\u200bmin\u200c\u200d\u2060\ufeff\u00ad\u180e",
         "ad\\u200bmin\\u200c\\u200d\\u2060\\ufeff\\u00ad\\u180e"},
        {"fillers and selectors", "\u115f\u3164\uffa0\ufe0f\U000e0100",
         "\\u115f\\u3164\\uffa0\\ufe0f\\U000e0100"},
        {"tags, which spell a text that nobody sees", "\U000e0001\U000e0041\U000e007f",
         "\\U000e0001\\U000e0041\\U000e007f"},
        {"no UTF-8: a lone byte of each kind", "\x80 \xbf \xc3 \xe2\x82 \xf0\x9f\x90 \xff",
         "\\x80 \\xbf \\xc3 \\xe2\\x82 \\xf0\\x9f\\x90 \\xff"},
        {"no UTF-8: overlong, a surrogate, beyond the last", "\xc0\x8a \xed\xa0\x80 \xf4\x90\x80\x80",
         "\\xc0\\x8a \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char want[512];
        snprintf(want, sizeof(want), "hayfork: %s\n", rows[i].shown);
        is_str(LOGGED(log_errorx("%s", rows[i].text)), want, "%s", rows[i].name);
    }
    errno = ENOENT;
    is_str(LOGGED(log_warn("%s", "a\x1b")), "hayfork: a\\x1b: No such file or directory\n",
           "the text of errno comes after it");
}

/* Every line is UTF-8 without anything below a blank, of PIPE_BUF bytes at most, and ends in one newline. */
static void test_any_bytes(void)
{
    bool all_good = true;
    char text[6000];
    srandom(1);
    for (int i = 0; all_good && i < 3000; i++) {
        size_t len = (size_t)random() % (i % 3 == 0 ? sizeof(text) - 1 : 200);
        for (size_t j = 0; j < len; j++)
            text[j] = (char)(1 + random() % 255);
        text[len] = '\0';
        const char *got = LOGGED(log_errorx("%s", text));
        struct str whole = {got, strlen(got)};
        all_good = whole.len > 0 && whole.len <= PIPE_BUF && utf8_is_valid(whole);
        for (size_t j = 0; all_good && j < whole.len; j++)
            all_good = (unsigned char)got[j] >= ' ' || (got[j] == '\n' && j + 1 == whole.len);
    }
    ok(all_good, "whatever the bytes, it is one line that can be read");
}

static void test_long_lines(void)
{
    static char text[3 * PIPE_BUF];
    bool all_good = true;
    for (size_t len = PIPE_BUF - 40; len < PIPE_BUF + 40; len++) {
        for (int kind = 0; kind < 3; kind++) {
            const char *const what[] = {"a", "ä", "\x1b"};
            text[0] = '\0';
            for (size_t j = 0; j < len; j += strlen(what[kind]))
                strcpy(text + j, what[kind]);
            const char *got = LOGGED(log_errorx("%s", text));
            size_t n = strlen(got);
            bool is_cut = n > 4 && strcmp(got + n - 4, "…\n") == 0;
            bool fits = kind < 2 && strlen(text) + strlen("hayfork: \n") <= PIPE_BUF;
            all_good = all_good && n <= PIPE_BUF && is_cut == !fits && utf8_is_valid((struct str){got, n});
        }
    }
    ok(all_good, "a line that is too long is cut between two characters, and says so");
}

int main(void)
{
    char path[] = "/tmp/log-XXXXXX";
    log_fd = mkostemp(path, O_APPEND);
    shown_fd = dup(STDERR_FILENO);
    if (log_fd < 0 || shown_fd < 0 || unlink(path) != 0)
        return 1;
    log_open("", LOG_LEVEL_INFO);
    test_what_is_shown();
    test_any_bytes();
    test_long_lines();
    return done_testing();
}
