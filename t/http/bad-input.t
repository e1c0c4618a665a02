# Requests that are wrong: each gets a problem that says what is wrong with it, the log stays silent, and
# no other request notices.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster->load_contacts;
my $server  = sample_server($cluster);
my $client  = $server->client;

# Runs a block during which the log must stay silent, and good requests on the same connection be answered.
sub without_noise ($name, $do)
{
    return subtest $name => sub {
        quiet $server, 'nothing is logged', $do;
        is $client->get('/contacts/1')->json->{id}, 1, 'the next request on the connection is fine';
    };
}

without_noise 'an id that is no integer is 400, with the parameter named' => sub {
    for my $id ('abc', '1x', '1.5', '1e3', '0x', '--1', '-', '99999999999', '-99999999999', '2147483648', '9' x 5000,
        '1;', "1'", '%27', '1%20OR%201=1', '1--', '%EF%BC%91', 'NaN', 'null', '%7Bid%7D') {
        my $label = length $id > 20 ? substr($id, 0, 20) . '…' : $id;
        problem_is $client->get("/contacts/$id"), 400, { parameter => 'id' }, "/contacts/$label";
    }
};

without_noise 'an id that is percent-encoded wrongly is 400, with the parameter named' => sub {
    for my $id ('%', '1%', '%3', '%zz', '%0', '1%00', '%00', '%2f', '1%2F', '%ff', '%C3', '%ED%A0%80', '%F4%90%80%80') {
        problem_is $client->get("/contacts/$id"), 400, { parameter => 'id' }, "/contacts/$id";
    }
};

without_noise 'what PostgreSQL takes for an integer is one, what it refuses is none' => sub {
    for my $id ('1', '01', '+1', '-1', '-0', ' - 1', '1 1', '2147483647', '-2147483648', '+', '+-1', ' ') {
        my $status = eval { $cluster->value("SELECT '$id'::int") } // 'none';
        my $path   = '/contacts/' . $id =~ s/([^0-9])/sprintf '%%%02X', ord $1/ger;
        my $wanted = $status eq 'none' ? 400 : $status == 1 ? 200 : 404;
        is $client->get($path)->status, $wanted, "$path is $wanted";
    }
};

without_noise 'blanks around an integer are part of no integer in a URL' => sub {
    problem_is $client->get("/contacts/$_"), 400, { parameter => 'id' }, "/contacts/$_" for qw(%201 1%20 %091 1%0A);
};

without_noise 'a contact that is not there is 404' => sub {
    problem_is $client->get("/contacts/$_"), 404, {}, "/contacts/$_" for qw(0 -1 10001 2147483647);
};

without_noise 'a path that is not there is 404' => sub {
    for my $path (
        qw(/contacts/ /contacts/1/ //contacts/1 /contacts//1 // /nowhere /contact /contactsx /Contacts/1 /v1 /v1/
        /v1/avatar /v1/avatar/ /v1/avatars /contacts/1/2 /./contacts/1 /contacts/./1 /contacts/../contacts/1 /contacts/1/..
        /%63ontacts/1 /contacts%2F1 /contacts;a=b /v1%2favatar)
      ) {
        problem_is $client->get($path), 404, {}, $path;
    }
};

# The paths and the methods that they have.
my %ALLOW = (
    '/'                   => 'GET, HEAD, OPTIONS',
    '/contacts'           => 'GET, HEAD, POST, OPTIONS',
    '/contacts/1'         => 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS',
    '/contacts/abc'       => 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS',
    '/contacts/1/calls'   => 'GET, HEAD, POST, OPTIONS',
    '/contacts/1/merge'   => 'POST, OPTIONS',
    '/contacts/1/profile' => 'GET, HEAD, PATCH, OPTIONS',
);

without_noise 'a method that is not there is 405, or 501 if it is nowhere, with those that are in Allow' => sub {
    for my $path (sort keys %ALLOW) {
        for my $method (grep { $ALLOW{$path} !~ /\b$_\b/ } qw(GET HEAD POST PUT PATCH DELETE BREW get)) {
            my $response = $client->request($method, $path);
            my $status   = $method eq 'BREW' || $method eq 'get' ? 501 : 405;
            $method eq 'HEAD' ? is $response->status, 405, "HEAD $path" : problem_is $response, $status, {}, "$method $path";
            header_is $response, 'Allow', $ALLOW{$path};
        }
    }
    problem_is $client->request('POST', '/nowhere'), 404, {}, 'but on a path that is not there it is 404';
};

without_noise 'OPTIONS tells the methods' => sub {
    for my $path (sort keys %ALLOW) {
        my $response = $client->request('OPTIONS', $path);
        is $response->status, 204, "OPTIONS $path";
        header_is $response, 'Allow', $ALLOW{$path};
    }
};

without_noise 'what is wrong in the query string is 400, with the parameter named' => sub {
    for (
        [ '/contacts?limit=abc',               'limit' ],
        [ '/contacts?limit=99999999999999999999', 'limit' ],
        [ '/contacts?after=1.5',               'after' ],
        [ '/contacts?after=%zz',               'after' ],
        [ '/contacts?after=%00',               'after' ],
        [ '/contacts?after=%ff',               'after' ],
        [ '/contacts?limit=1&limit=2',         'limit' ],
        [ '/contacts?nothing=1',               'nothing' ],
        [ '/contacts?limit=-1',               'limit' ],
        [ '/contacts?limit=1&sort=id',         'sort' ],
        [ '/contacts?LIMIT=1',                 'LIMIT' ],
        [ '/contacts/1?id=2',                  'id' ],
        [ '/contacts/1?x',                     'x' ],
      ) {
        my ($target, $parameter) = @$_;
        problem_is $client->get($target), 400, { parameter => $parameter }, $target;
    }
};

without_noise 'wrong requests between right ones, all in one packet' => sub {
    my @targets = map { ("/contacts/$_", ('/contacts/abc', '/nowhere', '/contacts?x=1')[ $_ % 3 ]) } 1 .. 50;
    $client->send(join '', map { Hayfork::Test::Client::request_text('GET', $_) } @targets);
    my @wrong;
    for my $target (@targets) {
        my $response = $client->receive;
        my $right    = $target =~ m{^/contacts/(\d+)$} ? qr/^200 \{"id":$1,/ : qr/^40[04] \{"type":"about:blank"/;
        push @wrong, "$target: " . $response->status if ($response->status . ' ' . $response->body) !~ $right;
    }
    is "@wrong", '', 'each got its own answer';
};

without_noise 'a body of 1 MiB is taken, a longer one is 413' => sub {
    is $client->request('POST', '/contacts/1', body => 'x' x 1_048_576)->status, 405, '1048576 bytes';

    # The body is announced, not sent: a server that closes while bytes come in may take its answer along.
    my $other = $server->client;
    $other->send("POST /contacts/1 HTTP/1.1\r\nHost: test\r\nContent-Length: 1048577\r\n\r\n");
    is $other->receive->status, 413, '1048577 bytes';
};

without_noise 'what is not HTTP is refused or cut off' => sub {
    for my $bytes ("\r\n\r\n\r\n", "hello\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "\0" x 100,
        "GET / HTTP/1.1\r\nHost: test\r\n" . "X: " . 'x' x 1_000_000 . "\r\n\r\n") {
        my $other = $server->client;
        eval { $other->send($bytes)->end_sending };    # the server may have closed already
        like $other->rest, qr{^(?:HTTP/1\.1 [45]\d\d |\z)}, Hayfork::Test::Response::excerpt(substr $bytes, 0, 20);
    }
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;
