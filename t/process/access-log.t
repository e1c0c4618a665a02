# The access log: what its lines say, who gets into it, and that no disk, pipe or client can disturb it or be disturbed by it.
use v5.36;

use Hayfork::Test;

use JSON::PP qw(decode_json);
use POSIX qw(mkfifo);

use Hayfork::Test::Process qw(run slurp spew temporary_folder wait_for);

needs_postgres;
my $cluster = cluster;
my $folder  = temporary_folder();
my $n       = 0;

my $ROUTES = <<~CONF;
    database: { connect: ${\ $cluster->conninfo } }
    routes:
      GET /: # which is asked when the server starts
        access_log: off
        text: "hello\\n"
      GET /a:
        text: "hello\\n"
      GET /one/{id}:
        sql: "SELECT :id::int AS id"
        answer: row
      GET /times:
        sql: "SELECT 1 AS one FROM pg_sleep(0.05)"
        answer: row
        server_timing: on
        headers: { X-Own: a }
      GET /slow:
        sql: "SELECT 1 AS one FROM pg_sleep(0.3)"
        answer: row
      GET /wrong:
        sql: "SELECT 1 / 0 AS one"
        answer: row
    CONF

# A server with this access_log, and its file.
sub start ($log, %with)
{
    my $file   = "$folder/access-" . ++$n;
    my $server = server("workers: 2\naccess_log: " . $log =~ s/FILE/$file/r . "\n$ROUTES", cluster => $cluster, %with);
    return ($server, $file);
}

# The lines of a file, once there are so many.
sub lines_of ($file, $n)
{
    my @lines;
    wait_for("$n lines in $file", sub { @lines = -e $file ? split /\n/, slurp($file) : (); @lines >= $n });
    return @lines;
}

subtest 'combined' => sub {
    my ($server, $file) = start('FILE');
    $server->get('/a?a=b', headers => { 'User-Agent' => 'curl/8', Referer => 'http://a.example/"\\' });
    $server->get('/nothing');
    $server->request('HEAD', '/a');
    $server->get('/');
    my $time  = qr{\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]};
    my $lines = join "\n", lines_of($file, 3);
    like $lines, qr{^127\.0\.0\.1 - - $time "GET /a\?a=b HTTP/1\.1" 200 6 "http://a\.example/\\"\\\\" "curl/8"$}m, 'as Apache has it';
    like $lines, qr{^127\.0\.0\.1 - - $time "GET /nothing HTTP/1\.1" 404 \d+ "-" "-"$}m, 'one without a route';
    like $lines, qr{"HEAD /a HTTP/1\.1" 200 0 }, 'HEAD has no body';
    is $server->stop, 'exit 0';
    is scalar(lines_of($file, 3)), 3, 'and nothing of a route that is off';
};

subtest 'JSON' => sub {
    my ($server, $file) = start('{ to: FILE, format: json, fields: { tenant: header.X-Tenant, user: cookie.user, q: query.q, upstream: off } }');
    my $answer = $server->get('/one/7?', headers => { 'X-Tenant' => "a\"\\\xff\xc3\xa4", Cookie => 'x=1; user=me' });
    $server->get('/nothing?p=1&q=2');
    my %line = map { my $line = decode_json($_); ($line->{target} => $line) } lines_of($file, 2);
    my $one  = $line{'/one/7?'};
    is_deeply [ sort keys %$one ], [qw(bytes client database method q queue request_id route status target tenant time total user)],
      'the built-in members, but one, and ours';
    is_deeply [ @$one{qw(client method route status bytes user q)} ], [ '127.0.0.1', 'GET', 'GET /one/{id}', 200, length $answer->body, 'me', undef ],
      'what they say';
    is $one->{tenant}, "a\"\\\x{fffd}\x{e4}", 'what a client has sent is escaped';
    is $one->{request_id}, $answer->header('X-Request-Id'), 'the id of the answer';
    like $one->{$_}, qr/^\d+(?:\.\d+)?(?:e-\d+)?$/, "$_ in seconds" for qw(total queue database);
    cmp_ok $one->{queue} + $one->{database}, '<=', $one->{total}, 'parts of a whole';
    is_deeply [ @{ $line{'/nothing?p=1&q=2'} }{qw(route database queue q status)} ], [ undef, undef, undef, 2, 404 ], 'null for what there is not';
    is $server->stop, 'exit 0';
};

subtest 'a text of sources' => sub {
    my ($server, $file) = start(q({ to: FILE, format: "{{x} {request.method} {request.path} {answer.status} {header.X-A} {client.host}" }));
    $server->get('/a?a', headers => { 'X-A' => "\"\\\xff\xc3\xa4" });
    is_deeply [ lines_of($file, 1) ], ['{x} GET /a 200 \"\\\\\xff\xc3\xa4 test'], 'escaped' ;
    is $server->stop, 'exit 0';
};

