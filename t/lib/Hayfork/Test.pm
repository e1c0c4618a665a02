# Hayfork::Test: what the tests in t/ are written in.
#
#   use Hayfork::Test;
#
#   needs_postgres;
#   my $cluster = cluster->load_contacts;
#   my $server  = server(<<~CONF, cluster => $cluster);
#       …
#       CONF
#   problem_is $server->get('/contacts/abc'), 400, { parameter => 'id' }, 'an id that is not a number';
#   done_testing;
#
# The environment says what is tested: HAYFORK is the program (./hayfork), top_srcdir the repository, and
# HAYFORK_REQUIRE_ALL=1 makes what a test needs and does not find (PostgreSQL, HAProxy, IPv6, root…) a failure instead of
# a skip.
package Hayfork::Test;

use v5.36;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Spec;
use Test::More;

use Hayfork::Test::Cluster;
use Hayfork::Test::Echo;
use Hayfork::Test::Json qw(canonical);
use Hayfork::Test::Process qw(run temporary_folder);
use Hayfork::Test::Server;

our @EXPORT = (
    @Test::More::EXPORT, qw(needs needs_program needs_postgres cluster server sample_server hayfork),
    qw(problem_is json_is header_is quiet),
);
our @EXPORT_OK = qw($HAYFORK $TOP_SRCDIR copy_for_others);

our $TOP_SRCDIR = abs_path($ENV{top_srcdir} // dirname(__FILE__) . '/../../..');
our $HAYFORK    = File::Spec->rel2abs($ENV{HAYFORK} // (-x './hayfork' ? './hayfork' : "$TOP_SRCDIR/hayfork"));

my %REASON = (
    400 => 'Bad Request',
    402 => 'Payment Required',
    403 => 'Forbidden',
    404 => 'Not Found',
    405 => 'Method Not Allowed',
    408 => 'Request Timeout',
    409 => 'Conflict',
    413 => 'Content Too Large',
    414 => 'URI Too Long',
    415 => 'Unsupported Media Type',
    422 => 'Unprocessable Content',
    431 => 'Request Header Fields Too Large',
    500 => 'Internal Server Error',
    501 => 'Not Implemented',
    502 => 'Bad Gateway',
    503 => 'Service Unavailable',
    504 => 'Gateway Timeout',
    508 => 'Loop Detected',
);

# Ends the test, or the subtest, here unless something is there that it needs.
sub needs ($is_there, $else)
{
    return if $is_there;
    plan skip_all => $else if !$ENV{HAYFORK_REQUIRE_ALL};
    die "$else, and HAYFORK_REQUIRE_ALL is set\n";
}

# The path of a program. Ends the test, or the subtest, where it is not installed.
sub needs_program ($name)
{
    my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
    needs(defined $path, "$name is not installed");
    return $path;
}

sub needs_postgres ()
{
    return needs(defined Hayfork::Test::Cluster::programs(), 'PostgreSQL is not installed');
}

# A new cluster that runs, with an empty database "contacts".
sub cluster ()
{
    return Hayfork::Test::Cluster->start;
}

# A server with a conf of the test's own. Arguments: see Hayfork::Test::Server::start.
sub server ($conf, %with)
{
    return Hayfork::Test::Server->start($conf, %with);
}

# A server with the conf that comes with the repository and two workers.
sub sample_server ($cluster, %with)
{
    my %option = (workers => 2, 'database.connect' => $cluster->conninfo, %{ $with{options} // {} });
    return Hayfork::Test::Server->start(
        undef,
        file    => "$TOP_SRCDIR/conf/hayfork.conf",
        cluster => $cluster,
        lanes   => 2,
        %with,
        options => \%option,
    );
}

# Runs the program to its end. Returns { exit => 'exit 0', stdout => text, stderr => text }.
sub hayfork (@arguments)
{
    return run([ $HAYFORK, @arguments ]);
}

# Copies the program to where other users can run it, as they cannot below /root; with the libh2o that it was built with,
# unless that is the system's: LD_LIBRARY_PATH says from then on where that is. Returns the path.
sub copy_for_others ()
{
    my $folder    = temporary_folder();
    my @libraries = run([ 'ldd', $HAYFORK ])->{stdout} =~ m{=> (/.*/libh2o.*) \(}g;
    my $copied    = run([ 'cp', $HAYFORK, @libraries, $folder ]);
    $copied->{exit} eq 'exit 0' or die "cp: $copied->{stderr}";
    $ENV{LD_LIBRARY_PATH} = $folder;
    return "$folder/hayfork";
}

# Is the response a problem (RFC 9457) of that status, in the form that every error answer has? members
# are what it says beyond that, such as { parameter => 'id' }.
sub problem_is ($response, $status, $members, $name)
{
    return subtest $name => sub {
        is $response->status, $status, "status $status";
        is $response->reason, $REASON{$status}, 'the reason phrase of RFC 9110';
        is $response->header('Content-Type'), 'application/problem+json', 'Content-Type';
        my $problem = eval { $response->json };
        if (ref $problem ne 'HASH') {
            fail 'the body is a JSON object';
            diag $response->body;
            return;
        }
        my $detail     = delete $problem->{detail};
        my $request_id = delete $problem->{request_id};
        my %expected   = (type => 'about:blank', title => $REASON{$status}, status => $status, %$members);
        is_deeply $problem, \%expected, 'type, title, status and what else is known';
        like $detail, qr/^\S.*\S$/, 'a detail for people';
        like $request_id, qr/^[0-9a-f]{16}$/, 'a request id';
    };
}

# Are two JSON texts the same value, with keys in the same order and numbers with the same digits?
sub json_is ($got, $expected, $name)
{
    return pass $name if $got eq $expected;
    my ($left, $right) = (canonical($got), canonical($expected));
    return pass $name if $left eq $right;

    # Show the place where they part, not a megabyte.
    my $same = ($left ^. $right) =~ /^(\0*)/ ? length $1 : 0;
    my $from = $same > 60 ? $same - 60 : 0;
    return is substr($left, $from, 160), substr($right, $from, 160), $name;
}

sub header_is ($response, $header, $expected, $name = "$header: " . ($expected // '(none)'))
{
    return is $response->header($header), $expected, $name;
}

# Did the server log nothing while that was done?
sub quiet ($server, $name, $do)
{
    my $before = length $server->log;
    $do->();
    return is substr($server->log, $before), '', $name;
}

END {
    if (!Test::More->builder->is_passing) {
        diag $_ for Hayfork::Test::Server::logs(), Hayfork::Test::Echo::logs();
    }
}

1;
