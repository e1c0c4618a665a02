# Relay routes: what another service answers is passed on, and only what belongs to the two of us is changed.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);
use Hayfork::Test::Upstream;

my $SHORTLY = 0.2;    # seconds, for what must not happen

my $OK = "HTTP/1.1 200 OK\r\n";
my $HI = "${OK}Content-Length: 2\r\n\r\nhi";

# A server of one worker with these routes, indented by two, and what else there is to say before them. Its time
# limits are long: nothing is decided by a clock here, except where that is what is tested.
sub relay ($routes, $more = '', %limits)
{
    %limits = (connect => '20s', deadline => '50s', %limits);
    my %option = map { ("limits.$_" => $limits{$_}) } keys %limits;
    return server("workers: 1\n${more}routes:\n$routes", options => \%option);
}

# What the upstream gets of a request that it answers, and the client of its answer.
my %peers;    # upstream => its connections

sub exchange ($client, $upstream, $request, $answer = $HI)
{
    my ($method) = $request =~ /^(\S+)/;
    $client->send($request);
    my ($peer, $seen) = $upstream->next_request(@{ $peers{$upstream} // [] });
    $peers{$upstream} = [$peer];
    $peer->send($answer);
    return ($seen, $client->receive($method));
}

# The same where only one of both is of interest.
sub seen_of ($client, $upstream, $request)
{
    my ($seen, $response) = exchange($client, $upstream, $request);
    $response->status == 200 or die 'the answer has status ' . $response->status;
    return $seen;
}

sub response_to ($client, $upstream, $answer, $method = 'GET')
{
    my (undef, $response) = exchange($client, $upstream, "$method /x HTTP/1.1\r\nHost: a\r\n\r\n", $answer);
    return $response;
}

# Both fields that hold the time are to look alike.
sub timeless ($json)
{
    return $json =~ s/\d{4}-\d\d-\d\dT[\d:.]+Z/TIME/gr;
}

subtest 'two services from the conf alone: /v1/user is /v1/avatar of the other' => sub {
    my $avatar = server(<<~CONF);
        workers: 1
        routes:
          GET /v1/avatar:
            json_file: $Hayfork::Test::TOP_SRCDIR/conf/avatar.json
            headers: { X-From: avatar, Location: /v1/avatar }
        CONF
    my $user = server(<<~CONF);
        workers: 2
        routes:
          GET /v1/user:
            relay: http://${\ $avatar->address }/v1/avatar
            headers: { Engine: Hayfork, Location: /v1/user }
        CONF
    my $direct  = $avatar->get('/v1/avatar');
    my $client  = $user->client;
    my $relayed = $client->get('/v1/user');
    is $relayed->status, 200, 'it is there';
    is timeless($relayed->body), timeless($direct->body), 'the same body';
    header_is $relayed, 'Content-Type',   'application/json';
    header_is $relayed, 'Content-Length', $direct->header('Content-Length');
    header_is $relayed, 'Engine',         'Hayfork';
    header_is $relayed, 'Location',       '/v1/user', 'a header of the upstream is replaced';
    header_is $relayed, 'X-From',         'avatar', 'another is passed on';
    is scalar $relayed->all('Server'), 1, 'one Server';
    is scalar $relayed->all('Date'),   1, 'one Date';

    my $head = $client->request('HEAD', '/v1/user');
    is $head->status, 200, 'HEAD';
    is_deeply [ $head->names ], [ $relayed->names ], '… has the same fields';
    header_is $head, 'Content-Length', $direct->header('Content-Length');

    my $load = $user->load(
        requests    => 2000,
        connections => 32,
        target      => sub ($n) { '/v1/user' },
        check       => sub ($n, $response) { timeless($response->body) eq timeless($direct->body) },
    );
    is $load->summary, '200: 2000, lost: 0', 'many at once';
    is_deeply [ $load->wrong ], [], '… all the same';
    is $avatar->stop, 'exit 0';
    problem_is $client->get('/v1/user'), 502, {}, 'without the other it is 502';
    is $user->stop, 'exit 0';
};

subtest 'a request as the upstream gets it' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          GET /x:
            relay: ${\ $upstream->url('/y') }
            forwarded: off
          POST /x:
            relay: ${\ $upstream->url('/y') }
            forwarded: off
        CONF
    my $client = $server->client;
    my $seen   = seen_of($client, $upstream, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    is $seen->method, 'GET', 'the method';
    is $seen->target, '/y',  'the path of the relay';
    is $seen->header('Host'), $upstream->address, 'Host is the upstream\'s';
    is_deeply [ grep { !/^(?:connection|host|via)$/ } $seen->names ], [qw(traceparent x-request-id)],
      'nothing that the client did not say, but ids';

    $seen = seen_of($client, $upstream, join "\r\n", 'GET /x HTTP/1.1', 'Host: a', 'Accept: a/b', 'accept: c/d',
        'Authorization: Basic eA==', 'Cookie: e=f; g="h"', 'X-Empty:', "X-Latin: \xe4", 'If-None-Match: "i"', 'Range: bytes=1-2', '', '');
    is_deeply [ $seen->all('Accept') ], [ 'a/b', 'c/d' ], 'a field that comes twice';
    is $seen->header('Authorization'), 'Basic eA==', 'Authorization';
    is $seen->header('Cookie'),        'e=f; g="h"', 'Cookie';
    is $seen->header('X-Empty'),       '',           'an empty field';
    is $seen->header('X-Latin'),       "\xe4",       'bytes beyond ASCII';
    is $seen->header('If-None-Match'), '"i"',        'a condition';
    is $seen->header('Range'),         'bytes=1-2',  'a range';

    $seen = seen_of($client, $upstream, join "\r\n", 'GET /x HTTP/1.1', 'Host: a', 'Connection: keep-alive, X-Mine, x-other',
        'X-Mine: 1', 'X-Other: 2', 'X-Kept: 3', 'Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive', 'TE: trailers',
        'Trailer: X', 'Proxy-Authorization: Basic eA==', '', '');
    is_deeply [ grep { /^(?:x-(?!request-id)|keep-alive|proxy|te$|trailer|upgrade)/ } $seen->names ], ['x-kept'], 'hop-by-hop fields are dropped';

    # Nobody can take the framing or the host away by naming them.
    $seen = seen_of($client, $upstream,
        "POST /x HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Host, Transfer-Encoding\r\nContent-Length: 2\r\n\r\nhi");
    is $seen->header('Host'), $upstream->address, 'Connection: Host';
    is $seen->body, 'hi', 'Connection: Content-Length';
    $seen = seen_of($client, $upstream,
        "POST /x HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    is $seen->body, 'hi', 'Connection: Transfer-Encoding';
    is $server->stop, 'exit 0';
};

subtest 'paths and queries' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          GET /own/{a}/{b}:
            relay: ${\ $upstream->url }
          GET /fixed:
            relay: ${\ $upstream->url('/y/z') }
          GET /root:
            relay: ${\ $upstream->url('/') }
          GET /users/{id}/files/{name}:
            relay: "${\ $upstream->url('/f/{name}/of/{id}') }"
          GET /asked:
            relay: "${\ $upstream->url('/y?k=v') }"
          GET /asked/{id}:
            relay: "${\ $upstream->url('/y?id={id}') }"
        CONF
    my $client = $server->client;
    for (
        [ '/fixed'                         => '/y/z' ],
        [ '/fixed?a=b'                     => '/y/z?a=b' ],
        [ '/fixed?'                        => qr{^/y/z\??$} ],
        [ '/fixed?a=%20+%zz&b[]=c&&d=?/:@' => '/y/z?a=%20+%zz&b[]=c&&d=?/:@' ],
        [ '/fixed?https://a/b?c'           => '/y/z?https://a/b?c' ],
        [ '/root?a'                        => '/?a' ],
        [ '/own/1/2'                       => '/own/1/2' ],
        [ '/own/%41%2F/%c3%a4?b'           => '/own/%41%2F/%c3%a4?b' ],
        [ '/users/7/files/a.txt'           => '/f/a.txt/of/7' ],
        [ '/users/7/files/a%2Fb%3Fc%20d'   => '/f/a%2Fb%3Fc%20d/of/7' ],
        [ '/users/%00/files/%0d%0aX:y'     => '/f/%0d%0aX:y/of/%00' ],
        [ '/asked'                         => '/y?k=v' ],
        [ '/asked?a=b'                     => '/y?k=v&a=b' ],
        [ '/asked/7?a=b'                   => '/y?id=7&a=b' ],
      ) {
        my ($asked, $expected) = @$_;
        my $target = seen_of($client, $upstream, "GET $asked HTTP/1.1\r\nHost: a\r\n\r\n")->target;
        ref $expected ? like $target, $expected, $asked : is $target, $expected, $asked;
    }
    # Routes compare a path as it stands; an upstream may resolve it, and leave what the relay was made for.
    for my $path ('/own/../x', '/own/x/..', '/own/./x', '/own/%2e%2e/x', '/own/.%2E/x', '/own/x/..%2f..', '/own/x/..%5C..') {
        problem_is $client->get($path), 400, {}, "$path leads elsewhere";
    }
    is seen_of($client, $upstream, "GET $_ HTTP/1.1\r\nHost: a\r\n\r\n")->target, $_, "$_ does not"
      for '/own/..x/y..', '/own/.../%2e.x', '/own/x/y?../..';

    # An absolute target has the same path.
    is seen_of($client, $upstream, "GET http://a/own/1/2?b HTTP/1.1\r\nHost: a\r\n\r\n")->target, '/own/1/2?b', 'an absolute target';
    is $server->stop, 'exit 0';
};

subtest 'methods and bodies' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my @methods  = qw(GET POST PUT PATCH DELETE);
    my $server   = relay(join('', map { "  $_ /x:\n    relay: ${\ $upstream->url('/y') }\n" } @methods), '', body => '1M');
    my $client   = $server->client;
    for my $method (@methods) {
        my $seen = seen_of($client, $upstream, "$method /x HTTP/1.1\r\nHost: a\r\n\r\n");
        is $seen->method, $method, "$method";
        is $seen->header('Content-Length') // 0, 0, '… without a body';
        is $seen->header('Transfer-Encoding'), undef, '… nor a coding';
        next if $method eq 'GET';

        my $body = "\0\r\n\r\n\xff" . 'x' x 1000;
        my $size = length $body;
        $seen = seen_of($client, $upstream, "$method /x HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Length: $size\r\n\r\n$body");
        is $seen->body, $body, '… with a body';
        is $seen->header('Content-Length'), $size, '… of that length';
        is $seen->header('Content-Type'),   'a/b', '… and type';

        $seen = seen_of($client, $upstream,
            "$method /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n");
        is $seen->body, 'abcde', '… with a chunked one';
        is $seen->header('X'), undef, '… without its trailer';
    }
    my $seen = seen_of($client, $upstream, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    is $seen->header('Content-Length'), 0, 'an empty body has a length';

    # A GET may have one, too; ours is allowed to refuse it, but not to leave it in the way.
    $client->send("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /z HTTP/1.1\r\nHost: a\r\n\r\n");
    if (!$client->readable($SHORTLY)) {
        my ($peer, $request) = $upstream->next_request(@{ $peers{$upstream} });
        is $request->target, '/y', 'a GET with a body';
        $peer->send($HI);
        ok !$upstream->knocked($SHORTLY), '… is one request';
    }
    like $client->receive->status, qr/^(?:200|4\d\d)$/, 'it is answered';

    my $big = 'x' x (1 << 20);
    $client = $server->client;
    my $seen_big = seen_of($client, $upstream, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n$big");
    is $seen_big->body, $big, 'limits.body is taken';
    problem_is $client->send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")->receive, 413, {}, 'one more is 413';
    ok !$upstream->knocked($SHORTLY), '… and does not reach the upstream';
    $client->close;
    is $server->stop, 'exit 0';
};

subtest 'a body that grows beyond limits.body in chunks' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  POST /x:\n    relay: ${\ $upstream->url('/y') }\n", '', body => '64K');
    my $client   = $server->client->send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n");
    $client->send(sprintf "%x\r\n%s\r\n", 65536, 'x' x 65536);
    problem_is $client->receive, 413, {}, 'is 413';
    if ($upstream->knocked) {
        my $peer = $upstream->accept;
        my $all  = '';
        while ((my $bytes = $peer->some) ne '') {
            $all .= $bytes;
        }
        unlike $all, qr/\r\n0\r\n\r\n\z/, 'the upstream does not take it for whole';
    }
    $client->close;
    is $server->stop, 'exit 0';
};

subtest 'the request has the same id on both sides' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = server(<<~CONF);
        routes:
          GET /x:
            relay: ${\ $upstream->url('/y') }
          GET /own:
            relay: ${\ $upstream->url('/y') }
            send: { X-Request-Id: own }
        CONF
    my $client = $server->client;
    my $answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: other\r\n\r\nhi";
    my $get    = sub ($path, @fields) {
        return exchange($client, $upstream, (join "\r\n", "GET $path HTTP/1.1", 'Host: a', @fields, '', ''), $answer);
    };
    my ($seen, $response) = $get->('/x');
    like $seen->header('X-Request-Id'), qr/^[0-9a-f]{16}$/, 'one of our own';
    is_deeply [ $response->all('X-Request-Id') ], [ $seen->header('X-Request-Id') ], "… and not the upstream's";
    ($seen, $response) = $get->('/x', 'X-Request-Id: abc', 'X-Request-Id: def');
    is_deeply [ $seen->all('X-Request-Id') ], ['abc'], 'the client\'s first one';
    is $response->header('X-Request-Id'), 'abc', '… for the client, too';
    ($seen, $response) = $get->('/x', 'X-Request-Id: a"b');
    like $seen->header('X-Request-Id'), qr/^[0-9a-f]{16}$/, 'one that is not well-formed does not get there';
    ($seen, $response) = $get->('/own', 'X-Request-Id: abc');
    is_deeply [ $seen->all('X-Request-Id') ], ['own'], 'send has the last word';
    is $response->header('X-Request-Id'), 'abc', '… which is for the upstream alone';
    is $server->stop, 'exit 0';
};

subtest 'traceparent' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = server("routes:\n  GET /x:\n    relay: ${\ $upstream->url('/y') }\n" .
        "  GET /none:\n    relay: ${\ $upstream->url('/y') }\n    send: { traceparent: '' }\n");
    my $client = $server->client;
    my $get    = sub ($path, @fields) { seen_of($client, $upstream, join "\r\n", "GET $path HTTP/1.1", 'Host: a', @fields, '', '') };
    my $made   = qr/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/;
    my $good   = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
    my $seen   = $get->('/x', "traceparent: $good", 'tracestate: a=b');
    is_deeply [ map { $seen->all($_) } qw(traceparent tracestate) ], [ $good, 'a=b' ], 'the client\'s is passed on as it is';
    is $get->('/x', "Traceparent: 01-${\ substr $good, 3 }-more")->header('traceparent'), "01-${\ substr $good, 3 }-more", 'one of a later version, too';
    my %other = map { my $one = $get->('/x')->header('traceparent'); like $one, $made, 'without one it is made'; ($one => 1) } 1 .. 5;
    is keys %other, 5, '… another one each time';
    for my $bad ('', 'nonsense', uc $good, "$good-more", $good =~ s/-00$/-0g/r, $good =~ s/^00/ff/r, $good =~ s/4bf.*?-/0{32}-/r,
        '00-' . '0' x 32 . '-00f067aa0ba902b7-00', '00-4bf92f3577b34da6a3ce929d0e0e4736-' . '0' x 16 . '-00', 'x' x 4096)
    {
        my $seen = $get->('/x', "traceparent: $bad", 'tracestate: a=b');
        like join(',', $seen->all('traceparent')), $made, 'another one in place of ' . (length $bad > 60 ? 'a long one' : "\"$bad\"");
        is_deeply [ $seen->all('tracestate') ], [], '… without its tracestate';
    }
    is_deeply [ $get->('/none', "traceparent: $good")->all('traceparent') ], [], 'send leaves it out';
    is $server->stop, 'exit 0';
};

