# Models that are not what they should be: what `-t` says of their folders, and the start of their files.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Model qw(needs_models model_folder to_json);
use Hayfork::Test::Process qw(spew temporary_folder wait_for);

my $top = temporary_folder();
spew("$top/library.so", '');

# What -t says of a model in a folder that was made with these options.
sub check_of ($name, $use, %options)
{
    state $n = 0;
    my $folder = model_folder("$top/" . ++$n, $use, $use eq 'embed' ? 4 : [qw(no yes)], %options);
    my $conf   = spew("$top/$n.conf", <<~CONF);
        inference: { library: library.so }
        models: { m: $n }
        routes:
          POST /: { $use: m }
        CONF
    my $run = hayfork('-t', '-c', $conf);
    return $run->{stdout} . $run->{stderr} =~ s{\Q$top/\E$n}{M}gr;
}

sub refused ($name, $use, $says, %options)
{
    like check_of($name, $use, %options), $says, $name;
}

like check_of('good', 'classify'), qr/the conf is good/, 'a good one';
like check_of('good', 'embed'), qr/the conf is good/, 'a good one that embeds';

for my $name (qw(config.json vocab.txt model.onnx)) {
    refused("without $name", 'classify', qr/M\.conf:2:\d+: error: .*\Q$name\E/, files => { $name => undef });
}
like check_of('config', 'classify', files => { 'tokenizer_config.json' => undef }), qr/the conf is good/,
  'tokenizer_config.json may be missing';

my %WRONG = (
    'config.json: not JSON'       => [ { 'config.json'           => '{' },                         qr/config\.json: line 1: / ],
    'config.json: a list'         => [ { 'config.json'           => '[]' },                        qr/this is not a JSON object/ ],
    'tokenizer_config.json: not JSON' => [ { 'tokenizer_config.json' => "{\n\"a\": x}" },          qr/tokenizer_config\.json: line 2: / ],
    'vocab.txt: no [UNK]'         => [ { 'vocab.txt'             => "[PAD]\n[CLS]\n[SEP]\n" },     qr/vocab\.txt: the unk_token "\[UNK\]" is not/ ],
    'tokenizer.json: byte pairs'  => [ { 'tokenizer.json' => '{"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"type":"BPE"}}' },
        qr/tokenizer\.json: the model is not WordPiece/ ],
    'tokenizer.json: no normalizer' => [ { 'tokenizer.json' => '{"normalizer":null}' }, qr/the normalizer is not a BertNormalizer/ ],
);
refused($_, 'classify', $WRONG{$_}[1], files => $WRONG{$_}[0]) for sort keys %WRONG;

my %CONFIG = (
    'labels with a gap'   => [ { id2label => { 0 => 'a', 2 => 'b' } }, qr/id2label are not the numbers from 0 on/ ],
    'no labels'           => [ { id2label => {} }, qr/id2label has not 1 to/ ],
    'a label that is a number' => [ { id2label => { 0 => 1, 1 => 'a' } }, qr/a label in id2label is not a text/ ],
    'another problem'     => [ { problem_type => 'ranking' }, qr/problem_type is not/ ],
    'a small vocabulary'  => [ { vocab_size => 5 }, qr/the tokenizer has the token 21, but vocab_size in config\.json is 5/ ],
    'no length'           => [ { max_position_embeddings => undef }, qr/no file says how long a text may be/ ],
    'no room'             => [ { max_position_embeddings => 1 }, qr/max_position_embeddings is less than 2/ ],
);
refused($_, 'classify', $CONFIG{$_}[1], config => $CONFIG{$_}[0]) for sort keys %CONFIG;
refused('embed without a width', 'embed', qr/hidden_size is missing/, config => { hidden_size => undef });

sub conf_says ($name, $text, $says)
{
    my $run = hayfork('-t', '-c', spew("$top/conf.conf", $text));
    like $run->{stderr}, $says, $name;
}

model_folder("$top/m", 'classify', [qw(no yes)]);
conf_says('no library', "models: { m: m }\nroutes:\n  POST /: { classify: m }\n", qr/conf\.conf:1:\d+: error: models take ONNX Runtime/);
conf_says('no such library', "inference: { library: nowhere.so }\nmodels: { m: m }\nroutes:\n  POST /: { classify: m }\n",
    qr/inference\.library: there is no .*nowhere\.so/);
conf_says('no such model', "models: { mood: m }\nroutes:\n  POST /: { classify: mod }\n", qr/there is no model "mod"; did you mean "?mood/);
conf_says('no models', "routes:\n  POST /: { classify: n }\n", qr/there is no model "n": name it in `models`/);
conf_says('two uses', "inference: { library: library.so }\nmodels: { m: m }\nroutes:\n  POST /a: { classify: m }\n  POST /b: { embed: m }\n",
    qr/the model m is used to classify and to embed/);
conf_says('a GET', "models: { m: m }\nroutes:\n  GET /: { classify: m }\n", qr/classify takes texts in a body, which GET has not/);
conf_says('an option that is not there', "models: { m: { folder: m, lenght: 3 } }\n", qr/"lenght".*did you mean "?length/s);
conf_says('a length that is too great',
    "inference: { library: library.so }\nmodels: { m: { folder: m, length: 17 } }\nroutes:\n  POST /: { classify: m }\n",
    qr/a text may have no more than 16 tokens/);

subtest 'at the start' => sub {
    my $library = needs_models;
    my %files   = (
        'another width'   => [ { config => { id2label => { map { $_ => "l$_" } 0 .. 2 } } }, qr/the model's output has 2 numbers, but config\.json has 3/ ],
        'an opset that is not there' => [ { opset => 999 }, qr/model\.onnx: .*opset/i ],
        'an input that is not there' => [ { inputs => [qw(input_ids attention_mask pixel_values)] }, qr/the model has an input "pixel_values"/ ],
        'a fixed size'    => [ { batch => 1 }, qr/has a fixed size/ ],
        'not a model'     => [ { files => { 'model.onnx' => 'x' x 100 } }, qr/model\.onnx: / ],
    );
    for my $name (sort keys %files) {
        my ($options, $says) = @{ $files{$name} };
        my $folder = model_folder("$top/start-" . $name =~ tr/ /-/r, 'classify', [qw(no yes)], %$options);
        my $server = server(<<~CONF);
            workers: 1
            inference: { library: $library }
            models: { m: $folder }
            routes:
              POST /: { classify: m, deadline: 50ms }
              GET /: { text: "up" }
            CONF
        wait_for("$name: the log says it", sub { $server->log =~ $says });
        ok 1, $name;
        is $server->get('/')->status, 200, "$name: other routes are served";
        problem_is $server->request('POST', '/', body => '{"inputs":"a"}', headers => { 'Content-Type' => 'application/json' }),
          503, {}, "$name: its own answers 503";
        $server->stop;
    }
};

done_testing;
