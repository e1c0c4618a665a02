/*
 * readers.c: clients to whom answers are streamed, and what they may hold while they take their time.
 *
 * 1. What a client has not taken yet waits in the spool: of one answer, and of all answers to one network, a
 *    quarter of it. Who has no room there holds its source.
 * 2. Who holds its source has to take `rate` bytes a second, or is cut off.
 * 3. While others wait for what is held, the latest is cut off sooner, and has to take several times as much;
 *    and before it a client of a network that has more than its share.
 * 4. While the spool is full and others hold their sources for that, or too much is in it, whoever has
 *    something there has to take `rate` bytes a second, too; the latest is cut off first, and no more than
 *    makes room. Answers that are whole when they begin have no source to wait for, and are counted alone;
 *    if they are several times what the spool may have, that is sooner.
 *
 * The time that counts is that in which the source waited for the client. A client is late by that time less
 * what it took would have needed; being early counts only for as much as may come at once, as it does where a
 * buffer of the client's is emptied in large steps.
 */
#include "handlers/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/complain.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    LOOK_MS = 100,
    TRIM_MS = 1000,
    LATE_MS = 5000,           /* who is so late is cut off */
    LATE_IF_WANTED_MS = 1000, /* the same, where someone waits for what it holds */
    RATE_IF_WANTED = 4,       /* times the rate that it has to take then */
    STEP = 256 * 1024,        /* bytes that a client may take at once, and then nothing for a while */
    SHARE = 4,                /* one network has a quarter of the spool, and of a source */
    CUT_MOST = 32,            /* of those in the spool, at one look */
    LONG_MS = 5000,           /* who holds its source for so long is named in the log, cut off or not */
    LOG_MOST = 8,             /* names in a line */
};

/* Those of one network, or, where that does not count, of one address. */
struct readers_address {
    h2o_linklist_t link;
    uint64_t network;
    char name[64];
    unsigned n_readers;
    size_t spooled;  /* bytes in their blocks */
    unsigned n_held; /* of the source that is looked at */
};

struct readers_source {
    struct readers_source_conf conf;
    struct readers *readers;
    char *about; /* what its line in the log is about */
    unsigned n_held;
    unsigned n_cut; /* since the last line */
};

struct readers {
    struct readers_conf conf;
    struct spool spool;
    struct readers_source **sources;
    size_t n_sources;
    h2o_linklist_t all, addresses;
    unsigned n_holding;
    unsigned n_cut; /* of those in the spool, since the last line in the log */
    h2o_timeout_entry_t timer, trim_timer;
};

static struct reader *reader_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct reader, link, link);
}

/* The spool */

static bool is_full(const struct readers *readers)
{
    return readers->spool.used >= readers->conf.spool;
}

/* Does someone need the room that others have? Where spooling is off, what is counted is not bounded. */
static bool is_room_wanted(const struct readers *readers)
{
    size_t limit = readers->conf.spool;
    bool is_over = readers->spool.used > limit + limit / 8;
    return limit > 0 && (is_over || (is_full(readers) && readers->n_holding > 0));
}

bool reader_may_spool(const struct reader *reader)
{
    const struct readers *readers = reader->readers;
    size_t share = readers->conf.spool / SHARE;
    bool address_has_room = reader->address->network == 0 || reader->address->spooled < share;
    return !is_full(readers) && reader->spooled < share && address_has_room;
}

static void expect_trim(struct readers *readers)
{
    if (!h2o_timeout_is_linked(&readers->trim_timer))
        h2o_timeout_link(readers->conf.loop, timeouts_get(readers->conf.timeouts, TRIM_MS),
                         &readers->trim_timer);
}

static void on_trim(h2o_timeout_entry_t *entry)
{
    struct readers *readers = H2O_STRUCT_FROM_MEMBER(struct readers, trim_timer, entry);
    if (spool_trim(&readers->spool))
        expect_trim(readers);
}

static bool has_work(const struct readers *readers)
{
    return readers->n_holding > 0 || is_room_wanted(readers);
}

static void expect_look(struct readers *readers)
{
    if (h2o_timeout_is_linked(&readers->timer) || !has_work(readers))
        return;
    h2o_timeout_link(readers->conf.loop, timeouts_get(readers->conf.timeouts, LOOK_MS), &readers->timer);
}

static void count(struct reader *reader, size_t bytes)
{
    reader->spooled += bytes;
    reader->address->spooled += bytes;
    expect_look(reader->readers);
}

struct spool_block *reader_take(struct reader *reader)
{
    struct spool_block *block = spool_take(&reader->readers->spool);
    count(reader, block->size);
    return block;
}

