/*
 * conf.h: the conf file, read and checked. Read-only to everything after start.
 *
 * conf/files.c reads files and collects mistakes, conf/yaml.c turns a file into nodes that know their place,
 * conf/conf.c turns nodes into struct conf by the directives in conf/table.c. conf/include.c finds the
 * routes, conf/route.c reads one by the rows of its kind of handler (conf/kind.h), and conf/check.c has the
 * rules that span several directives.
 */
#ifndef HAYFORK_CONF_CONF_H
#define HAYFORK_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/log.h"
#include "route/params_gathering.h"
#include "base/pack.h"
#include "inference/model_config.h"
#include "route/route.h"
#include "pg/scan.h"

/* A place in a file. line and column count from 1; line 0 means the file as a whole. */
struct conf_pos {
    const char *file; /* owned by the conf; "-o" for the command line */
    int line;
    int column; /* in characters, as an editor shows it */
};

struct conf_kind;

enum conf_answer { CONF_ANSWER_ROW, CONF_ANSWER_ROWS, CONF_ANSWER_NONE, CONF_ANSWER_VALUE };
enum conf_forwarded { CONF_FORWARDED_OFF, CONF_FORWARDED_X, CONF_FORWARDED_STANDARD, CONF_FORWARDED_BOTH };

/* The lanes that are there without being named, as indexes, and how many there can be in all. */
enum { CONF_LANE_READ, CONF_LANE_WRITE, CONF_MAX_LANES = 16 };

struct conf_lane {
    struct conf_pos pos; /* of its name in database.lanes; line 0: it is not there */
    char *name;
    bool read_only;       /* `from` */
    const char *connect;  /* libpq conninfo or URI, borrowed from conf->database */
    unsigned connections; /* that each worker may open */
    unsigned queue;       /* waiting queries in each worker */
    unsigned deadline;    /* ms; for those of its routes that do not say */
    bool used;            /* a route with SQL is on it */
};

/* A part of a header's value: text as it is, or the value of a column of the first row or of a parameter. */
struct conf_piece {
    bool is_name; /* text is a name: a column of the answer if it has one, else a parameter */
    char *text;
};

/* A directive that is on or off. */
enum conf_switch { CONF_ON, CONF_OFF };

struct conf_header {
    struct conf_pos pos;
    char *name; /* as it is sent */
    struct conf_piece *pieces;
    size_t n_pieces;
};

/* Where a value of a log line comes from. */
enum conf_source_kind {
    CONF_SOURCE_TEXT, /* it is text itself */
    CONF_SOURCE_CLIENT_ADDRESS,
    CONF_SOURCE_CLIENT_SCHEME,
    CONF_SOURCE_CLIENT_HOST,
    CONF_SOURCE_REQUEST_ID,
    CONF_SOURCE_REQUEST_METHOD,
    CONF_SOURCE_REQUEST_PATH,
    CONF_SOURCE_REQUEST_TARGET,
    CONF_SOURCE_REQUEST_TIME,
    CONF_SOURCE_REQUEST_ROUTE,
    CONF_SOURCE_REQUEST_TRACE,
    CONF_SOURCE_ANSWER_STATUS,
    CONF_SOURCE_ANSWER_BYTES,
    CONF_SOURCE_TIME_TOTAL,
    CONF_SOURCE_TIME_QUEUE,
    CONF_SOURCE_TIME_DATABASE,
    CONF_SOURCE_UPSTREAM_SERVER,
    CONF_SOURCE_HEADER,
    CONF_SOURCE_COOKIE,
    CONF_SOURCE_QUERY,
};

struct conf_source {
    enum conf_source_kind kind;
    char *text; /* or the name of the field (in lower case), cookie or URL parameter */
};

enum conf_access_format { CONF_ACCESS_COMBINED, CONF_ACCESS_JSON, CONF_ACCESS_TEXT };
enum { CONF_ACCESS_ALL = 1000000 };
#define CONF_ACCESS_NOWHERE SIZE_MAX

/* A member of JSON. */
struct conf_access_field {
    char *name;
    char *text; /* its source as written, or "off" for a built-in one that is not to be there */
    struct conf_source source;
};

