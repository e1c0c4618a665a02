# limits.body_total: the memory that the bodies of all requests take together, whose is given up when it is used up,
# and that all of it comes back.
use v5.36;

use Hayfork::Test;

use Time::HiRes qw(sleep);

use Hayfork::Test::Crowd;
use Hayfork::Test::Process qw(wait_for slurp);
use Hayfork::Test::Upstream;

use constant { KB => 1024, MB => 1024 * 1024 };

needs_postgres;
my $cluster = cluster;

my $upstream = Hayfork::Test::Upstream->new;    # takes connections and reads nothing

sub start (%limits)
{
    my $limits = join ', ', 'requests: unlimited', map { "$_: $limits{$_}" } sort keys %limits;
    return server(<<~CONF,
        workers: 1
        core: on    # its memory is looked at
        limits: { $limits }
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          POST /length:
            sql: "SELECT length(:text::text) AS n"
            body: [text]
            answer: row
          POST /sleep:
            sql: "SELECT pg_sleep(0.1)::text, length(:text::text) AS n"
            body: [text]
            answer: row
          POST /relay:
            relay: ${\ $upstream->url('/y') }
          GET /sleep:
            sql: "SELECT pg_sleep(0.2)::text"
            answer: row
        CONF
        cluster => $cluster,
        lanes   => 2,
        # freed memory that a sanitizer keeps would look like memory that is held
        env => { ASAN_OPTIONS => join ':', 'quarantine_size_mb=1', grep { defined } $ENV{ASAN_OPTIONS} });
}

# The memory that the worker has to itself, in bytes.
sub memory ($server)
{
    my ($worker) = $server->workers;
    my ($kilobytes) = slurp("/proc/$worker/status") =~ /^RssAnon:\s+(\d+) kB/m or die 'the worker has ended';
    return $kilobytes * KB;
}

sub head ($target, @fields)
{
    return join "\r\n", "POST $target HTTP/1.1", 'Host: test', 'Content-Type: application/json', @fields, '', '';
}

# A body of that length, {"text":"xxx…"}.
sub body ($length)
{
    return '{"text":"' . 'x' x ($length - 11) . '"}';
}

sub post ($client, $length, $target = '/length')
{
    return $client->request('POST', $target, json => body($length));
}

# Is nothing counted any more? Then a body may take as much as there is for all, and a little more.
sub nothing_is_left ($server, $most, $name)
{
    my $ok = eval { wait_for('the memory to come back', sub { post($server->client, $most)->status == 200 }, 20) };
    return ok $ok, $name;
}

sub quietly_stopped ($server)
{
    my @lines = grep { !/by the deadline/ } $server->log_lines(qr/ error |a new one takes its place/);
    is_deeply \@lines, [], 'nothing has gone wrong';
    return is $server->stop, 'exit 0', 'it ends well';
}

subtest 'many slow bodies make room for others' => sub {
    my $server = start(body => '1M', body_total => '8M', body_time => '10m', body_rate => 1);
    my $client = $server->client;
    is post($client, MB)->status, 200, 'a body of a megabyte';
    my $before = memory($server);
    my $crowd  = Hayfork::Test::Crowd->start(
        $server->address,
        clients => 400,
        say     => head('/length', 'Content-Length: 1000000') . body(110_000),
        trickle => 'x',
        every   => 0.2,
    );
    wait_for('them to be slow', sub { post($server->client, MB)->status == 200 });
    my $most = 0;
    $client = $server->client;
    for (1 .. 40) {
        is post($client, MB - $_)->status, 200, 'a client that behaves is served' if $_ % 10 == 0;
        post($client, MB - $_)->status == 200 or fail 'each time';
        my $now = memory($server);
        $most = $now if $now > $most;
        sleep 0.05;
    }
    cmp_ok $most - $before, '<', 20 * MB, 'and their memory is bounded';
    my @lines = $server->log_lines(qr/limits\.body_total/);
    my @given_up = grep { / warn .*: limits\.body_total is reached: a slow body from 127\.0\.0\.1 was given up$/ } @lines;
    is scalar @given_up, 1, 'the log says so once' or diag @lines;
    $crowd->dismiss;
    nothing_is_left($server, MB, 'a body is taken as before');
    quietly_stopped($server);
};

