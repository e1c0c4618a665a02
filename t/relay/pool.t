# The connections and servers behind relays: an answer is never taken for another request's, what may have been done is
# not done twice, and a server that is silent, gone or has moved is in nobody's way.
use v5.36;

use Hayfork::Test;

use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Time::HiRes qw(sleep);

use Hayfork::Test::Process qw(run slurp spew temporary_folder wait_for);
use Hayfork::Test::Upstream;

use constant MEGABYTE => 1 << 20;

my $CHUNKS  = 1_000_000;    # of one byte each
my $SHORTLY = 0.2;          # seconds, for what must not happen

my $OK     = "HTTP/1.1 200 OK\r\n";
my $HI     = "${OK}Content-Length: 2\r\n\r\nhi";
my $CLOSED = "${OK}Connection: close\r\nContent-Length: 2\r\n\r\nhi";

# A server with one worker and these routes, indented by two. limits: other ones than those here, so long that nothing
# is decided by a clock. more: what else there is to say before the routes; with: for the server.
sub relay ($routes, $limits = {}, $more = '', %with)
{
    my %limits = (connect => '30s', deadline => '50s', stall => '50s', body => '10M', %$limits);
    my $list   = join ', ', map { "$_: $limits{$_}" } sort keys %limits;
    return server("workers: 1\nlimits: { $list }\n${more}routes:\n  GET /:\n    text: \"hello\\n\"\n$routes", %with);
}

# The conf of upstream "backend", which has these servers.
sub backend ($more, @upstreams)
{
    my $servers = join ', ', map { '"' . $_->url . '"' } @upstreams;
    return "upstreams:\n  backend: { servers: [$servers]$more }\n";
}

my $ROUTES = <<'CONF';
  GET /x:
    relay: http://backend/y
  POST /x:
    relay: http://backend/y
CONF

# The one of these upstreams that has been knocked at.
sub whoever_is_asked (@upstreams)
{
    return wait_for('one of the upstreams to be asked', sub { (grep { $_->knocked } @upstreams)[0] });
}

# --- whose answer is it? ---

subtest 'bytes behind an answer are not the answer of who comes next' => sub {
    for my $size (1000, map { $_ << 10 } 16, 32, 64, 128, 256) {    # that of a read is among them
        my $upstream = Hayfork::Test::Upstream->new('unix');
        my $server   = relay($ROUTES, {}, backend(', connections: 1', $upstream));
        my ($worker) = $server->workers;
        my $first    = $server->client->ask('GET', '/x');
        my $peer     = $upstream->accept->buffers(1 << 20);
        $peer->request;
        my $next = $server->client->ask('GET', '/x');    # waits for the one connection there may be
        is $server->get('/')->status, 200, 'another route is served';

        my $head   = "${OK}Content-Length: ";
        my $length = $size - length("$head\r\n\r\n") - length $size;
        $head .= sprintf "%0*d\r\n\r\n", length $size, $length;
        kill 'STOP', $worker;
        $peer->send($head . 'a' x $length . "${OK}Content-Length: 5\r\n\r\nWRONG");
        kill 'CONT', $worker;
        is length $first->receive->body, $length, "an answer of $size bytes, with more behind it";
        $peer = $upstream->accept;
        $peer->request;
        $peer->send($HI);
        is $next->receive->body, 'hi', '… and the next request is answered by another connection';
        is $server->stop, 'exit 0';
    }
};

subtest 'bytes that come with the next request are not its answer' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay($ROUTES, {}, backend('', $upstream));
    my ($worker) = $server->workers;
    my $client   = $server->client;
    my @wrong;
    for my $method (('GET', 'POST') x 10) {
        $client->ask($method, '/x');
        my $peer = $upstream->accept;
        $peer->request;
        $peer->send($HI);
        $client->receive($method);

        # The worker gets both at once.
        kill 'STOP', $worker;
        $client->ask($method, '/x');
        $peer->send("${OK}Content-Length: 5\r\n\r\nWRONG");
        kill 'CONT', $worker;
        wait_for('an answer or another connection', sub { $upstream->knocked || $client->readable(0) });
        if ($upstream->knocked) {
            $peer = $upstream->accept;
            $peer->request;
            $peer->send($CLOSED);
        }
        my $body = $client->receive($method)->body;
        push @wrong, "$method: $body" if $body ne 'hi';
    }
    is "@wrong", '', 'each request has the answer to it';
    is $server->stop, 'exit 0';
};

# --- what may have been done ---

