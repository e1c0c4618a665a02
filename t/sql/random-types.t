# Types that are made of each other by chance, with values by chance: each answer is what row_to_json makes of it.
# HAYFORK_SEED=… makes the same again.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(spew temporary_folder);

needs_postgres;
my $cluster = cluster;
my $seed    = $ENV{HAYFORK_SEED} // int rand 2**31;
srand $seed;
diag "HAYFORK_SEED=$seed";

use constant { TYPES => 40, TABLES => 12, COLUMNS => 8, ROWS => 8, DEPTH => 4 };

sub one_of (@list)
{
    return $list[ rand @list ];
}

sub quoted ($text)
{
    return "'" . $text =~ s/'/''/gr . "'";
}

# Text with what arrays, composites and JSON have a use for.
sub random_text ()
{
    my @pieces = ('a', ' ', '"', '\\', '{', '}', '(', ')', ',', ';', ':', "'", '=>', 'NULL', 'null', "\n", "\t", "\x01", 'é', '漢', '🦊', '');
    return join '', map { one_of(@pieces) } 1 .. rand 6;
}

sub random_literal (@list)
{
    return sub { quoted(one_of(@list)) };
}

my $has_hstore = $cluster->value(q(SELECT count(*) FROM pg_available_extensions WHERE name = 'hstore'));
$cluster->psql('CREATE EXTENSION hstore') if $has_hstore;
$cluster->psql(<<~'SQL');
    CREATE FUNCTION from_zero(a anyarray) RETURNS anyarray LANGUAGE plpgsql AS
        'BEGIN IF array_ndims(a) = 1 THEN a[0] := a[1]; END IF; RETURN a; END';
    SQL

