/* shm.c: names that processes find again in the memory that they share, and what a slot says. */
#include "metrics/shm.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/tap.h"

static struct shm *shm;
static int file;

static void begin(void)
{
    shm = shm_new(&file);
}

static void end(void)
{
    shm_unmap(shm);
    close(file);
}

static void test_layout(void)
{
    begin();
    struct shm *other = shm_map(file);
    ok(other != NULL, "memory of this program's is understood");
    uint32_t number = shm_name(shm, "GET /");
    is_str(other == NULL ? NULL : shm_name_text(other, number), "GET /", "and is the same memory");
    shm_unmap(other);
    shm->layout++;
    ok(shm_map(file) == NULL, "that of a program with another layout is not");
    end();
}

static void test_names(void)
{
    begin();
    uint32_t contacts = shm_name(shm, "GET /contacts"), root = shm_name(shm, "GET /");
    ok(contacts != 0 && root != 0 && contacts != root, "each name has a number");
    is_int(shm_name(shm, "GET /contacts"), contacts, "and keeps it");
    is_str(shm_name_text(shm, contacts), "GET /contacts", "the number gives the name");
    is_str(shm_name_text(shm, root), "GET /", "of each");
    is_str(shm_name_text(shm, 0), NULL, "0 is no name");
    is_str(shm_name_text(shm, SHM_NAMES + 1), NULL, "nor is a number beyond all");

    char *name = mem_calloc(1, SHM_NAME_LEN + 10);
    memset(name, 'x', SHM_NAME_LEN + 8);
    uint32_t longer = shm_name(shm, name);
    name[SHM_NAME_LEN + 7] = 'y';
    ok(shm_name(shm, name) != longer, "long names differ by their ends");
    is_int((long long)strlen(shm_name_text(shm, longer)), SHM_NAME_LEN, "which are not kept");
    free(name);
    end();
}

static void test_full(void)
{
    begin();
    char name[32];
    uint32_t last = 0;
    for (int i = 0; i < SHM_NAMES + 10; i++) {
        snprintf(name, sizeof(name), "GET /%d", i);
        last = shm_name(shm, name);
    }
    is_int(last, SHM_NAMES, "what comes after there is no room any more has one number");
    is_str(shm_name_text(shm, last), "...", "and says so");
    is_str(shm_name_text(shm, shm_name(shm, "GET /7")), "GET /7", "others keep theirs");
    end();
}

/* Returns how many of the names have the numbers that the first process gave them. */
static int count_same(const uint32_t *numbers, int n)
{
    char name[32];
    int same = 0;
    for (int i = n - 1; i >= 0; i--) {
        snprintf(name, sizeof(name), "GET /%d", i);
        same += shm_name(shm, name) == numbers[i];
    }
    return same;
}

static void test_processes(void)
{
    enum { NAMES = 100 };
    begin();
    uint32_t numbers[NAMES];
    char name[32];
    pid_t child = fork();
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "GET /%d", i);
        numbers[i] = shm_name(shm, name);
    }
    if (child == 0)
        _exit(count_same(numbers, NAMES));
    int status = 0;
    waitpid(child, &status, 0);
    is_int(WEXITSTATUS(status), NAMES,
           "processes that name the same things at the same time: one number each");
    is_int(count_same(numbers, NAMES), NAMES, "for both");
    int n = 0;
    for (int i = 0; i < SHM_NAMES; i++)
        n += shm->name_hashes[i] != 0;
    is_int(n, NAMES, "and no more places than names are taken");
    end();
}

static void test_slots(void)
{
    begin();
    struct shm_slot *slot = &shm->slots[0];
    shm_slot_begin(slot);
    struct shm_lane *read = shm_slot_lane(shm, slot, "read"), *write = shm_slot_lane(shm, slot, "write");
    ok(read != write && shm_slot_lane(shm, slot, "read") == read, "a lane is found by its name");
    read->open = 3;
    slot->answers[2] = 7;
    slot->route = shm_name(shm, "GET /");
    shm_slot_begin(slot);
    is_int(slot->route, 0, "a new worker runs no handler");
    is_int(shm_slot_lane(shm, slot, "write")->open, 0, "and has no connections");
    is_int(slot->answers[2], 7, "counters stay");
    char name[16];
    struct shm_lane *last = read;
    for (int i = 0; i < SHM_LANES && last != NULL; i++) {
        snprintf(name, sizeof(name), "lane%d", i);
        last = shm_slot_lane(shm, slot, name);
    }
    ok(last == NULL, "there are so many lanes and no more");
    end();
}

int main(void)
{
    test_layout();
    test_names();
    test_full();
    test_processes();
    test_slots();
    return done_testing();
}
