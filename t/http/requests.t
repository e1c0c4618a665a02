# HTTP/1.1 requests as RFC 9110, RFC 9112 and RFC 3986 have them, byte by byte: what is taken for one, what is
# refused with which status, and where the next one begins.
#
# Every row is sent with GET /second pipelined after it: in one piece, one byte at a time, and split at
# random places. What counts is not the statuses alone, but which requests the handlers saw: a request that
# someone else put into a body, or a body taken for a request, is how requests are smuggled.
use v5.36;

use Hayfork::Test;

use List::Util qw(min);
use Time::HiRes qw(usleep);

my $seed = $ENV{HAYFORK_SEED} // int rand 1 << 31;
srand $seed;
note "HAYFORK_SEED=$seed";

my $echo = Hayfork::Test::Echo->start(
    'limits.head'   => '2K',
    'limits.target' => 256,
    'limits.fields' => 16,
    'limits.body'   => '1K',
);
my $SECOND = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
my $PROBE  = "GET /probe HTTP/1.1\r\nHost: a\r\n\r\n";
my $n_rows = 0;

# --- how a row is sent and judged ---

my %PIECES = (
    'in one piece'    => sub ($bytes) { return $bytes },
    'byte by byte'    => sub ($bytes) { return $bytes =~ /\G(.)/gs },
    'in random parts' => sub ($bytes) { return $bytes =~ /\G(.{1,${\ (1 + int rand 40) }})/gs },
);

# Sends it and returns what came back: { answers => '200 400', seen => [ … ], end => 'open' }. The end that is
# expected says what to wait for; one that never comes is told by its opposite.
sub talk ($raw, $pieces, $n_answers, $end)
{
    my $client = $echo->client;
    my @answers;
    my @methods = ($raw =~ /^HEAD/ ? 'HEAD' : 'GET', ('GET') x 20);
    my $more    = sub ($seconds) {
        return '' if !$client->readable($seconds);
        return $client->fill;
    };
    my $take = sub ($eof = '') {
        while ($client->{buffer} ne '') {
            my $answer = Hayfork::Test::Response->take(\$client->{buffer}, $methods[@answers], $eof) // last;
            push @answers, $answer if $answer->status != 100;
        }
    };
    for my $piece ($pieces->($raw . $SECOND)) {
        last if !defined syswrite $client->{socket}, $piece;    # refused and closed already
        usleep(30) if $pieces != $PIECES{'in one piece'};
    }

    my $came;
    if ($end eq 'open') {
        do { $take->() } while @answers < $n_answers && ($came = $more->(5));
        if (@answers >= $n_answers) {
            syswrite $client->{socket}, $PROBE;
            do { $take->() } while @answers <= $n_answers && ($came = $more->(5));
            my $probe = @answers ? pop @answers : undef;
            $came = $client->{buffer} eq '' && defined $probe && $probe->body =~ m{"path":"/probe"} ? 1 : 0;
        }
    } elsif ($end eq 'waits') {
        $came = $more->(0.05);
        $client->end_sending;
        $take->() while $came = $more->(5);
    } else {
        do { $take->() } while $came = $more->(5);
        $take->('eof') if defined $came && $came eq '0';
    }
    my @seen = grep { $_ ne 'GET /probe' } $echo->seen($client);
    my $is   = !defined $came ? 'reset' : $came ne '0' ? 'open' : $end eq 'waits' ? 'waits' : 'closed';
    return { answers => join(' ', map { $_->status } @answers), seen => \@seen, end => $is };
}

# One row: the answers' statuses, the requests that handlers saw, and then: is the connection open, closed,
# or does it wait for more of the request (and is closed without an answer when the client ends)?
sub row ($name, $raw, $answers, $seen, $end)
{
    my %expected = (answers => $answers, seen => $seen, end => $end);
    my @wrong;
    for my $how (sort keys %PIECES) {
        my $got = eval { talk($raw, $PIECES{$how}, scalar split(' ', $answers), $end) } // { died => $@ };
        push @wrong, [ $how, $got ] if explain_row($got) ne explain_row(\%expected);
    }
    $n_rows++;
    ok !@wrong, $name or do {
        diag 'sent:     ', Hayfork::Test::Response::excerpt($raw);
        diag 'expected: ', explain_row(\%expected);
        diag "$_->[0]: ", explain_row($_->[1]) for @wrong;
        diag "HAYFORK_SEED=$seed";
    };
    return;
}

sub explain_row ($row)
{
    return "died: $row->{died}" if defined $row->{died};
    return "answers $row->{answers}; seen " . join(', ', @{ $row->{seen} }) . "; $row->{end}";
}

# Is taken, as these requests, and the connection is in step after it.
sub takes ($name, $raw, @seen)
{
    return row($name, $raw, join(' ', (200) x (@seen + 1)), [ @seen, 'GET /second' ], 'open');
}

# Is taken, and the connection is closed after it.
sub ends ($name, $raw, @seen)
{
    return row($name, $raw, join(' ', (200) x @seen), \@seen, 'closed');
}

# Is no request: no handler sees it, nothing after it is looked at.
sub refuses ($name, $status, $raw)
{
    return row($name, $raw, $status, [], 'closed');
}

# The head is good, but the body breaks: what its handler saw until then is told; nothing after it is looked at.
sub breaks ($name, $status, $raw, $seen = 'POST /a')
{
    return row($name, $raw, $status, ["$seen broken $status"], 'closed');
}

sub section ($about, $rows)
{
    return subtest $about => $rows;
}

# --- what rows are made of ---

sub line (@line)       { return "@line\r\nHost: a\r\n\r\n" }
sub target ($target)   { return line("GET $target HTTP/1.1") }
sub host ($value)      { return "GET /a HTTP/1.1\r\nHost: $value\r\n\r\n" }
sub get (@fields)      { return join "\r\n", 'GET /a HTTP/1.1', 'Host: a', @fields, '', '' }
sub post ($body, @fields) { return join("\r\n", 'POST /a HTTP/1.1', 'Host: a', @fields, '', '') . $body }
sub chunked ($body)    { return post($body, 'Transfer-Encoding: chunked') }
sub chunk ($size_line) { return chunked("$size_line\r\nhello\r\n0\r\n\r\n") }
sub trailer ($lines)   { return chunked("5\r\nhello\r\n0\r\n$lines\r\n") }
sub old (@fields)      { return join "\r\n", 'GET /a HTTP/1.0', @fields, '', '' }

