# A reload: the conf is tried as a whole, then a new generation of workers takes over, and no request is lost.
use v5.36;

use Hayfork::Test;

use IO::Socket::INET;
use POSIX ();

use Hayfork::Test::Process qw(wait_for alive reap run slurp spawn spew temporary_folder);

needs_postgres;
my $cluster = cluster->load_contacts;

# A conf whose routes say by which of its versions they were answered.
sub conf ($version, %with)
{
    my $workers = $with{workers} // 2;
    return <<~CONF;
        workers: $workers
        database:
          connect: ${\ $cluster->conninfo }
          max: ${\($with{max} // 90)}
        limits:
          drain: 10s
        routes:
          GET /version:
            text: "$version"
          GET /contacts/{id}:
            sql: |
              SELECT id, $version AS version FROM contact WHERE id = :id
            answer: row
          GET /slow/{id}:
            sql: |
              SELECT id, $version AS version FROM contact, pg_sleep(0.02) WHERE id = :id
            answer: row
        ${\($with{more} // '')}
        CONF
}

# Puts another text into the server's conf file, below the same listeners.
sub rewrite ($server, $text)
{
    my ($listen) = slurp($server->{conf}) =~ /\A(listen:\n(?:  .*\n)+)/;
    spew($server->{conf}, $listen . $text);
    return;
}

# Asks for a reload as ExecReload= does. Returns { exit, stdout, stderr }.
sub reload ($server)
{
    return run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ]);
}

sub version ($server)
{
    return $server->get('/version')->body;
}

subtest 'what the conf says is what is served once -r has come back' => sub {
    my $server = server(conf(1), cluster => $cluster);
    my @before = $server->workers;
    is version($server), 1;
    for my $n (2 .. 4) {
        rewrite($server, conf($n));
        is_deeply reload($server), { exit => 'exit 0', stdout => '', stderr => '' }, "reload to $n";
        is version($server), $n;
        is $server->get('/contacts/7')->body, qq({"id":7,"version":$n});
    }
    wait_for('the workers of before to end', sub { !grep { alive($_) } @before });
    wait_for('there to be as many as before', sub { $server->workers == 2 });
    is $server->stop, 'exit 0';
};

subtest 'SIGHUP and SIGUSR2 do the same' => sub {
    my $server = server(conf(1), cluster => $cluster);
    for (['HUP', 2], ['USR2', 3]) {
        my ($signal, $n) = @$_;
        rewrite($server, conf($n));
        $server->signal($signal);
        wait_for("SIG$signal to have its effect", sub { version($server) eq $n });
        pass "SIG$signal";
    }
    is $server->stop, 'exit 0';
};

# What the master has when a reload is over: { pss => kB of its own, files => how many descriptors }.
sub at_rest ($server, $workers)
{
    wait_for('the workers of before to end', sub { $server->workers == $workers });
    my ($pss) = slurp("/proc/${\ $server->pid}/smaps_rollup") =~ /^Pss_Anon:\s+(\d+)/m;
    my @files = glob "/proc/${\ $server->pid}/fd/*";
    return { pss => $pss, files => scalar @files };
}

subtest 'a hundred reloads under load: no request is refused, lost or answered wrongly' => sub {
    # core: on, as descriptors and memory of the master are looked at
    my $server  = server(conf(1), listeners => [qw(public inner)], cluster => $cluster, options => { core => 'on' });
    my $version = 1;
    my $done    = sub { scalar $server->log_lines(qr/: reloaded$/) };

    # Routes, SQL, workers, lanes, limits and a listener change each time.
    my $other = Hayfork::Test::Server::free_port();
    my ($listen) = slurp($server->{conf}) =~ /\A(listen:\n(?:  .*\n)+)/;
    my $change = sub {
        $version++;
        my $text = conf($version, workers => 1 + $version % 3);
        $text .= "  GET /only/$version:\n    text: \"$version\"\n" if $version % 2;
        $text =~ s/^limits:\n/limits:\n  buffer: ${\(16 + $version)}K\n/m;
        $text =~ s/^  max: .*\n/$&  lanes: { own$version: { from: read, connections: 1 } }\n/m if $version % 4 == 1;
        spew($server->{conf}, $listen . ($version % 2 ? "  third: 127.0.0.1:$other\n" : '') . $text);
    };
    for (1 .. 11) {
        $change->();
        is reload($server)->{exit}, 'exit 0';
    }
    my $then = at_rest($server, 1 + $version % 3);
    my $load = $server->load(
        requests    => 500_000, # at most: it ends with the reloads
        connections => 32,
        target      => sub ($n) { $n % 8 ? '/slow/' . ($n % 10_000 + 1) : '/contacts/' . ($n % 10_000 + 1) },
        check       => sub ($n, $response) {
            return 0 if $response->body !~ /\A\{"id":(\d+),"version":(\d+)\}\z/;
            return $1 == $n % 10_000 + 1 && $2 >= 12 && $2 <= $version;
        },
        each => [ 20, sub {
            return 0 if $done->() < $version - 1;
            return 1 if $version == 102;
            $change->();
            $server->signal('HUP');
            return 0;
        } ],
    );
    is $version, 102, 'all reloads were under load';
    is $load->summary, "200: ${\ $load->begun}, lost: 0", 'every request has its answer';
    is_deeply [ $load->wrong ], [], 'the right one';
    is_deeply [ $server->log_lines(qr/ (?:error|warn) /) ], [], 'nothing was complained about';
    my $now = at_rest($server, 1 + $version % 3);
    cmp_ok $now->{pss}, '<=', $then->{pss} * 1.05, "the master's memory is as after the eleventh ($then->{pss} kB)";
    is $now->{files}, $then->{files}, 'and so are its descriptors';
    is $server->stop, 'exit 0';
};

subtest 'listeners over reloads: more and fewer sockets, other names, other addresses' => sub {
    my $server = server(conf(1, workers => 4), listeners => [qw(public inner)], cluster => $cluster);
    my ($public, $inner) = map { $server->address($_) } qw(public inner);
    my $other = Hayfork::Test::Server::free_port();
    my $unix  = temporary_folder() . '/http.sock';
    my @steps = (
        [ "  public: $public\n  inner: $inner\n",                                               2 ],
        [ "  public: $public\n  inner: $inner\n",                                               8 ],
        [ "  renamed: $public\n  inner: $inner\n  more: 127.0.0.1:$other\n",                    8 ],
        [ "  public: $public\n  local: \"unix:$unix\"\n",                                       1 ],
        [ "  public: \"${\ $public =~ s/.*://r }\"\n  local: \"unix:$unix\"\n",                 3 ],
        [ "  public: $public\n  inner: $inner\n",                                               2 ],
    );
    my $version = 1;
    my $done    = sub { scalar $server->log_lines(qr/: reloaded$/) };
    my $load    = $server->load(
        requests    => 100_000,
        connections => 16,
        # Each on a connection of its own: what waits in a socket's queue when that changes hands must be served, too.
        request => sub ($n) { "GET /contacts/${\($n % 10_000 + 1)} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" },
        check   => sub ($n, $response) { $response->body =~ /\A\{"id":(\d+),/ && $1 == $n % 10_000 + 1 },
        each    => [ 30, sub {
            return 0 if $done->() < $version - 1;
            return 1 if $version > @steps;
            my ($listen, $workers) = @{ $steps[ $version - 1 ] };
            $version++;
            spew($server->{conf}, "listen:\n$listen" . conf($version, workers => $workers));
            $server->signal('HUP');
            return 0;
        } ],
    );
    is $load->summary, "200: ${\ $load->begun}, lost: 0", 'every request has its answer';
    is_deeply [ $load->wrong ], [], 'the right one';
    is $version, @steps + 1, 'all of it was done under load';
    is version($server), $version, 'the address that was there all the time';
    is Hayfork::Test::Client->new($inner)->get('/version')->body, $version, 'one that was away in between';
    ok !Hayfork::Test::Client::connect_to("127.0.0.1:$other"), 'one that is no more';
    ok !-e $unix, 'a Unix socket that is no more';
    is $server->stop, 'exit 0';
};

subtest 'a Unix socket of a process that is dead is taken over, of one that lives it is not' => sub {
    my $server = server(conf(1), cluster => $cluster);
    my $folder = temporary_folder();
    my $alive  = IO::Socket::UNIX->new(Local => "$folder/alive", Listen => 1) or die "cannot listen: $!";
    IO::Socket::UNIX->new(Local => "$folder/dead", Listen => 1)->close;
    my ($listen) = slurp($server->{conf}) =~ /\A(listen:\n(?:  .*\n)+)/;
    spew($server->{conf}, "$listen  - \"unix:$folder/alive\"\n" . conf(2));
    like reload($server)->{stderr}, qr{cannot listen on unix:$folder/alive: .*Address already in use};
    is version($server), 1;
    spew($server->{conf}, "$listen  - \"unix:$folder/dead\"\n" . conf(3));
    is reload($server)->{exit}, 'exit 0';
    is Hayfork::Test::Client->new("unix:$folder/dead")->get('/version')->body, 3;
    spew($server->{conf}, $listen . conf(4));
    is reload($server)->{exit}, 'exit 0';
    wait_for('its path to be gone', sub { !-e "$folder/dead" });
    ok -e "$folder/alive", "another's is not touched";
    is $server->stop, 'exit 0';
};

subtest 'a Unix socket has the mode, owner and group of the conf that is served' => sub {
    my $path   = temporary_folder() . '/http.sock';
    my $server = server(conf(1), cluster => $cluster);
    my ($listen) = slurp($server->{conf}) =~ /\A(listen:\n(?:  .*\n)+)/;
    $listen =~ s/- (.*)/public: $1/;
    my $is = sub () { my @stat = stat $path; return sprintf '%04o %d %d', $stat[2] & 07777, @stat[4, 5] };
    my ($uid, $gid) = ($>, $) + 0);
    my @steps = ([ 'mode: "0600"' => "0600 $uid $gid" ], [ 'mode: "0660"' => "0660 $uid $gid" ]);
    push @steps, [ 'mode: "0640", owner: nobody, group: daemon' => sprintf('0640 %d %d', scalar getpwnam('nobody'), scalar getgrnam('daemon')) ],
      [ 'mode: "0606", owner: root' => sprintf('0606 0 %d', scalar getgrnam('daemon')) ]
      if $> == 0;
    my $version = 1;
    for my $step (@steps) {
        my ($rights, $then) = @$step;
        spew($server->{conf}, qq($listen  local: { address: "unix:$path", $rights }\n) . conf(++$version));
        is_deeply reload($server), { exit => 'exit 0', stdout => '', stderr => '' }, $rights;
        is $is->(), $then;
        is Hayfork::Test::Client->new("unix:$path")->get('/version')->body, $version;
    }

    unlink $path;
    is reload($server)->{exit}, 'exit 0', 'somebody has removed it';
    is Hayfork::Test::Client->new("unix:$path")->get('/version')->body, $version, '... it is there again';
    is $is->(), $steps[-1][1] =~ s/\d+\z/$gid/r, '... with its rights';

    my $other = spew(temporary_folder() . '/other', 'not a socket');
    chmod 0600, $other;
    unlink $path;
    symlink $other, $path;
    like reload($server)->{stderr}, qr/cannot listen on unix:$path: bind: Address already in use/, 'where something else is now, it is not touched';
    is sprintf('%04o', (stat $other)[2] & 07777), '0600';
    unlink $path;
    is $server->stop, 'exit 0';
};

subtest 'what is wrong is refused with its reason, and everything continues as before' => sub {
    my $server  = server(conf(1), cluster => $cluster);
    my @workers = $server->workers;
    my $refused = sub ($text, $why, $name) {
        rewrite($server, $text);
        my $run = reload($server);
        is $run->{exit}, 'exit 78', $name;
        like $run->{stderr}, $why, '... with the reason';
        is version($server), 1, '... and the conf before is served';
        is_deeply [ $server->workers ], \@workers, '... by the same workers';
    };
    $refused->(conf(2) . "oops\n", qr/hayfork\.conf:\d+:\d+: error: /, 'a mistake in the conf');
    $refused->(conf(2, more => "  GET /x:\n    sql: \"SELECT nothing FROM contact\"\n    answer: row\n"),
        qr/hayfork\.conf:\d+:\d+: error: .*column "nothing" does not exist/, 'SQL that PostgreSQL refuses');
    $refused->(conf(2, workers => 4, max => 4), qr/database\.max is 4/, 'too many workers');

    my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "cannot listen: $!";
    my $text  = slurp($server->{conf}) =~ s/\A(listen:\n)/$1  - "127.0.0.1:${\ $taken->sockport}"\n/r;
    spew($server->{conf}, $text =~ s/max: 4/max: 90/r);
    my $run = reload($server);
    is $run->{exit}, 'exit 78', 'a port that another process has';
    like $run->{stderr}, qr/cannot listen on 127\.0\.0\.1:${\ $taken->sockport}: Address already in use/, '... is named';
    is version($server), 1;

    unlink $server->{conf};
    is reload($server)->{exit}, 'exit 78', 'no conf at all';
    mkdir $server->{conf};
    like reload($server)->{stderr}, qr/hayfork\.conf: error: cannot read .*: Is a directory/, 'a folder in its place';
    is version($server), 1;
    is_deeply [ $server->workers ], \@workers, 'still the same workers';
    kill 'KILL', $workers[0];
    wait_for('another worker', sub { my @now = $server->workers; @now == 2 && !grep { $_ == $workers[0] } @now });
    is $server->get('/contacts/3')->body, '{"id":3,"version":1}', 'one that dies is replaced, whatever became of the conf';
    is $server->stop, 'exit 0';
};

# A database that takes connections and says nothing on them: whoever asks it waits until told that it has gone.
sub silent_database ()
{
    my $socket = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1') or die "cannot listen: $!";
    return ($socket, "host=127.0.0.1 port=${\ $socket->sockport} dbname=x user=x");
}

sub with_database ($conf, $connect)
{
    return $conf =~ s/^  connect: .*$/  connect: "$connect"/mr;
}

# Asks for a reload and does not wait. Returns the process id, and the file of what it says.
sub ask_for_reload ($server)
{
    my $said = temporary_folder() . '/said';
    return (spawn([ $Hayfork::Test::HAYFORK, '-r', $server->pid ], stderr => $said), $said);
}

subtest 'a signal that comes while the conf is read waits' => sub {
    my $port   = Hayfork::Test::Server::free_port();
    my $folder = temporary_folder();
    my $path   = "$folder/hayfork.conf";
    my $conf   = conf(1, workers => 1);
    POSIX::mkfifo($path, 0600) or die "mkfifo $path: $!";
    my $pid = spawn([ $Hayfork::Test::HAYFORK, '-c', $path, '-o', "listen=127.0.0.1:$port" ], stderr => "$folder/log");
    open my $fifo, '>', $path or die "open $path: $!";
    kill $_, $pid for qw(TTIN USR1 HUP USR2);
    spew("$path.new", conf(2, workers => 1));
    rename "$path.new", $path or die "rename $path.new: $!";
    print {$fifo} $conf;
    close $fifo;
    wait_for('the reload', sub { slurp("$folder/log") =~ /: reloaded$/m });
    is Hayfork::Test::Client->new("127.0.0.1:$port")->get('/version')->body, 2, 'it did not end or stop the process, and is done then';
    kill 'TERM', $pid;
    is reap($pid), 'exit 0';
};

subtest 'a reload that comes while the server starts is over when its conf is served, not the one before' => sub {
    for my $first (qw(workers trial)) {
        my ($database, $connect) = silent_database();
        my $server  = Hayfork::Test::Server->launch(with_database(conf(1), $connect));
        my @workers = map { scalar $database->accept } 1 .. 2;
        rewrite($server, with_database(conf(2), $connect));
        my ($asks) = ask_for_reload($server);
        my $trial = $database->accept;
        if ($first eq 'workers') {
            close $_ for @workers;
            wait_for('the first workers to serve', sub { $server->log_lines(qr/: serving on/) });
            ok alive($asks), 'the first workers are ready: that is not what was asked for';
            close $database;
            close $trial;
        } else {
            close $trial;
            my @next = map { scalar $database->accept } 1 .. 2;
            close $_ for @workers;
            wait_for('the first workers to serve', sub { $server->log_lines(qr/: serving on/) });
            ok alive($asks), 'nor where the program has been replaced meanwhile';
            close $database;
            close $_ for @next;
        }
        is reap($asks), 'exit 0';
        is version($server), 2, 'the new conf is served';
        is scalar $server->log_lines(qr/: reloaded$/), 1, 'there was one reload';
        is $server->stop, 'exit 0';
    }
};

subtest 'a stop during a trial does not wait for what the trial waits for' => sub {
    for my $signal (qw(TERM INT)) {
        my $server = server(conf(1), cluster => $cluster);
        my ($database, $connect) = silent_database();
        rewrite($server, with_database(conf(2), $connect));
        my ($asks, $said) = ask_for_reload($server);
        my $trial = $database->accept;
        is $server->signal($signal)->end, 'exit 0', $signal;
        is reap($asks), 'exit 78', 'who has asked is told';
        is slurp($said), "hayfork: the reload was refused: the server stops\n", '... that the server stops';
    }
};

subtest 'too few descriptors for another generation: the one that is there goes on' => sub {
    my $prlimit = needs_program('prlimit');
    my $server  = server(conf(1, workers => 6), cluster => $cluster, options => { core => 'on' });
    my ($n, %exit) = (1);
    my $files = () = glob "/proc/${\ $server->pid}/fd/*";
    for my $more (20, 14, 12, 10, 8, 6, 4, 2) {
        my $limit = $files + $more;
        run([ $prlimit, '--pid', $server->pid, "--nofile=$limit:$limit" ])->{exit} eq 'exit 0' or die 'prlimit';
        rewrite($server, conf($n + 1, workers => 6));
        my $run = reload($server);
        $n++ if $run->{exit} eq 'exit 0';
        $exit{ $run->{exit} }++;
        is version($server), $n, "$more more: $run->{exit}";
    }
    is_deeply [ sort keys %exit ], [ 'exit 0', 'exit 78' ], 'some reloads were refused, nothing else happened';
    like $server->log, qr/refused, .*: there are not enough file descriptors for its workers/;
    is $server->stop, 'exit 0';
};

subtest 'only root and the user of the server may ask' => sub {
    needs($> == 0, 'only root can be another user');
    my $server = server(conf(1), cluster => $cluster);
    my $copy   = Hayfork::Test::copy_for_others();
    my $run    = run([ $copy, '-r', $server->pid ], uid => 65534, gid => 65534);
    is_deeply $run, { exit => 'exit 69', stdout => '', stderr => <<~TEXT }, 'another one is told so';
        hayfork: only root and the user that has started it may ask process ${\ $server->pid}
        TEXT
    is scalar $server->log_lines(qr/reload/), 0;
    is $server->stop, 'exit 0';
};

subtest 'a database that is away is no reason to refuse' => sub {
    my $server = server(conf(1), cluster => $cluster);
    rewrite($server, conf(2) =~ s/^  connect: .*$/  connect: "host=127.0.0.1 port=1 dbname=x user=x"/mr);
    my $run = reload($server);
    is $run->{exit}, 'exit 0';
    like $run->{stderr}, qr/PostgreSQL could not be asked about all statements/, 'it says so';
    is version($server), 2;
    is $server->get('/contacts/1')->status, 503;
    rewrite($server, conf(3));
    is reload($server)->{exit}, 'exit 0';
    is $server->get('/contacts/1')->body, '{"id":1,"version":3}', 'and the way back';
    is $server->stop, 'exit 0';
};

subtest 'a conf at database.max is reloaded, one worker after the other' => sub {
    my $server = server(conf(1, workers => 3, max => 4), cluster => $cluster);
    my $most   = 0;
    for my $n (2 .. 4) {
        rewrite($server, conf($n, workers => 3, max => 4));
        $server->signal('HUP');
        wait_for("version $n everywhere", sub {
            my $now = $cluster->sessions;
            $now = $cluster->sessions if $now > 4; # PostgreSQL counts one yet that has just been closed
            $most = $now if $now > $most;
            return $server->log_lines(qr/: reloaded$/) >= $n - 1;
        });
        is version($server), $n;
    }
    cmp_ok $most, '<=', 4, "there were never more than database.max sessions ($most)";
    is $server->stop, 'exit 0';
};

subtest 'a signal a thousand times over is a reload or two' => sub {
    my $server = server(conf(1), cluster => $cluster);
    rewrite($server, conf(2));
    kill 'HUP', $server->pid for 1 .. 1000;
    wait_for('version 2', sub { version($server) eq 2 });
    rewrite($server, conf(3));
    is reload($server)->{exit}, 'exit 0';
    is version($server), 3;
    cmp_ok scalar($server->log_lines(qr/: reloaded$/)), '<', 20, 'not a thousand reloads';
    is $server->stop, 'exit 0';
};

subtest 'TTIN and TTOU: one worker more or fewer' => sub {
    my $server = server(conf(1), cluster => $cluster);
    $server->signal('TTIN');
    wait_for('three workers', sub { $server->workers == 3 });
    is version($server), 1;
    for my $n (2, 1) {
        $server->signal('TTOU');
        wait_for("$n workers", sub { $server->workers == $n });
        is version($server), 1;
    }
    $server->signal('TTOU');
    wait_for('that there cannot be none', sub { $server->log_lines(qr/there cannot be 0 workers/) == 1 });
    is $server->stop, 'exit 0';
};

subtest 'signals that mean nothing end nothing' => sub {
    my $server = server(conf(1), cluster => $cluster);
    my @workers = $server->workers;
    $server->signal($_) for qw(USR1 QUIT ALRM TSTP PIPE VTALRM PROF WINCH IO URG XCPU XFSZ PWR);
    kill $_, @workers for qw(INT HUP USR1 ALRM TSTP);
    is version($server), 1 for 1 .. 3;
    is_deeply [ $server->workers ], \@workers;
    is $server->stop, 'exit 0';
};

done_testing;