subtest 'answers as the client gets them' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          GET /x:
            relay: ${\ $upstream->url('/y') }
        CONF
    my $client = $server->client;
    for my $status (200 .. 203, 206, 226, 299 .. 302, 307, 400, 401, 404, 409, 418, 429, 451, 499, 500, 502 .. 504, 599) {
        my $response = response_to($client, $upstream, "HTTP/1.1 $status So It Is\r\nContent-Length: 2\r\n\r\nhi");
        is $response->status, $status, "status $status";
        is $response->body,   'hi',    '… with its body';
    }
    for my $status (204, 304) {
        my $response = response_to($client, $upstream, "HTTP/1.1 $status None\r\nETag: \"a\"\r\n\r\n");
        is $response->status, $status, "status $status";
        header_is $response, 'ETag',           '"a"', '… with its fields';
        header_is $response, 'Content-Length', undef;
    }
    header_is response_to($client, $upstream, "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nContent-Type: a/b\r\n\r\n", 'HEAD'),
      'Content-Length', 12345, 'HEAD has the length of what there would be';

    my $response = response_to($client, $upstream, join "\r\n", 'HTTP/1.1 200 OK', 'Content-Length: 2', 'Content-Type: a/b;c="d"',
        'Content-Encoding: gzip', 'ETag: W/"e"', 'Last-Modified: f', 'Set-Cookie: g=1; Path=/', 'Set-Cookie: g=2', 'X-Empty:',
        "X-Latin: \xe4", 'Cache-Control: private', 'Vary: *', 'WWW-Authenticate: Basic', 'Date: Thu, 01 Jan 1970 00:00:00 GMT', '', 'hi');
    header_is $response, @$_
      for [ 'Content-Type', 'a/b;c="d"' ], [ 'Content-Encoding', 'gzip' ], [ 'ETag', 'W/"e"' ], [ 'Last-Modified', 'f' ],
      [ 'X-Empty', '' ], [ 'X-Latin', "\xe4" ], [ 'Cache-Control', 'private' ], [ 'Vary', '*' ], [ 'WWW-Authenticate', 'Basic' ];
    is_deeply [ $response->all('Set-Cookie') ], [ 'g=1; Path=/', 'g=2' ], 'Set-Cookie twice, in order';
    is scalar $response->all('Date'), 1, 'one Date';

    $response = response_to($client, $upstream, join "\r\n", 'HTTP/1.1 200 OK', 'Content-Length: 2',
        'Connection: keep-alive, X-Mine, x-other', 'X-Mine: 1', 'X-Other: 2', 'X-Kept: 3', 'Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive', 'Upgrade: h2c', 'Trailer: X',
        'TE: trailers', 'Proxy-Authenticate: Basic', '', 'hi');
    is_deeply [ grep { /^(?:x-(?!request-id)|keep-alive|proxy|te$|trailer|upgrade)/ } $response->names ], ['x-kept'], 'hop-by-hop fields are dropped';
    is $response->body, 'hi', '… and the framing is not';

    $response = response_to($client, $upstream, "${OK}Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n");
    is $response->body, 'hi', 'chunks';
    is scalar(grep { /^x$/ } $response->names), 0, '… without the trailer';

    # To a client that knows no chunks, the end of the connection ends the body.
    my $old = $server->client->send("GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
    my ($peer) = $upstream->next_request(@{ $peers{$upstream} });
    $peer->send("${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    is $old->receive->body, 'hi', 'chunks, to an HTTP/1.0 client';
    is $server->stop, 'exit 0';
};

subtest 'headers: to the client, send: to the upstream' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          GET /x/{id}:
            relay: ${\ $upstream->url('/y') }
            headers: { Engine: Hayfork, Location: "/x/{id}", X-Id: "<{id}>", Set-Cookie: "mine=1" }
            send: { Authorization: Basic eA==, X-New: new, Cookie: "", Accept: a/b, Host: example.org }
        CONF
    my $client = $server->client;
    my ($seen, $response) = exchange(
        $client, $upstream,
        "GET /x/7 HTTP/1.1\r\nHost: a\r\nauthorization: mine\r\nCookie: a=b\r\ncookie: c=d\r\nX-Kept: e\r\n\r\n",
        join("\r\n", 'HTTP/1.1 201 Created', 'LOCATION: /elsewhere', 'engine: other', 'X-Kept: f', 'Set-Cookie: a',
            'Set-Cookie: b', 'Content-Length: 0', '', ''),
    );
    is_deeply [ $seen->all('Authorization') ], ['Basic eA=='], 'send: replaces';
    is_deeply [ $seen->all('X-New') ],         ['new'],        'send: adds';
    is_deeply [ $seen->all('Cookie') ],        [],             'send: drops';
    is_deeply [ $seen->all('Accept') ],        ['a/b'],        'send: adds what the client did not say';
    is_deeply [ $seen->all('Host') ],          ['example.org'], 'send: says who is asked';
    is_deeply [ $seen->all('X-Kept') ],        ['e'],          'what it does not name stays';
    is_deeply [ $response->all('Location') ],   ['/x/7'],      'headers: replaces';
    is_deeply [ $response->all('Engine') ],     ['Hayfork'],   'headers: replaces, whatever the case';
    is_deeply [ $response->all('X-Id') ],       ['<7>'],       'headers: adds';
    is_deeply [ $response->all('Set-Cookie') ], ['mine=1'],    'headers: replaces all of them';
    is_deeply [ $response->all('X-Kept') ],     ['f'],         'what it does not name stays';

    # CGI and its heirs know no difference between X_New and X-New.
    $seen = seen_of($client, $upstream, join "\r\n", 'GET /x/7 HTTP/1.1', 'Host: a', 'X_New: forged', 'X_FORWARDED_FOR: 192.0.2.1',
        'Content_Length: 7', 'X-Kept: e', '', '');
    is_deeply [ grep { /_/ } $seen->names ], [], 'a name with an underscore cannot stand in for one with a hyphen';
    is $seen->header('X-New'),  'new', '… which has our value';
    is $seen->header('X-Kept'), 'e',   '… and others stay';
    is $server->stop, 'exit 0';
};

