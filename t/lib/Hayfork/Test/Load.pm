# Hayfork::Test::Load: many requests over many connections at once, every answer looked at.
#
#   my $load = $server->load(
#       requests    => 10_000,
#       connections => 64,
#       target      => sub ($n) { '/contacts/' . ($n + 1) },
#       check       => sub ($n, $response) { … },           # true if the answer is right for request $n
#       at          => { 5_000 => sub { … } },              # done once that many requests have an end
#   );
#
# Each connection has one request under way at a time and is kept open. A request whose connection is
# closed or reset without a byte of an answer is counted as lost and not sent again.
#
# What else there is to say:
#   request   sub ($n) { … }              the bytes of request $n, instead of a target to GET
#   each      [ count, sub { … } ]        done each time that so many requests have an end; once it returns true, no
#                                         more requests are begun
#   ended     sub ($n, $status) { … }     told of every end; the status is undef where there was no whole answer
#   breaks    sub ($n) { … }              true where the answer's body may break off: that is counted as broken
#   pause     seconds                     how long a connection rests after a 503
package Hayfork::Test::Load;

use v5.36;

use Carp qw(croak);
use IO::Select;
use List::Util qw(max);
use Time::HiRes qw(sleep time);

use Hayfork::Test::Client;
use Hayfork::Test::Process;
use Hayfork::Test::Response;

sub run ($class, $address, %with)
{
    my $self = bless {
        address => $address,
        %with,
        select   => IO::Select->new,
        next     => 0,     # the number of the next request
        done     => 0,     # requests that have been answered or lost
        lost     => 0,
        broken   => 0,
        resting  => [],    # [ until when, what then ], in order
        statuses => {},    # status => how often
        wrong    => [],    # what was wrong with answers
        under    => {},    # file number => { socket, n, buffer }
    }, $class;

    $self->open_one for 1 .. $with{connections};
    while ($self->{done} < $self->{requests}) {
        my $resting = $self->{resting};
        my $limit   = @$resting ? max(0, $resting->[0][0] - time) : $Hayfork::Test::Process::LIMIT;
        my @ready   = $self->{select}->can_read($limit);
        croak "after $self->{done} answers nothing came for $Hayfork::Test::Process::LIMIT s" if !@ready && !@$resting;
        $self->read_from($_) for @ready;
        (shift @$resting)->[1]->() while @$resting && $resting->[0][0] <= time;
    }
    $_->[1]->() for @{ $self->{resting} };
    return $self;
}

# How many requests there were.
sub begun ($self) { return $self->{next} }

# How many requests got that status.
sub count ($self, $status) { return $self->{statuses}{$status} // 0 }
sub lost   ($self)         { return $self->{lost} }
sub broken ($self)         { return $self->{broken} }
sub wrong  ($self)         { return @{ $self->{wrong} } }

# The outcomes, "200: 9990, 503: 10, lost: 0".
sub summary ($self)
{
    my %count = %{ $self->{statuses} };
    my @broken = $self->{broken} ? "broken: $self->{broken}" : ();
    return join ', ', (map { "$_: $count{$_}" } sort keys %count), @broken, "lost: $self->{lost}";
}

# Opens one connection and sends a request on it, if there are any left.
sub open_one ($self)
{
    return if $self->{next} >= $self->{requests};
    my $socket;
    Hayfork::Test::Process::wait_for('a connection to be taken',
        sub { $socket = Hayfork::Test::Client::connect_to($self->{address}) });
    my $state = $self->{under}{ fileno $socket } = { socket => $socket };
    $self->{select}->add($socket);
    $self->send_on($state);
    return;
}

sub close_one ($self, $state)
{
    $self->{select}->remove($state->{socket});
    delete $self->{under}{ fileno $state->{socket} };
    close $state->{socket};
    return;
}

# Sends the next request. If the connection turns out to be closed, reading from it will tell.
sub send_on ($self, $state)
{
    return $self->close_one($state) if $self->{next} >= $self->{requests};
    $state->{n}      = $self->{next}++;
    $state->{buffer} = '';
    syswrite $state->{socket},
      $self->{request}
      ? $self->{request}->($state->{n})
      : "GET " . $self->{target}->($state->{n}) . " HTTP/1.1\r\nHost: test\r\n\r\n";
    return;
}

sub read_from ($self, $socket)
{
    my $state = $self->{under}{ fileno $socket };
    my $n     = sysread $socket, $state->{buffer}, 1 << 17, length $state->{buffer};
    my $eof   = !$n;
    my $response;
    if (!eval { $response = Hayfork::Test::Response->take(\$state->{buffer}, 'GET', $eof); 1 }) {
        my $why = $@;
        $self->close_one($state);
        if ($why =~ /chunked body breaks off/ && $self->{breaks} && $self->{breaks}->($state->{n})) {
            $self->{broken}++;
        } else {
            $self->complain($state, $why);
        }
        return $self->finish_one($state, undef, sub { $self->open_one });
    }
    if (defined $response) {
        $self->{statuses}{ $response->status }++;
        $self->complain($state, 'bytes behind the answer') if $state->{buffer} ne '';
        $self->complain($state, 'not its answer: ' . $response->status . ' ' . $response->body)
          if !$self->{check}->($state->{n}, $response);
        my $closing = $eof || lc($response->header('connection') // '') eq 'close';
        $self->close_one($state) if $closing;
        return $self->finish_one($state, $response->status,
            sub { $closing ? $self->open_one : $self->send_on($state) });
    }
    if ($eof) {
        $self->{lost}++;
        $self->close_one($state);
        return $self->finish_one($state, undef, sub { $self->open_one });
    }
    return;
}

sub finish_one ($self, $state, $status, $go_on)
{
    $self->{done}++;
    $self->{ended}->($state->{n}, $status) if $self->{ended};
    my $event = delete $self->{at}{ $self->{done} };
    $event->() if defined $event;
    my ($count, $step) = @{ $self->{each} // [] };
    $self->{requests} = $self->{next} if defined $count && $self->{done} % $count == 0 && $step->();
    return $go_on->() if !$self->{pause} || ($status // 0) != 503;
    push @{ $self->{resting} }, [ time + $self->{pause}, $go_on ];
    return;
}

sub complain ($self, $state, $what)
{
    push @{ $self->{wrong} }, 'request ' . $state->{n} . ': ' . $what;
    return;
}

1;
