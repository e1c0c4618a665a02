# Secrets and rights: what others on the machine can see of a server, and what its processes may do.
use v5.36;

use Hayfork::Test;

use IO::Socket::IP;

use Hayfork::Test::Process qw(spawn run reap wait_for slurp spew temporary_folder alive stop_process);

no warnings 'portable';    # capabilities are numbers of 64 bits

my $conf = <<~'CONF';
    workers: 1
    routes:
      GET /: { text: "hello\n" }
    CONF

# A server all of whose workers serve: before that they have not given up anything yet.
sub start (@arguments)
{
    my $server = server(@arguments);
    wait_for('all workers to serve', sub { $server->log_lines(qr/ serving /) });
    return $server;
}

# The arguments of a process, as ps shows them.
sub arguments ($pid) { return join ' ', split /\0/, slurp("/proc/$pid/cmdline") }

subtest 'a password on the command line is overwritten there' => sub {
    my %option = (
        'database.connect' => 'host=/nowhere password=hush',
        'database.read'    => 'postgresql://a:hush@db/b',
        upstreams          => '{ a: [ http://hush.example.org ] }',
        'limits.body'      => '64K',
        server             => 'plain',
        'listen.extra'     => '127.0.0.1:' . Hayfork::Test::Server::free_port(),
    );
    my $server = start($conf, listeners => [qw(main extra)], options => \%option);
    for my $pid ($server->pid, $server->workers) {
        my $shown = arguments($pid);
        unlike $shown, qr/hush|nowhere/, "process $pid shows no secret";
        like $shown, qr/ -o database\.connect=\*+ -o database\.read=\*+ /, '... but that there is something';
        like $shown, qr/ -o limits\.body=64K .*-o server=plain/, '... and what is none';
        like $shown, qr/ -o listen\.extra=127\.0\.0\.1:\d+/, '... a listener, too';
        like $shown, qr/ -o upstreams=\*+(?: |$)/, '... what may hold one is taken for one';
    }
    is $server->stop, 'exit 0';
};

# What the kernel says of a process: proc(5), /proc/PID/status.
sub status ($pid)
{
    return map { /^(\w+):\s+(.*)$/ } split /\n/, slurp("/proc/$pid/status");
}

# Whose files those of a process in /proc are: root's where its memory is not to be looked at (proc(5)).
sub owner ($pid) { return (stat "/proc/$pid/environ")[4] }

# A program that is built with sanitizers makes calls that workers do not, and catches its own crashes.
my $is_sanitized = slurp($Hayfork::Test::HAYFORK) =~ /__asan_init/;

my ($nobody, $nogroup) = (getpwnam 'nobody')[ 2, 3 ];
my $is_root = $> == 0;

# Those below run it as somebody else.
if ($is_root && run([ setpriv(), 'test', '-x', $Hayfork::Test::HAYFORK ])->{exit} ne 'exit 0') {
    $Hayfork::Test::HAYFORK = Hayfork::Test::copy_for_others();
}

# What a master keeps of root's capabilities (linux/capability.h): KILL, SETGID, SETUID, NET_BIND_SERVICE.
my $KEPT = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10;

subtest 'a worker has no capability and gets no new ones' => sub {
    my $server = start($conf);
    my %is     = status(($server->workers)[0]);
    is hex $is{$_}, 0, $_ for qw(CapInh CapPrm CapEff CapAmb);
    is $is{NoNewPrivs}, 1, 'NoNewPrivs';
    is $server->stop, 'exit 0';
};

subtest 'a worker makes only the system calls that it needs' => sub {
    plan skip_all => 'built with sanitizers' if $is_sanitized;
    my $server = start($conf);
    my %is     = status(($server->workers)[0]);
    is $is{Seccomp}, 2, 'Seccomp: a filter';
    is { status($server->pid) }->{Seccomp}, 0, 'the master has none: it makes processes';
    is_deeply [ $server->log_lines(qr/ warn /) ], [];
    is $server->stop, 'exit 0';

    $server = start($conf, options => { sandbox => 'off' });
    is { status(($server->workers)[0]) }->{Seccomp}, 0, 'sandbox: off';
    is $server->stop, 'exit 0';

    $server = start($conf, options => { workers => 2 }, under => [ "$Hayfork::Test::TOP_SRCDIR/t/tools/without-call", 'seccomp' ]);
    my @warnings = $server->log_lines(qr/ warn /);
    is scalar @warnings, 1, 'where it cannot have a filter, that is warned of, once';
    like $warnings[0], qr/ worker 1\[\d+\]: the system calls of the workers are not filtered: Operation not permitted$/;
    is $server->get('/')->body, "hello\n", '... and it serves';
    is $server->stop, 'exit 0';
};

