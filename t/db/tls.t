# PostgreSQL by way of TLS: the same answers as without. What a TLS layer holds back of an answer comes as well, large
# bodies get through, and nobody's query goes out in the clear.
use v5.36;

use Hayfork::Test;

use Digest::MD5 qw(md5_hex);

use Hayfork::Test::Download;
use Hayfork::Test::Ledger;
use Hayfork::Test::Process qw(run wait_for slurp spew temporary_folder);

use constant MEGABYTE => 1 << 20;

needs_postgres;
needs_program('openssl');

# A cluster that takes TCP connections on the loopback interface, all of them with TLS.
my $cluster = cluster->load_contacts->stop;
my $data    = "$cluster->{folder}/data";
my $made    = run(
    [
        qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost),
        '-addext', 'subjectAltName=DNS:localhost', '-keyout', "$data/server.key", '-out', "$data/server.crt"
    ]
);
$made->{exit} eq 'exit 0' or die "openssl: $made->{stderr}";
chmod 0600, "$data/server.key" or die "chmod: $!";
chown @{ $cluster->{as} }{qw(uid gid)}, "$data/server.key", "$data/server.crt" if defined $cluster->{as};
spew("$data/pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n");
my %tls = (ssl => 'on', listen_addresses => '127.0.0.1', port => Hayfork::Test::Server::free_port());
$cluster->boot(%tls);
my $connect = "host=127.0.0.1 port=$tls{port} user=postgres dbname=contacts sslmode=require";

# A worker takes answers from PostgreSQL faster than a socket of this kind takes them from it: it has to pause.
my $unix = 'unix:' . temporary_folder() . '/http';

