/* params_gathering.c: how gathering the parameters fails. */
#include "route/params_gathering.h"

#include <stdarg.h>

#include "base/utf8.h"

enum { LONGEST_NAME = 100 }; /* bytes of a name that the client chose, in a problem */

const char params_not_given[] = "not given", params_given_empty[] = "given, but empty";

static void fill(const struct params_gathering *all, const char *parameter, bool is_of_type,
                 const char *format, va_list args)
{
    *all->problem = (struct params_problem){
        .parameter = parameter, .detail = arena_vprintf(all->arena, format, args), .is_of_type = is_of_type};
}

bool params_fail(const struct params_gathering *all, const char *parameter, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(all, parameter, false, format, args);
    va_end(args);
    return false;
}

bool params_fail_of_type(const struct params_gathering *all, const char *parameter, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(all, parameter, true, format, args);
    va_end(args);
    return false;
}

bool params_fail_unknown(const struct params_gathering *all, struct str name, const char *end)
{
    static const char mark[] = "…";
    size_t len = name.len <= LONGEST_NAME ? name.len : 0;
    while (len < name.len) {
        size_t step = utf8_character((struct str){name.base + len, name.len - len});
        if (len + step > LONGEST_NAME)
            break;
        len += step;
    }
    char *shown = arena_alloc(all->arena, len + sizeof(mark));
    memcpy(shown, name.base, len);
    memcpy(shown + len, len < name.len ? mark : "", len < name.len ? sizeof(mark) : 1);
    return params_fail(all, shown, "%s %s", shown, end);
}

bool params_fail_of_memory(const struct params_gathering *all)
{
    *all->problem = (struct params_problem){.is_of_memory = true};
    return false;
}

void *params_resize(const struct params_gathering *all, void *block, size_t had, size_t size)
{
    struct body *keeper = all->request->keeper;
    void *larger = keeper == NULL ? arena_alloc(all->arena, size) : body_resize(keeper, block, size);
    if (larger == NULL)
        params_fail_of_memory(all);
    else if (keeper == NULL && had > 0)
        memcpy(larger, block, had);
    return larger;
}
