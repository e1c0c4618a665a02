# What goes wrong, and the status that each mistake gets. An answer never has PostgreSQL's DETAIL, SQL or anything
# of the server's inside in it; the log line with the same request id has.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<'SQL');
    CREATE TABLE shelf (id int PRIMARY KEY);
    CREATE TABLE book (
        id int CONSTRAINT book_pkey PRIMARY KEY,
        title text NOT NULL,
        pages int CONSTRAINT pages_are_positive CHECK (pages > 0),
        shelf int CONSTRAINT on_a_shelf REFERENCES shelf,
        lent int4range,
        CONSTRAINT lent_once EXCLUDE USING gist (lent WITH &&)
    );
    INSERT INTO shelf VALUES (1), (2);
    INSERT INTO book VALUES (1, 'Secret title', 100, 1, '[1,5)');
    CREATE TABLE locked (id int);
    CREATE TABLE coming (id int);
    CREATE FUNCTION raise(code text, message text) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = 'secret detail', HINT = 'secret hint';
        END
    $$;
    CREATE FUNCTION put_up(shelf int) RETURNS int LANGUAGE sql AS $$ INSERT INTO shelf VALUES (shelf) RETURNING id $$;
    CREATE ROLE clerk LOGIN;
    GRANT SELECT, INSERT, UPDATE, DELETE ON book, shelf TO clerk;
SQL

my $server = server(<<~CONF, cluster => $cluster, lanes => 2);
    workers: 1
    database:
      connect: ${\ $cluster->conninfo(user => 'clerk') }
    limits:
      body: 10K
      target: 2K
      head: 8K
      deadline: 3s
    routes:
      GET /books/{id}:
        sql: |
          SELECT id, title FROM book WHERE id = :id
        answer: row
      GET /books/{id}/maybe:
        sql: |
          SELECT id, title FROM book WHERE id = :id
        answer: row
        no_row: 204
      POST /books:
        sql: |
          INSERT INTO book (id, title, pages, shelf, lent) VALUES (:id, :title, :pages, :shelf, :lent)
          RETURNING id
        body:
          id: { required: true }
          title:
          pages:
          shelf: { default: 1 }
          lent:
        answer: row
        status: 201
      DELETE /shelves/{id}:
        sql: |
          DELETE FROM shelf WHERE id = :id
        answer: none
      GET /dates/{date}:
        sql: |
          SELECT :date::date AS date, :kind::pg_catalog.regtype AS kind, :box::box AS box
        query: [kind, box]
        answer: row
      POST /raise:
        sql: |
          SELECT raise(:code, :message)
        body: [code, message]
        answer: row
      POST /divide:
        sql: |
          SELECT :a::int / :b::int AS quotient
        body: [a, b]
        answer: row
      GET /locked:
        sql: |
          SELECT id FROM locked
        answer: rows
      GET /write/{id}:
        sql: |
          SELECT put_up(:id) AS id
        answer: row
      GET /ghosts:
        sql: |
          SELECT id FROM ghost
        answer: rows
      GET /sleep/{seconds}:
        sql: |
          SELECT 1 AS one FROM pg_sleep(:seconds)
        answer: row
        deadline: 300ms
    CONF
my $client = $server->client;

