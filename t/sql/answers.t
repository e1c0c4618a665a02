# What a route makes of its rows: `answer`, `status`, `no_row`, `headers`, `lane`, `deadline`; and the answer when the
# statement's tables change or its transaction fails at the very end.
use v5.36;

use Hayfork::Test;

use Time::HiRes qw(time);

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<'SQL');
    CREATE TABLE item (id serial PRIMARY KEY, name text, parent int REFERENCES item DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO item (name) VALUES ('one'), ('two'), (NULL);
    CREATE TABLE visit (path text);
    CREATE FUNCTION visit(path text) RETURNS bigint LANGUAGE sql AS $$
        INSERT INTO visit VALUES (path); SELECT count(*) FROM visit
    $$;
    CREATE FUNCTION forget() RETURNS void LANGUAGE sql AS $$ DELETE FROM visit $$;
    CREATE TABLE changing AS SELECT 1 AS a;
SQL

# Routes that answer one value each, of every kind.
my %VALUE = (
    json        => [ q('{"b": 1,  "a": [1.50]}'::json), 'application/json', '{"b": 1,  "a": [1.50]}' ],
    jsonb       => [ q('{"b": 1,  "a": [1.50]}'::jsonb), 'application/json', '{"a": [1.50], "b": 1}' ],
    'json-null' => [ q('null'::jsonb), 'application/json', 'null' ],
    text        => [ q(E'é "quoted" \n'::text), 'text/plain; charset=utf-8', qq(é "quoted" \n) ],
    empty       => [ q(''::text), 'text/plain; charset=utf-8', '' ],
    number      => [ q(12.50), 'text/plain; charset=utf-8', '12.50' ],
    truth       => [ q(true), 'text/plain; charset=utf-8', 't' ],
    bytea       => [ q('\x00ff0d0a22'::bytea), 'application/octet-stream', "\x00\xff\r\n\"" ],
    'no-bytes'  => [ q(''::bytea), 'application/octet-stream', '' ],
    array       => [ q('{1,2}'::int[]), 'text/plain; charset=utf-8', '{1,2}' ],
);
my $values = join '', map { <<~CONF } sort keys %VALUE;
      GET /value/$_:
        sql: |
          SELECT $VALUE{$_}[0] AS value, 'more' AS more
        answer: value
    CONF

my $server = server(<<~CONF, cluster => $cluster, lanes => 2);
    workers: 1
    database:
      connect: ${\ $cluster->conninfo }
    limits:
      deadline: 3s
    defaults:
      headers: { Cache-Control: no-store, X-From: defaults }
    routes:
      GET /hello:
        text: "hello\\n"
      GET /items:
        sql: |
          SELECT id, name FROM item ORDER BY id
        answer: rows
        headers: { X-First: "{name}", X-From: "the route" }
      GET /none:
        sql: |
          SELECT id FROM item WHERE false
        answer: rows
        headers: { X-First: "{id}" }
      GET /items/{id}:
        sql: |
          SELECT id, name, name || '/ü?' AS odd FROM item WHERE id = :id
        answer: row
        headers: { X-Both: "{{{id}} {name}", X-Id: "{id}", Location: "/a%20b/{odd}", Link: '</{odd}>; rel="self"' }
      GET /items/{id}/name:
        sql: |
          SELECT name FROM item WHERE id = :id
        answer: value
      GET /gone/{id}:
        sql: |
          SELECT id FROM item WHERE id = :id
        answer: row
        no_row: 410
        headers: { X-Id: "{id}" }
      GET /perhaps/{id}:
        sql: |
          SELECT id FROM item WHERE id = :id
        answer: row
        no_row: 204
      GET /nothing:
        sql: |
          SELECT
        answer: value
      GET /lines:
        sql: |
          SELECT string_agg(name, E'\\n' ORDER BY id) FROM item
        answer: value
        headers: { Content-Type: text/csv }
      POST /items:
        sql: |
          INSERT INTO item (name, parent) VALUES (:name, :parent) RETURNING id
        body: [name, parent]
        answer: row
        status: 201
        headers: { Location: "/items/{id}", X-Name: "{name}" }
      PUT /items/{id}:
        sql: |
          UPDATE item SET name = :name WHERE id = :id
        body: [name]
        answer: none
      POST /accept:
        sql: |
          INSERT INTO visit VALUES (:path)
        body: [path]
        answer: none
        status: 202
      POST /forget:
        sql: |
          SELECT forget()
        answer: none
      GET /visit:
        sql: |
          SELECT visit('counted') AS visits
        answer: row
        lane: write
      GET /visit-read:
        sql: |
          SELECT visit('refused') AS visits
        answer: row
      GET /session:
        sql: |
          SELECT current_setting('transaction_read_only') AS read_only, pg_backend_pid() AS pid
        answer: row
      GET /session-write:
        sql: |
          SELECT current_setting('transaction_read_only') AS read_only, pg_backend_pid() AS pid
        answer: row
        lane: write
      POST /session:
        sql: |
          SELECT current_setting('transaction_read_only') AS read_only, pg_backend_pid() AS pid
        answer: row
      POST /session-read:
        sql: |
          SELECT current_setting('transaction_read_only') AS read_only, pg_backend_pid() AS pid
        answer: row
        lane: read
      GET /sleep/{seconds}:
        sql: |
          SELECT 1 AS one FROM pg_sleep(:seconds)
        answer: row
      GET /sleep-briefly/{seconds}:
        sql: |
          SELECT 1 AS one FROM pg_sleep(:seconds)
        answer: row
        deadline: 200ms
      POST /sleep/{seconds}:
        sql: |
          INSERT INTO visit SELECT 'slow' FROM pg_sleep(:seconds)
        answer: none
        deadline: 200ms
      GET /changing:
        sql: |
          SELECT * FROM changing
        answer: rows
      POST /changing:
        sql: |
          UPDATE changing SET a = a + 1 RETURNING *
        answer: row
    $values
    CONF
my $client = $server->client;

subtest 'answer: rows is an array, answer: row an object' => sub {
    is $client->get('/items')->body, '[{"id":1,"name":"one"},{"id":2,"name":"two"},{"id":3,"name":null}]', 'rows';
    is $client->get('/none')->body, '[]', 'no rows';
    is $client->get('/items/2')->json->{name}, 'two', 'row';
};

subtest 'answer: value is the first column of the first row, as it is' => sub {
    for my $kind (sort keys %VALUE) {
        my (undef, $type, $body) = $VALUE{$kind}->@*;
        my $response = $client->get("/value/$kind");
        is $response->status, 200, $kind;
        header_is $response, 'Content-Type',   $type;
        header_is $response, 'Content-Length', length $body;
        is $response->body, $body, '… as it is';
    }
    my $response = $client->get('/lines');
    is $response->body, "one\ntwo", 'a text';
    header_is $response, 'Content-Type', 'text/csv';
    problem_is $client->get('/items/99/name'), 404, {}, 'no row is 404';
    problem_is $client->get('/items/3/name'), 404, {}, 'and so is NULL';
    problem_is $client->get('/nothing'), 404, {}, '… and a row without columns';
};

subtest 'answer: none is 204, and 404 if no row was touched' => sub {
    my $response = $client->request('PUT', '/items/2', json => '{"name":"second"}');
    is $response->status, 204, 'one row';
    is_deeply [ grep { /^(?:content|transfer)-/ } $response->names ], [], 'no header field about a body';
    is $client->get('/items/2')->json->{name}, 'second', 'it is done';
    problem_is $client->request('PUT', '/items/99', json => '{"name":"x"}'), 404, {}, 'no row';
    is $client->request('POST', '/accept', json => '{"path":"a"}')->status, 202, 'another status';
    is $client->request('POST', '/forget')->status, 204, 'a function that answers nothing';
    is $cluster->value('SELECT count(*) FROM visit'), 0, 'it was called';
};

subtest 'no_row changes what no row is' => sub {
    my $response = $client->get('/gone/99');
    is $response->status, 410, 'an error';
    header_is $response, 'Content-Type', 'application/problem+json';
    is $response->json->{title}, 'Gone', '… with its title';
    header_is $response, 'X-Id', '99', 'a header with a parameter goes out on errors, too';
    $response = $client->get('/perhaps/99');
    is $response->status, 204, 'none';
    is $response->body, '', '… with nothing';
    is $client->get('/perhaps/1')->body, '{"id":1}', 'and a row is a row';
};

subtest 'headers take columns of the first row and parameters' => sub {
    my $response = $client->get('/items/1');
    header_is $response, 'X-Both', '{1} one';
    header_is $response, 'X-Id',   '1';
    header_is $response, 'Location', '/a%20b/one%2F%C3%BC%3F', 'Location: a column is percent-encoded, the text is as written';
    header_is $response, 'Link', '</one/' . "\xc3\xbc" . '?>; rel="self"', 'other headers have it as it is';
    header_is $client->get('/items'), 'X-First', 'one', 'the first of several rows';

    $response = $client->get('/items/3');
    is $response->status, 200, 'a row with NULL';
    header_is $response, $_, undef, "$_ is dropped" for qw(X-Both Location Link);
    header_is $response, 'X-Id', '3';
    for my $before ('/items', '/items/1', '/lines', '/none', '/hello') {
        $client->get($before);
        $response = $client->get('/none');
        is $response->status, 200, "no row, behind $before";
        header_is $response, 'X-First', undef, '… no column';
    }

    $response = $client->request('POST', '/items', json => '{"name":"a body"}');
    like $response->header('Location'), qr{^/items/\d+$}, 'a column';
    header_is $response, 'X-Name', 'a body', 'a field of the body';
};

subtest 'headers go out on errors, and defaults hold for the whole file' => sub {
    header_is $client->get($_), 'Cache-Control', 'no-store', "Cache-Control of $_"
      for qw(/hello /items /items/99 /items/x /items?x=1 /gone/1 /value/text);
    header_is $client->request('PUT', '/items/1', body => 'x'), 'Cache-Control', 'no-store', 'Cache-Control of a 415';
    header_is $client->get('/hello'), 'X-From', 'defaults';
    header_is $client->get('/items'), 'X-From', 'the route', 'the route\'s own comes first';
    my $response = $client->get('/items/99');
    header_is $response, 'X-Id', '99', 'a parameter on a 404';
    header_is $response, 'X-Both', undef, 'a header without all it names is dropped';
    header_is $response, 'Content-Type', 'application/problem+json';
    header_is $client->get('/nowhere'), 'Cache-Control', undef, 'where there is no route there are no headers';
};

subtest 'GET reads, unless the route says lane: write' => sub {
    is $client->get('/visit')->body, '{"visits":1}', 'a GET on the write lane writes';
    is $client->get('/visit')->body, '{"visits":2}', '… again';
    problem_is $client->get('/visit-read'), 500, {}, 'one on the read lane does not';
    is $cluster->value('SELECT count(*) FROM visit'), 2, 'as the table says';

    my %session = map { ($_->[1] => $client->request(@$_)->json) }
      [ 'GET', '/session' ], [ 'POST', '/session' ], [ 'GET', '/session-write' ], [ 'POST', '/session-read' ];
    my $read  = $client->get('/session')->json;
    my $write = $client->request('POST', '/session')->json;
    is $read->{read_only},  'on',  'the session of GET is read-only';
    is $write->{read_only}, 'off', 'that of POST is not';
    isnt $read->{pid}, $write->{pid}, 'they are two';
    is $session{'/session-write'}{pid}, $write->{pid}, 'lane: write takes the one of POST';
    is $session{'/session-read'}{pid},  $read->{pid},  'lane: read takes the one of GET';
};

subtest 'the read lane may have a database of its own' => sub {
    $cluster->psql('CREATE DATABASE replica', 'postgres');
    my $other = server(<<~CONF);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
          read: ${\ $cluster->conninfo(dbname => 'replica') }
        routes:
          GET /where:
            sql: |
              SELECT current_database()
            answer: value
          POST /where:
            sql: |
              SELECT current_database()
            answer: value
          GET /where-written:
            sql: |
              SELECT current_database()
            answer: value
            lane: write
        CONF
    is $other->wait_for_status('/where', 200)->body, 'replica', 'GET';
    is $other->wait_for_status('/where-written', 200)->body, 'contacts', 'GET with lane: write';
    is $other->request('POST', '/where')->body, 'contacts', 'POST';
    is $other->stop, 'exit 0';
};

subtest 'a constraint that fails at the commit is 409, not 201' => sub {
    my $before   = $cluster->value('SELECT count(*) FROM item');
    my $response = $client->request('POST', '/items', json => '{"name":"orphan","parent":99}');
    problem_is $response, 409, { constraint => 'item_parent_fkey' }, 'a deferred foreign key';
    header_is $response, 'Location', undef, 'there is no such place';
    is $cluster->value('SELECT count(*) FROM item'), $before, 'nothing is written';
    is $client->request('POST', '/items', json => '{"name":"child","parent":1}')->status, 201, 'a right one is written';
};

# How many queries are asleep in PostgreSQL?
sub sleeping ()
{
    return $cluster->value(<<~'SQL', 'postgres');
        SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        SQL
}

subtest 'every route has its deadline' => sub {
    is $client->get('/sleep/0.5')->body, '{"one":1}', 'that of the limits';
    my $start = time;
    problem_is $client->get('/sleep-briefly/60'), 504, {}, 'its own, a GET';
    problem_is $client->request('POST', '/sleep/60'), 504, {}, 'its own, a POST';
    cmp_ok time - $start, '<', 2, '… soon';
    wait_for('PostgreSQL to give the queries up', sub { !sleeping() });
    is $cluster->value(q(SELECT count(*) FROM visit WHERE path = 'slow')), 0, 'nothing is written';
    is $client->request('POST', '/sleep/0')->status, 204, 'a fast one is done';
    is $client->get('/sleep-briefly/0')->status, 200, '… and so is a GET';
};

subtest 'after DDL a statement is prepared again' => sub {
    is $client->get('/changing')->body, '[{"a":1}]', 'before';
    is $client->request('POST', '/changing')->body, '{"a":2}', 'before, written';
    $cluster->psql('ALTER TABLE changing ADD b text DEFAULT \'new\'');
    is $client->get('/changing')->body, '[{"a":2,"b":"new"}]', 'a column more';
    my $response = wait_for('the POST to be prepared again',
        sub { my $r = $client->request('POST', '/changing'); $r->status == 200 ? $r : undef });
    is $response->body, '{"a":3,"b":"new"}', 'a column more, written once';
    $cluster->psql('ALTER TABLE changing ALTER a TYPE text, DROP b');
    is $client->get('/changing')->body, '[{"a":"3"}]', 'another type';
    $cluster->psql('DROP TABLE changing');
    problem_is $client->get('/changing'), 500, {}, 'the table is gone';
    $cluster->psql('CREATE TABLE changing AS SELECT 5 AS a, true AS c');
    is $client->get('/changing')->body, '[{"a":5,"c":true}]', 'it is there again';
    is $client->get('/items/1')->json->{name}, 'one', 'the other routes never noticed';
};

is $server->stop, 'exit 0', 'it ends well';
done_testing;
