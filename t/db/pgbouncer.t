# PgBouncer between server and PostgreSQL: in session mode, and in transaction mode where it knows prepared statements, all
# is as without it; in transaction mode where it does not know them, the log says so.
use v5.36;

use Hayfork::Test;

use Time::HiRes qw(sleep);

use Hayfork::Test::PgBouncer;
use Hayfork::Test::Process qw(wait_for);

needs_postgres;
needs_program('pgbouncer');
my $cluster = cluster->load_contacts;
my $knows_statements = Hayfork::Test::PgBouncer::knows_statements();

# All that it can be asked for with this PgBouncer; few sessions, so that they go from hand to hand.
my %MODES = (
    session     => { pool_mode => 'session' },
    transaction => { pool_mode => 'transaction', default_pool_size => 3, max_prepared_statements => 100 },
);
delete $MODES{transaction} if !$knows_statements;

sub bouncer (%setting) { return Hayfork::Test::PgBouncer->start($cluster, %setting) }

sub start ($bouncer)
{
    return server(<<~CONF);
        workers: 2
        database: { connect: "${\ $bouncer->conninfo }" }
        limits: { deadline: 2s }
        routes:
          GET /:
            text: "hello\\n"
          GET /contacts/{id}:
            sql: |
              SELECT id, firstname, lastname, phone, email FROM contact WHERE id = :id
            answer: row
          GET /contacts:
            sql: |
              SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id
            answer: rows
          GET /all/{id}:
            sql: |
              SELECT * FROM moving WHERE id = :id
            answer: row
          GET /times:
            sql: |
              SELECT '2024-02-29 12:34:56+00'::timestamptz AS time, '2024-02-29'::date AS day,
                     '1 day 2 h'::interval AS span, '\\x00ff41'::bytea AS bytes
            answer: row
          GET /gate:
            sql: |
              SELECT 1 AS one FROM pg_advisory_xact_lock_shared(1)
            answer: row
          GET /settings:
            sql: |
              SELECT current_setting('statement_timeout') AS timeout, current_setting('transaction_read_only') AS read_only,
                     current_setting('client_connection_check_interval') AS interval
            answer: row
          POST /settings:
            sql: |
              SELECT current_setting('statement_timeout') AS timeout, current_setting('transaction_read_only') AS read_only
            answer: row
          GET /write:
            sql: |
              SELECT nextval('written')
            answer: row
          GET /sleep/{seconds}:
            sql: |
              SELECT pg_sleep(:seconds)
            answer: row
          POST /contacts:
            sql: |
              INSERT INTO contact (lastname) VALUES (:lastname) RETURNING lastname
            body: [lastname]
            answer: row
            status: 201
        CONF
}

sub wait_for_writes ($server)
{
    return wait_for('writes to be taken', sub { $server->client->request('POST', '/settings')->status == 200 });
}

# The problems of a server, and what it says of the settings.
sub complaints ($server) { return $server->log_lines(qr/ (?:error|warn) /) }
sub in_front ($server)   { return $server->log_lines(qr/ info .*did not pass on the settings.*in front of each query/) }

$cluster->psql('CREATE SEQUENCE written; CREATE TABLE moving (id int PRIMARY KEY, a int); INSERT INTO moving VALUES (1, 2)');

