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

enum { PROBES = 8 };

/* One per process, like the log itself. */
static struct complaints own;
static struct complaints *table = &own;

void complain_share(struct complaints *shared)
{
    table = shared;
}

uint32_t complain_key(const char *const *texts)
{
    uint32_t key = HASH_32;
    for (; *texts != NULL; texts++)
        key = hash_32_byte(hash_32_text(key, *texts), 0xff);
    return key;
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

static bool is_old(uint64_t stamp, uint32_t now)
{
    return stamp == 0 || now - (uint32_t)stamp >= COMPLAIN_INTERVAL_S;
}

static struct complaint *probe(uint32_t key, unsigned i)
{
    return &table->places[(key + i) % COMPLAIN_PLACES];
}

/* The place of this key, else one that nobody needs any more, else NULL. */
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
        uint32_t interval = atomic_load(&place->words) == words ? COMPLAIN_INTERVAL_S : COMPLAIN_CHANGED_S;
        /* what was left out is told before another line is written */
        if (now - (uint32_t)last < interval || atomic_load(&place->left_out) != 0)
            return false;
    } else if (!is_old(last, now)) {
        return false;
    }
    if (!atomic_compare_exchange_strong(&place->stamp, &last, (uint64_t)key << 32 | now))
        return false;
    atomic_store(&place->words, words);
    return true;
}

/*
 * Is a line about the key to be written? Returns the key's place, or NULL where there is none and the line
 * was counted. A place can be lost to another key in the instant of taking it.
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
    atomic_fetch_add(&table->left_out, 1);
    return NULL;
}

bool complain_is_news(uint32_t key, uint32_t words)
{
    bool is_news;
    look_up(key, words, &is_news);
    return is_news;
}

bool complain_is_news_at(struct complaint *place)
{
    return take(place, 0, 0, now_s());
}

enum complain_past complain_forget(uint32_t key, unsigned steady_s)
{
    enum complain_past past = COMPLAIN_NONE;
    uint32_t now = now_s();
    for (unsigned i = 0; i < PROBES; i++) {
        struct complaint *place = probe(key, i);
        uint64_t stamp = atomic_load(&place->stamp);
        if (!is_of(stamp, key))
            continue;
        if (now - (uint32_t)stamp < steady_s)
            return COMPLAIN_FRESH;
        if (atomic_compare_exchange_strong(&place->stamp, &stamp, 0))
            past = COMPLAIN_OVER;
    }
    return past;
}

/* Lines with their count */

/* Returns whether the line is to be written. If not, it was counted. */
static bool count(enum log_level level, const char *about)
{
    bool is_news;
    struct complaint *place = look_up(COMPLAIN_KEY("", about), 0, &is_news);
    if (is_news) {
        atomic_store(&place->level, (int)level);
        snprintf(place->about, sizeof(place->about), "%s", about);
    } else if (place != NULL) {
        atomic_fetch_add(&place->left_out, 1);
    }
    return is_news;
}

void complain(enum log_level level, const char *about, const char *format, ...)
{
    va_list args;
    bool is_news = count(level, about);
    if (!is_news && !log_writes(LOG_LEVEL_DEBUG))
        return;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    log_at(is_news ? level : LOG_LEVEL_DEBUG, "%s", text);
    free(text);
}

static void sum_up(struct complaint *place, uint32_t now)
{
    uint64_t stamp = atomic_load(&place->stamp);
    if (!is_old(stamp, now) ||
        !atomic_compare_exchange_strong(&place->stamp, &stamp, (stamp >> 32) << 32 | now))
        return;
    uint32_t left_out = atomic_exchange(&place->left_out, 0);
    log_at((enum log_level)atomic_load(&place->level), "%s: %" PRIu32 " more in the last minute",
           place->about, left_out);
}

/* What has no place has no words of its own either. */
static void sum_up_others(void)
{
    uint64_t now = clock_ms(), told_at = atomic_load(&table->told_at);
    if (atomic_load(&table->left_out) == 0 ||
        (told_at != 0 && now - told_at < COMPLAIN_INTERVAL_S * UINT64_C(1000)) ||
        !atomic_compare_exchange_strong(&table->told_at, &told_at, now))
        return;
    log_warnx("too many kinds of trouble at the same time; lines that were left out: %" PRIu32,
              atomic_exchange(&table->left_out, 0));
}

void complain_sum_up(void)
{
    uint32_t now = now_s();
    for (unsigned i = 0; i < COMPLAIN_PLACES; i++) {
        if (atomic_load_explicit(&table->places[i].left_out, memory_order_relaxed) != 0)
            sum_up(&table->places[i], now);
    }
    sum_up_others();
}
