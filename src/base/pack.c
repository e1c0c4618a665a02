/* pack.c: numbers and texts in one run of bytes, for another process of the same machine. */
#include "base/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static void add(struct pack *pack, const void *bytes, size_t len)
{
    if (pack->room - pack->len < len) {
        pack->room = (pack->len + len) * 2;
        pack->data = mem_realloc(pack->data, pack->room);
    }
    if (len > 0)
        memcpy(pack->data + pack->len, bytes, len);
    pack->len += len;
}

void pack_number(struct pack *pack, uint64_t number)
{
    add(pack, &number, sizeof(number));
}

void pack_text(struct pack *pack, struct str text)
{
    pack_number(pack, text.len);
    add(pack, text.base, text.len);
}

static struct str take(struct unpack *unpack, size_t len)
{
    struct str taken = {unpack->rest.base, len};
    if (unpack->failed || unpack->rest.len < len) {
        unpack->failed = true;
        return STR("");
    }
    unpack->rest = (struct str){unpack->rest.base + len, unpack->rest.len - len};
    return taken;
}

uint64_t unpack_number(struct unpack *unpack)
{
    uint64_t number = 0;
    struct str bytes = take(unpack, sizeof(number));
    if (!unpack->failed)
        memcpy(&number, bytes.base, sizeof(number));
    return number;
}

struct str unpack_text(struct unpack *unpack)
{
    return take(unpack, unpack_number(unpack));
}

size_t unpack_count(struct unpack *unpack, size_t least)
{
    uint64_t count = unpack_number(unpack);
    if (count > unpack->rest.len / least)
        unpack->failed = true;
    return unpack->failed ? 0 : count;
}

int pack_to_file(const struct pack *pack, const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t at = 0;
    while (fd >= 0 && at < pack->len) {
        ssize_t wrote = write(fd, pack->data + at, pack->len - at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            goto failed;
        at += (size_t)wrote;
    }
    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
        return fd;
failed:
    if (fd >= 0) {
        int error = errno;
        close(fd);
        errno = error;
    }
    return -1;
}

char *pack_from_file(int fd, size_t most, size_t *len)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return NULL;
    if (status.st_size < 0 || (uint64_t)status.st_size > most) {
        errno = EFBIG;
        return NULL;
    }
    size_t size = (size_t)status.st_size;
    char *bytes = mem_alloc(size + 1);
    for (*len = 0; *len < size;) {
        ssize_t got = pread(fd, bytes + *len, size - *len, (off_t)*len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int error = got < 0 ? errno : EIO;
            free(bytes);
            errno = error;
            return NULL;
        }
        *len += (size_t)got;
    }
    return bytes;
}
