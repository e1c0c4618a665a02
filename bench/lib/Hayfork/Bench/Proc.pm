# Hayfork::Bench::Proc: what the kernel knows of processes: descendants, CPU time, memory, and of the energy.
package Hayfork::Bench::Proc;

use v5.36;

use Exporter qw(import);
use POSIX ();

our @EXPORT_OK = qw(family cpu_seconds memory joules energy);

my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK);

# A file below /proc, or nothing: what it is about may be gone by now.
sub text ($path)
{
    open my $file, '<', $path or return '';
    local $/ = undef;
    return readline($file) // '';
}

# The process and all its descendants.
sub family ($root)
{
    my %children;
    for my $path (glob '/proc/[0-9]*/stat') {
        push @{ $children{$2} }, $1 if text($path) =~ /^(\d+) \(.*\) \S (\d+) /s;
    }
    my @family = ($root);
    for (my $i = 0 ; $i < @family ; ++$i) {
        push @family, @{ $children{ $family[$i] } // [] };
    }
    return @family;
}

# CPU time of a process, its descendants, and those of them that are gone already.
sub cpu_seconds ($root)
{
    my $ticks = 0;
    for my $pid (family($root)) {
        my @field = split ' ', text("/proc/$pid/stat") =~ s/^.*\) //sr;
        $ticks += $_ for grep { defined } @field[ 11 .. 14 ];
    }
    return $ticks / $TICKS;
}

# Memory of processes in kB: what they share counted once (PSS), and in each (RSS).
sub memory (@pids)
{
    my %kb = (Pss => 0, Rss => 0);
    for my $pid (@pids) {
        my $rollup = text("/proc/$pid/smaps_rollup");
        $kb{$1} += $2 while $rollup =~ /^(Pss|Rss): +(\d+)/mg;
    }
    return ($kb{Pss}, $kb{Rss});
}

# The energy counters of the processor's packages in microjoules, by name; none where there are no such counters, or
# they are not ours to read. A zone for the whole board (psys) has the packages in it, and so has their second
# interface (intel-rapl-mmio).
sub energy ()
{
    my %energy;
    for my $zone (grep { m{/[a-z-]+:\d+$} && !m{-mmio:} } glob '/sys/class/powercap/*') {
        next if text("$zone/name") =~ /^psys/;
        my $uj = text("$zone/energy_uj");
        $energy{$zone} = 0 + $uj if $uj =~ /^\d+$/m;
    }
    return \%energy;
}

# What was used between two readings, in joules, or undef. A counter that has come to its end begins again.
sub joules ($before, $after)
{
    return undef if !%$before;
    my $uj = 0;
    for my $zone (keys %$before) {
        my $used = ($after->{$zone} // return undef) - $before->{$zone};
        $used += text("$zone/max_energy_range_uj") || 0 if $used < 0;
        $uj += $used;
    }
    return $uj / 1e6;
}

1;
