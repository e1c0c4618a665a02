/*
 * json.c: fuzz target for the writer of JSON: what it writes of any UTF-8 is JSON, and json-c reads it back;
 * of other bytes, at least nothing that would end the string early.
 */
#include "base/json.h"

#include <json-c/json.h>

#include "base/json_read.h"
#include "fuzz.h"

/* What every JSON string must be: quotes around it, no quote and no control character inside. */
static void check_string(struct str json)
{
    FUZZ_CHECK(json.len >= 2 && json.base[0] == '"' && json.base[json.len - 1] == '"', "no quotes");
    for (size_t i = 1; i + 1 < json.len; i++) {
        unsigned char c = (unsigned char)json.base[i];
        FUZZ_CHECK(c >= ' ' && c != '"', "byte %d inside", c);
        i += c == '\\';
        FUZZ_CHECK(i + 1 < json.len, "the closing quote is escaped");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_chance chance = fuzz_chance_of(data, size);
    size_t room = fuzz_below(&chance, 64);
    char *initial = fuzz_copy(data, 0), *text = fuzz_copy(data, size);
    initial = mem_realloc(initial, room + 1);
    struct json_writer writer = json_writer_on(initial, room);
    json_string(&writer, text, size);
    struct str json = {writer.base, writer.len};
    check_string(json);

    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
    json_raw(&writer, "", 1); /* json-c wants to see where it ends */
    struct json_object *object = json_tokener_parse_ex(tokener, writer.base, (int)writer.len);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    FUZZ_CHECK(error == json_tokener_success || error == json_tokener_error_parse_utf8_string, "%s",
               json_tokener_error_desc(error));
    if (error == json_tokener_success) {
        struct str back = {json_object_get_string(object), (size_t)json_object_get_string_len(object)};
        FUZZ_CHECK(str_equal(back, (struct str){text, size}), "another text is read back");
        struct json_value value;
        size_t at;
        const char *problem = json_read_check((struct str){writer.base, writer.len - 1}, &value, &at);
        bool may_be = memchr(text, '\0', size) != NULL || /* overlong forms: */
                      (problem != NULL && strcmp(problem, "this is not UTF-8") == 0);
        FUZZ_CHECK(problem == NULL || may_be, "at %zu: %s", at, problem);
    }
    json_object_put(object);
    json_tokener_free(tokener);
    if (writer.owned)
        free(writer.base);
    free(initial);
    free(text);
    return 0;
}
