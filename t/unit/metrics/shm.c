/* shm.c: names that processes find again in the memory that they share, and what a slot says. */
#include "metrics/totals.h"

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
    shm_slot_begin(shm, slot);
    struct shm_lane *read = shm_slot_lane(shm, slot, "read"), *write = shm_slot_lane(shm, slot, "write");
    ok(read != write && shm_slot_lane(shm, slot, "read") == read, "a lane is found by its name");
    read->values[METRIC_LANE_OPEN] = 3;
    slot->values[METRIC_CONNECTIONS_ACCEPTED] = 7;
    slot->route = shm_name(shm, "GET /");
    shm_slot_begin(shm, slot);
    is_int(slot->route, 0, "a new worker runs no handler");
    is_int((long long)shm_slot_lane(shm, slot, "write")->values[METRIC_LANE_OPEN], 0,
           "and has no connections");
    is_int((long long)slot->values[METRIC_CONNECTIONS_ACCEPTED], 7, "counters stay");
    char name[16];
    struct shm_lane *last = read;
    for (int i = 0; i < SHM_LANES && last != NULL; i++) {
        snprintf(name, sizeof(name), "lane%d", i);
        last = shm_slot_lane(shm, slot, name);
    }
    ok(last == NULL, "there are so many lanes and no more");
    end();
}

/* The sum that a name has now. */
static uint64_t sum_of(const char *name, int status)
{
    struct totals totals;
    totals_read(&totals, shm);
    uint64_t n = totals.series[shm_name(shm, name) - 1].answers[series_place(status)];
    totals_free(&totals);
    return n;
}

static void test_series(void)
{
    begin();
    struct shm_generation *first = shm_begin_generation(shm, 1, 2, 3, 0);
    struct series *one = shm_series(shm, first, 0, 1, "GET /"),
                  *other = shm_series(shm, first, 1, 1, "GET /");
    ok(one != NULL && other != NULL && one != other, "each worker has series of its own");
    ok(shm_series(shm, first, 0, 3, "GET /more") == NULL, "and no more than it was given");
    series_add(one, 200, 50);
    series_add(other, 200, 5000);
    series_add(other, 404, 5000);
    is_int((long long)sum_of("GET /", 200), 2, "they are summed up by name");
    is_int((long long)sum_of("GET /", 404), 1, "and by status");

    struct shm_generation *second = shm_begin_generation(shm, 2, 1, 9, 0);
    series_add(shm_series(shm, second, 0, 8, "GET /"), 200, 1);
    is_int((long long)sum_of("GET /", 200), 3, "whatever number the route has in another conf");
    shm_end_generation(shm, first);
    is_int((long long)sum_of("GET /", 200), 3, "what was counted is kept when a generation has left");
    shm_end_generation(shm, second);
    struct shm_generation *third = shm_begin_generation(shm, 3, 1, 2, 0);
    series_add(shm_series(shm, third, 0, 1, "GET /new"), 200, 1);
    is_int((long long)sum_of("GET /", 200), 3, "for good");
    is_int((long long)sum_of("GET /new", 200), 1, "and a place that another one has now begins at nothing");
    end();
}

static uint64_t lane_has(const char *name, enum metric_of_lane which)
{
    struct totals totals;
    totals_read(&totals, shm);
    uint64_t n = totals.lanes[shm_name(shm, name) - 1].values[which];
    totals_free(&totals);
    return n;
}

static void test_lanes(void)
{
    begin();
    struct shm_generation *generation = shm_begin_generation(shm, 1, 2, 1, 0);
    struct shm_slot *one = shm_slot(shm, generation, 0), *other = shm_slot(shm, generation, 1);
    struct shm_lane *lane = shm_slot_lane(shm, one, "read");
    lane->values[METRIC_LANE_QUERIES] = 5;
    lane->values[METRIC_LANE_OPEN] = 2;
    shm_slot_lane(shm, other, "read")->values[METRIC_LANE_QUERIES] = 1;
    shm_slot_lane(shm, other, "write")->values[METRIC_LANE_QUERIES] = 9;
    is_int((long long)lane_has("read", METRIC_LANE_QUERIES), 6,
           "lanes are summed up by name, over all workers");
    is_int((long long)lane_has("read", METRIC_LANE_OPEN), 2, "and so is what they have open");
    shm_slot_begin(shm, one);
    is_int((long long)lane_has("read", METRIC_LANE_QUERIES), 6, "a worker's death takes nothing back");
    is_int((long long)lane_has("read", METRIC_LANE_OPEN), 0, "but what it had open");
    shm_end_generation(shm, generation);
    is_int((long long)lane_has("read", METRIC_LANE_QUERIES), 6, "nor does the end of a generation");
    char name[32];
    for (int i = 0; i < 100; i++) { /* the names of many confs, a few at a time */
        snprintf(name, sizeof(name), "lane%d", i);
        generation = shm_begin_generation(shm, 2, 1, 1, 0);
        shm_slot_lane(shm, shm_slot(shm, generation, 0), name)->values[METRIC_LANE_QUERIES] = 1;
        shm_end_generation(shm, generation);
    }
    is_int((long long)lane_has("lane99", METRIC_LANE_QUERIES), 1, "however many names there were before");
    end();
}

