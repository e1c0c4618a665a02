# Statements as people write them: colons that are no parameters, parameters whose type is told elsewhere or nowhere,
# SQL from files, and statements that have no place on a shared session.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(temporary_folder spew);

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<'SQL');
    CREATE TYPE mood AS ENUM ('happy', 'sad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TYPE pair AS (x int, y text);
    CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL, mood mood, age positive, born date, pair pair,
        moods mood[]);
    INSERT INTO person (name, mood, age, born) VALUES ('Ann', 'happy', 30, '1994-01-01'), ('Bob', NULL, 40, '1984-01-01');
SQL

subtest 'a colon is a parameter only where SQL has no other use for it' => sub {
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          GET /colons/{x}:
            sql: |
              -- :nothing and 'nothing -- at all
              SELECT :x::text||':x' AS "a:x", E'\\':x' AS b, \$\$:x\$\$ AS c, \$q\$ ':x \$\$ \$q\$ AS d, /* :x /* :y */ ' */
                     (ARRAY[1,2,3])[1:2] AS slice, (ARRAY[1,2,3])[:from : :upto] AS bounds, 'a'::text::varchar(5) AS e,
                     ':x''::y' AS f, :x || :x AS twice, U&'\\003Ax' AS g, '12:30'::time AS h
            query: { from: 2, upto: 3 }
            answer: row
        CONF
    is $server->get('/colons/v')->body, '{"a:x":"v:x","b":"\':x","c":":x","d":" \':x $$ ","slice":[1,2],"bounds":[2,3],'
      . '"e":"a","f":":x\'::y","twice":"vv","g":":x","h":"12:30:00"}', 'all in one statement';
    is $server->get('/colons/v?from=1&upto=1')->json->{bounds}[0], 1, 'bounds of a slice';
    is $server->stop, 'exit 0';
};

subtest 'a parameter takes its type from all its uses' => sub {
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          GET /people:
            sql: |
              SELECT name FROM person
               WHERE (:q IS NULL OR name ILIKE :q) AND (:age IS NULL OR age >= :age) AND (:born IS NULL OR :born < born)
               ORDER BY id
            query: [q, age, born]
            answer: rows
          GET /untold:
            sql: |
              SELECT name FROM person WHERE :q IS NULL
            query: [q]
            answer: rows
          GET /told:
            sql: |
              SELECT name FROM person WHERE :q::text IS NULL ORDER BY id
            query: [q]
            answer: rows
        CONF
    is $server->get('/people')->body,           '[{"name":"Ann"},{"name":"Bob"}]', 'none given';
    is $server->get('/people?q=b%25')->body,    '[{"name":"Bob"}]',                'a text';
    is $server->get('/people?age=31')->body,    '[{"name":"Bob"}]',                'a number';
    is $server->get('/people?born=1990-01-01&age=1')->body, '[{"name":"Ann"}]',    'a date';
    is $server->get('/people?q=')->body,        '[]',                              'an empty text is no NULL';
    problem_is $server->get('/people?age=old'),   400, { parameter => 'age' },  'a wrong number';
    problem_is $server->get('/people?born=once'), 400, { parameter => 'born' }, 'a wrong date';
    problem_is $server->get('/untold'), 500, {}, 'one that is told nowhere';
    is scalar(my @lines = $server->log_lines(qr{ error .*GET /untold.*cannot tell the type of :q; write :q::text})), 1,
      'the log says what to write';
    is $server->get('/told')->body, '[{"name":"Ann"},{"name":"Bob"}]', 'that is taken';
    is $server->stop, 'exit 0';
};

subtest 'types that people made: checked by PostgreSQL, named by Hayfork' => sub {
    my $server = server(<<~CONF, cluster => $cluster, lanes => 1);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          POST /people:
            sql: |
              INSERT INTO person (name, mood, age, pair, moods) VALUES (:name, :mood, :age, :pair, :moods)
              RETURNING name, mood, age, pair, moods
            body: [name, mood, age, pair, moods]
            answer: row
          GET /people:
            sql: |
              SELECT name FROM person WHERE mood = ANY (:mood::text[]::mood[]) ORDER BY id
            query: [mood]
            answer: rows
        CONF
    my $client = $server->client;
    is $client->request('POST', '/people', json => '{"name":"Cy","mood":"sad","age":5,"pair":"(1,a)","moods":["sad",null]}')
      ->body, '{"name":"Cy","mood":"sad","age":5,"pair":{"x":1,"y":"a"},"moods":["sad",null]}', 'enum, domain, composite, array';
    for (
        [ 'mood',  '"angry"' ], [ 'mood', '1' ], [ 'age', '"x"' ], [ 'pair', '"(x,y)"' ], [ 'pair', '"1"' ],
        [ 'moods', '["angry"]' ], [ 'moods', '"x"' ],
      ) {
        my ($field, $json) = @$_;
        problem_is $client->request('POST', '/people', json => qq({"name":"Di","$field":$json})), 400, { parameter => $field },
          "$field: $json";
    }
    like $client->request('POST', '/people', json => '{"name":"Di","age":-1}')->status, qr/^(?:400|422)$/, 'a domain\'s check';
    is $client->get('/people?mood=sad')->body, '[{"name":"Cy"}]', 'an array of an enum, through text[], once';
    is $client->get('/people?mood=sad&mood=happy')->body, '[{"name":"Ann"},{"name":"Cy"}]', '… and twice';
    problem_is $client->get('/people?mood=sad&mood=x'), 400, {}, '… and wrong';
    is $cluster->value(q(SELECT count(*) FROM person WHERE name = 'Di')), 0, 'nothing wrong was written';
    is $server->stop, 'exit 0';
};