subtest 'a master keeps five capabilities' => sub {
    plan skip_all => 'root alone has capabilities' if !$is_root;
    my $server = start($conf, options => { user => 'nobody' });
    my %is     = status($server->pid);
    is $is{Uid}, "0\t0\t0\t0", 'it is root';
    is hex $is{$_}, $KEPT, $_ for qw(CapPrm CapEff);
    is hex $is{$_}, 0, $_ for qw(CapInh CapAmb);
    my %before = status($$);
    is hex $is{CapBnd}, hex($before{CapBnd}) & $KEPT, 'and cannot get others by executing a program';
    is $server->stop, 'exit 0';
};

# The users and groups that workers have, which are all the same: "uid gid groups".
sub accounts ($server)
{
    my %seen;
    for my $pid ($server->workers) {
        my %is = status($pid);
        my ($uid, $gid) = map { join ',', sort { $a <=> $b } keys %{ { map { $_ => 1 } split ' ' } } } @is{qw(Uid Gid)};
        $seen{ join ' ', "$uid:$gid", sort { $a <=> $b } split ' ', $is{Groups} }++;
    }
    return join '; ', keys %seen;
}

# [ name, uid, gid, gids... ] of a user who is in more groups than one, if this machine has one.
sub sociable_user ()
{
    while (my (undef, undef, undef, $members) = getgrent) {
        for my $name (split ' ', $members // '') {
            my (undef, undef, $uid, $gid) = getpwnam $name or next;
            my ($groups) = run([ 'id', '-G', $name ])->{stdout} =~ /^(.*)$/m;
            return [ $name, $uid, $gid, sort { $a <=> $b } split ' ', $groups ] if $uid != 0 && $groups =~ / /;
        }
    }
    return undef;
}

subtest 'workers run as the user and group of the conf' => sub {
    plan skip_all => 'root alone can change its user' if !$is_root;
    my %account = (
        "$nobody:$nogroup $nogroup" => { user => 'nobody' },
        "$nobody:7 7"               => { user => 'nobody', group => 7 },
        "23456:34567 34567"         => { user => 23456, group => 34567 },
        "0:$nogroup $nogroup"       => { user => 'root', group => (getgrgid $nogroup)[0] },
    );
    my $sociable = sociable_user();
    if (defined $sociable) {
        my ($name, $uid, $gid, @groups) = @$sociable;
        $account{"$uid:$gid @groups"} = { user => $name };
    }
    for my $is (sort keys %account) {
        my $server = start($conf, options => { workers => 2, %{ $account{$is} } });
        is accounts($server), $is, join ', ', map { "$_: $account{$is}{$_}" } reverse sort keys %{ $account{$is} };
        my ($first) = $server->workers;
        kill 'KILL', $first;
        wait_for('another worker', sub { my @now = $server->workers; @now == 2 && !grep { $_ == $first } @now });
        wait_for('its account', sub { accounts($server) eq $is });
        pass 'one that takes the place of another, too';
        is_deeply [ $server->log_lines(qr/ warn /) ], [], 'without a warning';
        is $server->stop, 'exit 0';
    }
};

subtest 'root as the user of workers wants to be written' => sub {
    plan skip_all => 'that concerns root alone' if !$is_root;
    my $server = start($conf, options => { user => undef });
    is accounts($server) =~ /^0:/ ? 'root' : accounts($server), 'root', 'without `user` they are root';
    my %is = status(($server->workers)[0]);
    is hex $is{CapEff}, 0, '... without its capabilities';
    my @warnings = $server->log_lines(qr/ warn /);
    is scalar @warnings, 1, 'which is warned of, once';
    like $warnings[0], qr/ master\[\d+\]: the workers run as root: .*`user`/;
    is $server->stop, 'exit 0';
};

subtest 'without root, `user` cannot count' => sub {
    my $own   = $is_root ? $nobody : $>;
    my $with = sub ($user) {
        return start($conf, options => { user => $user }, under => $is_root ? [ setpriv() ] : []);
    };
    my $server = $with->('root');
    like accounts($server), qr/^$own:/, 'the workers are who has started it';
    my @warnings = $server->log_lines(qr/ warn /);
    is scalar @warnings, 1, 'which is warned of, once';
    like $warnings[0], qr/only root can make them run as root$/;
    is $server->stop, 'exit 0';

    $server = $with->(scalar getpwuid $own);
    is_deeply [ $server->log_lines(qr/ warn /) ], [], 'the one who has started it may be named';
    is $server->stop, 'exit 0';
};

