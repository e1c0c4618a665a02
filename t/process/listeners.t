# Listeners with names, the routes that are on them, and which of several routes a request gets.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);

use Hayfork::Test::Process qw(spew);

my $folder = tempdir('/tmp/hf.XXXXXX', CLEANUP => 1);

my $server = server(<<~'CONF', listeners => [qw(public inner third)]);
    workers: 2
    routes:
      GET /everywhere: { text: "everywhere\n" }
      GET /public: { text: "public\n", on: public }
      GET /inner: { text: "inner\n", on: inner }
      GET /two: { text: "two\n", on: [inner, third] }
      GET /same/{x}: { text: "public's\n", on: public }
      GET /same/{y}: { text: "inner's\n", on: inner }
      POST /methods: { text: "POST, everywhere\n" }
      GET /methods: { text: "GET, inner\n", on: inner }
      ANY /any: { text: "ANY, third\n", on: third }
      GET /any: { text: "GET, everywhere\n" }
      GET /{rest...}: { text: "the rest\n", on: third }
    CONF

# What a request is answered at a listener: its text, or its status with Allow, if it has that.
sub answer ($name, $method, $path)
{
    my $response = $server->at($name)->request($method, $path);
    return $response->body =~ s/\n//r if $response->status == 200;
    return join ' ', $response->status, $response->header('Allow') // ();
}

subtest 'each listener has its own routes' => sub {
    #   request                  public             inner              third
    for my $row (
        [ 'GET /everywhere',     'everywhere',      'everywhere',      'everywhere' ],
        [ 'GET /public',         'public',          '404',             'the rest' ],
        [ 'GET /inner',          '404',             'inner',           'the rest' ],
        [ 'GET /two',            '404',             'two',             'two' ],
        [ 'GET /same/1',         q(public's),       q(inner's),        'the rest' ],
        [ 'GET /nowhere',        '404',             '404',             'the rest' ],
        [ 'GET /',               '404',             '404',             'the rest' ],
        [ 'POST /methods',       'POST, everywhere', 'POST, everywhere', 'POST, everywhere' ],
        [ 'GET /methods',        '405 POST, OPTIONS', 'GET, inner',    '405 POST, OPTIONS' ],
        [ 'GET /any',            'GET, everywhere', 'GET, everywhere', 'GET, everywhere' ],
        [ 'PUT /any',            '405 GET, HEAD, OPTIONS', '405 GET, HEAD, OPTIONS', 'ANY, third' ],
      ) {
        my ($request, @want) = @$row;
        my @got = map { answer($_, split / /, $request) } qw(public inner third);
        is_deeply \@got, \@want, $request;
    }
};

subtest '405, Allow and OPTIONS know the routes of the listener alone' => sub {
    for my $row (
        [ '/public',  '204 GET, HEAD, OPTIONS', '404',                          '204 GET, HEAD, OPTIONS' ],
        [ '/inner',   '404',                    '204 GET, HEAD, OPTIONS',       '204 GET, HEAD, OPTIONS' ],
        [ '/methods', '204 POST, OPTIONS',      '204 GET, HEAD, POST, OPTIONS', '204 POST, OPTIONS' ],
      ) {
        my ($path, @want) = @$row;
        is_deeply [ map { answer($_, 'OPTIONS', $path) } qw(public inner third) ], \@want, "OPTIONS $path";
        is_deeply [ map { answer($_, 'DELETE',  $path) } qw(public inner third) ], [ map { s/^204/405/r } @want ],
          "DELETE $path";
    }
    problem_is $server->at('public')->get('/inner'), 404, {}, 'a route that is elsewhere is none here';
};

subtest 'a connection stays with its listener, beside others' => sub {
    my %client = map { $_ => $server->at($_) } qw(public inner);
    for my $round (1 .. 20) {
        is $client{$_}->get('/same/1')->body, "$_\'s\n", "$_, round $round" for qw(public inner);
    }
    $client{$_}->ask('GET', '/same/1')->ask('GET', "/$_") for qw(public inner);
    is $client{$_}->receive->body . $client{$_}->receive->body, "$_\'s\n$_\n", "pipelined, $_" for qw(public inner);
};

subtest 'the log names the listeners, and -T prints them' => sub {
    like $server->log, qr/info master\[\d+\]: serving $_ on \Q${\ $server->address($_)}\E with 2 workers$/m, $_
      for qw(public inner third);
    my $run = hayfork('-T', '-c', $server->{conf});
    like $run->{stdout}, qr/^listen:\n  public: \S+\n  inner: \S+\n  third: \S+\n$/m, 'listen';
    like $run->{stdout}, qr/^    text: \|\n      inner\n    on: inner\n/m,               'on one';
    like $run->{stdout}, qr/^    on:\n      - inner\n      - third\n/m,                  'on two';
    is $server->stop, 'exit 0';
};

subtest 'a Unix socket and a port can be listeners' => sub {
    my $socket = "unix:$folder/inner.sock";
    my $both   = server(<<~'CONF', listeners => [qw(public inner)], options => { 'listen.inner' => $socket });
        workers: 1
        routes:
          GET /status: { text: "up\n", on: inner }
          GET /: { text: "hello\n" }
        CONF
    my $unix = Hayfork::Test::Client->new($socket);
    is $unix->get('/status')->body, "up\n",    'by the socket';
    is $unix->get('/')->body,       "hello\n", '… a route of all listeners';
    is $both->get('/status')->status, 404, 'not by the port';
    is $both->stop, 'exit 0';
};

