# Clients that take their time with an answer: they hold no connection to PostgreSQL that others need and no more
# memory than they may have, and what they get is right to the last byte, or can be seen not to be.
use v5.36;

use Hayfork::Test::Network qw(enter_network);

my ($HERE, $SLOW, $OTHER, @V6, $HAS_NETWORK);

BEGIN {
    ($HERE, $SLOW, $OTHER) = map { "10.9.0.$_" } 1 .. 3;
    @V6          = qw(fd00:9::1 fd00:9::2 fd00:9::ffff:3 fd00:9:0:1::2);
    $HAS_NETWORK = enter_network($HERE, $SLOW, $OTHER, @V6);
}

use Hayfork::Test;

use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(sleep);

use Hayfork::Test::Crowd;
use Hayfork::Test::Download;
use Hayfork::Test::Process qw(wait_for slurp temporary_folder);

use constant MEGABYTE => 1 << 20;

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->psql(<<~'SQL');
    CREATE TABLE person AS
        SELECT g * 10000 + id AS id, firstname, lastname, phone, email FROM contact, generate_series(0, 29) g;
    ALTER TABLE person ADD PRIMARY KEY (id);
    SQL

my $SQL    = 'SELECT id, firstname, lastname, phone, email FROM';
my $ROUTES = <<~"CONF";
    routes:
      GET /contacts:                  # 1.2 MB
        sql: |
          $SQL contact ORDER BY id
        answer: rows
      GET /contacts/{id}:
        sql: |
          SELECT id FROM contact WHERE id = :id
        answer: row
      GET /moment/{seconds}:
        sql: |
          SELECT 'over' AS moment FROM pg_sleep(:seconds)
        answer: row
      GET /persons:
        sql: |
          $SQL person WHERE id <= :last ORDER BY id
        query: { last: 1000000 }
        answer: rows
      GET /blocks:                    # rows that no block has room for, and some that have
        sql: |
          SELECT n, repeat(chr(64 + n % 60), n % 7 * 30000) AS text FROM generate_series(1, 100) n
        answer: rows
      GET /endless:
        sql: |
          SELECT generate_series(1, 1000000000000) AS n, repeat('x', 60) AS note
        answer: rows
    CONF

sub start ($limits, $database = '', %with)
{
    my $workers = $with{workers} // 1;
    return server(<<~CONF . $ROUTES,
        workers: $workers
        core: on    # its memory is looked at
        limits: { stall: 50s, $limits }
        database:
          connect: ${\ $cluster->conninfo }
          $database
        CONF
        cluster => $cluster,
        env     => { ASAN_OPTIONS => join ':', 'quarantine_size_mb=1', grep { defined } $ENV{ASAN_OPTIONS} },
        %with,
    );
}

