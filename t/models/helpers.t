# Routes with `classify`: the processes that run models may be late, die, or have too much to do.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Client;
use Hayfork::Test::Helper qw(count stop_idle $RUNNING $WAITING);
use Hayfork::Test::Model qw(needs_models model_folder to_json);
use Hayfork::Test::Process qw(alive children temporary_folder wait_for);

my $library = needs_models;
my $top     = temporary_folder();
model_folder("$top/m", 'classify', [qw(no yes)]);
model_folder("$top/e", 'embed', 4);

# A server with one worker and one helper; its metrics are asked for by count.
sub start ($limits, $sandbox = 'on')
{
    my $port = Hayfork::Test::Server::free_port();
    my $self = server(<<~CONF, options => { admin => "127.0.0.1:$port" });
        workers: 1
        sandbox: $sandbox
        inference: { library: $library }
        helpers: { inference: 1 }
        limits: { $limits }
        models: { m: { folder: $top/m, texts: 6 }, e: $top/e }
        routes:
          POST /: { classify: m }
          POST /e: { embed: e }
        CONF
    $self->{metrics} = Hayfork::Test::Client->new("127.0.0.1:$port");
    return $self;
}

# The process that has the models, and those that run them.
sub loader_of ($server)
{
    return grep { (readlink("/proc/$_/exe") // '') =~ /hayfork-inference/ } children($server->pid);
}

sub helpers_of ($server)
{
    return map { children($_) } loader_of($server);
}

sub request_for ($inputs, $target = '/')
{
    return Hayfork::Test::Client::request_text(POST => $target, json => to_json({ inputs => $inputs }));
}

sub answer ($server, $inputs, $target = '/')
{
    return $server->request(POST => $target, json => to_json({ inputs => $inputs }));
}

# Has the helper stopped, so that what it gets waits.
sub hold ($server)
{
    my $pid = wait_for('a helper', sub { (helpers_of($server))[0] });
    is answer($server, 'good')->status, 200, 'it works';
    return stop_idle($pid);
}

# A request that is under way.
sub ask ($server, $inputs, $target = '/')
{
    my $client = Hayfork::Test::Client->new($server->address);
    $client->send(request_for($inputs, $target));
    return $client;
}

my $TEXTS   = 'hayfork_texts_total';
my $JOINED  = 'hayfork_texts_joined_total';

subtest 'what waits goes together' => sub {
    my $server = start('deadline: 60s');
    my @alone  = map { answer($server, $_)->body } qw(good bad film);
    is count($server, $JOINED), 0, 'a text that finds a helper waits for no other';
    my $pid = hold($server);
    my ($texts, $done) = map { count($server, $_) } $TEXTS, 'hayfork_helper_jobs_total{result="done"}';
    my $first = ask($server, 'the');
    wait_for('the helper to have one', sub { count($server, $RUNNING) == 1 });
    my @rest = map { ask($server, $_) } qw(good bad film);
    my $list = ask($server, [qw(film bad good)]);
    my $more = ask($server, 'very');
    my $other = ask($server, 'good', '/e');
    wait_for('the others', sub { count($server, $TEXTS) == $texts + 9 });
    is count($server, $WAITING), 3, 'three jobs: six texts, what is over, another model';
    $list->close;
    kill CONT => $pid;
    is $first->receive->status, 200, 'the first one';
    is_deeply [ map { $_->receive->body } @rest ], \@alone, 'each gets its own answer';
    is $_->receive->status, 200, 'the others' for $more, $other;
    is count($server, $JOINED), 5, 'those that joined are counted';
    wait_for('all jobs to be counted', sub { count($server, 'hayfork_helper_jobs_total{result="done"}') == $done + 4 });
    is $server->stop, 'exit 0';
};

subtest 'a helper that dies' => sub {
    my $server = start('inference: { time: 60s }, deadline: 60s');
    my $pid    = hold($server);
    my @first  = (ask($server, 'good'));
    wait_for('the helper to have it', sub { count($server, $RUNNING) == 1 });
    my $second = ask($server, 'bad');
    wait_for('another one to wait', sub { count($server, $WAITING) == 1 });
    kill KILL => $pid;
    my $answer = $first[0]->receive;
    problem_is $answer, 503, {}, 'its own';
    like $answer->header('Retry-After'), qr/^\d+$/, '… may come again';
    is $second->receive->status, 200, 'the next one has a new helper';
    isnt +(helpers_of($server))[0], $pid, 'another process';
    like $server->log, qr/error inference.*process $pid has ended by signal 9/, 'it is logged';
    like $server->log, qr{error worker 1.*POST /: 503: the helper that ran the model has died}, '… by the worker, too';
    my ($loader) = loader_of($server);
    kill KILL => $loader;
    wait_for('who has the models to be gone, and all with it', sub { !grep { alive($_) } $loader, $pid });
    wait_for('others in their place', sub { answer($server, 'good')->status == 200 });
    is $server->stop, 'exit 0';
    ok !(grep { alive($_) } $loader, $pid), 'nobody is left';
};

subtest 'a helper that is late' => sub {
    my $server = start('inference: { time: 300ms }, deadline: 60s');
    my $pid    = hold($server);
    problem_is ask($server, 'good')->receive, 504, {}, 'the request';
    like $server->log, qr{warn worker 1.*POST /: 504: a model took longer than limits\.inference\.time}, 'logged';
    kill CONT => $pid;
    is answer($server, 'good')->status, 200, 'it goes on';
    is $server->stop, 'exit 0';
};

subtest 'a queue that is full' => sub {
    my $server  = start('inference: { time: 60s, queue: 1 }, deadline: 60s');
    my $pid     = hold($server);
    my $working = ask($server, 'good');
    wait_for('the helper to have one', sub { count($server, $RUNNING) == 1 });
    my $waiting = ask($server, [ ('good') x 6 ]);
    wait_for('one to wait', sub { count($server, $WAITING) == 1 });
    problem_is answer($server, 'good'), 503, {}, 'one more';
    $waiting->close;
    wait_for('its place to be free', sub { count($server, $WAITING) == 0 });
    my $next = ask($server, 'bad');
    wait_for('another one to have it', sub { count($server, $WAITING) == 1 });
    kill CONT => $pid;
    is $working->receive->status, 200, 'the first is answered';
    is $next->receive->status, 200, '… and who came into the free place';
    is $server->stop, 'exit 0';
};

subtest 'no helper is free in time' => sub {
    my $server  = start('inference: { time: 60s }, deadline: 300ms');
    my $pid     = hold($server);
    my $working = ask($server, 'good');
    wait_for('the helper to have one', sub { count($server, $RUNNING) == 1 });
    problem_is answer($server, 'bad'), 503, {}, 'another one';
    kill CONT => $pid;
    is $working->receive->status, 200, 'the first is answered';
    is $server->stop, 'exit 0';
};

subtest 'reload' => sub {
    my $server = start('deadline: 60s');
    is answer($server, 'good')->status, 200, 'before';
    my ($old) = loader_of($server);
    $server->signal('HUP');
    wait_for('the old one to leave', sub { !alive($old) });
    is answer($server, 'good')->status, 200, 'after';
    is $server->stop, 'exit 0';
};

subtest 'the same without a sandbox' => sub {
    my $server = start('deadline: 60s', 'off');
    is answer($server, [ 'good', 'bad' ])->status, 200, 'answered';
    is $server->stop, 'exit 0';
};

done_testing;