# A server with one worker. with: connect; spill.
sub start (%with)
{
    return server(<<~CONF, cluster => $cluster, lanes => 2, also => [$unix]);
        workers: 1
        limits: { stall: 50s, deadline: 50s, body: 64M, buffer: 16K }
        database:
          connect: ${\ ($with{connect} // $connect) }
          connections: 8
          spill: ${\ ($with{spill} // '10ms') }
        routes:
          GET /contacts/{id}:
            sql: |
              SELECT id, firstname, lastname, phone, email FROM contact WHERE id = :id
            answer: row
          GET /session:
            sql: |
              SELECT ssl, pg_backend_pid() AS pid FROM pg_stat_ssl WHERE pid = pg_backend_pid()
            answer: row
          POST /session:
            sql: |
              SELECT ssl, pg_backend_pid() AS pid FROM pg_stat_ssl WHERE pid = pg_backend_pid()
            answer: row
          GET /text/{length}:
            sql: |
              SELECT repeat('x', :length) AS text
            answer: value
          GET /rows/{n}:
            sql: |
              SELECT generate_series(1, :n::int) AS n, repeat('x', 1000) AS note
            answer: rows
          GET /texts/{n}/{length}:
            sql: |
              SELECT repeat('x', :length) AS text FROM generate_series(1, :n::int)
            answer: rows
          GET /endless:
            sql: |
              SELECT generate_series(1, 1000000000000) AS n, repeat('x', 60) AS note
            answer: rows
          POST /sum:
            sql: |
              SELECT md5(:text) AS sum, length(:text) AS length
            body: [text]
            answer: row
          GET /gate/{id}:
            sql: |
              SELECT id FROM contact, pg_advisory_xact_lock_shared(1) WHERE id = :id
            answer: row
        CONF
}

# How many of Hayfork's sessions use TLS, and how many do not.
sub sessions ()
{
    return $cluster->value(<<~'SQL', 'postgres');
        SELECT count(*) FILTER (WHERE ssl) || ' and ' || count(*) FILTER (WHERE NOT ssl)
          FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'hayfork'
        SQL
}

# How many of its queries with this in their text PostgreSQL is at.
sub running ($text)
{
    return $cluster->value(<<~SQL);
        SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND state = 'active' AND query LIKE '%$text%'
        SQL
}

sub contacts_are_answered ($server, $name)
{
    my $client = $server->client;
    my @wrong  = grep { $client->get("/contacts/$_")->json->{id} != $_ } 1 .. 50;
    return is "@wrong", '', $name;
}

# The body of /rows/$n.
sub rows ($n)
{
    my $note = 'x' x 1000;
    return '[' . join(',', map { qq({"n":$_,"note":"$note"}) } 1 .. $n) . ']';
}

sub ends_well ($server)
{
    is_deeply [ $server->log_lines(qr/a new one takes its place|Sanitizer|runtime error:/) ], [],
      'the worker is the one of the beginning';
    return is $server->stop, 'exit 0', 'it ends well';
}

subtest 'answers' => sub {
    my $server = start();
    # More than two where the machine is so busy that another connection was opened.
    like sessions(), qr/\A[2-8] and 0\z/, 'both sessions use TLS';
    ok $server->request($_, '/session')->json->{ssl}, "… PostgreSQL says that to a $_, too" for 'GET', 'POST';
    my $load = $server->load(
        requests    => 2000,
        connections => 32,
        target      => sub ($n) { '/contacts/' . (1 + $n % 500) },
        check       => sub ($n, $response) { $response->json->{id} == 1 + $n % 500 },
    );
    is $load->summary, '200: 2000, lost: 0', 'many at once';
    is_deeply [ $load->wrong ], [], '… each with its own answer';
    problem_is $server->get('/contacts/0'), 404, {}, 'no row';
    ends_well($server);
};

subtest 'answers of any length come to their end' => sub {
    my $server = start();
    my $client = $server->client;
    my @wrong;
    for my $length (0 .. 100, map({ $_ * 8192 - 60 .. $_ * 8192 + 20 } 1, 2), map { 200_000 + 500 * $_ } 0 .. 17) {
        my $response = $client->get("/text/$length");
        next if $response->status == 200 && $response->body eq 'x' x $length;
        push @wrong, $length;
        last;
    }
    is "@wrong", '', 'each of them';
    ends_well($server);
};

# Are these answered, to as many readers that have them wait at first?
sub all_of_it_comes ($name, %expected)
{
    my %download = map { $_ => Hayfork::Test::Download->start($unix, $_) } keys %expected;
    wait_for('all of them to begin', sub { !grep { $_->silent(0) } values %download });
    my @wrong =
      grep { $download{$_}->finish ne 'whole' || $download{$_}->digest ne md5_hex($expected{$_}) } sort keys %expected;
    return is "@wrong", '', $name;
}

subtest 'big results to readers that pause' => sub {
    my $server = start();
    for my $most (540, 600, 660) {
        all_of_it_comes("up to $most rows", map { ("/rows/$_" => rows($_)) } map { $most - 7 * $_ } 0 .. 5);
    }
    for my $most (142_500, 145_500, 148_500) {
        # The second one fills the reader's socket, so that it is after the third and last one that the query pauses.
        all_of_it_comes("three texts of up to $most bytes",
            map { ("/texts/3/$_" => '[' . join(',', ('{"text":"' . 'x' x $_ . '"}') x 3) . ']') }
            map { $most - 500 * $_ } 0 .. 5);
    }
    contacts_are_answered($server, 'and short ones');
    ends_well($server);
};

subtest 'an endless result' => sub {
    my $server   = start();
    my $download = Hayfork::Test::Download->start($server->address, '/endless', receive_buffer => 65_536);
    for (1 .. 8) {
        $download->take(MEGABYTE);
        contacts_are_answered($server, 'others are answered while its reader pauses') if $_ % 4 == 0;
    }
    $download->close;
    wait_for('its query to be ended', sub { !running('generate_series') });

    $download = Hayfork::Test::Download->start($server->address, '/endless', receive_buffer => 65_536)->take(MEGABYTE);
    $cluster->psql(<<~'SQL');
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND query LIKE '%generate_series%'
        SQL
    is $download->finish, 'broken', 'one whose connection is lost breaks off';
    contacts_are_answered($server, 'others do not notice');
    ends_well($server);
};

subtest 'bodies of some megabytes' => sub {
    my $server = start();
    my @texts  = map { chr(96 + $_) x (MEGABYTE * $_ + 4321 * $_) } 1 .. 6;
    my @asked  = map { $server->client->ask('POST', '/sum', json => qq({"text":"$_"})) } @texts;
    contacts_are_answered($server, 'reads are answered meanwhile');
    for my $text (@texts) {
        my $response = (shift @asked)->receive('POST');
        is $response->body, sprintf('{"sum":"%s","length":%d}', md5_hex($text), length $text),
          'all ' . length($text) . ' bytes arrive';
    }
    ends_well($server);
};

subtest 'bodies behind one that waits to be sent' => sub {
    my $server = start(spill => '30s');    # so that they all go to the same connection
    my $pid    = $server->request('POST', '/session')->json->{pid};
    kill 'STOP', $pid or die "kill: $!";
    my @texts = map { chr(96 + $_) x (MEGABYTE * $_) } 8, 1, 3, 2;
    my @asked = map { $server->client->ask('POST', '/sum', json => qq({"text":"$_"})) } @texts;
    ok !$asked[0]->readable(0.5), 'while PostgreSQL reads nothing';
    contacts_are_answered($server, 'reads are answered');
    kill 'CONT', $pid;
    is_deeply [ map { $_->receive('POST')->json->{sum} } @asked ], [ map { md5_hex($_) } @texts ], 'all of them arrive';
    is $server->request('POST', '/session')->json->{pid}, $pid, '… by that connection';
    ends_well($server);
};

subtest 'a certificate that is looked at, by the connections beyond the first, too' => sub {
    # The cluster's folder is closed to workers, even to those of root.
    my $certificate = spew(temporary_folder() . '/server.crt', slurp("$data/server.crt"));
    my $server      = start(connect => $connect =~ s/host=127\S+/host=localhost hostaddr=127.0.0.1/r
          =~ s/sslmode=\S+/sslmode=verify-full sslrootcert=$certificate/r);
    my $gate = $cluster->hold('SELECT pg_advisory_xact_lock(1)');
    my @slow = map { $server->client->ask('GET', "/gate/$_") } 1 .. 3;
    wait_for('more connections', sub { sessions() =~ /^[4-9] and 0$/ });
    contacts_are_answered($server, 'quick ones are answered beside slow ones');
    $cluster->let_go($gate);
    is $_->receive->status, 200, 'a slow one is answered, too' for @slow;
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    ends_well($server);
};

subtest 'sessions that end, and restarts, under a load of all kinds' => sub {
    my $ledger = Hayfork::Test::Ledger->new($cluster, seed => $ENV{HAYFORK_SEED} // 1);
    my $server = server(<<~CONF . $ledger->routes, cluster => $cluster, lanes => 2);
        workers: 2
        limits: { buffer: 16K }
        database: { connect: "$connect" }
        CONF
    my @workers = $server->workers;
    my $end_all = sub {
        $cluster->psql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hayfork'));
    };
    my $load = $ledger->load($server, requests => 2_000, connections => 32,
        at => { 400 => $end_all, 800 => $end_all, 1_200 => sub { $cluster->stop->boot(%tls) } });
    is_deeply [ $load->wrong ], [], 'each answer is the right one, or an error as it should be';
    is $load->lost, 0, 'nobody is left without an answer: ' . $load->summary;
    is_deeply [ $ledger->mismatches ], [], 'the table holds what the answers say';
    is_deeply [ $server->workers ], \@workers, 'from the same workers';
    $server->wait_for_sessions($cluster);
    like sessions(), qr/ and 0$/, 'all sessions use TLS';
    $load = $ledger->load($server, requests => 500, connections => 32);
    is $load->count(503) + $load->count(504) + $load->lost + $load->broken + $load->wrong, 0, 'then all is as before';
    ends_well($server);
};

subtest 'PostgreSQL without TLS' => sub {
    $cluster->stop->boot(%tls, ssl => 'off');
    my $server = server(<<~CONF);
        workers: 1
        database: { connect: "$connect" }
        routes:
          GET /one:
            sql: |
              SELECT 1 AS one
            answer: row
        CONF
    problem_is $server->get('/one'), 503, {}, 'is not asked';
    my ($line) = $server->log_lines(qr/ error /);
    like $line, qr/server does not support SSL/, 'the log says why';
    $cluster->stop->boot(%tls);
    is $server->wait_for_status('/one', 200)->body, '{"one":1}', 'until it has it';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
