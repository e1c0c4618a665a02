/* params_array.c: the text of an array, every element in quotes, so that none can be taken for more than one.
 */
#include "route/params_array.h"

static bool make_room(struct params_array *array, size_t size)
{
    size++; /* for the '}' */
    if (array->capacity - array->len >= size)
        return true;
    size_t capacity = array->capacity + array->capacity / 2;
    if (capacity - array->len < size)
        capacity = array->len + size;
    char *larger = params_resize(array->all, array->text, array->len, capacity);
    if (larger == NULL)
        return false;
    array->text = larger;
    array->capacity = capacity;
    return true;
}

bool params_array_begin(struct params_array *array, const struct params_gathering *all, size_t i, size_t size)
{
    *array = (struct params_array){.all = all, .delimiter = all->types[i].delimiter};
    if (!make_room(array, size + 1))
        return false;
    array->text[array->len++] = '{';
    return true;
}

static void put_delimiter(struct params_array *array)
{
    if (array->n++ > 0)
        array->text[array->len++] = array->delimiter;
}

bool params_array_open(struct params_array *array)
{
    if (!make_room(array, 2))
        return false;
    put_delimiter(array);
    array->text[array->len++] = '"';
    return true;
}

bool params_array_put(struct params_array *array, struct str part)
{
    if (!make_room(array, 2 * part.len))
        return false;
    char *out = array->text + array->len;
    for (size_t i = 0; i < part.len; i++) {
        if (part.base[i] == '"' || part.base[i] == '\\')
            *out++ = '\\';
        *out++ = part.base[i];
    }
    array->len = (size_t)(out - array->text);
    return true;
}

bool params_array_close(struct params_array *array)
{
    if (!make_room(array, 1))
        return false;
    array->text[array->len++] = '"';
    return true;
}

bool params_array_add(struct params_array *array, struct str text)
{
    return params_array_open(array) && params_array_put(array, text) && params_array_close(array);
}

bool params_array_add_null(struct params_array *array)
{
    if (!make_room(array, 5))
        return false;
    put_delimiter(array);
    memcpy(array->text + array->len, "NULL", 4);
    array->len += 4;
    return true;
}

struct str params_array_end(struct params_array *array)
{
    array->text[array->len++] = '}';
    return (struct str){array->text, array->len};
}
