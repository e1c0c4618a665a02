/* ids.c: ids of requests, in X-Request-Id, problem documents and the log. */
#include "server/ids.h"

#include "base/hex.h"

void ids_init(struct ids *ids)
{
    ids->n_made = 0;
    chacha_init_random(&ids->chacha);
}

void ids_make(struct ids *ids)
{
    unsigned char block[CHACHA_BLOCK];
    chacha_next(&ids->chacha, block);
    for (size_t i = 0; i < CHACHA_BLOCK; i += HEX_BYTES)
        hex_write(block + i, (char *)ids->made + 2 * i);
    ids->n_made = sizeof(ids->made) / sizeof(ids->made[0]);
}

bool ids_is_good(struct str id)
{
    static const char is_safe[256] = {
        ['+'] = 1, ['-' ... ':'] = 1, ['='] = 1, ['@' ... 'Z'] = 1, ['_'] = 1, ['a' ... 'z'] = 1, ['~'] = 1};
    bool good = id.len > 0 && id.len <= IDS_MOST;
    for (size_t i = 0; good && i < id.len; i++)
        good = is_safe[(unsigned char)id.base[i]] != 0;
    return good;
}

/* Lower case hexadecimal digits, not all of them 0. */
static bool is_number(const char *digits, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (hex_value(digits[i]) < 0 || (digits[i] >= 'A' && digits[i] <= 'F'))
            return false;
        any = any || digits[i] != '0';
    }
    return any;
}

static bool is_version(const char *digits)
{
    bool is_first = digits[0] == '0' && digits[1] == '0', is_none = digits[0] == 'f' && digits[1] == 'f';
    return is_first || (is_number(digits, 2) && !is_none);
}

bool ids_is_trace(struct str text)
{
    static const size_t dashes[] = {2, 35, 52};
    if (text.len < IDS_TRACE_LEN || text.len > IDS_MOST || !is_version(text.base))
        return false;
    for (size_t i = 0; i < sizeof(dashes) / sizeof(dashes[0]); i++) {
        if (text.base[dashes[i]] != '-')
            return false;
    }
    bool is_later = text.base[0] != '0' || text.base[1] != '0';
    if (text.len > IDS_TRACE_LEN && (!is_later || text.base[IDS_TRACE_LEN] != '-'))
        return false;
    const char *flags = text.base + 53;
    return is_number(text.base + IDS_TRACE_ID, IDS_TRACE_ID_LEN) && is_number(text.base + 36, 16) &&
           (is_number(flags, 2) || memcmp(flags, "00", 2) == 0);
}

void ids_make_trace(struct ids *ids, char trace[IDS_TRACE_LEN])
{
    memcpy(trace, "00-", 3);
    ids_take(ids, trace + IDS_TRACE_ID);
    ids_take(ids, trace + IDS_TRACE_ID + IDS_LEN);
    trace[35] = '-';
    ids_take(ids, trace + 36);
    memcpy(trace + 52, "-01", 3);
}
