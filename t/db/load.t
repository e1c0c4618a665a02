# Database sessions that end under load: every request gets its own answer or a 503, and none is left
# waiting.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(wait_for);

needs_postgres;
my $cluster = cluster->load_contacts;
my $server  = sample_server($cluster);
my @workers = $server->workers;

sub terminate ()
{
    $cluster->value(<<~SQL, 'postgres');
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'contacts'
        SQL
    return;
}

sub id ($n) { return $n * 4321 % 10_000 + 1 }

sub load (%at)
{
    return $server->load(
        requests    => 10_000,
        connections => 64,
        target      => sub ($n) { '/contacts/' . id($n) },
        check       => sub ($n, $response) {
            return $response->status == 200
              ? $response->body =~ /^\{"id":${\ id($n) },/
              : $response->status == 503 && $response->body =~ /"status":503/ && $response->header('Retry-After');
        },
        at => \%at,
    );
}

sub accounted_for ($load)
{
    is_deeply [ $load->wrong ], [], 'each answer is the right contact or a proper 503';
    is $load->count(200) + $load->count(503), 10_000, 'each request has an answer: ' . $load->summary;
    is_deeply [ $server->workers ], \@workers, 'from the same workers';
    return;
}

subtest 'pg_terminate_backend' => sub {
    my $load = load(map { $_ * 1_500 => \&terminate } 1 .. 6);
    accounted_for($load);
    cmp_ok $load->count(200), '>=', 5_000, 'most are served: reads are sent again';
};

subtest 'a backend that crashes takes all of them along' => sub {
    $server->wait_for_sessions($cluster);
    my $backend = $cluster->value("SELECT min(pid) FROM pg_stat_activity WHERE datname = 'contacts' AND pid <> pg_backend_pid()");
    accounted_for(load(3_000 => sub { kill 'KILL', $backend }));
};

subtest 'PostgreSQL restarts' => sub {
    $server->wait_for_status('/contacts/1', 200);
    accounted_for(load(3_000 => sub { $cluster->stop->boot }));
};

subtest 'afterwards' => sub {
    # how many sessions there are does not tell: one lane may have several while another one still connects
    wait_for('every lane to be back', sub { !load()->count(503) });
    my $load = load();
    is $load->summary, '200: 10000, lost: 0', 'all is as before';
    is_deeply [ $load->wrong ], [];
    cmp_ok $cluster->sessions, '>=', 4, 'with one session per worker and lane';
    cmp_ok $cluster->sessions, '<=', 4 * 8, '… and no more than the lanes may have';
    is $server->stop, 'exit 0', 'it ends well';
};

done_testing;
