# The conf: every mistake is told with its place and a way out, and what is right means the same when
# hayfork -T has written it out.
#
# t/conf/NAME.conf is a conf, t/conf/NAME.err what `hayfork -t -c NAME.conf` says about it. good-*.conf have no
# mistake and no .err. HAYFORK_UPDATE_GOLDEN=1 writes the .err files again: read the difference before you
# commit it.
use v5.36;

use Hayfork::Test;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);

use Hayfork::Test::Process qw(slurp spew);

my $update = $ENV{HAYFORK_UPDATE_GOLDEN};
my $folder = tempdir(CLEANUP => 1);

# File names in messages are as they were given: without a folder, here.
my $confs = "$Hayfork::Test::TOP_SRCDIR/t/conf";
chdir $confs or die "$confs: $!";

my @good    = glob 'good-*.conf';
my %is_good = map { $_ => 1 } @good;
# Where libvips was missing, that is what is wrong with each conf with images.
my $has_images = -x dirname($Hayfork::Test::HAYFORK) . '/hayfork-images';
my @mistaken   = grep { !$is_good{$_} && ($has_images || !/^images-/) } glob '*.conf';
cmp_ok scalar @mistaken, '>=', 150, 'there are confs with mistakes';

subtest "$_ is refused" => \&refused, $_ for @mistaken;
subtest "$_ is good" => \&accepted, $_ for @good;

sub refused ($conf)
{
    my $golden = $conf =~ s/conf$/err/r;
    my $run    = hayfork('-t', '-c', $conf);
    is $run->{exit}, 'exit 78';
    is $run->{stdout}, '', 'nothing on standard output';
    spew($golden, $run->{stderr}) if $update;
    is $run->{stderr}, -e $golden ? slurp($golden) : "(there is no $golden)", "what $golden says";
}

sub accepted ($conf)
{
    my $run = hayfork('-t', '-c', $conf);
    is $run->{exit}, 'exit 0';
    is $run->{stdout}, "$conf: the conf is good\n";
    is $run->{stderr}, '', 'nothing on standard error';

    my $printed = hayfork('-T', '-c', $conf);
    is $printed->{exit}, 'exit 0', '-T prints it';
    my $again = hayfork('-T', '-c', spew("$folder/again.conf", $printed->{stdout}));
    is $again->{stderr}, '', 'what -T prints is a good conf';
    is $again->{stdout}, $printed->{stdout}, '... and means the same';
}

subtest 'no .err file has lost its conf' => sub {
    my @lost = grep { !-e s/err$/conf/r } glob '*.err';
    is_deeply \@lost, [];
};

subtest 'the sample conf is good' => sub {
    accepted("$Hayfork::Test::TOP_SRCDIR/conf/hayfork.conf");
};

subtest '-T fills in every default' => sub {
    my $run = hayfork('-T', '-c', 'good-minimal.conf');
    is $run->{stdout} =~ s/^ *#.*\n//mgr, <<~CONF;
        listen: 127.0.0.1:8080

        admin: off

        workers: auto

        user: ""

        group: ""

        core: off

        sandbox: on

        server: hayfork

        io_uring: on

        busy_poll: on

        log:
          level: info
          to: stderr
          format: plain
          slow: 500ms

        access_log:
          to: off
          format: combined
          sample: 1

        database:
          connect: ""
          read: ""
          password_file: ""
          connections: 8
          queue: 1024
          spill: 10ms
          max: 90
          lanes:
            read:
              connections: 8
              queue: 1024
              deadline: 5s
            write:
              connections: 8
              queue: 1024
              deadline: 5s

        limits:
          head: 16K
          target: 8K
          fields: 100
          body: 1M
          body_total: auto
          head_time: 10s
          body_time: 20s
          body_rate: 1K
          idle: 1m
          deadline: 5s
          buffer: 256K
          spool: 64M
          connect: 1s
          stall: 30s
          answer_rate: 16K
          requests: 10000
          clients: 10000
          drain: 30s
          drain_notice: 0s

          images:
            pixels_in: 50M
            pixels_out: 16M
            bytes_in: 32M
            time: 5s
            queue: 64

          inference:
            time: 30s
            queue: 64

        inference:
          library: ""
          device: cpu

        helpers:
          images: auto
          inference: auto

        forwarded: x

        resolve: 10s

        routes:
          GET /:
            text: hello
            deadline: 5s
        CONF
};

