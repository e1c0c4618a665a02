/* replay.c: gives a fuzz target every file of the folders or files that are named, and prints TAP. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { SECONDS_A_FILE = 60 };

static unsigned n_run;

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool read_file(const char *path, struct fuzz_bytes *bytes)
{
    char part[65536];
    size_t got;
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return false;
    while ((got = fread(part, 1, sizeof(part), in)) > 0)
        fuzz_append(bytes, part, got);
    bool whole = !ferror(in);
    fclose(in);
    return whole;
}

/* A target that finds something ends the process: its file is the one announced last. */
static bool replay_file(const char *path)
{
    struct fuzz_bytes bytes = {0};
    printf("# %s\n", path);
    fflush(stdout);
    bool whole = read_file(path, &bytes);
    if (whole) {
        char *exact = fuzz_copy(bytes.base, bytes.len);
        alarm(SECONDS_A_FILE); /* an input that hangs the target ends the process, too */
        LLVMFuzzerTestOneInput((const uint8_t *)exact, bytes.len);
        alarm(0);
        free(exact);
    }
    free(bytes.base);
    const char *slash = strrchr(path, '/');
    printf("%s %u - %s\n", whole ? "ok" : "not ok", ++n_run, slash == NULL ? path : slash + 1);
    return whole;
}

static bool replay_folder(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_visible, alphasort);
    bool good = n > 0;
    if (!good)
        printf("not ok %u - there are files in %s\n", ++n_run, path);
    for (int i = 0; i < n; i++) {
        char *file = mem_printf("%s/%s", path, entries[i]->d_name);
        good = replay_file(file) && good;
        free(file);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return good;
}

int main(int argc, char **argv)
{
    bool good = true;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        bool folder = stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode);
        good = (folder ? replay_folder(argv[i]) : replay_file(argv[i])) && good;
    }
    printf("1..%u\n", n_run);
    return good ? 0 : 1;
}
