# PostgreSQL's types as JSON: every answer is compared with what row_to_json makes of the same row.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster;

# One table per family of types: the column's type, then its values as SQL literals.
my %TYPES = (
    integers => {
        smallint => [qw('-32768' '0' '32767')],
        integer  => [qw('-2147483648' '0' '2147483647')],
        bigint   => [qw('-9223372036854775808' '0' '9007199254740993' '9223372036854775807')],
        oid      => [qw('0' '4294967295')],
    },
    floats => {
        real => [
            qw('0' '-0' '1' '0.1' '1.5' '-2.25e-10' '3.4028235e+38' '1e-45' '16777217' '1e21' 'NaN' 'Infinity'
              '-Infinity')
        ],
        'double precision' => [
            qw('0' '-0' '0.1' '0.30000000000000004' '1e100' '5e-324' '1.7976931348623157e308' '123456789012345680'
              '1e15' '1e16' 'NaN' 'Infinity' '-Infinity')
        ],
    },
    numerics => {
        numeric => [
            qw('0' '-0' '0.00' '1.10' '-1' '12345678901234567890123456789.000000001' '1e400' '1e-400' 'NaN' 'Infinity'
              '-Infinity')
        ],
        'numeric(6,2)' => [qw('0' '1.5' '-9999.99')],
        money          => [qw('12.34' '-1234567.89')],
    },
    booleans => { boolean => [qw(true false)] },
    texts    => {
        text => [
            q(''), q('plain'), q('quote " backslash \ slash /'), q(E'\b\f\n\r\t'), q(E'\x01\x1f\x7f'), q('é ü ß'),
            q('漢字 𠮷 🦊'), q('<script>&amp;</script>'), q(E'\u2028\u2029\uFEFF'), q(repeat('long "x" ', 20000)),
        ],
        'varchar(20)'  => [q('varied'), q('')],
        'char(5)'      => [q('ab'), q('')],
        name           => [q('pg_class')],
        '"char"'       => [q('x'), q('"'), q('')],
        bytea          => [q('\x00ff5c22'), q('')],
        uuid           => [q('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')],
        'bit(3)'       => [q(B'101')],
        'bit varying'  => [q(B'101'), q(B'')],
        xml            => [q('<a b="c">&amp;é</a>'), q('')],
        tsvector       => [q('a:1A fat:2 "cat''s":3'), q('')],
        tsquery        => [q('fat & ("rat" | !cat:*)')],
    },
    networks => {
        inet     => [q('192.0.2.1/24'), q('::1')],
        cidr     => [q('192.0.2.0/24'), q('2001:db8::/32')],
        macaddr  => [q('08:00:2b:01:02:03')],
        macaddr8 => [q('08:00:2b:01:02:03:04:05')],
    },
    geometry => {
        point   => [q('(1,2)'), q('(-0,Infinity)'), q('(NaN,1e-300)')],
        lseg    => [q('[(0,0),(1,1.5)]')],
        box     => [q('(1,1),(0,0)')],
        path    => [q('[(0,0),(1,1)]'), q('((0,0),(1,1),(2,0))')],
        polygon => [q('((0,0),(1,1),(2,0))')],
        line    => [q('{1,-1,0}')],
        circle  => [q('<(1,2),3.5>')],
        'box[]' => [q('{(1,1),(0,0);(2,2),(1,1)}')],
    },
    ranges => {
        int4range      => [q<'[1,5)'>, q('empty'), q<'(,)'>],
        int8range      => [q<'[-9223372036854775808,9223372036854775807)'>],
        numrange       => [q<'(1.10,2.50]'>],
        tsrange        => [q<'["2024-02-29 12:00","infinity")'>],
        tstzrange      => [q<'[2024-01-01,)'>],
        daterange      => [q<'[0044-03-15 BC,2024-02-29)'>],
        int4multirange => [q<'{[1,5),[7,9)}'>, q('{}')],
        int8multirange => [q<'{[1,5)}'>],
        nummultirange  => [q<'{(1.10,2.50]}'>],
        tsmultirange   => [q<'{[2024-02-29 12:00,)}'>],
        tstzmultirange => [q<'{[2024-02-29 12:00+00,)}'>],
        datemultirange => [q<'{[2024-02-29,)}'>],
        'int4range[]'  => [q<ARRAY['[1,5)', NULL, 'empty']::int4range[]>],
    },
    identifiers => {
        tid           => [q('(4294967295,65535)')],
        xid           => [q('4294967295')],
        xid8          => [q('18446744073709551615')],
        cid           => [q('7')],
        pg_lsn        => [q('FFFFFFFF/FFFFFFFF')],
        pg_snapshot   => [q('10:20:10,14,15')],
        txid_snapshot => [q('10:20:10,14,15')],
        refcursor     => [q('a cursor')],
        aclitem       => [q('postgres=arwdDxt/postgres')],
        oidvector     => [q('1 4294967295')],
        jsonpath      => [q('$."a"[*] ? (@.b == "c")')],
        regclass      => [q('pg_class'), q(0)],
        regtype       => [q('timestamptz'), q('int[]')],
        regproc       => [q('pg_sleep')],
        regprocedure  => [q<'lower(text)'>],
        regoper       => [q('||/')],
        regoperator   => [q<'+(integer,integer)'>],
        regconfig     => [q('english')],
        regdictionary => [q('simple')],
        regnamespace  => [q('public')],
        regrole       => [q('postgres')],
        regcollation  => [q('"C"')],
    },
    documents => {
        json => [
            q('{"b": 1, "a": [1, 2.50, null, true], "b": 2}'), q('"text"'), q('  [ ]  '), q('null'),
            q('{"deep": {"er": [[[]]]}}'), q('1e400'), q('"\ud83e\udd8a \u0000 \/"'),
        ],
        jsonb => [q('{"b": 1, "a": [1, 2.50, null, true], "b": 2}'), q('"text"'), q('[]'), q('null'), q('-0.0')],
    },
    times => {
        date        => [q('2024-02-29'), q('0044-03-15 BC'), q('infinity'), q('-infinity'), q('99999-01-01')],
        time        => [q('00:00'), q('23:59:59.999999'), q('24:00')],
        timetz      => [q('12:34:56.7+05:30')],
        timestamp   => [q('2024-02-29 12:34:56.789'), q('0044-03-15 BC'), q('infinity'), q('-infinity'), q('99999-01-01')],
        timestamptz => [
            q('2024-02-29 12:34:56.789+02'), q('1883-11-18 12:00+00'), q('0044-03-15 BC'), q('infinity'),
            q('-infinity'), q('99999-01-01'),
        ],
        interval => [q('1 year 2 mons 3 days 04:05:06.789'), q('-1 day'), q('0')],
    },
    arrays => {
        'int[]'     => [q('{1,2,NULL}'), q('{}'), q('{{1,2},{3,4}}'), q('[0:1]={7,8}')],
        'text[]'    => [q('{a,"b \"quoted\"",NULL,"NULL",""}')],
        'numeric[]' => [q('{1.10,NaN}')],
        'float8[]'  => [q('{-0,0.1,Infinity}')],
        'bool[]'    => [q('{t,f,NULL}')],
        'jsonb[]'   => [q(ARRAY['{"a": 1}'::jsonb, NULL, '[]'])],
        'date[]'    => [q('{2024-02-29,infinity}')],
        'timestamptz[]' => [q('{2024-02-29 12:00+00}')],
        int2vector  => [q('1 2 3')],
        'json[]'    => [q(ARRAY['{"b": 1.0,  "a": 2}'::json, 'null'])],
        'bytea[]'   => [q(ARRAY['\x00ff'::bytea, ''])],
        'char(3)[]' => [q('{a,"b c"}')],
        'time[]'    => [q('{12:00,24:00}')],
        'uuid[]'    => [q('{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}')],
        'interval[]' => [q('{1 day 02:03:04}')],
        'timestamp[]' => [q('{{2024-02-29 12:00,infinity},{0044-03-15 BC,NULL}}')],
    },
    composites => {
        point_of_sale          => [q(ROW('corner "shop"', 12.50, '{1,2}', ROW(1, NULL))), q(ROW(NULL, NULL, NULL, NULL))],
        'point_of_sale[]'      => [q(ARRAY[ROW('a', 1, '{}', NULL)]::point_of_sale[])],
        mood                   => [q('so "so"')],
        'mood[]'               => [q(ARRAY['happy', NULL]::mood[])],
        positive               => [q(7)],
        flag                   => [q(true)],
        document               => [q('{"a": 1}')],
        stamp                  => [q('2024-02-29 12:34:56')],
        few                    => [q('{1,2}')],
        'positive[]'           => [q('{7,NULL}')],
        'document[]'           => [q(ARRAY['{"a": 1.0}'::jsonb]::document[])],
        shop                   => [q(ROW('corner', NULL, NULL, NULL))],
        floatrange             => [q<'[-0,Infinity]'>],
        opening                => [q(ROW('2024-02-29 12:00', '0044-03-15 BC', '1.50', '-0', 'NaN', '{"b": 1.0}', 'happy'))],
        hstore_like            => [q(ROW('key "k"', NULL))],
    },
);

