# A relay and an upstream that misbehaves: the client gets a 502, a 504 or a body that is visibly cut, never a
# wrong answer, and never a cut one that looks whole. What has been misused is not used again.
use v5.36;

use Hayfork::Test;

use Errno qw(EINPROGRESS);
use IO::Select;
use Socket qw(PF_INET SOCK_NONBLOCK SOCK_STREAM inet_aton pack_sockaddr_in);

use Hayfork::Test::Process qw(spawn wait_for descriptors);
use Hayfork::Test::Upstream;

my $PATIENCE = 20;    # seconds, for what happens at once
my $SHORTLY  = 0.2;   # seconds, for what must not happen

# Nothing here may be decided by a clock, except where that is what is tested.
sub start ($upstream, %with)
{
    my %limits = (connect => '30s', deadline => '10m', stall => '10m', idle => '10m', requests => 'unlimited', %with);
    return server(<<~CONF);
        workers: 1
        core: on    # its descriptors are counted
        limits: { ${\ join ', ', map { "$_: $limits{$_}" } sort keys %limits } }
        ${\ $upstream->routes }
        CONF
}

# What becomes of an answer, as the client sees it:
#
#   200 "hi"   whole        200 cut   it broke off, and visibly so
#   silence    nothing      none      the connection was closed without a byte
#   malformed  what no answer ever looks like
sub outcome ($client, $method = 'GET')
{
    local $Hayfork::Test::Process::LIMIT = $PATIENCE;
    my $response = eval { $client->receive($method) };
    return $response->status . ($response->status < 500 ? sprintf ' "%s"', $response->body : '') if defined $response;
    return 'silence' if $@ =~ /no answer within/;
    return 'none' if $client->{buffer} eq '';
    return "malformed: $@" if $@ !~ /breaks off|was reset/;
    return $client->{buffer} =~ m{\AHTTP/1\.1 (\d+) .*?\r\n\r\n}s ? "$1 cut" : 'a cut head';
}

# One exchange with a new connection to the upstream, which answers with these pieces and then ends as told:
# 'open' (it is the relay that closes), 'close' or 'reset'. Returns the outcome, and complaints after it.
my %client;    # server => a client that can be used again

sub exchange ($server, $upstream, $pieces, $end, $method = 'GET')
{
    my $client = delete $client{$server} // $server->client;
    $client->ask($method, '/x');
    my $peer = $upstream->accept;
    $peer->request;
    @$pieces > 1 ? $peer->send_pieces(@$pieces) : $peer->send(@$pieces);
    $peer->close($end) if $end ne 'open';
    my $outcome = outcome($client, $method);
    $client{$server} = $client if $outcome =~ /^\d+(?: ".*")?$/s;
    if ($end eq 'open') {
        return "$outcome, and the connection stays open" if !$peer->readable($PATIENCE);
        return "$outcome, and something else is sent" if !$peer->at_end;
    }
    return "$outcome, and another connection is made" if $upstream->knocked;
    return $outcome;
}

# All ways to send bytes in two pieces, and in one.
sub splits ($bytes)
{
    return [$bytes], map { [ substr($bytes, 0, $_), substr $bytes, $_ ] } 1 .. length($bytes) - 1;
}

# Is the outcome of each split what it should be?
sub outcome_like ($server, $upstream, $bytes, $end, $expected, $name, $method = 'GET')
{
    my @wrong;
    for my $pieces (splits($bytes)) {
        my $outcome = exchange($server, $upstream, $pieces, $end, $method);
        next if $outcome =~ /^(?:$expected)$/;
        push @wrong, (@$pieces == 1 ? 'whole' : 'split behind ' . length $pieces->[0]) . ": $outcome";
        last if @wrong == 5 || $outcome =~ /silence|stays open/;
    }
    return is_deeply \@wrong, [], $name;
}

