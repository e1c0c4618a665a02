/*
 * request.h: an HTTP/1.1 client (RFC 9112) for relays: strict in what it reads, pooled, bounded, with
 * back-pressure in both directions.
 *
 * request.c sends a request and tries it again, pool.c finds it a server and a connection, answer.c reads.
 */
#ifndef HAYFORK_UPSTREAM_REQUEST_H
#define HAYFORK_UPSTREAM_REQUEST_H

#include "upstream/answer.h"
#include "upstream/pool.h"

/* What an exchange with an upstream is asked, and what comes of it. */
struct upstream_request;

struct upstream_ops {
    /*
     * The head of the answer; 1xx never get here. bytes are gone after the call. length is that of the body
     * that will come through on_data, or UPSTREAM_LENGTH_UNKNOWN.
     */
    void (*on_head)(struct upstream_request *request, const struct http1_response *response,
                    const char *bytes, uint64_t length);
    /*
     * A part of the body; n is 0 where only the head is to go on its way, or where the end alone has come.
     * The bytes stay until upstream_resume is called, or, of the last part, until upstream_request_end.
     * Nothing more comes before upstream_resume, and nothing after the last part.
     */
    void (*on_data)(struct upstream_request *request, const struct str *parts, size_t n, bool is_last);
    /*
     * There will be no (complete) answer, and nothing more comes. status is 502, 503 or 504, or what the
     * client did wrong (400, 408, 413). After on_head, what was passed on must not be taken for whole.
     */
    void (*on_error)(struct upstream_request *request, int status, const char *detail);
    /* There is room for more of the request's body: see upstream_send. */
    void (*on_room)(struct upstream_request *request);
    /* The client's request's id, for log lines. */
    const char *(*id)(const struct upstream_request *request);
};

/*
 * The caller fills in the first group, in memory of its own, and of the lease the upstream, the label and the
 * time to connect; it clears the rest.
 */
struct upstream_request {
    const struct upstream_ops *ops;
    struct str head, after_host; /* the request's head. If host_is_servers, the server's authority (RFC 9110
                                    section 7.2) goes between the two; else head is all of it */
    bool host_is_servers;
    bool is_head;              /* the method is HEAD */
    bool is_safe;              /* the method is safe (RFC 9110 section 9.2.1): may be sent twice */
    bool has_body, is_chunked; /* of the request; chunked or with the Content-Length that head has */
    struct str body;           /* what is here of the body; must stay until the request ends */
    bool body_is_whole;        /* there is no more than that */
    h2o_timeout_t *deadline;   /* from the last byte sent to the first of the answer */
    struct upstream_lease lease;

    /* upstream/request.c's own */
    bool is_over;    /* no op will be called any longer */
    bool sent_any;   /* some byte may have reached the server */
    bool body_ended; /* all of the request is sent, but for rest */
    bool send_failed;
    struct outbox_message *message; /* that waits for the end of the turn, or NULL */
    char *rest;                     /* of the request: what the server did not take yet */
    struct upstream_answer answer;
    h2o_timeout_entry_t deadline_timer;
    uint64_t sent_at; /* of the loop's clock: since when an answer is waited for */
};

/*
 * Begins. ops are called from now on, perhaps at once: on_error from within this call. The request and its
 * texts must stay until upstream_request_end.
 */
void upstream_request_start(struct upstream_request *request);

/* The client has taken what on_data has brought. */
void upstream_resume(struct upstream_request *request);

/*
 * What on_data has brought, and was not the last part, stays until the caller frees the memory that is
 * returned, of UPSTREAM_BUFFER bytes. upstream_resume is called before that.
 */
char *upstream_keep(struct upstream_request *request);

/*
 * Sends the next part of a body that was not whole at the start, but only after on_room was called for it.
 * Returns whether there is room for more at once; if not, on_room is called. The bytes are not needed after
 * the call. is_last ends the body.
 */
bool upstream_send(struct upstream_request *request, struct str bytes, bool is_last);

/* The client's body has come to a bad end: its request cannot be completed. */
void upstream_request_fail(struct upstream_request *request, int status, const char *detail);

/* The end, for whatever reason: gives up what is under way, and frees what the request holds. */
void upstream_request_end(struct upstream_request *request);

#endif