struct spool_block *reader_adopt(struct reader *reader, struct json_writer text)
{
    struct spool_block *block = spool_adopt(&reader->readers->spool, text);
    count(reader, block->size);
    return block;
}

void reader_give(struct reader *reader, struct spool_block *block)
{
    reader->spooled -= block->size;
    reader->address->spooled -= block->size;
    spool_give(&reader->readers->spool, block);
    expect_trim(reader->readers);
}

void reader_keep(struct reader *reader, size_t bytes)
{
    reader->kept += bytes;
    reader->readers->spool.used += bytes;
    count(reader, bytes);
}

/* Readers */

static struct readers_address *address_of(struct readers *readers, struct sink_client client)
{
    char name[sizeof(((struct readers_address *)NULL)->name)];
    bool is_v6 = memchr(client.address.base, ':', client.address.len) != NULL;
    snprintf(name, sizeof(name), "%.*s%s", (int)client.address.len, client.address.base,
             client.address.len == 0        ? "a Unix socket"
             : is_v6 && client.network != 0 ? "/64"
                                            : "");
    for (h2o_linklist_t *link = readers->addresses.next; link != &readers->addresses; link = link->next) {
        struct readers_address *address = H2O_STRUCT_FROM_MEMBER(struct readers_address, link, link);
        bool is_same =
            client.network != 0 ? address->network == client.network : strcmp(address->name, name) == 0;
        if (is_same)
            return address;
    }
    struct readers_address *address = mem_calloc(1, sizeof(*address));
    address->network = client.network;
    memcpy(address->name, name, sizeof(name));
    h2o_linklist_insert(&readers->addresses, &address->link);
    return address;
}

void reader_begin(struct reader *reader, struct readers_source *source, struct sink *sink,
                  void (*go_on)(struct reader *reader))
{
    struct readers *readers = source->readers;
    *reader = (struct reader){.readers = readers, .source = source, .sink = sink, .go_on = go_on};
    reader->address = address_of(readers, sink->ops->client(sink));
    reader->address->n_readers++;
    h2o_linklist_insert(&readers->all, &reader->link);
}

void reader_end(struct reader *reader)
{
    struct readers_address *address = reader->address;
    reader_let_go(reader, reader->since);
    reader->readers->spool.used -= reader->kept;
    address->spooled -= reader->kept;
    h2o_linklist_unlink(&reader->link);
    if (--address->n_readers > 0)
        return;
    h2o_linklist_unlink(&address->link);
    free(address);
}

/* From now on what its client takes is looked at. */
static void see(struct reader *reader)
{
    if (reader->was_seen)
        return;
    reader->was_seen = true;
    reader->taken = reader->sink->ops->taken(reader->sink);
    reader->held = 0;
    reader->late = reader->late_if_wanted = 0;
}

void reader_hold(struct reader *reader, uint64_t now)
{
    struct readers *readers = reader->readers;
    if (reader->holds)
        return;
    see(reader);
    reader->holds = true;
    reader->since = now;
    reader->source->n_held++;
    readers->n_holding++;
    expect_look(readers);
}

void reader_let_go(struct reader *reader, uint64_t now)
{
    if (!reader->holds)
        return;
    reader->holds = false;
    reader->unseen += now - reader->since;
    reader->since = now;
    reader->source->n_held--;
    reader->readers->n_holding--;
}

/* Looking */

/* How late it is, if it was so late and has then taken these bytes in ms. */
static int64_t later(int64_t late, uint64_t ms, uint64_t bytes, uint64_t rate)
{
    if (rate == 0)
        return 0;
    int64_t earliest = -(int64_t)(STEP * UINT64_C(1000) / rate);
    late += (int64_t)ms - (int64_t)(bytes * 1000 / rate);
    return late < earliest ? earliest : late;
}

/* For how many ms it has held something since the last look. false: it has not, and does not either. */
static bool has_held(struct reader *reader, uint64_t now, bool room_is_wanted, uint64_t *ms)
{
    bool holds_room = room_is_wanted && reader->spooled > 0;
    *ms = reader->unseen;
    if (reader->holds || (*ms == 0 && holds_room && reader->was_seen))
        *ms += now - reader->since;
    reader->unseen = 0;
    reader->since = now;
    return *ms > 0 || holds_room;
}

static void look(struct reader *reader, uint64_t now, bool room_is_wanted)
{
    const struct readers *readers = reader->readers;
    uint64_t ms;
    if (!has_held(reader, now, room_is_wanted, &ms)) {
        reader->was_seen = reader->holds;
        return;
    }
    see(reader);
    uint64_t taken = reader->sink->ops->taken(reader->sink), bytes = taken - reader->taken;
    reader->taken = taken;
    reader->held += ms;
    reader->late = later(reader->late, ms, bytes, readers->conf.rate);
    reader->late_if_wanted = later(reader->late_if_wanted, ms, bytes, readers->conf.rate * RATE_IF_WANTED);
}

