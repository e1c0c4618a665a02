/* trouble.c: what a lane complains about in the log. */
#include "db/trouble.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/complain.h"
#include "base/log.h"
#include "base/mem.h"

void db_trouble(const struct db_env *env, const char *trouble, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args), *about = mem_printf("%s (lane %s)", trouble, env->conf.name);
    va_end(args);
    complain_in_words(LOG_LEVEL_ERROR, about, "%s", text);
    free(about);
    free(text);
}

static bool is_over(const struct db_env *env, const char *trouble, uint32_t *left_out)
{
    char *about = mem_printf("%s (lane %s)", trouble, env->conf.name);
    enum complain_past past = complain_forget(about, 0, left_out);
    free(about);
    return past == COMPLAIN_OVER;
}

void db_trouble_is_over(const struct db_env *env)
{
    uint32_t left_out = 0;
    bool was_lost = is_over(env, DB_LOST_CONNECTION, &left_out);
    bool was_refused = is_over(env, DB_CANNOT_CONNECT, &left_out);
    if (was_lost || was_refused)
        log_info("connected to the database again (lane %s)%s", env->conf.name, complain_left_out(left_out));
}