my $INSIDE = qr/secret|DETAIL|HINT|SELECT|INSERT|DELETE|SQLSTATE|plpgsql|book \(|relation|\bpg_|src\/|PL\/|Secret title/;

# Checks the problem that a request gets, and that it tells nothing of the inside.
#   body    what to send, a JSON text
#   detail  a pattern for what people are told
#   log     a pattern for the one line that the log has with the request id
sub refuses ($method, $target, $status, $members, $name, %with)
{
    return subtest $name => sub {
        my $response = $client->request($method, $target, defined $with{body} ? (json => $with{body}) : ());
        problem_is $response, $status, $members, "$method $target " . ($with{body} // '');
        unlike $response->body, $INSIDE, 'nothing of the inside';
        my $problem = $response->json;
        like $problem->{detail}, $with{detail}, 'the detail' if defined $with{detail};
        if (defined $with{log}) {
            my @lines = $server->log_lines(qr/$problem->{request_id}/);
            is scalar @lines, 1, 'one line in the log has the request id';
            like $lines[0], qr/ $with{level} .*\Q$with{route}\E.*$with{log}/, '… the route and the reason';
        }
        return $response;
    };
}

subtest '400: the request is malformed or a value is not of its type' => sub {
    refuses 'POST', '/books', 400, {}, 'no JSON', body => '{"id":', detail => qr/JSON/;
    refuses 'POST', '/books', 400, {}, 'no object', body => '[1]', detail => qr/object/;
    refuses 'POST', '/books', 400, { parameter => 'id' }, 'a parameter is missing', body => '{"title":"T"}',
      detail => qr/\bid\b/;
    refuses 'POST', '/books', 400, { parameter => 'pages' }, 'a wrong type in the body',
      body => '{"id":2,"title":"T","pages":"many"}', detail => qr/pages.*whole number/;
    refuses 'POST', '/books', 400, { parameter => 'lent' }, 'a wrong type that only PostgreSQL knows, in the body',
      body => '{"id":2,"title":"T","lent":"[5,1)"}', detail => qr/\blent\b/;
    refuses 'POST', '/books', 400, { parameter => 'author' }, 'an unknown field', body => '{"id":2,"author":"A"}';
    refuses 'GET', '/books/one', 400, { parameter => 'id' }, 'a wrong type in the path', detail => qr/whole number/;
    refuses 'GET', '/books/1?page=2', 400, { parameter => 'page' }, 'an unknown URL parameter';
    refuses 'GET', "/dates/$_", 400, { parameter => 'date' }, "the date $_", detail => qr/\bdate\b/
      for qw(2024-02-30 tomorrowish 2024-13-01 %27 9999999-01-01);
    refuses 'GET', '/dates/today?box=square', 400, { parameter => 'box' }, 'a wrong box';
    is $client->get('/dates/2024-02-29')->body, '{"date":"2024-02-29","kind":null,"box":null}', 'a right one is taken';
};

subtest '400: a value cannot be used, and PostgreSQL does not say which' => sub {
    refuses 'POST', '/divide', 400, {}, 'a division by zero', body => '{"a":1,"b":0}', detail => qr/zero/,
      route => 'POST /divide', level => 'warn', log => qr/22012.*division by zero/;
};

subtest 'RAISE EXCEPTION is 400 with its message, or the status of its SQLSTATE PTnnn' => sub {
    for (
        [ 'P0001', 400, 'Not on a Sunday.' ],
        [ 'PT402', 402, 'Pay "first", then read.' ],
        [ 'PT403', 403, 'Only for members.' ],
        [ 'PT404', 404, 'No such branch.' ],
        [ 'PT409', 409, 'Taken: {id} %s \ ünïcödé.' ],
        [ 'PT422', 422, 'Too many books.' ],
        [ 'PT503', 503, 'Closed just now.' ],
      ) {
        my ($code, $status, $message) = @$_;
        my $json     = $message =~ s/(["\\])/\\$1/gr;
        my $response = $client->request('POST', '/raise', json => qq({"code":"$code","message":"$json"}));
        problem_is $response, $status, {}, $code;
        utf8::decode(my $text = $message);
        is $response->json->{detail}, $text, '… with its message';
        unlike $response->body, $INSIDE, '… and without its detail';
    }
    for my $code (qw(PT200 PT399 PT600 PTABC 45000 P0002 XX000)) {
        refuses 'POST', '/raise', 500, {}, "$code is any other error",
          body  => qq({"code":"$code","message":"secret message"}),
          route => 'POST /raise', level => 'error', log => qr/$code.*secret message/;
    }
};

subtest '403: a GRANT is missing' => sub {
    refuses 'GET', '/locked', 403, {}, 'a table that may not be read',
      route => 'GET /locked', level => 'error', log => qr/42501.*permission denied for table locked/;
};

subtest '404: no row, unless no_row says else' => sub {
    refuses 'GET', '/books/99', 404, {}, 'answer: row';
    refuses 'DELETE', '/shelves/99', 404, {}, 'answer: none';
    my $response = $client->get('/books/99/maybe');
    is $response->status, 204, 'no_row: 204';
    is $response->body, '', '… with nothing';
    is $client->get('/books/1/maybe')->status, 200, '… and 200 for a row';
};

subtest '405: the path is known, the method is not' => sub {
    my $response = $client->request('PATCH', '/books', json => '{}');
    problem_is $response, 405, {}, 'PATCH /books';
    header_is $response, 'Allow', 'POST, OPTIONS';
};

subtest '409: in conflict with other rows' => sub {
    refuses 'POST', '/books', 409, { constraint => 'book_pkey' }, 'a key that is taken', body => '{"id":1,"title":"T"}';
    refuses 'POST', '/books', 409, { constraint => 'on_a_shelf' }, 'a row that is not there',
      body => '{"id":2,"title":"T","shelf":7}';
    refuses 'DELETE', '/shelves/1', 409, { constraint => 'on_a_shelf' }, 'a row that others name';
    refuses 'POST', '/books', 409, { constraint => 'lent_once' }, 'an exclusion', body => '{"id":2,"title":"T","lent":"[4,9)"}';
};

subtest '422: a value breaks a rule of the table' => sub {
    refuses 'POST', '/books', 422, { constraint => 'pages_are_positive' }, 'a check', body => '{"id":2,"title":"T","pages":0}';
    refuses 'POST', '/books', 422, { parameter => 'title' }, 'not null', body => '{"id":2}';
    is $cluster->value('SELECT count(*) FROM book'), 1, 'nothing was written so far';
    is $client->request('POST', '/books', json => '{"id":2,"title":"T"}')->status, 201, 'what is right is written';
};

subtest '413: the body is too large' => sub {
    my $body = '{"id":3,"title":"' . 'x' x 10_240 . '"}';
    my $one  = $server->client;
    problem_is $one->request('POST', '/books', json => $body), 413, {}, 'its length is told';

    $one = $server->client;
    $one->send("POST /books HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    $one->send(sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body);
    problem_is $one->receive, 413, {}, 'its length is not told';
    is $cluster->value('SELECT count(*) FROM book WHERE id = 3'), 0, 'nothing is written';
};

subtest '414 and 431: the target or the head is too long' => sub {
    problem_is $server->get('/books/' . '1' x 2_100), 414, {}, 'a target of 2,100 bytes';
    problem_is $server->get('/books/1', headers => { Long => 'x' x 9_000 }), 431, {}, 'a head of 9,000 bytes';
};

subtest '415: the body is not JSON' => sub {
    my $response = $client->request('POST', '/books', body => 'id=3', headers => { 'Content-Type' => 'text/plain' });
    problem_is $response, 415, {}, 'text/plain';
};

subtest '500: a GET that writes' => sub {
    refuses 'GET', '/write/3', 500, {}, 'a route without lane: write',
      route => 'GET /write/{id}', level => 'error', log => qr/25006.*(?:POST.*lane: write|lane: write.*POST)/;
    is $cluster->value('SELECT count(*) FROM shelf'), 2, 'nothing is written';
    problem_is $client->request('POST', '/raise', json => '{"code":"25006","message":"secret"}'), 500, {}, 'a POST that cannot';
    is scalar $server->log_lines(qr{ error .*POST /raise: 500: SQLSTATE 25006: secret.*; is default_transaction_read_only set}), 1,
      '… has nothing to do with the lane';
};

subtest '500: any other mistake of the route' => sub {
    refuses 'GET', '/ghosts', 500, {}, 'a statement that could not be prepared';
    is scalar(my @lines = $server->log_lines(qr{ error .*GET /ghosts.*relation "ghost" does not exist})), 1,
      'the log says why, once';
};

subtest '503: not done, come again' => sub {
    for my $code (qw(40001 40P01 53100 53200 57P01 08006)) {
        my $response = $client->request('POST', '/raise', json => qq({"code":"$code","message":"secret"}));
        problem_is $response, 503, {}, "SQLSTATE $code";
        like $response->header('Retry-After'), qr/^[1-9]\d?$/, '… with seconds to wait in Retry-After';
        unlike $response->body, $INSIDE, '… and nothing of the inside';
    }
};

subtest '504: it may have been done' => sub {
    my $response = $client->get('/sleep/60');
    problem_is $response, 504, {}, 'no answer by the deadline';
    header_is $response, 'Retry-After', undef;
    $response = $client->request('POST', '/raise', json => '{"code":"57014","message":"secret"}');
    problem_is $response, 504, {}, 'SQLSTATE 57014';
    unlike $response->body, $INSIDE, '… and nothing of the inside';
    is $server->wait_for_status('/sleep/0', 200)->body, '{"one":1}', 'the next one is served';
};

subtest 'what the client did wrong is no error in the log' => sub {
    my @errors = $server->log_lines(qr/ (?:warn|error) worker 1\[\d+\]: \w+ (?!\/(?:raise|divide|ghosts|write|locked|sleep))/);
    is_deeply \@errors, [], 'no complaint about the other routes';
};

is $client->get('/books/1')->body, '{"id":1,"title":"Secret title"}', 'all is well after all that';
is $server->stop, 'exit 0', 'it ends well';
done_testing;
