# The inputs that fuzzing began with or has found: each is given to its target again.
use v5.36;

use Hayfork::Test;

use File::Basename qw(basename dirname);
use File::Glob qw(:bsd_glob);

use Hayfork::Test::Process qw(run slurp);

my @targets = grep { slurp($_) =~ /^int LLVMFuzzerTestOneInput\(.*\)$/m } glob "$Hayfork::Test::TOP_SRCDIR/t/fuzz/*.c";
my @corpora = glob "$Hayfork::Test::TOP_SRCDIR/t/fuzz/corpus/*";
is_deeply [ map { basename($_) } @corpora ], [ map { basename($_, '.c') } @targets ], 'every target has a corpus';

for my $corpus (@corpora) {
    my $name   = basename($corpus);
    my @inputs = glob "$corpus/*";
    subtest "inputs of $name" => sub {
        my $run  = run([ dirname($Hayfork::Test::HAYFORK) . "/t/fuzz/$name", $corpus ]);
        my @good = $run->{stdout} =~ /^ok \d+ - (.*)$/mg;
        is $run->{exit}, 'exit 0', 'all went well' or diag $run->{stdout} =~ /.*^# (.*)$/ms, "\n", $run->{stderr};
        is_deeply [ sort @good ], [ sort map { basename($_) } @inputs ], 'every input was tried';
    };
}

done_testing;
