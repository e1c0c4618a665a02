# Bodies and values that are wrong, hostile or odd: each gets a clear answer, nothing of it is written, and the next
# request on the same connection is fine. What is right arrives in the table as it was sent.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<'SQL');
    CREATE TABLE note (
        id serial PRIMARY KEY,
        text text,
        small smallint,
        number integer,
        big bigint,
        exact numeric,
        float double precision,
        truth boolean,
        key uuid,
        day date,
        doc jsonb,
        raw json,
        numbers integer[],
        texts text[],
        docs jsonb[]
    );
    CREATE TABLE canary (id int);
    INSERT INTO canary VALUES (1);
SQL
my @COLUMNS = qw(text small number big exact float truth key day doc raw numbers texts docs);

my $server = server(<<~CONF, cluster => $cluster, lanes => 2);
    workers: 1
    database:
      connect: ${\ $cluster->conninfo }
    limits:
      body: 2M
    routes:
      GET /canary:
        sql: |
          SELECT id FROM canary
        answer: row
      POST /notes:
        sql: |
          INSERT INTO note (${\ join ', ', @COLUMNS }) VALUES (${\ join ', ', map { ":$_" } @COLUMNS }) RETURNING *
        body: [${\ join ', ', @COLUMNS }]
        answer: row
        status: 201
      POST /documents:
        sql: |
          INSERT INTO note (doc) VALUES (:whole) RETURNING doc
        body_as: whole
        answer: value
        status: 201
      POST /patches/{id}:
        sql: |
          INSERT INTO note (text, doc) VALUES (:id, :whole) RETURNING doc
        body: [a, b]
        body_as: whole
        answer: value
        status: 201
      PUT /notes/{text}:
        sql: |
          INSERT INTO note (text, number) VALUES (:text || :more || :extra, :number) RETURNING text
        query:
          more: ''
          number: { default: 1, min: -5, max: 5 }
        body:
          extra: { default: '', one_of: ['', a, "it's"] }
        answer: row
      GET /echo/{path}:
        sql: |
          SELECT :path::text AS path, :query::text AS query, :list::text[] AS list
        query: [query, list]
        answer: row
    CONF
my $client = $server->client;

# Runs a block that must write nothing and must not trouble the next request on the connection.
sub without_trace ($name, $do)
{
    return subtest $name => sub {
        my $before = $cluster->value('SELECT count(*), coalesce(max(id), 0) FROM note');
        quiet $server, 'nothing is logged', $do;
        is $cluster->value('SELECT count(*), coalesce(max(id), 0) FROM note'), $before, 'nothing is written';
        is $client->get('/canary')->body, '{"id":1}', 'the next request on the connection is fine';
    };
}

# A name for a test that is short and printable.
sub excerpt ($bytes)
{
    return Hayfork::Test::Response::excerpt($bytes);
}

# Are these JSON texts refused with 400 and a detail of that pattern, the parameter named?
sub refused_as ($parameter, $detail, @texts)
{
    for my $json (@texts) {
        my $response = $client->request('POST', '/notes', json => $json);
        problem_is $response, 400, defined $parameter ? { parameter => $parameter } : {}, excerpt($json);
        like $response->json->{detail}, $detail, '… that says why' if $response->status == 400;
    }
    return;
}

without_trace 'what is not JSON is 400' => sub {
    refused_as undef, qr/JSON|UTF-8|object/, '{', '}', '{"text"}', '{"text":}', '{"text":1,}', '{,}', "{'text':1}", '{text:1}',
      '{"text":1} x', '{"text":1}{"text":2}', '{"text":1}]', '{"text":tru}', '{"text":True}', '{"text":nulll}', '{"text":NaN}',
      '{"text":Infinity}', '{"text":01}', '{"text":+1}', '{"text":1.}', '{"text":.5}', '{"text":1e}', '{"text":0x1}',
      '{"text":-}', '{"text":"}', '{"text":"a', '{"text":"\x"}', '{"text":"\u12"}', '{"text":"\u12g4"}', qq({"text":"a\nb"}),
      qq({"text":"a\tb"}), qq({"text":"\x01"}), '{"text":1 /* one */}', "{\"text\":1} // one\n", qq(\x{ef}\x{bb}\x{bf}{"text":1}),
      "\0", qq({"text":1}\0), '{"text":[1,2}', '{"text":[1,]}', 'text=1', '<text/>', 'undefined', "{\"text\"\0:1}";
};