$cluster->psql(<<'SQL');
    CREATE TYPE pair AS (x int, y text);
    CREATE TYPE point_of_sale AS (name text, turnover numeric, tills int[], nested pair);
    CREATE TYPE hstore_like AS (k text, v text);
    CREATE TYPE mood AS ENUM ('happy', 'so "so"');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN flag AS boolean;
    CREATE DOMAIN document AS jsonb;
    CREATE DOMAIN stamp AS timestamp;
    CREATE DOMAIN few AS int[] CHECK (cardinality(VALUE) < 5);
    CREATE DOMAIN shop AS point_of_sale;
    CREATE TYPE floatrange AS RANGE (subtype = float8);
    CREATE TYPE opening AS (since timestamptz, first date, exact numeric, zero float8, nan real, doc json, mood mood);
    ALTER DATABASE contacts SET TimeZone = 'Europe/London';
SQL

# A row per value, NULL in the other columns, and a row of NULLs at the end.
my $routes = '';
for my $family (sort keys %TYPES) {
    my @types = sort keys %{ $TYPES{$family} };
    my $n     = 0;
    my $table = "CREATE TABLE $family (row serial, " . join(', ', map { "c$_ $types[$_]" } 0 .. $#types) . ');';
    for my $i (0 .. $#types) {
        $table .= "INSERT INTO $family (c$i) VALUES ($_);" for @{ $TYPES{$family}{ $types[$i] } };
    }
    $cluster->psql("$table INSERT INTO $family DEFAULT VALUES");
    $routes .= <<~CONF;
          GET /$family:
            sql: |
              SELECT * FROM $family ORDER BY row
            answer: rows
          GET /$family/{row}:
            sql: |
              SELECT * FROM $family WHERE row = :row
            answer: row
        CONF
}

my $conf = <<~CONF;
    workers: 1
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /names:
        sql: |
          SELECT 1 AS "with ""quotes""", 2 AS "back\\slash", 3 AS "naïve 🦊", 4 AS " ", 5 AS a, 6 AS a
        answer: row
      GET /nothing:
        sql: |
          SELECT 1 AS a WHERE false
        answer: rows
      GET /no-columns:
        sql: |
          SELECT FROM generate_series(1, 3)
        answer: rows
      GET /echo/{text}:
        sql: |
          SELECT :text::text AS text
        answer: row
    $routes
    CONF

my $server = server($conf, cluster => $cluster);
my $client = $server->client;

subtest 'no built-in type is forgotten' => sub {
    my @tested = map { split ' ' } $cluster->psql(<<~SQL);
        SELECT DISTINCT atttypid::oid FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
         WHERE relname IN (${\ join ', ', map { "'$_'" } keys %TYPES }) AND attnum > 0
        SQL
    is $cluster->psql(<<~SQL), '', 'each base type and range has a column';
        SELECT typname FROM pg_type
         WHERE typtype IN ('b', 'r', 'm') AND typcategory NOT IN ('A', 'Z') AND typnamespace = 'pg_catalog'::regnamespace
           AND oid NOT IN (${\ join ', ', @tested }) AND typname NOT IN ('gtsvector')
           AND typname !~ '^pg_(brin_|dependencies|mcv_list|ndistinct|node_tree)'  -- they are 'Z' from 15 on
         ORDER BY 1
        SQL
};

# What PostgreSQL makes of each family with its settings as they come.
my %expected = map { $_ => $cluster->rows_as_json("SELECT * FROM $_ ORDER BY row") } keys %TYPES;

for my $family (sort keys %TYPES) {
    subtest $family => sub {
        my $response = $client->get("/$family");
        is $response->status, 200, "GET /$family";
        json_is $response->body, $expected{$family}, 'all rows in an array';
        for my $row (split ' ', $cluster->psql("SELECT row FROM $family ORDER BY row")) {
            json_is $client->get("/$family/$row")->body,
              $cluster->row_as_json("SELECT * FROM $family WHERE row = $row"), "row $row as an object";
        }
    };
}

subtest 'column names are keys, whatever is in them' => sub {
    my $sql = 'SELECT 1 AS "with ""quotes""", 2 AS "back\\slash", 3 AS "naïve 🦊", 4 AS " ", 5 AS a, 6 AS a';
    my $got = $client->get('/names');
    is $got->status, 200;
    like $got->body, qr/^\{"with \\"quotes\\"":1,"back\\\\slash":2,"naïve 🦊":3," ":4,/;
    json_is $got->body, $cluster->row_as_json($sql), 'as row_to_json has it';
};

subtest 'no rows are an empty array, rows without columns are empty objects' => sub {
    json_is $client->get('/nothing')->body,    '[]',         'no rows';
    json_is $client->get('/no-columns')->body, '[{},{},{}]', 'three rows without columns';
};

subtest 'text goes in and comes out unchanged' => sub {
    for my $text (q(it's), 'say "so"', 'back\\slash', ':id $1 %s %', 'a b+c', "tab\tand\nline", "\x01\x7f", 'é 漢字 🦊',
        '<&>', '{}', '..', '-- ; DROP TABLE contact') {
        my $path = join '', map { sprintf '%%%02X', $_ } unpack 'C*', $text;
        utf8::decode(my $expected = $text);
        is $client->get("/echo/$path")->json->{text}, $expected, $text =~ s/[^\x20-\x7e]+/…/gr;
    }
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';

# What someone set for the people who look into the database must not show in the answers.
$cluster->psql(<<'SQL');
    ALTER DATABASE contacts SET DateStyle = 'German';
    ALTER DATABASE contacts SET IntervalStyle = 'sql_standard';
    ALTER DATABASE contacts SET client_encoding = 'LATIN1';
SQL
for my $env ({}, { PGCLIENTENCODING => 'LATIN1', PGDATESTYLE => 'SQL, DMY' }) {
    $server = server($conf, cluster => $cluster, env => $env);
    subtest join(' ', 'settings for the eyes of psql users', sort keys %$env) => sub {
        json_is $server->get("/$_")->body, $expected{$_}, $_ for sort keys %TYPES;
    };
    is $server->stop, 'exit 0', 'it ends well';
}

done_testing;
