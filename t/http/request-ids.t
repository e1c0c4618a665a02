# Request ids: each answer has one, of the client's or of our own; those are there once, and tell neither how many
# requests there were nor the next id.
use v5.36;

use Hayfork::Test;

use List::Util qw(uniq);

no warnings 'portable';    # numbers of 64 bits

my $REQUESTS = 300;

my $server = server(<<~CONF);
    workers: 1
    routes:
      GET /:
        text: "hello\\n"
    CONF

# The ids of so many requests, one after the other.
sub ids ($n)
{
    my $client = $server->client;
    return map { hex $client->get('/nothing')->json->{request_id} } 1 .. $n;
}

# The product modulo 2 ** 64.
sub product ($x, $y)
{
    use integer;
    my $product = $x * $y;
    no integer;
    return $product & ~0;
}

# The number that the last step of a mixing like x ^= x >> by was given.
sub unshift_xor ($x, $by)
{
    my $y = $x;
    $y = $x ^ ($y >> $by) for 1 .. 64 / $by + 1;
    return $y;
}

# What splitmix64 makes an id of, which anybody can undo; others of its kind use other numbers.
sub undo_splitmix ($id)
{
    my $x = unshift_xor($id, 31);
    $x = unshift_xor(product($x, 0x319642b2d24d8ec3), 27);
    return unshift_xor(product($x, 0x96de1b173f119089), 30);
}

sub difference ($x, $y)
{
    use integer;
    return $x - $y;
}

# How many different differences there are between neighbours: one, if each tells the next.
sub steps (@numbers)
{
    return scalar uniq map { difference($numbers[$_], $numbers[ $_ - 1 ]) } 1 .. $#numbers;
}

my @ids = ids($REQUESTS);
is scalar(uniq @ids), $REQUESTS, 'each request has an id of its own';
is steps(@ids), $REQUESTS - 1, 'ids do not count';
is steps(map { undo_splitmix($_) } @ids), $REQUESTS - 1, '… nor do they once a well-known mixing is undone';
is steps(map { undo_splitmix($_) } (0x910a2dec89025cc1, 0xbeeb8da1658eec67, 0xf893a2eefb32555e)), 1,
  '(which finds what it looks for: splitmix64 itself, from seed 1)';

subtest 'each answer has its id' => sub {
    for (
        [ GET => '/' => 200 ], [ HEAD => '/' => 200 ], [ GET => '/nothing' => 404 ], [ DELETE => '/' => 405 ],
        [ OPTIONS => '/' => 204 ], [ GET => '/?x' => 200 ],
      )
    {
        my ($method, $path, $status) = @$_;
        my $response = $server->request($method, $path);
        is $response->status, $status, "$method $path: $status";
        like $response->header('X-Request-Id'), qr/^[0-9a-f]{16}$/, '… with an id';
        is scalar($response->all('X-Request-Id')), 1, '… one of them';
        is $response->json->{request_id}, $response->header('X-Request-Id'), '… the one of its document'
          if $status >= 400;
    }
    my $client = $server->client;
    $client->send("nonsense\r\n\r\n");
    like $client->receive->header('X-Request-Id'), qr/^[0-9a-f]{16}$/, 'so has what is no request';
};

subtest 'a good id is taken over' => sub {
    my $client = $server->client;
    for my $id ('a', '7b0e8c1e-52a9-4f0d-9a8c-3f2f4d5e6a7b', 'Root=1-67891233:a/b+c@d_e~f.', 'x' x 128) {
        my $response = $client->get('/nothing', headers => { "X-Request-Id" => $id });
        is $response->header('X-Request-Id'), $id, $id;
        is $response->json->{request_id}, $id, '… in the document, too';
    }
};

subtest 'another one is not' => sub {
    my %id = (
        empty            => '', 'too long' => 'x' x 129, 'of 4 KB' => 'x' x 4096, 'with quotes' => 'a"b', 'with blanks' => 'a b',
        'with a tab'     => "a\tb", 'with letters that are not ASCII' => "\xc3\xa4", 'with bytes that are not UTF-8' => "\xff",
        'with a comma'   => 'a,b', 'with a backslash' => 'a\\b', 'with braces' => '{a}', 'with a percent sign' => '%0a',
    );
    for my $what (sort keys %id) {
        my $response = $server->client->get('/nothing', headers => { "X-Request-Id" => $id{$what} });
        like $response->header('X-Request-Id'), qr/^[0-9a-f]{16}$/, $what;
    }
    for my $id ("a\r\n b", "a\nX-Other: b", "a\rb", "a\0b") {
        my $client = $server->client;
        $client->send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: $id\r\n\r\n");
        my $response = $client->receive;
        is $response->status, 400, 'one with ' . sprintf('%vx', $id) . ' is no request at all';
        like $response->header('X-Request-Id'), qr/^[0-9a-f]{16}$/, '… its id is made';
    }
};

is $server->stop, 'exit 0', 'it ends well';

done_testing;
