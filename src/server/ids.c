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
