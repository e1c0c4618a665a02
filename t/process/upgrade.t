# An upgrade: the program on disk takes over under the same process id, and no request is lost, whatever that program is.
use v5.36;

use Hayfork::Test;

use IO::Socket::INET;

use Hayfork::Test::Process qw(wait_for alive reap run slurp spawn spew temporary_folder);

needs_postgres;
my $cluster = cluster->load_contacts;
my $conf    = <<~CONF;
    workers: 2
    core: on    # a user, too, may look at which file the process runs
    database:
      connect: ${\ $cluster->conninfo }
    limits:
      drain: 10s
    routes:
      GET /contacts/{id}:
        sql: |
          SELECT id FROM contact, pg_sleep(0.002) WHERE id = :id
        answer: row
      GET /slow/{seconds}:
        sql: |
          SELECT 1 AS one FROM pg_sleep(:seconds)
        answer: row
    CONF

# A server whose program can be replaced. What is at the place is a copy.
sub place ()
{
    my $folder = temporary_folder();
    copy($Hayfork::Test::HAYFORK, "$folder/hayfork");
    return "$folder/hayfork";
}

# Replaces the file, as an installation does: under another name first.
sub copy ($from, $to)
{
    run([ 'cp', $from, "$to.new" ])->{exit} eq 'exit 0' or die "cannot copy $from";
    rename "$to.new", $to or die "cannot rename $to.new: $!";
    return;
}

sub script ($to, $text)
{
    spew("$to.new", $text);
    chmod 0755, "$to.new";
    rename "$to.new", $to or die "cannot rename $to.new: $!";
    return;
}

sub server_at ($program)
{
    local $Hayfork::Test::HAYFORK = $program;
    return server($conf, cluster => $cluster);
}

sub reload ($server)
{
    return run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ]);
}

# A load in which each of these is done in turn, each once the one before has come to an end.
sub load ($server, @changes)
{
    my $next = 0;
    my $over = sub { scalar $server->log_lines(qr/: reloaded$|the reload was refused/) };
    my $load = $server->load(
        requests    => 200_000,
        connections => 16,
        target      => sub ($n) { '/contacts/' . ($n % 10_000 + 1) },
        check       => sub ($n, $response) { $response->body eq sprintf '{"id":%d}', $n % 10_000 + 1 },
        each        => [ 50, sub {
            return 0 if $over->() < $next;
            return 1 if $next > $#changes;
            $changes[$next++]->();
            $server->signal('HUP');
            return 0;
        } ],
    );
    is $next, scalar @changes, 'all changes were made under load';
    is $load->summary, "200: ${\ $load->begun}, lost: 0", 'every request has its answer';
    is_deeply [ $load->wrong ], [], '... the right one';
    return;
}

subtest 'to another build and back, under load' => sub {
    my $program = place();
    my $server  = server_at($program);
    my $pid     = $server->pid;
    my $inode   = sub { (stat "/proc/$pid/exe")[1] };
    load($server, (sub { copy($Hayfork::Test::HAYFORK, $program) }) x 4);
    is $inode->(), (stat $program)[1], 'the process runs the file that is there now';
    is $server->pid, $pid;
    ok alive($pid), 'under the same process id';
    is $server->stop, 'exit 0';
};

