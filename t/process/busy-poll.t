# A busy worker looks for more before it sleeps, unless busy_poll: off. Nobody sees a difference; and it ends with the
# work.
use v5.36;

use Hayfork::Test;

use List::Util qw(sum0);
use Time::HiRes qw(sleep time);

use Hayfork::Test::Process qw(cpu_time);

needs_postgres;
my $cluster = cluster->load_contacts;
chomp(my $first = $cluster->psql('SELECT firstname FROM contact WHERE id = 1'));

sub is_first ($response) { return $response->status == 200 && $response->body =~ /"firstname":"\Q$first\E"/ }

# Two clients that ask, get their answer and ask again.
sub works ($server)
{
    my $load = $server->load(
        requests    => 2_000,
        connections => 2,
        target      => sub ($n) { '/contacts/1' },
        check       => sub ($n, $response) { is_first($response) },
    );
    my @wrong = $load->wrong;
    return $load->lost == 0 && !@wrong;
}

# The share of a core that the workers take while nobody asks for anything.
sub share_of_a_core ($server)
{
    my ($from, $cpu) = (time, sum0(map { cpu_time($_) } $server->workers));
    sleep 2;
    return (sum0(map { cpu_time($_) } $server->workers) - $cpu) / (time - $from);
}

for my $switch (qw(on off)) {
    subtest "busy_poll: $switch" => sub {
        my $server = sample_server($cluster, options => { busy_poll => $switch });
        ok works($server), 'clients are served';
        my @idle = map { $server->client } 1 .. 4;
        ok is_first($_->request('GET', '/contacts/1')), 'so is one whose connection stays' for @idle;
        cmp_ok share_of_a_core($server), '<', 0.2, 'workers sleep while nobody asks for anything';
        ok works($server), 'and are there again';
        is $server->stop, 'exit 0', 'it ends well';
    };
}

done_testing;