static unsigned share_of(const struct readers_source *source)
{
    unsigned share = source->conf.most(source->conf.of) / SHARE;
    return share == 0 ? 1 : share;
}

static void count_held(struct readers_source *source)
{
    struct readers *readers = source->readers;
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next)
        reader_at(link)->address->n_held = 0;
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next) {
        struct reader *reader = reader_at(link);
        if (reader->source == source && reader->holds)
            reader->address->n_held++;
    }
}

static bool has_more_than_its_share(const struct reader *reader)
{
    const struct readers_source *source = reader->source;
    uint64_t network = reader->address->network;
    return network != 0 && reader->address->n_held > share_of(source) &&
           source->conf.is_wanted(source->conf.of, network);
}

static bool is_later(const struct reader *a, const struct reader *b)
{
    return b == NULL || a->late_if_wanted > b->late_if_wanted ||
           (a->late_if_wanted == b->late_if_wanted && a->held > b->held);
}

/* Who has to leave, so that someone else finds a place? NULL if nobody does. */
static struct reader *whose_turn_is_over(struct readers_source *source)
{
    struct readers *readers = source->readers;
    struct reader *latest = NULL, *of_many = NULL;
    if (source->n_held == 0 || !source->conf.is_wanted(source->conf.of, 0))
        return NULL;
    count_held(source);
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next) {
        struct reader *reader = reader_at(link);
        if (reader->source != source || !reader->holds || reader->held < LATE_IF_WANTED_MS)
            continue;
        if (is_later(reader, of_many) && has_more_than_its_share(reader))
            of_many = reader;
        if (reader->late_if_wanted > LATE_IF_WANTED_MS && is_later(reader, latest))
            latest = reader;
    }
    return of_many != NULL ? of_many : latest;
}

/*
 * How late one may be with what is in the spool, in ms. Answers that are whole when they begin may come
 * faster than they would be given up after LATE_MS: the more there is of them, the sooner that is.
 */
static int64_t patience(const struct readers *readers)
{
    size_t limit = readers->conf.spool, used = readers->spool.used;
    return used <= 2 * limit ? LATE_MS : used <= 4 * limit ? LATE_IF_WANTED_MS : 2 * LOOK_MS;
}

/* Who takes what is in the spool too slowly? NULL if nobody does. */
static struct reader *latest_in_spool(struct readers *readers)
{
    int64_t most = patience(readers);
    struct reader *latest = NULL;
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next) {
        struct reader *reader = reader_at(link);
        bool is_too_late = reader->was_seen && !reader->holds && reader->late > most;
        if (is_too_late && (latest == NULL || reader->late > latest->late))
            latest = reader;
    }
    return latest;
}

/* The log */

/* Is the reader one of those that a line is about: who hold the source, or are late with what is in the
 * spool?
 */
static bool is_about(const struct reader *reader, const struct readers_source *source)
{
    if (source != NULL)
        return reader->source == source && reader->holds;
    return reader->was_seen && !reader->holds && reader->late > 0;
}

/* "GET /contacts for 192.0.2.7 (3), GET /persons for 198.51.100.2", to be freed. */
static char *name_them(struct readers *readers, const struct readers_source *source)
{
    struct {
        const struct reader *reader;
        unsigned n;
    } named[LOG_MOST];
    size_t n = 0, n_others = 0, len;
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next) {
        const struct reader *reader = reader_at(link);
        size_t i = 0;
        if (!is_about(reader, source))
            continue;
        while (i < n && (named[i].reader->address != reader->address ||
                         named[i].reader->sink->route != reader->sink->route))
            i++;
        if (i == LOG_MOST) {
            n_others++;
            continue;
        }
        if (i == n) {
            named[n].reader = reader;
            named[n++].n = 0;
        }
        named[i].n++;
    }
    char *text;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        log_fatalx("out of memory");
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "%s%s for %s", i == 0 ? "" : ", ", named[i].reader->sink->route,
                named[i].reader->address->name);
        if (named[i].n > 1)
            fprintf(out, " (%u)", named[i].n);
    }
    if (n_others > 0)
        fprintf(out, " and %zu more", n_others);
    fclose(out);
    return text;
}

/* Each says once a minute who they are, with those who are cut off in a moment. */

static void tell_of_source(struct readers_source *source)
{
    const struct readers_source_conf *conf = &source->conf;
    if (!complain_is_due(source->about))
        return;
    char *names = name_them(source->readers, source);
    log_warnx("slow readers hold connections of %s %s, %u of %u: %s; cut off: %u", conf->kind, conf->name,
              source->n_held, conf->most(conf->of), names, source->n_cut);
    free(names);
    source->n_cut = 0;
}

