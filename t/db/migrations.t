# Tables, types, views and functions change while they are asked for. What is answered before a migration begins is the
# answer of the old schema, what is asked after it has ended gets that of the new one, and between them it is one or the
# other: there are no errors but those that a schema means, and nobody has to restart anything.
#
# HAYFORK_MIGRATION_REQUESTS=… makes it longer (requests after each migration).
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(spew wait_for);

my $after = $ENV{HAYFORK_MIGRATION_REQUESTS} // 400;

needs_postgres;
my $cluster = cluster;
$cluster->psql($_) for 'CREATE SCHEMA early', 'ALTER DATABASE contacts SET search_path = early, public', <<~'SQL';
    CREATE TABLE num (id int PRIMARY KEY, v text);
    INSERT INTO num VALUES (1, 'one');
    CREATE TABLE keyed (id int PRIMARY KEY, v text);
    INSERT INTO keyed VALUES (1, 'one');
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE person (id int PRIMARY KEY, mood mood);
    INSERT INTO person VALUES (1, 'glad');
    CREATE TABLE grows (id int, tags text[]);
    INSERT INTO grows VALUES (1, '{a}');
    CREATE TABLE lefts (id int, mood mood);
    CREATE TABLE rights (id int, n int);
    INSERT INTO lefts VALUES (1, 'sad');
    INSERT INTO rights VALUES (100, 200);
    CREATE TABLE named (id int, name text);
    INSERT INTO named VALUES (1, 'Ann Lee');
    CREATE VIEW seen AS SELECT id, v FROM num WHERE id = 1;
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql STABLE AS 'SELECT 2 * n';
    CREATE TABLE swapped (id int, v text);
    INSERT INTO swapped VALUES (1, 'old');
    CREATE TABLE doc (id int PRIMARY KEY, doc text);
    INSERT INTO doc VALUES (1, 'text');
    CREATE TABLE tagged (id int, tag int);
    INSERT INTO tagged VALUES (1, 7);
    CREATE TYPE pair AS (x int, y int);
    CREATE TABLE part (id int, pair pair);
    INSERT INTO part VALUES (1, (1, 2));
    CREATE DOMAIN small AS int CHECK (VALUE < 10);
    CREATE TABLE sized (id int, size small);
    INSERT INTO sized VALUES (1, 5);
    CREATE TABLE gone (id int, v text);
    INSERT INTO gone VALUES (1, 'old');
    CREATE TABLE day (id int, day date);
    INSERT INTO day VALUES (1, '2024-01-01');
    CREATE TABLE item (id int, v text);
    INSERT INTO item VALUES (1, 'one');
    CREATE FUNCTION items(i int) RETURNS SETOF item LANGUAGE sql STABLE AS 'SELECT * FROM item WHERE id = i';
    CREATE TABLE public.shadowed (id int, v text);
    INSERT INTO public.shadowed VALUES (1, 'late');
    CREATE TYPE point3 AS (x int, y int, z int);
    CREATE TABLE place (id int, at point3);
    INSERT INTO place VALUES (1, (1, 2, 3));
    CREATE FUNCTION spots(i int) RETURNS TABLE (id int, spot point3) LANGUAGE sql STABLE AS 'SELECT * FROM place WHERE id = i';
    CREATE TABLE counted (id int, n int);
    INSERT INTO counted VALUES (1, 10);
    CREATE FUNCTION n_of(i int) RETURNS text LANGUAGE plpgsql STABLE AS $$
        DECLARE found record;
        BEGIN SELECT * INTO found FROM counted WHERE id = i; RETURN found.n; END $$;
    CREATE SCHEMA shop;
    CREATE TABLE shop.product (id int, v text);
    INSERT INTO shop.product VALUES (1, 'old');
    SQL

