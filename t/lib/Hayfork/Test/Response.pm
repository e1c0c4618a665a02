# Hayfork::Test::Response: one HTTP/1.1 response, parsed by the letter of RFC 9112.
package Hayfork::Test::Response;

use v5.36;

use Carp qw(croak);
use JSON::PP ();

my $TOKEN = qr/[!#\$%&'*+\-.^_`|~0-9A-Za-z]+/;

# Takes one response to a request of that method off the front of $$buffer. Returns undef while it is not
# whole; dies if it can never be one. eof: nothing more will come.
sub take ($class, $buffer, $method = 'GET', $eof = '')
{
    my $head_end = index $$buffer, "\r\n\r\n";
    if ($head_end < 0) {
        croak 'the response breaks off in its head: ' . excerpt($$buffer) if $eof && $$buffer ne '';
        croak 'not an HTTP response: ' . excerpt($$buffer) if $$buffer !~ /^(?:H|$)/;
        return undef;
    }
    my $self = $class->parse_head(substr $$buffer, 0, $head_end + 2);
    my ($body, $end) = $self->find_body($buffer, $head_end + 4, $method, $eof);
    return undef if !defined $body;
    $self->{body} = $body;
    substr $$buffer, 0, $end, '';
    return $self;
}

sub parse_head ($class, $head)
{
    my ($status_line, @lines) = split /\r\n/, $head;
    my ($version, $status, $reason) = $status_line =~ m{^(HTTP/1\.[01]) ([1-5]\d\d) ([\x20-\x7e]*)$}
      or croak 'not a status line: ' . excerpt($status_line);
    my @fields;
    for my $line (@lines) {
        my ($name, $value) = $line =~ /^($TOKEN):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*$/
          or croak 'not a header line: ' . excerpt($line);
        push @fields, [ lc $name, $value ];
    }
    return bless { version => $version, status => $status, reason => $reason, fields => \@fields }, $class;
}

# The body and the place after it in $$buffer; (undef) while it is not whole (RFC 9112 section 6.3).
sub find_body ($self, $buffer, $at, $method, $eof)
{
    my @length = $self->all('content-length');
    my @coding = $self->all('transfer-encoding');
    croak 'more than one Content-Length'               if @length > 1;
    croak 'both Content-Length and Transfer-Encoding'  if @length && @coding;
    croak "not a Content-Length: $length[0]"           if @length && $length[0] !~ /^\d+$/;
    croak "not a Transfer-Encoding I know: @coding"    if @coding && lc "@coding" ne 'chunked';
    croak 'chunked in an answer to an older client'    if @coding && $self->{version} eq 'HTTP/1.0';

    if ($method eq 'HEAD' || $self->{status} =~ /^(?:1..|204|304)$/) {
        return ('', $at);
    }
    if (@length) {
        my $there = length($$buffer) - $at;
        croak "the body breaks off after $there of $length[0] bytes" if $eof && $there < $length[0];
        return $there < $length[0] ? (undef) : (substr($$buffer, $at, $length[0]), $at + $length[0]);
    }
    if (@coding) {
        my ($body, $end) = unchunk($buffer, $at);
        croak 'the chunked body breaks off' if $eof && !defined $body;
        return ($body, $end);
    }
    return $eof ? (substr($$buffer, $at), length $$buffer) : (undef);
}

# The content of a chunked body (RFC 9112 section 7.1) and the place after it, or (undef).
sub unchunk ($buffer, $at)
{
    my $body = '';
    pos($$buffer) = $at;
    while ($$buffer =~ /\G([0-9a-fA-F]{1,8})\r\n/gc) {
        my $size = hex $1;
        $at = pos $$buffer;
        if ($size == 0) {
            return $$buffer =~ /\G\r\n/gc ? ($body, pos $$buffer) : (undef);
        }
        return (undef) if length($$buffer) < $at + $size + 2;
        $body .= substr $$buffer, $at, $size;
        croak 'a chunk is longer than its size says' if substr($$buffer, $at + $size, 2) ne "\r\n";
        pos($$buffer) = $at + $size + 2;
    }
    croak 'not a chunk: ' . excerpt(substr $$buffer, $at) if $$buffer !~ /\G[0-9a-fA-F]*\r?\z/gc;
    return (undef);
}

sub version ($self) { return $self->{version} }
sub status  ($self) { return $self->{status} }
sub reason  ($self) { return $self->{reason} }
sub body    ($self) { return $self->{body} }

# All values of a header field, in order.
sub all ($self, $name)
{
    return map { $_->[1] } grep { $_->[0] eq lc $name } @{ $self->{fields} };
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
    return sort map { $_->[0] } @{ $self->{fields} };
}

# The body as a Perl value; dies if it is not JSON.
sub json ($self)
{
    return JSON::PP->new->utf8->allow_nonref->decode($self->{body});
}

sub excerpt ($text)
{
    return '"' . (substr($text, 0, 80) =~ s/([^\x20-\x7e])/sprintf '\x%02x', ord $1/ger) . '"';
}

1;
