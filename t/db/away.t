# PostgreSQL goes away and comes back: routes that need it say 503 at once and serve as soon as it is
# there, the others never notice.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->stop;
my $server = sample_server($cluster, cluster => undef);

# A 503 as it should be, which comes without waiting for a connection.
sub is_away ($response, $name)
{
    problem_is $response, 503, {}, $name;
    like $response->header('Retry-After'), qr/^[1-9]\d?$/, '… with seconds to wait in Retry-After';
    return;
}

sub others_serve ()
{
    is $server->get('/')->status,          200, 'the text is served';
    is $server->at('inner')->get('/v1/avatar')->status, 200, 'the avatars are served';
    is $server->get('/nowhere')->status,   404, 'what is not there is still 404';
    is $server->request('POST', '/contacts/1')->status, 405, 'what is not allowed is still 405';
    return;
}

my @workers;

# The line with which a start and a reload end.
sub serves ($server)
{
    my ($version) = hayfork('-V')->{stdout} =~ /^(hayfork .*)$/m;
    return join '|', map { s/.*\]: //r =~ s/\Q$version serves $server->{conf}\E//r }
      wait_for('the line about what serves', sub { my @is = $server->log_lines(qr/ serves /); @is ? \@is : undef })->@*;
}

subtest 'started before PostgreSQL' => sub {
    @workers = wait_for('two workers', sub { my @now = $server->workers; @now == 2 ? \@now : undef })->@*;
    is serves($server), '; the database is away', 'which the log says when the start is over';
    is_away $server->get($_), $_ for '/contacts/1', '/contacts', '/contacts?limit=1';
    others_serve;
    my @lines = $server->log_lines(qr/ (?:error|warn) /);
    is scalar @lines, 2, 'one line in the log for each lane';
    like $_, qr/cannot connect to the database.*No such file or directory/, '… that says what is wrong' for @lines;
};

subtest 'PostgreSQL starts' => sub {
    $cluster->boot;
    is $server->wait_for_status('/contacts/1', 200)->json->{id}, 1, 'it serves, by itself';
    $server->wait_for_sessions($cluster);
    is $server->get("/contacts/$_")->json->{id}, $_, "contact $_" for 1 .. 20;
};

for my $signal ('INT', 'QUIT', 'KILL') {
    subtest "PostgreSQL is stopped with SIG$signal and started again" => sub {
        my $client = $server->client;
        is $client->get('/contacts/1')->status, 200, 'a client is served';
        $cluster->stop($signal);
        is_away $server->wait_for_status('/contacts/1', 503), 'then it gets 503';
        is_away $client->get('/contacts/1'), 'on a connection that was there before';
        others_serve;
        $cluster->boot;
        $server->wait_for_sessions($cluster);
        is $server->wait_for_status('/contacts/1', 200)->json->{id}, 1, 'and is served again';
        is $server->get("/contacts/$_")->json->{id}, $_, "contact $_" for 1 .. 20;
    };
}

subtest 'all of that' => sub {
    is_deeply [ $server->workers ], \@workers, 'with the same workers';
    is $server->stop, 'exit 0', 'it ends well';
};

subtest 'sessions that are ended as soon as they begin' => sub {
    $cluster->psql('CREATE TABLE ended (pid integer)');
    my $other = server(<<~CONF, cluster => $cluster);
        workers: 1
        database: { connect: ${\ $cluster->conninfo } }
        routes:
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
            merge: off
        CONF
    # A session that is ready has just prepared the one statement there is.
    $cluster->psql(<<~'SQL');
        DO $$
        DECLARE start timestamptz := clock_timestamp();
        BEGIN
            WHILE clock_timestamp() < start + '5 s' LOOP
                INSERT INTO ended
                    SELECT pid FROM pg_stat_activity
                     WHERE application_name = 'hayfork' AND state = 'idle' AND query LIKE 'SELECT id FROM contact%'
                       AND pg_terminate_backend(pid);
                PERFORM pg_stat_clear_snapshot(), pg_sleep(0.001);
            END LOOP;
        END $$
        SQL
    my $sessions = $cluster->value('SELECT count(DISTINCT pid) FROM ended');
    cmp_ok $sessions, '>=', 4,  'a few are made at once';
    cmp_ok $sessions, '<=', 20, "then there are pauses: $sessions in five seconds";
    is $other->wait_for_status('/contacts/1', 200)->body, '{"id":1}', 'left alone, one serves';
    is $other->stop, 'exit 0', 'it ends well';
};

subtest 'what a start says of the database that is there, and of none' => sub {
    my $there = server(qq(routes:\n  GET /: { sql: "SELECT 1 AS one", answer: row }\n),
        cluster => $cluster, options => { 'database.connect' => $cluster->conninfo, workers => 1 });
    is serves($there), '; the database is connected';
    kill HUP => $there->pid;
    wait_for('a reload', sub { $there->log_lines(qr/: reloaded$/) });
    is serves($there), '; the database is connected|; the database is connected', 'a reload says so, too';
    is $there->stop, 'exit 0';
    my $none = server(qq(routes:\n  GET /: { text: hello }\n), options => { workers => 1 });
    is serves($none), '; the database is not used';
    is $none->stop, 'exit 0';
};

done_testing;