subtest 'who asked: Forwarded and X-Forwarded-*' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          GET /default:
            relay: ${\ $upstream->url('/y') }
          GET /off:
            relay: ${\ $upstream->url('/y') }
            forwarded: off
          GET /x:
            relay: ${\ $upstream->url('/y') }
            forwarded: x
          GET /standard:
            relay: ${\ $upstream->url('/y') }
            forwarded: standard
          GET /both:
            relay: ${\ $upstream->url('/y') }
            forwarded: both
        CONF
    my $client   = $server->client;
    my $forwards = sub ($path, @fields) {
        my $seen = seen_of($client, $upstream, join "\r\n", "GET $path HTTP/1.1", 'Host: example.org:99', @fields, '', '');
        return { map { $_ => join ', ', $seen->all($_) } grep { /forwarded/ } $seen->names };
    };
    my %x = ('x-forwarded-for' => '127.0.0.1', 'x-forwarded-proto' => 'http', 'x-forwarded-host' => 'example.org:99');
    is_deeply $forwards->('/default'), \%x, 'X-Forwarded-* unless told otherwise';
    is_deeply $forwards->('/x'),       \%x, 'x';
    is_deeply $forwards->('/off'),     {},  'off';

    my $got = $forwards->('/standard');
    is_deeply [ keys %$got ], ['forwarded'], 'standard';
    is_deeply [ sort split /;/, lc $got->{forwarded} ], [ 'for=127.0.0.1', 'host="example.org:99"', 'proto=http' ],
      '… as RFC 7239 has it';
    $got = $forwards->('/both');
    is_deeply [ sort keys %$got ], [ 'forwarded', sort keys %x ], 'both';

    is $forwards->('/x', 'X-Forwarded-For: 192.0.2.1')->{'x-forwarded-for'}, '192.0.2.1, 127.0.0.1', 'those before us stay';
    is $forwards->('/x', 'X-Forwarded-For: 192.0.2.1', 'X-Forwarded-For: 192.0.2.2')->{'x-forwarded-for'},
      '192.0.2.1, 192.0.2.2, 127.0.0.1', '… in order';
    like $forwards->('/standard', 'Forwarded: for=192.0.2.1')->{forwarded}, qr/^for=192\.0\.2\.1, for=127\.0\.0\.1;/,
      '… in Forwarded, too';
    is $server->stop, 'exit 0';
};

