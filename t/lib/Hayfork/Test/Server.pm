# Hayfork::Test::Server: a running Hayfork with a conf of the test's own on a free port.
#
#   my $server = Hayfork::Test::Server->start(<<~CONF);      # "listen" is put in front of it
#       routes:
#         GET /: { text: "hello\n" }
#       CONF
#   is $server->client->get('/')->body, "hello\n";
#   is $server->stop, 'exit 0';
package Hayfork::Test::Server;

use v5.36;

use Carp qw(croak);
use IO::Socket::IP;
use Socket qw(SOCK_STREAM);

use Hayfork::Test::Client;
use Hayfork::Test::Load;
use Hayfork::Test::Process qw(spawn reap wait_for temporary_folder slurp spew alive children);

my @all;    # every server of this test, so that a failing test can show their logs

# Starts Hayfork and waits until it answers requests.
#   file      a conf file to use instead of a text, with the listeners public and inner
#   options   { 'database.connect' => …, … } for -o; undef is none. Started by root, its workers run as root, unless
#             there is a user
#   also      [ address… ] to listen on besides the one chosen here
#   listeners [ name… ] of listeners, each on a port of its own: see at; without it there is one without a name
#   env       { NAME => value }
#   under     [ program, argument… ] to start it with (one that execs)
#   cluster   wait, too, until every worker has its sessions there
#   lanes     how many sessions that are for a worker: 2 where the conf reads and writes, else 1
sub start ($class, $conf = undef, %with)
{
    # Between choosing a port and listening on it, someone else may take it: then choose another.
    for (1 .. 10) {
        my $self = $class->launch($conf, %with);
        my $up   = wait_for(
            'Hayfork to listen on ' . $self->address,
            sub {
                return 'ended'   if defined $self->ended;
                return 'serving' if Hayfork::Test::Client::connect_to($self->address);
            }
        );
        if ($up eq 'serving') {
            $self->get('/');    # the master listens before there are workers
            $self->wait_for_sessions($with{cluster}) if defined $with{cluster};
            return $self;
        }
        next if $self->{end} eq 'exit 69' && $self->log =~ /address already in use/i;
        croak "Hayfork did not start: $self->{end}\n" . $self->log;
    }
    croak 'found no free port';
}

