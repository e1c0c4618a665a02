# Results that outgrow a buffer go out as they come: in little memory, at the client's pace, in nobody's way, and
# never cut where the client could take them for whole.
use v5.36;

use Hayfork::Test;

use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(sleep);

use Hayfork::Test::Download;
use Hayfork::Test::Process qw(wait_for slurp);

use constant MEGABYTE => 1 << 20;

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->psql(<<~'SQL');
    CREATE TABLE person AS
        SELECT g * 10000 + id AS id, firstname, lastname, phone, email FROM contact, generate_series(0, 11) g;
    ALTER TABLE person ADD PRIMARY KEY (id);
    SQL

# generate_series stands beside SELECT, and not after FROM: there PostgreSQL would keep all of it first.
my $ROUTES = <<~'CONF';
    routes:
      GET /contacts/{id}:
        sql: |
          SELECT id FROM contact WHERE id = :id
        answer: row
      GET /million:
        sql: |
          SELECT generate_series(1, 1000000) AS id, 'one of a million contacts' AS name, repeat('x', 60) AS note
        answer: rows
      GET /persons:
        sql: |
          SELECT id, firstname, lastname, phone, email FROM person WHERE id <= :last ORDER BY id
        query: { last: 1000000 }
        answer: rows
      GET /endless:
        sql: |
          SELECT generate_series(1, 1000000000000) AS n, repeat('x', 60) AS note
        answer: rows
      GET /error/{n}:
        sql: |
          SELECT 1 / (n - :n) AS quotient FROM (SELECT generate_series(1, 1000000) AS n) q
        answer: rows
      GET /trickle:
        sql: |
          SELECT generate_series(1, 60) AS n, repeat('x', 32768) AS note, pg_sleep(0.05)::text AS pause
        answer: rows
    CONF

# A server with one worker and these limits.
sub start ($limits, $database = '')
{
    return server(<<~CONF . $ROUTES,
        workers: 1
        core: on    # its memory is looked at
        limits: { $limits }
        database:
          connect: ${\ $cluster->conninfo }
          $database
        CONF
        cluster => $cluster,
        # freed memory that a sanitizer keeps would look like memory that is held
        env => { ASAN_OPTIONS => join ':', 'quarantine_size_mb=1', grep { defined } $ENV{ASAN_OPTIONS} });
}

sub download ($server, $target)
{
    return Hayfork::Test::Download->start($server->address, $target, receive_buffer => 65_536);
}

