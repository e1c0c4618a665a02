/*
 * pgwire.c: what is sent is byte for byte what PostgreSQL 15, chapter 55.7, says; of what PostgreSQL sends,
 * whole messages are taken and all others refused.
 */
#include "pg/pgwire.h"

#include <libpq-fe.h>
#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* Bytes that are put together. */
struct bytes {
    char *base;
    size_t len, capacity;
};

static void append(struct bytes *to, const void *part, size_t len)
{
    if (to->capacity - to->len < len)
        to->base = mem_realloc(to->base, to->capacity = (to->len + len) * 2);
    memcpy(to->base + to->len, part, len);
    to->len += len;
}

/* Appends bytes that are written as in "'P' 00000008 'id' 00": two hex digits each, or 'as they are'. */
static void append_written(struct bytes *to, const char *text)
{
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        if (*text == '\'') {
            size_t len = strcspn(text + 1, "'");
            append(to, text + 1, len);
            text += 1 + len + 1;
        } else {
            char digits[3] = {text[0], text[1], '\0'}, byte = (char)strtoul(digits, NULL, 16);
            append(to, &byte, 1);
            text += 2;
        }
    }
}

static struct bytes bytes_of(const char *text)
{
    struct bytes bytes = {0};
    append_written(&bytes, text);
    return bytes;
}

static bool is_same(const char *got, size_t len, const struct bytes *want)
{
    return len == want->len && (len == 0 || memcmp(got, want->base, len) == 0);
}

static void show_bytes(const char *label, const char *bytes, size_t from, size_t len)
{
    fprintf(stderr, "#   %s: from byte %zu of %zu:", label, from, len);
    for (size_t i = from; i < len && i < from + 64; i++)
        fprintf(stderr, " %02x", (unsigned char)bytes[i]);
    fputc('\n', stderr);
}

static void is_bytes(const char *got, size_t len, const char *want_text, const char *name)
{
    struct bytes want = bytes_of(want_text);
    if (!ok(is_same(got, len, &want), "%s", name)) {
        size_t same = 0;
        while (same < len && same < want.len && got[same] == want.base[same])
            same++;
        show_bytes("got ", got, same, len);
        show_bytes("want", want.base, same, want.len);
    }
    free(want.base);
}

/* Writing */

/* What the writer has, which is then empty again. */
static void wrote(struct pgwire_writer *writer, const char *want, const char *name)
{
    is_bytes(writer->base, writer->len, want, name);
    free(writer->base);
    *writer = (struct pgwire_writer){0};
}

static void test_parse(void)
{
    struct pgwire_writer writer = {0};
    pgwire_parse(&writer, "", "", NULL, 0);
    wrote(&writer, "'P' 00000008 00 00 0000", "Parse: an empty statement without a name");

    pgwire_parse(&writer, "s1", "select $1", (uint32_t[]){23}, 1);
    wrote(&writer, "'P' 00000017 's1' 00 'select $1' 00 0001 00000017", "Parse: a type");

    pgwire_parse(&writer, "s1", "select $1, $2, $3", (uint32_t[]){0, 3802, 0xfffefdfc}, 3);
    wrote(&writer, "'P' 00000027 's1' 00 'select $1, $2, $3' 00 0003 00000000 00000eda fffefdfc",
          "Parse: no type, and big ones");

    pgwire_parse(&writer, "", "select \"Zürich\"\n", NULL, 0);
    wrote(&writer, "'P' 00000019 00 'select \"Zürich\"' 0a00 0000", "Parse: bytes stay as they are");
}

/* 300 types: their number and the message's length take more than a byte. */
static void test_many_types(void)
{
    enum { N = 300 };
    uint32_t types[N];
    struct pgwire_writer writer = {0};
    struct bytes want = bytes_of("'P' 000004bc 'n' 00 'sql' 00 012c");
    for (uint32_t i = 0; i < N; i++) {
        types[i] = 0x01020000 + i;
        append(&want, (const char[]){1, 2, (char)(i >> 8), (char)i}, 4);
    }
    pgwire_parse(&writer, "n", "sql", types, N);
    ok(is_same(writer.base, writer.len, &want), "Parse: 300 types");
    free(want.base);
    free(writer.base);
}

static void test_describe_and_sync(void)
{
    struct pgwire_writer writer = {0};
    pgwire_close(&writer, "s12");
    wrote(&writer, "'C' 00000009 'S' 's12' 00", "Close: a statement");
    pgwire_describe(&writer, "");
    wrote(&writer, "'D' 00000006 'S' 00", "Describe: the statement without a name");
    pgwire_describe(&writer, "s12");
    wrote(&writer, "'D' 00000009 'S' 's12' 00", "Describe: a statement");
    pgwire_sync(&writer);
    wrote(&writer, "'S' 00000004", "Sync");
}

