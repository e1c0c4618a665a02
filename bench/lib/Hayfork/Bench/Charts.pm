# Hayfork::Bench::Charts: draws SVG by gnuplot. All charts are on white, and a server has the same colour in each.
#
#   bars     a bar a row, with a thin line from the least to the most
#   stacked  a bar a row, made of parts
#   ranges   a line a row on a logarithmic scale, with a mark for each value
#   lines    a line a server over something that grows
#
# Rows are drawn from the top down: { title, group, … }.
package Hayfork::Bench::Charts;

use v5.36;
use utf8;

use Exporter qw(import);
use List::Util qw(max min sum0);

our @EXPORT_OK = qw(bars stacked ranges lines with_commas);

my $WIDTH = 960;
my $FONT  = 'DejaVu Sans,Verdana,Arial,sans-serif';

# Hayfork in a loud colour, the others by language in quiet ones.
my %COLOUR = (
    hayfork => '#d1390f',
    rust    => '#8a7f76',
    go      => '#6fa3b5',
    python  => '#c9b458',
    node    => '#86a873',
    c       => '#7d86a8',
    other   => '#b59ab0',
);

# Parts of a bar: Hayfork's, and those of the others.
my @PART = ([ '#d1390f', '#f0a07f' ], [ '#6b7c93', '#bcc6d3' ]);

sub with_commas ($number)
{
    my $text = sprintf '%.0f', $number;
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;
    return $text;
}

# A number with as many decimals as it needs to tell something.
sub short ($number)
{
    return with_commas($number) if $number >= 1000;
    return sprintf $number >= 100 ? '%.0f' : $number >= 10 ? '%.1f' : '%.2f', $number;
}

# Where an axis from 0 to max has its marks, and what stands there. gnuplot's own have thousands apart only where the
# machine has a locale that does so.
sub ticks ($max)
{
    my $step = 10**int log($max) / log 10;
    $step /= 10 if $step > $max;
    my ($factor) = grep { $max / ($step * $_) <= 7 } 0.2, 0.5, 1, 2;
    $step *= $factor // 1;
    return marks(map { $_ * $step } 0 .. int $max / $step);
}

# The same on a logarithmic scale: 1, 2, 5, 10, …
sub log_ticks ($least, $most)
{
    my @ticks = grep { $_ >= $least && $_ <= $most } map { my $power = 10**$_; map { $_ * $power } 1, 2, 5 } -3 .. 6;
    return marks(@ticks);
}

sub marks (@at)
{
    return join ', ', map { '"' . ($_ == int $_ ? with_commas($_) : $_) . "\" $_" } @at;
}

sub quoted ($text)
{
    return "'" . $text =~ s/'/''/gr . "'";
}

