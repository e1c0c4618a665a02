# Hayfork::Test::Crowd: many clients that do not behave, all at once and in a process of their own.
#
#   my $crowd = Hayfork::Test::Crowd->start($server->address, clients => 1000, say => "GET / HT");
#   …                                                      # a thousand clients hold half a request line
#   is_deeply $crowd->outcomes, { '408, closed' => 1000 }; # what became of them
#
# What they do:
#   clients          how many they are
#   say              what each sends at once
#   trickle          what each sends after that, over and over: one byte every so many seconds
#   every            how many seconds (1)
#   read             how many bytes each reads in that time; 0: none; left out: all that comes
#   receive_buffer   SO_RCVBUF, in bytes
#   from             the IPv4 address that they come from; left out: the kernel's choice
package Hayfork::Test::Crowd;

use v5.36;

use Carp qw(croak);
use Errno qw(EAGAIN ECONNRESET EPIPE);
use IO::Handle;
use JSON::PP;
use Socket qw(PF_INET SOCK_STREAM SOL_SOCKET SO_ERROR SO_RCVBUF inet_aton pack_sockaddr_in);
use Time::HiRes qw(sleep time);

use Hayfork::Test::Process qw(spawn reap wait_for temporary_folder slurp);

my $TICK = 0.002;    # seconds; in each, those act whose turn it is: bursts would be unlike so many strangers

# Starts the clients and waits until all are connected and have said what they say at once.
sub start ($class, $address, %crowd)
{
    my $folder = temporary_folder();
    my $self   = bless { report => "$folder/report" }, $class;
    my $lib    = "$Hayfork::Test::TOP_SRCDIR/t/lib";
    my $what   = JSON::PP->new->ascii->canonical->encode({ %crowd, address => $address });
    $self->{pid} = spawn([ $^X, "-I$lib", '-M' . __PACKAGE__, '-e', __PACKAGE__ . '::main(@ARGV)', $what ],
        stdout => $self->{report});
    wait_for(
        "$crowd{clients} clients to be connected",
        sub {
            croak 'the crowd has ended' if !-e $self->{report} && defined reap($self->{pid}, 0);
            return -e $self->{report} && slurp($self->{report}) =~ /^in$/m;
        }
    );
    return $self;
}

# Waits until none of them is left. Returns { outcome => how many }, where the outcome is how the connection
# ended, "closed" or "reset", and before that the status of the answer, if one had come: "408, closed".
sub outcomes ($self)
{
    my $end = reap(delete $self->{pid}) // croak 'some of the crowd are still there';
    croak "the crowd ended with $end" if $end ne 'exit 0';
    my ($outcomes) = slurp($self->{report}) =~ /^(\{.*\})$/m;
    return JSON::PP->new->decode($outcomes);
}

# Makes all of them leave at once.
sub dismiss ($self)
{
    my $pid = delete $self->{pid};
    kill 'TERM', $pid;
    reap($pid) // croak 'the crowd does not leave';
    return;
}

# The process of the crowd.
sub main ($what)
{
    my $crowd   = JSON::PP->new->decode($what);
    my @clients = map { connect_one($crowd) } 1 .. $crowd->{clients};
    STDOUT->autoflush(1);
    print "in\n";

    my %outcomes;
    my $every = $crowd->{every} //= 1;
    my $since = time;
    my $turns = 0;      # how many clients have had their turn
    my $share = @clients / $every;
    while (my $left = grep { defined } @clients) {
        sleep $TICK;
        my $due = int((time - $since) * $share);
        $due = $turns + @clients if $due > $turns + @clients;    # the machine was busy: nobody hurries to catch up
        $since = time - $due / $share;
        for (; $turns < $due; $turns++) {
            my $i   = $turns % @clients;
            my $end = defined $clients[$i] ? act($crowd, $clients[$i]) : undef;
            next if !defined $end;
            my ($status) = $clients[$i]{got} =~ m{^HTTP/1\.1 (\d+)};
            $outcomes{ defined $status ? "$status, $end" : $end }++;
            $clients[$i] = undef;
        }
    }
    print JSON::PP->new->canonical->encode(\%outcomes), "\n";
    return;
}

sub connect_one ($crowd)
{
    my ($host, $port) = split /:/, $crowd->{address};
    socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
    if (defined $crowd->{receive_buffer}) {
        setsockopt $socket, SOL_SOCKET, SO_RCVBUF, pack 'i', $crowd->{receive_buffer} or die "SO_RCVBUF: $!";
    }
    if (defined $crowd->{from}) {
        bind $socket, pack_sockaddr_in(0, inet_aton($crowd->{from})) or die "bind: $!";
    }
    connect $socket, pack_sockaddr_in($port, inet_aton($host)) or die "connect: $!";
    $socket->blocking(0);
    syswrite $socket, $crowd->{say} // '' if length($crowd->{say} // '');
    return { socket => $socket, got => '', sent => 0 };
}

# One client's turn: reads, then sends. Returns how its connection has ended, undef if it has not.
sub act ($crowd, $client)
{
    my $end = listen_to($crowd, $client);
    return $end if defined $end || !defined $crowd->{trickle};
    my $byte = substr $crowd->{trickle}, $client->{sent}++ % length $crowd->{trickle}, 1;
    my $sent = syswrite $client->{socket}, $byte;
    return !defined $sent && ($! == EPIPE || $! == ECONNRESET) ? 'reset' : undef;
}

sub listen_to ($crowd, $client)
{
    my $most = $crowd->{read} // 1 << 20;
    if ($most == 0) {
        return unpack('i', getsockopt $client->{socket}, SOL_SOCKET, SO_ERROR) == ECONNRESET ? 'reset' : undef;
    }
    while ($most > 0) {
        my $n = sysread $client->{socket}, my ($bytes), $most;
        return $! == EAGAIN ? undef : 'reset' if !defined $n;
        return 'closed' if $n == 0;
        $client->{got} .= $bytes if length $client->{got} < 16;
        $most -= $n;
    }
    return undef;
}

1;
