# monitoring: Prometheus, a Pushgateway and a node exporter beside a server under load, a worker of which is killed and whose
# conf is reloaded; and what the repository has for them: sample conf, alerts, dashboard, the timer that pushes.
use v5.36;

use Hayfork::Test;

use JSON::PP;
use List::Util qw(uniq);
use POSIX ();
use Time::HiRes qw(time);

use Hayfork::Test::Process qw(wait_for run reap slurp spawn spew temporary_folder);

needs_postgres;
my ($prometheus, $promtool, $node, $curl) = map { needs_program($_) } qw(prometheus promtool prometheus-node-exporter curl);
my $gateway = needs_program('prometheus-pushgateway');
my ($python) = grep { -x } '/usr/bin/python3', needs_program('python3');    # Debian's has Debian's packages
needs(run([ $python, '-c', 'import prometheus_client' ])->{exit} eq 'exit 0', 'python3-prometheus-client is not installed');

my $top     = $Hayfork::Test::TOP_SRCDIR;
my $folder  = temporary_folder();
my %port    = map { $_ => Hayfork::Test::Server::free_port() } qw(admin prometheus gateway node);
my $rules   = "$top/conf/hayfork.rules.yml";
my $cluster = cluster->load_contacts;

my $dashboard = decode_json(slurp("$top/conf/grafana-hayfork.json"));
my @panels    = grep { $_->{type} ne 'row' } $dashboard->{panels}->@*;
my @alerts    = slurp($rules) =~ /^      - alert: (.*?)(?=^      - alert:|\z)/msg;

# What is written as sample, for this test's ports and patience.
my $sample = slurp("$top/conf/prometheus.yml");
$sample =~ s/127\.0\.0\.1:$_->[0]\b/127.0.0.1:$port{$_->[1]}/ or BAIL_OUT("no $_->[0] in conf/prometheus.yml")
  for [ 9180 => 'admin' ], [ 9100 => 'node' ], [ 9091 => 'gateway' ];
$sample =~ s/(scrape|evaluation)_interval: \K15s/500ms/g;

sub ask ($which, $path)
{
    return Hayfork::Test::Client->new("127.0.0.1:$port{$which}")->get($path);
}

# What an expression comes to: [ { metric => {…}, value => […] }, … ]
sub query ($expression)
{
    my $escaped  = $expression =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
    my $response = ask('prometheus', "/api/v1/query?query=$escaped");
    my $result   = decode_json($response->body);
    die "$expression: $result->{error}" if $result->{status} ne 'success';
    return $result->{data}{result}->@*;
}

# Does it come to something that is not NaN, some time?
sub yields ($expression)
{
    return scalar eval { wait_for($expression, sub { grep { $_->{value}[1] ne 'NaN' } query($expression) }, 20) };
}

sub conf ($more = '')
{
    return <<~CONF;
        workers: 2
        admin: 127.0.0.1:$port{admin}
        database: { connect: ${\ $cluster->conninfo } }
        limits: { deadline: 2s }
        routes:
          GET /:
            text: "hello\\n"
          GET /contacts/{id}:
            sql: "SELECT id, firstname FROM contact WHERE id = :id"
            answer: row
          POST /echo:
            sql: "SELECT :text::text AS text"
            body: [text]
            answer: row
          GET /fails:
            sql: "SELECT 1 / length(left(now()::text, 0)) AS x"
            answer: row
          GET /relayed:
            relay: http://127.0.0.1:$port{node}/
          GET /unreachable:
            relay: http://127.0.0.1:9/
        $more
        CONF
}

my $server = server(conf(), cluster => $cluster, lanes => 2);
my %spawned;
$spawned{node}    = spawn([ $node, "--web.listen-address=127.0.0.1:$port{node}" ], stdout => "$folder/node", stderr => "$folder/node");
$spawned{gateway} = spawn([ $gateway, "--web.listen-address=127.0.0.1:$port{gateway}", "--persistence.file=$folder/pushed" ],
    stdout => "$folder/gateway", stderr => "$folder/gateway");