subtest 'traces, and times for browsers' => sub {
    my ($server, $file) = start('{ to: FILE, format: "{request.path} {request.trace}" }');
    my $id = '4bf92f3577b34da6a3ce929d0e0e4736';
    my $answer = $server->get('/times', headers => { traceparent => "00-$id-00f067aa0ba902b7-01" });
    my ($queue, $database, $total) =
      $answer->header('Server-Timing') =~ /^queue;dur=(\d+\.\d{3}), database;dur=(\d+\.\d{3}), total;dur=(\d+\.\d{3})$/;
    cmp_ok $database, '>=', 50, 'the time in PostgreSQL' or diag $answer->header('Server-Timing');
    cmp_ok $queue + $database, '<=', $total + 0.002, 'is a part of all';
    is $answer->header('X-Own'), 'a', 'beside the other fields';
    is $server->get('/a')->header('Server-Timing'), undef, 'where it is wanted alone';
    my @lines = sort { $a cmp $b } lines_of($file, 2);
    like $lines[0], qr{^/a (?!0{32})[0-9a-f]{32}$}, 'a trace is made for the line';
    is $lines[1], "/times $id", 'or is the client\'s';
    is $server->stop, 'exit 0';
};

subtest 'a sample, with what failed and what was slow' => sub {
    my ($server, $file) = start('{ to: FILE, sample: 0, format: "{answer.status} {request.path}" }', options => { 'log.slow' => '200ms' });
    $server->get('/a') for 1 .. 20;
    $server->get('/slow');
    $server->get('/wrong');
    is_deeply [ sort { $a cmp $b } lines_of($file, 2) ], [ '200 /slow', '500 /wrong' ], 'these alone';
    like + ($server->log_lines(qr{/slow: slow}))[0], qr{GET /slow: slow: 200 after \d+ ms, of which \d+ ms waiting and \d+ ms in PostgreSQL, 1 rows, \d+ bytes \(request [0-9a-f]{16}\)$},
      'the log has the slow one';
    $server->get('/slow') for 1 .. 2;
    is scalar($server->log_lines(qr{/slow: slow})), 1, 'once';
    is $server->stop, 'exit 0';
    is scalar($server->log_lines(qr{/slow: slow: 2 more in the last minute})), 1, 'the others are summed up';

    ($server, $file) = start('{ to: FILE, sample: 0.5 }');
    my $client = $server->client;
    $client->get('/a') for 1 .. 400;
    is $server->stop, 'exit 0';
    my $lines = () = slurp($file) =~ /\n/g;
    ok $lines > 100 && $lines < 300, "about a half: $lines of 400";
};

subtest 'SIGUSR1 and reloads' => sub {
    my ($server, $file) = start('{ to: FILE, format: "{request.target}" }');
    $server->get("/a?$_") for 1 .. 5;
    rename $file, "$file.1" or wait_for('the file', sub { rename $file, "$file.1" });
    $server->get("/a?$_") for 6 .. 10;
    kill USR1 => $server->pid;
    wait_for('a new file', sub { -e $file });
    wait_for('lines in it', sub { $server->get('/a?11'); -s $file });
    like slurp("$file.1"), qr{^/a\?$_$}m, "request $_ went to the one that was moved away" for 1 .. 10;
    unlike slurp($file), qr{^/a\?10$}m, 'and is not there twice';
    my %workers = map { $_ => 1 } $server->workers;
    kill HUP => $server->pid;
    wait_for('other workers', sub { my @w = $server->workers; @w == 2 && !grep { $workers{$_} } @w });
    $server->get('/a?last');
    is $server->stop, 'exit 0';
    like slurp($file), qr{^/a\?last$}m, 'what was collected is written at the end';
};

subtest 'lines of several workers do not mix' => sub {
    my ($server, $file) = start('{ to: FILE, format: "{request.target}" }');
    my $long = 'x' x 1000;
    for my $round (1 .. 40) {
        my @clients = map { $server->client } 1 .. 8;
        for my $i (1 .. 4) {
            $_->ask('GET', "/a?$long") for @clients;
            $_->receive for @clients;
        }
    }
    is $server->stop, 'exit 0';
    my @lines = split /\n/, slurp($file);
    is scalar @lines, 40 * 8 * 4, 'all are there';
    is scalar(grep { $_ ne "/a?$long" } @lines), 0, 'and whole';
};

# How many lines were dropped, as monitoring sees it.
sub dropped ($server)
{
    my $response = Hayfork::Test::Client->new($server->{admin})->get('/metrics');
    my ($n) = $response->body =~ /^hayfork_access_log_dropped_lines_total (\d+)$/m;
    return $n;
}

