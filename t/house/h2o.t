# configure --with-h2o=DIR: which folders it takes, and that what is installed finds its libh2o without that folder.
use v5.36;

use Hayfork::Test;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Find qw(find);
use File::Glob qw(:bsd_glob);

use Hayfork::Test::Process qw(run slurp spew temporary_folder);

my $folder   = temporary_folder();
my ($build)  = $Hayfork::Test::HAYFORK =~ m{(.*)/};
my %of_build = slurp("$build/Makefile") =~ /^(srcdir|H2O_LIBDIR|H2O_CFLAGS) = (.*)$/mg;

# configure takes no source tree with a blank in its path.
symlink $of_build{srcdir} =~ m{^/} ? $of_build{srcdir} : "$build/$of_build{srcdir}", "$folder/source" or die;

# make(1) of this test must not be part of the one that runs it.
my %alone = (MAKEFLAGS => '', MFLAGS => '', MAKELEVEL => '', DESTDIR => '', LD_LIBRARY_PATH => '');

# Runs a shell command in a folder.
sub shell ($in, $command)
{
    return run([ '/bin/sh', '-c', $command ], folder => $in, env => \%alone);
}

# What configure says for a folder, run in a build folder of its own.
sub configure ($in, @options)
{
    mkdir "$folder/$in";
    return shell("$folder/$in", join ' ', '../source/configure -q', @options);
}

subtest 'all libraries that are missing are named at once' => sub {
    mkdir "$folder/nothing";
    my $run = shell("$folder/nothing", 'PKG_CONFIG_LIBDIR=/nonexistent ../source/configure -q');
    is $run->{exit}, 'exit 1';
    like $run->{stderr}, qr/^  \Q$_\E.*\(Debian: lib\S+-dev\)$/m, $_ for 'libpq >= ', 'json-c >= ', 'yaml-0.1 >= ',
      'libssl libcrypto', 'liburing >= ', 'libh2o-evloop >= ';
    like $run->{stderr}, qr/^apt install libpq-dev libjson-c-dev libyaml-dev libssl-dev liburing-dev$/m, 'and how they come';
    $run = shell("$folder/nothing", 'PKG_CONFIG=/nonexistent/pkg-config ../source/configure -q');
    like $run->{stderr}, qr/error: pkg-config is missing, .*\(Debian: pkg-config\)$/m, 'and that by which they are found';
};

# The libh2o that this build has, as a folder of its own.
sub h2o_folder ($to)
{
    my $variable = sub ($name) { shell('/', "pkg-config --variable=$name libh2o-evloop")->{stdout} =~ s/\n//r };
    my $include  = $of_build{H2O_CFLAGS} =~ /^-isystem (\S+)/ ? abs_path($1 =~ m{^/} ? $1 : "$build/$1") : $variable->('includedir');
    my $lib      = $of_build{H2O_LIBDIR} || $variable->('libdir');
    mkdir "$folder/$to" or die;
    symlink $include, "$folder/$to/include" or die;
    mkdir "$folder/$to/lib" or die;
    symlink $_, "$folder/$to/lib/" . s{.*/}{}r or die for glob "$lib/libh2o-evloop.so*";
    return "$folder/$to";
}

subtest 'a folder in which there is no libh2o 2.2 is refused, and why' => sub {
    my $none = "$folder/none";
    my $run  = configure('a', "--with-h2o=$none");
    isnt $run->{exit}, 'exit 0';
    like $run->{stderr}, qr/error: there is no folder \Q$none\E, which --with-h2o names$/m;

    mkdir $none;
    like configure('a', "--with-h2o=$none")->{stderr}, qr/error: there is no include\/h2o\.h in \Q$none\E, which --with-h2o names$/m;

    mkdir "$none/include";
    spew("$none/include/h2o.h", "typedef struct { int next; } h2o_timer_t;\n");
    like configure('a', "--with-h2o=$none")->{stderr}, qr/error: there is no libh2o-evloop in lib of \Q$none\E, which --with-h2o names$/m;

    mkdir "$none/lib";
    spew("$none/lib/libh2o-evloop.a", "!<arch>\n");
    like configure('a', "--with-h2o=$none")->{stderr}, qr/error: libh2o cannot be used.*has to be 2\.2.*h2o_timer_/s, 'a later one';

    like configure('a', "'--with-h2o=/a folder'")->{stderr}, qr/error: --with-h2o cannot use "\/a folder"/;
};

subtest 'a shared libh2o is installed with Hayfork, which finds it there alone' => sub {
    my $h2o     = h2o_folder('h2o');
    my $prefix  = "$folder/usr";
    my $options = shell($build, './config.status --config')->{stdout} =~ s/\n//r =~ s/'?--(?:srcdir|prefix|with-h2o)=\S+//gr;
    my $run     = configure('b', $options, "--prefix=$prefix --with-h2o=../h2o");
    is $run->{exit}, 'exit 0' or diag $run->{stderr};

    # All but the program itself is there already.
    copy("$build/libhayfork.a", "$folder/b/libhayfork.a") or die;
    $run = shell("$folder/b", 'make -s install libhayfork_a_OBJECTS=');
    is $run->{exit}, 'exit 0' or diag $run->{stderr};
    ok -f "$prefix/lib/hayfork/libh2o-evloop.so.0.13", 'the library, itself';
    is sprintf('%o', (stat "$prefix/etc/hayfork/hayfork.conf")[2] & 07777), '640', 'the conf is not for everybody to read';

    my ($runpath) = shell('/', "readelf -d $prefix/bin/hayfork")->{stdout} =~ /R(?:UN)?PATH.*\[(.*)\]/;
    is $runpath, "$prefix/lib/hayfork", 'it looks for it there, and not where it was built';
    rename $h2o, "$h2o.gone" or die;
    $run = shell('/', "$prefix/bin/hayfork -V");
    is $run->{exit}, 'exit 0';
    like $run->{stdout}, qr/^hayfork /;

    is shell("$folder/b", 'make -s uninstall')->{exit}, 'exit 0';
    my @left;
    find({ no_chdir => 1, wanted => sub { push @left, $_ if -f } }, $prefix);
    is_deeply \@left, [], 'make uninstall removes all of it';
    ok !-e "$prefix/lib/hayfork", '… and the folder';
};

done_testing;
