#!/usr/bin/env perl
# bench/report on figures that are made up, and the flame graph of a few samples.

use v5.36;
use utf8;

use JSON::PP ();
use Test::More;

use Hayfork::Test qw($TOP_SRCDIR needs_program);
use Hayfork::Test::Process qw(run slurp spew temporary_folder);

use lib "$TOP_SRCDIR/bench/lib";
use Hayfork::Bench::Flame qw(fold draw);

my $folder = temporary_folder();

# Writes a file of results: the line about the machine, and the lines given.
sub results (@lines)
{
    my %about = (
        kind     => 'about',
        time     => '2020-02-02T10:00:00Z',
        duration => 5,
        machine  => { cores => 2, model => 'Abacus', kernel => 'Linux 6', memory_kb => 8 << 20 },
        versions => { hayfork => '0.1.0', commit => 'abc1234', postgresql => '15.1', wrk => '4.1' },
        peers    => {
            'rust-hyper' => { title => 'Rust: hyper', group => 'rust', versions => { rustc => '1.0' } },
            'go-slow'    => { title => 'Go: slow',    group => 'go',   versions => { go    => '1.1' } },
        },
    );
    return spew("$folder/results.jsonl", join '', map { JSON::PP->new->utf8->encode($_) . "\n" } \%about, @lines);
}

# A run of five seconds.
sub run_of ($scenario, $server, $round, $rate, %more)
{
    return {
        kind     => 'run', time     => '2020-02-02T11:00:00Z', pool    => 8, errors => { status => 0 },
        scenario => $scenario, server => $server, round => $round, requests => $rate * 5, seconds => 5,
        p50      => 100, p90        => 200,                    p99     => 400, p99_9 => 800,
        cpu_server => $rate / 50_000, cpu_postgres => $rate / 100_000, pss_peak => 4096, joules => undef, %more,
    };
}

sub report ($results)
{
    my $done = run([ "$TOP_SRCDIR/bench/report", $results, "$folder/out" ]);
    is $done->{exit}, 'exit 0', 'the report is made' or diag $done->{stderr};
    is $done->{stderr}, '', 'without a complaint';
    my $text = slurp("$folder/out/README.md");
    utf8::decode($text);
    return $text;
}

# The cells of a table's row that begins so.
sub row ($text, $name)
{
    my ($line) = $text =~ /^\| \Q$name\E \| (.*) \|$/m or return [];
    return [ split / \| /, $line ];
}