static void test_execute(void)
{
    struct pgwire_writer writer = {0};
    pgwire_execute(&writer, "", NULL, 0, NULL);
    wrote(&writer, "'B' 0000000c 00 00 0000 0000 0000 'E' 00000009 00 00000000",
          "Bind and Execute: no values");

    pgwire_execute(&writer, "s1", (const struct str[]){STR("42")}, 1, NULL);
    wrote(&writer, "'B' 00000014 00 's1' 00 0000 0001 00000002 '42' 0000 'E' 00000009 00 00000000",
          "Bind and Execute: a value");

    pgwire_execute(&writer, "s1", (const struct str[]){{NULL, 0}}, 1, NULL);
    wrote(&writer, "'B' 00000012 00 's1' 00 0000 0001 ffffffff 0000 'E' 00000009 00 00000000",
          "Bind and Execute: NULL");

    pgwire_execute(&writer, "s1", (const struct str[]){STR("")}, 1, NULL);
    wrote(&writer, "'B' 00000012 00 's1' 00 0000 0001 00000000 0000 'E' 00000009 00 00000000",
          "Bind and Execute: an empty value is not NULL");

    pgwire_execute(&writer, "s1",
                   (const struct str[]){{NULL, 0}, STR("Zürich"), STR(""), {NULL, 0}, STR("{1,2}"), STR("")},
                   6, NULL);
    wrote(&writer,
          "'B' 00000032 00 's1' 00 0000 0006 ffffffff 00000007 'Zürich' 00000000 ffffffff 00000005 "
          "'{1,2}' 00000000 0000 'E' 00000009 00 00000000",
          "Bind and Execute: all of these");

    pgwire_describe_portal(&writer);
    pgwire_execute(&writer, "", NULL, 0, NULL);
    wrote(&writer, "'B' 0000000c 00 00 0000 0000 0000 'D' 00000006 'P' 00 'E' 00000009 00 00000000",
          "Bind, Describe and Execute");
    pgwire_execute(&writer, "", NULL, 0, NULL);
    wrote(&writer, "'B' 0000000c 00 00 0000 0000 0000 'E' 00000009 00 00000000",
          "the next one is not described");
}

static void test_execute_arrays(void)
{
    static const struct str first[] = {{"1", 1}, {"a", 1}}, second[] = {{"22", 2}, {NULL, 0}},
                            third[] = {{NULL, 0}, {"\"\\", 2}};
    struct pgwire_writer writer = {0};
    pgwire_execute_arrays(&writer, "m", (const struct str *const[]){first}, 1, 1);
    wrote(&writer, "'B' 00000016 00 'm' 00 0000 0001 00000005 '{\"1\"}' 0000 'E' 00000009 00 00000000",
          "Bind and Execute: an array of one value");
    pgwire_execute_arrays(&writer, "m", (const struct str *const[]){first, second, third}, 3, 2);
    wrote(&writer,
          "'B' 00000035 00 'm' 00 0000 0002 0000000f '{\"1\",\"22\",NULL}' 00000011 "
          "'{\"a\",NULL,\"\\\"\\\\\"}' 0000 'E' 00000009 00 00000000",
          "arrays of three: NULL, and what has to be escaped");
}

/* As many values as a message can count. */
static void test_many_values(void)
{
    enum { N = 65535 };
    static const struct str three[] = {{NULL, 0}, {"", 0}, {"v", 1}};
    static const char written[] = "\xff\xff\xff\xff\0\0\0\0\0\0\0\1v";
    struct str *values = mem_calloc(N, sizeof(*values));
    struct pgwire_writer writer = {0};
    struct bytes want = bytes_of("'B' 00045561 00 'many' 00 0000 ffff");
    for (size_t i = 0; i < N; i++)
        values[i] = three[i % 3];
    for (size_t i = 0; i < N / 3; i++)
        append(&want, written, sizeof(written) - 1);
    append_written(&want, "0000 'E' 00000009 00 00000000");
    pgwire_execute(&writer, "many", values, N, NULL);
    ok(is_same(writer.base, writer.len, &want), "Bind and Execute: 65535 values");
    free(writer.base);
    free(want.base);
    free(values);
}

static void test_long_value(void)
{
    enum { LEN = 0x123456, HEAD = 5 + 1 + 2 + 2 + 2 + 4 };
    char *value = mem_alloc(LEN);
    struct pgwire_writer writer = {0};
    memset(value, 'x', LEN);
    pgwire_execute(&writer, "n", (const struct str[]){{value, LEN}, {NULL, 0}}, 2, NULL);
    if (is_int((long long)writer.len, HEAD + LEN + 4 + 12, "Bind and Execute: a long value")) {
        is_bytes(writer.base, HEAD, "'B' 0012346b 00 'n' 00 0000 0002 00123456", "and its lengths");
        ok(memcmp(writer.base + HEAD, value, LEN) == 0, "and all of its text");
        is_bytes(writer.base + HEAD + LEN, 16, "ffffffff 0000 'E' 00000009 00 00000000",
                 "and what is behind it");
    }
    free(writer.base);
    free(value);
}

