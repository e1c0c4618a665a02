# Methods, media types, framing and URL parameters, as the routes declare them.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster;
$cluster->psql('CREATE TABLE item (id serial PRIMARY KEY, name text)');

my $server = server(<<~CONF, cluster => $cluster, lanes => 2);
    workers: 1
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /:
        text: "hello\\n"
      GET /items:
        sql: |
          SELECT id, name FROM item ORDER BY id
        answer: rows
      POST /items:
        sql: |
          INSERT INTO item (name) VALUES (:name) RETURNING id, name
        body: [name]
        answer: row
        status: 201
        headers: { Location: "/items/{id}" }
      GET /items/{id}:
        sql: |
          SELECT id, name FROM item WHERE id = :id
        answer: row
        headers: { X-Item: "{name}" }
      DELETE /items/{id}:
        sql: |
          DELETE FROM item WHERE id = :id
        answer: none
      PUT /items/{id}:
        sql: |
          UPDATE item SET name = :name WHERE id = :id RETURNING id, name
        body: [name]
        answer: row
      PATCH /items/{id}/touch:
        sql: |
          UPDATE item SET name = name || '!' WHERE id = :id RETURNING name
        answer: value
      ANY /any/{name}:
        sql: |
          SELECT :name::text AS name
        answer: row
      GET /any/exact:
        text: "exact\\n"
      GET /files/{path...}:
        sql: |
          SELECT :path::text AS path
        answer: row
      GET /query:
        sql: |
          SELECT :text::text AS text, :number::int AS number, :truth::bool AS truth, :default::text AS "default",
                 :texts::text[] AS texts, :numbers::int[] AS numbers, :json::jsonb AS json
        query: { text: null, number: 7, truth: null, default: "as it is", texts: null, numbers: "{1,2}", json: null }
        answer: row
      GET /needed:
        sql: |
          SELECT :text::text AS text, :number::int AS number
        query:
          text: { required: true }
          number: { required: true, min: 1 }
        answer: row
      GET /lenient:
        sql: |
          SELECT :a::int AS a
        query: [a]
        unknown_query: ignore
        answer: row
    CONF
my $client = $server->client;

my $JSON = 'application/json';

subtest 'HEAD is GET without its body' => sub {
    $client->request('POST', '/items', json => '{"name":"one"}');
    for my $target (qw(/ /items /items/1 /items/99 /items/x /query /any/a /any/exact /files/a/b)) {
        my $get  = $client->get($target);
        my $head = $client->request('HEAD', $target);
        is $head->status, $get->status, "HEAD $target: status";
        is_deeply [ $head->names ], [ $get->names ], '… the same header fields';
        is $head->header($_), $get->header($_), "… the same $_" for qw(Content-Type Content-Length X-Item);
        is $head->body, '', '… and no body';
    }
    is $client->request('HEAD', '/items/1')->header('X-Item'), 'one', 'a header with a column of the row';
    problem_is $client->get('/items/99'), 404, {}, 'the connection is in step';
};

subtest 'HEAD where there is no GET is 405' => sub {
    is $client->request('HEAD', '/items/1/touch')->status, 405, 'HEAD /items/1/touch';
    is $client->get('/items/1')->json->{name}, 'one', 'and did nothing';
};

subtest 'OPTIONS and 405 tell the methods' => sub {
    for (
        [ '/',              'GET, HEAD, OPTIONS' ],
        [ '/items',         'GET, HEAD, OPTIONS, POST' ],
        [ '/items/1',       'DELETE, GET, HEAD, OPTIONS, PUT' ],
        [ '/items/x',       'DELETE, GET, HEAD, OPTIONS, PUT' ],
        [ '/items/1/touch', 'OPTIONS, PATCH' ],
        [ '/query',         'GET, HEAD, OPTIONS' ],
      ) {
        my ($path, $allow) = @$_;
        my $response = $client->request('OPTIONS', $path);
        is $response->status, 204, "OPTIONS $path";
        is join(', ', sort split /, /, $response->header('Allow')), $allow, '… tells the methods';
        for my $method (grep { $allow !~ /\b$_\b/ } qw(GET HEAD POST PUT PATCH DELETE)) {
            $response = $client->request($method, $path);
            is $response->status, 405, "$method $path is 405";
            is join(', ', sort split /, /, $response->header('Allow')), $allow, '… and tells the methods';
        }
        for my $method ('BREW', 'get', 'PROPFIND') {
            problem_is $response = $client->request($method, $path), 501, {}, "$method is no method of this server";
            is join(', ', sort split /, /, $response->header('Allow')), $allow, '… which tells those it has here';
        }
    }
    for ('*', 'http://test', 'http://test:80') {
        my $response = $client->request('OPTIONS', $_);
        is $response->status, 204, "OPTIONS $_";
        is $response->header('Allow'), 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS', '… tells those of all paths';
    }
    is $client->get('http://test?x=1')->body, "hello\n", 'a URI without a path is about the root';
    problem_is $client->request('OPTIONS', '/nowhere'), 404, {}, 'OPTIONS of a path that is not there';
    problem_is $client->request('POST', '/nowhere', json => '{}'), 404, {}, 'POST to a path that is not there';
};

