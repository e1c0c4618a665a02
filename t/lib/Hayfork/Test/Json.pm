# Hayfork::Test::Json: compares JSON texts more exactly than decoding them would: the order of keys and the
# digits of numbers count, white space and the choice of escapes do not.
package Hayfork::Test::Json;

use v5.36;

use Carp qw(croak);
use Exporter qw(import);

our @EXPORT_OK = qw(canonical);

my %ESCAPE = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t", '"' => '"', '\\' => '\\', '/' => '/');

# The text without white space between tokens and with every string escaped in one way: what must be
# escaped as \uXXXX, all else as it is. Dies at what is no JSON token, at bare control characters in
# strings, and at lone surrogates.
sub canonical ($text)
{
    my @out;
    pos($text) = 0;
    while ($text =~ /\G[ \t\r\n]*/gc && pos($text) < length $text) {
        if ($text =~ /\G"/gc) {
            push @out, '"';
            push @out, $1 // recode($2) while $text =~ /\G(?:([^"\\\x00-\x1f]+)|((?:\\u[0-9a-fA-F]{4})+|\\[^u]))/gc;
            $text =~ /\G"/gc or croak 'not the end of a JSON string: ' . substr $text, pos $text, 60;
            push @out, '"';
        } elsif ($text =~ /\G(?:[][{}:,]|true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))/gc) {
            push @out, $&;
        } else {
            croak 'not JSON at byte ' . pos($text) . ': ' . substr $text, pos $text, 60;
        }
    }
    return join '', @out;
}

# One escape, or a run of \uXXXX, in the form that canonical() promises.
sub recode ($escape)
{
    my $plain;
    if ($escape =~ /^\\u/) {
        my $units = join '', map { pack 'n', hex } $escape =~ /\\u(.{4})/g;
        croak "lone surrogate in $escape"
          if unpack('H*', $units) !~ /^(?:d[89ab]..d[c-f]..|(?!d[89a-f]).{4})*$/;
        require Encode;
        $plain = Encode::encode('UTF-8', Encode::decode('UTF-16BE', $units));
    } else {
        $plain = $ESCAPE{ substr $escape, 1 } // croak "no such escape: $escape";
    }
    return $plain =~ s/(["\\\x00-\x1f])/sprintf '\\u%04x', ord $1/ger;
}

1;
