# Clients that take their time, a thousand at once: they are in nobody's way, and they are removed.
use v5.36;

use Hayfork::Test;

use List::Util qw(min);
use Time::HiRes qw(sleep time);

use Hayfork::Test::Crowd;
use Hayfork::Test::Process qw(wait_for connections at_rest cpu_time);

needs_postgres;
my $cluster = cluster->load_contacts;

my $CROWD    = 1_000;
my $REQUESTS = 1_000;    # for one p99
my $TURNS    = 30;       # at most: the machine may have other things to do, and its best moment counts

# Far more than a small receive buffer takes.
my $LONG = 'contacts ' x 130_000;

# One worker: the good client and the bad ones meet in it.
sub start (%limits)
{
    my $limits = join ', ', 'requests: unlimited', 'deadline: 60s', map { "$_: $limits{$_}" } sort keys %limits;
    return server(<<~CONF, cluster => $cluster);
        workers: 1
        limits: { $limits }
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          GET /:
            text: "hello\\n"
          GET /long:
            text: "$LONG"
          GET /contacts:
            sql: |
              SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id
            answer: rows
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
        CONF
}

my $HEAD     = "GET / HTTP/1.1\r\nHost: test\r\n";
my $POST     = "POST /whole HTTP/1.1\r\nHost: test\r\n";
my $LENGTH   = "Content-Length: 9999\r\n\r\nx";
my $CHUNKED  = "Transfer-Encoding: chunked\r\n\r\n";
my $GET_LONG = "GET /long HTTP/1.1\r\nHost: test\r\n\r\n";

# What they do, and what becomes of them.
my @PHASES = (
    [ 'they connect and say nothing',    'closed',      {} ],
    [ 'the head is never finished',      '408, closed', { say => "${HEAD}X-Filler: " } ],
    [ 'the head trickles',               '408, closed', { say => $HEAD, trickle => "X-Filler: x\r\n" } ],
    [ 'nothing comes behind an answer',  '200, closed', { say => "$HEAD\r\n" } ],
    [ 'the answer is not read',          'reset',       { say => $GET_LONG, receive_buffer => 4096, read => 0 } ],
    [ 'the answer is read in a trickle', '200, reset',  { say => $GET_LONG, receive_buffer => 4096, read => 1000 } ],

    # What is answered before its body has come gets no second answer: closing is all that is left. What they
    # send after that is answered with a reset.
    [ 'an unwanted body stalls',             '200, closed', { say => $HEAD . $LENGTH } ],
    [ 'an unwanted body trickles',           '200, \w+',    { say => $HEAD . $LENGTH, trickle => 'x' } ],
    [ 'an unwanted body trickles in chunks', '200, \w+',    { say => $HEAD . $CHUNKED, trickle => "1\r\nx\r\n" } ],
);

# The same of bodies that a handler waits for.
my @WANTED = (
    [ 'the body stalls',             '408, closed', { say => $POST . $LENGTH } ],
    [ 'the body trickles',           '408, closed', { say => $POST . $LENGTH, trickle => 'x' } ],
    [ 'the body trickles in chunks', '408, closed', { say => $POST . $CHUNKED, trickle => "1\r\nx\r\n" } ],
);

# Long limits keep a crowd in for as long as it is looked at; short ones tell how it is removed.
my %LONG  = map { $_ => '10m' } qw(head_time body_time idle stall);
my %SHORT = map { $_ => '1s' } qw(head_time body_time idle stall);

sub echo (%limits)
{
    $limits{requests} = 'unlimited';
    return Hayfork::Test::Echo->start(map { ("limits.$_" => $limits{$_}) } keys %limits);
}

# The 99th percentiles of the times that requests for that target take, one after the other, on each of the
# clients. They take turns, so that whatever else the machine does falls on all of them.
sub p99 ($target, @clients)
{
    my @times;
    for (1 .. $REQUESTS) {
        for my $i (0 .. $#clients) {
            my $begin = time;
            $clients[$i]->ask('GET', $target)->fill;
            push @{ $times[$i] }, time - $begin;
            my $status = $clients[$i]->receive->status;
            die "$target is answered with $status" if $status != 200;
        }
    }
    return map { (sort { $a <=> $b } @$_)[ int 0.99 * $REQUESTS ] } @times;
}