subtest 'ANY takes every method, a literal path and a named method come first' => sub {
    is $client->request($_, '/any/a')->body, '{"name":"a"}', "$_ /any/a" for qw(GET POST PUT PATCH DELETE);
    is $client->get('/any/exact')->body, "exact\n", 'GET /any/exact';
    is $client->get("/files/$_->[0]")->json->{path}, $_->[1], "{path...} is the rest of the path: $_->[0]"
      for [ 'a/b%20c/d', 'a/b c/d' ], [ '', '' ], [ 'a//b/', 'a//b/' ], [ 'a%2Fb/c', 'a/b/c' ], [ '../+', '../+' ];
    is $client->get('/files')->status, 404, '… and there has to be a slash in front of it';
};

subtest 'a body is taken as JSON if it says so' => sub {
    for my $type ($JSON, 'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset="UTF-8"',
        'application/merge-patch+json', 'application/vnd.api+json', 'application/vnd.api+json; version=1') {
        my $response = $client->request('PUT', '/items/1', body => '{"name":"one"}', headers => { 'Content-Type' => $type });
        is $response->status, 200, $type;
    }
};

subtest 'any other body is 415, and nothing is done' => sub {
    for my $type ('text/plain', 'text/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
        'application/jsonx', 'application/json-patch', 'application/xml', 'json', 'application/', 'x/application/json',
        'application/+json', '', 'text/plain, application/json') {
        my $response = $client->request('PUT', '/items/1', body => '{"name":"wrong"}', headers => { 'Content-Type' => $type });
        problem_is $response, 415, {}, "Content-Type: $type";
    }
    problem_is my $response = $client->request('PUT', '/items/1', body => '{"name":"wrong"}'), 415, {}, 'no Content-Type';
    header_is $response, 'Accept', 'application/json', '… and the answer tells what is taken';
    for my $coding ('gzip', 'br', 'identity, gzip', 'unknown') {
        problem_is $response = $client->request('PUT', '/items/1', json => '{"name":"wrong"}', headers => { 'Content-Encoding' => $coding }),
          415, {}, "Content-Encoding: $coding";
        header_is $response, 'Accept-Encoding', 'identity', '… and the answer tells what is taken';
    }
    like $client->request('PUT', '/items/1', body => '{}')->json->{detail}, qr{application/json}, 'the detail says what is taken';
    is $client->get('/items/1')->json->{name}, 'one', 'nothing was written';
};

subtest 'a route without `body` does not look at one' => sub {
    is $client->request('PATCH', '/items/1/touch')->body, 'one!', 'without a body';
    is $client->request('PATCH', '/items/1/touch', body => 'what?')->body, 'one!!', 'with one of no type';
    is $client->request('DELETE', '/items/0', json => '{')->status, 404, 'with a wrong one';
    is $client->get('/items/1')->json->{name}, 'one!!', 'and the connection is in step';
};

