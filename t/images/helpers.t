# Routes with `images`: the processes that make pictures may be late, die, or have too much to do.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Client;
use Hayfork::Test::Helper qw(count is_idle stop_idle $RUNNING $WAITING);
use Hayfork::Test::Picture qw(needs_images draw ramp);
use Hayfork::Test::Process qw(alive children slurp temporary_folder wait_for);

needs_images;

# A program that is built with sanitizers makes calls that helpers do not, and catches its own crashes.
my $is_sanitized = slurp($Hayfork::Test::HAYFORK) =~ /__asan_init/;

my $top = temporary_folder();
draw("$top/ramp.png", 90, 60, ramp(90, 60));

# A server with one worker and one helper; its metrics are asked for by count.
sub start ($limits)
{
    my $port = Hayfork::Test::Server::free_port();
    my $self = server(<<~CONF, options => { admin => "127.0.0.1:$port" });
        workers: 1
        helpers: { images: 1 }
        limits: { $limits }
        routes:
          GET /i/{path...}:
            files: $top
            images: on
            query: { w: 10 }
        CONF
    $self->{metrics} = Hayfork::Test::Client->new("127.0.0.1:$port");
    return $self;
}

# Has the helper stopped, so that what it gets waits. The next one that there is.
sub hold ($server)
{
    my $pid = wait_for('a helper', sub { ($server->helpers)[0] });
    wait_for('it to work', sub { $server->get('/i/ramp.png?w=3')->status == 200 });
    return stop_idle($pid);
}

# A request that is under way.
sub ask_for ($server, $target)
{
    my $client = Hayfork::Test::Client->new($server->address);
    $client->send(Hayfork::Test::Client::request_text(GET => $target));
    return $client;
}


sub result ($name)
{
    return qq(hayfork_helper_jobs_total{result="$name"});
}

subtest 'a helper that dies costs one request' => sub {
    my $server = start('images: { time: 60s }, deadline: 60s');
    my $pid    = hold($server);
    my $first  = ask_for($server, '/i/ramp.png?w=11');
    wait_for('the helper to have it', sub { count($server, $RUNNING) == 1 });
    my $second = ask_for($server, '/i/ramp.png?w=12');
    wait_for('another one to wait', sub { count($server, $WAITING) == 1 });
    kill SEGV => $pid;
    kill CONT => $pid;
    problem_is $first->receive, 500, {}, 'its own';
    is $second->receive->status, 200, 'the next one has a new helper';
    isnt +($server->helpers)[0], $pid, 'another process';
    like $server->log, qr/error master.*helper 1 for images \(process $pid\) (?:was killed by signal 11|ended with exit code 1)/,
      'the master says so';
    like $server->log, qr{error worker 1.*GET /i/\{path\.\.\.\}: 500: the helper that made a picture has died}, '… and the worker';
    is count($server, result('died')),        1, 'counted';
    is count($server, 'hayfork_helpers'),     1, '… and so is who is there';
    is $server->stop, 'exit 0';
};

subtest 'a helper that is late is killed' => sub {
    my $server = start('images: { time: 300ms }, deadline: 60s');
    my $pid    = hold($server);
    my $first  = ask_for($server, '/i/ramp.png?w=11');
    problem_is $first->receive, 504, {}, 'the request';
    wait_for('its end', sub { !alive($pid) });
    is $server->get('/i/ramp.png?w=12')->status, 200, 'a new one takes its place';
    like $server->log, qr{warn worker 1.*GET /i/\{path\.\.\.\}: 504: a picture took longer than limits\.images\.time}, 'logged';
    unlike $server->log, qr/error/, 'by whoever has decided it, and nobody else';
    is count($server, result('late')), 1, 'counted';
    is $server->stop, 'exit 0';
};

subtest 'a queue that is full' => sub {
    my $server  = start('images: { time: 60s, queue: 1 }, deadline: 60s');
    my $pid     = hold($server);
    my $working = ask_for($server, '/i/ramp.png?w=11');
    wait_for('the helper to have one', sub { count($server, $RUNNING) == 1 });
    my $waiting = ask_for($server, '/i/ramp.png?w=12');
    wait_for('one to wait', sub { count($server, $WAITING) == 1 });
    my $refused = $server->get('/i/ramp.png?w=13');
    problem_is $refused, 503, {}, 'one more';
    like $refused->header('Retry-After'), qr/^\d+$/, '… may come again';
    $waiting->close;
    wait_for('its place to be free', sub { count($server, $WAITING) == 0 });
    my $next = ask_for($server, '/i/ramp.png?w=14');
    wait_for('another one to have it', sub { count($server, $WAITING) == 1 });
    kill CONT => $pid;
    is $working->receive->status, 200, 'the first is answered';
    is $next->receive->status, 200, '… and who came into the free place';
    is count($server, result('full')),      1, 'counted: refused';
    is count($server, result('abandoned')), 1, '… and left';
    is $server->stop, 'exit 0';
};

