# Relay routes: what is between two neighbours (RFC 9110 section 7.6) is not passed on: fields that Connection names,
# offers to change the protocol, Max-Forwards that is used up.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(reap slurp spawn spew temporary_folder wait_for);
use Hayfork::Test::Upstream;

my $SHORTLY = 0.2;    # seconds, for what must not happen

my $HI = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

# A server with these routes, indented by two. Its time limits are long: nothing is decided by a clock here.
sub relay ($routes)
{
    return server("workers: 1\nroutes:\n$routes", options => { 'limits.connect' => '20s', 'limits.deadline' => '50s' });
}

# What the upstream gets of a request that it answers, and the client of its answer.
my %peers;    # upstream => its connections

sub exchange ($client, $upstream, $request, $answer = $HI)
{
    $client->send($request);
    my ($peer, $seen) = $upstream->next_request(@{ $peers{$upstream} // [] });
    $peers{$upstream} = [$peer];
    $peer->send($answer);
    return ($seen, $client->receive);
}

sub seen_of ($client, $upstream, $request)
{
    my ($seen, $response) = exchange($client, $upstream, $request);
    $response->status == 200 or die 'the answer has status ' . $response->status;
    return $seen;
}

sub get (@fields)
{
    return join "\r\n", 'GET /x HTTP/1.1', 'Host: a', @fields, '', '';
}

# RFC 9110 section 7.6.1
subtest 'what Connection names is not passed on, however many fields say so, and however' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  ANY /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $client   = $server->client;
    my @named    = map { ("X-Named-$_: 1", "Connection: x-named-$_") } 1 .. 30;
    my ($seen, $response) = exchange($client, $upstream,
        get(@named, 'Connection: ,, x-LISTED ,', "Connection:\tx-tab\t,keep-alive", 'X-Listed: 1', 'X-Tab: 1', 'X-Kept: 1'),
        join "\r\n", 'HTTP/1.1 200 OK', 'Content-Length: 2', @named, 'X-Kept: 1', 'Proxy-Authentication-Info: x', '', 'hi');
    is_deeply [ grep { /^x-(?!forwarded|request-id)/ } $seen->names ], ['x-kept'], 'from the client';
    is_deeply [ grep { /^(?:x-(?!request-id)|proxy)/ } $response->names ], ['x-kept'], 'from the upstream';

    $seen = seen_of($client, $upstream, get('Connection: x-forwarded-for, VIA', 'X-Forwarded-For: 192.0.2.1', 'Via: 1.0 other'));
    is_deeply [ $seen->all('X-Forwarded-For') ], ['127.0.0.1'], 'of a list there is our own part';
    is_deeply [ $seen->all('Via') ], ['1.1 hayfork'], '… of each of them';

    $seen = seen_of($client, $upstream, get('Connection: ' . join(',', map { "x-$_" } 1 .. 128), 'X-1: 1', 'X-128: 1', 'X-129: 1'));
    is_deeply [ grep { /^x-\d/ } $seen->names ], ['x-129'], 'as many as a request can have';
    problem_is $client->get('/x', headers => { Connection => join(',', map { "x-$_" } 1 .. 129) }), 431, {}, 'but not more';
    ok !$upstream->knocked($SHORTLY), 'for which the upstream is not bothered';
    is $server->stop, 'exit 0';
};

# RFC 9110 section 7.8: who is asked goes on in the protocol there is, if that is what it likes better.
subtest 'an offer to change the protocol is not taken, and not passed on' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  ANY /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $client   = $server->client;
    for (
        [ 'h2c', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA' ],
        [ 'h2c, in other words', 'Connection: http2-settings,upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__' ],
        [ 'h2c, not named in Connection', 'Connection: Upgrade', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__' ],
        [ 'websocket', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13' ],
        [ 'anything', 'Connection: Upgrade', 'Upgrade: a/1, b' ],
      )
    {
        my ($what, @fields) = @$_;
        my $seen = seen_of($client, $upstream, join "\r\n", 'GET /x HTTP/1.1', 'Host: a', @fields, '', '');
        is_deeply [ grep { /^(?:connection|upgrade|http2)/ } $seen->names ], [], $what;
    }
    my $seen = seen_of($client, $upstream,
        "POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi");
    is $seen->body, 'hi', 'with a body';
    is $server->stop, 'exit 0';
};

subtest 'the HTTP client of Java, which offers h2c with every first request' => sub {
    my ($java) = grep { -x } map { "$_/java" } split /:/, $ENV{PATH};
    plan skip_all => 'java is not installed' if !defined $java;
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  GET /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $source   = temporary_folder() . '/Ask.java';
    spew($source, <<~'JAVA');
        import java.net.URI;
        import java.net.http.*;

        class Ask {
            public static void main(String[] a) throws Exception {
                HttpResponse<String> r = HttpClient.newHttpClient().send(
                    HttpRequest.newBuilder(URI.create(a[0])).build(), HttpResponse.BodyHandlers.ofString());
                System.out.println(r.version() + " " + r.statusCode() + " " + r.body());
            }
        }
        JAVA
    my $asking = spawn([ $java, $source, "http://${\ $server->address }/x" ], stdout => "$source.out", stderr => "$source.err");
    my $end;
    wait_for('it to ask, or to end', sub { $upstream->knocked(0.05) || defined($end = reap($asking, 0)) });
    plan skip_all => 'java cannot run a source file' if defined $end;
    my ($peer) = $upstream->next_request;
    $peer->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    is reap($asking), 'exit 0', 'it ends well' or diag slurp("$source.err");
    is slurp("$source.out"), "HTTP_1_1 200 ok\n", 'with what the upstream has said';
    is $server->stop, 'exit 0';
};

# RFC 9110 section 7.6.2
subtest 'Max-Forwards' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay(<<~CONF);
          ANY /x:
            relay: ${\ $upstream->url('/y') }
          OPTIONS /one:
            relay: ${\ $upstream->url('/y') }
          GET /one:
            text: "one\n"
          OPTIONS /set:
            relay: ${\ $upstream->url('/y') }
            send: { Max-Forwards: "5" }
        CONF
    my $client = $server->client;
    my $left   = sub ($path, @fields) {
        return [ seen_of($client, $upstream, join "\r\n", "OPTIONS $path HTTP/1.1", 'Host: a', @fields, '', '')->all('Max-Forwards') ];
    };
    is_deeply $left->('/x'), [], 'none';
    is_deeply $left->('/x', 'Max-Forwards: 10'), ['9'], 'OPTIONS: one less';
    is_deeply $left->('/x', 'max-forwards: 1'),  ['0'], '… down to none';
    is_deeply $left->('/x', 'Max-Forwards: 007'), ['6'], 'with zeroes';
    like $left->('/x', 'Max-Forwards: 99999999999999999999999')->[0], qr/^[1-9]\d{5,8}$/, 'more than there can be';
    is_deeply $left->('/set', 'Max-Forwards: 3'), ['5'], 'send: has its own';

    for ([ '/x', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' ], [ '/one', 'GET, HEAD, OPTIONS' ], [ '/set', 'OPTIONS' ]) {
        my ($path, $allow) = @$_;
        my $response = $client->request('OPTIONS', $path, headers => { 'Max-Forwards' => 0 });
        is $response->status, 204, "OPTIONS $path with 0 ends here";
        header_is $response, 'Allow', $allow;
    }
    is $client->request('OPTIONS', '/x', headers => { 'Max-Forwards' => 0 }, body => 'hi')->status, 204, 'also with a body';
    problem_is $client->request('OPTIONS', '/x', headers => { 'Max-Forwards' => $_ }), 400, {}, "it is no number: '$_'"
      for 'x', '-1', '1.5', '', '1, 2';
    problem_is $client->send("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 0\r\n\r\n")->receive, 400, {}, 'two of them';
    ok !$upstream->knocked($SHORTLY), 'all that without the upstream';
    my $seen = seen_of($client, $upstream, "GET /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    is_deeply [ $seen->all('Max-Forwards') ], ['0'], 'to other methods it means nothing';
    is $server->stop, 'exit 0';
};

# RFC 9110 section 7.6: who forwards to itself needs something that ends it.
subtest 'a relay to itself' => sub {
    my $socket = temporary_folder() . '/http.sock';
    my $server = server(<<~CONF, also => ["unix:$socket"], options => { 'limits.connect' => '20s', 'limits.deadline' => '50s' });
        workers: 1
        routes:
          ANY /x:
            relay: http://round/x
        upstreams:
          round: unix:$socket
        CONF
    problem_is $server->client->get('/x'), 508, {}, 'comes to an end';
    is $server->stop, 'exit 0';
};

subtest 'who else has passed a request on, and how often, does not matter' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay("  ANY /x:\n    relay: ${\ $upstream->url('/y') }\n");
    my $client   = $server->client;
    my $others   = join ', ', map { "1.1 other$_, 1.1 hayfork.example (hayfork), 1.1 xhayfork" } 1 .. 20;
    my $seen     = seen_of($client, $upstream, get("Via: $others", 'Via: 1.1 hayfork, 1.0 hayfork'));
    like $seen->header('Via'), qr/, 1\.1 hayfork, 1\.0 hayfork, 1\.1 hayfork$/, 'it goes on';
    problem_is $client->send(get(map { 'Via: 1.1 hayfork, 1.1 a' } 1 .. 8))->receive, 508, {}, 'eight times is a circle';
    is $server->stop, 'exit 0';
};

done_testing;
