# Hayfork::Bench::Goals: what Hayfork is to reach, and whether it does.
package Hayfork::Bench::Goals;

use v5.36;
use utf8;

use Exporter qw(import);

use Hayfork::Bench::Figures qw(spread);

our @EXPORT_OK = qw(goals);

# How much memory may grow from the first full load to the third and still be called flat.
my $FLAT = 1.10;

# Each: { goal, measured, met }; met is undef where it was not measured.
sub goals ($figures)
{
    my @goals;
    for my $scenario (qw(contact-random-64 contact-random-256)) {
        push @goals, rate_over($figures, $scenario, 2, 'rust'), rate_over($figures, $scenario, 3, 'rust-hyper'),
          rate_over($figures, $scenario, 15, 'python-fastapi');
    }
    push @goals, rate_over($figures, 'contact-random-4', 1.45, 'rust');
    push @goals, cpu_under($figures, "contact-random-$_", 0.6, 'rust') for 4, 64, 256;
    push @goals, fastest($figures, 'contact-ab'), cpu_under($figures, 'contact-ab', 0.5, 'rust-hyper'),
      rate_over($figures, 'avatar', 1.3, 'rust-hyper'), rate_over($figures, 'avatar', 1, 'c-h2o'),
      rate_over($figures, 'user', 1.3, 'rust-hyper'), rate_over($figures, 'user', 1.3, 'nginx'),
      rate_over($figures, 'user-k6', 1.3, 'rust-hyper'), rate_over($figures, 'user-k6', 1.3, 'nginx');
    push @goals, memory_goals($figures);
    return @goals;
}

# Whom Hayfork is compared with: a server, or "rust" for the best of its group; what to call it, and its row.
sub other ($figures, $scenario, $whom)
{
    return ('the best Rust peer', $figures->best_of_group($scenario, 'rust')) if $whom eq 'rust';
    return ($whom, $figures->of($scenario, $whom));
}

sub rate_over ($figures, $scenario, $factor, $whom)
{
    my ($name, $row) = other($figures, $scenario, $whom);
    my $goal = $factor == 1 ? "$scenario: no less than $name" : "$scenario: ≥ $factor × $name";
    my $own = $figures->of($scenario, 'hayfork');
    return { goal => $goal } if !defined $own || !defined $row;
    my $ratio = $own->{rate} / $row->{rate};
    return {
        goal     => $goal,
        measured => sprintf('%.2f × %s%s', $ratio, $row->{server}, spread($own, $row, 'rate')),
        met      => $ratio >= $factor,
    };
}

sub cpu_under ($figures, $scenario, $factor, $whom)
{
    my ($name, $row) = other($figures, $scenario, $whom);
    my $goal = "$scenario: server CPU a request ≤ $factor of $name";
    my $own = $figures->of($scenario, 'hayfork');
    return { goal => $goal } if !defined $own || !defined $row || !$row->{cpu_server};
    my $ratio = $own->{cpu_server} / $row->{cpu_server};
    return {
        goal     => $goal,
        measured => sprintf('%.2f of %s%s', $ratio, $row->{server}, spread($own, $row, 'cpu_server')),
        met      => $ratio <= $factor,
    };
}

sub fastest ($figures, $scenario)
{
    my $goal = "$scenario: fastest of all";
    my $own  = $figures->of($scenario, 'hayfork');
    my ($other) = grep { $_->{server} ne 'hayfork' } $figures->rows($scenario);
    return { goal => $goal } if !defined $own || !defined $other;
    my $ratio = $own->{rate} / $other->{rate};
    return {
        goal     => $goal,
        measured => sprintf('%.2f × %s%s', $ratio, $other->{server}, spread($own, $other, 'rate')),
        met      => $ratio >= 1,
    };
}

sub memory_goals ($figures)
{
    my @goal = (
        'memory: PSS with 4 workers ≤ half of the smallest Rust peer with as many PostgreSQL connections',
        sprintf('memory: flat (third full load ≤ %.2f × first)', $FLAT),
    );
    my @rows = grep { defined $_->{memory} } $figures->rows('memory');
    my ($own) = grep { $_->{server} eq 'hayfork' && $_->{pool} == 4 } @rows;
    return map { { goal => $_ } } @goal if !defined $own;

    my ($kb, $first) = $own->{memory}{after}->@[ -1, 0 ];
    my ($smallest) = sort { $a->{memory}{after}[-1] <=> $b->{memory}{after}[-1] } grep { $_->{group} eq 'rust' } @rows;
    my %half = (goal => $goal[0]);
    if (defined $smallest) {
        my $ratio = $kb / $smallest->{memory}{after}[-1];
        @half{qw(measured met)} = (sprintf('%.2f of %s', $ratio, $smallest->{server}), $ratio <= 0.5);
    }
    my %flat = (goal => $goal[1], measured => sprintf('%.2f ×', $kb / $first), met => $kb <= $FLAT * $first);
    return (\%half, \%flat);
}

1;
