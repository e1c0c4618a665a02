# Variables of the environment in the conf: where they come from, and that what they stand for is a text.
use v5.36;

use Hayfork::Test;

use File::Temp qw(tempdir);

use Hayfork::Test::Process qw(run spew);

my $folder = tempdir(CLEANUP => 1);

my $conf = spew("$folder/hayfork.conf", <<~'CONF');
    env_file: names.env
    server: ${SHOP}
    include: routes.conf
    routes:
      GET /:
        text: "hello\n"
    CONF
spew("$folder/names.env", "SHOP='from the file'\nDEADLINE=7s\n");
spew("$folder/routes.conf", <<~'CONF');
    defaults:
      deadline: ${DEADLINE}
    routes:
      GET /included:
        text: "hello\n"
        headers: { X-Shop: "${SHOP}" }
    CONF

# What -T prints of the conf, with these variables in the environment.
sub printed ($env, @options)
{
    my $run = run([ $Hayfork::Test::HAYFORK, '-T', '-c', $conf, @options ], env => $env);
    is $run->{exit}, 'exit 0' or diag $run->{stderr};
    return $run->{stdout};
}

subtest 'the environment of the process goes before env_file' => sub {
    like printed({}), qr/^server: "from the file"$/m, 'a variable that only the file has';
    like printed({ SHOP => 'mine' }), qr/^server: mine$/m, 'one that both have';
};

subtest 'an included file has the same variables' => sub {
    my $text = printed({ SHOP => 'mine' });
    like $text, qr/^      X-Shop: mine$/m, 'in a route';
    like $text, qr/^  GET \/included:\n(?:    .*\n)*    deadline: 7s$/m, 'and in its defaults';
};

subtest 'so has an override of the command line' => sub {
    like printed({ PORT => 8123 }, '-o', 'listen=127.0.0.1:${PORT}'), qr/^listen: 127\.0\.0\.1:8123$/m;
};

subtest 'what a variable stands for is a text, never YAML, another variable or a name in braces' => sub {
    like printed({ SHOP => '{ a: b }' }), qr/^server: "\{ a: b \}"$/m,    'braces';
    like printed({ SHOP => 'null' }),     qr/^server: "null"$/m,          'the word null';
    like printed({ SHOP => '${HOME}' }),  qr/^server: "\$\$\{HOME\}"$/m,  'another variable';
    like printed({ SHOP => '{id}' }),     qr/^      X-Shop: "\{\{id\}"$/m, 'a name in the braces of a header';
};

subtest 'what -T prints means the same where no variable is set' => sub {
    for my $shop ('${HOME}', '$${', '{id}', '$', q('"\\)) {
        my $text  = printed({ SHOP => $shop });
        my $again = run([ $Hayfork::Test::HAYFORK, '-T', '-c', spew("$folder/again.conf", $text) ], env => {});
        is $again->{stdout}, $text, $shop;
    }
};

subtest 'a byte that is not UTF-8 is refused with the name of its variable' => sub {
    my $run = run([ $Hayfork::Test::HAYFORK, '-t', '-c', $conf ], env => { SHOP => "caf\xE9" });
    is $run->{exit}, 'exit 78';
    like $run->{stderr}, qr/hayfork\.conf:2:9: error: the variable SHOP contains a byte that is not UTF-8$/m;
};

subtest 'a mistake in env_file shows its place and nothing of what may be a password' => sub {
    spew("$folder/names.env", "SHOP=a\nPASSWORD=\"secret\nDEADLINE=1s\n");
    my $run = run([ $Hayfork::Test::HAYFORK, '-t', '-c', $conf ], env => {});
    is $run->{exit}, 'exit 78';
    is $run->{stderr}, "$folder/names.env:2:10: error: this quote has to be closed at the end of its line\n";
    spew("$folder/names.env", "SHOP=secret\xE9\nDEADLINE=1s\n");
    unlike run([ $Hayfork::Test::HAYFORK, '-t', '-c', $conf ], env => {})->{stderr}, qr/secret/;
};

done_testing;