subtest 'what a client says of those before it cannot hide what we say' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          GET /both:
            relay: ${\ $upstream->url('/y') }
            forwarded: both
          GET /off:
            relay: ${\ $upstream->url('/y') }
            forwarded: off
        CONF
    my $client = $server->client;
    my $seen   = sub ($path, @fields) {
        return seen_of($client, $upstream, join "\r\n", "GET $path HTTP/1.1", 'Host: a', @fields, '', '');
    };
    my %own = (
        'Forwarded'       => 'for=127.0.0.1;host="a";proto=http',
        'X-Forwarded-For' => '127.0.0.1',
        'Via'             => '1.1 hayfork',
    );
    my %open = (
        'Forwarded'       => [ 'for="192.0.2.1', 'for=192.0.2.1, "', 'for="a\\"', 'for=a;by="', 'nonsense', 'for=a;for=b' ],
        'X-Forwarded-For' => [ '"192.0.2.1', '192.0.2.1, "', '192.0.2.1 (a', 'for=192.0.2.1' ],
        'Via'             => [ '1.1 a (', '1.1 a (b\\)', '1.1 "a', 'nonsense' ],
    );
    for my $field (sort keys %own) {
        for my $value (@{ $open{$field} }) {
            is_deeply [ $seen->('/both', "$field: $value")->all($field) ], [ $own{$field} ], "$field: $value is replaced";
        }
    }

    is_deeply [ $seen->('/both', 'Forwarded: for="a', 'Forwarded: b"')->all('Forwarded') ], [ $own{Forwarded} ],
      'nor is a quote closed in another field';
    is_deeply [ $seen->('/both', 'Via: 1.1 a', 'Via: 1.1 b (')->all('Via') ], [ $own{Via} ],
      'a list of which one part is bad is bad';
    is_deeply [ $seen->('/both', 'Forwarded: for="[2001:db8::1]";by="a, \"b"')->all('Forwarded') ],
      ["for=\"[2001:db8::1]\";by=\"a, \\\"b\", $own{Forwarded}"], 'quotes that end stay';
    is_deeply [ $seen->('/both', 'Via: 1.0 fred', 'Via: 1.1 p.example.net (a (b))')->all('Via') ],
      ['1.0 fred, 1.1 p.example.net (a (b)), 1.1 hayfork'], '… and comments that do, in the order of the way';
    is_deeply [ $seen->('/off', 'Forwarded: for="192.0.2.1')->all('Forwarded') ], ['for="192.0.2.1'],
      'what nothing is added to is passed on as it came';
    is $server->stop, 'exit 0';
};

