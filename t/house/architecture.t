# ARCHITECTURE.md tells the way of a request: it is the one that a request takes.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Process qw(spawn reap wait_for temporary_folder slurp spew);

needs_postgres;
my $gdb    = needs_program('gdb');
my $folder = temporary_folder();
my $text   = slurp("$Hayfork::Test::TOP_SRCDIR/ARCHITECTURE.md");
my ($way)  = $text =~ /^## The way of a request\n(.*?)^## /ms or die 'ARCHITECTURE.md has no way of a request';
my @steps  = map { { file => $_->[0], function => $_->[1] } } map { [/^\| `([\w\/]+\.c)` \| `(\w+)` \|/] } split /\n/, $way;
@steps = grep { defined $_->{file} } @steps;
cmp_ok scalar @steps, '>=', 30, 'there are steps to follow';

for my $step (@steps) {
    my $source = slurp("$Hayfork::Test::TOP_SRCDIR/src/$step->{file}");
    like $source, qr/^(?:\w[^;={}]*[ *])?\Q$step->{function}\E\([^;]*$/m, "$step->{function} is in $step->{file}";
}

my $cluster = cluster->load_contacts;
my $server  = server(<<~CONF, cluster => $cluster);
    workers: 1
    busy_poll: off
    core: on    # whoever is not root may look at it then
    database:
      connect: ${\ $cluster->conninfo }
    routes:
      GET /contacts/{id}:
        sql: "SELECT id, firstname, lastname FROM contact WHERE id = :id"
        answer: row
    CONF
@steps = grep { $_->{file} ne 'loop/outbox.c' } @steps if $server->log =~ /io_uring/;    # it is not used then

# At each step gdb writes by which functions the worker came there, and lets it go on; after the last one of the second
# request it lets go of it. Where the compiler has put a function into its caller, only this way shows it.
my $breakpoints = join '', map { qq(Step("$_->{file}", "$_->{function}")\n) } @steps[ 0 .. $#steps - 1 ];
spew("$folder/follow.py", <<~PYTHON);
    import gdb
    out = open("$folder/steps", "w", buffering=1)
    class Step(gdb.Breakpoint):
        def __init__(self, file, function):
            super().__init__(file + ":" + function)
        def stop(self):
            way, frame = [], gdb.newest_frame()
            while frame is not None:
                if frame.function() is not None:
                    way.append(frame.function().symtab.filename + " " + frame.function().name)
                frame = frame.older()
            print("\\n".join(reversed(way)), file=out)
            return self == last
    $breakpoints
    last = Step("$steps[-1]{file}", "$steps[-1]{function}")
    last.ignore_count = 1
    open("$folder/ready", "w").close()
    gdb.execute("continue")
    PYTHON
$server->get('/contacts/1');
my ($worker) = $server->workers;
my $debugger = spawn(
    [ $gdb, qw(-nx -q -batch -ex), 'set pagination off', '-p', $worker, '-x', "$folder/follow.py" ],
    folder => $folder,
    stdout => "$folder/log",
    stderr => "$folder/log",
);
wait_for('gdb to set its breakpoints', sub { -e "$folder/ready" });

# Before the first query after seconds without any, the lane looks at the catalogue; so the second one is followed.
$server->get('/contacts/1');
my $before = length slurp("$folder/steps");
my $client = $server->client;
like $client->get('/contacts/2')->body, qr/^\{"id":2,/, 'the request is answered';
my @expected = map { "$_->{file} $_->{function}" } @steps;
is reap($debugger), 'exit 0', 'it comes to the last step';

# From when the connection was accepted. A function that is called again counts where it is called first.
my @came = map { s{^.*/src/}{}r } split /\n/, substr slurp("$folder/steps"), $before;
shift @came while @came && $came[0] ne $expected[0];
my %awaited = map { $_ => 1 } @expected;
my @first   = grep { delete $awaited{$_} } @came;
is_deeply \@first, \@expected, 'it comes to these functions in this order';
is $server->stop, 'exit 0', 'the server ends well';

done_testing;