struct conf_access_log {
    char *to;    /* "off", "stdout", "stderr" or a file's path from the root */
    size_t file; /* index in conf->access_files, or CONF_ACCESS_NOWHERE */
    enum conf_access_format format;
    char *text;                 /* format as written */
    struct conf_source *pieces; /* of CONF_ACCESS_TEXT */
    size_t n_pieces;
    struct conf_access_field *fields;
    size_t n_fields;
    bool has_sample;
    unsigned sample; /* so many of CONF_ACCESS_ALL requests are logged */
};

/* A listener's name in a route's `on`. */
struct conf_on {
    struct conf_pos pos;
    char *name;
};

struct conf_route {
    struct conf_pos pos; /* of the key, "GET /contacts/{id}" */
    char *method;        /* in capitals, or ANY */
    char *path;
    char *label;                  /* "GET /contacts/{id}", for log lines */
    const struct conf_kind *kind; /* how it is answered */
    struct conf_on *on;           /* the listeners that it is on; without any it is on all */
    size_t n_on;

    /* sql */
    char *sql;               /* as the user wrote it */
    struct conf_pos sql_pos; /* of the value: for a block, of the `|` */
    struct sql_statement statement;
    enum conf_answer answer;
    struct params_spec *params;  /* one per statement parameter, in $n order; texts owned by declared */
    struct conf_param *declared; /* what `query`, `body` and `body_as` declare */
    size_t n_declared;
    bool ignore_unknown_query; /* `unknown_query: ignore` */
    bool takes_body;           /* has `body` or `body_as`, or a model */
    const char **body_fields;  /* the names in `body`; the array is owned */
    size_t n_body_fields;
    unsigned lane;  /* index in conf->lanes: by the method, or `lane` */
    int status;     /* for a good answer: `status`, else 200, or 204 for `answer: none` */
    bool merge_off; /* `merge: off` */
    int no_row;     /* status when there is no row: `no_row`, else 404 */

    /* all kinds */
    unsigned deadline;           /* ms: `deadline`, else that of `defaults`, its lane's, limits.deadline */
    struct conf_header *headers; /* of this route, then those of `defaults` that it does not name itself */
    size_t n_headers;

    struct conf_access_log access_log;
    bool has_server_timing;
    unsigned server_timing; /* enum conf_switch; it is off where the conf does not say */

    /* json: the document, without white space between its parts. text: the text. */
    char *body;

    /* files */
    char *folder;   /* from the root */
    char *index;    /* the file that stands for a folder */
    char *fallback; /* path in the folder of what stands for a file that is not there, or NULL */

    /* relay */
    char *relay; /* as written */
    struct conf_pos relay_pos;
    size_t upstream;           /* index in conf->upstreams */
    struct conf_piece *target; /* path and query to ask for; none: those of the request */
    size_t n_target;
    struct conf_header *send; /* fields to the upstream; an empty one is left out */
    size_t n_send;
    unsigned connect_deadline; /* ms: `connect_deadline`, else limits.connect */
    bool forwarded_is_set;
    enum conf_forwarded forwarded; /* `forwarded`, else that of the conf */
    bool makes_images;             /* `images`: of what it is answered with, pictures are made */
    struct conf_preset *presets;   /* of these */
    size_t n_presets;
    bool passes_server; /* the upstream's Server field, as the conf's `server` is empty */

    /* classify, embed */
    char *model_name; /* as written */
    struct conf_pos model_pos;
    size_t model; /* index in conf->models */
    enum model_use use;

    bool implied; /* it is no conf's: one of those of `admin` */
    bool whole;   /* read without a mistake, as every route is in a conf that conf_load returns */
};

/* Parameters of images under one name. */
struct conf_preset {
    char *name;
    struct conf_preset_param {
        char *name, *value;
    } * params;
    size_t n;
};

/* A parameter as the route declares it. */
struct conf_param {
    struct conf_pos pos;
    struct params_spec spec; /* its texts are owned here */
};

/* Who may connect to a Unix socket: its file's permissions. */
struct conf_socket_rights {
    bool has_mode, has_owner, has_group; /* else it is what the process makes of it */
    mode_t mode;
    uid_t owner;
    gid_t group;
};