subtest 'a connection is used again' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  GET /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $client   = $server->client->ask('GET', '/x');
    my $peer     = $upstream->accept;
    for my $n (1 .. 50) {
        is $peer->request->target, '/y', 'a request' if $n == 1 || $n == 50;
        $peer->request if $n != 1 && $n != 50;
        $peer->send($HI);
        $client->receive->body eq 'hi' or die 'not the answer';
        $client = $server->client if $n % 2;    # whoever asks
        $client->ask('GET', '/x') if $n < 50;
    }
    ok !$upstream->knocked($SHORTLY), 'fifty requests of many clients take one connection';
    ok !$peer->readable, '… which stays open';
    is $server->stop, 'exit 0';
    ok $peer->at_end, 'it is closed when the server stops';
};

subtest 'an idle connection is closed in time' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF, "upstreams:\n  backend: { servers: [\"${\ $upstream->url }\"], idle: 300ms }\n");
          GET /x:
            relay: http://backend/y
        CONF
    my $client = $server->client->ask('GET', '/x');
    my $peer   = $upstream->accept;
    $peer->request;
    $peer->send($HI);
    is $client->receive->body, 'hi', 'an answer';
    ok $peer->at_end, 'then it is closed';
    is $server->stop, 'exit 0';
};

subtest 'connections are bounded; who finds none waits for one' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF, "upstreams:\n  backend: { servers: [\"${\ $upstream->url }\"], connections: 2 }\n");
          GET /x/{n}:
            relay: http://backend/y/{n}
        CONF
    my @clients = map { $server->client->ask('GET', "/x/$_") } 1 .. 6;
    my @peers   = map { $upstream->accept } 1 .. 2;
    ok !$upstream->knocked($SHORTLY), 'two connections for six requests';
    my %answered;
    for (1 .. 6) {
        my ($peer, $request) = $upstream->next_request(@peers);
        ok 0, 'a third connection' if !grep { $_ == $peer } @peers;
        $answered{ $request->target }++;
        $peer->send(sprintf "${OK}Content-Length: %d\r\n\r\n%s", length $request->target, $request->target);
    }
    is $clients[ $_ - 1 ]->receive->body, "/y/$_", "request $_ has its answer" for 1 .. 6;
    is_deeply \%answered, { map { ("/y/$_" => 1) } 1 .. 6 }, 'each was asked once';
    is $server->stop, 'exit 0';
};

