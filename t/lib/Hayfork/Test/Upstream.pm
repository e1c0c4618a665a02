# Hayfork::Test::Upstream: the service behind a relay, played by the test itself. It is strict about requests,
# and answers just the bytes it is told, when it is told.
#
#   my $upstream = Hayfork::Test::Upstream->new;
#   my $server   = server("routes:\n  GET /user:\n    relay: " . $upstream->url('/avatar') . "\n");
#   my $client   = $server->client->ask('GET', '/user');
#   my $peer     = $upstream->accept;                   # a connection of the relay's
#   is $peer->request->target, '/avatar';
#   $peer->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
#   is $client->receive->body, 'hi';
#
# Nothing happens between two lines of a test: what a real service does "just then" is done just then.
package Hayfork::Test::Upstream;

use v5.36;

use Carp qw(croak);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Socket qw(IPPROTO_TCP SOCK_STREAM TCP_NODELAY);

use Hayfork::Test::Process qw(temporary_folder);
use Hayfork::Test::Server;
use Hayfork::Test::Upstream::Peer;

# Listens: on a port of 127.0.0.1, or, with 'unix', on a socket of that kind. with: another host, or that port.
sub new ($class, $kind = 'tcp', %with)
{
    my $self = bless {}, $class;
    if ($kind eq 'unix') {
        $self->{path} = temporary_folder() . '/up';
    } else {
        $self->{host} = $with{host} // '127.0.0.1';
        $self->{port} = $with{port} // Hayfork::Test::Server::free_port();
    }
    return $self->listen;
}

# Listens, once more after stop.
sub listen ($self)
{
    unlink $self->{path} if defined $self->{path};
    $self->{socket} =
      defined $self->{path}
      ? IO::Socket::UNIX->new(Local => $self->{path}, Listen => 1024, Type => SOCK_STREAM)
      : IO::Socket::IP->new(
        LocalHost => $self->{host},
        LocalPort => $self->{port},
        Listen    => 1024,
        ReuseAddr => 1,
        Type      => SOCK_STREAM,
      );
    croak 'cannot listen: ' . ($@ || $!) if !defined $self->{socket};
    # Servers may run under another account.
    chmod 0777, $self->{path} if defined $self->{path};
    return $self;
}

# Listens no longer: connections are refused.
sub stop ($self)
{
    close delete $self->{socket};
    return $self;
}

# HOST:PORT, or unix:PATH.
sub address ($self)
{
    return defined $self->{path} ? "unix:$self->{path}" : "$self->{host}:$self->{port}";
}

# What the conf calls it: http://HOST:PORT/PATH, or unix:SOCKET:/PATH.
sub url ($self, $path = '')
{
    return 'http://' . $self->address . $path if !defined $self->{path};
    return $self->address . ($path eq '' ? '' : ":$path");
}

# The usual routes of a conf, with no line feed at the end: /x is the upstream's /y, / needs no upstream.
sub routes ($self)
{
    return <<~CONF =~ s/\n\z//r;
        routes:
          GET /:
            text: "hello\\n"
          GET /x:
            relay: "${\ $self->url('/y') }"
          POST /x:
            relay: "${\ $self->url('/y') }"
        CONF
}

# Is there a connection that has not been accepted, or does one come within that many seconds?
sub knocked ($self, $seconds = 0)
{
    return IO::Select->new($self->{socket})->can_read($seconds) ? 1 : 0;
}

# The relay's next connection; waits for it.
sub accept ($self)
{
    $self->knocked($Hayfork::Test::Process::LIMIT) or croak 'no connection of the relay has come';
    my $socket = $self->{socket}->accept // croak "accept: $!";
    $socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1) if !defined $self->{path};
    return Hayfork::Test::Upstream::Peer->new($socket);
}

# The next request, on whichever connection it comes: on one of those given, or on a new one. Returns the
# connection and the request.
sub next_request ($self, @peers)
{
    my $select = IO::Select->new($self->{socket}, map { $_->{socket} } @peers);
    while (1) {
        my @ready = $select->can_read($Hayfork::Test::Process::LIMIT) or croak 'no request has come';
        my %ready = map { fileno $_ => 1 } @ready;
        for my $peer (grep { $ready{ fileno $_->{socket} } } @peers) {
            if ($peer->at_end) {
                $select->remove($peer->{socket});
                next;
            }
            return ($peer, $peer->request);
        }
        next if !$ready{ fileno $self->{socket} };
        my $peer = $self->accept;
        return ($peer, $peer->request);
    }
}

1;
