# Hayfork::Test::Cluster: a PostgreSQL cluster of the test's own, in a temporary folder, on a Unix socket.
#
#   my $cluster = Hayfork::Test::Cluster->start;          # with an empty database "contacts"
#   $cluster->load_contacts;                              # the repository's sql/*.sql
#   is $cluster->value('SELECT count(*) FROM contact'), 10_000;
#   $cluster->stop;
#
# start(max_connections => 20) makes one that takes no more; else it is 100, as in PostgreSQL's own default.
package Hayfork::Test::Cluster;

use v5.36;

use Carp qw(croak);
use File::Glob qw(:bsd_glob);

use Hayfork::Test::Process qw(spawn run reap wait_for temporary_folder slurp spew alive children);

# The folder that holds PostgreSQL's server programs, or undef: that of HAYFORK_POSTGRES, else the newest of Debian's, else
# the one in PATH.
sub programs ()
{
    return $ENV{HAYFORK_POSTGRES} if ($ENV{HAYFORK_POSTGRES} // '') ne '';
    return folder_of(qw(initdb postgres psql));
}

# Where psql is: it may be of another version than the server.
sub psql_program ()
{
    my ($folder) = folder_of('psql') // croak 'no psql on this machine';
    return "$folder/psql";
}

# The folder that has all of these programs.
sub folder_of (@names)
{
    my @debian = sort { ($b =~ m{/(\d+)/bin$})[0] <=> ($a =~ m{/(\d+)/bin$})[0] }
      grep { m{/\d+/bin$} } glob '/usr/lib/postgresql/*/bin';
    for my $folder (@debian, split /:/, $ENV{PATH} // '') {
        return $folder if !grep { !-x "$folder/$_" } @names;
    }
    return undef;
}

# Makes a cluster and starts it.
sub start ($class, %option)
{
    my $self = $class->new(%option);
    $self->boot;
    $self->psql('CREATE DATABASE contacts', 'postgres');
    return $self;
}

# Makes a cluster that does not run yet. Role "postgres" needs no password, role "guarded" does.
sub new ($class, %option)
{
    my $programs = programs() // croak 'no PostgreSQL on this machine';
    my $folder   = temporary_folder();
    my $self     = bless {
        programs        => $programs,
        folder          => $folder,
        log             => "$folder/log",
        max_connections => $option{max_connections} // 100,
    }, $class;

    # PostgreSQL refuses to run as root.
    if ($> == 0) {
        my (undef, undef, $uid, $gid) = getpwnam 'nobody' or croak 'no user "nobody" to run PostgreSQL as';
        $self->{as} = { uid => $uid, gid => $gid };
        chown $uid, $gid, $folder or croak "chown $folder: $!";
    }
    my $made = run(
        [
            "$programs/initdb", '-D', "$folder/data", qw(-N -U postgres -A trust -E UTF8 --locale=C),
            '--no-instructions',
        ],
        folder => $folder,
        %{ $self->{as} // {} },
    );
    $made->{exit} eq 'exit 0' or croak "initdb: $made->{exit}\n$made->{stdout}$made->{stderr}";
    spew("$folder/data/pg_hba.conf", "local all guarded scram-sha-256\nlocal all all trust\n");
    return $self;
}

# Starts the cluster's server and waits until it takes connections. setting: other values than those below.
sub boot ($self, %setting)
{
    croak 'the cluster runs already' if defined $self->{pid};
    $self->{port} = $setting{port} // 5432;
    $self->{pid} = spawn(
        [
            "$self->{programs}/postgres", '-D', "$self->{folder}/data", '-k', $self->{folder},
            map { ('-c', $_) } 'listen_addresses=',       'fsync=off',
            'shared_buffers=32MB',                        'max_wal_senders=0',
            'wal_level=minimal',                          "max_connections=$self->{max_connections}",
            'autovacuum=off',                             'log_line_prefix=',
            map { "$_=$setting{$_}" } sort keys %setting
        ],
        folder => $self->{folder},
        stdout => $self->{log},
        stderr => $self->{log},
        last   => 'QUIT',
        %{ $self->{as} // {} },
    );
    my $state = "$self->{folder}/data/postmaster.pid";
    wait_for(
        'PostgreSQL to take connections',
        sub {
            my $end = reap($self->{pid}, 0);
            croak "PostgreSQL did not start: $end\n" . $self->log if defined $end;
            return -e $state && slurp($state) =~ /\A$self->{pid}\n.*^ready *$/ms;
        }
    );
    return $self;
}

# Stops the server: 'INT' ends sessions as an administrator would (the default), 'QUIT' and 'KILL' as a crash
# would.
sub stop ($self, $signal = 'INT')
{
    my $pid = delete $self->{pid} // croak 'the cluster does not run';
    my @children = children($pid);
    kill $signal, $pid;
    reap($pid) // croak 'PostgreSQL did not stop';

    # A killed server leaves its children to end by themselves, and could not start again before they have.
    wait_for('the processes of PostgreSQL to end', sub { !grep { alive($_) } @children });
    return $self;
}

# What PostgreSQL logged.
sub log ($self)
{
    return -e $self->{log} ? slurp($self->{log}) : '';
}

# The conninfo of a database, "contacts" unless told otherwise.
sub conninfo ($self, %with)
{
    my %field = (host => $self->{folder}, user => 'postgres', dbname => 'contacts', %with);
    $field{port} //= $self->{port} if ($self->{port} // 5432) != 5432;
    return join ' ', map { "$_=$field{$_}" } sort keys %field;
}

# The Unix socket that it listens on.
sub socket ($self)
{
    return "$self->{folder}/.s.PGSQL." . ($self->{port} // 5432);
}

# Runs SQL and returns psql's output, one line per row, columns parted by "|".
sub psql ($self, $sql, $database = 'contacts')
{
    return $self->run_psql($database, '-c', $sql);
}

sub run_psql ($self, $database, @arguments)
{
    my $done = run(
        [
            psql_program(), qw(-X -A -t -q -v ON_ERROR_STOP=1), '-d',
            $self->conninfo(dbname => $database), @arguments
        ],
        env => { PGCLIENTENCODING => 'UTF8' },
    );
    $done->{exit} eq 'exit 0' or croak "psql @arguments: $done->{exit}\n$done->{stderr}";
    return $done->{stdout};
}

# The one value that SQL answers, without the line's end.
sub value ($self, $sql, $database = 'contacts')
{
    chomp(my $value = $self->psql($sql, $database));
    return $value;
}

# Runs SQL in a transaction that stays open, with the locks that it takes, until it is let go. with: fields of
# the conninfo. Returns what let_go wants.
sub hold ($self, $sql, %with)
{
    my $name = 'holder' . ++$self->{holders};
    my $pid  = spawn(
        [
            psql_program(), '-X', '-d', $self->conninfo(%with, application_name => $name), '-c',
            "BEGIN; $sql; SELECT pg_sleep(3600)",
        ],
        stdout => "$self->{folder}/$name",
        stderr => "$self->{folder}/$name",
    );
    wait_for("$sql to be done", sub {
        croak "$name has ended: " . slurp("$self->{folder}/$name") if defined reap($pid, 0);
        $self->value(<<~SQL);
            SELECT count(*) FROM pg_stat_activity WHERE application_name = '$name' AND wait_event = 'PgSleep'
            SQL
    });
    return { name => $name, pid => $pid };
}

sub let_go ($self, $holder)
{
    $self->psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$holder->{name}'");
    reap($holder->{pid}) // croak "$holder->{name} does not let go";
    return;
}

# What PostgreSQL itself makes of a query's first row, and of all its rows, as JSON.
sub row_as_json ($self, $sql)
{
    return $self->value("SELECT row_to_json(q) FROM ($sql) q LIMIT 1");
}

sub rows_as_json ($self, $sql)
{
    return $self->value("SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM ($sql) q");
}

# Loads the tables and rows that come with the repository.
sub load_contacts ($self, $database = 'contacts')
{
    my @files = sort glob "$Hayfork::Test::TOP_SRCDIR/sql/*.sql" or croak 'no files in sql/';
    $self->run_psql($database, map { ('-f', $_) } @files);
    return $self;
}

# How many clients are connected to a database, apart from the one that asks.
sub sessions ($self, $database = 'contacts')
{
    return $self->value(<<~SQL, 'postgres');
        SELECT count(*) FROM pg_stat_activity
         WHERE datname = '$database' AND backend_type = 'client backend' AND state IS NOT NULL
        SQL
}

1;