without_trace 'an empty body is 400, not an empty object' => sub {
    refused_as undef, qr/body|JSON/, '', ' ', "\r\n";
    problem_is $client->request('POST', '/notes'), 400, {}, 'no body at all';
    problem_is $client->request('POST', '/documents', json => ''), 400, {}, 'as a whole, too';
};

without_trace 'a body that is no object is 400' => sub {
    refused_as undef, qr/object/, '[]', '[{"text":1}]', '"text"', '5', 'null', 'true';
};

without_trace 'what is no Unicode text is 400' => sub {
    refused_as undef, qr/UTF-8/, map { qq({"text":"$_"}) } "\xff", "\xc3", "\xc0\x80", "\xe0\x80\xaf", "\xed\xa0\x80",
      "\xf4\x90\x80\x80", "a\xe4b", "\xf0\x9f\xa6";
    refused_as undef, qr/surrogate/, map { qq({"text":"$_"}) } '\ud800', '\udc00', '\ud83e', '\ud83e x', '\ud83e\u0041',
      '\udd8a\ud83e', '\uD800\uD800';
    refused_as undef, qr/UTF-8/, qq({"\xff":1}), qq({"text":[["\xff"]]});
};

without_trace 'U+0000, which PostgreSQL does not have, is 400' => sub {
    for my $json ('{"text":"a\u0000b"}', '{"texts":["\u0000"]}', '{"doc":{"a":"\u0000"}}', '{"doc":{"\u0000":1}}') {
        my $response = $client->request('POST', '/notes', json => $json);
        is $response->status, 400, $json;
        like $response->json->{detail}, qr/u0000|U\+0000|NUL|zero/i, '… that says why';
    }
    is $client->request('POST', '/documents', json => '["\u0000"]')->status, 400, 'in a document, too';
};

without_trace 'the same field twice is 400' => sub {
    for my $json ('{"text":1,"text":2}', '{"text":1,"number":2,"t\u0065xt":3}', '{"doc":{"a":1,"a":1}}') {
        my $response = $client->request('POST', '/notes', json => $json);
        is $response->status, 400, $json;
        like $response->json->{detail}, qr/same key/, '… that says why';
    }
};

without_trace 'an unknown field is 400, with its name' => sub {
    refused_as 'id', qr/\bid\b/, '{"text":"a","id":7}';
    refused_as 'Text', qr/Text/, '{"Text":"a"}';
    refused_as 'a "quoted" name', qr/quoted/, '{"a \"quoted\" name":1}';
    problem_is $client->request('POST', '/patches/1', json => '{"a":1,"c":2}'), 400, { parameter => 'c' },
      'in a whole body with fields, too';
    is $client->request('POST', '/notes', json => '{"":1}')->status, 400, 'an empty name';
    is $client->request('POST', '/notes', json => '{"' . 'x' x 100_000 . '":1}')->status, 400, 'a very long name';
};

without_trace 'a number out of range is 400' => sub {
    refused_as 'small', qr/-32768 and 32767/, map { qq({"small":$_}) } 32768, -32769, '"32768"', 1e10, '9' x 1000;
    refused_as 'number', qr/-2147483648 and 2147483647/, map { qq({"number":$_}) } 2147483648, -2147483649, '9' x 100_000;
    refused_as 'big', qr/9223372036854775807/, map { qq({"big":$_}) } '9223372036854775808', '-9223372036854775809';
    refused_as 'float', qr/float/, '{"float":1e309}', '{"float":-1e400}', '{"float":1e99999}';
    refused_as 'exact', qr/exact/, '{"exact":1e200000}';
    refused_as 'day', qr/day/, '{"day":"99999999-01-01"}', '{"day":"2023-02-29"}';
};

