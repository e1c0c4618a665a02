# Requests behind another server: HAProxy, which is strict itself, and Hayfork read the same random and mutated
# bytes, and must not find different requests in them. That is what request smuggling is made of: a front that
# takes for one request what is two to the server behind it, or the other way round.
#
# Each stream goes to Hayfork by way of HAProxy, whose log tells what it passed on over which connection, and
# to another Hayfork directly. To refuse is always allowed; to understand something else is not.
use v5.36;

use Hayfork::Test;

use IO::Poll qw(POLLIN POLLHUP POLLERR);
use IO::Socket::IP;
use Socket qw(SHUT_WR SOCK_STREAM);
use Time::HiRes qw(time);

use Hayfork::Test::Process qw(spawn wait_for temporary_folder slurp spew);

my $haproxy = needs_program('haproxy');

my $cases = $ENV{HAYFORK_CASES} // 3000;
my $seed  = $ENV{HAYFORK_SEED}  // int rand 1 << 31;
srand $seed;
note "HAYFORK_SEED=$seed HAYFORK_CASES=$cases";

use constant {
    AT_ONCE => 32,      # connections
    QUIET   => 0.05,    # seconds without a byte, before the client says that it has no more
};

# --- streams ---

sub any (@of) { return $of[ rand @of ] }
sub chance ($percent) { return rand(100) < $percent }

# A body in one of the ways to tell its length: (fields, bytes). Some bodies look like a request.
sub framed ($marker)
{
    my $body = any('', 'x', 'hello', "0\r\n\r\n", "\r\n", "GET /m-inner-$marker HTTP/1.1\r\nHost: a\r\n\r\n");
    my $size = length $body;
    return ([], '') if chance(35);
    return (["Content-Length: $size"], $body) if chance(50);

    my $bytes = '';
    while ($body ne '') {
        my $chunk = substr $body, 0, 1 + rand length $body, '';
        my $extension = any(('') x 6, ';a', ';a=b', ';a="b"', ' ;a');
        $bytes .= sprintf any('%x', '%X', '0%x') . "%s\r\n%s\r\n", length $chunk, $extension, $chunk;
    }
    my $trailer = any(('') x 6, "X: y\r\n", "X: y\r\nZ: z\r\n");
    return ([any('Transfer-Encoding: chunked', 'transfer-encoding: Chunked')], "${bytes}0\r\n$trailer\r\n");
}

# A good request, told apart from all others by its path.
sub good_request ($marker)
{
    my ($fields, $bytes) = framed($marker);
    my $method  = any(qw(GET GET POST POST PUT DELETE OPTIONS PURGE));
    my $target  = "/m$marker" . any(('') x 5, '?a=b', '/..', '//', '?');
    my $version = chance(8) ? '1.0' : '1.1';
    my $others  = any([], [], ['X: y'], ['Connection: keep-alive'], [ 'Accept: a, b', 'Cookie: c=d; e="f"' ]);
    my @fields  = ('Host: a', @$others);
    $target = "http://a$target" if chance(5);
    splice @fields, rand(@fields + 1), 0, @$fields;
    return join("\r\n", "$method $target HTTP/$version", @fields, '', '') . $bytes;
}

