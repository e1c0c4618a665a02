# Long bodies through a relay, in both directions: every byte arrives, the relay's memory stays as it is, and who
# is slow holds up nobody but himself. HAYFORK_BODY_MB says how long they are (256).
use v5.36;

use Hayfork::Test;

use Time::HiRes qw(sleep);

use Hayfork::Test::Bulk qw(pump);
use Hayfork::Test::Process qw(wait_for slurp);
use Hayfork::Test::Upstream;

my $MB      = 1 << 20;
my $SIZE    = ($ENV{HAYFORK_BODY_MB} // 256) * $MB;
my $MAY_ADD = 16 * $MB;    # to the worker's memory
my $QUIET   = 1;           # seconds without a byte: it has stalled
my $OK      = "HTTP/1.1 200 OK\r\n";

my $upstream = Hayfork::Test::Upstream->new;
my $unix     = Hayfork::Test::Upstream->new('unix');
my $server   = server(<<~CONF, env => { ASAN_OPTIONS => join ':', 'quarantine_size_mb=1', grep { defined } $ENV{ASAN_OPTIONS} });
    workers: 1
    core: on    # its memory is looked at
    limits: { body: 8G, deadline: 10m, body_time: 10m, stall: 10m, spool: 20M }    # one answer has a quarter
    ${\ $upstream->routes }
      GET /unix:
        relay: "${\ $unix->url('/y') }"
      POST /unix:
        relay: "${\ $unix->url('/y') }"
    CONF
my ($worker) = $server->workers;

# What the worker has for itself.
sub memory ()
{
    my ($kilobytes) = slurp("/proc/$worker/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m or die 'the worker has ended';
    return $kilobytes * 1024;
}

# The client's next answer has begun: its head, and what is there of the body.
sub head_of_answer ($client)
{
    $client->fill or die 'closed' while $client->{buffer} !~ /\r\n\r\n/;
    my ($head, $body) = split /(?<=\r\n\r\n)/, $client->{buffer}, 2;
    $client->{buffer} = '';
    return (Hayfork::Test::Response->parse_head(substr $head, 0, -2), $body // '');
}

# Begins a download: ($source, $sink), of which nothing has moved yet.
sub download ($path, $upstream, $size, $framing)
{
    my $client = $server->client->receive_buffer(1 << 16)->ask('GET', $path);
    my $peer   = $upstream->accept->buffers(1 << 16);
    $peer->request;
    my $field = $framing eq 'chunked' ? "Transfer-Encoding: chunked\r\n" : $framing eq 'length' ? "Content-Length: $size\r\n" : '';
    my $source =
      Hayfork::Test::Bulk->source($peer->{socket}, $size, chunked => $framing eq 'chunked',
        first => "${OK}Connection: close\r\n$field\r\n");
    $source->push;
    my ($head, $begun) = head_of_answer($client);
    is $head->status, 200, 'the answer begins' or die;
    my $length = $head->header('Content-Length');
    is $length, $size, '… with its length' if $framing eq 'length';
    my $sink = Hayfork::Test::Bulk->sink($client->{socket}, first => $begun,
        defined $length ? (length => $length) : (chunked => 1));
    return ($source, $sink, $client, $peer);
}

# Begins an upload.
sub upload ($path, $upstream, $size, $framing)
{
    my $client = $server->client;
    my $field  = $framing eq 'chunked' ? 'Transfer-Encoding: chunked' : "Content-Length: $size";
    my $source = Hayfork::Test::Bulk->source($client->{socket}, $size, chunked => $framing eq 'chunked',
        first => "POST $path HTTP/1.1\r\nHost: a\r\n$field\r\n\r\n");
    $source->push;
    my $peer   = $upstream->accept->buffers(1 << 16);
    my $head   = $peer->request_head;
    my $length = $head->header('Content-Length');
    is $length, $size, 'the length is passed on' if $framing eq 'length';
    my $sink = Hayfork::Test::Bulk->sink($peer->{socket}, first => delete $peer->{buffer},
        defined $length ? (length => $length) : (chunked => 1));
    $peer->{buffer} = '';
    return ($source, $sink, $client, $peer);
}

sub all_of_it ($source, $sink, $size)
{
    is $sink->broken, undef,           'all of it arrives';
    is $sink->moved,  $size,           '… of that length';
    is $sink->digest, $source->digest, '… as it was sent';
    return;
}

# Everything once, so that what a worker takes once and for all is taken.
sub warm_up ()
{
    for (1 .. 2) {
        my ($source, $sink, $client, $peer) = download('/x', $upstream, 8 * $MB, 'length');
        pump($source, $sink);
        ($source, $sink, $client, $peer) = upload('/x', $upstream, 8 * $MB, 'length');
        pump($source, $sink);
        $peer->send("${OK}Content-Length: 0\r\nConnection: close\r\n\r\n");
        is $client->receive->status, 200, 'warm';
    }
    return;
}

warm_up();

for my $way ([ '/x', $upstream, 'TCP' ], [ '/unix', $unix, 'a Unix socket' ]) {
    my ($path, $from, $name) = @$way;
    for my $framing ('length', 'chunked', 'close') {
        subtest sprintf('%d MB from the upstream over %s, delimited by %s', $SIZE / $MB, $name, $framing) => sub {
            my $before = memory();
            my ($source, $sink, $client, $peer) = download($path, $from, $SIZE, $framing);
            # The end of the connection is the end of the body.
            pump($source, $sink, $framing eq 'close' ? sub { $peer->close } : undef);
            all_of_it($source, $sink, $SIZE);
            cmp_ok memory() - $before, '<', $MAY_ADD, 'in flat memory';
        };
    }

    for my $framing ('length', 'chunked') {
        subtest sprintf('%d MB to the upstream over %s, delimited by %s', $SIZE / $MB, $name, $framing) => sub {
            my $before = memory();
            my ($source, $sink, $client, $peer) = upload($path, $from, $SIZE, $framing);
            pump($source, $sink);
            all_of_it($source, $sink, $SIZE);
            cmp_ok memory() - $before, '<', $MAY_ADD, 'in flat memory';
            $peer->send("${OK}Content-Length: 2\r\nConnection: close\r\n\r\nhi");
            is $client->receive->body, 'hi', 'the answer';
        };
    }
}

# The kernel's buffers hold some megabytes of each connection; the rest of a long body has to wait.
my $HELD = 48 * $MB;
my $LONG = $SIZE > 2 * $HELD ? $SIZE : 2 * $HELD;

subtest 'a client that does not read stalls the upstream' => sub {
    my $before = memory();
    my ($source, $sink) = download('/x', $upstream, $LONG, 'length');
    cmp_ok $source->push_until_stalled($QUIET), '<', $HELD, 'it is kept from sending';
    cmp_ok memory() - $before, '<', $MAY_ADD, 'in flat memory';
    is $server->get('/')->status, 200, 'others are served';
    my ($other_source, $other_sink) = download('/x', $upstream, 8 * $MB, 'length');
    pump($other_source, $other_sink);
    all_of_it($other_source, $other_sink, 8 * $MB);
    pump($source, $sink);
    all_of_it($source, $sink, $LONG);
};

subtest 'an upstream that does not read stalls the client' => sub {
    my $before = memory();
    my ($source, $sink, $client, $peer) = upload('/x', $upstream, $LONG, 'length');
    cmp_ok $source->push_until_stalled($QUIET), '<', $HELD, 'it is kept from sending';
    cmp_ok memory() - $before, '<', $MAY_ADD, 'in flat memory';
    is $server->get('/')->status, 200, 'others are served';
    pump($source, $sink);
    all_of_it($source, $sink, $LONG);
    $peer->send("${OK}Content-Length: 0\r\nConnection: close\r\n\r\n");
    is $client->receive->status, 200, 'the answer';
};

subtest 'many slow readers at once' => sub {
    my $before = memory();
    my @all    = map { [ download('/x', $upstream, $LONG, 'length') ] } 1 .. 20;
    my $held   = 0;
    for my $one (@all) {
        $held += $one->[0]->push_until_stalled(0.1);
    }
    note sprintf '%d MB are under way', $held / $MB;
    cmp_ok memory() - $before, '<', 2 * $MAY_ADD, 'twenty of them take no more memory';
    for my $one (@all) {
        $one->[2]->close('reset');
        my $peer = $one->[3];
        wait_for('the upstream connection to end', sub { !$peer->send('x' x 65536) });
    }
    is $server->get('/')->status, 200, 'others are served when they have left';
};

subtest 'a client that reads late does not keep the upstream' => sub {
    my $size = 4 * $MB;
    for my $framing ('length', 'chunked', 'close') {
        my ($source, $sink, $client, $peer) = download('/x', $upstream, $size, $framing);
        wait_for("all of it to be taken ($framing)", sub { $source->push; $source->done });
        $peer->close if $framing eq 'close';
        pump($source, $sink);
        all_of_it($source, $sink, $size);
    }

    # What ends a chunk, and a buffer, and what is copied, are not the same bytes.
    my @chunks = map { chr(97 + $_ % 26) x (1 + $_ * 7919 % 13) } 1 .. 200_000;
    my $body   = join '', @chunks;
    my $client = $server->client->receive_buffer(1 << 16)->ask('GET', '/x');
    my $peer   = $upstream->accept->buffers(1 << 16);
    $peer->request;
    my $answer = join '', "${OK}Transfer-Encoding: chunked\r\n\r\n", (map { sprintf "%x\r\n%s\r\n", length, $_ } @chunks),
      "0\r\n\r\n";
    ok $peer->send($answer), 'many small chunks';
    ok $client->receive->body eq $body, '… arrive as they are';
};

subtest 'an upstream in a trickle' => sub {
    my $client = $server->client->ask('GET', '/x');
    my $peer   = $upstream->accept;
    $peer->request;
    my $body = join '', map { chr 97 + $_ % 26 } 1 .. 300;
    for my $byte (split //, sprintf "${OK}Connection: close\r\nContent-Length: %d\r\n\r\n%s", length $body, $body) {
        $peer->send($byte);
        sleep 0.001;
    }
    is $client->receive->body, $body, 'a byte at a time';
};

subtest 'a client in a trickle' => sub {
    my $body = join '', map { chr 97 + $_ % 26 } 1 .. 300;
    my $text = Hayfork::Test::Client::request_text('POST', '/x', body => $body);
    my $client = $server->client;
    for my $byte (split //, $text) {
        $client->send($byte);
        sleep 0.001;
    }
    my $peer = $upstream->accept;
    is $peer->request->body, $body, 'a byte at a time';
    $peer->send("${OK}Content-Length: 0\r\n\r\n");
    is $client->receive->status, 200, 'the answer';
};

is_deeply [ $server->workers ], [$worker], 'it is the same worker all the time';
is $server->stop, 'exit 0', 'the server stops';

done_testing;
