/*
 * stream.c: an answer that goes out as it comes, with what its client has not taken yet in the spool.
 *
 * The owner writes into a block. Full ones are collected until the owner knows how the answer begins; then
 * they go to the sink, or wait while the sink has others. Where more may not wait (handlers/readers.c), the
 * source is paused, and goes on when the sink has taken what waited.
 */
#include "handlers/stream.h"

#include <stdlib.h>

#include "base/clock.h"

enum {
    PIECE = 32 * 1024, /* bytes that are worth a call, where more come */
    WAITING_LEAST = 2, /* blocks that may wait in any case */
    BLOCKS = 4,        /* that go out at once */
};

static void begin_block(struct stream *stream)
{
    stream->filling = reader_take(&stream->reader);
    *stream->text = stream->filling->text;
}

/*
 * What was written becomes a block of those that wait. Where it has outgrown its page, that is there for what
 * comes next, unless nothing does.
 */
static void end_block(struct stream *stream)
{
    struct spool_block *block = stream->filling, *page = NULL;
    if (stream->text->owned) {
        block = reader_adopt(&stream->reader, *stream->text);
        page = stream->filling;
    } else {
        block->text = *stream->text;
    }
    stream->length += block->text.len;
    *stream->waiting_end = block;
    stream->waiting_end = &block->next;
    stream->n_waiting++;
    stream->filling = NULL;
    *stream->text = (struct json_writer){0};
    if (page != NULL)
        reader_give(&stream->reader, page);
    if (!stream->is_complete)
        begin_block(stream);
}

static void give_all(struct stream *stream, struct spool_block **list)
{
    while (*list != NULL) {
        struct spool_block *block = *list;
        *list = block->next;
        reader_give(&stream->reader, block);
    }
}

/* Moves some of those that wait to those with the sink. Returns how many parts they are. */
static size_t take_parts(struct stream *stream, struct str parts[BLOCKS])
{
    size_t n = 0;
    stream->sending = stream->waiting;
    struct spool_block **end = &stream->sending;
    for (; n < BLOCKS && *end != NULL; end = &(*end)->next)
        parts[n++] = (struct str){(*end)->text.base, (*end)->text.len};
    stream->waiting = *end;
    *end = NULL;
    if (stream->waiting == NULL)
        stream->waiting_end = &stream->waiting;
    stream->n_waiting -= n;
    return n;
}

static void send_some(struct stream *stream)
{
    struct str parts[BLOCKS];
    if (stream->n_waiting < BLOCKS && stream->text->len > 0 &&
        (stream->is_complete || stream->text->len >= stream->piece || stream->n_waiting == 0))
        end_block(stream);
    size_t n = take_parts(stream, parts);
    if (stream->is_complete && stream->n_waiting == 0 && stream->text->len == 0) {
        stream->sink->ops->finish(stream->sink, parts, n);
        return;
    }
    stream->is_sending = true;
    stream->enough = STREAM_FULL;
    stream->sink->ops->push(stream->sink, parts, n);
}

static void go_on(struct stream *stream)
{
    stream->is_paused = false;
    reader_let_go(&stream->reader, clock_ms());
    stream->ops->go_on(stream);
}

static void on_spool_room(struct reader *reader)
{
    go_on(H2O_STRUCT_FROM_MEMBER(struct stream, reader, reader));
}

void stream_begin(struct stream *stream, const struct stream_ops *ops, struct sink *sink,
                  struct readers_source *source, struct json_writer *text)
{
    *stream = (struct stream){.ops = ops, .text = text, .enough = STREAM_FULL, .piece = PIECE, .sink = sink};
    stream->waiting_end = &stream->waiting;
    reader_begin(&stream->reader, source, sink, on_spool_room);
    struct json_writer begun = *text;
    begin_block(stream);
    if (begun.len > SPOOL_PAGE) {
        *text = begun;
    } else { /* memory of the heap that lives long may keep all below it from going back to the kernel */
        json_raw(text, begun.base, begun.len);
        if (begun.owned)
            free(begun.base);
    }
    end_block(stream);
}

