# Routes with `classify` and `embed`: what a model says of texts, in the forms in which transformers 5 has it.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Model qw(needs_models model_folder logits_of embedding_of to_json @WORDS);
use Hayfork::Test::Process qw(temporary_folder);

my $library = needs_models;
my $top     = temporary_folder();
my @LABELS  = ('NEGATIVE', 'POSITIVE', "N\x{e9}\x{65e5}\"");
my $WIDTH   = 5;

model_folder("$top/one",  'classify', \@LABELS);
my %pieces = map { $WORDS[$_] => $_ } 0 .. $#WORDS;
model_folder(
    "$top/json", 'classify',
    \@LABELS,
    files => {
        'vocab.txt'      => undef,
        'tokenizer.json' => to_json({
            normalizer     => { type => 'BertNormalizer', clean_text => \1, lowercase => \1, handle_chinese_chars => \1 },
            pre_tokenizer  => { type => 'BertPreTokenizer' },
            post_processor => {
                type   => 'TemplateProcessing',
                single => [ { SpecialToken => { id => '[CLS]' } }, { Sequence => { id => 'A' } }, { SpecialToken => { id => '[SEP]' } } ],
            },
            added_tokens => [ map { { id => $_, content => $WORDS[$_], special => \1 } } 0 .. 4 ],
            model        => {
                type      => 'WordPiece',
                unk_token => '[UNK]',
                vocab     => { map { my $name = $_; utf8::decode($name); ($name => $pieces{$_}) } keys %pieces },
            },
        }),
    },
);
model_folder("$top/many", 'classify', \@LABELS, config => { problem_type => 'multi_label_classification' });
model_folder("$top/plain", 'classify', ['LABEL_0'], config => { problem_type => 'regression' });
model_folder("$top/single", 'classify', ['yes']);
model_folder("$top/two", 'classify', 2);
model_folder("$top/vectors", 'embed', $WIDTH);

my $server = server(<<~CONF);
    workers: 1
    inference: { library: $library }
    helpers: { inference: 1 }
    models:
      one: $top/one
      json: $top/json
      many: { folder: $top/many, texts: 4 }
      plain: $top/plain
      single: $top/single
      two: $top/two
      strict: { folder: $top/one, too_long: refuse, length: 8 }
      vectors: $top/vectors
      nobody: /nowhere
    routes:
      POST /one: { classify: one, headers: { X-Model: one } }
      POST /json: { classify: json }
      POST /many: { classify: many }
      POST /plain: { classify: plain }
      POST /single: { classify: single }
      POST /two: { classify: two }
      POST /strict: { classify: strict }
      POST /embed: { embed: vectors }
    CONF

sub post ($path, $body, %with)
{
    return $server->request('POST', $path, body => ref $body ? to_json($body) : $body,
        headers => { 'Content-Type' => 'application/json' }, %with);
}

sub answer ($path, $body)
{
    my $response = post($path, $body);
    is $response->status, 200, "$path: status" or diag $response->body;
    return $response->json;
}

sub softmax (@logits)
{
    my $sum = 0;
    $sum += exp for @logits;
    return map { exp($_) / $sum } @logits;
}

sub sigmoid (@logits) { return map { 1 / (1 + exp -$_) } @logits }