subtest 'who is given up, and who is refused' => sub {
    my $server = start(body => '1M', body_total => '1M');
    my $send   = sub ($length, $part, $target = '/length') {
        return $server->client->send(head($target, "Content-Length: $length") . substr body($length), 0, $part);
    };

    my $slow = $send->(900_000, 600_000);
    sleep 0.3;
    is post($server->client, 700_000)->status, 200, 'a body that comes at once';
    problem_is $slow->receive, 503, {}, 'one that stands still makes room for it';

    # The one gets further just before the other wants more. If the machine has other things to do, it is slow all the same.
    my $other;
    for (1 .. 50) {
        my $client = $send->(900_000, 600_000);
        my $late   = $send->(700_000, 300_000);
        sleep 0.05;
        $client->send('x' x 50_000);
        $other = $late->send(substr body(700_000), 300_000)->receive;
        $_->close('reset') for $client, $late;
        last if $other->status == 503;
    }
    problem_is $other, 503, {}, 'one that is coming in as fast as clients do makes no room for others';
    like $other->header('Retry-After') // '', qr/^[1-9]\d*$/, '… which are told to come again';
    header_is $other, 'Connection', 'close', '… on another connection';

    # What is small lies where the head does.
    my @many = map { $send->(990, 500) } 1 .. 20;
    $send->(900_000, 800_000);
    is post($server->client, 990)->status, 200, 'a small one is taken in any case';
    $_->close for @many;
    quietly_stopped($server);
};

subtest 'nothing is sent in vain where the client asks first' => sub {
    my $server = start(body => '1M', body_total => '1M');
    my $got;
    for (1 .. 20) {
        my $holding = $server->client->send(head('/length', 'Content-Length: 1048576') . body(1_048_576 - 100));
        for (1 .. 20) {    # until it is there, and before it is slow
            my $client = $server->client->send(head('/length', 'Content-Length: 5000', 'Expect: 100-continue'));
            $got = $client->receive;
            $client->close('reset');
            last if $got->status == 503;
        }
        $holding->close('reset');
        last if $got->status == 503;
    }
    problem_is $got, 503, {}, 'no 100 (Continue), but the answer';
    quietly_stopped($server);
};

subtest 'what waits behind a request counts, too' => sub {
    my $server  = start(body => '64K', body_total => '256K');
    my $sleep   = "GET /sleep HTTP/1.1\r\nHost: test\r\n\r\n";
    my @clients = map { $server->client->send($sleep x 1000) } 1 .. 20;
    my ($kept, $closed) = (0, 0);
    for my $client (@clients) {
        my $response = $client->receive;
        is $response->status, 200, 'the request in hand is answered' if $client == $clients[0] || $response->status != 200;
        ($response->header('Connection') // '') eq 'close' ? $closed++ : $kept++;
    }
    cmp_ok $closed, '>', 0, 'where there was no memory for more, the connection is closed behind it';
    $_->close('reset') for @clients;
    nothing_is_left($server, 64 * KB, 'all of it comes back');
    quietly_stopped($server);
};

subtest 'all of it comes back, however a body ends' => sub {
    my $most   = 256 * KB;
    my $server = start(body => '256K', body_total => '256K', body_time => '1s', body_rate => '1G', deadline => '1s', idle => '2s');
    my $open   = sub ($target, $length, $part) {
        return $server->client->send(head($target, "Content-Length: $length") . substr body($length), 0, $part);
    };
    my $chunked = head('/length', 'Transfer-Encoding: chunked');
    my %ends = (
        'a client that leaves'              => sub { $open->('/length', 9000, 5000)->close },
        '… by a reset'                      => sub { $open->('/length', 90_000, 50_000)->close('reset') },
        '… within chunks'                   => sub { $server->client->send($chunked . "1000\r\n" . 'x' x 2000)->close },
        '… while the database works'        => sub { $open->('/sleep', 50_000, 50_000)->close('reset') },
        '… while the upstream is waited for' => sub { $open->('/relay', 100_000, 70_000)->close('reset') },
        'one that stands still'             => sub { $open->('/length', 9000, 5000) },
        'a body that is whole'              => sub { post($server->client, 30_000) },
        'several on a connection'           => sub { my $client = $server->client; post($client, 2000 * $_) for 1 .. 5 },
        'several at once'                   => sub {
            my $client = $server->client;
            $client->ask('POST', '/length', json => body(5000)) for 1 .. 5;
            $client->receive for 1 .. 5;
        },
        'one that is no JSON'               => sub { $server->client->request('POST', '/length', json => '{' . 'x' x 5000) },
        'one that is too large'             => sub { $server->client->send($chunked . sprintf("%x\r\n", 300 * KB) . 'x' x (300 * KB))->rest },
        'chunks that are none'              => sub { $server->client->send($chunked . "1000\r\n" . 'x' x 4096 . "\r\nx\r\n")->receive },
        'one that the client cuts off'      => sub { $open->('/length', 9000, 5000)->end_sending->rest },
        'one that the deadline ends'        => sub { $open->('/relay', 50_000, 50_000) },
    );
    my @names = sort keys %ends;
    my @open;
    for my $i (1 .. 3_000) {
        push @open, eval { $ends{ $names[ $i % @names ] }->() };    # a connection may be closed behind a 503
        shift @open while @open > 50;
        next if $i % 1_000 != 0;
        @open = ();
        nothing_is_left($server, $most, "$i bodies");
    }
    for my $name (@names) {
        my $left = eval { $ends{$name}->() };
        nothing_is_left($server, $most, $name);
    }
    quietly_stopped($server);
};

done_testing;
