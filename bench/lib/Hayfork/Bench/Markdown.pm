# Hayfork::Bench::Markdown: the report as text: tables of the figures, what they were taken with, what is missing.
package Hayfork::Bench::Markdown;

use v5.36;
use utf8;

use Exporter qw(import);

use Hayfork::Bench::Charts qw(with_commas);
use Hayfork::Bench::Figures qw(spread);
use Hayfork::Bench::Goals qw(goals);
use Hayfork::Bench::Scenarios qw(scenarios);

our @EXPORT_OK = qw(markdown);

# The whole text. charts: { scenario => [ [ file, what it shows ]… ] }, and '' for those of all of them; missing:
# [ name, reason ]… of servers that nobody could measure here; peers: as Hayfork::Bench::Peers describes them.
sub markdown ($figures, $charts, $missing, $peers)
{
    my @parts = (heading($figures), goals_table($figures), images($charts->{''}));
    for my $scenario (grep { $figures->has($_->{name}) && $_->{name} !~ /^growth-/ } scenarios()) {
        push @parts, section($figures, $scenario, $charts);
    }
    push @parts, growth($figures, $charts), not_measured($figures, $missing, $peers), versions($figures);
    return join "\n", grep { $_ ne '' } @parts;
}

sub heading ($figures)
{
    my $about    = $figures->about;
    my $machine  = $about->{machine};
    my $versions = $about->{versions};
    my $memory   = sprintf '%.0f', $machine->{memory_kb} / 1024 / 1024;
    my $dates    = $figures->dates;
    my ($least, $most) = $figures->rounds;
    my $rounds = $least == $most ? $most : "$least to $most";
    return <<~TEXT;
        # Hayfork against the field

        Measured on $dates: Hayfork $versions->{hayfork} (commit $versions->{commit}),
        PostgreSQL $versions->{postgresql}, $machine->{cores} cores ($machine->{model}), $memory GB of memory,
        $machine->{kernel}. Client, server and PostgreSQL, which does not wait for the disk (`fsync=off`),
        share these cores. Figures are medians of $rounds rounds, in which the servers take turns; ratios between servers
        have the least and the most of single rounds in brackets. In each round a server is started, warmed up for half a
        second, and measured for $about->{duration} s, with `ab` for as long as its requests take; memory and idle
        connections are measured without warming up. All servers give the same answers, which is checked first (except for
        the time of the request among the avatars, which those with a constant body do not have).

        To measure on another machine:

        ```console
        \$ bench/setup                      # builds the servers that Hayfork is compared with
        \$ bench/field                      # measures, for hours; continues where it was stopped
        \$ bench/report build/bench/results.jsonl build/bench/report      # tables, and charts of all
        ```
        TEXT
}

sub table ($head, @rows)
{
    my @align = map { $_ == 0 ? '---' : '--:' } keys @$head;
    return join '', map { '| ' . join(' | ', map { $_ =~ s/\|/\\|/gr } @$_) . " |\n" } $head, \@align, @rows;
}

