# The manual pages: they name all that the program knows and nothing else, and their examples are good.
use v5.36;

use Hayfork::Test;

use File::Glob qw(:bsd_glob);
use File::Temp qw(tempdir);

use Hayfork::Test::Manual qw(examples is_conf complete commands refused write_files);
use Hayfork::Test::Process qw(run slurp spew);

my $top    = $Hayfork::Test::TOP_SRCDIR;
my $folder = tempdir(CLEANUP => 1);
my %page   = map { $_ => slurp("$top/man/$_") } qw(hayfork.8 hayfork.conf.5);

# A word that is like no key: the program answers with the keys there are.
my $nothing = 'zzqqzzqq';

sub keys_in ($conf)
{
    my $run = hayfork('-t', '-c', spew("$folder/keys.conf", $conf));
    my ($choice) = $run->{stderr} =~ /unknown key "$nothing"[^;\n]*; it can be (.*)/ or return;
    return split /, | or /, $choice;
}

# The name of a directive, or those in the section that it is.
sub names_below ($name)
{
    my ($section, $key) = split /\./, $name;
    my @in = keys_in("$section: { $key: { $nothing: 1 } }\nroutes:\n  GET /: { text: ok }\n");
    return @in && $section ne 'defaults' && $name ne 'database.lanes' ? map { "$name.$_" } @in : $name;
}

# The names of all directives, as -o takes them, and of what stands in routes, parameters and lanes.
sub known_names ()
{
    my @top   = keys_in("$nothing: 1\nroutes:\n  GET /: { text: ok }\n");
    my @names = map {
        my $key = $_;
        my @in  = keys_in("$key: { $nothing: 1 }\n");
        @in ? map { names_below("$key.$_") } @in : $key;
    } @top;
    push @names, map { "upstream $_" } keys_in("upstreams: { a: { $nothing: 1 } }\nroutes:\n  GET /: { text: ok }\n");
    push @names, map { "model $_" } keys_in("models: { a: { $nothing: 1 } }\nroutes:\n  GET /: { text: ok }\n");
    push @names, map { "route $_" } keys_in("routes:\n  GET /:\n    $nothing: 1\n    text: ok\n");
    push @names, map { "parameter $_" } keys_in(<<~CONF);
        routes:
          GET /:
            sql: "SELECT :a::int AS a"
            query: { a: { $nothing: 1 } }
            answer: row
        CONF
    push @names, map { "lane $_" } keys_in("database: { lanes: { report: { $nothing: 1 } } }\n");
    return @names;
}