subtest 'what cannot be written is dropped and counted, and disturbs nobody' => sub {
    my $fifo = "$folder/fifo";
    mkfifo($fifo, 0600) or die "mkfifo: $!";
    mkdir "$folder/folder";
    for ([ 'a full disk', '/dev/full' ], [ 'a FIFO without reader', $fifo, 3000 ], [ 'a folder', "$folder/folder" ],
        [ 'a folder that is not there', "$folder/none/access" ])
    {
        my ($what, $path, $requests) = @$_;
        my $port   = Hayfork::Test::Server::free_port();
        my ($server) = start("{ to: $path, format: json }", options => { admin => "127.0.0.1:$port" });
        $server->{admin} = "127.0.0.1:$port";
        my $client = $server->client;
        my $sent   = 0;
        my $wrong  = 0;
        for (1 .. $requests // 50) {
            $wrong++ if $client->get('/a?' . 'x' x 100)->status != 200;
            $sent++;
        }
        is $wrong, 0, "$what: all requests are answered";
        wait_for('lines to be dropped', sub { (dropped($server) // 0) > 0 });
        cmp_ok dropped($server), '<=', $sent, '… and what is dropped is counted';
        my @said = $server->log_lines(qr/error .*access log \Q$path\E, and drops its lines: /);
        is scalar @said, 1, '… it is said once' or diag $server->log;
        is $server->stop, 'exit 0';
    }
};

subtest 'a FIFO whose reader comes later' => sub {
    my $fifo = "$folder/later";
    mkfifo($fifo, 0600) or die "mkfifo: $!";
    my ($server) = start("{ to: $fifo, format: \"{request.target}\" }");
    $server->get("/a?$_") for 1 .. 3;
    $server->get('/a?4');
    open my $reader, '<', $fifo or die "open: $!";
    my @read = map { scalar readline $reader } 1 .. 4;
    is_deeply [ sort @read ], [ map { "/a?$_\n" } 1 .. 4 ], 'it gets what was written before';
    is $server->stop, 'exit 0';
};

subtest 'standard output' => sub {
    my ($server) = start('{ to: stdout, format: "line {request.target}" }');
    $server->get('/a?a');
    wait_for('a line', sub { $server->log =~ m{^line /a\?a$}m });
    pass 'has it';
    is $server->stop, 'exit 0';
};

subtest 'a request id of 4 KB, with quotes, and other bad input' => sub {
    my ($server, $file) = start('{ to: FILE, format: json, fields: { sent: header.X-Request-Id } }');
    for my $id ('x' x 4096, 'a"b', "a\x80b") {
        $server->get('/a', headers => { 'X-Request-Id' => $id });
    }
    $server->get('/a?' . 'y' x 5000);
    my @lines = map { decode_json($_) } lines_of($file, 4);
    is scalar(grep { $_->{request_id} !~ /^[0-9a-f]{16}$/ } @lines), 0, 'ids are our own';
    is_deeply [ sort { $a <=> $b } map { length($_->{sent} // '') } @lines ], [ 0, 3, 3, 2048 ], 'what was sent is there';
    is_deeply [ sort { $a <=> $b } map { length $_->{target} } @lines ], [ 2, 2, 2, 2048 ], 'a long target is cut';
    is $server->stop, 'exit 0';
};

subtest 'a client that leaves' => sub {
    my ($server, $file) = start('{ to: FILE, format: json }');
    my $client = $server->client->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for('its query', sub { $cluster->psql('SELECT count(*) FROM pg_stat_activity WHERE state = $$active$$ AND query ~ $$0\.3.$$ AND pid <> pg_backend_pid()') > 0 });
    $client->close('reset');
    my ($line) = map { decode_json($_) } lines_of($file, 1);
    is $line->{status}, 499, 'has its status';
    cmp_ok $line->{database}, '>', 0, 'and PostgreSQL its time until then';
    is $server->stop, 'exit 0';
};

subtest 'what is not understood has no method and no target' => sub {
    my $path = '{request.method} {request.target} {request.path} {answer.status}';
    for my $format ('combined', 'json', "'$path'") {
        my ($server, $file) = start("{ to: FILE, format: $format }");
        my $broken = $server->client->send("\x16\x03\x01\r\n\r\n")->receive;
        my $target = $server->client->send("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")->receive;
        my $lines  = join "\n", sort(lines_of($file, 2));
        if ($format eq 'json') {
            my %seen = map { ($_->{method} // 'none') => $_->{target} } map { decode_json($_) } split /\n/, $lines;
            is_deeply \%seen, { none => undef, GET => undef }, 'JSON';
        } else {
            like $lines, qr/(?:^|")- - .*400.*\n.*(?:^|")GET - .*400/m, $format;
        }
        is $server->stop, 'exit 0';
    }
};

subtest 'what is not escaped is cut, too' => sub {
    my $sources = '{request.method}{request.id}' x 140;
    my ($server, $file) = start("{ to: FILE, format: '\$ $sources {answer.status}' }");
    my $client = $server->client; # of one worker, which collects the lines
    my @sent   = ([ 'GET', 'i' x 90 ], [ 'GET', 'i' x 128 ], [ 'M' x 15_000, 'i' x 128 ]) x 3;
    for (@sent) {
        my ($method, $id) = @$_;
        $client->request($method, '/a', headers => { 'X-Request-Id' => $id });
    }
    my @lines = lines_of($file, scalar @sent);
    is scalar(grep { length > 16 * 1024 + 100 } @lines), 0, 'no line is too long';
    like $lines[0], qr/^\$ (?:GETi{90})+/, 'what has room is there';
    like $lines[2], qr/^\$ M{2048}i{128}M/, 'of a method there is the beginning';
    is_deeply [ map { /(\d+)$/ } @lines ], [ (200, 200, 501) x 3 ], 'the rest of the lines is there';
    is $server->stop, 'exit 0';
};

done_testing;