sub goals_table ($figures)
{
    my @rows;
    for my $goal (goals($figures)) {
        my $verdict = !defined $goal->{met} ? 'not measured' : $goal->{met} ? 'met' : '**missed**';
        push @rows, "| $goal->{goal} | " . ($goal->{measured} // '–') . " | $verdict |\n";
    }
    return join '', "## Goals\n\n| goal | measured | |\n| --- | --- | --- |\n", @rows;
}

sub images ($charts)
{
    return join "\n", map { "![$_->[1]]($_->[0])\n" } @{ $charts // [] };
}

sub section ($figures, $scenario, $charts)
{
    my %rows_of = (idle => \&idle_table, memory => \&memory_table);
    my $table   = ($rows_of{ $scenario->{name} } // \&rate_table)->($figures, $scenario->{name});
    my $images  = images($charts->{ $scenario->{name} });
    return join "\n", "## $scenario->{name}\n", ucfirst "$scenario->{about}.\n", $images || (), $table;
}

sub ms ($us) { return defined $us ? sprintf('%.2f', $us / 1000) : '–' }
sub mb ($kb) { return defined $kb ? sprintf('%.1f', $kb / 1024) : '–' }
sub number ($form, $value) { return defined $value ? sprintf($form, $value) : '–' }

sub name_of ($row)
{
    return $row->{server} eq 'hayfork' ? '**Hayfork**' : $row->{title};
}

sub to_hayfork ($row, $own)
{
    my $spread = $row->{server} eq 'hayfork' ? '' : spread($row, $own, 'rate');
    return sprintf '%.2f%s', $row->{rate} / $own->{rate}, $spread;
}

sub rate_table ($figures, $scenario)
{
    my @rows = $figures->rows($scenario);
    my $own  = $figures->of($scenario, 'hayfork');
    my $joules = grep { defined $_->{joules} } @rows;
    my @head = (
        'server', 'connections to PostgreSQL', 'requests/s', 'least–most', 'to Hayfork', 'p50 ms', 'p90 ms', 'p99 ms',
        'p99.9 ms', 'CPU s/million, server', 'CPU s/million, PostgreSQL', 'PSS MB, most', 'mean', 'errors/million'
    );
    push @head, 'J/million' if $joules;
    my @lines;
    for my $row (@rows) {
        push @lines, [
            name_of($row),
            $row->{pool} eq '' ? '–' : $row->{pool},
            with_commas($row->{rate}),
            with_commas($row->{rate_min}) . '–' . with_commas($row->{rate_max}),
            defined $own ? to_hayfork($row, $own) : '–',
            (map { ms($row->{$_}) } qw(p50 p90 p99 p99_9)),
            (map { number('%.1f', $row->{$_}) } qw(cpu_server cpu_postgres)),
            mb($row->{pss}),
            mb($row->{pss_mean}),
            number('%.0f', $row->{errors}),
            $joules ? number('%.0f', $row->{joules}) : (),
        ];
    }
    return table(\@head, @lines);
}

sub idle_table ($figures, $scenario)
{
    my @head = (
        'server', 'connections to PostgreSQL', 'kept', 'PSS MB before', 'PSS MB with them', 'bytes a connection',
        'RSS MB before', 'RSS MB with them', 'p50 ms beside them', 'requests/s beside them'
    );
    my @lines;
    for my $row (sort { $a->{idle}{pss_after} <=> $b->{idle}{pss_after} } $figures->rows($scenario)) {
        my $idle = $row->{idle};
        my $each = ($idle->{pss_after} - $idle->{pss_before}) * 1024 / ($idle->{kept} || 1);
        push @lines, [
            name_of($row), $row->{pool}, with_commas($idle->{kept}), mb($idle->{pss_before}), mb($idle->{pss_after}),
            with_commas($each), mb($idle->{rss_before}), mb($idle->{rss_after}), ms($row->{p50}),
            with_commas($row->{rate}),
        ];
    }
    return table(\@head, @lines);
}

sub memory_table ($figures, $scenario)
{
    my @head = (
        'server',  'connections to PostgreSQL', 'PSS MB at the start', 'after 1 load', 'after 2', 'after 3',
        'third to first'
    );
    my @lines;
    for my $row (sort { $a->{memory}{after}[-1] <=> $b->{memory}{after}[-1] } $figures->rows($scenario)) {
        my $memory = $row->{memory};
        push @lines, [
            name_of($row), $memory->{sessions}, mb($memory->{start}), (map { mb($_) } @{ $memory->{after} }),
            sprintf('%.2f', $memory->{after}[-1] / $memory->{after}[0])
        ];
    }
    return table(\@head, @lines);
}

# Hayfork alone, with more and more of something.
sub growth ($figures, $charts)
{
    my @lines;
    for my $scenario (grep { $_->{name} =~ /^growth-/ } scenarios()) {
        my $row = $figures->of($scenario->{name}, 'hayfork') // next;
        push @lines, [
            $scenario->{about}, with_commas($row->{rate}), ms($row->{p50}), ms($row->{p99}),
            (map { number('%.1f', $row->{$_}) } qw(cpu_server cpu_postgres)), mb($row->{pss})
        ];
    }
    return '' if !@lines;
    my @head = (
        'Hayfork, asked for', 'requests/s', 'p50 ms', 'p99 ms', 'CPU s/million, server', 'CPU s/million, PostgreSQL',
        'PSS MB, most'
    );
    my $title = "## What more connections, rows and routes cost\n";
    return join "\n", $title, images($charts->{growth}) || (), table(\@head, @lines);
}

# "SCENARIO: not asked: …", of scenarios for which peers were left out that answer what it takes.
sub not_asked ($figures, $peers)
{
    my @lines;
    for my $scenario (grep { $figures->has($_->{name}) && !defined $_->{only} } scenarios()) {
        my @failed = grep { $_->{scenario} eq $scenario->{name} } $figures->failed;
        my %noted  = map { $_->{server} => 1 } $figures->notes, @failed;
        my @left_out = grep {
            my $peer = $_;
            my $serves = !grep { !$peer->{serves}{$_} } @{ $scenario->{needs} };
            $serves && !$noted{ $peer->{name} } && !defined $figures->of($scenario->{name}, $peer->{name});
        } @$peers;
        push @lines, "- $scenario->{name}: not asked: " . join('; ', map { $_->{title} } @left_out) . "\n" if @left_out;
    }
    return @lines;
}

# Servers, routes and runs without figures, and why.
sub not_measured ($figures, $missing, $peers)
{
    my @lines = map { "- $_->[0]: $_->[1]\n" } @$missing;
    push @lines, not_asked($figures, $peers);
    my %seen;
    for my $note ($figures->notes) {
        my $line = $note->{what} eq 'all' ? "- $note->{server}: $note->{why}\n"
          : $note->{server} eq 'all' ? "- $note->{what}: $note->{why}\n"
          :                            "- $note->{server}, $note->{what}: $note->{why}\n";
        push @lines, $line if !$seen{$line}++;
    }
    my %failed;
    for my $run ($figures->failed) {
        my ($why) = split /\n/, $run->{error} // 'no requests';
        my $pool = $run->{pool} eq '' ? '' : " ($run->{pool} connections)";
        push @{ $failed{"$run->{scenario}, $run->{server}$pool: $why"} }, $run->{round};
    }
    push @lines, map { "- $_ (round " . join(', ', @{ $failed{$_} }) . ")\n" } sort keys %failed;
    return '' if !@lines;
    return join '', "## What was not measured\n\n", @lines;
}

sub versions ($figures)
{
    my %versions = $figures->about->{versions}->%*;
    my $peers    = $figures->peers;
    my @lines    = map { "- $_ $versions{$_}\n" } grep { defined $versions{$_} } qw(postgresql wrk ab k6);
    for my $name (sort keys %$peers) {
        my $of   = $peers->{$name}{versions} // {};
        my $list = join ', ', map { "$_ $of->{$_}" } sort keys %$of;
        push @lines, "- $peers->{$name}{title} (`bench/peers/$name`): $list\n";
    }
    return join '', "## Versions\n\n", @lines;
}

1;
