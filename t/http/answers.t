# HTTP/1.1 answers and the life of a connection (RFC 9110, RFC 9112): how bodies end, and how a client can tell
# that one was cut; 100 (Continue); clients that send too much, stop sending, or leave; back-pressure.
use v5.36;

use Hayfork::Test;

use Errno qw(ECONNRESET);
use Time::HiRes qw(sleep time);

use Hayfork::Test::Process qw(wait_for cpu_time);

use constant MB => 1 << 20;

my $echo = Hayfork::Test::Echo->start;

sub request ($request_line, @fields)
{
    return join "\r\n", $request_line, 'Host: a', @fields, '', '';
}

sub get ($target, @fields)  { return request("GET $target HTTP/1.1", @fields) }
sub post ($target, @fields) { return request("POST $target HTTP/1.1", @fields) }
sub chunked ($bytes)        { return sprintf "%x\r\n%s\r\n", length $bytes, $bytes }

# The first n bytes of what /stream sends.
sub pattern ($n)
{
    return substr join('', 'a' .. 'z') x ($n / 26 + 1), 0, $n;
}

# All that comes until the end: (bytes, 'closed' or 'reset').
sub rest ($client)
{
    my $n;
    1 while $n = $client->fill;
    my $end = defined $n ? 'closed' : $! == ECONNRESET ? 'reset' : "$!";
    return ($client->{buffer}, $end);
}

# The bytes after the first head in them.
sub behind_head ($bytes)
{
    return $bytes =~ /\r\n\r\n(.*)/s ? $1 : undef;
}

# Is the connection in step: is a request answered with what it asked for?
sub in_step ($client, $name = 'the connection is in step')
{
    return is $client->get('/in-step')->json->{path}, '/in-step', $name;
}

sub gone ($path)
{
    return wait_for("$path to be given up", sub { $echo->gone($path) }, 10);
}

subtest 'RFC 9112 section 7.1: a body of unknown length is chunked, whatever the status' => sub {
    my $client = $echo->client;
    for my $status (200, 201, 400, 404, 500) {
        for my $n (0, 1, 15, 16, 1000, 300_000) {
            my $answer = $client->get("/stream?n=$n&chunk=" . (1 + int $n / 7) . "&status=$status");
            is $answer->status, $status, "$n bytes under $status";
            is join(', ', $answer->all('Transfer-Encoding')), 'chunked', '… are chunked, once';
            is $answer->header('Content-Length'), undef, '… without Content-Length';
            ok $answer->body eq pattern($n), '… and are what was sent';
        }
    }
    in_step($client);
};

subtest 'RFC 9112 section 6.3: HTTP/1.0 gets such a body until the connection ends' => sub {
    for my $n (0, 1, 300_000) {
        my $client = $echo->client;
        $client->send(request("GET /stream?n=$n&chunk=1000 HTTP/1.0", 'Connection: keep-alive'));
        my ($bytes, $end) = rest($client);
        unlike $bytes, qr/^Transfer-Encoding|^Content-Length/mi, "$n bytes: not chunked, no length";
        like $bytes, qr/^Connection: close\r$/mi, '… and it says so';
        ok behind_head($bytes) eq pattern($n), '… and are what was sent';
        is $end, 'closed', '… with an orderly end';
    }
};

