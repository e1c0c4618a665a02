# Hayfork::Test::Upstream::Request: one HTTP/1.1 request of a relay, parsed by the letter of RFC 9112.
package Hayfork::Test::Upstream::Request;

use v5.36;

use Carp qw(croak);

use Hayfork::Test::Response;

my $TOKEN = qr/[!#\$%&'*+\-.^_`|~0-9A-Za-z]+/;

# Takes one request off the front of $$buffer. Returns undef while it is not whole; dies if it can never be one.
sub take ($class, $buffer)
{
    my $rest = $$buffer;
    my $self = $class->take_head(\$rest) // return undef;
    if (defined(my $length = $self->header('Content-Length'))) {
        return undef if length $rest < $length;
        $self->{body} = substr $rest, 0, $length, '';
    } elsif (defined $self->header('Transfer-Encoding')) {
        my ($body, $end) = Hayfork::Test::Response::unchunk(\$rest, 0);
        return undef if !defined $body;
        $self->{body} = $body;
        substr $rest, 0, $end, '';
    }
    $$buffer = $rest;
    return $self;
}

# Takes its head.
sub take_head ($class, $buffer)
{
    my $end = index $$buffer, "\r\n\r\n";
    if ($end < 0) {
        croak 'not a request: ' . Hayfork::Test::Response::excerpt($$buffer) if $$buffer !~ /^(?:[A-Z]|$)/;
        return undef;
    }
    my ($request_line, @lines) = split /\r\n/, substr $$buffer, 0, $end;
    my ($method, $target) = $request_line =~ m{^($TOKEN) ([\x21-\x7e]+) HTTP/1\.1$}
      or croak 'not a request line: ' . Hayfork::Test::Response::excerpt($request_line);
    my @fields;
    for my $line (@lines) {
        my ($name, $value) = $line =~ /^($TOKEN):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*$/
          or croak 'not a header line: ' . Hayfork::Test::Response::excerpt($line);
        push @fields, [ $name, $value ];
    }
    my $self = bless { method => $method, target => $target, fields => \@fields, body => '' }, $class;
    $self->check_fields;
    substr $$buffer, 0, $end + 4, '';
    return $self;
}

# What two servers could read in two ways (RFC 9112 sections 3.2 and 6.3).
sub check_fields ($self)
{
    my @host   = $self->all('Host');
    my @length = $self->all('Content-Length');
    my @coding = $self->all('Transfer-Encoding');
    croak 'not one Host: ' . scalar @host                if @host != 1;
    croak 'more than one Content-Length'                 if @length > 1;
    croak "not a Content-Length: $length[0]"             if @length && $length[0] !~ /^\d+$/;
    croak 'both Content-Length and Transfer-Encoding'    if @length && @coding;
    croak "not the Transfer-Encoding chunked: @coding"   if @coding && lc "@coding" ne 'chunked';
    return;
}

sub method ($self) { return $self->{method} }
sub target ($self) { return $self->{target} }
sub body   ($self) { return $self->{body} }

# All values of a header field, in order.
sub all ($self, $name)
{
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{fields} };
}

# The value of a header field, undef if there is none; dies if there are several.
sub header ($self, $name)
{
    my @values = $self->all($name);
    croak "$name: " . scalar(@values) . ' times' if @values > 1;
    return $values[0];
}

# The names of all header fields, in small letters, sorted.
sub names ($self)
{
    return sort map { lc $_->[0] } @{ $self->{fields} };
}

1;