without_trace 'a value that is not of its type is 400' => sub {
    for (
        [ number  => '"x"', '1.5', '1e2', 'true', '""', '{}', '[1]', '"1 2"', '"0x10"', '"１"' ],
        [ truth   => '"maybe"', '2', '""', '[]', '{}' ],
        [ key     => '"x"', '1', '""', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11x"' ],
        [ exact   => '"x"', 'true', '"1,5"', '""', '[]' ],
        [ float   => '"x"', 'false', '"1..5"', '{}' ],
        [ day     => '"x"', 'true', '{}', '[]' ],
        [ text    => '{}', '[]', '["a"]' ],
        [ numbers => '["x"]', '[1.5]', '[[1],[2]]', '{"a":1}', '[{}]', '"x"', '5' ],
        [ texts   => '[{}]', '[["a"]]', '{}', '"a"' ],
      ) {
        my ($field, @values) = @$_;
        refused_as $field, qr/\b$field\b/, map { qq({"$field":$_}) } @values;
    }
};

without_trace 'nesting is bounded' => sub {
    my $nested = sub ($depth) { '[' x $depth . ']' x $depth };
    for my $depth (100, 10_000, 1_000_000) {
        problem_is $client->request('POST', '/documents', json => $nested->($depth)), 400, {}, "$depth arrays";
        my $objects = '{"a":' x $depth . '1' . '}' x $depth;
        problem_is $client->request('POST', '/documents', json => $objects), 400, {}, "$depth objects"
          if length $objects < 2_000_000;
    }
    like $client->request('POST', '/documents', json => $nested->(1000))->json->{detail}, qr/deep/, 'the detail says why';
    is $client->request('POST', '/documents', json => '[' x 500_000)->status, 400, 'half of it';
};

without_trace 'a body that is broken off or framed wrongly writes nothing' => sub {
    my $head = "POST /notes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    for (
        [ 'a body cut short',        "${head}Content-Length: 20\r\n\r\n{\"text\":\"cut\"}" ],
        [ 'a chunked body cut short', "${head}Transfer-Encoding: chunked\r\n\r\ne\r\n{\"text\":\"cut\"}\r\n" ],
        [ 'a chunk size of 0x5',     "${head}Transfer-Encoding: chunked\r\n\r\n0x5\r\n{\"text\":\"cut\"}\r\n0\r\n\r\n" ],
        [ 'two lengths',             "${head}Content-Length: 14\r\nContent-Length: 15\r\n\r\n{\"text\":\"cut\"}" ],
      ) {
        my ($name, $bytes) = @$_;
        my $other = $server->client->send($bytes);
        $other->end_sending;
        like $other->rest, qr{^(?:HTTP/1\.1 400 |\z)}, $name;
    }
};

