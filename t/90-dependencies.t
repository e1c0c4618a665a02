# How files in src/ may depend on each other: in one direction, and on libraries only where they belong.
use v5.36;

use FindBin;
use lib "$FindBin::Bin/lib";
use Hayfork::Test;

use File::Basename qw(basename);

use Hayfork::Test::Process qw(slurp);

# From the top to the bottom: a file may include headers of the rows below its own. A word stands for NAME.c,
# NAME.h, NAME_*.c and NAME_*.h, which may include each other, except those that have a place of their own.
my @LAYERS = (
    [qw(main)],
    [qw(master)],
    [qw(worker)],
    [qw(http)],
    [qw(conn)],
    [qw(handler_sql handler_json handler_text handler_files handler_relay)],
    [qw(handler)],
    [qw(db headers upstream)],
    [qw(pgjson)],
    [qw(problem)],
    [qw(sink)],
    [qw(handoff yield busypoll outbox timeouts)],
    [qw(listen shm cpus)],
    [qw(conf)],
    [qw(params route sql http1 body folder conditional)],
    [qw(json)],
    [qw(pgtypes decimal pgwire)],
    [qw(mem)],
    [qw(log clock)],
    [qw(utf8 hash)],
    [qw(str)],
);

# Who may include a library's header, and which headers are not for those below.
my %ONLY_FOR = (
    '<h2o.h>'         => qr/^(?:worker|conn|http|upstream|handler|db|outbox|timeouts)[._]/,
    '<libpq-fe.h>'    => qr/^(?:db|pgjson|handler_sql)[._]/,
    '<json-c/json.h>' => qr/^(?:problem|conf)[._]/,
    '<yaml.h>'        => qr/^conf[._]/,
    '<liburing.h>'    => qr/^outbox[._]/,
    '"http.h"'        => qr/^(?:http|worker)[._]/,
    '"worker.h"'      => qr/^(?:worker|master)[._]/,
    '"master.h"'      => qr/^(?:master|main)[._]/,
);

my @files = sort glob "$Hayfork::Test::TOP_SRCDIR/src/*.[ch]";
ok @files > 20, 'there is something to look at';

my %row;    # word => number of its row
for my $row (0 .. $#LAYERS) {
    $row{$_} = $row for @{ $LAYERS[$row] };
}

# The word that stands for a file: its whole name, else what comes before the first "_".
sub word_of ($file)
{
    my $name = $file =~ s/\.[ch]$//r;
    return exists $row{$name} ? $name : $name =~ s/_.*//r;
}

for my $path (@files) {
    my $file  = basename($path);
    my $text  = slurp($path);
    my @lines = split /\n/, $text;
    my @wrong;

    my $word  = word_of($file);

    push @wrong, 'it has no place among the layers' if !exists $row{$word};
    for my $include ($text =~ /^[ \t]*#[ \t]*include[ \t]+(["<][^">]+[">])/mg) {
        my $header = $include =~ s/["<>]//gr;
        push @wrong, "$include is not for it" if exists $ONLY_FOR{$include} && $file !~ $ONLY_FOR{$include};
        next if $include =~ /^</ || word_of($header) eq $word;
        push @wrong, "$include is not below it" if ($row{ word_of($header) } // 0) <= ($row{$word} // 0);
    }
    is_deeply \@wrong, [], "$file depends on what is below it";

    like join("\n", @lines[ 0, 1 ]), qr{\A/\*(?:\n \*)? \Q$file\E: \S}, "$file begins with what it is for";
    cmp_ok scalar @lines, '<', 800, "$file is short enough to read";
}

done_testing;
