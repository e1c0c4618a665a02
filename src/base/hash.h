/* hash.h: FNV-1a, of 32 and of 64 bits: quick for short texts, and no defence against chosen ones. */
#ifndef HAYFORK_BASE_HASH_H
#define HAYFORK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * A hash begins with HASH_32 or HASH_64 and takes one thing after another: hash_32_text(HASH_32, "hello").
 * A text is taken without its NUL: two in a row are the same as both in one.
 */
#define HASH_32 UINT32_C(2166136261)
#define HASH_64 UINT64_C(14695981039346656037)

static inline uint32_t hash_32_byte(uint32_t hash, unsigned char byte)
{
    return (hash ^ byte) * UINT32_C(16777619);
}

static inline uint32_t hash_32_text(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = hash_32_byte(hash, (unsigned char)*text);
    return hash;
}

static inline uint64_t hash_64_bytes(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static inline uint64_t hash_64_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

#endif
