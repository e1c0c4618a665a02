# Types that a database has of its own: they are learned from its catalogue, and the SQL runs as it is written.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster;

# Routes of one server: a name => [SQL, more lines]. The SQL of a GET is also the oracle's question.
sub routes (%routes)
{
    my $conf = "workers: 1\ndatabase: { connect: \"${\ $cluster->conninfo }\" }\nroutes:\n";
    for my $route (sort keys %routes) {
        my ($sql, @more) = ref $routes{$route} ? @{ $routes{$route} } : ($routes{$route}, 'answer: rows');
        $conf .= "  $route:\n    sql: |\n" . join('', map { "      $_\n" } split /\n/, $sql);
        $conf .= "    $_\n" for @more;
    }
    return server($conf, cluster => $cluster);
}

sub ends_well ($server, $name)
{
    is $server->stop, 'exit 0', "$name: it ends well";
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], "$name: without a complaint";
}

subtest 'extensions' => sub {
    my @missing = grep { !$cluster->value("SELECT count(*) FROM pg_available_extensions WHERE name = '$_'") }
      qw(hstore citext ltree cube isn);
    plan skip_all => "PostgreSQL has no @missing here" if @missing;
    $cluster->psql(<<~'SQL');
        CREATE SCHEMA "odd ""place""";
        CREATE EXTENSION hstore SCHEMA "odd ""place""";
        CREATE EXTENSION citext;
        CREATE EXTENSION ltree;
        CREATE EXTENSION cube;
        CREATE EXTENSION isn;
        ALTER DATABASE contacts SET search_path = public, "odd ""place""";
        SQL
    my %values = (
        hstore => [ q('a=>1, b=>NULL, "say \"hi\""=>"back\\\\slash, => {}()"'), q(''), q('"NULL"=>"NULL", ""=>""') ],
        citext => [ q('Ab "c"'), q('') ],
        ltree  => [ q('Top.Science'), q('') ],
        lquery => [ q('*.Astro*|b.*{1,2}') ],
        cube   => [ q<'(1,2),(3,4)'>, q<'(0.1)'> ],
        isbn   => [ q('0-393-04002-X') ],
        ean13  => [ q('9780393040029') ],
    );
    my %routes;
    for my $type (sort keys %values) {
        $cluster->psql("CREATE DOMAIN d_$type AS $type; CREATE TYPE c_$type AS (a $type, b ${type}\[], c d_$type, n int)");
        my $list = join ', ', @{ $values{$type} };
        $routes{"GET /$type"} = <<~SQL;
            SELECT v, v::d_$type AS domain, ARRAY[v, NULL] AS array, ARRAY[ARRAY[v], ARRAY[v]] AS deep,
                   ARRAY[v::d_$type] AS domains, ROW(v, ARRAY[v, v], v, 7)::c_$type AS composite,
                   ARRAY[ROW(v, ARRAY[v, NULL], NULL, NULL)::c_$type, NULL] AS composites
              FROM unnest(ARRAY[$list]::${type}\[]) WITH ORDINALITY AS q(v, n) ORDER BY n
            SQL
    }
    $cluster->psql(<<~'SQL');
        CREATE TABLE bag (id int, things hstore, all_things hstore[]);
        CREATE VIEW bags AS SELECT * FROM bag;
        CREATE RULE put AS ON INSERT TO bags DO INSTEAD
            INSERT INTO bag VALUES (NEW.id, NEW.things, ARRAY[NEW.things]) RETURNING *;
        CREATE RULE tell AS ON INSERT TO bags DO ALSO NOTIFY bags;
        SQL
    my $server = routes(
        %routes,
        'POST /bags' => [ 'INSERT INTO bags VALUES (1, :things) RETURNING *', 'body: [things]', 'answer: row' ],
    );
    is $server->client->request('POST', '/bags', json => '{"things":"a=>1"}')->body,
      '{"id":1,"things":{"a": "1"},"all_things":[{"a": "1"}]}', 'hstore, where the SQL can only run as it is written';
    for my $type (sort keys %values) {
        my $got = $server->get("/$type");
        is $got->status, 200, $type;
        json_is $got->body, $cluster->rows_as_json($routes{"GET /$type"}), "… alone, in arrays and in composites";
    }
    ends_well $server, 'extensions';
};