spew("$folder/prometheus.yml",    $sample);
spew("$folder/hayfork.rules.yml", slurp($rules));
$spawned{prometheus} = spawn(
    [
        $prometheus, "--config.file=$folder/prometheus.yml", "--storage.tsdb.path=$folder/data",
        "--web.listen-address=127.0.0.1:$port{prometheus}", '--log.level=warn',
    ],
    stdout => "$folder/prometheus.log",
    stderr => "$folder/prometheus.log",
);

# All that the server has told, as OpenMetrics, one file for each scrape.
my $n_scrapes = 0;

sub scrape ()
{
    my $response = eval {
        Hayfork::Test::Client->new("127.0.0.1:$port{admin}")->get('/metrics', headers => { Accept => 'application/openmetrics-text' });
    } or return;    # of a worker that was killed meanwhile
    spew(sprintf("%s/scrape-%04d", $folder, ++$n_scrapes), $response->body);
    return;
}

sub push_it (%env)
{
    return run([ "$top/conf/systemd/hayfork-push" ],
        env => { HAYFORK_ADMIN => "127.0.0.1:$port{admin}", PUSHGATEWAY => "http://127.0.0.1:$port{gateway}", %env });
}

# Some requests of each kind.
sub some_load ()
{
    my $client = $server->client;
    for my $n (1 .. 20) {
        $client->get("/contacts/$n");
        $client->get('/');
    }
    $client->request('POST', '/echo', json => '{"text":"x"}');
    $client->get($_) for qw(/contacts/0 /fails /relayed /unreachable /nowhere);
    return;
}

# The load goes on until that is so.
sub load_until ($what, $condition)
{
    return wait_for($what, sub {
        eval { some_load() };    # a worker may be killed meanwhile
        scrape();
        return $condition->();
    });
}

subtest 'a server under load is scraped while its worker is killed and its conf is reloaded' => sub {
    my $ready = sub ($which, $path) { eval { ask($which, $path)->status == 200 } };
    wait_for('Prometheus',      sub { $ready->('prometheus', '/-/ready') });
    wait_for('the Pushgateway', sub { $ready->('gateway',    '/-/ready') });
    wait_for('the exporter',    sub { $ready->('node',       '/metrics') });
    is push_it(INSTANCE => 'box/1 "a"')->{exit}, 'exit 0', 'the figures are pushed, too';
    load_until('a first scrape', sub { query('hayfork_requests_total{route="/fails"}') });
    my ($worker) = $server->workers;
    kill 'KILL', $worker;
    load_until('another worker', sub { query('hayfork_worker_deaths_total{cause="killed"} == 1') });
    $cluster->psql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'contacts'});
    my $head = slurp($server->{conf}) =~ s/^workers:.*//msr;
    spew($server->{conf}, $head . conf("  GET /new:\n    text: new\n"));
    is run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ])->{exit}, 'exit 0', 'a reload';
    spew($server->{conf}, $head . conf('  GET: wrong'));
    isnt run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ])->{exit}, 'exit 0', 'a reload that is refused';
    load_until('the reload to be seen', sub { query('hayfork_reloads_total{result="refused"} == 1') });
    load_until('rates of what is new',  sub { query('rate(hayfork_reloads_total{result="refused"}[10s]) > 0') });
    is_deeply [ query('up == 0') ], [], 'all targets answer';
};