# The memory that the workers have to themselves, in bytes.
sub memory ($server)
{
    my $sum = 0;
    $sum += (slurp("/proc/$_/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m)[0] for $server->workers;
    return $sum * 1024;
}

# How many of Hayfork's queries with this in their text PostgreSQL is at.
sub running ($text)
{
    return $cluster->value(<<~SQL);
        SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND state = 'active' AND query LIKE '%$text%'
        SQL
}

# Clients that take 700 bytes a second of their lists.
sub slow_readers ($server, $n, %with)
{
    return Hayfork::Test::Crowd->start(
        $with{address} // $server->address,
        clients        => $n,
        say            => "GET /contacts HTTP/1.1\r\nHost: test\r\n\r\n",
        receive_buffer => 4096,
        read           => 70,
        every          => 0.1,
        %with,
    );
}

sub download ($server, $target, %with)
{
    return Hayfork::Test::Download->start($server->address, $target, receive_buffer => 65_536, %with);
}

# What PostgreSQL makes of it.
sub digest ($from)
{
    return $cluster->value(<<~SQL);
        SELECT md5('[' || string_agg(row_to_json(q)::text, ',' ORDER BY id) || ']') FROM ($SQL $from) q
        SQL
}

my $LIST = digest('contact');

# Are all kinds of requests of others answered?
sub others_are_served ($server, $name)
{
    my $client = $server->client;
    my @wrong;
    for my $id (1 .. 5) {
        push @wrong, "/contacts/$id" if $client->get("/contacts/$id")->body ne qq({"id":$id});
        push @wrong, '/moment/0' if $client->get('/moment/0')->body ne '{"moment":"over"}';
        my $list = $client->get('/contacts');
        push @wrong, '/contacts: ' . $list->status if $list->status != 200 || md5_hex($list->body) ne $LIST;
    }
    return is_deeply \@wrong, [], $name;
}

# Makes a route slow for once, so that it is kept away from what is quick.
sub be_slow_once ($server)
{
    my $client = $server->client;
    $client->get('/moment/0.1') for 1 .. 3;
    return;
}

sub ends_well ($server)
{
    is_deeply [ $server->log_lines(qr/a new one takes its place/) ], [], 'the workers are those of the beginning';
    return is $server->stop, 'exit 0', 'it ends well';
}

# --- in nobody's way ---

subtest 'slow readers hold no connection' => sub {
    my $server = start('', '', workers => 2);
    for my $n (14, 60) {
        be_slow_once($server);
        my $crowd = slow_readers($server, $n);
        others_are_served($server, "others are served while $n slow readers are there");
        wait_for('all of their queries to end', sub { !running('contact') });
        others_are_served($server, '… also when PostgreSQL has done with them');
        $crowd->dismiss;
    }
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    ends_well($server);
};

subtest 'spool: 0: they hold connections, and lose them' => sub {
    my $server = start('spool: 0', '', workers => 2);
    be_slow_once($server);
    my $crowd = slow_readers($server, 40, read => 700);    # the last bytes that come are read before the reset
    wait_for('them to hold connections', sub { running('contact') >= 10 });
    others_are_served($server, 'others are served');
    wait_for('a line in the log', sub { $server->log_lines(qr/slow readers/) });
    my ($line) = $server->log_lines(qr/slow readers/);
    like $line, qr/ warn .* slow readers hold connections of lane read, [1-7] of 8: /, 'the log says what they hold';
    like $line, qr{: GET /contacts for 127\.0\.0\.1 \(\d\)}, '… and who they are';
    like $line, qr/; cut off: [1-9]/, '… and what became of them';
    my $outcomes = $crowd->outcomes;
    is_deeply $outcomes, { '200, reset' => 40 }, 'they can tell that they do not have all of it';
    is scalar(() = $server->log_lines(qr/slow readers/)), 1, 'the log has it once, and not for each of them';
    ends_well($server);
};

subtest 'answer_rate: 0, and nobody else there: they may hold connections' => sub {
    my $server = start('spool: 0, answer_rate: 0');
    my $crowd = slow_readers($server, 7);
    wait_for('them to be named in the log', sub { $server->log_lines(qr{7 of 8: GET /contacts for 127\.0\.0\.1 \(7\); cut off: 0$}) });
    is running('contact'), 7, 'and they go on';
    my $client = $server->client;
    is $client->get('/contacts/1')->status, 200, 'one connection is left for what is quick';
    $crowd->dismiss;
    wait_for('their queries to end', sub { !running('contact') });
    ends_well($server);
};

subtest 'a Unix socket' => sub {
    my $path     = temporary_folder() . '/http.sock';
    my $server   = start('spool: 0', '', also => ["unix:$path"]);
    my $download = Hayfork::Test::Download->start("unix:$path", '/contacts')->take(1);
    wait_for('it to be named in the log', sub { $server->log_lines(qr{: GET /contacts for a Unix socket; cut off: 1$}) });
    is $download->finish, 'broken', 'it is cut off like others';
    ends_well($server);
};

subtest 'the only connection' => sub {
    for my $limits ('deadline: 20s', 'spool: 0, deadline: 20s') {
        my $server = start($limits, 'lanes: { read: { connections: 1 } }');
        my $crowd = slow_readers($server, 3);
        others_are_served($server, "others are served on it, too ($limits)");
        $crowd->dismiss;
        ends_well($server);
    }
};

subtest 'what was slow does not stay banned' => sub {
    my $server = start('deadline: 50s', 'connections: 2');
    $cluster->psql('CREATE TABLE gate (id int)');
    my $client = $server->client;
    $client->get('/moment/0.1') for 1 .. 2;
    my $gate  = $cluster->hold('LOCK TABLE contact');
    my $stuck = $server->client->ask('GET', '/contacts/1');
    is $client->get('/moment/0')->body, '{"moment":"over"}',
      'it is asked beside others in the end, though it finds no connection of its own';
    ok !$stuck->readable(0), '… which is not there';
    $cluster->let_go($gate);
    is $stuck->receive->status, 200, 'the one that held it is answered';
    ends_well($server);
};

# --- in little memory ---

subtest 'memory' => sub {
    my $server = start('spool: 8M, deadline: 20s');
    others_are_served($server, 'before');
    my $before = memory($server);
    my $crowd = slow_readers($server, 100);
    my $most  = 0;
    my $measure = sub { my $now = memory($server) - $before; $most = $now if $now > $most };
    for (1 .. 8) {
        others_are_served($server, 'others are served');
        $measure->();
        sleep 0.1;
    }
    wait_for('those who find no room to hold connections', sub { $server->log_lines(qr/slow readers hold/) });
    $measure->();
    cmp_ok $most, '<', 16 * MEGABYTE, sprintf '… and the worker holds what it may: %.1f MB', $most / MEGABYTE;
    $crowd->dismiss;
    wait_for('its memory to be given back', sub { memory($server) - $before < $most / 2 });
    ends_well($server);
};

# --- right ---

# A client that reads as little as it can, until PostgreSQL has done its part.
sub late ($server, $target)
{
    my $download = download($server, $target)->take(1);
    wait_for('the query to end', sub { !running('person') && !running('blocks') });
    return $download;
}

subtest 'what has waited in the spool' => sub {
    my $server = start('');
    for my $last (2_500, 20_000, 80_000) {
        for my $time (1, 2) {    # the second time the route is known to be big
            my $download = late($server, "/persons?last=$last");
            cmp_ok $download->length, '<', 300_000, "a client has hardly begun with $last rows, and all of them are here";
            is $download->finish, 'whole', '… and it gets all';
            is $download->digest, digest("person WHERE id <= $last"), '… as they are';
        }
    }
    my $blocks = $cluster->value(<<~'SQL');
        SELECT md5('[' || string_agg(row_to_json(q)::text, ',' ORDER BY n) || ']')
          FROM (SELECT n, repeat(chr(64 + n % 60), n % 7 * 30000) AS text FROM generate_series(1, 100) n) q
        SQL
    my $download = late($server, '/blocks');
    is $download->finish, 'whole', 'rows of all sizes';
    is $download->digest, $blocks, '… as they are';
    $download = download($server, '/persons?last=300000')->take(MEGABYTE);
    wait_for('it to find no more room', sub { $server->log_lines(qr/hold connections/) || memory($server) > 14 * MEGABYTE });
    is running('person'), 1, 'of a very large one the rest waits in PostgreSQL';
    is $download->finish, 'whole', '… and comes';
    is $download->digest, digest('person'), '… as it is';
    ends_well($server);
};

subtest 'HTTP/1.0, HEAD, and what comes after' => sub {
    my $server = start('');
    my $last   = 80_000;
    my $md5    = digest("person WHERE id <= $last");
    $server->client->get('/persons?last=5000') for 1 .. 2;
    my $client = $server->client->receive_buffer(65_536)->send("GET /persons?last=$last HTTP/1.0\r\n\r\n");
    $client->readable(60);
    wait_for('its query to end', sub { !running('person') });
    my ($head, $body) = split /\r\n\r\n/, $client->rest, 2;
    like $head, qr{^HTTP/1\.1 200 OK\r\n}, 'HTTP/1.0';
    unlike $head, qr/^(?:Transfer-Encoding|Content-Length):/mi, '… where the end is that of the connection';
    is md5_hex($body), $md5, '… has all of it before that';

    $client = $server->client->receive_buffer(65_536);
    is $client->request('HEAD', "/persons?last=$last")->status, 200, 'HEAD';
    $client->ask('GET', "/persons?last=$last")->ask('GET', '/contacts/3');
    $client->readable(60);
    wait_for('the query to end', sub { !running('person') });
    is md5_hex($client->receive->body), $md5, 'the answer to the next request is right behind it';
    is $client->receive->body, '{"id":3}', '… and so is the one after that';
    ends_well($server);
};

# --- when it goes wrong ---

sub end_sessions ($text)
{
    return $cluster->psql(<<~SQL);
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND query LIKE '%$text%'
        SQL
}

subtest 'a connection to PostgreSQL that breaks' => sub {
    my $server = start('spool: 8M');
    my $done   = late($server, '/persons?last=10000');
    my $full   = download($server, '/endless')->take(1);
    wait_for('it to find no more room', sub { $server->log_lines(qr/hold connections/) });
    end_sessions('');
    is $done->finish, 'whole', 'who has all in the spool does not notice';
    is $full->finish, 'broken', 'who has not can tell';
    my $client = $server->client->send("GET /endless HTTP/1.0\r\n\r\n");
    $client->fill;
    wait_for('its query to run', sub { running('generate_series') });
    end_sessions('generate_series');
    1 while my $n = $client->fill;
    ok !defined $n, '… also where the end of the connection would be that of the answer: it is reset';
    others_are_served($server, 'others are served');
    like $_, qr/lost the connection|GET \/endless: broke off after \d+ rows: the connection/, 'the log says why'
      for grep { !/slow readers/ } $server->log_lines(qr/ (?:warn|error) /);
    ends_well($server);
};

subtest 'clients that leave' => sub {
    my $server = start('');
    others_are_served($server, 'before');
    my $before = memory($server);
    for my $how ('close', 'reset') {
        my @done    = map { late($server, '/persons?last=80000') } 1 .. 2;
        my @endless = map { download($server, '/endless')->take(1) } 1 .. 2;
        wait_for('the spool to hold something', sub { memory($server) > $before + 15 * MEGABYTE });
        $_->close($how) for @done, @endless;
        wait_for('it to be empty', sub { memory($server) < $before + 6 * MEGABYTE });
        wait_for('their queries to end', sub { !running('generate_series') });
        pass "… gone, after $how";
    }
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    ends_well($server);
};

# --- relays ---

subtest 'slow readers of a relay' => sub {
    my $text = 'contacts ' x 130_000;
    my $far  = server(<<~CONF);
        workers: 1
        routes:
          GET /long:
            text: "$text"
          GET /short:
            text: "hello\\n"
        CONF
    for my $limits ('stall: 50s', 'stall: 50s, spool: 0') {
        my $server = server(<<~CONF);
            workers: 1
            limits: { connect: 50s, deadline: 50s, $limits }
            upstreams: { far: { servers: [ "http://${\ $far->address }" ], connections: 4 } }
            routes:
              GET /{rest...}:
                relay: http://far/{rest...}
            CONF
        my $crowd = slow_readers($server, 20, say => "GET /long HTTP/1.1\r\nHost: test\r\n\r\n");
        my $client = $server->client;
        for (1 .. 5) {
            is $client->get('/short')->body, "hello\n", "others are served ($limits)";
            ok $client->get('/long')->body eq $text, '… also with much';
        }
        my @lines = $server->log_lines(qr/slow readers/);
        if ($limits =~ /spool/) {
            is scalar @lines, 1, 'the log names those who hold connections';
            like $lines[0], qr{connections of upstream far, \d of 4: GET /\{rest\.\.\.\} for 127\.0\.0\.1}, '… and which';
        } else {
            is_deeply \@lines, [], 'they hold none';
        }
        $crowd->dismiss;
        is $server->stop, 'exit 0', 'it ends well';
    }
    is $far->stop, 'exit 0', 'and so does the other one';
};

# --- shares ---

SKIP: {
    skip 'this machine gives the test no network of its own', 3 if !$HAS_NETWORK;
    subtest 'of IPv6 addresses 64 bits count' => sub {
        my $address = "[$V6[0]]:" . Hayfork::Test::Server::free_port();
        my $server  = start('spool: 0, answer_rate: 0', '', also => [$address]);
        my @downloads =
          map { Hayfork::Test::Download->start($address, '/contacts', receive_buffer => 4096, from => $_)->take(1) }
          @V6[ 1 .. 3 ];
        wait_for('them to be named in the log', sub { $server->log_lines(qr/slow readers/) });
        my ($line) = $server->log_lines(qr/slow readers/);
        like $line, qr{3 of 8: GET /contacts for \Q$V6[1]\E/64 \(2\), GET /contacts for \Q$V6[3]\E/64; cut off: 0},
          'two of three are one';
        $_->close for @downloads;
        ends_well($server);
    };

    subtest 'many slow readers of one address' => sub {
        my $port   = Hayfork::Test::Server::free_port();
        my $server = start('spool: 0, answer_rate: 0', '', also => ["$HERE:$port"]);
        my $crowd  = slow_readers($server, 20, address => "$HERE:$port", from => $SLOW);
        wait_for('them to hold connections', sub { running('contact') == 7 });
        my $other = download($server, '/contacts', from => '127.0.0.1');
        is $other->finish, 'whole', 'another client gets its list';
        is $other->digest, $LIST, '… as it is';
        my ($line) = $server->log_lines(qr/slow readers/);
        like $line, qr{GET /contacts for \Q$SLOW\E \(7\); cut off: 1}, '… as one of them has lost its connection';
        $crowd->dismiss;
        ends_well($server);
    };

    subtest '… do not fill the spool' => sub {
        my $port   = Hayfork::Test::Server::free_port();
        my $server = start('spool: 16M, answer_rate: 0', '', also => ["$HERE:$port"]);
        my $crowd  = slow_readers($server, 40, address => "$HERE:$port", from => $SLOW);
        wait_for('some of them to hold connections', sub { $server->log_lines(qr/slow readers hold/) });
        my $other = Hayfork::Test::Download->start("$HERE:$port", '/persons?last=10000', receive_buffer => 65_536,
            from => $OTHER)->take(1);
        wait_for('all of an answer for somebody else to be in the spool', sub { !running('person') });
        is $other->finish, 'whole', '… from which it is taken';
        is $other->digest, digest('person WHERE id <= 10000'), '… as it is';
        others_are_served($server, 'others are served');
        $crowd->dismiss;
        ends_well($server);
    };
}

done_testing;