subtest 'who waits too long for a connection is refused' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF, "upstreams:\n  backend: { servers: [\"${\ $upstream->url }\"], connections: 1 }\n", connect => '300ms');
          GET /x:
            relay: http://backend/y
        CONF
    my $first = $server->client->ask('GET', '/x');
    my $peer  = $upstream->accept;
    $peer->request;
    my $second   = $server->client->ask('GET', '/x');
    my $response = $second->receive;
    problem_is $response, 503, {}, 'it was certainly not done';
    like $response->header('Retry-After'), qr/^\d+$/, 'and can be tried again';
    $peer->send($HI);
    is $first->receive->body, 'hi', 'the one in front of it is answered';
    is $server->stop, 'exit 0';
};

subtest 'several upstreams' => sub {
    my @upstreams = map { Hayfork::Test::Upstream->new($_) } 'tcp', 'unix', 'tcp';
    my $list      = join ', ', map { '"' . $_->url . '"' } @upstreams;
    my $server    = relay(<<~CONF, "upstreams:\n  backend: [$list]\n");
          GET /x/{n}:
            relay: http://backend/y/{n}
          GET /own/{n}:
            relay: backend
          POST /x/{n}:
            relay: http://backend/y/{n}
        CONF

    # As long as none of them answers, the next request goes to the one with the fewest in hand.
    my @clients = map { $server->client->ask('GET', "/x/$_") } 1 .. 9;
    my @peers   = map { my $upstream = $_; map { $upstream->accept } 1 .. 3 } @upstreams;
    ok !(grep { $_->knocked } @upstreams), 'nine requests: three each';
    for my $peer (@peers) {
        my $target = $peer->request->target;
        $peer->send(sprintf "${OK}Connection: close\r\nContent-Length: %d\r\n\r\n%s", length $target, $target);
    }
    is $clients[ $_ - 1 ]->receive->body, "/y/$_", "request $_ has its answer" for 1 .. 9;

    # One that is slow gets no more than it has, whoever's turn it is.
    my @held = map { $server->client->ask('GET', '/x/0') } @upstreams;
    my @slow = map { $_->accept } @upstreams;
    $_->request for @slow;
    for my $n (1 .. 2) {
        $slow[$n]->send("${OK}Connection: close\r\nContent-Length: 0\r\n\r\n");
        ok $slow[$n]->at_end, 'one of the others is done';
    }
    for my $n (1 .. 6) {
        my $client = $server->client->ask('GET', "/x/$n");
        wait_for('a connection', sub { grep { $_->knocked } @upstreams });
        my ($asked) = grep { $upstreams[$_]->knocked } 0 .. 2;
        isnt $asked, 0, "request $n goes to one that has nothing to do";
        my $peer = $upstreams[$asked]->accept;
        $peer->request;
        $peer->send("${OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi");
        is $client->receive->body, 'hi', '… and is answered';
    }
    $slow[0]->send("${OK}Connection: close\r\nContent-Length: 0\r\n\r\n");
    ok $slow[0]->at_end, 'the slow one is done';

    # With two of three down, nobody notices; not even those who POST.
    $upstreams[0]->stop;
    $upstreams[1]->stop;
    my $answer_one = sub ($client) {
        my $peer    = $upstreams[2]->accept;
        my $request = $peer->request;
        $peer->send("${OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi");
        return ($request, $client->receive);
    };
    for my $n (1 .. 10) {
        for my $method ('GET', 'POST') {
            my $client = $server->client->ask($method, "/x/$n", $method eq 'POST' ? (body => 'b') : ());
            my ($request, $response) = $answer_one->($client);
            is $response->status, 200, "$method $n: 200 with two of three down";
            is $request->body, 'b', '… and its body is there' if $method eq 'POST';
        }
    }
    my ($request) = $answer_one->($server->client->ask('GET', '/own/1?a'));
    is $request->target, '/own/1?a', 'a name without a path keeps the request\'s own';

    $upstreams[2]->stop;
    problem_is $server->get('/x/1'), 502, {}, 'all down: 502';

    $upstreams[0]->listen;
    wait_for('one that is back to be used again', sub {
        my $client = $server->client->ask('GET', '/x/1');
        wait_for('one or the other', sub { $upstreams[0]->knocked || $client->readable(0) });
        return 0 if !$upstreams[0]->knocked;
        my $peer = $upstreams[0]->accept;
        $peer->request;
        $peer->send($HI);
        return $client->receive->status == 200;
    });
    is $server->stop, 'exit 0';
};