sub colour ($row) { return $COLOUR{ $row->{group} } // $COLOUR{other} }

# Runs gnuplot.
sub gnuplot ($file, $height, $script)
{
    open my $gnuplot, '|-:encoding(UTF-8)', 'gnuplot' or die "gnuplot: $!\n";
    print {$gnuplot} <<~GNUPLOT, $script;
        set encoding utf8
        set terminal svg size $WIDTH,$height dynamic rounded noenhanced font '$FONT,15' background rgb '#ffffff'
        set output @{[ quoted($file) ]}
        set title font ',18' tc rgb '#1f2328'
        set border lc rgb '#57606a'
        set tics tc rgb '#1f2328'
        set grid xtics lt 1 lw 1 lc rgb '#e4e7eb'
        GNUPLOT
    close $gnuplot or die "gnuplot has failed to draw $file\n";
    return $file;
}

# The frame of a chart with a row for each server: title, what the axis shows, names at the left.
sub row_frame ($title, $axis, $rows, $max)
{
    my $n      = @$rows;
    my $margin = 3 + max map { length $_->{title} } @$rows;
    my $y      = 0;
    my $names  = join ', ', map { quoted($_->{title}) . ' ' . ($n - $y++) } @$rows;
    return <<~GNUPLOT;
        set title @{[ quoted($title) ]}
        set xlabel @{[ quoted($axis) ]} tc rgb '#1f2328'
        set border 1
        set lmargin $margin
        set rmargin 6
        set yrange [0.3:@{[ $n + 0.7 ]}]
        set ytics ($names) nomirror scale 0
        set xtics (@{[ ticks($max) ]}) nomirror
        set xrange [0:$max]
        GNUPLOT
}

sub height ($rows, $extra = 0) { return 115 + $extra + 30 * @$rows }

# Plots of these, each with its data after it.
sub plots (@plots)
{
    my $script = 'plot ' . join(', ', map { "'-' $_->[0]" } @plots) . "\n";
    return join '', $script, map { join('', map { "$_\n" } @{ $_->[1] }) . "e\n" } @plots;
}

# value, least and most: names of members of a row.
sub bars ($file, $title, $axis, $rows, $value, $least = undef, $most = undef)
{
    my $max = 1.18 * max map { max grep { defined } @$_{ $value, $most // () } } @$rows;
    my (@boxes, @spread, @labels);
    my $y = @$rows;
    for my $row (@$rows) {
        my $colour = hex substr colour($row), 1;
        push @boxes, join ' ', 0, $y, 0, $row->{$value}, $y - 0.36, $y + 0.36, $colour;
        push @spread, join ' ', $row->{$value}, $y, $row->{$least}, $row->{$most} if defined $most;
        my $end = defined $most ? $row->{$most} : $row->{$value};
        push @labels, qq($end $y ") . short($row->{$value}) . '"';
        --$y;
    }
    my @plots = ([ 'using 1:2:3:4:5:6:7 with boxxyerror fs solid 1 noborder lc rgb variable notitle', \@boxes ]);
    push @plots, [ q(with xerrorbars pt 0 lw 1.5 lc rgb '#24292f' notitle), \@spread ] if @spread;
    push @plots, [ q(with labels left offset 0.8,0 tc rgb '#1f2328' notitle), \@labels ];
    return gnuplot($file, height($rows), row_frame($title, $axis, $rows, $max) . plots(@plots));
}

# parts: [ name, member of a row ] from the left to the right.
sub stacked ($file, $title, $axis, $rows, @parts)
{
    my $max = 1.18 * max map { my $row = $_; sum0 map { $row->{ $_->[1] } // 0 } @parts } @$rows;
    my (@boxes, @labels);
    my $y = @$rows;
    for my $row (@$rows) {
        my $from = 0;
        for my $i (keys @parts) {
            my $to = $from + ($row->{ $parts[$i][1] } // 0);
            my $colour = hex substr $PART[ $row->{group} eq 'hayfork' ? 0 : 1 ][$i], 1;
            push @boxes, join ' ', $from, $y, $from, $to, $y - 0.36, $y + 0.36, $colour;
            $from = $to;
        }
        push @labels, join ' ', $from, $y, '"' . short($from) . '"';
        --$y;
    }
    my @plots = (
        [ 'using 1:2:3:4:5:6:7 with boxxyerror fs solid 1 noborder lc rgb variable notitle', \@boxes ],
        [ q(with labels left offset 0.8,0 tc rgb '#1f2328' notitle), \@labels ],
    );
    my $key = join ', ', "dark: $parts[0][0]", "light: $parts[1][0]";
    return gnuplot($file, height($rows), row_frame($title, "$axis ($key)", $rows, $max) . plots(@plots));
}

# marks: [ name, member of a row ]; values are all above 0.
sub ranges ($file, $title, $axis, $rows, @marks)
{
    my @all = grep { $_ } map { my $row = $_; map { $row->{ $_->[1] } } @marks } @$rows;
    my ($least, $most) = (min(@all) / 1.4, max(@all) * 1.4);
    my (@plots, @line);
    my $y = @$rows;
    for my $row (@$rows) {
        my @values = grep { $_ } map { $row->{ $_->[1] } } @marks;
        push @line, join ' ', $values[0], $y, $values[-1] - $values[0], 0, hex substr colour($row), 1 if @values;
        --$y;
    }
    push @plots, [ 'using 1:2:3:4:5 with vectors nohead lw 5 lc rgb variable notitle', \@line ];
    my @shape = (7, 5, 9, 13);
    for my $i (keys @marks) {
        my @points;
        $y = @$rows;
        for my $row (@$rows) {
            my $value = $row->{ $marks[$i][1] };
            push @points, join ' ', $value, $y, hex substr colour($row), 1 if $value;
            --$y;
        }
        push @plots, [ "using 1:2:3 with points pt $shape[$i] ps 1.1 lc rgb variable notitle", \@points ] if @points;
        push @plots, [ "with points pt $shape[$i] ps 1.1 lc rgb '#57606a' title " . quoted($marks[$i][0]), ['NaN NaN'] ]
          if @points;
    }
    my $frame = row_frame($title, $axis, $rows, $most);
    $frame .= "set logscale x\nset xrange [$least:$most]\nset xtics (@{[ log_ticks($least, $most) ]})\n"
      . "set key outside top center horizontal samplen 1 tc rgb '#1f2328'\n";
    return gnuplot($file, height($rows, 25), $frame . plots(@plots));
}

# lines: { title, group, points => [ [ x, y ]… ] }; one of them, or one a server. ticks: the values of x, which are
# as far from each other as their logarithms.
sub lines ($file, $title, $x_axis, $y_axis, $ticks, @lines)
{
    my %of_group;
    my @plots;

    # Hayfork is drawn last, on top of the others, and stands first in the key.
    my @own    = grep { $_->{group} eq 'hayfork' } @lines;
    my @others = grep { $_->{group} ne 'hayfork' } @lines;
    for my $line (reverse(@others), @own) {
        my $hayfork = $line->{group} eq 'hayfork';
        my $nth     = $of_group{ $line->{group} }++;
        my @shape   = (7, 5, 9, 11, 13, 6, 4);
        my $style = sprintf "with linespoints lw %s dt %d pt %d ps %s lc rgb '%s' title %s", $hayfork ? 5 : 2,
          $nth % 4 + 1, $shape[ $nth % @shape ], $hayfork ? 1 : 0.8, colour($line), quoted($line->{title});
        push @plots, [ $style, [ map { "$_->[0] $_->[1]" } @{ $line->{points} } ] ];
    }
    my $max = 1.1 * max map { $_->[1] } map { @{ $_->{points} } } @lines;
    my $ticks_text = join ', ', map { '"' . with_commas($_) . "\" $_" } @$ticks;
    my $key = @lines > 1 ? "set key outside right top reverse Left invert samplen 2 tc rgb '#1f2328'" : 'unset key';
    return gnuplot($file, 460, <<~GNUPLOT . plots(@plots));
        set title @{[ quoted($title) ]}
        set xlabel @{[ quoted($x_axis) ]} tc rgb '#1f2328'
        set ylabel @{[ quoted($y_axis) ]} tc rgb '#1f2328'
        set border 3
        set logscale x
        set xrange [@{[ min(@$ticks) / 1.2 ]}:@{[ max(@$ticks) * 1.2 ]}]
        set xtics ($ticks_text) nomirror
        set yrange [0:$max]
        set ytics (@{[ ticks($max) ]}) nomirror
        set grid ytics lt 1 lw 1 lc rgb '#e4e7eb'
        $key
        GNUPLOT
}

1;
