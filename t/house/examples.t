# The examples of README.md and the manual pages, with a database: what they show is what happens.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);

use Hayfork::Test::Manual qw(examples is_conf complete commands refused write_files masked);
use Hayfork::Test::Process qw(run slurp spew);

needs_postgres;
my $cluster  = cluster->load_contacts;
my $conninfo = $cluster->conninfo;

# A shell command in a folder, with the program in the PATH as `hayfork`.
sub shell ($command, $folder)
{
    my ($place) = $Hayfork::Test::HAYFORK =~ m{(.*)/};
    return run([ '/bin/bash', '-c', $command ], folder => $folder, env => { PATH => "$place:$ENV{PATH}" });
}

# A curl command for an address that the sample conf listens on, sent to this server instead.
sub curl ($server, $command)
{
    my %address = ('127.0.0.1:8080' => $server->address, '127.0.0.1:3000' => $server->address('inner'));
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
    my $compared = 0;
    for my $step (grep { $_->{command} =~ /^curl / } commands(examples('README.md'))) {
        my $run = curl($server, $step->{command});
        is masked($run->{stdout} =~ s/\n?\z/\n/r), masked($step->{output}), "$step->{line}: $step->{command}";
        $compared++;
    }
    cmp_ok $compared, '>=', 4, 'there are some';
    is $server->stop, 'exit 0';
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
