# Where Hayfork listens, and how many connections it takes.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);

use Hayfork::Test::Process qw(wait_for);

my $folder = tempdir('/tmp/hf.XXXXXX', CLEANUP => 1);
my $CONF   = <<~'CONF';
    workers: 2
    routes:
      GET /:
        text: "hello\n"
    CONF

sub hello ($address)
{
    return Hayfork::Test::Client->new($address)->get('/')->body;
}

subtest 'several addresses at once' => sub {
    my $port   = Hayfork::Test::Server::free_port();
    my $server = server($CONF, also => [ "127.0.0.2:$port", "unix:$folder/http.sock" ]);
    is hello($_), "hello\n", $_ for $server->address, "127.0.0.2:$port", "unix:$folder/http.sock";
    is $server->stop, 'exit 0';
    ok !-e "$folder/http.sock", 'the socket file is removed';
};

subtest 'IPv6' => sub {
    my $port = Hayfork::Test::Server::free_port();
    needs(IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1, Type => SOCK_STREAM),
        'this machine has no IPv6');
    my $server = server($CONF, also => ["[::1]:$port"]);
    is hello("[::1]:$port"), "hello\n", '[::1]';
    is $server->stop, 'exit 0';
};

subtest 'a port alone is every address' => sub {
    my $port   = Hayfork::Test::Server::free_port();
    my $server = server($CONF, also => [$port]);
    is hello("127.0.0.1:$port"), "hello\n", '127.0.0.1';
    is hello("127.0.0.2:$port"), "hello\n", '127.0.0.2';
    is $server->stop, 'exit 0';
};

subtest 'a socket file that a dead server has left is replaced' => sub {
    IO::Socket::UNIX->new(Local => "$folder/left.sock", Listen => 1, Type => SOCK_STREAM)->close;
    ok -S "$folder/left.sock", 'there is one';
    my $server = server($CONF, also => ["unix:$folder/left.sock"]);
    is hello("unix:$folder/left.sock"), "hello\n";
    is $server->stop, 'exit 0';
};

subtest 'a socket file that somebody listens on, or any other file, is left alone' => sub {
    my $other = IO::Socket::UNIX->new(Local => "$folder/taken.sock", Listen => 1, Type => SOCK_STREAM);
    Hayfork::Test::Process::spew("$folder/file", "precious\n");
    for my $name ('taken.sock', 'file') {
        my $server = Hayfork::Test::Server->launch($CONF, also => ["unix:$folder/$name"]);
        wait_for('a start or a refusal', sub { defined $server->ended || $server->log =~ /serving on unix/ });
        is $server->ended, 'exit 69', $name;
        like $server->log, qr{unix:\Q$folder/$name\E.*Address already in use}, '… is named';
        ok -e "$folder/$name", '… and still there';
    }
    is eval { Hayfork::Test::Process::slurp("$folder/file") }, "precious\n", 'with its content';
};

subtest 'at most limits.clients connections per worker; the next one waits' => sub {
    my $server = server($CONF . "limits:\n  clients: 4\n", options => { workers => 1 });
    my @clients = map { $server->client } 1 .. 4;
    is $_->get('/')->status, 200, 'served' for @clients;

    my $next = $server->client->ask('GET', '/');
    ok !$next->readable(0.3), 'a fifth client waits';
    is $clients[0]->get('/')->status, 200, 'the others are served';
    $clients[1]->close;
    is $next->receive->status, 200, 'until one of them leaves';
    is $server->stop, 'exit 0';
};

subtest 'many connections that say nothing' => sub {
    my $server  = server($CONF);
    my @clients = map { $server->client } 1 .. 400;
    is hello($server->address), "hello\n", 'are in nobody\'s way';
    is $clients[$_]->get('/')->status, 200, "client $_ is served when it asks" for 0, 199, 399;
    is $server->stop, 'exit 0';
};

done_testing;