/* Takes all that is left, no more than most bytes at a time. */
static struct bytes take_all(struct pgwire_writer *writer, size_t most)
{
    struct bytes taken = {0};
    while (pgwire_left(writer) > 0) {
        size_t left = pgwire_left(writer);
        struct str next = pgwire_peek(writer);
        size_t n = next.len < most ? next.len : most;
        append(&taken, next.base, n);
        pgwire_take(writer, n);
        if (n == 0 || pgwire_left(writer) != left - n)
            break;
    }
    return taken;
}

static void is_all(struct pgwire_writer *writer, size_t most, const struct bytes *want, const char *name)
{
    struct bytes got = take_all(writer, most);
    ok(is_same(got.base, got.len, want) && pgwire_left(writer) == 0, "%s, taken by up to %zu bytes", name,
       most);
    free(got.base);
}

/* Long values in a store are not copied, and are kept until they were taken. */
static void test_kept_values(void)
{
    static const size_t steps[] = {1, 7, PGWIRE_LONG, SIZE_MAX};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct store_limit limit = {.most = SIZE_MAX};
        struct store *store = store_new(&limit);
        char *text = store_resize(store, NULL, 2 * PGWIRE_LONG);
        memset(text, 'x', PGWIRE_LONG);
        memset(text + PGWIRE_LONG, 'y', PGWIRE_LONG);
        const struct str values[] = {
            {text, PGWIRE_LONG}, {text + PGWIRE_LONG, PGWIRE_LONG}, STR("short"), {text, PGWIRE_LONG + 1}};
        struct pgwire_writer copying = {0}, writer = {0};
        for (size_t round = 0; round < 3; round++) {
            pgwire_execute(&copying, "n", values, 4, NULL);
            pgwire_sync(&copying);
            pgwire_execute(&writer, "n", values, 4, store);
            pgwire_sync(&writer);
        }
        ok(writer.len < 3 * 128, "long values are not copied");
        is_int((long long)pgwire_left(&writer), (long long)copying.len, "but counted");
        store_drop(store);
        struct bytes want = {copying.base, copying.len, copying.len};
        is_all(&writer, steps[i], &want, "they come where they belong");
        is_int((long long)limit.used, 0, "then they are let go");
        pgwire_writer_dispose(&writer);
        free(copying.base);
    }
}

/* What was not taken is let go with the writer; and what is written after long values comes after them. */
static void test_kept_values_go(void)
{
    struct store_limit limit = {.most = SIZE_MAX};
    struct store *store = store_new(&limit);
    char *text = store_resize(store, NULL, PGWIRE_LONG);
    memset(text, 'x', PGWIRE_LONG);
    const struct str values[] = {{text, PGWIRE_LONG}, {text, PGWIRE_LONG}};
    struct pgwire_writer writer = {0};
    pgwire_execute(&writer, "n", values, 2, store);
    store_drop(store);
    pgwire_take(&writer, pgwire_peek(&writer).len);
    pgwire_take(&writer, PGWIRE_LONG);
    ok(limit.used > PGWIRE_LONG, "one is there still");
    pgwire_close(&writer, "n");
    pgwire_take(&writer, pgwire_peek(&writer).len);
    pgwire_take(&writer, 1);
    ok(pgwire_peek(&writer).base == text + 1, "the rest of it comes next");
    pgwire_writer_dispose(&writer);
    is_int((long long)limit.used, 0, "and goes with the writer");
    ok(pgwire_left(&writer) == 0, "which is empty then");
}

static void write_parse(struct pgwire_writer *writer)
{
    pgwire_parse(writer, "s1", "select $1, $2", (uint32_t[]){23, 25}, 2);
}

static void write_describe(struct pgwire_writer *writer)
{
    pgwire_describe(writer, "s1");
}

static void write_close(struct pgwire_writer *writer)
{
    pgwire_close(writer, "s1");
}

static void write_execute(struct pgwire_writer *writer)
{
    pgwire_execute(writer, "s1",
                   (const struct str[]){STR("one"), {NULL, 0}, STR(""), STR("a somewhat longer text")}, 4,
                   NULL);
}

static void write_execute_nothing(struct pgwire_writer *writer)
{
    pgwire_execute(writer, "s1", NULL, 0, NULL);
}

static void (*const writes[])(struct pgwire_writer *) = {write_parse,   write_describe,        write_close,
                                                         write_execute, write_execute_nothing, pgwire_sync};
enum { N_WRITES = sizeof(writes) / sizeof(writes[0]) };

/*
 * A message is the same whatever room its buffer has left, and leaves alone what is there already. The
 * buffer is a block of just its capacity, so that the sanitizers see a byte written too far.
 */
