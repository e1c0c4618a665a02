/*
 * readers.h: clients to whom answers are streamed, and what they may hold while they take their time.
 *
 * What has come for a client that is slower than its source waits in the spool. Where that has no room, the
 * client holds what its answer comes from, such as a connection to PostgreSQL. All rules about that are here.
 */
#ifndef HAYFORK_HANDLERS_READERS_H
#define HAYFORK_HANDLERS_READERS_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/spool.h"
#include "http/sink.h"
#include "loop/timeouts.h"

struct readers;
struct readers_address;

struct readers_conf {
    h2o_loop_t *loop;
    struct timeouts *timeouts; /* must outlive the readers */
    size_t spool;              /* bytes; 0: whoever is slow holds its source */
    size_t rate;               /* bytes a second that one who holds its source has to take; 0: any */
};

/* The readers of a worker. */
struct readers *readers_new(const struct readers_conf *conf);

/* No reader may be left. */
void readers_free(struct readers *readers);

/* What readers may hold a part of: the connections of a lane. */
struct readers_source_conf {
    const char *kind, *name; /* "lane", "read": for the log. The name must outlive the readers */
    const void *of;          /* whose they are */
    /* How many there can be at most, as things are now. */
    unsigned (*most)(const void *of);
    /* Has someone been waiting for one for a while, whose network is not this one? With 0, anybody. */
    bool (*is_wanted)(const void *of, uint64_t network);
};

struct readers_source;

/* The same one each time for the same `of`. conf is copied. */
struct readers_source *readers_source(struct readers *readers, const struct readers_source_conf *conf);

/*
 * Is the client to be refused what would come from the source, because clients of its network hold their
 * share of that, and others wait?
 */
bool readers_refuse(struct readers_source *source, struct sink *sink);

/* One answer. The fields are those of handlers/readers.c. */
struct reader {
    h2o_linklist_t link; /* among the readers of the worker */
    struct readers *readers;
    struct readers_source *source;
    struct sink *sink;
    struct readers_address *address;
    void (*go_on)(struct reader *reader);
    size_t spooled;  /* bytes in its blocks, and those kept */
    size_t kept;     /* see reader_keep */
    bool holds;      /* its source waits for it */
    uint64_t since;  /* clock_ms: it holds its source since then, or was looked at then */
    uint64_t unseen; /* ms for which it held its source after the last look, and before `since` */
    bool was_seen;   /* at the last look it held its source, or room that was wanted; then also: */
    uint64_t held;   /* for how many ms, in a row */
    uint64_t taken;  /* what its client had taken then */
    int64_t late, late_if_wanted; /* by how many ms it is after what is asked of it */
    bool is_cut;                  /* in a moment */
};

/*
 * Its answer has begun. go_on is called where there is room in the spool again for one that holds its source;
 * NULL for one that never does.
 */
void reader_begin(struct reader *reader, struct readers_source *source, struct sink *sink,
                  void (*go_on)(struct reader *reader));

/* The answer is out, or the client has left. It has no block any longer. */
void reader_end(struct reader *reader);

/* May more of its answer wait in the spool? */
bool reader_may_spool(const struct reader *reader);

/* Its source waits for it from now on (clock_ms), or does no more. */
void reader_hold(struct reader *reader, uint64_t now);
void reader_let_go(struct reader *reader, uint64_t now);

/* Counts bytes of the answer's own memory with those of the spool, until reader_end. */
void reader_keep(struct reader *reader, size_t bytes);

/* Blocks of the spool, which count as the reader's: see base/spool.h. */
struct spool_block *reader_take(struct reader *reader);
struct spool_block *reader_adopt(struct reader *reader, struct json_writer text);
void reader_give(struct reader *reader, struct spool_block *block);

/* Looks at all of them now (clock_ms). Their own timer does that while some of them hold their sources. */
void readers_look(struct readers *readers, uint64_t now);

#endif
