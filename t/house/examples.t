# The examples of README.md and the manual pages, with a database: what they show is what happens.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);

use Hayfork::Test::Manual qw(examples is_conf complete commands refused write_files masked);
use Hayfork::Test::Process qw(run slurp spew);

needs_postgres;
my $cluster  = cluster->load_contacts;
my $conninfo = $cluster->conninfo;

# The chapter of README.md about a database of one's own has a table, and a server of its own on port 8081.
my %shown = map { ($_->{file} // '') => $_->{text} } examples('README.md');
$cluster->psql($shown{'shop.sql'});

# A shell command in a folder, with the program in the PATH as `hayfork`.
sub shell ($command, $folder)
{
    my ($place) = $Hayfork::Test::HAYFORK =~ m{(.*)/};
    return run([ '/bin/bash', '-c', $command ], folder => $folder, env => { PATH => "$place:$ENV{PATH}" });
}

# A curl command for an address that the sample conf listens on, sent to this server instead.
sub curl ($server, $command)
{
    my %address = map { ("127.0.0.1:$_" => $server->address) } 8080, 8081;
    $address{'127.0.0.1:3000'} = $server->address('inner') if $command =~ /127\.0\.0\.1:3000/;
    $command =~ s/(127\.0\.0\.1:\d+)/$address{$1}/g;
    return shell($command =~ s/^curl/curl -sS --noproxy '*'/r, '/');
}

my @texts = qw(README.md man/hayfork.8 man/hayfork.conf.5);

subtest 'PostgreSQL takes the SQL of every conf in README.md and the manual pages' => sub {
    for my $name (@texts) {
        my $place    = tempdir(CLEANUP => 1);
        my @examples = examples($name);
        my %refused  = refused(1, @examples);
        write_files($place, @examples);
        for my $example (grep { is_conf($_) && !$refused{ $_->{file} // '' } } @examples) {
            my $conf = spew("$place/" . ($example->{file} // 'example.conf'), complete($example));
            my $run  = hayfork('-t', '--db', '-c', $conf, map { ('-o', "database.$_=$conninfo") } qw(connect read));
            is $run->{exit}, 'exit 0', $example->{line} or diag $run->{stderr};
        }
    }
};

subtest 'what they show of hayfork -t --db is what it says' => sub {
    my $compared = 0;
    for my $name (@texts) {
        my $place    = tempdir(CLEANUP => 1);
        my @examples = examples($name);
        write_files($place, @examples);
        for my $step (grep { $_->{command} =~ /^hayfork -t --db / } commands(@examples)) {
            my $run = shell("$step->{command} -o 'database.connect=$conninfo'", $place);
            is $run->{stdout} . $run->{stderr}, $step->{output}, "$step->{line}: $step->{command}";
            $compared++;
        }
    }
    cmp_ok $compared, '>=', 2, 'there are some';
};

subtest 'the requests in README.md are answered as it says' => sub {
    my $server   = sample_server($cluster);
    my $items    = server($shown{'items.conf'} =~ s/^listen:.*\n//mr =~ s/dbname=shop/$conninfo/r, cluster => $cluster);
    my $compared = 0;
    for my $step (grep { $_->{command} =~ /^curl / } commands(examples('README.md'))) {
        my $run = curl($step->{command} =~ /:8081/ ? $items : $server, $step->{command});
        is masked($run->{stdout} =~ s/\n?\z/\n/r), masked($step->{output}), "$step->{line}: $step->{command}";
        $compared++;
    }
    cmp_ok $compared, '>=', 15, 'there are some';
    is $items->stop,  'exit 0';
    is $server->stop, 'exit 0';
};

subtest 'a database of one\'s own: the steps in README.md, by a user whom PostgreSQL does not know yet' => sub {
    my $place    = tempdir(CLEANUP => 1);
    my @examples = examples('README.md');
    write_files($place, @examples);
    my ($folder) = $cluster->socket =~ m{(.*)/};
    $cluster->psql('CREATE DATABASE shop', 'postgres');

    # sudo is not there; PostgreSQL trusts everybody here, so who asks is said by PGUSER.
    my $as = "export PATH=$cluster->{programs}:\$PATH PGHOST=$folder USER=ann PGUSER=ann;"
      . ' sudo() { shift 2; PGUSER=postgres "$@"; };';
    my $loaded = shell("$as sudo -u postgres psql -X -q -v ON_ERROR_STOP=1 shop < shop.sql", $place);
    is $loaded->{exit}, 'exit 0', 'the table' or diag $loaded->{stderr};
    my @steps = grep { $_->{command} =~ /shop -c|createuser "|-c items\.conf/ } commands(@examples);
    is scalar @steps, 3, 'the role, its privileges, and the check';
    for my $step (@steps) {
        my $run = shell("$as $step->{command}", $place);
        is $run->{stdout} . $run->{stderr}, $step->{output}, "$step->{line}: $step->{command}";
    }
    my $without = shell("$as sudo -u postgres psql -X -q shop -c 'REVOKE DELETE ON item FROM ann';"
          . ' hayfork -t --db -c items.conf', $place);
    like $without->{stderr}, qr/^items\.conf:\d+:7: error: permission denied for table item\n/, 'a privilege that is missing';
};

subtest 'README.md shows the requests that ./bootstrap run proposes, and they are answered' => sub {
    my $server   = sample_server($cluster);
    my $proposed = join '', slurp("$Hayfork::Test::TOP_SRCDIR/bootstrap") =~ /^    (curl .*\n)/mg;
    my $shown    = join '', slurp("$Hayfork::Test::TOP_SRCDIR/README.md") =~ /^    (curl .*\n)/mg;
    $proposed =~ s/\$address/127.0.0.1:8080/g;
    $proposed =~ s/\$inner/127.0.0.1:3000/g;
    isnt $shown, '', 'there are some';
    is $shown, $proposed;
    for my $command (split /\n/, $shown) {
        my $run = curl($server, $command);
        like $run->{stdout}, qr{\AHTTP/1\.1 2\d\d }, $command;
    }
    is $server->stop, 'exit 0';
};

done_testing;
