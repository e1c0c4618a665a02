# Hayfork::Bench::Database: a private PostgreSQL cluster with the sample tables, made by t/lib/sandbox.sh.
#
#   my $database = Hayfork::Bench::Database->start($top);
#   $database->psql('VACUUM contact');
#   $database->stop;
#
# The cluster belongs to a shell that waits for the end of its standard input: however we end, it stops.
package Hayfork::Bench::Database;

use v5.36;

use Carp qw(croak);
use IPC::Open2;

use Hayfork::Test::Process qw(run wait_for);

my $SHELL = <<'BASH';
    export LC_ALL=C.UTF-8
    . "$1/t/lib/sandbox.sh"
    trap sandbox_close EXIT
    sandbox_open "$1" || exit
    printf '%s\n' "$sandbox_dir" "$sandbox_postgres" "$sandbox_bin"
    read -r _ || true
BASH

sub start ($class, $top)
{
    my $shell = open2(my $out, my $in, 'setsid', 'bash', '-c', $SHELL, 'database', $top);
    chomp(my ($folder, $pid, $programs) = map { scalar readline($out) // '' } 1 .. 3);
    my $self = bless { shell => $shell, in => $in, owner => $$ }, $class;
    if ($programs eq '') {
        $self->stop;
        croak 'PostgreSQL did not start';
    }
    @$self{qw(folder pid programs)} = ($folder, $pid, $programs);
    return $self;
}

sub stop ($self)
{
    close delete $self->{in} or return;
    waitpid delete $self->{shell}, 0;
    return;
}

sub pid ($self) { return $self->{pid} }

sub conninfo ($self)
{
    return "host=$self->{folder} user=hayfork dbname=contacts";
}

# How peers are told where it is.
sub environment ($self)
{
    my $host = $self->{folder} =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ger;
    return (
        PGHOST       => $self->{folder},
        PGUSER       => 'hayfork',
        PGDATABASE   => 'contacts',
        DATABASE_URL => "postgresql://hayfork@/contacts?host=$host",
    );
}

# Runs SQL and returns psql's output, one line per row.
sub psql ($self, $sql)
{
    my $done = run([ "$self->{programs}/psql", qw(-X -A -t -q -v ON_ERROR_STOP=1 -d), $self->conninfo, '-c', $sql ]);
    $done->{exit} eq 'exit 0' or croak "psql: $done->{exit}\n$done->{stderr}";
    return $done->{stdout};
}

# How many sessions servers have.
sub sessions ($self)
{
    return 0 + $self->psql(<<~SQL);
        SELECT count(*) FROM pg_stat_activity
         WHERE datname = 'contacts' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        SQL
}

# Waits until the sessions of a server that was stopped are gone.
sub wait_until_idle ($self)
{
    wait_for('the sessions of a stopped server to end', sub { $self->sessions == 0 }, 20);
    return;
}

sub version ($self)
{
    my ($version) = run([ "$self->{programs}/postgres", '--version' ])->{stdout} =~ /(\d\S*)/;
    return $version;
}

1;
