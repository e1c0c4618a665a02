# Hayfork::Test::Manual: the examples of the manual pages and of README.md, to be tried.
#
#   for my $example (examples('man/hayfork.conf.5')) {
#       … $example->{line}, $example->{text}
#   }
#
# An example is a literal display of a manual page (.Bd -literal), or a ```yaml, ```sql or ```console block of
# README.md. One that begins with a comment that names a file, "# shop.conf", "-- conf.d/calls.sql" or
# "<!-- www/index.html -->", is that file's text for the others.
package Hayfork::Test::Manual;

use v5.36;

use Carp qw(croak);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Path qw(make_path);

use Hayfork::Test::Model qw(model_folder);
use Hayfork::Test::Process qw(slurp spew);

our @EXPORT_OK = qw(examples is_conf complete commands refused write_files masked);

# All examples of a file of the repository: { line, text, file (the name in its first line, or undef) }.
sub examples ($name)
{
    my $path = "$Hayfork::Test::TOP_SRCDIR/$name";
    my ($begin, $end) =
      $name =~ /\.md$/ ? (qr/^```(?:yaml|sql|console)$/, qr/^```$/) : (qr/^\.Bd -literal/, qr/^\.Ed$/);
    my (@examples, $current);
    my $number = 0;
    for my $line (split /^/, slurp($path)) {
        $number++;
        if ($line =~ $begin) {
            $current = { line => "$name:$number", text => '' };
        } elsif (defined $current && $line =~ $end) {
            $current->{text} = plain($current->{text}) if $name !~ /\.md$/;
            ($current->{file}) = $current->{text} =~ /\A(?:#|--|<!--) (\S+\.(?:conf|sql|json|html|env))(?: -->)?\n/;
            push @examples, $current;
            $current = undef;
        } elsif (defined $current) {
            $current->{text} .= $line;
        }
    }
    croak "$name: a display has no end" if defined $current;
    return @examples;
}

# The text that roff makes of a literal line.
sub plain ($text)
{
    my %character = ('\\e' => '\\', '\\&' => '', '\\-' => '-', '\\(dq' => '"', '\\(aq' => "'");
    return $text =~ s/(\\(?:\(..|.))/$character{$1} \/\/ croak "roff escape $1 in an example"/ger;
}

sub is_conf ($example)
{
    return $example->{text} =~ /\A(?:#.*\n)*[a-z_]+:/ && can_have($example);
}

# Where libvips was missing, a conf with images is no good one.
sub can_have ($example)
{
    return $example->{text} !~ /^ +images: on$/m || -x dirname($Hayfork::Test::HAYFORK) . '/hayfork-images';
}

# A conf that shows a part gets the routes that it needs to be whole, and a library that is there.
sub complete ($example)
{
    my $text = $example->{text} =~ s/^inference: \{ library: \K[^ }]+/$Hayfork::Test::HAYFORK/mr;
    return $text =~ /^routes:/m ? $text : "${text}routes:\n  GET /:\n    text: ok\n";
}

# What is typed in the examples that are neither confs nor other files: { line, command, output }…
sub commands (@examples)
{
    return map { transcript($_) } grep { !is_conf($_) && !defined $_->{file} } @examples;
}

sub transcript ($example)
{
    my @steps;
    for my $line (split /^/, $example->{text}) {
        if ($line =~ /^[\$#] (.*)$/) {
            push @steps, { line => $example->{line}, command => $1, output => '' };
        } elsif (@steps) {
            $steps[-1]{output} .= $line;
        } else {
            croak "$example->{line}: neither a command nor a conf: $line";
        }
    }
    return @steps;
}

# The names of the confs that are shown to be refused: by hayfork -t and, where there is a database, by
# hayfork -t --db.
sub refused ($database, @examples)
{
    my @steps = grep { $_->{output} =~ /error:/ && ($database || $_->{command} !~ /--db/) } commands(@examples);
    return map { $_->{command} =~ /-c (\S+)/ ? ($1 => 1) : () } @steps;
}

# Puts the files that examples show into a folder, and the models that they name.
sub write_files ($folder, @examples)
{
    for my $model (map { $_->{text} =~ m{\b(models/[\w-]+)}g } @examples) {
        make_path("$folder/models");
        model_folder("$folder/$model", 'classify', [qw(no yes)]);
    }
    for my $example (grep { defined $_->{file} } @examples) {
        make_path(dirname("$folder/$example->{file}"));
        spew("$folder/$example->{file}", $example->{text});
    }
    return;
}

# An answer in which what differs from one time to the next is the same: request ids, times, ends of lines.
sub masked ($text)
{
    $text =~ s/\r\n/\n/g;
    $text =~ s/"request_id":"[0-9a-f]{16}"/"request_id":"…"/g;
    $text =~ s/^(Date: |X-Request-Id: ).*$/$1…/mg;
    $text =~ s/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+\d\d:\d\d)/…/g;
    return $text;
}

1;