my $server = server(<<~CONF, cluster => $cluster, lanes => 2);
    workers: 2
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /num/{id}: { sql: "SELECT v FROM num WHERE id = :id", answer: row }
      POST /num: { sql: "INSERT INTO num VALUES (:id, 'new') RETURNING id", body: [id], answer: row }
      GET /keyed/{id}: { sql: "SELECT v FROM keyed WHERE id = :id", answer: row }
      PUT /keyed/{id}: { sql: "UPDATE keyed SET v = :v WHERE id = :id RETURNING v", body: [v], answer: row }
      GET /mood/{mood}: { sql: "SELECT id FROM person WHERE mood = :mood", answer: row }
      PUT /mood: { sql: "UPDATE person SET mood = :mood WHERE id = 2 RETURNING id", body: [mood], answer: row }
      GET /grows: { sql: "SELECT * FROM grows", answer: rows }
      GET /shifts: { sql: "SELECT * FROM lefts, rights", answer: rows }
      GET /named/{id}: { sql: "SELECT * FROM named WHERE id = :id", answer: row }
      GET /seen/{id}: { sql: "SELECT id, v FROM seen WHERE id = :id", answer: row }
      GET /twice/{n}: { sql: "SELECT twice(:n) AS n", answer: row }
      GET /swapped/{id}: { sql: "SELECT * FROM swapped WHERE id = :id", answer: row }
      PUT /doc: { sql: "UPDATE doc SET doc = :doc WHERE id = 1 RETURNING doc", body: [doc], answer: row }
      GET /tagged: { sql: "SELECT id FROM tagged WHERE tag = :tag", query: [tag], answer: row }
      GET /part/{id}: { sql: "SELECT pair FROM part WHERE id = :id", answer: row }
      PUT /sized: { sql: "UPDATE sized SET size = :size WHERE id = 1 RETURNING id", body: [size], answer: row }
      GET /gone/{id}: { sql: "SELECT v FROM gone WHERE id = :id", answer: row }
      GET /day/{day}: { sql: "SELECT id FROM day WHERE day = :day", answer: row }
      GET /items/{id}: { sql: "SELECT * FROM items(:id)", answer: rows }
      GET /shadowed/{id}: { sql: "SELECT v FROM shadowed WHERE id = :id", answer: row }
      GET /place/{id}: { sql: "SELECT at FROM place WHERE id = :id", answer: row }
      GET /spots/{id}: { sql: "SELECT * FROM spots(:id)", answer: row }
      GET /counted/{id}: { sql: "SELECT n_of(:id) AS n", answer: row }
      GET /product/{id}: { sql: "SELECT v FROM shop.product WHERE id = :id", answer: row }
    CONF

# Runs SQL in another process. The functions returned say whether it has begun, and whether it has ended.
sub in_background ($sql)
{
    my ($begun, $ended) = map { "$cluster->{folder}/$_" } qw(begun ended);
    unlink $begun, $ended;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        spew($begun, '');
        eval { $cluster->psql($_); 1 } or warn $@ for ref $sql ? @$sql : $sql;
        spew($ended, '');
        POSIX::_exit(0);
    }
    return (sub { -e $begun }, sub { -e $ended && (waitpid($pid, 0), 1) });
}

# A response is what is written as "200 {…}"; of a problem only the status is.
sub seen ($response)
{
    return $response->status . ($response->status < 400 ? ' ' . $response->body : '');
}

# Asks for these requests over and over, changes the schema meanwhile, and looks at each answer. migration:
#   requests  [ [ request, answer before, answer after ]… ]; {n} in a request is a number that is used once
#   sql       what changes the schema; a list is as many transactions
#   between   answers that there may be between these
#   watched   PostgreSQL does not complain, so the change is noticed a little later
my $unique = 100_000;
my $written = 0;