# Values that are fine, however they look: each is sent as JSON and must come back as PostgreSQL has it.
subtest 'what is right is written, with its digits' => sub {
    for (
        [ text    => '"plain"',                        '"plain"' ],
        [ text    => '1.10',                           '"1.10"' ],
        [ text    => '1e400',                          '"1e400"' ],
        [ text    => 'true',                           '"true"' ],
        [ text    => '"\/\b\f\n\r\t\"\\\\"',           '"/\b\f\n\r\t\"\\\\"' ],
        [ text    => '"\ud83e\udd8a\u00e9"',           '"🦊é"' ],
        [ text    => '""',                             '""' ],
        [ text    => 'null',                           'null' ],
        [ text    => '"null"',                         '"null"' ],
        [ small   => '-32768',                         '-32768' ],
        [ number  => '"2147483647"',                   '2147483647' ],
        [ number  => '-0',                             '0' ],
        [ big     => '9007199254740993',               '9007199254740993' ],
        [ big     => '-9223372036854775808',           '-9223372036854775808' ],
        [ exact   => '12345678901234567890.1234567890', '12345678901234567890.1234567890' ],
        [ exact   => '1E+2',                           '100' ],
        [ exact   => '"NaN"',                          '"NaN"' ],
        [ float   => '0.1',                            '0.1' ],
        [ float   => '1e-400',                         undef ],
        [ float   => '"-Infinity"',                    '"-Infinity"' ],
        [ truth   => 'false',                          'false' ],
        [ truth   => '"yes"',                          'true' ],
        [ key     => '"A0EEBC999C0B4EF8BB6D6BB9BD380A11"', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"' ],
        [ day     => '"2024-02-29"',                   '"2024-02-29"' ],
        [ doc     => '{"b":[1,2.50,{"c":null}],"a":"\u00e9"}', '{"a": "é", "b": [1, 2.50, {"c": null}]}' ],
        [ doc     => '"text"',                         '"text"' ],
        [ doc     => '5.10',                           '5.10' ],
        [ doc     => 'false',                          'false' ],
        [ doc     => 'null',                           'null' ],
        [ raw     => '{ "b": 1.0,  "a": [] }',         '{ "b": 1.0,  "a": [] }' ],
        [ numbers => '[1,null,-3]',                    '[1,null,-3]' ],
        [ numbers => '[]',                             '[]' ],
        [ numbers => '"{1,2}"',                        '[1,2]' ],
        [ texts   => '["a","",null,"NULL","{}","a,b","q\"b\\\\"," a ",1.50,true]',
                                                       '["a","",null,"NULL","{}","a,b","q\"b\\\\"," a ","1.50","true"]' ],
        [ docs    => '[{"a":[1]},"b",5,true]',         '[{"a": [1]},"b",5,true]' ],
      ) {
        my ($field, $json, $stored) = @$_;
        my $response = $client->request('POST', '/notes', json => qq({"$field":$json}));
        if (!defined $stored) {
            is $response->status, 400, "$field: $json has no place in its type";
            next;
        }
        is $response->status, 201, "$field: $json" or diag $response->body;
        my ($id) = $response->body =~ /"id":(\d+)/;
        json_is $cluster->value("SELECT coalesce(to_json($field), 'null') FROM note WHERE id = $id"), $stored,
          '… is in the table';
        json_is $response->body, $cluster->row_as_json("SELECT * FROM note WHERE id = $id"), '… and in the answer';
    }
};

subtest 'JSON may have blanks everywhere, and keys with escapes' => sub {
    my $response = $client->request('POST', '/notes', json => " \r\n\t{ \"t\\u0065xt\" :\t\"a\" ,\n\"number\" : 1 }\n ");
    is $response->status, 201;
    is $response->json->{text}, 'a', 'text';
    is $response->json->{number}, 1, 'number';
};

subtest 'a whole body is bound as jsonb' => sub {
    for (
        [ '{"b":1.50,"a":[null,"é"]}', '{"a": [null, "é"], "b": 1.50}' ],
        [ '[]', '[]' ],
        [ '[1,{"a":[]}]', '[1, {"a": []}]' ],
        [ '{}', '{}' ],
        [ '[' x 30 . ']' x 30, '[' x 30 . ']' x 30 ],
      ) {
        my ($json, $stored) = @$_;
        my $response = $client->request('POST', '/documents', json => $json);
        is $response->status, 201, excerpt($json);
        header_is $response, 'Content-Type', 'application/json';
        is $response->body, $stored, '… as the column has it';
    }
    is $client->request('POST', '/patches/7', json => '{"b":null}')->body, '{"b": null}', 'beside a part of the path';
    problem_is $client->request('POST', '/patches/7', json => '[]'), 400, {}, 'with fields it must be an object';
};

subtest 'texts of a megabyte go in and come out' => sub {
    for my $text ('x' x 1_000_000, '\u0041' x 170_000, '🦊' x 250_000, '\"' x 500_000) {
        my $response = $client->request('POST', '/notes', json => qq({"text":"$text"}));
        is $response->status, 201, length($text) . ' bytes of ' . excerpt(substr $text, 0, 8);
        my $got = $response->json->{text};
        utf8::encode($got);
        my $expected = $text =~ s/\\u0041/A/gr =~ s/\\"/"/gr;
        ok $got eq $expected, '… came back whole';
    }
    my $response = $client->request('POST', '/documents', json => '[' . join(',', ('"' . 'y' x 999 . '"') x 1000) . ']');
    is $response->status, 201, 'a document of a megabyte';
    is scalar @{ $response->json }, 1000, '… came back whole';
    $response = $client->request('POST', '/notes', json => '{"numbers":[' . join(',', 1 .. 100_000) . ']}');
    is scalar @{ $response->json->{numbers} }, 100_000, 'an array of 100,000 numbers, too';
};

# Texts that would be something else if they were ever a part of a statement.
my @HOSTILE = (
    q{'; DROP TABLE canary; --}, q{1; DELETE FROM canary}, q{' OR '1'='1}, q{" OR ""="}, q{\\'; DROP TABLE canary; --},
    q{$$; DROP TABLE canary; $$}, q{$1}, q{:text}, q{%s%n%x}, q{{title}}, q{'||(SELECT version())||'}, q{*/ DROP TABLE canary /*},
    "E'\\'", '{1,"2"}', 'NULL', '\x27', '\\', q{","x":"}, "${\ chr 8217}",
);

subtest 'values are only ever bound: injection through every source' => sub {
    for my $text (@HOSTILE) {
        utf8::encode(my $bytes = $text);
        my $escaped = join '', map { sprintf '%%%02X', $_ } unpack 'C*', $bytes;
        my $json    = '"' . ($bytes =~ s/(["\\])/\\$1/gr) . '"';
        my $slash   = $bytes =~ m{/};
        my $name    = excerpt($bytes);

        is $client->get("/echo/$escaped")->json->{path}, $text, "in the path: $name" if !$slash;
        is $client->get("/echo/a?query=$escaped")->json->{query}, $text, "in the query: $name";
        is_deeply $client->get("/echo/a?list=$escaped&list=$escaped")->json->{list}, [ $text, $text ], "in an array: $name";
        is $client->request('POST', '/notes', json => qq({"text":$json}))->json->{text}, $text, "in a field: $name";
        is_deeply $client->request('POST', '/notes', json => qq({"texts":[$json,$json]}))->json->{texts}, [ $text, $text ],
          "in an array field: $name";
        is_deeply $client->request('POST', '/documents', json => qq({$json:[$json]}))->json, { $text => [$text] },
          "in a document: $name";
        is $client->request('PUT', "/notes/a?more=$escaped", json => '{}')->json->{text}, "a$text", "in an expression: $name";
    }
    is $client->request('PUT', '/notes/b', json => q({"extra":"it's"}))->json->{text}, q(bit's), 'in a choice';
    is $cluster->value('SELECT count(*) FROM canary'), 1, 'the canary lives';
};

without_trace 'where a value of another type is due, hostile text is 400' => sub {
    for my $text (@HOSTILE) {
        utf8::encode(my $bytes = $text);
        my $escaped = join '', map { sprintf '%%%02X', $_ } unpack 'C*', $bytes;
        my $json    = '"' . ($bytes =~ s/(["\\])/\\$1/gr) . '"';
        problem_is $client->request('PUT', "/notes/a?number=$escaped", json => '{}'), 400, { parameter => 'number' },
          'number: ' . excerpt($bytes);
        problem_is $client->request('PUT', '/notes/a', json => qq({"extra":$json})), 400, { parameter => 'extra' },
          'extra: ' . excerpt($bytes);
        refused_as 'key', qr/key/, qq({"key":$json});
    }
    for my $number (qw(6 -6 99999999999 5.5)) {
        problem_is $client->request('PUT', "/notes/a?number=$number", json => '{}'), 400, { parameter => 'number' },
          "number: $number";
    }
};

subtest 'a GET may have a body; it is not looked at' => sub {
    for my $body ('{"query":"body"}', 'not JSON', "\xff\0", 'x' x 1_000_000) {
        my $response = $client->request('GET', '/echo/a?query=b', json => $body);
        is $response->body, '{"path":"a","query":"b","list":null}', excerpt($body);
    }
    is $client->get('/canary')->body, '{"id":1}', 'the next request on the connection is fine';
};

subtest 'wrong and right bodies between each other, all in one packet' => sub {
    my @wanted = map { ($_ % 2 ? [ 201, qq({"number":$_}) ] : [ 400, qq({"number":"x$_"}) ]), [ 400, '{' ] } 1 .. 40;
    $client->send(join '', map { Hayfork::Test::Client::request_text('POST', '/notes', json => $_->[1]) } @wanted);
    my @wrong;
    for (@wanted) {
        my ($status, $json) = @$_;
        my $response = $client->receive('POST');
        push @wrong, "$json: " . $response->status if $response->status != $status;
        push @wrong, "$json: " . $response->body if $status == 201 && $response->json->{number} != ($json =~ /(\d+)/)[0];
    }
    is "@wrong", '', 'each got its own answer';
};

is $client->get('/canary')->body, '{"id":1}', 'all is well after all that';
is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;