# --- the rows ---

section 'RFC 9112 section 2.2: lines end in CRLF' => sub {
    takes 'a request',                                get(), 'GET /a';
    takes 'one empty line before it',                 "\r\n" . get(), 'GET /a';
    takes 'one empty line behind a body',             post('hello', 'Content-Length: 5') . "\r\n", 'POST /a "hello"';
    refuses 'two empty lines before it',              400, "\r\n\r\n" . get();
    refuses 'LF alone before it',                     400, "\n" . get();
    refuses 'CR alone before it',                     400, "\r" . get();
    refuses 'a blank before it',                      400, ' ' . get();
    refuses 'a blank on the line before it',          400, " \r\n" . get();
    refuses 'NUL before it',                          400, "\0" . get();
    refuses 'LF alone behind the request line',       400, "GET /a HTTP/1.1\nHost: a\r\n\r\n";
    refuses 'CR alone behind the request line',       400, "GET /a HTTP/1.1\rHost: a\r\n\r\n";
    refuses 'LF alone behind a field',                400, "GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n";
    refuses 'CR alone behind a field',                400, "GET /a HTTP/1.1\r\nHost: a\rX: b\r\n\r\n";
    refuses 'LF alone at the end of the head',        400, "GET /a HTTP/1.1\r\nHost: a\r\n\n";
    refuses 'LF LF at the end of the head',           400, "GET /a HTTP/1.1\r\nHost: a\n\n";
    refuses 'CR CR LF behind the request line',       400, "GET /a HTTP/1.1\r\r\nHost: a\r\n\r\n";
    refuses 'CR CR LF behind a field',                400, "GET /a HTTP/1.1\r\nHost: a\r\r\n\r\n";
    refuses 'LF CR behind a field',                   400, "GET /a HTTP/1.1\r\nHost: a\n\r\n\r\n";
    refuses 'a line of blanks at the end of the head', 400, "GET /a HTTP/1.1\r\nHost: a\r\n \r\n\r\n";
    refuses 'a field that follows blanks',            400, "GET /a HTTP/1.1\r\n Host: a\r\n\r\n";
    refuses 'a field that follows a tab',             400, "GET /a HTTP/1.1\r\n\tHost: a\r\n\r\n";
    refuses 'the first bytes of TLS',                 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
};

section 'RFC 9112 section 3: the request line' => sub {
    takes 'a method of one letter',             line('G /a HTTP/1.1'), 'G /a';
    takes 'a method that nobody knows',         line('PURGE /a HTTP/1.1'), 'PURGE /a';
    takes 'a method in small letters: another', line('get /a HTTP/1.1'), 'get /a';
    takes 'a method of all kinds of tchar',     line("A-z.0!#\$%&'*+^_`|~ /a HTTP/1.1"), "A-z.0!#\$%&'*+^_`|~ /a";
    refuses 'a method with a delimiter',        400, line('G{T /a HTTP/1.1');
    refuses 'a method with a colon',            400, line('GET: /a HTTP/1.1');
    refuses 'a method with quotes',             400, line('"GET" /a HTTP/1.1');
    refuses 'a method with NUL',                400, line("G\0T /a HTTP/1.1");
    refuses 'a method with a control character', 400, line("G\x01T /a HTTP/1.1");
    refuses 'a method outside ASCII',           400, line("G\xc3\x8bT /a HTTP/1.1");
    refuses 'no method',                        400, line('/a HTTP/1.1');
    refuses 'no target',                        400, line('GET HTTP/1.1');
    refuses 'nothing between two blanks',       400, line('GET  HTTP/1.1');
    refuses 'two blanks before the target',     400, line('GET  /a HTTP/1.1');
    refuses 'two blanks behind the target',     400, line('GET /a  HTTP/1.1');
    refuses 'a blank behind the version',       400, line('GET /a HTTP/1.1 ');
    refuses 'a blank inside the target',        400, line('GET /a b HTTP/1.1');
    refuses 'a tab before the target',          400, line("GET\t/a HTTP/1.1");
    refuses 'a tab behind the target',          400, line("GET /a\tHTTP/1.1");
    refuses 'a vertical tab behind the target', 400, line("GET /a\x0bHTTP/1.1");
    refuses 'a form feed before the target',    400, line("GET\x0c/a HTTP/1.1");
    refuses 'a second request line',            400, "GET /a HTTP/1.1\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    refuses 'only a method',                    400, line('GET');
};

section 'RFC 9112 section 2.3: the version' => sub {
    ends 'HTTP/1.0',                       line('GET /a HTTP/1.0'), 'GET /a';
    takes 'HTTP/1.2, as 1.1 (RFC 9110 section 2.5)', line('GET /a HTTP/1.2'), 'GET /a';
    takes 'HTTP/1.9, as 1.1',              line('GET /a HTTP/1.9'), 'GET /a';
    refuses 'HTTP/1.2 without Host',       400, "GET /a HTTP/1.2\r\n\r\n";
    refuses 'HTTP/2.0',                    505, line('GET /a HTTP/2.0');
    refuses 'HTTP/0.9',                    505, line('GET /a HTTP/0.9');
    refuses 'the preface of HTTP/2',       505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    refuses 'none, as in HTTP/0.9',        400, "GET /a\r\n";
    refuses 'none, but fields',            400, line('GET /a');
    refuses 'in small letters',            400, line('GET /a http/1.1');
    refuses 'in mixed letters',            400, line('GET /a HtTP/1.1');
    refuses 'of another protocol',         400, line('GET /a HTTQ/1.1');
    refuses 'one digit',                   400, line('GET /a HTTP/1');
    refuses 'two digits behind the point', 400, line('GET /a HTTP/1.10');
    refuses 'a leading zero',              400, line('GET /a HTTP/01.1');
    refuses 'a sign',                      400, line('GET /a HTTP/+1.1');
    refuses 'a comma for the point',       400, line('GET /a HTTP/1,1');
    refuses 'a letter behind it',          400, line('GET /a HTTP/1.1x');
    refuses 'NUL behind it',               400, line("GET /a HTTP/1.1\0");
    refuses 'a blank inside it',           400, line('GET /a HTTP/ 1.1');
};