# The relay is the process it was, and answers.
sub all_is_well ($server, $workers, $upstream)
{
    is exchange($server, $upstream, ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"], 'open'),
      '200 "hi"', 'a good answer is passed on';
    is_deeply [ $server->workers ], $workers, '… by the worker that was there before';
    is $server->stop, 'exit 0', '… and it stops';
    return;
}

my $OK = "HTTP/1.1 200 OK\r\n";

# Heads that are wrong: 502, nothing of it is passed on, and the relay closes the connection.
my @BAD_HEADS = (
    [ 'no HTTP',                     "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n" ],
    [ 'TLS',                         "\x15\x03\x01\x00\x02\x02\x46\r\n\r\n" ],
    [ 'a text',                      "hello\n\nworld\r\n\r\n" ],
    [ 'HTTP/0.9',                    "<html>hi</html>\r\n\r\n" ],
    [ 'HTTP/2',                      "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'HTTP/2 without a minor',      "HTTP/2 200\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'HTTP/0.9 in words',           "HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'HTTP/1.10',                   "HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'http/1.1',                    "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'an empty line first',         "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'no status',                   "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a status of two digits',      "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a status of four digits',     "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a status with a sign',        "HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a status below 100',          "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'two spaces',                  "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a NUL in the status line',    "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a CR in the status line',     "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'bare LF everywhere',          "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi" ],
    [ 'bare LF behind a field',      "${OK}Content-Length: 2\n\r\nhi" ],
    [ 'bare CR behind a field',      "${OK}Content-Length: 2\rX: y\r\n\r\nhi" ],
    [ 'a bare LF at the end',        "${OK}Content-Length: 2\r\n\nhi" ],
    [ 'a folded field',              "${OK}X: y\r\n z\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a folded first field',        "$OK X: y\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a folded length',             "${OK}Content-Length:\r\n 2\r\n\r\nhi" ],
    [ 'NUL in a value',              "${OK}X: \0\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'NUL in a name',               "${OK}X\0: y\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a space before the colon',    "${OK}Content-Length : 2\r\n\r\nhi" ],
    [ 'no colon',                    "${OK}Content-Length\r\n\r\nhi" ],
    [ 'no name',                     "${OK}: y\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'two lengths',                 "${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!" ],
    [ 'the same length twice',       "${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'two lengths in one',          "${OK}Content-Length: 2, 2\r\n\r\nhi" ],
    [ 'a length that is a word',     "${OK}Content-Length: abc\r\n\r\nhi" ],
    [ 'a negative length',           "${OK}Content-Length: -2\r\n\r\nhi" ],
    [ 'a length with a sign',        "${OK}Content-Length: +2\r\n\r\nhi" ],
    [ 'a hexadecimal length',        "${OK}Content-Length: 0x2\r\n\r\nhi" ],
    [ 'a length with a point',       "${OK}Content-Length: 2.0\r\n\r\nhi" ],
    [ 'an empty length',             "${OK}Content-Length: \r\n\r\nhi" ],
    [ 'a length beyond 2^64',        "${OK}Content-Length: 18446744073709551618\r\n\r\nhi" ],
    [ 'length and coding',           "${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'coding and length',           "${OK}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'an unknown coding',           "${OK}Transfer-Encoding: gzip\r\n\r\nhi" ],
    [ 'two codings',                 "${OK}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'chunked twice',               "${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'chunked with a word',         "${OK}Transfer-Encoding: chunked;x\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'an empty coding',             "${OK}Transfer-Encoding: \r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'identity',                    "${OK}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi" ],
    [ 'a vertical tab in a coding',  "${OK}Transfer-Encoding: \x0bchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ 'chunked with HTTP/1.0',       "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" ],
    [ '101, which nobody asked for', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" ],
    [ 'a wrong 100 before the 200',  "HTTP/1.1 100 Continue\r\nX: \0\r\n\r\n${OK}Content-Length: 2\r\n\r\nhi" ],
    [ 'a 100 with garbage behind',   "HTTP/1.1 100 Continue\r\n\r\nhi\r\n\r\n" ],
    [ 'a 204 with a coding twice',   "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" ],
);

# Bodies that are wrong: their head may have been passed on by then.
my $CHUNKED    = "${OK}Transfer-Encoding: chunked\r\n\r\n";
my @BAD_BODIES = (
    [ 'a chunk size that is a word',      "${CHUNKED}zz\r\nhi\r\n0\r\n\r\n" ],
    [ 'an empty chunk size',              "$CHUNKED\r\nhi\r\n0\r\n\r\n" ],
    [ 'a hexadecimal prefix',             "${CHUNKED}0x2\r\nhi\r\n0\r\n\r\n" ],
    [ 'a chunk size with a sign',         "${CHUNKED}+2\r\nhi\r\n0\r\n\r\n" ],
    [ 'a negative chunk size',            "${CHUNKED}-2\r\nhi\r\n0\r\n\r\n" ],
    [ 'a space before a chunk size',      "$CHUNKED 2\r\nhi\r\n0\r\n\r\n" ],
    [ 'garbage behind a chunk size',      "${CHUNKED}2 garbage\r\nhi\r\n0\r\n\r\n" ],
    [ 'a chunk size beyond 2^64',         "${CHUNKED}10000000000000002\r\nhi\r\n0\r\n\r\n" ],
    [ 'a chunk longer than its size',     "${CHUNKED}2\r\nhi!\r\n0\r\n\r\n" ],
    [ 'a chunk shorter than its size',    "${CHUNKED}3\r\nhi\r\n0\r\n\r\n" ],
    [ 'no line end behind a chunk',       "${CHUNKED}2\r\nhi0\r\n\r\n" ],
    [ 'bare LF behind a chunk size',      "${CHUNKED}2\nhi\r\n0\r\n\r\n" ],
    [ 'bare LF behind a chunk',           "${CHUNKED}2\r\nhi\n0\r\n\r\n" ],
    [ 'bare LF behind the last chunk',    "${CHUNKED}2\r\nhi\r\n0\n\r\n" ],
    [ 'bare LF behind the whole',         "${CHUNKED}2\r\nhi\r\n0\r\n\n" ],
    [ 'NUL behind a chunk size',          "${CHUNKED}2\0\r\nhi\r\n0\r\n\r\n" ],
    [ 'a bad second chunk',               "${CHUNKED}2\r\nhi\r\n2x\r\nho\r\n0\r\n\r\n" ],
    [ 'a trailer that is no field',       "${CHUNKED}2\r\nhi\r\n0\r\nX\r\n\r\n" ],
    [ 'a folded trailer',                 "${CHUNKED}2\r\nhi\r\n0\r\nX: y\r\n z\r\n\r\n" ],
    [ 'NUL in a trailer',                 "${CHUNKED}2\r\nhi\r\n0\r\nX: \0\r\n\r\n" ],
);

subtest 'heads that are wrong, split at every byte' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = start($upstream);
    my @workers  = $server->workers;
    outcome_like $server, $upstream, $_->[1], 'open', qr/502/, $_->[0] for @BAD_HEADS;
    all_is_well($server, \@workers, $upstream);
};

subtest 'bodies that are wrong, split at every byte' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = start($upstream);
    my @workers  = $server->workers;
    outcome_like $server, $upstream, $_->[1], 'open', qr/502|200 cut/, $_->[0] for @BAD_BODIES;
    all_is_well($server, \@workers, $upstream);
};

# Answers that are whole, with bytes after them that do not belong to them: the relay closes the connection.
my @WITH_MORE = (
    [ 'bytes behind a body',             "${OK}Content-Length: 2\r\n\r\nhi!",                   qr/200 "hi"/ ],
    [ 'another answer behind a body',    "${OK}Content-Length: 2\r\n\r\nhi${OK}\r\n",           qr/200 "hi"/ ],
    [ 'a line end behind a body',        "${OK}Content-Length: 2\r\n\r\nhi\r\n",                qr/200 "hi"/ ],
    [ 'bytes behind an empty body',      "${OK}Content-Length: 0\r\n\r\nhi",                    qr/200 ""/ ],
    [ 'bytes behind the last chunk',     "${CHUNKED}2\r\nhi\r\n0\r\n\r\n0\r\n\r\n",             qr/200 "hi"/ ],
    [ 'a body behind a 204',             "HTTP/1.1 204 No Content\r\n\r\nhi",                   qr/204 ""/ ],
    [ 'a chunked body behind a 204', "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        qr/204 ""|502/ ],
    [ 'a body behind a 304',             "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nhi", qr/304 ""/ ],
    [ 'a body behind the head for HEAD', "${OK}Content-Length: 2\r\n\r\nhi",                    qr/200 ""/, 'HEAD' ],
);

subtest 'more than the answer, split at every byte' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = start($upstream);
    my @workers  = $server->workers;
    for (@WITH_MORE) {
        my ($name, $bytes, $expected, @method) = @$_;
        outcome_like $server, $upstream, $bytes, 'open', $expected, $name, @method;
    }
    all_is_well($server, \@workers, $upstream);
};

# A parser that refuses everything would have passed so far. These are odd, and right; the connection can be
# used again where the last word is 'kept'.
my @GOOD = (
    [ 'a length',                     "${OK}Content-Length: 2\r\n\r\nhi",                           '200 "hi"', 'kept' ],
    [ 'chunks',                       "${CHUNKED}1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",                    '200 "hi"', 'kept' ],
    [ 'chunks with extensions',       "${CHUNKED}2;a=b;c=\"d\"\r\nhi\r\n0;e\r\n\r\n",               '200 "hi"', 'kept' ],
    [ 'chunk sizes with zeros',       "${CHUNKED}00002\r\nhi\r\n000\r\n\r\n",                       '200 "hi"', 'kept' ],
    [ 'trailers',                     "${CHUNKED}2\r\nhi\r\n0\r\nX: y\r\nZ: \xe4\r\n\r\n", '200 "hi"', 'kept' ],
    [ 'another case',                 "${OK}transfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", '200 "hi"', 'kept' ],
    [ 'no reason phrase',             "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi",               '200 "hi"', 'kept' ],
    [ 'zeros before the length',      "${OK}Content-Length: 002\r\n\r\nhi",                         '200 "hi"', 'kept' ],
    [ 'no space behind the colon',    "${OK}Content-Length:2\r\nX:\r\n\r\nhi",                      '200 "hi"', 'kept' ],
    [ 'bytes beyond ASCII',           "${OK}X: \xe4\xff\r\nContent-Length: 2\r\n\r\nhi", '200 "hi"', 'kept' ],
    [ 'a 100 before it',              "HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 2\r\n\r\nhi", '200 "hi"', 'kept' ],
    [ '103s before it',
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" x 2 . "${OK}Content-Length: 2\r\n\r\nhi", '200 "hi"', 'kept' ],
    [ 'a 204',                        "HTTP/1.1 204 No Content\r\n\r\n",                            '204 ""',   'kept' ],
    [ 'a 304 with a length',          "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 2\r\n\r\n", '304 ""', 'kept' ],
    [ 'a length for HEAD',            "${OK}Content-Length: 2\r\n\r\n",                             '200 ""',   'kept', 'HEAD' ],
    [ 'chunked for HEAD',             "$CHUNKED",                                                   '200 ""',   'kept', 'HEAD' ],
    [ 'Connection: close',            "${OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi",      '200 "hi"', 'open' ],
    [ 'HTTP/1.0',                     "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",             '200 "hi"', 'open' ],
    [ 'a body up to the end',         "$OK\r\nhi",                                                  '200 "hi"', 'close' ],
    [ 'an empty one',                 "$OK\r\n",                                                    '200 ""',   'close' ],
    [ 'HTTP/1.0 up to the end',       "HTTP/1.0 200 OK\r\n\r\nhi",                                  '200 "hi"', 'close' ],
);

subtest 'answers that are right, split at every byte' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = start($upstream);
    my @workers  = $server->workers;
    for (@GOOD) {
        my ($name, $bytes, $expected, $end, $method) = @$_;
        $method //= 'GET';
        if ($end ne 'kept') {
            outcome_like $server, $upstream, $bytes, $end, qr/\Q$expected\E/, $name, $method;
            next;
        }
        my $client = $server->client;
        my ($peer, @wrong);
        for my $pieces (splits($bytes)) {
            $client->ask($method, '/x');
            $peer //= $upstream->accept;
            my $outcome = 'not on the same connection';
            if (eval { $peer->request }) {
                $peer->send_pieces(@$pieces);
                $outcome = outcome($client, $method);
            }
            next if $outcome eq $expected;
            push @wrong, (@$pieces == 1 ? 'whole' : 'split behind ' . length $pieces->[0]) . ": $outcome";
            last;
        }
        is_deeply \@wrong, [], "$name; all over one connection";
        $peer->close;
    }
    all_is_well($server, \@workers, $upstream);
};

# Answers that end before they are whole, at every place where they can. close_at_end is the outcome where all
# of it has come and the connection ends after it.
my $CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
my @CUT      = (
    [ 'a length',             "${OK}Content-Length: 5\r\n\r\nhello",                  'hello' ],
    [ 'HTTP/1.0',             "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",    'hello' ],
    [ 'chunks',               "${CHUNKED}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",           'hello' ],
    [ 'chunks and a trailer', "${CHUNKED}5\r\nhello\r\n0\r\nX: y\r\n\r\n",            'hello' ],
    [ 'behind a 100',         "$CONTINUE${OK}Content-Length: 5\r\n\r\nhello",         'hello' ],
    [ 'up to the end',        "$OK\r\nhello",                                         undef ],
);

for my $end ('close', 'reset') {
    subtest "answers that are cut at every byte ($end)" => sub {
        my $upstream = Hayfork::Test::Upstream->new;
        my $server   = start($upstream);
        my @workers  = $server->workers;
        for (@CUT) {
            my ($name, $bytes, $body) = @$_;
            my $head = rindex($bytes, "\r\n\r\n", length($bytes) - 5) + 4;
            my @wrong;
            for my $n (0 .. length $bytes) {
                my $expected =
                    $n < $head                   ? qr/502/
                  : defined $body                ? $n == length $bytes ? qr/200 "$body"|200 cut|502/ : qr/200 cut|502/
                  : $end eq 'close'              ? qr/200 "\Q${\ substr $bytes, $head, $n - $head}\E"/
                  :                                qr/200 cut|502/;
                my $outcome = exchange($server, $upstream, [ substr $bytes, 0, $n ], $end);
                push @wrong, "cut behind $n: $outcome" if $outcome !~ /^(?:$expected)$/;
            }
            is_deeply \@wrong, [], $name;
        }
        all_is_well($server, \@workers, $upstream);
    };
}

subtest 'a cut body looks cut to HTTP/1.0, too' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream);
    for my $with ([ '', 'reset' ], [ "Content-Length: 9\r\n", 'close' ], [ "Transfer-Encoding: chunked\r\n", 'close' ]) {
        my ($field, $end) = @$with;
        my $client = $server->client->send("GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
        my $peer   = $upstream->accept;
        $peer->request;
        $peer->send("$OK$field\r\n" . ($field =~ /chunked/ ? "2\r\nhi\r\n" : 'hi'));
        $client->fill;
        $peer->close($end);
        my $n;
        do { $n = $client->fill } while $n;
        my $length = $client->{buffer} =~ /^Content-Length: 9\r$/mi;
        ok !defined $n || $length || $client->{buffer} =~ m{\AHTTP/1\.\d 502 }, 'by its length or by a reset: ' .
          ($field =~ s/\r\n//r || 'no length');
    }
    is $server->stop, 'exit 0';
};

# --- too much ---

# Sends without an end until the relay has had enough; returns how many bytes that took.
sub send_endless ($peer, $first, $more)
{
    my $sent = 0;
    for (my $bytes = $first; $sent < 64 << 20; $bytes = $more) {
        $peer->send($bytes) or return $sent;
        $sent += length $bytes;
    }
    return $sent;
}

my @ENDLESS = (
    [ 'a reason phrase',       'HTTP/1.1 200 ',                                 'x' x 65536,                   qr/502/ ],
    [ 'a field name',          $OK,                                             'x' x 65536,                   qr/502/ ],
    [ 'a field value',         "${OK}X: ",                                      'x' x 65536,                   qr/502/ ],
    [ 'fields',                $OK,                                             "X: y\r\n" x 10000,            qr/502/ ],
    [ '100s',                  '',                                              "HTTP/1.1 100 Continue\r\n\r\n" x 1000, qr/502/ ],
    [ '103s with long fields', '', "HTTP/1.1 103 Early\r\nX: " . 'x' x 4000 . "\r\n\r\n", qr/502/ ],
    [ 'zeros in a chunk size', $CHUNKED,                                        '0' x 65536,                   qr/502|200 cut/ ],
    [ 'a chunk extension',     "${CHUNKED}2;",                                  'x' x 65536,                   qr/502|200 cut/ ],
    [ 'a trailer',             "${CHUNKED}2\r\nhi\r\n0\r\nX: ",                 'x' x 65536,                   qr/502|200 cut/ ],
    [ 'trailers',              "${CHUNKED}2\r\nhi\r\n0\r\n",                    "X: y\r\n" x 10000,            qr/502|200 cut/ ],
    [ 'bytes behind a body',   "${OK}Content-Length: 2\r\n\r\nhi",              'x' x 65536,                   qr/200 "hi"/ ],
);

subtest 'what does not end is given up' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = start($upstream);
    my @workers  = $server->workers;
    for (@ENDLESS) {
        my ($name, $first, $more, $expected) = @$_;
        my $client = $server->client->ask('GET', '/x');
        my $peer   = $upstream->accept;
        $peer->request;
        my $sent = send_endless($peer, $first, $more);
        cmp_ok $sent, '<', 4 << 20, "$name: not taken for long";
        like outcome($client), qr/^(?:$expected)$/, '… and answered';
    }
    all_is_well($server, \@workers, $upstream);
};

subtest 'a head of 10 MB is 502' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream);
    my @workers  = $server->workers;
    my $client   = $server->client->ask('GET', '/x');
    my $peer     = $upstream->accept;
    $peer->request;
    $peer->send("${OK}Content-Length: 2\r\nX: " . 'x' x (10 << 20) . "\r\n\r\nhi");
    problem_is $client->receive, 502, {}, 'the answer';
    all_is_well($server, \@workers, $upstream);
};

# --- silence ---

subtest 'a silent upstream is 504 at the deadline, and in nobody\'s way' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream, deadline => '500ms');
    my @clients  = map { $server->client->ask('GET', '/x') } 1 .. 10;
    my @peers    = map { $upstream->accept } @clients;
    $_->request for @peers;
    is $server->get('/')->status, 200, 'another route is served meanwhile';
    my $client = $server->client->ask('GET', '/x');
    my $peer   = $upstream->accept;
    $peer->request;
    $peer->send("${OK}Content-Length: 2\r\n\r\nhi");
    is outcome($client), '200 "hi"', 'another request to the same upstream, too';
    problem_is $_->receive, 504, {}, 'a silent one' for @clients;
    ok $_->at_end, '… its connection is closed' for @peers;
    is $server->stop, 'exit 0';
};

subtest 'half a head is as good as silence' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream, deadline => '300ms');
    for my $bytes ('H', $OK, "${OK}Content-Length: 2\r\n", "HTTP/1.1 100 Continue\r\n\r\n") {
        my $client = $server->client->ask('GET', '/x');
        my $peer   = $upstream->accept;
        $peer->request;
        $peer->send($bytes);
        problem_is $client->receive, 504, {}, Hayfork::Test::Response::excerpt($bytes);
        ok $peer->at_end, '… and the connection is closed';
    }
    is $server->stop, 'exit 0';
};

subtest 'a POST that is not answered is 504, and not sent again' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream, deadline => '300ms');
    my $client   = $server->client->ask('POST', '/x', body => 'once');
    my $peer     = $upstream->accept;
    is $peer->request->body, 'once', 'it is sent';
    problem_is $client->receive, 504, {}, 'it may have been done';
    ok $peer->at_end, 'the connection is closed';
    ok !$upstream->knocked($SHORTLY), '… and there is no other';
    is $server->stop, 'exit 0';
};

