/* tap.h: unit tests that print TAP (testanything.org): a line per check, the plan at the end. */
#ifndef HAYFORK_TAP_H
#define HAYFORK_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TAP_UNUSED            __attribute__((unused))
#define TAP_PRINTF(format_at) __attribute__((unused, format(printf, format_at, format_at + 1)))

static int tap_run, tap_failed;

/*
 * Prints the line of one check. A '#' in a name would begin a directive, a line break another line: both
 * are printed as '_'.
 */
static bool tap_report(bool passed, const char *format, va_list args)
{
    char name[512];
    vsnprintf(name, sizeof(name), format, args);
    for (char *p = name; *p != '\0'; p++) {
        if (*p == '#' || *p == '\n' || *p == '\r')
            *p = '_';
    }
    printf("%s %d - %s\n", passed ? "ok" : "not ok", ++tap_run, name);
    fflush(stdout);
    if (!passed) {
        tap_failed++;
        fprintf(stderr, "# failed: %s\n", name);
    }
    return passed;
}

/* Prints a labelled text as diagnostics on standard error, each line with "# " in front. */
static void tap_show(const char *label, const char *text)
{
    fprintf(stderr, "#   %s: %s", label, text == NULL ? "NULL" : "\"");
    for (const char *p = text; p != NULL && *p != '\0'; p++) {
        if (*p == '\n')
            fputs("\n#          ", stderr);
        else
            fputc(*p, stderr);
    }
    fprintf(stderr, "%s\n", text == NULL ? "" : "\"");
}

/* Each check returns whether it passed; its name is a format with arguments. */
TAP_PRINTF(2) static bool ok(bool passed, const char *name, ...)
{
    va_list args;
    va_start(args, name);
    tap_report(passed, name, args);
    va_end(args);
    return passed;
}

/* NULL equals NULL only. */
TAP_PRINTF(3) static bool is_str(const char *got, const char *want, const char *name, ...)
{
    bool passed = got == NULL || want == NULL ? got == want : strcmp(got, want) == 0;
    va_list args;
    va_start(args, name);
    tap_report(passed, name, args);
    va_end(args);
    if (!passed) {
        tap_show("got ", got);
        tap_show("want", want);
    }
    return passed;
}

TAP_PRINTF(3) static bool is_int(long long got, long long want, const char *name, ...)
{
    bool passed = got == want;
    va_list args;
    va_start(args, name);
    tap_report(passed, name, args);
    va_end(args);
    if (!passed)
        fprintf(stderr, "#   got : %lld\n#   want: %lld\n", got, want);
    return passed;
}

/* Prints the plan. Returns the exit status for main: 0 if every check passed and there was one at least. */
TAP_UNUSED static int done_testing(void)
{
    printf("1..%d\n", tap_run);
    if (tap_failed > 0)
        fprintf(stderr, "# %d of %d failed\n", tap_failed, tap_run);
    return tap_failed > 0 || tap_run == 0 ? 1 : 0;
}

#endif
