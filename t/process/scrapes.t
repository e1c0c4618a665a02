# scrapes: the operators' listener answers whatever clients do, and what it answers costs clients next to nothing.
use v5.36;

use Hayfork::Test;

use POSIX ();
use Time::HiRes qw(sleep time);

use Hayfork::Test::Crowd;
use Hayfork::Test::Process qw(wait_for);

my $MOST    = 128;    # connections that a worker has of this listener
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
        clients => 3 * $MOST, say => "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", read => 1, receive_buffer => 2048);
    is_deeply [ map { ask($admin, '/metrics')->status } 1 .. 10 ], [ (200) x 10 ], 'another one is answered';
    is ask($admin, '/live')->status, 200, '… and so is who asks whether it is alive';
    is_deeply [ map { $server->get('/')->status } 1 .. 100 ], [ (200) x 100 ], 'clients are served';
    $slow->dismiss;
    is $server->stop, 'exit 0';
};

# Has the scrapers' connections ask, and reads what they are answered. Returns the bodies.
sub scrape_all (@scrapers)
{
    $_->ask('GET', '/metrics') for @scrapers;
    return map { $_->receive->body } @scrapers;
}

subtest 'scrapes that come together share a report' => sub {
    my ($server, $admin) = start(1);
    my ($worker) = $server->workers;
    my @scrapers = map { Hayfork::Test::Client->new($admin) } 1 .. 100;
    kill 'STOP', $worker;
    $_->ask('GET', '/metrics') for @scrapers;
    kill 'CONT', $worker;
    my %bodies = map { $_->receive->body => 1 } @scrapers;
    cmp_ok scalar keys %bodies, '<', 50, 'a hundred take less than fifty reports';
    $server->get('/') for 1 .. 3;
    my ($before, $after) = map { ask($admin, '/metrics')->body =~ /^hayfork_requests_total\{route="\/",.*"200"\} (\d+)$/m } 1, 2;
    is $after, $before, 'nothing but the asking has happened';
    $server->get('/');
    is ask($admin, '/metrics')->body =~ /^hayfork_requests_total\{route="\/",.*"200"\} (\d+)$/m ? $1 : -1, $after + 1,
      'nobody gets an older one';
    is $server->stop, 'exit 0';
};

# Asks every millisecond, be the last answer late or not, for so many seconds; returns the 99th percentile of the times.
sub p99 ($client, $seconds)
{
    my ($due, $end, @times) = (time, time + $seconds);
    for (; $due < $end; $due += 0.001) {
        my $left = $due - time;
        sleep $left if $left > 0;
        $client->get('/');
        push @times, time - $due;
    }
    return (sort { $a <=> $b } @times)[ @times * 0.99 ];
}

sub median (@numbers) { return (sort { $a <=> $b } @numbers)[ @numbers / 2 ] }

# A process that has a hundred connections scrape together each time that it is written a byte.
sub start_scrapers ($admin)
{
    pipe my $from, my $to or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        close $to;
        setpriority 0, 0, 10;    # what they do themselves is not to be measured
        my @scrapers = map { Hayfork::Test::Client->new($admin) } 1 .. 100;
        scrape_all(@scrapers) while sysread $from, my $go, 1;
        POSIX::_exit(0);
    }
    close $from;
    return ($pid, $to);
}

# The machine may be busy with other things: they are in the way of both, and not for ever.
subtest 'a hundred scrapes at once are nothing to the others' => sub {
    my ($server, $admin) = start(2, requests => 'unlimited');
    $server->get("/$_") for 1 .. 10;
    my ($pid, $scrapers) = start_scrapers($admin);
    my $client = $server->client;
    my ($tries, $quiet, $loud) = (0);
    do {
        my %p99;
        for my $round (1 .. 5) {
            for my $is_loud ($round % 2 ? (0, 1) : (1, 0)) {
                syswrite $scrapers, 'x' if $is_loud;
                push @{ $p99{$is_loud} }, p99($client, 0.4);
            }
        }
        ($quiet, $loud) = map { median(@{ $p99{$_} }) } 0, 1;
        note sprintf 'p99 without scrapes %.3f ms, with them %.3f ms', 1000 * $quiet, 1000 * $loud;
    } until $loud < 1.1 * $quiet || ++$tries == 15;
    cmp_ok $loud, '<', 1.1 * $quiet, 'they move the 99th percentile of a client\'s times by less than a tenth';
    close $scrapers;
    waitpid $pid, 0;
    is $?, 0, 'all were answered';
    is $server->stop, 'exit 0';
};

done_testing();
