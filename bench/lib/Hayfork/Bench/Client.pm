# Hayfork::Bench::Client: runs a client to its end and reads its figures.
#
# Figures are: requests, seconds, errors { kind => n }, p50, p90, p99, p99_9 in microseconds; bytes and writes where
# the client counts them.
package Hayfork::Bench::Client;

use v5.36;

use Exporter qw(import);
use JSON::PP ();
use Time::HiRes qw(sleep time);

use Hayfork::Test::Process qw(spawn reap slurp);

our @EXPORT_OK = qw(load warm_up attend client command);

my %COMMAND = (ab => \&ab_command, wrk => \&wrk_command, k6 => \&k6_command);
my %FIGURES = (ab => \&ab_figures, wrk => \&wrk_figures, k6 => \&k6_figures);

# One load: what is asked of a scenario's server, at $url. Calls $each every 200 ms. Returns the figures; dies with
# a reason if there are none.
sub load ($bench, $scenario, $url, $each = sub { })
{
    my $client  = client($scenario);
    my $seconds = $scenario->{duration} // $bench->{duration};
    my $scratch = "$bench->{folder}/client";
    unlink glob "$scratch.*";
    my ($command, $env) = command($bench, $scenario, $url, $seconds, $scratch);
    my $pid = spawn($command, stdout => "$scratch.out", stderr => "$scratch.out", env => $env, last => 'TERM');
    my $end = attend($pid, $client eq 'ab' ? 300 : $seconds + 60, $each);
    die "$client: $end\n" if $end ne 'exit 0' && !($client eq 'k6' && -e "$scratch.json");
    my $figures = $FIGURES{$client}->($scratch, $scenario);
    die "$client: nothing was answered\n" if !$figures->{requests};
    return $figures;
}

# Who asks: also beside idle connections, and where memory is looked at, it is wrk.
sub client ($scenario)
{
    return $COMMAND{ $scenario->{client} } ? $scenario->{client} : 'wrk';
}

# The command of a scenario's client, and its environment. It writes to files whose names begin with $scratch.
sub command ($bench, $scenario, $url, $seconds, $scratch)
{
    my ($command, $env) = $COMMAND{ client($scenario) }->($bench, $scenario, $url, $seconds, $scratch);
    return ($command, $env // {});
}

# Asks for half a second: connections, caches and clock speed as they will be.
sub warm_up ($bench, $scenario, $url)
{
    my ($command) = wrk_command($bench, { t => 2, %$scenario }, $url, 10);
    my $pid = spawn($command, stdout => '/dev/null', stderr => '/dev/null');
    sleep 0.5;
    kill 'INT', $pid;
    attend($pid, 10, sub { });
    return;
}

# Waits for the end of a client and says how it was. One that does not end within the limit is killed.
sub attend ($pid, $limit, $each)
{
    my $give_up = time + $limit;
    my $next    = time + 0.2;
    my $end;
    until (defined($end = reap($pid, 0))) {
        if (time > $give_up) {
            kill 'KILL', $pid;
            reap($pid, 10);
            return "still there after $limit s";
        }
        if (time >= $next) {
            $each->();
            $next = time + 0.2;
        }
        sleep 0.02;
    }
    return $end;
}

sub wrk_command ($bench, $scenario, $url, $seconds, $scratch = undef)
{
    my @pick = @{ $scenario->{pick} // [] };
    return [
        'wrk', "-t$scenario->{t}", "-c$scenario->{c}", "-d${seconds}s", '-s', "$bench->{top}/bench/field.lua",
        $url, @pick ? ('--', @pick) : ()
    ];
}

sub wrk_figures ($scratch, $scenario)
{
    my $out = slurp("$scratch.out");
    $out =~ /^figures (\{.*\})$/m or die "wrk: $out\n";
    return JSON::PP::decode_json($1);
}

# The percentiles that ab prints are whole milliseconds; those that it writes to a file are not.
sub ab_command ($bench, $scenario, $url, $seconds, $scratch)
{
    return [ 'ab', '-q', '-n', $bench->{requests}, '-c', $scenario->{c}, '-e', "$scratch.percentiles", $url ];
}

sub ab_figures ($scratch, $scenario)
{
    my $out = slurp("$scratch.out");
    my ($requests) = $out =~ /^Complete requests: +(\d+)/m or die "ab: $out\n";
    my ($seconds)  = $out =~ /^Time taken for tests: +([\d.]+)/m;
    my %us = slurp("$scratch.percentiles") =~ /^(\d+),([\d.]+)$/mg;
    my %errors;
    ($errors{status}) = $out =~ /^Non-2xx responses: +(\d+)/m;
    @errors{qw(connect read length exception)} =
      $out =~ /\(Connect: (\d+), Receive: (\d+), Length: (\d+), Exceptions: (\d+)\)/;
    return {
        requests => 0 + $requests,
        seconds  => 0 + $seconds,
        errors   => { map { $_ => 0 + ($errors{$_} // 0) } keys %errors },

        # ab -e has whole percents only
        map { ("p$_" => int $us{$_} * 1000) } grep { defined $us{$_} } 50, 90, 99
    };
}

sub k6_command ($bench, $scenario, $url, $seconds, $scratch)
{
    my @command = (
        "$bench->{build}/k6/k6", 'run', '--quiet', '--no-usage-report', '-u', $scenario->{c}, '-d', "${seconds}s",
        '--summary-trend-stats', 'med,p(90),p(99),p(99.9)', '--summary-export', "$scratch.json",
        "$bench->{top}/bench/k6.js"
    );
    return (\@command, { URL => $url });
}

sub k6_figures ($scratch, $scenario)
{
    my $metrics = JSON::PP::decode_json(slurp("$scratch.json"))->{metrics};
    my ($requests, $took, $failed) = @$metrics{qw(http_reqs http_req_duration http_req_failed)};
    ($requests->{rate} // 0) > 0 or die "k6: it has made no requests\n";
    my %us = map { $_ => int 1000 * ($took->{$_} // 0) } keys %$took;
    return {
        requests => $requests->{count},
        seconds  => $requests->{count} / $requests->{rate},
        errors   => { status => $failed->{passes} // 0 },
        p50      => $us{med},
        p90      => $us{'p(90)'},
        p99      => $us{'p(99)'},
        p99_9    => $us{'p(99.9)'},
    };
}

1;
