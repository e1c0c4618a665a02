# How files in src/ may depend on each other: in one direction, and on libraries only where they belong.
#
# perl -It/lib t/house/dependencies.t --map prints the map for ARCHITECTURE.md.
use v5.36;

use Hayfork::Test;

use File::Basename qw(basename dirname);
use File::Find qw(find);
use List::Util qw(first);

use Hayfork::Test::Process qw(slurp);

# The house from the top, floor by floor: in each folder its files, from those that use the others to those that use
# none. A file may use what stands after it in its folder, and the floors below. NAME is NAME.c and NAME.h; where
# these two stand in different places they are named one by one.
my @HOUSE = (
    [
        ['main.c',  'options; hands over',                [qw(main)]],
        ['imaging', 'hayfork-images: makes pictures', [qw(main vips)]],
        ['inferring', 'hayfork-inference: runs models', [qw(main work batch engine ort)]],
    ],
    [['process', 'master, workers, listeners', [qw(master fleet trial takeover address generation helpers child program control sd worker pools sandbox files logging privileges listen handoff cpus)]]],
    [
        [
            'server', 'connections of clients, HTTP/1, exchanges',
            [qw(server access conn h1_answer h1_body bodies exchange ids peer link)],
        ],
    ],
    [
        [
            'handlers', 'what answers: sql, json, text, files, relay, models',
            [
                qw(make.c staged admin metrics status_page status_json status.c status.h page text model batches sql sql_error sql_answer sql_stream sql_call sql_rows sql_values sql_route relay relay_head relay_stream
                  relay_fields stream json json_body files make.h handler headers readers)
            ],
        ],
    ],
    [['stages', 'between a request and its handler', [qw(make.c images images_query pictures make.h stage)]]],
    [
        [
            'db',
            'PostgreSQL',
            [
                qw(try probe explain inquiry budget lane.c place schema merge ask setting doubt queue look pool types statement connection
                  cancel pipeline session description infer trouble env lane.h io)
            ],
        ],
        [
            'upstream', 'the servers of relays',
            [qw(context request pool answer env connection resolve trouble)],
        ],
        ['helpers', 'jobs for other processes, and what does them', [qw(pool serve link sandbox)]],
    ],
    [
        [
            'conf', 'the conf file; read-only after the start',
            [
                qw(print conf.c admin credential include route images kinds kind_text kind_sql statement lanes kind_model models kind_relay relay kind_json json
                  kind_files kind_admin access source write reading headers params table env conninfo check listen hint synonyms kind account
                  yaml files secret conf.h)
            ],
        ],
    ],
    [
        [
            'route', 'paths and parameters',
            [qw(route params params_url params_body params_json params_value params_check params_array params_gathering)],
        ],
    ],
    [
        ['pg', 'messages, types and SQL of PostgreSQL', [qw(pgjson scan pgvalue pgcatalogue pgwire pgtypes)]],
        [
            'http', 'requests and answers as bytes',
            [
                qw(request problem layer sink http1_response http1 forwarded http1_field http1_class folder conditional body)
            ],
        ],
        [
            'inference', 'what is said of a model: its folder, tokens, scores',
            [qw(scores model tokenizer model_config document wordpiece vocabulary characters.c characters_data characters.h exchange)],
        ],
        ['images', 'what is said of a picture: parameters, sizes, formats', [qw(job plan sniff params)]],
        ['loop',    'timers, what is sent, whom to let go first', [qw(yield slices timeouts outbox ring busypoll)]],
        ['metrics', 'shared memory',                              [qw(report exposition sums totals shm lane upstream series metric counter memory)]],
    ],
    [
        [
            'base', 'text, numbers, JSON, memory, log, time',
            [
                qw(beside syscalls chacha pack percent json_read json_keys siphash json_escape spool json hex decimal complain store mem lines log log_ring utf8 sanitizers hash
                  clock lack arena str)
            ],
        ],
    ],
);

# Where a file calls one above it: by functions that this one has handed down in such a struct. One that is not named
# *_ops is here, and either holds other things as well or is made by whoever asks.
my %HANDS_DOWN = map { $_ => 1 } qw(arena body body_whole conf_kind db_asker db_lane_conf handler batches_request helpers_pool_conf helpers_service
  json_check ort_api ort_base pictures_waiter reader readers_source_conf request
  sink slice store_limit);

