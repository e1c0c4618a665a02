/* trouble.c: what is logged about servers that do not work, and that they work again. */
#include "upstream/trouble.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { STEADY_S = 10 }; /* a trouble that comes and goes is over when it was away for so long */

/* What the trouble is, for complain. The caller frees it. */
static char *about(const struct conf_upstream *upstream, const struct conf_server *server,
                   const char *trouble)
{
    return mem_printf("upstream %s, server %s: %s", upstream->name, server->address, trouble);
}

void upstream_trouble_log(const struct conf_upstream *upstream, const struct conf_server *server,
                          const char *id, const char *trouble, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args), *which = about(upstream, server, trouble);
    va_end(args);
    bool is_named = !upstream->implied && strcmp(trouble, UPSTREAM_FULL) != 0;
    complain(LOG_LEVEL_ERROR, which, "%s%s%s%s%s%s%s", text, is_named ? " (upstream " : "",
             is_named ? upstream->name : "", is_named ? ")" : "", id == NULL ? "" : " (request ",
             id == NULL ? "" : id, id == NULL ? "" : ")");
    free(which);
    free(text);
}

enum complain_past upstream_trouble_forget(const struct conf_upstream *upstream,
                                           const struct conf_server *server, const char *trouble,
                                           uint32_t *left_out)
{
    char *which = about(upstream, server, trouble);
    enum complain_past past = complain_forget(which, STEADY_S, left_out);
    free(which);
    return past;
}
