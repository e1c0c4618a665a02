# status: /status.json of the operators' listener: what goes on, from the memory that the processes share.
use v5.36;

use Hayfork::Test;

use JSON::PP;
use List::Util qw(sum);

use Hayfork::Test::Process qw(wait_for run slurp spew stop_process);

needs_postgres;
my $cluster = cluster->load_contacts;
$cluster->psql(<<~'SQL');
    CREATE TYPE mood AS ENUM ('fine', 'bad');
    CREATE TABLE feeling (id int, mood mood, moods mood[], at timestamptz);
    INSERT INTO feeling VALUES (1, 'fine', '{bad}', now());
    SQL

my %BROKEN = ('GET /nothing' => '{ sql: "SELECT 1 FROM no_such_table", answer: row }');
my %ROUTES = (
    'GET /'              => '{ text: "hello\n" }',
    'GET /contacts/{id}' => '{ sql: "SELECT id, firstname FROM contact WHERE id = :id", answer: row }',
    'GET /relayed'       => '{ relay: http://127.0.0.1:9/gone }',
    'GET /feelings'      => '{ sql: "SELECT * FROM feeling WHERE mood = :mood AND id = ANY(:ids)", query: [mood, ids], answer: rows }',
    'DELETE /x'          => '{ sql: "DELETE FROM feeling WHERE at < :before", query: [before], answer: none }',
);

# A server with an admin listener, and the address of that. routes: more of them.
sub start (%routes)
{
    my $admin  = '127.0.0.1:' . Hayfork::Test::Server::free_port();
    my %all    = (%ROUTES, %routes);
    my $routes = join '', map { "  $_: $all{$_}\n" } sort keys %all;
    my $server = server(<<~CONF . $routes, cluster => $cluster, lanes => 2);
        workers: 2
        admin: $admin
        limits: { deadline: 2s }
        database: { connect: ${\ $cluster->conninfo } }
        routes:
        CONF
    return ($server, $admin);
}

sub status ($admin)
{
    my $response = Hayfork::Test::Client->new($admin)->get('/status.json');    # any worker's: one may be killed
    die '/status.json is answered with ' . $response->status if $response->status != 200;
    return decode_json($response->body);
}

sub route ($status, $label)
{
    my ($route) = grep { "$_->{method} $_->{path}" eq $label } @{ $status->{routes} };
    return $route;
}

# All names of members, at any depth; those of statuses are numbers.
sub members ($value)
{
    return map { members($_) } @$value if ref $value eq 'ARRAY';
    return () if ref $value ne 'HASH';
    return map { /^\d+$/ ? () : ($_, members($value->{$_})) } keys %$value;
}

subtest 'counts' => sub {
    my ($server, $admin) = start();
    my $before = status($admin);
    $server->get("/contacts/$_") for 0 .. 4;
    $server->get('/contacts/x');
    $server->get('/nowhere');
    my $status;
    wait_for('all to be counted', sub { $status = status($admin); $status->{requests} == $before->{requests} + 7 });
    is $status->{client_errors}, $before->{client_errors} + 3, 'errors';
    is $status->{server_errors}, $before->{server_errors}, '… of the server';
    cmp_ok $status->{clock}, '>', $before->{clock}, 'its clock';
    my $route = route($status, 'GET /contacts/{id}');
    is $route->{requests}, 6, 'of a route';
    is_deeply $route->{statuses}, { 200 => 4, 404 => 1, 400 => 1 }, '… by status';
    is $route->{kind}, 'sql',  '… its kind';
    is $route->{lane}, 'read', '… its lane';
    is sum(@{ $route->{latency}{buckets} }), 6, '… their times';
    cmp_ok sum(@{ $route->{database}{buckets} }), '>=', 5, '… and those in PostgreSQL';
    is @{ $status->{bounds} } + 1, @{ $status->{latency}{buckets} }, 'a bound for each bucket but the last';
    my ($lane) = grep { $_->{lane} eq 'read' } @{ $status->{lanes} };
    cmp_ok $lane->{queries}, '>=', 5, 'lanes';
    is_deeply [ sort map { $_->{pid} } @{ $status->{workers} } ], [ sort $server->workers ], 'workers';
    is_deeply [ map { $_->{state} } @{ $status->{workers} } ], [ 'ready', 'ready' ], '… are ready';
    ok !(grep { $_->{path} eq '/status.json' } @{ $status->{routes} }), 'its own routes are not told';
    is status($admin)->{requests}, $status->{requests}, '… nor counted';
    $server->get('/relayed');
    my ($upstream) = grep { $_->{server} } @{ status($admin)->{upstreams} };
    is $upstream->{upstream}, 'http://127.0.0.1:9', 'upstreams';
    cmp_ok $upstream->{failures}{connect}, '>=', 1, '… their failures';
    $server->stop;
};

