# HTTP/1.1 as clients see it: HEAD, connections that stay open, pipelined requests, and nothing of HTTP/2.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster->load_contacts;
my $server  = sample_server($cluster);

subtest 'HEAD has the head of GET and no body' => sub {
    my $client = $server->client;
    for my $target (qw(/ /contacts/1 /contacts?limit=3 /contacts/abc /contacts/0 /nowhere)) {
        my $get  = $client->get($target);
        my $head = $client->request('HEAD', $target);
        is $head->status, $get->status, "HEAD $target: status";
        is_deeply [ $head->names ], [ $get->names ], '… the same header fields';
        is $head->header($_), $get->header($_), "… the same $_" for qw(Content-Type Content-Length);
        is $client->get('/contacts/1')->status, 200, '… and the connection is in step';
    }
    is $client->request('HEAD', '/contacts')->status, 200, 'HEAD of the whole list';
    is $client->get('/contacts/1')->status, 200, '… and the connection is in step';
};

subtest 'a connection stays open for many requests' => sub {
    my $client = $server->client;
    my @wrong  = grep { $client->get("/contacts/$_")->json->{id} != $_ } 1 .. 200;
    is "@wrong", '', '200 requests on one connection';
};

subtest 'Connection: close closes it behind the answer' => sub {
    my $client   = $server->client;
    my $response = $client->get('/contacts/1', headers => { Connection => 'close' });
    is $response->status, 200;
    is lc($response->header('Connection') // ''), 'close', 'and the answer says so';
    ok $client->at_end, 'closed';
};

subtest 'an HTTP/1.0 client gets one answer' => sub {
    for my $target (qw(/ /contacts/1 /contacts /nowhere)) {
        my $client = $server->client;
        $client->send("GET $target HTTP/1.0\r\n\r\n");
        is $client->receive->status, $target eq '/nowhere' ? 404 : 200, $target;
        ok $client->at_end, '… and the connection is closed';
    }
};

subtest 'pipelined requests are answered in their order' => sub {
    my $client = $server->client;
    my @ids    = map { $_ * 37 } 1 .. 100;
    $client->ask('GET', "/contacts/$_") for @ids;
    is join(' ', map { $client->receive->json->{id} } @ids), "@ids", 'a hundred contacts';

    my @mixed = ('/', '/contacts/5', '/nowhere', '/contacts/5/profile', '/contacts/abc', '/contacts/6', '/contacts?limit=1');
    $client->send(join '', map { Hayfork::Test::Client::request_text('GET', $_) } @mixed, '/contacts/7');
    is join(' ', map { $client->receive->status } @mixed), '200 200 404 200 400 200 200', 'all kinds of routes';
    is $client->receive->json->{id}, 7, 'and one behind them';
};

subtest 'a request may come byte by byte' => sub {
    my $client = $server->client;
    $client->send($_) for split //, Hayfork::Test::Client::request_text('GET', '/contacts/8');
    is $client->receive->json->{id}, 8;
};

subtest 'a body that no route wants is read and dropped' => sub {
    my $client = $server->client;
    my $body   = 'x' x 1_000_000;
    is $client->request('GET', '/contacts/1', body => $body)->status, 200, 'with a GET';
    is $client->request('POST', '/contacts/1', body => $body)->status, 405, 'with a method that is not there';
    is $client->get('/contacts/9')->json->{id}, 9, 'and the connection is in step';
};

subtest 'HTTP/2 is not spoken' => sub {
    my $client = $server->client;
    $client->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . "\0\0\0\4\0\0\0\0\0");
    $client->end_sending;
    my $answer = $client->rest;
    like $answer, qr{^(?:HTTP/1\.1 [45]\d\d |\z)}, 'the preface of HTTP/2 gets an error or nothing';
    unlike $answer, qr{^...\x04}s, 'no SETTINGS frame';

    $client = $server->client;
    my $response = $client->get('/contacts/1',
        headers => { Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c', 'HTTP2-Settings' => 'AAMAAABkAAQAAP__' });
    is $response->status, 200, 'Upgrade: h2c is answered …';
    is $response->version, 'HTTP/1.1', '… in HTTP/1.1';
    is $response->json->{id}, 1, '… with the contact';
    is $response->header('Upgrade'), undef, '… and without an offer';
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;