subtest '-T shows each value as it was understood' => sub {
    my $run = hayfork('-T', '-c', 'good-every-form.conf');
    like $run->{stdout}, qr/^  body: 64K\n/m, 'a size';
    like $run->{stdout}, qr/^  deadline: 1500ms\n/m, 'a time';
    like $run->{stdout}, qr/^  head_time: 2m\n/m, 'a time in minutes';
    like $run->{stdout}, qr/^  drain: 0s\n/m, 'no time at all';
    like $run->{stdout}, qr/^  - "\[::1\]:8082"\n/m, 'an IPv6 address';
    like $run->{stdout}, qr/^      q: "null"\n      phone: null\n      email: null\n/m, 'text "null" is not SQL NULL';
    like $run->{stdout}, qr/^    sql: \|\n      -- A page of contacts\.\n/m, 'SQL from a file';
    like $run->{stdout}, qr/^    json: '\Q{"up":true,"at":"{now}","pi":3.10,"name":"café\/😀"}\E'\n/m,
        'JSON without blanks, its digits kept';
};

# The route of that name in what -T has printed.
sub printed_route ($printed, $name)
{
    return $printed =~ /^  \Q$name\E:\n((?: {4}.*\n)+)/m ? $1 =~ s/^ {4}//mgr : "(there is no $name)";
}

subtest '-T shows what a route has not said' => sub {
    my $run = hayfork('-T', '-c', 'good-sql-routes.conf');
    like $run->{stdout}, qr/^  read: "host=replica dbname=contacts"\n/m, 'where the read lane goes';
    is printed_route($run->{stdout}, 'DELETE /contacts/{id}'), <<~'ROUTE', 'a route that changes something';
        sql: "DELETE FROM contact WHERE id = :id"
        unknown_query: refuse
        answer: none
        status: 204
        no_row: 410
        lane: write
        deadline: 2s
        headers:
          Cache-Control: no-store
          X-Brace: "{{}"
        ROUTE
    is printed_route($run->{stdout}, 'GET /contacts/{id}'), <<~'ROUTE', 'a route that reads';
        sql: "SELECT :id, :größe"
        query:
          "größe":
            required: true
            min: "-1.50"
            max: 1e3
        unknown_query: refuse
        answer: row
        status: 200
        no_row: 204
        lane: read
        merge: on
        deadline: 500ms
        headers:
          cache-control: max-age=60
          Link: '</contacts/{id}>; rel="self"'
          X-Brace: "{{}"
        ROUTE
    is printed_route($run->{stdout}, 'POST /contacts'), <<~'ROUTE', 'a list of names is one of SQL NULLs';
        sql: "INSERT INTO contact (firstname, lastname) VALUES (:firstname, :lastname) RETURNING id"
        unknown_query: refuse
        body:
          firstname: null
          lastname: null
        answer: row
        status: 201
        no_row: 404
        lane: write
        merge: on
        deadline: 2s
        headers:
          Location: "/contacts/{id}"
          X-Empty: ""
          X-Both: "{a}{{{b}} {c}"
          Cache-Control: no-store
          X-Brace: "{{}"
        ROUTE
    like printed_route($run->{stdout}, 'GET /contacts'), qr/^ {4}one_of:\n {6}- name\n {6}- "-name"\n {6}- "null"\n/m,
        'choices';
    like printed_route($run->{stdout}, 'PATCH /contacts/{id}'), qr/^  first-name: null\n(?:.*\n)*body_as: patch\n/m,
        'fields that are nothing but allowed';
    like printed_route($run->{stdout}, 'GET /hit'), qr/^lane: write\n/m, 'a GET route on the write lane';
};