# [ name, default ] of each key that hayfork.conf(5) has.
sub documented ()
{
    my %prefix = (DIRECTIVES => '', DEFAULTS => '', ROUTES => 'route ', PARAMETERS => 'parameter ', LANES => 'lane ',
        UPSTREAMS => 'upstream ', MODELS => 'model ');
    my ($section, @names);
    for (split /\n/, $page{'hayfork.conf.5'}) {
        $section = $1 if /^\.Sh (.*)/;
        next if !/^\.It Ic (\S+)(?: :.*?)?(?: Pq (\S+))?$/;
        my ($name, $default) = ($1, $2);
        push @names, [ $prefix{$section} . $name, defined $default ? $default =~ s/\\\(dq/"/gr : undef ];
    }
    return @names;
}

subtest 'hayfork.conf(5) has every key, and none that there is not' => sub {
    my @known = known_names();
    my @written = map { $_->[0] } documented();
    cmp_ok scalar(grep { /^route / } @known), '>=', 15, 'the program tells the keys of routes';
    cmp_ok scalar(grep { /^parameter / } @known), '>=', 5, '… of parameters';
    cmp_ok scalar(grep { /^lane / } @known), '>=', 4, '… of lanes';
    cmp_ok scalar(grep { !/ / } @known), '>=', 20, '… and all others';
    is_deeply [ sort @written ], [ sort @known ], 'the same names' or diag differences(\@written, \@known);
};

sub differences ($written, $known)
{
    my (%written, %known);
    @written{@$written} = ();
    @known{@$known}     = ();
    return map({ "not in the page: $_\n" } grep { !exists $written{$_} } @$known),
      map({ "not in the program: $_\n" } grep { !exists $known{$_} } @$written);
}

subtest 'hayfork.conf(5) has the defaults of hayfork -T' => sub {
    my $run = hayfork('-T', '-c', spew("$folder/minimal.conf", "routes:\n  GET /: { text: ok }\n"));
    my ($section, %standard) = ('');
    for (split /\n/, $run->{stdout}) {
        $section = ''      if /^\S/;
        $section = "$1."   if /^(\w+):$/;
        if (my ($inner) = /^  (images|inference):$/) {
            $section =~ s{\..*}{.$inner.};
        }
        last               if $section eq 'routes.';
        $standard{"$section$1"} = $2 if /^ {0,2}(\w+): (.+)$/ || ($section =~ /\.\w/ && /^ {4}(\w+): (.+)$/);    # further in are those of lanes
    }
    my %written = map { $_->[0] => $_->[1] } grep { exists $standard{ $_->[0] } } documented();
    cmp_ok scalar keys %standard, '>=', 18, 'there are defaults';
    is_deeply \%written, \%standard;
};

subtest 'hayfork(8) has every option, and none that there is not' => sub {
    my %known   = map { $_ => 1 } map { /(--?\w+)/g } hayfork('-h')->{stdout} =~ /^  (-.+?)  /mg;
    my %written = map { ("-$_" => 1) } map { s/ Ar .*//r =~ /([^\s,]+)/g } $page{'hayfork.8'} =~ /^\.It Fl (.*)/mg;
    cmp_ok scalar keys %known, '>=', 7, 'there are options';
    is_deeply [ sort keys %written ], [ sort keys %known ];
};

subtest 'hayfork(8) has the exit codes of hayfork -h' => sub {
    my ($codes)   = hayfork('-h')->{stdout} =~ /exit codes: (.*)/s;
    my ($section) = $page{'hayfork.8'} =~ /^\.Sh EXIT STATUS\n(.*?)^\.Sh /ms;
    is_deeply [ $section =~ /^\.It (\d+)/mg ], [ $codes =~ /\b(\d+)\b/g ];
};

subtest 'the log lines that hayfork(8) explains are those of the program' => sub {
    my $source = join '', map { slurp($_) } glob "$top/src/{,*/}*.c";
    my $literal = qr/"(?:[^"\\]|\\.)*"/s;
    $source =~ s{($literal)|/\*.*?\*/|'(?:[^'\\]|\\.)+'}{$1 // ' '}ges;
    my @format = map { s/\A"|"\z|"\s*"//gr } $source =~ /($literal(?:\s*$literal)*)/g;
    my %by_errno = map { local $! = $_; ("$!" => 1) } 1 .. 40, 98, 99;
    my ($section) = $page{'hayfork.8'} =~ /^\.Sh DIAGNOSTICS\n(.*?)^\.Sh /ms;
    my @messages = $section =~ /^\.It Sy "(.*)"$/mg;
    cmp_ok scalar @messages, '>=', 15, 'there are messages';
    for my $message (@messages) {
        my $logged = $message =~ s/ \(lane LANE\)(?:: PROBLEM)?$//r =~ s/ \(request ID\)$//r;
        $logged =~ s/: ([^:]+)$// if $logged =~ /: ([^:]+)$/ && $by_errno{$1};
        my $found = grep { like_format($logged, $_) || like_format($message, $_) } @format;
        ok $found, $message;
    }
};

# Could this text have come from printf with this format? Formats that are nearly nothing but values tell nothing.
sub like_format ($text, $format)
{
    $format =~ s/ \(request %016$| \(lane %s\)(?:: %s|%s)?$//;
    my @literal = split /%[-0-9.*]*(?:ll|z)?[a-z]/, $format, -1;
    return 0 if length(join '', @literal) < 12;
    my $pattern = join '.*', map { quotemeta } @literal;
    return $text =~ /\A$pattern(?:: .*)?\z/;
}

subtest 'mandoc has nothing to say' => sub {
    needs_program('mandoc');
    my $run = run([ 'mandoc', '-Tlint', '-Wwarning', map { "$top/man/$_" } sort keys %page ]);
    is $run->{stdout} . $run->{stderr}, '';
    is $run->{exit}, 'exit 0';
};

# How each program shows a page in a terminal of 80 columns, as man(1) asks it to.
my %renderer = (
    groff  => [qw(groff -k -mdoc -Tutf8 -P-c -rLL=78n)],
    mandoc => [qw(mandoc -Tutf8 -O), 'width=78'],
);

for my $name (sort keys %renderer) {
    subtest "in 80 columns, $name breaks no table and no line" => sub {
        needs_program($name);
        for my $file (sort keys %page) {
            my $run = run([ @{ $renderer{$name} }, "$top/man/$file" ]);
            is $run->{exit}, 'exit 0', "$file is shown";
            is $run->{stderr}, '', '… without a complaint';
            utf8::decode($run->{stdout});
            my @lines = split /\n/, $run->{stdout} =~ s/.\x08//gr;
            cmp_ok scalar @lines, '>=', 400, '… all of it';
            is_deeply [ grep { length > 80 } @lines ], [], '… and no line is longer';
            is_deeply [ narrow_cells(@lines) ], [], '… nor a table\'s cell so narrow that it has a word a line';
        }
    };
}

# Lines of one word below another such line: what a cell that has no room looks like.
sub narrow_cells (@lines)
{
    my @indent = map { /^( +)\w\S*$/ ? length $1 : 0 } @lines;
    return map { $lines[$_] } grep { $indent[$_] && $indent[$_] == $indent[ $_ - 1 ] } 1 .. $#lines;
}

subtest 'a broken table is told from a good one' => sub {
    my @good = ('     400    malformed JSON', '            or HTTP', '     403    refused');
    is_deeply [ narrow_cells(@good) ], [], 'cells that have room';
    my @broken = ('     400    malformed' . ' ' x 60 . 'JSON', ' ' x 80 . 'or', ' ' x 80 . 'HTTP');
    is_deeply [ narrow_cells(@broken) ], [ $broken[2] ], 'a cell that has none';
};

my @texts = (map({ "man/$_" } sort keys %page), 'README.md');

subtest 'every conf in the manual pages and in README.md is a good one' => sub {
    for my $name (@texts) {
        my $place    = tempdir(CLEANUP => 1);
        my @examples = examples($name);
        my %refused  = refused(0, @examples);
        write_files($place, @examples);
        for my $example (grep { is_conf($_) && !$refused{ $_->{file} // '' } } @examples) {
            my $conf = spew("$place/" . ($example->{file} // 'example.conf'), complete($example));
            my $run  = hayfork('-t', '-c', $conf);
            is $run->{exit}, 'exit 0', $example->{line} or diag $run->{stderr};
        }
    }
};

subtest 'what they show of hayfork -t is what it says' => sub {
    my $compared = 0;
    for my $name (@texts) {
        my $place    = tempdir(CLEANUP => 1);
        my @examples = examples($name);
        write_files($place, @examples);
        for my $step (grep { $_->{command} =~ /^hayfork -t (?!--db)/ } commands(@examples)) {
            my (undef, @arguments) = split ' ', $step->{command};
            my $run = run([ $Hayfork::Test::HAYFORK, @arguments ], folder => $place);
            is $run->{stdout} . $run->{stderr}, $step->{output}, "$step->{line}: $step->{command}";
            $compared++;
        }
    }
    cmp_ok $compared, '>=', 2, 'there are some';
};

subtest 'they use no option that there is not' => sub {
    my ($options) = hayfork('-h')->{stdout};
    for my $step (map { commands(examples($_)) } @texts) {
        next if $step->{command} !~ /^hayfork /;
        my @unknown = grep { $options !~ /(?<![-\w])\Q$_\E\b/ } $step->{command} =~ / (--?\w+)/g;
        is_deeply \@unknown, [], "$step->{line}: $step->{command}";
    }
};

done_testing;