section 'RFC 9112 section 3.2.1: origin-form, a path and a query (RFC 3986 sections 3.3 and 3.4)' => sub {
    takes 'a path',                             target('/a/b'), 'GET /a/b';
    takes 'the shortest path',                  target('/'), 'GET /';
    takes 'a query',                            target('/a?b=c&d'), 'GET /a?b=c&d';
    takes 'an empty query',                     target('/a?'), 'GET /a?';
    takes 'slashes and question marks in it',   target('/a?/?'), 'GET /a?/?';
    takes 'two slashes: not an authority',      target('//b/a'), 'GET //b/a';
    takes 'dot segments: handed on as they are', target('/a/../b/./c'), 'GET /a/../b/./c';
    takes 'percent-encoding: handed on as it is', target('/%2f%2e%41?%20'), 'GET /%2f%2e%41?%20';
    takes 'every pchar',                        target("/-._~!\$&'()*+,;=:\@"), "GET /-._~!\$&'()*+,;=:\@";
    takes 'what browsers leave as it is in a query', target("/a?[]{}|\\^`"), "GET /a?[]{}|\\^`";
    refuses 'a fragment',                       400, target('/a#b');
    refuses 'a fragment behind a query',        400, target('/a?b#c');
    refuses 'quotes in the path',               400, target('/"a"');
    refuses 'angle brackets in the path',       400, target('/<a>');
    refuses 'a backslash in the path',          400, target('/a\\b');
    refuses 'braces in the path',               400, target('/{a}');
    refuses 'brackets in the path',             400, target('/[a]');
    refuses 'a quote in the query',             400, target('/a?"');
    refuses 'an angle bracket in the query',    400, target('/a?<');
    refuses 'UTF-8 in the path',                400, target("/\xc3\xa4");
    refuses 'UTF-8 in the query',               400, target("/a?\xc3\xa4");
    refuses 'NUL in the path',                  400, target("/a\0b");
    refuses 'NUL in the query',                 400, target("/a?\0");
    refuses 'a control character in the path',  400, target("/a\x1bb");
    refuses 'DEL in the path',                  400, target("/a\x7f");
    refuses 'a path without its slash',         400, target('a');
    refuses 'a query alone',                    400, target('?a');
};

section 'RFC 9112 section 3.2.2: absolute-form' => sub {
    takes 'an http URI',                        target('http://a/b?c'), 'GET /b?c';
    takes 'an https URI',                       target('https://a/b'), 'GET /b';
    takes 'scheme and host in capitals',        target('HTTP://A/b'), 'GET /b';
    takes 'a port, as in Host',                 "GET http://a:8080/b HTTP/1.1\r\nHost: a:8080\r\n\r\n", 'GET /b';
    takes 'the port that http has anyway',      target('http://a:80/b'), 'GET /b';
    takes 'an IPv6 address',                    "GET http://[::1]/b HTTP/1.1\r\nHost: [::1]\r\n\r\n", 'GET /b';
    takes 'no path: the root',                  target('http://a'), 'GET /';
    takes 'a query and no path',                target('http://a?b=c'), 'GET /?b=c';
    takes 'an empty query and no path',         target('https://a?'), 'GET /?';
    takes 'no path, for OPTIONS: *',            line('OPTIONS http://a HTTP/1.1'), 'OPTIONS *';
    takes 'a port and no path, for OPTIONS: *', line('OPTIONS http://a:80 HTTP/1.1'), 'OPTIONS *';
    takes 'the root for OPTIONS: not *',        line('OPTIONS http://a/ HTTP/1.1'), 'OPTIONS /';
    takes 'a query and no path, for OPTIONS: the root', line('OPTIONS http://a?b HTTP/1.1'), 'OPTIONS /?b';
    takes 'the port that https has anyway',     target('https://a:443/b'), 'GET /b';
    takes 'the same in Host alone',             "GET https://a/b HTTP/1.1\r\nHost: a:443\r\n\r\n", 'GET /b';
    refuses 'the port of http with https',      400, target('https://a:80/b');
    refuses 'the port of https with http',      400, target('http://a:443/b');
    refuses 'a fragment and no path',           400, target('http://a#b');
    refuses 'an empty label in the host',       400, "GET http://a..b/ HTTP/1.1\r\nHost: a..b\r\n\r\n";
    refuses 'another host than in Host',        400, target('http://b/a');
    refuses 'another port than in Host',        400, target('http://a:8080/a');
    refuses 'no Host',                          400, "GET http://a/b HTTP/1.1\r\n\r\n";
    refuses 'an empty Host',                    400, "GET http://a/b HTTP/1.1\r\nHost:\r\n\r\n";
    refuses 'user information (RFC 9110 section 4.2.4)', 400, "GET http://u\@a/b HTTP/1.1\r\nHost: u\@a\r\n\r\n";
    refuses 'user information, not in Host',    400, target('http://u@a/b');
    refuses 'no host (RFC 9110 section 4.2.1)', 400, "GET http:///b HTTP/1.1\r\nHost:\r\n\r\n";
    refuses 'a port without a host',            400, "GET http://:80/b HTTP/1.1\r\nHost: :80\r\n\r\n";
    refuses 'a port that is none',              400, "GET http://a:b/ HTTP/1.1\r\nHost: a:b\r\n\r\n";
    refuses 'a port beyond 65535',              400, "GET http://a:65536/ HTTP/1.1\r\nHost: a:65536\r\n\r\n";
    refuses 'another scheme',                   400, target('ftp://a/b');
    refuses 'one slash behind the scheme',      400, target('http:/a/b');
    refuses 'no scheme',                        400, target('://a/b');
    refuses 'a fragment',                       400, target('http://a/b#c');
    refuses 'a backslash for a slash',          400, target('http:\\\\a/b');
};