sub setpriv () { return ('setpriv', "--reuid=$nobody", "--regid=$nogroup", '--clear-groups') }

subtest 'workers of another user are stopped, also by the death of their master' => sub {
    plan skip_all => 'root alone can change its user' if !$is_root;
    my $server  = start($conf, options => { workers => 2, user => 'nobody' });
    my @workers = $server->workers;
    $server->signal('KILL');
    is $server->end, 'signal 9';
    wait_for('the workers to be gone', sub { !grep { alive($_) } @workers });
    pass 'they die with it';

    $server = start($conf, options => { workers => 2, user => 'nobody' });
    my ($stuck) = $server->workers;
    stop_process($stuck);
    $server->signal('INT');
    like $server->end, qr/^exit 0, worker 1 was killed by signal 9 .*while stopping/, 'one that does not stop is killed';
};

# A port below 1024 that nobody listens on.
sub low_port ()
{
    for (1 .. 200) {
        my $port = 600 + int rand 400;
        my $free = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Listen => 1);
        return $port if defined $free;
    }
    return undef;
}

subtest 'what root has to do is done before root is given up' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $port = low_port() // plan skip_all => 'no port below 1024 is to be had';
    my $folder = temporary_folder;
    my $theirs = "$folder/theirs";
    mkdir $theirs or die;
    chown $nobody, $nogroup, $theirs;
    my $secret = spew("$folder/secret.conf", <<~CONF);
        listen: [ "127.0.0.1:$port", "unix:$theirs/s" ]
        user: nobody
        include: [ more.conf ]
        $conf
        CONF
    spew("$folder/more.conf", <<~'CONF');
        routes:
          GET /more: { json_file: more.json }
        CONF
    spew("$folder/more.json", '{"more":true}');
    chmod 0600, "$folder/$_" for qw(secret.conf more.conf more.json);
    spew("$folder/log", '');
    my $pid = spawn([ $Hayfork::Test::HAYFORK, '-c', $secret ], stderr => "$folder/log");
    wait_for('it to serve', sub { slurp("$folder/log") =~ /serving .* with 1 worker/ });
    for my $address ("127.0.0.1:$port", "unix:$theirs/s") {
        my $client = Hayfork::Test::Client->new($address);
        is $client->get('/more')->body, '{"more":true}', "files that root alone can read are served on $address";
    }
    kill 'TERM', $pid;
    is reap($pid), 'exit 0';
    ok !-e "$theirs/s", "a socket in another's folder is removed";
    unlike slurp("$folder/log"), qr/ (?:warn|error) /, 'without a complaint' or diag slurp("$folder/log");

    my $run = run([ setpriv(), $Hayfork::Test::HAYFORK, '-t', '-c', $secret ]);
    is $run->{exit}, 'exit 78', 'others cannot check such a conf';
    like $run->{stderr}, qr/cannot read .*secret\.conf: Permission denied/;
    chmod 0644, "$folder/$_" for qw(secret.conf more.conf more.json);
    is run([ setpriv(), $Hayfork::Test::HAYFORK, '-t', '-c', $secret ])->{exit}, 'exit 0', '... unless they can read it';
};

# Asks for a reload and waits for it. Returns { exit, stdout, stderr }.
sub reload ($pid) { return run([ $Hayfork::Test::HAYFORK, '-r', $pid ]) }

