# Who is to blame for an error: the client, whose value cannot be used, or those who keep the tables and the SQL. A client
# is told the name of a parameter only where PostgreSQL names it.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<~'SQL');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE FUNCTION inverse(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 1 / n; END $$;
    CREATE DOMAIN invertible AS int CHECK (inverse(VALUE) >= 0);
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE note (id int PRIMARY KEY, text text, mood mood);
    INSERT INTO note VALUES (1, '10', 'glad'), (2, 'ten', 'sad');
    SQL

my $conf = <<~'CONF';
    workers: 1
    routes:
      GET /regex:
        sql: "SELECT 'abc' ~ :q AS v"
        query: [q]
        answer: row
      GET /some:
        sql: "SELECT g FROM generate_series(1, 3) g LIMIT :n OFFSET :o"
        query: { n: 1, o: 0 }
        answer: rows
      GET /part:
        sql: "SELECT substring('abc' FROM 1 FOR :n::int) AS v"
        query: [n]
        answer: row
      GET /jsonpath:
        sql: "SELECT jsonb_path_query_array('{}'::jsonb, :p) AS v"
        query: [p]
        answer: row
      GET /like:
        sql: "SELECT 'ab' LIKE 'a%' ESCAPE :e AS v"
        query: [e]
        answer: row
      GET /bits:
        sql: "SELECT :b::varbit & B'1010' AS v"
        query: [b]
        answer: row
      GET /inverse:
        sql: "SELECT inverse(:n) AS v"
        query: { n: 0 }
        answer: row
      GET /numbers:
        sql: "SELECT text::int AS n FROM note WHERE id >= :from ORDER BY id"
        query: { from: 1 }
        answer: rows
      GET /number:
        sql: "SELECT text::int AS n FROM note WHERE id = 2"
        answer: row
      POST /notes:
        sql: |
          INSERT INTO note SELECT * FROM jsonb_populate_record(NULL::note, :note) RETURNING id
        body: [id, text, mood]
        body_as: note
        answer: row
      POST /parts:
        sql: |
          SELECT :json::json AS json, :mood::mood AS mood, :positive::positive AS positive,
                 :invertible::invertible AS invertible, :word::tsquery AS word, :table::regclass AS "table",
                 :schema::regnamespace AS schema, :n::int AS n
        body: [json, mood, positive, invertible, word, table, schema, n]
        answer: row
    CONF

my $server = server($conf, cluster => $cluster, lanes => 2, options => { 'database.connect' => $cluster->conninfo });
my $client = $server->client;

# Only the first line of a kind in a minute is a line of its own.
sub logs_are ($level, $pattern, $name)
{
    my @lines = $server->log_lines(qr/ $level .*$pattern/);
    return is scalar @lines, 1, $name;
}

subtest 'a value of the client that the SQL cannot use: 400, no name, a warning' => sub {
    for (
        [ '/regex?q=(',           '2201B' ],
        [ '/some?n=-1',           '2201W' ],
        [ '/some?o=-5',           '2201X' ],
        [ '/part?n=-1',           '22011' ],
        [ '/jsonpath?p=strict+$.a', '2203A' ],
        [ '/like?e=xx',           '22025' ],
        [ '/bits?b=1',            '22026' ],
        [ '/inverse?n=0',         '22012' ],
      ) {
        my ($target, $state) = @$_;
        my ($path) = $target =~ /^([^?]*)/;
        problem_is $client->get($target), 400, {}, $target;
        problem_is $client->get($target), 400, {}, '… and once more';
        logs_are 'warn', "GET \Q$path\E: 400: SQLSTATE $state: ", "… one line about GET $path and $state";
    }
    is_deeply [ $server->log_lines(qr/ error /) ], [], 'nobody has to look at it now';
};

subtest 'a value of the tables that the SQL cannot use' => sub {
    problem_is $client->get('/number'), 500, {}, 'without a value of the client: 500';
    logs_are 'error', 'GET /number: 500: SQLSTATE 22P02: .*"ten"', '… an error';
    problem_is $client->get('/numbers'), 500, {}, 'where it left all values to the route, too';
    logs_are 'error', 'GET /numbers: 500: SQLSTATE 22P02: .*"ten"', '… an error';
    problem_is $client->get('/numbers?from=2'), 400, {}, 'with one: PostgreSQL does not say whose it is, 400';
    logs_are 'warn', 'GET /numbers: 400: SQLSTATE 22P02: .*"ten"', '… a warning, which tells of the row';
    problem_is $client->get('/inverse'), 500, {}, 'a default that cannot be used';
    logs_are 'error', 'GET /inverse: 500: SQLSTATE 22012', '… is an error, too';
};

subtest 'fields of a body that PostgreSQL takes apart have no names for it' => sub {
    for (qw({"id":"x"} {"id":5,"mood":"bored"} {"id":99999999999})) {
        problem_is $client->request('POST', '/notes', json => $_), 400, {}, $_;
    }
    logs_are 'warn', "POST /notes: 400: SQLSTATE $_", "a warning about $_" for qw(22P02 22003);
    is $cluster->value('SELECT count(*) FROM note'), 2, 'nothing was written';
};

# Whatever the server adds to its words about a parameter.
for my $setting (0, -1, 3) {
    subtest "log_parameter_max_length_on_error = $setting" => sub {
        $cluster->psql("ALTER DATABASE contacts SET log_parameter_max_length_on_error = $setting");
        my $other = server($conf, cluster => $cluster, lanes => 2, options => { 'database.connect' => $cluster->conninfo });
        my $one   = $other->client;
        for (
            [ mood       => '"bored"' ],
            [ mood       => '"a\n$5"' ],
            [ mood       => q("''") ],
            [ mood       => q("'") ],
            [ mood       => q("$8 = 'x'\n$7") ],
            [ mood       => q("bored' parameter $2 = 'x") ],
            [ mood       => q("\n'$1 = '") ],
            [ invertible => '0' ],
            [ word       => '"a b"' ],
            [ table      => '"nowhere"' ],
            [ schema     => '"nowhere"' ],
          ) {
            my ($name, $json) = @$_;
            my $response = $one->request('POST', '/parts', json => qq({"$name":$json}));
            problem_is $response, 400, { parameter => $name }, "$name: $json";
            is $response->json->{detail}, "$name is not a value of its type.", '… and in words';
        }
        problem_is $one->request('POST', '/parts', json => '{"positive":0}'), 422,
          { parameter => 'positive', constraint => 'positive_check' }, 'a rule of a domain';
        problem_is $one->get('/inverse?n=0'), 400, {}, 'an error that comes later names nothing';
        is_deeply [ $other->log_lines(qr/ (?:warn|error) (?!.*GET \/inverse)/) ], [], 'what has a name is in no log';
        is $other->stop, 'exit 0', 'it ends well';
    };
}

is $server->stop, 'exit 0', 'it ends well';
done_testing;
