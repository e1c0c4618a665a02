# Hayfork::Bench::About: the machine and the versions of what is measured on it.
package Hayfork::Bench::About;

use v5.36;

use Digest::SHA;
use Exporter qw(import);
use POSIX ();

use Hayfork::Test::Process qw(run slurp);

our @EXPORT_OK = qw(about);

# $bench as in Hayfork::Bench::Server; versions are those of peers, by name.
sub about ($bench, $peers)
{
    my ($memory) = slurp('/proc/meminfo') =~ /^MemTotal: +(\d+)/m;
    my ($model)  = slurp('/proc/cpuinfo') =~ /^model name\s*: (.*)/m;
    my ($system, undef, $release, undef, $machine) = POSIX::uname();
    return {
        machine => {
            cores     => 0 + $bench->{cores},
            model     => $model // $machine,
            kernel    => "$system $release $machine",
            memory_kb => 0 + $memory,
        },
        duration => 0 + $bench->{duration},
        requests => 0 + $bench->{requests},
        versions => {
            hayfork    => first_line($bench->{hayfork}, '-V') =~ s/^hayfork //r,
            postgresql => $bench->{database}->version,
            wrk        => first_line('wrk', '-v') =~ s/^wrk (?:debian\/)?(\S+).*/$1/r,
            ab         => first_line('ab', '-V') =~ s/.*Version (\S+).*/$1/r,
            commit     => commit($bench->{top}),
            program    => substr(Digest::SHA->new(256)->addfile($bench->{hayfork})->hexdigest, 0, 12),
            -x "$bench->{build}/k6/k6" ? (k6 => first_line("$bench->{build}/k6/k6", 'version') =~ s/^k6 v?//r) : (),
        },
        peers => { map { $_->{name} => { $_->%{qw(title group versions)} } } @$peers },
    };
}

sub first_line (@command)
{
    my $done = eval { run(\@command) } // {};
    my ($line) = split /\n/, ($done->{stdout} || $done->{stderr} || 'unknown');
    return $line;
}

# The commit that the tree is at, 'unknown' where it is not in git.
sub commit ($top)
{
    my $done = eval { run([ 'git', '-C', $top, 'describe', '--always', '--dirty', '--abbrev=10' ]) } // {};
    return ($done->{stdout} // '') =~ /^(\S+)/ ? $1 : 'unknown';
}

1;
