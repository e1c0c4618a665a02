# Secrets and rights: what others on the machine can see of a server, and what its processes may do.
use v5.36;

use FindBin;
use lib "$FindBin::Bin/lib";
use Hayfork::Test;

use Hayfork::Test::Process qw(slurp);

my $conf = <<~'CONF';
    workers: 1
    routes:
      GET /: { text: "hello\n" }
    CONF

# The arguments of a process, as ps shows them.
sub arguments ($pid) { return join ' ', split /\0/, slurp("/proc/$pid/cmdline") }

subtest 'a password on the command line is overwritten there' => sub {
    my %option = (
        'database.connect' => 'host=/nowhere password=hush',
        'database.read'    => 'postgresql://a:hush@db/b',
        upstreams          => '{ a: [ http://hush.example.org ] }',
        'limits.body'      => '64K',
        server             => 'plain',
        'listen.extra'     => '127.0.0.1:' . Hayfork::Test::Server::free_port(),
    );
    my $server = server($conf, listeners => [qw(main extra)], options => \%option);
    for my $pid ($server->pid, $server->workers) {
        my $shown = arguments($pid);
        unlike $shown, qr/hush|nowhere/, "process $pid shows no secret";
        like $shown, qr/ -o database\.connect=\*+ -o database\.read=\*+ /, '... but that there is something';
        like $shown, qr/ -o limits\.body=64K .*-o server=plain/, '... and what is none';
        like $shown, qr/ -o listen\.extra=127\.0\.0\.1:\d+/, '... a listener, too';
        like $shown, qr/ -o upstreams=\*+$/, '... what may hold one is taken for one';
    }
    is $server->stop, 'exit 0';
};

done_testing;
