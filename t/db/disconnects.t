# Clients that go away before their answer has come: their query may outlive them, and nobody else notices.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster->load_contacts;
my $server  = server(<<~CONF, cluster => $cluster);
    workers: 2
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /contacts:
        sql: |
          SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id
        answer: rows
      GET /contacts/{id}:
        sql: |
          SELECT id FROM contact WHERE id = :id
        answer: row
      GET /held/{id}:
        sql: |
          SELECT id FROM contact, pg_advisory_xact_lock_shared(1) WHERE id = :id
        answer: row
        deadline: 20m
      GET /very_slow/{seconds}:
        sql: |
          SELECT 1 AS one FROM pg_sleep(:seconds)
        answer: row
        deadline: 20m
    CONF
my @workers = $server->workers;
is scalar @workers, 2, 'two workers';

# Nothing may have happened to the workers, and everybody gets his own answer.
sub all_is_well ()
{
    my $load = $server->load(
        requests    => 500,
        connections => 16,
        target      => sub ($n) { '/contacts/' . ($n + 1) },
        check       => sub ($n, $response) { $response->body eq sprintf '{"id":%d}', $n + 1 },
    );
    is $load->summary, '200: 500, lost: 0', 'the others are answered';
    is_deeply [ $load->wrong ], [], '… with their own contacts';
    is_deeply [ $server->workers ], \@workers, '… by the workers that were there before';
    return;
}

# Runs do(), which asks for /held/…, while such queries have to wait; they get on before after(), if there is one.
sub while_held ($do, $after = undef)
{
    my $holder = $cluster->hold('SELECT pg_advisory_xact_lock(1)');
    $do->();
    $cluster->let_go($holder);
    $after->() if defined $after;
    return;
}

sub wait_until_held ()
{
    return wait_for('a query to be held', sub {
        $cluster->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'", 'postgres');
    });
}

# How many of the very slow queries PostgreSQL is at.
sub sleeping ()
{
    return $cluster->value(<<~SQL, 'postgres');
        SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        SQL
}

for my $how ('close', 'reset') {
    subtest "in the middle of a request ($how)" => sub {
        my $request = Hayfork::Test::Client::request_text('GET', '/contacts/1', headers => { 'X-Filler' => 'x' x 100 });
        for my $part (1, 4, 20, 60, length($request) - 1) {
            my $client = $server->client;
            $client->send(substr $request, 0, $part);
            $client->close($how);
        }
        all_is_well();
    };

    subtest "right behind a request ($how)" => sub {
        for my $id (1 .. 200) {
            my $client = $server->client;
            $client->ask('GET', "/contacts/$id");
            $client->close($how);
        }
        all_is_well();
    };

    subtest "with pipelined requests waiting ($how)" => sub {
        for (1 .. 20) {
            my $client = $server->client;
            $client->send(join '', map { Hayfork::Test::Client::request_text('GET', "/contacts/$_") } 1 .. 50);
            $client->close($how);
        }
        all_is_well();
    };

    subtest "in the middle of a long answer ($how)" => sub {
        for (1 .. 10) {
            my $client = $server->client;
            $client->ask('GET', '/contacts');
            $client->fill;
            $client->close($how);
        }
        all_is_well();
    };

    subtest "while their query runs ($how)" => sub {
        while_held(sub () {
            my @clients = map { $server->client } 1 .. 4;
            $clients[$_]->ask('GET', '/held/' . ($_ + 1)) for 0 .. $#clients;
            wait_until_held();
            $_->close($how) for @clients;
            all_is_well();
        });
    };

    subtest "while the only request of their connection is at work ($how)" => sub {
        my $client = $server->client;
        $client->ask('GET', '/very_slow/600', headers => { Connection => 'close' });
        wait_for('the query to run', sub { sleeping() });
        $client->close($how);
        ok wait_for('the query to be given up', sub { !sleeping() }), 'it is given up';
        all_is_well();
    };

    subtest "while their query waits behind a slow one ($how)" => sub {
        my @slow = map { $server->client } 1 .. 4;
        while_held(
            sub () {
                $_->ask('GET', '/held/1') for @slow;
                wait_until_held();
                my @gone = map { $server->client } 1 .. 50;
                my @stay = map { $server->client } 1 .. 50;
                for my $i (0 .. 49) {
                    $gone[$i]->ask('GET', '/contacts/' . ($i + 1));
                    $stay[$i]->ask('GET', '/contacts/' . ($i + 101));
                }
                $_->close($how) for @gone;
                my @wrong = grep { $stay[$_]->receive->json->{id} != $_ + 101 } 0 .. 49;
                is "@wrong", '', 'those who stayed get their own contacts';
            },
            sub () { is $_->receive->status, 200, 'a slow one, too' for @slow },
        );
        all_is_well();
    };
}

# What PostgreSQL logs about clients that it lost, or could not send to.
sub lost ()
{
    return join '', $cluster->log =~ /^((?:FATAL|LOG):.*(?:client|connection).*\n)/mg;
}

subtest 'PostgreSQL does not lose its client' => sub {
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
          lanes: { one: { from: read, connections: 2 } }
        routes:
          GET /rows/{n}:
            sql: SELECT g, repeat('x', 1000) AS x FROM generate_series(1, :n) AS g
            answer: rows
          GET /more/{n}:
            sql: SELECT g, repeat('x', 1000) AS x FROM generate_series(1, :n) AS g
            answer: rows
            lane: one
          GET /one:
            sql: SELECT 1 AS one
            answer: row
            lane: one
        CONF
    my $before = lost();
    is $server->get('/rows/20000')->status, 200, 'by the first list that is larger than limits.buffer';
    for my $path ('/rows/20000', '/rows/10000000', '/more/10000000', '/more/10000000') {
        my $client = $server->client;
        $client->ask('GET', $path);
        $client->fill;
        $client->close('close');
        is $server->get('/one')->body, '{"one":1}', "nor by a client that leaves: GET $path; others are answered";
    }
    ok wait_for('the queries to end', sub {
        !$cluster->value(q(SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%repeat%'
            AND pid <> pg_backend_pid()), 'postgres');
    }), 'the queries end';
    is $server->stop, 'exit 0';
    is lost(), $before, 'PostgreSQL has nothing to complain of';
};

subtest 'nor by several whose queries wait for each other' => sub {
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
          lanes: { one: { from: read, connections: 1, deadline: 20m } }
        routes:
          GET /wait:
            sql: SELECT 1 AS one FROM pg_sleep(600)
            answer: rows
            lane: one
            deadline: 20m
        CONF
    my $before  = lost();
    my @clients = map { $server->client } 1 .. 3;
    $_->ask('GET', '/wait') for @clients;
    ok wait_for('one to run', sub { sleeping() == 1 }), 'one of them runs';
    $_->close('close') for @clients;
    ok wait_for('the queries to end', sub { sleeping() == 0 && !$server->log_lines(qr/ error /) }), 'the queries end';
    is $server->stop, 'exit 0';
    is lost(), $before, 'PostgreSQL has nothing to complain of';
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;
