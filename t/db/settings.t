# PostgreSQL's settings that change how values are written and read, or how SQL is understood: whatever they are set to
# for a role, answers are what they are without.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::PgBouncer;
use Hayfork::Test::Process qw(slurp wait_for);

needs_postgres;
needs_program('pgbouncer');
my $cluster = cluster;
$cluster->psql(<<~'SQL');
    CREATE TABLE c (id int PRIMARY KEY, name text);
    INSERT INTO c SELECT g, 'n' || g FROM generate_series(1, 64) g;
    CREATE TYPE many AS (f float8, fs real[], b bytea, i interval, d date);
    SQL

# A setting => a value that is not its own, and SQL whose answer shows it, where there is any.
my %SETTINGS = (
    array_nulls                 => [ 'off',          q(SELECT :list::text[] AS list) ],
    backslash_quote             => [ 'off',          q(SELECT E'it\\'s' AS it) ],
    bytea_output                => [ 'escape',       q(SELECT '\x00ff41'::bytea AS b, ARRAY['\x00ff'::bytea] AS bs) ],
    client_encoding             => [ 'LATIN1',       q(SELECT 'é' AS e, ARRAY['ü'] AS u) ],
    DateStyle                   => [ 'German, DMY',  q(SELECT '2024-02-29'::date AS d, ARRAY['2024-02-29 12:00'::timestamp] AS ts) ],
    default_text_search_config  => undef,
    exit_on_error               => [ 'on',           q(SELECT current_setting('exit_on_error') AS e) ],
    extra_float_digits          => [ -10, q(SELECT 0.1::float8 + 0.2 AS f, ARRAY[1/3::real] AS fs, point(0.1 + 0.2, 0) AS p) ],
    gin_fuzzy_search_limit      => [ 1,              q(SELECT current_setting('gin_fuzzy_search_limit') AS l) ],
    IntervalStyle               => [ 'sql_standard', q(SELECT '1 day -2 h'::interval AS i, ARRAY['1 mon'::interval] AS li) ],
    quote_all_identifiers       => [ 'on',           q(SELECT 'pg_class'::regclass AS r, quote_ident('a') AS quoted) ],
    standard_conforming_strings => [ 'off',          q(SELECT 'back\\slash' AS s, length('\\') AS l) ],
    transform_null_equals       => [ 'on',           q(SELECT (1 = NULL) AS n, count(*) AS c FROM c WHERE id = NULL) ],
    xmlbinary                   => [ 'hex',          q(SELECT xmlelement(name a, '\x00ff'::bytea) AS x) ],
    xmloption                   => [ 'document',     q(SELECT 'a<b/>'::xml AS x) ],
);
delete $SETTINGS{default_text_search_config};
if (!$cluster->value(q(SELECT count(*) FROM pg_config WHERE name = 'CONFIGURE' AND setting LIKE '%libxml%'))) {
    delete @SETTINGS{qw(xmlbinary xmloption)};
}
my @names = sort keys %SETTINGS;

# What a session says that has PostgreSQL's own settings.
my %expected = map { $_ => $cluster->row_as_json($SETTINGS{$_}[1] =~ s/:list\b/'{x,NULL}'/r) } @names;

sub start ($conninfo, %with)
{
    my $routes = join '', map { <<~CONF } @names;
          POST /$_:
            sql: |
              $SETTINGS{$_}[1]
            ${\ ($SETTINGS{$_}[1] =~ /:list\b/ ? 'body: [list]' : '') }
            answer: row
        CONF
    return server(<<~CONF, %with);
        workers: 1
        database: { connect: "$conninfo" }
        routes:
          GET /opt/{i}:
            sql: |
              SELECT id, name FROM c WHERE id = :i AND (:q IS NULL OR name = :q)
            query: [q]
            answer: row
          GET /xml/{i}:
            sql: |
              SELECT id, 0.1::float8 + :f AS f, '2024-02-29'::date AS d FROM c WHERE id = :i
            query: { f: 0.2 }
            answer: row
          POST /echo:
            sql: |
              SELECT :f::float8 AS f, :fs::float8[] AS fs, :s::text[] AS s, :m::many AS m
            body: [f, fs, s, m]
            answer: row
        $routes
        CONF
}

sub answers_are_right ($server, $name)
{
    my $client = $server->client;
    for my $setting (@names) {
        my $got = $client->request('POST', "/$setting", json => $SETTINGS{$setting}[1] =~ /:list\b/ ? '{"list":["x",null]}' : '');
        json_is $got->body, $expected{$setting}, "$name: what $setting changes";
    }
    my $load = $server->load(
        requests    => 640,
        connections => 32,
        target      => sub ($n) { '/opt/' . ($n % 64 + 1) },
        check       => sub ($n, $response) { $response->body eq '{"id":' . ($n % 64 + 1) . ',"name":"n' . ($n % 64 + 1) . '"}' },
    );
    is $load->summary, '200: 640, lost: 0', "$name: reads that are merged, with NULL among their parameters";
    is_deeply [ $load->wrong ], [], "$name: … each with its own row";
    json_is $client->get('/xml/7')->body, '{"id":7,"f":0.30000000000000004,"d":"2024-02-29"}', "$name: one of them alone";
    json_is $client->request('POST', '/echo', json => <<~'JSON')->body, <<~'JSON', "$name: values come back";
        {"f":0.30000000000000004,"fs":[1e-300,null],"s":["NULL",null,"a\\'b"],"m":"(0.1,{0.1},\"\\\\x00ff\",\"1 day\",2024-02-29)"}
        JSON
        {"f":0.30000000000000004,"fs":[1e-300,null],"s":["NULL",null,"a\\'b"],
         "m":{"f":0.1,"fs":[0.1],"b":"\\x00ff","i":"1 day","d":"2024-02-29"}}
        JSON
}

$cluster->psql('CREATE ROLE plain LOGIN SUPERUSER');
my $server = start($cluster->conninfo(user => 'plain'), cluster => $cluster, lanes => 2);
answers_are_right($server, 'as they come');
is $server->stop, 'exit 0', 'it ends well';

$cluster->psql('CREATE ROLE odd LOGIN SUPERUSER; ' . join '', map { "ALTER ROLE odd SET $_ = $SETTINGS{$_}[0];" =~ s/= (.*);/= '$1';/r } grep { $_ ne 'DateStyle' } @names);
$cluster->psql(q(ALTER ROLE odd SET DateStyle = German, DMY));
$server = start($cluster->conninfo(user => 'odd'), cluster => $cluster, lanes => 2);
answers_are_right($server, 'all of them set otherwise');
is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';

# The environment and the conninfo come before what Hayfork asks for.
{
    local $ENV{PGOPTIONS} = '-c array_nulls=off -c extra_float_digits=-10 -c bytea_output=escape -c standard_conforming_strings=off';
    $server = start($cluster->conninfo(user => 'plain'), cluster => $cluster, lanes => 2);
    answers_are_right($server, 'set by PGOPTIONS');
    is $server->stop, 'exit 0', 'it ends well';
}

# A pooler drops what the sessions are asked for: it goes in front of each transaction.
for my $mode ('session', Hayfork::Test::PgBouncer::knows_statements() ? 'transaction' : ()) {
    my %more = $mode eq 'session' ? () : (max_prepared_statements => 50, default_pool_size => 3);
    my $bouncer = Hayfork::Test::PgBouncer->start($cluster, pool_mode => $mode, role => 'odd', %more);
    $server = start($bouncer->conninfo);
    $server->wait_for_status('/xml/7', 200);
    wait_for('it to take writes', sub { $server->client->request('POST', '/DateStyle')->status == 200 });
    answers_are_right($server, "PgBouncer, pool_mode = $mode");
    is $server->stop, 'exit 0', 'it ends well';
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
}

subtest 'what is left to the database, and changes' => sub {
    $cluster->psql('CREATE ROLE traveller LOGIN');
    $cluster->psql(q(ALTER ROLE traveller SET TimeZone = 'Asia/Tokyo'));
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database: { connect: "${\ $cluster->conninfo(user => 'traveller') }", connections: 4 }
        routes:
          GET /time:
            sql: |
              SELECT '2024-02-29 12:00+00'::timestamptz AS t, pg_backend_pid() AS pid
            answer: row
          GET /gate:
            sql: |
              SELECT '2024-02-29 12:00+00'::timestamptz AS t FROM pg_advisory_xact_lock_shared(1)
            answer: row
        CONF
    my $first = $server->get('/time')->json;
    is $first->{t}, '2024-02-29T21:00:00+09:00', 'it counts';
    $cluster->psql(q(ALTER ROLE traveller SET TimeZone = 'Europe/London'));
    is $server->get('/time')->json->{t}, '2024-02-29T21:00:00+09:00', 'a session keeps it';

    # Behind a slow query another session is opened, which has the new one.
    my $gate = $cluster->hold('SELECT pg_advisory_xact_lock(1)');
    my $slow = $server->client->ask('GET', '/gate');
    my $next = wait_for('another session', sub {
        my $got = $server->get('/time')->json;
        return $got->{pid} != $first->{pid} && $got;
    });
    is $next->{t}, '2024-02-29T12:00:00+00:00', 'the next one has the new one';
    $cluster->let_go($gate);
    is $slow->receive->json->{t}, '2024-02-29T21:00:00+09:00', 'the older one ends what it has begun';
    wait_for('it to be gone', sub { !$cluster->value("SELECT count(*) FROM pg_stat_activity WHERE pid = $first->{pid}") });
    is $server->get('/time')->json->{t}, '2024-02-29T12:00:00+00:00', 'and is gone then' for 1 .. 3;
    my @lines = $server->log_lines(qr/ (?:warn|error) /);
    is scalar @lines, 1, 'the log says so' or diag join "\n", @lines;
    like $lines[0], qr/ lane read: TimeZone is Europe\/London in a new session and was Asia\/Tokyo in those before, which end now/,
      '… with both';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'the manual has all of them' => sub {
    my ($session, $look) = map { slurp("$Hayfork::Test::TOP_SRCDIR/src/db/$_.c") } qw(session look);
    my $manual = slurp("$Hayfork::Test::TOP_SRCDIR/man/hayfork.conf.5");
    my ($pinned) = $session =~ /^const struct db_pinned db_session_pinned\[\w*\] = \{(.*?)^\};/ms;
    my ($left)   = $look    =~ /^static const char \*const left\[\w*\] = \{(.*?)\};/ms;
    my @pinned   = $pinned =~ /\{"(\w+)"/g;
    my @left     = $left   =~ /"(\w+)"/g;
    cmp_ok @pinned, '>=', 13, 'there are pinned ones';
    cmp_ok @left,   '>=', 8,  'and others';
    my ($section) = $manual =~ /^\.Ss Settings of a session\n(.*?)^\.S[sh] /ms;
    like $section // '', qr/\b\Q$_\E\b/, $_ for @pinned, @left;
    is_deeply [ grep { !exists $SETTINGS{$_} && !/^xml/ } @pinned ], [], 'each that is pinned is tried here';
};

done_testing;
