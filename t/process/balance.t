# Connections spread evenly over the workers: whoever accepts one passes it to the worker that has the fewest.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);
use List::Util qw(max min sum0);

use Hayfork::Test::Client;
use Hayfork::Test::Cluster;
use Hayfork::Test::Process qw(run wait_for slurp);

my $folder = tempdir('/tmp/hf.XXXXXX', CLEANUP => 1);
my $CONF   = <<~'CONF';
    workers: 4
    core: on    # their sockets are looked at
    routes:
      GET /:
        text: "hello\n"
    CONF

sub start ($conf = $CONF, %with)
{
    my $server = server($conf, %with);
    wait_for('four workers that serve', sub { $server->log =~ /serving .* with 4 workers/ });
    wait_for_no_connection($server);
    return $server;
}

# The inodes of the server's ends of connections to a TCP address.
sub inodes ($address)
{
    my $port = sprintf '%04X', $address =~ /:(\d+)$/;
    my %inode;
    for my $line (split /\n/, slurp('/proc/net/tcp')) {
        my ($local, $state, $inode) = (split ' ', $line)[ 1, 3, 9 ];
        $inode{$inode} = 1 if $local =~ /:$port$/ && $state ne '0A';    # LISTEN
    }
    return \%inode;
}

# How many TCP connections each worker has.
sub spread ($server)
{
    my $inode = inodes($server->address);
    my @counts;
    for my $pid ($server->workers) {
        push @counts, scalar grep { (readlink // '') =~ /^socket:\[(\d+)\]$/ && $inode->{$1} } glob "/proc/$pid/fd/*";
    }
    return @counts;
}

sub wait_for_no_connection ($server)
{
    return wait_for('the workers to have no connection', sub { sum0(spread($server)) == 0 });
}

# So many connections, each with a request whose answer has not been read.
sub asking ($address, $count)
{
    return map { Hayfork::Test::Client->new($address)->ask('GET', '/') } 1 .. $count;
}

sub greeted (@clients)
{
    return scalar grep { $_->receive->body eq "hello\n" } @clients;
}

# Opens so many and returns them when each has got an answer and stays open.
sub settle ($server, $count)
{
    my @clients = asking($server->address, $count);
    die 'a wrong answer' if greeted(@clients) != $count;
    return @clients;
}

# Waits until new clients are spread, so many for each of the four workers.
sub wait_for_balance ($server, $each)
{
    return wait_for(
        'balance to come back',
        sub {
            my @clients = settle($server, 4 * $each);
            my @spread  = spread($server);
            $_->close for @clients;
            wait_for_no_connection($server);
            return "@spread" eq join ' ', ($each) x 4;
        }
    );
}

# How those who asked fare: { answered => n, reset => n }. Who hears nothing ends the test.
sub fates (@clients)
{
    my %count;
    for my $client (@clients) {
        my $response = eval { $client->receive };
        die $@ if !defined $response && $@ !~ /reset|closed without an answer/;
        $count{ defined $response ? 'answered' : 'reset' }++;
    }
    return \%count;
}

subtest 'with as many clients as workers every worker has one' => sub {
    my $server = start();
    my @uneven;
    for my $round (1 .. 20) {
        my @clients = settle($server, 4);
        my $spread  = join ' ', spread($server);
        push @uneven, "round $round: $spread" if $spread ne '1 1 1 1';
        $_->close for @clients;
        wait_for_no_connection($server);
    }
    is_deeply \@uneven, [], 'in each of 20 rounds';

    my @silent = map { $server->client } 1 .. 4;
    wait_for('four clients that say nothing to be accepted', sub { sum0(spread($server)) == 4 });
    is join(' ', spread($server)), '1 1 1 1', 'clients that say nothing, too';
    $_->close for @silent;
    wait_for_no_connection($server);

    my @clients = settle($server, 64);
    my @spread  = spread($server);
    is sum0(@spread), 64, '64 clients';
    cmp_ok max(@spread), '<=', 17, "are spread evenly (@spread)";

    $_->close for splice @clients, 0, 32;
    wait_for('32 connections to end', sub { sum0(spread($server)) == 32 });
    push @clients, settle($server, 32);
    @spread = spread($server);
    cmp_ok max(@spread) - min(@spread), '<=', 1, "again when half of them have left and others came (@spread)";
    is greeted(map { $_->ask('GET', '/') } @clients), 64, 'all are served where they are';
    is $server->stop, 'exit 0';
};

subtest 'one request per connection' => sub {
    my $server  = start();
    my $answers = 0;
    $answers += $server->get('/', headers => { Connection => 'close' })->body eq "hello\n" for 1 .. 1_000;
    is $answers, 1_000, 'each is answered';
    wait_for_no_connection($server);
    wait_for_balance($server, 1);
    pass 'and those that stay are spread again';
    is $server->stop, 'exit 0';
};

subtest 'limits.clients holds for those that are passed, too' => sub {
    my $server  = start("${CONF}limits:\n  clients: 4\n");
    my @clients = asking($server->address, 64);
    # The last place of a worker is for who comes to it directly, and who that is the kernel decides.
    wait_for('the workers to be full', sub { min(spread($server)) >= 3 });
    my $most = 0;
    my $answered = 0;
    while (@clients) {    # one that is answered leaves, and another one takes its place
        my ($next) = grep { $_->readable(0) } @clients;
        next if !defined $next;
        $most = max($most, spread($server));
        $answered += greeted($next);
        $next->close;
        @clients = grep { $_ != $next } @clients;
    }
    is $answered, 64, 'in the end everybody has been served';
    is $most, 4, 'and no worker ever had more than four at once';
    is $server->stop, 'exit 0';
};

subtest 'a passed connection has the routes of the listener it came from' => sub {
    my $server = start(<<~'CONF', listeners => [qw(public inner third)], options => { 'listen.third' => "unix:$folder/third" });
        workers: 4
        routes:
          GET /here: { text: "public\n", on: public }
          GET /there: { text: "inner\n", on: inner }
          GET /else: { text: "third\n", on: third }
        CONF
    my %path    = (public => '/here', inner => '/there', third => '/else');
    my %address = (public => $server->address, inner => $server->address('inner'), third => "unix:$folder/third");
    my (@clients, %right);
    for my $round (1 .. 16) {
        for my $name (sort keys %path) {
            my $client = Hayfork::Test::Client->new($address{$name});
            for my $asked (sort keys %path) {
                my $response = $client->get($path{$asked});
                my $want     = $asked eq $name ? 200 : 404;
                $right{$name}++ if $response->status == $want && ($want == 404 || $response->body eq "$name\n");
            }
            push @clients, $client;
        }
    }
    is_deeply \%right, { public => 48, inner => 48, third => 48 }, 'TCP and Unix sockets, in turns';
    is $server->stop, 'exit 0';
};

# A worker that is stopped takes nothing from a Unix socket, so what waits for it was passed to it.
sub pass_to_a_stopped_worker ($server, $address)
{
    my ($victim) = $server->workers;
    kill 'STOP', $victim;
    my @clients = asking($address, 16);
    wait_for('most of them to be answered', sub { grep({ $_->readable(0) } @clients) >= 8 });
    my $waiting = grep { !$_->readable(0.05) } @clients;
    cmp_ok $waiting, '>=', 1, 'some wait for a worker that is stuck';
    return ($victim, @clients);
}

subtest 'a worker that is stuck is soon passed none' => sub {
    my $server = start($CONF, also => ["unix:$folder/stuck.sock"]);
    my ($victim, @clients) = pass_to_a_stopped_worker($server, "unix:$folder/stuck.sock");
    cmp_ok scalar(grep { !$_->readable(0) } @clients), '<=', 4, 'no more than its share waits for it';
    wait_for(
        'the others to keep what comes',
        sub {
            my @more = asking("unix:$folder/stuck.sock", 16);
            push @clients, @more;
            return !grep { !$_->readable(1) } @more;
        }
    );
    kill 'CONT', $victim;
    is greeted(@clients), @clients, 'when it goes on, those who waited are answered';
    is $server->stop, 'exit 0';
};

subtest 'a worker without a descriptor to take what it was passed' => sub {
    my $server = start($CONF, also => ["unix:$folder/files.sock"]);
    my ($victim, @clients) = pass_to_a_stopped_worker($server, "unix:$folder/files.sock");
    my ($limit) = slurp("/proc/$victim/limits") =~ /^Max open files +(\d+)/m;
    is run([ 'prlimit', "--pid=$victim", '--nofile=3:' ])->{exit}, 'exit 0', 'it may open no more files';
    kill 'CONT', $victim;
    wait_for('it to say so', sub { $server->log_lines(qr/ warn worker 1.*cannot accept connections/) });
    my @more = asking("unix:$folder/files.sock", 16);
    is greeted(@more), 16, 'the others serve whom they would have passed to it';
    is run([ 'prlimit', "--pid=$victim", "--nofile=$limit:" ])->{exit}, 'exit 0', 'until it may again';
    is greeted(@clients), 16, 'nobody is lost';
    is $server->stop, 'exit 0';
};

subtest 'what a dead worker had been passed is served by its successor' => sub {
    my $server = start($CONF, also => ["unix:$folder/death.sock"]);
    my ($victim, @clients) = pass_to_a_stopped_worker($server, "unix:$folder/death.sock");
    kill 'KILL', $victim;
    is greeted(@clients), 16, 'everybody is answered';
    $_->close for @clients;

    wait_for('four workers', sub { $server->workers == 4 });
    wait_for_balance($server, 1);
    pass 'and then every worker has its client again';
    is $server->stop, 'exit 0';
};

subtest 'a worker is killed while connections are opened' => sub {
    my $server = start();
    my %fates  = (answered => 0, reset => 0);
    for my $round (1 .. 5) {
        wait_for('four workers', sub { $server->workers == 4 });
        my ($victim) = $server->workers;
        my @clients = asking($server->address, 60);
        kill 'KILL', $victim;
        push @clients, asking($server->address, 60);
        my $fates = fates(@clients);
        $fates{$_} += $fates->{$_} // 0 for keys %fates;
        $_->close for @clients;
        wait_for_no_connection($server);
    }
    is $fates{answered} + $fates{reset}, 600, 'nobody is left hanging';
    cmp_ok $fates{reset}, '<=', 5 * 60, "only the dead worker's clients are reset ($fates{reset})";
    wait_for('four workers', sub { $server->workers == 4 });
    wait_for_balance($server, 2);
    pass 'and balance comes back';
    is $server->stop, 'exit 0';
};

subtest 'the server is stopped while connections are passed' => sub {
    my $server = start();
    my @clients = asking($server->address, 200);
    $server->signal('TERM');
    is greeted(@clients), 200, 'everybody who had asked is answered';
    is $server->end, 'exit 0';

    $server = start($CONF, also => ["unix:$folder/drain.sock"]);
    (my $victim, @clients) = pass_to_a_stopped_worker($server, "unix:$folder/drain.sock");
    $server->signal('TERM');
    wait_for('the others to end', sub { $server->workers == 1 });
    kill 'CONT', $victim;
    is greeted(@clients), 16, 'a worker takes what it was passed before it ends';
    is $server->end, 'exit 0';
};

subtest 'a worker is stopped before the database has said anything to it' => sub {
    my $cluster = Hayfork::Test::Cluster->start;
    my $server  = start(<<~CONF, also => ["unix:$folder/silent.sock"]);
        workers: 4
        database: { connect: ${\ $cluster->conninfo } }
        routes:
          GET /:
            text: "hello\\n"
          GET /one:
            sql: |
              SELECT 1 AS one
            answer: row
        CONF
    my ($victim, @clients) = pass_to_a_stopped_worker($server, "unix:$folder/silent.sock");
    kill 'STOP', $cluster->{pid} or die "kill: $!";
    kill 'KILL', $victim;
    wait_for('its successor', sub { grep({ $_ != $victim } $server->workers) == 4 });
    $server->signal('TERM');
    is greeted(@clients), 16, 'those who were passed to its predecessor are answered';
    is $server->end, 'exit 0';
    kill 'CONT', $cluster->{pid};
    $cluster->stop;
};

done_testing;
