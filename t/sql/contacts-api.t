# The contacts API of the conf that comes with Hayfork, as someone with curl would use it.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster->load_contacts;
my $server  = sample_server($cluster);
my $client  = $server->client;

my $CONTACT = 'SELECT id, firstname, lastname, phone, email FROM contact';

# Is the answer that status, with the contact just as PostgreSQL has it?
sub is_stored ($response, $status, $id, $name)
{
    return subtest $name => sub {
        is $response->status, $status, "status $status";
        header_is $response, 'Content-Type', 'application/json';
        json_is $response->body, $cluster->row_as_json("$CONTACT WHERE id = $id"), 'the contact as the database has it';
    };
}

# The answer is 201 and says where the new contact is: its id.
sub created ($response)
{
    is $response->status, 201, 'created';
    my ($id) = ($response->header('Location') // '') =~ m{^/contacts/(\d+)$};
    ok $id, 'Location is the path of the contact' or diag $response->body;
    return $id;
}

subtest 'a contact is made, read, replaced, changed and deleted' => sub {
    my $response = $client->request('POST', '/contacts',
        json => '{"firstname":"Ada","lastname":"Lovelace","phone":"+44 20 7946 0999","email":"ada@example.org"}');
    my $id = created($response);
    is $response->body,
      qq({"id":$id,"firstname":"Ada","lastname":"Lovelace","phone":"+44 20 7946 0999","email":"ada\@example.org"}),
      'the answer is the contact';
    is_stored $response, 201, $id, 'it is in the table';
    is $client->get("/contacts/$id")->body, $response->body, 'GET has it, too';

    $response = $client->request('PUT', "/contacts/$id", json => '{"lastname":"King","email":"ada@example.org"}');
    is_stored $response, 200, $id, 'PUT replaces it';
    is $response->body, qq({"id":$id,"firstname":null,"lastname":"King","phone":null,"email":"ada\@example.org"}),
      'what the body does not have is null';

    $response = $client->request('PATCH', "/contacts/$id", json => '{"firstname":"Augusta Ada"}');
    is_stored $response, 200, $id, 'PATCH changes it';
    is $response->body,
      qq({"id":$id,"firstname":"Augusta Ada","lastname":"King","phone":null,"email":"ada\@example.org"}),
      'what the body does not have stays';

    $response = $client->request('DELETE', "/contacts/$id");
    is $response->status, 204, 'DELETE answers 204';
    is $response->body, '', '… with nothing';
    is_deeply [ grep { /^content-/ } $response->names ], [], '… and no header field about a body';
    problem_is $client->get("/contacts/$id"), 404, {}, 'then it is gone';
    is $cluster->value("SELECT count(*) FROM contact WHERE id = $id"), 0, '… from the table, too';
};

subtest 'PATCH: absent stays, null clears' => sub {
    my $id = created($client->request('POST', '/contacts',
        json => '{"firstname":"Grace","lastname":"Hopper","phone":"+1 212 555 0199","email":"grace@example.org"}'));
    my @steps = (
        [ '{}',                                 'Grace', 'Hopper', '+1 212 555 0199', 'grace@example.org' ],
        [ '{"phone":null}',                     'Grace', 'Hopper', undef,             'grace@example.org' ],
        [ '{"email":"g@example.org"}',          'Grace', 'Hopper', undef,             'g@example.org' ],
        [ '{"phone":"","firstname":null}',      undef,   'Hopper', '',                'g@example.org' ],
        [ '{"phone":"+1 5","lastname":"H. \"G\""}', undef, 'H. "G"', '+1 5',          'g@example.org' ],
        [ '{"firstname":"G","lastname":"H","phone":null,"email":null}', 'G', 'H', undef, undef ],
    );
    for (@steps) {
        my ($patch, %contact) = ($_->[0], id => $id);
        @contact{qw(firstname lastname phone email)} = $_->@[ 1 .. 4 ];
        my $response = $client->request('PATCH', "/contacts/$id", json => $patch);
        is_stored $response, 200, $id, $patch;
        is_deeply $response->json, \%contact, '… and no more than that was changed';
    }

    problem_is $client->request('PATCH', "/contacts/$id", json => '{"lastname":null}'), 422,
      { parameter => 'lastname' }, 'a column that must not be null is not cleared';
    problem_is $client->request('PATCH', "/contacts/$id", json => '{"id":1}'), 400, { parameter => 'id' },
      'a field that `body` does not have is refused';
    problem_is $client->request('PATCH', '/contacts/0', json => '{"phone":null}'), 404, {}, 'nobody is changed';
    is_deeply $client->get("/contacts/$id")->json->{lastname}, 'H', 'the contact is as it was';
};

subtest 'a PUT or DELETE of nobody is 404' => sub {
    problem_is $client->request('PUT', '/contacts/0', json => '{"lastname":"Nobody"}'), 404, {}, 'PUT';
    problem_is $client->request('DELETE', '/contacts/0'), 404, {}, 'DELETE';
};

subtest 'a DELETE twice is 204, then 404' => sub {
    my $id = created($client->request('POST', '/contacts', json => '{"lastname":"Brief"}'));
    is $client->request('DELETE', "/contacts/$id")->status, 204, 'once';
    problem_is $client->request('DELETE', "/contacts/$id"), 404, {}, 'twice';
};

subtest 'whatever is in a text arrives in the table' => sub {
    for (
        [ 'quotes and backslashes', q("\"\\\\/ ' '' $$ E'\\\\n"),             q("\/ ' '' $$ E'\n) ],
        [ 'escapes',                q("\b\f\n\r\t\u0041\u00e9\ud83e\udd8a"), "\b\f\n\r\tA\x{e9}\x{1f98a}" ],
        [ 'UTF-8',                  '"佐藤 é 🦊"',                           "\x{4f50}\x{85e4} \x{e9} \x{1f98a}" ],
        [ 'SQL',                    q{"'); DROP TABLE contact; --"},         q{'); DROP TABLE contact; --} ],
        [ 'names of parameters',    '":id $1 %s {id}"',                      ':id $1 %s {id}' ],
        [ 'an empty text',          '""',                                    '' ],
        [ 'a number',               '12.50',                                 '12.50' ],
        [ 'a truth',                'true',                                  'true' ],
      ) {
        my ($name, $json, $text) = @$_;
        my $response = $client->request('POST', '/contacts', json => qq({"lastname":$json}));
        my $id       = created($response);
        is $response->json->{lastname}, $text, $name;
        is_stored $client->get("/contacts/$id"), 200, $id, '… and comes back';
    }
};

subtest 'a wrong contact is refused, with the constraint named' => sub {
    my $before = $cluster->value('SELECT count(*) FROM contact');
    for (
        [ 422, { parameter => 'lastname' },              '{"firstname":"Nobody"}' ],
        [ 422, { parameter => 'lastname' },              '{"lastname":null}' ],
        [ 422, { parameter => 'lastname' },              '{}' ],
        [ 422, { constraint => 'contact_phone_check' },  '{"lastname":"N","phone":"ask me"}' ],
        [ 422, { constraint => 'contact_email_check' },  '{"lastname":"N","email":"nowhere"}' ],
        [ 409, { constraint => 'contact_email_key' },    '{"lastname":"N","email":"emma.walker@example.org"}' ],
        [ 400, { parameter => 'surname' },               '{"lastname":"N","surname":"N"}' ],
        [ 400, {},                                       '{"lastname":"N","lastname":"M"}' ],
        [ 400, {},                                       '["lastname"]' ],
        [ 400, {},                                       '{"lastname":"N"' ],
      ) {
        my ($status, $members, $json) = @$_;
        problem_is $client->request('POST', '/contacts', json => $json), $status, $members, $json;
    }
    is $cluster->value('SELECT count(*) FROM contact'), $before, 'nothing was written';
};

subtest 'PUT and PATCH are held to the constraints, too' => sub {
    my %taken = (json => '{"lastname":"Walker","email":"siobhan.obrien@example.org"}');
    for my $method (qw(PUT PATCH)) {
        problem_is $client->request($method, '/contacts/1', %taken), 409, { constraint => 'contact_email_key' },
          "$method with an address that is taken";
        problem_is $client->request($method, '/contacts/1', json => '{"lastname":"Walker","phone":"?"}'), 422,
          { constraint => 'contact_phone_check' }, "$method with a wrong phone number";
    }
    is $client->get('/contacts/1')->json->{email}, 'emma.walker@example.org', 'the contact is as it was';
};

subtest 'POST /contacts/batch makes many contacts of an array' => sub {
    my $response = $client->request('POST', '/contacts/batch', json => <<~'JSON');
        [ {"firstname": "Tove", "lastname": "Jansson"},
          {"lastname": "Ærø", "phone": "+45 33 00 00 00", "email": "aero@example.org"},
          {"lastname": "Null", "firstname": null} ]
        JSON
    is $response->status, 201, 'created';
    my @ids = map { $_->{id} } @{ $response->json };
    is scalar @ids, 3, 'three ids';
    is_stored $client->get("/contacts/$_"), 200, $_, "contact $_" for @ids;
    is $client->get("/contacts/$ids[0]")->json->{firstname}, 'Tove', 'in the order of the array';

    $response = $client->request('POST', '/contacts/batch', json => '[]');
    is $response->status, 201, 'an empty array is fine';
    json_is $response->body, '[]', '… and makes nobody';

    my $thousand = join ',', map { qq({"lastname":"Many $_","email":"many$_\@example.org"}) } 1 .. 1000;
    $response = $client->request('POST', '/contacts/batch', json => "[$thousand]");
    is $response->status, 201, 'a thousand';
    is scalar @{ $response->json }, 1000, '… ids';

    my $before = $cluster->value('SELECT count(*) FROM contact');
    problem_is $client->request('POST', '/contacts/batch', json => '[{"lastname":"One"},{"firstname":"Two"}]'), 422, {},
      'one that is wrong';
    problem_is $client->request('POST', '/contacts/batch', json => '[{"lastname":"One"}'), 400, {}, 'an array without end';
    is $cluster->value('SELECT count(*) FROM contact'), $before, 'all or nothing';
};

subtest 'GET /contacts/search finds by a part of a name or address, in the order asked for' => sub {
    my $found = sub ($q, $order, $limit = 100) {
        return $cluster->rows_as_json(<<~SQL);
            $CONTACT WHERE strpos(lower(concat_ws(' ', firstname, lastname, email)), lower('$q')) > 0
             ORDER BY $order LIMIT $limit
            SQL
    };
    for (
        [ 'q=walker',                          'walker',  'lastname, id' ],
        [ 'q=WALKER&sort=firstname',           'walker',  'firstname, id' ],
        [ 'sort=email&q=john',                 'john',    'email, id' ],
        [ 'q=john&sort=id&limit=7',            'john',    'id', 7 ],
        [ 'q=Mary+Ann&limit=5',                'mary ann', 'lastname, id', 5 ],
        [ 'q=Mary%20Ann&limit=5&sort=lastname',        'mary ann', 'lastname, id', 5 ],
        [ 'q=%22zoe%5C%22',                    '"zoe\"',  'lastname, id' ],
        [ 'q=%25',                             '%',       'lastname, id' ],
        [ 'q=O%27Neil',                        "O''Neil", 'lastname, id' ],
        [ 'q=',                                '',        'lastname, id' ],
      ) {
        my ($query, @expected) = @$_;
        my $response = $client->get("/contacts/search?$query");
        is $response->status, 200, "/contacts/search?$query";
        json_is $response->body, $found->(@expected), '… as PostgreSQL finds them';
    }
    json_is $client->get('/contacts/search?q=there+is+nobody')->body, '[]', 'nobody is an empty array';

    for (
        [ 'sort=id',                 'q' ],
        [ 'q=a&sort=phone',          'sort' ],
        [ 'q=a&sort=Lastname',       'sort' ],
        [ 'q=a&sort=',               'sort' ],
        [ 'q=a&sort=id%3B+DROP',     'sort' ],
        [ 'q=a&sort=lastname+DESC',  'sort' ],
        [ 'q=a&limit=0',             'limit' ],
        [ 'q=a&limit=1001',          'limit' ],
        [ 'q=a&limit=-1',            'limit' ],
        [ 'q=a&limit=ten',           'limit' ],
        [ 'q=a&q=b',                 'q' ],
        [ 'q=a&order=id',            'order' ],
      ) {
        my ($query, $parameter) = @$_;
        my $response = $client->get("/contacts/search?$query");
        problem_is $response, 400, { parameter => $parameter }, "/contacts/search?$query";
    }
    my $detail = $client->get('/contacts/search?q=a&sort=phone')->json->{detail};
    like $detail, qr/lastname.*firstname.*email.*id/, 'the choices are told';
    $detail = $client->get('/contacts/search?q=a&limit=1001')->json->{detail};
    like $detail, qr/\b1\b.*\b1000\b/, 'the bounds are told';
};

subtest 'POST /contacts/{id}/merge calls a function' => sub {
    my ($keep, $other) = map { created($client->request('POST', '/contacts', json => $_)) }
      '{"lastname":"Keep","phone":"+1"}', '{"firstname":"Other","lastname":"Other","phone":"+2","email":"o@example.org"}';
    is $client->request('POST', "/contacts/$other/calls", json => '{"minutes":5}')->status, 201, 'a call of the other one';

    my $response = $client->request('POST', "/contacts/$keep/merge", json => qq({"other":$other}));
    is_stored $response, 200, $keep, 'they are merged';
    is $response->body, qq({"id":$keep,"firstname":"Other","lastname":"Keep","phone":"+1","email":"o\@example.org"}),
      'each gave what it had';
    problem_is $client->get("/contacts/$other"), 404, {}, 'the other one is gone';
    is scalar @{ $client->get("/contacts/$keep/calls")->json->{calls} }, 1, 'the call was kept';

    $response = $client->request('POST', "/contacts/$keep/merge", json => qq({"other":$keep}));
    problem_is $response, 400, {}, 'RAISE EXCEPTION is 400';
    is $response->json->{detail}, 'A contact cannot be merged with itself.', '… with its message';
    $response = $client->request('POST', "/contacts/$keep/merge", json => '{"other":0}');
    problem_is $response, 404, {}, 'RAISE with ERRCODE PT404 is 404';
    is $response->json->{detail}, 'There is no contact 0 to merge with.', '… with its message';
    problem_is $client->request('POST', '/contacts/0/merge', json => qq({"other":$keep})), 404, {},
      'a function that returns no row is 404';
    problem_is $client->request('POST', "/contacts/$keep/merge", json => '{"other":null}'), 404, {}, 'so is null';
    for my $json ('{}', '{"other":"x"}', '{"other":[]}', '{"other":1.5}') {
        problem_is $client->request('POST', "/contacts/$keep/merge", json => $json), 400, { parameter => 'other' }, $json;
    }
    is $client->get("/contacts/$keep")->status, 200, 'the contact is still there';
};

subtest 'GET /contacts/{id}/calls has an array in the object' => sub {
    json_is $client->get('/contacts/1/calls')->body, $cluster->value(<<~'SQL'), 'with calls';
        SELECT row_to_json(q) FROM (
            SELECT id, firstname, lastname,
                   (SELECT json_agg(row_to_json(c))
                      FROM (SELECT started, minutes, note FROM phone_call WHERE contact_id = 1 ORDER BY started) c) AS calls
              FROM contact WHERE id = 1) q
        SQL
    is scalar @{ $client->get('/contacts/1/calls')->json->{calls} }, 2, '… two';
    is_deeply $client->get('/contacts/3/calls')->json->{calls}, [], 'without calls it is empty';
    problem_is $client->get('/contacts/0/calls'), 404, {}, 'nobody has no calls';
};

subtest 'POST /contacts/{id}/calls adds one' => sub {
    my $response = $client->request('POST', '/contacts/4/calls',
        json => '{"started":"2024-05-01T10:00:00+02:00","minutes":7,"note":"Back on \"Monday\""}');
    is $response->status, 201, 'created';
    is $response->json->{minutes}, 7, 'it is in the answer';
    is $cluster->value('SELECT minutes || note FROM phone_call WHERE contact_id = 4'), '7Back on "Monday"', 'and in the table';
    is $client->request('POST', '/contacts/4/calls', json => '{"minutes":"8"}')->status, 201, 'a number may be a text';

    for (
        [ 400, { parameter => 'started' },                     4, '{"minutes":1,"started":"yesterday week"}' ],
        [ 400, { parameter => 'started' },                     4, '{"minutes":1,"started":"2024-02-30"}' ],
        [ 400, { parameter => 'minutes' },                     4, '{"minutes":"long"}' ],
        [ 400, { parameter => 'minutes' },                     4, '{"minutes":99999999999}' ],
        [ 422, { constraint => 'phone_call_minutes_check' },   4, '{"minutes":-1}' ],
        [ 422, { parameter => 'minutes' },                     4, '{}' ],
        [ 409, { constraint => 'phone_call_contact_id_fkey' }, 0, '{"minutes":1}' ],
      ) {
        my ($status, $members, $id, $json) = @$_;
        problem_is $client->request('POST', "/contacts/$id/calls", json => $json), $status, $members, "$id: $json";
    }
    is $cluster->value('SELECT count(*) FROM phone_call WHERE contact_id IN (0, 4)'), 2, 'only the right ones are there';
};

subtest 'the profile is a document of its own' => sub {
    my $response = $client->get('/contacts/1/profile');
    is $response->status, 200;
    header_is $response, 'Content-Type', 'application/json';
    is $response->body, $cluster->value('SELECT profile FROM contact WHERE id = 1'), 'as it is in the column';
    json_is $client->get('/contacts/2/profile')->body, '{}', 'one that is not there is empty';
    problem_is $client->get('/contacts/0/profile'), 404, {}, 'nobody has none';

    my @steps = (
        [ '{"language":"sv"}',                    '{"language": "sv"}' ],
        [ '{"size":1.50,"deep":[{"er":[]}]}',     '{"deep": [{"er": []}], "size": 1.50, "language": "sv"}' ],
        [ '{"language":null,"deep":[null,"\ud83e\udd8a"]}', '{"deep": [null, "🦊"], "size": 1.50}' ],
        [ '{}',                                   '{"deep": [null, "🦊"], "size": 1.50}' ],
    );
    for (@steps) {
        my ($changes, $profile) = @$_;
        is $client->request('PATCH', '/contacts/2/profile', json => $changes)->body, $profile, "PATCH $changes";
    }
    is $client->get('/contacts/2/profile')->body, $steps[-1][1], 'GET has it, too';
    for my $json ('[1]', '"text"', '5', 'null') {
        my $response = $client->request('PATCH', '/contacts/3/profile', json => $json);
        like $response->status, qr/^(?:400|422)$/, "PATCH $json is refused";
    }
    is $cluster->value('SELECT profile IS NULL FROM contact WHERE id = 3'), 't', 'nothing was written';
    problem_is $client->request('PATCH', '/contacts/0/profile', json => '{}'), 404, {}, 'PATCH of nobody';
};

is $server->stop, 'exit 0', 'it ends well';
is_deeply [ $server->log_lines(qr/ (?:warn|error) /) ], [], 'without a complaint';

subtest 'the tables may be loaded again' => sub {
    my $state = q(SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM contact c);
    $cluster->psql('INSERT INTO phone_call (contact_id, minutes) VALUES (7, 1)');
    my ($contacts, $calls) = ($cluster->value($state), $cluster->value('SELECT count(*) FROM phone_call'));
    $cluster->load_contacts;
    is $cluster->value($state), $contacts, 'the contacts stay as they are';
    is $cluster->value('SELECT count(*) FROM phone_call'), $calls, 'the calls, too';
    like $cluster->value(q(INSERT INTO contact (lastname) VALUES ('New') RETURNING id)), qr/^\d+$/, 'new ones find an id';
};

done_testing;
