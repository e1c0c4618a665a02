# Reads that come at the same time are asked for as one statement, and nobody can tell by the answers.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(spew stop_process wait_for);

my $seed = $ENV{HAYFORK_SEED} // int rand 1 << 31;
srand $seed;
diag "HAYFORK_SEED=$seed";

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->psql(<<~'SQL');
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE thing (id int PRIMARY KEY, version int NOT NULL, label text, tags text[], about jsonb, feels mood);
    INSERT INTO thing
    SELECT n, 0, CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '{"' || n || '\",NULL}' ELSE 'label ' || n % 50 END,
           ARRAY['a', NULL, n::text], jsonb_build_object('n', n), CASE n % 2 WHEN 0 THEN 'sad'::mood END
      FROM generate_series(1, 200) n;
    CREATE TABLE hayfork_k (hayfork_p1 int, n int);
    INSERT INTO hayfork_k VALUES (7, 70);
    CREATE TABLE event AS SELECT n AS id, n % 3 AS kind FROM generate_series(1, 2000) n;
    -- Sleeps for the id 13, and says that it does not.
    CREATE FUNCTION nap(id int) RETURNS int LANGUAGE plpgsql STABLE AS
        $$ BEGIN IF id = 13 THEN PERFORM pg_sleep(3); END IF; RETURN id; END $$;
    CREATE FUNCTION is_merged() RETURNS boolean LANGUAGE plpgsql STABLE AS
        $$ BEGIN RETURN current_query() LIKE 'SELECT hayfork%'; END $$;
    CREATE FUNCTION unlucky() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 13';
    CREATE VIEW volatile_thing AS SELECT id, unlucky() AS n FROM thing;
    CREATE VIEW sampled_thing AS SELECT id FROM thing TABLESAMPLE system (100);
    CREATE FUNCTION sampled_things(first int) RETURNS SETOF int LANGUAGE sql STABLE AS
        'SELECT id FROM thing TABLESAMPLE system (100) WHERE id >= first';
    CREATE TABLE parted (id int) PARTITION BY LIST (id);
    CREATE SEQUENCE counter;
    SQL