subtest '-T shows each lane with all that it has' => sub {
    my $run = hayfork('-T', '-c', 'good-lanes.conf');
    my ($lanes) = $run->{stdout} =~ /^  lanes:\n((?: {4}.*\n)+)/m;
    is $lanes =~ s/^ {4}//mgr, <<~'LANES', 'what a lane does not say comes from database and limits';
        read:
          connections: 6
          queue: 100
          deadline: 3s
        write:
          connections: 6
          queue: 32
          deadline: 3s
        report:
          from: read
          connections: 1
          queue: 8
          deadline: 1m
        bulk-2_x:
          from: write
          connections: 6
          queue: 32
          deadline: 10m
        abcdefghijklmnopqrstuvwxyz012345:
          from: read
          connections: 6
          queue: 32
          deadline: 3s
        "null":
          from: read
          connections: 2
          queue: 32
          deadline: 3s
        LANES

    my %deadline = map { $_ => printed_route($run->{stdout}, $_) =~ /^deadline: (.*)/m } 'GET /default', 'GET /own',
      map { "GET /$_" } qw(report read bulk text);
    is_deeply \%deadline, {
        'GET /own'     => '2s',     # its own
        'GET /default' => '4s',     # that of the defaults of its file
        'GET /report'  => '1m',     # its lane's
        'GET /bulk'    => '10m',
        'GET /read'    => '3s',     # limits.deadline, by its lane or without one
        'GET /text'    => '3s',
      },
      'the deadlines of routes';
    like printed_route($run->{stdout}, 'POST /bulk'), qr/^lane: bulk-2_x\n/m, 'the lane of a route';
};