section 'RFC 9112 sections 3.2.3 and 3.2.4: authority-form and asterisk-form' => sub {
    takes 'OPTIONS *',                  line('OPTIONS * HTTP/1.1'), 'OPTIONS *';
    takes 'OPTIONS of a path',          line('OPTIONS /a HTTP/1.1'), 'OPTIONS /a';
    refuses '* for another method',     400, target('*');
    refuses '* with more behind it',    400, line('OPTIONS *a HTTP/1.1');
    refuses '/a* is a path, *?a none',  400, line('OPTIONS *?a HTTP/1.1');
    refuses 'CONNECT: there is none',   501, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    refuses 'CONNECT with a path',      501, line('CONNECT /a HTTP/1.1');
    refuses 'TRACE: there is none',     501, line('TRACE /a HTTP/1.1');
    refuses 'an authority for GET',     400, target('a:80');
};

section 'RFC 9112 section 3: the target has a bound' => sub {
    takes '256 bytes',                     target('/' . 'a' x 255), 'GET /' . 'a' x 255;
    refuses '257 bytes',                   414, target('/' . 'a' x 256);
    refuses 'more than a head may have',   414, target('/' . 'a' x 3000);
    refuses '257 bytes of a query',        414, target('/?' . 'a' x 255);
};

section 'RFC 9112 section 3.2, RFC 9110 section 7.2: Host' => sub {
    takes 'a name',                       host('example.org'), 'GET /a';
    takes 'in capitals',                  "GET /a HTTP/1.1\r\nHOST: EXAMPLE.ORG\r\n\r\n", 'GET /a';
    takes 'an IPv4 address with a port',  host('127.0.0.1:8080'), 'GET /a';
    takes 'an IPv6 address',              host('[::1]'), 'GET /a';
    takes 'an IPv6 address with a port',  host('[2001:db8::1]:8080'), 'GET /a';
    takes 'an IPv4 address in an IPv6 one', host('[::ffff:127.0.0.1]'), 'GET /a';
    takes 'the highest port',             host('a:65535'), 'GET /a';
    takes 'an empty port',                host('a:'), 'GET /a';
    takes 'nothing: the client has none', host(''), 'GET /a';
    takes 'percent-encoding',             host('%41'), 'GET /a';
    takes 'a name that ends in a point: the root', host('a.b.'), 'GET /a';
    takes 'the same with a port',         host('a.b.:80'), 'GET /a';
    refuses 'a point alone',              400, host('.');
    refuses 'two points alone',           400, host('..');
    refuses 'an empty label at the beginning', 400, host('.x');
    refuses 'two empty labels at the beginning', 400, host('..x');
    refuses 'an empty label inside',      400, host('a..b');
    refuses 'an empty label at the end',  400, host('a..');
    refuses 'the same before a port',     400, host('a..:');
    refuses 'a port and no host',         400, host(':80');
    refuses 'a colon alone',              400, host(':');
    refuses 'half a percent-encoding',    400, host('a%4');
    refuses 'a percent sign and no digits', 400, host('a%zz');
    ends 'none in HTTP/1.0',              old(), 'GET /a';
    refuses 'none in HTTP/1.1',           400, "GET /a HTTP/1.1\r\n\r\n";
    refuses 'none, but others',           400, "GET /a HTTP/1.1\r\nX-Host: a\r\nHosts: a\r\n\r\n";
    refuses 'two of them',                400, get('Host: b');
    refuses 'two of them that are equal', 400, get('Host: a');
    refuses 'two of them in HTTP/1.0',    400, old('Host: a', 'Host: b');
    refuses 'two of them, one empty',     400, get('Host:');
    refuses 'a list',                     400, host('a, b');
    refuses 'a blank inside',             400, host('a b');
    refuses 'a path',                     400, host('a/b');
    refuses 'a query',                    400, host('a?b');
    refuses 'a fragment',                 400, host('a#b');
    refuses 'a URI',                      400, host('http://a');
    refuses 'user information',           400, host('u@a');
    refuses 'quotes',                     400, host('"a"');
    refuses 'a backslash',                400, host('a\\b');
    refuses 'UTF-8',                      400, host("\xc3\xa4");
    refuses 'NUL',                        400, host("a\0b");
    refuses 'a port that is none',        400, host('a:b');
    refuses 'a port with a sign',         400, host('a:+80');
    refuses 'a port beyond 65535',        400, host('a:65536');
    refuses 'a port far beyond 65535',    400, host('a:18446744073709551696');
    refuses 'two ports',                  400, host('a:80:80');
    refuses 'an IPv6 address without brackets', 400, host('::1');
    refuses 'an open bracket',            400, host('[::1');
    refuses 'a bracket and more',         400, host('[::1]a');
    refuses 'empty brackets',             400, host('[]');
    refuses 'brackets around no address', 400, host('[1:2]');
    refuses 'an IPv6 address with two gaps', 400, host('[1::2::3]');
    refuses 'an IPv6 address with a zone', 400, host('[fe80::1%25eth0]');
};

section 'RFC 9112 section 5, RFC 9110 section 5: fields' => sub {
    takes 'no blank behind the colon',    get('X:b'), 'GET /a';
    takes 'blanks and tabs around the value', get("X: \t b \t "), 'GET /a';
    takes 'an empty value',               get('X:'), 'GET /a';
    takes 'a value of blanks',            get("X: \t "), 'GET /a';
    takes 'a tab inside a value',         get("X: a\tb"), 'GET /a';
    takes 'colons in a value',            get('X::b:'), 'GET /a';
    takes 'bytes above 127 in a value',   get("X: \x80\xff\xc3\xa4"), 'GET /a';
    takes 'a name of all kinds of tchar', get("A-z.0!#\$%&'*+^_`|~: b"), 'GET /a';
    refuses 'a blank before the colon',   400, get('X : b');
    refuses 'a tab before the colon',     400, get("X\t: b");
    refuses 'no name',                    400, get(': b');
    refuses 'no colon',                   400, get('X');
    refuses 'a blank inside a name',      400, get('X Y: b');
    refuses 'a delimiter in a name',      400, get('X(Y): b');
    refuses 'quotes around a name',       400, get('"X": b');
    refuses 'UTF-8 in a name',            400, get("\xc3\xa4: b");
    refuses 'NUL in a name',              400, get("X\0: b");
    refuses 'NUL in a value',             400, get("X: a\0b");
    refuses 'a control character in a value', 400, get("X: a\x08b");
    refuses 'a vertical tab in a value',  400, get("X: \x0bb");
    refuses 'DEL in a value',             400, get("X: \x7f");
    refuses 'a value folded with a blank (section 5.2)', 400, get("X: a\r\n b");
    refuses 'a value folded with a tab',  400, get("X: a\r\n\tb");
    refuses 'an empty value folded',      400, get("X:\r\n b");
    refuses 'Host folded',                400, "GET /a HTTP/1.1\r\nHost:\r\n a\r\n\r\n";
    takes '16 fields',                    get(map { "X$_: b" } 1 .. 15), 'GET /a';
    refuses '17 fields',                  431, get(map { "X$_: b" } 1 .. 16);
    takes 'a head of 2048 bytes',         get('X: ' . 'b' x (2048 - length get('X: '))), 'GET /a';
    refuses 'a head of 2049 bytes',       431, get('X: ' . 'b' x (2049 - length get('X: ')));
    refuses 'a name that does not end',   431, get('X' x 3000 . ': b');
    refuses 'a method that does not end', 431, line('G' x 3000 . ' /a HTTP/1.1');
};

