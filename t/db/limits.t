# What bounds a request that waits for the database: the deadline and the queue.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster->load_contacts;

sub start ($deadline, %with)
{
    return server(<<~CONF, cluster => $cluster);
        workers: 1
        database:
          connect: ${\ $cluster->conninfo }
          queue: ${\ ($with{queue} // 1024) }
          connections: ${\ ($with{connections} // 8) }
        limits:
          deadline: $deadline
          head_time: ${\ ($with{head_time} // '10s') }
        routes:
          GET /:
            text: "hello\\n"
          GET /contacts/{id}:
            sql: |
              SELECT id FROM contact WHERE id = :id
            answer: row
          GET /slow/{id}/{seconds}:
            sql: |
              SELECT id FROM contact, pg_sleep(:seconds) WHERE id = :id
            answer: row
          GET /divide/{a}/{b}:
            sql: |
              SELECT :a::int / :b::int AS quotient
            answer: row
        CONF
}

sub is_sleeping ()
{
    return $cluster->value(<<~SQL, 'postgres');
        SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        SQL
}

subtest 'a query that takes longer than the deadline is 504' => sub {
    my $server = start('300ms', connections => 1);    # a busy machine makes another one worth while
    my $client = $server->client;
    problem_is $client->get('/slow/1/60'), 504, {}, 'a minute';
    is $client->get('/slow/2/0.01')->body, '{"id":2}', 'a faster one is answered';
    wait_for('the slow query to end', sub { !is_sleeping() });
    is $client->get("/contacts/$_")->body, qq({"id":$_}), "contact $_" for 1 .. 20;
    is $cluster->sessions, 1, 'on the same connection';
    is $server->stop, 'exit 0';
};

subtest 'those behind it are not mixed up' => sub {
    my $server  = start('500ms');
    my @clients = map { $server->client } 1 .. 20;
    $clients[0]->ask('GET', '/slow/1/60');
    wait_for('the slow query to run', \&is_sleeping);
    $clients[$_]->ask('GET', '/contacts/' . ($_ + 1)) for 1 .. $#clients;
    is $clients[0]->receive->status, 504, 'the slow one';
    for my $i (1 .. $#clients) {
        my $response = $clients[$i]->receive;
        $response->status == 200
          ? is $response->body, sprintf('{"id":%d}', $i + 1), 'one behind it is answered'
          : like $response->status, qr/^50[34]$/, 'one behind it came too late';
    }
    wait_for('the slow query to end', sub { !is_sleeping() });
    is $clients[$_]->get('/contacts/' . ($_ + 100))->json->{id}, $_ + 100, 'the next request is answered'
      for 0 .. $#clients;
    is $server->stop, 'exit 0';
};

subtest 'a full queue is 503 at once, and those in it are served' => sub {
    my $server  = start('60s', queue => 16);    # of which one route gets half, as long as nobody else comes
    my $slow    = $server->client->ask('GET', '/slow/1/1');
    wait_for('the slow query to run', \&is_sleeping);
    my @clients = map { $server->client } 1 .. 100;
    $clients[$_]->ask('GET', '/contacts/' . ($_ + 1)) for 0 .. $#clients;
    is $server->get('/')->status, 200, 'what needs no database is served';

    my ($served, $refused) = (0, 0);
    for my $i (0 .. $#clients) {
        my $response = $clients[$i]->receive;
        if ($response->status == 503) {
            $refused++;
            next if $refused > 1;
            problem_is $response, 503, {}, 'a full queue';
            like $response->header('Retry-After'), qr/^[1-9]\d?$/, '… says when to come again';
        } else {
            $served++;
            is $response->body, sprintf('{"id":%d}', $i + 1), 'one that waited is answered';
        }
    }
    is $slow->receive->body, '{"id":1}', 'the slow one, too';
    cmp_ok $refused, '>', 0, "$refused were refused";
    cmp_ok $served, '>=', 8, "$served were served";
    is $server->stop, 'exit 0';
};

subtest 'a request that does not arrive in limits.head_time is given up' => sub {
    my $server = start('60s', head_time => '200ms');
    my $client = $server->client->send("GET / HTTP/1.1\r\nHost: te");
    like $client->rest, qr{^(?:HTTP/1\.1 408 |\z)}, 'the connection is closed';
    is $server->get('/')->status, 200, 'others are served';
    is $server->stop, 'exit 0';
};

subtest 'an error of one query is nobody else\'s' => sub {
    my $server = start('60s');
    my $client = $server->client;
    my @wanted = map { $_ % 3 ? [ "/contacts/$_", 200 ] : [ "/divide/$_/0", 400 ] } 1 .. 30;
    $_->[2] = $server->client->ask('GET', $_->[0]) for @wanted;
    my @got = map { $_->[2]->receive } @wanted;
    is join(' ', map { $_->status } @got), join(' ', map { $_->[1] } @wanted), 'errors between answers';
    problem_is $got[2], 400, {}, 'an error';
    my $id    = $got[2]->json->{request_id};
    my @lines = $server->log_lines(qr/$id/);
    is scalar @lines, 1, 'the log has its request id';
    like $lines[0], qr{GET /divide/\{a\}/\{b\}.*22012.*division by zero}, '… with route, SQLSTATE and reason';
    is $client->get('/divide/7/2')->body, '{"quotient":3}', 'the route itself is fine';
    is $server->stop, 'exit 0';
};

done_testing;
