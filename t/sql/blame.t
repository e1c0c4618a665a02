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
    CREATE FUNCTION finds(q text) RETURNS boolean LANGUAGE plpgsql STABLE AS
        $$ BEGIN RETURN to_tsvector('simple', 'a b') @@ to_tsquery('simple', q); END $$;
    CREATE FUNCTION rows_of_nothing(n int) RETURNS bigint LANGUAGE plpgsql STABLE AS
        $$ BEGIN RETURN (SELECT count(*) FROM nothing WHERE id = n); END $$;
    CREATE TABLE note (id int PRIMARY KEY, text text, mood mood);
    CREATE TYPE size AS ENUM ('small', 'large');
    INSERT INTO note VALUES (1, '10', 'glad'), (2, 'ten', 'sad');
    SQL

my $conf = <<~'CONF';
    workers: 1
    routes:
      GET /size:
        sql: "SELECT 'small'::size AS v, :n::int AS n"
        query: [n]
        answer: row
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
      GET /char:
        sql: "SELECT chr(:n) AS v"
        query: { n: 0 }
        answer: row
      GET /search:
        sql: "SELECT to_tsvector('simple', 'a b') @@ to_tsquery('simple', :q) AS v"
        query: { q: "no operator" }
        answer: row
      GET /finds:
        sql: "SELECT finds(:q) AS v"
        query: [q]
        answer: row
      GET /config:
        sql: "SELECT to_tsvector(:c::text::regconfig, 'a b')::text AS v"
        query: [c]
        answer: row
      GET /table:
        sql: "SELECT to_regclass(:t) AS maybe, :t::text::regclass AS v"
        query: [t]
        answer: row
      GET /function:
        sql: "SELECT :f::text::regprocedure AS v"
        query: [f]
        answer: row
      GET /schema:
        sql: "SELECT :s::text::regnamespace AS v"
        query: [s]
        answer: row
      GET /column:
        sql: "SELECT pg_get_serial_sequence('note', :c) AS v"
        query: [c]
        answer: row
      GET /nothing:
        sql: "SELECT rows_of_nothing(:n) AS v"
        query: [n]
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
    my @lines = $server->log_lines(qr/Z $level .*$pattern/);
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
        [ '/char?n=0',            '54000' ],
        [ '/search?q=a+b',        '42601' ],
        [ '/search?q=http://x',   '42601' ],
        [ '/finds?q=a+b',         '42601' ],
        [ '/config?c=none',       '42704' ],
        [ '/table?t=none',        '42P01' ],
        [ '/function?f=none(int)', '42883' ],
        [ '/schema?s=none',       '3F000' ],
        [ '/column?c=none',       '42703' ],
      ) {
        my ($target, $state) = @$_;
        my ($path) = $target =~ /^([^?]*)/;
        problem_is $client->get($target), 400, {}, $target;
        problem_is $client->get($target), 400, {}, '… and once more';
        next if $target eq '/search?q=http://x';    # the same route and state as before
        logs_are 'warn', "GET \Q$path\E: 400: SQLSTATE $state: ", "… one line about GET $path and $state";
    }
    is_deeply [ $server->log_lines(qr/Z error /) ], [], 'nobody has to look at it now';
};

subtest 'names and syntax that are not the client\'s' => sub {
    problem_is $client->get('/char'), 500, {}, 'a limit that a default of the conf exceeds';
    logs_are 'error', 'GET /char: 500: SQLSTATE 54000', '… is an error';
    problem_is $client->get('/search'), 500, {}, 'a default of the conf';
    logs_are 'error', 'GET /search: 500: SQLSTATE 42601', '… is an error';
    problem_is $client->get('/nothing?n=1'), 500, {}, 'a table that a function does not find';
    logs_are 'error', 'GET /nothing: 500: SQLSTATE 42P01: relation "nothing" does not exist', '… is an error';
    is $client->get('/search?q=a%26b')->body, '{"v":true}', 'what is good is good';
};

subtest 'a statement that no longer stands' => sub {
    $cluster->psql('ALTER FUNCTION finds(text) RENAME TO finds_no_more');
    problem_is $client->get('/finds?q=a+b'), 500, {}, 'is not the client\'s fault';
    logs_are 'error', 'GET /finds: 500: SQLSTATE 42883', '… and an error';
    logs_are 'error', 'GET /finds cannot be prepared and will answer 500: SQLSTATE 42883', '… with what follows from it';
    problem_is $client->get('/finds?q=a%26b'), 500, {}, 'whatever is asked';
    $cluster->psql('ALTER FUNCTION finds_no_more(text) RENAME TO finds');
    is $client->get('/finds?q=a%26b')->body, '{"v":true}', 'until it stands again';
    problem_is $client->get('/finds?q=a+b'), 400, {}, '… with the mistakes of clients';

    is $client->get('/size?n=1')->body, '{"v":"small","n":1}', 'a value in the SQL';
    $cluster->psql('CREATE SCHEMA away; ALTER TYPE size SET SCHEMA away; CREATE TYPE size AS (width int, height int)');
    problem_is $client->get('/size?n=1'), 500, {}, '… of which another type makes nothing';
    logs_are 'error', 'GET /size: 500: SQLSTATE 22P02: malformed record literal: "small"', '… is no client\'s either';
    $cluster->psql('DROP TYPE size; ALTER TYPE away.size SET SCHEMA public');
    is $client->get('/size?n=1')->body, '{"v":"small","n":1}', '… until it is there again';
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
            is $response->json->{detail}, $name eq 'mood' ? 'mood must be one of: glad, sad'
              : "$name is not a value of its type.", '… and in words';
        }
        problem_is $one->request('POST', '/parts', json => '{"positive":0}'), 422,
          { parameter => 'positive', constraint => 'positive_check' }, 'a rule of a domain';
        problem_is $one->get('/inverse?n=0'), 400, {}, 'an error that comes later names nothing';
        is_deeply [ $other->log_lines(qr/ (?:warn|error) (?!.*GET \/inverse)/) ], [], 'what has a name is in no log';
        is $other->stop, 'exit 0', 'it ends well';
    };
}

is $server->stop, 'exit 0', 'it ends well';

# However many requests are wrong, PostgreSQL is not asked about each of them.
subtest 'a flood of mistakes' => sub {
    $cluster->stop->boot(log_min_duration_statement => 0);
    my $other = server($conf, cluster => $cluster, lanes => 2, options => { 'database.connect' => $cluster->conninfo });
    my @targets = map { ("/part?n=x$_", '/part?n=1') } 1 .. 10;
    my $started = time;
    my $load = $other->load(
        requests    => 4_000,
        connections => 32,
        target      => sub ($n) { $targets[ $n % @targets ] },
        check       => sub ($n, $response) { $response->status == ($targets[ $n % @targets ] =~ /x/ ? 400 : 200) },
    );
    is $load->summary, '200: 2000, 400: 2000, lost: 0', 'is answered';
    is_deeply [ $load->wrong ], [], '… as it has to be';
    my $described = () = $cluster->log =~ /parse <unnamed>: SELECT substring\('abc'/g;
    my $most = 10 * (time - $started + 1) + 2;
    cmp_ok $described, '<=', $most, "by describing the statement $described times, at most ten times a second";
    cmp_ok $described, '>=', 1, '… but more than never';
    is $other->stop, 'exit 0', 'it ends well';
};
done_testing;