static void tell_of_spool(struct readers *readers)
{
    if (!complain_is_due("slow readers: limits.spool"))
        return;
    char *names = name_them(readers, NULL);
    log_warnx("limits.spool is full of answers for slow readers: %s; cut off: %u", names, readers->n_cut);
    free(names);
    readers->n_cut = 0;
}

/* What is done about them */

static void cut(struct reader *reader)
{
    log_debug("%s: cut off for %s, who takes it too slowly", reader->sink->route, reader->address->name);
    reader->sink->ops->cut(reader->sink);
}

static void mind_source(struct readers_source *source)
{
    struct readers *readers = source->readers;
    struct reader *to_leave = whose_turn_is_over(source);
    bool is_worth_a_line = false;
    h2o_linklist_t *next;
    if (to_leave != NULL)
        to_leave->is_cut = true;
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next) {
        struct reader *reader = reader_at(link);
        if (!is_about(reader, source))
            continue;
        reader->is_cut = reader->is_cut || reader->late > LATE_MS;
        source->n_cut += reader->is_cut;
        is_worth_a_line = is_worth_a_line || reader->is_cut || reader->held > LONG_MS;
    }
    if (is_worth_a_line)
        tell_of_source(source);
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = next) {
        struct reader *reader = reader_at(link);
        next = link->next;
        if (reader->is_cut)
            cut(reader);
    }
}

static void mind_spool(struct readers *readers)
{
    for (unsigned i = 0; i < CUT_MOST && is_room_wanted(readers); i++) {
        struct reader *latest = latest_in_spool(readers);
        if (latest == NULL)
            return;
        readers->n_cut++;
        tell_of_spool(readers);
        cut(latest);
    }
}

void readers_look(struct readers *readers, uint64_t now)
{
    bool room_is_wanted = is_room_wanted(readers);
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = link->next)
        look(reader_at(link), now, room_is_wanted);
    for (size_t i = 0; i < readers->n_sources; i++) {
        if (readers->sources[i]->n_held > 0)
            mind_source(readers->sources[i]);
    }
    mind_spool(readers);
    h2o_linklist_t *next;
    for (h2o_linklist_t *link = readers->all.next; link != &readers->all; link = next) {
        struct reader *reader = reader_at(link);
        next = link->next;
        if (reader->holds && reader_may_spool(reader))
            reader->go_on(reader);
    }
}

static void on_timer(h2o_timeout_entry_t *entry)
{
    struct readers *readers = H2O_STRUCT_FROM_MEMBER(struct readers, timer, entry);
    readers_look(readers, clock_ms());
    expect_look(readers);
}

/* Sources */

struct readers_source *readers_source(struct readers *readers, const struct readers_source_conf *conf)
{
    for (size_t i = 0; i < readers->n_sources; i++) {
        if (readers->sources[i]->conf.of == conf->of)
            return readers->sources[i];
    }
    struct readers_source *source = mem_calloc(1, sizeof(*source));
    source->conf = *conf;
    source->about = mem_printf("slow readers: %s %s", conf->kind, conf->name);
    source->readers = readers;
    MEM_GROW(&readers->sources, readers->n_sources);
    readers->sources[readers->n_sources++] = source;
    return source;
}

bool readers_refuse(struct readers_source *source, struct sink *sink)
{
    struct readers *readers = source->readers;
    uint64_t network = source->n_held == 0 ? 0 : sink->ops->client(sink).network;
    if (network == 0 || !source->conf.is_wanted(source->conf.of, 0))
        return false;
    count_held(source);
    for (h2o_linklist_t *link = readers->addresses.next; link != &readers->addresses; link = link->next) {
        const struct readers_address *address = H2O_STRUCT_FROM_MEMBER(struct readers_address, link, link);
        if (address->network == network)
            return address->n_held >= share_of(source);
    }
    return false;
}

/* Making and ending */

struct readers *readers_new(const struct readers_conf *conf)
{
    struct readers *readers = mem_calloc(1, sizeof(*readers));
    readers->conf = *conf;
    readers->timer.cb = on_timer;
    readers->trim_timer.cb = on_trim;
    h2o_linklist_init_anchor(&readers->all);
    h2o_linklist_init_anchor(&readers->addresses);
    return readers;
}

void readers_free(struct readers *readers)
{
    h2o_timeout_unlink(&readers->timer);
    h2o_timeout_unlink(&readers->trim_timer);
    spool_dispose(&readers->spool);
    for (size_t i = 0; i < readers->n_sources; i++) {
        free(readers->sources[i]->about);
        free(readers->sources[i]);
    }
    free(readers->sources);
    free(readers);
}
