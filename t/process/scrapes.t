# scrapes: the operators' listener answers whatever clients do, and what it answers costs clients next to nothing.
use v5.36;

use Hayfork::Test;

use IO::Select;

use Hayfork::Test::Crowd;
use Hayfork::Test::Process qw(wait_for);

my $MOST    = 64;    # connections that a worker has of this listener
my $SHORTLY = 0.2;   # seconds, for what must not happen

# A server with so many workers, and the address of its admin listener.
sub start ($workers, %limit)
{
    my $admin  = '127.0.0.1:' . Hayfork::Test::Server::free_port();
    my $limits = join ', ', 'idle: 1m', map { "$_: $limit{$_}" } sort keys %limit;
    my $server = server(<<~CONF);
        workers: $workers
        admin: $admin
        limits: { $limits }
        routes:
          GET /:
            text: "hello\n"
          GET /{a}:
            text: "hello, too\n"
        CONF
    return ($server, $admin);
}

sub ask ($admin, $path)
{
    return Hayfork::Test::Client->new($admin)->get($path);
}

subtest 'a worker with as many clients as it takes' => sub {
    my ($server, $admin) = start(1, clients => 3);
    my @clients = map { $server->client } 1 .. 3;
    is $_->get('/')->status, 200, 'a client' for @clients;
    my $next = $server->client;
    $next->ask('GET', '/');
    ok !$next->readable($SHORTLY), 'one more has to wait';
    is ask($admin, $_)->status, 200, "$_ is answered" for ('/live', '/ready', '/metrics') x 4;
    ok !$next->readable(0), '… and it still waits';
    pop @clients;
    is $next->receive->status, 200, '… for one of the others to leave';
    is $server->stop, 'exit 0';
};

subtest 'a worker that does not turn' => sub {
    my ($server, $admin) = start(2);
    for my $worker ($server->workers) {
        kill 'STOP', $worker;
        is_deeply [ map { ask($admin, '/live')->status } 1 .. 10 ], [ (200) x 10 ], 'the other one answers';
        kill 'CONT', $worker;
    }
    is $server->stop, 'exit 0';
};

subtest 'connections that stay are in nobody\'s way' => sub {
    my ($server, $admin) = start(1);
    my @idle = map { Hayfork::Test::Client->new($admin) } 1 .. $MOST;
    is $_->get('/live')->status, 200, 'as many as a worker has' for $idle[0], $idle[-1];
    $_->get('/live') for @idle[ 1 .. $#idle - 1 ];
    is ask($admin, '/live')->status, 200, 'one more is answered';
    ok $idle[0]->at_end, '… in place of the oldest one';
    is $idle[1]->get('/live')->status, 200, '… alone';
    is $server->get('/')->status, 200, 'clients are served';
    is $server->stop, 'exit 0';
};

subtest 'scrapers that read a byte a second hold nobody' => sub {
    my ($server, $admin) = start(2);
    $server->get("/$_") for 1 .. 10;
    my $slow = Hayfork::Test::Crowd->start($admin,
        clients => 4 * $MOST, say => "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", read => 1, receive_buffer => 2048);
    is_deeply [ map { ask($admin, '/metrics')->status } 1 .. 10 ], [ (200) x 10 ], 'another one is answered';
    is ask($admin, '/live')->status, 200, '… and so is who asks whether it is alive';
    is_deeply [ map { $server->get('/')->status } 1 .. 100 ], [ (200) x 100 ], 'clients are served';
    $slow->dismiss;
    is $server->stop, 'exit 0';
};

done_testing();