# Who may include a header that is not for all above it.
my %ONLY_FOR = (
    '<libpq-fe.h>'        => qr{^(?:db/|conf/conninfo|pg/pgjson|handlers/sql)},
    '<json-c/json.h>'     => qr{^conf/json},
    '<yaml.h>'            => qr{^conf/yaml},
    '<vips/vips.h>'       => qr{^imaging/vips},
    '<liburing.h>'        => qr{^loop/ring},
    '<h2o.h>'             => qr{^(?:process/worker|server/|upstream/|handlers/|stages/|helpers/|db/|loop/)},
    '<pthread.h>'         => qr{^(?:upstream/resolve|db/cancel)},
    '"server/server.h"'   => qr{^(?:server/server|process/worker)},
    '"process/worker.h"'  => qr{^process/},
    '"process/master.h"'  => qr{^(?:process/master|main)},
);

# Who may call a library, whatever it includes.
my %LIBRARY = (
    libh2o      => [qr/^h2o_/, qr{^(?:process/worker|server/|upstream/|handlers/(?:files|metrics|readers)|stages/|helpers/|db/|loop/)}],
    libpq       => [qr/^PQ/, qr{^(?:db/|conf/conninfo)}],
    'json-c'    => [qr/^json_(?:object|tokener|c_|util)/, qr{^conf/json}],
    libyaml     => [qr/^yaml_/, qr{^conf/yaml}],
    liburing    => [qr/^_*io_uring_/, qr{^loop/(?:outbox|ring)}],
    OpenSSL     => [qr/^(?:BIO|CRYPTO|ERR|EVP|OPENSSL|SSL)_/, qr{^(?:db/io|stages/images)}],
    libpthread  => [qr/^pthread_/, qr{^(?:upstream/resolve|db/cancel)}],
);

my $LONGEST_FILE     = 800;    # lines
my $LONGEST_FUNCTION = 80;

my %floor;                     # folder => number, from the top
my %place;                     # file, or NAME for both of it => number within its folder
for my $number (0 .. $#HOUSE) {
    for my $room (@{ $HOUSE[$number] }) {
        my ($name, undef, $files) = @$room;
        $floor{$name} = $number;
        for my $i (0 .. $#$files) {
            $place{"$name/$files->[$i]"} = $i;
        }
    }
}
$place{'main.c'} = 0;

sub room_of ($file)
{
    return $file =~ s{/.*}{}r;
}

sub place_of ($file)
{
    return $place{$file} // $place{ $file =~ s/\.[ch]$//r };
}

