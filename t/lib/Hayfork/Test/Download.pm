# Hayfork::Test::Download: one answer of any size, read at one's own pace and not kept: only its digest is.
#
#   my $download = Hayfork::Test::Download->start($server->address, '/big', receive_buffer => 65_536);
#   $download->take(1_000_000);            # a million bytes of it, and no more for now
#   is $download->finish, 'whole';
#   is $download->digest, $expected;       # MD5, in hexadecimal
package Hayfork::Test::Download;

use v5.36;

use Carp qw(croak);
use Digest::MD5;
use List::Util qw(min);

use Hayfork::Test::Client;
use Hayfork::Test::Process;
use Hayfork::Test::Response;

# Asks for it. with: receive_buffer: SO_RCVBUF, in bytes; from: the address that it comes from.
sub start ($class, $address, $target, %with)
{
    my $client = Hayfork::Test::Client->new($address, defined $with{from} ? (from => $with{from}) : ());
    $client->receive_buffer($with{receive_buffer}) if defined $with{receive_buffer};
    $client->ask('GET', $target);
    return bless { client => $client, buffer => '', md5 => Digest::MD5->new, length => 0, left => 0 }, $class;
}

# Reads until that many more bytes have come or there are no more.
sub take ($self, $bytes)
{
    my $socket = $self->{client}{socket};
    while ($bytes > 0 && !defined $self->{end}) {
        $self->{client}->readable($Hayfork::Test::Process::LIMIT) or croak 'nothing comes any more';
        my $n = sysread $socket, $self->{buffer}, min($bytes, 1 << 18), length $self->{buffer};
        $self->digest_buffer;
        if (!$n) {
            $self->{end} //= 'broken';
            last;
        }
        $bytes -= $n;
    }
    return $self;
}

# Reads to the end: "whole" if the body has one, "broken" if the connection ends before that.
sub finish ($self)
{
    $self->take(1 << 20) while !defined $self->{end};
    return $self->{end};
}

# The part of the answer before its body, once that has come.
sub head ($self) { $self->take(1) while !defined $self->{head} && !defined $self->{end}; return $self->{head} }

# How many bytes of the body have come, and their digest: that is asked for once.
sub length ($self) { return $self->{length} }
sub digest ($self) { return $self->{md5}->hexdigest }

# Has there been nothing to read for that long?
sub silent ($self, $seconds) { return !$self->{client}->readable($seconds) }

sub close ($self, $how = '') { return $self->{client}->close($how) }

# Goes on in what has come: the head, then the body, in chunks or of a known length.
sub digest_buffer ($self)
{
    if (!defined $self->{head}) {
        my $end = index $self->{buffer}, "\r\n\r\n";
        return if $end < 0;
        $self->{head} = Hayfork::Test::Response->parse_head(substr $self->{buffer}, 0, $end + 2);
        substr $self->{buffer}, 0, $end + 4, '';
        $self->{chunked} = defined $self->{head}->header('Transfer-Encoding');
        $self->{left}    = $self->{head}->header('Content-Length') // 0;
    }
    while (!defined $self->{end}) {
        if ($self->{left} > 0) {
            my $part = substr $self->{buffer}, 0, $self->{left}, '';
            return if $part eq '';
            $self->{md5}->add($part);
            $self->{length} += CORE::length $part;
            $self->{left}   -= CORE::length $part;
            $self->{behind} = $self->{chunked};
        } elsif (!$self->{chunked}) {
            $self->{end} = 'whole';
        } else {
            my $size = $self->take_chunk_size // return;
            $self->{left} = $size;
            $self->{end}  = 'whole' if $size == 0;
        }
    }
    return;
}

# The size of the next chunk (RFC 9112 section 7.1), undef while it is not there.
sub take_chunk_size ($self)
{
    my $line = $self->{behind} ? qr/\A\r\n([0-9a-fA-F]+)\r\n/ : qr/\A([0-9a-fA-F]+)\r\n/;
    if ($self->{buffer} =~ $line) {
        my $size = hex $1;
        my $end  = $+[0];
        return undef if $size == 0 && substr($self->{buffer}, $end) ne "\r\n";
        substr $self->{buffer}, 0, $end, '';
        return $size;
    }
    croak 'not a chunk: ' . Hayfork::Test::Response::excerpt($self->{buffer}) if CORE::length $self->{buffer} > 30;
    return undef;
}

1;