subtest '-o replaces one listener, or all' => sub {
    my $conf = spew("$folder/override.conf", <<~'CONF');
        listen: { public: 127.0.0.1:8080, inner: 127.0.0.1:3000 }
        routes:
          GET /: { text: "public\n", on: public }
          GET /inner: { text: "inner\n", on: inner }
        CONF
    my sub with (@overrides) { return hayfork('-T', '-c', $conf, map { ('-o', $_) } @overrides) }

    like with('listen.public=9000')->{stdout}, qr/^listen:\n  public: 9000\n  inner: 127\.0\.0\.1:3000\n/m, 'one';
    like with('listen.inner="[::1]:1"', 'listen.public=9000')->{stdout},
      qr/^listen:\n  public: 9000\n  inner: "\[::1\]:1"\n/m, 'both';
    like with('listen={ inner: 1, public: 2 }')->{stdout}, qr/^listen:\n  inner: 1\n  public: 2\n/m, 'the whole mapping';

    is with('listen=9000')->{exit}, 'exit 78', 'names that routes use must stay';
    is with('listen=9000')->{stderr}, <<~END, '... and it is said how';
        $conf:3:34: error: there is no listener "public": `-o listen=` has taken the place of all of them; to replace one, write `-o listen.public=ADDRESS`
              GET /: { text: "public\\n", on: public }
                                             ^
        $conf:4:38: error: there is no listener "inner": `-o listen=` has taken the place of all of them; to replace one, write `-o listen.inner=ADDRESS`
              GET /inner: { text: "inner\\n", on: inner }
                                                 ^
        END
    is with('listen.iner=9000', 'listen.=9000')->{stderr}, <<~'END', 'a name that is not there';
        -o:1:1: error: the conf has no listener "iner" to replace: it can be public or inner; did you mean "inner"?
            listen.iner=9000
            ^
        -o:2:1: error: the conf has no listener "" to replace: it can be public or inner
            listen.=9000
            ^
        END
    like with('listen.public=127.0.0.1:3000')->{stderr},
      qr/error: 127\.0\.0\.1:3000 and 127\.0\.0\.1:3000 take the same connections; remove one of them$/m,
      'an address of another listener';

    my $plain = spew("$folder/plain.conf", "listen: 8080\nroutes:\n  GET /: { text: ok }\n");
    like hayfork('-T', '-c', $plain, '-o', 'listen.a=1', '-o', 'listen.b=2')->{stdout},
      qr/^listen:\n  a: 1\n  b: 2\n/m, 'where the conf gives no names, overrides can';
};

subtest 'a file that is included has its own `on`' => sub {
    spew("$folder/inner.conf", <<~'CONF');
        defaults:
          on: inner
        routes:
          GET /: { text: "inner\n" }
          GET /public: { text: "public\n", on: public }
        CONF
    my $both = server(<<~CONF, listeners => [qw(public inner)]);
        workers: 1
        include: $folder/inner.conf
        defaults: { on: public }
        routes:
          GET /: { text: "public\\n" }
        CONF
    is $both->at('public')->get('/')->body,         "public\n", 'one path, the conf\'s route';
    is $both->at('inner')->get('/')->body,          "inner\n",  '… and the included one\'s';
    is $both->at('public')->get('/public')->status, 200,        'a route says otherwise than its defaults';
    is $both->at('inner')->get('/public')->status,  404,        '… and is not there';
    is $both->stop, 'exit 0';
};

subtest 'a route takes the rest of a path' => sub {
    my $rest = server(<<~'CONF');
        workers: 1
        routes:
          GET /r/{rest...}: { text: "rest\n" }
          GET /r/{one}: { text: "one\n" }
          GET /r/a: { text: "a\n" }
          ANY /r/a: { text: "any a\n" }
          ANY /m/{rest...}: { text: "any\n" }
          PUT /m/{rest...}: { text: "put\n" }
        CONF
    my $client = $rest->client;
    for my $row (
        [ 'GET /r/',      'rest' ],
        [ 'GET /r/a',     'a' ],
        [ 'HEAD /r/a',    '' ],
        [ 'POST /r/a',    'any a' ],
        [ 'OPTIONS /r/a', 'any a' ],
        [ 'GET /r/b',     'one' ],
        [ 'GET /r/a/',    'rest' ],
        [ 'GET /r/a/b',   'rest' ],
        [ 'GET /r//',     'rest' ],
        [ 'GET /r/a%2Fb', 'one' ],
        [ 'GET /r',       '404' ],
        [ 'POST /r/b',    '405 GET, HEAD, OPTIONS' ],
        [ 'POST /r/b/c',  '405 GET, HEAD, OPTIONS' ],
        [ 'GET /m/x/y',   'any' ],
        [ 'PUT /m/x/y',   'put' ],
        [ 'BREW /m/',     'any' ],
      ) {
        my ($request, $want) = @$row;
        my ($method, $path)  = split / /, $request;
        my $response = $client->request($method, $path);
        my $got =
          $response->status == 200 ? $response->body =~ s/\n//r : join ' ', $response->status, $response->header('Allow') // ();
        is $got, $want, $request;
    }
    is $rest->stop, 'exit 0';
};

done_testing;