struct conf_listen {
    struct conf_pos pos;
    char *name;                       /* NULL where `listen` gives none */
    char *address;                    /* as written: 8080, 127.0.0.1:8080, [::1]:8080, unix:/path, systemd */
    char *mode, *owner, *group;       /* as written, of a Unix socket; NULL where the conf does not say */
    struct conf_socket_rights rights; /* the same, found out */
    struct route_table *table;        /* of the routes on it; route_match hands back a struct conf_route */
    bool is_admin;                    /* it has routes of its own (conf/admin.h) and no others */
};

/* A server that a relay asks. */
struct conf_server {
    char *address; /* as written: http://HOST:PORT or unix:/PATH */
    char *path;    /* of a Unix socket; else NULL */
    char *host;    /* name or IP address, without brackets */
    unsigned port;
    char *authority; /* for the Host field */
};

struct conf_upstream {
    struct conf_pos pos;
    char *name;   /* the key, or, of one that a route names by its address, that address */
    bool implied; /* the latter */
    struct conf_server *servers;
    size_t n_servers;
    unsigned connections; /* in each worker */
    unsigned idle;        /* ms that a connection waits to be used again */
    unsigned age;         /* ms after which it is not used again */
};

enum conf_device { CONF_CPU, CONF_CUDA };

/* A folder with a model. */
struct conf_model {
    struct conf_pos pos;
    char *name;
    char *folder; /* from where the master was started, or from the root */
    struct conf_pos folder_pos;
    unsigned texts;             /* of a request, and of a job */
    unsigned length;            /* tokens of a text at most; 0 is as many as the model takes */
    unsigned refuses_long;      /* else longer texts are cut */
    enum model_use use;         /* by its routes */
    struct model_config config; /* of one that is used */
    uint32_t width;             /* numbers of an answer */
};

/* Who the workers run as: what `user` and `group` say, looked up in the system's databases. */
struct conf_account {
    bool named; /* there is a `user`; else the rest is nothing */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* supplementary ones, gid among them */
    size_t n_groups;
    char *name; /* NULL for a number that no user has */
    char *home;
};

struct conf {
    struct conf_listen *listen;
    size_t n_listen;
    bool listen_unclear; /* there was a mistake in `listen`: only while reading */
    unsigned workers;    /* 0 is auto */
    char *user, *group;  /* as written; "" for none */
    struct conf_account account;
    unsigned core;      /* enum conf_switch */
    unsigned sandbox;   /* the same */
    unsigned io_uring;  /* the same */
    unsigned busy_poll; /* the same */
    char *server;       /* the Server field; "" for none */

    struct conf_access_log access_log; /* of requests for no route, and of routes that do not say */
    const char **access_files; /* each file once; the texts are those of the routes; the array is owned */
    size_t n_access_files;

    struct {
        enum log_level level;
        char *to; /* "stderr", "stdout" or a file's path from the root */
        enum log_format format;
        unsigned slow; /* ms to the first byte of an answer; 0: none is slow */
    } log;

    struct {
        char *connect;        /* libpq conninfo or URI; "" takes everything from PG* variables */
        char *read;           /* the same for lanes that read, a replica; "" is connect */
        char *password_file;  /* what names a secret (conf/credential.h); "" for none */
        char *password;       /* which is there once conf_open_secrets has opened it; else NULL */
        unsigned connections; /* per lane and worker, for lanes that do not say */
        unsigned queue;       /* waiting queries per lane and worker, the same */
        unsigned spill;       /* ms that a query runs before the next ones take another connection */
        unsigned max;         /* connections of all workers and lanes */
    } database;

    struct conf_lane *lanes; /* read and write, then the others in the order of the conf */
    size_t n_lanes;
    bool lanes_incomplete; /* a mistake may hide some. Private to conf/ */

    struct {
        size_t head;   /* bytes */
        size_t target; /* bytes */
        unsigned fields;
        size_t body;           /* bytes */
        size_t body_total;     /* bytes, of all bodies in a worker; 0 is auto: see conf_body_total */
        unsigned head_time;    /* ms, from a head's first byte */
        unsigned body_time;    /* ms, and a second more for each body_rate bytes */
        size_t body_rate;      /* bytes a second */
        unsigned idle;         /* ms, between requests */
        unsigned deadline;     /* ms, to the first byte of the answer */
        size_t buffer;         /* bytes: rows up to here go out whole, larger answers are streamed */
        size_t spool;          /* bytes per worker: streamed answers that their clients have not taken yet */
        unsigned connect;      /* ms, to connect to an upstream */
        unsigned stall;        /* ms, for a client to take a part of its answer */
        size_t answer_rate;    /* bytes a second that one who holds a connection has to take; 0 is no limit */
        unsigned requests;     /* per connection; 0 is no limit */
        unsigned clients;      /* connections per worker */
        unsigned drain;        /* ms, for the last requests when stopping */
        unsigned drain_notice; /* ms before that, in which only /ready tells that the server stops */
    } limits;

