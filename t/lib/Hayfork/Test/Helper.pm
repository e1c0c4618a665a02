# Hayfork::Test::Helper: helper processes, which are held in a test, and what is counted of their jobs.
package Hayfork::Test::Helper;
use v5.36;

use Exporter qw(import);
use Time::HiRes qw(sleep);

use Hayfork::Test::Process qw(descriptors slurp wait_for);

our @EXPORT_OK = qw(count is_idle stop_idle $RUNNING $WAITING);

our $RUNNING = 'hayfork_helper_jobs_running';
our $WAITING = 'hayfork_helper_jobs_waiting';

my $IDLE = 6;    # descriptors: three standard ones, the socket for offers, its memory, and a pair's end

# Does it wait for a job? Then it sleeps, and has but its own end of the pair of sockets open.
sub is_idle ($pid)
{
    sleep 0.02;
    return slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) S/ && descriptors($pid) == $IDLE;
}

# Stops a helper once it has offered itself, so that what it gets waits. Returns its process id.
sub stop_idle ($pid)
{
    wait_for('it to have offered itself again', sub { is_idle($pid) && is_idle($pid) });
    kill STOP => $pid;
    wait_for('it to stop', sub { slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) T/ });
    return $pid;
}

# A figure of the server's metrics; its {metrics} is a client of its admin listener.
sub count ($server, $name)
{
    my $metrics = $server->{metrics}->get('/metrics')->body;
    return $metrics =~ /^\Q$name\E (\S+)$/m ? $1 : 0;
}

1;