section 'RFC 9112 section 6.2, RFC 9110 section 8.6: Content-Length' => sub {
    my sub length_is ($value) { return post('hello', "Content-Length: $value") }
    takes 'a number',                      length_is('5'), 'POST /a "hello"';
    takes 'with GET',                      get('Content-Length: 5') . 'hello', 'GET /a "hello"';
    takes 'with another method',           line("PURGE /a HTTP/1.1\r\nContent-Length: 5") . 'hello', 'PURGE /a "hello"';
    takes 'in capitals',                   post('hello', 'CONTENT-LENGTH: 5'), 'POST /a "hello"';
    takes 'blanks and tabs around it',     length_is("\t 5\t "), 'POST /a "hello"';
    takes 'leading zeros',                 length_is('0005'), 'POST /a "hello"';
    takes '0',                             post('', 'Content-Length: 0'), 'POST /a';
    takes 'none: there is no body',        post(''), 'POST /a';
    takes 'a body of any bytes',           post("\0\r\n\r\n", 'Content-Length: 5'), 'POST /a "\x00\x0d\x0a\x0d\x0a"';
    takes 'a body that looks like a request', post($SECOND, 'Content-Length: ' . length $SECOND),
      'POST /a "GET /second HTTP/1.1\x0d\x0aHost: a\x0d\x0a\x0d\x0a"';
    row 'too small: the rest is the next request', length_is(3), '200 200', ['POST /a "hel"', 'loGET /second'], 'open';
    takes 'another field with a similar name', post('', 'Content_Length: 5', 'Content-Lengths: 5'), 'POST /a';
    takes 'as much as is allowed',         post('x' x 1024, 'Content-Length: 1024'), 'POST /a "' . 'x' x 1024 . '"';
    refuses 'more than is allowed',        413, post('x' x 1025, 'Content-Length: 1025');
    refuses 'far more than is allowed',    413, length_is('999999999999999999');
    row 'too large: the rest is waited for',
      length_is(500), '', ['POST /a "hello' . $SECOND =~ s/([\r\n])/sprintf '\x%02x', ord $1/ger . '" broken gone'],
      'waits';
    refuses 'two of them',                 400, post('hello', 'Content-Length: 5', 'Content-Length: 6');
    refuses 'two of them that are equal',  400, post('hello', 'Content-Length: 5', 'Content-Length: 5');
    refuses 'two of them, one of them 0',  400, post('hello', 'Content-Length: 0', 'Content-Length: 5');
    refuses 'a list',                      400, length_is('5, 6');
    refuses 'a list of equal numbers',     400, length_is('5, 5');
    refuses 'a list without a blank',      400, length_is('5,5');
    refuses 'a list with an empty item',   400, length_is('5,');
    refuses 'a plus',                      400, length_is('+5');
    refuses 'a minus',                     400, length_is('-5');
    refuses 'minus zero',                  400, length_is('-0');
    refuses 'two numbers',                 400, length_is('5 5');
    refuses 'hexadecimal',                 400, length_is('0x5');
    refuses 'a fraction',                  400, length_is('5.0');
    refuses 'an exponent',                 400, length_is('5e0');
    refuses 'an underscore',               400, length_is('0_5');
    refuses 'a letter behind it',          400, length_is('5a');
    refuses 'a semicolon behind it',       400, length_is('5;');
    refuses 'quotes',                      400, length_is('"5"');
    refuses 'a word',                      400, length_is('five');
    refuses 'nothing',                     400, length_is('');
    refuses 'digits outside ASCII',        400, length_is("\xef\xbc\x95");
    refuses 'a vertical tab before it',    400, length_is("\x0b5");
    refuses 'NUL behind it',               400, length_is("5\0");
    refuses '2 to the power of 63',        400, length_is('9223372036854775808');
    refuses '2 to the power of 64, and 5', 400, length_is('18446744073709551621');
    refuses 'thirty digits',               400, length_is('1' x 30);
    refuses 'a blank before the colon',    400, post('hello', 'Content-Length : 5');
    refuses 'a line of its own',           400, post('hello', "Content-Length:\r\n 5");
    ends 'in HTTP/1.0',                    "POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 'POST /a "hello"';
};

