# Master and workers: a worker that dies is replaced, signals end the server as they should, and no
# process is left behind.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for alive slurp temporary_folder);

needs_postgres;
my $cluster = cluster->load_contacts;
my $conf    = <<~CONF;
    workers: 2
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /:
        text: "hello\\n"
      GET /contacts/{id}:
        sql: |
          SELECT id FROM contact WHERE id = :id
        answer: row
      GET /slow/{id}/{seconds}:
        sql: |
          SELECT id FROM contact, pg_sleep(:seconds) WHERE id = :id
        answer: row
    limits:
      deadline: 60s
      drain: 60s
    CONF

sub right ($n, $response)
{
    return $response->body eq sprintf '{"id":%d}', $n % 10_000 + 1;
}

sub target ($n)
{
    return '/contacts/' . ($n % 10_000 + 1);
}

# Starts requests that take so long and waits until PostgreSQL is at the first of them.
sub slow_requests ($server, $count, $seconds)
{
    my @clients = map { $server->client } 1 .. $count;
    $clients[$_]->ask('GET', '/slow/' . ($_ + 1) . "/$seconds") for 0 .. $#clients;
    wait_for('a slow query to run', sub { $cluster->value(<<~SQL, 'postgres') });
        SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        SQL
    return @clients;
}

sub gone (@pids)
{
    wait_for("processes @pids to end", sub { !grep { alive($_) } @pids });
    return 1;
}

subtest 'a worker per core, or as many as the conf says' => sub {
    my $server = server($conf, cluster => $cluster);
    is scalar $server->workers, 2, 'workers: 2';
    # one more that is still closing, or that a busy machine made a lane open, goes away by itself
    ok wait_for('a database session for each', sub { $cluster->sessions == 2 }), 'each with a database session of its own';
    is $server->stop, 'exit 0';
    wait_for('the sessions to end', sub { $cluster->sessions == 0 });

    $server = server($conf, options => { workers => 'auto' }, cluster => $cluster, under => [qw(taskset -c 0)]);
    is scalar $server->workers, 1, 'workers: auto, where one core may be used';
    is $server->stop, 'exit 0';
};

subtest 'a worker that is killed under load is replaced' => sub {
    my $server = server($conf, cluster => $cluster);
    my ($victim, $other) = $server->workers;
    my $load = $server->load(
        requests    => 6_000,
        connections => 32,
        target      => \&target,
        check       => \&right,
        at          => { 2_000 => sub { kill 'KILL', $victim } },
    );
    is_deeply [ $load->wrong ], [], 'no answer was wrong';
    cmp_ok $load->lost, '<=', 32, 'only what was under way there is lost: ' . $load->summary;
    is $load->count(200) + $load->lost, 6_000, 'all else is answered';

    my @workers = wait_for('two workers', sub { my @now = $server->workers; @now == 2 ? \@now : undef })->@*;
    ok !grep({ $_ == $victim } @workers), 'there is a new one';
    ok grep({ $_ == $other } @workers), 'the other one stayed';
    my @obituary = $server->log_lines(qr/\b$victim\b.*(?:signal|kill)/i);
    is scalar @obituary, 1, 'the log has one line about it';
    like $obituary[0], qr/ master\[${\ $server->pid}\]: .*worker 1\b.*(?:signal 9|SIGKILL|Killed)/,
      '… from the master, with the signal';

    $server->wait_for_sessions($cluster);
    my $after = $server->load(requests => 500, connections => 32, target => \&target, check => \&right);
    is $after->summary, '200: 500, lost: 0', 'service goes on as before';
    is_deeply [ $after->wrong ], [];
    is $server->stop, 'exit 0';
};

subtest 'workers that are killed again and again do not bring it down' => sub {
    my $server = server($conf, cluster => $cluster);
    for (1 .. 5) {
        my @before = $server->workers;
        kill 'KILL', @before;
        gone(@before);
        is $server->wait_for_status('/', 200)->body, "hello\n", 'it serves again';
    }
    wait_for('both workers', sub { $server->workers == 2 });
    is $server->stop, 'exit 0';
};

subtest 'SIGTERM finishes what is under way and exits 0' => sub {
    my $server  = server($conf, cluster => $cluster);
    my $idle    = $server->client;
    is $idle->get('/')->status, 200, 'a client that then says nothing';
    my @workers = $server->workers;
    my @clients = slow_requests($server, 6, '0.3');
    $server->signal('TERM');
    is $clients[$_]->receive->body, sprintf('{"id":%d}', $_ + 1), 'a slow request is answered' for 0 .. $#clients;
    is $server->end, 'exit 0';
    ok $idle->at_end, 'the idle connection is closed';
    ok gone(@workers), 'no worker is left';
    ok !Hayfork::Test::Client::connect_to($server->address), 'nobody listens any more';
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
};

