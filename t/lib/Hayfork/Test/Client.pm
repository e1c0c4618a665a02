# Hayfork::Test::Client: an HTTP/1.1 client that sends just the bytes it is told and is strict about the
# answer: a response that breaks a rule of RFC 9112 ends the test.
#
#   my $client = $server->client;                         # one connection, kept open
#   is $client->get('/contacts/1')->status, 200;
#   $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n" x 3);
#   is $client->receive->status, 200 for 1 .. 3;
package Hayfork::Test::Client;

use v5.36;

use Carp qw(croak);
use Errno qw(EINTR);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Socket qw(IPPROTO_TCP SOCK_STREAM SOL_SOCKET SO_LINGER SO_RCVBUF TCP_NODELAY);

use Hayfork::Test::Process;
use Hayfork::Test::Response;

# address is HOST:PORT or unix:PATH. with: from, the address that it comes from.
sub new ($class, $address, %with)
{
    my $socket = connect_to($address, %with) // croak "cannot connect to $address: $!";
    return bless { socket => $socket, select => IO::Select->new($socket), buffer => '', asked => [] }, $class;
}

# A connected stream socket, or undef with $! set.
sub connect_to ($address, %with)
{
    if ($address =~ /^unix:(.*)/s) {
        return IO::Socket::UNIX->new(Peer => $1, Type => SOCK_STREAM);
    }
    my ($host, $port) = $address =~ /^\[?(.*?)\]?:(\d+)$/ or croak "not an address: $address";
    my @from = defined $with{from} ? (LocalHost => $with{from}) : ();
    my $socket = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Type => SOCK_STREAM, @from) // return undef;
    $socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    return $socket;
}

# The port that this end of the connection has.
sub port ($self)
{
    return $self->{socket}->sockport;
}

# The bytes of a request.
sub request_text ($method, $target, %with)
{
    my %header = (Host => 'test', %{ $with{headers} // {} });
    if (defined $with{json}) {
        $with{body} = $with{json};
        $header{'Content-Type'} //= 'application/json';
    }
    $header{'Content-Length'} //= length $with{body} if defined $with{body};
    my $head = join '', map { "$_: $header{$_}\r\n" } sort keys %header;
    return "$method $target HTTP/1.1\r\n$head\r\n" . ($with{body} // '');
}

# Asks and waits for the answer. with: headers => { Name => value }, body => bytes, or json => bytes, which
# says application/json, too.
sub request ($self, $method, $target, %with)
{
    $self->ask($method, $target, %with);
    return $self->receive($method);
}

sub get ($self, $target, %with)
{
    return $self->request('GET', $target, %with);
}

# Asks without waiting for the answer.
sub ask ($self, $method, $target, %with)
{
    return $self->send(request_text($method, $target, %with));
}

sub send ($self, $bytes)
{
    my $done = 0;
    while ($done < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, length($bytes) - $done, $done;
        next if !defined $n && $! == EINTR;
        croak "sending: $!" if !defined $n;
        $done += $n;
    }
    return $self;
}

# The next response, to a request of that method. Dies if there is none.
sub receive ($self, $method = 'GET')
{
    while (1) {
        my $response = Hayfork::Test::Response->take(\$self->{buffer}, $method);
        return $response if defined $response;
        my $n = $self->fill // croak "the connection was reset: $!";
        next if $n > 0;
        return Hayfork::Test::Response->take(\$self->{buffer}, $method, 'eof')
          // croak 'the connection was closed without an answer';
    }
}

# Is nothing more to come: has the server closed, without another byte?
sub at_end ($self)
{
    my $n = $self->{buffer} eq '' ? $self->fill // 0 : 1;
    return $n == 0;
}

# All bytes until the server closes or resets the connection.
sub rest ($self)
{
    while ($self->fill) { }
    return delete($self->{buffer}) // '';
}

# Does something come within that many seconds?
sub readable ($self, $seconds)
{
    return $self->{buffer} ne '' || $self->{select}->can_read($seconds) ? 1 : 0;
}

# What has come by now and was not received yet.
sub waiting ($self)
{
    while ($self->{select}->can_read(0) && $self->fill) { }
    return $self->{buffer};
}

# Sets how many bytes the kernel keeps for this client that it has not read.
sub receive_buffer ($self, $bytes)
{
    $self->{socket}->setsockopt(SOL_SOCKET, SO_RCVBUF, $bytes);
    return $self;
}

# Says that nothing more will be sent.
sub end_sending ($self)
{
    shutdown $self->{socket}, 1;
    return $self;
}

# Closes the connection: orderly, or, with reset, as a client that vanishes (RST).
sub close ($self, $how = '')
{
    $self->{socket}->setsockopt(SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0) if $how eq 'reset';
    CORE::close($self->{socket});
    return;
}

# Reads what is there, waiting for the first byte: the number of bytes, 0 at the end, undef on an error.
sub fill ($self)
{
    $self->{select}->can_read($Hayfork::Test::Process::LIMIT)
      or croak "no answer within $Hayfork::Test::Process::LIMIT s";
    return sysread $self->{socket}, $self->{buffer}, 1 << 18, length $self->{buffer};
}

1;
