/* json.c: the JSON writer escapes what RFC 8259 asks for, wherever it stands in a text. */
#include "base/json.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* text as json_string writes it; the caller frees it. */
static char *written(const char *text, size_t len)
{
    char initial[16];
    struct json_writer writer = json_writer_on(initial, sizeof(initial));
    json_string(&writer, text, len);
    char *copy = mem_strndup(writer.base, writer.len);
    if (writer.owned)
        free(writer.base);
    return copy;
}

static void check(const char *text, const char *want, const char *name)
{
    char *got = written(text, strlen(text));
    is_str(got, want, "%s", name);
    free(got);
}

/* One quote at every place of a text longer than the steps the writer takes. */
static void check_every_place(void)
{
    enum { LEN = 40 };
    int wrong = 0;
    for (int place = 0; place < LEN; place++) {
        char text[LEN + 1], want[LEN + 8];
        memset(text, 'x', LEN);
        text[LEN] = '\0';
        text[place] = '"';
        snprintf(want, sizeof(want), "\"%.*s\\\"%s\"", place, text, text + place + 1);
        char *got = written(text, LEN);
        wrong += strcmp(got, want) != 0;
        free(got);
    }
    is_int(wrong, 0, "a quote is escaped at every place of a text");
}

static void check_every_control(void)
{
    int wrong = 0;
    for (int c = 0; c < 0x20; c++) {
        char text[] = {'a', (char)c, 'b'}, want[16];
        const char *names = "btn\vfr"; /* 8 to 13; 11 has no short form */
        if (c >= 8 && c <= 13 && c != 11)
            snprintf(want, sizeof(want), "\"a\\%cb\"", names[c - 8]);
        else
            snprintf(want, sizeof(want), "\"a\\u%04xb\"", (unsigned)c);
        char *got = written(text, sizeof(text));
        wrong += strcmp(got, want) != 0;
        free(got);
    }
    is_int(wrong, 0, "every control character is escaped, by its short form where there is one");
}

static void check_long(void)
{
    enum { LEN = 100000 };
    char *text = mem_alloc(LEN);
    memset(text, '\\', LEN);
    char *got = written(text, LEN);
    is_int((long)strlen(got), 2 * LEN + 2, "a long text full of escapes is complete");
    ok(got[0] == '"' && got[2 * LEN + 1] == '"' && strspn(got + 1, "\\") == 2 * LEN, "and right");
    free(got);
    free(text);
}

int main(void)
{
    check("", "\"\"", "an empty text");
    check("Ada Lovelace", "\"Ada Lovelace\"", "nothing to escape");
    check("say \"hi\"", "\"say \\\"hi\\\"\"", "quotes");
    check("C:\\temp", "\"C:\\\\temp\"", "a backslash");
    check("caf\xc3\xa9 \xf0\x9f\x98\x80 and more", "\"caf\xc3\xa9 \xf0\x9f\x98\x80 and more\"",
          "UTF-8 goes out as it is");
    check("a/b\x7f", "\"a/b\x7f\"", "neither slash nor DEL needs an escape");
    check_every_place();
    check_every_control();
    check_long();
    return done_testing();
}