subtest 'SQL and routes from files of their own' => sub {
    my $folder = temporary_folder();
    mkdir "$folder/$_" or die for qw(more more/sql);
    spew("$folder/more/sql/person.sql", "-- One person: 'quoted\nSELECT name FROM person WHERE id = :id; -- the end\n");
    spew("$folder/more/a.conf", <<~CONF);
        defaults:
          headers: { X-File: a }
        routes:
          GET /people/{id}:
            sql_file: sql/person.sql
            answer: row
        CONF
    spew("$folder/more/b.conf", "routes:\n  GET /b:\n    text: \"b\\n\"\n");
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        include: $folder/more/*.conf
        defaults:
          headers: { X-File: main }
        routes:
          GET /:
            text: "main\\n"
        CONF
    is $server->get('/people/1')->body, '{"name":"Ann"}', 'paths belong to the file that names them';
    header_is $server->get('/people/1'), 'X-File', 'a';
    header_is $server->get('/'),         'X-File', 'main';
    is $server->get('/b')->body, "b\n", 'another file';
    header_is $server->get('/b'), 'X-File', undef, 'defaults are of one file';
    is $server->stop, 'exit 0';
};

subtest 'what would change the session, or is no query, is refused' => sub {
    my @utility = ('SET work_mem = 64', 'RESET ALL', 'DISCARD ALL', 'BEGIN', 'START TRANSACTION', 'COMMIT', 'ROLLBACK', 'END',
        'SAVEPOINT a', 'LISTEN a', 'COPY person TO STDOUT', 'COPY person FROM STDIN', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
        'PREPARE a AS SELECT 1', 'DEALLOCATE ALL', 'LOCK person', 'VACUUM', 'SET ROLE postgres', 'CALL a()', 'DO $$ $$',
        '/* a */ -- b', 'set work_mem = 64', 'EXPLAIN SELECT 1', 'DROP TABLE person');
    my $routes = join '', map { "  POST /$_:\n    sql: |\n      $utility[$_]\n    answer: none\n" } 0 .. $#utility;
    my $run    = hayfork('-t', '-c', spew(temporary_folder() . '/hayfork.conf', "routes:\n$routes"));
    is $run->{exit}, 'exit 78', 'hayfork -t complains';
    for my $i (0 .. $#utility) {
        my $line = 4 * $i + 4;
        like $run->{stderr}, qr/^\S+:$line:\d+: error: /m, $utility[$i];
    }
};

subtest 'a function that changes the session does not change it for others' => sub {
    $cluster->psql(q(ALTER DATABASE contacts SET work_mem = '4MB'));
    my $server = server(<<~CONF, cluster => $cluster, lanes => 2);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          POST /local:
            sql: |
              SELECT set_config('work_mem', '64kB', true) AS work_mem
            answer: row
          POST /show:
            sql: |
              SELECT current_setting('work_mem') AS work_mem
            answer: row
          POST /notice:
            sql: |
              SELECT count(*) AS n FROM (SELECT pg_notify('a', 'b') FROM generate_series(1, 100)) q
            answer: row
          GET /show:
            sql: |
              SELECT 1 AS one
            answer: row
        CONF
    my $client = $server->client;
    $client->ask('POST', $_) for ('/local', '/show') x 10;
    is_deeply [ map { $client->receive('POST')->json->{work_mem} } 1 .. 20 ], [ ('64kB', '4MB') x 10 ],
      'set_config(…, true) lasts for one request, also in a pipeline';
    is $client->request('POST', '/notice')->body, '{"n":100}', 'NOTIFY is a statement like any other';
    is $server->stop, 'exit 0';
};

done_testing;