sub crowd ($server, $phase, %with)
{
    my (undef, undef, $does) = @$phase;
    return Hayfork::Test::Crowd->start($server->address, clients => $CROWD, %$does, %with);
}

# Is a client that behaves as well off on the server with the crowd as on the one without?
sub undisturbed_is ($worker, $server, $clients, $targets, $phase)
{
    my ($what) = @$phase;
    p99($_, @$clients) for @$targets;    # caches and clock speed as they will be
    my $alone = at_rest('the connections', sub { connections($server->address) });
    my $crowd = crowd($server, $phase);
    wait_for('all of them to be taken', sub { connections($server->address) >= $alone + $CROWD });

    my $busy = cpu_time($worker);
    sleep 0.5;
    $busy = cpu_time($worker) - $busy;
    cmp_ok $busy, '<', 0.25, "$what: they keep nobody busy";

    for my $target (@$targets) {
        my $best;
        for my $turn (1 .. $TURNS) {
            my ($without, $with) = p99($target, @$clients);
            $best = min grep { defined } $best, $with / $without;
            last if $best <= 2;
            sleep 0.1 * $turn;
        }
        cmp_ok $best, '<=', 2, "… p99 of $target at most doubles";
    }
    is at_rest('the connections', sub { connections($server->address) }), $alone + $CROWD, '… and all of them were there';
    $crowd->dismiss;
    return wait_for('all of them to be gone', sub { connections($server->address) <= $alone });
}

subtest 'a client that behaves does not notice them' => sub {
    my @servers  = map { start(%LONG) } 1 .. 2;
    my ($worker) = $servers[1]->workers;
    my @clients  = map { $_->client } @servers;
    undisturbed_is($worker, $servers[1], \@clients, [ '/', '/contacts/1' ], $_) for @PHASES;
    for my $server (@servers) {
        is $server->stop, 'exit 0', 'it ends well';
        is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    }
};

subtest '… nor those whose bodies are waited for' => sub {
    my @echoes  = map { echo(%LONG) } 1 .. 2;
    my @clients = map { $_->client } @echoes;
    undisturbed_is($echoes[1]->pid, $echoes[1], \@clients, ['/nobody'], $_) for @WANTED;
    is $_->stop, 'exit 0', 'it ends well' for @echoes;
};

subtest 'they are gotten rid of' => sub {
    my $server   = start(%SHORT);
    my $echo     = echo(%SHORT);
    my @crowds   = map { crowd($server, $_, every => 0.25) } @PHASES;
    push @crowds, map { crowd($echo, $_, every => 0.25) } @WANTED;

    # A client that behaves gets in and is answered all the while.
    for my $n (1 .. 20) {
        my $client = $server->client;
        my @wrong  = grep { $client->get("/contacts/$_")->body ne qq({"id":$_}) } map { $n * 100 + $_ } 1 .. 50;
        is "@wrong", '', '50 requests on a connection of somebody else';
    }
    for (@PHASES, @WANTED) {
        my ($what, $end) = @$_;
        my $outcomes = shift(@crowds)->outcomes;
        is_deeply [ grep { !/^$end$/ } keys %$outcomes ], [], "$what: $end" or diag explain $outcomes;
    }
    wait_for('their connections to be closed', sub { connections($server->address) < 50 });
    is $server->stop, 'exit 0', 'it ends well';
    is $echo->stop,   'exit 0', '… and so does echo';
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
};

subtest 'rows that nobody takes are let go of' => sub {
    my $server = start(stall => '1s');
    my $get    = "GET /contacts HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    my ($none, $trickle, $slow) = map {
        Hayfork::Test::Crowd->start(
            $server->address,
            say            => $get,
            clients        => 50,
            every          => 0.1,
            receive_buffer => 4096,
            read           => $_,
        )
    } 0, 500, 50_000;
    is_deeply $none->outcomes,    { reset         => 50 }, 'a client that reads nothing is cut off';
    is_deeply $trickle->outcomes, { '200, reset'  => 50 }, '… and one that reads a trickle';
    is_deeply $slow->outcomes,    { '200, closed' => 50 }, 'one that is just slow gets all';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
