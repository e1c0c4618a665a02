/* complain.c: what would be logged again and again is logged at once, then once a minute. */
#include "base/complain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { PROBES = 8 };

/* One per process, like the log itself. */
static struct complaints own;
static struct complaints *table = &own;

void complain_share(struct complaints *shared)
{
    table = shared;
}

/* Seconds, never 0: a stamp of this time and any key is never 0 either. */
static uint32_t now_s(void)
{
    return (uint32_t)(clock_ms() / 1000 + 1);
}

static bool is_of(uint64_t stamp, uint32_t key)
{
    return stamp != 0 && stamp >> 32 == key;
}

/* How many seconds old it is. Another process may have looked at the clock a little later than this one. */
static uint32_t age(uint64_t stamp, uint32_t now)
{
    return now > (uint32_t)stamp ? now - (uint32_t)stamp : 0;
}

static bool is_old(uint64_t stamp, uint32_t now)
{
    return stamp == 0 || age(stamp, now) >= COMPLAIN_INTERVAL_S;
}

static struct complaint *probe(uint32_t key, unsigned i)
{
    return &table->places[(key + i) % COMPLAIN_PLACES];
}

/* The place of this key, else one that nobody needs any longer, else NULL. */
static struct complaint *place_for(uint32_t key, uint32_t now)
{
    struct complaint *unused = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct complaint *place = probe(key, i);
        uint64_t stamp = atomic_load(&place->stamp);
        if (is_of(stamp, key))
            return place;
        bool takes = is_old(stamp, now) && atomic_load(&place->left_out) == 0;
        if (takes && (unused == NULL || (stamp == 0 && atomic_load(&unused->stamp) != 0)))
            unused = place;
    }
    return unused;
}

/* Of several processes that ask at the same time, the one that puts its stamp there gets true. */
static bool take(struct complaint *place, uint32_t key, uint32_t words, uint32_t now)
{
    uint64_t last = atomic_load(&place->stamp);
    if (is_of(last, key)) {
        bool is_same = atomic_load(&place->words) == words;
        if (age(last, now) < (is_same ? COMPLAIN_INTERVAL_S : COMPLAIN_CHANGED_S))
            return false;
        if (is_same && atomic_load(&place->left_out) != 0)
            return false; /* what was left out is told before the same is written again */
    } else if (!is_old(last, now)) {
        return false;
    }
    if (!atomic_compare_exchange_strong(&place->stamp, &last, (uint64_t)key << 32 | now))
        return false;
    atomic_store(&place->words, words);
    return true;
}

/*
 * Is a line about the key to be written? Returns the key's place, or NULL where there is none. A place can be
 * lost to another key in the instant of taking it.
 */
static struct complaint *look_up(uint32_t key, uint32_t words, bool *is_news)
{
    uint32_t now = now_s();
    struct complaint *place;
    *is_news = false;
    while ((place = place_for(key, now)) != NULL) {
        *is_news = take(place, key, words, now);
        if (*is_news || is_of(atomic_load(&place->stamp), key))
            return place;
    }
    return NULL;
}

bool complain_is_due(const char *about)
{
    bool is_news;
    look_up(hash_32_text(HASH_32, about), 0, &is_news);
    return is_news;
}

enum complain_past complain_forget(const char *about, unsigned steady_s, uint32_t *left_out)
{
    enum complain_past past = COMPLAIN_NONE;
    uint32_t key = hash_32_text(HASH_32, about), now = now_s();
    for (unsigned i = 0; i < PROBES; i++) {
        struct complaint *place = probe(key, i);
        uint64_t stamp = atomic_load(&place->stamp);
        if (!is_of(stamp, key))
            continue;
        if (age(stamp, now) < steady_s)
            return COMPLAIN_FRESH;
        if (!atomic_compare_exchange_strong(&place->stamp, &stamp, 0))
            continue;
        past = COMPLAIN_OVER;
        *left_out += atomic_exchange(&place->left_out, 0);
    }
    return past;
}

const char *complain_left_out(uint32_t left_out)
{
    static char text[64];
    if (left_out == 0)
        return "";
    snprintf(text, sizeof(text), "; %" PRIu32 " more lines about it were left out", left_out);
    return text;
}

/* Lines with their count */

static void tell_left_out(struct complaint *place)
{
    uint32_t left_out = atomic_exchange(&place->left_out, 0);
    if (left_out != 0)
        log_at((enum log_level)atomic_load(&place->level), "%.*s: %" PRIu32 " more in the last minute",
               (int)sizeof(place->about), place->about, left_out);
}

/* Returns whether the line is to be written at its level. If not, it was counted, or is written for
 * debugging.
 */
static bool count(enum log_level level, const char *about, uint32_t words)
{
    bool is_news;
    struct complaint *place = look_up(hash_32_text(HASH_32, about), words, &is_news);
    if (is_news) {
        tell_left_out(place);
        atomic_store(&place->level, (int)level);
        struct str cut = utf8_cut(str_of(about), sizeof(place->about) - 1);
        snprintf(place->about, sizeof(place->about), "%.*s", (int)cut.len, cut.base);
    } else if (!log_writes(LOG_LEVEL_DEBUG)) {
        atomic_fetch_add(place == NULL ? &table->left_out : &place->left_out, 1);
    }
    return is_news;
}

void complain(enum log_level level, const char *about, const char *format, ...)
{
    va_list args;
    bool is_news = count(level, about, 0);
    if (!is_news && !log_writes(LOG_LEVEL_DEBUG))
        return;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    log_at(is_news ? level : LOG_LEVEL_DEBUG, "%s", text);
    free(text);
}

void complain_in_words(enum log_level level, const char *about, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    log_at(count(level, about, hash_32_text(HASH_32, text)) ? level : LOG_LEVEL_DEBUG, "%s", text);
    free(text);
}

static void sum_up(struct complaint *place, uint32_t now, bool all)
{
    uint64_t stamp = atomic_load(&place->stamp);
    if ((all || is_old(stamp, now)) &&
        atomic_compare_exchange_strong(&place->stamp, &stamp, (stamp >> 32) << 32 | now))
        tell_left_out(place);
}

/* What has no place has no words of its own either. */
static void sum_up_others(bool all)
{
    uint64_t now = clock_ms(), told_at = atomic_load(&table->told_at);
    bool is_due = told_at == 0 || now - told_at >= COMPLAIN_INTERVAL_S * UINT64_C(1000);
    if (atomic_load(&table->left_out) == 0 || (!all && !is_due) ||
        !atomic_compare_exchange_strong(&table->told_at, &told_at, now))
        return;
    log_warnx("too many different problems at the same time; lines left out: %" PRIu32,
              atomic_exchange(&table->left_out, 0));
}

static void sum_up_what_is(bool all)
{
    uint32_t now = now_s();
    for (unsigned i = 0; i < COMPLAIN_PLACES; i++) {
        if (atomic_load_explicit(&table->places[i].left_out, memory_order_relaxed) != 0)
            sum_up(&table->places[i], now, all);
    }
    sum_up_others(all);
}

void complain_sum_up(void)
{
    sum_up_what_is(false);
}

void complain_sum_up_all(void)
{
    sum_up_what_is(true);
}
