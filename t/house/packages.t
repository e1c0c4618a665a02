# What the packaging takes for granted about the sample conf. `make check-packages` makes and runs the packages themselves.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);

use Hayfork::Test::Process qw(run slurp spew);

my $top    = $Hayfork::Test::TOP_SRCDIR;
my $sample = slurp("$top/conf/hayfork.conf");

subtest 'the conf of the image is the sample with another address, and good with the options in compose.yaml' => sub {
    my ($from, $to) = slurp("$top/t/tools/make-image") =~ m{^sed -i 's/\^(.*)/(.*)/' "\$conf"$}m;
    (my $conf = $sample) =~ s/^$from/$to/m;
    isnt $conf, $sample, 'make-image finds the address';
    my $folder = tempdir(CLEANUP => 1);
    spew("$folder/hayfork.conf", $conf);
    spew("$folder/avatar.json",  slurp("$top/conf/avatar.json"));
    my ($options) = slurp("$top/conf/compose.yaml") =~ /^    command: \[ (.*) \]$/m;
    my $run = hayfork('-T', '-c', "$folder/hayfork.conf", split /, /, $options);
    is $run->{exit}, 'exit 0' or diag $run->{stderr};
    like $run->{stdout}, qr/^  public: 8080$/m,  'it listens on every address for clients';
    like $run->{stdout}, qr/^admin: 9180$/m,     '... and for who watches it';
};

subtest 'what the autopkgtest asks for and changes is in the sample conf' => sub {
    my $test = slurp("$top/conf/debian/tests/service");
    my ($from) = $test =~ m{^sed -i 's/(.*?)/.*?/' /etc/hayfork/hayfork\.conf$}m;
    like $sample, qr/text: "\Q$from\E\\n"/;
    my @paths = $test =~ /answers (\/\S*) /g;
    cmp_ok @paths, '>=', 3;
    for my $path (@paths) {
        my $route = $path =~ s{/\d+$}{/{id}}r;
        like $sample, qr/^  (?:GET|ANY) \Q$route\E:$/m, $path;
    }
};

done_testing;
