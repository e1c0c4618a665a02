# Hayfork::Test::PgBouncer: a running PgBouncer between a server and a cluster.
#
#   my $bouncer = Hayfork::Test::PgBouncer->start($cluster, pool_mode => 'session');
#   my $server  = server(qq(database: { connect: "${\ $bouncer->conninfo }" } …));
#   $bouncer->tell('RECONNECT');
package Hayfork::Test::PgBouncer;

use v5.36;

use Carp qw(croak);

use Hayfork::Test::Cluster;
use Hayfork::Test::Process qw(spawn run wait_for temporary_folder slurp spew);

# The program; undef where it is not installed.
sub program ()
{
    my ($path) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
    return $path;
}

# Its version, such as 1.024.
sub version ()
{
    my ($major, $minor) = run([ program(), '-V' ])->{stdout} =~ /^PgBouncer (\d+)\.(\d+)/ or croak 'it says no version';
    return sprintf '%d.%03d', $major, $minor;
}

# Can it keep track of prepared statements, so that they can be used in transaction mode?
sub knows_statements () { return version() >= 1.021 }

# Starts it for a cluster's database "contacts". setting: lines of its ini file, beside those below; role is who its
# sessions are.
sub start ($class, $cluster, %setting)
{
    my $folder = temporary_folder();
    my $role   = delete $setting{role} // 'postgres';
    my %all    = (
        listen_addr               => '',
        listen_port               => 6432,
        unix_socket_dir           => $folder,
        auth_type                 => 'any',
        default_pool_size         => 20,
        ignore_startup_parameters => 'options',
        admin_users               => 'keeper',
        %setting,
    );
    delete @all{ grep { !defined $all{$_} } keys %all };
    my $settings = join '', map { "$_ = $all{$_}\n" } sort keys %all;
    my $ini      = spew("$folder/pgbouncer.ini",
        "[databases]\ncontacts = ${\ $cluster->conninfo(user => $role) }\n[pgbouncer]\n$settings");

    # It refuses to run as root, as PostgreSQL does.
    my %as;
    if ($> == 0) {
        @as{qw(uid gid)} = (getpwnam 'nobody')[ 2, 3 ] or croak 'no user "nobody" to run PgBouncer as';
        chown @as{qw(uid gid)}, $folder or croak "chown $folder: $!";
    }
    spawn([ program(), $ini ], stdout => "$folder/log", stderr => "$folder/log", last => 'TERM', %as);
    wait_for('PgBouncer to listen', sub { -S "$folder/.s.PGSQL.6432" });
    return bless { folder => $folder }, $class;
}

# How to connect by way of it.
sub conninfo ($self, %with)
{
    my %field = (host => $self->{folder}, port => 6432, user => 'postgres', dbname => 'contacts', %with);
    return join ' ', map { "$_=$field{$_}" } sort keys %field;
}

# Runs SQL by way of it. Returns psql's output.
sub psql ($self, $sql, %with)
{
    my $done = run([ Hayfork::Test::Cluster::psql_program(), qw(-X -A -t -q -v ON_ERROR_STOP=1 -d), $self->conninfo(%with), '-c', $sql ]);
    $done->{exit} eq 'exit 0' or croak "psql: $done->{exit}\n$done->{stderr}";
    return $done->{stdout};
}

# A command for its console, such as RECONNECT.
sub tell ($self, $command) { return $self->psql($command, dbname => 'pgbouncer', user => 'keeper') }

1;
