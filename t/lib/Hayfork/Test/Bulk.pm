# Hayfork::Test::Bulk: long bodies, compared by digest and never in memory as a whole.
#
#   my $sent  = Hayfork::Test::Bulk->source($client->{socket}, 256 << 20);              # or …, chunked => 1
#   my $taken = Hayfork::Test::Bulk->sink($peer->{socket}, length => 256 << 20);        # or chunked => 1, or to the end
#   pump($sent, $taken);                                                                # until all has been taken
#   is $taken->digest, $sent->digest;
package Hayfork::Test::Bulk;

use v5.36;

use Carp qw(croak);
use Digest::MD5;
use Errno qw(EAGAIN ECONNRESET EPIPE);
use Exporter qw(import);
use IO::Select;

use Hayfork::Test::Process;

our @EXPORT_OK = qw(pump);

my $PIECE = 1 << 16;

# No two pieces of the stream are the same for long: what is lost, doubled or out of order changes the digest.
my $MATERIAL = do {
    my $random = 12345;
    my $bytes  = pack 'L*', map { $random = ($random * 1103515245 + 12345) & 0xffffffff } 1 .. 1 << 18;
    $bytes . substr $bytes, 0, $PIECE;
};
my $PERIOD = 1 << 20;
my $STRIDE = 611_953;    # a prime: the pieces begin at other places each time

# What sends that many bytes on a socket. first: bytes before the body, such as the rest of a head.
sub source ($class, $socket, $size, %with)
{
    $socket->blocking(0);
    return bless {
        socket => $socket, left => $size, chunked => $with{chunked}, n => 0,
        pending => $with{first} // '', at => 0, ended => !$with{chunked}, digest => Digest::MD5->new, moved => 0,
    }, $class;
}

# What takes a body from a socket. first: what of it has been read already.
sub sink ($class, $socket, %with)
{
    $socket->blocking(0);
    my $self = bless { socket => $socket, %with, buffer => '', digest => Digest::MD5->new, moved => 0 }, $class;
    $self->{in_chunk} = 0;
    $self->take(delete $self->{first} // '');
    return $self;
}

sub digest ($self) { return $self->{md5} //= $self->{digest}->hexdigest }
sub moved  ($self) { return $self->{moved} }    # bytes of the body
sub done   ($self) { return $self->{done} }     # has all of it been sent, or taken?
sub broken ($self) { return $self->{broken} }   # why there is no more, if that is not as it should be

# Sends what the kernel takes. Returns how many bytes that were.
sub push ($self)
{
    my $all = 0;
    while (!$self->{done}) {
        if ($self->{at} == length $self->{pending}) {
            $self->refill;
            last if $self->{done};
        }
        my $n = syswrite $self->{socket}, $self->{pending}, length($self->{pending}) - $self->{at}, $self->{at};
        if (!defined $n) {
            last if $! == EAGAIN;
            $self->{broken} = $self->{done} = "$!";
            last;
        }
        $self->{at} += $n;
        $all += $n;
        last if $all > 1 << 20;    # the other end wants its turn
    }
    return $all;
}

sub refill ($self)
{
    $self->{at} = 0;
    if ($self->{left} == 0) {
        $self->{pending} = $self->{ended} ? '' : "0\r\n\r\n";
        $self->{done}    = 1 if $self->{ended};
        $self->{ended}   = 1;
        return;
    }
    my $size  = $self->{left} < $PIECE ? $self->{left} : $PIECE;
    my $piece = substr $MATERIAL, $self->{n}++ * $STRIDE % $PERIOD, $size;
    $self->{digest}->add($piece);
    $self->{left}  -= $size;
    $self->{moved} += $size;
    $self->{pending} = $self->{chunked} ? sprintf("%x\r\n%s\r\n", $size, $piece) : $piece;
    return;
}

# Takes what is there.
sub pull ($self, $most = 1 << 20)
{
    my $n = sysread $self->{socket}, my ($bytes), $most;
    if (!defined $n) {
        return 0 if $! == EAGAIN;
        $self->{broken} = $self->{done} = "$!";
        return 0;
    }
    if ($n == 0) {
        $self->{broken} = 'closed' if defined $self->{length} || $self->{chunked};
        $self->{done}   = 1;
        return 0;
    }
    $self->take($bytes);
    return $n;
}

sub take ($self, $bytes)
{
    return $self->take_chunked($bytes) if $self->{chunked};
    $self->{digest}->add($bytes);
    $self->{moved} += length $bytes;
    if (defined $self->{length}) {
        $self->{broken} = 'more than the body' if $self->{moved} > $self->{length};
        $self->{done} = 1 if $self->{moved} >= $self->{length};
    }
    return;
}

sub take_chunked ($self, $bytes)
{
    $self->{buffer} .= $bytes;
    while (!$self->{done}) {
        if ($self->{in_chunk} > 0) {
            my $piece = substr $self->{buffer}, 0, $self->{in_chunk}, '';
            last if $piece eq '';
            $self->{digest}->add($piece);
            $self->{moved}    += length $piece;
            $self->{in_chunk} -= length $piece;
            $self->{behind} = 1;
            next;
        }
        if ($self->{behind}) {
            last if length $self->{buffer} < 2;
            croak 'a chunk is longer than its size says' if substr($self->{buffer}, 0, 2, '') ne "\r\n";
            $self->{behind} = 0;
        }
        last if $self->{buffer} !~ s/\A([0-9a-fA-F]{1,16})\r\n//;
        $self->{in_chunk} = hex $1;
        next if $self->{in_chunk} > 0;
        $self->{in_chunk} = -1;
        last;
    }
    if ($self->{in_chunk} < 0 && length $self->{buffer} >= 2) {
        $self->{broken} = 'no end behind the last chunk' if $self->{buffer} ne "\r\n";
        $self->{done} = 1;
    }
    return;
}

# Moves until the sink has all, or there is no more. on_sent is called once all has been sent.
sub pump ($source, $sink, $on_sent = undef)
{
    while (!$sink->done) {
        if ($source->done && defined $on_sent) {
            $on_sent->();
            $on_sent = undef;
        }
        my $read  = IO::Select->new($sink->{socket});
        my $write = $source->done ? undef : IO::Select->new($source->{socket});
        my ($readable, $writable) = IO::Select->select($read, $write, undef, $Hayfork::Test::Process::LIMIT)
          or croak sprintf 'nothing moves any more: %d sent, %d taken', $source->moved, $sink->moved;
        $source->push if @$writable;
        $sink->pull if @$readable;
    }
    return;
}

# Sends until nothing more has been taken for that many seconds. Returns how much of the body that was.
sub push_until_stalled ($self, $seconds)
{
    my $select = IO::Select->new($self->{socket});
    $self->push while !$self->done && $select->can_write($seconds);
    return $self->moved;
}

1;