# Lines that servers have been known to disagree about.
my @TROUBLE = (
    (map { "Content-Length: $_" } 0, 1, 5, '05', '+5', '5, 5', '0x5', '5 ', '', "5\0", '4294967301',
        '18446744073709551621'),
    'Content-Length : 5', "Content-Length:\t5", "Content-Length:\r\n 5", 'Content_Length: 5',
    "X: y\rContent-Length: 5", "X: y\nContent-Length: 5",
    (map { "Transfer-Encoding: $_" } 'chunked', 'identity', 'xchunked', '"chunked"', 'chunked;a', ',chunked', ''),
    (map { "Transfer-Encoding: $_" } 'chunked, identity', 'identity, chunked', 'chunked, chunked', 'gzip, chunked'),
    (map { "Transfer-Encoding: $_" } "\x0bchunked", "\tchunked", "chunked\0", "\r\n chunked"),
    'Transfer-Encoding:chunked', 'Transfer-Encoding : chunked', 'Transfer_Encoding: chunked',
    ' Transfer-Encoding: chunked', "\0Transfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
    (map { "Connection: $_" } qw(close keep-alive Content-Length Transfer-Encoding Host Upgrade)),
    'Upgrade: h2c', 'Expect: 100-continue', 'Expect: x', 'Host: b', 'Host:', 'Trailer: X', 'TE: trailers',
    'X', ': y', '', "X:\x80", "X: \x01", 'X: ' . 'y' x 3000,
);
my @BYTES     = ("\r\n", split //, qq(\0\t\n\r \x0b\x7f\x80\xff015afgA:;"\\/?#%+-\@*x,));
my @LINE_ENDS = ("\n", "\r", "\r\r\n", "\n\r", '', " \r\n", "\r\n ", "\0\r\n");
my @VERSIONS  = ('HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.10', 'HTTP/1.1 ');
my @SIZES     = ('0x%s', '+%s', ' %s', '%s ', '%s;', '%sg', '00000000000000000%s', '1000000000000000%s');

# What can be done to a request, which is $_. at is any place in it, line the beginning of one of its lines.
my @MUTATIONS = (
    sub ($at, $line) { substr $_, $at, 0, any(@BYTES) },
    sub ($at, $line) { substr $_, $at, 1, any(@BYTES) },
    sub ($at, $line) { substr $_, $at, 1 + rand 3, '' },
    sub ($at, $line) { substr $_, $line, 0, any(@BYTES) },
    sub ($at, $line) { substr $_, $line - 2, 2, any(@LINE_ENDS) if $line },
    sub ($at, $line) { substr $_, $line, 0, any(@TROUBLE) . "\r\n" },
    (sub ($at, $line) { s/\r\n/"\r\n" . any(@TROUBLE) . "\r\n"/e }) x 2,
    sub ($at, $line) { s{HTTP/1\.1}{any(@VERSIONS)}e },
    sub ($at, $line) { s/(Content-Length: )(\d+)/$1 . ($2 + any(-1, 1, 2, 10))/ei },
    sub ($at, $line) { s/\r\n([0-9a-f]+)/"\r\n" . sprintf any(@SIZES), $1/ei },
);

sub mutate ($bytes)
{
    my @lines = 0;
    push @lines, pos $bytes while $bytes =~ /\r\n/g;
    any(@MUTATIONS)->(int rand length $bytes, any(@lines)) for $bytes;
    return $bytes;
}

# Some requests in a row, one or several of them perhaps mutated, and one that ends the connection.
sub make_stream ($case)
{
    my @requests = map { good_request("$case-$_") } 1 .. 1 + int rand 4;
    if (chance(90)) {
        for (1 .. 1 + int rand 3) {
            my $victim = int rand @requests;
            $requests[$victim] = mutate($requests[$victim]);
        }
    }
    return join '', @requests, "GET /m$case-end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
}

# --- those who read them ---

my $behind = Hayfork::Test::Echo->start;    # HAProxy
my $direct = Hayfork::Test::Echo->start;
my $folder = temporary_folder();
my $port   = Hayfork::Test::Server::free_port();
spew("$folder/haproxy.cfg", <<~CONF);
    global
        nbthread 1
        log stdout len 65535 format raw local0
    defaults
        mode http
        log global
        retries 0
        timeout connect 10s
        timeout client 10s
        timeout server 10s
        option http-keep-alive
        option http-buffer-request
    frontend front
        bind 127.0.0.1:$port
        # the client's port, our port to the server, the answer, and what was read
        log-format "%cp %bp %ST %HM %[var(txn.target),hex] %[var(txn.body),hex]."
        http-request set-var(txn.target) url
        http-request set-var(txn.body) req.body
        default_backend back
    backend back
        http-reuse always
        server echo ${\ $behind->address }
    CONF
spawn([ $haproxy, '-db', '-f', "$folder/haproxy.cfg" ], stdout => "$folder/log", stderr => "$folder/errors");
wait_for('HAProxy to listen', sub { Hayfork::Test::Client::connect_to("127.0.0.1:$port") });

# --- sending ---

my $poll = IO::Poll->new;
my %open;    # descriptor => connection
my %used;    # "address port" => true: so that a port tells the case
my @stuck;

# Sends a stream and goes on. Returns { port, answers }, whose answers grow while serve() is called.
sub begin ($address, $stream)
{
    my (@others, $socket);
    do {
        push @others, $socket if defined $socket;
        $socket = Hayfork::Test::Client::connect_to($address) // die "connect: $!";
    } while $used{ "$address " . $socket->sockport }++;
    my $part = chance(30) ? int rand length $stream : 0;
    syswrite $socket, substr $stream, 0, $part if $part;
    syswrite $socket, substr $stream, $part;
    my $connection = { socket => $socket, since => time, stream => $stream, answers => '', port => $socket->sockport };
    $poll->mask($socket => POLLIN);
    return $open{ fileno $socket } = $connection;
}

# Reads from all connections, until at most so many are left.
sub serve ($left)
{
    while (keys %open > $left) {
        $poll->poll(QUIET / 2);
        my $now = time;
        for my $connection (values %open) {
            my $socket = $connection->{socket};
            if ($poll->events($socket) & (POLLIN | POLLHUP | POLLERR)) {
                $connection->{since} = $now;
                next if sysread $socket, $connection->{answers}, 1 << 16, length $connection->{answers};
            } elsif ($now - $connection->{since} < ($connection->{ended} ? 20 : QUIET)) {
                next;
            } elsif (!$connection->{ended}++) {
                shutdown $socket, SHUT_WR;
                next;
            } else {
                push @stuck, $connection->{stream};
            }
            $poll->remove($socket);
            delete $open{ fileno $socket };
            close $socket;
        }
    }
    return;
}

my (@streams, @by_front, @directly);    # by case
for my $case (0 .. $cases - 1) {
    push @streams, make_stream($case);
    push @by_front, begin("127.0.0.1:$port", $streams[-1]);
    push @directly, begin($direct->address, $streams[-1]);
    serve(AT_ONCE);
}
serve(0);
is "@stuck", '', 'every connection came to an end';

# --- judging ---

# What HAProxy says that it read, in order: { client, server, status, method, path, body }. client and
# server are our ports to them; server is 0 for what it refused.
sub front_log ()
{
    my @requests;
    for my $line (split /\n/, slurp("$folder/log")) {
        my ($client, $server, $status, $method, @texts) =
          $line =~ /^(\d+) (\d+|-) (-?\d+) (\S+) ([-\w]*) ([-\w]*)\.$/ or next;
        my ($path, $body) = map { $_ eq '-' ? '' : pack 'H*', $_ } @texts;
        $method =~ s/#([0-9A-F]{2})/chr hex $1/ge;    # HAProxy's way to write what might not be wanted in a log
        $path =~ s{^https?://[^/?]*}{}i;
        push @requests, { client => $client, server => $server eq '-' ? 0 : $server, status => $status,
            method => $method, path => $path, body => $body };
    }
    return @requests;
}

# Are what HAProxy passed on and what a handler saw the same? Of a body that broke, only the beginning was seen.
sub same ($passed, $seen)
{
    return $passed->{method} eq $seen->{method} && $passed->{path} eq $seen->{path}
      && ($passed->{body} eq $seen->{body} || defined $seen->{broken});
}

sub told ($request)
{
    return '(nothing)' if !defined $request;
    my $text = Hayfork::Test::Echo::as_text($request);
    return defined $request->{status} ? "$text (answered $request->{status})" : $text;
}

# The bytes as a double-quoted string has them.
sub printable ($bytes)
{
    return '"' . ($bytes =~ s/([^\x20-\x7e]|["\\\$\@])/sprintf '\x%02x', ord $1/ger) . '"';
}

my %by = (client => {}, server => {}, behind => {}, direct => {});
for my $passed (front_log()) {
    push @{ $by{client}{ $passed->{client} } }, $passed;
    push @{ $by{server}{ $passed->{server} } }, $passed if $passed->{server};
}
push @{ $by{behind}{ $_->{peer} } }, $_ for $behind->seen_by_all;
push @{ $by{direct}{ $_->{peer} } }, $_ for $direct->seen_by_all;

my @wrong;
my %count = map { $_ => 0 } qw(passed refused_by_front refused_behind both);

# What Hayfork saw on a connection from HAProxy is what HAProxy passed on there, less what Hayfork refused.
for my $server (sort keys %{ $by{behind} }) {
    my @seen = @{ $by{behind}{$server} };
    for my $passed (@{ $by{server}{$server} // [] }) {
        $count{passed}++;
        if (@seen && same($passed, $seen[0])) {
            shift @seen;
        } elsif ($passed->{status} >= 200 && $passed->{status} < 400) {
            push @wrong, "HAProxy passed on " . told($passed) . "\n  a handler saw " . told($seen[0]);
            last;
        } else {
            $count{refused_behind}++;
        }
    }
    push @wrong, 'HAProxy did not pass on what a handler saw: ' . told($seen[0]) if @seen && !@wrong;
}
is_deeply \@wrong, [], 'behind HAProxy, handlers see just the requests that it passed on';

# Of the same bytes, HAProxy and Hayfork read the same requests, up to where one of them refuses. Returns what
# is wrong, if anything.
sub compare ($case)
{
    my @seen    = @{ $by{direct}{ $directly[$case]{port} } // [] };
    my @passed  = @{ $by{client}{ $by_front[$case]{port} } // [] };
    my ($refused) = grep { !$passed[$_]{server} } 0 .. $#passed;
    $#passed = $refused - 1    if defined $refused;
    $count{refused_by_front}++ if defined $refused;
    while (@passed && @seen) {
        my ($passed, $seen) = (shift @passed, shift @seen);
        my $whole = $passed->{status} >= 200 && $passed->{status} < 400;
        return 'HAProxy read ' . told($passed) . ', Hayfork ' . told($seen)
          if !same($passed, $seen) || $whole && ($seen->{broken} // '') eq 'gone';
        $count{both}++;
    }
    return 'only Hayfork read ' . told($seen[0])  if @seen   && !defined $refused;
    return 'only HAProxy read ' . told($passed[0]) if @passed && $directly[$case]{answers} !~ m{^HTTP/1\.1 [45]}m;
    return;
}

@wrong = map {
    my $difference = compare($_);
    defined $difference ? "case $_: $difference in " . printable($streams[$_]) : ();
} 0 .. $cases - 1;
is_deeply \@wrong, [], 'of the same bytes, both read the same requests';

note "$count{both} requests were read alike; HAProxy passed on $count{passed}, of which Hayfork refused ",
  "$count{refused_behind}, and refused $count{refused_by_front}";
cmp_ok $count{both}, '>', $cases / 2, 'enough was understood';
cmp_ok $count{refused_by_front}, '>', $cases / 20, 'and enough was refused';

is $_->stop, 'exit 0', 'echo ends well' for $behind, $direct;
is $_->log, '', 'without a complaint' for $behind, $direct;
diag "HAYFORK_SEED=$seed HAYFORK_CASES=$cases" if !Test::More->builder->is_passing;
done_testing;
