# Hayfork::Bench::Figures: medians of the rounds in a file of results.
#
#   my $figures = Hayfork::Bench::Figures->read('results.jsonl');
#   for my $row ($figures->rows('list')) { … }        # fastest first
#
# A row is a server with its number of PostgreSQL connections: server, pool, title, group, rounds, rate (requests a
# second) with rate_min and rate_max, p50, p90, p99, p99_9 in microseconds, cpu_server and cpu_postgres in seconds a
# million requests, pss (at most) and pss_mean in kB, joules a million requests, errors a million requests; idle and
# memory as measured; and rate and cpu_server of each round, as each_rate and each_cpu_server.
package Hayfork::Bench::Figures;

use v5.36;
use utf8;

use Exporter qw(import);
use List::Util qw(min max sum0 first);

use Hayfork::Bench::Results qw(read_results);
use Hayfork::Bench::Scenarios qw(scenarios);

our @EXPORT_OK = qw(median spread);

sub read ($class, $path)
{
    my ($lines) = read_results($path);
    my $self = bless { about => {}, peers => {}, runs => {}, failed => [], notes => [] }, $class;
    my %take = (about => \&take_about, note => \&take_note, run => \&take_run);
    for my $line (@$lines) {
        my $take = $take{ $line->{kind} } // next;
        $take->($self, $line);
    }
    return $self;
}

# Peers may have been built one after another: all of them count.
sub take_about ($self, $line)
{
    my %peers = (%{ $self->{peers} }, %{ $line->{peers} // {} });
    $self->{peers} = \%peers;
    $self->{about} = $line;
    return;
}

sub take_note ($self, $line)
{
    push @{ $self->{notes} }, $line;
    return;
}

sub take_run ($self, $line)
{
    $self->{first} //= $line->{time};
    $self->{last} = $line->{time};
    if (defined $line->{error} || !$line->{requests}) {
        push @{ $self->{failed} }, $line;
    } else {
        push @{ $self->{runs}{ $line->{scenario} }{"$line->{server}|$line->{pool}"} }, $line;
    }
    return;
}

sub about  ($self) { return $self->{about} }
sub peers  ($self) { return $self->{peers} }

# Runs without figures, but for those that were made again.
sub failed ($self)
{
    return grep {
        my $run = $_;
        my $runs = $self->{runs}{ $run->{scenario} }{"$run->{server}|$run->{pool}"} // [];
        !grep { $_->{round} == $run->{round} } @$runs;
    } @{ $self->{failed} };
}

# What was not measured. That a peer was not built, or gave another answer, counts no more once there are figures.
sub notes ($self)
{
    my %measured;
    for my $scenario (scenarios()) {
        for my $key (keys %{ $self->{runs}{ $scenario->{name} } // {} }) {
            my ($server) = split /\|/, $key;
            $measured{"$server $_"} = 1 for 'all', @{ $scenario->{needs} };
        }
        $measured{"all $scenario->{name}"} = $self->has($scenario->{name});
    }
    return grep { !$measured{"$_->{server} $_->{what}"} } @{ $self->{notes} };
}

# The days on which it was measured.
sub dates ($self)
{
    my @days = map { substr $_ // '', 0, 10 } @$self{qw(first last)};
    return $days[0] eq $days[1] ? $days[0] : "$days[0] to $days[1]";
}

# How many rounds there are of a row, the least and the most.
sub rounds ($self)
{
    my @rounds = map { scalar @$_ } map { values %$_ } values %{ $self->{runs} };
    return (min(@rounds) // 0, max(@rounds) // 0);
}

sub has ($self, $scenario) { return exists $self->{runs}{$scenario} }

# All rows of a scenario, fastest first.
sub rows ($self, $scenario)
{
    my $runs = $self->{runs}{$scenario} // {};
    my @rows = map { $self->row($runs->{$_}) } keys %$runs;
    return sort { $b->{rate} <=> $a->{rate} || $a->{server} cmp $b->{server} } @rows;
}

# The same, only the fastest of the rows that a server has.
sub best_rows ($self, $scenario)
{
    my %seen;
    return grep { !$seen{ $_->{server} }++ } $self->rows($scenario);
}

# Hayfork's row, or that of a peer.
sub of ($self, $scenario, $server)
{
    return first { $_->{server} eq $server } $self->rows($scenario);
}

# The best row of a group of peers; one that gives errors instead of answers is not among the best.
sub best_of_group ($self, $scenario, $group)
{
    return first { $_->{group} eq $group && $_->{errors} < 10_000 } $self->rows($scenario);
}

# Requests that were answered as they should be: wrk and ab count the others, too.
sub good ($run) { return $run->{requests} - ($run->{errors}{status} // 0) }

sub row ($self, $runs)
{
    my $one  = $runs->[0];
    my $peer = $self->{peers}{ $one->{server} } // {};
    my @rate = map { good($_) / $_->{seconds} } @$runs;
    my %row  = (
        $one->%{qw(server pool)},
        title    => $one->{server} eq 'hayfork' ? 'Hayfork' : $peer->{title} || $one->{server},
        group    => $one->{server} eq 'hayfork' ? 'hayfork' : $peer->{group} // 'other',
        rounds   => scalar @$runs,
        rate     => median(@rate),
        rate_min => min(@rate),
        rate_max => max(@rate),
        pss      => median(map { $_->{pss_peak} } @$runs),
        pss_mean => median(grep { defined } map { $_->{pss_mean} } @$runs),
        errors   => sum0(map { values %{ $_->{errors} // {} } } @$runs) * 1e6 / sum0(map { $_->{requests} } @$runs),
        each_rate       => { map { $_->{round} => good($_) / $_->{seconds} } @$runs },
        each_cpu_server => { map { $_->{round} => $_->{cpu_server} / (good($_) || 1) } @$runs },
    );
    for my $name (qw(p50 p90 p99 p99_9)) {
        $row{$name} = median(grep { defined } map { $_->{$name} } @$runs);
    }
    for my $name (qw(cpu_server cpu_postgres joules)) {
        $row{$name} = median(map { $_->{$name} * 1e6 / (good($_) || 1) } grep { defined $_->{$name} } @$runs);
    }
    for my $name (qw(idle memory)) {
        my @all = grep { defined } map { $_->{$name} } @$runs;
        $row{$name} = medians(@all) if @all;
    }
    return \%row;
}

# " (0.90–1.10)", for after a ratio: the least and the most that one row is of another, "rate" or "cpu_server", round
# by round; '' where they have no two rounds in common.
sub spread ($one, $other, $what)
{
    my ($ours, $theirs) = map { $_->{"each_$what"} } $one, $other;
    my @ratios = map { $ours->{$_} / $theirs->{$_} } grep { $theirs->{$_} } keys %$ours;
    return @ratios < 2 ? '' : sprintf ' (%.2f–%.2f)', min(@ratios), max(@ratios);
}

# Medians of hashes, member by member; a member may be a list.
sub medians (@hashes)
{
    my %medians;
    for my $name (keys %{ $hashes[0] }) {
        my @values = map { $_->{$name} } @hashes;
        $medians{$name} = ref $values[0]
          ? [ map { my $i = $_; median(map { $_->[$i] } @values) } keys @{ $values[0] } ]
          : median(@values);
    }
    return \%medians;
}

# undef of nothing.
sub median (@values)
{
    return undef if !@values;
    @values = sort { $a <=> $b } @values;
    my $middle = @values >> 1;
    return @values % 2 ? $values[$middle] : ($values[ $middle - 1 ] + $values[$middle]) / 2;
}

1;