subtest 'while SIGTERM waits for what is under way, others are refused at once' => sub {
    my $folder = temporary_folder;
    my $server = server($conf, cluster => $cluster, also => ["unix:$folder/s"]);
    my ($slow) = slow_requests($server, 1, '3');
    $server->signal('TERM');
    for my $address ($server->address, "unix:$folder/s") {
        wait_for("$address to refuse", sub { !Hayfork::Test::Client::connect_to($address) });
    }
    ok !$slow->readable(0), 'that is before the slow request has its answer';
    is $slow->receive->body, '{"id":1}', '… which it gets';
    is $server->end, 'exit 0';
};

subtest 'SIGTERM waits no longer than limits.drain' => sub {
    my $server  = server($conf, cluster => $cluster, options => { 'limits.drain' => '300ms' });
    my @workers = $server->workers;
    my @clients = slow_requests($server, 1, 55);
    $server->signal('TERM');
    is $server->end, 'exit 0', 'long before the query has ended';
    ok gone(@workers), 'no worker is left';
    is scalar $server->log_lines(qr/ warn .*cut off.*drain/), 1, 'the log says that a request was cut off';
};

subtest 'SIGINT cuts a SIGTERM short' => sub {
    my $server  = server($conf, cluster => $cluster);
    my @clients = slow_requests($server, 1, 55);
    $server->signal('TERM');
    wait_for('the server to begin stopping', sub { $server->log_lines(qr/stopping/) });
    $server->signal('INT');
    is $server->end, 'exit 0', 'long before the query has ended';
};

subtest 'SIGTERM under load loses no request that was taken' => sub {
    my $server  = server($conf, cluster => $cluster);
    my @clients = map { $server->client } 1 .. 32;
    $clients[$_]->ask('GET', target($_)) for 0 .. $#clients;
    ok right($_, $clients[$_]->receive), 'a first answer' for 0 .. $#clients;
    $clients[$_]->ask('GET', target($_ + 100)) for 0 .. $#clients;
    $server->signal('TERM');
    my @wrong = grep { !right($_ + 100, $clients[$_]->receive) } 0 .. $#clients;
    is "@wrong", '', 'all are answered';
    is $server->end, 'exit 0';
};

subtest 'SIGINT stops at once' => sub {
    my $server  = server($conf, cluster => $cluster);
    my @workers = $server->workers;
    my @clients = slow_requests($server, 2, 55);
    $server->signal('INT');
    is $server->end, 'exit 0', 'long before the query has ended';
    ok gone(@workers), 'no worker is left';
    $_->rest for @clients;
    pass 'the connections are closed';
};

subtest 'workers whose master is killed finish their requests, and end' => sub {
    my $server  = server($conf, cluster => $cluster);
    my @workers = $server->workers;
    my @clients = slow_requests($server, 2, '1.5');
    $server->signal('KILL');
    is $server->end, 'signal 9';
    is $clients[$_]->receive->body, sprintf('{"id":%d}', $_ + 1), 'a slow request is answered' for 0 .. $#clients;
    ok gone(@workers), 'no worker is left';
    ok !Hayfork::Test::Client::connect_to($server->address), 'nobody listens any more';
};

subtest 'SIGPIPE is ignored' => sub {
    my $server = server($conf, cluster => $cluster);
    my @all    = ($server->pid, $server->workers);
    for my $pid (@all) {
        my ($ignored) = slurp("/proc/$pid/status") =~ /^SigIgn:\s+([0-9a-f]+)$/m;
        ok hex($ignored) & 1 << 12, "by process $pid";
    }
    kill 'PIPE', @all;
    is $server->get('/contacts/1')->status, 200, 'it serves on';
    is_deeply [ $server->pid, $server->workers ], \@all, 'with the same processes';
    is $server->stop, 'exit 0';
};

subtest 'started without standard input, output and error, it opens nothing else in their place' => sub {
    my $server = server($conf, under => [ '/bin/sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh' ], options => { core => 'on' });
    for my $pid ($server->pid, $server->workers) {
        is_deeply [ map { readlink "/proc/$pid/fd/$_" } 0 .. 2 ], [ ('/dev/null') x 3 ];
    }
    is $server->get('/')->body, "hello\n";
    is $server->stop, 'exit 0';
};

subtest 'each line of the log names its time, its weight and its process' => sub {
    my $server   = server($conf, cluster => $cluster);
    my ($victim) = $server->workers;
    kill 'KILL', $victim;
    wait_for('its obituary', sub { $server->log_lines(qr/\b$victim\b/) });
    is $server->stop, 'exit 0';
    my $stamp = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;
    my @other = grep { !/^$stamp (?:error|warn|info|debug) (?:master|worker \d+)\[\d+\]: \S/ } split /\n/, $server->log;
    is_deeply \@other, [], 'such as 2026-11-21T22:04:29.123Z info worker 1[1234]: text';
};

done_testing;
