# What a session must survive: tables that change, functions that raise anything, settings, a server that is silent.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<~'SQL');
    CREATE TABLE tagged (id int, tags text[], note text);
    INSERT INTO tagged VALUES (1, '{a,b}', 'first');
    CREATE SEQUENCE calls;
    CREATE FUNCTION picky() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM nextval('calls');
        RAISE 'not today' USING ERRCODE = '0A000';
    END $$;
    ALTER DATABASE postgres SET bytea_output = escape;
    SQL

my $server = server(<<~CONF, cluster => $cluster);
    workers: 1
    limits: { deadline: 1s, body: 16M }
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /tagged:
        sql: "SELECT * FROM tagged"
        answer: rows
      POST /picky:
        sql: "SELECT picky()"
        answer: row
      GET /bytes:
        sql: "SELECT '\\\\x00ff41'::bytea"
        answer: value
      GET /latin:
        sql: "SELECT set_config('client_encoding', 'LATIN1', false) AS x"
        answer: row
      GET /accent:
        sql: "SELECT 'é' AS x"
        answer: row
      GET /backend:
        sql: "SELECT pg_backend_pid() AS pid"
        answer: row
      POST /length:
        sql: "SELECT length(:text) AS length, pg_backend_pid() AS pid"
        body: [text]
        answer: row
      GET /text:
        text: "here\\n"
    CONF
my $client = $server->client;

subtest 'a table whose columns change under a statement that needs to_json' => sub {
    is $client->get('/tagged')->body, '[{"id":1,"tags":["a","b"],"note":"first"}]', 'before';
    $cluster->psql(q(ALTER TABLE tagged DROP note, ADD owner text DEFAULT 'Ann'));
    is $client->get('/tagged')->body, '[{"id":1,"tags":["a","b"],"owner":"Ann"}]', 'no value under another name';
    $cluster->psql('ALTER TABLE tagged RENAME owner TO keeper');
    is $client->get('/tagged')->body, '[{"id":1,"tags":["a","b"],"keeper":"Ann"}]', 'a new name';
};

subtest 'a function that raises 0A000 itself runs once for a request' => sub {
    problem_is $client->request('POST', '/picky'), 500, {}, 'its error';
    is $cluster->value(q(SELECT last_value FROM calls)), 1, 'one call';
};

subtest 'bytea, whatever bytea_output is' => sub {
    is $client->get('/bytes')->body, "\0\xffA", 'the bytes';
};

subtest 'a statement that changes the encoding of its session spoils nobody\'s answer' => sub {
    $client->get('/latin');
    wait_for('a session in UTF-8', sub { $client->get('/accent')->status == 200 });
    is $client->get('/accent')->json->{x}, "\x{e9}", 'UTF-8';
};

subtest 'a backend that says nothing any more is given up' => sub {
    my $pid = $client->get('/backend')->json->{pid};
    kill 'STOP', $pid or die;
    problem_is $server->client->get('/backend'), 504, {}, 'the request that waited for it';
    my $other = wait_for('another backend', sub {
        my $response = $server->client->get('/backend');
        $response->status == 200 ? $response->json->{pid} : undef;
    });
    isnt $other, $pid, 'others are served by another one';
    kill 'CONT', $pid;
};

subtest 'a backend that reads nothing any more is given up, with half a query on its way' => sub {
    my $pid = $client->request('POST', '/length', json => '{"text":"x"}')->json->{pid};
    kill 'STOP', $pid or die;
    problem_is $server->client->request('POST', '/length', json => '{"text":"' . 'x' x (12 << 20) . '"}'), 504, {},
      'the request that waited for it';
    my $served = 0;
    wait_for('its connection to be given up', sub {
        $served++ if $client->get('/text')->body eq "here\n";
        return $server->log_lines(qr/lost the connection to the database \(lane write\): no answer from the database/);
    });
    cmp_ok $served, '>', 0, 'who needs no database is served meanwhile';
    my $response = $server->client->request('POST', '/length', json => '{"text":"xyz"}');
    is $response->json->{length}, 3, 'others are served';
    isnt $response->json->{pid}, $pid, '… by another one';
    kill 'CONT', $pid;
};

is $server->stop, 'exit 0', 'it ends well';
done_testing;
