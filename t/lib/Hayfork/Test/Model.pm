# Hayfork::Test::Model: folders with small models for tests, whose answers a test can work out by itself.
package Hayfork::Test::Model;

use v5.36;

use Exporter qw(import);
use File::Basename qw(dirname);
use JSON::PP ();
use List::Util qw(first);

use Hayfork::Test qw(needs $HAYFORK);
use Hayfork::Test::Process qw(spew);

our @EXPORT_OK = qw(needs_models model_folder logits_of embedding_of to_json @WORDS);

# Each word is a token; the vector of the n-th one is (sin n, cos n, …).
our @WORDS = (
    qw([PAD] [UNK] [CLS] [SEP] [MASK] good bad film a the is very not),
    '##ly', 'un', '##known', '.', ',', '!', 'é', '日', '本',
);

my ($FLOAT, $INT64) = (1, 7);    # element types of ONNX

# The path of ONNX Runtime's library, or undef: what HAYFORK_ONNXRUNTIME names, what bootstrap has fetched, the system's.
sub library ()
{
    my @there = ($ENV{HAYFORK_ONNXRUNTIME} // ());
    push @there, glob dirname($HAYFORK) . '/onnxruntime/libonnxruntime.so*';
    push @there, glob '/usr/lib/*/libonnxruntime.so*';
    return first { -e } @there;
}

# Ends the test where there is no library to run models with.
sub needs_models ()
{
    needs(defined library(), 'there is no libonnxruntime.so: HAYFORK_ONNXRUNTIME can name one');
    return library();
}

# The vectors of all words, with so many numbers each.
sub vectors ($width)
{
    return map {
        my $n = $_;
        [ map { sin($n + $_ * 1.57) * (1 + $_ % 3) } 0 .. $width - 1 ]
    } 0 .. $#WORDS;
}

sub mean ($width, @ids)
{
    my @vectors = vectors($width);
    return map {
        my $i   = $_;
        my $sum = 0;
        $sum += $vectors[$_][$i] for @ids;
        $sum / @ids
    } 0 .. $width - 1;
}

# What the model of classify has for these words, which stand between [CLS] and [SEP].
sub logits_of ($labels, @words)
{
    my %id = map { $WORDS[$_] => $_ } 0 .. $#WORDS;
    return mean($labels, map { $id{$_} } '[CLS]', @words, '[SEP]');
}

# The same for embed.
sub embedding_of ($width, @words)
{
    my @mean   = logits_of($width, @words);
    my $square = 0;
    $square += $_**2 for @mean;
    return map { $_ / sqrt $square } @mean;
}

sub to_json ($value) { return JSON::PP->new->utf8->canonical->encode($value) }

# Protocol buffers (ONNX's onnx.proto)

sub varint ($n)
{
    my $bytes = '';
    while ($n >= 0x80) {
        $bytes .= chr($n & 0x7f | 0x80);
        $n >>= 7;
    }
    return $bytes . chr $n;
}

sub number ($field, $n)     { return varint($field << 3) . varint($n) }
sub bytes  ($field, $bytes) { return varint($field << 3 | 2) . varint(length $bytes) . $bytes }

sub tensor ($name, $type, $dimensions, $raw)
{
    return bytes(5, join '', (map { number(1, $_) } @$dimensions), number(2, $type), bytes(8, $name), bytes(9, $raw));
}

sub node ($operator, $inputs, $output, %attributes)
{
    return bytes(1,
        join '', (map { bytes(1, $_) } @$inputs), bytes(2, $output), bytes(4, $operator),
        map { bytes(5, bytes(1, $_) . number(3, $attributes{$_}) . number(20, 2)) } sort keys %attributes);
}

# An input (field 11) or output (12); a dimension is a number or a name.
sub value ($field, $name, $type, @dimensions)
{
    my $shape = join '', map { bytes(1, /^\d/ ? number(1, $_) : bytes(2, $_)) } @dimensions;
    return bytes($field, bytes(1, $name) . bytes(2, bytes(1, number(1, $type) . bytes(2, $shape))));
}

# A model as bytes: classify has the mean of the words' vectors as logits, embed has the vectors themselves. %options:
# opset; inputs, a list; batch, a fixed one; type of the inputs.
sub model_file ($use, $width, %options)
{
    my @inputs  = @{ $options{inputs} // [qw(input_ids attention_mask)] };
    my @axes    = ($options{batch} // 'batch', 'length');
    my $vectors = pack 'f<*', map { @$_ } vectors($width);
    my $graph   = bytes(2, 'test') . tensor('vectors', $FLOAT, [ scalar @WORDS, $width ], $vectors);
    $graph .= value(11, $_, $options{type} // $INT64, @axes) for @inputs;
    if ($use eq 'embed') {
        $graph .= node('Gather', [qw(vectors input_ids)], 'hidden');
        $graph .= value(12, 'hidden', $FLOAT, @axes, $width);
    }
    else {
        $graph .= tensor('one', $INT64, [1], pack 'q<', 1) . tensor('two', $INT64, [1], pack 'q<', 2);
        $graph .= node('Gather', [qw(vectors input_ids)], 'hidden');
        $graph .= node('Cast', ['attention_mask'], 'mask', to => $FLOAT);
        $graph .= node('Unsqueeze', [qw(mask two)],    'mask_of_each');
        $graph .= node('Mul',       [qw(hidden mask_of_each)], 'kept');
        $graph .= node('ReduceSum', [qw(kept one)], 'sum',   keepdims => 0);
        $graph .= node('ReduceSum', [qw(mask one)], 'count', keepdims => 1);
        $graph .= node('Div',       [qw(sum count)], 'logits');
        $graph .= value(12, 'logits', $FLOAT, $axes[0], $width);
    }
    return number(1, 8) . bytes(7, $graph) . bytes(8, bytes(1, '') . number(2, $options{opset} // 13));
}

# Makes a folder with such a model, of these labels or of this width. %options: those of model_file; config, more of it;
# files, a hash of what is to be in others, or undef for one that is to be missing.
sub model_folder ($folder, $use, $labels_or_width, %options)
{
    my $width  = ref $labels_or_width ? @$labels_or_width : $labels_or_width;
    my %config = (hidden_size => $width, vocab_size => scalar @WORDS, max_position_embeddings => 16);
    $config{id2label} = { map { $_ => $labels_or_width->[$_] } 0 .. $width - 1 } if ref $labels_or_width;
    my %files = (
        'config.json'           => to_json({ %config, %{ $options{config} // {} } }),
        'vocab.txt'             => join('', map { "$_\n" } @WORDS),
        'tokenizer_config.json' => to_json({ do_lower_case => \1, model_max_length => 1e30 }),
        'model.onnx'            => model_file($use, $width, %options),
        %{ $options{files} // {} },
    );
    mkdir $folder;
    for my $name (keys %files) {
        spew("$folder/$name", $files{$name}) if defined $files{$name};
    }
    return $folder;
}

1;