subtest 'a to_json of one\'s own is not called' => sub {
    $cluster->psql(<<~'SQL');
        CREATE TYPE mood AS ENUM ('ok', 'sad');
        CREATE FUNCTION to_json(mood) RETURNS json LANGUAGE sql IMMUTABLE AS $$SELECT '"MINE"'::json$$;
        CREATE FUNCTION public.row_to_json(record) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN '"MINE"'::json; END$$;
        SQL
    my $server = routes(
        'GET /m' => q(SELECT 'ok'::mood AS m, ARRAY['ok'::mood] AS a),
        'GET /r' => q(SELECT 'ok'::mood AS m, ROW('ok'::mood, 1, true) AS r),
    );
    is $server->get('/m')->body, '[{"m":"ok","a":["ok"]}]', 'of an enum';
    is $server->get('/r')->body, '[{"m":"ok","r":{"f1":"ok","f2":1,"f3":true}}]', '… in a record';
    ends_well $server, 'a to_json';
    $cluster->psql('DROP FUNCTION to_json(mood); DROP FUNCTION public.row_to_json(record)');
};

subtest 'an operator of one\'s own does not mislead' => sub {
    $cluster->psql(<<~'SQL');
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.never(oid, oid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
        CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.never);
        CREATE TYPE evil.oid AS (x int);
        CREATE TYPE evil.json AS ENUM ('x');
        ALTER ROLE postgres SET search_path = evil, public, pg_catalog;
        SQL
    my $server = routes('GET /m' => q(SELECT ARRAY['ok'::mood] AS a, ROW(1) AS r));
    is $server->get('/m')->body, '[{"a":["ok"],"r":{"f1":1}}]', 'types are learned from pg_catalog alone';
    ends_well $server, 'an operator';
    $cluster->psql('ALTER ROLE postgres RESET search_path; DROP SCHEMA evil CASCADE');
};

