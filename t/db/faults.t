# Between server and PostgreSQL everything goes wrong: messages are late, come in single bytes, are wrong, missing,
# twice or out of order, and connections end anywhere. Every request still gets its own answer or an error that
# is true: 503 for what was not done, 504 for what may have been.
#
# HAYFORK_SEED=… repeats a run, HAYFORK_FAULT_REQUESTS=… makes it longer (requests in each part).
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Ledger;
use Hayfork::Test::PgProxy;
use Hayfork::Test::Process qw(wait_for);

needs_postgres;

# A stream that PostgreSQL says nothing more on is given up after a minute, longer than which nothing may take.
$Hayfork::Test::Process::LIMIT = 150;

my $seed     = $ENV{HAYFORK_SEED}           // int rand 1 << 31;
my $requests = $ENV{HAYFORK_FAULT_REQUESTS} // 1_000;
diag "HAYFORK_SEED=$seed HAYFORK_FAULT_REQUESTS=$requests";

# Sends requests through a proxy with these faults, and accounts for them. with:
#   rates    what goes wrong
#   errors   false: all of that has to be borne, so that nobody hears of it
#   deadline of the requests (1s)
#   short    true: no answer is streamed, so that the deadline ends all waiting
#   proxy    more for the proxy
sub part ($name, %with)
{
    return subtest $name => sub {
        my $cluster = cluster;
        my $ledger  = Hayfork::Test::Ledger->new($cluster, seed => $seed, short => $with{short});
        my $proxy   = Hayfork::Test::PgProxy->start($cluster, seed => $seed, rates => $with{rates},
            %{ $with{proxy} // {} });
        my $server = server(<<~CONF . $ledger->routes, cluster => $cluster, lanes => 2);
            workers: 2
            limits: { deadline: ${\ ($with{deadline} // '1s') }, buffer: 16K }
            database:
              connect: ${\ $proxy->conninfo }
              connections: 4
              spill: 10ms
            CONF
        my @workers = $server->workers;
        $proxy->loud;
        my $load = $ledger->load($server, requests => $requests, connections => 24);
        $proxy->quiet;
        note $load->summary;

        wait_for('all to be served', sub {
            my $again = $ledger->load($server, requests => 50, connections => 16);
            return $again->count(503) + $again->count(504) + $again->broken == 0;
        });
        my $after = $ledger->load($server, requests => 300, connections => 8);
        note $proxy->stop->report;

        is_deeply [ $load->wrong ], [], 'each answer is the right one, or an error as it should be';
        is $load->lost, 0, 'nobody is left without an answer';
        my $served = $requests - $load->count(503) - $load->count(504) - $load->broken;
        if ($with{errors}) {
            cmp_ok $served, '>', $requests / 4, "many are served ($served)";
        } else {
            is $served, $requests, 'all are served';
        }
        is $after->count(503) + $after->count(504) + $after->broken + $after->lost, 0,
          'as soon as nothing goes wrong, all are served: ' . $after->summary;
        is_deeply [ $after->wrong ], [], 'each with its own answer';
        is_deeply [ $ledger->mismatches ], [], 'the table holds what the answers say';
        cmp_ok $ledger->writes(201), '>', 0, '… which were some hundred writes';

        is_deeply [ $server->workers ], \@workers, 'the workers are those of the beginning';
        is $server->stop, 'exit 0', 'it ends well';
        is_deeply [ $server->log_lines(qr/Sanitizer|runtime error:|Assertion/) ], [], 'nothing was wrong inside';
        diag 'the last faults:', map { "\n  $_" } (split /\n/, $proxy->log)[ -20 .. -1 ]
          if !Test::More->builder->is_passing;
    };
}

part 'what has to be borne: delays and small parts',
  deadline => '20s',
  rates    => { delay => 0.02, split => 0.3 };

part 'connections that end',
  errors => 1,
  rates  => { delay => 0.002, split => 0.02, fin => 0.002, reset => 0.002, tear => 0.004, refuse => 0.1 };

part 'connections on which nothing comes any more',
  errors => 1,
  short  => 1,
  rates  => { stall => 0.0005, delay => 0.005 };

part 'messages that are not what they should be',
  errors => 1,
  rates  => { split => 0.02, type => 0.003, length => 0.002, columns => 0.01, field => 0.01, status => 0.01 };

part 'messages that are missing, come twice or in another order',
  errors => 1,
  short  => 1,
  rates  => { drop => 0.005, twice => 0.005, swap => 0.01, delay => 0.005 };

part 'all of that, from the first message of every connection on',
  errors => 1,
  proxy  => { share => 0.3 },
  rates  => {
    refuse => 0.05,  delay  => 0.005, split   => 0.05,  fin   => 0.001, reset  => 0.001, tear => 0.001,
    type   => 0.001, length => 0.001, columns => 0.002, field => 0.002, status => 0.002,
    drop   => 0.001, twice  => 0.001, swap    => 0.001,
  };

done_testing;