section 'RFC 9112 section 6.1: Transfer-Encoding, of which chunked alone is known' => sub {
    my $body = "5\r\nhello\r\n0\r\n\r\n";
    my sub coding_is (@values) { return post($body, map { "Transfer-Encoding: $_" } @values) }
    takes 'chunked',                        coding_is('chunked'), 'POST /a "hello"';
    takes 'in capitals',                    post($body, 'TRANSFER-ENCODING: CHUNKED'), 'POST /a "hello"';
    takes 'in mixed letters',               coding_is('cHuNkEd'), 'POST /a "hello"';
    takes 'with GET',                       get('Transfer-Encoding: chunked') . $body, 'GET /a "hello"';
    takes 'a tab before it',                coding_is("\tchunked"), 'POST /a "hello"';
    takes 'blanks and tabs behind it',      coding_is("chunked \t "), 'POST /a "hello"';
    takes 'no blank before it',             post($body, 'Transfer-Encoding:chunked'), 'POST /a "hello"';
    takes 'another field with a similar name',
      post('', 'Transfer_Encoding: chunked', 'TE: chunked', 'X-Transfer-Encoding: chunked'), 'POST /a';
    refuses 'in HTTP/1.0',                  400, "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n$body";
    refuses 'in HTTP/1.0 that stays',       400,
      "POST /a HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n$body";
    refuses 'with Content-Length before it', 400, post($body, 'Content-Length: 5', 'Transfer-Encoding: chunked');
    refuses 'with Content-Length behind it', 400, post($body, 'Transfer-Encoding: chunked', 'Content-Length: 5');
    refuses 'with the right Content-Length', 400,
      post($body, 'Content-Length: ' . length $body, 'Transfer-Encoding: chunked');
    refuses 'with a Content-Length of 0',   400, post($body, 'Content-Length: 0', 'Transfer-Encoding: chunked');
    refuses 'with a bad Content-Length',    400, post($body, 'Content-Length: x', 'Transfer-Encoding: chunked');
    refuses 'identity, with Content-Length', 400, post('hello', 'Content-Length: 5', 'Transfer-Encoding: identity');
    refuses 'an unknown one, with Content-Length', 400,
      post('hello', 'Content-Length: 5', 'Transfer-Encoding: xchunked');
    refuses 'an empty one, with Content-Length', 400, post('hello', 'Content-Length: 5', 'Transfer-Encoding:');
    refuses 'twice',                        400, coding_is('chunked', 'chunked');
    refuses 'then identity',                400, coding_is('chunked', 'identity');
    refuses 'behind identity',              400, coding_is('identity', 'chunked');
    refuses 'then an empty one',            400, coding_is('chunked', '');
    refuses 'chunked, then another: its end cannot be known', 400, coding_is('chunked, identity');
    refuses 'gzip alone: its end cannot be known', 400, coding_is('gzip');
    refuses 'identity',                     400, coding_is('identity');
    refuses 'gzip, then chunked: not known', 501, coding_is('gzip, chunked');
    refuses 'gzip, then chunked without a blank', 501, coding_is('gzip,chunked');
    refuses 'identity, then chunked',       501, coding_is('identity, chunked');
    refuses 'a letter before it',           400, coding_is('xchunked');
    refuses 'a letter behind it',           400, coding_is('chunkedx');
    refuses 'a part of it',                 400, coding_is('chunk');
    refuses 'a word before it',             400, coding_is('x chunked');
    refuses 'a word behind it',             400, coding_is('chunked x');
    refuses 'a comma behind it',            400, coding_is('chunked,');
    refuses 'a parameter',                  400, coding_is('chunked;q=1');
    refuses 'an empty parameter',           400, coding_is('chunked;');
    refuses 'in quotes',                    400, coding_is('"chunked"');
    refuses 'in single quotes',             400, coding_is("'chunked'");
    refuses 'nothing',                      400, coding_is('');
    refuses 'a vertical tab before it',     400, coding_is("\x0bchunked");
    refuses 'a vertical tab behind it',     400, coding_is("chunked\x0b");
    refuses 'a form feed behind it',        400, coding_is("chunked\x0c");
    refuses 'NUL behind it',                400, coding_is("chunked\0");
    refuses 'a no-break space behind it',   400, coding_is("chunked\xa0");
    refuses 'the Kelvin sign for its k',    400, coding_is("chun\xe2\x84\xaaed");
    refuses 'CR alone behind it',           400, coding_is("chunked\r");
    refuses 'a blank before the colon',     400, post($body, 'Transfer-Encoding : chunked');
    refuses 'a tab before the colon',       400, post($body, "Transfer-Encoding\t: chunked");
    refuses 'a blank before its name',      400, post($body, ' Transfer-Encoding: chunked');
    refuses 'a line of its own',            400, post($body, "Transfer-Encoding:\r\n chunked");
    refuses 'folded inside',                400, post($body, "Transfer-Encoding: chunked,\r\n identity");
    refuses 'behind LF alone',              400, post($body, "X: y\nTransfer-Encoding: chunked");
    refuses 'behind CR alone',              400, post($body, "X: y\rTransfer-Encoding: chunked");
    refuses 'behind NUL',                   400, post($body, "X: y\0Transfer-Encoding: chunked");
};

section 'RFC 9112 section 7.1: chunks' => sub {
    takes 'one',                          chunk('5'), 'POST /a "hello"';
    takes 'two',                          chunked("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), 'POST /a "hello"';
    takes 'none',                         chunked("0\r\n\r\n"), 'POST /a';
    takes 'ten bytes, a',                 chunked("a\r\nhellohello\r\n0\r\n\r\n"), 'POST /a "hellohello"';
    takes 'ten bytes, A',                 chunked("A\r\nhellohello\r\n0\r\n\r\n"), 'POST /a "hellohello"';
    takes 'leading zeros',                chunk('005'), 'POST /a "hello"';
    takes 'leading zeros, as many as are taken', chunk('0' x 14 . '5'), 'POST /a "hello"';
    takes 'the last one with zeros',      chunked("5\r\nhello\r\n000\r\n\r\n"), 'POST /a "hello"';
    takes 'what looks like the last one inside another',
      chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), 'POST /a "0\x0d\x0a\x0d\x0a"';
    takes 'as much as is allowed',
      chunked("400\r\n" . 'x' x 1024 . "\r\n0\r\n\r\n"), 'POST /a "' . 'x' x 1024 . '"';
    breaks 'more than is allowed',        413,
      chunked("400\r\n" . 'x' x 1024 . "\r\n1\r\nx\r\n0\r\n\r\n"), 'POST /a "' . 'x' x 1024 . '"';
    breaks '0x5',                         400, chunk('0x5');
    breaks 'a plus',                      400, chunk('+5');
    breaks 'a minus',                     400, chunk('-5');
    breaks 'a blank before the size',     400, chunk(' 5');
    breaks 'a blank behind the size',     400, chunk('5 ');
    breaks 'a tab behind the size',       400, chunk("5\t");
    breaks 'nothing for the size',        400, chunk('');
    breaks 'no digit',                    400, chunk('g');
    breaks 'a letter behind the size',    400, chunk('5g');
    breaks 'a h behind the size',         400, chunk('5h');
    breaks 'a comma behind the size',     400, chunk('5,');
    breaks 'a word behind the size',      400, chunk('5 garbage');
    breaks 'NUL behind the size',         400, chunk("5\0");
    breaks 'an underscore in the size',   400, chunk('0_5');
    breaks 'a fraction',                  400, chunk('5.0');
    breaks 'sixteen digits',              400, chunk('0' x 15 . '5');
    breaks '2 to the power of 64, and 5', 400, chunk('10000000000000005');
    breaks 'LF alone behind the size',    400, chunked("5\nhello\r\n0\r\n\r\n");
    breaks 'CR alone behind the size',    400, chunked("5\rhello\r\n0\r\n\r\n");
    breaks 'CR CR LF behind the size',    400, chunk("5\r");
    breaks 'LF alone behind the data',    400, chunked("5\r\nhello\n0\r\n\r\n"), 'POST /a "hello"';
    breaks 'CR alone behind the data',    400, chunked("5\r\nhello\r0\r\n\r\n"), 'POST /a "hello"';
    breaks 'nothing behind the data',     400, chunked("5\r\nhello0\r\n\r\n"), 'POST /a "hello"';
    breaks 'more data than its size',     400, chunked("5\r\nhello!\r\n0\r\n\r\n"), 'POST /a "hello"';
    breaks 'less data than its size',     400, chunked("5\r\nhel\r\n0\r\n\r\n"), 'POST /a "hel\x0d\x0a"';
    breaks 'an empty line between chunks', 400, chunked("5\r\nhello\r\n\r\n0\r\n\r\n"), 'POST /a "hello"';
    breaks 'LF alone behind the last size', 400, chunked("5\r\nhello\r\n0\n\r\n"), 'POST /a "hello"';
    breaks 'LF alone at the very end',    400, chunked("5\r\nhello\r\n0\r\n\n"), 'POST /a "hello"';
    breaks 'nothing at the very end',     400, chunked("5\r\nhello\r\n0\r\n"), 'POST /a "hello"';
    breaks 'another letter at the very end', 400, chunked("5\r\nhello\r\n0\r\n\rX"), 'POST /a "hello"';
};