subtest 'an upstream that hangs up is given a rest' => sub {
    my @upstreams = map { Hayfork::Test::Upstream->new } 1 .. 2;
    my $list      = join ', ', map { '"' . $_->url . '"' } @upstreams;
    my $server    = relay("  GET /x:\n    relay: http://backend/y\n", "upstreams:\n  backend: [$list]\n");
    my ($good, $bad) = (0, 0);
    for (1 .. 10) {
        my $client = $server->client->ask('GET', '/x');
        wait_for('a connection', sub { $upstreams[0]->knocked || $upstreams[1]->knocked });
        if ($upstreams[0]->knocked) {
            my $peer = $upstreams[0]->accept;
            $peer->request;
            $peer->close('reset');
            $bad++;
            if ($upstreams[1]->knocked(0) || !$client->readable($SHORTLY)) {
                $peer = $upstreams[1]->accept;
                $peer->request;
                $peer->send("${OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi");
            }
            $client->receive;
            next;
        }
        my $peer = $upstreams[1]->accept;
        $peer->request;
        $peer->send("${OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi");
        is $client->receive->body, 'hi', 'answered by the other';
        $good++;
    }
    cmp_ok $bad, '<=', 5, "it is asked $bad times of ten";
    is $server->stop, 'exit 0';
};

