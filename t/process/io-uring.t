# Answers of a turn go out by io_uring(7) or, where that is off or not available, one by one: nobody sees a difference.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster->load_contacts;

my %contact = map { /^(\d+)\|(.*)$/ } split /\n/, $cluster->psql(<<~SQL);
    SELECT id, row_to_json(q) FROM (SELECT id, firstname, lastname, phone, email FROM contact WHERE id <= 64) q
    SQL

# The first avatar has the time of the answer.
sub has_avatars ($response) { return $response->body =~ /^\[\{"createdAt":"20.*"avatar":.*"id":"20"\}\]$/ }

sub is_contact ($id, $response)
{
    return Hayfork::Test::Json::canonical($response->body) eq Hayfork::Test::Json::canonical($contact{$id});
}

my @KINDS = (
    [ sub ($n) { '/contacts/' . ($n % 64 + 1) }, sub ($n, $response) { is_contact($n % 64 + 1, $response) } ],
    [ sub ($n) { '/v1/user' },                   sub ($n, $response) { has_avatars($response) } ],
    [ sub ($n) { '/nowhere' },                   sub ($n, $response) { $response->status == 404 } ],
    [ sub ($n) { '/contacts' },                  sub ($n, $response) { length $response->body > 500_000 } ],
);

sub kind ($n) { return $KINDS[ $n % 200 == 0 ? 3 : $n % 3 ] }

sub serves_all ($server)
{
    my $load = $server->load(
        requests    => 2_000,
        connections => 64,
        target      => sub ($n) { kind($n)->[0]->($n) },
        check       => sub ($n, $response) { kind($n)->[1]->($n, $response) },
    );
    is $load->lost, 0, 'all are answered';
    is_deeply [ $load->wrong ], [], 'each with what it asked for';

    my @closing = map { $server->client->ask('GET', '/v1/user', headers => { Connection => 'close' }) } 1 .. 32;
    is scalar(grep { has_avatars($_->receive) && $_->at_end } @closing), 32, 'connections end, each after its answer';

    my $many = $server->client;
    $many->send(join '', map { "GET /contacts/$_ HTTP/1.1\r\nHost: x\r\n\r\n" } 1 .. 40);
    is scalar(grep { is_contact($_, $many->receive) } 1 .. 40), 40, 'requests in one piece are answered in their order';
    is $server->stop, 'exit 0', 'it ends well';
    return $server->log_lines(qr/ (?:warn|error) /);
}

my $SAYS    = qr/io_uring is unavailable/;
my $WITHOUT = "$Hayfork::Test::TOP_SRCDIR/t/tools/without-call";

subtest 'as it is' => sub {
    my $server = sample_server($cluster);
    is_deeply [ serves_all($server) ], [], 'without a complaint';
};

subtest 'io_uring: off' => sub {
    my $server = sample_server($cluster, options => { io_uring => 'off' });
    is_deeply [ serves_all($server) ], [], 'without a complaint';
    is_deeply [ $server->log_lines($SAYS) ], [], 'which the log does not speak of';
};

subtest 'where a container does not allow it' => sub {
    my $server = sample_server($cluster, under => [ $WITHOUT, 'io_uring_setup' ]);
    is_deeply [ serves_all($server) ], [], 'without a complaint';
    my @lines = $server->log_lines($SAYS);
    is scalar @lines, 1, 'one line of the log says so';
    like $lines[0], qr/ info .*Operation not permitted/, 'and why; it is no mistake';
};

subtest 'where it is there, and does not work' => sub {
    my $server = sample_server($cluster, under => [ $WITHOUT, 'io_uring_enter' ]);
    my @lines  = serves_all($server);
    my $least = $server->log_lines($SAYS) ? 0 : 1;    # where there is none anyway
    cmp_ok scalar @lines, '>=', $least, 'the log says so';
    cmp_ok scalar @lines, '<=', 2, '… once for each worker';
    is_deeply [ grep { !/io_uring failed: this worker sends without it from now on/ } @lines ], [],
      'and no other complaint';
};

done_testing;
