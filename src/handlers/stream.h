/* stream.h: an answer that goes out as it comes, with what its client has not taken yet in the spool. */
#ifndef HAYFORK_HANDLERS_STREAM_H
#define HAYFORK_HANDLERS_STREAM_H

#include "handlers/readers.h"

struct stream;

struct stream_ops {
    /* Nothing more is wanted for now; more is. Where the answer comes from may be asked at once for more. */
    void (*pause)(struct stream *stream);
    void (*go_on)(struct stream *stream);
};

struct stream {
    const struct stream_ops *ops;
    struct json_writer *text; /* where its owner writes: the page of `filling` */
    size_t enough;            /* bytes in text from which on stream_more is to be called */
    size_t piece;             /* as soon as there are so many, and the sink has room, they go out */
    struct sink *sink;
    struct reader reader;
    struct spool_block *filling;
    struct spool_block *waiting, **waiting_end; /* full ones, in their order */
    size_t n_waiting;
    size_t length;               /* bytes in blocks that were ever full */
    struct spool_block *sending; /* those with the sink */
    bool is_started, is_sending, is_paused;
    bool is_lent;     /* what the sink has is the owner's */
    bool is_complete; /* no more will come */
    bool has_failed;  /* nor will what has come go out */
};

enum {
    STREAM_FULL = SPOOL_PAGE / 8 * 7
}; /* bytes in a block: what is left takes most rows, with all escapes */

/*
 * Begins with what is in text, which gets other memory, of the stream's, until stream_dispose. Nothing is
 * sent before stream_start: what comes is collected.
 */
void stream_begin(struct stream *stream, const struct stream_ops *ops, struct sink *sink,
                  struct readers_source *source, struct json_writer *text);

/*
 * The same where there is a head already, and nothing in text: what comes goes out from now on. text may be
 * used after stream_write alone.
 */
void stream_open(struct stream *stream, const struct stream_ops *ops, struct sink *sink,
                 struct readers_source *source, struct json_writer *text);

/* Is there nothing that the sink has, or is to have? */
bool stream_is_idle(const struct stream *stream);

/*
 * Has an idle stream send bytes of the owner's, which stay until go_on is called, and pauses it. If is_lent
 * is still true then, the owner goes on only after stream_keep: the bytes are in that memory, on the heap, of
 * so many bytes, which becomes the stream's.
 */
void stream_lend(struct stream *stream, const struct str *parts, size_t n);
void stream_keep(struct stream *stream, char *memory, size_t size);

/* Copies some bytes to the end of a stream. */
void stream_write(struct stream *stream, struct str bytes);

/* There is enough in text. Once the stream has started, that goes out, or waits; pause is called from here.
 */
void stream_more(struct stream *stream);

/* All that was collected, where the answer is whole before it has started. The array is the arena's, the
 * bytes stay until stream_dispose. */
const struct str *stream_parts(struct stream *stream, size_t *n);

/* The head has gone to the sink: what was collected follows, and what comes from now on. */
void stream_start(struct stream *stream);

/* No more will come. complete: the answer ends with what is in text; else it is broken off now. */
void stream_end(struct stream *stream, bool complete);

/* For the sink's `room`. */
void stream_room(struct stream *stream);

/* For the sink's `gone`: frees what the stream holds. Or what was collected does not count. */
void stream_dispose(struct stream *stream);

#endif
