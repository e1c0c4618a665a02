# Hayfork::Bench::Flame: a flame graph of what `perf script` prints.
#
# Functions that are on the processor stand at the top, whoever called them below; the wider, the more often a sample
# met them. Width counts, not the order from left to right, which is that of names.
package Hayfork::Bench::Flame;

use v5.36;

use Exporter qw(import);

our @EXPORT_OK = qw(fold draw);

my $WIDTH  = 1200;
my $HEIGHT = 18;      # of a frame
my $LEAST  = 0.4;     # a frame that is narrower is left out, with all above it
my $LETTER = 6.9;     # width of a letter, roughly

# Where code comes from: legend, and three shades so that neighbours can be told apart.
my %KIND = (
    own     => [ 'the program itself', '#e0592a', '#e86f3f', '#d84a1e' ],
    library => [ 'libraries',          '#e3b23c', '#ecc25a', '#d9a52c' ],
    kernel  => [ 'kernel',             '#7f9bb5', '#91abc3', '#6f8ca8' ],
);

# Reads samples from a handle: { samples => n, tree => … }. A node is { n, kind, children => { name => node } }.
sub fold ($handle, $program)
{
    my $tree = { n => 0, kind => 'own', children => {} };
    my @stack;
    my $samples = 0;
    while (defined(my $line = readline $handle)) {
        if ($line =~ /^\s+[0-9a-f]+ (.*) \((.*?)\)\s*$/) {
            push @stack, frame($1, $2, $program);
        } elsif ($line =~ /^\s*$/ && @stack) {
            add($tree, reverse @stack);
            ++$samples;
            @stack = ();
        }
    }
    if (@stack) {
        add($tree, reverse @stack);
        ++$samples;
    }
    return { samples => $samples, tree => $tree };
}

# A function's name and the kind of its code. Without a symbol, it is known by its file.
sub frame ($symbol, $file, $program)
{
    my $name = $file =~ s{.*/}{}r;
    my $kind = $file =~ /^\[(?!vdso|unknown)/ ? 'kernel' : $name eq $program ? 'own' : 'library';
    $symbol =~ s/\+0x[0-9a-f]+$//;
    $symbol = '[' . ($file eq '[unknown]' ? 'unknown' : $name =~ tr/[]//dr) . ']' if $symbol eq '[unknown]';
    return [ $symbol, $kind ];
}

sub add ($node, @frames)
{
    $node->{n}++;
    for my $frame (@frames) {
        my ($name, $kind) = @$frame;
        $node = $node->{children}{$name} //= { n => 0, kind => $kind, children => {} };
        $node->{n}++;
    }
    return;
}

# The SVG.
sub draw ($folded, $title)
{
    my $all   = $folded->{samples};
    my $scale = ($WIDTH - 20) / $all;
    my $depth = depth($folded->{tree}, $scale);
    my $total = $HEIGHT * ($depth + 1) + 70;
    my @out   = (
        qq(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $WIDTH $total" width="$WIDTH" height="$total" )
          . qq(font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="11">),
        qq(<rect width="100%" height="100%" fill="#ffffff"/>),
        text($WIDTH / 2, 24, $title, 'font-size="16" text-anchor="middle"'),
        legend($total - 14, $all),
    );
    draw_children(\@out, $folded->{tree}, 10, $total - 50, $scale, $all);
    return join("\n", @out, '</svg>') . "\n";
}

# How many frames stand on one another where they are wide enough to be drawn.
sub depth ($node, $scale)
{
    my $deepest = 0;
    for my $child (grep { $_->{n} * $scale >= $LEAST } values %{ $node->{children} }) {
        my $depth = 1 + depth($child, $scale);
        $deepest = $depth if $depth > $deepest;
    }
    return $deepest;
}

sub draw_children ($out, $node, $x, $y, $scale, $all)
{
    for my $name (sort keys %{ $node->{children} }) {
        my $child = $node->{children}{$name};
        my $width = $child->{n} * $scale;
        if ($width >= $LEAST) {
            push @$out, box($name, $child, $x, $y, $width, $all);
            draw_children($out, $child, $x, $y - $HEIGHT, $scale, $all);
        }
        $x += $width;
    }
    return;
}

sub box ($name, $node, $x, $y, $width, $all)
{
    my (undef, @shades) = @{ $KIND{ $node->{kind} } };
    my $fill    = $shades[ unpack('%32C*', $name) % @shades ];
    my $about   = sprintf '%s: %.1f %%, %d samples', $name, 100 * $node->{n} / $all, $node->{n};
    my $letters = int(($width - 6) / $LETTER);
    my $shown   = length $name <= $letters ? $name : $letters >= 4 ? substr($name, 0, $letters - 1) . '..' : '';
    my $form    = '<g><title>%s</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" stroke="#fff"/>%s</g>';
    my $label   = $shown eq '' ? '' : text($x + 3, $y + 13, $shown);
    return sprintf $form, escaped($about), $x, $y, $width, $HEIGHT, $fill, $label;
}

sub legend ($y, $all)
{
    my $x = 10;
    my @out;
    for my $kind (qw(own library kernel)) {
        my ($name, $fill) = @{ $KIND{$kind} };
        push @out, sprintf('<rect x="%d" y="%d" width="12" height="12" fill="%s"/>', $x, $y - 10, $fill),
          text($x + 17, $y, $name);
        $x += 17 + $LETTER * length($name) + 25;
    }
    return @out, text($WIDTH - 10, $y, "$all samples", 'text-anchor="end"');
}

sub text ($x, $y, $text, $more = '')
{
    return sprintf '<text x="%.1f" y="%d" fill="#1f2328" %s>%s</text>', $x, $y, $more, escaped($text);
}

sub escaped ($text)
{
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;');
    return $text =~ s/([&<>"])/$entity{$1}/gr;
}

1;
