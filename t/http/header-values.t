# Header fields that are made from values: one with a control character, which could begin a field or an answer of its
# own (RFC 9110 section 5.5), is never sent, and neither is a part of it. From the client it is refused before anything
# is done; from a column it is a fault in the data, and the answer tells whether the query has changed something.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Upstream;

my $BAD  = qr/[\x00-\x08\x0a-\x1f\x7f]/;
my @BAD  = ("a\r\nSet-Cookie: b=c", "a\nb", "a\rb", "\r\n\r\nGET ?", "a\x01", "\x7f", "a\x0b", "\x1b[2J");
my $SHORTLY = 0.2;    # seconds, for what must not happen

sub escaped ($text)
{
    return join '', map { sprintf '%%%02X', $_ } unpack 'C*', $text;
}

sub json ($text)
{
    return join '', map { sprintf '\\u%04x', $_ } unpack 'C*', $text;
}

sub name_of ($text)
{
    return Hayfork::Test::Response::excerpt($text);
}

# The fields that a value could have got into, or made.
sub suspicious ($response)
{
    return [ grep { /^(?:set-cookie|x-(?!request-id))/ } $response->names ];
}

# --- routes with sql ---

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<'SQL');
    CREATE TABLE note (id serial, text text, more text);
    CREATE TABLE many (id int, text text);
SQL

my $server = server(<<~CONF, cluster => $cluster, lanes => 2, options => { log => 'debug' });
    workers: 1
    database:
      connect: ${\ $cluster->conninfo }
    limits:
      buffer: 16K
    routes:
      POST /notes:
        sql: |
          INSERT INTO note (text, more) VALUES (:text, :more) RETURNING id
        body: [text, more]
        answer: row
        headers: { X-Text: "<{text}>", Location: "/notes/{text}" }
      POST /none:
        sql: |
          INSERT INTO note (text) VALUES (:text)
        body: [text]
        answer: none
        headers: { X-Text: "{text}" }
      POST /located:
        sql: |
          INSERT INTO note (text) VALUES (:text) RETURNING id
        body: [text]
        answer: row
        headers: { Location: "/notes/{text}" }
      POST /cleaned:
        sql: |
          INSERT INTO note (text) VALUES (:text) RETURNING regexp_replace(:text, '[\\x01-\\x1f\\x7f]', '?', 'g') AS text
        body: [text]
        answer: row
        headers: { X-Text: "{text}" }
      POST /stored:
        sql: |
          INSERT INTO note (text) VALUES (:text) RETURNING text AS title
        body: [text]
        answer: row
        headers: { X-Title: "{title}" }
      POST /many/{n}:
        sql: |
          INSERT INTO many (id, text) SELECT i, repeat('x', 500) FROM generate_series(1, :n) i
          RETURNING id, text, E'a\\nX-Evil: b' AS title
        answer: rows
        headers: { X-Title: "{title}" }
      GET /many/{n}:
        lane: write
        sql: |
          INSERT INTO many (id, text) SELECT i, repeat('x', 500) FROM generate_series(1, :n) i
          RETURNING id, text
        answer: rows
        headers: { X-N: "{n}" }
      GET /titles/{text}:
        sql: |
          SELECT :text::text AS title
        answer: row
        headers: { X-Title: "{title}" }
      GET /types/{type}:
        sql: |
          SELECT :type::text AS value
        answer: value
        headers: { Content-Type: "text/{type}" }
      GET /queries:
        sql: |
          SELECT :text::text AS value
        query: { text: fine }
        answer: row
        headers: { X-Text: "{text}" }
    CONF
my $client = $server->client;

sub rows ($table)
{
    return $cluster->value("SELECT count(*) FROM $table");
}

# The log lines about a response, without the time and the process.
sub lines_about ($response)
{
    return map { s/^\S+ (\w+) .*?\]: /$1: /r } $server->log_lines(qr/\(request ${\ $response->json->{request_id} }\)/);
}

subtest 'from the client: 400 with the parameter, before anything is done' => sub {
    for my $bad (@BAD) {
        my %text     = (text => json($bad));
        my $escaped  = escaped($bad);
        for (
            [ 'POST /notes',  $client->request('POST', '/notes', json => qq({"text":"$text{text}"})), 'text' ],
            [ 'POST /none',   $client->request('POST', '/none',  json => qq({"text":"$text{text}"})), 'text' ],
            [ 'GET /queries', $client->get("/queries?text=$escaped"),                                 'text' ],
            [ 'GET /types',   $client->get("/types/$escaped"),                                        'type' ],
          )
        {
            my ($where, $response, $parameter) = @$_;
            problem_is $response, 400, { parameter => $parameter }, "$where: " . name_of($bad);
            like $response->json->{detail}, qr/^$parameter has a control character/, '… and says why';
            is_deeply suspicious($response), [], '… with nothing of it in a field';
            is_deeply [ lines_about($response) ], [], '… and no line in the log';
        }
    }
    is rows('note'), 0, 'nothing was written';
    is $client->request('POST', '/notes', json => '{"text":"a\tb ä","more":"a\nb"}')->header('X-Text'), "<a\tb \xc3\xa4>",
      'a tab and letters are fine; what is in no field may be anything';
    is $client->get('/queries')->header('X-Text'), 'fine', 'a default is';
    is $client->get('/types/plain')->header('Content-Type'), 'text/plain', 'a type is';
    is rows('note'), 1, 'that was written';
};

