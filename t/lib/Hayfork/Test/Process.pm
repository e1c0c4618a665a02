# Hayfork::Test::Process: starts programs, waits for conditions, and leaves nothing behind.
#
# Every program started here is remembered by its process id and stopped when the test ends, also when it
# dies or is interrupted. Temporary folders have short names, because a Unix socket's path is at most 107
# bytes long.
package Hayfork::Test::Process;

use v5.36;

use Carp qw(croak);
use Exporter qw(import);
use File::Temp ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(spawn run reap wait_for temporary_folder slurp spew alive children descriptors at_rest connections cpu_time
  stop_process);

# How long anything may take before the test gives up. Far more than a loaded machine needs: no test
# measures time, this only keeps a hanging one from hanging for ever.
our $LIMIT = 60;

my $owner = $$;
my %running;    # process id => signal that ends it for good

for my $name (qw(INT TERM HUP)) {
    $SIG{$name} = sub { exit 1 };
}
$SIG{PIPE} = 'IGNORE';

# libpq and psql must see what the tests say and nothing of the user's.
delete @ENV{ grep { /^PG/ } keys %ENV };

sub temporary_folder ()
{
    my $folder = File::Temp::tempdir('/tmp/hf.XXXXXX', CLEANUP => 1);
    chmod 0755, $folder or die "chmod $folder: $!";
    return $folder;
}

# Starts a program and returns its process id.
#   folder   where it runs          stdout, stderr   files that are appended to
#   env      { NAME => value }      uid, gid         who it runs as
#   last     the signal that ends it when the test is over (KILL)
sub spawn ($command, %with)
{
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        eval { become($command, %with) };
        print {*STDERR} $@;
        POSIX::_exit(127);
    }
    $running{$pid} = $with{last} // 'KILL';
    return $pid;
}

sub become ($command, %with)
{
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
    if (defined $with{folder}) {
        chdir $with{folder} or die "chdir $with{folder}: $!\n";
    }
    open STDIN, '<', '/dev/null' or die "/dev/null: $!\n";
    for ([ stdout => *STDOUT{IO} ], [ stderr => *STDERR{IO} ]) {
        my ($stream, $handle) = @$_;
        next if !defined $with{$stream};
        open $handle, '>>', $with{$stream} or die "$with{$stream}: $!\n";
    }
    if (defined $with{uid}) {
        $) = "$with{gid} $with{gid}";
        POSIX::setgid($with{gid}) and POSIX::setuid($with{uid}) or die "setuid $with{uid}: $!\n";
    }
    @ENV{ keys %{ $with{env} // {} } } = values %{ $with{env} // {} };
    exec { $command->[0] } @$command or die "$command->[0]: $!\n";
}

# Runs a program to its end. Returns { exit => 'exit 0', stdout => text, stderr => text }.
sub run ($command, %with)
{
    my $folder = File::Temp->newdir('/tmp/hf.XXXXXX');
    my ($out, $err) = ("$folder/stdout", "$folder/stderr");
    my $end = reap(spawn($command, %with, stdout => $out, stderr => $err));
    return { exit => $end // "still running after $LIMIT s", stdout => slurp($out), stderr => slurp($err) };
}

# Waits for a program to end. Returns how it did, "exit 0" or "signal 9", or undef if it has not ended
# within the limit.
sub reap ($pid, $limit = $LIMIT)
{
    my $give_up = time + $limit;
    my $pause   = 0.001;
    while (waitpid($pid, WNOHANG) == 0) {
        return undef if time > $give_up;
        sleep $pause;
        $pause = 0.02 if ($pause *= 1.5) > 0.02;
    }
    my $status = $?;
    delete $running{$pid};
    return $status & 127 ? 'signal ' . ($status & 127) : 'exit ' . ($status >> 8);
}

# Waits until condition() is true and returns what it returned; dies, saying what it waited for, if that
# never happens.
sub wait_for ($what, $condition, $limit = $LIMIT)
{
    my $give_up = time + $limit;
    while (1) {
        my $result = $condition->();
        return $result if $result;
        croak "waited $limit s for $what" if time > $give_up;
        sleep 0.01;
    }
}

# Is there a process of this id that runs (and is not just waiting to be reaped)?
sub alive ($pid)
{
    open my $stat, '<', "/proc/$pid/stat" or return 0;
    my ($state) = (<$stat> // '') =~ /\) (\S)/;
    return defined $state && $state !~ /[ZX]/;
}

# The ids of a process's children that run, smallest first.
sub children ($pid)
{
    open my $file, '<', "/proc/$pid/task/$pid/children" or return;
    my @children = sort { $a <=> $b } grep { alive($_) } split ' ', <$file> // '';
    return @children;
}

# Waits until a number no longer changes, and returns it: what a client has just closed is seen to be closed a moment later.
sub at_rest ($what, $number)
{
    my ($same, $last) = (0, -1);
    wait_for("$what to settle", sub {
        my $now = $number->();
        $same = $now == $last ? $same + 1 : 0;
        $last = $now;
        return $same >= 10;
    });
    return $last;
}

# How many files a process has open.
sub descriptors ($pid)
{
    opendir my $folder, "/proc/$pid/fd" or croak "/proc/$pid/fd: $!";
    return scalar grep { !/^\./ } readdir $folder;
}

# How many connections a server has taken and not closed yet. It may have other files open, and open more: to a database,
# for one.
sub connections ($address)
{
    my ($port) = $address =~ /:(\d+)$/;
    my $local  = sprintf ':%04X', $port;
    my %from;    # the kernel may show one twice while others come and go
    for my $line (map { split /^/, slurp($_) } grep { -e } '/proc/net/tcp', '/proc/net/tcp6') {
        my (undef, $at, $peer, $state, @more) = split ' ', $line;
        # Not the one that listens, nor those that nobody has: not accepted yet, or closed.
        $from{$peer} = 1 if $at =~ /\Q$local\E$/ && $state ne '0A' && $more[5] ne '0';
    }
    return scalar keys %from;
}

# The CPU time that a process has taken, in seconds.
sub cpu_time ($pid)
{
    my @field = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //sr;
    return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK);
}

# Stops a process by SIGSTOP, and waits until it stands still. SIGCONT lets it go on.
sub stop_process ($pid)
{
    kill 'STOP', $pid;
    wait_for("process $pid to stand still", sub { slurp("/proc/$pid/stat") =~ /\) T / });
    return;
}

sub slurp ($path)
{
    open my $file, '<:raw', $path or croak "$path: $!";
    local $/ = undef;
    return <$file> // '';
}

sub spew ($path, $text)
{
    open my $file, '>:raw', $path or croak "$path: $!";
    print {$file} $text;
    close $file or croak "$path: $!";
    return $path;
}

END {
    if ($$ == $owner) {
        local ($?, $!);
        kill $running{$_}, $_ for keys %running;
        for my $pid (keys %running) {
            next if defined reap($pid, 10);
            kill 'KILL', $pid;
            reap($pid, 10);
        }
    }
}

1;
