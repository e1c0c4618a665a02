# The command line: what hayfork prints, and the exit code for each way in which it can go wrong.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);
use IO::Socket::IP;
use Socket qw(SOCK_STREAM);

use Hayfork::Test::Process qw(slurp spew);

my $folder = tempdir(CLEANUP => 1);
my $port   = Hayfork::Test::Server::free_port();
my $conf   = spew("$folder/hayfork.conf", <<~CONF);
    listen: 127.0.0.1:$port
    workers: 1
    routes:
      GET /:
        text: "hello\\n"
      GET /contacts/{id}:
        sql: |
          SELECT :id::int AS id
        answer: row
    CONF

subtest 'hayfork -V names the program, its version and the commit' => sub {
    my $top    = $Hayfork::Test::TOP_SRCDIR;
    my $packed = -e "$top/COMMIT" ? slurp("$top/COMMIT") =~ s/\n//r : '';    # by `make dist`
    my $git    = -e "$top/.git" && grep { -x "$_/git" } split /:/, $ENV{PATH};
    my $commit = $git ? qr/ \([0-9a-f]{12}(?:-dirty)?\)/ : $packed ne '' ? qr/ \(\Q$packed\E\)/ : qr//;
    my $run    = hayfork('-V');
    is $run->{exit}, 'exit 0';
    like $run->{stdout}, qr/\Ahayfork \d+\.\d+\.\d+(?:-dev)?$commit\n\z/;
    is $run->{stderr}, '';
};

subtest 'hayfork -h shows every option on standard output' => sub {
    my $run = hayfork('-h');
    is $run->{exit}, 'exit 0';
    like $run->{stdout}, qr/^\s*$_\b/m, $_ for qw(-c -t -T -r -V -h -o --db);
    is $run->{stderr}, '';
};

subtest 'the options that every program has, as words' => sub {
    is_deeply hayfork('--version'), hayfork('-V'), '--version';
    is_deeply hayfork('--help'),    hayfork('-h'), '--help';
};

subtest 'usage errors are told on standard error, with exit code 64' => sub {
    my %said = (
        '-x'               => 'unknown option -x',
        '-tx'              => 'unknown option -x',
        '--hlep'           => 'unknown option --hlep',
        '--pasword=hush'   => 'unknown option --pasword',
        '--version=2'      => 'no value goes with --version',
        '-c'               => 'a value is missing after -c',
        '-o'               => 'a value is missing after -o',
        '-r x'             => '-r wants a process id, not x',
        '-T --db'          => '--db goes with -t',
        '-t surplus'       => 'unexpected argument surplus',
        "-c $conf -o word" => '-o takes KEY=VALUE, not word',
    );
    for my $arguments (sort keys %said) {
        my $run = hayfork(split / /, $arguments);
        is $run->{exit}, 'exit 64', "hayfork $arguments";
        is $run->{stdout}, '', '… prints nothing on standard output';
        is $run->{stderr}, "hayfork: $said{$arguments}; hayfork --help shows the options\n",
          '… says in one line what is wrong, and where help is';
    }
};

subtest 'half a connection string that lacks its quotes is not shown' => sub {
    my $run = hayfork('-t', '-c', $conf, '-o', 'database.connect=host=a', 'password=hush');
    is $run->{exit}, 'exit 64';
    like $run->{stderr}, qr/^hayfork: unexpected argument password; hayfork --help shows the options\n/;
    unlike $run->{stderr}, qr/hush/;
};

subtest 'a conf that is not there is exit code 78' => sub {
    for my $mode ([], ['-t'], ['-T']) {
        my $run = hayfork('-c', "$folder/missing.conf", @$mode);
        is $run->{exit}, 'exit 78', "hayfork -c missing.conf @$mode";
        like $run->{stderr}, qr{\Q$folder\E/missing\.conf.*No such file}, '… names the file and the reason';
        is $run->{stdout}, '';
    }
};

subtest 'a wrong conf is exit code 78, and nothing is started' => sub {
    my $wrong = spew("$folder/wrong.conf", "listen: 127.0.0.1:$port\nlisten_on: 1\n");
    for my $mode ([], ['-t'], ['-T']) {
        my $run = hayfork('-c', $wrong, @$mode);
        is $run->{exit}, 'exit 78', "hayfork -c wrong.conf @$mode";
        like $run->{stderr}, qr{^\Q$wrong\E:2:1: error: .*listen_on}m;
    }
};

subtest '-t needs no database and no socket' => sub {
    my $busy = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Listen => 1, Type => SOCK_STREAM)
      // die "port $port: $!";
    my $run = hayfork('-c', $conf, '-t', '-o', "database.connect=host=$folder/nobody dbname=nothing");
    is $run->{exit}, 'exit 0', 'the address is in use and the database is not there';
    unlike $run->{stderr}, qr/error/;
};

subtest '-o sets one directive from the command line' => sub {
    my $run = hayfork('-c', $conf, '-T', '-o', 'listen=127.0.0.1:1', '-o', 'workers=3', '-o', 'limits.body=64K');
    is $run->{exit}, 'exit 0';
    like $run->{stdout}, qr/^listen:\s+127\.0\.0\.1:1$/m, 'listen';
    like $run->{stdout}, qr/^workers:\s+3$/m,             'workers';
    like $run->{stdout}, qr/^\s+body:\s+64K$/m,           'limits.body';

    $run = hayfork('-c', $conf, '-t', '-o', 'lisen=127.0.0.1:1', '-o', 'workers=many');
    is $run->{exit}, 'exit 78', 'what is wrong in -o is an error of the conf';
    like $run->{stderr}, qr/-o.*lisen.*did you mean.*listen/s, 'an unknown directive';
    like $run->{stderr}, qr/-o.*workers/s, 'a wrong value, told in the same run';
};

subtest '-T prints a conf that loads to the same conf' => sub {
    my $sample = "$Hayfork::Test::TOP_SRCDIR/conf/hayfork.conf";
    for my $file ($conf, $sample) {
        my $first = hayfork('-c', $file, '-T');
        is $first->{exit}, 'exit 0', $file;
        my $second = hayfork('-c', spew("$folder/printed.conf", $first->{stdout}), '-T');
        is $second->{exit}, 'exit 0', '… as printed' or diag $second->{stderr};
        is $second->{stdout}, $first->{stdout}, '… prints the same again';
    }
};

subtest 'an address in use is exit code 69, with the address in the message' => sub {
    my $busy = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Listen => 1, Type => SOCK_STREAM)
      // die "port $port: $!";
    my $run = hayfork('-c', $conf);
    is $run->{exit}, 'exit 69';
    like $run->{stderr}, qr/127\.0\.0\.1:$port.*Address already in use/;
    is scalar(() = $run->{stderr} =~ /error/g), 1, 'told once';
};

subtest 'an address of another machine is exit code 69' => sub {
    my $run = hayfork('-c', $conf, '-o', 'listen=192.0.2.1:80');
    is $run->{exit}, 'exit 69';
    like $run->{stderr}, qr/192\.0\.2\.1:80.*Cannot assign requested address/;
};

done_testing;