# May the one use the other?
sub is_below ($file, $other)
{
    my ($from, $to) = map { $floor{ room_of($_) } // return } $file, $other;
    return $from < $to if room_of($file) ne room_of($other);
    ($from, $to) = map { place_of($_) // return } $file, $other;
    return $from <= $to;
}

my $src = "$Hayfork::Test::TOP_SRCDIR/src";
my @files;
find({ no_chdir => 1, wanted => sub { push @files, s{^\Q$src\E/}{}r if /\.[ch]$/ } }, $src);
@files = sort @files;

# Structs of a header that have functions in them.
sub tables_of_functions ($file)
{
    my %struct = slurp("$src/$file") =~ /^struct (\w+) \{\n(.*?)^\};/msg;
    return grep { $struct{$_} =~ /\(\*\w+\)\(/ } sort keys %struct;
}

# Words in lines that are not too long.
sub fill ($indent, @words)
{
    my ($text, $line) = ('', '');
    for my $word (@words) {
        $text .= "$indent$line\n", $line = '' if length("$indent$line $word") > 100;
        $line .= $line eq '' ? $word : " $word";
    }
    return @words ? "$text$indent$line\n" : '';
}

sub map_of_the_house ()
{
    my $map = '';
    for my $floor (@HOUSE) {
        for my $room (@$floor) {
            my ($name, $what, $files) = @$room;
            $name .= '/' if $name ne 'main.c';
            $map .= sprintf "%-12s %s\n", $name, $what;
            $map .= fill(' ' x 13, @$files) if $name ne 'main.c';
        }
        $map .= "\n";
    }
    my @tables = map { my $file = $_; map { "$file:$_" } tables_of_functions($file) } grep { /\.h$/ } @files;
    return $map . "calls upward, through functions in\n" . fill(' ' x 13, @tables);
}

if (@ARGV && $ARGV[0] eq '--map') {
    print map_of_the_house();
    exit;
}

ok @files > 20, 'there is something to look at';

# Functions that are too long, as "NAME (LINES)".
sub long_functions (@lines)
{
    my ($name, $begin, @long) = ('?', 0);
    for my $i (0 .. $#lines) {
        $name  = $1 if $lines[$i] =~ /^\w.*?(\w+)\(/;
        $begin = $i if $lines[$i] eq '{';
        push @long, sprintf '%s (%d)', $name, $i - $begin + 1
          if $lines[$i] eq '}' && $begin > 0 && $i - $begin + 1 >= $LONGEST_FUNCTION;
    }
    return @long;
}

for my $file (@files) {
    my $text  = slurp("$src/$file");
    my @lines = split /\n/, $text;
    my @wrong;

    push @wrong, 'it is in no room of the house' if !exists $floor{ room_of($file) };
    push @wrong, 'what it has belongs to the header of the file that writes it' if $file =~ /_private\.h$/;
    push @wrong, 'it has no place in its room: see @HOUSE in t/house/dependencies.t' if !defined place_of($file);
    for my $include ($text =~ /^[ \t]*#[ \t]*include[ \t]+(["<][^">]+[">])/mg) {
        my $header = $include =~ s/["<>]//gr;
        push @wrong, "$include is not for it" if exists $ONLY_FOR{$include} && $file !~ $ONLY_FOR{$include};
        push @wrong, "$include is not below it" if $include =~ /^"/ && !is_below($file, $header);
    }
    push @wrong, map { "struct $_ calls upward" } grep { !/_ops$/ && !$HANDS_DOWN{$_} } tables_of_functions($file)
      if $file =~ /\.h$/;
    is_deeply \@wrong, [], "$file includes what is below it";

    my $name = basename($file);
    like join("\n", @lines[ 0, 1 ]), qr{\A/\*(?:\n \*)? \Q$name\E: \S}, "$file begins with what it is for";
    cmp_ok scalar @lines, '<', $LONGEST_FILE, "$file is short enough to read";
    is_deeply [ long_functions(@lines) ], [], "$file has no function that is too long";
}

# What is called, and what is named otherwise, as the linker sees it.
my $objects = dirname($Hayfork::Test::HAYFORK) . '/src';
my (%defined, %undefined);
for my $file (grep { /\.c$/ } @files) {
    my $object = "$objects/" . $file =~ s/c$/o/r =~ s{^imaging/\K}{hayfork_images-}r;
    next if $file =~ m{^imaging/} && !-e $object;    # there is no libvips
    open my $nm, '-|', 'nm', '-P', $object or die "nm: $!";
    while (my $line = <$nm>) {
        my ($symbol, $type) = split ' ', $line;
        $defined{$symbol} = $file if $type =~ /^[BCDRTVW]$/;
        push @{ $undefined{$file} }, $symbol if $type =~ /^[Uvw]$/;
    }
    close $nm or die "nm cannot read $object: is the program built?";
}

for my $file (sort keys %undefined) {
    my @wrong;
    for my $symbol (@{ $undefined{$file} }) {
        my $other = $defined{$symbol};
        push @wrong, "$symbol of $other is not below it" if defined $other && !is_below($file, $other);
        my $library = first { !defined $other && $symbol =~ $LIBRARY{$_}[0] } sort keys %LIBRARY;
        push @wrong, "$symbol of $library is not for it" if defined $library && $file !~ $LIBRARY{$library}[1];
    }
    is_deeply \@wrong, [], "$file calls what is below it";
}

my ($shown) = slurp("$Hayfork::Test::TOP_SRCDIR/ARCHITECTURE.md") =~ /^## Who may call whom\n.*?^```\n(.*?)^```\n/ms;
is $shown, map_of_the_house(), 'ARCHITECTURE.md shows the house as it is: perl -It/lib t/house/dependencies.t --map';
note map_of_the_house();

done_testing;