subtest 'to a program that cannot take over: it is refused, and all goes on, under load' => sub {
    my $program = place();
    my $server  = server_at($program);
    my @workers = $server->workers;
    my $inode   = (stat "/proc/${\ $server->pid}/exe")[1];
    my %program = (
        'one that cannot be executed'                  => sub { script($program, "#!/nonexistent/interpreter\n") },
        'one that crashes at once'                     => sub { script($program, "#!/bin/sh\nkill -SEGV \$\$\n") },
        'one that fails'                               => sub { script($program, "#!/bin/sh\nexit 3\n") },
        'one that knows nothing of it'                 => sub { script($program, "#!/bin/sh\nexit 0\n") },
        'one that does not understand the memory'      => sub { script($program, "#!/bin/sh\nexit 76\n") },
        'none at all'                                  => sub { unlink $program },
    );
    load($server, @program{ sort keys %program });
    my @said = map { s/.*everything continues as before: //r } $server->log_lines(qr/the reload was refused/);
    is_deeply [ sort @said ], [ sort
        'the program ended with exit code 71 when it was tried',
        'the program was killed by signal 11 (Segmentation fault) when it was tried',
        'the program ended with exit code 3 when it was tried',
        'the program on disk did not try it: is it hayfork?',
        'the program on disk cannot take over from this one: restart the service',
        'the program ended with exit code 71 when it was tried',
    ], 'each with its reason';
    is_deeply [ $server->workers ], \@workers, 'the workers are those of before';
    is((stat "/proc/${\ $server->pid}/exe")[1], $inode, 'and so is the program');
    copy($Hayfork::Test::HAYFORK, $program);
    is reload($server)->{exit}, 'exit 0', 'a good one is taken after that';
    is $server->stop, 'exit 0';
};

subtest 'a program that is replaced while the one before it is tried has not been tried' => sub {
    my $program  = place();
    my $server   = server_at($program);
    my $database = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1') or die "cannot listen: $!";
    my $silent   = "host=127.0.0.1 port=${\ $database->sockport} dbname=x user=x";
    spew($server->{conf}, slurp($server->{conf}) =~ s/^  connect: .*$/  connect: "$silent"/mr);
    my $said  = temporary_folder() . '/said';
    my $asks  = spawn([ $Hayfork::Test::HAYFORK, '-r', $server->pid ], stderr => $said);
    my $trial = $database->accept;
    script($program, "#!/bin/sh\nkill -SEGV \$\$\n");
    close $_ for $database, $trial;
    is reap($asks), 'exit 78';
    like slurp($said), qr/the reload was refused: the program on disk was replaced while it was tried$/m, 'it is not executed';
    is $server->get('/contacts/1')->status, 200, 'and all goes on';
    is $server->stop, 'exit 0';
};

subtest 'what is handed over is bounded by what is there, whatever it says' => sub {
    for my $value ('', '3', '3:4', 'x:y:z', "9:9:$$", '-1:-1:-1') {
        my $run = run([ $Hayfork::Test::HAYFORK ], env => { HAYFORK_TRIAL => $value });
        like $run->{exit}, qr/^exit (?:64|76)$/, "HAYFORK_TRIAL=$value";
    }
    for my $value ('', '3', '99:1', 'x:y') {
        my $run = run([ $Hayfork::Test::HAYFORK ], env => { HAYFORK_TAKEOVER => $value });
        is $run->{exit}, 'exit 64', "HAYFORK_TAKEOVER=$value";
    }
};

subtest 'the master is killed: requests are finished, and a new master starts at once' => sub {
    my $server  = server_at($Hayfork::Test::HAYFORK);
    my @workers = $server->workers;
    my @clients = map { $server->client } 1 .. 4;
    $_->ask('GET', '/slow/1.5') for @clients;
    wait_for('them to be under way', sub { $cluster->value(<<~SQL, 'postgres') >= 4 });
        SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        SQL
    $server->signal('KILL');
    is $server->end, 'signal 9';
    my $log = "$server->{log}.2";
    my $pid = spawn([ $Hayfork::Test::HAYFORK, '-c', $server->{conf} ], stderr => $log);
    wait_for('a new master to serve', sub { -e $log && slurp($log) =~ /: serving on|error/ });
    like slurp($log), qr/: serving on/, 'a new one has the address at once';
    ok scalar(grep { alive($_) } @workers), '... while workers are still at it';
    is $server->get('/contacts/1')->status, 200;
    is $_->receive->body, '{"one":1}', 'a request that was under way has its answer' for @clients;
    @clients = ();
    wait_for('the workers to end', sub { !grep { alive($_) } @workers });
    kill 'TERM', $pid;
    is reap($pid), 'exit 0';
};

subtest 'a second TERM stops at once' => sub {
    my $server = server_at($Hayfork::Test::HAYFORK);
    my $client = $server->client;
    $client->ask('GET', '/slow/4');
    wait_for('it to be under way', sub { $cluster->value(<<~SQL, 'postgres') });
        SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
        SQL
    $server->signal('TERM');
    wait_for('it to stop', sub { $server->log_lines(qr/finishing the pending requests/) == 1 });
    $server->signal('TERM');
    is $server->end, 'exit 0';
    is scalar $server->log_lines(qr/stopping at once/), 1, 'the log says so';
    is $client->receive->status, 504, 'and whoever waits is told that it may have been done';
};

done_testing;
