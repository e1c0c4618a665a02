/* folder.c: what a request's path asks for in a folder, and that nothing outside of it is opened. */
#include "http/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/tap.h"

/* What comes after the route's "/", and what it asks for: a path, "404" or "400". */
static const struct {
    const char *raw, *want;
} paths[] = {
    {"", "index of "},
    {"a", "a"},
    {"a.css", "a.css"},
    {"a/b/c.js", "a/b/c.js"},
    {"a/", "index of a/"},
    {"a/b/", "index of a/b/"},
    {"a.b.c", "a.b.c"},
    {"a.", "a."},
    {"a..b", "a..b"},
    {"a../b", "a../b"},
    {"-rf", "-rf"},
    {"~root/x", "~root/x"},
    {"a%20b", "a b"},
    {"%61%2Ecss", "a.css"},
    {"caf%C3%A9", "caf\xC3\xA9"},
    {"%ff%fe", "\xff\xfe"},
    {"100%25", "100%"},
    {"a+b", "a+b"},
    {"a;b=c:d@e", "a;b=c:d@e"},
    {"%2561", "%61"},
    {"%252e%252e/x", "%2e%2e/x"},

    {".", "404"},
    {"..", "404"},
    {"../", "404"},
    {"../x", "404"},
    {"a/..", "404"},
    {"a/../b", "404"},
    {"a/./b", "404"},
    {"...", "404"},
    {".git", "404"},
    {".git/config", "404"},
    {"a/.git/config", "404"},
    {"a/.htpasswd", "404"},
    {"%2e", "404"},
    {"%2e%2e", "404"},
    {"%2E%2E/x", "404"},
    {".%2e/x", "404"},
    {"%2e./x", "404"},
    {"a/%2e%2e/%2e%2e/x", "404"},
    {"%2egit/config", "404"},
    {"/", "404"},
    {"//", "404"},
    {"/etc/passwd", "404"},
    {"a//b", "404"},
    {"a//", "404"},
    {"%2f", "404"},
    {"%2fetc%2fpasswd", "404"},
    {"a%2fb", "404"},
    {"a%2Fb", "404"},
    {"a/..%2f..%2fx", "404"},
    {"..%5cx", "404"},
    {"a\\b", "404"},
    {"a%5cb", "404"},
    {"a%5C..%5Cb", "404"},
    {"%00", "404"},
    {"a%00", "404"},
    {"a%00.css", "404"},
    {"a%0ab", "404"},
    {"a%0d%0ab", "404"},
    {"a%7f", "404"},
    {"a%1b[2J", "404"},

    {"%", "400"},
    {"a%", "400"},
    {"a%2", "400"},
    {"a%zz", "400"},
    {"a%2/b", "400"},
    {"a%u002e", "400"},
    {"../%", "400"},
};

/* In memory of its own size, so that the sanitizers see a byte too many. */
static void test_paths(void)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        size_t len = strlen(paths[i].raw);
        char *raw = memcpy(mem_alloc(len == 0 ? 1 : len), paths[i].raw, len), *path = mem_alloc(len + 1);
        enum folder_wish wish = folder_read_path((struct str){raw, len}, path);
        char *got = wish == FOLDER_MALFORMED ? mem_strdup("400")
                    : wish == FOLDER_NOTHING
                        ? mem_strdup("404")
                        : mem_printf("%s%s", wish == FOLDER_INDEX ? "index of " : "", path);
        is_str(got, paths[i].want, "\"%s\"", paths[i].raw);
        free(got);
        free(path);
        free(raw);
    }
}

static void test_has_path(void)
{
    static const char *const good[] = {"index.html", "app/index.html", "100%.html", "a b"};
    static const char *const bad[] = {"",       "/",  "/index.html", "app/", "..",   "../a",
                                      "a/../b", ".a", "a/.b",        "a//b", "a\\b", "a\nb"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        ok(folder_has_path(good[i]), "\"%s\" can be asked for", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(!folder_has_path(bad[i]), "\"%s\" cannot", bad[i]);
}

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1)
        ok(false, "make %s: %s", path, strerror(errno));
    close(fd);
}

static void opens(int folder, const char *name, int want)
{
    int fd = folder_open_file(folder, name), error = fd < 0 ? errno : 0;
    is_str(strerror(error), strerror(want), "%s", name);
    if (fd >= 0)
        close(fd);
}

static void test_opening(void)
{
    char top[] = "/tmp/hf.XXXXXX";
    bool made = mkdtemp(top) != NULL && chdir(top) == 0 && mkdir("in", 0755) == 0 &&
                mkdir("in/sub", 0755) == 0 && mkdir("in2", 0755) == 0 && mkfifo("in/fifo", 0644) == 0 &&
                symlink("sub", "in/link") == 0 && symlink("../a", "in/sub/up") == 0 &&
                symlink("../../secret", "in/sub/out") == 0 && symlink("../in2", "in/beside") == 0 &&
                symlink("/etc/passwd", "in/absolute") == 0 && symlink("loop", "in/loop") == 0 &&
                symlink("gone", "in/dangling") == 0 && symlink("/proc/self/root/etc/passwd", "in/magic") == 0;
    ok(made, "a folder to try it on");
    make_file("secret");
    make_file("in/a");
    make_file("in/sub/b");
    make_file("in2/c");
    int folder = folder_open("in");
    ok(folder >= 0, "is opened");
    opens(folder, "a", 0);
    opens(folder, "sub/b", 0);
    opens(folder, "sub", 0);
    opens(folder, "link/b", 0);
    opens(folder, "sub/up", 0);
    opens(folder, "fifo", 0); /* without waiting for a writer */
    opens(folder, "b", ENOENT);
    opens(folder, "a/b", ENOTDIR);
    opens(folder, "dangling", ENOENT);
    opens(folder, "loop", ELOOP);
    opens(folder, "../secret", EXDEV);
    opens(folder, "sub/out", EXDEV);
    opens(folder, "sub/../../secret", EXDEV);
    opens(folder, "beside/c", EXDEV);
    opens(folder, "absolute", EXDEV);
    opens(folder, "magic", EXDEV);
    opens(folder, "/etc/passwd", EXDEV);
    close(folder);
    ok(folder_open("in/a") < 0 && errno == ENOTDIR, "a file is no folder");
    ok(folder_open("nowhere") < 0 && errno == ENOENT, "nor is nothing");
    char *remove = mem_printf("rm -r %s", top);
    ok(chdir("/") == 0 && system(remove) == 0, "all is removed");
    free(remove);
}

int main(void)
{
    test_paths();
    test_has_path();
    test_opening();
    return done_testing();
}
