# What bounds a client: how much it may send, in which time, how often, and what it gets to hear.
use v5.36;

use Hayfork::Test;

use List::Util  qw(min sum);
use Time::HiRes qw(sleep);

use Hayfork::Test::Process qw(wait_for cpu_time stop_process);

# A server that needs no database, with one worker and these limits.
sub start ($limits = '', %with)
{
    return server(<<~CONF, %with);
        workers: 1
        limits: { $limits }
        routes:
          GET /:
            text: "hello\\n"
          GET /long:
            text: "${\ ('long ' x 100_000) }"
          GET /some:
            text: "${\ ('some ' x 3_000) }"
        CONF
}

# The answer is a problem after which the connection closes, and nothing that follows is a request.
sub refused_is ($client, $status, $name)
{
    my $response = $client->receive;
    problem_is $response, $status, {}, $name;
    header_is $response, Connection => 'close', '… the last answer here';
    ok $client->at_end, '… and the connection is closed';
    return $client->close;
}

# A head of so many bytes.
sub head ($bytes, $target = '/')
{
    my $head = "GET $target HTTP/1.1\r\nHost: test\r\nX-Filler: %s\r\n\r\n";
    return sprintf $head, 'x' x ($bytes + 2 - length $head);
}

my $NEXT = "GET /next HTTP/1.1\r\nHost: test\r\n\r\n";

subtest 'limits.head: bytes of the head' => sub {
    my $server = start('head: 1K');
    my $client = $server->client->send(head(1024));
    is $client->receive->status, 200, 'as many as there may be';
    $client->send($_) for split //, head(1024);
    is $client->receive->status, 200, '… also one by one';

    refused_is($server->client->send(head(1025) . $NEXT), 431, 'one more');
    refused_is($server->client->send("GET / HTTP/1.1\r\nX-Filler: " . 'x' x 1024), 431, 'no end of a field');
    refused_is($server->client->send("GET / HTTP/1.1\r\n" . "a:\r\n" x 1000), 431, 'no end of fields');
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.target: bytes of the request target' => sub {
    my $server = start('target: 64');
    my $target = '/?' . 'x' x 62;
    is $server->get($target)->status, 200, 'as many as there may be';
    refused_is($server->client->send("GET ${target}x HTTP/1.1\r\nHost: test\r\n\r\n$NEXT"), 414, 'one more');
    refused_is($server->client->send('GET /' . 'x' x 100), 414, 'no end of it');
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.fields: fields of the head' => sub {
    my $server = start('fields: 8');
    my $fields = join '', map { "X-$_: x\r\n" } 1 .. 7;
    my $client = $server->client->send("GET / HTTP/1.1\r\nHost: test\r\n$fields\r\n");
    is $client->receive->status, 200, 'as many as there may be';
    refused_is($server->client->send("GET / HTTP/1.1\r\nHost: test\r\n${fields}X: x\r\n\r\n"), 431, 'one more');
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.body: bytes of the body' => sub {
    my $server = start('body: 100K');
    my $client = $server->client;
    is $client->request('GET', '/', body => 'x' x 102_400)->status, 200, 'as many as there may be';
    my $head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 102401\r\n";
    refused_is($server->client->send("$head\r\n" . 'x' x 102_401), 413, 'one more');
    refused_is($server->client->send("$head\r\n"),                 413, '… is refused before it comes');
    refused_is($server->client->send("${head}Expect: 100-continue\r\n\r\n"), 413, '… and not asked for');
    is $server->stop, 'exit 0', 'it ends well';

    $server = start('body: 0');
    is $server->request('GET', '/', body => '')->status, 200, 'where there may be none, an empty one is none';
    refused_is($server->client->ask('GET', '/', body => 'x'), 413, '… one byte');
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.body: a body of unknown length' => sub {
    my $echo = Hayfork::Test::Echo->start('limits.body' => '100K');
    my $head = "POST /whole HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    my $k    = "400\r\n" . 'x' x 1024 . "\r\n";
    my $client = $echo->client->send($head . $k x 100 . "0\r\n\r\n");
    is $client->receive->json->{length}, 102_400, 'as many bytes as there may be';

    $client = $echo->client->send($head . $k x 100 . "1\r\nx\r\n0\r\n\r\n$NEXT");
    my $response = $client->receive;
    is $response->status, 413, 'one more';
    header_is $response, Connection => 'close', '… the last answer here';
    ok $client->at_end, '… and the connection is closed';

    $client = $echo->client->send($head . $k x 1000);
    is $client->receive->status, 413, 'no end of it';
    ok $client->at_end, '… and the connection is closed';
    is scalar(grep { $_->{path} eq '/next' } $echo->seen_by_all), 0, 'what follows is no request';
    is $echo->stop, 'exit 0', 'it ends well';
};