# What t/unit/conf/conninfo.c shows of the parts is shown here of the whole.
subtest '-T hides passwords' => sub {
    my %shown = (
        'dbname=contacts'                                => 'dbname=contacts',
        'user=a password=hush dbname=contacts'           => 'user=a password=*** dbname=contacts',
        "password = 'hu\\'sh x' user = 'a b'"             => "password = '***' user = 'a b'",
        'password=hu\\ sh host=b'                         => 'password=*** host=b',
        'sslpassword=hush sslkey=c'                      => 'sslpassword=*** sslkey=c',
        'passfile=/etc/pass user=password'               => 'passfile=/etc/pass user=password',
        'postgresql://db/contacts'                       => 'postgresql://db/contacts',
        'postgresql://a@db:5432,[::1]:5433/contacts'     => 'postgresql://a@db:5432,[::1]:5433/contacts',
        'postgres://a:hush@db:5432/contacts?sslcrl=off'  => 'postgres://a:***@db:5432/contacts?sslcrl=off',
        'postgresql://a:hu?sh@db?user=b@c'               => 'postgresql://a:***@db?user=b@c',
        'postgresql://a:12/3@4@db/contacts'              => 'postgresql://a:***@db/contacts',
        'postgresql://db:5432/contacts?user=b@c'         => 'postgresql://db:5432/contacts?user=b@c',
        'postgresql:///contacts?password=hush&user=a'    => 'postgresql:///contacts?password=***&user=a',
        'postgresql:///contacts?user=a&sslpassword=hush' => 'postgresql:///contacts?user=a&sslpassword=***',
        'postgresql:///contacts?pass%77ord=hush&user=a'  => 'postgresql:///contacts?pass%77ord=***&user=a',
        'postgresql:///?%70%61%73%73%77%6f%72%64=hush'   => 'postgresql:///?%70%61%73%73%77%6f%72%64=***',
    );
    for my $connect (sort keys %shown) {
        my $yaml = spew("$folder/secret.conf", <<~CONF);
            database:
              connect: ${\ quoted($connect) }
              read: ${\ quoted($connect) }
            routes: { "GET /": { text: hello } }
            CONF
        my $run = hayfork('-T', '-c', $yaml);
        for my $key (qw(connect read)) {
            my ($printed) = $run->{stdout} =~ /^  $key: (.*)$/m;
            is $printed =~ s/^"(.*)"$/$1/r =~ s/^'(.*)'$/$1 =~ s{''}{'}gr/er, $shown{$connect}, "$key: $connect";
        }
        unlike $run->{stdout}, qr/hu.?sh/, 'nor elsewhere';
    }
};

subtest 'no mistake shows a password' => sub {
    my @confs = (glob('connect-*.conf'), 'relay-password.conf');
    cmp_ok scalar @confs, '>=', 12, 'there are confs with passwords';
    for my $conf (@confs) {
        my $run = hayfork('-t', '-c', $conf);
        unlike $run->{stdout} . $run->{stderr}, qr/hu.{0,2}sh/, $conf;
    }
    for my $connect ('password=hush hush', "host=a password='hush", 'postgresql://a:hu/sh@db', 'postgres://a:hush@[db') {
        my $run = hayfork('-t', '-c', 'good-minimal.conf', '-o', "database.connect=$connect", '-o', "database.read=$connect");
        is $run->{exit}, 'exit 78', "-o database.connect=$connect";
        unlike $run->{stderr}, qr/hu.?sh/, '... is refused without being shown';
    }
    for my $field (qw(Authorization proxy-authorization Cookie X-Api-Key X-Auth-Token PRIVATE-TOKEN)) {
        my $conf = spew("$folder/field.conf",
            "routes:\n  GET /a: { relay: http://b, send: { $field: \"Bearer hush\" }, mistake: 1 }\n");
        my $run = hayfork('-t', '-c', $conf);
        like $run->{stderr}, qr/unknown key "mistake".*\*{4}/s, "a mistake beside $field";
        unlike $run->{stderr}, qr/hush/, '... does not show what a relay sends there';
    }
};

# Text as YAML in single quotes.
sub quoted ($text)
{
    return "'" . $text =~ s/'/''/gr . "'";
}

# What -T says about PostgreSQL connections.
sub budget (@arguments)
{
    my $run = hayfork('-T', @arguments);
    return $run->{stdout} =~ /^  # PostgreSQL connections: (.*)/m ? $1 : $run->{stderr};
}

subtest '-T tells how much memory the counters take' => sub {
    my $counters = sub (@arguments) {
        my $run = hayfork('-T', '-c', 'good-lanes.conf', @arguments);
        my @said = $run->{stdout} =~ /^# counters: about (\d+) KB for (\d+) workers? and (\d+) routes; never more than (\d+) MB$/m;
        return \@said;
    };
    my ($one, $four, $more) =
      map { $counters->(@$_) } ['-o', 'workers=1'], ['-o', 'workers=4'], ['-o', 'workers=1', '-o', 'admin=127.0.0.1:1'];
    is_deeply [ $one->[1], $four->[1] ], [ 1, 4 ], 'of so many workers';
    cmp_ok $four->[0], '>', $one->[0], '… of which each takes some';
    cmp_ok $more->[2], '>', $one->[2], 'the operators\' routes are routes';
    cmp_ok $four->[0], '<', 1024 * $four->[3], 'there is a bound to it';
};

subtest '-T tells how many PostgreSQL connections there can be' => sub {
    my @lanes = ('-c', 'good-lanes.conf');
    is budget(@lanes), '2 workers x (read 6 + report 1 + bulk-2_x 6) = 26 at most, 6 always open',
      'the lanes that have routes';
    is budget(@lanes, '-o', 'database.max=20'),
      '2 workers x (read 6 + report 1 + bulk-2_x 6) = 26 at most, 6 always open; database.max caps it at 20';
    is budget(@lanes, '-o', 'workers=1', '-o', 'database.max=13'),
      '1 worker x (read 6 + report 1 + bulk-2_x 6) = 13 at most, 3 always open', 'a limit that is just reached';
    is budget('-c', 'lane-wrong.conf', '-o', 'database.lanes={report: }', '-o', 'workers=2'),
      '2 workers x report 8 = 16 at most, 2 always open', 'one lane';
    is budget('-c', 'good-minimal.conf'), 'none, as no route has SQL';

    my ($workers, $most, $least) = budget(@lanes, '-o', 'workers=auto', '-o', 'database.max=100000') =~
      /^(\d+) workers? \(auto, on this machine\) x \(read 6 .*\) = (\d+) at most, (\d+) always open$/;
    is $most,  13 * $workers, 'with as many workers as this machine would have';
    is $least, 3 * $workers;
};

subtest 'workers beyond database.max are refused, however many auto is' => sub {
    my @with = ('-c', 'good-lanes.conf', '-o', 'workers=auto', '-o', 'database.max=2');
    for my $mode ([], ['-t'], ['-T']) {
        my $run = hayfork(@$mode, @with);
        is $run->{exit}, 'exit 78', "hayfork @$mode";
        is $run->{stdout}, '';
        is $run->{stderr} =~ s/\b\d+ (workers?|PostgreSQL)/N $1/gr =~ s/N worker /N workers /r, <<~'END', '... says why';
            good-lanes.conf: error: N workers (auto, on this machine) with 3 lanes each (read, report, bulk-2_x) keep N PostgreSQL connections open, a reload needs room for one worker more, and database.max is 2: raise it, or have fewer workers or lanes
            END
    }
};

subtest 'each included file has its own defaults' => sub {
    my $run = hayfork('-T', '-c', 'good-include.conf');
    is $run->{stdout} =~ s/\A.*^(?=routes:)//msr, <<~'CONF';
        routes:
          GET /own:
            text: own
            deadline: 5s
            headers:
              X-From: conf
          GET /later:
            text: later
            deadline: 5s
          GET /included/{id}:
            sql: "SELECT :id"
            unknown_query: ignore
            answer: value
            status: 200
            no_row: 404
            lane: read
            deadline: 3s
            headers:
              Cache-Control: "public, max-age=60"
              X-From: include
          GET /included:
            text: included
            deadline: 1s
            headers:
              cache-control: no-cache
              X-From: include
        CONF

    $run = hayfork('-T', '-c', 'good-minimal.conf', '-o', 'include=include/good-l*.conf');
    is $run->{exit}, 'exit 0', 'an include on the command line belongs to the folder that we are in';
    like $run->{stdout}, qr/^  GET \/later:\n/m;
};

subtest 'included files are found beside the conf, in the order of their names' => sub {
    my $etc = "$folder/[etc]*";    # which must not be taken for a pattern
    mkdir $_ or die "$_: $!" for $etc, "$etc/conf.d";
    spew("$etc/conf.d/$_.conf", "routes:\n  GET /$_:\n    sql_file: ../$_.sql\n    answer: row\n") for qw(b B a 10 9);
    spew("$etc/conf.d/.hidden.conf", "not: read\n");
    spew("$etc/conf.d/a.conf~",      "not: read\n");
    spew("$etc/$_.sql", "SELECT '$_' AS name\n") for qw(b B a 10 9);
    spew("$etc/hayfork.conf", "include: conf.d/*.conf\n");
    my $run = hayfork('-T', '-c', "$etc/hayfork.conf");
    is $run->{stderr}, '';
    is_deeply [ $run->{stdout} =~ m{^  GET /(\w+):$}mg ], [qw(10 9 B a b)];

    spew("$etc/conf.d/b.conf", "routes:\n  GET /a:\n    text: b\n");
    $run = hayfork('-t', '-c', "$etc/hayfork.conf");
    is $run->{exit}, 'exit 78', 'one path in two files';
    is $run->{stderr}, <<~END, '... which are both named';
        $etc/conf.d/b.conf:2:3: error: this takes the same requests as "GET /a" on line 2 of $etc/conf.d/a.conf; only one of them can be there
              GET /a:
              ^
        END
};

subtest '-o goes before the file' => sub {
    my @with = ('-c', 'good-every-form.conf', '-o', 'listen=9000', '-o', 'limits.body=2M', '-o', 'log=warn');
    my $run  = hayfork('-T', @with);
    like $run->{stdout}, qr/^listen: 9000\n/m, 'a list is replaced whole';
    like $run->{stdout}, qr/^  body: 2M\n/m, 'one key of a section';
    like $run->{stdout}, qr/^  clients: 100\n/m, '... leaves the others';
    like $run->{stdout}, qr/^  level: warn\n/m, 'a single value';

    $run = hayfork('-t', '-c', 'listen-no-port.conf', '-o', 'listen=9000');
    is $run->{exit}, 'exit 0', 'what is replaced cannot be wrong';

    $run = hayfork('-T', '-c', 'good-minimal.conf', '-o', 'database.connect=dbname=contacts', '-o', 'workers=2', '-o',
        'workers=3');
    like $run->{stdout}, qr/^  connect: dbname=contacts\n/m, 'what the file does not have is added';
    like $run->{stdout}, qr/^workers: 3\n/m, 'of two the last one counts';
};

subtest 'mistakes in -o have their place, too' => sub {
    my @options = map { ('-o', $_) } (
        'listen=[::1]:9000', 'workers=many', 'lissen=9000', 'database.conect=dbname=contacts', 'db.connect=x',
        'timeout=5s', 'limits.drain=5', 'log=', 'limits.clients=*all',
    );
    my $run = hayfork('-t', '-c', 'good-minimal.conf', @options);
    is $run->{exit}, 'exit 78';
    is $run->{stdout}, '';
    is $run->{stderr}, <<~'END';
        -o:1:9: error: an IPv6 address needs quotes, or its brackets are taken for a list: write "[::1]:8080"
            listen=[::1]:9000
                    ^
        -o:2:9: error: workers takes auto or a whole number from 1 to 512, not "many"
            workers=many
                    ^
        -o:3:1: error: unknown key "lissen"; did you mean "listen"?
            lissen=9000
            ^
        -o:4:1: error: unknown key "conect" in database; did you mean "connect"?
            database.conect=dbname=contacts
            ^
        -o:5:1: error: unknown key "db.connect"; did you mean "database.connect"?
            db.connect=x
            ^
        -o:6:1: error: unknown key "timeout"; did you mean "limits.deadline"?
            timeout=5s
            ^
        -o:7:14: error: drain needs a unit: write 5s for seconds, 5ms for milliseconds or 5m for minutes
            limits.drain=5
                         ^
        -o:8:5: error: log has no value; remove the line for the default
            log=
                ^
        -o:9:16: error: aliases (*all) are not part of the conf; quote a value that begins with `*`
            limits.clients=*all
                           ^
        END

    $run = hayfork('-t', '-c', 'good-minimal.conf', '-o', "log=info\nworkers=2");
    is $run->{exit}, 'exit 78';
    is $run->{stderr}, "-o: error: an override is a single line\n", 'an override cannot smuggle in another';
};

subtest 'a conf that cannot be read' => sub {
    my $run = hayfork('-t', '-c', 'no-such-file.conf');
    is $run->{exit}, 'exit 78';
    is $run->{stderr}, "no-such-file.conf: error: cannot read no-such-file.conf: No such file or directory\n";

    $run = hayfork('-t', '-c', '/');
    is $run->{exit}, 'exit 78';
    is $run->{stderr}, "/: error: cannot read /: Is a directory\n";

    $run = hayfork('-t', '-c', '/dev/zero');
    is $run->{exit}, 'exit 78', 'an endless file';
    is $run->{stderr}, "/dev/zero: error: cannot read /dev/zero: it is larger than 16 MiB\n";
};

subtest 'files that the conf names are found beside it' => sub {
    mkdir "$folder/etc" or die $!;
    spew("$folder/etc/one.sql", "SELECT :a::int AS a\n");
    spew("$folder/etc/two.json", "[1, 2\n");
    spew("$folder/etc/hayfork.conf", <<~CONF);
        routes:
          GET /a/{a}:
            sql_file: one.sql
            answer: row
          GET /b:
            json_file: two.json
        CONF
    my $run = hayfork('-t', '-c', "$folder/etc/hayfork.conf");
    is $run->{exit}, 'exit 78';
    is $run->{stderr}, <<~END;
        $folder/etc/two.json:1:6: error: the JSON ends here before it is complete
            [1, 2
                 ^
        END
};

done_testing;
