# Bodies of megabytes: they are read in turns with everybody else's requests, and what is made of them is right.
use v5.36;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Hayfork::Test;

use Digest::MD5 qw(md5_hex);
use List::Util qw(max);

use Hayfork::Test::Process qw(slurp);

use constant MB => 1024 * 1024;

needs_postgres;
my $cluster = cluster;

my $ROUTES = <<~'CONF';
    routes:
      GET /:
        text: "hello\n"
      POST /doc:
        sql: |
          SELECT md5(:doc::text) AS md5
        body_as: doc
        answer: row
      POST /text:
        sql: |
          SELECT md5(:text::text) AS md5, :n::int4 AS n
        body: [text, n]
        answer: row
      POST /texts:
        sql: |
          SELECT md5(array_to_string(:texts::text[], ',', 'null')) AS md5
        body: [texts]
        answer: row
      POST /docs:
        sql: |
          SELECT md5(array_to_string(:docs::json[], ',', 'null')) AS md5
        body: [docs]
        answer: row
      POST /ids:
        sql: |
          SELECT sum(id) AS sum, count(*) AS n FROM unnest(:ids::int4[]) AS id
        body: [ids]
        answer: row
    CONF

sub start (%limits)
{
    %limits = (body => '32M', deadline => '60s', requests => 'unlimited', %limits);
    my $limits = join ', ', map { "$_: $limits{$_}" } sort keys %limits;
    return server(<<~CONF . $ROUTES, cluster => $cluster, lanes => 1);
        workers: 1
        limits: { $limits }
        database:
          connect: ${\ $cluster->conninfo }
        CONF
}

# So many items, with commas between them, about that long in all.
sub list ($size, $item)
{
    my ($n, $len, @items) = (0, 0);
    while ($len < $size) {
        push @items, $item->($n++);
        $len += 1 + length $items[-1];
    }
    return \@items;
}

my $server = start();

sub post ($target, $json)
{
    return $server->request('POST', $target, json => $json);
}