subtest 'a reload has the rights that it needs, and no others' => sub {
    plan skip_all => 'not root' if !$is_root;
    my $port   = low_port() // plan skip_all => 'no port below 1024 is to be had';
    my $server = start("user: nobody\n$conf", options => { user => undef });
    my $file   = $server->{conf};
    my ($listen) = slurp($file) =~ /\A(listen:\n(?:  .*\n)+)/;
    chmod 0600, $file;
    is reload($server->pid)->{exit}, 'exit 0', 'a conf that root alone can read is read again';
    my @before = $server->workers;

    spew($file, "$listen  - 127.0.0.1:$port\nuser: 23456\ngroup: 34567\n$conf");
    my $run = reload($server->pid);
    is $run->{exit}, 'exit 0', 'another user, and a port below 1024' or diag $run->{stderr};
    wait_for('the workers of before to end', sub { !grep { alive($_) } @before });
    is accounts($server), '23456:34567 34567', 'the new workers are of the new user, and the others could be stopped';
    is(Hayfork::Test::Client->new("127.0.0.1:$port")->get('/')->body, "hello\n", 'the port is served');

    chown $nobody, $nogroup, $file;
    $run = reload($server->pid);
    is $run->{exit}, 'exit 78', "a file that is another user's alone";
    like $run->{stderr}, qr/cannot read \Q$file\E: Permission denied/, '... could be read at the start, and cannot now';
    is $server->get('/')->body, "hello\n", 'all goes on';
    chmod 0644, $file;
    is reload($server->pid)->{exit}, 'exit 0', 'one that everybody can read will do';
    my %is = status($server->pid);
    is hex $is{CapEff}, $KEPT, 'the master has the five capabilities, as before';
    is $server->stop, 'exit 0';
};

subtest 'PostgreSQL is asked by the name of the workers\' user' => sub {
    plan skip_all => 'root alone can change its user' if !$is_root;
    needs_postgres;
    my $cluster = cluster;
    $cluster->psql('CREATE ROLE nobody LOGIN');
    my $connect = $cluster->conninfo =~ s/ ?\buser=\S+//r;
    my $with    = <<~CONF;
        workers: 1
        user: nobody
        database: { connect: "$connect" }
        routes:
          GET /: { sql: "SELECT session_user AS name", answer: row }
        CONF
    my $server = start($with, cluster => $cluster, options => { user => undef });
    is $server->get('/')->body, '{"name":"nobody"}';
    my $run = run([ $Hayfork::Test::HAYFORK, '-t', '--db', '-c', $server->{conf} ]);
    is $run->{stderr}, '', '-t --db asks in the same way';
    is $run->{exit}, 'exit 0';
    is $server->stop, 'exit 0';
};

subtest 'memory is not to be looked at, unless the conf says so' => sub {
    my $as = $is_root ? $nobody : $>;
    my @under = $is_root ? setpriv() : ();
    for my $core (qw(off on)) {
        my $server = start($conf, options => { core => $core, user => undef }, under => \@under);
        my @pids   = ($server->pid, $server->workers);
        is owner($_), $core eq 'on' ? $as : 0, "core: $core" for @pids;
        is run([ @under, $Hayfork::Test::HAYFORK, '-r', $server->pid ])->{exit}, 'exit 0';
        is owner($server->pid), $core eq 'on' ? $as : 0, '... after a reload, too';
        is $server->stop, 'exit 0';
        next if !$is_root;

        $server = start($conf, options => { core => $core, user => 'nobody' });
        is owner(($server->workers)[0]), $core eq 'on' ? $nobody : 0, '... after a change of user, too';
        is $server->stop, 'exit 0';
    }
};

subtest 'a worker leaves a core file, if the conf says so' => sub {
    plan skip_all => 'built with sanitizers' if $is_sanitized;
    my ($hard) = slurp('/proc/self/limits') =~ /^Max core file size\s+\S+\s+(\S+)/m;
    plan skip_all => 'core files are not written here' if $hard eq '0' || slurp('/proc/sys/kernel/core_pattern') =~ m{^[|/]};
    for my $core (qw(off on)) {
        my $server = start($conf, options => { core => $core });
        my ($worker) = $server->workers;
        kill 'SEGV', $worker;
        my ($line) = wait_for('its obituary', sub { [ $server->log_lines(qr/process $worker/) ]->[0] });
        my $dumped = $line =~ /\(Segmentation fault\), core dumped;/ ? 'on' : 'off';
        is $dumped, $core, "core: $core";
        is $server->stop, 'exit 0';
    }
};

subtest 'a worker that is killed has told how much memory it had' => sub {
    my $server = start($conf);
    my ($worker) = $server->workers;
    my ($resident) = { status($worker) }->{VmRSS} =~ /^(\d+) kB/;
    kill 'KILL', $worker;
    my ($line) = wait_for('its obituary', sub { [ $server->log_lines(qr/process $worker/) ]->[0] });
    like $line, qr/was killed by signal 9 \(Killed\) with (\d+) MB of memory; a new one takes its place/;
    my ($told) = $line =~ /with (\d+) MB/;
    cmp_ok abs($told - $resident / 1024), '<=', 2 + $resident / 4096, "about $resident kB";
    is $server->stop, 'exit 0';
};

done_testing;