section 'RFC 9112 section 7.1.1: chunk extensions, which are dropped' => sub {
    takes 'a name',                        chunk('5;a'), 'POST /a "hello"';
    takes 'a value',                       chunk('5;a=b'), 'POST /a "hello"';
    takes 'two',                           chunk('5;a=b;c'), 'POST /a "hello"';
    takes 'blanks and tabs around it all', chunk("5 ; a\t= b ;c"), 'POST /a "hello"';
    takes 'a quoted value',                chunk('5;a="b c"'), 'POST /a "hello"';
    takes 'an empty quoted value',         chunk('5;a=""'), 'POST /a "hello"';
    takes 'a semicolon in quotes',         chunk('5;a="b;c"'), 'POST /a "hello"';
    takes 'a quote in quotes',             chunk('5;a="\\""'), 'POST /a "hello"';
    takes 'with the last chunk',           chunked("5\r\nhello\r\n0;a=b\r\n\r\n"), 'POST /a "hello"';
    breaks 'no name',                      400, chunk('5;');
    breaks 'no name behind a blank',       400, chunk('5; ');
    breaks 'no name before the value',     400, chunk('5;=b');
    breaks 'no value',                     400, chunk('5;a=');
    breaks 'nothing between two',          400, chunk('5;;a');
    breaks 'nothing behind one',           400, chunk('5;a;');
    breaks 'two names',                    400, chunk('5;a b');
    breaks 'a blank behind it all',        400, chunk('5;a ');
    breaks 'no semicolon',                 400, chunk('5a=b');
    breaks 'a comma for the semicolon',    400, chunk('5,a=b');
    breaks 'an open quote',                400, chunk('5;a="b');
    breaks 'a line end in quotes',         400, chunk("5;a=\"\r\n\"");
    breaks 'an escaped line end in quotes', 400, chunk("5;a=\"\\\r\n\"");
    breaks 'LF alone in quotes',           400, chunk("5;a=\"\n\"");
    breaks 'more behind the quotes',       400, chunk('5;a="b"c');
    breaks 'a quote inside a value',       400, chunk('5;a=b"c"');
    breaks 'LF alone behind it',           400, chunked("5;a\nhello\r\n0\r\n\r\n");
    breaks 'CR alone inside it',           400, chunk("5;a\rb");
    breaks 'NUL inside it',                400, chunk("5;a\0");
    breaks 'a delimiter in its name',      400, chunk('5;a/b');
    breaks 'UTF-8 in its name',            400, chunk("5;\xc3\xa4");
    breaks 'without end',                  400, chunk('5;' . 'a' x 10_000);
};

section 'RFC 9112 section 7.1.2: trailers, which are dropped (RFC 9110 section 6.5)' => sub {
    takes 'one',                             trailer("X: b\r\n"), 'POST /a "hello"';
    takes 'two',                             trailer("X: b\r\nY:\r\n"), 'POST /a "hello"';
    takes 'blanks, tabs and bytes above 127', trailer("X: \t\xc3\xa4\t \r\n"), 'POST /a "hello"';
    breaks 'Content-Length (section 6.5.1)', 400, trailer("Content-Length: 5\r\n"), 'POST /a "hello"';
    breaks 'Transfer-Encoding',              400, trailer("Transfer-Encoding: chunked\r\n"), 'POST /a "hello"';
    breaks 'Transfer-Encoding in mixed letters', 400, trailer("TRANSFER-encoding: chunked\r\n"), 'POST /a "hello"';
    breaks 'Host',                           400, trailer("host: b\r\n"), 'POST /a "hello"';
    breaks 'one of these behind another',    400, trailer("X: b\r\nHost: b\r\n"), 'POST /a "hello"';
    breaks 'a folded one',                   400, trailer("X: b\r\n c\r\n"), 'POST /a "hello"';
    breaks 'a blank before it',              400, trailer(" X: b\r\n"), 'POST /a "hello"';
    breaks 'a blank before the colon',       400, trailer("X : b\r\n"), 'POST /a "hello"';
    breaks 'no colon',                       400, trailer("X\r\n"), 'POST /a "hello"';
    breaks 'no name',                        400, trailer(": b\r\n"), 'POST /a "hello"';
    breaks 'a delimiter in its name',        400, trailer("X{}: b\r\n"), 'POST /a "hello"';
    breaks 'LF alone behind it',             400, trailer("X: b\n"), 'POST /a "hello"';
    breaks 'CR alone inside it',             400, trailer("X: b\rY: c\r\n"), 'POST /a "hello"';
    breaks 'NUL inside it',                  400, trailer("X: \0\r\n"), 'POST /a "hello"';
    breaks 'a request line',                 400, trailer("GET /b HTTP/1.1\r\n"), 'POST /a "hello"';
    breaks 'without end',                    400, trailer('X: ' . 'b' x 10_000 . "\r\n"), 'POST /a "hello"';
};