subtest 'a body that stalls is cut' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream, stall => '1s');
    my $client   = $server->client->ask('GET', '/x');
    my $peer     = $upstream->accept;
    $peer->request;
    $peer->send("${OK}Content-Length: 5\r\n\r\nhe");
    is outcome($client), '200 cut', 'visibly';
    ok $peer->at_end, 'its connection is closed';
    is $server->stop, 'exit 0';
};

# --- nobody there ---

subtest 'an upstream that is down is 502, and 200 once it is back' => sub {
    for my $kind ('tcp', 'unix') {
        my $upstream = Hayfork::Test::Upstream->new($kind)->stop;
        my $server   = start($upstream);
        problem_is $server->get('/x'), 502, {}, "$kind: down" for 1 .. 3;
        problem_is $server->request('POST', '/x', body => 'a'), 502, {}, "$kind: POST";
        is $server->get('/')->status, 200, "$kind: others are served";
        my $line = join "\n", $server->log_lines(qr{GET /x});
        like $line, qr{\Q${\ ($upstream->{path} // $upstream->address)}\E}, "$kind: the log names route and upstream";

        $upstream->listen;
        my $client = $server->client->ask('GET', '/x');
        my $peer   = $upstream->accept;
        $peer->request;
        $peer->send("${OK}Content-Length: 2\r\n\r\nhi");
        is outcome($client), '200 "hi"', "$kind: back";
        is $server->stop, 'exit 0';
    }
};

# Connects until the kernel takes no more for the upstream, which accepts none of them.
sub fill_backlog ($upstream)
{
    my @filling;
    while (@filling < 5000) {
        socket my $socket, PF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0 or die "socket: $!";
        connect $socket, pack_sockaddr_in($upstream->{port}, inet_aton('127.0.0.1'))
          or $! == EINPROGRESS
          or die "connect: $!";
        push @filling, $socket;
        return @filling if !IO::Select->new($socket)->can_write(0.3);
    }
    die 'the backlog is too long';
}

subtest 'an upstream that takes no connection is 502, and in nobody\'s way' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    listen $upstream->{socket}, 1;
    my @filling = fill_backlog($upstream);
    my $server  = start($upstream, connect => '500ms');
    my $client  = $server->client->ask('GET', '/x');
    my $post    = $server->client->ask('POST', '/x', body => 'a');
    is $server->get('/')->status, 200, 'another route is served meanwhile';
    problem_is $client->receive, 502, {}, 'GET';
    problem_is $post->receive,   502, {}, 'POST';
    is $server->stop, 'exit 0';
};

subtest 'a Unix socket that takes no connection is 502' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    listen $upstream->{socket}, 0;
    my $filling = Hayfork::Test::Client::connect_to($upstream->address);
    my $server  = start($upstream);
    problem_is $server->get('/x'), 502, {}, 'the answer';
    is $server->get('/')->status, 200, 'others are served';
    is $server->stop, 'exit 0';
};

# --- connections that end in the instant of reuse ---

my $HI = "${OK}Content-Length: 2\r\n\r\nhi";

# A client whose request has been answered, and the upstream's connection, now idle.
sub warm_up ($server, $upstream)
{
    my $client = $server->client->ask('GET', '/x');
    my $peer   = $upstream->accept;
    $peer->request;
    $peer->send($HI);
    is outcome($client), '200 "hi"', 'a connection is there' or die 'there is no use in going on';
    return ($client, $peer);
}

for my $end ('close', 'reset') {
    subtest "a connection that ends when it is used again ($end)" => sub {
        my $upstream = Hayfork::Test::Upstream->new;
        my $server   = start($upstream);
        for my $method (qw(GET HEAD)) {
            my ($client, $peer) = warm_up($server, $upstream);
            $client->ask($method, '/x');
            $peer->request;
            $peer->close($end);
            $peer = $upstream->accept;
            is $peer->request->method, $method, "$method is sent once more";
            $peer->send("${OK}Connection: close\r\nContent-Length: 2\r\n\r\n" . ($method eq 'HEAD' ? '' : 'hi'));
            is $client->receive($method)->status, 200, '… and answered';
        }

        for my $with ({}, { body => '' }, { body => 'once' }, { body => 'x' x 300_000 }) {
            my ($client, $peer) = warm_up($server, $upstream);
            $client->ask('POST', '/x', %$with);
            $peer->request;
            $peer->close($end);
            my $name = 'POST with ' . (defined $with->{body} ? length($with->{body}) . ' bytes' : 'no body');
            like outcome($client), qr/^50[24]$/, "$name is answered";
            ok !$upstream->knocked($SHORTLY), '… and not sent again';
        }
        is $server->stop, 'exit 0';
    };

    subtest "an answer that breaks off is not asked for again ($end)" => sub {
        my $upstream = Hayfork::Test::Upstream->new;
        my $server   = start($upstream);
        for my $bytes ('H', $OK, substr $HI, 0, -1) {
            my ($client, $peer) = warm_up($server, $upstream);
            $client->ask('GET', '/x');
            $peer->request;
            $peer->send($bytes);
            $peer->close($end);
            like outcome($client), qr/^(?:502|200 cut)$/, Hayfork::Test::Response::excerpt($bytes);
            ok !$upstream->knocked($SHORTLY), '… by nobody';
        }
        is $server->stop, 'exit 0';
    };
}

# The worker learns of both at once, in either order.
for my $method (qw(GET POST)) {
    subtest "a connection that ends just before it is used again ($method)" => sub {
        my $upstream = Hayfork::Test::Upstream->new;
        my $server   = start($upstream);
        my ($worker) = $server->workers;
        my ($client, $peer) = warm_up($server, $upstream);
        my %outcomes;
        for my $round (1 .. 40) {
            kill 'STOP', $worker;
            my @order = (sub { $client->ask($method, '/x', $method eq 'POST' ? (body => 'once') : ()) },
                sub { $peer->close($round % 4 < 2 ? 'reset' : 'close') });
            $_->() for $round % 2 ? @order : reverse @order;
            kill 'CONT', $worker;

            wait_for('an answer or a request', sub { $upstream->knocked || $client->readable(0) });
            my $sent = 0;
            if ($upstream->knocked) {
                $peer = $upstream->accept;
                $peer->request;
                $sent++;
                $peer->send($HI);
            }
            my $outcome = outcome($client, $method) . ($sent ? ', sent' : '');
            $outcomes{$outcome}++;
            ($client, $peer) = warm_up($server, $upstream) if !$sent;
        }
        note join ', ', map { "$_: $outcomes{$_}" } sort keys %outcomes;
        my $good = $method eq 'GET' ? qr/^200 "hi", sent$/ : qr/^(?:200 "hi", sent|50[24])$/;
        is_deeply [ grep { !/$good/ } keys %outcomes ], [], $method eq 'GET' ? 'nobody notices' : 'it is sent at most once';
        is $server->stop, 'exit 0';
    };
}

subtest 'an upstream that closes when it pleases costs no GET' => sub {
    my $port = Hayfork::Test::Server::free_port();
    spawn([ $^X, "$Hayfork::Test::TOP_SRCDIR/t/tools/moody-upstream", $port ]);
    wait_for('the upstream to listen', sub { Hayfork::Test::Client::connect_to("127.0.0.1:$port") });
    my $server = server(<<~CONF);
        workers: 2
        routes:
          GET /x/{n}:
            relay: http://127.0.0.1:$port/y/{n}
        CONF
    my $load = $server->load(
        requests    => 5000,
        connections => 16,
        target      => sub ($n) { "/x/$n" },
        check       => sub ($n, $response) { $response->status == 200 && $response->body eq "/y/$n" },
    );
    is $load->summary, '200: 5000, lost: 0', 'all are answered';
    is_deeply [ $load->wrong ], [], '… each with its own answer';
    is $server->stop, 'exit 0';
};

subtest 'an idle connection on which something comes is not used' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = start($upstream);
    for my $bytes ($HI, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", "\r\n", "\0") {
        my ($client, $peer) = warm_up($server, $upstream);
        $peer->send($bytes);
        ok $peer->at_end, 'it is closed: ' . Hayfork::Test::Response::excerpt($bytes);
        is exchange($server, $upstream, ["${OK}Connection: close\r\nContent-Length: 2\r\n\r\nho"], 'open'), '200 "ho"',
          '… and the next request is answered by another';
    }
    is $server->stop, 'exit 0';
};

