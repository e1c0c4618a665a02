# Lanes that never stall: what is slow is in nobody's way, what is too much is refused at once, and what a broken
# connection leaves behind is told truly.
use v5.36;

use Hayfork::Test;

use List::Util qw(uniq);

use Hayfork::Test::Ledger;
use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->psql(<<~'SQL');
    CREATE TABLE gate AS SELECT id FROM generate_series(1, 100) id;
    CREATE TABLE passed (key text);
    CREATE ROLE service LOGIN;
    GRANT SELECT ON contact, gate TO service;
    SQL

# A server with one worker, unless told otherwise. database: more of that section.
sub start ($database = '', %with)
{
    my $workers = $with{workers} // 1;
    my $lanes   = ($with{routes} // '') =~ /POST/ ? 2 : 1;
    return server(<<~CONF, cluster => $cluster, lanes => $lanes, %with);
        workers: $workers
        limits: { deadline: ${\ ($with{deadline} // '50s') } }
        database:
          connect: ${\ $cluster->conninfo($with{user} ? (user => $with{user}) : ()) }
          $database
        routes:
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
          GET /sleep/{seconds}:
            sql: |
              SELECT 'awake' AS state FROM pg_sleep(:seconds)
            answer: row
          GET /busy/{n}:
            sql: |
              SELECT count(*) AS n FROM generate_series(1, :n::bigint) x WHERE md5(x::text) < '8'
            answer: row
          GET /gate/{id}:                 # waits as long as the test wants: see shut_gate
            sql: |
              SELECT id FROM contact, pg_advisory_xact_lock_shared(1) WHERE id = :id
            answer: row
          GET /table/{id}:
            sql: |
              SELECT id FROM gate WHERE id = :id
            answer: row
        ${\ ($with{routes} // '') }
        CONF
}

my $WRITES = <<~'CONF' =~ s/^/  /gmr;
    POST /pass:
      sql: |
        INSERT INTO passed SELECT :key FROM pg_advisory_xact_lock_shared(1) RETURNING key
      body: [key]
      answer: row
    CONF

# Until it is opened again with let_go, what comes to the gate waits.
sub shut_gate () { return $cluster->hold('SELECT pg_advisory_xact_lock(1)') }

# The process ids of the backends that are at a query of Hayfork's which has this in its text, and not just
# preparing it.
sub backends_at ($text)
{
    return split /\n/, $cluster->psql(<<~SQL);
        SELECT pid FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND state = 'active' AND query LIKE '%$text%'
           AND clock_timestamp() - query_start > '0.1 s'
        SQL
}

# Waits until there is one, other than that.
sub wait_for_backend ($text, $other = 0)
{
    return wait_for("$text to run", sub { (grep { $_ != $other } backends_at($text))[0] });
}

# How many connections Hayfork has.
sub connections ()
{
    return $cluster->value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hayfork'");
}

# Are there no more than that? One that Hayfork has closed counts until PostgreSQL notices, within half a second:
# its query waits at the gate, and nobody waits for it any longer.
sub connections_are_at_most ($most, $name)
{
    return ok wait_for("$most connections at most", sub { connections() <= $most }), $name;
}

# Asks for that many contacts, one after the other: are all of them answered?
sub quick_ones_are_served ($server, $name = 'quick queries are answered')
{
    my $client = $server->client;
    my @wrong  = grep { $client->get("/contacts/$_")->body ne qq({"id":$_}) } 1 .. 50;
    return is "@wrong", '', $name;
}

# Do these clients get the contacts 1, 2, 3 …?
sub contacts_are_answered ($name, @clients)
{
    my @bodies = map { $_->receive->body } @clients;
    my @wrong  = map { $bodies[ $_ - 1 ] } grep { $bodies[ $_ - 1 ] ne qq({"id":$_}) } 1 .. @bodies;
    return is_deeply \@wrong, [], $name;
}

# Clients that have asked for these and wait.
sub ask ($server, @targets)
{
    return map { $server->client->ask('GET', $_) } @targets;
}

# --- slow beside quick ---

subtest 'a query that sleeps' => sub {
    my $server = start();
    my ($slow) = ask($server, '/sleep/3');
    wait_for_backend('pg_sleep');
    quick_ones_are_served($server);
    ok !$slow->readable(0), '… while it still sleeps';
    is $slow->receive->body, '{"state":"awake"}', 'it is answered, too';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a query that keeps the processor busy' => sub {
    my $server = start();
    my ($slow) = ask($server, '/busy/1000000000');
    my $pid = wait_for_backend('generate_series');
    quick_ones_are_served($server);
    ok !$slow->readable(0), '… while it is still busy';
    $cluster->psql("SELECT pg_cancel_backend($pid)");
    problem_is $slow->receive, 504, {}, 'it is given up when PostgreSQL is told to';
    quick_ones_are_served($server, 'nobody else notices');
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'queries that were sent right behind a slow one' => sub {
    my $server = start();
    my $gate   = shut_gate();
    for my $round (1 .. 3) {
        my ($slow, @quick) = ask($server, "/gate/$round", map { "/contacts/$_" } 1 .. 40);
        contacts_are_answered 'all of them are answered', @quick;
        ok !$slow->readable(0), '… while the slow one still runs';
    }
    $cluster->let_go($gate);
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'more slow ones than connections' => sub {
    my $server = start();
    for my $round (1 .. 3) {
        my $gate = shut_gate();
        my @slow = ask($server, map { "/gate/$_" } 1 .. 30);
        wait_for_backend('advisory');
        quick_ones_are_served($server);
        is scalar(grep { $_->readable(0) } @slow), 0, '… while all of the slow ones still run or wait';
        connections_are_at_most(8, '… with as many connections as there may be');
        $cluster->let_go($gate);
        contacts_are_answered 'the slow ones are answered, too', @slow;
    }
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a table that is locked' => sub {
    my $server = start();
    my $lock   = $cluster->hold('LOCK TABLE gate');
    my @slow   = ask($server, map { "/table/$_" } 1 .. 30);
    wait_for_backend('gate');
    quick_ones_are_served($server) for 1 .. 3;
    is scalar(grep { $_->readable(0) } @slow), 0, '… while it is locked';
    $cluster->let_go($lock);
    contacts_are_answered 'those who asked for the table are answered then', @slow;
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'connections: 1' => sub {
    my $server = start('connections: 1');
    my $gate   = shut_gate();
    my ($slow) = ask($server, '/gate/1');
    wait_for_backend('advisory');
    my @quick = ask($server, map { "/contacts/$_" } 1 .. 5);
    ok !$quick[0]->readable(0.5), 'who comes behind a slow query waits';
    is connections(), 1, '… for the one connection there is';
    $cluster->let_go($gate);
    is $slow->receive->status, 200, 'once it is done, it is answered';
    contacts_are_answered '… and they are, too', @quick;

    wait_for('a line in the log', sub { $server->log_lines(qr/ held lane /) });
    my ($line) = $server->log_lines(qr/ held lane /);
    like $line, qr{GET /gate/\{id\} held lane read for \d+ ms, [1-9]\d* waited}, 'the log names who was in the way';
    like $line, qr/give it a lane/, '… and what helps';
    for (1 .. 3) {
        my $again = shut_gate();
        my ($first) = ask($server, '/gate/1');
        wait_for_backend('advisory');
        my ($second) = ask($server, '/contacts/1');
        ok !$second->readable(0.2), 'it happens again';
        $cluster->let_go($again);
        is $_->receive->status, 200, 'answered' for $first, $second;
    }
    is scalar $server->log_lines(qr/ held lane /), 1, 'the log does not say it each time';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'a lane of its own' => sub {
    my $server = start("connections: 1\n  lanes: { report: { from: read, connections: 1, queue: 8, deadline: 50s } }",
        deadline => '1s', routes => <<~'CONF' =~ s/^/  /gmr);
        GET /report/{seconds}:
          sql: |
            SELECT 'done' AS state FROM pg_sleep(:seconds)
          answer: row
          lane: report
        GET /readonly:
          sql: |
            SELECT current_setting('transaction_read_only') AS value
          answer: row
          lane: report
        CONF
    is $server->get('/readonly')->body, '{"value":"on"}', 'from: read makes its session read-only';
    my @slow = ask($server, '/report/3');
    wait_for_backend('done');
    push @slow, ask($server, '/report/0');
    quick_ones_are_served($server);
    ok !$slow[0]->readable(0), '… while its query still runs';
    ok !$slow[1]->readable(0), '… and another one of it waits';
    is $_->receive->body, '{"state":"done"}', "both are answered: the lane's deadline counts for them" for @slow;
    problem_is $server->get('/sleep/20'), 504, {}, 'for others the common one does';
    is $server->stop, 'exit 0', 'it ends well';
};

# --- bounds ---

subtest 'a full queue, and fairness' => sub {
    my $server = start("connections: 1\n  queue: 16");
    my $gate   = shut_gate();
    my @flood  = ask($server, '/gate/1');
    wait_for_backend('advisory');    # until the connection is seen to be held, what goes out on it needs no place
    push @flood, ask($server, map { "/gate/$_" } 1 .. 100) for 1 .. 2;
    wait_for('half of them to be refused', sub { 100 < grep { $_->readable(0) } @flood });
    my @refused = grep { $_->readable(0.1) } @flood;
    my @waiting = grep { !$_->readable(0) } @flood;
    my @answers = map  { $_->receive } @refused;
    is_deeply [ uniq map { $_->status } @answers ], [503], 'what is too much is refused at once (' . @refused . ')';
    my @after = map { $_->header('Retry-After') } @answers;
    is_deeply [ grep { !/^[123]$/ } @after ], [], '… with one to three seconds to wait';
    cmp_ok scalar(uniq @after), '>', 1, '… which are not the same for all';

    my @quick = ask($server, map { "/contacts/$_" } 1 .. 4);
    ok !$quick[3]->readable(0.3), 'a flood of one route leaves room for others';
    $cluster->let_go($gate);
    is_deeply [ map { $_->receive->status } @quick ],   [ (200) x @quick ],   '… which are answered';
    is_deeply [ map { $_->receive->status } @waiting ], [ (200) x @waiting ], '… as are those who waited';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'deadlines' => sub {
    my $server = start('connections: 1', routes => $WRITES . <<~'CONF' =~ s/^/  /gmr);
        GET /brief/{id}:
          sql: |
            SELECT id FROM contact WHERE id = :id
          answer: row
          deadline: 1s
        POST /brief:
          sql: |
            INSERT INTO passed VALUES (:key) RETURNING key
          body: [key]
          answer: row
          deadline: 1s
        GET /brief-gate:
          sql: |
            SELECT id FROM contact, pg_advisory_xact_lock_shared(1) WHERE id = 1
          answer: row
          deadline: 1s
        CONF
    my $gate = shut_gate();
    my ($sent) = ask($server, '/brief-gate');
    problem_is $sent->receive, 504, {}, 'sent, and no answer by then';

    my ($slow) = ask($server, '/gate/1');
    my $writer = $server->client->ask('POST', '/pass', json => '{"key":"slow"}');
    wait_for('both to run', sub { 2 == backends_at('advisory') });
    my ($never) = ask($server, '/brief/1');
    my $unwritten = $server->client->ask('POST', '/brief', json => '{"key":"never"}');
    for ($never, $unwritten) {
        my $response = $_->receive;
        problem_is $response, 503, {}, 'never sent by then';
        like $response->header('Retry-After'), qr/^[123]$/, '… and safe to ask again';
    }
    $cluster->let_go($gate);
    is $_->receive->status, 200, 'those with more time are answered' for $slow, $writer;
    is $cluster->psql('SELECT key FROM passed'), "slow\n", 'what was not sent was not done';
    is $server->get('/brief/1')->status, 200, 'and it goes on';
    is $server->stop, 'exit 0', 'it ends well';
    $cluster->psql('DELETE FROM passed');
};

subtest 'database.max: connections of all workers' => sub {
    my $server = start('max: 4', workers => 2);
    my $gate   = shut_gate();
    my @slow   = ask($server, map { "/gate/$_" } 1 .. 40);
    wait_for('all connections to be open', sub { connections() == 4 });
    for (1 .. 10) {
        push @slow, ask($server, "/gate/$_");
        connections_are_at_most(4, 'it has no more');
    }
    $cluster->let_go($gate);
    is_deeply [ uniq map { $_->receive->status } @slow ], [200], 'all are answered';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'connections that nobody needs any more' => sub {
    my $server = start();
    my $gate   = shut_gate();
    my @slow   = ask($server, '/gate/1', '/gate/2');
    wait_for('another connection', sub { connections() > 1 });
    quick_ones_are_served($server);
    $cluster->let_go($gate);
    is $_->receive->status, 200, 'answered' for @slow;
    wait_for('them to be closed', sub { connections() == 1 });
    quick_ones_are_served($server, 'the one that stays serves');
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    is $server->stop, 'exit 0', 'it ends well';
};

# --- connections that break ---

subtest 'a query whose connection is lost' => sub {
    my $server = start('', routes => $WRITES);
    my $gate   = shut_gate();
    my ($read) = ask($server, '/gate/1');
    my $first = wait_for_backend('advisory');
    $cluster->psql("SELECT pg_terminate_backend($first)");
    my $second = wait_for_backend('advisory', $first);
    ok !$read->readable(0), 'a read is asked again, and nobody has noticed';
    $cluster->psql("SELECT pg_terminate_backend($second)");
    my $response = $read->receive;
    problem_is $response, 503, {}, 'twice is enough';
    like $response->header('Retry-After'), qr/^[123]$/, '… for now';

    ($read) = ask($server, '/gate/2');
    $first = wait_for_backend('advisory');
    $cluster->psql("SELECT pg_terminate_backend($first)");
    wait_for_backend('advisory', $first);
    my $write  = $server->client->ask('POST', '/pass', json => '{"key":"lost"}');
    my $writer = wait_for_backend('INSERT');
    $cluster->psql("SELECT pg_terminate_backend($writer)");
    problem_is $write->receive, 504, {}, 'a write is not asked again';
    $cluster->let_go($gate);
    is $read->receive->body, '{"id":2}', 'the read that was asked again is answered';
    is $cluster->value('SELECT count(*) FROM passed'), 0, 'the write has not been done';
    is $server->request('POST', '/pass', json => '{"key":"next"}')->status, 200, 'the next one is';
    is $server->stop, 'exit 0', 'it ends well';
    $cluster->psql('DELETE FROM passed');
};

subtest 'sessions that end, and restarts, under a load of all kinds' => sub {
    my $ledger = Hayfork::Test::Ledger->new($cluster, seed => $ENV{HAYFORK_SEED} // 1);
    my $server = server(<<~CONF . $ledger->routes, cluster => $cluster, lanes => 2);
        workers: 2
        limits: { buffer: 16K }
        database: { connect: ${\ $cluster->conninfo } }
        CONF
    my @workers = $server->workers;
    my $end_all = sub {
        $cluster->psql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hayfork'));
    };
    my $load = $ledger->load($server, requests => 4_000, connections => 32,
        at => { map({ $_ * 400 => $end_all } 1 .. 6), 3_000 => sub { $cluster->stop->boot } });
    is_deeply [ $load->wrong ], [], 'each answer is the right one, or an error as it should be';
    is $load->lost, 0, 'nobody is left without an answer: ' . $load->summary;
    is_deeply [ $ledger->mismatches ], [], 'the table holds what the answers say';
    is_deeply [ $server->workers ], \@workers, 'from the same workers';

    # how many sessions there are does not tell: one lane may have several while another one still connects
    my $failed = sub ($load) { $load->count(503) + $load->count(504) + $load->lost + $load->broken + $load->wrong };
    wait_for('every lane to be back', sub { !$failed->($ledger->load($server, requests => 200, connections => 32)) });
    $load = $ledger->load($server, requests => 500, connections => 32);
    is $failed->($load), 0, 'then all is as before';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'PostgreSQL has no room for connections (53300)' => sub {
    # Three of seven are the superuser's, who is the test.
    $cluster->stop->boot(max_connections => 7, superuser_reserved_connections => 3);
    my @others;
    for (1 .. 4) {    # the test's own sessions may still be leaving
        push @others, wait_for('room for one more', sub { eval { $cluster->hold('SELECT 1', user => 'service') } });
    }
    my $server = start('', user => 'service', cluster => undef);
    my $response = $server->get('/contacts/1');
    problem_is $response, 503, {}, 'from the start';
    like $response->header('Retry-After'), qr/^\d+$/, '… it may be asked again';
    my @lines = $server->log_lines(qr/ error /);
    is scalar @lines, 1, 'one line in the log';
    like $lines[0], qr/remaining connection slots|too many clients/, '… has the reason';
    $cluster->let_go(pop @others);
    is $server->wait_for_status('/contacts/1', 200)->body, '{"id":1}', 'it serves as soon as there is room';

    my $gate = shut_gate();
    my ($slow) = ask($server, '/gate/1');
    wait_for_backend('advisory');
    my @quick = ask($server, map { "/contacts/$_" } 1 .. 5);
    ok !$quick[0]->readable(0.5), 'where there is no room for another connection, all wait for the one there is';
    is connections(), 1, '… which is kept';
    $cluster->let_go($gate);
    is $_->receive->status, 200, 'and are answered by it' for $slow, @quick;

    $cluster->let_go($_) for @others;
    $gate = shut_gate();
    ($slow) = ask($server, '/gate/1');
    wait_for_backend('advisory');
    quick_ones_are_served($server, 'with room again, nothing is in the way again');
    ok !$slow->readable(0), '… not even what is slow';
    $cluster->let_go($gate);
    is $slow->receive->status, 200, 'which is answered in the end';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
