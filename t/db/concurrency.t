# Many requests at once on few database connections: everybody gets the answer to what he asked.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster->load_contacts;

# The right answer for each contact, as PostgreSQL writes it.
my %expected = map { /^(\d+)\|(.*)$/ } split /\n/, $cluster->psql(<<~SQL);
    SELECT id, row_to_json(q) FROM (SELECT id, firstname, lastname, phone, email FROM contact) q
    SQL
is scalar keys %expected, 10_000, 'ten thousand contacts to ask for';

# All ids once, in an order that looks random and is the same each time (4,321 and 10,000 share no factor).
sub id ($n) { return $n * 4321 % 10_000 + 1 }

sub is_contact ($id, $response)
{
    return 0 if $response->status != 200;
    return 1 if $response->body eq $expected{$id};
    return Hayfork::Test::Json::canonical($response->body) eq Hayfork::Test::Json::canonical($expected{$id});
}

my $server = sample_server($cluster);

subtest '10,000 requests for different contacts over 64 connections' => sub {
    my $load = $server->load(
        requests    => 10_000,
        connections => 64,
        target      => sub ($n) { '/contacts/' . id($n) },
        check       => sub ($n, $response) { is_contact(id($n), $response) },
    );
    is $load->summary, '200: 10000, lost: 0', 'all are answered';
    is_deeply [ $load->wrong ], [], 'each with its own contact';
    cmp_ok $cluster->sessions, '>=', 4, 'over one database session per worker and lane';
    cmp_ok $cluster->sessions, '<=', 4 * 8, '… and no more than the lanes may have';
};

subtest 'all kinds of routes and mistakes mixed, over 64 connections' => sub {
    my @kinds = (
        [ sub ($n) { '/contacts/' . id($n) }, sub ($n, $r) { is_contact(id($n), $r) } ],
        [ sub ($n) { '/contacts/x' . id($n) }, sub ($n, $r) { $r->status == 400 && $r->body =~ /"parameter":"id"/ } ],
        [ sub ($n) { '/contacts/' . (id($n) + 10_000) }, sub ($n, $r) { $r->status == 404 } ],
        [ sub ($n) { '/' },          sub ($n, $r) { $r->status == 200 && $r->header('Content-Type') =~ /^text/ } ],
        [
            sub ($n) { '/contacts?limit=1&after=' . (id($n) - 1) },
            sub ($n, $r) { $r->status == 200 && $r->body eq '[' . $expected{ id($n) } . ']' }
        ],
        [ sub ($n) { '/nowhere/' . id($n) }, sub ($n, $r) { $r->status == 404 } ],
    );
    my $load = $server->load(
        requests    => 4_000,
        connections => 64,
        target      => sub ($n) { $kinds[ $n % @kinds ][0]->($n) },
        check       => sub ($n, $response) { $kinds[ $n % @kinds ][1]->($n, $response) },
    );
    is $load->lost, 0, 'all are answered';
    is_deeply [ $load->wrong ], [], 'each in its own way';
};

subtest 'the whole list beside single contacts' => sub {
    my $list = $server->get('/contacts')->body;
    json_is $list, $cluster->rows_as_json('SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id'),
      'the list is right';
    my $load = $server->load(
        requests    => 400,
        connections => 16,
        target      => sub ($n) { $n % 20 ? '/contacts/' . id($n) : '/contacts' },
        check       => sub ($n, $response) {
            return $n % 20 ? is_contact(id($n), $response) : $response->body eq $list;
        },
    );
    is $load->summary, '200: 400, lost: 0', 'all are answered';
    is_deeply [ $load->wrong ], [], 'each with its own contacts';
};

subtest 'more clients at once than a lane sends at once' => sub {
    my @clients = map { $server->client } 1 .. 200;
    for my $round (1 .. 5) {
        $clients[$_]->ask('GET', '/contacts/' . id($_ * $round)) for 0 .. $#clients;
        my @wrong = grep { !is_contact(id($_ * $round), $clients[$_]->receive) } 0 .. $#clients;
        is "@wrong", '', "200 clients, round $round";
    }
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;