subtest 'a chunked body needs no length' => sub {
    my $head = "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: $JSON\r\nTransfer-Encoding: chunked\r\n";
    for (
        [ 'in one chunk',               qq(f\r\n{"name":"many"}\r\n0\r\n\r\n) ],
        [ 'byte by byte',               join('', map { "1\r\n$_\r\n" } split //, '{"name":"many"}') . "0\r\n\r\n" ],
        [ 'with extensions and a trailer', qq(00F;a="b"\r\n{"name":"many"}\r\n0;c\r\nX-Trailer: d\r\n\r\n) ],
      ) {
        my ($name, $chunks) = @$_;
        $client->send("$head\r\n$chunks");
        my $response = $client->receive('POST');
        is $response->status, 201, $name;
        is $response->json->{name}, 'many', '… the text';
    }
    $client->send("$head\r\n0\r\n\r\n");
    problem_is $client->receive('POST'), 400, {}, 'an empty one is 400';
};

subtest 'a client that waits for 100 (Continue) gets it' => sub {
    my $body = '{"name":"patient"}';
    my $head = sub ($type) {
        return "POST /items HTTP/1.1\r\nHost: test\r\nContent-Type: $type\r\nContent-Length: ${\ length $body }\r\n"
          . "Expect: 100-continue\r\n\r\n";
    };
    my $other = $server->client->send($head->($JSON));
    is $other->receive('POST')->status, 100, 'before it sends the body';
    $other->send($body);
    is $other->receive('POST')->status, 201, 'and then its answer';
    is $server->client->send($head->('text/plain'))->receive('POST')->status, 415, 'one that is refused need not send it';
};

# The answer of /query, with what is not said as it is by default.
sub query ($target)
{
    my $response = $client->get("/query?$target");
    is $response->status, 200, "/query?$target" or diag $response->body;
    return $response->status == 200 ? $response->json : {};
}

subtest 'URL parameters are decoded' => sub {
    for (
        [ 'text=a+b',                 'a b' ],
        [ 'text=a%2Bb',               'a+b' ],
        [ 'text=a%20b',               'a b' ],
        [ 'text=+',                   ' ' ],
        [ 'text=%26%3D%3F%23%2F',     '&=?#/' ],
        [ 'text=a=b',                 'a=b' ],
        [ 'text=a;b',                 'a;b' ],
        [ 'text=/?:@!$\'()*,',        '/?:@!$\'()*,' ],
        [ 'text=%C3%A9%F0%9F%A6%8A',  "\x{e9}\x{1f98a}" ],
        [ 't%65xt=a',                 'a' ],
        [ '&&text=a&',                'a' ],
        [ 'text=%252B',               '%2B' ],
      ) {
        my ($target, $text) = @$_;
        is query($target)->{text}, $text, '… the text';
    }
    is $client->get('/any/a+b')->json->{name}, 'a+b', 'in a path + is a plus';
    is $client->get('/any/a%2Bb%20c')->json->{name}, 'a+b c', '… and %20 a blank';
};

subtest 'defaults, empty and absent URL parameters' => sub {
    my %default = (text => undef, number => 7, truth => undef, default => 'as it is', texts => undef, numbers => [ 1, 2 ],
        json => undef);
    is_deeply query(''), \%default, 'absent: the default';
    is_deeply query('text=&number=&truth=&default=&numbers=&json='), { %default, text => '', default => '' },
      'empty: an empty text for text, the default otherwise';
    is_deeply query('text'), { %default, text => '' }, 'a name without =';
    is query('text=null')->{text}, 'null', 'null is a text like any other';
    is query('json=null')->{json}, undef, 'null as JSON is null';
    is_deeply query('json=%7B%22a%22:%5B1.50%5D%7D')->{json}, { a => [ 1.5 ] }, 'JSON in a URL parameter';
    is query('truth=off&number=-3')->{number}, -3, 'a negative number';
};

subtest 'a repeated URL parameter is an array where one is wanted, else 400' => sub {
    is_deeply query('texts=a')->{texts},                         ['a'],                   'once';
    is_deeply query('texts=a&texts=b&texts=a')->{texts},         [ 'a', 'b', 'a' ],       'three times';
    is_deeply query('texts=a&number=1&texts=b')->{texts},        [ 'a', 'b' ],            'with another in between';
    is_deeply query('texts=a,b&texts=%7Bc%7D&texts=%22')->{texts}, [ 'a,b', '{c}', '"' ], 'whatever is in them';
    is_deeply query('texts=&texts=NULL')->{texts},               [ '', 'NULL' ],          'empty, and what looks like NULL';
    is_deeply query('numbers=3&numbers=-4')->{numbers},          [ 3, -4 ],               'numbers';
    problem_is $client->get('/query?text=a&text=b'), 400, { parameter => 'text' }, 'a text twice';
    problem_is $client->get('/query?number=1&number=1'), 400, { parameter => 'number' }, 'a number twice';
    problem_is $client->get('/query?numbers=1&numbers=x'), 400, { parameter => 'numbers' }, 'an array with a wrong element';
};

subtest 'required URL parameters' => sub {
    is $client->get('/needed?text=&number=1')->body, '{"text":"","number":1}', 'there';
    problem_is $client->get('/needed'),                 400, { parameter => 'text' },   'neither';
    problem_is $client->get('/needed?text=a'),          400, { parameter => 'number' }, 'one';
    problem_is $client->get('/needed?text=a&number='),  400, { parameter => 'number' }, 'an empty number';
    problem_is $client->get('/needed?text=a&number=0'), 400, { parameter => 'number' }, 'one that is out of bounds';
};

subtest 'an undeclared URL parameter is 400, or ignored where the route says so' => sub {
    problem_is $client->get('/query?texts=a&nothing=1'), 400, { parameter => 'nothing' }, 'by default';
    problem_is $client->get('/query?a%22b=1'), 400, { parameter => 'a"b' }, 'its name in the answer';
    problem_is $client->get('/items?x'), 400, { parameter => 'x' }, 'where none is declared';
    problem_is $client->request('DELETE', '/items/1?force=1'), 400, { parameter => 'force' }, 'for DELETE';
    is $client->get('/items/1')->status, 200, '… which did nothing';
    is $client->get('/lenient?utm_source=mail&a=5&b=&c')->body, '{"a":5}', 'unknown_query: ignore';
    problem_is $client->get('/lenient?a=x&b=1'), 400, { parameter => 'a' }, '… does not ignore what is declared';
    is $client->get('/lenient?a=1&b=2&b=3')->body, '{"a":1}', '… but all else';
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';
done_testing;
