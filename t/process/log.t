# The log: a line is what it looks like whoever had a part in it, what repeats is counted, and of a row there is
# no more than its beginning.
use v5.36;

use Hayfork::Test;

needs_postgres;
my $cluster = cluster;
$cluster->psql(<<"SQL");
    CREATE TABLE wide (${\ join ', ', map { "c$_ text" } 1 .. 40 }, CHECK (c1 <> '!'));
    CREATE TABLE note (id int, text text CONSTRAINT no_shouting CHECK (text NOT LIKE '%!%'), secret text);
SQL

sub start (%with)
{
    return server(<<~CONF, cluster => $cluster, options => { workers => 2, %with });
        database:
          connect: ${\ $cluster->conninfo }
        routes:
          POST /notes:
            sql: |
              INSERT INTO note VALUES (:id, :text, :secret)
            body: [id, text, secret]
            answer: none
          POST /wide:
            sql: |
              INSERT INTO wide (c1, c2, c40)
              SELECT :text, repeat('ä', 20), 'hunter2'
            body: [text]
            answer: none
          POST /cast:
            sql: |
              SELECT (:text::text || '!')::date
            body: [text]
            answer: none
        CONF
}

sub post ($server, $json, $path = '/notes')
{
    return $server->request('POST', $path, json => $json);
}

subtest 'what cannot be seen is seen' => sub {
    my $server = start(log => 'debug');    # one like the other, and all of them
    for (
        [ 'ESC',                      '\u001b[2J',               '\x1b[2J' ],
        [ 'a line break',             '1\r\n2',                  '1\r\n2' ],
        [ 'DEL',                      '\u007f',                  '\x7f' ],
        [ 'C1',                       '\u009b31m',               '\u009b31m' ],
        [ 'another direction',        '\u202egnp.exe',           '\u202egnp.exe' ],
        [ 'a separator of lines',     '1\u20282',                '1\u20282' ],
        [ 'no width at all',          'ad\u200bmin',             'ad\u200bmin' ],
        [ 'a backslash and a letter', '\\\\\\\\x1b',             '\\\\\\\\x1b' ],
        [ 'letters',                  "\xc3\xa4 \xe4\xbd\xa0", "\xc3\xa4 \xe4\xbd\xa0" ],
      )
    {
        my ($what, $json, $seen) = @$_;
        my $problem = post($server, qq({ "text": "$json!" }))->json;
        is $problem->{status}, 422, "$what, and an answer as usual";
        my ($line) = $server->log_lines(qr/\(request $problem->{request_id}\)$/);
        like $line, qr/SQLSTATE 23514: .*: Failing row contains \(null, \Q$seen\E!, null\)\. \(request/, '… can be read';
    }
    is $server->stop, 'exit 0';
};

subtest 'what repeats is counted, by route and SQLSTATE, whichever worker meets it' => sub {
    my $server = start();
    is post($server, '{ "text": "!" }')->status, 422, 'a mistake' for 1 .. 30;
    is post($server, '{ "text": "x" }', '/cast')->status, 400, 'another one' for 1 .. 10;
    is scalar $server->log_lines(qr{POST /\w+: $_: }), 1, "$_ is one line" for 422, 400;
    is $server->stop, 'exit 0';
    is_deeply [ sort map { s/^.*?\]: //r } $server->log_lines(qr/ more in the last minute$/) ],
      [ 'POST /cast: 400: SQLSTATE 22007: 9 more in the last minute',
        'POST /notes: 422: SQLSTATE 23514: 29 more in the last minute' ], 'and its count at the end';
};

subtest 'with log: debug each line is there' => sub {
    my $server = start(log => 'debug');
    post($server, '{ "text": "!" }') for 1 .. 5;
    is scalar $server->log_lines(qr{POST /notes: 422: SQLSTATE 23514: new row}), 5;
    is $server->stop, 'exit 0';
};

subtest 'of a row there is the beginning' => sub {
    my $server  = start();
    my $problem = post($server, '{ "text": "!" }', '/wide')->json;
    my ($line)  = $server->log_lines(qr/\(request $problem->{request_id}\)$/);
    like $line, qr/: Failing row contains \(!, (?:\xc3\xa4){20}, null, .*\xe2\x80\xa6 \(request/, 'and a mark where it is cut';
    unlike $line, qr/hunter2/, 'what comes later is not there';

    # The message itself may have a value in it, too.
    my $long = "\xc3\xa4" x 5000;
    $problem = post($server, qq({ "text": "$long" }), '/cast')->json;
    ($line) = $server->log_lines(qr/\(request $problem->{request_id}\)$/);
    like $line, qr/SQLSTATE 22007: invalid input syntax for type date: "(?:\xc3\xa4){150,250}\xe2\x80\xa6 \(request/,
      'so has a value';
    is $server->stop, 'exit 0';
};

done_testing;