# --- clients that leave ---

for my $how ('close', 'reset') {
    subtest "a client that leaves ($how) takes its upstream connection along" => sub {
        my $upstream = Hayfork::Test::Upstream->new;
        my $server   = start($upstream);
        my ($worker) = $server->workers;
        my $before   = descriptors($worker);
        for my $answer ('', 'H', $OK) {
            my $client = $server->client->ask('GET', '/x');
            my $peer   = $upstream->accept;
            $peer->request;
            $peer->send($answer);
            $client->close($how);
            ok $peer->readable($PATIENCE) && $peer->at_end, 'behind ' . Hayfork::Test::Response::excerpt($answer);
        }

        # In the middle of an answer, it is known at the latest by what cannot be passed on any longer.
        for ([ "${OK}Content-Length: 1000000000\r\n\r\n", 'x' ], [ $CHUNKED, "1\r\nx\r\n" ], [ "$OK\r\n", 'x' ]) {
            my ($head, $piece) = @$_;
            my $client = $server->client->ask('GET', '/x');
            my $peer   = $upstream->accept;
            $peer->request;
            $peer->send($head);
            $client->fill;
            $client->close($how);
            my $left = wait_for('the connection to be closed', sub { !$peer->send($piece) || $peer->readable });
            ok $left && $peer->at_end, 'behind ' . Hayfork::Test::Response::excerpt($head);
        }

        # A client that has not sent all of its body cannot do so any longer.
        for my $framing ('Content-Length: 1000000', 'Transfer-Encoding: chunked') {
            my $body = $framing =~ /chunked/ ? "5\r\nhello\r\n" : 'hello';
            my $client = $server->client->send("POST /x HTTP/1.1\r\nHost: a\r\n$framing\r\n\r\n$body");
            my $peer = $upstream->accept;
            $peer->request_head;
            is $peer->bytes(length $body), $body, "half a body comes ($framing)";
            $client->close($how);
            ok $peer->at_end, '… and nothing behind it that would make it whole';
        }

        is $server->get('/')->status, 200, 'others are served';
        wait_for('no descriptor to be leaked', sub { descriptors($worker) <= $before });
        is_deeply [ $server->workers ], [$worker], 'by the same worker';
        is $server->stop, 'exit 0';
    };
}

done_testing;