subtest 'no helper is free in time' => sub {
    my $server  = start('images: { time: 60s }, deadline: 300ms');
    my $pid     = hold($server);
    my $working = ask_for($server, '/i/ramp.png?w=11');
    wait_for('the helper to have one', sub { count($server, $RUNNING) == 1 });
    my $before = count($server, result('not_begun'));
    problem_is $server->get('/i/ramp.png?w=12'), 503, {}, 'the deadline is over before it was begun';
    kill CONT => $pid;
    is $working->receive->status, 200, 'what was begun has its own time';
    is count($server, result('not_begun')), $before + 1, 'counted';
    is $server->stop, 'exit 0';
};

subtest 'the same picture at the same time' => sub {
    my $server = start('images: { time: 60s }, deadline: 60s');
    my $pid    = hold($server);
    my $done   = count($server, result('done'));
    my @same   = map { ask_for($server, '/i/ramp.png?w=11') } 1 .. 5;
    wait_for('all to share one', sub { count($server, 'hayfork_images_shared_total') == 4 });
    $same[1]->close;
    $same[3]->close;
    kill CONT => $pid;
    my @bodies = map { $same[$_]->receive->body } 0, 2, 4;
    ok length $bodies[0], 'answered';
    is_deeply \@bodies, [ ($bodies[0]) x 3 ], 'all who stayed';
    is count($server, result('done')), $done + 1, 'made once';
    is $server->stop, 'exit 0';
};

subtest 'the client leaves while its picture is made' => sub {
    my $server = start('images: { time: 60s }, deadline: 60s');
    my $pid    = hold($server);
    my $client = ask_for($server, '/i/ramp.png?w=11');
    wait_for('the helper to have it', sub { count($server, $RUNNING) == 1 });
    $client->close;
    wait_for('the worker to see it', sub { $server->{metrics}->get('/metrics')->body =~ /status="499"\} 1$/m });
    kill CONT => $pid;
    wait_for('it to be given up', sub { count($server, result('abandoned')) == 1 });
    is $server->get('/i/ramp.png?w=12')->status, 200, 'the helper goes on';
    is +($server->helpers)[0], $pid, '… and is the same one';
    is $server->stop, 'exit 0';
};

subtest 'a reload' => sub {
    my $server = start('images: { time: 60s }, deadline: 60s');
    my $pid    = hold($server);
    my $client = ask_for($server, '/i/ramp.png?w=11');
    wait_for('the helper to have one', sub { count($server, $RUNNING) == 1 });
    $server->signal('HUP');
    wait_for('the reload', sub { $server->log =~ /info master.*: reloaded$/m });
    is $server->get('/i/ramp.png?w=12')->status, 200, 'new requests have helpers of their own';
    kill CONT => $pid;
    is $client->receive->status, 200, 'what was begun before is finished by the one that has it';
    wait_for('that one to leave', sub { !alive($pid) });
    is scalar(my @left = $server->helpers), 1, 'one is left';
    is $server->get('/i/ramp.png?w=13')->status, 200, '… that works';
    is $server->stop, 'exit 0';
};

subtest 'what a helper can do, and who has libvips' => sub {
    my $server = start('images: { time: 60s }');
    wait_for('it to work', sub { $server->get('/i/ramp.png')->status == 200 });
    my ($pid) = $server->helpers;
    wait_for('its job to be over', sub { is_idle($pid) });
    my $status = slurp("/proc/$pid/status");
    like $status, qr/^NoNewPrivs:\s+1$/m, 'no new privileges';
    like $status, qr/^CapPrm:\s+0+$/m,    'no capabilities';
    like $status, qr/^Seccomp:\s+2$/m,    'a filter of system calls' if $status =~ /^Seccomp:/m && !$is_sanitized;
    my %open = map { $_ => readlink "/proc/$pid/fd/$_" } map { m{(\d+)$} } glob "/proc/$pid/fd/*";
    is_deeply [ grep { $open{$_} !~ m{^socket:|/statm$} } grep { $_ > 2 } sort keys %open ], [],
      'nothing of the master\'s is open in it' or diag explain \%open;
    for my $other ($server->pid, grep { $_ != $pid } children($server->pid)) {
        unlike slurp("/proc/$other/maps"), qr/libvips/, 'no other process has the library';
    }
    kill KILL => $server->pid;
    wait_for('it to end with its master', sub { !alive($pid) });
};

done_testing;
