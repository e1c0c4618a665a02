# Where the log goes, and what its lines look like: plain or JSON, in the journal, in files that are moved away.
use v5.36;

use Hayfork::Test;

use JSON::PP qw(decode_json);

use Hayfork::Test::Process qw(run slurp spew temporary_folder wait_for);

my $folder = temporary_folder();
my $routes = qq(routes:\n  GET /:\n    text: "hello\\n"\n);

# Waits for the line of the master, which may come after the first answer.
sub wait_until_said ($file)
{
    return wait_for('the server to say that it serves', sub { slurp($file) =~ /serving on / });
}

# A server whose standard error is what the service manager says to be the journal.
sub in_journal ($log)
{
    my $set = 'export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec "$@"';
    return server("log: $log\nworkers: 1\n$routes", under => [ '/bin/sh', '-c', $set, 'sh' ]);
}

subtest 'a line is an object' => sub {
    my $server = server(<<~CONF . $routes . qq(  GET /sql: { sql: "SELECT 1 AS one", answer: row }\n));
        log: { level: debug, format: json }
        workers: 2
        database: { connect: host=/nonexistent }
        CONF
    is $server->get('/')->body, "hello\n", 'it serves';
    wait_until_said($server->{log});
    is $server->stop, 'exit 0';
    my @events = map { decode_json($_) } split /\n/, $server->log;
    is_deeply [ sort keys %$_ ], [qw(level message pid process time)], 'the same keys' for @events;
    my ($serving) = grep { $_->{message} =~ /^serving/ } @events;
    is "$serving->{level} $serving->{process}", 'info master', 'level and process';
    is $serving->{pid}, $server->pid, 'its id, a number';
    like $serving->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'the time in UTC';
    ok scalar(grep { $_->{process} =~ /^worker [12]$/ } @events), 'workers write such lines, too';
};

subtest 'in the journal lines have their priority' => sub {
    for my $log ('info', '{ format: json }') {
        my $server = in_journal($log);
        spew($server->{conf}, slurp($server->{conf}) . "nothing: 1\n");
        kill HUP => $server->pid;
        wait_for('a reload that is refused', sub { $server->log =~ /the reload was refused/ });
        is $server->stop, 'exit 0';
        my @lines = split /\n/, $server->log;
        is_deeply [ grep { !/^<[3467]>/ } @lines ], [], "log: $log: each line, those of the trial, too";
        ok scalar(grep { /^<4>.*unknown key/ } @lines), 'the mistake in the conf';
        next if $log eq 'info';
        my @events = map { decode_json(s/^<\d>//r) } @lines;
        is_deeply [ sort keys %$_ ], [qw(level message pid process time)], 'an object' for @events;
    }
};

subtest 'a file, which is opened again' => sub {
    my $server = server("log: { to: own.log, level: debug }\nworkers: 2\n$routes");
    my $file = $server->{conf} =~ s/[^\/]*$/own.log/r;
    wait_until_said($file);
    like slurp($file), qr/ info master\[\d+\]: serving on /, 'beside the conf, as the path is relative';
    is sprintf('%03o', (stat $file)[2] & 0137), '000', 'not for everybody';
    rename $file, "$file.1" or die "rename: $!";
    kill USR1 => $server->pid;
    wait_for('a new file', sub { -e $file });
    kill HUP => $server->pid;
    wait_for('lines go there', sub { slurp($file) =~ /: reloaded$/m });
    unlike slurp("$file.1"), qr/reload/, 'and to the other one no more';
    is $server->stop, 'exit 0';
    unlike $server->log, qr/master|worker/, 'nothing stands on standard error';
};

subtest 'a file that cannot be' => sub {
    mkdir "$folder/folder";
    for ([ "$folder/folder" => 'Is a directory' ], [ "$folder/none/log" => 'No such file or directory' ]) {
        my ($path, $why) = @$_;
        my $server = server("log: { to: $path }\nworkers: 1\n$routes");
        is $server->get('/')->body, "hello\n", "$path: it serves";
        like $server->log, qr/ error master\[\d+\]: cannot open \Q$path\E: the log goes to standard error: $why$/m, $why;
        wait_until_said($server->{log});
        pass 'there are the others, too';
        is $server->stop, 'exit 0';
    }
    my $server = server("log: { to: /dev/full }\nworkers: 1\n$routes");
    is $server->get('/')->body, "hello\n", 'a full disk: it serves';
    wait_until_said($server->{log});
    pass 'what the disk does not take goes to standard error';
    is $server->stop, 'exit 0';
};

done_testing;
