/* json_body.c: media types and codings of bodies. */
#include "handlers/json_body.h"

#include <strings.h>

static bool is_json(struct str type)
{
    size_t len = 0;
    while (len < type.len && type.base[len] != ';' && type.base[len] != ' ' && type.base[len] != '\t')
        len++;
    if (len == strlen("application/json") && strncasecmp(type.base, "application/json", len) == 0)
        return true;
    return len > strlen("application/+json") && strncasecmp(type.base, "application/", 12) == 0 &&
           strncasecmp(type.base + len - 5, "+json", 5) == 0;
}

static bool is_encoded(const struct request *request)
{
    struct str coding = request->field(request, STR("content-encoding"));
    return coding.len > 0 && !http1_same(coding, STR("identity"));
}

bool json_body_is_taken(const struct request *request, struct problem *problem)
{
    if (request->body->length == 0)
        return true;
    if (!is_json(request->content_type)) {
        *problem = (struct problem){.status = 415,
                                    .detail = "The body must be application/json.",
                                    .field = {STR("Accept"), STR("application/json")}};
        return false;
    }
    if (is_encoded(request)) {
        *problem = (struct problem){.status = 415,
                                    .detail = "The body must not have a content coding.",
                                    .field = {STR("Accept-Encoding"), STR("identity")}};
        return false;
    }
    return true;
}
