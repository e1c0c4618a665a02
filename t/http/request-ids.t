# Request ids: each is there once, and none tells how many requests there were, or the next id.
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

is $server->stop, 'exit 0', 'it ends well';

done_testing;