subtest 'limits.head_time: from the first byte of the head to its last' => sub {
    my $server = start('head_time: 500ms');
    my $client = $server->client;
    is $client->get('/')->status, 200, 'a request';
    sleep 1;
    is $client->get('/')->status, 200, 'time before the first byte does not count';
    refused_is($client->send("GET / HTTP/1.1\r\nHost: te"), 408, 'it stays away');
    refused_is($server->client->send("\r\n"),               408, 'nothing but an empty line comes');

    my $pipelining = $server->client->send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /");
    is $pipelining->receive->status, 200, 'what came before it is answered';
    refused_is($pipelining, 408, 'it stays away behind another');
    ok $server->client->at_end, 'a client that sends nothing at all gets no answer';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.body_time and limits.body_rate: time for the body' => sub {
    my $echo = Hayfork::Test::Echo->start('limits.body_time' => '1s', 'limits.body_rate' => 100);
    my $head = "POST /whole HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n";
    my $fast = $echo->client->send($head);
    my $slow = $echo->client->send($head);
    for (1 .. 10) {
        $fast->send('x' x 1000);
        $slow->send('x');
        sleep 0.25;
    }
    is $fast->receive->json->{length}, 10_000, 'one that comes at the rate may take longer';
    my $response = $slow->receive;
    is $response->status, 408, 'one that comes slower may not';
    header_is $response, Connection => 'close', '… the last answer here';
    ok $slow->at_end, '… and the connection is closed';

    my $late = $echo->client->send("POST /late?ms=2500 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
    is $late->receive->json->{body}, 'abc', 'time that the handler takes does not count';
    is $echo->stop, 'exit 0', 'it ends well';
};

subtest 'limits.idle: time between requests' => sub {
    my $server = start('idle: 300ms');
    my $client = $server->client;
    is $client->get('/')->status, 200, 'a request';
    sleep 0.1;
    is $client->get('/')->status, 200, 'a short break';
    ok $client->at_end, 'a long one ends the connection, without a word';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.stall: time for taking the answer' => sub {
    my $server = start('stall: 1s, idle: 300ms');
    my $client = $server->client;
    $client->receive_buffer(4096);
    $client->ask('GET', '/long');
    sleep 3;
    my $taken = eval { $client->receive; 'all' } // $@;
    like $taken, qr/reset/, 'who takes nothing of it is cut off, and told so by a reset';

    $client = $server->client;
    $client->receive_buffer(4096);
    $client->ask('GET', '/some', headers => { $_ == 8 ? (Connection => 'close') : () }) for 1 .. 8;
    sleep 3;
    $taken = eval { $client->receive for 1 .. 8; 'all' } // $@;
    like $taken, qr/reset/, '… also of many answers, of which the last one is short';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.requests: requests on one connection' => sub {
    my $server = start('requests: 3');
    my $client = $server->client;
    $client->ask('GET', $_) for '/', '/nowhere', '/', '/', '/';
    my @answers = map { $client->receive } 1 .. 3;
    is join(' ', map { $_->status } @answers), '200 404 200', 'as many as there may be';
    is join(' ', map { $_->header('Connection') // '-' } @answers), '- - close', '… and the last one says so';
    ok $client->at_end, 'no other one is answered';
    $client->close;
    is $server->get('/')->status, 200, 'but on a new connection';
    is $server->stop, 'exit 0', 'it ends well';

    $server = start('requests: 1');
    header_is $server->get('/'), Connection => 'close', 'the first one is the last';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'limits.drain: the end' => sub {
    my $server = start('drain: 60s');
    my ($early, $late, $idle, $half) = map { $server->client } 1 .. 4;
    is $_->get('/')->status, 200, 'a request' for $early, $late, $idle, $half;
    $half->send("GET / HTTP/1.1\r\n");
    $server->signal('TERM');
    my $last = wait_for('an answer that closes', sub {
        my $response = $early->get('/');
        return defined $response->header('Connection') && $response;
    });
    header_is $last, Connection => 'close', 'the next answer is the last one of its connection';
    ok $early->at_end, '… which closes';
    $early->close;
    header_is $late->get('/'), Connection => 'close', 'a client that comes within a second is served';
    $late->close;
    ok $idle->at_end, 'one that does not is closed';
    $half->send("Host: test\r\n\r\n");
    is $half->receive->status, 200, 'one that was sending its request is served';
    $half->close;
    is $server->end, 'exit 0', 'then all are gone, long before the limit';
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';

    $server = start('drain: 1500ms');
    my $stalled = $server->client;
    $stalled->receive_buffer(4096);
    $stalled->ask('GET', '/long')->fill;
    my $never = $server->client;
    is $never->get('/')->status, 200, 'a client that is known to be in';
    $never->send("GET / HTTP/1.1\r\n");
    is $server->stop, 'exit 0', 'nobody is waited for beyond the limit';
    is scalar $server->log_lines(qr/ warn .*cut off.*drain limit/), 1, '… and the log says so';
};

subtest 'server: what the Server field says' => sub {
    for ([ undef, 'hayfork' ], [ 'contacts/2.1 (test)', 'contacts/2.1 (test)' ], [ '""', undef ]) {
        my ($value, $expected) = @$_;
        my $server = start('', options => { defined $value ? (server => $value) : () });
        header_is $server->get('/'), Server => $expected;
        header_is $server->get('/nowhere'), Server => $expected, '… of an error';
        header_is $server->client->send(head(20_000))->receive, Server => $expected, '… of a refusal';
        is $server->stop, 'exit 0', 'it ends well';
    }
};

# Many clients send 60 requests each, and another one sends one after the other: all of the former are there when the
# only worker comes to read. Returns how many of them were answered by the time of the other's third,
# and how many of the client with the fewest.
sub answered_before_another ($server, $clients)
{
    my ($worker) = $server->workers;
    my $other    = $server->client;
    $_->get('/') for $other, @$clients;    # all are accepted then
    stop_process($worker);
    $_->send("GET / HTTP/1.1\r\nHost: test\r\n\r\n" x 60) for @$clients;
    $other->ask('GET', '/');
    kill 'CONT', $worker;
    is $other->receive->status,  200, 'another client is answered';
    is $other->get('/')->status, 200, '… and again' for 1 .. 2;
    stop_process($worker);
    my @answered = map { scalar(() = $_->waiting =~ m{^HTTP/1\.1 200 }gm) } @$clients;
    kill 'CONT', $worker;
    return (sum(@answered), min(@answered));
}

for my $io_uring (qw(on off)) {
    subtest "who sends many requests at once keeps nobody else waiting (io_uring: $io_uring)" => sub {
        my $server  = start('requests: unlimited', options => { io_uring => $io_uring });
        my @clients = map { $server->client } 1 .. 200;
        my ($answered, $least, $wrong) = (12_000, 0, 0);
        for (1 .. 5) {    # the other client may not get a processor for that long
            ($answered, $least) = answered_before_another($server, \@clients);
            $wrong += grep { $_->receive->status != 200 } (@clients) x 60;
            last if $answered < 6_000;
        }
        cmp_ok $answered, '<', 6_000, "$answered of the 12,000 had been answered by then";
        cmp_ok $least, '>=', 2, 'of each client something, and then more';
        is $wrong, 0, 'all are answered in the end';

        $_->send("GET / HTTP/1.1\r\nHost: test\r\n\r\n" x 60)->end_sending for @clients;
        $wrong = grep { $_->receive->status != 200 } (@clients) x 60;
        is $wrong, 0, '… also those of clients that have closed their side';
        is scalar(grep { !$_->at_end } @clients), 0, '… whose connections are closed then';
        is $server->stop, 'exit 0', 'it ends well';
    };
}

subtest 'more clients than a process may have files open' => sub {
    my $server   = start('clients: 10000', under => [qw(prlimit --nofile=48:48)]);
    my ($worker) = $server->workers;
    is scalar $server->log_lines(qr/ warn master.*limits\.clients is 10000.*48 files.*LimitNOFILE/), 1,
      'the log tells at the start';

    my @clients = map { $server->client->ask('GET', '/') } 1 .. 60;
    wait_for('the last descriptor to be taken', sub { $server->log_lines(qr/ warn worker .*Too many open files/) });
    my $busy = cpu_time($worker);
    sleep 2;
    cmp_ok cpu_time($worker) - $busy, '<', 0.5, 'that does not keep the worker busy';
    my @served  = grep { $_->readable(0) } @clients;
    my @waiting = grep { !$_->readable(0) } @clients;
    cmp_ok scalar @served,  '>=', 20, scalar(@served) . ' are served';
    cmp_ok scalar @waiting, '>=', 12, scalar(@waiting) . ' wait';
    is scalar $server->log_lines(qr/ warn worker .*Too many open files/), 1, 'the log tells once';

    is $_->receive->status, 200, 'served' for @served;
    is $_->get('/')->status, 200, '… and again' for @served;
    $_->close for splice @served, 0, 5;
    wait_for('five others to get in', sub { 5 == grep { $_->readable(0) } @waiting });
    $_->close for @served;
    is $_->receive->status, 200, 'in the end all are served' for @waiting;
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