subtest 'RFC 9112 section 8: a cut body is never taken for whole' => sub {
    for my $n (1, 1000, 2 * MB) {
        for my $status (200, 201, 404) {
            my $client = $echo->client;
            $client->send(get("/abort?after=$n&status=$status") . get('/behind'));
            my ($bytes, $end) = rest($client);
            like $bytes, qr{^HTTP/1\.1 $status }, "chunked, cut behind $n bytes of a $status";
            unlike $bytes, qr/\r\n0\r\n\r\n/, '… has no last chunk';
            is scalar $echo->seen($client), 1, '… and nothing behind it is looked at';
        }
        for my $version ('1.0', '1.1') {
            my $client = $echo->client;
            $client->send(request("GET /abort?after=$n&length=3000000 HTTP/$version"));
            my ($bytes, $end) = rest($client);
            is $end, 'reset', "HTTP/$version with Content-Length, cut behind $n bytes: a reset";
            cmp_ok length(behind_head($bytes) // ''), '<=', $n, '… and no more than these bytes';
        }
        my $client = $echo->client;
        $client->send(request("GET /abort?after=$n HTTP/1.0"));
        is((rest($client))[1], 'reset', "HTTP/1.0 without a length, cut behind $n bytes: a reset");
    }
    for my $target ('/abort?after=0', '/abort?after=0&length=5') {
        my $client = $echo->client;
        $client->send(get($target));
        is((rest($client))[0], '', "$target: not a byte of an answer");
    }
    for my $target ('/short?length=100&send=99', '/short?length=100&send=101', '/short?length=100&send=0') {
        for my $chunk ('', '&chunk=10') {
            my $client = $echo->client;
            $client->send(get("$target$chunk"));
            my ($bytes, $end) = rest($client);
            is $end, 'reset', "$target$chunk: a reset";
            my $n = length(behind_head($bytes) // '');
            cmp_ok $n, '<=', 100, '… and not a byte more than was declared';
            cmp_ok $n, '<', 100, '… before the body could be whole' if $target !~ /101/;
        }
    }
    my $client = $echo->client;
    is $client->get('/short?length=100&send=100&chunk=30')->body, pattern(100), 'just what was declared is whole';
    in_step($client);
};

subtest 'RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5: HEAD, 204 and 304 have nothing behind the head' => sub {
    for my $row ([ GET => '/204', 204 ], [ GET => '/304', 304 ], [ HEAD => '/a', 200 ], [ HEAD => '/stream', 200 ],
        [ HEAD => '/stream?n=100000', 200 ], [ HEAD => '/204', 204 ], [ HEAD => '/short?length=100&send=100', 200 ])
    {
        my ($method, $target, $status) = @$row;
        my $client = $echo->client;
        $client->send(request("$method $target HTTP/1.1") . get('/in-step', 'Connection: close'));
        my ($bytes) = rest($client);
        like $bytes, qr{^HTTP/1\.1 $status }, "$method $target is $status";
        like behind_head($bytes), qr{^HTTP/1\.1 200 .*"/in-step"}s, '… and the next answer follows at once';
        my ($head) = $bytes =~ /(.*?)\r\n\r\n/s;
        unlike $head, qr/^(?:Content-Length|Transfer-Encoding)/mi, '… it tells of no body' if $status == 204;
    }
    my $client = $echo->client;
    my $length = $client->get('/a')->header('Content-Length');
    is $client->request('HEAD', '/a')->header('Content-Length'), $length + 1, 'HEAD tells the length that GET has';
};

subtest 'RFC 9110 section 10.1.1: 100 (Continue) is sent when the handler wants the body, and only then' => sub {
    my @expect = ('Content-Length: 5', 'Expect: 100-continue');
    for my $target ('/a', '/whole', '/slow?ms=10', '/late?ms=100') {
        my $client = $echo->client;
        $client->send(post($target, @expect));
        is $client->receive->status, 100, "$target wants it";
        $client->send('hello');
        is $client->receive->status, 200, '… and gets it';
        is_deeply [ $echo->seen($client) ], [qq(POST $target "hello")], '… whole';
        in_step($client);
    }

    my $client = $echo->client;
    $client->send(post('/a', 'Transfer-Encoding: chunked', 'Expect: 100-continue'));
    is $client->receive->status, 100, 'a chunked one is wanted as well';
    $client->send(chunked('hello') . chunked(''));
    is $client->receive->json->{body}, 'hello', '… and comes';
    in_step($client);

    $client = $echo->client;
    $client->send(post('/late?ms=200', @expect));
    ok !$client->readable(0.1), 'not before the handler wants it';
    is $client->receive->status, 100, '… but then';

    # Nobody can tell whether a body follows the final answer: so no request can.
    for my $row ([ '/nobody', 200, @expect ], [ '/a', 413, 'Content-Length: 2000000', 'Expect: 100-continue' ],
        [ '/204', 204, @expect ], [ '/stream?n=0', 200, 'Transfer-Encoding: chunked', 'Expect: 100-continue' ])
    {
        my ($target, $status, @fields) = @$row;
        $client = $echo->client;
        $client->send(post($target, @fields));
        my $answer = $client->receive;
        is $answer->status, $status, "$target: the final answer at once";
        is lc $answer->header('Connection'), 'close', '… which says that it is the last';
        $client->send(get('/behind'));
        ok $client->at_end, '… and is';
        is scalar grep({ /behind/ } $echo->seen($client)), 0, '… whatever comes then';
    }

    $client = $echo->client;
    $client->send(request('POST /a HTTP/1.0', @expect));
    ok !$client->readable(0.1), 'HTTP/1.0 knows no 100';
    $client->send('hello');
    is $client->receive->json->{body}, 'hello', '… and is answered';
};

subtest 'RFC 9112 section 9.6: who sends what nobody wants still gets to read the answer' => sub {
    my $big = 'x' x (5 * MB);
    for my $row (
        [ '413 for a length',         413, post('/a', 'Content-Length: ' . 5 * MB) . $big ],
        [ '413 for chunks',           413, post('/a', 'Transfer-Encoding: chunked') . chunked($big) . chunked('') ],
        [ '400 for a chunk',          400, post('/a', 'Transfer-Encoding: chunked') . 'x' . $big ],
        [ '400 for a field',          400, get('/a', "X\0: y") . $big ],
        [ '431',                      431, get('/a', "X: $big") ],
        [ 'chunks not wanted',        200, post('/nobody', 'Transfer-Encoding: chunked') . chunked($big) ],
        [ 'Connection: close',        200, get('/a', 'Connection: close') . $big ],
    ) {
        my ($name, $status, $bytes) = @$row;
        my $client = $echo->client;
        ok eval { $client->send($bytes) }, "$name: all can be sent" or diag $@;
        my $answer = eval { $client->receive };
        is defined $answer ? $answer->status : $@, $status, '… the answer can be read';
        ok $client->at_end, '… and then it is closed';
    }
    in_step($echo->client, 'others are served');
};

subtest 'RFC 9112 section 9.6: who sends more behind a last request gets its answer' => sub {
    for my $options ({}, { io_uring => 'off' }) {
        my $server = Hayfork::Test::Echo->start(%$options);
        my %seen;
        for my $n (1 .. 2000) {
            my $client = $server->client;
            my $begun  = time;
            $client->send(get("/late?ms=8&n=$n", 'Connection: close'));
            $client->send('more');
            my $was_there_before_the_answer = time - $begun < 0.005;
            my ($bytes, $end) = rest($client);
            next unless $was_there_before_the_answer;
            my $answered = (behind_head($bytes) // '') =~ m{"/late\?ms=8&n=$n"};
            last if ++$seen{ ($answered ? 'answered, ' : 'not answered, ') . $end } == 40;
        }
        is_deeply \%seen, { 'answered, closed' => 40 }, join ' ', %$options, 'all are answered, and none is reset';
    }
};

subtest 'a small body that is not wanted does not cost the connection, a big one does' => sub {
    my $roomy  = Hayfork::Test::Echo->start('limits.body' => '16M');
    my $client = $roomy->client;
    my $body   = 'x' x 60_000;
    for my $field ('Content-Length: 60000', 'Transfer-Encoding: chunked') {
        $client->send(post('/nobody', $field));
        is $client->receive->header('Connection'), undef, "$field: it stays";
        $client->send($field =~ /chunked/ ? chunked($body) . chunked('') : $body);
        in_step($client);
    }
    $client->send(post('/nobody', 'Content-Length: 9000000') . get('/in-the-body') x 100);
    is lc $client->receive->header('Connection'), 'close', 'Content-Length: 9000000: it does not';
    ok $client->at_end, '… and is closed';
    is_deeply [ grep { /in-the-body/ } $roomy->seen($client) ], [], '… and no request is found in that body';
};

subtest 'RFC 9112 section 9.3.2: pipelined requests are answered in order' => sub {
    my $client = $echo->client;
    my (@targets, $bytes);
    for my $n (1 .. 300) {
        my $target = $n % 50 == 0 ? "/late?ms=5&n=$n" : $n % 7 == 0 ? "/whole?n=$n" : "/a?n=$n";
        push @targets, $target;
        $bytes .= $n % 3 == 0 ? post($target, 'Content-Length: 3') . 'abc'
          : $n % 3 == 1 ? post($target, 'Transfer-Encoding: chunked') . chunked("$n") . chunked('')
          :               get($target);
    }
    $client->send($bytes);
    is join(' ', map { $client->receive->json->{path} } @targets), "@targets", '300 of all kinds';
    in_step($client);

    # more than a buffer may hold after one that waits
    my $n = 4000;
    $client->send(get('/slow?ms=100') . join '', map { get("/a?$_") } 1 .. $n);
    ok $client->receive->json->{slow}, 'a slow one';
    my @wrong = grep { $client->receive->json->{path} ne "/a?$_" } 1 .. $n;
    is "@wrong", '', "… and $n behind it";
};

subtest 'a client that has closed its side gets its answers' => sub {
    my $chunks = chunked('hello') . chunked('');
    for my $row (
        [ 'a request',                     1, get('/a') ],
        [ 'ten requests',                  10, get('/a') x 10 ],
        [ 'a body',                        1, post('/a', 'Content-Length: 5') . 'hello' ],
        [ 'chunks',                        1, post('/a', 'Transfer-Encoding: chunked') . $chunks ],
        [ 'an answer that takes a moment', 1, get('/slow?ms=200') ],
        [ 'a body that is read late',      1, post('/late?ms=200', 'Content-Length: 5') . 'hello' ],
        [ 'chunks that are read late',     1, post('/late?ms=200', 'Transfer-Encoding: chunked') . $chunks ],
        [ 'a long answer',                 1, get('/stream?n=3000000') ],
        [ 'a body that is not wanted',     1, post('/nobody', 'Content-Length: 5') . 'hello' ],
        [ 'HTTP/1.0',                      1, request('GET /a HTTP/1.0') ],
    ) {
        my ($name, $n, $bytes) = @$row;
        my $client = $echo->client;
        $client->send($bytes);
        $client->end_sending;
        my @answers = eval { map { $client->receive->status } 1 .. $n };
        is $@ || "@answers", join(' ', (200) x $n), $name;
        ok eval { $client->at_end }, '… and the connection is closed';
    }

    # It takes its time to read a long one: that it has closed its side does not mean that it is gone.
    my $n = 20 * MB;
    my @rows = (
        [ 'chunked',                      get("/stream?n=$n") ],
        [ 'HTTP/1.0',                     request("GET /stream?n=$n HTTP/1.0") ],
        [ 'chunked, body not wanted',     post("/stream?n=$n", 'Content-Length: 5') . 'hello' ],
        [ 'HTTP/1.0, body not wanted',    request("POST /stream?n=$n HTTP/1.0", 'Content-Length: 5') . 'hello' ],
    );
    my @clients = map { $echo->client->send($_->[1])->end_sending } @rows;
    sleep 1.5;
    for my $i (0 .. $#rows) {
        my ($bytes, $end) = rest($clients[$i]);
        my $is_whole = $bytes =~ /^Transfer-Encoding: chunked\r$/m ? "\r\n0\r\n\r\n" eq substr $bytes, -7
          : $n == length behind_head($bytes);
        is $end, 'closed', "20 MB that it does not hurry to read, $rows[$i][0]";
        ok $is_whole, '… are whole' or diag length($bytes) . ' bytes came';
    }
};

subtest 'a client that leaves is noticed while its request waits' => sub {
    my @stays;    # "stops sending" is not "closes"
    my %leave = (
        'closes'              => sub ($client) { $client->close },
        'resets'              => sub ($client) { $client->close('reset') },
        'stops sending'       => sub ($client) { $client->end_sending },
    );
    my %name;    # target => what its client does
    for my $how (sort keys %leave) {
        for my $more ('', get('/behind')) {
            my $target = '/slow?ms=60000&' . keys %name;
            my $client = $echo->client;
            $name{$target} = "it $how" . ($more eq '' ? '' : ', and has sent another request before');
            $client->send(get($target));
            wait_for('the request to be seen', sub { $echo->seen($client) });
            $client->send($more);
            $leave{$how}->($client);
            push @stays, $client;
        }
    }
    ok gone($_), $name{$_} for sort keys %name;
    my $cpu = cpu_time($echo->pid);
    sleep 0.5;
    cmp_ok cpu_time($echo->pid) - $cpu, '<', 0.25, 'and nothing spins';
    in_step($echo->client, 'others are served');
};

subtest 'a body is cut off: its handler is told, by the end of its request' => sub {
    for my $part ('hel', "5\r\nhel", "3\r\nhel\r\n0\r\n") {
        my $field  = $part eq 'hel' ? 'Content-Length: 5' : 'Transfer-Encoding: chunked';
        my $client = $echo->client;
        $client->send(post('/a', $field) . $part);
        $client->end_sending;
        is((rest($client))[0], '', "$field: no answer");
        is_deeply [ $echo->seen($client) ], ['POST /a "hel" broken gone'], '… and no whole body';

        $client = $echo->client;
        $client->send(post('/late?ms=50', $field) . $part);
        $client->end_sending;
        rest($client);
        like join(', ', $echo->seen($client)), qr{^POST /late\?ms=50 "hel" broken (?:gone|400)$}, '… nor read late';
    }
};

subtest 'a handler may pause at any byte' => sub {
    for my $field ('Content-Length: 6', 'Transfer-Encoding: chunked') {
        my $client = $echo->client;
        my $body   = $field =~ /Length/ ? 'abcdef' : chunked('abc') . chunked('d') . chunked('ef') . chunked('');
        my $target = '/late?ms=1&pause=1&every=1';
        $client->send(post($target, $field) . $body . get('/behind'));
        is $client->receive->json->{body}, 'abcdef', "$field, in one piece";
        is $client->receive->json->{path}, '/behind', '… and what is behind it';
        $client->send(post($target, $field));
        $client->send($_) && sleep 0.003 for split //, $body;
        is $client->receive->json->{body}, 'abcdef', '… byte by byte';
        in_step($client);
    }
};

subtest 'the last request of a connection' => sub {
    my $few    = Hayfork::Test::Echo->start('limits.requests' => 3);
    my $client = $few->client;
    $client->send(join '', map { get("/$_") } 1 .. 5);
    is_deeply [ map { lc($client->receive->header('Connection') // '') } 1 .. 3 ], [ '', '', 'close' ], 'says so';
    ok $client->at_end, 'and is the last';
    is_deeply [ $few->seen($client) ], [ 'GET /1', 'GET /2', 'GET /3' ], 'nothing behind it is looked at';
    is $few->stop, 'exit 0';
};

# What is sent to a handler that does not read, or by one whose client does not, waits with its sender.
subtest 'back-pressure: 300 MB do not move into memory' => sub {
    my $flood  = Hayfork::Test::Echo->start('limits.body' => '1G', 'limits.body_time' => '1m');
    my $total  = 300 * MB;
    my $piece  = chunked('x' x (256 * 1024));
    my $n      = $total / (256 * 1024);
    my $before = $flood->memory;
    my $most   = 0;

    my $client = $flood->client;
    $client->{socket}->blocking(0);
    $client->send(post('/late?ms=1000&pause=50&every=' . 50 * MB, 'Transfer-Encoding: chunked'));
    my ($sent, $at, $waited) = (0, 0, 0);
    my $deadline = time + 60;
    while ($sent < $n && time < $deadline) {
        my $done = syswrite $client->{socket}, $piece, length($piece) - $at, $at;
        if (!defined $done) {
            sleep 0.01;
            $waited++;
        } elsif (($at += $done) == length $piece) {
            ($sent, $at) = ($sent + 1, 0);
        }
        next if $sent % 50;
        my $now = $flood->memory;
        $most = $now if $now > $most;
    }
    $client->{socket}->blocking(1);
    $client->send(chunked(''));
    is $client->receive->json->{length}, $total, 'a body of 300 MB arrives';
    cmp_ok $waited, '>', 20, '… its sender had to wait';
    cmp_ok $most - $before, '<', 10 * MB, '… and it is nowhere as a whole';

    $client->send(get("/stream?n=$total"));
    sleep 0.5;
    cmp_ok $flood->memory - $before, '<', 10 * MB, 'an answer of 300 MB that is not read waits with its handler';
    $client->close('reset');
    in_step($flood->client, 'others are served');
    is $flood->stop, 'exit 0';
    is $flood->log, '', 'without a complaint';
};

subtest 'RFC 9112 section 8: nor is an answer taken for whole that the end of the server cuts' => sub {
    my @rows = (
        [ 'HTTP/1.0', 'reset', request('GET /stream?n=100000000 HTTP/1.0') ],
        [ 'Content-Length', 'reset', get('/short?length=100000000&send=100000000') ],
        [ 'chunked', 'closed', get('/stream?n=100000000') ],
    );
    my @clients = map { $echo->client->send($_->[2]) } @rows;
    $_->readable(10) for @clients;
    is $echo->stop, 'exit 0', 'echo ends';
    for my $i (0 .. $#rows) {
        my ($bytes, $end) = rest($clients[$i]);
        is $end, $rows[$i][1], $rows[$i][0];
        unlike $bytes, qr/\r\n0\r\n\r\n/, '… has no last chunk';
    }
};

is $echo->log, '', 'without a complaint';
done_testing;
