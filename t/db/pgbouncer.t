# PgBouncer between server and PostgreSQL: in session mode all is as without it; in transaction mode, where sessions
# do not stay what they are, the log says so at the start.
use v5.36;

use Hayfork::Test;

use Time::HiRes qw(sleep);

use Hayfork::Test::Process qw(spawn wait_for temporary_folder slurp spew);

needs_postgres;
my $pgbouncer = needs_program('pgbouncer');
my $cluster = cluster->load_contacts;

# Starts PgBouncer with these settings. Returns how to connect by way of it.
sub bouncer (%setting)
{
    my $folder = temporary_folder();
    my %all    = (
        listen_addr => '', listen_port => 6432, unix_socket_dir => $folder, auth_type => 'any',
        default_pool_size => 20, %setting
    );
    my $settings = join '', map { "$_ = $all{$_}\n" } sort keys %all;
    my $ini      = spew("$folder/pgbouncer.ini",
        "[databases]\ncontacts = ${\ $cluster->conninfo }\n[pgbouncer]\n$settings");

    # It refuses to run as root, as PostgreSQL does.
    my %as;
    if ($> == 0) {
        @as{qw(uid gid)} = (getpwnam 'nobody')[ 2, 3 ] or die 'no user "nobody" to run PgBouncer as';
        chown @as{qw(uid gid)}, $folder or die "chown $folder: $!";
    }
    spawn([ $pgbouncer, $ini ], stdout => "$folder/log", stderr => "$folder/log", last => 'TERM', %as);
    wait_for('PgBouncer to listen', sub { -S "$folder/.s.PGSQL.6432" });
    return "host=$folder port=6432 user=postgres dbname=contacts";
}

sub start ($connect)
{
    return server(<<~CONF);
        workers: 2
        database: { connect: "$connect" }
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
          GET /times:
            sql: |
              SELECT '2024-02-29 12:34:56+00'::timestamptz AS time, '2024-02-29'::date AS day,
                     '1 day 2 h'::interval AS span, '\\x00ff41'::bytea AS bytes
            answer: row
          GET /gate:
            sql: |
              SELECT 1 AS one FROM pg_advisory_xact_lock_shared(1)
            answer: row
          POST /contacts:
            sql: |
              INSERT INTO contact (lastname) VALUES (:lastname) RETURNING lastname
            body: [lastname]
            answer: row
            status: 201
        CONF
}

subtest 'pool_mode = session' => sub {
    my $server = start(bouncer(pool_mode => 'session', ignore_startup_parameters => 'options'));
    $server->wait_for_status('/contacts/1', 200);
    json_is $server->get('/contacts')->body,
      $cluster->rows_as_json('SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id'), 'a list';
    is $server->get('/times')->body,
      $cluster->row_as_json(<<~'SQL'), 'times and bytes are what they are without it';
        SELECT '2024-02-29 12:34:56+00'::timestamptz AS time, '2024-02-29'::date AS day,
               '1 day 2 h'::interval AS span, '\x00ff41'::bytea AS bytes
        SQL
    my $written = wait_for('a write to be taken', sub {
        my $response = $server->request('POST', '/contacts', json => '{"lastname":"Bouncer"}');
        return $response->status != 503 && $response;
    });
    is $written->status, 201, 'a write';
    is $cluster->value(q(SELECT count(*) FROM contact WHERE lastname = 'Bouncer')), 1, '… is done';

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

    my @lines = $server->log_lines(qr/ (?:error|warn) /);
    is_deeply [ grep { !/PgBouncer.*statement_timeout/ } @lines ], [], 'the log has no other complaint';
    cmp_ok scalar @lines, '>=', 1, '… than that PgBouncer has ignored some options';
    is $server->stop, 'exit 0', 'it ends well';
};

# PgBouncer drops what a session asks for by way of options: where the role has set it otherwise, answers would be wrong.
subtest 'settings that PgBouncer drops' => sub {
    for my $set ('array_nulls = off', 'bytea_output = escape', 'extra_float_digits = 0', 'IntervalStyle = iso_8601',
        'quote_all_identifiers = on', 'transform_null_equals = on', 'xmlbinary = hex', 'xmloption = document') {
        my ($name, $value) = $set =~ /^(\w+) = (\w+)$/;
        $cluster->psql("ALTER ROLE postgres SET $set");
        my $server = start(bouncer(pool_mode => 'session', ignore_startup_parameters => 'options'));
        problem_is $server->get('/contacts/1'), 503, {}, "$set: no session is used";
        wait_for('a word about it', sub { $server->log_lines(qr/ error .*\Q$name\E/) });
        my ($line) = $server->log_lines(qr/ error .*\Q$name\E/);
        like $line, qr/the session has $name = $value, which has to be \w+; a pooler .* ALTER ROLE/, '… and the log says why';
        is $server->stop, 'exit 0', 'it ends well';
        $cluster->psql("ALTER ROLE postgres RESET $name");
    }
    $cluster->psql('ALTER ROLE postgres SET extra_float_digits = 3');
    my $server = start(bouncer(pool_mode => 'session', ignore_startup_parameters => 'options'));
    $server->wait_for_status('/contacts/1', 200);
    is $server->stop, 'exit 0', 'another one that does as well is no reason';
    $cluster->psql('ALTER ROLE postgres RESET extra_float_digits');
};

subtest 'pool_mode = transaction' => sub {
    my $server = start(bouncer(pool_mode => 'transaction', ignore_startup_parameters => 'options'));
    my $word = qr/ (?:error|warn) .*transaction/i;
    wait_for('a word about it', sub { $server->log_lines($word) });
    my ($line) = $server->log_lines($word);
    like $line, qr/pooler|PgBouncer/i,    'the log names what is in the way';
    like $line, qr/pool_mode = session/i, '… and what to write instead';
    is $server->get('/')->status, 200, 'what needs no database is served';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'without ignore_startup_parameters = options' => sub {
    my $server = start(bouncer(pool_mode => 'session'));
    problem_is $server->get('/contacts/1'), 503, {}, 'PgBouncer takes no connection';
    wait_for('a word about it', sub { $server->log_lines(qr/ error /) });
    my ($line) = $server->log_lines(qr/ error /);
    like $line, qr/startup parameter.*options/, 'the log has its reason';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