subtest 'what is percent-encoded can do no harm' => sub {
    my $response = $client->request('POST', '/located', json => '{"text":"a\r\nX-Evil: b"}');
    is $response->status, 200, 'it is taken';
    is $response->header('Location'), '/notes/a%0D%0AX-Evil%3A%20b', 'and is one field';
};

subtest 'a column takes the place of the parameter: then it is the column that counts' => sub {
    my $response = $client->request('POST', '/cleaned', json => '{"text":"a\r\nX-Evil: b"}');
    is $response->status, 200, 'it is taken';
    is $response->header('X-Text'), 'a??X-Evil: b', 'as the database has cleaned it';
};

subtest 'from a column: 500, and a line in the log' => sub {
    for my $bad (@BAD) {
        my $response = $client->get('/titles/' . escaped($bad));
        problem_is $response, 500, {}, name_of($bad);
        is_deeply suspicious($response), [], '… with nothing of it in a field';
        unlike $response->json->{detail}, qr/done/, '… and nothing was done';
        my @lines = lines_about($response);
        is scalar @lines, 1, '… one line';
        like $lines[0], qr/^(?:error|debug): GET \/titles\/\{text\}: the value for X-Title has a control character \(/,
          '… has the route and the field';
        unlike $lines[0], $BAD, '… and nothing that cannot be read';
    }
    is $client->get('/titles/fine')->header('X-Title'), 'fine', 'the next one on the connection is fine';
};

subtest 'from a column of what was written: 500 with the words that it was done' => sub {
    my $before   = rows('note');
    my $response = $client->request('POST', '/stored', json => '{"text":"a\r\nX-Evil: b"}');
    problem_is $response, 500, {}, 'it cannot be sent';
    is_deeply suspicious($response), [], '… with nothing of it in a field';
    like $response->json->{detail}, qr/^This was done, but /, '… and says so';
    like +(lines_about($response))[0], qr/X-Title has a control character; what the query did is done/, '… as the log does';
    is rows('note'), $before + 1, 'it was done';
};

subtest 'the same of more rows than are held in memory: what was written stays' => sub {
    my $response = $client->request('POST', '/many/2000');
    problem_is $response, 500, {}, 'it cannot be sent';
    is_deeply suspicious($response), [], '… with nothing of it in a field';
    like $response->json->{detail}, qr/^This was done, but /, '… and says that it was done';
    is rows('many'), 2000, 'it was';
    $response = $client->request('HEAD', '/many/3000');
    is $response->status, 200, 'HEAD of what writes much';
    is $response->header('X-N'), 3000, '… has the fields';
    is rows('many'), 5000, '… and has written it by then';
};

is $server->stop, 'exit 0', 'it ends well';

# --- relays ---

subtest 'a part of the path in a field of a relay' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $relay    = server(<<~CONF);
        workers: 1
        routes:
          GET /headers/{x}/{y}:
            relay: ${\ $upstream->url('/{y}') }
            headers: { X-Text: "{x}" }
          GET /send/{x}/{y}:
            relay: ${\ $upstream->url('/{y}') }
            send: { X-Text: "<{x}>" }
          GET /location/{x}:
            relay: ${\ $upstream->url('/y') }
            headers: { Location: "/at/{x}" }
        CONF
    my $asker = $relay->client;
    my $pass  = sub ($path) {
        $asker->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n");
        my ($peer, $seen) = $upstream->next_request;
        $peer->send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
        return ($seen, $asker->receive);
    };
    for my $bad (@BAD, "\0") {
        for my $where ('headers', 'send') {
            my $response = $asker->get("/$where/" . escaped($bad) . '/y');
            problem_is $response, 400, { parameter => 'x' }, "$where: " . name_of($bad);
            is_deeply suspicious($response), [], '… with nothing of it in a field';
        }
    }
    ok !$upstream->knocked($SHORTLY), 'the upstream is not bothered';
    my ($seen, $response) = $pass->('/headers/a%20b/y%0d%0az');
    is $response->header('X-Text'), 'a b', 'what is fine is there';
    is $seen->target, '/y%0d%0az', 'what is in no field may be anything';
    ($seen) = $pass->('/send/a%09b/y');
    is $seen->header('X-Text'), "<a\tb>", 'to the upstream as well';
    (undef, $response) = $pass->('/location/a%0d%0aX:%00');
    is $response->header('Location'), '/at/a%0D%0AX%3A%00', 'what is percent-encoded can do no harm';
    is_deeply [ $relay->log_lines(qr/ (?:warn|error) /) ], [], 'all that without a line in the log';
    is $relay->stop, 'exit 0';
};

done_testing;