subtest 'a POST is sent once, also where the upstream has not read the one before' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = relay($ROUTES, {}, backend('', $upstream));
    my $behind   = 0;    # how often it stood after the one before
    my @wrong;
    for my $size (map { $_ * 4000 } 46 .. 58) {    # some of these fill what the kernel keeps, and no more
        my $first = $server->client->ask('POST', '/x', body => 'x' x $size);
        my $peer  = $upstream->accept;
        $peer->readable(60) or die 'no request has come';
        sleep 0.05;                                # all of it is on its way
        $peer->send($HI);
        $first->receive('POST')->status == 200 or die 'an answer that came early is passed on';
        my $second = $server->client->ask('POST', '/x', body => 'SECOND');
        my $seen   = 0;
        if ($upstream->knocked($SHORTLY)) {
            $peer->close;
            $peer = $upstream->accept;
        } else {
            $peer->request;
            $behind++;
        }
        $seen++ if $peer->request->body eq 'SECOND';
        $peer->close;
        if ($upstream->knocked($SHORTLY)) {
            my $again = $upstream->accept;
            $seen++ if $again->request->body eq 'SECOND';
            $again->send($CLOSED);
        }
        my $status = $second->receive('POST')->status;
        push @wrong, "$size: sent $seen times, answered $status" if $seen != 1 || $status != 502;
    }
    is_deeply \@wrong, [], 'it may have been done: 502';
    cmp_ok $behind, '>', 0, "$behind were sent behind what the upstream had not read";
    is $server->stop, 'exit 0';
};

subtest 'a server that closes a new connection without an answer' => sub {
    my @upstreams = map { Hayfork::Test::Upstream->new } 1 .. 2;
    for my $method ('GET', 'HEAD', 'POST') {
        my $server = relay($ROUTES, {}, backend('', @upstreams));
        my $client = $server->client->ask($method, '/x');
        my $first  = whoever_is_asked(@upstreams);
        my ($other) = grep { $_ != $first } @upstreams;
        my $peer = $first->accept;
        $peer->request;
        $peer->close;
        if ($method eq 'POST') {
            problem_is $client->receive, 502, {}, 'POST: it may have been done';
            ok !$other->knocked($SHORTLY), '… and is not asked of the other server';
        } else {
            $peer = $other->accept;
            is $peer->request->method, $method, "$method is asked of the other server";
            $peer->send($method eq 'HEAD' ? "${OK}Connection: close\r\nContent-Length: 2\r\n\r\n" : $CLOSED);
            is $client->receive($method)->status, 200, '… and answered';
        }
        is $server->stop, 'exit 0';
    }
};

# --- servers ---

subtest 'a silent server is given a rest' => sub {
    my ($silent, $good) = map { Hayfork::Test::Upstream->new } 1 .. 2;
    my $server = relay($ROUTES, { deadline => '500ms' }, backend('', $silent, $good));
    my ($asked, @wrong, @held) = (0);
    for (1 .. 20) {
        my $client = $server->client->ask('GET', '/x');
        my $peer   = whoever_is_asked($silent, $good)->accept;
        $peer->request;
        if ($silent->{port} == $peer->{socket}->sockport) {
            $asked++;
            push @wrong, 'silent' if $client->receive->status != 504;
        } else {
            $peer->send($CLOSED);
            push @wrong, 'good' if $client->receive->status != 200;
        }
    }
    is "@wrong", '', 'who asks it gets 504, others get their answer';
    cmp_ok $asked, '>=', 1, 'it is asked';
    cmp_ok $asked, '<=', 5, "… $asked times of twenty";
    is $server->stop, 'exit 0';
};

subtest 'a connection is not used for longer than its age' => sub {
    my ($young, $old) = map { Hayfork::Test::Upstream->new } 1 .. 2;
    my $more   = backend(', age: 2s, idle: 50s', $young) . "  lasting: { servers: [\"${\ $old->url }\"], idle: 50s }\n";
    my $server = relay("$ROUTES  GET /lasting:\n    relay: http://lasting/y\n", {}, $more);
    my $client = $server->client;
    my %peers  = (young => [], old => []);
    my $ask    = sub ($name, $target, $upstream) {
        $client->ask('GET', $target);
        my ($peer) = $upstream->next_request(grep { !$_->{gone} } $peers{$name}->@*);
        $peer->send($HI);
        $client->receive->body eq 'hi' or die 'not the answer';
        if (!grep { $_ == $peer } $peers{$name}->@*) {
            $_->{gone} = 1 for $peers{$name}->@*;
            push $peers{$name}->@*, $peer;
        }
        $peer->{answers}++;
    };
    wait_for('a third connection', sub {
        $ask->('young', '/x',       $young);
        $ask->('old',   '/lasting', $old);
        sleep 0.02;
        return $peers{young}->@* == 3;
    });
    cmp_ok $_->{answers}, '>', 1, "one is used again ($_->{answers} times), until it is too old" for $peers{young}->@[ 0, 1 ];
    ok $_->at_end, '… and is closed then' for $peers{young}->@[ 0, 1 ];
    is $peers{old}->@*, 1, 'without an age that short it stays';
    is $server->stop, 'exit 0';
};