subtest 'what is in flight' => sub {
    my ($server, $admin) = start();
    my $holder = $cluster->hold('LOCK TABLE contact IN ACCESS EXCLUSIVE MODE');
    my $client = $server->client->send("GET /contacts/1 HTTP/1.1\r\nHost: x\r\n\r\n");
    my $status;
    wait_for('a request to be in flight', sub { $status = status($admin); $status->{requests_in_flight} == 1 });
    is sum(map { $_->{in_flight} } @{ $status->{workers} }), 1, 'of one worker';
    $cluster->let_go($holder);
    is $client->receive->status, 200, 'it is answered';
    wait_for('none to be in flight', sub { status($admin)->{requests_in_flight} == 0 });
    $server->stop;
};

subtest 'a worker that is stuck' => sub {
    my ($server, $admin) = start();
    my $of = sub ($pid) { (grep { $_->{pid} == $pid } @{ status($admin)->{workers} })[0] };
    my ($stuck) = $server->workers;
    stop_process($stuck);
    wait_for('it to look so', sub { $of->($stuck)->{heartbeat} > 2 });
    is $of->($stuck)->{state}, 'ready', 'the other one tells that it does not turn';
    kill 'CONT', $stuck;
    wait_for('it to turn again', sub { $of->($stuck)->{heartbeat} < 2 });
    $server->stop;
};

subtest 'statements as PostgreSQL has described them' => sub {
    my ($server, $admin) = start();
    my $status = status($admin);
    is_deeply route($status, 'GET /contacts/{id}')->{parameters}, [ { name => 'id', type => 'int4' } ], 'a parameter';
    is_deeply route($status, 'GET /contacts/{id}')->{columns},
      [ { name => 'id', type => 'int4' }, { name => 'firstname', type => 'text' } ], 'columns';
    my $feelings = route($status, 'GET /feelings');
    is_deeply $feelings->{parameters}, [ { name => 'mood', type => 'mood' }, { name => 'ids', type => 'int4[]' } ],
      'types of one\'s own, and arrays';
    is_deeply [ map { $_->{type} } @{ $feelings->{columns} } ], [qw(int4 mood mood[] timestamptz)], '… of columns';
    is_deeply route($status, 'DELETE /x')->{columns}, [], 'no columns';
    $server->stop;
};

subtest 'the last lines of the log' => sub {
    my ($server, $admin) = start(%BROKEN);
    my ($error) = grep { $_->{text} =~ /no_such_table/ } map { @{ status($admin)->{$_} } } qw(errors warnings);
    ok $error, 'what a worker has logged' or return;
    like $error->{process}, qr/^worker [12]$/, '… with its name';
    ok +(grep { $_ == $error->{pid} } $server->workers), '… and number';
    like $error->{time}, qr/^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/, '… and the time';
    my ($worker) = $server->workers;
    kill 'KILL', $worker;    # perhaps the one that is asked next
    my $death;
    wait_for('the master to say so', sub { eval { ($death) = grep { $_->{process} eq 'master' } @{ status($admin)->{errors} } } });
    like $death->{text}, qr/\b$worker\b/, 'what the master has logged';
    $server->stop;
};

subtest 'a route that is gone' => sub {
    my ($server, $admin) = start();
    $server->get('/contacts/1');
    spew($server->{conf}, slurp($server->{conf}) =~ s{GET /contacts/\{id\}}{GET /people/{id}}r);
    is run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ])->{exit}, 'exit 0', 'a reload';
    my $status = status($admin);
    is route($status, 'GET /contacts/{id}')->{kind},     undef, 'is there without a kind';
    is route($status, 'GET /contacts/{id}')->{requests}, 1,     '… with its count';
    is route($status, 'GET /people/{id}')->{requests},   0,     'the new one has none';
    is $status->{reloads}{done}, 1, 'the reload is counted';
    $server->stop;
};

subtest 'every member is in the manual' => sub {
    my ($server, $admin) = start(%BROKEN);
    $server->get('/contacts/1');
    my $page = slurp("$Hayfork::Test::TOP_SRCDIR/man/hayfork.8");
    my ($metrics, $status) = $page =~ /^\.Sh METRICS AND HEALTH\n(.*)^\.Ss Status\n(.*?)^\.S[hs]/ms;
    $metrics =~ s/hayfork_(?:database_|upstream_)?(\w+?)(?:_total)?$/$1/mg;
    my %there = map { $_ => 1 } members(status($admin));
    cmp_ok keys %there, '>=', 40, 'there are some';
    is_deeply [ grep { "$metrics$status" !~ /\b\Q$_\E\b/ } sort keys %there ], [], 'each is there';
    $server->stop;
};

done_testing;