# The labels with these scores, the best one first.
sub ranked ($labels, @scores)
{
    return [ map { { label => $labels->[$_], score => $scores[$_] } } sort { $scores[$b] <=> $scores[$a] } 0 .. $#scores ];
}

# The same structure, with scores that differ by little?
sub is_like ($got, $want, $name)
{
    my $round;
    $round = sub ($x) {
        return [ map { $round->($_) } @$x ] if ref $x eq 'ARRAY';
        return { %$x, score => sprintf '%.4f', $x->{score} } if ref $x eq 'HASH';
        return sprintf '%.4f', $x;
    };
    is_deeply $round->($got), $round->($want), $name or diag explain $got;
}

my %WORDS_OF = (
    'a good film'      => [qw(a good film)],
    'The BAD Film.'    => ['the', 'bad', 'film', '.'],
    'very, very goodly!' => ['very', ',', 'very', 'good', '##ly', '!'],
    ''                 => [],
    'unknown words'    => ['un', '##known', '[UNK]'],
    "\x{e9} E\x{301}"  => [qw([UNK] [UNK])],
    "\x{65e5}\x{672c}" => ["\xe6\x97\xa5", "\xe6\x9c\xac"],
);
my @TEXTS = sort keys %WORDS_OF;

sub scores ($text)
{
    return softmax(logits_of(scalar @LABELS, @{ $WORDS_OF{$text} }));
}

subtest 'one text' => sub {
    for my $text (@TEXTS) {
        my $ranked = ranked(\@LABELS, scores($text));
        my $name   = to_json([$text]);
        is_like answer('/one', { inputs => $text }), [ $ranked->[0] ], $name;
        is_like answer('/one', { inputs => $text, top_k => undef }), $ranked, "$name, all labels";
        is_like answer('/one', { inputs => $text, top_k => 1 }), [ $ranked->[0] ],        "$name, top_k 1";
        is_like answer('/one', { inputs => $text, top_k => 2 }), [ @$ranked[ 0, 1 ] ], "$name, top_k 2";
    }
    is_like answer('/one', { inputs => 'good', top_k => 100 }), ranked(\@LABELS, softmax(logits_of(3, 'good'))), 'top_k 100';
};

subtest 'lists' => sub {
    my @ranked = map { ranked(\@LABELS, scores($_)) } @TEXTS;
    is_like answer('/one', { inputs => \@TEXTS }), [ map { $_->[0] } @ranked ], 'the best label of each';
    is_like answer('/one', { inputs => \@TEXTS, top_k => undef }), \@ranked, 'all labels of each';
    is_like answer('/one', { inputs => \@TEXTS, top_k => 1 }), [ map { [ $_->[0] ] } @ranked ], 'top_k 1: lists of one';
    is_like answer('/one', { inputs => [ $TEXTS[1] ] }), [ $ranked[1][0] ], 'a list of one text';
    is_deeply answer('/one', { inputs => [] }), [], 'of none';
    for my $n (1 .. 32) {
        my @some = map { $TEXTS[ $_ * $n % @TEXTS ] } 1 .. $n;
        my $want = [ map { ranked(\@LABELS, scores($_))->[0] } @some ];
        is_like answer('/one', { inputs => \@some }), $want, "$n texts";
    }
};

is post('/json', { inputs => \@TEXTS })->body, post('/one', { inputs => \@TEXTS })->body, 'tokenizer.json says what vocab.txt does';

subtest 'which function' => sub {
    my @words = qw(a good film);
    is_like answer('/many', { inputs => "@words", top_k => undef }), ranked(\@LABELS, sigmoid(logits_of(3, @words))),
      'several labels at once: sigmoid';
    is_like answer('/plain', { inputs => "@words" }), [ { label => 'LABEL_0', score => (logits_of(1, @words))[0] } ],
      'regression: none';
    is_like answer('/single', { inputs => "@words" }), [ { label => 'yes', score => (sigmoid(logits_of(1, @words)))[0] } ],
      'one label: sigmoid';
    is_like answer('/two', { inputs => "@words", top_k => 9 }), ranked([qw(LABEL_0 LABEL_1)], softmax(logits_of(2, @words))),
      'no id2label: LABEL_0 and LABEL_1';
};

subtest 'vectors' => sub {
    is_like answer('/embed', { inputs => 'a good film' }), [ embedding_of($WIDTH, qw(a good film)) ], 'one text: a vector';
    my @some = @TEXTS[ 0, 3, 1, 2 ];
    is_like answer('/embed', { inputs => \@some }), [ map { [ embedding_of($WIDTH, @{ $WORDS_OF{$_} }) ] } @some ],
      'a list: a vector for each, whatever their lengths';
    problem_is post('/embed', { inputs => 'a', top_k => 1 }), 400, {}, 'no top_k';
};

subtest 'long texts' => sub {
    my $long = join ' ', ('good') x 20;
    is_like answer('/one', { inputs => $long }), [ ranked(\@LABELS, softmax(logits_of(3, ('good') x 14)))->[0] ],
      'cut at what the model takes';
    problem_is post('/one', { inputs => [ 'good', $long ], truncation => \0 }), 413, { parameter => 'inputs' },
      'truncation: false refuses';
    like post('/one', { inputs => [ 'good', $long ], truncation => \0 })->json->{detail},
      qr/Text 2 has 22 tokens; the model takes 16\./, '… with the length';
    is post('/one', { inputs => join(' ', ('good') x 14), truncation => \0 })->status, 200, '… not what just fits';
    problem_is post('/strict', { inputs => join ' ', ('good') x 7 }), 413, { parameter => 'inputs' }, 'too_long: refuse';
    is post('/strict', { inputs => join(' ', ('good') x 7), truncation => \1 })->status, 200, '… unless the body says truncation';
    is post('/one', { inputs => 'good ' x 100_000 })->status, 200, 'half a megabyte';
    is post('/one', { inputs => 'x' x 500_000 })->status, 200, '… of one word';
    is post('/one', { inputs => "\x{300}" x 200_000 })->status, 200, '… of accents';
};

subtest 'bodies that are wrong' => sub {
    my %bad = (
        'not JSON'              => '{"inputs": "a"',
        'no object'             => '["a"]',
        'no inputs'             => '{}',
        'inputs: null'          => '{"inputs": null}',
        'inputs: a number'      => '{"inputs": 1}',
        'inputs: an object'     => '{"inputs": {"text": "a", "text_pair": "b"}}',
        'a list of numbers'     => '{"inputs": ["a", 1]}',
        'a list in a list'      => '{"inputs": [["a"]]}',
        'a lone surrogate'      => '{"inputs": "\ud83d"}',
        'not UTF-8'             => "{\"inputs\": \"\xff\"}",
        'a control character'   => "{\"inputs\": \"\x01\"}",
        'another field'         => '{"inputs": "a", "parameters": {}}',
        'inputs twice'          => '{"inputs": "a", "inputs": "b"}',
        'top_k: 0'              => '{"inputs": "a", "top_k": 0}',
        'top_k: -1'             => '{"inputs": "a", "top_k": -1}',
        'top_k: 1.5'            => '{"inputs": "a", "top_k": 1.5}',
        'top_k: 1e3'            => '{"inputs": "a", "top_k": 1e3}',
        'top_k: a text'         => '{"inputs": "a", "top_k": "2"}',
        'top_k: great'          => '{"inputs": "a", "top_k": 99999999999999999999}',
        'truncation: a text'    => '{"inputs": "a", "truncation": "yes"}',
        'nothing'               => '',
    );
    for my $name (sort keys %bad) {
        my ($at_fault) = $name =~ /^(top_k|truncation):/;
        $at_fault //= 'inputs' if $name =~ /^(?:no object|no inputs|inputs: |a list )/;
        problem_is post('/one', $bad{$name}), 400, { defined $at_fault ? (parameter => $at_fault) : () }, $name;
    }
    is_like answer('/one', '{"inputs": "\u0001go\u0007od\u200b"}'), [ ranked(\@LABELS, softmax(logits_of(3, 'good')))->[0] ],
      'control characters that are escaped are dropped, as the reference does';
    problem_is post('/many', { inputs => [ ('a') x 5 ] }), 413, { parameter => 'inputs' }, 'more texts than `texts`';
    problem_is post('/one', { inputs => [ ('a') x 10_000 ] }), 413, { parameter => 'inputs' }, '10,000';
    problem_is post('/one', 'inputs=a', headers => { 'Content-Type' => 'text/plain' }), 415, {}, 'another media type';
    is post('/one', ('[' x 5000))->status, 400, 'deep';
};

is post('/one', { inputs => 'a' })->header('X-Model'), 'one', "the route's headers";
is $server->get('/one')->status, 405, 'GET';

done_testing;