# --- names ---

# How to start a server that finds these names, and asks that name server for all others: with its own files in the
# place of the machine's. Ends the subtest where that is not allowed.
sub with_names ($hosts, $nameserver)
{
    my $folder = temporary_folder();
    my @files  = map { spew("$folder/$_->[0]", $_->[1]); ("$folder/$_->[0]", "/etc/$_->[0]") }
      [ 'nsswitch.conf', "hosts: files dns\n" ], [ 'hosts', $hosts ],
      [ 'resolv.conf', "nameserver $nameserver\noptions timeout:30 attempts:1\n" ];
    my @under = (qw(unshare --mount sh -c),
        'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"', 'sh', @files, '--');
    needs(eval { run([ @under, 'true' ])->{exit} } eq 'exit 0', 'only root may put files in the place of those in /etc');
    return { hosts => "$folder/hosts", under => \@under };
}

subtest 'resolve: a server that has moved is found' => sub {
    my $names  = with_names("127.0.0.1 there.test\n", '127.0.0.1');
    my $here   = Hayfork::Test::Upstream->new;
    my $there  = Hayfork::Test::Upstream->new('tcp', host => '127.0.0.2', port => $here->{port});
    my $server = relay("  GET /x:\n    relay: http://there.test:$here->{port}/y\n", {}, "resolve: 500ms\n",
        under => $names->{under});
    my $ask = sub () {
        my $client   = $server->client->ask('GET', '/x');
        my $upstream = whoever_is_asked($here, $there);
        my $peer     = $upstream->accept;
        $peer->request;
        $peer->send($CLOSED);
        return $client->receive->body eq 'hi' ? $upstream : die 'not the answer';
    };
    is $ask->(), $here, 'its first address';
    spew($names->{hosts}, "127.0.0.2 there.test\n");
    wait_for('its new one', sub { $ask->() == $there });
    is $ask->(), $there, 'then its new one';
    spew($names->{hosts}, "127.0.0.1 there.test\n");
    wait_for('the first one again', sub { $ask->() == $here });
    pass 'and so on';
    is $server->stop, 'exit 0';
};

subtest 'names that take long to look up are in nobody\'s way' => sub {
    # A name server that never answers.
    my $address = join '.', 127, map { 1 + int rand 250 } 1 .. 3;
    my $silent  = IO::Socket::IP->new(LocalHost => $address, LocalPort => 53, Type => SOCK_DGRAM);
    needs($silent, 'only root may play a name server');
    my $names    = with_names("127.0.0.1 fast.test\n", $address);
    my $upstream = Hayfork::Test::Upstream->new;
    my $routes   = join '', map { "  GET /slow/$_:\n    relay: http://slow$_.test:1/y\n" } 1 .. 8;
    my $server   = relay("$routes  GET /fast:\n    relay: http://fast.test:$upstream->{port}/y\n", {}, '',
        under => $names->{under});
    my @slow = map { $server->client->ask('GET', "/slow/$_") } 1 .. 8;
    for (1 .. 3) {
        my $client = $server->client->ask('GET', '/fast');
        my $peer   = $upstream->accept;
        $peer->request;
        $peer->send($CLOSED);
        is $client->receive->body, 'hi', 'another name is found';
    }
    ok !(grep { $_->readable(0) } @slow), '… while those are looked up';
    is $server->get('/')->status, 200, 'other routes are served';
    $_->close for @slow;
    is $server->stop, 'exit 0', 'it does not wait for them to stop';
};

# --- memory, and the end ---

