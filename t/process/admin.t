# admin: what operators and monitoring ask: is it alive, is it ready, what has been counted?
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for run slurp temporary_folder);
use Hayfork::Test::Upstream;

needs_postgres;
my $cluster = cluster->load_contacts;

# A server with an admin listener, and the address of that. more: lines of the conf.
sub start ($more = '', %with)
{
    my $admin  = '127.0.0.1:' . Hayfork::Test::Server::free_port();
    my $server = server(conf($admin, $more), cluster => $cluster, %with);
    return ($server, $admin);
}

sub conf ($admin, $more = '')
{
    return <<~CONF;
        workers: 2
        admin: $admin
        limits: { deadline: 2s }
        database:
          connect: ${\ $cluster->conninfo }
        $more
        routes:
          GET /:
            text: "hello\\n"
          GET /contacts/{id}:
            sql: "SELECT id FROM contact WHERE id = :id"
            answer: row
          GET /slow:
            sql: "SELECT pg_sleep(0.3)::text"
            answer: row
          GET /gate:
            sql: "SELECT pg_advisory_xact_lock_shared(1)::text"
            answer: row
            deadline: 60s
          POST /echo:
            sql: "SELECT :text::text AS text"
            body: [text]
            answer: row
        CONF
}

sub ask ($admin, $path, %with)
{
    return Hayfork::Test::Client->new($admin)->get($path, %with);
}

# A file with that text.
sub text_file ($text)
{
    my $path = temporary_folder() . '/text';
    open my $file, '>', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    return $path;
}