subtest 'figures' => sub {
    needs_program('gnuplot');

    my $text = report(results(
        { kind => 'note', server => 'go-slow', what => 'list', why => 'GET /contacts: 500 instead of 200' },
        run_of('contact-random-64', 'hayfork',    1, 50_000),
        run_of('contact-random-64', 'rust-hyper', 1, 20_000),
        run_of('contact-random-64', 'go-slow',    1, 10_000, errors => { status => 50 }),
        run_of('contact-random-64', 'hayfork',    2, 70_000),
        run_of('contact-random-64', 'rust-hyper', 2, 20_000),
        run_of('contact-random-64', 'go-slow',    2, 10_000),
        run_of('contact-random-64', 'hayfork',    3, 60_000),
        { %{ run_of('contact-random-64', 'go-slow', 2, 1) }, error => 'wrk: Killed' },
        { %{ run_of('contact-random-64', 'go-slow', 3, 1) }, error => 'wrk: still there after 65 s' },
        run_of('growth-routes-1',   'hayfork', 1, 60_000),
        run_of('growth-routes-100', 'hayfork', 1, 55_000),
    ));

    is_deeply [ row($text, '**Hayfork**')->@[ 0 .. 7, 12 ] ],
      [ '8', '60,000', '50,000–70,000', '1.00', '0.10', '0.20', '0.40', '0.80', '0' ],
      'the median of the rounds, least and most, percentiles in milliseconds';
    is_deeply [ row($text, 'Rust: hyper')->@[ 1, 3 ] ], [ '20,000', '0.33 (0.29–0.40)' ],
      'what a peer is to Hayfork, and in single rounds';
    is row($text, 'Go: slow')->[12], '500', 'errors among a million requests, in the rounds that count';

    is_deeply row($text, 'contact-random-64: ≥ 3 × rust-hyper'), [ '3.00 × rust-hyper (2.50–3.50)', 'met' ],
      'a goal met';
    is_deeply row($text, 'contact-random-64: ≥ 15 × python-fastapi'), [ '–',                 'not measured' ],
      'a goal that nobody has looked at';

    like $text, qr/^- go-slow, list: GET .contacts: 500 instead of 200$/m, 'an answer that was not the same';
    like $text, qr/^- contact-random-64, go-slow \(8 connections\): wrk: still there.*\(round 3\)$/m, 'a run that failed';
    unlike $text, qr/round 2/, 'but not one that was made again';
    like $text, qr/^- contact-random-64: not asked: .*Rust: axum, deadpool-postgres/m, 'peers that were left out';
    like $text, qr/^- Rust: hyper \(`bench.peers.rust-hyper`\): rustc 1\.0$/m, 'versions';

    my @charts = $text =~ /^!\[.*?\]\((.*?)\)$/mg;
    is_deeply \@charts,
      [
        'connections.svg',           'contact-random-64.svg', 'contact-random-64-latency.svg',
        'contact-random-64-cpu.svg', 'growth-routes.svg'
      ],
      'the charts';
    for my $chart (@charts) {
        like slurp("$folder/out/$chart"), qr/<svg .*<\/svg>\s*\z/s, "$chart is there";
    }
    like slurp("$folder/out/contact-random-64.svg"), qr/60,000/, 'with numbers on it';

    my $results = results(run_of('contact-random-64', 'hayfork', 1, 50_000));
    is run([ "$TOP_SRCDIR/bench/report", '--charts', 'connections', $results, "$folder/few" ])->{exit}, 'exit 0';
    is_deeply [ sort glob "$folder/few/*" ], [ map { "$folder/few/$_" } qw(README.md connections.svg) ], 'only one chart';
    unlike slurp("$folder/few/README.md"), qr/contact-random-64\.svg/, '... and the text shows no other';
};

subtest 'a file that is not of results' => sub {
    my $done = run([ "$TOP_SRCDIR/bench/report", "$TOP_SRCDIR/README.md", "$folder/none" ]);
    is $done->{exit}, 'exit 1', 'is refused';
    like $done->{stderr}, qr/README\.md:1: not a line of results/, 'and the line is named';
};

subtest 'a flame graph' => sub {
    open my $samples, '<', \<<~PERF;
        \t    55d0 parse (/usr/bin/hayfork)
        \t    55d8 main (/usr/bin/hayfork)

        \t    7f01 writev (/lib/libc.so.6)
        \t    55d4 answer<&> (/usr/bin/hayfork)
        \t    55d8 main (/usr/bin/hayfork)

        \tffffffff tcp_sendmsg ([kernel.kallsyms])
        \t    7f01 writev (/lib/libc.so.6)
        \t    55d4 answer<&> (/usr/bin/hayfork)
        \t    55d8 main (/usr/bin/hayfork)
        PERF
    my $folded = fold($samples, 'hayfork');
    is $folded->{samples}, 3, 'samples';
    my $main = $folded->{tree}{children}{main};
    is_deeply { map { $_ => $main->{children}{$_}{n} } keys %{ $main->{children} } }, { parse => 1, 'answer<&>' => 2 },
      'who was called by main, and how often';
    my $svg = draw($folded, 'Samples');
    like $svg, qr/<title>main: 100\.0 %, 3 samples</, 'main is in all of them';
    like $svg, qr/<title>answer&lt;&amp;&gt;: 66\.7 %, 2 samples</, 'names are escaped';
    like $svg, qr/<title>tcp_sendmsg: 33\.3 %, 1 samples</, 'the kernel, too';
};

done_testing;