subtest 'no counter goes back' => sub {
    # What describes a single worker begins with it.
    my $counters = '__name__=~"hayfork_.*_(total|bucket|count|sum)",__name__!="hayfork_worker_cpu_seconds_total"';
    cmp_ok scalar(query("{$counters}")), '>', 100, 'there are many';
    my @names = uniq map { $_->{metric}{__name__} } query("{$counters}");
    is_deeply [ map { $_->{metric} } map { query("resets($_\[5m]) > 0") } @names ], [], 'Prometheus has seen none of them go back';
    is_deeply [ map { $_->{metric} } query("{$counters,instance=\"\"}") ],     [], 'each has its instance';
    is_deeply [ sort { $a cmp $b } uniq map { $_->{metric}{job} } query('{__name__="hayfork_workers"}') ], ['hayfork'], '… and its job';
    is_deeply [ grep { !/^127/ } uniq map { $_->{metric}{instance} } query('hayfork_requests_total') ], ['box/1 "a"'],
      '… also what was pushed';
};

subtest 'every scrape is good OpenMetrics' => sub {
    cmp_ok $n_scrapes, '>=', 5, 'there are some';
    spew("$folder/check.py", <<~'PYTHON');
        import sys
        from prometheus_client.openmetrics import parser
        before = {}
        for path in sys.argv[1:]:
            now, seen = {}, set()
            for family in parser.text_string_to_metric_families(open(path).read()):
                for sample in family.samples:
                    key = (sample.name, tuple(sorted(sample.labels.items())))
                    assert key not in seen, f'{path}: {key} is there twice'
                    seen.add(key)
                    if family.type in ('counter', 'histogram') and 'worker' not in sample.labels:
                        now[key] = sample.value
            for key, value in before.items():
                assert now.get(key, -1) >= value, f'{path}: {key} was {value}, is {now.get(key)}'
            before = now
        print(len(before))
        PYTHON
    my $checked = run([ $python, "$folder/check.py", sort glob "$folder/scrape-*" ]);
    is $checked->{exit}, 'exit 0', 'a strict parser takes them, none has a sample twice, and none is less than the one before'
      or diag $checked->{stderr};
    cmp_ok $checked->{stdout}, '>', 100, 'so many counters are there at the end';
};