# What a scrape says: { 'name{label="value"}' => value }.
sub scrape ($admin)
{
    my $response = ask($admin, '/metrics');
    die "/metrics is answered with @{[ $response->status ]}" if $response->status != 200;
    return { map { /^([^#].*) (\S+)$/ ? ($1, $2) : () } split /\n/, $response->body };
}

# The samples of a family, whatever its labels, summed up.
sub sum ($scrape, $name)
{
    my $sum = 0;
    $sum += $scrape->{$_} for grep { /^\Q$name\E(?:\{|$)/ } keys %$scrape;
    return $sum;
}

sub requests ($scrape, $method, $route, $status)
{
    return $scrape->{qq(hayfork_requests_total{route="$route",method="$method",status="$status"})} // 0;
}

my $PYTHON     = -x '/usr/bin/python3' ? '/usr/bin/python3' : 'python3';    # Debian's has Debian's packages
my $HAS_STRICT = run([ $PYTHON, '-c', 'import prometheus_client' ])->{exit} eq 'exit 0';

# What a strict parser of OpenMetrics says: its exit code, and how many families there are.
sub parse_strictly ($text)
{
    my $check = 'import sys; from prometheus_client.openmetrics import parser; '
      . 'print(len(list(parser.text_string_to_metric_families(open(sys.argv[1]).read()))))';
    return run([ $PYTHON, '-c', $check, text_file($text) ]);
}

my $OPEN = { Accept => 'application/openmetrics-text; version=1.0.0' };

subtest 'alive and ready' => sub {
    my ($server, $admin) = start();
    my $live = ask($admin, '/live');
    is $live->status, 200, 'it is alive';
    is $live->body, '{"live":true}';
    my $ready = ask($admin, '/ready');
    is $ready->status, 200, 'it is ready';
    is $ready->body, '{"ready":true}';
    header_is $ready, 'Cache-Control', 'no-store', 'nobody keeps that';
    is ask($admin, '/contacts/1')->status,   404, 'the conf\'s routes are not there';
    is $server->get('/metrics')->status,     404, '… and these are nowhere else';
    is Hayfork::Test::Client->new($admin)->request('POST', '/live')->status, 405, 'they are only looked at';
    is $server->stop, 'exit 0';
};

subtest 'without the database it is not ready' => sub {
    my $away = Hayfork::Test::Cluster->start->load_contacts;
    my $admin = '127.0.0.1:' . Hayfork::Test::Server::free_port();
    my $server = server(conf($admin) =~ s/connect: .*/"connect: " . $away->conninfo/er, cluster => $away);
    wait_for('it to be ready', sub { ask($admin, '/ready')->status == 200 });
    $away->stop;
    my $answer;
    wait_for('it to notice', sub { ($answer = ask($admin, '/ready'))->status == 503 });
    is $answer->body, '{"ready":false,"reasons":["The lane read has no connection to PostgreSQL."]}', 'it says why';
    is ask($admin, '/live')->status, 200, 'it is alive all the same';
    wait_for('no connection to be open', sub { scrape($admin)->{'hayfork_database_connections{lane="read"}'} == 0 });
    my $refused = scrape($admin)->{'hayfork_database_failures_total{lane="read",cause="away"}'};
    is $server->get('/contacts/1')->status, 503, 'what is refused now';
    is scrape($admin)->{'hayfork_database_failures_total{lane="read",cause="away"}'}, $refused + 1, '… is counted';
    cmp_ok scrape($admin)->{'hayfork_database_connections_lost_total{lane="read"}'}, '>=', 1, '… and so is what broke';
    $away->boot;
    wait_for('it to be ready again', sub { ask($admin, '/ready')->status == 200 });
    cmp_ok scrape($admin)->{'hayfork_database_reconnects_total{lane="read"}'}, '>=', 1, 'what was made again is counted';
    is $server->stop, 'exit 0';
    $away->stop;
};

subtest 'requests are counted by route and status' => sub {
    my ($server, $admin) = start();
    my $client = $server->client;
    my $before = requests(scrape($admin), 'GET', '/', 200);    # it was asked whether it serves
    $client->get('/') for 1 .. 3;
    $client->get("/contacts/$_") for 1 .. 5, 0, 'x';
    $client->request('POST', '/echo', json => '{"text":"' . 'x' x 1000 . '"}');
    $client->get('/nothing');
    $client->request('DELETE', '/');
    $client->request('OPTIONS', '/');
    $server->client->send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")->receive;
    my $scrape;
    wait_for('all to be counted', sub { $scrape = scrape($admin); ($scrape->{'hayfork_http_errors_total{status="400"}'} // 0) == 1 });
    is requests($scrape, 'GET',  '/',              200), $before + 3, 'of a constant';
    is requests($scrape, 'GET',  '/contacts/{id}', 200), 5, 'of a query';
    is requests($scrape, 'GET',  '/contacts/{id}', 404), 1, '… without a row';
    is requests($scrape, 'GET',  '/contacts/{id}', 400), 1, '… that PostgreSQL would not take';
    is requests($scrape, 'POST', '/echo',          200), 1, 'with a body';
    is $scrape->{'hayfork_http_errors_total{status="404"}'}, 1, 'without a route';
    is $scrape->{'hayfork_http_errors_total{status="405"}'}, 1, 'with a method that the route has not';
    is $scrape->{'hayfork_http_errors_total{status="400"}'}, 1, 'that HTTP refuses';
    is $scrape->{'hayfork_http_errors_total{status="204"}'}, undef, 'OPTIONS is not an error';
    is $scrape->{'hayfork_received_bytes_total{route="/echo",method="POST"}'}, 1011, 'bytes in';
    cmp_ok $scrape->{'hayfork_sent_bytes_total{route="/echo",method="POST"}'}, '>', 1100, 'bytes out';
    is $scrape->{'hayfork_request_duration_seconds_count{route="/contacts/{id}",method="GET"}'}, 7, 'their times';
    cmp_ok $scrape->{'hayfork_database_duration_seconds_count{route="/contacts/{id}",method="GET"}'}, '>=', 6,
      '… and those in PostgreSQL';
    cmp_ok $scrape->{'hayfork_database_queries_total{lane="read"}'}, '>=', 6, '… by lane';
    is $scrape->{'hayfork_database_queries_total{lane="write"}'}, 1, '… and the one that may write';
    is sum($scrape, 'hayfork_workers'), 2, 'workers';
    cmp_ok $scrape->{hayfork_connections_accepted_total}, '>=', 3, 'connections';
    my ($version, $commit) = hayfork('-V')->{stdout} =~ /^hayfork (\S+)(?: \((\S+)\))?$/;
    my $build = defined $commit ? qq(version="$version",commit="$commit") : qq(version="$version");
    is $scrape->{"hayfork_build_info{$build}"}, 1, 'what is running';
    is $server->stop, 'exit 0';
};

subtest 'what is open, idle, passed and under way' => sub {
    my ($server, $admin) = start();
    my $get = "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n";
    my @clients = map { $server->client } 1 .. 30;
    $_->get('/') for @clients;
    my $scrape;
    wait_for('all to be idle', sub { ($scrape = scrape($admin))->{hayfork_connections_idle} >= 30 });
    cmp_ok $scrape->{hayfork_connections},              '>=', 30, 'all are open';
    cmp_ok $scrape->{hayfork_connections_passed_total}, '>=', 1,  'the kernel alone does not spread them evenly';
    my @lanes = ('lane="read"', 'lane="write"');
    is $scrape->{"hayfork_database_state{$_,state=\"ready\"}"}, 2, "the lane is ready in each worker: $_" for @lanes;
    is $scrape->{"hayfork_database_state{$_,state=\"broken\"}"}, 0, '… and broken in none' for @lanes;
    is $scrape->{hayfork_requests_in_flight}, 0, 'nothing is asked';
    my $open = $scrape->{hayfork_connections};
    my $holder = $cluster->hold('SELECT pg_advisory_xact_lock(1)');
    $_->send($get) for @clients;
    wait_for('all to be under way', sub { ($scrape = scrape($admin))->{hayfork_requests_in_flight} >= 30 });
    cmp_ok $scrape->{hayfork_connections_idle}, '<=', $open - 30, 'those are not idle';
    cmp_ok $scrape->{'hayfork_database_in_flight{lane="read"}'} + $scrape->{'hayfork_database_waiting{lane="read"}'}, '>=', 1,
      'they ask the database';
    $cluster->let_go($holder);
    is_deeply [ map { $_->receive->status } @clients ], [ (200) x 30 ], 'they are answered';
    cmp_ok scrape($admin)->{'hayfork_database_waits_total{lane="read"}'}, '>=', 1, '… though some had to wait';
    is $server->stop, 'exit 0';
};

subtest 'a slow query is slow in both histograms' => sub {
    my ($server, $admin) = start();
    $server->get('/slow');
    my $scrape;
    wait_for('it to be counted', sub { $scrape = scrape($admin); requests($scrape, 'GET', '/slow', 200) == 1 });
    for my $what (qw(request database)) {
        my $name = "hayfork_${what}_duration_seconds";
        is $scrape->{qq(${name}_bucket{route="/slow",method="GET",le="0.25"})}, 0, "$what: more than 250 ms";
        is $scrape->{qq(${name}_bucket{route="/slow",method="GET",le="+Inf"})}, 1, '… and at all';
        cmp_ok $scrape->{qq(${name}_sum{route="/slow",method="GET"})}, '>=', 0.3, '… in sum';
    }
    is $server->stop, 'exit 0';
};

subtest 'relays, by upstream and server' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $admin    = '127.0.0.1:' . Hayfork::Test::Server::free_port();
    my $server   = server(<<~CONF);
        workers: 1
        admin: $admin
        upstreams:
          backend: { servers: ["${\ $upstream->url }"], connections: 1 }
        limits: { connect: 300ms }
        routes:
          GET /:
            text: "hello\n"
          GET /x:
            relay: http://backend/y
        CONF
    my $now = sub ($what, $more = '') {
        my ($name, $scrape) = ("hayfork_upstream_$what", scrape($admin));
        return $scrape->{qq($name\{upstream="backend",server="${\ $upstream->url }"$more})};
    };
    my $failed = sub ($cause) { $now->('failures_total', qq(,cause="$cause")) };
    is $now->('requests_total'), 0, 'nothing was asked';
    my $client = $server->client->ask('GET', '/x');
    my $peer   = $upstream->accept;
    $peer->request;
    is $now->('in_flight'), 1, 'one is under way';
    is $server->get('/x')->status, 503, 'there is one connection, and it is in use';
    is scrape($admin)->{'hayfork_upstream_failures_total{upstream="backend",cause="full"}'}, 1, '… which is no one server\'s failure';
    my $answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    $peer->send($answer);
    is $client->receive->body, 'hi', 'it is answered';
    wait_for('none to be under way', sub { $now->('in_flight') == 0 });
    $client = $server->client->ask('GET', '/x');
    $peer->request;
    $peer->send($answer);
    is $client->receive->status,             200, 'another one';
    is $now->('requests_total'),             2,   '… of two';
    is $now->('connections_made_total'),     1,   '… on one connection';
    is $now->('reused_total'),               1,   '… that was used again';
    is $now->('connections'),                1,   '… and is still there';
    is $failed->($_), 0, "no failure: $_" for qw(look_up connect no_answer late bad_answer);
    is $now->('rests_total'), 0, 'nor a rest';
    $client = $server->client->ask('GET', '/x');
    $peer->request;
    $peer->send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
    is $client->receive->status,  502, 'an answer that is none';
    is $failed->('bad_answer'),   1,   '… is counted';
    $upstream->stop;
    is $server->get('/x')->status, 502, 'a server that is gone';
    is $failed->('connect'),       1,   '… is counted';
    is $now->('rests_total'),      1,   '… and rests';
    if ($HAS_STRICT) {
        my $parsed = parse_strictly(ask($admin, '/metrics', headers => $OPEN)->body);
        is $parsed->{exit}, 'exit 0', 'it is OpenMetrics all the same' or diag $parsed->{stderr};
    }
    is $server->stop, 'exit 0';
};

subtest 'no counter goes back when a worker dies or the conf is reloaded' => sub {
    my ($server, $admin) = start();
    my ($sent, $before) = (0, {});
    my $ask = sub {
        $sent += grep { $server->get("/contacts/$_")->status == 200 } 1 .. 20;
        my $now;    # the last one may not be counted yet when its answer is here
        wait_for('all to be counted', sub { $now = scrape($admin); requests($now, 'GET', '/contacts/{id}', 200) >= $sent });
        my @lower = grep { /_(?:total|bucket|count|sum)\b/ && !/^hayfork_worker_cpu/ && ($now->{$_} // 0) < $before->{$_} }
          keys %$before;
        is_deeply \@lower, [], 'nothing is less than before';
        $before = $now;
        return requests($now, 'GET', '/contacts/{id}', 200);
    };
    is $ask->(), $sent, 'all are there';
    my ($worker) = $server->workers;
    kill 'KILL', $worker;
    wait_for('another worker', sub { $server->workers == 2 && !grep { $_ == $worker } $server->workers });
    wait_for('it to be ready', sub { scrape($admin)->{'hayfork_workers{state="ready"}'} == 2 });
    is $ask->(), $sent, 'a worker was killed';
    is $before->{'hayfork_worker_deaths_total{cause="killed"}'}, 1, '… which is counted';
    kill 'ABRT', $server->workers;    # a sanitizer would make an exit code of SEGV
    wait_for('others', sub { ((eval { scrape($admin) } // {})->{q(hayfork_worker_deaths_total{cause="crashed"})} // 0) == 2 });
    wait_for('them to be ready', sub { scrape($admin)->{'hayfork_workers{state="ready"}'} == 2 });
    is $ask->(), $sent, 'workers have crashed';
    is $before->{'hayfork_worker_deaths_total{cause="crashed"}'}, 2, '… which is counted, too';
    for my $n (1 .. 3) {
        is run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ])->{exit}, 'exit 0', 'a reload';
        is $ask->(), $sent, '… loses nothing';
        is $before->{'hayfork_reloads_total{result="done"}'}, $n, '… and is counted';
    }
    wait_for('the workers of before to leave', sub { scrape($admin)->{'hayfork_workers{state="draining"}'} == 0 });
    is $ask->(), $sent, 'what they have counted stays';
    is $server->stop, 'exit 0';
};

subtest 'OpenMetrics, for who asks for it' => sub {
    needs($HAS_STRICT, 'python3-prometheus-client is not installed');
    my ($server, $admin) = start();
    $server->get("/contacts/$_") for 0 .. 9;
    my $response = ask($admin, '/metrics', headers => $OPEN);
    header_is $response, 'Content-Type', 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'its type';
    like $response->body, qr/\n# EOF\n\z/, 'its end';
    header_is ask($admin, '/metrics'), 'Content-Type', 'text/plain; version=0.0.4; charset=utf-8', 'others get the older one';
    my $parsed = parse_strictly($response->body);
    is $parsed->{exit}, 'exit 0', 'a strict parser takes it' or diag $parsed->{stderr};
    cmp_ok $parsed->{stdout}, '>=', 15, 'all families of it';
    is $server->stop, 'exit 0';
};

subtest 'every metric is in the manual' => sub {
    my ($server, $admin) = start();
    my $manual = slurp("$Hayfork::Test::TOP_SRCDIR/man/hayfork.8");
    my @names = ask($admin, '/metrics')->body =~ /^# TYPE (\S+)/mg;
    cmp_ok scalar @names, '>=', 15, 'there are some';
    is_deeply [ grep { $manual !~ /^\.It Li \Q$_\E\b/m } @names ], [], 'each has its line';
    is $server->stop, 'exit 0';
};

subtest 'what the conf may say' => sub {
    my $check = sub ($admin) { hayfork('-t', '-c', text_file(conf($admin))) };
    is $check->('off')->{exit}, 'exit 0', 'off';
    is $check->('{ address: unix:/tmp/x.sock, mode: "0600" }')->{stderr}, '', 'a Unix socket with its rights';
    like $check->('0.0.0.0:9180')->{stderr}, qr/warning: whoever reaches this address sees the routes/, 'an open address is warned of';
    is $check->('0.0.0.0:9180')->{exit}, 'exit 0', '… and taken';
    like $check->('[127.0.0.1:1, 127.0.0.1:2]')->{stderr}, qr/admin takes one address, not a list/, 'not a list';
    like $check->('9180x')->{stderr}, qr/is not an address/, 'not anything';
};

done_testing;
