# The routes of the conf that comes with Hayfork, each answer compared with what PostgreSQL itself says.
use v5.36;

use Hayfork::Test;

use Time::HiRes qw(time);
use Time::Local qw(timegm_modern);

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster->load_contacts;
my $server  = sample_server($cluster);
my $client  = $server->client;

my $CONTACT = 'SELECT id, firstname, lastname, phone, email FROM contact';

subtest 'GET / is a text' => sub {
    my $response = $client->get('/');
    is $response->status, 200;
    header_is $response, 'Content-Type',   'text/plain; charset=utf-8';
    header_is $response, 'Content-Length', length $response->body;
    like $response->body, qr/\S.*\n\z/, 'something for people';
};

subtest 'GET /contacts/{id} is one contact' => sub {
    for my $id (1, 2, 4711, 10_000) {
        my $response = $client->get("/contacts/$id");
        is $response->status, 200, "/contacts/$id";
        header_is $response, 'Content-Type',   'application/json';
        header_is $response, 'Content-Length', length $response->body;
        json_is $response->body, $cluster->row_as_json("$CONTACT WHERE id = $id"), '… as row_to_json has it';
    }
    my $first = $client->get('/contacts/1')->body;
    like $first, qr/^\{"id":1,"firstname":"[^"]+","lastname":"[^"]+","phone":"[^"]+","email":"[^"]+"\}$/,
      'compact, in the order of the columns';
};

subtest 'GET /contacts/%31 is contact 1: percent-encoding is undone in values' => sub {
    is $client->get('/contacts/%31')->body, $client->get('/contacts/1')->body;
};

subtest 'SQL NULL is null, an empty text is empty' => sub {
    my $null  = $cluster->value('SELECT min(id) FROM contact WHERE firstname IS NULL AND phone IS NULL AND email IS NULL');
    my $empty = $cluster->value(q(SELECT min(id) FROM contact WHERE firstname = '' AND phone = '' AND email = ''));
    like $client->get("/contacts/$null")->body,
      qr/^\{"id":$null,"firstname":null,"lastname":"[^"]+","phone":null,"email":null\}$/;
    like $client->get("/contacts/$empty")->body,
      qr/^\{"id":$empty,"firstname":"","lastname":"[^"]+","phone":"","email":""\}$/;
};

subtest 'quotes, backslashes and characters beyond the basic plane arrive whole' => sub {
    my $id = $cluster->value(<<~'SQL');
        SELECT min(id) FROM contact
         WHERE contact::text LIKE '%"%' AND contact::text LIKE '%\\%'
           AND octet_length(firstname || lastname) > char_length(firstname || lastname) + 3
        SQL
    ok $id, "contact $id is such a one";
    my $response = $client->get("/contacts/$id");
    json_is $response->body, $cluster->row_as_json("$CONTACT WHERE id = $id"), "/contacts/$id";
    is $response->json->{firstname}, decoded($cluster->value("SELECT firstname FROM contact WHERE id = $id")),
      'firstname, once decoded';
    is $response->json->{lastname}, decoded($cluster->value("SELECT lastname FROM contact WHERE id = $id")),
      'lastname, once decoded';
};

subtest 'GET /contacts is all of them, in one array' => sub {
    my $response = $client->get('/contacts');
    is $response->status, 200;
    header_is $response, 'Content-Type', 'application/json';
    json_is $response->body, $cluster->rows_as_json("$CONTACT ORDER BY id"), 'as json_agg has it';
    is scalar(() = $response->body =~ /\{"id":/g), 10_000, 'ten thousand';
};

subtest 'GET /contacts?after=…&limit=… is a page' => sub {
    for (
        [ '?limit=3',              'id > 0 ORDER BY id LIMIT 3' ],
        [ '?after=17&limit=5',     'id > 17 ORDER BY id LIMIT 5' ],
        [ '?limit=5&after=17',     'id > 17 ORDER BY id LIMIT 5' ],
        [ '?after=9998',           'id > 9998 ORDER BY id' ],
        [ '?after=10000',          'id > 10000' ],
        [ '?limit=0',              'id > 0 LIMIT 0' ],
        [ '?%6Cimit=%32',          'id > 0 ORDER BY id LIMIT 2' ],
        [ '?after=&limit=2',       'id > 0 ORDER BY id LIMIT 2' ],
      ) {
        my ($query, $where) = @$_;
        my $response = $client->get("/contacts$query");
        is $response->status, 200, "/contacts$query";
        json_is $response->body, $cluster->rows_as_json("$CONTACT WHERE $where"), '… as json_agg has it';
    }
};

subtest 'GET /v1/avatar is a list of 20, the first made just now' => sub {
    my $inner    = $server->at('inner');
    my $before   = time;
    my $response = $inner->get('/v1/avatar');
    my $after    = time;
    is $response->status, 200;
    header_is $response, 'Content-Type',   'application/json';
    header_is $response, 'Content-Length', length $response->body;

    my ($stamp) = $response->body =~ /^\[\{"createdAt":"([^"]+)"/;
    like $stamp, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'ISO 8601 with milliseconds, in UTC';
    my ($y, $mon, $d, $h, $min, $s, $ms) = $stamp =~ /\d+/g;
    my $created = timegm_modern($s, $min, $h, $d, $mon - 1, $y) + $ms / 1000;
    cmp_ok $created, '>', $before - 1, 'not before the request';
    cmp_ok $created, '<', $after + 1,  'not after it';

    my $rows = $cluster->value('SELECT json_agg(a ORDER BY id::int) FROM avatar a');
    json_is $response->body =~ s/\Q$stamp\E/FIRST/r, $rows =~ s/"createdAt":"\K[^"]+/FIRST/r,
      'all else is the rows of table avatar, with createdAt, name, avatar, id in that order';
    is scalar @{ $response->json }, 20;

    ok wait_for('another time', sub { $inner->get('/v1/avatar')->body !~ /\Q$stamp\E/ }),
      'the time is each request\'s own';
};

subtest 'GET /v1/user is that list, relayed, with headers of its own' => sub {
    my $response = $client->get('/v1/user');
    is $response->status, 200;
    header_is $response, 'Content-Type', 'application/json';
    header_is $response, 'Engine',       'Hayfork';
    header_is $response, 'Location',     '/v1/user';
    my $list = $server->at('inner')->get('/v1/avatar');
    is $response->body =~ s/"createdAt":"[^"]+"/NOW/r, $list->body =~ s/"createdAt":"[^"]+"/NOW/r, 'the same list';
    problem_is $client->get('/v1/avatar'), 404, {}, 'which is not for the public itself';
    problem_is $server->at('inner')->get('/v1/user'), 404, {}, 'nor is this for the other listener';
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;

sub decoded ($bytes)
{
    utf8::decode($bytes);
    return $bytes;
}