# The memory that the worker has to itself, in bytes.
sub memory ($server)
{
    my ($worker) = $server->workers;
    my ($kilobytes) = slurp("/proc/$worker/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m or die 'the worker has ended';
    return $kilobytes * 1024;
}

# Ends the server: it and its worker have come through all of that.
sub ends_well ($server)
{
    is_deeply [ $server->log_lines(qr/a new one takes its place/) ], [], 'the worker is the one of the beginning';
    return is $server->stop, 'exit 0', 'it ends well';
}

# How many of Hayfork's queries with this in their text PostgreSQL is at.
sub running ($text)
{
    return $cluster->value(<<~SQL);
        SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND state = 'active' AND query LIKE '%$text%'
        SQL
}

# Asks for that many contacts, one after the other: are all of them answered?
sub quick_ones_are_served ($server, $name = 'quick queries are answered')
{
    my $client = $server->client;
    my @wrong  = grep { $client->get("/contacts/$_")->body ne qq({"id":$_}) } 1 .. 100;
    return is "@wrong", '', $name;
}

subtest 'a million rows to a slow reader' => sub {
    my $md5    = Digest::MD5->new;
    my $length = 2 + 999_999;
    for my $id (1 .. 1_000_000) {
        my $row = sprintf '{"id":%d,"name":"one of a million contacts","note":"%s"}', $id, 'x' x 60;
        $md5->add($id == 1 ? '[' : ',', $row);
        $length += length $row;
    }
    my $expected = $md5->add(']')->hexdigest;

    my $server = start('stall: 50s, spool: 32M');    # of which one answer may have a quarter
    quick_ones_are_served($server);
    my $before   = memory($server);
    my $most     = $before;
    my $download = download($server, '/million');
    my $measure  = sub { my $now = memory($server); $most = $now if $now > $most };

    # a megabyte a second for some seconds; all of it at that pace would take a hundred
    for (1 .. 64) {
        $download->take(MEGABYTE / 16);
        sleep 1 / 16;
        $measure->();
    }
    is running('million'), 1, 'PostgreSQL waits for the reader';
    quick_ones_are_served($server, 'quick queries do not');
    while ($download->length < $length && !defined $download->{end}) {
        $download->take(4 * MEGABYTE);
        $measure->();
    }
    is $download->finish, 'whole', 'all of it comes';
    is $download->length, $length, '… each byte';
    is $download->digest, $expected, '… and each right';
    header_is $download->head, 'Transfer-Encoding' => 'chunked';
    my $growth = $most - $before;
    cmp_ok $growth, '<', 16 * MEGABYTE, sprintf 'the worker needs little memory for that (%.1f MB for %.1f MB)',
      $growth / MEGABYTE, $length / MEGABYTE;

    $download = download($server, '/million');
    is $download->finish, 'whole', 'the route is known to be big by now, and it comes again';
    is $download->digest, $expected, '… the same';
    ends_well($server);
};

subtest 'a hundred and twenty thousand rows of a table' => sub {
    my $server = start('stall: 50s');
    my $sql    = 'SELECT id, firstname, lastname, phone, email FROM person WHERE id <= %d ORDER BY id';
    for my $last (120_000, 120_000, 3_000, 1, 0) {
        my $expected = $cluster->value(<<~SQL);
            SELECT md5('[' || coalesce(string_agg(row_to_json(q)::text, ',' ORDER BY id), '') || ']')
              FROM (${\ sprintf $sql, $last }) q
            SQL
        my $download = download($server, "/persons?last=$last");
        is $download->finish, 'whole', "$last rows";
        is $download->digest, $expected, '… are what PostgreSQL makes of them';
        if ($last <= 1) {
            like $download->head->header('Content-Length'), qr/^\d+$/, '… and have a Content-Length';
            header_is $download->head, 'Transfer-Encoding' => undef;
        }
    }
    ends_well($server);
};

subtest 'limits.buffer: up to which size an answer is sent whole' => sub {
    my $server = start('buffer: 16K');
    my ($small, $big);
    for my $last (10, 20, 40, 80, 160, 320, 640) {
        my $download = download($server, "/persons?last=$last");
        is $download->finish, 'whole', "$last rows";
        my $size = $download->length;
        my $how  = defined $download->head->header('Content-Length') ? 'length' : 'chunks';
        is $how, $size <= 16_384 ? 'length' : 'chunks', "… $size bytes: $how";
    }
    ends_well($server);
};

subtest 'no connection but the first is to be had' => sub {
    my $server = start('buffer: 16K, deadline: 10s', 'lanes: { read: { connections: 1 } }');
    for (1 .. 3) {
        my $download = download($server, '/persons?last=640');
        is $download->finish, 'whole', 'it goes out on that one';
        is $download->head->status, 200;
    }
    quick_ones_are_served($server);
    ends_well($server);
};

subtest 'a reader that stops' => sub {
    my $server   = start('stall: 1s');
    my $download = download($server, '/endless')->take(MEGABYTE);
    is running('generate_series'), 1, 'its query runs';
    wait_for('its query to be ended', sub { !running('generate_series') });
    is $download->finish, 'broken', 'it is cut off, and can tell that this was not the end';
    quick_ones_are_served($server, 'others do not notice');
    ends_well($server);
};

subtest 'readers that leave' => sub {
    my $server = start('stall: 50s');
    for my $how ('close', 'reset') {
        for my $when (1, MEGABYTE) {
            my $download = download($server, '/endless')->take($when);
            is running('generate_series'), 1, "the query of one that read $when bytes";
            $download->close($how);
            wait_for('its query to be ended', sub { !running('generate_series') });
            pass "… is ended ($how)";
        }
    }
    my @downloads = map { download($server, '/endless')->take(1000) } 1 .. 3;
    $_->close for @downloads;
    wait_for('their queries to be ended', sub { !running('generate_series') });
    quick_ones_are_served($server, 'others do not notice');
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    ends_well($server);
};

subtest 'HEAD of a big answer' => sub {
    my $server = start('stall: 50s');
    my $client = $server->client;
    for (1 .. 3) {
        my $response = $client->request('HEAD', '/endless');
        is $response->status, 200, 'there is one';
        header_is $response, 'Content-Type', 'application/json';
        wait_for('its query to be ended', sub { !running('generate_series') });
        is $client->get('/contacts/1')->body, '{"id":1}', '… which has no body: the next answer is right behind it';
    }
    is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
    ends_well($server);
};

subtest 'an error' => sub {
    my $server = start('stall: 50s');
    problem_is $server->get('/error/100'), 400, {}, 'before anything was sent is told as usual';
    for (1 .. 3) {
        my $download = download($server, '/error/500000');
        is $download->head->status, 200, 'after the first part';
        is $download->finish, 'broken', '… breaks the body off';
        cmp_ok $download->length, '>', MEGABYTE, '… where it is';
    }
    my @lines = $server->log_lines(qr{GET /error/\{n\}.*22012.*division by zero});
    is scalar @lines, 2, 'the log has its reason, once for what was told and once for what broke off';
    quick_ones_are_served($server, 'others do not notice');
    ends_well($server);
};

subtest 'a connection to PostgreSQL that is lost in the middle' => sub {
    my $server   = start('stall: 50s');
    my $download = download($server, '/endless')->take(MEGABYTE);
    $cluster->psql(<<~'SQL');
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'hayfork' AND query LIKE '%generate_series%'
        SQL
    is $download->finish, 'broken', 'breaks the body off';
    quick_ones_are_served($server, 'others do not notice');
    ends_well($server);
};

subtest 'slow downloads beside quick queries' => sub {
    my $server    = start('stall: 50s, answer_rate: 0');
    my @downloads = map { download($server, '/endless')->take(MEGABYTE) } 1 .. 4;
    quick_ones_are_served($server, 'while four readers have stopped') for 1 .. 3;
    for my $round (1 .. 10) {
        $_->take(MEGABYTE / 4) for @downloads;
        quick_ones_are_served($server, 'while they read a little');
    }
    is_deeply [ map { $_->{end} // 'goes on' } @downloads ], [ ('goes on') x 4 ], 'nobody is cut off';
    $_->close for @downloads;
    ends_well($server);
};

subtest 'more downloads than connections' => sub {
    my $server    = start('stall: 50s, deadline: 5s, answer_rate: 0', 'connections: 3');
    my @downloads = map { download($server, '/endless') } 1 .. 6;
    wait_for('two of them to begin', sub { 2 == grep { !$_->silent(0) } @downloads });
    quick_ones_are_served($server, 'one connection is left for quick queries') for 1 .. 3;
    my @statuses = sort map { $_->head->status } @downloads;
    like "@statuses", qr/^200 200( 50[34]){4}$/, 'who did not get a turn by the deadline is told so';
    $_->close for @downloads;
    ends_well($server);
};

subtest 'longer than the deadline' => sub {
    my $server = start('deadline: 1s, stall: 50s, buffer: 64K');
    for (1 .. 2) {
        my $download = download($server, '/trickle');
        is $download->finish, 'whole', 'an answer that has begun by then goes on to its end';
        my $expected = '[' . join(',', map { qq({"n":$_,"note":"${\ ('x' x 32_768) }","pause":""}) } 1 .. 60) . ']';
        is $download->digest, md5_hex($expected), '… and is right';
    }
    ends_well($server);
};

done_testing;
