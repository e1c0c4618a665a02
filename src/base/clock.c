/* clock.c: the project's one source of time. */
#include "base/clock.h"

#include <string.h>
#include <sys/time.h>
#include <time.h>

uint64_t clock_turn;

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t clock_ms(void)
{
    return clock_ns() / 1000000;
}

static void two_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

void clock_iso(char out[CLOCK_ISO_LEN])
{
    static char text[CLOCK_ISO_LEN] = "0000-00-00T00:00:00.000Z"; /* of the second below */
    static time_t second = -1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        int year = utc.tm_year + 1900;
        two_digits(text, year / 100);
        two_digits(text + 2, year);
        two_digits(text + 5, utc.tm_mon + 1);
        two_digits(text + 8, utc.tm_mday);
        two_digits(text + 11, utc.tm_hour);
        two_digits(text + 14, utc.tm_min);
        two_digits(text + 17, utc.tm_sec);
        second = now.tv_sec;
    }
    int ms = (int)(now.tv_nsec / 1000000);
    memcpy(out, text, CLOCK_ISO_LEN);
    out[20] = (char)('0' + ms / 100);
    two_digits(out + 21, ms);
}

/*
 * libh2o 2.2.5 runs its loop's timers on gettimeofday: a step of the clock forward would close every idle
 * connection at once, a step back would freeze all timers. The dynamic linker lets the executable's own
 * definition go first, so the library gets a clock that starts at the time of day and never steps.
 */
int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    static struct timespec offset; /* time of day minus monotonic, taken at the first call */
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (offset.tv_sec == 0) {
        struct timespec real;
        clock_gettime(CLOCK_REALTIME, &real);
        offset.tv_sec = real.tv_sec - now.tv_sec - 1;
        offset.tv_nsec = real.tv_nsec - now.tv_nsec + 1000000000;
    }
    long nanoseconds = now.tv_nsec + offset.tv_nsec;
    tv->tv_sec = now.tv_sec + offset.tv_sec + nanoseconds / 1000000000;
    tv->tv_usec = nanoseconds % 1000000000 / 1000;
    return 0;
}