subtest 'the dashboard' => sub {
    is $dashboard->{title}, 'Hayfork';
    my %variable = map { $_->{name} => $_ } $dashboard->{templating}{list}->@*;
    is_deeply [ sort keys %variable ], [qw(datasource instance job)], 'its variables';
    is $variable{datasource}{type}, 'datasource', '… among them where the data are';
    cmp_ok scalar(@panels), '>=', 20, 'its panels';
    is_deeply [ grep { !length $_->{description} } @panels ], [], '… have a description each';
    is_deeply [ map { $_->{title} } grep { !length($_->{fieldConfig}{defaults}{unit} // $_->{options}{yAxis}{unit} // '') } @panels ], [], '… and a unit';
    is_deeply [ grep { ($_->{datasource}{uid} // '') ne '${datasource}' } @panels, map { $_->{targets}->@* } @panels ], [],
      '… and take what the variable says';
    is scalar(uniq map { $_->{id} } $dashboard->{panels}->@*), scalar($dashboard->{panels}->@*), '… and an id';
    my %taken;
    for my $panel ($dashboard->{panels}->@*) {
        my ($x, $y, $w, $h) = $panel->{gridPos}->@{qw(x y w h)};
        for my $column ($x .. $x + $w - 1) {
            $taken{"$column/$_"}++ for $y .. $y + $h - 1;
        }
    }
    is_deeply [ grep { $taken{$_} > 1 || /^(?:2[4-9]|[3-9]\d)\// } keys %taken ], [], 'no panel lies on another one';
};

subtest 'every metric is on the dashboard' => sub {
    my $all = join "\n", map { $_->{expr} } map { $_->{targets}->@* } @panels;
    my @names = ask('admin', '/metrics')->body =~ /^# TYPE (\S+)/mg;
    cmp_ok scalar(@names), '>=', 40, 'there are some';
    is_deeply [ grep { $all !~ /\b\Q$_\E(?:_bucket|_sum)?\{/ } @names ], [], 'each is there';
};

subtest 'every expression of the dashboard yields data' => sub {
    my @expressions = map { $_->{expr} } map({ $_->{targets}->@* } @panels), grep { defined $_->{expr} } $dashboard->{annotations}{list}->@*;
    cmp_ok scalar(grep { /rate\(|increase\(/ && !/\$__rate_interval/ } @expressions), '==', 0, 'rates are of the interval that fits';
    cmp_ok scalar(grep { !/job=~"\$job",instance=~"\$instance"/ } @expressions), '==', 0, 'all are of the job and instance that are chosen';
    for my $expression (@expressions) {
        my $filled = $expression =~ s/\$__rate_interval/5m/gr =~ s/\$(?:job|instance)\b/.+/gr;
        ok yields($filled), $expression;
    }
    my @labels = map { $_->{query}{query} } grep { $_->{type} eq 'query' } $dashboard->{templating}{list}->@*;
    for my $of (@labels) {
        my ($selector, $label) = $of =~ /^label_values\((.+),(\w+)\)$/ or fail($of);
        ok +(grep { length $_->{metric}{$label} } query($selector =~ s/\$job/.+/r)), $of;
    }
};

subtest 'alerts' => sub {
    my $check = run([ $promtool, 'check', 'config', "$folder/prometheus.yml" ]);
    is $check->{exit}, 'exit 0', 'promtool takes them, and the sample conf' or diag $check->{stdout} . $check->{stderr};
    my $manual = slurp("$top/man/hayfork.8");
    my %section = map { $_ => 1 } $manual =~ /^\.S[sh] (.+)$/mg;
    cmp_ok scalar(@alerts), '>=', 10, 'there are some';
    for my $alert (@alerts) {
        my ($name) = $alert =~ /^(\w+)/;
        my ($expression) = $alert =~ /^        expr: (?:>\n)?(.*?)(?=^        \w)/ms;
        my ($section)    = $alert =~ /runbook: 'hayfork\(8\), "(.+)"'$/m;
        ok $section{ $section // '' }, "$name: its runbook is a section of the manual";
        ok yields($expression =~ s/\s[<>]\s*[\d.]+\s*\z//r), "$name: there is something to compare";
        like $alert, qr/severity: (?:page|ticket)/, "$name: how urgent it is";
        like $alert, qr/summary: .+\n.*description: /, "$name: what to tell";
    }
    my $state = sub ($name) {
        my ($rule) = grep { $_->{name} eq $name } decode_json(ask('prometheus', '/api/v1/rules')->body)->{data}{groups}[0]{rules}->@*;
        return "$rule->{health} $rule->{state}";
    };
    is wait_for('the alert', sub { my $now = $state->('HayforkWorkerDied'); $now eq 'ok firing' ? $now : undef }), 'ok firing',
      'of a worker that died';
    is $state->('HayforkDown'), 'ok inactive', 'none of a server that is there';
};

subtest 'pushing' => sub {
    is push_it()->{exit}, 'exit 0', 'without a name it is the host\'s';
    my $host = (POSIX::uname())[1];
    ok wait_for('it to be seen', sub { query(qq(hayfork_workers{instance="$host",job="hayfork"})) }), '… as everybody sees';
    isnt push_it(HAYFORK_ADMIN => '127.0.0.1:9')->{exit}, 'exit 0', 'no server: it fails';
    like push_it(PUSHGATEWAY => 'http://127.0.0.1:9')->{stderr}, qr/onnect/, 'no gateway: it says so';
    ok query(qq(hayfork_workers{instance="$host",job="hayfork"})), 'what was pushed before is there';
    ok query('node_load1{job="node"} * on () group_left () count(hayfork_build_info)'), 'the node exporter beside it';
};

for my $name (qw(prometheus gateway node)) {
    kill 'TERM', $spawned{$name};
    ok defined reap($spawned{$name}), "$name ends";
}
$server->stop;
done_testing;
