# Hayfork::Bench::Server: a server that is measured: a Hayfork, or a peer.
#
#   my $server = Hayfork::Bench::Server->hayfork($bench, workers => 2);
#   my $server = Hayfork::Bench::Server->peer($bench, $peer, pool => 8);
#   $server->start;          # and waits until it answers
#   …
#   $server->stop;
#
# $bench has what all of them share: top, folder, hayfork, cores, database, upstream.
package Hayfork::Bench::Server;

use v5.36;

use Carp qw(croak);
use HTTP::Tiny;
use POSIX ();
use Time::HiRes qw(sleep time);

use Hayfork::Bench::Peers qw(hayfork_sessions);
use Hayfork::Bench::Proc qw(family);
use Hayfork::Test::Process qw(spawn reap slurp spew alive);
use Hayfork::Test::Server;

# How long a server may take until it answers: interpreters with many modules are slow to start.
my $START = 60;

# As many open files as we may have: idle connections are files.
my @MANY_FILES = ('sh', '-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh');

my %alive;    # those that run, for the end of the program

# A Hayfork: workers; port; routes, to have that many of them instead of bench/field.conf.
sub hayfork ($class, $bench, %with)
{
    my $conf = defined $with{routes} ? routes_conf($bench, $with{routes}) : "$bench->{top}/bench/field.conf";
    my $port = $with{port} // Hayfork::Test::Server::free_port();
    # No more connections than the report says; the conf of many routes has nothing to write.
    my $max = defined $with{routes} ? $with{workers} : hayfork_sessions($with{workers});
    return $class->new(
        $bench,
        name    => 'hayfork',
        port    => $port,
        ready   => defined $with{routes} ? '/contacts/1' : '/v1/avatar',
        command => [
            $bench->{hayfork}, '-c', $conf, map { ('-o', $_) } "listen='127.0.0.1:$port'", "workers=$with{workers}",
            'core=on',                             # its memory is measured
            $> == 0 ? 'user=nobody' : (),
            "database.max=$max",
            "database.connect='" . $bench->{database}->conninfo . "'",
            "upstreams={ avatars: [ 'http://$bench->{upstream}' ] }",
        ],
    );
}

# The conf of a Hayfork with a route for contacts and so many others, each with SQL of its own.
sub routes_conf ($bench, $n)
{
    my $conf = <<~CONF;
        log: error
        limits: { requests: unlimited, clients: 20000, idle: 60m }
        routes:
          GET /contacts/{id}:
            sql: "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = :id"
            answer: row
        CONF
    for my $i (1 .. $n) {
        $conf .= <<~ROUTE =~ s/^/  /mgr;
            GET /route/$i:
              sql: "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $i"
              answer: row
            ROUTE
    }
    return spew("$bench->{folder}/routes-$n.conf", $conf);
}

# A peer: pool, the number of its PostgreSQL connections; port.
sub peer ($class, $bench, $peer, %with)
{
    my $port = $with{port} // Hayfork::Test::Server::free_port();
    my ($ready) = grep { $peer->{serves}{$_} } qw(contact avatar relay list);
    my %path = (contact => '/contacts/1', avatar => '/v1/avatar', list => '/contacts');
    return $class->new(
        $bench,
        name    => $peer->{name},
        port    => $port,
        ready   => $path{ $ready // '' } // '/',
        command => [ "$peer->{folder}/run", $peer->{built} ],
        env     => {
            $bench->{database}->environment,
            PORT     => $port,
            POOL     => $with{pool} || 1,
            CORES    => $bench->{cores},
            UPSTREAM => $bench->{upstream},
            AVATAR   => "$bench->{top}/bench/avatar.json",
        },
    );
}

sub new ($class, $bench, %with)
{
    state $n = 0;
    return bless { %with, log => "$bench->{folder}/$with{name}-" . ++$n . '.log' }, $class;
}

# A server has a session of its own, so that Ctrl-C does not reach it past us, and stops with us.
sub start ($self)
{
    $self->{pid} = spawn(
        [ qw(setsid setpriv --pdeathsig TERM), @MANY_FILES, @{ $self->{command} } ],
        stdout => $self->{log},
        stderr => $self->{log},
        env    => $self->{env} // {},
        last   => 'TERM',
    );
    $alive{ $self->{pid} } = $self;
    my $give_up = time + $START;
    my $http    = HTTP::Tiny->new(timeout => 5);
    my $status;
    until (($status = $http->get($self->url($self->{ready}))->{status}) =~ /^2/) {
        $self->give_up('it has ended at its start') if $self->ended;
        $self->give_up("$self->{ready} is answered with $status for $START s") if time > $give_up;
        sleep 0.02;
    }
    return $self;
}

# Any answer will do as a sign of life for a server without a route that needs no other.
sub give_up ($self, $what)
{
    $self->stop;
    my @log = split /\n/, slurp($self->{log});
    splice @log, 0, @log - 5 if @log > 5;
    die join("\n    ", $what, @log) . "\n";
}

sub url ($self, $path)
{
    return "http://127.0.0.1:$self->{port}$path";
}

sub pid  ($self) { return $self->{pid} }
sub port ($self) { return $self->{port} }

# How it ended, undef while it runs.
sub ended ($self)
{
    return $self->{end} //= reap($self->{pid}, 0);
}

# Stops it with all of its processes.
sub stop ($self)
{
    my $pid = delete $self->{pid} // return;
    my @family = family($pid);
    if (!defined $self->{end}) {
        kill 'TERM', $pid;
        if (!defined reap($pid, 10)) {
            kill 'KILL', @family;
            reap($pid, 10);
        }
    }
    my $give_up = time + 5;
    sleep 0.02 while time < $give_up && grep { alive($_) } @family;

    # Children that a server left behind when it ended are still of its group.
    kill 'KILL', -$pid, grep { alive($_) } @family;
    delete $alive{$pid};
    return;
}

# Stops all that run.
sub stop_all ()
{
    $_->stop for values %alive;
    return;
}

1;
