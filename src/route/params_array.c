/* params_array.c: the text of an array, every element in quotes, so that none can be taken for more than one.
 */
#include "route/params_array.h"

struct params_array params_array_begin(const struct params_gathering *all, size_t i, size_t size)
{
    struct params_array array = {
        .text = arena_alloc(all->arena, size),
        .delimiter = all->types[i].delimiter,
    };
    array.text[array.len++] = '{';
    return array;
}

static void add_delimiter(struct params_array *array)
{
    if (array->n++ > 0)
        array->text[array->len++] = array->delimiter;
}

void params_array_add(struct params_array *array, struct str text)
{
    add_delimiter(array);
    char *out = array->text + array->len;
    *out++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] == '"' || text.base[i] == '\\')
            *out++ = '\\';
        *out++ = text.base[i];
    }
    *out++ = '"';
    array->len = (size_t)(out - array->text);
}

void params_array_add_null(struct params_array *array)
{
    add_delimiter(array);
    memcpy(array->text + array->len, "NULL", 4);
    array->len += 4;
}

const char *params_array_end(struct params_array *array)
{
    array->text[array->len++] = '}';
    array->text[array->len] = '\0';
    return array->text;
}