static void test_every_room(void)
{
    enum { MOST = 128 }; /* more than any of the messages */
    for (size_t i = 0; i < N_WRITES; i++) {
        struct pgwire_writer alone = {0};
        size_t wrong = 0;
        writes[i](&alone);
        for (size_t room = 0; room <= MOST; room++) {
            struct pgwire_writer writer = {.base = mem_alloc(3 + room), .len = 3, .capacity = 3 + room};
            memcpy(writer.base, "old", 3);
            writes[i](&writer);
            wrong += writer.len > writer.capacity || writer.len != 3 + alone.len ||
                     memcmp(writer.base, "old", 3) != 0 ||
                     memcmp(writer.base + 3, alone.base, alone.len) != 0;
            free(writer.base);
        }
        ok(alone.len > 0 && alone.len < MOST && wrong == 0, "%c fits into any buffer", alone.base[0]);
        free(alone.base);
    }
}

/* Ten thousand messages in one buffer, which grows from nothing. */
static void test_growth(void)
{
    enum { ROUNDS = 2000 };
    struct pgwire_writer round = {0}, writer = {0};
    size_t wrong = 0, growths = 0, capacity = 0;
    for (size_t i = 0; i < N_WRITES; i++)
        writes[i](&round);
    for (size_t i = 0; i < ROUNDS * N_WRITES; i++) {
        writes[i % N_WRITES](&writer);
        growths += writer.capacity != capacity;
        capacity = writer.capacity;
    }
    is_int((long long)writer.len, (long long)(ROUNDS * round.len), "ten thousand messages: none is missing");
    for (size_t i = 0; i < ROUNDS && writer.len == ROUNDS * round.len; i++)
        wrong += memcmp(writer.base + i * round.len, round.base, round.len) != 0;
    is_int((long long)wrong, 0, "ten thousand messages: each is whole");
    ok(growths < 20, "ten thousand messages: the buffer has grown %zu times", growths);
    free(round.base);
    free(writer.base);
}

/* Reading */

/* A copy of bytes that ends where its memory ends, so that the sanitizers see a byte read too far. */
static char *exact(const char *bytes, size_t len)
{
    char *memory = mem_alloc(1 + len); /* the one in front, so that no bytes at all have an end, too */
    if (len != 0)
        memcpy(memory + 1, bytes, len);
    return memory + 1;
}

static void drop(const char *copy)
{
    free((char *)copy - 1);
}

/* A message of such bytes. Its body is for drop(). */
static struct pgwire_message message_of(const char *written)
{
    struct bytes body = bytes_of(written);
    struct pgwire_message message = {'?', exact(body.base, body.len), body.len};
    free(body.base);
    return message;
}

static const char *const stream[] = {
    "'t' 0000000a 0001 00000017",
    "'n' 00000004",
    "'Z' 00000005 'I'",
    "'2' 00000004",
    "'D' 0000000f 0002 00000001 '7' ffffffff",
    "'C' 0000000d 'SELECT 1' 00",
    "ff 00000006 ffff",
    "'Z' 00000005 'T'",
};
enum { N_STREAM = sizeof(stream) / sizeof(stream[0]) };

/* Is `whole` what is found where `rest` bytes begin with it? *size gets what it takes. */
static bool is_found(const struct bytes *whole, const char *bytes, size_t rest, size_t *size)
{
    struct pgwire_message message = {0};
    enum pgwire_got got = pgwire_next(bytes, rest, &message, size);
    if (rest < whole->len)
        return got == PGWIRE_MORE && *size == (rest < PGWIRE_HEAD ? (size_t)PGWIRE_HEAD : whole->len);
    return got == PGWIRE_MESSAGE && *size == whole->len && message.type == (unsigned char)whole->base[0] &&
           message.body == bytes + PGWIRE_HEAD && message.len == whole->len - PGWIRE_HEAD;
}

/* As much of a stream as there is yet: whole messages are found, and how much the next one wants. */
static void test_every_split(void)
{
    struct bytes messages[N_STREAM + 1] = {[N_STREAM] = bytes_of("'?' 00000004")}, all = {0};
    size_t wrong = 0;
    for (size_t i = 0; i < N_STREAM; i++) {
        messages[i] = bytes_of(stream[i]);
        append(&all, messages[i].base, messages[i].len);
    }
    for (size_t len = 0; len <= all.len; len++) {
        char *bytes = exact(all.base, len);
        size_t at = 0, size = 0, i = 0;
        bool right = true;
        for (; right && at + size <= len; i++) {
            at += size;
            right = is_found(&messages[i], bytes + at, len - at, &size);
        }
        if (!right) {
            wrong++;
            fprintf(stderr, "#   message %zu, at %zu of %zu bytes\n", i - 1, at, len);
        }
        drop(bytes);
    }
    is_int((long long)wrong, 0, "a stream of %d messages, cut after any byte", N_STREAM);
    for (size_t i = 0; i <= N_STREAM; i++)
        free(messages[i].base);
    free(all.base);
}