subtest 'upstreams by name, by IPv6 and on a Unix socket' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $unix     = Hayfork::Test::Upstream->new('unix');
    my $port     = Hayfork::Test::Server::free_port();
    my $other    = server("workers: 1\nroutes:\n  GET /y:\n    text: six\n", also => ["[::1]:$port"]);
    my $server   = relay(<<~CONF);
          GET /name:
            relay: http://localhost:$upstream->{port}/y
          GET /unix:
            relay: "${\ $unix->url('/y') }"
          GET /unix/own:
            relay: ${\ $unix->url }
          GET /six:
            relay: "http://[::1]:$port/y"
          GET /unknown:
            relay: http://nobody.invalid/y
          GET /:
            text: "hello\\n"
        CONF
    my $client = $server->client;
    my $seen   = seen_of($client, $upstream, "GET /name HTTP/1.1\r\nHost: a\r\n\r\n");
    is $seen->header('Host'), "localhost:$upstream->{port}", 'a name';
    is seen_of($client, $unix, "GET /unix?a HTTP/1.1\r\nHost: a\r\n\r\n")->target, '/y?a', 'a Unix socket';
    is seen_of($client, $unix, "GET /unix/own?a HTTP/1.1\r\nHost: a\r\n\r\n")->target, '/unix/own?a', '… without a path';
    is $client->get('/six')->body, 'six', 'IPv6';
    my $unknown = $server->client->ask('GET', '/unknown');
    is $server->get('/')->status, 200, 'others are served while a name is looked up';
    problem_is $unknown->receive, 502, {}, 'a name that there is not';
    is $server->stop, 'exit 0';
};

subtest 'Expect: 100-continue is between the client and us' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  POST /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $client   = $server->client;
    $client->send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    my $answer = '';
    while ($answer !~ /\r\n\r\n/) {
        $client->fill or die 'closed';
        $answer .= substr $client->{buffer}, 0, length $client->{buffer}, '';
    }
    is $answer, "HTTP/1.1 100 Continue\r\n\r\n", 'the client may go on';
    my $seen = seen_of($client, $upstream, 'hi');
    is $seen->body, 'hi', 'the body is passed on';
    is $seen->header('Expect'), undef, '… without the word';
    is $server->stop, 'exit 0';
};

subtest 'what comes in pieces goes out in pieces' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  GET /x:\n    relay: ${\ $upstream->url('/y') }\n  POST /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $client   = $server->client->ask('GET', '/x');
    my $peer     = $upstream->accept;
    $peer->request;
    $peer->send("${OK}Transfer-Encoding: chunked\r\n\r\n");
    for my $piece ('one', 'two', 'three') {
        $peer->send(sprintf "%x\r\n%s\r\n", length $piece, $piece);
        wait_for("\"$piece\" to be passed on", sub { $client->fill; $client->{buffer} =~ /$piece/ });
    }
    $peer->send("0\r\n\r\n");
    is $client->receive->body, 'onetwothree', 'an answer';

    $client->send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    my $all = '';
    for my $piece ('one', 'two', 'three') {
        $client->send(sprintf "%x\r\n%s\r\n", length $piece, $piece);
        wait_for("\"$piece\" to be passed on", sub { $all .= $peer->some; $all =~ /$piece/ });
    }
    $client->send("0\r\n\r\n");
    wait_for('the end of the body', sub { $all .= $peer->some if $all !~ /\r\n0\r\n\r\n\z/; $all =~ /\r\n0\r\n\r\n\z/ });
    $peer->send($HI);
    is $client->receive->body, 'hi', 'a request';

    # An upstream may answer before it has seen all of a body; the rest is of no interest then.
    $client->send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst");
    $peer->request_head;
    is $peer->bytes(5), 'first', 'half a body has come';
    $peer->send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    is $client->receive->status, 403, 'an answer before the end of the request';
    $client->close;
    is $server->stop, 'exit 0';
};

subtest 'pipelined requests are answered in order' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  GET /x/{n}:\n    relay: ${\ $upstream->url('/y/{n}') }\n  GET /:\n    text: hello\n");
    my $client   = $server->client->send(join '', map { "GET $_ HTTP/1.1\r\nHost: a\r\n\r\n" } '/x/1', '/', '/x/2');
    for my $n (1, 2) {
        my ($peer, $request) = $upstream->next_request(@{ $peers{$upstream} // [] });
        $peers{$upstream} = [$peer];
        is $request->target, "/y/$n", "request $n";
        $peer->send("${OK}Content-Length: 1\r\n\r\n$n");
    }
    is join(' ', map { $client->receive->body } 1 .. 3), '1 hello 2', 'the answers';
    is $server->stop, 'exit 0';
};

subtest 'stopping: requests in hand are answered' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  GET /x:\n    relay: ${\ $upstream->url('/y') }\n  POST /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my (@clients, @peers);
    for my $request ([ 'GET', '/x' ], [ 'POST', '/x', body => 'b' ]) {
        push @clients, $server->client->ask(@$request);
        push @peers, $upstream->accept;
        $peers[-1]->request;
    }
    $peers[0]->send("${OK}Content-Length: 10\r\n\r\nhello");
    $clients[0]->fill;
    $server->signal('TERM');
    wait_for('the server to begin stopping', sub { $server->log_lines(qr/stopping/) });
    $peers[0]->send('there');
    $peers[1]->send($HI);
    is $clients[0]->receive->body, 'hellothere', 'one whose answer had begun' ;
    is $clients[1]->receive->body, 'hi', 'one whose answer had not';
    $_->close for @clients;
    is $server->end, 'exit 0';
    ok $_->at_end, 'the upstream connection is closed' for @peers;
};

done_testing;