void stream_open(struct stream *stream, const struct stream_ops *ops, struct sink *sink,
                 struct readers_source *source, struct json_writer *text)
{
    *text = (struct json_writer){0};
    *stream =
        (struct stream){.ops = ops, .text = text, .enough = 1, .piece = 1, .sink = sink, .is_started = true};
    stream->waiting_end = &stream->waiting;
    reader_begin(&stream->reader, source, sink, on_spool_room);
}

bool stream_is_idle(const struct stream *stream)
{
    return !stream->is_sending && stream->n_waiting == 0 && stream->text->len == 0;
}

void stream_lend(struct stream *stream, const struct str *parts, size_t n)
{
    if (stream->filling != NULL)
        reader_give(&stream->reader, stream->filling);
    stream->filling = NULL;
    *stream->text = (struct json_writer){0};
    stream->is_sending = stream->is_lent = stream->is_paused = true;
    stream->enough = STREAM_FULL;
    reader_hold(&stream->reader, clock_ms());
    stream->sink->ops->push(stream->sink, parts, n);
}

void stream_keep(struct stream *stream, char *memory, size_t size)
{
    stream->is_lent = false;
    stream->sending = reader_adopt(&stream->reader, (struct json_writer){memory, size, size, true});
}

void stream_write(struct stream *stream, struct str bytes)
{
    while (bytes.len > 0) {
        if (stream->filling == NULL)
            begin_block(stream);
        size_t room = SPOOL_PAGE - stream->text->len, n = bytes.len < room ? bytes.len : room;
        json_raw(stream->text, bytes.base, n);
        bytes = (struct str){bytes.base + n, bytes.len - n};
        if (stream->text->len >= stream->enough)
            stream_more(stream);
    }
}

const struct str *stream_parts(struct stream *stream, size_t *n)
{
    stream->is_complete = true;
    end_block(stream);
    struct str *parts = arena_alloc(&stream->sink->arena, stream->n_waiting * sizeof(*parts));
    *n = 0;
    for (const struct spool_block *block = stream->waiting; block != NULL; block = block->next)
        parts[(*n)++] = (struct str){block->text.base, block->text.len};
    return parts;
}

void stream_start(struct stream *stream)
{
    stream->is_started = true;
    send_some(stream);
}

void stream_more(struct stream *stream)
{
    if (stream->is_started && !stream->is_sending) {
        send_some(stream);
        return;
    }
    end_block(stream);
    if (!stream->is_started || stream->n_waiting < WAITING_LEAST || stream->is_paused ||
        reader_may_spool(&stream->reader))
        return;
    stream->is_paused = true;
    reader_hold(&stream->reader, clock_ms());
    stream->ops->pause(stream);
}

void stream_end(struct stream *stream, bool complete)
{
    stream->is_complete = true;
    stream->has_failed = !complete;
    reader_let_go(&stream->reader, clock_ms());
    if (!complete)
        stream->sink->ops->abort(stream->sink);
    else if (!stream->is_sending)
        send_some(stream);
}

void stream_room(struct stream *stream)
{
    stream->is_sending = stream->is_lent = false;
    stream->enough = stream->piece;
    give_all(stream, &stream->sending);
    if (stream->has_failed)
        return;
    if (stream->is_complete || stream->n_waiting > 0 || stream->text->len >= stream->piece)
        send_some(stream);
    bool has_room = stream->n_waiting < WAITING_LEAST || reader_may_spool(&stream->reader);
    if (stream->is_paused && has_room && !stream->is_complete)
        go_on(stream);
}

void stream_dispose(struct stream *stream)
{
    give_all(stream, &stream->sending);
    give_all(stream, &stream->waiting);
    if (stream->text->owned)
        free(stream->text->base);
    *stream->text = (struct json_writer){0};
    if (stream->filling != NULL)
        reader_give(&stream->reader, stream->filling);
    reader_end(&stream->reader);
}
