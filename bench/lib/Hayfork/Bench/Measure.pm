# Hayfork::Bench::Measure: one run: a server is started, asked as the scenario says, and stopped.
package Hayfork::Bench::Measure;

use v5.36;

use Exporter qw(import);
use IPC::Open2;
use Time::HiRes qw(sleep time);

use Hayfork::Bench::Client qw(load warm_up);
use Hayfork::Bench::Peers qw(hayfork_sessions);
use Hayfork::Bench::Proc qw(family cpu_seconds memory energy joules);
use Hayfork::Bench::Scenarios qw(uses_database);
use Hayfork::Bench::Server;

our @EXPORT_OK = qw(measure server_for planned);

my %PROCEDURE = (idle => \&measure_idle, memory => \&measure_memory);

# Full loads after one another, to see whether memory grows.
my $LOADS = 3;

# Figures of one run of { scenario, server, pool }: those of the client, and cpu_server, cpu_postgres in seconds,
# pss_peak and pss_mean in kB, joules. What went wrong is in `error`; then there may be no other figures.
sub measure ($bench, $scenario, $row)
{
    my (%figures, $server, $started);
    my $done = eval {
        $bench->{database}->psql('VACUUM contact') if $scenario->{name} eq 'mix';
        $server = server_for($bench, $scenario, $row);
        $started = $server->start;
        my $procedure = $PROCEDURE{ $scenario->{client} } // \&measure_load;
        %figures = $procedure->($bench, $scenario, $server)->%*;
        1;
    };
    $figures{error} = $@ =~ s/\s+\z//r if !$done;

    # So that it is known why a client failed.
    my $end = $started && $server->ended;
    $figures{error} = "the server has ended: $end" if $end;
    $server->stop if defined $server;
    if (uses_database($scenario)) {
        eval { $bench->{database}->wait_until_idle; 1 } or $figures{error} //= 'its sessions in PostgreSQL do not end';
    }
    return \%figures;
}

# The server of a row, not started yet.
sub server_for ($bench, $scenario, $row)
{
    return Hayfork::Bench::Server->peer($bench, $row->{peer}, pool => $row->{pool} || $row->{peer}{pools}[0])
      if defined $row->{peer};
    my %with = (workers => $bench->{cores});
    %with = memory_of_hayfork($row->{pool}) if $scenario->{client} eq 'memory';
    $with{routes} = $scenario->{routes} if defined $scenario->{routes};
    return Hayfork::Bench::Server->hayfork($bench, %with);
}

# Four workers: with a conf that only reads they have four connections, with one that writes as well eight.
sub memory_of_hayfork ($pool)
{
    return $pool == hayfork_sessions(4) ? (workers => 4) : (workers => 4, routes => 0);
}

# How many seconds a run takes, roughly.
sub planned ($bench, $scenario)
{
    my $seconds = $scenario->{duration} // $bench->{duration};
    my %planned = (ab => 10, idle => $seconds + 8, memory => $LOADS * ($seconds + 1));
    return 3 + ($planned{ $scenario->{client} } // $seconds);
}

sub measure_load ($bench, $scenario, $server)
{
    my $url = $server->url($scenario->{path});
    warm_up($bench, $scenario, $url);
    return watched($bench, $scenario, $server, $url);
}

# A load, with what it costs the server and PostgreSQL.
sub watched ($bench, $scenario, $server, $url)
{
    my ($n, $sum, $peak, @family) = (0, 0, 0);
    my $sample = sub {
        @family = family($server->pid) if $n % 5 == 0;
        my ($pss) = memory(@family);
        $sum += $pss;
        $peak = $pss if $pss > $peak;
        ++$n;
    };
    $sample->();
    my @pids    = ($server->pid, $bench->{database}->pid);
    my @cpu     = map { cpu_seconds($_) } @pids;
    my $energy  = energy();
    my $figures = load($bench, $scenario, $url, $sample);
    my $joules  = joules($energy, energy());
    my @after   = map { cpu_seconds($_) } @pids;
    return {
        %$figures,
        cpu_server   => sprintf('%.3f', $after[0] - $cpu[0]) + 0,
        cpu_postgres => sprintf('%.3f', $after[1] - $cpu[1]) + 0,
        pss_peak     => $peak,
        pss_mean     => int $sum / $n,
        joules       => $joules,
    };
}

# Memory once a server has come to rest.
sub memory_at_rest ($server)
{
    sleep 1;
    return memory(family($server->pid));
}

# Connections that keep still, and a load beside them. The server must keep them: how many it does is counted.
sub measure_idle ($bench, $scenario, $server)
{
    my %idle = (clients => $scenario->{idle});
    @idle{qw(pss_before rss_before)} = memory_at_rest($server);
    my $pid = open2(
        my $said, my $ask, 'setsid', 'sh', '-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh',
        "$bench->{top}/bench/lib/idle-clients", $server->port, $scenario->{idle}
    );
    my $figures = eval {
        local $SIG{ALRM} = sub { die "the idle clients have no answers after 120 s\n" };
        alarm 120;
        (readline($said) // '') eq "idle\n" or die "the idle clients did not get their answers\n";
        alarm 0;
        @idle{qw(pss_after rss_after)} = memory_at_rest($server);
        syswrite $ask, "count\n";
        $idle{kept} = 0 + (readline($said) // 0);
        watched($bench, $scenario, $server, $server->url($scenario->{path}));
    };
    my $error = $@;
    alarm 0;
    kill 'TERM', $pid;
    waitpid $pid, 0;
    return { %$figures, idle => \%idle } if defined $figures;
    die $error;
}

sub measure_memory ($bench, $scenario, $server)
{
    my ($start) = memory_at_rest($server);
    my ($figures, @after);
    for (1 .. $LOADS) {
        $figures = watched($bench, $scenario, $server, $server->url($scenario->{path}));
        push @after, (memory_at_rest($server))[0];
    }

    # Counted now, as some open their connections only when they need them.
    my $sessions = $bench->{database}->sessions;
    return { %$figures, memory => { start => $start, after => \@after, sessions => $sessions } };
}

1;