for my $mode (sort keys %MODES) {
    subtest "pool_mode = $mode" => sub {
        my $bouncer = bouncer(%{ $MODES{$mode} });
        my $server  = start($bouncer);
        $server->wait_for_status('/contacts/1', 200);
        wait_for_writes($server);
        cmp_ok scalar(in_front($server)), '>=', 2, 'the log says that PgBouncer drops settings, for each lane';
        json_is $server->get('/contacts')->body,
          $cluster->rows_as_json('SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id'), 'a list';
        is $server->get('/times')->body,
          $cluster->row_as_json(<<~'SQL'), 'times and bytes are what they are without it';
            SELECT '2024-02-29 12:34:56+00'::timestamptz AS time, '2024-02-29'::date AS day,
                   '1 day 2 h'::interval AS span, '\x00ff41'::bytea AS bytes
            SQL
        my $written = $server->request('POST', '/contacts', json => qq({"lastname":"Bouncer $mode"}));
        is $written->status, 201, 'a write';
        is $cluster->value("SELECT count(*) FROM contact WHERE lastname = 'Bouncer $mode'"), 1, '… is done';

        json_is $server->get('/settings')->body, '{"timeout":"2s","read_only":"on","interval":"500ms"}', 'what a read begins with';
        json_is $server->request('POST', '/settings')->body, '{"timeout":"2s","read_only":"off"}', '… and a write';
        problem_is $server->get('/write'), 500, {}, 'a read does not write';
        problem_is $server->get('/sleep/30'), 504, {}, 'a read that takes too long';
        is $bouncer->psql('SHOW statement_timeout; SHOW transaction_read_only'), "0\noff\n", 'other clients get no setting of it';

        my $load = $server->load(
            requests    => 2_000,
            connections => 32,
            target      => sub ($n) { '/contacts/' . ($n + 1) },
            check       => sub ($n, $response) { $response->json->{id} == $n + 1 },
        );
        is $load->summary, '200: 2000, lost: 0', 'many reads at once';
        is_deeply [ $load->wrong ], [], '… each with its own answer';

        my $gate = $cluster->hold('SELECT pg_advisory_xact_lock(1)');
        my $slow = $server->client->ask('GET', '/gate');
        wait_for('it to wait', sub {
            $cluster->value(q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted));
        });
        sleep 0.1;    # its lane finds it slow after 10 ms
        my @wrong = grep { $server->get("/contacts/$_")->status != 200 } 1 .. 50;
        is "@wrong", '', 'reads beside a slow one';
        ok !$slow->readable(0), '… while it still runs';
        $cluster->let_go($gate);
        is $slow->receive->status, 200, '… which is answered in the end';
        is_deeply [ grep { !/25006|57014/ } complaints($server) ], [], 'the log has no complaint';

        my $checked = hayfork('-t', '--db', '-c', $server->{conf});
        is $checked->{exit}, 'exit 0', '`-t --db` finds nothing' or diag $checked->{stderr};
        is $server->stop, 'exit 0', 'it ends well';
    };

    # PgBouncer has statements prepared under names of its own, and what is prepared again is not, if it is the same text.
    subtest "pool_mode = $mode: a migration" => sub {
        my $bouncer = bouncer(%{ $MODES{$mode} });
        my $server  = start($bouncer);
        my %rows   = (1 => 'ALTER TABLE moving ADD b text DEFAULT $$b$$', 2 => 'ALTER TABLE moving ALTER a TYPE text', 3 => 'ALTER TABLE moving DROP b');
        my $is_right = sub ($name) {
            my $expected = $cluster->row_as_json('SELECT * FROM moving');
            my $load = $server->load(
                requests    => 200,
                connections => 16,
                target      => sub ($n) { '/all/1' },
                check       => sub ($n, $response) { $response->body eq $expected },
            );
            is $load->summary, '200: 200, lost: 0', $name;
            is_deeply [ $load->wrong ], [], '… with the columns of now';
        };
        $server->wait_for_status('/all/1', 200);
        $is_right->('before it');
        for my $step (1 .. 3) {
            $cluster->psql($rows{$step});
            $is_right->("after $rows{$step}");
        }
        is $server->stop, 'exit 0', 'it ends well';

        # Sessions of PgBouncer's still have what was prepared for the first server.
        $cluster->psql('ALTER TABLE moving ADD c int DEFAULT 3');
        $server = start($bouncer);
        $server->wait_for_status('/all/1', 200);
        $is_right->('another server');
        is $server->stop, 'exit 0', 'it ends well';
        $cluster->psql('ALTER TABLE moving DROP c, ALTER a TYPE int USING a::int');
    };
}

subtest 'settings of the role do as well' => sub {
    $cluster->psql(<<~'SQL');
        CREATE ROLE reader LOGIN; GRANT SELECT ON contact TO reader;
        ALTER ROLE reader SET statement_timeout = 2000; ALTER ROLE reader SET default_transaction_read_only = on;
        SQL
    my $bouncer = bouncer(pool_mode => 'session', role => 'reader');
    my $server  = server(<<~CONF);
        database: { connect: "${\ $bouncer->conninfo }" }
        limits: { deadline: 2s }
        routes:
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
        CONF
    $server->wait_for_status('/contacts/1', 200);
    is scalar(in_front($server)), 0, 'nothing goes in front then';
    is_deeply [ complaints($server) ], [], 'and nothing is missing';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'pool_mode = transaction without prepared statements' => sub {
    my $server = start(bouncer(pool_mode => 'transaction', $knows_statements ? (max_prepared_statements => 0) : ()));
    my $word = qr/ (?:error|warn) .*transaction/i;
    wait_for('a word about it', sub { $server->log_lines($word) });
    my ($line) = $server->log_lines($word);
    like $line, qr/pooler.*PgBouncer/i,    'the log names what is in the way';
    like $line, qr/pool_mode = session/i, '… and what to write instead';
    like $line, qr/max_prepared_statements, which PgBouncer 1\.21 and later have/, '… or that';
    is $server->get('/')->status, 200, 'what needs no database is served';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'without ignore_startup_parameters = options' => sub {
    my $server = start(bouncer(pool_mode => 'session', ignore_startup_parameters => undef));
    problem_is $server->get('/contacts/1'), 503, {}, 'PgBouncer takes no connection';
    wait_for('a word about it', sub { $server->log_lines(qr/ error /) });
    my ($line) = $server->log_lines(qr/ error /);
    like $line, qr/startup parameter.*options/, 'the log has its reason';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