subtest 'an answer in the tiniest of chunks is passed on in little memory' => sub {
    my $upstream = Hayfork::Test::Upstream->new;
    my $server   = relay($ROUTES, {}, "core: on\n" . backend('', $upstream),    # its memory is looked at
        env => { ASAN_OPTIONS => join ':', 'quarantine_size_mb=1', grep { defined } $ENV{ASAN_OPTIONS} });
    my ($worker) = $server->workers;
    my $memory   = sub () { return slurp("/proc/$worker/smaps_rollup") =~ /^Pss:\s+(\d+) kB/m ? $1 * 1024 : die };
    my $client   = $server->client->ask('GET', '/x');
    my $peer     = $upstream->accept;
    $peer->request;
    $peer->send("${OK}Transfer-Encoding: chunked\r\n\r\n");
    my ($left, $sent, $got, $before) = ('', 0, 0);
    my $reader = IO::Select->new($client->{socket});
    my $writer = IO::Select->new($peer->{socket});
    while ($got < $CHUNKS) {
        if ($left eq '' && $sent < $CHUNKS) {
            $sent += 10_000;
            $left = "1\r\nz\r\n" x 10_000;
        }
        my ($from, $to) = IO::Select->select($reader, $left eq '' ? undef : $writer, undef, $Hayfork::Test::Process::LIMIT);
        @{ $from // [] } || @{ $to // [] } or die 'nothing moves any more';
        if (@$to) {
            substr $left, 0, syswrite($peer->{socket}, $left) // 0, '';
        }
        if (@$from) {
            $client->fill or die 'the answer breaks off';
            $got += $client->{buffer} =~ tr/z//;
            $client->{buffer} = '';
        }
        $before //= $memory->() if $got >= $CHUNKS / 10;
    }
    is $got, $CHUNKS, 'all of a million comes';
    my $growth = $memory->() - $before;
    cmp_ok $growth, '<', 4 * MEGABYTE, sprintf 'the worker keeps nothing of it (%.1f MB)', $growth / MEGABYTE;
    $client->close;
    is $server->stop, 'exit 0';
};

subtest 'the end of the drain limit: who waits for a connection is told so, and nothing more is sent' => sub {
    for my $down (0, 1) {
        my $upstream = Hayfork::Test::Upstream->new('unix');
        my $server   = relay($ROUTES, { drain => '300ms' }, backend(', connections: 1', $upstream));
        my $sent     = $server->client->ask('POST', '/x', body => 'sent');
        my $peer     = $upstream->accept;
        is $peer->request->body, 'sent', 'one request is with the upstream';
        my @waiting = map { $server->client->ask('POST', '/x', body => "waiting $_") } 1 .. 3;
        is $server->get('/')->status, 200, 'others wait';
        if ($down) {
            $upstream->stop;
            unlink $upstream->{path};
        }
        is $server->stop, 'exit 0', 'the server stops' . ($down ? ', and the upstream is gone' : '');
        for my $client (@waiting) {
            my $response = $client->receive;
            problem_is $response, 503, {}, 'it was certainly not done';
        }
        ok $sent->at_end, 'nobody knows of the one that was sent: the connection is closed without a byte';
        ok $peer->at_end, '… that to the upstream, too';
        ok !$upstream->knocked, 'and there is no other' if !$down;
    }
};

# What this process lacks is not the upstream's fault.
subtest 'no descriptor for a connection' => sub {
    my $upstream = Hayfork::Test::Upstream->new('unix');
    my $server   = relay($ROUTES, { clients => 10_000 }, backend('', $upstream), under => [qw(prlimit --nofile=48:48)]);
    my $client   = $server->client;
    is $client->get('/')->status, 200, 'a client that is served';
    my @others = map { $server->client->ask('GET', '/') } 1 .. 60;
    wait_for('the last descriptor to be taken', sub { $server->log_lines(qr/cannot accept connections/) });
    for my $method ('GET', 'POST', 'GET') {
        my $response = $client->request($method, '/x');
        problem_is $response, 503, {}, "$method: certainly not done";
        like $response->header('Retry-After'), qr/^[1-9]\d*$/, '… and safe to try again';
    }
    ok !$upstream->knocked($SHORTLY), 'the upstream knows nothing of it';
    $_->close for @others;
    my $seen;
    wait_for('a connection to be possible', sub {
        $client->send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for('an answer, or the upstream to be asked', sub { $upstream->knocked || $client->readable(0) });
        return ($seen) = $upstream->next_request if $upstream->knocked;
        return $client->receive->status == 503 ? undef : die 'another answer';
    });
    $seen->send($HI);
    is $client->receive->body, 'hi', 'then it is asked at once';
    is $server->stop, 'exit 0';
    is scalar $server->log_lines(qr{ error .*GET /x: no room for a connection to \S+: Too many open files \(request}), 1, 'the log says it';
    is scalar $server->log_lines(qr/no room for a connection to an upstream: \d+ more/), 1, '… with a count';
    is_deeply [ $server->log_lines(qr/cannot connect|answers again/) ], [], '… and blames nobody';
};

done_testing;
