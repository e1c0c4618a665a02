/* arena.c: texts that are copied, and printed, into memory of someone else's. */
#include "base/arena.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* Gives memory of just the size, so that the sanitizers see a byte too many. */
static void *give(void *arg, size_t size)
{
    *(size_t *)arg = size;
    return mem_alloc(size);
}

static void is_copied(struct str text, const char *want, const char *name)
{
    size_t size = 0;
    struct arena arena = {give, &size};
    char *copy = arena_copy(&arena, text);
    is_str(copy, want, "%s", name);
    is_int((long long)size, (long long)text.len + 1, "of its length");
    free(copy);
}

/* A text of so many characters, printed. */
static void is_printed(size_t len)
{
    size_t size = 0;
    struct arena arena = {give, &size};
    char *want = mem_alloc(len + 1);
    memset(want, 'x', len);
    want[len] = '\0';
    char *got = arena_printf(&arena, "%.*s%s", 1, want, want + (len == 0 ? 0 : 1));
    is_str(got, want, "%zu characters are printed", len);
    is_int((long long)size, (long long)len + 1, "into just that memory");
    free(got);
    free(want);
}

int main(void)
{
    is_copied((struct str){"hello", 4}, "hell", "a text is copied, and ends in a NUL");
    is_copied((struct str){NULL, 0}, "", "so is none");
    const size_t lens[] = {0, 1, 254, 255, 256, 257, 10000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        is_printed(lens[i]);
    return done_testing();
}