section 'RFC 9110 section 10.1.1: Expect' => sub {
    my sub expects (@values) { return post('hello', 'Content-Length: 5', map { "Expect: $_" } @values) }
    takes '100-continue',                    expects('100-continue'), 'POST /a "hello"';
    takes 'in mixed letters',                expects('100-Continue'), 'POST /a "hello"';
    takes 'with a chunked body',
      post("5\r\nhello\r\n0\r\n\r\n", 'Transfer-Encoding: chunked', 'Expect: 100-continue'), 'POST /a "hello"';
    takes 'without a body',                  get('Expect: 100-continue'), 'GET /a';
    takes 'twice in a list',                 expects('100-continue, 100-continue'), 'POST /a "hello"';
    takes 'a list with empty items',         expects(', 100-continue,'), 'POST /a "hello"';
    takes 'an empty list: no expectation',   expects(''), 'POST /a "hello"';
    refuses 'another expectation',           417, expects('200-ok');
    refuses 'another one besides',           417, expects('100-continue, 200-ok');
    refuses 'another one in a second field', 417, expects('100-continue', '200-ok');
    refuses 'a part of it',                  417, expects('100');
    ends 'HTTP/1.0 does not know it',
      "POST /a HTTP/1.0\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", 'POST /a "hello"';
};

section 'RFC 9112 section 9.3: does the connection stay?' => sub {
    takes 'HTTP/1.1: it does',                 get(), 'GET /a';
    takes 'asked to: it does',                 get('Connection: keep-alive'), 'GET /a';
    takes 'of another option it knows nothing', get('Connection: closed, xclose, clos'), 'GET /a';
    takes 'options that name fields of the request',
      post('hello', 'Connection: Content-Length, Host', 'Content-Length: 5'), 'POST /a "hello"';
    takes 'as many options as there can be fields', get('Connection: ' . join ',', 1 .. 128), 'GET /a';
    refuses 'more options than there can be fields', 431, get('Connection: ' . join ',', 1 .. 129);
    refuses '… in several fields',                   431, get(('Connection: ' . ',' x 64) x 2, 'Connection: a');
    takes 'Proxy-Connection is nothing to it', get('Proxy-Connection: close'), 'GET /a';
    takes 'Upgrade is ignored (RFC 9110 section 7.8)', get('Connection: Upgrade', 'Upgrade: websocket'), 'GET /a';
    takes 'Upgrade to HTTP/2 is ignored',
      get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'), 'GET /a';
    ends 'close: it does not',                 get('Connection: close'), 'GET /a';
    ends 'in mixed letters',                   get('CONNECTION: Close'), 'GET /a';
    ends 'in a list',                          get("Connection: x,\tclose ,y"), 'GET /a';
    ends 'in a second field',                  get('Connection: x', 'Connection: close'), 'GET /a';
    ends 'close wins over keep-alive',         get('Connection: keep-alive, close'), 'GET /a';
    ends 'behind a body',
      post('hello', 'Connection: close', 'Content-Length: 5'), 'POST /a "hello"';
    ends 'behind chunks',
      post("5\r\nhello\r\n0\r\n\r\n", 'Connection: close', 'Transfer-Encoding: chunked'), 'POST /a "hello"';
    ends 'HTTP/1.0: it does not',              old(), 'GET /a';
    takes 'HTTP/1.0 that asks to: it does',    old('Connection: keep-alive'), 'GET /a';
    takes 'in mixed letters',                  old('Connection: Keep-Alive'), 'GET /a';
    takes 'behind a body of HTTP/1.0',
      "POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 'POST /a "hello"';
    ends 'HTTP/1.0, keep-alive and close',     old('Connection: keep-alive, close'), 'GET /a';
    ends 'HTTP/1.0 knows no length of a stream',
      "GET /stream?n=9 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 'GET /stream?n=9 ?';
};

section 'RFC 9112 section 9.3.2: pipelining' => sub {
    takes 'two requests',                     get() . line('GET /b HTTP/1.1'), 'GET /a', 'GET /b';
    takes 'of two versions',                  old('Connection: keep-alive') . get(), 'GET /a', 'GET /a';
    takes 'HEAD: nothing behind its head',    line('HEAD /a HTTP/1.1'), 'HEAD /a';
    takes 'bodies of both kinds',
      post('hi', 'Content-Length: 2') . chunk('5') . post('', 'Content-Length: 0'), 'POST /a "hi"',
      'POST /a "hello"', 'POST /a';
    takes 'a body that its handler leaves alone',
      "POST /nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" . get(), 'POST /nobody ?', 'GET /a';
    takes 'chunks that their handler leaves alone',
      "POST /nobody HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n" . get(),
      'POST /nobody ?', 'GET /a';
    takes 'a body that its handler reads late',
      "POST /late?ms=20 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" . get(),
      'POST /late?ms=20 "hello"', 'GET /a';
    takes 'a body that is collected',
      "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" . get(), 'POST /whole "hello"', 'GET /a';
    takes 'chunks that are collected',
      "POST /whole HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" . get(),
      'POST /whole "hello"', 'GET /a';
    takes 'a slow answer before a fast one',  target('/slow?ms=30') . get(), 'GET /slow?ms=30', 'GET /a';
    row 'a good one, then a bad one', get() . host('b b'), '200 400', ['GET /a'], 'closed';
    row 'a good one, then one with a broken body',
      get() . chunk('5 '), '200 400', ['GET /a', 'POST /a broken 400'], 'closed';
    row 'chunks that their handler left alone, and that break',
      "POST /nobody HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
      '200', ['POST /nobody ?'], 'closed';
};

cmp_ok $n_rows, '>=', 150, "there were $n_rows rows, each sent in three ways";
is $echo->stop, 'exit 0', 'echo ends well';
is $echo->log, '', 'without a complaint';
done_testing;