# The name of a type => what makes an SQL expression for a value of it that is not NULL.
my %make = (
    text               => sub { quoted(random_text()) },
    'varchar(30)'      => sub { quoted(random_text()) },
    'char(4)'          => random_literal('', 'a', 'a b', '"', '\\'),
    name               => sub { quoted(random_text()) },
    bytea              => random_literal('', '\\x00ff5c22'),
    smallint           => random_literal(0, -32768, 32767),
    integer            => random_literal(0, -1, 2147483647),
    bigint             => random_literal(0, '9223372036854775807', '-9223372036854775808'),
    oid                => random_literal(0, 4294967295),
    real               => random_literal(0, '-0', 0.1, '1e-45', '3.4e38', 'NaN', 'Infinity'),
    'double precision' => random_literal(0, '-0', 0.1, '0.30000000000000004', '1e300', '5e-324', 'NaN', '-Infinity'),
    numeric            => random_literal(0, '0.00', '-1.50', '1e30', '1e-30', 'NaN', 'Infinity', '-Infinity'),
    money              => random_literal('1234567.89', '-0.01'),
    boolean            => random_literal('t', 'f'),
    uuid               => random_literal('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
    date               => random_literal('2024-02-29', '0044-03-15 BC', 'infinity'),
    time               => random_literal('00:00', '23:59:59.999999'),
    timetz             => random_literal('12:34:56.7+05:30'),
    timestamp          => random_literal('2024-02-29 12:34:56.789', '0044-03-15 BC', 'infinity', '-infinity'),
    timestamptz        => random_literal('2024-02-29 12:34:56+02', '1883-11-18 12:00+00', '0044-03-15 BC', 'infinity'),
    interval           => random_literal('1 year 2 mons -3 days 04:05:06.789', '0'),
    inet               => random_literal('192.0.2.1/24', '::1'),
    point              => random_literal('(1,2)', '(-0,NaN)'),
    box                => random_literal('(1,1),(0,0)'),
    xml                => random_literal('<a b="c">&amp;</a>', ''),
    tsvector           => random_literal(q('a b':1A "c":2), ''),
    int2vector         => random_literal('1 -2 3', ''),
    json               => random_literal('{"b": 1.0,  "a": [null, "\\"x\\\\"], "b": 2}', '"text"', ' [ ] ', 'null', '1e400'),
    jsonb              => random_literal('{"b": 1.0, "a": [null, "\\"x\\\\"]}', '"text"', '[]', 'null'),
    int4range          => random_literal('[1,5)', 'empty', '(,)'),
    tstzrange          => random_literal('[2024-01-01,)'),
    int4multirange     => random_literal('{[1,5),[7,9)}', '{}'),
    $has_hstore
    ? (hstore => sub { 'hstore(ARRAY[' . join(', ', "'k'", map { quoted(random_text()) } 1 .. 2) . '], ARRAY['
              . join(', ', map { rand() < .3 ? 'NULL' : quoted(random_text()) } 1 .. 3) . '])' })
    : (),
);

# A value of a type; most are not NULL.
sub value ($type, $depth = DEPTH)
{
    return "NULL::$type" if rand() < .15 || $depth == 0;
    return '(' . $make{$type}->() . ")::$type" if exists $make{$type} && ref $make{$type} eq 'CODE';
    return $make{$type}{make}->($depth);
}

sub array_of ($element, $depth)
{
    my ($outer, $inner) = (int rand 3, int rand 3);
    my $flat = sub { 'ARRAY[' . join(', ', map { value($element, $depth - 1) } 1 .. $_[0]) . "]::${element}\[]" };
    return "'{}'::${element}\[]"   if $outer == 0;
    return $flat->($outer)         if $inner == 0;
    return 'from_zero(' . $flat->($outer) . ')' if $inner == 1;
    return 'ARRAY[' . join(', ', map { $flat->($inner) } 1 .. $outer) . ']';
}

# Run together: a psql for each would take long.
my $ddl = '';

# Makes one type more out of those that are there.
sub make_type ($n)
{
    my @known = sort keys %make;
    my ($of, $name) = (one_of(@known), "t$n");
    my $kind = one_of(qw(domain array array composite composite table enum range));
    if ($kind eq 'domain') {
        $ddl .= "CREATE DOMAIN $name AS $of;";
        $make{$name} = { make => sub ($depth) { value($of, $depth) . "::$name" } };
    } elsif ($kind eq 'array' && $of !~ /\]$/) {
        $make{"$of\[]"} = { make => sub ($depth) { array_of($of, $depth) } };
    } elsif ($kind eq 'composite' || $kind eq 'table') {
        my @fields = map { one_of(@known) } 1 .. 1 + rand 4;
        my $list   = join ', ', map { qq("f $_" $fields[$_]) } 0 .. $#fields;
        $ddl .=
          $kind eq 'table' ? "CREATE TABLE $name (gone int, $list); ALTER TABLE $name DROP gone;" : "CREATE TYPE $name AS ($list);";
        $make{$name} = { make => sub ($depth) { 'ROW(' . join(', ', map { value($_, $depth - 1) } @fields) . ")::$name" } };
    } elsif ($kind eq 'enum') {
        $ddl .= "CREATE TYPE $name AS ENUM ('ok', 'so \"so\"', 'it''s, {\\}', '');";
        $make{$name} = random_literal('ok', 'so "so"', q(it's, {\\}), '');
    } elsif ($kind eq 'range') {
        $ddl .= "CREATE TYPE $name AS RANGE (subtype = float8);";
        $make{$name} = random_literal('[0.1,Infinity)', 'empty', '(,-0]');
    }
}

make_type($_) for 1 .. TYPES;

my @nested = grep { ref $make{$_} eq 'HASH' } sort keys %make;
my ($routes, %question) = ('');
for my $n (1 .. TABLES) {
    my @types = ((map { one_of(@nested) } 1 .. COLUMNS - 2), (map { one_of(sort keys %make) } 1 .. 2));
    $ddl .= "CREATE TABLE row$n (id serial, " . join(', ', map { "c$_ $types[$_]" } 0 .. $#types) . ');';
    for my $id (1 .. ROWS) {
        my $values = join ', ', map { value($_) } @types;
        $ddl .= "INSERT INTO row$n VALUES ($id, $values);";
    }
    my $more = $n % 3 == 0 ? ", ROW(c0, c1) AS r, ARRAY[ROW(c2)] AS rs" : $n % 3 == 1 ? ", row$n AS whole" : '';
    $question{$n} = "SELECT *$more FROM row$n ORDER BY id";
    $routes .= <<~CONF;
          GET /$n:
            sql: |
              $question{$n}
            answer: rows
          GET /$n/{id}:
            sql: |
              SELECT *$more FROM row$n WHERE id = :id
            answer: row
        CONF
}

my $file = temporary_folder() . '/sql';
spew($file, $ddl);
$cluster->run_psql('contacts', '-f', $file);
my $server = server(<<~CONF, cluster => $cluster);
    workers: 1
    database: { connect: "${\ $cluster->conninfo }" }
    routes:
    $routes
    CONF
for my $n (1 .. TABLES) {
    subtest "row$n" => sub {
        my $got = $server->get("/$n");
        is $got->status, 200, 'GET';
        my @rows = split /\n/, $cluster->psql("SELECT row_to_json(q) FROM ($question{$n}) q");
        is scalar @rows, ROWS, 'the oracle knows its rows';
        json_is $got->body, '[' . join(',', @rows) . ']', 'all rows';
        json_is $server->get("/$n/$_")->body, $rows[ $_ - 1 ], "row $_" for 1 .. ROWS;
    };
}
is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';

done_testing;