subtest 'what is made of them is right' => sub {
    my $text = join '', map { "line $_ \\n \\\"quoted\\\" \\u00e9 \xc3\xa9 \\\\ " } 1 .. 60_000;
    my $want = $text =~ s/\\n/\n/gr =~ s/\\"/"/gr =~ s/\\u00e9/\xc3\xa9/gr =~ s/\\\\/\\/gr;
    is post('/text', qq({"n":1,"text":"$text"}))->json->{md5}, md5_hex($want), 'a text with escapes';
    $text =~ tr/\\"//d;
    is post('/text', qq({"text":"$text","n":2}))->json->{md5}, md5_hex($text), 'one without';
    is post('/text', '{"text":' . '1' x (2 * MB) . '}')->json->{md5}, md5_hex('1' x (2 * MB)), 'a number as a text';

    my $doc = '[' . join(",\n", @{ list(3 * MB, sub ($n) { qq({"n": $n, "t\\n$n": ["\\"", {}, null]}) }) }) . ']';
    is post('/doc', " $doc\n")->json->{md5}, md5_hex($doc), 'a document';

    my $texts = list(2 * MB, sub ($n) { $n % 7 == 0 ? 'null' : $n % 5 == 0 ? $n : qq("a\\t\\"$n, \\\\ {}") });
    my @texts = map { s/^"|"$//gr =~ s/\\t/\t/r =~ s/\\"/"/r =~ s/\\\\/\\/r } @$texts;
    is post('/texts', '{"texts": [ ' . join(" ,\n", @$texts) . ' ]}')->json->{md5}, md5_hex(join ',', @texts), 'an array of texts';
    is post('/texts', '{"texts":["a","' . 'x\\"' x MB . '"]}')->json->{md5}, md5_hex('a,' . 'x"' x MB),
      'an array with one that is long';

    my $docs = list(2 * MB, sub ($n) { $n % 3 == 0 ? qq({"a\\"":[$n,"]"]}) : $n % 3 == 1 ? qq("\\u0041,$n") : $n });
    is post('/docs', '{"docs":[' . join(',', @$docs) . ']}')->json->{md5}, md5_hex(join ',', @$docs), 'an array of documents';

    my $ids = list(3 * MB, sub ($n) { $n });
    is_deeply post('/ids', '{"ids":[' . join(',', @$ids) . ']}')->json, { sum => $#$ids * @$ids / 2, n => 0 + @$ids }, 'an array of numbers';
};

subtest 'what is wrong with them is found' => sub {
    my $numbers = join ',', map { $_ % 10 } 1 .. 2 * MB;
    my %wrong   = (
        '/doc'   => [ "[\n$numbers]x", undef, qr/nothing after the value \(line 2, column ${\ (length($numbers) + 2) }\)$/ ],
        '/text'  => [ '{"text":"' . 'x' x (4 * MB) . '","more":1}', 'more', qr/^more is not a body field of this route$/ ],
        '/texts' => [ "{\"texts\":[$numbers,[1]]}", 'texts', qr/^texts: element ${\ (2 * MB + 1) } must be a single value, not an array$/ ],
        '/ids'   => [ "{\"ids\":[$numbers,1.5]}", 'ids', qr/^ids: element ${\ (2 * MB + 1) } must be a whole number / ],
        '/docs'  => [ '{"docs":"' . 'x' x (4 * MB) . '","' . '\\u0061' x MB . '":1}', 'a' x 100 . "\x{2026}", qr/^a{100}\x{2026} is not a body field / ],
    );
    for my $target (sort keys %wrong) {
        my ($json, $parameter, $detail) = @{ $wrong{$target} };
        my $response = post($target, $json);
        problem_is $response, 400, { defined $parameter ? (parameter => $parameter) : () }, "$target: 400";
        like $response->json->{detail}, $detail, '… and says what is wrong';
    }
    my $long = '1' x 200_000;
    problem_is post('/ids', "{\"ids\":[1,$long]}"), 400, { parameter => 'ids' }, 'a number that is longer than any';
    problem_is post('/ids', "{\"ids\":[1,\"$long\"]}"), 400, { parameter => 'ids' }, '… also in quotes';
    problem_is post('/text', "{\"n\":$long,\"text\":\"\"}"), 400, { parameter => 'n' }, '… also by itself';
};

# How many other requests are answered between the last byte of a body and its answer.
sub answered_meanwhile ($target, $json)
{
    my ($client, $other) = ($server->client, $server->client);
    my $length = length $json;
    my $last   = chop $json;
    $client->send("POST $target HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: $length\r\n\r\n$json");
    $other->get('/') for 1 .. 200;    # so many turns of its loop are enough for it to read what is there
    $client->send($last);
    my $n = 0;
    while (!$client->readable(0)) {
        $other->get('/')->status == 200 or die 'not answered';
        $n++;
    }
    return ($client->receive, $n);
}

# It is refused by the worker, so no other process has a part in it. A busy machine may have us wait at the wrong time.
subtest 'others are answered meanwhile' => sub {
    my $keys   = join ',', map { qq("\\u0061$_":1) } 1 .. 131_000;
    my %bodies = (
        'one whose last byte is wrong' => [ '/doc', '[' . join(',', 1 .. MB) . ']x' ],
        'one with many keys'           => [ '/doc', "{$keys}x" ],
        'one with many lines'          => [ '/doc', '[' . "\n" x (4 * MB) . ']x' ],
        'one whose last element is'    => [ '/texts', '{"texts":[' . join(',', map { qq("\\n$_") } 1 .. MB) . ',[]]}' ],
        'one whose last number is'     => [ '/ids', '{"ids":[' . join(',', 1 .. MB) . ',""]}' ],
        'one whose last document is'   => [ '/docs', '{"docs":[' . join(',', map { qq({"a":$_}) } 1 .. MB / 2) . '],"n":0}' ],
        'one whose last field is'      => [ '/text', '{"text":"' . '\\n\\u00e9' x MB . '","x":0}' ],
    );
    for my $name (sort keys %bodies) {
        my ($status, $most) = (0, 0);
        for (1 .. 30) {
            my ($response, $n) = answered_meanwhile(@{ $bodies{$name} });
            $status = $response->status;
            $most   = max $most, $n;
            last if $most >= 5;
        }
        is $status, 400, "$name: 400";
        cmp_ok $most, '>=', 5, '… and five other requests were answered before it';
    }
};

# The most memory that the worker ever had, in bytes.
sub peak ($server)
{
    my ($worker) = $server->workers;
    my ($kilobytes) = slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+) kB/m or die 'the worker has ended';
    return $kilobytes * 1024;
}

subtest 'a long value is sent from where it lies' => sub {
    plan skip_all => 'built with sanitizers' if slurp($Hayfork::Test::HAYFORK) =~ /__asan_init/;
    my $fresh = start();
    my $text  = 'x' x (24 * MB);
    my $before = peak($fresh);
    is $fresh->request('POST', '/text', json => qq({"text":"$text"}))->json->{md5}, md5_hex($text), 'it is right';
    cmp_ok peak($fresh) - $before, '<', 1.5 * length $text, '… and was there once';
    is $fresh->stop, 'exit 0';
};

# What is made of a body needs memory as well.
subtest 'no memory for the values' => sub {
    my $little = start(body => '1M', body_total => '1M');
    my $texts  = join ',', ('"\\n"') x 160_000;
    my $other  = $little->client->send("POST /text HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{");
    $little->get('/');
    my $response = $little->request('POST', '/texts', json => qq({"texts":[$texts]}));
    problem_is $response, 503, {}, 'an array of texts is refused';
    is $response->json->{detail}, 'The memory for bodies is used up.', '… which says so';
    is $little->request('POST', '/texts', json => '{"texts":["a"]}')->json->{md5}, md5_hex('a'), 'a smaller one has room';
    like join("\n", $little->log_lines(qr/body_total/)), qr/ warn .*: limits\.body_total is reached: a body from 127\.0\.0\.1 was refused$/, 'the log says so';
    undef $other;
    is $little->stop, 'exit 0';
};

subtest 'a client that leaves takes its work with it' => sub {
    my $json = '[' . join(',', 1 .. MB / 2) . ']';
    for my $n (1 .. 20) {
        my $client = $server->client->ask('POST', '/doc', json => $json);
        $server->get('/') if $n % 2;
        $client->close($n % 3 ? 'reset' : '');
    }
    is post('/doc', $json)->json->{md5}, md5_hex($json), 'and nothing else';
};

subtest 'the deadline holds for reading, too' => sub {
    my $hasty    = start(deadline => '10ms', body_time => '60s');
    my $response = $hasty->request('POST', '/texts', json => '{"texts":[' . join(',', map { qq("\\n$_") } 1 .. MB) . ']}');
    problem_is $response, 503, {}, 'a body that cannot be read in time: 503, nothing was done';
    is $hasty->stop, 'exit 0';
};

is_deeply [ $server->log_lines(qr/ error |a new one takes its place/) ], [], 'nothing has gone wrong';
is $server->stop, 'exit 0', 'it ends well';

done_testing;
