# Hayfork::Test::PgProxy: a running t/tools/pgproxy between a server and a cluster, which harms what passes.
#
#   my $proxy  = Hayfork::Test::PgProxy->start($cluster, seed => 7, rates => { delay => 0.01, reset => 0.001 });
#   my $server = server("database: { connect: ${\ $proxy->conninfo } } …");
#   $proxy->loud;                      # it begins quiet, and lets all pass as it is
#   …
#   note $proxy->quiet->stop->report;
package Hayfork::Test::PgProxy;

use v5.36;

use Carp qw(croak);
use File::Basename qw(dirname);

use Hayfork::Test::Process qw(spawn reap wait_for temporary_folder slurp);
use Hayfork::Test::Server;

# rates   { FAULT => probability for each message }: the faults are at the top of pgproxy.c
# seed    of its decisions
# share   of the connections that are spared in their first messages (0.5)
# spared  how many messages that are, each way (100)
# delay   how long a delay lasts at most, in ms (30)
sub start ($class, $cluster, %with)
{
    my $program = dirname($Hayfork::Test::HAYFORK) . '/t/tools/pgproxy';
    croak "$program is not there: make check builds it" if !-x $program;
    my %rate    = %{ $with{rates} // {} };
    my @options = (
        '-q', '-s' => $with{seed} // 1, '-c' => $with{share} // 0.5, '-g' => $with{spared} // 100,
        '-d' => $with{delay} // 30, map { ('-r', "$_=$rate{$_}") } sort keys %rate
    );
    for (1 .. 10) {
        my $folder = temporary_folder();
        my $self   = bless { port => Hayfork::Test::Server::free_port(), log => "$folder/log" }, $class;
        $self->{pid} = spawn([ $program, @options, $self->{port}, $cluster->socket ],
            stdout => $self->{log}, stderr => $self->{log});
        my $up = wait_for('the proxy to listen', sub {
            return 'ended' if defined reap($self->{pid}, 0);
            return -e $self->{log} && slurp($self->{log}) =~ /^ready$/m ? 'ready' : undef;
        });
        return $self if $up eq 'ready';
        croak 'the proxy did not start: ' . $self->log if $self->log !~ /address already in use/i;
    }
    croak 'found no free port';
}

# How to connect to the cluster by way of it.
sub conninfo ($self, %with)
{
    my %field = (host => '127.0.0.1', port => $self->{port}, user => 'postgres', dbname => 'contacts', %with);
    return join ' ', map { "$_=$field{$_}" } sort keys %field;
}

# From now on everything passes as it is.
sub quiet ($self) { return $self->tell('USR1', qr/^quiet$/m) }

# From now on it does harm.
sub loud ($self) { return $self->tell('USR2', qr/^no longer quiet$/m) }

sub tell ($self, $signal, $word)
{
    my $before = () = $self->log =~ /$word/g;
    kill $signal, $self->{pid} or croak "kill: $!";
    wait_for('the proxy to change its mind', sub { $before < (() = $self->log =~ /$word/g) });
    return $self;
}

# What it has done so far, a line for each fault.
sub log ($self) { return slurp($self->{log}) }

sub stop ($self)
{
    kill 'TERM', $self->{pid};
    my $end = reap(delete $self->{pid}) // croak 'the proxy did not end';
    croak "the proxy ended with $end: " . substr $self->log, -2000 if $end ne 'exit 0';
    return $self;
}

# How often each fault has happened, once it is stopped: "12 connections, 3456 messages, refuse 1, …".
sub report ($self)
{
    my ($report) = $self->log =~ /^total: (.*)$/m or croak 'the proxy has not said what it did';
    return $report;
}

1;
