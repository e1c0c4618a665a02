# Routes with `images`, where the original comes from: a row, another service; and what becomes of other answers.
use v5.36;

use Hayfork::Test;

use IO::Socket::IP;

use Hayfork::Test::Picture qw(needs_images draw ramp decode worst_difference magick);
use Hayfork::Test::Process qw(slurp spew temporary_folder);

needs_images;
needs_postgres;

my $top = temporary_folder();
my ($WIDTH, $HEIGHT) = (90, 60);
draw("$top/ramp.png", $WIDTH, $HEIGHT, ramp($WIDTH, $HEIGHT));
my $picture = slurp("$top/ramp.png");
# More than goes through in one piece: noise is not to be compressed.
srand 1;
draw("$top/noise.png", 400, 300, sub ($x, $y) { [ map { int rand 256 } 1 .. 3 ] });
my $noise = slurp("$top/noise.png");
cmp_ok length $noise, '>', 300_000, 'the large one is large';

my $cluster = cluster;
$cluster->psql('CREATE TABLE photo (id int PRIMARY KEY, bytes bytea, title text)');
my $n = 0;
for my $bytes ($picture, $noise, 'no picture', '') { # longer than a command line may be
    my $hex = unpack 'H*', $bytes;
    $cluster->run_psql('contacts', '-f', spew("$top/insert.sql", "INSERT INTO photo VALUES (@{[ ++$n ]}, decode('$hex', 'hex'), 'x')"));
}
$cluster->psql('INSERT INTO photo VALUES (5, NULL, NULL)');
$cluster->psql('GRANT ALL ON photo TO PUBLIC');

# The service behind the relay: it answers as the path says, and keeps what it was asked.
my $asked  = "$top/asked";
my $listen = IO::Socket::IP->new(Listen => 16, LocalHost => '127.0.0.1', Proto => 'tcp') or die $!;
my $port   = $listen->sockport;
my %answer = (
    '/whole' => "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nETag: \"v1\"\r\nCache-Control: max-age=5\r\nContent-Length: "
      . length($picture)
      . "\r\n\r\n$picture",
    '/chunks' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      . join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a70000)*', $noise)
      . "0\r\n\r\n",
    '/cut'   => "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n$picture",
    '/coded' => "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " . length($picture) . "\r\n\r\n$picture",
    '/none'  => "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnone\n",
    '/moved' => "HTTP/1.1 302 Found\r\nLocation: /whole\r\nContent-Length: 0\r\n\r\n",
);
my $service = fork // die $!;
if ($service == 0) {
    while (my $socket = $listen->accept) {
        local $/ = "\r\n\r\n";
        my $head = <$socket> // next;
        spew($asked, $head);
        my ($path) = $head =~ m{^\w+ ([^ ?]+)};
        print $socket $answer{$path} // $answer{'/none'};
        close $socket;
    }
    exit;
}
END { kill KILL => $service if $service }

my $server = server(<<~CONF, cluster => $cluster, options => { 'database.connect' => $cluster->conninfo });
    workers: 1
    helpers: { images: 1 }
    limits: { images: { bytes_in: 1M } }
    routes:
      GET /photos/{id}:
        sql: "SELECT bytes FROM photo WHERE id = :id AND (title = :title OR :title IS NULL)"
        answer: value
        images: on
        query: { w: { max: 500 }, fm: null, title: null }
        headers: { Cache-Control: "max-age=60" }
      GET /big/{id}:
        sql: "SELECT bytes || repeat('x', 1048577)::bytea FROM photo WHERE id = :id"
        answer: value
        images: on
        query: { w: { max: 500 } }
      GET /r/{path...}:
        relay: http://127.0.0.1:$port/{path...}
        images: on
        query: { w: { max: 500 }, fm: null, auto: null }
    CONF

sub small ($x, $y) { [ ($x + 0.5) * 255 / 45, ($y + 0.5) * 255 / 30, 128 ] }

subtest 'a row' => sub {
    my $response = $server->get('/photos/1?w=45');
    is $response->status, 200, 'status';
    is $response->header('Content-Type'), 'image/png', 'the type is the picture\'s';
    is $response->header('Cache-Control'), 'max-age=60', 'the route\'s own fields';
    cmp_ok worst_difference(decode($response->body), \&small), '<=', 4, 'the picture';
    my $tag = $response->header('ETag');
    is $server->get('/photos/1?w=45', headers => { 'If-None-Match' => $tag })->status, 304, 'its tag is that of its bytes';
    isnt $server->get('/photos/2?w=45')->header('ETag'), $tag, '… and another picture has another one';
    is decode($server->get('/photos/2?w=45&title=x')->body)->{width}, 45, 'with a parameter of the SQL beside those of images';
    problem_is $server->get('/photos/2?w=45&title=y'), 404, {}, '… which does its work';
    problem_is $server->get('/photos/2?w=45&other=y'), 400, { parameter => 'other' }, 'an unknown one';
    problem_is $server->get('/photos/2?h=45'), 400, { parameter => 'h' }, 'one of images that the route does not have';
    problem_is $server->get('/photos/x?w=45'), 400, { parameter => 'id' }, 'a path that is no number';
    problem_is $server->get("/photos/$_?w=45"), $_ == 5 ? 404 : 415, {}, "row $_: no picture" for 3, 4, 5;
    problem_is $server->get('/big/1?w=45'), 413, {}, 'too many bytes';
    my $head = $server->request(HEAD => '/photos/1?w=45');
    is $head->header('Content-Length'), length $response->body, 'HEAD';
    is $head->body, '', '… without a body';
};

subtest 'another service' => sub {
    my $response = $server->get('/r/whole?w=45', headers => { Range => 'bytes=0-1', 'If-Match' => '*', 'Accept-Encoding' => 'gzip' });
    is $response->status, 206, 'status';
    is $response->body, substr($picture, 0, 2), 'a part of the picture';
    my $head = slurp($asked);
    like $head, qr{^GET /whole HTTP/1\.1\r\n}, 'it is asked for the original, by GET and without the parameters';
    unlike $head, qr/^(?:Range|If-Match|Accept-Encoding):/mi, '… and without what is about the picture';
    $response = $server->get('/r/whole?w=45');
    cmp_ok worst_difference(decode($response->body), \&small), '<=', 4, 'the picture';
    is $response->header('Cache-Control'), 'max-age=5', 'its fields are passed on';
    isnt $response->header('ETag'), '"v1"', '… but not the tag';
    is decode($server->get('/r/chunks?w=45')->body)->{width}, 45, 'a body that comes piece by piece';
    is $server->request(HEAD => '/r/chunks?w=45')->status, 200, 'HEAD';
    like slurp($asked), qr{^GET /chunks }, '… which takes the original, too';
    problem_is $server->get('/r/cut?w=45'), 502, {}, 'one that ends too early';
    problem_is $server->get('/r/coded?w=45'), 415, {}, 'one in a content coding';
    is $server->get('/r/none?w=45')->body, "none\n", 'what is no 200 is passed on';
    is $server->get('/r/moved?w=45')->header('Location'), '/whole', '… as it is';
    is $server->get('/r/whole?w=45')->status, 200, 'all goes on';
};

is $server->stop, 'exit 0';
done_testing;
