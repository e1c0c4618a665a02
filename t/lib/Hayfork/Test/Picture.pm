# Hayfork::Test::Picture: pictures for tests, made and read by ImageMagick.
package Hayfork::Test::Picture;

use v5.36;

use Carp qw(croak);
use Exporter qw(import);
use File::Basename qw(dirname);

use Hayfork::Test qw(needs needs_program $HAYFORK);
use Hayfork::Test::Process qw(run slurp spew temporary_folder);

our @EXPORT_OK = qw(needs_images draw ramp decode worst_difference mean_difference magick);

my $folder = temporary_folder();
my $number = 0;

# Ends the test where the program is not there that makes pictures, or none to look at them with.
sub needs_images ()
{
    needs(-x dirname($HAYFORK) . '/hayfork-images', 'hayfork-images was not built: there is no libvips');
    needs_program('convert');
}

sub magick (@arguments)
{
    my $run = run([ 'convert', @arguments ]);
    croak "convert @arguments: $run->{end} $run->{stderr}" if $run->{exit} ne 'exit 0';
}

# Writes a picture of that size into a file, in the format of its name. pixel(x, y) is [ red, green, blue ].
sub draw ($path, $width, $height, $pixel, @arguments)
{
    my $raw = join '', map { my $y = $_; map { pack 'C3', @{ $pixel->($_, $y) } } 0 .. $width - 1 } 0 .. $height - 1;
    my $file = spew("$folder/drawn.rgb", $raw);
    magick('-size', "${width}x$height", '-depth', 8, "rgb:$file", @arguments, $path);
    return $path;
}

# A pixel of a picture in which each tells where it is: red from left to right, green from top to bottom.
sub ramp ($width, $height)
{
    return sub ($x, $y) { [ int($x * 255 / ($width - 1) + 0.5), int($y * 255 / ($height - 1) + 0.5), 128 ] };
}

# What a response has: { format, width, height, pixels }, the pixels as [ red, green, blue, opaque ] by row and column.
sub decode ($bytes)
{
    my $file = spew("$folder/answer" . ++$number, $bytes);
    my $run  = run([ 'identify', '-format', '%m %w %h\n', $file ]);
    my ($format, $width, $height) = $run->{stdout} =~ /^(\w+) (\d+) (\d+)$/m
      or croak "identify: $run->{stderr}";
    magick($file . '[0]', '-depth', 8, '-colorspace', 'sRGB', "rgba:$file.rgba");
    my @all = unpack 'C*', slurp("$file.rgba");
    my @rows;
    push @rows, [ map { [ splice @all, 0, 4 ] } 1 .. $width ] for 1 .. $height;
    unlink $file, "$file.rgba";
    return { format => $format, width => $width, height => $height, pixels => \@rows };
}

# The largest and the mean difference of the colours of two pictures, of which the second is a sub as for draw.
sub worst_difference ($picture, $expected)
{
    return _differences($picture, $expected)->{worst};
}

sub mean_difference ($picture, $expected)
{
    return _differences($picture, $expected)->{mean};
}

sub _differences ($picture, $expected)
{
    my ($worst, $sum) = (0, 0);
    for my $y (0 .. $picture->{height} - 1) {
        for my $x (0 .. $picture->{width} - 1) {
            my ($got, $want) = ($picture->{pixels}[$y][$x], $expected->($x, $y));
            for my $band (0 .. 2) {
                my $difference = abs $got->[$band] - $want->[$band];
                $worst = $difference if $difference > $worst;
                $sum += $difference;
            }
        }
    }
    return { worst => $worst, mean => $sum / (3 * $picture->{width} * $picture->{height}) };
}

1;
