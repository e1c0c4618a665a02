# A database that cannot be used as the conf says: one line in the log that names the reason, 503 for the
# requests, and service as soon as it is put right.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(spawn wait_for temporary_folder);

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->psql(q(CREATE ROLE guarded LOGIN PASSWORD 'old'; GRANT SELECT ON contact TO guarded));

sub start ($conninfo, $workers = 2)
{
    return server(<<~CONF);
        workers: $workers
        database:
          connect: $conninfo
        routes:
          GET /:
            text: "hello\\n"
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
        CONF
}

# Checks a server that cannot use its database, whose log must say why in one line; then puts it right.
#   refused   what PostgreSQL logs for each attempt
sub stays_out ($server, $reason, %with)
{
    problem_is $server->get('/contacts/1'), 503, {}, 'a request gets 503';
    is $server->get('/')->status, 200, 'what needs no database is served';

    # It tries again and again, without a line for each time.
    my $tries = () = $cluster->log =~ /$with{refused}/g;
    wait_for('some more attempts', sub { (() = $cluster->log =~ /$with{refused}/g) >= $tries + 4 });
    my @lines = $server->log_lines(qr/ (?:error|warn) /);
    is scalar @lines, 1, 'one line in the log';
    like $lines[0], $reason, '… that names the reason';
    unlike $server->log, qr/guess|password=/, '… and no secret';

    $with{cure}->();
    is $server->wait_for_status('/contacts/1', 200)->body, '{"id":1}', 'it serves as soon as that is right';
    is $server->stop, 'exit 0';
    return;
}

subtest 'a database that does not exist' => sub {
    stays_out start($cluster->conninfo(dbname => 'nowhere')),
      qr/cannot connect to the database.*database "nowhere" does not exist/,
      refused => qr/database "nowhere" does not exist/,
      cure    => sub {
        $cluster->psql('CREATE DATABASE nowhere', 'postgres');
        $cluster->load_contacts('nowhere');
      };
};

subtest 'a wrong password' => sub {
    stays_out start($cluster->conninfo(user => 'guarded', password => 'guess')),
      qr/cannot connect to the database.*password authentication failed for user "guarded"/,
      refused => qr/password authentication failed for user "guarded"/,
      cure    => sub { $cluster->psql(q(ALTER ROLE guarded PASSWORD 'guess')) };
};

subtest 'a role that may not log in' => sub {
    $cluster->psql('CREATE ROLE locked NOLOGIN; GRANT SELECT ON contact TO locked');
    stays_out start($cluster->conninfo(user => 'locked')),
      qr/cannot connect to the database.*role "locked" is not permitted to log in/,
      refused => qr/role "locked" is not permitted to log in/,
      cure    => sub { $cluster->psql('ALTER ROLE locked LOGIN') };
};

subtest 'a table that does not exist' => sub {
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
          GET /ghosts/{id}:
            sql: |
              SELECT id FROM ghost WHERE id = :id
            answer: row
        CONF
    my @lines = $server->log_lines(qr/ error /);
    is scalar @lines, 1, 'one line in the log';
    like $lines[0], qr{GET /ghosts/\{id\}.*relation "ghost" does not exist}, '… that names route and reason';
    my $response = $server->get('/ghosts/1');
    problem_is $response, 500, {}, 'the route answers 500';
    unlike $response->body, qr/ghost"|relation|SELECT/, '… without a word about the database';
    is $server->get('/contacts/1')->status, 200, 'the other route serves';
    is $server->stop, 'exit 0';
};

subtest 'a table that is dropped and made again' => sub {
    $cluster->psql('CREATE TABLE coming AS SELECT 1 AS id');
    my $server = server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          GET /coming:
            sql: |
              SELECT id FROM coming
            answer: row
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
        CONF
    is $server->get('/coming')->body, '{"id":1}', 'while it is there';
    $cluster->psql('DROP TABLE coming');
    my $response = $server->get('/coming');
    problem_is $response, 500, {}, 'while it is not';
    my ($id) = $response->json->{request_id};
    my @lines = $server->log_lines(qr/$id/);
    is scalar @lines, 1, 'the log has a line with the same request id';
    like $lines[0], qr{GET /coming.*42P01.*relation "coming" does not exist}, '… with route, SQLSTATE and reason';
    is $server->get('/contacts/1')->status, 200, 'the other route serves';
    $cluster->psql('CREATE TABLE coming AS SELECT 2 AS id');
    is $server->get('/coming')->body, '{"id":2}', 'when it is there again';
    is $server->stop, 'exit 0';
};

# A server that is too old, as far as it matters: it sends these messages to whoever connects, and hangs up.
sub old_server (@messages)
{
    my $folder = temporary_folder();
    my $bytes  = join '', map { my ($type, $body) = @$_; $type . pack('N', 4 + length $body) . $body } @messages;
    spawn([ $^X, '-MIO::Socket::UNIX', '-e', <<~'PERL', "$folder/.s.PGSQL.5432", unpack 'H*', $bytes ]);
        my $listener = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 9) or die "listen: $!";
        while (my $client = $listener->accept) {
            sysread $client, my $packet, 10_000;
            syswrite $client, pack 'H*', $ARGV[1];
            sysread $client, $packet, 10_000;    # what comes next, or the end
        }
        PERL
    wait_for('it to listen', sub { -S "$folder/.s.PGSQL.5432" });
    return "host=$folder user=postgres dbname=contacts";
}

subtest 'PostgreSQL 13 is out of support, and says so' => sub {
    my %way = (
        'asked directly'  => [
            [ 'R', pack 'N', 0 ],
            [ 'E', "SFATAL\0VFATAL\0C42704\0Mparameter \"client_connection_check_interval\" is unknown\0\0" ],
        ],
        'behind a pooler' =>
          [ [ 'R', pack 'N', 0 ], [ 'S', "server_version\x0013.23\0" ], [ 'K', pack 'NN', 1, 2 ], [ 'Z', 'I' ] ],
    );
    for my $way (sort keys %way) {
        my $server = start(old_server(@{ $way{$way} }), 1);
        problem_is $server->get('/contacts/1'), 503, {}, "$way: a request gets 503";
        wait_for('a word about it', sub { $server->log_lines(qr/ error /) });
        my ($line) = $server->log_lines(qr/ error /);
        my $version = $way eq 'asked directly' ? '13 or older' : '13.23';
        like $line, qr/cannot connect to the database \(lane read\): this is PostgreSQL $version, which is out of support; Hayfork needs 14 or newer$/,
          '... the log says why';
        my $checked = hayfork('-t', '--db', '-c', $server->{conf});
        is $checked->{exit}, 'exit 69', '... and `-t --db`, too';
        like $checked->{stderr}, qr/^hayfork: cannot connect to the database of database.connect: this is PostgreSQL $version, which/;
        is $server->stop, 'exit 0';
    }
};

done_testing;
