# Hayfork::Test::Upstream::Peer: one connection from a relay, seen from the upstream's end.
package Hayfork::Test::Upstream::Peer;

use v5.36;

use Carp qw(croak);
use Errno qw(EAGAIN ECONNRESET EINTR EPIPE);
use IO::Select;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF SO_SNDBUF);
use Time::HiRes qw(sleep);

use Hayfork::Test::Process;
use Hayfork::Test::Upstream::Request;

my $SIOCOUTQ = 0x5411;    # bytes that are on their way: of a Unix socket, those that the other end has not read

sub new ($class, $socket)
{
    $socket->blocking(0);
    return bless { socket => $socket, select => IO::Select->new($socket), buffer => '' }, $class;
}

# The next request, whole; waits for it. Dies if it breaks a rule of RFC 9112.
sub request ($self)
{
    while (1) {
        my $request = Hayfork::Test::Upstream::Request->take(\$self->{buffer});
        return $request if defined $request;
        $self->fill or croak 'the relay has closed the connection without a whole request';
    }
}

# The next request's head, as a request without a body; what follows stays.
sub request_head ($self)
{
    while (1) {
        my $request = Hayfork::Test::Upstream::Request->take_head(\$self->{buffer});
        return $request if defined $request;
        $self->fill or croak 'the relay has closed the connection without a whole head';
    }
}

# The next bytes, however many there are, waiting for the first; '' at the end.
sub some ($self)
{
    $self->fill if $self->{buffer} eq '';
    my $bytes = $self->{buffer};
    $self->{buffer} = '';
    return $bytes;
}

# Waits until that many bytes have come and returns them.
sub bytes ($self, $n)
{
    while (length $self->{buffer} < $n) {
        $self->fill or croak 'the relay has closed the connection';
    }
    return substr $self->{buffer}, 0, $n, '';
}

# Sends bytes. Returns whether they could be: the relay may close as soon as it has seen enough.
sub send ($self, $bytes)
{
    my $done = 0;
    while ($done < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, length($bytes) - $done, $done;
        if (!defined $n) {
            next if $! == EINTR || $! == EAGAIN && $self->{select}->can_write($Hayfork::Test::Process::LIMIT);
            return 0 if $! == EPIPE || $! == ECONNRESET;
            croak "the relay takes nothing more: $!";
        }
        $done += $n;
    }
    return 1;
}

# Sends pieces, each only when the relay has read those before it.
sub send_pieces ($self, @pieces)
{
    for my $piece (@pieces) {
        $self->send($piece) or return 0;
        $self->read_by_peer;
    }
    return 1;
}

# Waits until the relay has read all that was sent. Only a Unix socket can tell.
sub read_by_peer ($self)
{
    for (my $tries = 0; $self->on_their_way > 0; $tries++) {
        croak 'the relay does not read what was sent' if $tries > $Hayfork::Test::Process::LIMIT / 0.0002;
        sleep 0.0002;
    }
    return $self;
}

sub on_their_way ($self)
{
    my $left = pack 'i', 0;
    ioctl $self->{socket}, $SIOCOUTQ, $left or croak "SIOCOUTQ: $!";
    return unpack 'i', $left;
}

# How big the kernel's buffers for this end are.
sub buffers ($self, $bytes)
{
    setsockopt $self->{socket}, SOL_SOCKET, $_, pack 'i', $bytes or croak "setsockopt: $!" for SO_RCVBUF, SO_SNDBUF;
    return $self;
}

# Closes: orderly, or, with 'reset', as a process that was killed (RST; only TCP has that).
sub close ($self, $how = '')
{
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $how eq 'reset';
    CORE::close($self->{socket});
    return;
}

# Closes the sending half only.
sub end_sending ($self)
{
    shutdown $self->{socket}, 1;
    return $self;
}

# Does something come, bytes or the end, within that many seconds?
sub readable ($self, $seconds = 0)
{
    return $self->{buffer} ne '' || $self->{select}->can_read($seconds) ? 1 : 0;
}

# Has the relay closed, without another byte? Waits until one or the other is certain.
sub at_end ($self)
{
    return $self->{buffer} eq '' && !$self->fill;
}

# The port at the relay's end of it, which tells its connections apart.
sub port ($self)
{
    return $self->{socket}->peerport;
}

# Reads what is there, waiting for the first byte: the number of bytes, 0 at the end or after a reset.
sub fill ($self)
{
    $self->{select}->can_read($Hayfork::Test::Process::LIMIT)
      or croak "nothing from the relay for $Hayfork::Test::Process::LIMIT s";
    return sysread($self->{socket}, $self->{buffer}, 1 << 18, length $self->{buffer}) // 0;
}

1;