    struct {               /* limits.images */
        size_t pixels_in;  /* of an original */
        size_t pixels_out; /* of a picture */
        size_t bytes_in;   /* of an original */
        unsigned time;     /* ms for a picture */
        unsigned queue;    /* pictures that may wait for a helper in each worker */
    } images;

    struct {
        char *library;   /* ONNX Runtime's path; "" where it is not said */
        unsigned device; /* enum conf_device */
        unsigned time;   /* ms for the texts of one job: limits.inference */
        unsigned queue;  /* jobs that may wait for a helper in each worker */
    } inference;

    struct conf_model *models;
    size_t n_models;

    struct {
        unsigned images; /* processes; 0 is auto */
        unsigned inference;
    } helpers;

    unsigned resolve; /* ms after which the name of a server is looked up again */
    enum conf_forwarded forwarded;
    struct conf_upstream *upstreams; /* first those of `upstreams` */
    size_t n_upstreams;

    struct conf_route *routes;
    size_t n_routes;

    struct conf_env *env;     /* what variables stand for: only while reading */
    struct conf_files *files; /* what was read: names and texts, for messages. Private to conf/ */
};

/* One `-o key=value`. key is a directive's dotted name ("listen", "database.connect"). */
struct conf_override {
    const char *key;
    const char *value; /* YAML, on one line */
};

/*
 * May an override of that key hold a secret in its value? All may but those of directives that take a single
 * value which is not a connection string, and listeners.
 */
bool conf_may_hold_secret(const char *key);

/*
 * Reads and checks path and everything it names. All mistakes are written to errors (in the form
 * FILE:LINE:COLUMN: error: …, with the source line and a caret), in the order of the file, then NULL is
 * returned. On success the conf is the caller's, to be freed with conf_free. Opens no socket, needs no
 * database, no secret.
 */
struct conf *conf_load(const char *path, const struct conf_override *overrides, size_t n_overrides,
                       FILE *errors);

/*
 * Writes down all the files of the conf, so that it can be loaded again as it is now whatever becomes of
 * them; and loads it from that, with the same path, overrides and environment. The snapshot's bytes must stay
 * as long as the conf. Whether folders and files of routes are there is not asked again.
 */
void conf_snapshot(const struct conf *conf, struct pack *out);
struct conf *conf_load_snapshot(struct str snapshot, const char *path, const struct conf_override *overrides,
                                size_t n_overrides, FILE *errors);

/*
 * Writes the conf with every default filled in, as a conf file that loads to the same (`hayfork -T`). A
 * comment says how many connections so many workers can open.
 */
void conf_print(const struct conf *conf, unsigned workers, FILE *out);

/* How many PostgreSQL connections the lanes of so many workers may have in all, were it not for database.max.
 */
size_t conf_connections(const struct conf *conf, unsigned workers);

/* Upstreams and all their servers, counted together. */
size_t conf_servers(const struct conf *conf);

/* Does some route use a model? */
bool conf_runs_models(const struct conf *conf);

/* Does some route make pictures? */
bool conf_makes_images(const struct conf *conf);

/* limits.body_total in bytes: where it is auto, four of the largest bodies, 64M at least. */
size_t conf_body_total(const struct conf *conf);

/*
 * Each lane of a worker keeps a connection: can so many workers have theirs within database.max? Returns
 * NULL, or a message for the user that the caller frees. conf_load has asked for a number of workers that the
 * conf has; who makes a number of `auto` has to ask for it.
 */
char *conf_refuse_workers(const struct conf *conf, unsigned workers);

/*
 * Opens the secrets that the conf names, which loading it does not do. Returns NULL, or what is wrong, to be
 * freed.
 */
char *conf_open_secrets(struct conf *conf);

void conf_free(struct conf *conf);

#endif