static void test_lengths(void)
{
    static const struct {
        const char *head;
        enum pgwire_got got;
        size_t wants;
        const char *name;
    } lengths[] = {
        {"'Z' 00000000", PGWIRE_GARBAGE, 0, "no length"},
        {"'Z' 00000001", PGWIRE_GARBAGE, 0, "a length of 1"},
        {"'Z' 00000003", PGWIRE_GARBAGE, 0, "a length shorter than itself"},
        {"'Z' 00000004", PGWIRE_MESSAGE, 5, "nothing but the length"},
        {"'Z' 00000005", PGWIRE_MORE, 6, "a byte"},
        {"'Z' 00000100", PGWIRE_MORE, 0x101, "256"},
        {"'Z' 00010000", PGWIRE_MORE, 0x10001, "64 KiB"},
        {"'Z' 12345678", PGWIRE_MORE, 0x12345679, "many bytes"},
        {"'Z' 3fffffff", PGWIRE_MORE, 0x40000000, "the most that PostgreSQL can have"},
        {"'Z' 40000000", PGWIRE_GARBAGE, 0, "one byte more"},
        {"'Z' 7fffffff", PGWIRE_GARBAGE, 0, "2 GiB"},
        {"'Z' 80000000", PGWIRE_GARBAGE, 0, "the least number"},
        {"'Z' 80000005", PGWIRE_GARBAGE, 0, "a negative one that ends like a good one"},
        {"'Z' fffffffb", PGWIRE_GARBAGE, 0, "-5"},
        {"'Z' ffffffff", PGWIRE_GARBAGE, 0, "-1"},
        {"'HTTP/1.1 400 Bad Request'", PGWIRE_GARBAGE, 0, "no PostgreSQL at all"},
    };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct pgwire_message bytes = message_of(lengths[i].head), message;
        size_t wants = 0;
        is_int(pgwire_next(bytes.body, bytes.len, &message, &wants), lengths[i].got, "length: %s",
               lengths[i].name);
        if (lengths[i].got != PGWIRE_GARBAGE)
            is_int((long long)wants, (long long)lengths[i].wants, "and what it wants");
        drop(bytes.body);
    }
}

/* Bodies. Each is read in memory of its own size. */

typedef bool reader(const struct pgwire_message *message);

static bool takes(reader *read, const char *body, size_t len)
{
    struct pgwire_message message = {'?', exact(body, len), len};
    bool taken = read(&message);
    drop(message.body);
    return taken;
}

static void refuses(reader *read, const char *written, const char *name)
{
    struct bytes body = bytes_of(written);
    ok(!takes(read, body.base, body.len), "%s is refused", name);
    free(body.base);
}

/* A whole body is taken; cut after any of its bytes, or with a byte after it, it is not. */
static void takes_whole(reader *read, const char *written, const char *name)
{
    struct bytes body = bytes_of(written);
    size_t whole = body.len, cut_taken = 0, longer_taken = 0;
    ok(takes(read, body.base, whole), "%s is taken", name);
    for (size_t len = 0; len < whole; len++) {
        bool taken = takes(read, body.base, len);
        cut_taken += taken;
        if (taken)
            fprintf(stderr, "#   taken with %zu of %zu bytes\n", len, whole);
    }
    is_int((long long)cut_taken, 0, "%s is refused when it is cut", name);
    append(&body, "", 1);
    for (int byte = 0; byte < 256; byte++) {
        body.base[whole] = (char)byte;
        longer_taken += takes(read, body.base, whole + 1);
    }
    is_int((long long)longer_taken, 0, "%s is refused with a byte behind it", name);
    free(body.base);
}

/* Rows */

/* The values as 'a', 'b', NULL; "refused" if it is not a row. Both ways to them have to agree. */
static char *row_text(const struct pgwire_message *message, size_t n)
{
    struct pgwire_row row, step;
    if (!pgwire_row(message, n, &row))
        return mem_strdup("refused");
    char *text = mem_strdup("");
    step = row;
    for (size_t i = 0; i < n; i++) {
        struct pgwire_value value = pgwire_row_next(&step), same = pgwire_row_value(row, i);
        char *shown = value.len == -1 ? mem_strdup("NULL") : mem_printf("'%.*s'", (int)value.len, value.text);
        char *longer = mem_printf("%s%s%s", text, i == 0 ? "" : ", ",
                                  value.text == same.text && value.len == same.len ? shown : "two of them");
        free(shown);
        free(text);
        text = longer;
    }
    return text;
}

static void row_is(const char *body, size_t n, const char *want, const char *name)
{
    struct pgwire_message message = message_of(body);
    char *got = row_text(&message, n);
    is_str(got, want, "row: %s", name);
    free(got);
    drop(message.body);
}

static bool read_no_values(const struct pgwire_message *message)
{
    struct pgwire_row row;
    return pgwire_row(message, 0, &row);
}

static bool read_three_values(const struct pgwire_message *message)
{
    struct pgwire_row row;
    return pgwire_row(message, 3, &row);
}