static uint64_t server_has(enum metric_of_server which)
{
    struct totals totals;
    totals_read(&totals, shm);
    totals_free(&totals);
    return totals.values[which];
}

static void test_values(void)
{
    begin();
    struct shm_generation *generation = shm_begin_generation(shm, 1, 2, 1, 0);
    struct shm_slot *one = shm_slot(shm, generation, 0), *other = shm_slot(shm, generation, 1);
    metric_begin(one->values);
    metric_add(METRIC_CONNECTIONS_ACCEPTED, 2);
    metric_set(METRIC_REQUESTS_IN_FLIGHT, 4);
    metric_begin(other->values);
    metric_add(METRIC_CONNECTIONS_ACCEPTED, 3);
    metric_set(METRIC_REQUESTS_IN_FLIGHT, 1);
    metric_begin(shm->values);
    metric_add(METRIC_RELOADS_DONE, 7);
    is_int((long long)server_has(METRIC_CONNECTIONS_ACCEPTED), 5, "counters are summed up over all workers");
    is_int((long long)server_has(METRIC_REQUESTS_IN_FLIGHT), 5, "and so is what they show");
    is_int((long long)server_has(METRIC_RELOADS_DONE), 7, "and what others count");
    shm_slot_end(shm, generation, 0);
    is_int((long long)server_has(METRIC_CONNECTIONS_ACCEPTED), 5, "what a dead worker has counted stays");
    is_int((long long)server_has(METRIC_REQUESTS_IN_FLIGHT), 1, "but not what it showed");
    shm_end_generation(shm, generation);
    is_int((long long)server_has(METRIC_CONNECTIONS_ACCEPTED), 5, "nor does its generation take it away");
    end();
}

static void test_statuses(void)
{
    unsigned same = 0, other = 0;
    for (int status = 200; status <= 510; status++) {
        unsigned place = series_place(status);
        same += place != 0 && place < SERIES_STATUSES && series_status(place) == (unsigned)status;
        other += place == 0;
    }
    is_int(same, SERIES_STATUSES - 1, "each place is that of one status");
    is_int(other, 311 - same, "all others share the first one");
    is_int(series_status(0), 0, "which is that of none");
    is_int(series_place(-1), 0, "and of what is no status");
}

static void test_too_many_series(void)
{
    begin();
    struct shm_generation *large = shm_begin_generation(shm, 1, 64, 2000, 0);
    ok(large != NULL && large->series.each > 0 && large->series.each < 2000,
       "where there is no room, workers have fewer");
    struct shm_generation *small = shm_begin_generation(shm, 2, 64, 2000, 0);
    ok(small != NULL, "and are started all the same");
    end();
}

static void test_times(void)
{
    struct series_times times = {0};
    series_add_time(&times, 100);
    series_add_time(&times, 101);
    series_add_time(&times, 10000000);
    series_add_time(&times, 10000001);
    is_int((long long)times.buckets[0], 1, "a bound belongs to its bucket");
    is_int((long long)times.buckets[1], 1, "what is more goes into the next one");
    is_int((long long)times.buckets[SERIES_BUCKETS - 2], 1, "up to ten seconds");
    is_int((long long)times.buckets[SERIES_BUCKETS - 1], 1, "and the last one has no bound");
    is_int((long long)times.sum_us, 20000202, "the sum is of all");
}

int main(void)
{
    test_layout();
    test_names();
    test_full();
    test_processes();
    test_slots();
    test_series();
    test_lanes();
    test_values();
    test_statuses();
    test_too_many_series();
    test_times();
    return done_testing();
}
