# Hayfork::Test::Echo: a running t/tools/echo, which tells what its handlers saw of each request.
#
#   my $echo   = Hayfork::Test::Echo->start('limits.body' => '1K');
#   my $client = $echo->client;
#   $client->send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
#   is $client->receive->json->{body}, 'hi';
#   is_deeply [ $echo->seen($client) ], ['POST /a "hi"'];
package Hayfork::Test::Echo;

use v5.36;

use Carp qw(croak);
use File::Basename qw(dirname);
use JSON::PP ();

use Hayfork::Test::Client;
use Hayfork::Test::Process qw(spawn reap wait_for temporary_folder slurp);
use Hayfork::Test::Server;

my @all;    # for the logs of a test that fails

# options: KEY => value, as for the server's -o.
sub start ($class, %options)
{
    my $program = dirname($Hayfork::Test::HAYFORK) . '/t/tools/echo';
    croak "$program is not there: make check builds it" if !-x $program;
    for (1 .. 10) {
        my $folder = temporary_folder();
        my $port   = Hayfork::Test::Server::free_port();
        my $self   = bless { address => "127.0.0.1:$port", out => "$folder/out", log => "$folder/log", at => 0,
            requests => {} }, $class;
        $self->{pid} = spawn(
            [ $program, (map { ('-o', "$_=$options{$_}") } sort keys %options), $port ],
            stdout => $self->{out},
            stderr => $self->{log},
            # freed memory that a sanitizer keeps would look like memory that is held
            env    => { ASAN_OPTIONS => join ':', 'quarantine_size_mb=1', grep { defined } $ENV{ASAN_OPTIONS} },
        );
        push @all, $self;
        my $up = wait_for(
            'echo to listen on ' . $self->{address},
            sub {
                return 'ended'   if defined $self->ended;
                return 'serving' if Hayfork::Test::Client::connect_to($self->{address});
            }
        );
        return $self if $up eq 'serving';
        croak "echo did not start: $self->{end}\n" . $self->log if $self->log !~ /address already in use/i;
    }
    croak 'found no free port';
}

sub address ($self) { return $self->{address} }
sub pid     ($self) { return $self->{pid} }
sub log     ($self) { return -e $self->{log} ? slurp($self->{log}) : '' }

# A new connection to it.
sub client ($self)
{
    my $client = Hayfork::Test::Client->new($self->{address});
    delete $self->requests->{ $client->port };    # of an earlier connection from the same port
    return $client;
}

# How it has ended, undef while it runs.
sub ended ($self)
{
    return $self->{end} //= reap($self->{pid}, 0);
}

# Stops it. Returns how it ended.
sub stop ($self)
{
    kill 'TERM', $self->{pid};
    return $self->{end} //= reap($self->{pid}) // croak 'echo did not end';
}

# The memory that it has, in bytes.
sub memory ($self)
{
    my ($kilobytes) = slurp("/proc/$self->{pid}/status") =~ /^VmRSS:\s+(\d+) kB/m or croak 'echo has ended';
    return $kilobytes * 1024;
}

# What its handlers saw of that connection's requests so far, each as a text:
#
#   GET /a                    no body                POST /a "hello"         a body, bytes that are no
#   POST /a ?                 it was not read        POST /a "\x00"          printable ASCII as \xHH
#   POST /a "hel" broken 400  a body that broke      POST /a 70000 bytes     a long one
sub seen ($self, $client)
{
    return map { as_text($_) } $self->seen_json($client);
}

# The same as the hashes that echo writes.
sub seen_json ($self, $client)
{
    return @{ $self->requests->{ $client->port } // [] };
}

# All requests that have been seen, of all connections, in order.
sub seen_by_all ($self)
{
    $self->requests;
    return @{ $self->{all} // [] };
}

# Is there a line that says that this path's client has gone?
sub gone ($self, $path)
{
    $self->requests;
    return scalar grep { $_ eq $path } @{ $self->{gone} // [] };
}

sub as_text ($request)
{
    my $text = "$request->{method} $request->{path}";
    if (!defined $request->{body}) {
        $text .= $request->{length} ? " $request->{length} bytes" : ' ?';
    } elsif ($request->{body} ne '') {
        $text .= ' "' . ($request->{body} =~ s/([^\x20-\x7e])/sprintf '\x%02x', ord $1/ger) . '"';
    }
    $text .= " broken $request->{broken}" if defined $request->{broken};
    return $text;
}

# Reads what has been written since the last time. Returns { port => [ request… ] }.
sub requests ($self)
{
    open my $file, '<:raw', $self->{out} or croak "$self->{out}: $!";
    seek $file, $self->{at}, 0;
    while (defined(my $line = <$file>)) {
        last if $line !~ /\n\z/;
        $self->{at} += length $line;
        my $request = JSON::PP::decode_json($line);
        if (defined $request->{gone}) {
            push @{ $self->{gone} }, $request->{gone};
            next;
        }
        push @{ $self->{all} }, $request;
        push @{ $self->{requests}{ $request->{peer} } }, $request;
    }
    return $self->{requests};
}

# The ends of what they had to say, for a test that has failed.
sub logs ()
{
    return map { "standard error of echo on $_->{address}\n" . substr $_->log, -10_000 } grep { $_->log ne '' } @all;
}

1;