static void test_rows(void)
{
    row_is("0000", 0, "", "no columns");
    row_is("0001 00000002 '42'", 1, "'42'", "a value");
    row_is("0001 00000000", 1, "''", "an empty value");
    row_is("0001 ffffffff", 1, "NULL", "NULL");
    row_is("0003 00000001 '1' 00000003 'Ada' 00000005 'a@b.c'", 3, "'1', 'Ada', 'a@b.c'", "values");
    row_is("0004 ffffffff 00000000 00000001 'x' ffffffff", 4, "NULL, '', 'x', NULL", "all of these");
    row_is("0002 00000004 ffffffff ffffffff", 2, "'\xff\xff\xff\xff', NULL", "bytes that look like NULL");
    takes_whole(read_no_values, "0000", "a row of no columns");
    takes_whole(read_three_values, "0003 00000001 '1' ffffffff 00000003 'abc'", "a row");
    takes_whole(read_three_values, "0003 00000000 00000000 00000000", "a row of empty values");
    takes_whole(read_three_values, "0003 ffffffff ffffffff ffffffff", "a row of NULLs");
}

static void test_wrong_rows(void)
{
    static const struct {
        const char *body;
        size_t n;
        const char *name;
    } rows[] = {
        {"0002 00000001 'a' 00000001 'b'", 1, "a column too many"},
        {"0002 00000001 'a' 00000001 'b'", 3, "a column too few"},
        {"0002 00000001 'a' 00000001 'b'", 0, "columns where none is awaited"},
        {"0000", 1, "no column"},
        {"0001 00000001 'a' 00000001 'b'", 2, "a count that is less than the values"},
        {"0003 00000001 'a' 00000001 'b'", 2, "a count that is more than the values"},
        {"0101 00000001 'a'", 1, "a count that is right in its low byte only"},
        {"0100 00000001 'a'", 1, "a count in the wrong order"},
        {"0001 00000001 'a'", 0x10001, "a count beyond 65535"},
        {"0001 00000002 'a'", 1, "a length one byte beyond the end"},
        {"0002 00000005 'a' 00000001 'b'", 2, "a length beyond the next length"},
        {"0002 00000006 'a' 00000001 'b'", 2, "a length that leaves nothing for the next"},
        {"0001 00000000 'a'", 1, "a length that leaves a byte"},
        {"0001 ffffffff 'a'", 1, "NULL with a value"},
        {"0001 00000100 'a'", 1, "a length of 256"},
        {"0001 01000000 'a'", 1, "a length in the wrong order"},
        {"0001 7fffffff 'a'", 1, "the greatest length"},
        {"0001 80000000 'a'", 1, "the least length"},
        {"0001 80000001 'a'", 1, "a negative length that ends like a good one"},
        {"0001 fffffffe 'a'", 1, "the length -2"},
        {"0002 00000001 'a' fffffffb", 2, "a length that leads back"},
        {"0002 ffffffff", 2, "a value that is missing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        row_is(rows[i].body, rows[i].n, "refused", rows[i].name);
}

/* As many columns as PostgreSQL can have, and as many as a message can count. */
static void test_wide_row(size_t n)
{
    struct bytes body = {0};
    size_t wrong = 0;
    append(&body, (const char[]){(char)(n >> 8), (char)n}, 2);
    for (size_t i = 0; i < n; i++)
        append_written(&body, i % 3 == 0 ? "ffffffff" : "00000002 'ab'");
    struct pgwire_message message = {'D', exact(body.base, body.len), body.len};
    struct pgwire_row row, step;
    if (ok(pgwire_row(&message, n, &row), "row: %zu columns", n)) {
        step = row;
        for (size_t i = 0; i < n; i++) {
            struct pgwire_value value = pgwire_row_next(&step);
            wrong += i % 3 == 0 ? value.len != -1 : value.len != 2 || memcmp(value.text, "ab", 2) != 0;
        }
        is_int((long long)wrong, 0, "and all of its values");
        is_int(pgwire_row_value(row, n - 1).len, (n - 1) % 3 == 0 ? -1 : 2, "and its last");
    }
    ok(!pgwire_row(&message, n - 1, &row) && !pgwire_row(&message, n + 1, &row), "and no other number");
    drop(message.body);
    free(body.base);
}

/* Descriptions */

static bool read_fields(const struct pgwire_message *message)
{
    struct pgwire_field *fields;
    size_t n;
    if (!pgwire_fields(message, &fields, &n))
        return false;
    free(fields);
    return true;
}

/* A field is its name; table 16385, column 1; its type, the type's size, no modifier; format 0, text. */
static void test_fields(void)
{
    static const char body[] = "0004 'id' 00 00004001 0001 00000017 0004 ffffffff 0000"
                               "00 00004001 0001 00010203 0004 ffffffff 0000"
                               "'id' 00 00004001 0001 00000413 ffff ffffffff 0000"
                               "'Straße' 00 00004001 0001 fffffffe 0004 ffffffff 0000";
    struct pgwire_message message = message_of(body);
    struct pgwire_field *fields;
    size_t n = 0;
    if (ok(pgwire_fields(&message, &fields, &n), "RowDescription: read")) {
        is_int((long long)n, 4, "RowDescription: how many fields");
        is_str(fields[0].name, "id", "RowDescription: a name");
        is_int(fields[0].type, 23, "RowDescription: a type");
        is_str(fields[1].name, "", "RowDescription: an empty name");
        is_int(fields[1].type, 0x010203, "RowDescription: a type that is not built in");
        is_str(fields[2].name, "id", "RowDescription: the same name again");
        is_int(fields[2].type, 1043, "RowDescription: with another type");
        is_str(fields[3].name, "Straße", "RowDescription: a name beyond ASCII");
        is_int(fields[3].type, 0xfffffffe, "RowDescription: a type of 32 bits");
        ok(fields[0].name == message.body + 2, "RowDescription: names are where the message is");
        free(fields);
    }
    drop(message.body);
    takes_whole(read_fields, body, "RowDescription: a list of fields");
    takes_whole(read_fields, "0000", "RowDescription: no fields");
    refuses(read_fields, "0001", "RowDescription: a field that is missing");
    refuses(read_fields, "ffff 'a' 00 00004001 0001 00000017 0004 ffffffff 0000",
            "RowDescription: 65534 that are missing");
    refuses(read_fields, "0000 'a' 00 00004001 0001 00000017 0004 ffffffff 0000",
            "RowDescription: a field that is not counted");
    refuses(read_fields, "0001 'without an end'", "RowDescription: a name without an end");
    refuses(read_fields, "0002 'a' 00 00004001 0001 00000017 0004 ffffffff 0000 'b'",
            "RowDescription: a second such name");
}

static void test_many_fields(void)
{
    enum { N = 1664 };
    struct bytes body = bytes_of("0680");
    struct pgwire_field *fields;
    size_t n, wrong = 0;
    char name[16];
    for (int i = 0; i < N; i++) {
        append(&body, name, (size_t)snprintf(name, sizeof(name), "c%d", i) + 1);
        append_written(&body, "00004001 0001 00000019 ffff ffffffff 0000");
    }
    struct pgwire_message message = {'T', exact(body.base, body.len), body.len};
    if (ok(pgwire_fields(&message, &fields, &n), "RowDescription: as many fields as PostgreSQL can have")) {
        is_int((long long)n, N, "RowDescription: their number");
        for (int i = 0; i < N; i++) {
            snprintf(name, sizeof(name), "c%d", i);
            wrong += strcmp(fields[i].name, name) != 0 || fields[i].type != 25;
        }
        is_int((long long)wrong, 0, "RowDescription: each is right");
        free(fields);
    }
    drop(message.body);
    free(body.base);
}

static bool read_types(const struct pgwire_message *message)
{
    uint32_t *types;
    size_t n;
    if (!pgwire_types(message, &types, &n))
        return false;
    free(types);
    return true;
}

static void test_types(void)
{
    static const char body[] = "0003 00000017 00000eda fffffffe";
    struct pgwire_message message = message_of(body);
    uint32_t *types;
    size_t n = 0;
    if (ok(pgwire_types(&message, &types, &n), "ParameterDescription: read")) {
        is_int((long long)n, 3, "ParameterDescription: how many types");
        is_int(types[0], 23, "ParameterDescription: a type");
        is_int(types[1], 3802, "ParameterDescription: a type of two bytes");
        is_int(types[2], 0xfffffffe, "ParameterDescription: a type of 32 bits");
        free(types);
    }
    drop(message.body);
    takes_whole(read_types, body, "ParameterDescription: a list of types");
    takes_whole(read_types, "0000", "ParameterDescription: no types");
    refuses(read_types, "0001", "ParameterDescription: a type that is missing");
    refuses(read_types, "ffff 00000017", "ParameterDescription: 65534 that are missing");
    refuses(read_types, "0101 00000017", "ParameterDescription: 256 that are missing");
    refuses(read_types, "0000 00000017", "ParameterDescription: a type that is not counted");
}

/* Texts */

static void test_is_text(void)
{
    takes_whole(pgwire_is_text, "'SELECT 1' 00", "CommandComplete: a tag");
    takes_whole(pgwire_is_text, "00", "CommandComplete: an empty tag");
    refuses(pgwire_is_text, "'INSERT 0 1' 00 'INSERT 0 1' 00", "CommandComplete: a second tag");
    refuses(pgwire_is_text, "00 'SELECT 1'", "CommandComplete: a tag behind its end");
}

static bool read_parameter(const struct pgwire_message *message)
{
    const char *name, *value;
    return pgwire_parameter(message, &name, &value);
}

static void parameter_is(const char *body, const char *want_name, const char *want_value)
{
    struct pgwire_message message = message_of(body);
    const char *name, *value;
    if (ok(pgwire_parameter(&message, &name, &value), "ParameterStatus: read")) {
        is_str(name, want_name, "ParameterStatus: its name");
        is_str(value, want_value, "ParameterStatus: its value");
    }
    drop(message.body);
}

static void test_parameter(void)
{
    parameter_is("'TimeZone' 00 'Europe/Zurich' 00", "TimeZone", "Europe/Zurich");
    parameter_is("'application_name' 00 00", "application_name", "");
    parameter_is("00 00", "", "");
    takes_whole(read_parameter, "'TimeZone' 00 'UTC' 00", "ParameterStatus: a parameter");
    takes_whole(read_parameter, "'application_name' 00 00", "ParameterStatus: an empty value");
    takes_whole(read_parameter, "00 'on' 00", "ParameterStatus: an empty name");
    refuses(read_parameter, "'a' 00 'b' 00 'c' 00", "ParameterStatus: a third text");
    refuses(read_parameter, "'TimeZone=UTC' 00", "ParameterStatus: a single text");
}

/* Errors */

static const char an_error[] = "'SFEHLER' 00 'VERROR' 00 'C23505' 00"
                               "'Mduplicate key value violates «contacts_email_key»' 00"
                               "'DKey (email)=(a@b.c) already exists.' 00 'H' 00"
                               "'spublic' 00 'tcontacts' 00 'ncontacts_email_key' 00"
                               "'Fnbtinsert.c' 00 'L673' 00 'R_bt_check_unique' 00 00";

static void test_error(void)
{
    takes_whole(pgwire_is_error, an_error, "ErrorResponse: an error");
    takes_whole(pgwire_is_error, "00", "ErrorResponse: no fields");
    takes_whole(pgwire_is_error, "'M' 00 00", "ErrorResponse: an empty field");
    takes_whole(pgwire_is_error, "'M' 00 'D' 00 'H' 00 00", "ErrorResponse: empty fields");
    takes_whole(pgwire_is_error, "ff 'of a type to come' 00 00", "ErrorResponse: an unknown field");
    refuses(pgwire_is_error, "'SERROR' 00 00 'Mhello' 00 00", "ErrorResponse: fields behind the end");
    refuses(pgwire_is_error, "'SERROR' 00 'Mhello'", "ErrorResponse: a text without an end");
    refuses(pgwire_is_error, "'EFATAL:  sorry, too many clients already' 0a00",
            "ErrorResponse: one of protocol 2");
}

static void field_is(const char *body, int code, const char *want, const char *name)
{
    struct pgwire_message message = message_of(body);
    is_str(pgwire_error_field(message.body, code), want, "ErrorResponse: %s", name);
    drop(message.body);
}

static void test_error_field(void)
{
    field_is(an_error, PG_DIAG_SEVERITY, "FEHLER", "the severity as people read it");
    field_is(an_error, PG_DIAG_SEVERITY_NONLOCALIZED, "ERROR", "the severity");
    field_is(an_error, PG_DIAG_SQLSTATE, "23505", "the code");
    field_is(an_error, PG_DIAG_MESSAGE_PRIMARY, "duplicate key value violates «contacts_email_key»",
             "the message");
    field_is(an_error, PG_DIAG_MESSAGE_DETAIL, "Key (email)=(a@b.c) already exists.", "the detail");
    field_is(an_error, PG_DIAG_MESSAGE_HINT, "", "a hint that is empty");
    field_is(an_error, PG_DIAG_CONTEXT, "", "a context that is not there");
    field_is(an_error, PG_DIAG_SCHEMA_NAME, "public", "the schema, by a small letter");
    field_is(an_error, PG_DIAG_TABLE_NAME, "contacts", "the table");
    field_is(an_error, PG_DIAG_COLUMN_NAME, "", "a column that is not there, though its letter is in texts");
    field_is(an_error, PG_DIAG_CONSTRAINT_NAME, "contacts_email_key", "the constraint");
    field_is(an_error, PG_DIAG_SOURCE_FUNCTION, "_bt_check_unique", "the last field");
    field_is("00", PG_DIAG_MESSAGE_PRIMARY, "", "no fields");
    field_is("'Mfirst' 00 'Msecond' 00 00", PG_DIAG_MESSAGE_PRIMARY, "first", "of two the first");
    field_is("'MM' 00 'CM' 00 00", PG_DIAG_SQLSTATE, "M", "a text that is a letter");
}

int main(void)
{
    test_parse();
    test_many_types();
    test_describe_and_sync();
    test_execute();
    test_execute_arrays();
    test_many_values();
    test_long_value();
    test_kept_values();
    test_kept_values_go();
    test_every_room();
    test_growth();
    test_every_split();
    test_lengths();
    test_rows();
    test_wrong_rows();
    test_wide_row(256);
    test_wide_row(1664);
    test_wide_row(65535);
    test_fields();
    test_many_fields();
    test_types();
    test_is_text();
    test_parameter();
    test_error();
    test_error_field();
    return done_testing();
}