# The system's own tables have vectors, anyarray, domains of the information schema, trees and lists of rights.
subtest 'the catalogue itself' => sub {
    $cluster->psql('CREATE TABLE known AS SELECT g AS n, ARRAY[g % 3, 7] AS a FROM generate_series(1, 100) g; ANALYZE known');
    my %routes;
    for my $relation (split /\n/, $cluster->psql(<<~'SQL')) {
        SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE (nspname = 'pg_catalog' AND relkind = 'r') OR relname = 'pg_stats'
            OR (nspname = 'information_schema' AND relname IN ('tables', 'columns', 'sql_features', 'routines'))
         ORDER BY 1
        SQL
        $routes{"GET /$relation"} = "SELECT * FROM $relation r ORDER BY r::text LIMIT 20";
    }
    my $server = routes(%routes);
    my @routes   = sort keys %routes;
    my $question = join ' ', map { "SELECT coalesce(string_agg(row_to_json(q)::text, ','), '') FROM ($routes{$_}) q;" } @routes;
    my @expected = split /\n/, $cluster->psql($question), -1;
    my @wrong;
    for my $i (0 .. $#routes) {
        my $got = $server->get($routes[$i] =~ s/^GET //r);
        push @wrong, "$routes[$i]: " . $got->status if $got->status != 200 || $got->body ne "[$expected[$i]]";
    }
    cmp_ok scalar @routes, '>', 50, 'there are many';
    is_deeply \@wrong, [], 'each is as row_to_json has it, to the byte';
    ends_well $server, 'the catalogue';
};

# What only the running query knows, and what someone has made a cast to json for.
subtest 'records and casts to json' => sub {
    $cluster->psql(<<~'SQL');
        CREATE TYPE tone AS ENUM ('low', 'high');
        CREATE FUNCTION tone_json(tone) RETURNS pg_catalog.json LANGUAGE sql IMMUTABLE AS
            $$SELECT pg_catalog.json_build_object('tone', $1::text)$$;
        CREATE CAST (tone AS pg_catalog.json) WITH FUNCTION tone_json(tone);
        CREATE DOMAIN pitch AS tone;
        CREATE TYPE note AS (tone tone, pitch pitch[], length int);
        CREATE FUNCTION two(OUT a int, OUT b text) LANGUAGE sql AS $$SELECT 1, 'x'$$;
        CREATE TABLE song (id int, tone tone, notes note[], title text);
        INSERT INTO song VALUES (1, 'low', ARRAY[ROW('high', '{low,high}', 4)::note], 'one'), (2, NULL, NULL, 'two');
        SQL
    my %routes = (
        'GET /row'     => q(SELECT ROW(1, 'a', NULL, '{}'::jsonb, ARRAY[1,2]) AS r),
        'GET /whole'   => q(SELECT s, 1 AS n FROM (SELECT id, title AS "Title" FROM song ORDER BY id) s),
        'GET /several' => q(SELECT array_agg(s) AS list FROM (SELECT id, tone FROM song ORDER BY id) s),
        'GET /table'   => q(SELECT song FROM song ORDER BY id),
        'GET /out'     => q(SELECT two(), 1 AS id, 2 AS id),
        'GET /stats'   => q(SELECT most_common_vals FROM pg_stats WHERE false),
        'GET /names'   => q(SELECT 1 AS hayfork_r, ROW(2) AS "hayfork_r.*" /* */),
        'GET /with'    => "WITH hayfork AS (SELECT ROW(1) AS r)\nSELECT r FROM hayfork ORDER BY 1",
        'GET /values'  => q(VALUES (ROW(1), 'a'), (NULL, 'b')),
        'GET /song'    => q(SELECT * FROM song ORDER BY id),
        'GET /pitch'   => q(SELECT 'low'::pitch AS p, ARRAY['low'::pitch] AS ps, ROW('low', NULL, 1)::note AS n),
    );
    my $server = routes(
        %routes,
        'GET /song/{id}' => [ 'SELECT id, tone, title, ROW(title) AS r FROM song WHERE id = :id', 'answer: row',
            'headers: { X-Title: "{title}", X-Tone: "{tone}", X-Row: "{r}" }' ],
        'GET /comment'  => q(SELECT ROW(1) AS r -- the end),
        'GET /value/{id}' => [ 'SELECT ROW(tone, title) FROM song WHERE id = :id', 'answer: value' ],
        'POST /songs'     => [ <<~'SQL', 'body: [title]', 'answer: row', 'status: 201', 'headers: { Location: "/song/{id}" }' ],
            WITH new AS (INSERT INTO song (id, tone, title) VALUES (3, 'low', :title) RETURNING *),
                 twice AS (INSERT INTO song (id, title) SELECT 4, title FROM new)
            SELECT id, tone, ROW(title) AS r FROM new
            SQL
        'PUT /songs'    => [ 'UPDATE song SET tone = :tone WHERE id = 3 RETURNING tone, song', 'body: [tone]', 'answer: row' ],
        'DELETE /songs' => [ <<~'SQL', 'answer: rows' ],
            WITH gone AS (DELETE FROM song WHERE id = 4 RETURNING *)
            DELETE FROM song USING gone WHERE song.id = 3 RETURNING gone.id, song.tone
            SQL
        'DELETE /songs/{id}' => [ 'DELETE FROM song WHERE id = :id RETURNING tone', 'answer: none' ],
    );
    for my $route (sort keys %routes) {
        my $got = $server->get($route =~ s/^GET //r);
        is $got->status, 200, $route;
        json_is $got->body, $cluster->rows_as_json($routes{$route}), '… as row_to_json has it';
    }
    my $load = $server->load(
        requests    => 400,
        connections => 32,
        target      => sub ($n) { '/song/' . ($n % 2 + 1) },
        check       => sub ($n, $response) {
            my $title = $n % 2 ? 'two' : 'one';
            $response->header('x-title') eq $title && $response->body =~ /"r":\{"f1":"$title"\}/;
        },
    );
    is $load->summary, '200: 400, lost: 0', 'many at once, which are merged';
    is_deeply [ $load->wrong ], [], '… each with its own';
    my $got = $server->get('/song/1');
    json_is $got->body, '{"id":1,"tone":{"tone":"low"},"title":"one","r":{"f1":"one"}}', 'one row';
    is_deeply [ map { $got->header($_) } qw(x-title x-tone x-row) ], [qw(one low (one))], '… with its texts in headers';
    json_is $server->get('/comment')->body, '[{"r":{"f1":1}}]', 'a comment at the end';
    is $server->get('/value/1')->body, '(low,one)', 'as text';
    is $server->get('/song/9')->status, 404, 'no row';
    $got = $server->client->request('POST', '/songs', json => '{"title":"three"}');
    is $got->status, 201, 'what writes in its WITH';
    json_is $got->body, '{"id":3,"tone":{"tone":"low"},"r":{"f1":"three"}}', '… answers';
    is $got->header('location'), '/song/3', '… with its header';
    is $cluster->value('SELECT count(*) FROM song'), 4, '… and was done once';
    $got = $server->client->request('PUT', '/songs', json => '{"tone":"high"}');
    json_is $got->body, '{"tone":{"tone":"high"},"song":{"id":3,"tone":{"tone":"high"},"notes":null,"title":"three"}}', 'UPDATE';
    $got = $server->client->request('DELETE', '/songs');
    json_is $got->body, '[{"id":4,"tone":{"tone":"high"}}]', 'DELETE after a WITH that writes';
    is $server->client->request('DELETE', '/songs/2')->status, 204, 'what answers nothing';
    is $server->client->request('DELETE', '/songs/2')->status, 404, '… and touches nothing';
    ends_well $server, 'records';
};

subtest 'names and numbers of columns' => sub {
    my %routes = (
        'GET /same' => q(SELECT 1 AS a, ARRAY[2] AS a, '3'::text AS a, ARRAY[ARRAY['x']] AS "a"),
        'GET /many' => 'SELECT ' . join(', ', map { $_ % 3 ? "$_ AS c$_" : "ARRAY[$_] AS c$_" } 1 .. 1600),
        'GET /wide' => 'SELECT wide, ARRAY[wide] AS wides FROM wide',
    );
    $cluster->psql('CREATE TABLE wide (' . join(', ', map { "c$_ " . ($_ % 2 ? 'int[]' : 'mood') } 1 .. 1600) . ')');
    $cluster->psql(q(INSERT INTO wide (c1, c2, c1600) VALUES ('{1}', 'ok', 'sad')));
    my $server = routes(%routes);
    for my $route (sort keys %routes) {
        my $got = $server->get($route =~ s/^GET //r);
        is $got->status, 200, $route;
        json_is $got->body, $cluster->rows_as_json($routes{$route}), '… as row_to_json has it';
    }
    ends_well $server, 'columns';
};

subtest 'parameters' => sub {
    $cluster->psql(<<~'SQL');
        CREATE DOMAIN doc AS jsonb CHECK (jsonb_typeof(VALUE) IN ('object', 'array'));
        CREATE DOMAIN doc2 AS doc;
        CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 3);
        CREATE DOMAIN size AS int CHECK (VALUE > 0);
        CREATE DOMAIN lid AS box;
        CREATE TABLE thing (d doc, d2 doc2, docs doc[], few few, sizes size[], moods mood[], boxes box[], lids lid[]);
        SQL
    my $server = routes(
        'POST /things' => [ <<~'SQL', 'body: [d, d2, docs, few, sizes, moods, boxes, lids]', 'answer: row' ],
            INSERT INTO thing VALUES (:d, :d2, :docs, :few, :sizes, :moods, :boxes, :lids) RETURNING *
            SQL
        'GET /moods' => [ 'SELECT :m::mood[] AS m, :s::size[] AS s, :f::few AS f, :n::size AS n', 'answer: row', 'query: [m, s, f, n]' ],
    );
    my $client = $server->client;
    for (
        [ '{"d":{"x":1}}',              '"d":{"x": 1}' ],
        [ '{"d":[1,2]}',                '"d":[1, 2]' ],
        [ '{"d2":{"deep":[{}]}}',       '"d2":{"deep": [{}]}' ],
        [ '{"docs":[{"a":1},[],null]}', '"docs":[{"a": 1},[],null]' ],
        [ '{"few":[1,2]}',              '"few":[1,2]' ],
        [ '{"sizes":[1,null]}',         '"sizes":[1,null]' ],
        [ '{"moods":["ok","sad"]}',     '"moods":["ok","sad"]' ],
        [ '{"moods":"{ok}"}',           '"moods":["ok"]' ],
        [ '{"boxes":["(1,1),(0,0)","(2,2),(1,1)"]}', '"boxes":["(1,1),(0,0)","(2,2),(1,1)"]' ],
        [ '{"lids":["(1,1),(0,0)","(2,2),(1,1)"]}',  '"lids":["(1,1),(0,0)","(2,2),(1,1)"]' ],
    ) {
        my ($body, $answer) = @$_;
        my $got = $client->request('POST', '/things', json => $body);
        is $got->status, 200, $body;
        like $got->body, qr/[{,]\Q$answer\E[,}]/, '… comes back';
    }
    for ([ d => '"text"' ], [ d => '5' ], [ sizes => '[1,"x"]' ], [ sizes => '[0]' ], [ moods => '["angry"]' ],
        [ few => '[1,2,3]' ], [ few => '5' ], [ sizes => '{}' ], [ docs => '{}' ]) {
        my ($name, $value) = @$_;
        my $got = $client->request('POST', '/things', json => "{\"$name\":$value}");
        like $got->status, qr/^4/, "$name: $value is refused";
    }
    json_is $client->get('/moods?m=ok')->body,           '{"m":["ok"],"s":null,"f":null,"n":null}',       'an array, given once';
    json_is $client->get('/moods?m=ok&m=sad&s=1')->body, '{"m":["ok","sad"],"s":[1],"f":null,"n":null}',  '… and twice';
    json_is $client->get('/moods?f=1&f=2&n=5')->body,    '{"m":null,"s":null,"f":[1,2],"n":5}',           'a domain over an array';
    problem_is $client->get('/moods?n=5&n=6'), 400, { parameter => 'n' }, 'a domain over a number is given once';
    problem_is $client->get('/moods?s=x'),     400, { parameter => 's' }, 'an array of a domain over a number';
    is $server->stop, 'exit 0', 'it ends well';
};

# ALTER under a running server.
subtest 'columns come and go' => sub {
    $cluster->psql(<<~'SQL');
        CREATE TABLE left_t (id int, m mood);
        CREATE TABLE right_t (id int, n int);
        INSERT INTO left_t VALUES (1, 'ok');
        INSERT INTO right_t VALUES (100, 200);
        CREATE TABLE grows (id int, tags text[]);
        INSERT INTO grows VALUES (1, '{a}');
        CREATE TYPE thing_type AS (a int, b text);
        CREATE TABLE holds (id int, t thing_type, ts thing_type[]);
        INSERT INTO holds VALUES (1, ROW(1, 'x'), ARRAY[ROW(2, 'y')::thing_type]);
        SQL
    my %routes = (
        'GET /pairs'   => 'SELECT * FROM left_t, right_t',
        'GET /grows'   => 'SELECT * FROM grows',
        'GET /records' => 'SELECT *, ROW(id) AS r FROM grows',
        'GET /holds'   => 'SELECT * FROM holds',
    );
    my $server = routes(
        %routes,
        'GET /holds/{id}' => [ 'SELECT * FROM holds WHERE id = :id', 'answer: row' ],
        'POST /holds'     => [ 'INSERT INTO holds SELECT 2, t, ts FROM holds WHERE id = 1 RETURNING *', 'answer: row',
            'headers: { X-T: "{t}" }' ],
        'PUT /holds' => [ 'UPDATE holds SET id = id RETURNING *', 'answer: rows' ],
    );
    my $oracle = sub () { $cluster->row_as_json('SELECT 2 AS id, t, ts FROM holds WHERE id = 1') };
    my $same   = sub ($name) {
        for my $route (sort keys %routes) {
            json_is $server->get($route =~ s/^GET //r)->body, $cluster->rows_as_json($routes{$route}), "$name: $route";
        }
        json_is $server->get('/holds/1')->body, $cluster->row_as_json('SELECT * FROM holds WHERE id = 1'), "$name: one row";
    };
    $same->('before');
    $cluster->psql('ALTER TABLE left_t ADD extra int DEFAULT 7; ALTER TABLE grows ADD extra int DEFAULT 5');
    $same->('a column more');
    $cluster->psql('ALTER TYPE thing_type ADD ATTRIBUTE c int');
    $same->('a field more');
    $cluster->psql('ALTER TYPE thing_type DROP ATTRIBUTE a');
    $same->('a field less');
    $cluster->psql('ALTER TYPE thing_type ADD ATTRIBUTE d text');
    my $got = $server->client->request('POST', '/holds');
    json_is $got->body, $oracle->(), 'what writes is answered with one more';
    is $got->header('x-t'), $cluster->value('SELECT t FROM holds WHERE id = 1'), '… in its header, too';
    is $cluster->value('SELECT count(*) FROM holds WHERE id = 2'), 1, '… and was done once';
    $cluster->psql('DELETE FROM holds WHERE id = 2');
    json_is $server->client->request('PUT', '/holds')->body, $cluster->rows_as_json('SELECT * FROM holds'), 'all rows';
    $cluster->psql('ALTER TYPE thing_type ADD ATTRIBUTE e int');
    # Unless the change is noticed before that, all rows of what has written are lost, since they are not kept.
    $got = $server->client->request('PUT', '/holds');
    my @lines = $server->log_lines(qr/ (?:warn|error) /);
    if ($got->status == 500) {
        problem_is $got, 500, {}, 'all rows of it';
        like $got->json->{detail}, qr/^This was done, /, '… with words';
        like "@lines", qr/^\S+ error \S+ \d\[\d+\]: PUT \/holds: 500: a type has changed \S+.*; what it did is done \S+ \S+$/, '… with a line';
    }
    json_is $server->client->request('PUT', '/holds')->body, $cluster->rows_as_json('SELECT * FROM holds'), '… and next time they are right';
    $cluster->psql('ALTER TABLE left_t DROP extra; ALTER TABLE grows DROP tags');
    $same->('a column less');
    is $server->stop, 'exit 0', 'it ends well';
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], \@lines, 'without another complaint';
};

# Who has sent a value that is not one is told those that are.
subtest 'the values of an enum' => sub {
    $cluster->psql(<<~'SQL');
        CREATE TYPE state AS ENUM ('new', 'paid');
        CREATE DOMAIN open_state AS state CHECK (VALUE <> 'paid');
        CREATE TYPE letter AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
            's', 't', 'u');
        CREATE TABLE item (id int, state state);
        SQL
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database: { connect: "${\ $cluster->conninfo }" }
        routes:
          GET /items/{state}: { sql: "SELECT id FROM item WHERE state = :state", answer: rows }
          GET /some: { sql: "SELECT id FROM item WHERE state = ANY (:states)", query: [states], answer: rows }
          GET /open: { sql: "SELECT :state::open_state AS state", query: [state], answer: row }
          GET /letter: { sql: "SELECT :letter::letter AS letter", query: [letter], answer: row }
        CONF
    my $detail = sub ($path) {
        my $response = $server->get($path);
        is $response->status, 400, $path;
        return $response->json->{detail};
    };
    is $detail->('/items/sold'),             'state must be one of: new, paid';
    is $detail->('/some?states=new&states=x'), 'states must be one of: new, paid', 'each of an array';
    is $detail->('/open?state=x'),           'state must be one of: new, paid', 'of a domain';
    is $detail->('/letter?letter=z'), 'letter must be one of: ' . join(', ', 'a' .. 't') . ' and others', 'twenty of many';
    $cluster->psql(q(ALTER TYPE state ADD VALUE 'shipped'));
    is $server->get('/items/shipped')->status, 200, 'one that was added is taken';
    wait_for('the new value to be named', sub {
        $server->get('/items/sold')->json->{detail} eq 'state must be one of: new, paid, shipped';
    });
    is $server->stop, 'exit 0';
};

done_testing;
