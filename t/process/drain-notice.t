# drain-notice: limits.drain_notice: load balancers learn that the server stops while it still serves.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(run wait_for);

# A server with that notice, and the address of its admin listener.
sub start ($notice)
{
    my $admin  = '127.0.0.1:' . Hayfork::Test::Server::free_port();
    my $server = server(<<~CONF);
        workers: 2
        admin: $admin
        limits: { drain_notice: $notice, drain: 1m }
        routes:
          GET /:
            text: "hello\n"
        CONF
    return ($server, $admin);
}

sub ready ($admin)
{
    return Hayfork::Test::Client->new($admin)->get('/ready');
}

sub wait_for_notice ($admin)
{
    return wait_for('it to say that it stops', sub { my $ready = ready($admin); $ready->status == 503 && $ready });
}

sub reload ($server) { return run([ $Hayfork::Test::HAYFORK, '-r', $server->pid ]) }

subtest 'all goes on until a second TERM' => sub {
    my ($server, $admin) = start('60m');
    my $client = $server->client;
    is ready($admin)->status, 200, 'it is ready';
    $server->signal('TERM');
    is wait_for_notice($admin)->body, '{"ready":false,"reasons":["The server is draining."]}', 'it says that it stops';
    is $client->get('/')->status, 200, 'who has a connection is served';
    is $client->get('/')->status, 200, '… again';
    is $server->get('/')->status, 200, '… as is who comes';

    my $reload = reload($server);
    is $reload->{exit}, 'exit 78', 'there is no reload any more';
    like $reload->{stderr}, qr/the server stops/, '… which who asks is told';

    my @workers = $server->workers;
    kill 'TERM', @workers;    # as a service manager does with all processes of a service
    is_deeply [ map { $server->get('/')->status } 1 .. 20 ], [ (200) x 20 ], 'workers that are told to stop by another one go on';
    is_deeply [ $server->workers ], \@workers, '… and are the same';
    kill 'KILL', $workers[0];
    wait_for('another worker', sub { $server->workers == 2 && !grep { $_ == $workers[0] } $server->workers });
    wait_for('it to serve', sub { Hayfork::Test::Client->new($admin)->get('/metrics')->body =~ /workers\{state="ready"\} 2/ });
    is ready($admin)->status, 503, 'it still stops';

    my $late = $server->client->send("GET / HTTP/1.1\r\n");
    $server->signal('TERM');
    wait_for('new connections to be refused', sub { !eval { $server->client } });
    is $late->send("Host: a\r\n\r\n")->receive->status, 200, 'a request that has begun is finished';
    is $server->end, 'exit 0';
    is scalar $server->log_lines(qr/stopping in 3600\.0 s/),  1, 'the log says when it would have stopped';
    is scalar $server->log_lines(qr/stopping: finishing/),    1, '… and when it did';
};

subtest 'the notice ends' => sub {
    my ($server, $admin) = start('300ms');
    $server->signal('TERM');
    is $server->end, 'exit 0';
};

subtest 'INT does not wait for it' => sub {
    my ($server, $admin) = start('60m');
    $server->signal('TERM');
    wait_for_notice($admin);
    $server->signal('INT');
    is $server->end, 'exit 0';
};

subtest 'workers whose master is dead do not wait for anybody' => sub {
    my ($server, $admin) = start('60m');
    my @workers = $server->workers;
    $server->signal('KILL');
    $server->end;
    wait_for('them to end', sub { !grep { kill 0, $_ } @workers });
    pass 'they end';
};

subtest 'a reload that is under way when the server is told to stop is refused' => sub {
    my ($server, $admin) = start('60m');
    $server->signal('HUP');
    wait_for('it to begin', sub { $server->log_lines(qr/tries the conf/) });
    $server->signal('TERM');
    wait_for_notice($admin);
    wait_for('it to say so', sub { $server->log_lines(qr/there will be no reload|reloaded/) });
    is $server->get('/')->status, 200, 'it serves';
    $server->signal('TERM');
    is $server->end, 'exit 0';
};

done_testing();