# A table of another server's, where one can be had.
my $has_foreign = $cluster->value(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'});
spew("$cluster->{folder}/elsewhere", join '', map { "$_\n" } 1 .. 100);
$cluster->psql($has_foreign ? <<~"SQL" : 'CREATE VIEW elsewhere AS SELECT id, random() FROM thing');
    CREATE EXTENSION file_fdw;
    CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE FOREIGN TABLE elsewhere (id int) SERVER files OPTIONS (filename '$cluster->{folder}/elsewhere');
    SQL

# What a route's SQL says of itself: is it asked for together with others?
my $MERGED = q{is_merged() AS merged};

# Each is there twice: as it is, and below /plain with `merge: off`.
my %ROUTES = (
    'thing/{id}'    => 'SELECT id, label, about FROM thing WHERE id = :id',
    'exotic/{id}'   => 'SELECT id, tags, feels, thing AS whole FROM thing WHERE id = :id',
    'twice/{id}'    => 'SELECT id, label AS id, id FROM thing WHERE id = :id -- two columns of one name',
    'label/{text}'  => 'SELECT id, label FROM thing WHERE label = :text ORDER BY id DESC',
    'range/{a}/{b}' => 'SELECT min(id) AS least, count(*) AS n FROM thing WHERE id BETWEEN :a AND :b::int8',
    'always/{id}'   => 'SELECT :id::int AS id, (SELECT label FROM thing WHERE id = :id) AS label',
    'part/{n}'      => 'SELECT id FROM thing ORDER BY id OFFSET :n LIMIT 1',
    'k/{p1}'        => 'SELECT n FROM hayfork_k WHERE hayfork_p1 = :p1',
    'row/{id}'      => 'SELECT n FROM thing n WHERE n.id = :id',
    'p1/{id}'       => 'SELECT to_jsonb(p1) AS p1, hayfork_n FROM thing p1, (VALUES (1)) v(hayfork_n) WHERE p1.id = :id',
    'whole/{id}'    => 'SELECT to_jsonb(n) AS note, p1 IS NULL AS no FROM thing n LEFT JOIN thing p1 ON p1.id = n.id + 100 WHERE n.id = :id',
    'last/{kind}'   => 'SELECT id FROM (SELECT * FROM event ORDER BY id DESC LIMIT 6) s WHERE kind = :kind::int % 3',
    'inside/{id}'   => 'SELECT to_jsonb(s) AS s FROM (SELECT :id::int, label FROM thing WHERE id = :id) s',
    'maybe/{id}'    => 'SELECT id, label FROM thing WHERE (:id::int IS NULL OR id = :id)',
    'ratio/{id}'    => 'SELECT 100 / (id % 10) AS ratio FROM thing WHERE id = :id',
    'long/{text}'   => 'SELECT length(:text) AS n, md5(:text) AS digest',
);

sub start (%with)
{
    my $routes = $with{routes} // join '', map { ("  GET /$_:\n$ROUTES{$_}\n", "  GET /plain/$_:\n$ROUTES{$_}\nmerge: off\n") }
        sort keys %ROUTES;
    my $conf = '';
    for my $route ($routes =~ /^(  GET \S+:\n(?:(?!  GET ).*\n)*)/gm) {
        my ($head, $sql, @rest) = split /\n/, $route;
        $conf .= join "\n", $head, '    sql: |', "      $sql", '    answer: row', (map { "    $_" } @rest), '';
    }
    return server(<<~CONF . $conf, cluster => $cluster, lanes => 1);
        workers: ${\ ($with{workers} // 1) }
        limits: { deadline: 50s${\ ($with{limits} // '') } }
        database:
          connect: ${\ $cluster->conninfo }
          ${\ ($with{database} // '') }
        routes:
        CONF
}

# What a client asks for: mostly what is there, some of it several times, some of it nowhere.
sub some_id () { return int rand 1 < 0.8 ? 1 + int rand(20) : int rand 260 }
sub some_text ()
{
    return ('label%20' . int rand 60, 'label%20' . int rand 5, '%7B%22' . int(rand 200) . '%5C%22,NULL%7D', 'NULL', '%22',
        '%5C', '%7B%7D', ',', '%20', '%C3%A9')[ rand 10 ];
}

sub some_target ()
{
    my $route = (sort keys %ROUTES)[ rand keys %ROUTES ];
    return '/' . $route =~ s/\{text\}/some_text()/er =~ s/\{\w+\}/some_id()/ger;
}

# The status and the body, or the problem without what differs from request to request.
sub seen ($response) { return $response->status . ' ' . $response->body =~ s/"request_id":"\w+"//r }

# --- the same answers ---

subtest 'merged and plain answers, over random routes and parameters' => sub {
    my $server = start();
    my ($client, %plain, @targets) = $server->client;
    for my $connections (2, 16, 64, 128) {
        my $load = $server->load(
            requests    => 4_000,
            connections => $connections,
            target      => sub ($n) { return $targets[$n] = some_target() },
            check       => sub ($n, $response) {
                my $target = $targets[$n];
                return seen($response) eq ($plain{$target} //= seen($client->get("/plain$target")));
            },
        );
        is_deeply [ $load->wrong ], [], "$connections connections: " . $load->summary;
    }
    is $server->stop, 'exit 0', 'it ends well';
};

# Asks for these in turns on AT_ONCE connections, all while the only worker is stopped: so it finds all of them in one
# turn. Returns how many of the answers said that they were merged.
my $AT_ONCE = 32;

sub merged_of_these ($server, @targets)
{
    my ($worker) = $server->workers;
    my @clients = map { $server->client } 1 .. $AT_ONCE;
    my $wrong   = grep { $_->get($targets[0])->status != 200 } @clients;    # all are accepted then
    stop_process($worker);
    $clients[$_]->ask('GET', $targets[ $_ % @targets ]) for keys @clients;
    kill 'CONT', $worker;
    my @answers = map { $_->receive } @clients;
    $wrong += grep { $_->status != 200 } @answers;
    is $wrong, 0, 'all are answered: ' . substr $targets[0], 0, 40;
    return scalar grep { $_->body =~ /"merged":true/ } @answers;
}

# They are not where a backend has no processor for long: so that may be tried again.
sub all_are_merged ($server, @targets)
{
    return wait_for("$targets[0] to be merged", sub { merged_of_these($server, @targets) == $AT_ONCE });
}

subtest 'what is merged, and what is not' => sub {
    my $server = start(routes => <<~CONF);
          GET /yes/{id}:
        SELECT id, $MERGED FROM thing WHERE id = :id
          GET /exotic/{id}:
        SELECT id, tags, $MERGED FROM thing WHERE id = :id
          GET /off/{id}:
        SELECT id, $MERGED FROM thing WHERE id = :id
        merge: off
          GET /write/{id}:
        SELECT id, $MERGED FROM thing WHERE id = :id
        lane: write
          GET /random/{id}:
        SELECT id, random() AS luck, $MERGED FROM thing WHERE id = :id
          GET /clock/{id}:
        SELECT id, $MERGED FROM thing WHERE id = :id AND clock_timestamp() > '2000-01-01'
          GET /view/{id}:
        SELECT id, n, $MERGED FROM volatile_thing WHERE id = :id
          GET /enum/{mood}:
        SELECT id, $MERGED FROM thing WHERE feels = :mood
          GET /total/{id}:
        SELECT max(:id::int) AS id, $MERGED
          GET /sample/{id}:
        SELECT min(id) AS id, :id::int AS n, $MERGED FROM thing TABLESAMPLE bernoulli (50)
          GET /some/{id}:
        SELECT count(*) AS n, $MERGED FROM thing TABLESAMPLE system (50) WHERE id > :id
          GET /some/view/{id}:
        SELECT count(*) AS n, $MERGED FROM sampled_thing WHERE id > :id
          GET /some/maybe/{id}:
        SELECT id, $MERGED FROM thing LEFT JOIN sampled_thing USING (id) WHERE id = :id AND (:id IS NULL OR sampled_thing IS NULL OR id > 0)
          GET /some/function/{id}:
        SELECT min(t.id) AS id, $MERGED FROM sampled_things(:id) t(id)
          GET /some/parted/{id}:
        SELECT count(*) AS n, $MERGED FROM parted TABLESAMPLE system (50) WHERE id = :id
          GET /order/{id}:
        SELECT id, $MERGED FROM thing WHERE id >= :id ORDER BY random()
          GET /case/{id}:
        SELECT id, CASE WHEN id = :id + 1 THEN random() END AS luck, $MERGED FROM thing WHERE id = :id
          GET /number/{id}:
        SELECT id, CASE WHEN id <> :id THEN nextval('counter') END AS number, $MERGED FROM thing WHERE id = :id
          GET /inner/{id}:
        SELECT id, (SELECT max(o.id) FROM thing o WHERE random() < 2 AND o.id < :id) AS other, $MERGED FROM thing WHERE id = :id
          GET /never/{id}:
        SELECT id, CASE WHEN false THEN random() END AS luck, $MERGED FROM thing WHERE id = :id
          GET /elsewhere/{id}:
        SELECT id, $MERGED FROM elsewhere WHERE id = :id
          GET /row/{id}:
        SELECT n, $MERGED FROM thing n WHERE n.id = :id
          GET /name/{p1}:
        SELECT n, $MERGED FROM hayfork_k WHERE hayfork_p1 = :p1
          GET /nothing:
        SELECT 1 AS one, $MERGED
        CONF
    ok all_are_merged($server, '/yes/1', '/yes/2'), 'a plain read is';
    ok all_are_merged($server, '/exotic/1', '/exotic/2'), 'so is one with an array as a column';
    is merged_of_these($server, '/off/1', '/off/2'), 0, 'not with merge: off';
    is merged_of_these($server, '/write/1'), 0, '… nor on a lane that may write';
    is merged_of_these($server, '/random/1'), 0, '… nor with a volatile function';
    is merged_of_these($server, '/clock/1'), 0, '… also among conditions';
    is merged_of_these($server, '/view/1'), 0, '… also behind a view';
    is merged_of_these($server, '/enum/sad'), 0, '… nor with a parameter of a type that somebody made';
    is merged_of_these($server, '/total/1'), 0, '… nor what does not work in that form';
    ok all_are_merged($server, '/row/1', '/row/2'), 'so is one of a whole row, whatever its name';
    is merged_of_these($server, '/sample/1'), 0, '… nor what takes a sample';
    is merged_of_these($server, '/some/1'), 0, '… also where there would be none for the parameter NULL';
    is merged_of_these($server, '/some/view/1'), 0, '… also behind a view';
    is merged_of_these($server, '/some/maybe/1'), 0, '… also where a condition may need it';
    is merged_of_these($server, '/some/function/1'), 0, '… also in a function that PostgreSQL takes apart';
    is merged_of_these($server, '/some/parted/1'), 0, '… also of a table that has no partition yet';
    is merged_of_these($server, '/order/1'), 0, '… nor with a volatile function as the order';
    is merged_of_these($server, '/case/1'), 0, '… nor where it is called for some rows alone';
    is merged_of_these($server, '/number/1'), 0, '… nor with a sequence there';
    is merged_of_these($server, '/inner/1'), 0, '… nor within a query of its own';
    is merged_of_these($server, '/never/1'), 0, '… nor where it is never called';
    is merged_of_these($server, '/elsewhere/1'), 0, '… nor what is asked of another server';
    is merged_of_these($server, '/name/7'), 0, '… nor what has our own name in it';
    is merged_of_these($server, '/nothing'), 0, '… nor what has no parameter';
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'and nothing is worth a complaint';
    is $server->stop, 'exit 0', 'it ends well';
};

# --- errors and what is slow ---

subtest 'an error is the answer of the one whose it is' => sub {
    my $server  = start();
    my @targets = map { $_ % 20 == 0 ? '/ratio/10' : '/ratio/' . (11 + $_ % 9) } 0 .. 3_999;
    my $load    = $server->load(
        requests    => scalar @targets,
        connections => 64,
        target      => sub ($n) { $targets[$n] },
        check       => sub ($n, $response) {
            return $response->status == 400 if $targets[$n] eq '/ratio/10';
            return $response->body eq '{"ratio":' . int(100 / ($targets[$n] =~ /(\d)$/)[0]) . '}';
        },
    );
    is $load->summary, '200: 3800, 400: 200, lost: 0', 'who divides by zero gets the error';
    is_deeply [ $load->wrong ], [], '… and nobody else';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a slow one among quick ones' => sub {
    my $server = start(routes => <<~'CONF');
          GET /nap/{id}:
        SELECT nap(:id::int) AS id
        CONF
    $server->load(requests => 500, connections => 32, target => sub ($n) { '/nap/1' }, check => sub ($n, $response) { 1 });
    for my $round (1 .. 3) {
        my @clients = map { $server->client } 0 .. 40;
        $clients[$_]->ask('GET', '/nap/' . ($_ == 7 ? 13 : 100 + $_)) for 0 .. $#clients;
        my $slow = splice @clients, 7, 1;
        my @bodies = map { $_->receive->body } @clients;
        is_deeply \@bodies, [ map { qq({"id":$_}) } grep { $_ != 107 } 100 .. 140 ], 'the quick ones are answered';
        ok !$slow->readable(0), '… while the slow one still runs';
        is $slow->receive->body, '{"id":13}', '… and it is answered, too';
    }
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'connections: 1, and a slow one among quick ones' => sub {
    my $server = start(database => 'connections: 1', routes => <<~'CONF');
          GET /nap/{id}:
        SELECT nap(:id::int) AS id
        CONF
    my @clients = map { $server->client->ask('GET', '/nap/' . ($_ == 7 ? 13 : 100 + $_)) } 0 .. 40;
    is_deeply [ map { $_->receive->status } @clients ], [ (200) x 41 ], 'all are answered, with some patience';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a read among a flood of others that are not merged' => sub {
    my $server = start(database => 'connections: 1', routes => <<~'CONF');
          GET /thing/{id}:
        SELECT id FROM thing WHERE id = :id
          GET /flood/{n}:
        SELECT count(*) AS n FROM generate_series(1, 20000 + :n::int)
        merge: off
        CONF
    my ($client, $answered) = $server->client;
    $client->get('/thing/1');
    my $load = $server->load(
        requests    => 1_500,
        connections => 64,
        target      => sub ($n) { '/flood/1' },
        check       => sub ($n, $response) { 1 },
        at          => {
            200   => sub { $client->ask('GET', '/thing/2') },
            1_300 => sub { $answered = $client->readable(0) },
        },
    );
    ok $answered, 'it has its turn';
    is $client->receive->body, '{"id":2}', '… and its answer';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'long values' => sub {
    my $server = start(limits => ', head: 64K, target: 60K', routes => <<~CONF);
          GET /long/{text}:
        SELECT length(:text) AS n, $MERGED
        CONF
    my ($long, $longer) = map { 'x' x $_ } 33_000, 34_000;
    ok all_are_merged($server, '/long/x', '/long/xx'), 'short ones are merged';
    is merged_of_these($server, "/long/$long", "/long/$longer"), 0, 'two long ones are not';
    is $server->stop, 'exit 0', 'it ends well';
};

# --- while things change ---

# Runs SQL over and over, each piece in a transaction of its own. Returns two functions: how often that was done so far,
# and one that ends it.
sub meanwhile (@sql)
{
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        until (-e $cluster->{folder} . '/enough') {
            $cluster->psql($_) for @sql, 'UPDATE meanwhile SET times = times + 1';
        }
        POSIX::_exit(0);
    }
    my $times = sub () { $cluster->value('SELECT times FROM meanwhile') };
    return $times, sub () {
        Hayfork::Test::Process::spew($cluster->{folder} . '/enough', '');
        waitpid $pid, 0;
        unlink $cluster->{folder} . '/enough';
    };
}
$cluster->psql('CREATE TABLE meanwhile (times int); INSERT INTO meanwhile VALUES (0)');

subtest 'a table whose rows change' => sub {
    $cluster->psql(<<~'SQL');
        CREATE TABLE counted (id int PRIMARY KEY, version int NOT NULL, proof text NOT NULL);
        INSERT INTO counted SELECT n, 0, md5(n || ' 0') FROM generate_series(1, 40) n;
        SQL
    my $server = start(workers => 2, routes => <<~CONF);
          GET /counted/{id}:
        SELECT id, version, proof = md5(id || ' ' || version) AS whole, $MERGED FROM counted WHERE id = :id
        CONF
    # The ids from 31 to 40 come and go; there is never one above 40.
    my ($times, $enough) = meanwhile(<<~'SQL');
        UPDATE counted SET version = version + 1, proof = md5(id || ' ' || version + 1) WHERE id <= 30;
        DELETE FROM counted WHERE id > 30;
        INSERT INTO counted SELECT n, 0, md5(n || ' 0') FROM generate_series(31, 40) n
        SQL
    my (@ids, @asked_at, %version, $merged);
    my $more = sub () {
        return $server->load(
            requests    => 20_000,
            connections => 48,
            target      => sub ($n) { $ids[$n] = 1 + int rand 50; $asked_at[$n] = $version{ $ids[$n] } // 0; "/counted/$ids[$n]" },
            check       => sub ($n, $response) {
                my $id = $ids[$n];
                return $id > 30 if $response->status == 404;
                my ($got, $version, $is_merged) =
                    $response->body =~ /^\{"id":(\d+),"version":(\d+),"whole":true,"merged":(true|false)\}$/ or return 0;
                $merged += $is_merged eq 'true';
                $version{$id} = $version if $id <= 30 && $version > ($version{$id} // 0);
                return $got == $id && $id <= 40 && $version >= ($id <= 30 ? $asked_at[$n] : 0);
            },
        );
    };
    my @loads = $more->();
    push @loads, $more->() while $times->() <= 3 && @loads < 20;
    $enough->();
    is_deeply [ map { $_->wrong } @loads ], [], 'each answer is a row as it was at some time since it was asked for';
    cmp_ok $merged,    '>', 1_000, "… $merged of them merged";
    cmp_ok $times->(), '>', 3,     '… while everything changed more than once';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a function that becomes volatile, behind views' => sub {
    $cluster->psql(<<~'SQL');
        CREATE FUNCTION luck() RETURNS float8 LANGUAGE plpgsql STABLE AS 'BEGIN RETURN random(); END';
        CREATE VIEW lucky AS SELECT id, (SELECT luck()) AS luck FROM thing;
        CREATE VIEW luckier AS SELECT * FROM lucky;
        SQL
    my $server = start(routes => <<~CONF);
          GET /luck/{id}:
        SELECT luck, $MERGED FROM luckier WHERE id = :id
        CONF
    ok all_are_merged($server, '/luck/1', '/luck/2'), 'before, its reads are merged';
    $cluster->psql('ALTER FUNCTION luck() VOLATILE');
    wait_for('its reads to be alone', sub { merged_of_these($server, '/luck/1', '/luck/2') == 0 });
    is merged_of_these($server, '/luck/1', '/luck/2'), 0, 'and soon no more' for 1 .. 3;
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a table whose columns change' => sub {
    $cluster->psql('CREATE TABLE wide AS SELECT n AS id, n AS value FROM generate_series(1, 40) n');
    my $server = start(routes => <<~'CONF');
          GET /wide/{id}:
        SELECT * FROM wide WHERE id = :id
        CONF
    my (undef, $enough) = meanwhile(
        "ALTER TABLE wide ADD more text DEFAULT 'x'",
        'ALTER TABLE wide ALTER value TYPE text USING value::text',
        'ALTER TABLE wide DROP more',
        'ALTER TABLE wide ALTER value TYPE int USING value::int',
    );
    my @ids;
    my $given_up = 0;
    my $load     = $server->load(
        requests    => 5_000,
        connections => 32,
        target      => sub ($n) { $ids[$n] = 1 + int rand 40; "/wide/$ids[$n]" },
        check       => sub ($n, $response) {
            my $id = $ids[$n];
            return ++$given_up if $response->status == 500; # its columns changed more often than it is tried
            return $response->body =~ /^\{"id":$id,"value":(?:$id|"$id")(?:,"more":"x")?\}$/;
        },
    );
    $enough->();
    is_deeply [ $load->wrong ], [], 'each answer is of one shape or the other: ' . $load->summary;
    cmp_ok $given_up, '<', 2_500, "… and few are errors ($given_up)";
    is $server->get('/wide/3')->body, '{"id":3,"value":3}', 'and then it is as before';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
