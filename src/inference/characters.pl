# characters.pl: writes characters_data.c, the tables of characters.c, from the Unicode data that perl has (14.0 or later).
#
# perl src/inference/characters.pl >src/inference/characters_data.c
#
# Vocabularies were made, and are used by others, with tables of Unicode 8.0: a character that came later belongs to no
# class there, and what changed its class since then has the one it had. Where letters have a small one is taken from
# all that perl knows.
use v5.36;

use Unicode::Normalize qw(NFD getCombinClass);
use Unicode::UCD;

# What had another class in Unicode 8.0.
my %CLASS_OF_THEN = (
    0x166D  => 'PUNCTUATION',
    0x1734  => 'MARK',
    0x1885  => undef,
    0x1886  => undef,
    0xA9BD  => undef,
    0x111C9 => 'PUNCTUATION',
);

# What is set apart as a word of its own.
my @IDEOGRAPHS = (
    [0x3400, 0x4DBF], [0x4E00, 0x9FFF], [0xF900, 0xFAFF], [0x20000, 0x2A6DF], [0x2A700, 0x2B73F], [0x2B740, 0x2B81F],
    [0x2B920, 0x2CEAF], [0x2F800, 0x2FA1F],
);

my $HANGUL_FIRST = 0xAC00;
my $HANGUL_LAST  = 0xD7A3;

sub class_of ($c)
{
    return $CLASS_OF_THEN{$c} if exists $CLASS_OF_THEN{$c};
    my $text = chr $c;
    return 'SPACE'       if $c == 0x09 || $c == 0x0A || $c == 0x0D;
    return 'PUNCTUATION' if $c < 0x80 && $text =~ /[[:punct:]]/;
    return 'CONTROL'     if $c == 0xFFFD || $text =~ /\p{Co}/;
    return undef         if $text !~ /\p{Present_In: 8.0}/;
    return 'CONTROL'     if $text =~ /[\p{Cc}\p{Cf}]/;
    return 'SPACE'       if $text =~ /\p{White_Space}/;
    return 'PUNCTUATION' if $text =~ /\p{P}/;
    return undef         if $text !~ /\p{Mn}/;
    return getCombinClass(ord NFD($text)) == 0 ? 'MARK_ALONE' : 'MARK';
}

# All characters but surrogates.
sub each_character ($do)
{
    $do->($_) for 0 .. 0xD7FF, 0xE000 .. 0x10FFFF;
    return;
}

# Prints an array, as many entries a line as there is room for.
sub print_array ($declaration, $entries)
{
    my $line = '';
    say "\n$declaration = {";
    for my $entry (@$entries) {
        if (length("    $line$entry,") > 110) {
            say '    ', $line =~ s/ $//r;
            $line = '';
        }
        $line .= "$entry, ";
    }
    say '    ', $line =~ s/ $//r;
    say '};';
    return;
}

my (@classes, @orders, @parts, @decomposed, @small);
my %ideograph;
$ideograph{$_} = 1 for map { $_->[0] .. $_->[1] } @IDEOGRAPHS;

each_character(sub ($c) {
    my $class = $ideograph{$c} ? 'IDEOGRAPH' : class_of($c);
    if ($class) {
        my $last = $classes[-1];
        if ($last && $last->[2] eq $class && $last->[1] == $c - 1) {
            $last->[1] = $c;
        }
        else {
            push @classes, [$c, $c, $class];
        }
    }
    my $order = getCombinClass($c);
    push @orders, sprintf('{0x%X, %d}', $c, $order)
      if $order && ($class // '') !~ /MARK/ && chr($c) =~ /\p{Present_In: 8.0}/;
});

# A decomposition without the marks, which are dropped in any case where there is one.
each_character(sub ($c) {
    my $text = chr $c;
    return if $c >= $HANGUL_FIRST && $c <= $HANGUL_LAST || $text !~ /\p{Present_In: 8.0}/;
    my @all = map { ord } split //, NFD($text);
    return if @all == 1 && $all[0] == $c;
    my @kept = grep { (class_of($_) // '') !~ /MARK/ } @all;
    my $last = $decomposed[-1];
    if ($last && $last->{last} == $c - 1 && $last->{n} == @kept) {
        $last->{last} = $c;
    }
    else {
        push @decomposed, { first => $c, last => $c, at => scalar @parts, n => scalar @kept };
    }
    push @parts, map { sprintf '0x%X', $_ } @kept;
});

# Runs of letters whose small ones are equally far away, each letter or every other one.
each_character(sub ($c) {
    my $small = lc chr $c;
    $small = 'i' if $c == 0x130;    # with a dot, which is a mark
    return if $small eq chr $c;
    die sprintf("U+%04X has a small form of several characters\n", $c) if length $small != 1;
    my $far = ord($small) - $c;
    my $last = $small[-1];
    if ($last && $last->{far} == $far && $c - $last->{last} <= 2
        && (!$last->{step} || $last->{step} == $c - $last->{last}))
    {
        $last->{step} ||= $c - $last->{last};
        $last->{last} = $c;
    }
    else {
        push @small, { first => $c, last => $c, far => $far, step => 0 };
    }
});

say <<"TEXT" =~ s/\n$//r;
/* characters_data.c: the tables of characters.c, made by characters.pl. */
#include "inference/characters_data.h"

/* clang-format off */
TEXT
print_array('const struct characters_class characters_classes[]',
    [ map { sprintf '{0x%X, 0x%X, CHARACTER_%s}', @$_ } @classes ]);
print_array('const struct characters_decomposed characters_decomposed[]',
    [ map { sprintf '{0x%X, 0x%X, %d, %d}', @$_{qw(first last at n)} } @decomposed ]);
print_array('const uint32_t characters_parts[]', \@parts);
print_array('const struct characters_small characters_small[]',
    [ map { sprintf '{0x%X, 0x%X, %d, %d}', $_->{first}, $_->{last}, $_->{step} || 1, $_->{far} } @small ]);
print_array('const struct characters_order characters_orders[]', \@orders);
printf "\nconst size_t characters_n_classes = %d, characters_n_decomposed = %d;\n", scalar @classes, scalar @decomposed;
printf "const size_t characters_n_small = %d, characters_n_orders = %d;\n", scalar @small, scalar @orders;
