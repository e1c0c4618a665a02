# Under a service manager: what it is told, what it passes, and the units that are installed.
use v5.36;

use Hayfork::Test;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_DGRAM SOCK_STREAM MSG_DONTWAIT);

use Hayfork::Test::Process qw(wait_for alive reap run slurp spawn spew temporary_folder);

my $top = $Hayfork::Test::TOP_SRCDIR;

# A manager of our own: it listens to what a service tells, and starts it with the sockets that it has opened.
package Manager {
    use v5.36;
    use Fcntl qw(F_DUPFD);

    sub new ($class)
    {
        my $folder = main::temporary_folder();
        my $path   = "$folder/notify";
        my $socket = IO::Socket::UNIX->new(Type => Socket::SOCK_DGRAM, Local => $path) or die "cannot bind: $!";
        return bless { folder => $folder, path => $path, socket => $socket, told => [] }, $class;
    }

    # Starts the program with a conf. sockets: [ [ name, socket ]… ]; env: { NAME => value }.
    sub start ($self, $conf, %with)
    {
        main::spew("$self->{folder}/hayfork.conf", $conf);
        my @sockets = @{ $with{sockets} // [] };
        my $names   = join ':', map { $_->[0] } @sockets;
        my $shell   = 'export LISTEN_PID=$$; exec "$@"';
        my %env     = (NOTIFY_SOCKET => $self->{path}, %{ $with{env} // {} });
        @env{qw(LISTEN_FDS LISTEN_FDNAMES)} = (scalar @sockets, $names) if @sockets;
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            @ENV{ keys %env } = values %env;
            $^F = 100;
            my @copies = map { fcntl($_->[1], F_DUPFD, 50) } @sockets;
            POSIX::dup2($copies[$_], 3 + $_) for 0 .. $#copies;
            POSIX::close($_) for @copies;
            open STDERR, '>', "$self->{folder}/log";
            exec '/bin/sh', '-c', $shell, 'sh', $Hayfork::Test::HAYFORK, '-c', "$self->{folder}/hayfork.conf";
        }
        return $self->{pid} = $pid;
    }

    # All that was told so far: { NAME => the last value }, and in order.
    sub told ($self)
    {
        while (defined $self->{socket}->recv(my $text, 4096, Socket::MSG_DONTWAIT())) {
            push @{ $self->{told} }, split /\n/, $text;
        }
        return @{ $self->{told} };
    }

    sub forget ($self) { $self->told; $self->{told} = []; return }
    sub log ($self)    { return main::slurp("$self->{folder}/log") }

    # Waits until it was told this.
    sub wait_for ($self, $pattern)
    {
        return main::wait_for("to be told $pattern", sub { (grep { $_ =~ $pattern } $self->told)[0] });
    }

    sub stop ($self)
    {
        kill 'TERM', $self->{pid};
        waitpid $self->{pid}, 0;
        my $status = $?;
        delete $self->{pid};
        return $status;
    }

    sub DESTROY ($self) { kill 'KILL', $self->{pid} if $self->{pid}; return }
}

sub get ($address)
{
    return eval { Hayfork::Test::Client->new($address)->get('/')->body };
}

sub conf ($listen, $text = 'hello')
{
    return "listen: $listen\nworkers: 2\nroutes:\n  GET /:\n    text: \"$text\"\n";
}

sub listening ()
{
    return IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1') // die "cannot listen: $!";
}

sub address_of ($socket) { return '127.0.0.1:' . $socket->sockport }

subtest 'the manager is told when it is ready, reloads and stops' => sub {
    my $manager = Manager->new;
    my $port    = Hayfork::Test::Server::free_port();
    my $pid     = $manager->start(conf("127.0.0.1:$port"));
    $manager->wait_for(qr/^READY=1$/);
    is get("127.0.0.1:$port"), 'hello', 'ready is when it answers';
    $manager->wait_for(qr/^STATUS=2 of 2 workers ready, \d+ open connections, database not used$/);

    $manager->forget;
    spew("$manager->{folder}/hayfork.conf", conf("127.0.0.1:$port", 'changed'));
    is run([ $Hayfork::Test::HAYFORK, '-r', $pid ])->{exit}, 'exit 0', 'a reload';
    $manager->wait_for(qr/^READY=1$/);
    my @told = $manager->told;
    is $told[0], 'RELOADING=1', 'it says that it reloads';
    like $told[1], qr/^MONOTONIC_USEC=\d+$/, '... since when';
    is get("127.0.0.1:$port"), 'changed';

    $manager->forget;
    spew("$manager->{folder}/hayfork.conf", "oops\n");
    is run([ $Hayfork::Test::HAYFORK, '-r', $pid ])->{exit}, 'exit 78', 'a reload that is refused';
    $manager->wait_for(qr/^READY=1$/);
    is(($manager->told)[0], 'RELOADING=1', '... ends with READY, too: it serves');

    $manager->forget;
    is $manager->stop, 0;
    is(($manager->told)[0], 'STOPPING=1', 'it says that it stops');
};

subtest 'the watchdog hears of it while some worker serves' => sub {
    my $manager = Manager->new;
    my $port    = Hayfork::Test::Server::free_port();
    my $pid     = $manager->start(conf("127.0.0.1:$port"), env => { WATCHDOG_USEC => 600_000 });
    $manager->wait_for(qr/^READY=1$/);
    for (1 .. 3) {
        $manager->forget;
        $manager->wait_for(qr/^WATCHDOG=1$/);
        pass 'again';
    }
    my @workers = Hayfork::Test::Process::children($pid);
    is @workers, 2;
    kill 'STOP', $workers[0];
    $manager->forget;
    $manager->wait_for(qr/^WATCHDOG=1$/) for 1 .. 2;
    pass 'one worker that is stuck is not the end of the service';
    kill 'CONT', $workers[0];
    is $manager->stop, 0;
};

subtest 'sockets that the manager has opened: by name, the others, and over a restart' => sub {
    my ($web, $api, $more) = (listening(), listening(), listening());
    my $passed  = [ [ web => $web ], [ api => $api ], [ more => $more ] ];
    my $manager = Manager->new;
    my $listen  = "{ named: systemd:api, rest: systemd }";
    my $conf    = conf($listen) =~ s/^(routes:\n.*)\z/$1    on: rest\n  GET \/api:\n    text: api\n    on: named\n/msr;
    $manager->start($conf, sockets => $passed);
    $manager->wait_for(qr/^READY=1$/);
    is get(address_of($_)), 'hello', 'what no name takes' for $web, $more;
    is(Hayfork::Test::Client->new(address_of($api))->get('/api')->body, 'api', 'one by its name');
    is(Hayfork::Test::Client->new(address_of($api))->get('/')->status, 404, '... which is not among the others');

    # Without its own unit of the name, that one is among the rest.
    spew("$manager->{folder}/hayfork.conf", conf('systemd', 'all'));
    is run([ $Hayfork::Test::HAYFORK, '-r', $manager->{pid} ])->{exit}, 'exit 0';
    is get(address_of($_)), 'all', 'after a reload, all of them' for $web, $api, $more;

    is $manager->stop, 0;
    my $waiting = Hayfork::Test::Client->new(address_of($web));
    $waiting->ask('GET', '/');
    $manager->start(conf('systemd', 'new'), sockets => $passed);
    is $waiting->receive->body, 'new', 'who connects between the two is answered by the second';
    is $manager->stop, 0;
};

subtest 'what a manager gets wrong is said clearly' => sub {
    my $manager = Manager->new;
    my $refused = sub ($conf, $why, %with) {
        my $pid = $manager->start($conf, %with);
        waitpid $pid, 0;
        is $? >> 8, 69, $why;
        like $manager->log, $why;
        delete $manager->{pid};
    };
    $refused->(conf('systemd'),     qr/cannot listen on systemd: the service manager has passed no such socket/);
    $refused->(conf('systemd:web'), qr/cannot listen on systemd:web: /, sockets => [ [ other => listening() ] ]);
    my $datagram = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1') or die "cannot bind: $!";
    $refused->(conf('systemd'), qr/descriptor 3, named udp, which is no listening stream socket/,
        sockets => [ [ udp => $datagram ] ]);
    $refused->("database: { password_file: credential:db }\n" . conf('127.0.0.1:1'),
        qr/there is no credential:db: the service manager has passed no credentials/);

    my $port = Hayfork::Test::Server::free_port();
    $manager->start(conf("127.0.0.1:$port"), env => { NOTIFY_SOCKET => '/nonexistent/notify' });
    is wait_for('it to serve', sub { get("127.0.0.1:$port") }), 'hello', 'a socket that is not there stops nothing';
    like $manager->log, qr/cannot tell the service manager at \$NOTIFY_SOCKET \(\/nonexistent\/notify\): No such file/;
    is $manager->stop, 0;
};

# Installs into a folder, as make install DESTDIR= does.
sub units ($folder)
{
    my ($build) = $Hayfork::Test::HAYFORK =~ m{(.*)/};
    my $from = slurp("$top/conf/systemd/hayfork.service.in");
    my %value = (of_instance => '', conf => 'hayfork.conf', runtime => 'hayfork', bindir => '/usr/bin', sysconfdir => '/etc');
    spew("$folder/hayfork.service", $from =~ s/\{\{(\w+)\}\}/$value{$1}/gr);
    %value = (%value, of_instance => ' (%i)', conf => '%i.conf', runtime => 'hayfork-%i');
    spew("$folder/hayfork\@.service", $from =~ s/\{\{(\w+)\}\}/$value{$1}/gr);
    spew("$folder/$_", slurp("$top/conf/systemd/$_")) for qw(hayfork.socket hayfork-push.timer);
    $value{libexecdir} = '/usr/libexec/hayfork';
    spew("$folder/hayfork-push.service", slurp("$top/conf/systemd/hayfork-push.service.in") =~ s/\{\{(\w+)\}\}/$value{$1}/gr);
    return $folder;
}

subtest 'systemd finds nothing wrong with the units, and little exposed' => sub {
    my $analyze = needs_program('systemd-analyze');
    my $folder  = units(temporary_folder());
    # What is not installed here is not what is asked about.
    my %there = map { $_ => spew("$folder/$_", slurp("$folder/$_") =~ s{/usr/bin/hayfork|/usr/libexec/hayfork/hayfork-push}{/bin/true}gr) }
      qw(hayfork.service hayfork@.service hayfork-push.service);
    my @units = (sort(keys %there), qw(hayfork.socket hayfork-push.timer));
    my $run = run([ $analyze, 'verify', '--man=no', map { "$folder/$_" } @units ]);
    is $run->{exit} . $run->{stderr}, 'exit 0', 'it says nothing';
    for my $unit ('hayfork.service', 'hayfork-push.service') {
        $run = run([ $analyze, 'security', '--offline=true', '--threshold=12', $there{$unit} ]);
        is $run->{exit}, 'exit 0', "$unit: exposure is 1.2 at most" or diag $run->{stdout};
    }
};

subtest 'a real systemd starts, reloads and stops it, with all that the unit forbids' => sub {
    needs($> == 0, 'only root can run a systemd of its own');
    my $init = (grep { -x } '/lib/systemd/systemd', '/usr/lib/systemd/systemd')[0];
    needs(defined $init, 'systemd is not installed');
    my ($nsenter, $unshare) = map { needs_program($_) } qw(nsenter unshare);
    my $folder = temporary_folder();
    my $port   = Hayfork::Test::Server::free_port();
    my $conf   = spew("$folder/hayfork.conf", conf("127.0.0.1:$port"));
    my ($gateway, $admin) = (listening(), Hayfork::Test::Server::free_port());
    chmod 0755, $folder;
    my $program = "$folder/hayfork";
    run([ 'cp', $Hayfork::Test::HAYFORK, $program ]);

    # Its own units beside ours are nothing but names. The program and its conf are visible in spite of PrivateTmp=.
    mkdir "$folder/units";
    units("$folder/units");
    spew("$folder/units/$_.target", "[Unit]\nDefaultDependencies=no\n")
      for qw(test sysinit basic shutdown network-online sockets multi-user);
    mkdir "$folder/units/hayfork.service.d";
    spew("$folder/units/hayfork.service.d/test.conf", <<~"UNIT");
        [Service]
        ExecStart=
        ExecStart=/run/test/hayfork -c /run/test/hayfork.conf
        ExecReload=
        ExecReload=/run/test/hayfork -r \$MAINPID
        User=nobody
        Group=nogroup
        StandardError=append:$folder/log
        # A sanitizer looks for leaks by ptrace(2), which the unit forbids.
        Environment=ASAN_OPTIONS=detect_leaks=0
        BindReadOnlyPaths=$folder:/run/test
        UNIT
    run([ 'cp', "$top/conf/systemd/hayfork-push", "$folder/hayfork-push" ]);
    mkdir "$folder/units/hayfork-push.service.d";
    spew("$folder/units/hayfork-push.service.d/test.conf", <<~"UNIT");
        [Service]
        ExecStart=
        ExecStart=/run/test/hayfork-push
        Environment=HAYFORK_ADMIN=127.0.0.1:$admin PUSHGATEWAY=http://${\ address_of($gateway)}
        BindReadOnlyPaths=$folder:/run/test
        UNIT
    spew("$folder/begin", <<~"SHELL");
        set -e
        mount --make-rprivate /
        mount -t tmpfs tmpfs /run
        mkdir -p /run/systemd/system /run/test
        # RemoveIPC= removes what the service's user has there, and others of that name may be at work.
        mount -t tmpfs tmpfs /dev/shm
        mount -t tmpfs tmpfs /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        exec env -i container=test SYSTEMD_UNIT_PATH=$folder/units PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
            $init --system --unit=test.target --log-target=console --show-status=no
        SHELL
    my $outer = spawn([ $unshare, qw(-m -p -f -C -u -i --mount-proc --kill-child), '/bin/sh', "$folder/begin" ],
        stdout => "$folder/systemd.log", stderr => "$folder/systemd.log");
    my $pid = wait_for('systemd to begin', sub {
        return 'gone' if !alive($outer);
        my ($child) = Hayfork::Test::Process::children($outer);
        return $child if defined $child && slurp("/proc/$child/comm") eq "systemd\n";
        return;
    });
    needs($pid ne 'gone', 'no systemd of its own can run here: ' . slurp("$folder/systemd.log"));
    my $systemctl = sub (@words) { return run([ $nsenter, '-t', $pid, qw(-m -p -u -i -C systemctl), @words ]) };
    wait_for('systemd to answer', sub { $systemctl->('is-active', 'test.target')->{exit} eq 'exit 0' });

    is $systemctl->(qw(start hayfork))->{exit}, 'exit 0', 'start' or diag -e "$folder/log" ? slurp("$folder/log") : 'no log';
    is get("127.0.0.1:$port"), 'hello';
    like $systemctl->(qw(show -p StatusText hayfork))->{stdout}, qr/^StatusText=2 of 2 workers ready, /;
    spew($conf, conf("127.0.0.1:$port", 'changed'));
    is $systemctl->(qw(reload hayfork))->{exit}, 'exit 0', 'reload';
    is get("127.0.0.1:$port"), 'changed', '... is over when systemctl comes back';
    spew($conf, "oops\n");
    is $systemctl->(qw(reload hayfork))->{exit}, 'exit 1', 'a reload that is refused fails';
    like slurp("$folder/log"), qr/hayfork\.conf:1:1: error: .*the reload was refused, and everything continues as before/s,
      '... with the reason in the journal';
    is get("127.0.0.1:$port"), 'changed', '... and it goes on';
    is $systemctl->(qw(is-active hayfork))->{stdout}, "active\n";

    my $upstream = listening();
    spew($conf, "admin: 127.0.0.1:$admin\n" . conf("127.0.0.1:$port", 'again') . "  GET /slow:\n    relay: http://${\ address_of($upstream)}\n");
    is $systemctl->(qw(reload hayfork))->{exit}, 'exit 0';
    my $client = Hayfork::Test::Client->new("127.0.0.1:$port");
    $client->ask('GET', '/slow');
    my $relayed = $upstream->accept;
    my ($master) = $systemctl->(qw(show -p MainPID hayfork))->{stdout} =~ /(\d+)/;
    run([ $nsenter, '-t', $pid, qw(-m -p sh -c), "kill -9 $master" ]);
    wait_for('the old address to be free', sub { !defined get("127.0.0.1:$port") });
    print {$relayed} "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    close $relayed;
    is $client->receive->body, 'done', 'where the master is killed, requests are finished';
    undef $client;
    is wait_for('a new master', sub { get("127.0.0.1:$port") }), 'again', '... and then a new one is started';

    is $systemctl->(qw(start hayfork-push.timer))->{exit}, 'exit 0', 'the timer that pushes';
    ok IO::Select->new($gateway)->can_read(60), '... pushes at once' or diag slurp("$folder/systemd.log");
    my $pushed = $gateway->accept;
    my $text = '';
    sysread $pushed, $text, 65536, length $text or last while $text !~ /^hayfork_build_info/m;
    like $text, qr{^PUT /metrics/job\@base64/aGF5Zm9yaw/instance\@base64/\w}, '... under a name';
    print {$pushed} "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    close $pushed;
    is $systemctl->(qw(stop hayfork-push.timer))->{exit}, 'exit 0';

    is $systemctl->(qw(stop hayfork))->{exit}, 'exit 0', 'stop';
    is get("127.0.0.1:$port"), undef;
    unlike slurp("$folder/log"), qr/ (?:warn|error) .*(?:Operation not permitted|cannot give up)/, 'nothing that it needs was forbidden';

    my $low = (grep { IO::Socket::INET->new(LocalAddr => "127.0.0.1:$_", Listen => 1) } 610 .. 650)[0];
    my $local = '/run/hayfork/http.sock';
    spew($conf, conf(qq({ low: "127.0.0.1:$low", local: { address: "unix:$local", mode: "0660", group: daemon } }), 'low'));
    spew("$folder/units/hayfork.service.d/low.conf", <<~'UNIT');
        [Service]
        AmbientCapabilities=CAP_NET_BIND_SERVICE
        CapabilityBoundingSet=CAP_NET_BIND_SERVICE
        PrivateUsers=no
        SystemCallFilter=capset
        SupplementaryGroups=daemon
        SystemCallFilter=fchownat
        UNIT
    is $systemctl->('daemon-reload')->{exit}, 'exit 0';
    is $systemctl->(qw(start hayfork))->{exit}, 'exit 0', 'with the drop-ins for a port below 1024, and for a socket of another group';
    is get("127.0.0.1:$low"), 'low';
    is run([ $nsenter, '-t', $pid, qw(-m stat -c), '%a %G', $local ])->{stdout}, "660 daemon\n";
    my ($main) = $systemctl->(qw(show -p MainPID hayfork))->{stdout} =~ /(\d+)/;
    my $run    = run([ $nsenter, '-t', $pid, qw(-m -p sh -c), "cat /proc/\$(cat /proc/$main/task/$main/children | cut -d' ' -f1)/status" ]);
    like $run->{stdout}, qr/^CapEff:\t0+$/m, 'workers have no capability all the same';
    is $systemctl->(qw(stop hayfork))->{exit}, 'exit 0', 'stop';
    kill 'KILL', $outer;
};

done_testing;