sub migrate ($name, %migration)
{
    return subtest $name => sub {
        my @requests = @{ $migration{requests} };
        my ($begun, $ended) = (sub { 0 }, sub { 0 });
        my (@request, @sent_after, @number);
        my $load = sub (%with) {
            @request = @sent_after = ();
            return $server->load(
                requests    => $with{requests} // $after,
                connections => 12,
                request     => sub ($n) {
                    $request[$n]    = $requests[ $n % @requests ];
                    $sent_after[$n] = $ended->();
                    $number[$n]     = $unique++;
                    my ($method, $target, $json) = split / /, $request[$n][0] =~ s/\{n\}/$number[$n]/r, 3;
                    return Hayfork::Test::Client::request_text($method, $target, json => $json);
                },
                check => sub ($n, $response) {
                    my ($request, $before, $after) = @{ $request[$n] };
                    my $got     = seen($response) =~ s/$number[$n]/{n}/r;
                    my @allowed = !$begun->() ? $before : $sent_after[$n] && !$with{late} ? $after
                        : ($before, $after, @{ $migration{between} // [] });
                    $written++ if $request =~ /^POST/ && $response->status == 200;
                    return grep { $got eq $_ } @allowed;
                },
                at => { 100 => $with{begin} // sub { } },
            );
        };
        my $during = $load->(
            begin => sub { ($begun, $ended) = in_background($migration{sql}) },
            late  => $migration{watched},
        );
        is_deeply [ $during->wrong ], [], 'before, and while it changes: ' . $during->summary;
        wait_for('the migration to end', $ended);
        if ($migration{watched}) {
            wait_for("$_->[0] to be answered so", sub { right_everywhere($_) }) for @requests;
        }
        my $then = $load->();
        is_deeply [ $then->wrong ], [], 'from then on: ' . $then->summary;
        return;
    };
}

# Is that answered as it is to be by every worker?
sub right_everywhere ($request)
{
    my ($method, $target, $json) = split / /, $request->[0], 3;
    my @clients = map { $server->client } 1 .. 8;
    $_->ask($method, $target, defined $json ? (json => $json) : ()) for @clients;
    my $right = grep { seen($_->receive($method)) eq $request->[2] } @clients;
    return $right == @clients;
}

my $UUID = '00000000-0000-0000-0000-000000000001';

migrate 'int becomes bigint',
  requests => [
    [ 'GET /num/1', '200 {"v":"one"}', '200 {"v":"one"}' ],
    [ 'GET /num/5000000000', '400', '200 {"v":"five"}' ],
    [ 'POST /num {"id":{n}}', '200 {"id":{n}}', '200 {"id":{n}}' ],
    [ 'POST /num {"id":5000{n}000}', '400', '200 {"id":5000{n}000}' ],
  ],
  sql => "DROP VIEW seen; ALTER TABLE num ALTER id TYPE bigint; CREATE VIEW seen AS SELECT id, v FROM num WHERE id = 1;"
  . " INSERT INTO num VALUES (5000000000, 'five')";

is $cluster->value("SELECT count(*) FROM num WHERE v = 'new'"), $written, 'each row was written once';

migrate 'int becomes uuid',
  requests => [
    [ 'GET /keyed/1',                '200 {"v":"one"}', '400' ],
    [ "GET /keyed/$UUID",            '400',             '200 {"v":"one"}' ],
    [ "PUT /keyed/1 {\"v\":\"one\"}",     '200 {"v":"one"}', '400' ],
    [ "PUT /keyed/$UUID {\"v\":\"one\"}", '400',             '200 {"v":"one"}' ],
  ],
  sql => "ALTER TABLE keyed ALTER id TYPE uuid USING '$UUID'";

migrate 'an enum is made again',
  requests => [
    [ 'GET /mood/glad', '200 {"id":1}', '200 {"id":1}' ],
    [ 'GET /mood/new',  '400',          '200 {"id":3}' ],
    [ 'GET /mood/old',  '400',          '400' ],
    [ 'PUT /mood {"mood":"sad"}', '404', '404' ],
    [ 'PUT /mood {"mood":"new"}', '400', '404' ],
  ],
  sql => <<~'SQL';
    ALTER TYPE mood RENAME TO old_mood;
    CREATE TYPE mood AS ENUM ('glad', 'sad', 'new');
    ALTER TABLE person ALTER mood TYPE mood USING mood::text::mood;
    ALTER TABLE lefts ALTER mood TYPE mood USING mood::text::mood;
    DROP TYPE old_mood;
    INSERT INTO person VALUES (3, 'new')
    SQL

migrate 'SELECT * grows',
  requests => [ [ 'GET /grows', '200 [{"id":1,"tags":["a"]}]', '200 [{"id":1,"tags":["a"],"extra":5}]' ] ],
  sql      => 'ALTER TABLE grows ADD extra int DEFAULT 5';

migrate 'columns shift',
  requests => [ [
    'GET /shifts',
    '200 [{"id":1,"mood":"sad","id":100,"n":200}]',
    '200 [{"id":1,"mood":"sad","extra":7,"id":100,"n":200}]'
  ] ],
  sql => 'ALTER TABLE lefts ADD extra int DEFAULT 7';

migrate 'a column is split, and one takes its name',
  requests => [ [ 'GET /named/1', '200 {"id":1,"name":"Ann Lee"}', '200 {"id":1,"first":"Ann","name":"Lee"}' ] ],
  sql      => <<~'SQL';
    ALTER TABLE named RENAME name TO first;
    ALTER TABLE named ADD name text;
    UPDATE named SET name = split_part(first, ' ', 2), first = split_part(first, ' ', 1)
    SQL

migrate 'a view is made again',
  requests => [
    [ 'GET /seen/1', '200 {"id":1,"v":"one"}', '200 {"id":"1","v":"one"}' ],
    [ 'GET /seen/x', '400', '404' ],
  ],
  sql => 'DROP VIEW seen; CREATE VIEW seen AS SELECT id::text, v FROM num WHERE id = 1';

migrate 'a function is made again',
  requests => [
    [ 'GET /twice/4',          '200 {"n":8}', '200 {"n":8}' ],
    [ 'GET /twice/5000000000', '400',         '200 {"n":10000000000}' ],
  ],
  sql => <<~'SQL';
    DROP FUNCTION twice(int);
    CREATE FUNCTION twice(n bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 2 * n'
    SQL

migrate 'another table takes the place of one',
  requests => [
    [ 'GET /swapped/1',          '200 {"id":1,"v":"old"}', '200 {"v":"new","id":1}' ],
    [ 'GET /swapped/5000000000', '400',                    '404' ],
  ],
  sql => <<~'SQL';
    CREATE TABLE new_one (v text, id bigint);
    INSERT INTO new_one VALUES ('new', 1);
    ALTER TABLE swapped RENAME TO old_one;
    ALTER TABLE new_one RENAME TO swapped
    SQL

migrate 'text becomes jsonb: the same request has other values',
  requests => [
    [ 'PUT /doc {"doc":{"a":1}}', '400',                 '200 {"doc":{"a": 1}}' ],
    [ 'PUT /doc {"doc":"text"}',  '200 {"doc":"text"}',  '200 {"doc":"text"}' ],
  ],
  sql => 'ALTER TABLE doc ALTER doc TYPE jsonb USING to_jsonb(doc)';

migrate 'a number becomes an array',
  requests => [
    [ 'GET /tagged?tag=7',       '200 {"id":1}', '404' ],
    [ 'GET /tagged?tag=7&tag=8', '400',          '200 {"id":1}' ],
  ],
  sql => "ALTER TABLE tagged ALTER tag TYPE int[] USING ARRAY[7, 8]";

migrate 'a composite grows',
  requests => [ [ 'GET /part/1', '200 {"pair":{"x":1,"y":2}}', '200 {"pair":{"x":1,"y":2,"z":null}}' ] ],
  sql      => 'ALTER TYPE pair ADD ATTRIBUTE z int';

migrate 'a domain makes place for another one',
  requests => [
    [ 'PUT /sized {"size":5}',  '200 {"id":1}', '200 {"id":1}' ],
    [ 'PUT /sized {"size":50}', '422',          '200 {"id":1}' ],
  ],
  sql => 'CREATE DOMAIN large AS int; ALTER TABLE sized ALTER size TYPE large; DROP DOMAIN small';

migrate 'a table is dropped and made again',
  requests => [
    [ 'GET /gone/1',          '200 {"v":"old"}', '200 {"v":"new"}' ],
    [ 'GET /gone/5000000000', '400',             '404' ],
  ],
  sql => [ 'DROP TABLE gone', 'SELECT pg_sleep(0.2)', "CREATE TABLE gone AS SELECT 1::bigint AS id, 'new' AS v" ],
  between => ['500'];

migrate 'a schema makes place for another one',
  requests => [
    [ 'GET /product/1',          '200 {"v":"old"}', '200 {"v":"new"}' ],
    [ 'GET /product/5000000000', '400',             '404' ],
  ],
  sql => <<~'SQL';
    CREATE SCHEMA next;
    CREATE TABLE next.product (id bigint, v text);
    INSERT INTO next.product VALUES (1, 'new');
    ALTER SCHEMA shop RENAME TO last;
    ALTER SCHEMA next RENAME TO shop
    SQL

# A function that waits while a table is rewritten finds none of its rows (PostgreSQL 15, section 13.6).
migrate 'a function in PL/pgSQL keeps the types that a record had',
  between  => ['200 {"n":null}'],
  requests => [ [ 'GET /counted/1', '200 {"n":"10"}', '200 {"n":"10"}' ] ],
  sql      => 'ALTER TABLE counted ALTER n TYPE bigint';

# --- what PostgreSQL says nothing of ---

# For two seconds the parameter is still a date, and midnight is all that it can be.
migrate 'a date becomes a timestamp',
  watched  => 1,
  between  => ['404'],
  requests => [
    [ 'GET /day/2024-01-01T10:00:00', '200 {"id":1}', '404' ],
    [ 'GET /day/2024-01-01T12:00:00', '200 {"id":1}', '200 {"id":1}' ],
  ],
  sql => "ALTER TABLE day ALTER day TYPE timestamp USING day + interval '12 hours'";

migrate 'a function answers rows of a table that grows',
  watched  => 1,
  requests => [ [ 'GET /items/1', '200 [{"id":1,"v":"one"}]', '200 [{"id":1,"v":"one","extra":3}]' ] ],
  sql      => 'ALTER TABLE item ADD extra int DEFAULT 3';

migrate 'another table comes earlier in the search path',
  watched  => 1,
  requests => [ [ 'GET /shadowed/1', '200 {"v":"late"}', '200 {"v":"early"}' ] ],
  sql      => "CREATE TABLE early.shadowed AS SELECT 1 AS id, 'early' AS v";

migrate 'a field of a composite has another name',
  watched  => 1,
  requests => [
    [ 'GET /place/1', '200 {"at":{"x":1,"y":2,"z":3}}', '200 {"at":{"x":1,"y":2,"height":3}}' ],
    [ 'GET /spots/1', '200 {"id":1,"spot":{"x":1,"y":2,"z":3}}', '200 {"id":1,"spot":{"x":1,"y":2,"height":3}}' ],
  ],
  sql      => 'ALTER TYPE point3 RENAME ATTRIBUTE z TO height';

is_deeply [ grep { !/GET \/gone/ } $server->log_lines(qr/ error /) ], [], 'nobody has to look at anything';
is $server->stop, 'exit 0', 'it ends well';
done_testing;