# Starts the program without waiting for anything.
sub launch ($class, $conf, %with)
{
    my $folder = temporary_folder();
    my $port   = free_port();
    my $self   = bless { address => "127.0.0.1:$port", log => "$folder/log", lanes => $with{lanes} // 1 }, $class;
    my %option = %{ $with{options} // {} };
    $option{user} = 'root' if $> == 0 && !exists $option{user};    # else there would be a warning
    $option{'log.slow'} //= 'off';    # a machine that is busy would warn of any request
    delete @option{ grep { !defined $option{$_} } keys %option };
    if (defined $with{file}) {
        $self->{conf} = $with{file};
        $self->name_listeners(qw(public inner));
        $option{"listen.$_"} //= $self->{at}{$_} for qw(public inner);
        $option{upstreams} //= "{ avatars: [ http://$self->{at}{inner} ] }" if slurp($with{file}) =~ /^  avatars:/m;
    } else {
        my @names  = $self->name_listeners(@{ $with{listeners} // [] });
        my $listen = join '', map { qq(  $_: "$self->{at}{$_}"\n) } @names;
        $listen = join '', map { qq(  - "$_"\n) } $self->{address}, @{ $with{also} // [] } if !@names;
        $self->{conf} = spew("$folder/hayfork.conf", "listen:\n$listen$conf");
    }
    my @options = map { ('-o', "$_=$option{$_}") } sort keys %option;
    $self->{pid} = spawn(
        [ @{ $with{under} // [] }, $Hayfork::Test::HAYFORK, '-c', $self->{conf}, @options ],
        folder => $folder,
        stdout => $self->{log},
        stderr => $self->{log},
        env    => $with{env} // {},
    );
    push @all, $self;
    return $self;
}

# Gives listeners their addresses, the first one that of the server.
sub name_listeners ($self, @names)
{
    $self->{at}{$_} = $_ eq $names[0] ? $self->{address} : '127.0.0.1:' . free_port() for @names;
    return @names;
}

my %given;    # ports: whoever was given one may not listen on it yet

# A port that nobody listens on just now, from below the range in which the kernel chooses the ports of
# clients: those of other tests come and go there.
sub free_port ()
{
    for (1 .. 1000) {
        my $port = 20_000 + int rand 12_000;
        next if $given{$port}++;
        my $socket = IO::Socket::IP->new(LocalHost => '0.0.0.0', LocalPort => $port, Type => SOCK_STREAM);
        return $port if defined $socket;
    }
    croak "no free port: $!";
}

# The address of the listener of that name, else of the first one.
sub address ($self, $name = undef)
{
    return defined $name ? $self->{at}{$name} : $self->{address};
}

sub pid ($self) { return $self->{pid} }

# The workers' process ids, and those of the helpers, which are other programs.
sub workers ($self)
{
    return grep { !is_helper($_) } children($self->{pid});
}

sub helpers ($self)
{
    return grep { is_helper($_) } children($self->{pid});
}

sub is_helper ($pid)
{
    return (readlink("/proc/$pid/exe") // '') =~ /hayfork-(?:images|inference)/;
}

# A new connection to it.
sub client ($self)
{
    return Hayfork::Test::Client->new($self->address);
}

# A new connection to the listener of that name.
sub at ($self, $name)
{
    return Hayfork::Test::Client->new($self->address($name));
}

# One request on a connection of its own.
sub request ($self, $method, $target, %with)
{
    return $self->client->request($method, $target, %with);
}

sub get ($self, $target, %with)
{
    return $self->request('GET', $target, %with);
}

# Many requests over many connections: see Hayfork::Test::Load.
sub load ($self, %with)
{
    return Hayfork::Test::Load->run($self->address, %with);
}

# Waits until every worker has its sessions in the cluster's database "contacts", all ready for queries.
sub wait_for_sessions ($self, $cluster)
{
    return wait_for(
        'every worker to have its sessions',
        sub {
            my @workers = $self->workers;
            my $ready   = $cluster->value(<<~SQL, 'postgres');
                SELECT count(*) FROM pg_stat_activity
                 WHERE datname = 'contacts' AND backend_type = 'client backend' AND state = 'idle' AND query <> ''
                SQL
            return @workers && $ready >= @workers * $self->{lanes};
        }
    );
}

# Waits until a request gets that status, and returns the response.
sub wait_for_status ($self, $target, $status)
{
    return wait_for(
        "$target to be answered with $status",
        sub {
            my $response = $self->get($target);
            return $response->status == $status ? $response : undef;
        }
    );
}

# What it has logged.
sub log ($self)
{
    return -e $self->{log} ? slurp($self->{log}) : '';
}

# The lines of the log that match. Those about slow answers count only where the pattern asks for them: on a busy machine
# any answer may be slow.
sub log_lines ($self, $pattern)
{
    my $asked = $pattern =~ /slow/;
    return grep { /$pattern/ && ($asked || !/ warn .*: slow: \d+ (?:after|more) /) } split /\n/, $self->log;
}

# Sends a signal to the master.
sub signal ($self, $name)
{
    kill $name, $self->{pid} or croak "kill: $!";
    return $self;
}

# How the master has ended, undef while it runs.
sub ended ($self)
{
    return $self->{end} //= reap($self->{pid}, 0);
}

# How the master ended, "exit 0" or "signal 9"; waits for it. What befell a worker while stopping is added.
sub end ($self)
{
    return $self->{end} //= do {
        my $end = reap($self->{pid}) // croak 'Hayfork did not end';
        join ', ', $end, map { s/^.*\]: //r } $self->log_lines(qr/ while stopping$/);
    };
}

# Stops it as an administrator does. Returns how it ended.
sub stop ($self)
{
    return $self->signal('TERM')->end;
}

# The ends of all logs, for a test that has failed.
sub logs ()
{
    my @texts;
    for my $server (@all) {
        my @lines = split /^/, $server->log;
        splice @lines, 0, @lines - 100 if @lines > 100;
        push @texts, join '', 'log of Hayfork on ' . $server->address . "\n", @lines;
    }
    return @texts;
}

1;
