/*
 * conf.c: fuzz target for conf files: mistakes are reported at a place in the file, and what `hayfork -T`
 * prints of a good one loads to the same.
 */
#include "conf/conf.h"

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static FILE *open_memory(char path[64])
{
    int fd = memfd_create("conf", MFD_CLOEXEC);
    FUZZ_CHECK(fd != -1, "%m");
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fdopen(fd, "w+");
}

/* Every message names the file and a place, or the file as a whole. */
static void check_errors(const char *errors, size_t len)
{
    FUZZ_CHECK(len > 0 && errors[len - 1] == '\n', "refused without a word");
    FUZZ_CHECK(strstr(errors, ": error: ") != NULL, "no error: %s", errors);
}

/* Loads the text. Returns what is printed of it, to be freed, or NULL if it is refused. */
static char *load_and_print(const void *text, size_t size)
{
    char path[64], *errors = NULL, *printed = NULL;
    size_t errors_len, printed_len;
    FILE *file = open_memory(path), *errors_out = open_memstream(&errors, &errors_len);
    fwrite(text, 1, size, file);
    fflush(file);
    struct conf *conf = conf_load(path, NULL, 0, errors_out);
    fclose(errors_out);
    fclose(file);
    if (conf == NULL) {
        check_errors(errors, errors_len);
    } else {
        FUZZ_CHECK(errors_len == 0, "taken, but: %s", errors);
        FILE *out = open_memstream(&printed, &printed_len);
        conf_print(conf, conf->workers, out);
        fclose(out);
        conf_free(conf);
    }
    free(errors);
    return printed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a conf may name files: no device, and nothing that is there by chance */
    if (memmem(data, size, "json_file", 9) != NULL || memmem(data, size, "include", 7) != NULL ||
        memmem(data, size, "files", 5) != NULL)
        return 0;
    char *printed = load_and_print(data, size);
    if (printed == NULL)
        return 0;
    char *again = load_and_print(printed, strlen(printed));
    FUZZ_CHECK(again != NULL, "what was printed is refused:\n%s", printed);
    FUZZ_CHECK(strcmp(printed, again) == 0, "another conf is printed:\n%s\ninstead of:\n%s", again, printed);
    free(again);
    free(printed);
    return 0;
}
